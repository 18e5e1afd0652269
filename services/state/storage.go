package state

import "skerry/events"

// storage evolves what happened to volumes.
func (tx *Tx) storage(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.VolumeRequested:
		tx.Volumes.put(string(e.ID), &Volume{VolumeRequested: e, State: VolumeCreating, N: r.N, Request: r.Request})
	case events.VolumePlaced:
		v, ok := tx.Volumes.Get(string(e.Volume))
		must(ok && v.Host == "", r, "a volume placed twice, or after its end")
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.Host, v.Boot, v.Epoch, v.Why = e.Host, e.Boot, e.Epoch, &e.Why })
		tx.store(e.Host, v.SizeGiB, 1)
		s, _ := tx.Stores.Get(string(e.Host))
		free, open := tx.FreeGiB(s)
		must(open && free >= 0, r, "over the storage node's capacity")
	case events.VolumeConfirmed:
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.Confirmed = e.Epoch })
	case events.VolumeAvailable:
		tx.changeVolume(e.Volume, r, func(v *Volume) {
			v.State, v.Detail = VolumeAvailable, ""
			if v.Attachment != nil {
				v.State = VolumeInUse // it was in error, or made with its instance
			}
			tx.touchHolder(v, r)
		})
	case events.VolumeErred:
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.State, v.Detail = VolumeError, e.Detail })
	case events.VolumeEpochRaised:
		tx.raise(e.Volume, e.Epoch, r, func(v *Volume) { v.Boot = e.Boot })
	case events.VolumeAttachRequested:
		tx.raise(e.Volume, e.Epoch, r, func(v *Volume) {
			must(v.Attachment == nil, r, "a volume with two attachments")
			if v.State != VolumeCreating { // one that is made with its instance goes on being made
				v.State = VolumeInUse
			}
			v.Attachment = &Attachment{ID: e.Attachment, Instance: e.Instance, Device: e.Device, State: Attaching,
				DeleteOnTermination: e.DeleteOnTermination, At: e.At}
		})
		tx.touchInstance(e.Instance, r)
	case events.VolumeAttached:
		tx.changeAttachment(e.Volume, r, func(a *Attachment) { a.State, a.At = Attached, e.At })
		tx.touchInstance(e.Instance, r)
	case events.VolumeDetachRequested:
		tx.changeAttachment(e.Volume, r, func(a *Attachment) { a.State = Detaching })
		tx.touchInstance(e.Instance, r)
	case events.AttachmentEnded:
		tx.raise(e.Volume, e.Epoch, r, func(v *Volume) {
			a := *v.Attachment
			a.State, a.Ended = Detaching, true
			v.Attachment = &a
		})
		tx.touchInstance(e.Instance, r)
	case events.VolumeDetached:
		v, _ := tx.Volumes.Get(string(e.Volume))
		must(v.Attachment != nil && v.Attachment.Ended && v.Confirmed == v.Epoch, r, "a volume is free before its storage node said so")
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.State, v.Detail, v.Attachment = VolumeAvailable, "", nil })
		tx.touchInstance(e.Instance, r)
	case events.VolumeDeleteRequested:
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.State = VolumeDeleting })
		if e.Host != "" {
			tx.entomb(e.Host, events.SpecVolume, string(e.Volume), r)
		}
	case events.VolumeDeleted:
		if v, ok := tx.Volumes.Get(string(e.Volume)); ok && v.Host != "" {
			tx.store(v.Host, v.SizeGiB, -1)
		}
		tx.Volumes.del(string(e.Volume))
		tx.Tags.del(string(e.Volume))
		tx.Tombstones.del(tombstoneKey(e.Host, events.SpecVolume, string(e.Volume)))
	case events.VolumeModificationRequested:
		tx.changeVolume(e.Volume, r, func(v *Volume) {
			from := v.Kind()
			v.Revision, v.SizeGiB, v.Type, v.IOPS, v.Throughput = e.Revision, e.SizeGiB, e.Type, e.IOPS, e.Throughput
			v.Modification = &Modification{From: from, To: v.Kind(), At: e.At}
			if v.Host != "" {
				tx.grow(v.Host, v.SizeGiB-from.SizeGiB)
			}
			tx.touchHolder(v, r)
		})
	case events.VolumeModified:
		tx.changeVolume(e.Volume, r, func(v *Volume) {
			m := *v.Modification
			m.Done = e.At
			v.Held, v.Modification = e.Revision, &m
		})
	case events.VolumeAutoIOSet:
		tx.changeVolume(e.Volume, r, func(v *Volume) { v.AutoIO = e.AutoIO })
	case events.VolumeKeepSet:
		tx.changeAttachment(e.Volume, r, func(a *Attachment) { a.DeleteOnTermination = !e.Keep })
	case events.SnapshotRequested:
		tx.Snapshots.put(string(e.ID), &Snapshot{SnapshotRequested: e, State: SnapshotPending, N: r.N, Request: r.Request})
	case events.SnapshotCompleted:
		tx.changeSnapshot(e.ID, r, func(s *Snapshot) { s.State, s.Detail, s.Done = SnapshotCompleted, "", e.At })
	case events.SnapshotErred:
		tx.changeSnapshot(e.ID, r, func(s *Snapshot) { s.State, s.Detail = SnapshotError, e.Detail })
	case events.SnapshotChanged:
		tx.changeSnapshot(e.ID, r, func(s *Snapshot) { s.Public, s.Accounts = e.Public, e.Accounts })
	case events.SnapshotDeleteRequested:
		tx.changeSnapshot(e.ID, r, func(s *Snapshot) { s.State = SnapshotDeleting })
		tx.Tags.del(string(e.ID))
		if e.Host != "" {
			tx.entomb(e.Host, events.SpecSnapshot, string(e.ID), r)
		}
	case events.SnapshotDeleted:
		tx.Snapshots.del(string(e.ID))
		tx.Tombstones.del(tombstoneKey(e.Host, events.SpecSnapshot, string(e.ID)))
	default:
		return false
	}
	return true
}

func (tx *Tx) changeSnapshot(id events.SnapshotID, r events.Record, f func(*Snapshot)) {
	tx.Snapshots.change(string(id), func(s *Snapshot) {
		f(s)
		s.N = r.N
		if r.Request != "" {
			s.Request = r.Request
		}
	})
}

// touchHolder notes that the instance that has a volume has to be told.
func (tx *Tx) touchHolder(v *Volume, r events.Record) {
	if v.Attachment != nil {
		tx.touchInstance(v.Attachment.Instance, r)
	}
}

func (tx *Tx) grow(h events.HostID, gib int) {
	tx.Stores.change(string(h), func(s *Store) { s.UsedGiB += gib })
}

// touchInstance notes that what nodes must do of an instance has changed: its
// specs name its volumes, and a spec's number only rises.
func (tx *Tx) touchInstance(id events.InstanceID, r events.Record) {
	if _, ok := tx.Instances.Get(string(id)); ok {
		tx.Instances.change(string(id), func(i *Instance) { i.N = r.N })
	}
}

func (tx *Tx) store(h events.HostID, gib, sign int) {
	tx.Stores.change(string(h), func(s *Store) {
		s.UsedGiB += sign * gib
		s.Count += sign
	})
}

func (tx *Tx) changeVolume(id events.VolumeID, r events.Record, f func(*Volume)) {
	tx.Volumes.change(string(id), func(v *Volume) {
		f(v)
		v.N = r.N
		if r.Request != "" {
			v.Request = r.Request
		}
	})
}

// raise changes a volume at a higher epoch.
func (tx *Tx) raise(id events.VolumeID, epoch uint64, r events.Record, f func(*Volume)) {
	tx.changeVolume(id, r, func(v *Volume) {
		must(epoch > v.Epoch, r, "the epoch of a volume does not rise")
		v.Epoch = epoch
		f(v)
	})
}

func (tx *Tx) changeAttachment(id events.VolumeID, r events.Record, f func(*Attachment)) {
	tx.changeVolume(id, r, func(v *Volume) {
		a := *v.Attachment
		f(&a)
		v.Attachment = &a
	})
}
