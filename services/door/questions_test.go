package door

import (
	"fmt"
	"slices"
	"testing"

	"skerry/events"
	"skerry/services/state"
)

// A volume that could not be made is not missed: it is in error, and was never
// held. One that was held is.
func TestWantVolumes(t *testing.T) {
	tx := state.New()
	for n, e := range []events.Event{
		events.NodeJoined{Host: "isle-1a-1", Kind: "storage", Capacity: events.Capacity{DiskGiB: 10}},
		events.VolumeRequested{ID: "vol-1", SizeGiB: 1},
		events.VolumePlaced{Volume: "vol-1", Host: "isle-1a-1", Epoch: 1},
		events.VolumeRequested{ID: "vol-2", SizeGiB: 1},
		events.VolumePlaced{Volume: "vol-2", Host: "isle-1a-1", Epoch: 1},
		events.VolumeErred{Volume: "vol-2"},
		events.VolumeRequested{ID: "vol-3", SizeGiB: 1},
		events.VolumePlaced{Volume: "vol-3", Host: "isle-1a-1", Epoch: 1},
		events.VolumeConfirmed{Volume: "vol-3", Epoch: 1},
		events.VolumeAvailable{Volume: "vol-3"},
		events.VolumeErred{Volume: "vol-3"},
	} {
		tx.Apply(events.Record{N: uint64(n + 1), Event: e})
	}
	expect(t, tx, "volume vol-1 creating", "volume vol-2 error", "volume vol-3 epoch 1")
}

// Of a storage node the region wants each snapshot there: whole ones, those that
// are being made, and the absence of those that are deleted.
func TestWantSnapshots(t *testing.T) {
	tx := state.New()
	for n, e := range []events.Event{
		events.SnapshotRequested{ID: "snap-1", Host: "isle-1a-1", SizeGiB: 1},
		events.SnapshotCompleted{ID: "snap-1"},
		events.SnapshotRequested{ID: "snap-2", Host: "isle-1a-1", SizeGiB: 1},
		events.SnapshotRequested{ID: "snap-3", Host: "isle-1a-1", SizeGiB: 1},
		events.SnapshotErred{ID: "snap-3"},
		events.SnapshotRequested{ID: "snap-4", Host: "isle-1a-1", SizeGiB: 1},
		events.SnapshotDeleteRequested{ID: "snap-4", Host: "isle-1a-1"},
		events.SnapshotRequested{ID: "snap-5", Host: "isle-1a-2", SizeGiB: 1},
	} {
		tx.Apply(events.Record{N: uint64(n + 1), Event: e})
	}
	expect(t, tx, "snapshot snap-1 epoch 1", "snapshot snap-2 pending", "snapshot snap-3 error", "snapshot snap-4 gone")
}

// expect compares what the storage node of isle-1a-1 should hold.
func expect(t *testing.T, tx *state.Tx, objects ...string) {
	t.Helper()
	out, err := want(tx.Publish(), events.NodeKey{Host: "isle-1a-1", Kind: "storage"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range out.Objects {
		got = append(got, fmt.Sprint(o.Kind, " ", o.ID, " ", o.State))
	}
	if !slices.Equal(got, objects) {
		t.Errorf("got %q, want %q", got, objects)
	}
}
