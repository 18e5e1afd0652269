// Package hypervisor is the seam between the keeper of a compute node and what
// runs its guests.
//
//	          Start               guest powers off, Shutdown heard
//	(nothing) ─────▶ running ────────────────────────▶ stopped ──┐
//	    ▲               │ ▲                                      │ Remove
//	    │        Destroy│ └─────────── Start ──────── stopped    │
//	    │               ▼                             crashed    │
//	    │            stopped        QEMU dies ─────▶ crashed ────┤
//	    └────────────────────────────────────────────────────────┘
//
// Drivers promise: asking twice is asking once; guests outlive the driver, and a
// driver opened again finds them; a poke is only a hint to look. They expect one
// caller per domain at a time, and that every call has a deadline.
//
// There is no Reboot. A reboot is an orderly stop and a start of the same disks
// at a higher number of reboots: the same steps as any other, in which an agent
// may die at any point and take up again where the guest stands.
package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Driver runs domains.
type Driver interface {
	// Start defines a domain as given and runs it. A domain that runs already
	// at this boot is left alone; one that runs at another is an error.
	Start(ctx context.Context, d Domain) error
	// Shutdown presses the power button. Guests ignore it while they boot, so
	// callers press again. A domain that does not run is left alone.
	Shutdown(ctx context.Context, id string) error
	// Destroy stops a domain at once. One that does not run is left alone.
	Destroy(ctx context.Context, id string) error
	// Remove forgets a domain that does not run; one that runs is an error.
	Remove(ctx context.Context, id string) error
	// Attach gives a running domain a volume. One that has it is left alone.
	// The caller has made sure that the volume's portal answers: a silent one
	// stops the whole guest.
	Attach(ctx context.Context, id string, v Volume) error
	// Detach asks a running domain to let go of a volume; it has when Domains
	// lists the volume no more. ErrInUse says that the guest uses it, as far as
	// the guest can be asked; force does not ask. A volume that the domain does
	// not have is left alone.
	Detach(ctx context.Context, id, serial string, force bool) error
	// Domains lists every domain that was started and not removed, by id.
	Domains(ctx context.Context) ([]Status, error)
	// Console returns the last limit bytes that the guest wrote to its console
	// since it was first started.
	Console(ctx context.Context, id string, limit int) ([]byte, error)
	// Pokes says that something may have changed. It never blocks the driver.
	Pokes() <-chan struct{}
	// Close lets go of the hypervisor; guests keep running.
	Close() error
}

// ErrNoDomain answers for a domain that is not there.
var ErrNoDomain = errors.New("no such domain")

// ErrNoVolumeRoot says that a driver cannot boot a guest from a volume.
var ErrNoVolumeRoot = errors.New("this hypervisor cannot boot a guest from a volume")

// ErrInUse says that a guest has a volume mounted.
var ErrInUse = errors.New("the guest has it mounted")

// Accel is what executes a guest's instructions.
type Accel string

// Accelerators.
const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"
)

// Domain is a guest as it is to run. It leaves nothing to choose.
type Domain struct {
	ID         string // instance id: i- and 17 hex digits
	Generation uint64 // start that the region asked for
	Reboots    uint64 // reboots that the region asked for

	Type      string // instance type, for the firmware's tables
	VCPUs     int
	MemoryMiB int
	TBCache   int // MiB for translated code, with TCG
	RootPorts int // PCI Express ports: devices at boot and room to plug more
	Accel     Accel

	Kernel, Initrd string // files
	Cmdline        string
	Root           *Volume // vda; nil: the first of Disks is
	Disks          []Disk
	NICs           []NIC
	Console        string // file; the guest's output is appended
}

// Disk is a file that the guest sees as a virtio disk.
type Disk struct {
	Path   string
	Format string // raw or qcow2
	Serial string // at most 20 bytes
}

// Volume is a disk of a storage node that the domain reaches by iSCSI.
type Volume struct {
	Serial       string         // at most 20 bytes, unique in the domain
	Portal       netip.AddrPort // of the relay on this host
	Target       string         // iqn.…
	Initiator    string         // iqn.…
	WriteThrough bool           // no write cache
}

// NIC is an Ethernet device on a tap that exists.
type NIC struct {
	Tap string
	MAC string
}

// State is what a domain does.
type State string

// States of a domain.
const (
	Running State = "running"
	Paused  State = "paused"
	Stopped State = "stopped" // ended in order: by the guest, or destroyed by us
	Crashed State = "crashed" // ended and nobody asked
)

// Status is a domain as the hypervisor sees it.
type Status struct {
	ID         string
	State      State
	Generation uint64 // of the last start
	Reboots    uint64
	Boot       string   // differs between two starts of a domain; empty when it does not run
	Reason     string   // the hypervisor's words for the state
	Volumes    []string // serials of the volumes that a domain that runs has, ordered
}

// Alive says whether the domain holds its disks.
func (s Status) Alive() bool { return s.State == Running || s.State == Paused }

// Check names everything that is wrong with a domain.
func (d Domain) Check() error {
	var bad []error
	complain := func(format string, a ...any) { bad = append(bad, fmt.Errorf(format, a...)) }
	if _, err := UUID(d.ID); err != nil {
		bad = append(bad, err)
	}
	if d.VCPUs < 1 || d.VCPUs > 255 {
		complain("%d vcpus", d.VCPUs)
	}
	if d.MemoryMiB < 64 {
		complain("%d MiB of memory: a guest needs 64", d.MemoryMiB)
	}
	if d.Accel != KVM && d.Accel != TCG {
		complain("accelerator %q", d.Accel)
	}
	for _, f := range []string{d.Kernel, d.Initrd, d.Console} {
		if !filepath.IsAbs(f) {
			complain("file %q is not an absolute path", f)
		}
	}
	if len(d.Disks) == 0 && d.Root == nil || len(d.Disks)+len(d.NICs) > d.RootPorts {
		complain("%d disks and %d interfaces for %d ports", len(d.Disks), len(d.NICs), d.RootPorts)
	}
	for _, k := range d.Disks {
		if !filepath.IsAbs(k.Path) || (k.Format != "raw" && k.Format != "qcow2") || len(k.Serial) > 20 {
			complain("disk %q format %q serial %q", k.Path, k.Format, k.Serial)
		}
	}
	for _, n := range d.NICs {
		if _, err := net.ParseMAC(n.MAC); err != nil || n.Tap == "" || len(n.Tap) > 15 {
			complain("interface on tap %q with MAC %q", n.Tap, n.MAC)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("domain %s: %w", d.ID, errors.Join(bad...))
	}
	return nil
}

// UUID is the machine id of an instance: "ec2", the 17 digits of its id, zeros.
// Guests recognise EC2 by the first three digits.
func UUID(id string) (string, error) {
	hex, ok := strings.CutPrefix(id, "i-")
	if !ok || len(hex) != 17 {
		return "", fmt.Errorf("instance id %q is not i- and 17 hex digits", id)
	}
	for _, c := range hex {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return "", fmt.Errorf("instance id %q is not i- and 17 hex digits", id)
		}
	}
	u := "ec2" + hex + strings.Repeat("0", 12)
	return u[:8] + "-" + u[8:12] + "-" + u[12:16] + "-" + u[16:20] + "-" + u[20:], nil
}

// Boot names a start of a domain as the region counts it.
func (d Domain) Boot() string {
	return strconv.FormatUint(d.Generation, 10) + "." + strconv.FormatUint(d.Reboots, 10)
}
