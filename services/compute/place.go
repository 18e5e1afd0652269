package compute

import (
	"skerry/events"
	"skerry/services/state"
)

// PlaceInstances takes what is still true of a proposal: an instance that still
// waits, on a host of its zone that is up and still has room. A proposal that
// no longer holds is dropped; the scheduler proposes again from newer state.
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
			if free, usable := tx.Free(h); usable && Fits(free, i.Need) {
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

// noHost ends an instance that no host can take any more: its reservation was
// true when made, and a host was lost since. The scheduler's word is checked
// against every host.
func noHost(tx *state.Tx, s events.Stamp, i *state.Instance) []events.Event {
	for h := range tx.HostsOf(i.Zone) {
		if free, usable := tx.Free(h); usable && Fits(free, i.Need) {
			return nil
		}
	}
	return end(&tx.View, i, s, events.Reason{Code: "Server.InsufficientInstanceCapacity",
		Message: "Server.InsufficientInstanceCapacity: There was insufficient capacity available to satisfy the launch request."}, "")
}
