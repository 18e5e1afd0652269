// Package hardware turns the [compute] section of a node's file into the parts
// that an agent is built of: a hypervisor, a store of guests' files and the
// accelerator, and tells what about the machine is worth a condition.
package hardware

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"skerry/compute-node/accel"
	"skerry/compute-node/guests"
	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/libvirtd"
	"skerry/compute-node/hypervisor/memory"
	"skerry/compute-node/orphans"
	"skerry/internal/config"
)

// How long the memory hypervisor's guests take, about as real small ones do.
const (
	memoryBoot     = 2 * time.Second
	memoryShutdown = 300 * time.Millisecond
)

// openLimit bounds opening the hypervisor; its first probe of QEMU's abilities
// takes seconds.
const openLimit = 60 * time.Second

// Hardware is a machine ready for guests.
type Hardware struct {
	Hypervisor hypervisor.Driver
	Store      guests.Store
	Accel      hypervisor.Accel
	Why        string   // for the accelerator
	Conditions []string // what is wrong with the machine, for heartbeats
}

// Open opens what the file allows. Close the Hypervisor when done; guests run on.
func Open(ctx context.Context, c *config.Config, log *slog.Logger) (*Hardware, error) {
	if c.Compute == nil {
		return nil, fmt.Errorf("hardware: the file of %s has no section [compute]", c.Host)
	}
	switch c.Compute.Hypervisor {
	case "memory":
		host := &memory.Host{BootTime: memoryBoot, ShutdownTime: memoryShutdown}
		return &Hardware{
			Hypervisor: host.Open(), Store: guests.NewMemory(), Accel: hypervisor.KVM, Why: "no machine is run",
			Conditions: []string{"hypervisor in memory: instances are not real"},
		}, nil
	case "qemu":
	default:
		return nil, fmt.Errorf("hardware: compute.hypervisor is %q: use qemu or memory", c.Compute.Hypervisor)
	}
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	h := &Hardware{}
	store, err := guests.OpenDisk(c.Data, c.Compute.Images)
	if err != nil {
		return nil, err
	}
	h.Store = store
	probe := accel.Host{
		Kernel: filepath.Join(c.Compute.Images, "skerry-linux.vmlinuz"), Ramdisk: filepath.Join(c.Compute.Images, "skerry-linux.initrd"),
		Keep: filepath.Join(c.Data, "probe/accel.json"),
	}
	v, err := probe.Choose(ctx, c.Compute.Accel)
	if err != nil {
		return nil, err
	}
	h.Accel, h.Why = v.Accel, v.Why
	log.Info("accelerator", "accel", v.Accel, "why", v.Why)

	took, err := orphans.Measure(ctx)
	if err != nil {
		return nil, err
	}
	if took > orphans.Slow {
		cond := fmt.Sprintf("slow reaping: an orphan stays %d ms; run the agent under a parent that reaps (skerry's supervisor, an init)", took.Milliseconds())
		log.Warn("orphans are reaped slowly", "ms", took.Milliseconds())
		h.Conditions = append(h.Conditions, cond)
	}
	h.Hypervisor, err = libvirtd.Open(ctx, libvirtd.Config{Root: filepath.Join(c.Run, "lv"), Cache: c.Compute.Cache, Log: log})
	if err != nil {
		return nil, err
	}
	return h, nil
}
