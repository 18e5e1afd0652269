package storage

import (
	"skerry/events"
	"skerry/services/state"
)

// ModifyVolume changes size, type or performance of a volume, which may be in
// use. What the call does not name stays, or is what the new type gives.
func ModifyVolume(v *state.View, s events.Stamp, c events.ModifyVolume) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	switch m := r.Modification; {
	case c.SizeGiB == 0 && c.Type == "" && c.IOPS == 0 && c.Throughput == 0:
		return nil, events.Faultf("InvalidParameterCombination", "The request changes nothing: give Size, VolumeType, Iops or Throughput.")
	case r.State != state.VolumeAvailable && r.State != state.VolumeInUse:
		return nil, events.Faultf("IncorrectState", "Volume '%s' is in the '%s' state: it has to be 'available' or 'in-use'.", r.ID, r.State)
	case m != nil && m.Done.IsZero():
		return nil, events.Faultf("IncorrectModificationState", "Volume '%s' is being modified since %s.", r.ID, m.At.UTC().Format("2006-01-02T15:04:05Z"))
	case c.SizeGiB != 0 && c.SizeGiB < r.SizeGiB:
		return nil, events.Faultf("InvalidParameterValue", "New size cannot be smaller than existing size")
	}
	k := r.Kind()
	if c.SizeGiB != 0 {
		k.SizeGiB = c.SizeGiB
	}
	if c.Type != "" && c.Type != k.Type {
		k.Type, k.Throughput = c.Type, 0
		if t, ok := FindType(c.Type); !ok || !t.NeedsIOPS {
			k.IOPS = 0
		}
	}
	typ, ok := FindType(k.Type)
	if !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid volume type: %s", k.Type)
	}
	if typ.Scales {
		k.IOPS = 0 // it follows from the size
	}
	if typ.MinIOPS == 0 && !typ.Scales {
		k.IOPS = 0
	}
	if c.IOPS != 0 {
		k.IOPS = c.IOPS
	}
	if c.Throughput != 0 {
		k.Throughput = c.Throughput
	}
	if k.IOPS, k.Throughput, err = typ.provision(k); err != nil {
		return nil, err
	}
	if more := k.SizeGiB - r.SizeGiB; more > 0 {
		if err := grows(v, s.Account, r, more); err != nil {
			return nil, err
		}
	}
	return []events.Event{events.VolumeModificationRequested{Volume: r.ID, Zone: r.Zone, Revision: r.Revision + 1,
		SizeGiB: k.SizeGiB, Type: k.Type, IOPS: k.IOPS, Throughput: k.Throughput, At: s.Time}}, nil
}

// grows says whether a volume's own storage node has room for more of it, beside
// the volumes that wait in its zone: they were promised theirs.
func grows(v *state.View, a events.AccountID, r *state.Volume, more int) error {
	if more+v.Held(a).Weight > maxTotalGiB {
		return events.Faultf("VolumeLimitExceeded", "You have exceeded your maximum volume storage limit: %d GiB in all.", maxTotalGiB)
	}
	waiting := 0
	if v.Meta.Level >= events.LevelEnds {
		waiting = waitingGiB(v, r.Zone)
	}
	if st, ok := v.Stores.Get(string(r.Host)); ok {
		if free, up := v.FreeGiB(st); up && free-waiting >= more {
			return nil
		}
	}
	return events.Faultf("InsufficientVolumeCapacity", "There is not enough capacity for %d GiB more where volume '%s' is.", more, r.ID)
}

// SetVolumeAutoIO keeps what the caller wants of a volume whose blocks are
// doubted. Here such a volume is not served, so that there is nothing to do.
func SetVolumeAutoIO(v *state.View, s events.Stamp, c events.SetVolumeAutoIO) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	if r.AutoIO == c.AutoIO {
		return nil, nil
	}
	return []events.Event{events.VolumeAutoIOSet{Volume: r.ID, Zone: r.Zone, AutoIO: c.AutoIO}}, nil
}
