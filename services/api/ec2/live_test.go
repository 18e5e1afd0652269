package ec2

import (
	"fmt"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/state"
)

// live has the nodes of the world do what they are asked for, until the test
// ends: what clients wait for comes by itself.
func (w *world) live() {
	done := make(chan struct{})
	ctx := w.t.Context()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			w.turn()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	w.t.Cleanup(func() { <-done })
}

// turn is one round of all nodes. What they say late is refused, as ever.
func (w *world) turn() {
	say := func(c events.Command) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.do(events.Stamp{ID: events.CommandID(fmt.Sprintf("node-%d", w.drawn)), Actor: "node", Version: 1}, c)
	}
	v := w.view()
	for _, r := range v.Volumes.All() {
		report := events.ReportVolume{Host: r.Host, Volume: r.ID, Epoch: r.Epoch, Boot: r.Boot, Revision: r.Revision, Phase: events.VolumeReady}
		switch {
		case r.Host == "":
			say(events.PlaceVolumes{Placements: []events.VolumePlacement{{Volume: r.ID, Host: events.HostID(r.Zone + "-1"), Why: events.Why{Policy: "test"}}}})
		case r.State == state.VolumeDeleting:
			report.Phase = events.VolumeAbsent
			say(report)
		case r.State == state.VolumeCreating, r.Confirmed < r.Epoch, r.Attachment != nil && r.Attachment.Ended, r.Modification != nil && r.Modification.Done.IsZero():
			say(report)
		}
		if a := r.Attachment; a != nil && !a.Ended && a.State != state.Attached {
			i, _ := v.Instances.Get(string(a.Instance))
			phase := events.DiskAttached
			if a.State == state.Detaching {
				phase = events.DiskReleased
			}
			say(events.ReportDisk{Host: i.Host, Instance: i.ID, Volume: r.ID, Attachment: a.ID, Phase: phase})
		}
	}
	for _, s := range v.Snapshots.All() {
		switch s.State {
		case state.SnapshotPending:
			say(events.ReportSnapshot{Host: s.Host, Snapshot: s.ID, Phase: events.SnapshotReady})
		case state.SnapshotDeleting:
			say(events.ReportSnapshot{Host: s.Host, Snapshot: s.ID, Phase: events.SnapshotAbsent})
		}
	}
	for _, i := range v.Instances.All() {
		report := events.ReportInstance{Host: i.Host, Instance: i.ID, Generation: i.Generation, Phase: events.PhaseRunning}
		switch {
		case i.State == state.Pending && i.Host == "":
			say(events.PlaceInstances{Placements: []events.Placement{{Instance: i.ID, Host: events.HostID(i.Zone + "-1"), Why: events.Why{Policy: "test"}}}})
		case i.State == state.Pending:
			say(report)
		case i.State == state.Stopping, i.State == state.ShuttingDown:
			report.Phase = events.PhaseAbsent
			say(report)
		}
	}
}

// until waits for what the nodes bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// instanceIs waits for the state of alice's instance.
func (w *world) instanceIs(id, state string) {
	w.t.Helper()
	until(w.t, id+" is "+state, func() bool {
		return w.ok(alice, "DescribeInstances", "InstanceId.1", id).text("reservationSet/item/instancesSet/item/instanceState/name") == state
	})
}

// volumeIs waits for the state of alice's volume.
func (w *world) volumeIs(id, state string) {
	w.t.Helper()
	until(w.t, id+" is "+state, func() bool {
		return w.ok(alice, "DescribeVolumes", "VolumeId.1", id).text("volumeSet/item/status") == state
	})
}
