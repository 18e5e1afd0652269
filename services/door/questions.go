package door

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/micro"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/specs"
	"skerry/services/state"
)

func (d *Door) self(q events.VoterQuery) events.VoterStatus {
	if q.ClockOnly {
		return events.VoterStatus{AZ: d.Voter.AZ(), Clock: d.Voter.Now()}
	}
	v := d.Voter.View()
	out := events.VoterStatus{AZ: d.Voter.AZ(), Leader: d.Voter.Leader(), State: d.Voter.Raft().State().String(), N: v.Meta.N, Index: v.Meta.Index,
		Digest: v.Digest(), LastEvent: v.Meta.Time, Clock: d.Voter.Now(), Understands: events.LevelNewest}
	if d.Voter.Leading() {
		out.Kept = d.Outbox.Kept()
	}
	for _, s := range d.Voter.Raft().GetConfiguration().Configuration().Servers {
		out.Voters = append(out.Voters, string(s.ID))
	}
	return out
}

// maxHistory bounds one answer of the history.
const maxHistory = 1024

func (d *Door) questions() map[string]func(micro.Request) {
	return map[string]func(micro.Request){
		"history":  d.history,
		"story":    d.story,
		"moment":   newPast(d).moment,
		"status":   func(r micro.Request) { answer(r, d.status(), nil) },
		"instance": d.instance,
		"volume":   d.volume,
		"accounts": func(r micro.Request) { answer(r, d.accounts(), nil) },
		"specs":    d.specSet,
	}
}

func (d *Door) leaderQuestions() map[string]func(micro.Request) {
	return map[string]func(micro.Request){
		"readindex": func(r micro.Request) {
			n, err := d.Voter.ReadIndex()
			answer(r, events.ReadIndex{N: n}, err)
		},
		"scheduling": func(r micro.Request) {
			if !d.Voter.Leading() {
				again(r)
				return
			}
			answer(r, Scheduling(d.Voter.View()), nil)
		},
		"voter": func(r micro.Request) { answer(r, d.self(events.VoterQuery{}), nil) },
	}
}

func (d *Door) history(r micro.Request) {
	var q bus.HistoryQuery
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	if q.Limit <= 0 || q.Limit > maxHistory {
		q.Limit = maxHistory
	}
	records, err := d.Voter.History().Range(max(q.First, 1), q.Limit)
	answer(r, bus.HistoryAnswer{N: d.Voter.View().Meta.N, Records: records}, err)
}

func (d *Door) story(r micro.Request) {
	var q events.StoryQuery
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	if q.Limit <= 0 || q.Limit > maxHistory {
		q.Limit = maxHistory
	}
	v := d.present() // what was acknowledged is told
	records, err := d.Voter.History().Story(q.Resource, q.First, q.Limit)
	answer(r, bus.HistoryAnswer{N: v.Meta.N, Records: records}, err)
}

func (d *Door) status() events.Status {
	v := d.present()
	s := events.Status{Region: v.Meta.Region, ID: v.Meta.ID, Level: v.Meta.Level, N: v.Meta.N, Leader: d.Voter.Leader(), AnswerBy: d.Voter.AZ(), Counts: map[string]int{}}
	for _, m := range d.Voter.Raft().GetConfiguration().Configuration().Servers {
		s.Voters = append(s.Voters, string(m.ID))
	}
	s.Root, s.RootN = v.Meta.Root, v.Meta.RootAt.N
	for _, r := range v.Regions.All() {
		s.Beside = append(s.Beside, r.Region)
	}
	for _, z := range v.Zones.All() {
		row := events.ZoneStatus{Zone: z.Zone, Impaired: z.Impaired}
		if g, ok := v.Gateways.Get(string(z.Zone)); ok {
			row.Gateway = g.Host
		}
		s.Zones = append(s.Zones, row)
	}
	for _, n := range v.Nodes.All() {
		row := events.NodeStatus{Host: n.Host, Kind: n.Kind, Zone: n.Zone, Ready: !n.Lost, Accel: n.Accel, Capacity: n.Capacity, Since: n.Since}
		if h, ok := v.Hosts.Get(string(n.Host)); ok && n.Kind == "compute" {
			row.Used, row.Guests, row.Drained = h.Used, h.Count, h.Drained
		}
		s.Nodes = append(s.Nodes, row)
	}
	for _, i := range v.Instances.All() {
		s.Counts[i.State]++
	}
	s.Volumes, s.Addresses, s.Owed = map[string]int{}, v.Addresses.Len(), v.Tombstones.Len()
	for _, x := range v.Volumes.All() {
		s.Volumes[x.State]++
	}
	return s
}

func (d *Door) instance(r micro.Request) {
	var q events.InstanceQuery
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	v := d.present()
	i, ok := v.Instances.Get(string(q.Instance))
	if !ok {
		answer(r, nil, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", q.Instance))
		return
	}
	out := events.InstanceStatus{Instance: i.ID, Account: i.Account, Type: i.Shape.Type, State: i.State, Reason: i.Reason, Zone: i.Zone,
		Host: i.Host, Launched: i.At, Why: i.Why, Tags: v.TagsOf(string(i.ID))}
	if n, ok := v.Compute(i.Host); ok && i.Live() {
		out.Impaired = n.Lost
	}
	answer(r, out, nil)
}

func (d *Door) volume(r micro.Request) {
	var q events.VolumeQuery
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	v := d.present()
	x, ok := v.Volumes.Get(string(q.Volume))
	if !ok {
		answer(r, nil, events.Faultf("InvalidVolume.NotFound", "The volume '%s' does not exist.", q.Volume))
		return
	}
	answer(r, volumeStatus(v, x), nil)
}

func volumeStatus(v *state.View, x *state.Volume) events.VolumeStatus {
	silent := func(h events.HostID, kind string) bool {
		n, ok := v.Nodes.Get(state.NodeKey(h, kind))
		return h != "" && (!ok || n.Lost)
	}
	out := events.VolumeStatus{Volume: x.ID, Account: x.Account, Zone: x.Zone, SizeGiB: x.SizeGiB, Type: x.Type, State: x.State, Detail: x.Detail,
		Host: x.Host, Impaired: silent(x.Host, "storage"), Epoch: x.Epoch, Confirmed: x.Confirmed, Created: x.At, Why: x.Why, Tags: v.TagsOf(string(x.ID))}
	speaks := func(h events.HostID, kind string) string {
		name := string(h) + "/" + kind
		if silent(h, kind) {
			return name + ", which does not speak,"
		}
		return name
	}
	store := speaks(x.Host, "storage")
	a := x.Attachment
	if a != nil {
		s := &events.AttachmentStatus{Attachment: a.ID, Instance: a.Instance, Device: a.Device, State: a.State, Ended: a.Ended, Since: a.At}
		if i, ok := v.Instances.Get(string(a.Instance)); ok {
			s.Host, s.Impaired = i.Host, silent(i.Host, "compute")
		}
		out.Attachment = s
	}
	switch {
	case x.State == state.VolumeError:
	case x.State == state.VolumeDeleting:
		out.Waits = "for " + store + " to remove it"
	case x.Host == "":
		out.Waits = "for a storage node: none has been found yet"
	case a != nil && a.Ended:
		out.Waits = "for " + store + " to confirm that the instance is shut out"
	case x.Confirmed != x.Epoch:
		out.Waits = fmt.Sprintf("for %s to confirm epoch %d", store, x.Epoch)
	case x.State == state.VolumeCreating:
		out.Waits = "for " + store + " to hold it"
	case a != nil && a.State == state.Attaching:
		out.Waits = fmt.Sprintf("for %s to give it to the guest", speaks(out.Attachment.Host, "compute"))
	case a != nil && a.State == state.Detaching:
		out.Waits = fmt.Sprintf("for %s to say that the guest of %s has let go", speaks(out.Attachment.Host, "compute"), a.Instance)
	}
	return out
}

func (d *Door) accounts() []events.AccountKeys {
	out := []events.AccountKeys{}
	for _, a := range d.present().Accounts.All() {
		out = append(out, events.AccountKeys{AccountID: a.ID, Name: a.Name, AccessKeyID: a.AccessKey, SecretAccessKey: d.Key.Secret(a.AccessKey), Created: a.At})
	}
	return out
}

// specSet shows a node's specs to operators, without user data.
func (d *Door) specSet(r micro.Request) {
	var q events.NodeKey
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	out, err := want(d.present(), q)
	if err != nil {
		d.Log.Warn("want", "err", err)
	}
	answer(r, out, nil)
}

// Gone is the state of an object that a node should have destroyed.
const Gone = "gone"

// want is what a node should hold. The states of a volume and of a whole snapshot
// are as their storage node says them; a snapshot's epoch is its first.
func want(v *state.View, q events.NodeKey) (events.Want, error) {
	var broken error
	out := events.Want{N: v.Meta.N, Objects: []events.Object{}}
	switch q.Kind {
	case "compute":
		for i := range v.InstancesOn(q.Host) {
			out.Objects = append(out.Objects, events.Object{Kind: string(events.SpecInstance), ID: string(i.ID), State: i.State})
		}
		return out, nil
	case "storage":
		for x := range v.VolumesOn(q.Host) {
			o := events.Object{Kind: string(events.SpecVolume), ID: string(x.ID), State: fmt.Sprintf("epoch %d", x.Epoch)}
			switch {
			case x.State == state.VolumeDeleting:
				continue
			case x.Confirmed == 0 && (x.State == state.VolumeCreating || x.State == state.VolumeError):
				o.State = x.State
			case x.Attachment != nil && !x.Attachment.Ended:
				o.State += " " + string(x.Attachment.ID)
			}
			out.Objects = append(out.Objects, o)
		}
		for x := range v.SnapshotsOn(q.Host) {
			o := events.Object{Kind: string(events.SpecSnapshot), ID: string(x.ID), State: "epoch 1"}
			switch x.State {
			case state.SnapshotDeleting:
				continue
			case state.SnapshotPending, state.SnapshotError:
				o.State = x.State
			}
			out.Objects = append(out.Objects, o)
		}
	case "network", "gateway":
		set, err := specs.Set(v, q.Host, q.Kind, nil, specs.Closed{})
		broken = err
		for _, s := range set.Specs {
			if !s.Tombstone && (s.Kind == events.SpecPort || s.Kind == events.SpecPublic) {
				out.Objects = append(out.Objects, events.Object{Kind: string(s.Kind), ID: s.ID, State: "held"})
			}
		}
	}
	for t := range v.TombstonesOn(q.Host) {
		if ofKind[t.Kind] == q.Kind {
			out.Objects = append(out.Objects, events.Object{Kind: string(t.Kind), ID: t.ID, State: Gone})
		}
	}
	return out, broken
}

// ofKind says which node holds what.
var ofKind = map[events.SpecKind]string{events.SpecVolume: "storage", events.SpecSnapshot: "storage", events.SpecPort: "network", events.SpecPublic: "gateway"}

// maxUnplaced bounds the instances of one scheduling answer.
const maxUnplaced = 500

// Scheduling is what the scheduler is told: the hosts with what is free on them,
// and the instances and volumes that wait for one.
func Scheduling(v *state.View) events.Scheduling {
	out := events.Scheduling{N: v.Meta.N}
	for _, h := range v.Hosts.All() {
		row := events.HostFree{Host: h.Host, Zone: h.Zone}
		if n, ok := v.Compute(h.Host); ok {
			row.Capacity = n.Capacity
			switch {
			case n.Lost:
				row.Closed = "lost since " + n.Since.UTC().Format(time.RFC3339)
			case h.Drained:
				row.Closed = "drained"
			}
		}
		row.Free, _ = v.Free(h)
		row.Members = v.MembersOn(h.Host)
		out.Hosts = append(out.Hosts, row)
	}
	for _, st := range v.Stores.All() {
		row := events.StoreFree{Host: st.Host, Zone: st.Zone}
		if n, ok := v.Nodes.Get(state.NodeKey(st.Host, "storage")); ok {
			row.CapacityGiB = n.Capacity.DiskGiB
			if n.Lost {
				row.Closed = "lost since " + n.Since.UTC().Format(time.RFC3339)
			}
		}
		row.FreeGiB, _ = v.FreeGiB(st)
		out.Stores = append(out.Stores, row)
	}
	for _, z := range v.Zones.All() {
		for r := range v.VolumesWaiting(z.Zone) {
			if len(out.Volumes) == maxUnplaced {
				break
			}
			out.Volumes = append(out.Volumes, near(v, r))
		}
	}
	for _, z := range v.Zones.All() {
		for i := range v.Unplaced(z.Zone) {
			if len(out.Unplaced) == maxUnplaced {
				return out
			}
			out.Unplaced = append(out.Unplaced, events.Waiting{Instance: i.ID, Zone: i.Zone, Need: i.Need, Member: v.MemberOf(i)})
		}
	}
	return out
}

// near is a volume that waits, and who holds the snapshot that it starts with.
func near(v *state.View, r *state.Volume) events.WaitingVolume {
	w := events.WaitingVolume{Volume: r.ID, Zone: r.Zone, SizeGiB: r.SizeGiB}
	if s, ok := v.Snapshots.Get(string(r.Snapshot)); ok {
		w.Near = s.Host
	}
	return w
}
