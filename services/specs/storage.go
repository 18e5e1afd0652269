package specs

import (
	"strings"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/storage"
)

// storage gathers the volumes and the snapshots of a storage node.
func (c *collector) storage() {
	for r := range c.v.VolumesOn(c.host) {
		if r.State == state.VolumeDeleting || c.left(string(r.ID)) {
			continue // its tombstone speaks
		}
		s := events.VolumeSpec{Volume: r.ID, Account: r.Account, Zone: r.Zone, Bytes: bytesOf(r), Epoch: r.Epoch, Primary: r.Host,
			Members: []events.HostID{r.Host}, Boot: r.Boot, WriteThrough: writeThrough(r), Target: target(r.ID), KnownEpoch: r.Confirmed,
			Revision: r.Revision, KnownRevision: r.Held}
		switch {
		case r.State == state.VolumeError:
			s.Known = events.VolumeFailed
		case r.Confirmed > 0:
			s.Known = events.VolumeReady
		}
		if from, ok := c.v.Snapshots.Get(string(r.Snapshot)); ok && r.Confirmed == 0 {
			s.Source = &events.SnapshotSource{Snapshot: from.ID, Host: from.Host}
		}
		if a := r.Attachment; a != nil && !a.Ended {
			s.Attachment = &events.AttachmentGrant{Attachment: a.ID, Instance: a.Instance, Initiator: initiator(a.ID), Secret: c.secret(a.ID)}
		}
		c.add(events.SpecVolume, string(r.ID), r.N, r.Request, s)
	}
	for r := range c.v.SnapshotsOn(c.host) {
		if r.State == state.SnapshotDeleting || c.left(string(r.ID)) {
			continue
		}
		s := events.SnapshotSpec{Snapshot: r.ID, Account: r.Account, Zone: r.Zone, Volume: r.Volume, Source: r.Source, Bytes: int64(r.SizeGiB) << 30}
		switch r.State {
		case state.SnapshotCompleted:
			s.Known = events.SnapshotReady
		case state.SnapshotError:
			s.Known = events.SnapshotFailed
		}
		c.add(events.SpecSnapshot, string(r.ID), r.N, r.Request, s)
	}
	c.tombstones(events.SpecVolume, events.SpecSnapshot)
}

// iqn is the naming authority of targets and initiators (RFC 7143 section 4.2.7).
const iqn = "iqn.2026-11.io.skerry:"

func target(id events.VolumeID) string        { return iqn + string(id) }
func initiator(id events.AttachmentID) string { return iqn + string(id) }

// secret lets the relay of one attachment in.
func (c *collector) secret(id events.AttachmentID) []byte {
	return c.secrets.Derive("attachment " + string(id))
}

// Serial is the serial number of a volume's disk: its id without the dash.
func Serial(id events.VolumeID) string { return strings.ReplaceAll(string(id), "-", "") }

func bytesOf(r *state.Volume) int64 { return int64(r.SizeGiB) << 30 }

func writeThrough(r *state.Volume) bool {
	t, _ := storage.FindType(r.Type)
	return t.WriteThrough
}
