package region

import (
	"net/netip"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
	"skerry/services/storage"
)

var nodeKinds = map[string]bool{"compute": true, "network": true, "gateway": true, "storage": true}

// JoinNode takes a node into the region, or notes its new incarnation.
func JoinNode(v *state.View, s events.Stamp, c events.JoinNode) ([]events.Event, error) {
	if !nodeKinds[c.Kind] {
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not a kind of node: use compute, network, gateway or storage.", c.Kind)
	}
	if _, ok := v.Zones.Get(string(c.Zone)); !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid availability zone: [%s]", c.Zone)
	}
	if c.Host == "" || c.Boot == "" {
		return nil, events.Faultf("MissingParameter", "A node needs a host name and a boot id.")
	}
	if !word.MatchString(string(c.Host)) {
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not a host name: use up to 64 letters, digits, - and _.", c.Host)
	}
	if c.Capacity.VCPUs < 0 || c.Capacity.MemoryMiB < 0 || c.Capacity.DiskGiB < 0 {
		return nil, events.Faultf("InvalidParameterValue", "The capacity of '%s' is negative.", c.Host)
	}
	switch c.Kind {
	case "network", "gateway":
		if _, err := netip.ParseAddr(c.Address); err != nil && c.Address != "" {
			return nil, events.Faultf("InvalidParameterValue", "'%s' is not the address of a %s node: use one like 10.0.0.7.", c.Address, c.Kind)
		}
	case "storage":
		if _, err := netip.ParseAddrPort(c.Address); err != nil && c.Address != "" {
			return nil, events.Faultf("InvalidParameterValue", "'%s' is not the portal of a storage node: use one like 10.0.0.7:3260.", c.Address)
		}
	}
	for _, n := range v.Nodes.All() {
		if n.Host == c.Host && n.Zone != c.Zone {
			return nil, events.Faultf("InvalidParameterValue", "The host '%s' belongs to zone '%s': names are unique in a region.", c.Host, n.Zone)
		}
	}
	var out []events.Event
	if n, ok := v.Nodes.Get(state.NodeKey(c.Host, c.Kind)); ok && n.Boot == c.Boot && n.Capacity == c.Capacity && n.Accel == c.Accel && n.Address == c.Address && !n.Lost {
		return nil, nil
	}
	out = append(out, events.NodeJoined{Host: c.Host, Kind: c.Kind, Zone: c.Zone, Boot: c.Boot, Address: c.Address,
		Capacity: c.Capacity, Accel: c.Accel, At: s.Time})
	if c.Kind == "storage" {
		out = append(out, storage.Restarted(v, c.Host, c.Boot)...)
	}
	out = append(out, recovered(v, c.Zone, s)...)
	return append(out, elected(v, s, c.Kind, out)...), nil
}

// elected names gateways anew after events that concern gateway nodes.
func elected(v *state.View, s events.Stamp, kind string, after []events.Event) []events.Event {
	if kind != "gateway" {
		return nil
	}
	tx := v.Fork()
	for _, e := range after {
		tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
	}
	return network.Elect(&tx.View)
}

// ReportNodeLost takes silent nodes out of placement. A zone that fell silent as
// a whole is its own verdict; otherwise at most half of a zone's nodes may be
// declared lost, since a region that sees less than that is likely blind itself.
func ReportNodeLost(v *state.View, s events.Stamp, c events.ReportNodeLost) ([]events.Event, error) {
	z, ok := v.Zones.Get(string(c.Zone))
	if !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid availability zone: [%s]", c.Zone)
	}
	total, lost := 0, 0
	for n := range v.NodesOf(c.Zone) {
		total++
		if n.Lost {
			lost++
		}
	}
	var out []events.Event
	gateways := ""
	for _, k := range c.Nodes {
		n, ok := v.Nodes.Get(state.NodeKey(k.Host, k.Kind))
		if !ok || n.Zone != c.Zone || n.Lost {
			continue
		}
		if !c.Whole && lost+len(out) >= lostCap(total) {
			break
		}
		out = append(out, events.NodeLost{Host: n.Host, Kind: n.Kind, Zone: n.Zone, At: s.Time})
		if n.Kind == "gateway" {
			gateways = n.Kind
		}
	}
	if c.Whole && lost+len(out) == total && !z.Impaired {
		out = append(out, events.ZoneImpaired{Zone: c.Zone, At: s.Time})
	}
	return append(out, elected(v, s, gateways, out)...), nil
}

// lostCap is how many nodes of a zone may be lost without the zone as a whole.
// A host has three programs: the smallest zone may lose one host.
func lostCap(total int) int { return max(total/2, 3) }

// ReportNodeBack ends a loss.
func ReportNodeBack(v *state.View, s events.Stamp, c events.ReportNodeBack) ([]events.Event, error) {
	n, ok := v.Nodes.Get(state.NodeKey(c.Node.Host, c.Node.Kind))
	if !ok || !n.Lost {
		return nil, nil
	}
	out := []events.Event{events.NodeReturned{Host: n.Host, Kind: n.Kind, Zone: n.Zone, Boot: c.Boot, At: s.Time}}
	if n.Kind == "storage" {
		out = append(out, storage.Restarted(v, n.Host, c.Boot)...)
	}
	out = append(out, recovered(v, n.Zone, s)...)
	return append(out, elected(v, s, n.Kind, out)...), nil
}

func recovered(v *state.View, z events.Zone, s events.Stamp) []events.Event {
	if row, _ := v.Zones.Get(string(z)); row.Impaired {
		return []events.Event{events.ZoneRecovered{Zone: z, At: s.Time}}
	}
	return nil
}
