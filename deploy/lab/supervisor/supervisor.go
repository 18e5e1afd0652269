package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
	"skerry/deploy/lab/wire"
	"skerry/internal/config"
)

// Patience of the supervisor.
const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 15 * time.Second
	steadyAfter  = 10 * time.Second // a program that ran this long starts without delay
	stopGrace    = 10 * time.Second // from SIGTERM to SIGKILL
	leftGrace    = 2 * time.Second  // the same for what an earlier supervisor left
	logsEvery    = time.Minute
)

// Supervisor runs the programs of one region.
type Supervisor struct {
	region *lab.Region
	bin    string // directory of the programs
	log    *slog.Logger

	wire     *wire.Wire // nil with Memory
	forward  *forwarder
	programs []*program
	byPID    map[int]*program
	faults   []Fault
	nextID   int
	effects  effects
	since    time.Time
	phase    phase
	leaving  []chan Reply
}

// phase is how far the end has come.
type phase int

const (
	serving phase = iota
	endingNodes
	endingControl
	ended
)

// program is one process.
type program struct {
	lab.Program
	pid      int
	since    time.Time
	next     time.Time // not before
	restarts int
	last     string
	backoff  *backoff.ExponentialBackOff
	killAt   time.Time // a polite restart becomes SIGKILL
}

// New is a supervisor of a region whose files are written. bin is where the
// programs are.
func New(r *lab.Region, bin string, log *slog.Logger) *Supervisor {
	s := &Supervisor{region: r, bin: bin, log: log, byPID: map[int]*program{}, since: time.Now(), nextID: 1}
	s.forward = newForwarder(r, log)
	for _, p := range r.Programs() {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval = firstBackoff, lastBackoff
		s.programs = append(s.programs, &program{Program: p, backoff: b})
	}
	if r.Hypervisor == lab.QEMU {
		s.wire = Wire(r)
	}
	return s
}

// Wire is the network of a region with namespaces.
func Wire(r *lab.Region) *wire.Wire {
	w := &wire.Wire{Tag: r.Tag(), Zones: r.AZs, Outside: r.Outside()}
	for _, h := range r.Plan() {
		w.Hosts = append(w.Hosts, wire.Host{Name: h.Name, Namespace: r.Namespace(h.Name), Zone: h.Zone, Index: h.Index, Addr: h.Addr, Outside: h.Gateway()})
	}
	return w
}

// Run supervises until it is told to end, by the control socket or by ctx. The
// programs end with it, guests do not.
func (s *Supervisor) Run(ctx context.Context) error {
	l, err := lock(s.region.Path("supervisor.lock"))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := becomeSubreaper(); err != nil {
		return err
	}
	if err := s.takeOver(ctx); err != nil {
		return err
	}
	control, err := listenControl(s.region.Control())
	if err != nil {
		return err
	}
	defer control.Close()

	// The helpers end after the loop: clients are served to the last.
	helpers, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for key, api := range map[string]bool{"api": true, "bus": false} {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.region.Ports[key]))
		if err != nil {
			return fmt.Errorf("supervisor: %s port: %w", key, err)
		}
		defer ln.Close()
		wg.Go(func() { s.forward.serve(helpers, ln, api) })
	}
	// Files of another user's region could not be asked: the socket is its owner's.
	regions, err := listenControl(s.region.Asked())
	if err != nil {
		return err
	}
	defer regions.Close()
	wg.Go(func() { s.forward.serve(helpers, regions, true) })
	ask := make(chan asked)
	wg.Go(func() { s.forward.watch(helpers) })
	wg.Go(func() { serveControl(helpers, control, ask) })
	defer control.Close()
	return s.loop(ctx, ask)
}

// takeOver clears the stage: programs of an earlier supervisor end, guests and
// their namespaces stay, faults that are not due yet go on.
func (s *Supervisor) takeOver(ctx context.Context) error {
	left := remains.Of(remains.Processes(s.region), remains.Program)
	if len(left) > 0 {
		s.log.Info("taking over", "programs", len(left))
	}
	if err := remains.End(ctx, s.region, left, leftGrace); err != nil {
		return err
	}
	if s.wire != nil {
		if err := s.wire.Ensure(); err != nil {
			return err
		}
	}
	faults, err := loadFaults(s.region)
	if err != nil {
		// An unreadable file must not keep the region down: all is healed.
		s.log.Error("faults forgotten", "error", err)
	}
	s.faults = faults
	for _, f := range faults {
		s.nextID = max(s.nextID, f.ID+1)
	}
	s.expire(time.Now())
	return s.apply(ctx)
}

func (s *Supervisor) loop(ctx context.Context, ask <-chan asked) error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	logs := time.NewTicker(logsEvery)
	defer logs.Stop()
	done := ctx.Done()
	for {
		reap(s.childEnded)
		now := time.Now()
		if s.expire(now) {
			if err := s.apply(ctx); err != nil {
				s.log.Error("heal", "error", err)
			}
		}
		wake := s.step(now)
		if s.phase == ended {
			for _, c := range s.leaving {
				c <- Reply{}
			}
			return nil
		}
		timer := time.NewTimer(wake)
		select {
		case <-children:
		case <-timer.C:
		case <-logs.C:
			for _, p := range s.programs {
				if err := cutLog(p.Log); err != nil {
					s.log.Error("cut log", "node", p.Host.Name, "kind", p.Kind, "error", err)
				}
			}
		case a := <-ask:
			s.handle(ctx, a)
		case <-done:
			done = nil
			s.leave()
		}
		timer.Stop()
	}
}

// step brings every program one step nearer to what it should be, and answers
// how long nothing more will be due.
func (s *Supervisor) step(now time.Time) time.Duration {
	wake := time.Hour
	soon := func(t time.Time) { wake = min(wake, max(0, t.Sub(now))) }
	alive := map[bool]int{}
	for _, p := range s.programs {
		control := p.Host.Index == 0
		held := s.effects.held[p.Name()]
		switch {
		case p.pid != 0:
			alive[control]++
			if held {
				s.signal(p, syscall.SIGKILL)
			}
			if !p.killAt.IsZero() {
				if !now.Before(p.killAt) {
					s.signal(p, syscall.SIGKILL)
				} else {
					soon(p.killAt)
				}
			}
		case s.phase != serving || held:
		case now.Before(p.next):
			soon(p.next)
		default:
			s.start(p, now)
			if p.pid == 0 {
				soon(p.next)
			}
		}
	}
	if s.phase == endingNodes && alive[false] == 0 {
		s.phase = endingControl
		s.end(true)
	}
	if s.phase == endingControl && alive[true] == 0 {
		s.phase = ended
	}
	for _, f := range s.faults {
		soon(f.Until)
	}
	return wake
}

func (s *Supervisor) start(p *program, now time.Time) {
	namespace := ""
	if s.wire != nil {
		namespace = s.region.Namespace(p.Host.Name)
	}
	path := filepath.Join(s.bin, p.Binary)
	pid, err := spawn(namespace, path, []string{path, "-config", p.Config}, p.Log)
	if err != nil {
		p.last, p.next = err.Error(), now.Add(p.backoff.NextBackOff())
		s.log.Error("start", "node", p.Host.Name, "kind", p.Kind, "error", err)
		return
	}
	p.pid, p.since = pid, now
	s.byPID[pid] = p
	s.log.Info("started", "node", p.Host.Name, "kind", p.Kind, "pid", pid)
}

// childEnded is called for every process that ended: a program, or an orphan
// that became ours.
func (s *Supervisor) childEnded(pid int, ws syscall.WaitStatus) {
	p := s.byPID[pid]
	if p == nil {
		return
	}
	delete(s.byPID, pid)
	if p.Kind == config.Services {
		s.forward.suspect(p.Host.AZ)
	}
	now := time.Now()
	asked := !p.killAt.IsZero()
	p.pid, p.last, p.killAt = 0, exitWords(ws), time.Time{}
	if now.Sub(p.since) >= steadyAfter || asked {
		p.backoff.Reset()
	}
	switch {
	case s.phase != serving:
	case asked:
		p.next = now // an end that was asked for is no failure
	default:
		p.restarts++
		p.next = now.Add(p.backoff.NextBackOff())
	}
	s.log.Info("ended", "node", p.Host.Name, "kind", p.Kind, "pid", pid, "how", p.last)
}

func (s *Supervisor) signal(p *program, sig syscall.Signal) {
	// The pid is ours until reap has seen it end.
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.log.Error("signal", "node", p.Host.Name, "kind", p.Kind, "error", err)
	}
}

// expire drops faults whose lease has run out.
func (s *Supervisor) expire(now time.Time) bool {
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool {
		over := !now.Before(f.Until)
		if over {
			s.log.Info("healed", "fault", f.String(), "why", "its time is over")
		}
		return over
	})
	return len(s.faults) != before
}

// apply makes the faults in force hold, and no others.
func (s *Supervisor) apply(ctx context.Context) error {
	was := s.effects
	s.effects = plan(s.region, s.faults)
	err := saveFaults(s.region, s.faults)
	if s.wire != nil {
		err = errors.Join(err, s.wire.Cut(s.effects.cuts))
		if !maps.Equal(was.cuts.Hosts, s.effects.cuts.Hosts) {
			s.forward.suspect("")
		}
	}
	for _, p := range s.programs {
		switch held := s.effects.held[p.Name()]; {
		case held && p.pid != 0:
			s.signal(p, syscall.SIGKILL)
		case !held && was.held[p.Name()]:
			p.backoff.Reset()
			p.next = time.Time{}
		}
	}
	// A host without power has no guests: they end when the light goes out, and
	// any that an agent was just starting ends before the light comes back.
	var guests []remains.Process
	for _, g := range remains.Of(remains.Processes(s.region), remains.Guest) {
		if s.effects.dark[g.Host] || was.dark[g.Host] {
			guests = append(guests, g)
		}
	}
	return errors.Join(err, remains.End(ctx, s.region, guests, 0))
}

func (s *Supervisor) handle(ctx context.Context, a asked) {
	switch a.Verb {
	case VerbDown:
		s.leaving = append(s.leaving, a.reply)
		s.faults = nil
		if err := saveFaults(s.region, nil); err != nil {
			s.log.Error("faults", "error", err)
		}
		s.leave()
	default:
		rep, err := s.answer(ctx, a.Request)
		if err != nil {
			rep.Error = err.Error()
		}
		a.reply <- rep
	}
}

func (s *Supervisor) answer(ctx context.Context, req Request) (Reply, error) {
	switch req.Verb {
	case VerbStatus:
		return Reply{Status: s.status()}, nil
	case VerbFail:
		if req.Fault == nil {
			return Reply{}, errors.New("fail: which fault?")
		}
		return s.fail(ctx, *req.Fault, req.For)
	case VerbHeal:
		return s.heal(ctx, req.ID)
	case VerbKill, VerbRestart:
		i := slices.IndexFunc(s.programs, func(p *program) bool { return p.Name() == req.Name })
		if i < 0 {
			_, err := s.region.FindProgram(req.Name)
			return Reply{}, err
		}
		p := s.programs[i]
		if p.pid == 0 {
			return Reply{}, fmt.Errorf("%s is not running (%s)", req.Name, s.describe(p).State)
		}
		if req.Verb == VerbKill {
			s.signal(p, syscall.SIGKILL)
		} else {
			s.signal(p, syscall.SIGTERM)
			p.killAt = time.Now().Add(stopGrace)
		}
		return Reply{}, nil
	case VerbFormed:
		if s.region.Formed {
			return Reply{}, nil
		}
		// From here on a voter that lost its data waits for the others instead
		// of forming a group of its own.
		s.region.Formed = true
		return Reply{}, s.region.Write()
	}
	return Reply{}, fmt.Errorf("there is no verb %q", req.Verb)
}

func (s *Supervisor) fail(ctx context.Context, f Fault, lease time.Duration) (Reply, error) {
	if s.phase != serving {
		return Reply{}, errors.New("the region is going down")
	}
	if lease == 0 {
		lease = DefaultLease
	}
	if lease < 0 || lease > MaxLease {
		return Reply{}, fmt.Errorf("a fault lasts up to %v, not %v", MaxLease, lease)
	}
	if err := f.check(s.region); err != nil {
		return Reply{}, err
	}
	f.ID, f.Since = s.nextID, time.Now()
	f.Until = f.Since.Add(lease)
	s.nextID++
	s.faults = append(s.faults, f)
	s.log.Info("fault", "fault", f.String(), "for", lease)
	return Reply{Fault: &f}, s.apply(ctx)
}

func (s *Supervisor) heal(ctx context.Context, id int) (Reply, error) {
	var healed []Fault
	s.faults = slices.DeleteFunc(s.faults, func(f Fault) bool {
		if id != 0 && f.ID != id {
			return false
		}
		healed = append(healed, f)
		s.log.Info("healed", "fault", f.String(), "why", "asked to")
		return true
	})
	if id != 0 && len(healed) == 0 {
		return Reply{}, fmt.Errorf("there is no fault %d; `skerry status` lists them", id)
	}
	return Reply{Healed: healed}, s.apply(ctx)
}

func (s *Supervisor) status() *Status {
	st := &Status{PID: os.Getpid(), Since: s.since, Stopping: s.phase != serving, Faults: slices.Clone(s.faults), Zones: s.forward.status()}
	for _, p := range s.programs {
		st.Programs = append(st.Programs, s.describe(p))
	}
	return st
}

func (s *Supervisor) describe(p *program) Program {
	out := Program{Name: p.Name(), State: Running, PID: p.pid, Since: p.since, Restarts: p.restarts, LastExit: p.last}
	if p.pid == 0 {
		out.State, out.Next, out.Since = Waiting, p.next, time.Time{}
		if s.effects.held[p.Name()] {
			out.State, out.Next = Held, time.Time{}
		}
	}
	return out
}

// leave begins the end: nodes first, so that they can still tell the region,
// then the control planes.
func (s *Supervisor) leave() {
	if s.phase == serving {
		s.phase = endingNodes
		s.end(false)
	}
}

// end asks the control planes, or all else, to end.
func (s *Supervisor) end(control bool) {
	deadline := time.Now().Add(stopGrace)
	for _, p := range s.programs {
		isControl := p.Kind == config.Services || p.Kind == config.Scheduler
		if p.pid != 0 && isControl == control {
			s.signal(p, syscall.SIGTERM)
			p.killAt = deadline
		}
	}
}
