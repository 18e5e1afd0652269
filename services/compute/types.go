// Package compute decides about images, key pairs and instances, and holds the
// catalogue of instance types.
package compute

import (
	"skerry/events"
)

// Type is an instance type ("Amazon EC2 instance types"). Types that EC2 offers
// with volumes only have an instance-store root here as well, of RootGiB.
type Type struct {
	Name        string
	VCPUs       int
	MemoryMiB   int
	RootGiB     int
	Ephemeral   []int // GiB of each instance-store disk
	ENIs        int
	Addresses   int // IPv4 per interface
	Current     bool
	Burstable   bool
	BareMetal   bool
	Network     string
	ClockMHz    int
	Extension   bool // ours, not EC2's
	PV          bool // EC2 offers it for paravirtual images
	Threads     int  // per core
	DiskKind    string
	IPv6        bool
	EBSOptimize string // unsupported, supported or default
}

// catalogue is ordered as people think of it.
var catalogue = []Type{
	{Name: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, RootGiB: 1, ENIs: 2, Addresses: 4, Current: true, Network: "Low", ClockMHz: 2000, Extension: true, PV: true, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "m1.small", VCPUs: 1, MemoryMiB: 1740, RootGiB: 10, Ephemeral: []int{160}, ENIs: 2, Addresses: 4, Network: "Low", ClockMHz: 2000, PV: true, Threads: 1, DiskKind: "hdd", EBSOptimize: "unsupported"},
	{Name: "t2.nano", VCPUs: 1, MemoryMiB: 512, RootGiB: 8, ENIs: 2, Addresses: 2, Current: true, Burstable: true, Network: "Low to Moderate", ClockMHz: 2400, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "t2.micro", VCPUs: 1, MemoryMiB: 1024, RootGiB: 8, ENIs: 2, Addresses: 2, Current: true, Burstable: true, Network: "Low to Moderate", ClockMHz: 2500, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "t2.small", VCPUs: 1, MemoryMiB: 2048, RootGiB: 8, ENIs: 3, Addresses: 4, Current: true, Burstable: true, Network: "Low to Moderate", ClockMHz: 2500, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "t2.medium", VCPUs: 2, MemoryMiB: 4096, RootGiB: 8, ENIs: 3, Addresses: 6, Current: true, Burstable: true, Network: "Low to Moderate", ClockMHz: 2300, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "t2.large", VCPUs: 2, MemoryMiB: 8192, RootGiB: 8, ENIs: 3, Addresses: 12, Current: true, Burstable: true, Network: "Low to Moderate", ClockMHz: 2300, Threads: 1, IPv6: true, EBSOptimize: "unsupported"},
	{Name: "t3.nano", VCPUs: 2, MemoryMiB: 512, RootGiB: 8, ENIs: 2, Addresses: 2, Current: true, Burstable: true, Network: "Up to 5 Gigabit", ClockMHz: 2500, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "t3.micro", VCPUs: 2, MemoryMiB: 1024, RootGiB: 8, ENIs: 2, Addresses: 2, Current: true, Burstable: true, Network: "Up to 5 Gigabit", ClockMHz: 2500, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "t3.small", VCPUs: 2, MemoryMiB: 2048, RootGiB: 8, ENIs: 3, Addresses: 4, Current: true, Burstable: true, Network: "Up to 5 Gigabit", ClockMHz: 2500, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "t3.medium", VCPUs: 2, MemoryMiB: 4096, RootGiB: 8, ENIs: 3, Addresses: 6, Current: true, Burstable: true, Network: "Up to 5 Gigabit", ClockMHz: 2500, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "t3.large", VCPUs: 2, MemoryMiB: 8192, RootGiB: 8, ENIs: 3, Addresses: 12, Current: true, Burstable: true, Network: "Up to 5 Gigabit", ClockMHz: 2500, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "m5.large", VCPUs: 2, MemoryMiB: 8192, RootGiB: 8, ENIs: 3, Addresses: 10, Current: true, Network: "Up to 10 Gigabit", ClockMHz: 3100, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "m5.xlarge", VCPUs: 4, MemoryMiB: 16384, RootGiB: 8, ENIs: 4, Addresses: 15, Current: true, Network: "Up to 10 Gigabit", ClockMHz: 3100, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "m5.2xlarge", VCPUs: 8, MemoryMiB: 32768, RootGiB: 8, ENIs: 4, Addresses: 15, Current: true, Network: "Up to 10 Gigabit", ClockMHz: 3100, Threads: 2, IPv6: true, EBSOptimize: "default"},
	{Name: "c5.large", VCPUs: 2, MemoryMiB: 4096, RootGiB: 8, ENIs: 3, Addresses: 10, Current: true, Network: "Up to 10 Gigabit", ClockMHz: 3400, Threads: 2, IPv6: true, EBSOptimize: "default"},
}

// DefaultType is what RunInstances takes when no type is given.
const DefaultType = "m1.small"

// Types is the catalogue.
func Types() []Type { return catalogue }

// FindType looks a type up.
func FindType(name string) (Type, bool) {
	for _, t := range catalogue {
		if t.Name == name {
			return t, true
		}
	}
	return Type{}, false
}

// Shape is what a guest of the type gets.
func (t Type) Shape() events.Shape {
	return events.Shape{Type: t.Name, VCPUs: t.VCPUs, MemoryMiB: t.MemoryMiB, RootGiB: t.RootGiB, EphemeralGiB: t.Ephemeral,
		Interfaces: t.ENIs, Addresses: t.Addresses, IPv6: t.addresses6()}
}

// addresses6 is how many IPv6 addresses an interface has: as many as of IPv4,
// where the type speaks IPv6 at all.
func (t Type) addresses6() int {
	if !t.IPv6 {
		return 0
	}
	return t.Addresses
}

// Memory that a guest costs beside its own, measured: QEMU itself, and the
// buffer of translated code.
const (
	qemuMiB      = 60
	smallCodeMiB = 32  // guests of up to smallGuestMiB
	codeMiB      = 128 // larger ones
	smallGuest   = 256
)

// Need is what a guest of the type takes from its host, charged truthfully.
func (t Type) Need() events.Need {
	n := events.Need{VCPUs: t.VCPUs, MemoryMiB: t.MemoryMiB + qemuMiB + codeMiB, DiskGiB: t.RootGiB}
	if t.MemoryMiB <= smallGuest {
		n.MemoryMiB += smallCodeMiB - codeMiB
	}
	for _, g := range t.Ephemeral {
		n.DiskGiB += g
	}
	return n
}
