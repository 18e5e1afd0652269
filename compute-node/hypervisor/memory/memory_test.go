package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/hypervisortest"
	"skerry/compute-node/hypervisor/memory"
)

func domain(id string) hypervisor.Domain {
	return hypervisor.Domain{
		ID: id, Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, TBCache: 32, RootPorts: 12, Accel: hypervisor.TCG,
		Kernel: "/k", Initrd: "/i", Console: "/c", Disks: []hypervisor.Disk{{Path: "/d", Format: "qcow2", Serial: "root"}},
	}
}

func TestConformance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &memory.Host{BootTime: 2 * time.Second, ShutdownTime: 300 * time.Millisecond}
		hypervisortest.Run(t, hypervisortest.Bench{
			Open:     func(*testing.T) hypervisor.Driver { return h.Open() },
			Domain:   func(_ *testing.T, id string) hypervisor.Domain { return domain(id) },
			Kill:     func(_ *testing.T, id string) { h.Crash(id) },
			Patience: 10 * time.Second,
			Reopens:  true,
			Volume:   func(_ *testing.T, serial string) hypervisor.Volume { return hypervisor.Volume{Serial: serial} },
		})
	})
}

func TestBootTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &memory.Host{BootTime: 2 * time.Second}
		d := h.Open()
		defer d.Close()
		const n = 3000
		for i := range n {
			if err := d.Start(t.Context(), domain(fmt.Sprintf("i-%017x", i))); err != nil {
				t.Fatal(err)
			}
		}
		id := fmt.Sprintf("i-%017x", n-1)
		time.Sleep(2*time.Second - time.Millisecond)
		if out, _ := d.Console(t.Context(), id, 100); len(out) != 0 {
			t.Fatalf("ready too early: %q", out)
		}
		time.Sleep(2 * time.Millisecond)
		if out, _ := d.Console(t.Context(), id, 100); string(out) != "SKERRY-READY 2.00\n" {
			t.Fatalf("console %q", out)
		}
		if ds, _ := d.Domains(t.Context()); len(ds) != n {
			t.Fatalf("%d domains", len(ds))
		}
		h.PowerCut()
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &memory.Host{}
		d := h.Open()
		defer d.Close()
		ctx := t.Context()
		g := domain("i-00000000000000001")
		boom := errors.New("boom")

		h.SetFaults(memory.Faults{RefuseStart: boom})
		if err := d.Start(ctx, g); !errors.Is(err, boom) {
			t.Fatalf("start: %v", err)
		}
		if ds, _ := d.Domains(ctx); len(ds) != 0 {
			t.Fatalf("a refused start left %v", ds)
		}
		h.SetFaults(memory.Faults{AfterStart: boom, LostEvents: true})
		if err := d.Start(ctx, g); !errors.Is(err, boom) {
			t.Fatalf("start: %v", err)
		}
		if ds, _ := d.Domains(ctx); len(ds) != 1 || ds[0].State != hypervisor.Running {
			t.Fatalf("the work was not done: %v", ds)
		}
		select {
		case <-d.Pokes():
			t.Fatal("an event arrived")
		default:
		}
		h.SetFaults(memory.Faults{Deaf: func(string) bool { return true }})
		d.Shutdown(ctx, g.ID)
		if ds, _ := d.Domains(ctx); ds[0].State != hypervisor.Running {
			t.Fatalf("a deaf guest heard: %v", ds)
		}
		h.SetFaults(memory.Faults{Hang: func(verb, _ string) bool { return verb == "destroy" }})
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := d.Destroy(short, g.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("hanging destroy: %v", err)
		}
	})
}
