package linux

import (
	"errors"
	"fmt"
	"net/netip"

	"skerry/events"
	"skerry/network-node/datapath"
)

// image is what maps should hold: by name, key and value as bytes.
type image map[string]map[string]string

// tableMaps are the maps that Apply owns, in the order in which they are
// written: rules before the mappings that make packets ask them.
var tableMaps = []string{"rules", "subnets", "routes", "networks", "gateways", "mappings", "owners"}

// encode lays out tables as maps. What cannot be laid out is left out and
// reported: the packets concerned are dropped.
func encode(t datapath.Tables) (image, error) {
	im := image{}
	for _, m := range tableMaps {
		im[m] = map[string]string{}
	}
	put := func(m string, k, v any) { im[m][string(bytesOf(k))] = string(bytesOf(v)) }
	var bad []error
	for _, n := range t.Networks {
		if n.VNI == 0 || n.VNI >= 1<<24 {
			bad = append(bad, fmt.Errorf("network %s: identifier %d", n.VPC, n.VNI))
			continue
		}
		put("networks", n.VNI, v4(n.Gateway))
		for _, g := range n.Gateways {
			put("gateways", hostKey{n.VNI, v4(g)}, uint32(1))
		}
		for _, s := range n.Subnets {
			put("subnets", s.Number, s.Table)
		}
		for _, table := range n.Tables {
			for _, r := range table.Routes {
				if !r.Destination.Addr().Is4() {
					continue // no IPv6 yet
				}
				v := bpfRoute{}
				var err error
				switch r.Kind {
				case events.RouteLocal:
					v.Kind = routeLocal
				case events.RouteGateway:
					v.Kind = routeGateway
				case events.RouteInterface:
					v.Kind = routeInterface
					v.MAC, err = datapath.MAC(r.MAC)
				case events.RouteEgress:
					continue // of IPv6, which the programs do not speak
				case events.RouteBlackhole, events.RoutePeer: // nor do they lead to another network
					v.Kind = routeBlackhole
				default:
					err = fmt.Errorf("a route of kind %q", r.Kind)
				}
				if err != nil {
					bad = append(bad, fmt.Errorf("network %s: route to %v: %w", n.VPC, r.Destination, err))
					v = bpfRoute{Kind: routeBlackhole}
				}
				p := r.Destination.Masked()
				put("routes", prefixKey{32 + 96 + uint32(p.Bits()), table.Number, mapped(p.Addr())}, v)
			}
		}
	}
	for _, m := range t.Mappings {
		mac, err := datapath.MAC(m.MAC)
		if err == nil && (!m.Host.Is4() || len(m.Groups) > datapath.MaxGroups) {
			err = fmt.Errorf("host %v, %d groups", m.Host, len(m.Groups))
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("mapping of %s: %w", m.Interface, err))
			continue
		}
		put("mappings", macKey{VNI: m.VNI, MAC: mac}, bpfMapping{v4(m.Host), m.Subnet, flags(m.SourceCheck)})
		o := bpfOwner{Subnet: m.Subnet, MAC: mac}
		copy(o.Groups[:], m.Groups)
		for _, a := range m.Addresses {
			if a.Is4() {
				put("owners", addrKey{m.VNI, mapped(a)}, o)
			}
		}
	}
	for _, g := range t.Groups {
		var in, out bpfRules
		for _, r := range g.Rules {
			to, k := &in, uint32(1)
			if r.Egress {
				to, k = &out, 0
			}
			v, ok := rule(r)
			if !ok {
				continue
			}
			if to.Count == datapath.MaxRules {
				bad = append(bad, fmt.Errorf("group %s: more than %d rules in direction %d", g.Group, datapath.MaxRules, k))
				break
			}
			to.Rule[to.Count] = v
			to.Count++
		}
		if g.Number == 0 {
			bad = append(bad, fmt.Errorf("group %s has no number", g.Group))
			continue
		}
		put("rules", rulesKey{g.Number, 0}, out)
		put("rules", rulesKey{g.Number, 1}, in)
	}
	if len(bad) > 0 {
		return im, fmt.Errorf("datapath: tables: %w", errors.Join(bad...))
	}
	return im, nil
}

func flags(check bool) uint32 {
	if check {
		return 0
	}
	return noSourceCheck
}

// rule lays out one rule; one about IPv6 says nothing about the packets here.
func rule(r events.RulePart) (v bpfRule, ok bool) {
	switch {
	case r.Protocol == -1:
		v.Flags |= anyProtocol
	case r.Protocol < 0 || r.Protocol > 255:
		return v, false
	default:
		v.Proto = uint8(r.Protocol)
		v.From, v.To = uint16(r.From), uint16(r.To)
		if (v.Proto == 6 || v.Proto == 17) && r.From < 0 {
			v.From, v.To = 0, 65535
		}
	}
	if r.Group != 0 {
		v.Flags |= members
		v.Group = r.Group
		return v, true
	}
	if !r.CIDR.IsValid() || !r.CIDR.Addr().Is4() {
		return v, false
	}
	p := r.CIDR.Masked()
	v.Net, v.Bits = mapped(p.Addr()), uint8(96+p.Bits())
	return v, true
}

func addrOf(b addr16) netip.Addr { return netip.AddrFrom16(b).Unmap() }
