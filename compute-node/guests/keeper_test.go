package guests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/memory"
	"skerry/events"
)

// region is the little of a region that a keeper sees: specs out, reports in.
type region struct {
	mu      sync.Mutex
	n       uint64
	specs   map[string]events.Spec
	bodies  map[string]events.InstanceSpec
	heard   []string // "id phase detail", without repeats
	reports int
	deaf    bool // reports are lost
	k       *Keeper
}

func newRegion() *region {
	return &region{specs: map[string]events.Spec{}, bodies: map[string]events.InstanceSpec{}}
}

func spec(id string) events.InstanceSpec {
	return events.InstanceSpec{
		Instance: events.InstanceID(id), Run: true, Generation: 1,
		Shape: events.Shape{Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, RootGiB: 1, EphemeralGiB: []int{1}},
		Root:  events.ImageFile{Format: "raw"},
	}
}

// put changes one spec and sends the set, complete.
func (r *region) put(s events.InstanceSpec) {
	r.mu.Lock()
	body, _ := json.Marshal(s)
	r.n++
	id := string(s.Instance)
	r.bodies[id] = s
	r.specs[id] = events.Spec{Kind: events.SpecInstance, ID: id, N: r.n, Body: body}
	r.mu.Unlock()
	r.send()
}

func (r *region) kill(id string) {
	r.mu.Lock()
	r.n++
	r.specs[id] = events.Spec{Kind: events.SpecInstance, ID: id, N: r.n, Tombstone: true}
	r.mu.Unlock()
	r.send()
}

func (r *region) send() {
	r.mu.Lock()
	var all []events.Spec
	for _, s := range r.specs {
		all = append(all, s)
	}
	n, k := r.n, r.k
	r.mu.Unlock()
	if k != nil {
		k.Want(n, all, true)
	}
}

// Report implements Reporter as the region's decide does.
func (r *region) Report(_ context.Context, c events.Command) error {
	r.mu.Lock()
	r.reports++
	if r.deaf {
		r.mu.Unlock()
		return errors.New("no leader")
	}
	if d, ok := c.(events.ReportDisk); ok {
		r.disk(d)
		return nil
	}
	rep := c.(events.ReportInstance)
	id := string(rep.Instance)
	line := strings.TrimSpace(fmt.Sprintf("%s %s %s", id, rep.Phase, rep.Detail))
	if len(r.heard) == 0 || r.heard[len(r.heard)-1] != line {
		r.heard = append(r.heard, line)
	}
	if rep.Phase == events.PhaseAbsent {
		delete(r.specs, id)
		delete(r.bodies, id)
		r.mu.Unlock()
		r.send()
		return nil
	}
	s := r.bodies[id]
	s.Known = rep.Phase
	r.mu.Unlock()
	r.put(s)
	return nil
}

// disk hears of a volume: an attachment is known from then on, one that ended
// leaves the spec. mu is held, and let go.
func (r *region) disk(d events.ReportDisk) {
	r.heard = append(r.heard, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", d.Instance, d.Volume, d.Phase, d.Detail)))
	s := r.bodies[string(d.Instance)]
	s.Volumes = slices.Clone(s.Volumes)
	for i := range s.Volumes {
		if s.Volumes[i].Volume == d.Volume {
			s.Volumes[i].Known = d.Phase
			if d.Phase == events.DiskReleased || d.Phase == events.DiskFailed {
				s.Volumes = slices.Delete(s.Volumes, i, i+1)
			}
			break
		}
	}
	r.mu.Unlock()
	r.put(s)
}

func (r *region) said(line string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.heard, func(h string) bool { return strings.HasPrefix(h, line) })
}

// bench is a host in memory under a keeper.
type bench struct {
	t     *testing.T
	host  *memory.Host
	store *Memory
	r     *region
	k     *Keeper
	stop  func()
	opt   Options
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, host: &memory.Host{BootTime: 2 * time.Second, ShutdownTime: 300 * time.Millisecond}, store: NewMemory(), r: newRegion()}
	b.start()
	return b
}

// start runs an agent on the host.
func (b *bench) start() {
	drv := b.host.Open()
	b.opt.Host = "h1"
	k := New(drv, b.store, b.r, b.opt)
	b.k = k
	b.r.mu.Lock()
	b.r.k = k
	b.r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
		drv.Close()
	}
	b.r.send()
}

func (b *bench) domains() map[string]hypervisor.Status {
	d := b.host.Open()
	defer d.Close()
	all, err := d.Domains(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]hypervisor.Status{}
	for _, s := range all {
		out[s.ID] = s
	}
	return out
}

func (b *bench) within(limit time.Duration, what string, cond func() bool) {
	b.t.Helper()
	end := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(end) {
			b.t.Fatalf("not within %v: %s\nheard: %q\ndomains: %+v\nconditions: %q", limit, what, b.r.heard, b.domains(), b.k.Conditions())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func bubble(t *testing.T, f func(*testing.T, *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer func() { b.stop() }()
		f(t, b)
	})
}

const one, two = "i-00000000000000001", "i-00000000000000002"

func TestLifeOfAGuest(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		s := spec(one)
		b.r.put(s)
		b.within(time.Second, "running", func() bool { return b.r.said(one + " running") })
		first := b.domains()[one]
		time.Sleep(5 * time.Second)
		if out, err := b.k.Console(t.Context(), one, 100); err != nil || !strings.Contains(string(out), "SKERRY-READY") {
			t.Fatalf("console %q %v", out, err)
		}
		passes, acted := b.k.Passes()
		time.Sleep(time.Minute)
		if p, a := b.k.Passes(); a != acted || p == passes {
			t.Fatalf("a quiet host acted: %d then %d in %d passes", acted, a, p-passes)
		}

		s.Reboots, s.Known = 1, events.PhaseRunning
		b.r.put(s)
		b.within(5*time.Second, "rebooted", func() bool { d := b.domains()[one]; return d.Alive() && d.Reboots == 1 })
		if d := b.domains()[one]; d.Boot == first.Boot {
			t.Fatalf("the same boot: %+v", d)
		}
		b.r.mu.Lock()
		heard := slices.Clone(b.r.heard)
		b.r.mu.Unlock()
		if !slices.Equal(heard, []string{one + " running"}) {
			t.Fatalf("a reboot was reported as %q", heard)
		}

		time.Sleep(5 * time.Second)
		b.host.PowerOff(one)
		b.within(time.Second, "told", func() bool { return b.r.said(one + " stopped shutdown") })
		time.Sleep(time.Minute)
		if d := b.domains()[one]; d.Alive() {
			t.Fatalf("a guest that turned itself off runs again: %+v", d)
		}

		b.r.kill(one)
		b.within(time.Second, "gone", func() bool { return b.r.said(one+" absent") && len(b.domains()) == 0 })
		if rs, _ := b.store.Records(t.Context()); len(rs) != 0 {
			t.Fatalf("left %v", rs)
		}
	})
}

func TestTerminateIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		for _, id := range []string{one, two} {
			b.r.put(spec(id))
		}
		b.within(time.Second, "both run", func() bool { return b.r.said(one+" running") && b.r.said(two+" running") })
		time.Sleep(3 * time.Second)
		b.host.SetFaults(memory.Faults{Deaf: func(id string) bool { return id == two }})
		begun := time.Now()
		b.r.kill(one)
		b.r.kill(two)
		b.within(time.Second, "the one that listens is gone", func() bool { return b.r.said(one + " absent") })
		b.within(5*time.Second, "the deaf one is gone", func() bool { return b.r.said(two + " absent") })
		t.Logf("deaf guest gone after %v", time.Since(begun))
	})
}

func TestAgentRestartsAndAdopts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.r.put(spec(one))
		b.within(time.Second, "running", func() bool { return b.r.said(one + " running") })
		first := b.domains()[one].Boot
		b.stop()
		time.Sleep(time.Minute) // nobody is there; the guest runs
		b.start()
		time.Sleep(10 * time.Second)
		if d := b.domains()[one]; d.Boot != first || !d.Alive() {
			t.Fatalf("after the agent came back: %+v, had boot %s", d, first)
		}
		// One that died while nobody looked is told.
		b.stop()
		b.host.Crash(one)
		b.start()
		b.within(3*time.Second, "the crash is told", func() bool { return b.r.said(one + " crashed") })
	})
}

func TestNothingIsTouchedWithoutACompleteSet(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.r.put(spec(one))
		b.within(time.Second, "running", func() bool { return b.r.said(one + " running") })
		b.stop()
		b.r.mu.Lock()
		b.r.k = nil // the region does not answer
		b.r.mu.Unlock()

		drv := b.host.Open()
		defer drv.Close()
		b.opt.Host = "h1"
		k := New(drv, b.store, b.r, b.opt)
		k.Want(9, []events.Spec{{Kind: events.SpecInstance, ID: one, N: 9, Tombstone: true}}, false)
		for range 5 {
			if err := k.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		if d := b.domains()[one]; !d.Alive() {
			t.Fatalf("destroyed without a manifest: %+v", d)
		}
		// A complete set that does not name the guest is no order either.
		k.Want(10, nil, true)
		for range 5 {
			k.Pass(t.Context())
			time.Sleep(3 * time.Second)
		}
		h, err := k.Have(t.Context())
		if err != nil || !b.domains()[one].Alive() {
			t.Fatalf("absence destroyed: %v", err)
		}
		if !slices.Contains(h.Orphans, "domain "+one) || !slices.Contains(h.Orphans, "files "+one) {
			t.Fatalf("orphans %q", h.Orphans)
		}
		b.start()
	})
}

func TestAnOlderSpecIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		s := spec(one)
		b.r.put(s)
		b.within(time.Second, "running", func() bool { return b.r.said(one + " running") })
		b.k.Want(1, []events.Spec{{Kind: events.SpecInstance, ID: one, N: 0, Tombstone: true}}, true)
		time.Sleep(10 * time.Second)
		if !b.domains()[one].Alive() {
			t.Fatal("an older tombstone was followed")
		}
	})
}

func TestFailuresAreToldInWords(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.host.SetFaults(memory.Faults{RefuseStart: errors.New("no such machine type")})
		b.r.put(spec(one))
		b.within(10*time.Second, "told", func() bool { return b.r.said(one + " failed") })
		b.r.mu.Lock()
		last := b.r.heard[len(b.r.heard)-1]
		b.r.mu.Unlock()
		if !strings.Contains(last, "no such machine type") {
			t.Fatalf("said %q", last)
		}
		if c := b.k.Conditions(); len(c) != 1 || !strings.Contains(c[0], "no such machine type") {
			t.Fatalf("conditions %q", c)
		}
		// The tombstone that follows finds files and no domain.
		b.host.SetFaults(memory.Faults{})
		b.r.kill(one)
		b.within(time.Second, "gone", func() bool { return b.r.said(one + " absent") })

		b.store.Refuse(errors.New("the host's disk is full"))
		b.r.put(spec(two))
		b.within(10*time.Second, "told", func() bool { return b.r.said(two + " failed") })
		b.store.Refuse(nil)

		// The work was done and the answer was lost: the guest runs, and that is
		// what is told.
		b.host.SetFaults(memory.Faults{AfterStart: errors.New("monitor closed"), LostEvents: true})
		three := "i-00000000000000003"
		b.r.put(spec(three))
		b.within(5*time.Second, "running", func() bool { return b.r.said(three + " running") })
	})
}

func TestLostReportsRepeat(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.r.mu.Lock()
		b.r.deaf = true
		b.r.mu.Unlock()
		b.r.put(spec(one))
		time.Sleep(30 * time.Second)
		b.r.mu.Lock()
		tries := b.r.reports
		b.r.deaf = false
		b.r.mu.Unlock()
		if tries < 10 || tries > 120 {
			t.Fatalf("%d reports in 30 s without an answer", tries)
		}
		b.within(3*time.Second, "heard", func() bool { return b.r.said(one + " running") })
	})
}

func TestOneHangingGuestHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.host.SetFaults(memory.Faults{Hang: func(verb, id string) bool { return verb == "start" && id == one }})
		b.r.put(spec(one))
		time.Sleep(100 * time.Millisecond)
		b.r.put(spec(two))
		b.within(3*time.Second, "the other runs", func() bool { return b.r.said(two + " running") })
		b.within(4*time.Minute, "the hanging one is told", func() bool { return b.r.said(one + " failed") })
	})
}

func TestAnUnreadableSpecIsACondition(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.k.Want(5, []events.Spec{
			{Kind: events.SpecInstance, ID: one, N: 5, Body: []byte(`{"instance":"` + two + `"}`)},
			{Kind: events.SpecInstance, ID: two, N: 5, Body: []byte(`{"run":7}`)},
		}, true)
		time.Sleep(3 * time.Second)
		if c := b.k.Conditions(); len(c) != 2 || !strings.Contains(c[0], one) || !strings.Contains(c[1], two) {
			t.Fatalf("conditions %q", c)
		}
	})
}

func TestThousands(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		const n = 1000
		b.r.mu.Lock()
		for i := range n {
			s := spec(fmt.Sprintf("i-%017x", i))
			body, _ := json.Marshal(s)
			b.r.specs[string(s.Instance)] = events.Spec{Kind: events.SpecInstance, ID: string(s.Instance), N: 1, Body: body}
			b.r.bodies[string(s.Instance)] = s
		}
		b.r.k = nil // it answers once, not a thousand times a thousand
		b.r.mu.Unlock()
		var all []events.Spec
		for _, s := range b.r.specs {
			all = append(all, s)
		}
		b.k.Want(1, all, true)
		end := time.Now().Add(time.Minute)
		for len(b.domains()) < n && time.Now().Before(end) {
			time.Sleep(time.Second)
		}
		if got := len(b.domains()); got != n {
			t.Fatalf("%d domains", got)
		}
		if got, want := b.k.ChargedMiB(), n*(128+60+32); got != want {
			t.Fatalf("charged %d MiB, want %d", got, want)
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"instance":"i-00000000000000001","run":true,"generation":1}`))
	f.Add([]byte(`{"instance":"i-00000000000000001","shape":{"rootGiB":-1,"ephemeralGiB":[0,99999]},"root":{"name":"../x","sha256":"zz"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		k := New(nil, NewMemory(), nil, Options{})
		k.Want(1, []events.Spec{{Kind: events.SpecInstance, ID: one, N: 1, Body: body}}, true)
		for id, w := range k.wants() {
			plan(map[events.InstanceID]want{id: w}, nil, time.Unix(0, 0))
			domain(w.Spec, Files{}, hypervisor.TCG).Check()
		}
	})
}

// blocks is a way to volumes that may be closed.
type blocks struct {
	mu     sync.Mutex
	disks  []events.DiskSpec
	closed bool
	probes int
}

func (b *blocks) Set(d []events.DiskSpec) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disks = d
}

func (b *blocks) Probe(_ context.Context, d events.DiskSpec) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probes++
	if b.closed {
		return errors.New("no answer from " + d.Portal.String())
	}
	return nil
}

func (b *blocks) Impatient(events.VolumeID) func() { return func() {} }
func (b *blocks) Problems() []string               { return nil }

func (b *blocks) set(closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = closed
}

func (b *blocks) reachable() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.disks)
}

// A volume comes to a guest once its storage node answers, stays while it is
// mounted, leaves when the guest lets go, and stays reachable for a guest that
// shuts down.
func TestVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, host: &memory.Host{BootTime: 2 * time.Second, ShutdownTime: 5 * time.Second}, store: NewMemory(), r: newRegion()}
		way := &blocks{closed: true}
		b.opt.Blocks = way
		b.start()
		defer func() { b.stop() }()
		const id = "i-0aaaaaaaaaaaaaaa1"
		const vol, serial = "vol-0bbbbbbbbbbbbbbb1", "vol0bbbbbbbbbbbbbbb1"
		s := spec(id)
		b.r.put(s)
		b.within(10*time.Second, "the guest runs", func() bool { return b.r.said(id + " running") })

		disk := events.DiskSpec{Volume: vol, Attachment: "attach-1", Epoch: 2, Device: "/dev/xvdf", Serial: serial}
		change := func(f func(*events.InstanceSpec)) {
			b.r.mu.Lock()
			s := b.r.bodies[id]
			s.Volumes = slices.Clone(s.Volumes)
			f(&s)
			b.r.mu.Unlock()
			b.r.put(s)
		}
		has := func() bool { return slices.Contains(b.domains()[id].Volumes, serial) }
		change(func(s *events.InstanceSpec) { s.Volumes = []events.DiskSpec{disk} })
		b.within(10*time.Second, "the way is probed", func() bool { way.mu.Lock(); defer way.mu.Unlock(); return way.probes >= 3 })
		if has() || way.reachable() != 1 {
			t.Fatal("a disk that does not answer was given to the guest, or the relay does not know it")
		}
		if !slices.ContainsFunc(b.k.Conditions(), func(c string) bool { return strings.Contains(c, "no answer") }) {
			t.Errorf("conditions %q", b.k.Conditions())
		}
		way.set(false)
		b.within(40*time.Second, "the guest has it", func() bool { return has() && b.r.said(id+" "+vol+" attached") })

		b.host.SetFaults(memory.Faults{Mounted: func(string, string) bool { return true }})
		change(func(s *events.InstanceSpec) { s.Volumes[0].Detach = true })
		b.within(10*time.Second, "it is said to be mounted", func() bool {
			return slices.ContainsFunc(b.k.Conditions(), func(c string) bool { return strings.Contains(c, "mounted") })
		})
		time.Sleep(20 * time.Second)
		if !has() || b.r.said(id+" "+vol+" released") {
			t.Fatal("a mounted volume was taken, or said to be free")
		}
		// The next agent does not forget it.
		b.stop()
		b.start()
		time.Sleep(10 * time.Second)
		if !has() {
			t.Fatal("a mounted volume was taken after a restart of the agent")
		}
		b.host.SetFaults(memory.Faults{})
		b.within(10*time.Second, "it is released", func() bool { return !has() && b.r.said(id+" "+vol+" released") })

		// Shut by force: no spec names it any more.
		disk.Attachment = "attach-2"
		change(func(s *events.InstanceSpec) { s.Volumes = []events.DiskSpec{disk} })
		b.within(10*time.Second, "the guest has it again", has)
		b.host.SetFaults(memory.Faults{Mounted: func(string, string) bool { return true }})
		change(func(s *events.InstanceSpec) { s.Volumes = nil })
		b.within(10*time.Second, "it is taken by force", func() bool { return !has() })
	})
}
