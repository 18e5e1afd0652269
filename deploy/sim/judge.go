package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"skerry/compute-node/hypervisor"
	"skerry/events"
	"skerry/events/bus"
	"skerry/services/state"
)

// Witness follows the events as any consumer does.
type Witness struct {
	part *part
	each func(events.Record) // called with each; set before the first

	mu      sync.Mutex
	records []events.Record
}

// Watch starts a witness at event 0, on a port of its own.
func (r *Region) Watch() *Witness {
	w := &Witness{}
	r.watchFences(w)
	client, err := bus.Connect(bus.Options{Region: Name, Name: "witness", Server: r.Bus.Port(), Log: r.log})
	if err != nil {
		r.T.Fatal(err)
	}
	w.part = r.start(func(ctx context.Context) {
		defer client.Close()
		at := bus.Cursor{}
		for ctx.Err() == nil {
			err := client.Follow(ctx, at, func(rec events.Record) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.records = append(w.records, rec)
				w.each(rec)
				at = bus.Cursor{N: rec.N, Hash: rec.Hash}
				return nil
			})
			if ctx.Err() == nil {
				r.T.Errorf("seed %d: the witness lost the thread after event %d: %v", r.o.Seed, at.N, err)
				return
			}
		}
	})
	return w
}

// Journal is what callers of the region know.
type Journal interface {
	// Acked are the acknowledged commands, and the longest time between two.
	Acked() ([]Ack, time.Duration)
}

// behind is how long a voter may take to catch up. Raft waits for up to ten
// seconds between two attempts with one that did not answer, and needs several
// where a snapshot has to go over.
const behind = time.Minute

// Judge heals nothing: with every zone up and healed it waits until the region
// has settled, and checks what must hold of it.
func (r *Region) Judge(w *Witness, clients ...Journal) {
	r.T.Helper()
	r.Settle()
	leader := r.WaitLeader(nil)

	// Replicas agree, in state and in history.
	view := leader.Voter().View()
	for _, z := range r.Zones {
		r.Within(behind, z.Name+" has caught up", func() bool {
			v := z.Voter().View()
			return v.Meta.Index >= view.Meta.Index
		})
	}
	r.Within(behind, "all voters have the same state", func() bool {
		a := r.Zones[0].Voter().View()
		for _, z := range r.Zones[1:] {
			v := z.Voter().View()
			if v.Meta.Index != a.Meta.Index || v.Digest() != a.Digest() {
				return false
			}
		}
		return true
	})
	view = leader.Voter().View()
	history := r.history(leader, view.Meta.N)
	for _, z := range r.Zones {
		if z == leader {
			continue
		}
		for i, rec := range r.history(z, view.Meta.N) {
			if rec.Hash != history[i].Hash {
				r.T.Errorf("seed %d: event %d differs between %s and %s", r.o.Seed, rec.N, z.Name, leader.Name)
				break
			}
		}
	}

	// The history is gap-free and chained, and makes the state again.
	var prev events.Hash
	again := state.New()
	causes := map[events.CommandID][]uint64{}
	for i, rec := range history {
		if rec.N != uint64(i)+1 || rec.Prev != prev {
			r.T.Fatalf("seed %d: the history breaks at event %d", r.o.Seed, i+1)
		}
		prev = rec.Hash
		r.rested(again, rec)
		again.Apply(rec)
		causes[rec.Cause] = append(causes[rec.Cause], rec.N)
	}
	if a, b := again.Instances.Len(), view.Instances.Len(); a != b {
		r.T.Errorf("seed %d: the history makes %d instances, the state has %d", r.o.Seed, a, b)
	}

	// Nothing acknowledged is missing, nothing acted twice.
	for _, c := range clients {
		acked, _ := c.Acked()
		for _, a := range acked {
			ns := causes[a.ID]
			switch {
			case a.First == 0 && len(ns) == 0:
			case len(ns) == 0:
				r.T.Errorf("seed %d: acknowledged %s %s is not in the history", r.o.Seed, a.Name, a.ID)
			case ns[0] != a.First || ns[len(ns)-1] != a.Last || uint64(len(ns)) != a.Last-a.First+1:
				r.T.Errorf("seed %d: %s %s was acknowledged as events %d to %d and made %v", r.o.Seed, a.Name, a.ID, a.First, a.Last, ns)
			}
		}
	}
	for id, ns := range causes {
		for i := range ns[1:] {
			if ns[i+1] != ns[i]+1 {
				r.T.Errorf("seed %d: command %s acted twice: %v", r.o.Seed, id, ns)
				break
			}
		}
	}

	r.judgeState(view)
	r.judgeGuests(view)
	r.judgeVolumes(view)
	r.judgeNetwork(view)
	through, stopped := r.judgePackets(view)
	r.T.Logf("packets: %d came through, %d were stopped", through, stopped)
	r.judgeStream(history)
	if w != nil {
		r.judgeWitness(w, history)
	}
}

// rested checks that a public address is given only when every gateway has let
// go of it.
func (r *Region) rested(before *state.Tx, rec events.Record) {
	var a netip.Addr
	switch e := rec.Event.(type) {
	case events.AddressAllocated:
		a = e.Address
	case events.PublicAddressAssigned:
		a = e.Address
	default:
		return
	}
	if before.Owed(events.SpecPublic, a.String()) {
		r.T.Errorf("seed %d: event %d gives %v while a gateway may still serve it", r.o.Seed, rec.N, a)
	}
}

// history is what a voter holds of the first n events, once it has filled the
// hole that a snapshot left: a leader may have one as well.
func (r *Region) history(z *Zone, n uint64) []events.Record {
	r.T.Helper()
	r.Within(30*time.Second, z.Name+" holds the whole history", func() bool {
		_, missing, err := z.Voter().History().Missing(n + 1)
		return err == nil && !missing
	})
	var out []events.Record
	for uint64(len(out)) < n {
		page, err := z.Voter().History().Range(uint64(len(out))+1, int(n)-len(out))
		if err != nil || len(page) == 0 {
			r.T.Fatalf("seed %d: %s: history after %d: %v", r.o.Seed, z.Name, len(out), err)
		}
		out = append(out, page...)
	}
	return out
}

// Settle waits until everything is where it ends up.
func (r *Region) Settle() {
	r.T.Helper()
	left := ""
	defer func() {
		if left != "" {
			r.T.Logf("unsettled: %s", left)
		}
	}()
	r.Within(90*time.Second, "everything is where it ends up", func() bool {
		if left = r.unsettled(); left != "" {
			time.Sleep(200 * time.Millisecond) // a look is dear
		}
		return left == ""
	})
}

// unsettled names something that is still on its way, or nothing.
func (r *Region) unsettled() string {
	z := r.Leader()
	if z == nil {
		return "no leader"
	}
	v := z.Voter().View()
	for _, n := range v.Nodes.All() {
		if n.Lost {
			return "node " + n.Key() + " is lost"
		}
	}
	for _, i := range v.Instances.All() {
		switch i.State {
		case state.Running, state.Terminated:
		default:
			return string(i.ID) + " is " + i.State
		}
	}
	for key := range v.Tombstones.All() {
		return "the tombstone " + key + " is left"
	}
	if left := r.unsettledVolumes(v); left != "" {
		return left
	}
	if left := r.unsettledNetwork(v); left != "" {
		return left
	}
	for _, h := range r.Hosts {
		domains, err := h.HV.Open().Domains(r.ctx)
		if err != nil {
			return err.Error()
		}
		want := map[string]*state.Instance{}
		for i := range v.InstancesOn(h.ID) {
			want[string(i.ID)] = i
		}
		for _, d := range domains {
			i := want[d.ID]
			if i == nil {
				return string(h.ID) + " still has " + d.ID
			}
			if d.Reboots != i.Reboots || !d.Alive() {
				return d.ID + " is on its way"
			}
			if want := serials(v, i.ID); !slices.Equal(d.Volumes, want) {
				return fmt.Sprintf("%s has the volumes %v, and should have %v", d.ID, d.Volumes, want)
			}
			delete(want, d.ID)
		}
		for id := range want {
			return string(h.ID) + " does not have " + id + " yet"
		}
	}
	return ""
}

// judgeState checks what must hold in every state.
func (r *Region) judgeState(v *state.View) {
	used := map[events.HostID]events.Need{}
	addrs, macs, slots := map[string]events.InterfaceID{}, map[string]events.InterfaceID{}, map[string]events.InterfaceID{}
	for _, i := range v.Instances.All() {
		if !i.Live() {
			continue
		}
		u := used[i.Host]
		u.VCPUs += i.Need.VCPUs
		u.MemoryMiB += i.Need.MemoryMiB
		u.DiskGiB += i.Need.DiskGiB
		used[i.Host] = u
	}
	for _, f := range v.Interfaces.All() {
		id := f.Interface.ID
		for _, a := range f.Addresses() {
			at := string(f.Interface.Subnet) + "/" + a.String()
			if o, twice := addrs[at]; twice {
				r.T.Errorf("seed %d: %s and %s have the address %s", r.o.Seed, o, id, at)
			}
			addrs[at] = id
		}
		if o, twice := macs[f.Interface.MAC]; twice {
			r.T.Errorf("seed %d: %s and %s have the MAC %s", r.o.Seed, o, id, f.Interface.MAC)
		}
		macs[f.Interface.MAC] = id
		slot := fmt.Sprintf("%s at %d", f.Instance, f.Interface.DeviceIndex)
		if o, twice := slots[slot]; twice && f.Instance != "" {
			r.T.Errorf("seed %d: %s and %s are both attached to %s", r.o.Seed, o, id, slot)
		}
		slots[slot] = id
	}
	for _, h := range v.Hosts.All() {
		n, _ := v.Compute(h.Host)
		if u := used[h.Host]; u != h.Used || u.VCPUs > n.Capacity.VCPUs || u.MemoryMiB > n.Capacity.MemoryMiB || u.DiskGiB > n.Capacity.DiskGiB {
			r.T.Errorf("seed %d: host %s: instances need %+v, the row says %+v, the host has %+v", r.o.Seed, h.Host, u, h.Used, n.Capacity)
		}
	}
}

// judgeGuests checks that what runs is what should, and nothing else.
func (r *Region) judgeGuests(v *state.View) {
	for _, h := range r.Hosts {
		domains, err := h.HV.Open().Domains(r.ctx)
		if err != nil {
			r.T.Fatal(err)
		}
		for _, d := range domains {
			i, ok := v.Instances.Get(d.ID)
			if !ok || i.Host != h.ID || i.State != state.Running || d.State != hypervisor.Running {
				r.T.Errorf("seed %d: %s holds %s (%s), the region says %+v", r.o.Seed, h.ID, d.ID, d.State, i)
			}
		}
	}
}

// judgeStream checks that the stream is the history: sequence, subject, payload.
func (r *Region) judgeStream(history []events.Record) {
	leader := r.WaitLeader(nil)
	last := history[len(history)-1].N
	r.Within(30*time.Second, "the stream holds every event", func() bool {
		cp := leader.Up()
		return cp != nil && cp.server.Door.Outbox.Kept() >= last
	})
	js, err := jetstream.New(leader.Up().client.Conn())
	if err != nil {
		r.T.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	s, err := js.Stream(ctx, events.EventStream(Name))
	if err != nil {
		r.T.Fatalf("seed %d: %v", r.o.Seed, err)
	}
	for _, rec := range history {
		m, err := s.GetMsg(ctx, rec.N)
		if err != nil {
			r.T.Fatalf("seed %d: stream message %d: %v", r.o.Seed, rec.N, err)
		}
		if string(m.Data) != string(rec.JSON(Name)) || m.Subject != rec.Event.About().Subject(Name) {
			r.T.Errorf("seed %d: stream message %d is %s %s, want %s", r.o.Seed, rec.N, m.Subject, m.Data, rec.JSON(Name))
			return
		}
	}
}

func (r *Region) judgeWitness(w *Witness, history []events.Record) {
	r.Within(30*time.Second, "the witness has seen every event", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.records) >= len(history)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, rec := range history {
		if w.records[i].N != rec.N || w.records[i].Hash != rec.Hash {
			r.T.Errorf("seed %d: the witness saw %d %s in place of %d %s", r.o.Seed, w.records[i].N, events.Line(w.records[i].Event), rec.N, events.Line(rec.Event))
			return
		}
	}
}

// Summary is one line about a run.
func (r *Region) Summary(clients Journal) string {
	acked, worst := clients.Acked()
	n := uint64(0)
	if z := r.Leader(); z != nil {
		n = z.Voter().View().Meta.N
	}
	return fmt.Sprintf("seed %d: %d acknowledged, %d events, longest time without an acknowledgement %v", r.o.Seed, len(acked), n, worst.Round(time.Millisecond))
}
