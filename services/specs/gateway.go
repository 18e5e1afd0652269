package specs

import (
	"net/netip"
	"strings"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
)

// gateway gathers the public addresses of the region, as one gateway node must
// serve them; the NAT gateways of the zones that it serves; and the networks that
// it has to know the inside of.
func (c *collector) gateway() {
	defer c.tombstones(events.SpecPublic)
	if c.only != nil {
		for _, id := range c.only {
			c.gatewayOf(id)
		}
		return
	}
	for _, a := range c.v.Addresses.All() {
		c.public(a)
	}
	for _, vpc := range c.v.VPCs.All() {
		if !c.carries(vpc) {
			continue
		}
		c.vpc(vpc.ID)
		for f := range c.v.InterfacesIn(vpc.ID) {
			c.mapping(f)
		}
		for g := range c.v.NATGatewaysIn(vpc.ID) {
			c.nat(g)
		}
	}
	c.fabric()
}

func (c *collector) gatewayOf(id string) {
	gone := func(k events.SpecKind) {
		c.specs = append(c.specs, events.Spec{Kind: k, ID: id, N: c.v.Meta.N, Tombstone: true})
	}
	if a, ok := c.v.Addresses.Get(id); ok {
		c.public(a)
		return
	}
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case fabricID:
		c.fabric()
	case "vpc":
		if vpc, ok := c.v.VPCs.Get(id); ok && c.carries(vpc) {
			c.vpc(vpc.ID)
		}
	case "nat":
		if g, ok := c.v.NATGateways.Get(id); ok && c.serves(g) {
			c.nat(g)
		} else {
			gone(events.SpecNAT)
		}
	case "eni":
		f, ok := c.v.Interfaces.Get(id)
		if !ok {
			gone(events.SpecMapping)
			return
		}
		if vpc, ok := c.v.VPCs.Get(string(f.Interface.VPC)); ok && c.carries(vpc) {
			c.mapping(f)
		}
	}
}

// carries says that a gateway node has to know who is where in a VPC: it serves
// a NAT gateway of it, or brings IPv6 in, which nothing translates.
func (c *collector) carries(vpc *state.VPC) bool {
	for g := range c.v.NATGatewaysIn(vpc.ID) {
		if c.serves(g) {
			return true
		}
	}
	if !speaks6(vpc) {
		return false
	}
	for range c.v.EgressGatewaysIn(vpc.ID) {
		return true
	}
	_, out := c.v.InternetGatewayOf(vpc.ID)
	return out
}

func (c *collector) serves(g *state.NATGateway) bool {
	s, ok := c.v.Gateways.Get(string(g.Zone))
	return ok && s.Host == c.host && g.Live()
}

func speaks6(vpc *state.VPC) bool {
	for _, b := range vpc.CIDRs() {
		if b.Addr().Is6() {
			return true
		}
	}
	return false
}

func (c *collector) nat(g *state.NATGateway) {
	f, ok := c.v.Interfaces.Get(string(g.Interface))
	vpc, ok2 := c.v.VPCs.Get(string(g.VPC))
	sub, ok3 := c.v.Subnets.Get(string(g.Subnet))
	if !ok || !ok2 || !ok3 || !c.serves(g) {
		return
	}
	by, _ := c.v.Gateways.Get(string(g.Zone)) // it is this one
	c.add(events.SpecNAT, string(g.ID), max(g.N, by.N), g.Request, events.NATSpec{Gateway: g.ID, VPC: g.VPC, VNI: vpc.VNI, MAC: f.Interface.MAC,
		Address: f.Interface.PrivateIP, Subnet: sub.Number, Known: g.State == state.NATAvailable})
}

func (c *collector) public(a *state.Address) {
	f, ok := c.v.Interfaces.Get(string(a.Interface))
	if !ok {
		return // an Elastic IP address that is bound to nothing
	}
	host, ok := c.at(f)
	vpc, ok2 := c.v.VPCs.Get(string(f.Interface.VPC))
	if !ok || !ok2 {
		return // its guest has no place yet
	}
	out, ok := c.v.InternetGatewayOf(vpc.ID)
	if !ok {
		return // there is no way in
	}
	s := events.PublicSpec{Address: a.Address, Interface: a.Interface, VPC: vpc.ID, VNI: vpc.VNI, Private: a.Private, MAC: f.Interface.MAC,
		Host: host, Name: network.PublicName(c.v.Meta.Region, a.Address)}
	n := max(a.N, f.N)
	s.Epoch = a.N
	if g, ok := c.v.Gateways.Get(string(a.Zone)); ok {
		// Not the gateway's own epoch: each zone counts its own, and an Elastic
		// IP address moves between them.
		s.Announce, s.Epoch = g.Host == c.host, max(a.N, g.N)
		n = max(n, g.N)
	}
	if r, ok := c.v.RangeOf(a.Address); ok { // nobody hears of what its account does not advertise
		s.Announce, s.Epoch, n = s.Announce && r.Advertised, max(s.Epoch, r.N), max(n, r.N)
	}
	n = max(n, out.TableN)
	if t, ok := c.v.RouteTables.Get(string(out.Table)); ok {
		s.Via, n = c.via(vpc.ID, t, a.Private), max(n, vpc.N)
	}
	c.add(events.SpecPublic, a.Address.String(), n, a.Request, s)
}

// at is where an interface is on the fabric.
func (c *collector) at(f *state.Interface) (netip.Addr, bool) {
	node, ok := c.v.HostOf(f)
	if !ok {
		return netip.Addr{}, false
	}
	host, err := netip.ParseAddr(node.Address)
	return host, err == nil
}

// via is the interface that the route table of a gateway leads to on the way to
// an address, if there is one.
func (c *collector) via(vpc events.VPCID, t *state.RouteTable, to netip.Addr) *events.Hop {
	best := events.Route{}
	for _, r := range t.Routes {
		if r.Destination.Contains(to) && (!best.Destination.IsValid() || r.Destination.Bits() > best.Destination.Bits()) {
			best = r
		}
	}
	if best.Interface == "" || !network.Leads(c.v, vpc, best) {
		return nil
	}
	f, _ := c.v.Interfaces.Get(string(best.Interface))
	host, ok := c.at(f)
	if !ok {
		return nil
	}
	return &events.Hop{MAC: f.Interface.MAC, Host: host}
}
