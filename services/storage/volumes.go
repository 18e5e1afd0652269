package storage

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// CreateVolume asks for a volume in a zone that has room for it, empty or with
// the content of a snapshot. Naming the storage node is the scheduler's.
func CreateVolume(v *state.View, s events.Stamp, c events.CreateVolume) ([]events.Event, error) {
	if c.Zone == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter zone")
	}
	if _, ok := v.Zones.Get(string(c.Zone)); !ok {
		return nil, events.Faultf("InvalidZone.NotFound", "The zone '%s' does not exist.", c.Zone)
	}
	switch {
	case c.SizeGiB == 0 && c.Snapshot == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter size or snapshotId")
	case c.MultiAttach:
		return nil, events.Faultf("UnsupportedOperation", "Multi-attach volumes are not supported in this region.")
	}
	kind, err := Settle(v, s.Account, events.BlockDevice{Snapshot: events.SnapshotID(c.Snapshot), SizeGiB: c.SizeGiB, Type: c.Type,
		IOPS: c.IOPS, Throughput: c.Throughput, Encrypted: c.Encrypted})
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	if err := Room(v, s.Account, c.Zone, []state.Kind{kind}); err != nil {
		return nil, err
	}
	e := requested(s, c.Zone, events.SnapshotID(c.Snapshot), kind, 0)
	e.ClientToken = s.ClientToken
	return append([]events.Event{e}, tagging.New(s, string(e.ID), c.Tags)...), nil
}

func requested(s events.Stamp, zone events.Zone, from events.SnapshotID, k state.Kind, n int) events.VolumeRequested {
	return events.VolumeRequested{ID: events.VolumeID("vol-" + s.Seed.Hex("vol", n)), Account: s.Account, Zone: zone, SizeGiB: k.SizeGiB, Type: k.Type,
		IOPS: k.IOPS, Throughput: k.Throughput, Snapshot: from, At: s.Time}
}

// Settle says what a volume will be that is asked for, or refuses it.
func Settle(v *state.View, a events.AccountID, b events.BlockDevice) (state.Kind, error) {
	k := state.Kind{SizeGiB: b.SizeGiB, Type: b.Type, IOPS: b.IOPS, Throughput: b.Throughput}
	if b.Encrypted {
		return k, events.Faultf("UnsupportedOperation", "Encrypted volumes are not supported in this region.")
	}
	if b.Snapshot != "" {
		from, err := readable(v, a, b.Snapshot)
		switch {
		case err != nil:
			return k, err
		case from.State != state.SnapshotCompleted:
			return k, events.Faultf("IncorrectState", "Snapshot %s is not in the 'completed' state: it is '%s'.", from.ID, from.State)
		case k.SizeGiB != 0 && k.SizeGiB < from.SizeGiB:
			return k, events.Faultf("InvalidParameterValue", "The volume size is invalid: %d GiB is smaller than snapshot '%s', expect size >= %d GiB.", k.SizeGiB, from.ID, from.SizeGiB)
		}
		k.SizeGiB = max(k.SizeGiB, from.SizeGiB)
	}
	if k.Type == "" {
		k.Type = DefaultType
	}
	typ, ok := FindType(k.Type)
	if !ok {
		return k, events.Faultf("InvalidParameterValue", "Invalid volume type: %s", k.Type)
	}
	var err error
	k.IOPS, k.Throughput, err = typ.provision(k)
	return k, err
}

// Quotas of an account ("Amazon EBS endpoints and quotas", in GiB where AWS
// counts TiB).
const (
	maxVolumes   = 5000
	maxTotalGiB  = 50 << 10
	maxSnapshots = 100000
)

// Room says whether a zone can take volumes beside those that wait, and an
// account have them.
func Room(v *state.View, a events.AccountID, zone events.Zone, list []state.Kind) error {
	count, total := len(list), 0
	for _, k := range list {
		total += k.SizeGiB
	}
	held := v.Held(a)
	if count+held.Rows > maxVolumes || total+held.Weight > maxTotalGiB {
		return events.Faultf("VolumeLimitExceeded", "You have exceeded your maximum volume storage limit: %d volumes of %d GiB in all.", maxVolumes, maxTotalGiB)
	}
	waiting := waitingGiB(v, zone)
	for _, k := range list {
		fits := false
		for st := range v.StoresOf(zone) {
			free, up := v.FreeGiB(st)
			fits = fits || up && free-waiting >= k.SizeGiB
		}
		if !fits {
			return events.Faultf("InsufficientVolumeCapacity", "There is not enough capacity for a volume of %d GiB in the Availability Zone %s.", k.SizeGiB, zone)
		}
		waiting += k.SizeGiB
	}
	return nil
}

// waitingGiB is what the volumes need that wait for a storage node in a zone.
func waitingGiB(v *state.View, zone events.Zone) int {
	sum := 0
	for w := range v.VolumesWaiting(zone) {
		sum += w.SizeGiB
	}
	return sum
}

func find(v *state.View, s events.Stamp, id events.VolumeID) (*state.Volume, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter volumeId")
	}
	r, ok := v.Volume(s.Account, id)
	if !ok {
		return nil, NotFound(string(id))
	}
	return r, nil
}

// NotFound is the fault for a volume that is not there.
func NotFound(id string) error {
	return events.Faultf("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

// DeleteVolume ends a volume that nobody has. One that has no place yet ends at
// once.
func DeleteVolume(v *state.View, s events.Stamp, c events.DeleteVolume) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Attachment != nil && !(r.Host == "" && r.Attachment.Ended):
		return nil, events.Faultf("VolumeInUse", "Volume %s is currently attached to %s", r.ID, r.Attachment.Instance)
	case r.State == state.VolumeDeleting:
		return nil, nil
	case r.Host == "":
		return []events.Event{events.VolumeDeleted{Volume: r.ID, Zone: r.Zone}}, nil
	case r.State == state.VolumeCreating:
		return nil, events.Faultf("IncorrectState", "The volume '%s' is 'creating': wait until it is 'available'.", r.ID)
	}
	return []events.Event{events.VolumeDeleteRequested{Volume: r.ID, Zone: r.Zone, Host: r.Host, At: s.Time}}, nil
}

// PlaceVolumes takes what is still true of a proposal: a volume that waits, on a
// storage node of its zone that is up and has room.
func PlaceVolumes(v *state.View, s events.Stamp, c events.PlaceVolumes) ([]events.Event, error) {
	tx := v.Fork()
	var out []events.Event
	for _, p := range c.Placements {
		r, ok := tx.Volumes.Get(string(p.Volume))
		if !ok || r.Host != "" || r.State != state.VolumeCreating {
			continue
		}
		st, ok := tx.Stores.Get(string(p.Host))
		if !ok || st.Zone != r.Zone {
			continue
		}
		if free, up := tx.FreeGiB(st); !up || free < r.SizeGiB {
			continue
		}
		n, _ := tx.Nodes.Get(state.NodeKey(st.Host, "storage"))
		e := events.VolumePlaced{Volume: r.ID, Zone: r.Zone, Host: st.Host, Boot: n.Boot, Epoch: r.Epoch + 1, Why: p.Why}
		out = append(out, e)
		tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
	}
	return out, nil
}

// Restarted gives a new epoch to the volumes of a storage node that started
// anew: what it did before it fell may not be continued ("a restarted primary
// never resumes its old epoch").
func Restarted(v *state.View, h events.HostID, boot string) []events.Event {
	var out []events.Event
	for r := range v.VolumesOn(h) {
		if r.Boot != boot && r.State != state.VolumeDeleting {
			out = append(out, events.VolumeEpochRaised{Volume: r.ID, Zone: r.Zone, Host: h, Boot: boot, Epoch: r.Epoch + 1})
		}
	}
	return out
}

// ReportVolume takes what a storage node sees of a volume.
func ReportVolume(v *state.View, s events.Stamp, c events.ReportVolume) ([]events.Event, error) {
	r, ok := v.Volumes.Get(string(c.Volume))
	if !ok || r.Host != c.Host {
		return nil, nil // an orphan: doctor shows it, nothing destroys it
	}
	switch c.Phase {
	case events.VolumeAbsent:
		if r.State == state.VolumeDeleting {
			return []events.Event{events.VolumeDeleted{Volume: r.ID, Zone: r.Zone, Host: r.Host}}, nil
		}
		return erred(r, "the storage node holds nothing of it"), nil
	case events.VolumeFailed:
		return erred(r, c.Detail), nil
	case events.VolumeReady:
	default:
		return nil, nil
	}
	if c.Boot != r.Boot || c.Epoch != r.Epoch || r.State == state.VolumeDeleting {
		return nil, nil
	}
	var out []events.Event
	if m := r.Modification; m != nil && m.Done.IsZero() && c.Revision == r.Revision {
		out = append(out, events.VolumeModified{Volume: r.ID, Zone: r.Zone, Revision: c.Revision, At: s.Time})
	}
	if r.Confirmed < c.Epoch {
		out = append(out, events.VolumeConfirmed{Volume: r.ID, Zone: r.Zone, Host: c.Host, Epoch: c.Epoch})
	}
	switch {
	case r.State == state.VolumeCreating:
		out = append(out, events.VolumeAvailable{Volume: r.ID, Zone: r.Zone})
	case r.State == state.VolumeError && (r.Attachment == nil || !r.Attachment.Ended):
		// Its node holds it after all, whole: the disk was full, say, and is not.
		out = append(out, events.VolumeAvailable{Volume: r.ID, Zone: r.Zone})
	}
	switch {
	case r.Attachment != nil && r.Attachment.Ended:
		out = append(out, events.VolumeDetached{Volume: r.ID, Zone: r.Zone, Instance: r.Attachment.Instance, Attachment: r.Attachment.ID, At: s.Time})
		if r.Attachment.DeleteOnTermination {
			if i, ok := v.Instances.Get(string(r.Attachment.Instance)); !ok || !i.Live() || i.State == state.ShuttingDown {
				out = append(out, events.VolumeDeleteRequested{Volume: r.ID, Zone: r.Zone, Host: r.Host, At: s.Time})
			}
		}
	}
	return out, nil
}

func erred(r *state.Volume, detail string) []events.Event {
	if r.State == state.VolumeError && r.Detail == detail || r.State == state.VolumeDeleting {
		return nil
	}
	return []events.Event{events.VolumeErred{Volume: r.ID, Zone: r.Zone, Detail: detail}}
}
