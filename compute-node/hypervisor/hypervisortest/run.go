// Package hypervisortest is what every hypervisor driver must do. The memory
// driver passes it in each test run, libvirt where it is installed.
package hypervisortest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry/compute-node/hypervisor"
)

// Bench is a driver under test and the guests it can run.
type Bench struct {
	// Open takes hold of the same machine again each time.
	Open func(t *testing.T) hypervisor.Driver
	// Domain makes a guest with disks of its own. It prints SKERRY-READY once
	// it listens to its power button.
	Domain func(t *testing.T, id string) hypervisor.Domain
	// Kill ends a guest's process behind the driver's back.
	Kill func(t *testing.T, id string)
	// Patience bounds each wait.
	Patience time.Duration
	// Reopens says whether Open may be called while the test goes on, after
	// Close. Some hypervisors hold a process to one connection for good.
	Reopens bool
	// Volume is a disk by iSCSI that answers; nil leaves volumes out.
	Volume func(t *testing.T, serial string) hypervisor.Volume
}

// Run checks a driver.
func Run(t *testing.T, b Bench) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*b.Patience)
	defer cancel()
	drv := b.Open(t)
	defer func() {
		if err := drv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	const id = "i-0aaaaaaaaaaaaaaa1"
	const other = "i-0aaaaaaaaaaaaaaa2"

	status := func(id string) (hypervisor.Status, bool) {
		t.Helper()
		ds, err := drv.Domains(ctx)
		if err != nil {
			t.Fatalf("domains: %v", err)
		}
		for i, d := range ds {
			if i > 0 && ds[i-1].ID >= d.ID {
				t.Fatalf("domains are not ordered: %v", ds)
			}
		}
		for _, d := range ds {
			if d.ID == id {
				return d, true
			}
		}
		return hypervisor.Status{}, false
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	until := func(what string, cond func() bool) {
		t.Helper()
		deadline := time.Now().Add(b.Patience)
		for !cond() {
			if time.Now().After(deadline) {
				ds, err := drv.Domains(ctx)
				t.Fatalf("not in %s: %s; domains %+v %v", b.Patience, what, ds, err)
			}
			select {
			case <-drv.Pokes():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	console := func(id string) string {
		out, err := drv.Console(ctx, id, 64<<10)
		if err != nil {
			return ""
		}
		return string(out)
	}
	state := func(id string, want hypervisor.State) func() bool {
		return func() bool { s, ok := status(id); return ok && s.State == want }
	}

	// What is not there is left alone.
	for what, err := range map[string]error{"shutdown": drv.Shutdown(ctx, id), "destroy": drv.Destroy(ctx, id), "remove": drv.Remove(ctx, id)} {
		must(what+" of nothing", err)
	}
	if _, err := drv.Console(ctx, id, 100); !errors.Is(err, hypervisor.ErrNoDomain) {
		t.Fatalf("console of nothing: %v, want ErrNoDomain", err)
	}
	if err := drv.Start(ctx, hypervisor.Domain{ID: "web"}); err == nil || !strings.Contains(err.Error(), "web") {
		t.Fatalf("a domain without anything was started: %v", err)
	}

	d := b.Domain(t, id)
	d.Generation, d.Reboots = 1, 0
	must("start", drv.Start(ctx, d))
	first, ok := status(id)
	if !ok || first.State != hypervisor.Running || first.Generation != 1 || first.Reboots != 0 || first.Boot == "" {
		t.Fatalf("after start: %+v %v", first, ok)
	}
	must("start again", drv.Start(ctx, d))
	if s, _ := status(id); s.Boot != first.Boot {
		t.Fatalf("the second start made another boot: %+v then %+v", first, s)
	}
	if err := drv.Remove(ctx, id); err == nil {
		t.Fatal("a running domain was removed")
	}
	later := d
	later.Reboots = 1
	if err := drv.Start(ctx, later); err == nil {
		t.Fatal("a domain that runs boot 1.0 was started as 1.1")
	}

	// An agent that comes back finds the guest.
	if b.Reopens {
		must("close", drv.Close())
		drv = b.Open(t)
		if s, ok := status(id); !ok || s.Boot != first.Boot || s.State != hypervisor.Running || s.Generation != 1 {
			t.Fatalf("reopened: %+v, had %+v", s, first)
		}
	}

	until("the guest is ready", func() bool { return strings.Contains(console(id), "SKERRY-READY") })
	if out, err := drv.Console(ctx, id, 5); err != nil || len(out) != 5 {
		t.Fatalf("console with limit 5: %q %v", out, err)
	}

	// Volumes come and go while the guest runs.
	if b.Volume != nil {
		const serial = "vol0aaaaaaaaaaaaaaa1"
		v := b.Volume(t, serial)
		if err := drv.Attach(ctx, other, v); !errors.Is(err, hypervisor.ErrNoDomain) {
			t.Fatalf("attach to nothing: %v, want ErrNoDomain", err)
		}
		must("detach of what is not there", drv.Detach(ctx, id, serial, false))
		must("attach", drv.Attach(ctx, id, v))
		must("attach again", drv.Attach(ctx, id, v))
		if s, _ := status(id); !slices.Equal(s.Volumes, []string{serial}) {
			t.Fatalf("attached: %+v", s)
		}
		if b.Reopens {
			must("close", drv.Close())
			drv = b.Open(t)
			if s, _ := status(id); !slices.Equal(s.Volumes, []string{serial}) {
				t.Fatalf("reopened: %+v", s)
			}
		}
		until("the guest lets go of its volume", func() bool {
			must("detach", drv.Detach(ctx, id, serial, false))
			s, _ := status(id)
			return len(s.Volumes) == 0
		})
		must("detach again", drv.Detach(ctx, id, serial, true))
		must("attach once more", drv.Attach(ctx, id, v))
	}

	// The button, pressed until it is heard.
	until("the guest shuts down", func() bool {
		must("shutdown", drv.Shutdown(ctx, id))
		s, _ := status(id)
		return s.State == hypervisor.Stopped
	})
	if s, _ := status(id); s.Boot != "" || s.Generation != 1 || len(s.Volumes) != 0 {
		t.Fatalf("stopped: %+v", s)
	}
	must("shutdown of a stopped domain", drv.Shutdown(ctx, id))
	must("destroy of a stopped domain", drv.Destroy(ctx, id))
	if !strings.Contains(console(id), "SKERRY-SHUTDOWN") {
		t.Fatalf("the console was lost with the stop: %q", console(id))
	}

	// A reboot: the same domain at a higher count.
	must("start at the next reboot", drv.Start(ctx, later))
	second, _ := status(id)
	if second.Reboots != 1 || second.Boot == first.Boot || second.State != hypervisor.Running {
		t.Fatalf("after reboot: %+v", second)
	}

	// Two at once, one dies.
	o := b.Domain(t, other)
	o.Generation = 3
	must("start another", drv.Start(ctx, o))
	b.Kill(t, other)
	until("the killed guest is seen", state(other, hypervisor.Crashed))
	if s, _ := status(id); s.State != hypervisor.Running {
		t.Fatalf("its neighbour: %+v", s)
	}
	o.Generation = 4
	must("start after a crash", drv.Start(ctx, o))
	if s, _ := status(other); s.State != hypervisor.Running || s.Generation != 4 {
		t.Fatalf("restarted: %+v", s)
	}

	for _, i := range []string{id, other} {
		must("destroy", drv.Destroy(ctx, i))
		if s, _ := status(i); s.State != hypervisor.Stopped {
			t.Fatalf("destroyed: %+v", s)
		}
		must("remove", drv.Remove(ctx, i))
		if s, ok := status(i); ok {
			t.Fatalf("removed: %+v", s)
		}
		must("remove again", drv.Remove(ctx, i))
	}

	// A call with no time left ends.
	gone, stop := context.WithCancel(ctx)
	stop()
	if _, err := drv.Domains(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("a call after its deadline: %v", err)
	}
}
