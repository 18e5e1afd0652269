//go:build cgo

package libvirtd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"libvirt.org/go/libvirt"

	"skerry/compute-node/consoles"
	"skerry/compute-node/hypervisor"
	"skerry/compute-node/orphans"
)

// driver is libvirt on one root.
type driver struct {
	cfg   Config
	conn  *libvirt.Connect
	event int
	pokes chan struct{}

	startFor time.Duration // startFor, less in tests

	mu      sync.Mutex
	workers map[string]chan struct{} // one call at a time per domain
	lent    bool                     // our capabilities were given to others
}

var _ hypervisor.Driver = (*driver)(nil)

// eventLoop runs libvirt's events. libvirt wants it before the first
// connection and offers no way to end it, so it lives as long as the process.
var eventLoop = sync.OnceValue(func() error {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return err
	}
	go func() {
		for {
			if err := libvirt.EventRunDefaultImpl(); err != nil {
				time.Sleep(100 * time.Millisecond) // do not spin on an error that stays
			}
		}
	}()
	return nil
})

// Open opens the embedded driver on cfg.Root and finds the guests that run.
func Open(ctx context.Context, cfg Config) (hypervisor.Driver, error) {
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	if err := ensureAccount(ctx, cfg); err != nil {
		return nil, err
	}
	if err := eventLoop(); err != nil {
		return nil, fmt.Errorf("libvirtd: event loop: %w (install the Debian packages libvirt0 and libvirt-daemon-driver-qemu)", err)
	}
	cfg.borrowCapabilities()
	type opened struct {
		c   *libvirt.Connect
		err error
	}
	done := make(chan opened, 1)
	go func() {
		c, err := libvirt.NewConnect("qemu:///embed?root=" + cfg.Root)
		done <- opened{c, err}
	}()
	var o opened
	select {
	case o = <-done:
	case <-ctx.Done():
		go func() {
			if late := <-done; late.err == nil {
				late.c.Close()
			}
		}()
		return nil, fmt.Errorf("libvirtd: open %s: %w", cfg.Root, ctx.Err())
	}
	if o.err != nil {
		return nil, fmt.Errorf("libvirtd: open %s: %w (does another agent hold it? are the Debian packages libvirt0 and libvirt-daemon-driver-qemu installed?)", cfg.Root, o.err)
	}
	d := &driver{cfg: cfg, conn: o.c, pokes: make(chan struct{}, 1), workers: map[string]chan struct{}{}, startFor: startFor}
	var err error
	o.c.DomainEventDeviceRemovedRegister(nil, func(*libvirt.Connect, *libvirt.Domain, *libvirt.DomainEventDeviceRemoved) { d.poke() })
	d.event, err = o.c.DomainEventLifecycleRegister(nil, func(*libvirt.Connect, *libvirt.Domain, *libvirt.DomainEventLifecycle) { d.poke() })
	if err != nil {
		o.c.Close()
		return nil, fmt.Errorf("libvirtd: events: %w", err)
	}
	return d, nil
}

func (d *driver) poke() {
	select {
	case d.pokes <- struct{}{}:
	default:
	}
}

// call runs f for a domain, after the domain's earlier calls, and gives up
// waiting at the deadline. f then runs out by itself; the domain's next call
// waits for it.
func (d *driver) call(ctx context.Context, what, id string, f func() error) error {
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("libvirtd: %s %s: %w", what, id, err)
	}
	if err := ctx.Err(); err != nil {
		return wrap(err)
	}
	d.mu.Lock()
	turn := d.workers[id]
	if turn == nil {
		turn = make(chan struct{}, 1)
		d.workers[id] = turn
	}
	d.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return wrap(fmt.Errorf("an earlier call hangs: %w", ctx.Err()))
	}
	done := make(chan error, 1)
	go func() {
		err := f()
		<-turn
		done <- err
	}()
	select {
	case err := <-done:
		return wrap(err)
	case <-ctx.Done():
		return wrap(fmt.Errorf("libvirt did not answer: %w", ctx.Err()))
	}
}

// lookup returns the domain, nil when there is none.
func (d *driver) lookup(id string) (*libvirt.Domain, error) {
	uuid, err := hypervisor.UUID(id)
	if err != nil {
		return nil, nil // no such instance can exist
	}
	dom, err := d.conn.LookupDomainByUUIDString(uuid)
	if is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	return dom, err
}

func is(err error, code libvirt.ErrorNumber) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == code
}

// on runs f on a domain that exists.
func (d *driver) on(ctx context.Context, what, id string, f func(*libvirt.Domain) error) error {
	return d.call(ctx, what, id, func() error {
		dom, err := d.lookup(id)
		if err != nil || dom == nil {
			return err
		}
		defer dom.Free()
		return f(dom)
	})
}

// alive says whether the domain has a process.
func alive(dom *libvirt.Domain) (bool, error) {
	s, _, err := dom.GetState()
	if is(err, libvirt.ERR_NO_DOMAIN) {
		return false, nil
	}
	return s != libvirt.DOMAIN_SHUTOFF && s != libvirt.DOMAIN_CRASHED && s != libvirt.DOMAIN_NOSTATE, err
}

// Start implements hypervisor.Driver.
func (d *driver) Start(ctx context.Context, def hypervisor.Domain) error {
	if def.Root != nil {
		return fmt.Errorf("libvirt: %s: %w", def.ID, hypervisor.ErrNoVolumeRoot)
	}
	text, err := domainXML(def, d.cfg.Emulator, d.channel(def.ID))
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, d.startFor)
	defer cancel()
	var begun atomic.Bool
	err = d.call(soon, "start", def.ID, func() error {
		dom, err := d.lookup(def.ID)
		if err != nil {
			return err
		}
		if dom != nil {
			up, err := alive(dom)
			if err == nil && up && d.process(def.ID) == "" {
				up, err = ending(dom)
			}
			var b boot
			if err == nil && up {
				b, err = metadata(dom)
			}
			dom.Free()
			switch {
			case err != nil:
				return err
			case up && (b.Generation != def.Generation || b.Reboots != def.Reboots):
				return fmt.Errorf("it runs boot %d.%d, asked for %s", b.Generation, b.Reboots, def.Boot())
			case up:
				return nil
			}
		}
		dom, err = d.conn.DomainDefineXML(text)
		if err != nil {
			return fmt.Errorf("define: %w", err)
		}
		defer dom.Free()
		begun.Store(true)
		if err := dom.Create(); err != nil {
			// A guest that never ran must not be listed as one that crashed.
			return errors.Join(err, dom.Undefine())
		}
		return nil
	})
	if begun.Load() && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w (%s)", err, d.giveUp(def.ID))
	}
	if err == nil {
		d.mu.Lock()
		lend := !d.lent
		d.lent = true
		d.mu.Unlock()
		if lend {
			d.cfg.lendCapabilities()
		}
	}
	return err
}

// startFor is how long a guest's start may take, QEMU's opening of its disks and,
// once, libvirt's questions about its abilities included.
const startFor = 30 * time.Second

// giveUp ends the QEMU of a start that takes too long, so that libvirt's call
// comes back and the next one is not behind it, and says what it was seen doing.
func (d *driver) giveUp(id string) string {
	pid, _ := d.look(id)
	if pid == 0 {
		return "QEMU has not begun"
	}
	where, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
	seen := fmt.Sprintf("QEMU %d was in state %c at %q", pid, orphans.State(pid), where)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Sprintf("%s; killing it: %v", seen, err)
	}
	return seen + " and is killed"
}

// Shutdown implements hypervisor.Driver.
func (d *driver) Shutdown(ctx context.Context, id string) error {
	return d.on(ctx, "shutdown", id, func(dom *libvirt.Domain) error {
		err := dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
		if is(err, libvirt.ERR_OPERATION_INVALID) || is(err, libvirt.ERR_NO_DOMAIN) {
			return nil // it does not run, or is on its way down
		}
		return err
	})
}

// noticed is how long a domain may still be listed as running after its
// process ended, or after libvirt itself said that it is not running.
const noticed = 2 * time.Second

// Destroy implements hypervisor.Driver.
func (d *driver) Destroy(ctx context.Context, id string) error {
	return d.on(ctx, "destroy", id, func(dom *libvirt.Domain) error {
		err := dom.Destroy()
		if !is(err, libvirt.ERR_OPERATION_INVALID) && !is(err, libvirt.ERR_NO_DOMAIN) {
			return err
		}
		if up, e := ending(dom); e != nil || !up {
			return e
		}
		return err
	})
}

// ending waits until libvirt has seen the end of a domain that has none of its
// process left, and says whether it still lists it as running.
func ending(dom *libvirt.Domain) (bool, error) {
	for end := time.Now().Add(noticed); ; time.Sleep(20 * time.Millisecond) {
		up, err := alive(dom)
		if err != nil || !up || time.Now().After(end) {
			return up, err
		}
	}
}

// Remove implements hypervisor.Driver.
func (d *driver) Remove(ctx context.Context, id string) error {
	err := d.on(ctx, "remove", id, func(dom *libvirt.Domain) error {
		up, err := alive(dom)
		if err != nil {
			return err
		}
		if up {
			return errors.New("it runs")
		}
		err = dom.Undefine()
		if is(err, libvirt.ERR_NO_DOMAIN) {
			return nil
		}
		return err
	})
	return err
}

// channel is the socket of a guest's agent: short, as sockets must be.
func (d *driver) channel(id string) string { return filepath.Join(d.cfg.Root, "ga", id) }

// Attach implements hypervisor.Driver.
func (d *driver) Attach(ctx context.Context, id string, v hypervisor.Volume) error {
	found := false
	err := d.on(ctx, "attach to", id, func(dom *libvirt.Domain) error {
		found = true
		text, err := dom.GetXMLDesc(0)
		if err != nil {
			return err
		}
		have, dev, err := volumesOf(text)
		if _, has := have[v.Serial]; has || err != nil {
			return err
		}
		disk, err := volumeXML(v, dev)
		if err != nil {
			return err
		}
		return dom.AttachDeviceFlags(disk, libvirt.DOMAIN_DEVICE_MODIFY_LIVE)
	})
	if err == nil && !found {
		err = fmt.Errorf("libvirtd: attach to %s: %w", id, hypervisor.ErrNoDomain)
	}
	return err
}

// agentWait is how many seconds a guest has to answer. One without an agent
// cannot be asked, and is not waited for longer.
const agentWait = 2

// Detach implements hypervisor.Driver. Linux gives up a disk that is mounted:
// the guest is asked first, and one that cannot be asked decides by itself.
func (d *driver) Detach(ctx context.Context, id, serial string, force bool) error {
	return d.on(ctx, "detach from", id, func(dom *libvirt.Domain) error {
		text, err := dom.GetXMLDesc(0)
		if err != nil {
			return err
		}
		have, _, err := volumesOf(text)
		k, has := have[serial]
		if !has {
			return nil // gone, whatever else is wrong
		}
		if err != nil {
			d.cfg.Log.Debug("detach", "id", id, "err", err)
		}
		if !force {
			if answer, err := dom.QemuAgentCommand(`{"execute":"guest-get-fsinfo"}`, agentWait, 0); err == nil {
				if at, err := mountOf(answer, serial); err != nil || at != "" {
					return errors.Join(err, fmt.Errorf("%s on %s: %w", serial, at, hypervisor.ErrInUse))
				}
			}
		}
		disk, err := k.Marshal()
		if err != nil {
			return err
		}
		err = dom.DetachDeviceFlags(disk, libvirt.DOMAIN_DEVICE_MODIFY_LIVE)
		if is(err, libvirt.ERR_OPERATION_INVALID) || is(err, libvirt.ERR_NO_DOMAIN) || is(err, libvirt.ERR_DEVICE_MISSING) {
			return nil // it does not run, or let go meanwhile
		}
		return err
	})
}

// Domains implements hypervisor.Driver.
func (d *driver) Domains(ctx context.Context) ([]hypervisor.Status, error) {
	var out []hypervisor.Status
	err := d.call(ctx, "list", "", func() error {
		doms, err := d.conn.ListAllDomains(0)
		if err != nil {
			return err
		}
		var all []hypervisor.Status
		for i := range doms {
			s, err := d.status(&doms[i])
			doms[i].Free()
			if is(err, libvirt.ERR_NO_DOMAIN) || is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
				continue // gone meanwhile, or not ours
			}
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		slices.SortFunc(all, func(a, b hypervisor.Status) int { return strings.Compare(a.ID, b.ID) })
		out = all
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func metadata(dom *libvirt.Domain) (boot, error) {
	m, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, namespace, libvirt.DOMAIN_AFFECT_CURRENT)
	if err != nil {
		return boot{}, err
	}
	return parseBoot(m)
}

func (d *driver) status(dom *libvirt.Domain) (hypervisor.Status, error) {
	state, reason, err := dom.GetState()
	if err != nil {
		return hypervisor.Status{}, err
	}
	b, err := metadata(dom)
	if err != nil {
		return hypervisor.Status{}, err
	}
	s := hypervisor.Status{ID: b.Instance, Generation: b.Generation, Reboots: b.Reboots}
	switch state {
	case libvirt.DOMAIN_RUNNING, libvirt.DOMAIN_BLOCKED, libvirt.DOMAIN_SHUTDOWN:
		s.State = hypervisor.Running
	case libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PMSUSPENDED:
		s.State, s.Reason = hypervisor.Paused, "paused"
	case libvirt.DOMAIN_SHUTOFF:
		switch libvirt.DomainShutoffReason(reason) {
		case libvirt.DOMAIN_SHUTOFF_SHUTDOWN:
			s.State, s.Reason = hypervisor.Stopped, "the guest shut down"
		case libvirt.DOMAIN_SHUTOFF_DESTROYED:
			s.State, s.Reason = hypervisor.Stopped, "destroyed"
		case libvirt.DOMAIN_SHUTOFF_FAILED:
			s.State, s.Reason = hypervisor.Crashed, "QEMU could not start the guest or ended"
		case libvirt.DOMAIN_SHUTOFF_CRASHED:
			s.State, s.Reason = hypervisor.Crashed, "QEMU ended"
		default:
			s.State, s.Reason = hypervisor.Crashed, "the host restarted"
		}
	default:
		s.State, s.Reason = hypervisor.Crashed, "the guest crashed"
	}
	if s.Alive() {
		s.Boot = d.process(b.Instance)
		if s.Boot == "" {
			// libvirt may list a guest whose process is gone as running for a
			// second after it was opened.
			s.State, s.Reason = hypervisor.Crashed, "QEMU ended"
			return s, nil
		}
		text, err := dom.GetXMLDesc(0)
		if err != nil {
			return s, err
		}
		for _, m := range serials.FindAllStringSubmatch(text, -1) {
			s.Volumes = append(s.Volumes, m[1])
		}
		slices.Sort(s.Volumes)
	}
	return s, nil
}

// serials finds the volumes among a domain's disks: reading the whole XML for
// each look at the host would cost too much.
var serials = regexp.MustCompile(`<serial>(vol[0-9a-f]{17})</serial>`)

// process names the QEMU process of a domain, pid and start time, "" when it
// ended.
func (d *driver) process(id string) string {
	pid, started := d.look(id)
	if pid == 0 {
		return ""
	}
	return strconv.Itoa(pid) + "-" + started
}

// look finds the QEMU process of a domain and when it started, 0 when it ended.
func (d *driver) look(id string) (pid int, started string) {
	b, err := os.ReadFile(filepath.Join(d.cfg.Root, "run/qemu", id+".pid"))
	if err != nil {
		return 0, ""
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		return 0, ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	if started = startTime(string(stat)); started == "" {
		return 0, ""
	}
	return pid, started
}

// Console implements hypervisor.Driver.
func (d *driver) Console(ctx context.Context, id string, limit int) ([]byte, error) {
	var out []byte
	found := false
	err := d.on(ctx, "console of", id, func(dom *libvirt.Domain) error {
		found = true
		text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
		if err != nil {
			return err
		}
		file, err := consoleOf(text)
		if err != nil {
			return err
		}
		out, err = consoles.Read(file, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("libvirtd: console of %s: %w", id, hypervisor.ErrNoDomain)
	}
	return out, nil
}

// Pokes implements hypervisor.Driver.
func (d *driver) Pokes() <-chan struct{} { return d.pokes }

// Close implements hypervisor.Driver. Guests keep running.
func (d *driver) Close() error {
	d.conn.DomainEventDeregister(d.event)
	if _, err := d.conn.Close(); err != nil {
		return fmt.Errorf("libvirtd: close: %w", err)
	}
	return nil
}
