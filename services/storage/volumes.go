package storage

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// CreateVolume asks for an empty volume in a zone that has room for it. Naming
// the storage node is the scheduler's.
func CreateVolume(v *state.View, s events.Stamp, c events.CreateVolume) ([]events.Event, error) {
	if c.Zone == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter zone")
	}
	if _, ok := v.Zones.Get(string(c.Zone)); !ok {
		return nil, events.Faultf("InvalidZone.NotFound", "The zone '%s' does not exist.", c.Zone)
	}
	switch {
	case c.Snapshot != "":
		return nil, events.Faultf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", c.Snapshot)
	case c.SizeGiB == 0:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter size or snapshotId")
	case c.Encrypted:
		return nil, events.Faultf("UnsupportedOperation", "Encrypted volumes are not supported in this region.")
	case c.MultiAttach:
		return nil, events.Faultf("UnsupportedOperation", "Multi-attach volumes are not supported in this region.")
	}
	name := c.Type
	if name == "" {
		name = DefaultType
	}
	typ, ok := FindType(name)
	if !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid volume type: %s", name)
	}
	iops, throughput, err := typ.provision(c)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	waiting := 0
	for w := range v.VolumesWaiting(c.Zone) {
		waiting += w.SizeGiB
	}
	fits := false
	for st := range v.StoresOf(c.Zone) {
		free, up := v.FreeGiB(st)
		fits = fits || up && free-waiting >= c.SizeGiB
	}
	if !fits {
		return nil, events.Faultf("InsufficientVolumeCapacity", "There is not enough capacity for a volume of %d GiB in the Availability Zone %s.", c.SizeGiB, c.Zone)
	}
	id := events.VolumeID("vol-" + s.Seed.Hex("vol", 0))
	out := []events.Event{events.VolumeRequested{ID: id, Account: s.Account, Zone: c.Zone, SizeGiB: c.SizeGiB, Type: name,
		IOPS: iops, Throughput: throughput, ClientToken: s.ClientToken, At: s.Time}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
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
	case r.Attachment != nil:
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
		e := events.VolumePlaced{Volume: r.ID, Zone: r.Zone, Host: st.Host, Boot: n.Boot, Epoch: 1, Why: p.Why}
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
	if r.Confirmed < c.Epoch {
		out = append(out, events.VolumeConfirmed{Volume: r.ID, Zone: r.Zone, Host: c.Host, Epoch: c.Epoch})
	}
	switch {
	case r.State == state.VolumeCreating:
		out = append(out, events.VolumeAvailable{Volume: r.ID, Zone: r.Zone})
	case r.State == state.VolumeError && (r.Attachment == nil || !r.Attachment.Ended):
		// Its node holds it after all, whole: the disk was full, say, and is not.
		out = append(out, events.VolumeAvailable{Volume: r.ID, Zone: r.Zone})
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
