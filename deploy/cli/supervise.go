package cli

import (
	"log/slog"
	"path/filepath"

	"skerry/deploy/lab/supervisor"
)

// superviseCmd is what `up` starts in the background.
type superviseCmd struct{}

// Run supervises the region until `down`.
func (superviseCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(e.err, nil)).With("region", r.Name)
	log.Info("supervisor", "dir", r.Dir(), "run", r.Run())
	err = supervisor.New(r, filepath.Dir(e.binary), log).Run(e.ctx)
	log.Info("supervisor ended", "error", err)
	return err
}
