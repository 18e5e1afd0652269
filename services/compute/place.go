package compute

import (
	"skerry/events"
	"skerry/internal/planted"
	"skerry/services/state"
)

// PlaceInstances takes what is still true of a proposal: an instance that still
// waits, on a host of its zone that is up and still has room for it beside its
// placement group. A proposal that no longer holds is dropped; the scheduler
// proposes again from newer state.
func PlaceInstances(v *state.View, s events.Stamp, c events.PlaceInstances) ([]events.Event, error) {
	tx := v.Fork()
	var out []events.Event
	for _, p := range c.Placements {
		i, ok := tx.Instances.Get(string(p.Instance))
		if !ok || i.Host != "" || i.State != state.Pending {
			continue
		}
		var made []events.Event
		if p.Host == "" {
			made = noHost(tx, s, i)
		} else if h, ok := tx.Hosts.Get(string(p.Host)); ok && h.Zone == i.Zone {
			_, usable := tx.Free(h)
			if takes(&tx.View, h, i) || usable && planted.On(planted.CapacityUnchecked) {
				made = []events.Event{events.InstancePlaced{Instance: i.ID, Zone: i.Zone, Host: h.Host, Why: p.Why}}
			}
		}
		for _, e := range made {
			out = append(out, e)
			tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
		}
	}
	return out, nil
}

// takes says that a host can have an instance: it has the room, nothing it may
// not be with, and owes the end of no guest of that name.
func takes(v *state.View, h *state.Host, i *state.Instance) bool {
	free, usable := v.Free(h)
	_, owes := v.Tombstones.Get(string(h.Host) + "/" + string(events.SpecInstance) + "/" + string(i.ID))
	return usable && !owes && Fits(free, i.Need) && v.MemberOf(i).Apart(v.MembersOn(h.Host)) == ""
}

// noHost ends an instance that no host can take any more, or stops it again: its
// reservation was true when made, and a host was lost since. The scheduler's word
// is checked against every host.
func noHost(tx *state.Tx, s events.Stamp, i *state.Instance) []events.Event {
	for h := range tx.HostsOf(i.Zone) {
		if takes(&tx.View, h, i) {
			return nil
		}
	}
	why := events.Reason{Code: "Server.InsufficientInstanceCapacity",
		Message: "Server.InsufficientInstanceCapacity: There was insufficient capacity available to satisfy the launch request."}
	if i.Generation > 1 {
		return stopped(&tx.View, i, s, why, "")
	}
	return end(&tx.View, i, s, why, "")
}
