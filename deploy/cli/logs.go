package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"skerry/deploy/lab"
)

type logsCmd struct {
	Node   string `arg:"" help:"A host (isle-1a-1), a program (isle-1a-1/compute), or supervisor."`
	Kind   string `arg:"" optional:"" help:"Only this program of the host."`
	Follow bool   `short:"f" help:"Go on with what is written from now on."`
	Lines  int    `short:"n" help:"Lines to begin with, of each program." default:"100"`
}

// Run prints the ends of the logs and, with -f, what follows.
func (c *logsCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	paths, err := c.paths(r)
	if err != nil {
		return err
	}
	at := map[string]int64{}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		prefix := ""
		if len(paths) > 1 {
			prefix = name + " "
		}
		fi, err := os.Stat(paths[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		at[name] = fi.Size()
		text := tail(paths[name], c.Lines)
		for line := range strings.Lines(text) {
			fmt.Fprintf(e.out, "%s%s\n", prefix, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  "))
		}
	}
	if !c.Follow {
		return nil
	}
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return nil // the person has seen enough
		case <-t.C:
		}
		for name, path := range paths {
			n, err := grown(e.out, name, path, at[name], len(paths) > 1)
			if err != nil {
				return err
			}
			at[name] = n
		}
	}
}

func (c *logsCmd) paths(r *lab.Region) (map[string]string, error) {
	if c.Node == "supervisor" {
		return map[string]string{"supervisor": r.Path("supervisor.log")}, nil
	}
	name := c.Node
	if c.Kind != "" {
		name += "/" + c.Kind
	}
	if strings.Contains(name, "/") {
		p, err := r.FindProgram(name)
		return map[string]string{name: p.Log}, err
	}
	if _, err := r.FindHost(name); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, p := range r.Programs() {
		if p.Host.Name == name {
			out[p.Name()] = p.Log
		}
	}
	return out, nil
}

// grown prints the whole lines that a log has beyond an offset. A log that has
// shrunk was cut, and is read from its start.
func grown(out io.Writer, name, path string, from int64, prefixed bool) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return from, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return from, err
	}
	if fi.Size() < from {
		from = 0
	}
	b, err := io.ReadAll(io.NewSectionReader(f, from, 1<<20))
	if err != nil {
		return from, err
	}
	end := strings.LastIndexByte(string(b), '\n') + 1
	for line := range strings.Lines(string(b[:end])) {
		if prefixed {
			line = name + " " + line
		}
		if _, err := io.WriteString(out, line); err != nil {
			return from, err
		}
	}
	return from + int64(end), nil
}
