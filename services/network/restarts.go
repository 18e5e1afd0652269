package network

import (
	"skerry/events"
	"skerry/services/state"
)

// Stopped takes the public addresses of an instance back that are not Elastic:
// it gets others when it starts ("Public IPv4 addresses"). Interfaces that its
// host had to let go of are free: no guest has them any more.
func Stopped(v *state.View, i *state.Instance) []events.Event {
	var out []events.Event
	for _, f := range i.Interfaces(v) {
		if f.Detaching && v.Meta.Level >= events.LevelEnds {
			out = append(out, detached(f, ""))
		}
		for a := range v.PublicsOf(f.Interface.ID) {
			if a.Allocation == "" {
				out = append(out, unbound(v, a))
			}
		}
	}
	return out
}

// Starting gives the interfaces of an instance that started with public addresses
// others, where no Elastic one has taken their place.
func Starting(v *state.View, i *state.Instance) ([]events.Event, error) {
	tx := v.Fork()
	var out []events.Event
	for _, f := range i.Interfaces(v) {
		if _, has := v.PublicOf(f.Interface.ID); has || !f.Interface.Public {
			continue
		}
		e, err := Assign(&tx.View, i.Zone, i.Account, i.ID, f.Interface)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		tx.Apply(events.Record{N: tx.Meta.N, Event: e})
	}
	return out, nil
}
