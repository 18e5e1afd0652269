package guests

import (
	"skerry/compute-node/hypervisor"
	"skerry/events"
)

// What a guest takes beyond its own memory, in MiB: QEMU itself, and with TCG
// the buffer of translated code.
const (
	overheadMiB   = 60
	tbCacheTiny   = 32
	tbCacheNormal = 128
	tinyMiB       = 256 // guests up to here have the small buffer
)

// rootPorts is how many devices a guest can have: disks and interfaces at boot
// and what is plugged in later. More slow its boot.
const rootPorts = 12

func tbCache(memoryMiB int) int {
	if memoryMiB <= tinyMiB {
		return tbCacheTiny
	}
	return tbCacheNormal
}

// ChargeMiB is the host memory that a guest of a shape takes.
func ChargeMiB(s events.Shape, a hypervisor.Accel) int {
	m := s.MemoryMiB + overheadMiB
	if a != hypervisor.KVM {
		m += tbCache(s.MemoryMiB)
	}
	return m
}

// domain is the guest of a spec on these files.
func domain(s events.InstanceSpec, f Files, a hypervisor.Accel) hypervisor.Domain {
	d := hypervisor.Domain{
		ID: string(s.Instance), Generation: s.Generation, Reboots: s.Reboots,
		Type: s.Shape.Type, VCPUs: s.Shape.VCPUs, MemoryMiB: s.Shape.MemoryMiB, TBCache: tbCache(s.Shape.MemoryMiB),
		RootPorts: rootPorts, Accel: a,
		Kernel: f.Kernel, Initrd: f.Ramdisk, Cmdline: s.Cmdline, Console: f.Console,
	}
	if s.RootVolume == "" {
		d.Disks = []hypervisor.Disk{{Path: f.Root, Format: "qcow2", Serial: "root"}}
	}
	for i, e := range f.Ephemeral {
		d.Disks = append(d.Disks, hypervisor.Disk{Path: e, Format: "raw", Serial: "ephemeral" + string(rune('0'+i))})
	}
	for _, n := range s.Interfaces {
		d.NICs = append(d.NICs, hypervisor.NIC{Tap: events.TapName(n.ID), MAC: n.MAC})
	}
	return d
}
