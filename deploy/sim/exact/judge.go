package exact

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

var (
	errSequence = errors.New("wrong last sequence")
	errHistory  = errors.New("no such event")
)

// judge keeps books of its own about what the events say, and about what the
// machines really have, and compares at each event.
type judge struct {
	w       *world
	records []events.Record // the history
	meta    state.Meta      // after the last entry that any voter applied
	kinds   map[string]int
	acted   map[events.CommandID]bool
	alive   [3][]events.InstanceID // by account, not asked to end

	placed map[events.InstanceID]placed
	used   map[events.HostID]events.Need
	names  map[string]events.InterfaceID   // subnet/address and MACs: who has them
	of     map[events.InterfaceID][]string // the names of each
}

type placed struct {
	host events.HostID
	need events.Need
}

func newJudge(w *world) *judge {
	return &judge{w: w, kinds: map[string]int{}, acted: map[events.CommandID]bool{}, placed: map[events.InstanceID]placed{}, used: map[events.HostID]events.Need{},
		names: map[string]events.InterfaceID{}, of: map[events.InterfaceID][]string{}}
}

// history is the voters' history.
func (j *judge) history(first uint64, most int) ([]events.Record, error) {
	if first == 0 || first > uint64(len(j.records)) {
		return nil, errHistory
	}
	return j.records[first-1 : min(int(first)-1+most, len(j.records))], nil
}

// entry looks at what an entry of the log did, with the state after it.
func (j *judge) entry(v *state.View, s events.Stamped, reply events.Reply) {
	w := j.w
	before := j.meta
	j.meta = v.Meta
	if v.Meta.Time.Before(before.Time) {
		w.fail("region time goes back from %v to %v", before.Time, v.Meta.Time)
	}
	if len(reply.Events) == 0 {
		if v.Meta.N != before.N {
			w.fail("%s made events and does not say so", events.Name(s.Command))
		}
		return
	}
	if j.acted[s.Stamp.ID] {
		w.fail("%s %s acted twice: event %d", events.Name(s.Command), s.Stamp.ID, reply.First)
	}
	j.acted[s.Stamp.ID] = true
	var changed []events.InterfaceID
	for _, r := range reply.Events {
		if n := uint64(len(j.records)); r.N != n+1 || n > 0 && r.Prev != j.records[n-1].Hash {
			w.fail("event %d follows event %d", r.N, n)
		}
		j.records = append(j.records, r)
		j.kinds[events.Name(r.Event)]++
		if w.o.Log != nil {
			fmt.Fprintf(w.o.Log, "%6d %d %s %s\n", w.beat, r.N, r.Actor, events.Line(r.Event))
		}
		j.record(v, r)
		switch e := r.Event.(type) {
		case events.InterfaceCreated:
			changed = append(changed, e.Interface.ID)
		case events.InterfaceDeleted:
			changed = append(changed, e.ID)
		case events.InterfaceAddressesAssigned:
			changed = append(changed, e.ID)
		case events.InterfaceAddressesUnassigned:
			changed = append(changed, e.ID)
		}
	}
	j.interfaces(v, changed)
	for _, h := range sorted(j.used) {
		if u := j.used[h]; u.VCPUs > capacity.VCPUs || u.MemoryMiB > capacity.MemoryMiB || u.DiskGiB > capacity.DiskGiB {
			w.fail("event %d: the instances on %s need %+v, it has %+v", v.Meta.N, h, u, capacity)
		}
	}
}

// record looks at one event.
func (j *judge) record(v *state.View, r events.Record) {
	w := j.w
	switch e := r.Event.(type) {
	case events.InstanceRequested:
		for i, a := range w.accounts {
			if a == e.Account {
				j.alive[i] = append(j.alive[i], e.ID)
			}
		}
	case events.InstanceTerminationRequested:
		for i := range j.alive {
			if at := slices.Index(j.alive[i], e.Instance); at >= 0 {
				j.alive[i] = slices.Delete(j.alive[i], at, at+1)
			}
		}
	case events.InstancePlaced:
		if p, twice := j.placed[e.Instance]; twice {
			w.fail("event %d places %s on %s, it is on %s", r.N, e.Instance, e.Host, p.host)
		}
		i, _ := v.Instances.Get(string(e.Instance))
		j.placed[e.Instance] = placed{e.Host, i.Need}
		j.use(e.Host, i.Need, 1)
	case events.InstanceTerminated:
		j.leaves(e.Instance)
		for i := range j.alive {
			if at := slices.Index(j.alive[i], e.Instance); at >= 0 {
				j.alive[i] = slices.Delete(j.alive[i], at, at+1)
			}
		}
	case events.InstanceStopped:
		j.leaves(e.Instance)
	case events.AddressAllocated:
		j.rested(r.N, e.Address)
	case events.PublicAddressAssigned:
		j.rested(r.N, e.Address)
	}
}

func (j *judge) use(h events.HostID, n events.Need, sign int) {
	u := j.used[h]
	u.VCPUs += sign * n.VCPUs
	u.MemoryMiB += sign * n.MemoryMiB
	u.DiskGiB += sign * n.DiskGiB
	j.used[h] = u
}

func (j *judge) leaves(id events.InstanceID) {
	if p, ok := j.placed[id]; ok {
		j.use(p.host, p.need, -1)
		delete(j.placed, id)
	}
}

// rested says that no gateway serves an address that is given to somebody.
func (j *judge) rested(n uint64, a netip.Addr) {
	for _, m := range j.w.machines() {
		if s, serves := m.publics[a.String()]; serves {
			j.w.fail("event %d gives %v while %s serves it for %s", n, a, m.id, s.Interface)
		}
	}
}

// interfaces checks that nobody has what another one has.
func (j *judge) interfaces(v *state.View, changed []events.InterfaceID) {
	for _, id := range changed {
		for _, name := range j.of[id] {
			if j.names[name] == id {
				delete(j.names, name)
			}
		}
		delete(j.of, id)
	}
	for _, id := range changed {
		f, ok := v.Interfaces.Get(string(id))
		if !ok || j.of[id] != nil {
			continue
		}
		names := []string{f.Interface.MAC}
		for _, a := range f.Addresses() {
			names = append(names, string(f.Interface.Subnet)+"/"+a.String())
		}
		for _, name := range names {
			if o, taken := j.names[name]; taken {
				j.w.fail("event %d: %s and %s both have %s", v.Meta.N, o, id, name)
			}
			j.names[name] = id
		}
		j.of[id] = names
	}
}

// answered compares an acknowledgement with the history.
func (j *judge) answered(c *call, r events.Reply) {
	if r.Fault != nil || r.First == 0 {
		return
	}
	for n := r.First; n <= r.Last; n++ {
		if n > uint64(len(j.records)) || j.records[n-1].Cause != c.stamped.Stamp.ID && c.stamped.Stamp.ClientToken == "" {
			j.w.fail("%s %s was acknowledged with event %d, which is not its own", events.Name(c.stamped.Command), c.stamped.Stamp.ID, n)
		}
	}
}

func (w *world) machines() []*machine {
	var out []*machine
	for _, n := range w.nodes {
		if len(out) == 0 || out[len(out)-1] != n.on {
			out = append(out, n.on)
		}
	}
	return out
}

// starts checks that a guest which starts runs nowhere else.
func (j *judge) starts(m *machine, id events.InstanceID) {
	for _, o := range j.w.machines() {
		if g := o.guests[id]; g != nil && g.alive && o != m {
			j.w.fail("%s starts on %s and runs on %s", id, m.id, o.id)
		}
	}
}

// opens says whether the storage node of a volume lets a session in: at its
// epoch, one at a time.
func (j *judge) opens(id events.VolumeID, epoch uint64) bool {
	for _, m := range j.w.machines() {
		held, has := m.volumes[id]
		if !has || held != epoch || !m.program(storage).up {
			continue
		}
		for _, o := range j.w.machines() {
			for a, s := range o.sessions {
				if s.volume == id && s.epoch == epoch {
					j.w.fail("two write to %s at epoch %d: %s of %s is one", id, epoch, a, s.instance)
				}
			}
		}
		return true
	}
	return false
}

func (m *machine) program(kind string) *node {
	for _, n := range m.nodes {
		if n.kind == kind {
			return n
		}
	}
	return nil
}

// sweep looks at everything once all is quiet.
func (w *world) sweep() {
	v := w.leading()
	digest := v.Digest()
	for _, o := range w.voters {
		if o.tx.Meta.Index != v.Meta.Index || o.tx.Digest() != digest {
			w.fail("voter %d has another state at entry %d", o.i, o.tx.Meta.Index)
		}
	}
	w.remade(v)
	for _, a := range w.accounts {
		var runs, held state.Sum
		for i := range v.InstancesOf(a) {
			if i.Live() && i.State != state.Stopped {
				runs.Rows, runs.Weight = runs.Rows+1, runs.Weight+i.Shape.VCPUs
			}
		}
		for x := range v.VolumesOf(a) {
			held.Rows, held.Weight = held.Rows+1, held.Weight+x.SizeGiB
		}
		if runs != v.Runs(a) || held != v.Held(a) {
			w.fail("%s runs %+v and holds %+v, the tallies say %+v and %+v", a, runs, held, v.Runs(a), v.Held(a))
		}
	}
	for i, r := range w.stream.records {
		if r.Hash != w.judge.records[i].Hash {
			w.fail("the stream holds another event %d", i+1)
		}
	}
	for _, m := range w.machines() {
		w.sweepMachine(v, m)
	}
	for a := range v.Addresses.All() {
		w.sweepAddress(v, a)
	}
}

// remade makes the state once more from the history alone.
func (w *world) remade(v *state.View) {
	tx := state.New()
	for _, r := range w.judge.records {
		tx.Apply(r)
	}
	a, b := reflect.ValueOf(v).Elem(), reflect.ValueOf(&tx.View).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if slices.Contains([]string{"Meta", "Commands", "Tokens"}, name) {
			continue
		}
		if have, want := rows(b.Field(i)), rows(a.Field(i)); have != want {
			w.fail("the history makes other %s: %x in place of %x", name, have[:4], want[:4])
		}
	}
}

// rows is the hash of a table.
func rows(table reflect.Value) (sum events.Hash) {
	h := sha256.New()
	all := table.MethodByName("All").Call(nil)[0]
	for k, v := range all.Seq2() {
		h.Write([]byte(k.String()))
		h.Write(events.Encode(v.Elem().Interface()))
	}
	h.Sum(sum[:0])
	return sum
}

func (w *world) sweepMachine(v *state.View, m *machine) {
	if m.program(compute) == nil {
		return
	}
	for i := range v.InstancesOn(m.id) {
		g := m.guests[i.ID]
		if i.State == state.Running && (g == nil || !g.alive || g.generation != i.Generation || g.reboots != i.Reboots) {
			w.fail("%s should run on %s at start %d: %+v", i.ID, m.id, i.Generation, g)
		}
	}
	for id, g := range m.guests {
		if i, ok := v.Instances.Get(string(id)); !ok || i.Host != m.id || i.State != state.Running {
			w.fail("%s runs %s (%+v) and should not", m.id, id, g)
		}
	}
	open := map[events.VolumeID]int{}
	for a, s := range m.sessions {
		x, ok := v.Volumes.Get(string(s.volume))
		if !ok || x.Attachment == nil || x.Attachment.ID != a || x.Epoch != s.epoch {
			w.fail("%s has %s open as %s at epoch %d, and should not: %+v", m.id, s.volume, a, s.epoch, x)
		}
		open[s.volume]++
	}
	for x := range v.VolumesOn(m.id) {
		if held, has := m.volumes[x.ID]; !has || held != x.Epoch {
			w.fail("%s holds %s at epoch %d, not %d", m.id, x.ID, held, x.Epoch)
		}
	}
	for id := range m.volumes {
		if x, ok := v.Volumes.Get(string(id)); !ok || x.Host != m.id {
			w.fail("%s holds %s, which is not its own any more", m.id, id)
		}
	}
	for x := range v.SnapshotsOn(m.id) {
		if x.State == state.SnapshotCompleted && !m.shots[x.ID] {
			w.fail("%s does not hold %s", m.id, x.ID)
		}
	}
	for id := range m.shots {
		if _, ok := v.Snapshots.Get(string(id)); !ok {
			w.fail("%s holds %s, which is no more", m.id, id)
		}
	}
}

// sweepAddress checks that gateways agree about an address, and that one of them
// answers for it where somebody does.
func (w *world) sweepAddress(v *state.View, a string) {
	var best events.PublicSpec
	announcers := 0
	for _, m := range w.machines() {
		s, ok := m.publics[a]
		if !ok || m.program(gateway) == nil {
			continue
		}
		if row, ok := v.Addresses.Get(a); !ok || row.Interface != s.Interface || row.Private != s.Private {
			w.fail("%s leads %s to %s, and should lead it to %+v", m.id, a, s.Interface, row)
		}
		if s.Announce {
			announcers++
		}
		if s.Epoch >= best.Epoch {
			best = s
		}
	}
	if announcers > 1 {
		w.fail("%d gateways answer for %s", announcers, a)
	}
}
