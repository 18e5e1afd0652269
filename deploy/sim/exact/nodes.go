package exact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/specs"
	"skerry/services/state"
)

// Kinds of nodes.
const (
	compute = "compute"
	network = "network"
	storage = "storage"
	gateway = "gateway"
)

// Capacity of each host: small, so that it runs out.
var capacity = events.Capacity{VCPUs: 6, MemoryMiB: 8 << 10, DiskGiB: 60}

// machine is what outlives the programs on it: guests, sessions, blocks.
type machine struct {
	w        *world
	id       events.HostID
	zone     events.Zone
	nodes    []*node
	guests   map[events.InstanceID]*guest
	volumes  map[events.VolumeID]uint64 // held, with the epoch
	shots    map[events.SnapshotID]bool
	publics  map[string]events.PublicSpec // that the gateway translates
	address  netip.Addr
	sessions map[events.AttachmentID]session // of guests here
}

// guest runs.
type guest struct {
	generation, reboots uint64
	alive               bool
}

// session is an attached volume, open at an epoch.
type session struct {
	volume   events.VolumeID
	instance events.InstanceID
	epoch    uint64
}

// node is one program on a machine.
type node struct {
	w      *world
	on     *machine
	kind   string
	boot   int
	up     bool
	joined bool
	deaf   bool // hears nothing
	mute   bool // is not heard
	slow   int  // does something every so many beats
	calls  map[string]*call
	newest uint64 // event number of the newest set it was given
	since  uint64 // a set must be at least as new
	bodies map[string]body
}

// pace is in how many beats a program looks once, by chance.
const pace = 8

// body is a spec as it was last seen.
type body struct {
	n uint64
	b json.RawMessage
}

func (w *world) addMachine(z, i int) *machine {
	m := &machine{w: w, id: events.HostID(fmt.Sprintf("%s-%d", zone(z), i+1)), zone: zone(z), guests: map[events.InstanceID]*guest{}, volumes: map[events.VolumeID]uint64{},
		shots: map[events.SnapshotID]bool{}, publics: map[string]events.PublicSpec{}, sessions: map[events.AttachmentID]session{},
		address: netip.AddrFrom4([4]byte{10, 0, byte(z), byte(i + 1)})}
	return m
}

func (m *machine) add(kinds ...string) {
	for _, k := range kinds {
		n := &node{w: m.w, on: m, kind: k, calls: map[string]*call{}, bodies: map[string]body{}, slow: pace}
		m.nodes = append(m.nodes, n)
		m.w.nodes = append(m.w.nodes, n)
	}
}

func (w *world) addHost(z, i int) { w.addMachine(z, i).add(compute, network, storage) }
func (w *world) addGateway(z int) { w.addMachine(z, 190).add(gateway) }

func (n *node) key() string    { return state.NodeKey(n.on.id, n.kind) }
func (n *node) bootID() string { return fmt.Sprintf("%s-%d", n.key(), n.boot) }

// start starts the program: it joins with a name of this start.
func (n *node) start() {
	n.boot++
	n.up, n.joined = true, false
	clear(n.calls)
	clear(n.bodies)
	n.report("join", n.join())
}

func (n *node) join() events.JoinNode {
	c := events.JoinNode{Host: n.on.id, Kind: n.kind, Zone: n.on.zone, Boot: n.bootID()}
	switch n.kind {
	case compute:
		c.Capacity = capacity
	case storage:
		c.Capacity = events.Capacity{DiskGiB: capacity.DiskGiB}
		c.Address = netip.AddrPortFrom(n.on.address, 3260).String()
	default:
		c.Address = n.on.address.String()
	}
	return c
}

// stop ends the program alone.
func (n *node) stop() { n.up, n.joined = false, false }

// powerCut ends programs, guests and sessions.
func (m *machine) powerCut() {
	for _, n := range m.nodes {
		n.stop()
	}
	for _, g := range m.guests {
		g.alive = false
	}
	clear(m.sessions)
	clear(m.publics)
}

// powerOn starts the programs that are down.
func (m *machine) powerOn() {
	for _, n := range m.nodes {
		if !n.up {
			n.start()
		}
	}
}

// report sends a command once, until it is answered. What it says is said again
// while the specs show that the region does not know.
func (n *node) report(what string, c events.Command) {
	if old := n.calls[what]; old != nil {
		return
	}
	boot := n.boot
	k := &call{stamped: events.Stamped{Stamp: n.w.stamp("node:"+n.key(), ""), Command: c}}
	k.answer = func(r events.Reply) {
		if n.boot != boot || !n.up || n.deaf {
			return
		}
		delete(n.calls, what)
		if what == "join" {
			n.joined = r.Fault == nil
			n.since = max(n.since, r.N)
		}
	}
	n.calls[what] = k
	n.send(k)
}

func (n *node) send(k *call) {
	k.sent = n.w.beat
	if !n.mute {
		n.w.ask(k)
	}
}

// step is a beat of the program.
func (n *node) step() {
	w := n.w
	if !n.up {
		return
	}
	if !n.mute {
		w.watch.heard(n)
	}
	for _, what := range sorted(n.calls) {
		if k := n.calls[what]; w.beat-k.sent > 20 {
			if k.answered { // the answer came while it heard nothing
				delete(n.calls, what)
				if what == "join" {
					n.report("join", n.join())
				}
				continue
			}
			n.send(k)
		}
	}
	if !n.joined || n.deaf || w.rng.IntN(n.slow) != 0 {
		return
	}
	v := w.view()
	if v == nil || v.Meta.N < n.since || v.Meta.N < n.newest {
		return // older than what it knows
	}
	n.newest = v.Meta.N
	switch n.kind {
	case compute:
		n.compute(v)
	case storage:
		n.storage(v)
	case network:
		n.set(v, []string{}) // is it known?
		for t := range v.TombstonesOn(n.on.id) {
			if t.Kind == events.SpecPort {
				n.report("removed "+t.ID, events.ReportRemoved{Host: n.on.id, Kind: t.Kind, ID: t.ID, Order: t.N})
			}
		}
	case gateway:
		n.gateway(v)
	}
}

// set is what the region says the node must be. While a spec has the same number
// it says the same.
func (n *node) set(v *state.View, only []string) []events.Spec {
	set, err := specs.Set(v, n.on.id, n.kind, only, specs.Closed{})
	if err != nil {
		n.w.fail("specs of %s: %v", n.key(), err)
	}
	if set.Boot != n.bootID() { // the join of another start came late
		n.joined = false
		n.report("join", n.join())
		return nil
	}
	for _, s := range set.Specs {
		if s.Tombstone {
			continue
		}
		key := string(s.Kind) + "/" + s.ID
		old, ok := n.bodies[key]
		switch {
		case ok && s.N < old.n:
			n.w.fail("spec %s of %s goes back from number %d to %d", key, n.key(), old.n, s.N)
		case ok && s.N == old.n && !bytes.Equal(old.b, s.Body) && !known(s.Kind):
			n.w.fail("spec %s of %s has the number %d with two bodies:\n%s\n%s", key, n.key(), s.N, old.b, s.Body)
		}
		n.bodies[key] = body{s.N, s.Body}
	}
	return set.Specs
}

// known says that specs of a kind tell the node what the region has heard, which
// changes without a number.
func known(k events.SpecKind) bool {
	switch k {
	case events.SpecInstance, events.SpecVolume, events.SpecSnapshot, events.SpecNAT:
		return true
	}
	return false
}

func read[T any](w *world, s events.Spec) (out T) {
	if err := json.Unmarshal(s.Body, &out); err != nil {
		w.fail("spec %s: %v", s.ID, err)
	}
	return out
}

func (n *node) compute(v *state.View) {
	m := n.on
	named := map[events.InstanceID]bool{}
	for _, s := range n.set(v, nil) {
		id := events.InstanceID(s.ID)
		named[id] = true
		if s.Tombstone {
			m.destroy(id)
			n.report("absent "+s.ID, events.ReportInstance{Host: m.id, Instance: id, Phase: events.PhaseAbsent, Order: s.N})
			continue
		}
		n.instance(read[events.InstanceSpec](n.w, s))
	}
	for _, id := range sorted(m.guests) {
		if !named[id] { // not told of, and not told to end: it says what it has
			if i, ok := v.Instances.Get(string(id)); !ok || i.Host != m.id || !i.Live() {
				n.report("stray "+string(id), events.ReportInstance{Host: m.id, Instance: id, Generation: m.guests[id].generation, Phase: events.PhaseRunning})
			}
		}
	}
}

// destroy ends a guest and closes its volumes.
func (m *machine) destroy(id events.InstanceID) {
	delete(m.guests, id)
	for a, s := range m.sessions {
		if s.instance == id {
			delete(m.sessions, a)
		}
	}
}

// instance makes a guest what its spec says.
func (n *node) instance(s events.InstanceSpec) {
	m, w := n.on, n.w
	g := m.guests[s.Instance]
	say := func(p events.Phase, detail string) {
		if s.Known != p {
			n.report(fmt.Sprintf("%s %s %d", p, s.Instance, s.Generation), events.ReportInstance{Host: m.id, Instance: s.Instance, Generation: s.Generation, Phase: p, Detail: detail})
		}
	}
	switch {
	case !s.Run:
		return
	case g == nil && s.Known == events.PhaseRunning, g != nil && !g.alive:
		say(events.PhaseCrashed, "the guest is gone")
		return
	case g == nil:
		w.judge.starts(m, s.Instance)
		m.guests[s.Instance] = &guest{generation: s.Generation, reboots: s.Reboots, alive: true}
		return // it is seen at the next look
	}
	g.reboots = s.Reboots
	say(events.PhaseRunning, "")
	granted := map[events.AttachmentID]bool{}
	for _, d := range s.Volumes {
		granted[d.Attachment] = true
		open, has := m.sessions[d.Attachment]
		report := func(p events.DiskPhase) {
			if d.Known != p {
				n.report(fmt.Sprintf("%s %s", p, d.Attachment), events.ReportDisk{Host: m.id, Instance: s.Instance, Volume: d.Volume, Attachment: d.Attachment, Phase: p})
			}
		}
		switch {
		case d.Detach:
			delete(m.sessions, d.Attachment)
			report(events.DiskReleased)
		case has && open.epoch == d.Epoch:
			report(events.DiskAttached)
		default:
			if w.judge.opens(d.Volume, d.Epoch) {
				m.sessions[d.Attachment] = session{d.Volume, s.Instance, d.Epoch}
			}
		}
	}
	for a, open := range m.sessions {
		if open.instance == s.Instance && !granted[a] {
			delete(m.sessions, a)
		}
	}
}

func (n *node) storage(v *state.View) {
	m := n.on
	for _, s := range n.set(v, nil) {
		switch {
		case s.Kind == events.SpecVolume && s.Tombstone:
			delete(m.volumes, events.VolumeID(s.ID))
			n.report("absent "+s.ID, events.ReportVolume{Host: m.id, Volume: events.VolumeID(s.ID), Boot: n.bootID(), Phase: events.VolumeAbsent})
		case s.Kind == events.SpecSnapshot && s.Tombstone:
			delete(m.shots, events.SnapshotID(s.ID))
			n.report("absent "+s.ID, events.ReportSnapshot{Host: m.id, Snapshot: events.SnapshotID(s.ID), Phase: events.SnapshotAbsent})
		case s.Kind == events.SpecVolume:
			n.volume(read[events.VolumeSpec](n.w, s))
		case s.Kind == events.SpecSnapshot:
			x := read[events.SnapshotSpec](n.w, s)
			m.shots[x.Snapshot] = true
			if x.Known != events.SnapshotReady {
				n.report("shot "+s.ID, events.ReportSnapshot{Host: m.id, Snapshot: x.Snapshot, Phase: events.SnapshotReady})
			}
		}
	}
}

// volume holds a volume at its epoch: who has it open at an older one is cut off.
func (n *node) volume(s events.VolumeSpec) {
	m := n.on
	if s.Boot != n.bootID() {
		return // for another start of this program
	}
	held, has := m.volumes[s.Volume]
	switch {
	case !has && s.Known != events.VolumeNone && s.KnownEpoch > 0:
		n.w.fail("%s lost %s", n.key(), s.Volume)
	case s.Epoch < held:
		n.w.fail("the epoch of %s goes back from %d to %d", s.Volume, held, s.Epoch)
	}
	m.volumes[s.Volume] = s.Epoch
	if s.Known != events.VolumeReady || s.KnownEpoch != s.Epoch || s.KnownRevision != s.Revision {
		n.report(fmt.Sprintf("ready %s %d %d", s.Volume, s.Epoch, s.Revision), events.ReportVolume{Host: m.id, Volume: s.Volume, Epoch: s.Epoch, Boot: s.Boot, Phase: events.VolumeReady, Revision: s.Revision})
	}
}

func (n *node) gateway(v *state.View) {
	m := n.on
	only := []string{}
	for a := range v.Addresses.All() {
		only = append(only, a)
	}
	for t := range v.TombstonesOn(m.id) {
		only = append(only, t.ID)
	}
	for g := range v.NATGateways.All() {
		only = append(only, g)
	}
	for _, s := range n.set(v, only) {
		switch {
		case s.Kind == events.SpecPublic && s.Tombstone:
			delete(m.publics, s.ID)
			n.report("removed "+s.ID, events.ReportRemoved{Host: m.id, Kind: s.Kind, ID: s.ID, Order: s.N})
		case s.Kind == events.SpecPublic:
			m.publics[s.ID] = read[events.PublicSpec](n.w, s)
		case s.Kind == events.SpecNAT && !s.Tombstone:
			if x := read[events.NATSpec](n.w, s); !x.Known {
				n.report("nat "+s.ID, events.ReportNATGateway{Gateway: x.Gateway, Host: m.id, Ready: true})
			}
		}
	}
}

func sorted[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
