package exact

import (
	"fmt"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/scheduler/place"
	"skerry/services/door"
	"skerry/services/outbox"
	"skerry/services/state"
)

// What the region starts with.
var (
	public = netip.MustParsePrefix("198.18.0.0/26")
	images = []events.Image{
		{ID: "aki-linux", Name: "kernel", Location: "amazon/kernel", Type: "kernel", Architecture: "x86_64", File: events.ImageFile{Name: "vmlinuz", Bytes: 1}},
		{ID: "ari-linux", Name: "ramdisk", Location: "amazon/ramdisk", Type: "ramdisk", Architecture: "x86_64", File: events.ImageFile{Name: "initrd", Bytes: 1}},
		{ID: image, Name: "linux", Location: "amazon/linux", Type: "machine", Architecture: "x86_64", Virtualization: "paravirtual", Kernel: "aki-linux", Ramdisk: "ari-linux",
			RootDevice: "/dev/sda1", RootDeviceType: "instance-store", File: events.ImageFile{Name: "root", Bytes: 1}},
	}
)

const image events.ImageID = "ami-linux"

// scheduler proposes places, from a view that may be old.
type scheduler struct {
	away bool
	last *call
}

func (s *scheduler) step(w *world) {
	if s.last != nil {
		w.again(s.last)
		return
	}
	if s.away || w.rng.IntN(3) != 0 {
		return
	}
	v := w.view()
	if v == nil {
		return
	}
	now := door.Scheduling(v)
	var c events.Command
	switch {
	case len(now.Volumes) > 0 && w.rng.IntN(2) == 0:
		stores := place.Stores(now.Stores)
		var p events.PlaceVolumes
		for _, x := range now.Volumes {
			if at := stores.Place(now.N, x); at.Host != "" {
				p.Placements = append(p.Placements, at)
			}
		}
		if len(p.Placements) > 0 {
			c = p
		}
	case len(now.Unplaced) > 0:
		hosts := place.New(now.Hosts)
		p := events.PlaceInstances{Basis: now.N}
		wrong := w.rng.IntN(8) == 0 // the region believes no proposal
		for _, x := range now.Unplaced {
			at := hosts.Place(now.N, x)
			for _, h := range now.Hosts {
				if wrong && h.Zone == x.Zone && h.Free.VCPUs < x.Need.VCPUs {
					at.Host = h.Host
				}
			}
			p.Placements = append(p.Placements, at)
		}
		c = p
	}
	if c == nil {
		return
	}
	s.last = &call{stamped: events.Stamped{Stamp: w.stamp("scheduler", ""), Command: c}, answer: func(events.Reply) { s.last = nil }}
	w.ask(s.last)
}

// watch is the leader's eye on nodes and deadlines.
type watch struct {
	at map[string]seen
}

type seen struct {
	beat int
	boot string
}

// silence is how long a node may say nothing.
const silence = 60

// term begins a leader's term: it gives everybody time to speak.
func (x *watch) term(w *world) {
	x.at = map[string]seen{}
	for _, n := range w.nodes {
		x.at[n.key()] = seen{w.beat, n.bootID()}
	}
}

func (x *watch) heard(n *node) {
	if x.at == nil {
		x.at = map[string]seen{}
	}
	x.at[n.key()] = seen{n.w.beat, n.bootID()}
}

func (x *watch) step(w *world) {
	v := w.leading()
	if v == nil || w.beat%20 != 0 {
		return
	}
	propose := func(c events.Command) {
		w.arrive(&call{stamped: events.Stamped{Stamp: w.stamp("region", ""), Command: c}, answer: func(events.Reply) {}})
	}
	if due, ok := v.NextDeadline(); ok && w.now.After(due) {
		propose(events.Tick{})
	}
	for _, z := range v.Zones.All() {
		var silent []events.NodeKey
		all, whole := 0, 0
		for n := range v.NodesOf(z.Zone) {
			all++
			at := x.at[n.Key()]
			k := events.NodeKey{Host: n.Host, Kind: n.Kind}
			switch quiet := w.beat-at.beat > silence; {
			case quiet:
				whole++
				if !n.Lost {
					silent = append(silent, k)
				}
			case n.Lost:
				propose(events.ReportNodeBack{Node: k, Boot: at.boot})
			}
		}
		if len(silent) > 0 {
			propose(events.ReportNodeLost{Zone: z.Zone, Nodes: silent, Whole: whole == all})
		}
	}
}

// stream takes an event at its number and no other.
type stream struct {
	records []events.Record // by number-1
	away    bool
	at      uint64 // where the leader believes that it ends
}

func (s *stream) term() { s.at = uint64(len(s.records)) }

// lose destroys the stream: the next one is made again from the history.
func (s *stream) lose() { s.records, s.at = nil, 0 }

// publish is the leader's outbox. The answer of the stream is lost now and then.
func (w *world) publish() {
	s := &w.stream
	if w.leader < 0 || s.away {
		return
	}
	n := w.voters[w.leader].tx.Meta.N
	at, err := outbox.Advance(s.at, n, w.judge.history, func(records []events.Record) error {
		for _, r := range records {
			if r.N != uint64(len(s.records))+1 {
				return errSequence
			}
			s.records = append(s.records, r)
			if w.loss > 0 && w.rng.IntN(200) == 0 {
				return errSequence // its answer
			}
		}
		return nil
	})
	s.at = at
	if err == errSequence {
		s.at = uint64(len(s.records)) // it looks again
	} else if err != nil {
		w.fail("%v", err)
	}
}

// unsettled names something that is still on its way.
func (w *world) unsettled() string {
	v := w.leading()
	if v == nil {
		return "no leader"
	}
	for _, x := range w.voters {
		if !x.up() || x.applied+1 != w.first+uint64(len(w.log)) {
			return "a voter is behind"
		}
	}
	for _, c := range w.clients {
		if c.hand != nil {
			return "a client waits for " + events.Name(c.hand.stamped.Command)
		}
	}
	if len(w.operator) > 0 {
		return "an operator waits"
	}
	for _, n := range v.Nodes.All() {
		if n.Lost {
			return n.Key() + " is lost"
		}
	}
	for _, i := range v.Instances.All() {
		if root, ok := v.RootOf(i); ok && i.State == state.Pending && root.Host == "" && w.full(v, root) {
			continue // its root volume waits for room
		}
		if !slices.Contains([]string{state.Running, state.Stopped, state.Terminated}, i.State) {
			return string(i.ID) + " is " + i.State
		}
	}
	for k := range v.Tombstones.All() {
		return "the tombstone " + k + " is left"
	}
	for _, x := range v.Volumes.All() {
		if x.Host == "" && w.full(v, x) {
			continue
		}
		if x.Host == "" || x.Confirmed != x.Epoch || x.State != state.VolumeAvailable && x.State != state.VolumeInUse ||
			x.Attachment != nil && x.Attachment.State != state.Attached {
			if x.Attachment == nil || !stopped(v, x.Attachment.Instance) || x.Confirmed != x.Epoch {
				return fmt.Sprintf("volume %s is %s on '%s', epoch %d, confirmed %d, %+v", x.ID, x.State, x.Host, x.Epoch, x.Confirmed, x.Attachment)
			}
		}
	}
	for _, s := range v.Snapshots.All() {
		if s.State == state.SnapshotPending && s.Host != "" || s.State == state.SnapshotDeleting {
			return string(s.ID) + " is " + s.State
		}
	}
	for _, f := range v.Interfaces.All() {
		if f.Detaching && w.level >= events.LevelEnds { // before, it stayed so when its instance stopped
			return string(f.Interface.ID) + " is detaching"
		}
	}
	for _, g := range v.NATGateways.All() {
		if g.State == state.NATPending {
			return string(g.ID) + " is pending"
		}
	}
	if uint64(len(w.stream.records)) != v.Meta.N {
		return "the stream is behind"
	}
	return ""
}

// full says that a volume has to wait for room, which another one may have grown
// into in a region that was formed at an early level.
func (w *world) full(v *state.View, x *state.Volume) bool {
	if w.level >= events.LevelEnds {
		return false
	}
	for s := range v.StoresOf(x.Zone) {
		if free, up := v.FreeGiB(s); up && free >= x.SizeGiB {
			return false
		}
	}
	return true
}

func stopped(v *state.View, id events.InstanceID) bool {
	i, ok := v.Instances.Get(string(id))
	return ok && i.State == state.Stopped
}

// expires is when a call of a client is no longer wanted.
func (w *world) expires(s events.Stamp) events.Stamp {
	s.Expires = w.expiry()
	return s
}
