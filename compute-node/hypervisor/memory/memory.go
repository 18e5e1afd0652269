// Package memory is a hypervisor without machines: domains are entries in a
// table, booting takes a set time, and faults are told in advance. It behaves
// towards its caller as the real driver does, runs inside testing/synctest and
// holds thousands of domains.
//
// Its Host stands for the machine. Domains live in the Host and survive a Driver
// that was closed, as guests survive their agent.
package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry/compute-node/hypervisor"
)

// maxConsole is how much console output a domain keeps.
const maxConsole = 64 << 10

// Host is a machine that runs domains. The zero value boots guests at once.
type Host struct {
	BootTime     time.Duration // from start until the guest listens to its power button and says READY
	ShutdownTime time.Duration // from the button until the guest is off

	mu      sync.Mutex
	domains map[string]*domain
	boots   int
	faults  Faults
	drivers map[*Driver]bool
}

// Faults are what goes wrong. They hold until they are set again.
type Faults struct {
	LostEvents  bool                              // pokes do not arrive
	RefuseStart error                             // Start does nothing and says this
	AfterStart  error                             // Start does its work and then says this
	Deaf        func(id string) bool              // these guests ignore their power button
	Hang        func(verb string, id string) bool // calls that do not return before their deadline
	Mounted     func(id, serial string) bool      // these guests have the volume mounted
}

type domain struct {
	def     hypervisor.Domain
	state   hypervisor.State
	reason  string
	boot    string
	ready   bool
	console []byte
	timers  []*time.Timer
	volumes map[string]hypervisor.Volume
}

// Driver is one agent's hold on a host.
type Driver struct {
	host  *Host
	pokes chan struct{}
}

var _ hypervisor.Driver = (*Driver)(nil)

// Open takes hold of the host.
func (h *Host) Open() *Driver {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &Driver{host: h, pokes: make(chan struct{}, 1)}
	if h.drivers == nil {
		h.drivers = map[*Driver]bool{}
		h.domains = map[string]*domain{}
	}
	h.drivers[d] = true
	return d
}

// SetFaults replaces what goes wrong.
func (h *Host) SetFaults(f Faults) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = f
}

// PowerOff is the guest shutting itself down.
func (h *Host) PowerOff(id string) { h.end(id, hypervisor.Stopped, "shutdown") }

// Crash is the guest's process dying.
func (h *Host) Crash(id string) { h.end(id, hypervisor.Crashed, "crashed") }

// PowerCut is the machine losing its power: every domain ends, in no order.
func (h *Host) PowerCut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.domains {
		h.stop(d, hypervisor.Crashed, "host lost power")
	}
}

func (h *Host) end(id string, s hypervisor.State, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.domains[id]; d != nil {
		h.stop(d, s, reason)
	}
}

// stop ends a running domain; mu is held.
func (h *Host) stop(d *domain, s hypervisor.State, reason string) {
	if d.state != hypervisor.Running && d.state != hypervisor.Paused {
		return
	}
	for _, t := range d.timers {
		t.Stop()
	}
	d.state, d.reason, d.boot, d.ready, d.timers, d.volumes = s, reason, "", false, nil, nil
	h.poke()
}

// after runs f on this boot of d, holding mu, unless the boot ended.
func (h *Host) after(d *domain, wait time.Duration, f func()) {
	boot := d.boot
	if wait <= 0 {
		f()
		return
	}
	d.timers = append(d.timers, time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.boot == boot {
			f()
		}
	}))
}

func (h *Host) poke() {
	if h.faults.LostEvents {
		return
	}
	for d := range h.drivers {
		select {
		case d.pokes <- struct{}{}:
		default:
		}
	}
}

func (d *domain) print(format string, a ...any) {
	d.console = fmt.Appendf(d.console, format+"\n", a...)
	d.console = d.console[max(0, len(d.console)-maxConsole):]
}

// enter locks the host for a call, or waits for the deadline when the call is
// to hang.
func (d *Driver) enter(ctx context.Context, verb, id string) error {
	h := d.host
	h.mu.Lock()
	if !h.drivers[d] {
		h.mu.Unlock()
		return errors.New("hypervisor: closed")
	}
	if h.faults.Hang != nil && h.faults.Hang(verb, id) {
		h.mu.Unlock()
		<-ctx.Done()
		return fmt.Errorf("hypervisor: %s %s: %w", verb, id, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		h.mu.Unlock()
		return err
	}
	return nil
}

// Start implements hypervisor.Driver.
func (d *Driver) Start(ctx context.Context, def hypervisor.Domain) error {
	if err := def.Check(); err != nil {
		return err
	}
	if err := d.enter(ctx, "start", def.ID); err != nil {
		return err
	}
	h := d.host
	defer h.mu.Unlock()
	if h.faults.RefuseStart != nil {
		return h.faults.RefuseStart
	}
	e := h.domains[def.ID]
	if e == nil {
		e = &domain{}
		h.domains[def.ID] = e
	}
	if e.state == hypervisor.Running || e.state == hypervisor.Paused {
		if e.def.Boot() != def.Boot() {
			return fmt.Errorf("hypervisor: domain %s runs boot %s, asked for %s", def.ID, e.def.Boot(), def.Boot())
		}
		return nil
	}
	h.boots++
	e.def, e.state, e.reason, e.boot = def, hypervisor.Running, "booted", fmt.Sprint(h.boots)
	if def.Root != nil {
		e.volumes = map[string]hypervisor.Volume{def.Root.Serial: *def.Root}
	}
	begun := time.Now()
	h.after(e, h.BootTime, func() {
		e.ready = true
		e.print("SKERRY-READY %.2f", time.Since(begun).Seconds())
	})
	h.poke()
	return h.faults.AfterStart
}

// Shutdown implements hypervisor.Driver.
func (d *Driver) Shutdown(ctx context.Context, id string) error {
	if err := d.enter(ctx, "shutdown", id); err != nil {
		return err
	}
	h := d.host
	defer h.mu.Unlock()
	e := h.domains[id]
	if e == nil || e.state != hypervisor.Running || !e.ready || h.faults.Deaf != nil && h.faults.Deaf(id) {
		return nil
	}
	e.ready = false // one press is enough
	e.print("SKERRY-SHUTDOWN")
	h.after(e, h.ShutdownTime, func() { h.stop(e, hypervisor.Stopped, "shutdown") })
	return nil
}

// Destroy implements hypervisor.Driver.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	if err := d.enter(ctx, "destroy", id); err != nil {
		return err
	}
	defer d.host.mu.Unlock()
	if e := d.host.domains[id]; e != nil {
		d.host.stop(e, hypervisor.Stopped, "destroyed")
	}
	return nil
}

// Remove implements hypervisor.Driver.
func (d *Driver) Remove(ctx context.Context, id string) error {
	if err := d.enter(ctx, "remove", id); err != nil {
		return err
	}
	defer d.host.mu.Unlock()
	e := d.host.domains[id]
	if e != nil && (e.state == hypervisor.Running || e.state == hypervisor.Paused) {
		return fmt.Errorf("hypervisor: domain %s is %s", id, e.state)
	}
	delete(d.host.domains, id)
	return nil
}

// Attach implements hypervisor.Driver.
func (d *Driver) Attach(ctx context.Context, id string, v hypervisor.Volume) error {
	if err := d.enter(ctx, "attach", id); err != nil {
		return err
	}
	defer d.host.mu.Unlock()
	e := d.host.domains[id]
	if e == nil || e.state != hypervisor.Running {
		return fmt.Errorf("hypervisor: attach to %s: %w", id, hypervisor.ErrNoDomain)
	}
	if _, has := e.volumes[v.Serial]; has {
		return nil
	}
	if n := len(e.def.Disks) + len(e.def.NICs) + len(e.volumes); n >= e.def.RootPorts {
		return fmt.Errorf("hypervisor: attach to %s: no port is free, %d are taken", id, n)
	}
	if e.volumes == nil {
		e.volumes = map[string]hypervisor.Volume{}
	}
	e.volumes[v.Serial] = v
	e.print("SKERRY-ATTACHED %s", v.Serial)
	d.host.poke()
	return nil
}

// Detach implements hypervisor.Driver.
func (d *Driver) Detach(ctx context.Context, id, serial string, force bool) error {
	if err := d.enter(ctx, "detach", id); err != nil {
		return err
	}
	h := d.host
	defer h.mu.Unlock()
	e := h.domains[id]
	if e == nil {
		return nil
	}
	if _, has := e.volumes[serial]; !has {
		return nil
	}
	if !force && h.faults.Mounted != nil && h.faults.Mounted(id, serial) {
		return fmt.Errorf("hypervisor: detach %s from %s: %w", serial, id, hypervisor.ErrInUse)
	}
	delete(e.volumes, serial)
	e.print("SKERRY-DETACHED %s", serial)
	h.poke()
	return nil
}

// Domains implements hypervisor.Driver.
func (d *Driver) Domains(ctx context.Context) ([]hypervisor.Status, error) {
	if err := d.enter(ctx, "domains", ""); err != nil {
		return nil, err
	}
	defer d.host.mu.Unlock()
	var out []hypervisor.Status
	for _, id := range slices.Sorted(maps.Keys(d.host.domains)) {
		e := d.host.domains[id]
		out = append(out, hypervisor.Status{ID: id, State: e.state, Generation: e.def.Generation, Reboots: e.def.Reboots, Boot: e.boot, Reason: e.reason,
			Volumes: slices.Sorted(maps.Keys(e.volumes))})
	}
	return out, nil
}

// Console implements hypervisor.Driver.
func (d *Driver) Console(ctx context.Context, id string, limit int) ([]byte, error) {
	if err := d.enter(ctx, "console", id); err != nil {
		return nil, err
	}
	defer d.host.mu.Unlock()
	e := d.host.domains[id]
	if e == nil {
		return nil, fmt.Errorf("hypervisor: console of %s: %w", id, hypervisor.ErrNoDomain)
	}
	return []byte(strings.Clone(string(e.console[max(0, len(e.console)-limit):]))), nil
}

// Pokes implements hypervisor.Driver.
func (d *Driver) Pokes() <-chan struct{} { return d.pokes }

// Close implements hypervisor.Driver. Domains stay.
func (d *Driver) Close() error {
	d.host.mu.Lock()
	defer d.host.mu.Unlock()
	delete(d.host.drivers, d)
	return nil
}
