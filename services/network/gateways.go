package network

import (
	"skerry/events"
	"skerry/services/state"
)

// Elect names the gateway node of each zone anew where the one that serves it is
// lost, or where its own is back: a zone is served by its own gateway node while
// that one is up, else by another. With none up, the last one stays: its packets
// have nowhere better to go.
//
// It looks at a view in which the change that made it necessary has happened.
func Elect(v *state.View) []events.Event {
	var out []events.Event
	for _, z := range v.Zones.All() {
		var own, other *state.Node
		for n := range v.GatewayNodes() {
			switch {
			case n.Lost:
			case n.Zone == z.Zone && own == nil:
				own = n
			case n.Zone != z.Zone && other == nil:
				other = n
			}
		}
		have, served := v.Gateways.Get(string(z.Zone))
		up := false
		home := false
		if served {
			n, ok := v.Nodes.Get(state.NodeKey(have.Host, "gateway"))
			up = ok && !n.Lost
			home = up && n.Zone == z.Zone
		}
		var next *state.Node
		switch {
		case home:
		case own != nil:
			next = own
		case !up:
			next = other
		}
		if next == nil || served && next.Host == have.Host {
			continue
		}
		epoch := uint64(1)
		if served {
			epoch = have.Epoch + 1
		}
		out = append(out, events.GatewayElected{Zone: z.Zone, Host: next.Host, Epoch: epoch})
	}
	return out
}
