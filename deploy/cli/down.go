package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
	"skerry/deploy/lab/supervisor"
)

type downCmd struct {
	Purge bool `help:"Remove the data directory too."`
}

// Patience of down.
const (
	downTimeout = 30 * time.Second // for the supervisor to end all programs
	guestGrace  = 3 * time.Second  // for QEMU to close its disks
)

// Run ends the region, with the supervisor's help when it is there and without
// when it is not, and removes what it made on this machine.
func (c *downCmd) Run(e *env) error {
	r, err := lab.Open(e.dir)
	if errors.Is(err, lab.ErrNoRegion) {
		return e.answer(map[string]any{"Down": true}, func() { fmt.Fprintf(e.out, "There is no region in %s.\n", e.dir) })
	}
	if err != nil {
		return err
	}
	free, err := lockUp(e)
	if err != nil {
		return err
	}
	defer free()
	if err := takeDown(e, r); err != nil {
		return err
	}
	if c.Purge {
		leave(e, r)
		if err := removeContext(r); err != nil {
			return err
		}
		if err := purge(r); err != nil {
			return err
		}
	}
	return e.answer(map[string]any{"Region": r.Name, "Down": true, "Purged": c.Purge}, func() {
		if c.Purge {
			fmt.Fprintf(e.out, "Region %s is gone, with its data.\n", r.Name)
			return
		}
		fmt.Fprintf(e.out, "Region %s is down. Its data stays in %s; `skerry up%s` brings it back.\n", r.Name, r.Dir(), e.dirFlag())
	})
}

// takeDown leaves no process, namespace, link, mount or socket of the region.
func takeDown(e *env, r *lab.Region) error {
	ctx, cancel := context.WithTimeout(e.ctx, downTimeout)
	_, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbDown})
	cancel()
	if err != nil && !errors.Is(err, supervisor.ErrNotRunning) {
		e.say("The supervisor does not help (%v): going on without it.", err)
	}
	// The supervisor goes first, or it would start again what is ended here.
	for _, step := range []struct {
		classes []string
		grace   time.Duration
	}{
		{[]string{remains.Supervisor}, supervisorGrace},
		{[]string{remains.Program}, guestGrace},
		{[]string{remains.Guest}, guestGrace},
		{[]string{remains.Inside}, 0},
	} {
		ps := remains.Of(remains.Processes(r), step.classes...)
		if len(ps) > 0 && step.classes[0] == remains.Guest {
			e.say("Ending %d guests.", len(ps))
		}
		if err := remains.End(e.ctx, r, ps, step.grace); err != nil {
			return err
		}
	}
	if ps := remains.Processes(r); len(ps) > 0 {
		return problem{fmt.Errorf("%v came back while the region was going down", ps[0]), "skerry down" + e.dirFlag()}
	}
	// What the supervisor was told to break is whole when it comes up again.
	if err := os.Remove(r.Path("faults.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return remains.Clear(r)
}

// supervisorGrace lets a supervisor that has answered finish.
const supervisorGrace = time.Second

// purge removes the data directory: all that a region puts there, and the
// directory itself when nothing else is in it.
func purge(r *lab.Region) error {
	for _, name := range []string{"nodes", "ca", "cache", "images", "credentials.json", "aws-credentials", "faults.json",
		"supervisor.log", "supervisor.lock", "up.lock", "tour"} {
		if err := os.RemoveAll(r.Path(name)); err != nil {
			return fmt.Errorf("purge: %w", err)
		}
	}
	// The region file goes last: until then the purge can be repeated.
	if err := os.Remove(r.Path("region.json")); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	os.Remove(r.Dir()) // stays when somebody keeps other things there
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
