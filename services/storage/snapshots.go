package storage

import (
	"cmp"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// maxDescription is the longest description of a snapshot ("CreateSnapshot").
const maxDescription = 255

// CreateSnapshot asks the storage node of a volume to keep what it holds.
func CreateSnapshot(v *state.View, s events.Stamp, c events.CreateSnapshot) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	if err := described(c.Description, c.Tags); err != nil {
		return nil, err
	}
	if err := fewEnough(v, s.Account, 1); err != nil {
		return nil, err
	}
	e, err := Snap(v, s, r, c.Description, 0)
	if err != nil {
		return nil, err
	}
	e.ClientToken = s.ClientToken
	return append([]events.Event{e}, tagging.New(s, string(e.ID), c.Tags)...), nil
}

// Snap asks for the n-th snapshot of a command.
func Snap(v *state.View, s events.Stamp, r *state.Volume, description string, n int) (events.SnapshotRequested, error) {
	if r.State != state.VolumeAvailable && r.State != state.VolumeInUse {
		return events.SnapshotRequested{}, events.Faultf("IncorrectState", "Volume '%s' is in the '%s' state: it has to be 'available' or 'in-use'.", r.ID, r.State)
	}
	return events.SnapshotRequested{ID: events.SnapshotID("snap-" + s.Seed.Hex("snap", n)), Account: s.Account, Zone: r.Zone, Host: r.Host,
		Volume: r.ID, SizeGiB: r.SizeGiB, Description: description, At: s.Time}, nil
}

// Copy asks for the n-th snapshot of a command, of another snapshot.
func Copy(s events.Stamp, from *state.Snapshot, description string, n int) (events.SnapshotRequested, error) {
	if from.State != state.SnapshotCompleted {
		return events.SnapshotRequested{}, events.Faultf("IncorrectState", "Snapshot %s is not in the 'completed' state: it is '%s'.", from.ID, from.State)
	}
	return events.SnapshotRequested{ID: events.SnapshotID("snap-" + s.Seed.Hex("snap", n)), Account: s.Account, Zone: from.Zone, Host: from.Host,
		Source: from.ID, SizeGiB: from.SizeGiB, Description: description, At: s.Time}, nil
}

func described(description string, tags []events.Tag) error {
	if len(description) > maxDescription {
		return events.Faultf("InvalidParameterValue", "The description has %d characters; at most %d are allowed.", len(description), maxDescription)
	}
	return tagging.Check(tags)
}

func fewEnough(v *state.View, a events.AccountID, more int) error {
	for range v.SnapshotsOf(a) {
		more++
	}
	if more > maxSnapshots {
		return events.Faultf("SnapshotLimitExceeded", "You have exceeded your maximum number of snapshots, which is %d.", maxSnapshots)
	}
	return nil
}

// CopyFar asks for the n-th snapshot of a command, of a snapshot of another
// region. Nobody holds it until its bytes can come from there.
func CopyFar(v *state.View, s events.Stamp, id events.SnapshotID, far events.FarSnapshot, description string, n int) (events.SnapshotRequested, error) {
	switch _, known := v.Regions.Get(far.Region); {
	case !known || far.Region == v.Meta.Region:
		return events.SnapshotRequested{}, events.Faultf("InvalidParameterValue", "No other region named '%s' shares the accounts of this one.", far.Region)
	case far.State != state.SnapshotCompleted:
		return events.SnapshotRequested{}, events.Faultf("IncorrectState", "Snapshot %s of the region '%s' is not in the 'completed' state: it is '%s'.", id, far.Region, far.State)
	case far.SizeGiB < 1 || far.SizeGiB > maxFarGiB:
		return events.SnapshotRequested{}, events.Faultf("InvalidParameterValue", "Snapshot %s of the region '%s' has %d GiB, which no volume has.", id, far.Region, far.SizeGiB)
	}
	return events.SnapshotRequested{ID: events.SnapshotID("snap-" + s.Seed.Hex("snap", n)), Account: s.Account,
		Source: id, SourceRegion: far.Region, SizeGiB: far.SizeGiB, Description: description, At: s.Time}, nil
}

// maxFarGiB is the largest volume there is ("Amazon EBS volume types").
const maxFarGiB = 64 << 10

// CopySnapshot copies a snapshot that the caller may read, of this region or of
// another.
func CopySnapshot(v *state.View, s events.Stamp, c events.CopySnapshot) ([]events.Event, error) {
	var from *state.Snapshot
	if c.Far == nil {
		var err error
		if from, err = readable(v, s.Account, c.Snapshot); err != nil {
			return nil, err
		}
	}
	if err := described(c.Description, c.Tags); err != nil {
		return nil, err
	}
	if err := fewEnough(v, s.Account, 1); err != nil {
		return nil, err
	}
	var e events.SnapshotRequested
	var err error
	if c.Far != nil {
		e, err = CopyFar(v, s, c.Snapshot, *c.Far, c.Description, 0)
	} else {
		e, err = Copy(s, from, c.Description, 0)
	}
	if err != nil {
		return nil, err
	}
	e.ClientToken = s.ClientToken
	return append([]events.Event{e}, tagging.New(s, string(e.ID), c.Tags)...), nil
}

// readable finds a snapshot that an account may make volumes of.
func readable(v *state.View, a events.AccountID, id events.SnapshotID) (*state.Snapshot, error) {
	r, ok := v.Snapshot(a, id)
	if !ok {
		return nil, NoSnapshot(string(id))
	}
	return r, nil
}

// NoSnapshot is the fault for a snapshot that is not there.
func NoSnapshot(id string) error {
	return events.Faultf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

// owned finds a snapshot that the caller may change.
func owned(v *state.View, a events.AccountID, id events.SnapshotID) (*state.Snapshot, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter snapshotId")
	}
	r, err := readable(v, a, id)
	if err == nil && r.Account != a {
		return nil, events.Faultf("AuthFailure", "Not authorized for snapshot: %s", id)
	}
	return r, err
}

// DeleteSnapshot ends a snapshot of which no image is made, no volume is being
// made and no copy.
func DeleteSnapshot(v *state.View, s events.Stamp, c events.DeleteSnapshot) ([]events.Event, error) {
	r, err := owned(v, s.Account, c.Snapshot)
	if err != nil {
		return nil, err
	}
	for _, i := range v.Images.All() {
		for _, m := range i.Mappings {
			if m.Snapshot == r.ID {
				return nil, inUseBy(r.ID, string(i.ID))
			}
		}
	}
	for _, o := range v.Volumes.All() {
		if o.Snapshot == r.ID && o.State == state.VolumeCreating {
			return nil, inUseBy(r.ID, string(o.ID))
		}
	}
	for o := range v.SnapshotsOn(r.Host) {
		if o.Source == r.ID && o.State == state.SnapshotPending {
			return nil, inUseBy(r.ID, string(o.ID))
		}
	}
	out := []events.Event{events.SnapshotDeleteRequested{ID: r.ID, Zone: r.Zone, Host: r.Host, At: s.Time}}
	if r.Host == "" { // nobody holds anything of it
		out = append(out, events.SnapshotDeleted{ID: r.ID})
	}
	return out, nil
}

func inUseBy(id events.SnapshotID, by string) error {
	return events.Faultf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, by)
}

// ModifySnapshot changes who may make volumes of a snapshot.
func ModifySnapshot(v *state.View, s events.Stamp, c events.ModifySnapshot) ([]events.Event, error) {
	r, err := owned(v, s.Account, c.Snapshot)
	if err != nil {
		return nil, err
	}
	e := events.SnapshotChanged{ID: r.ID, Zone: r.Zone, Public: r.Public, Accounts: slices.Clone(r.Accounts)}
	if c.Reset {
		e.Public, e.Accounts = false, nil
	}
	if c.Public != nil {
		e.Public = *c.Public
	}
	for _, a := range c.Add {
		if _, ok := v.Accounts.Get(string(a)); !ok {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter userId is invalid: there is no such account.", a)
		}
		e.Accounts = append(e.Accounts, a)
	}
	e.Accounts = slices.DeleteFunc(e.Accounts, func(a events.AccountID) bool { return slices.Contains(c.Remove, a) })
	slices.SortFunc(e.Accounts, cmp.Compare)
	e.Accounts = slices.Compact(e.Accounts)
	return []events.Event{e}, nil
}

// ReportSnapshot takes what a storage node sees of a snapshot.
func ReportSnapshot(v *state.View, s events.Stamp, c events.ReportSnapshot) ([]events.Event, error) {
	r, ok := v.Snapshots.Get(string(c.Snapshot))
	if !ok || r.Host != c.Host || c.Host == "" {
		return nil, nil // an orphan: doctor shows it, nothing destroys it
	}
	failed := func(detail string) []events.Event {
		if r.State == state.SnapshotDeleting || r.State == state.SnapshotError && r.Detail == detail {
			return nil
		}
		return []events.Event{events.SnapshotErred{ID: r.ID, Zone: r.Zone, Detail: detail}}
	}
	switch c.Phase {
	case events.SnapshotAbsent:
		if r.State == state.SnapshotDeleting {
			return []events.Event{events.SnapshotDeleted{ID: r.ID, Zone: r.Zone, Host: r.Host}}, nil
		}
		return failed("the storage node holds nothing of it"), nil
	case events.SnapshotFailed:
		return failed(c.Detail), nil
	case events.SnapshotReady:
		if r.State == state.SnapshotPending || r.State == state.SnapshotError {
			return []events.Event{events.SnapshotCompleted{ID: r.ID, Zone: r.Zone, At: s.Time}}, nil
		}
	}
	return nil, nil
}
