package memory_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/memory"
)

const natMAC = "0a:00:00:00:00:77"

// withNAT adds a NAT gateway at 10.0.9.9 in a subnet of its own, which leads
// outside, and leads subnet 12 there.
func (w *ways) withNAT() {
	n := &w.tables.Networks[0]
	n.Subnets = append(n.Subnets, events.SubnetPart{Number: 13, CIDR: netip.MustParsePrefix("10.0.9.0/24"), Table: 7, ACL: "acl-3"})
	n.ACLs = append(n.ACLs, events.ACLPart{ACL: "acl-3", Entries: openACL()})
	n.Tables = append(n.Tables, events.TablePart{Number: 7, Routes: routesOut()})
	n.Tables[1].Routes[1] = events.RoutePart{Destination: anywhere, Kind: events.RouteInterface, MAC: natMAC}
	w.tables.Mappings = append(w.tables.Mappings, events.MappingSpec{Interface: "e7", VNI: 7, MAC: natMAC, Addresses: []netip.Addr{ip("10.0.9.9")}, Subnet: 13, Host: address(2)})
	w.apply()
	gateway := w.tables
	gateway.NATs = []events.NATSpec{{Gateway: "nat-1", VNI: 7, MAC: natMAC, Address: ip("10.0.9.9"), Subnet: 13}}
	if err := w.nodes[2].Apply(gateway); err != nil {
		w.Fatal(err)
	}
	if err := w.nodes[2].PutPublic(events.PublicSpec{Address: ip("198.18.0.20"), Interface: "e7", VNI: 7, Private: ip("10.0.9.9"), MAC: natMAC, Host: address(2), Announce: true, Epoch: 1}); err != nil {
		w.Fatal(err)
	}
	if err := w.nodes[0].Apply(gateway); err == nil {
		w.Error("a host took a NAT gateway")
	}
	w.nodes[0].Apply(w.tables)
}

// What guests without a public address send leaves as the NAT gateway's, and only
// answers come back.
func TestNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWays(t)
		w.withNAT()
		sport := w.fresh()
		out := w.udp("e3", "", "203.0.113.9", sport, 53)
		if out.Way != memory.ToUplink {
			t.Fatalf("%v %v", out.Way, out.Reason)
		}
		from := netip.AddrFrom4([4]byte(out.Frame[26:30]))
		port := uint16(out.Frame[34])<<8 | uint16(out.Frame[35])
		if from != ip("198.18.0.20") || port < 1024 {
			t.Errorf("it left as %s", ends(out.Frame))
		}
		again := w.udp("e3", "", "203.0.113.9", sport, 53)
		if ends(again.Frame) != ends(out.Frame) {
			t.Errorf("the flow left as %s, and then as %s", ends(out.Frame), ends(again.Frame))
		}
		other := w.udp("e3", "", "203.0.113.9", w.fresh(), 53)
		if ends(other.Frame) == ends(out.Frame) {
			t.Errorf("two flows leave as %s", ends(out.Frame))
		}
		back := w.enter("203.0.113.9", "198.18.0.20", 53, port)
		w.arrives(back, "e3")
		if back.Way == memory.ToTap && ends(back.Frame) != netip.AddrPortFrom(ip("203.0.113.9"), 53).String()+">"+netip.AddrPortFrom(w.ports["e3"].PrivateIP, sport).String() {
			t.Errorf("the answer is %s", ends(back.Frame))
		}
		w.stops(w.enter("203.0.113.10", "198.18.0.20", 53, port), datapath.NoMapping) // another one's port
		w.stops(w.enter("203.0.113.9", "198.18.0.20", 54, port), datapath.NoMapping)
		w.stops(w.enter("203.0.113.9", "198.18.0.20", 53, 1), datapath.NoMapping)
		time.Sleep(351 * time.Second)
		w.stops(w.enter("203.0.113.9", "198.18.0.20", 53, port), datapath.NoMapping)

		// What stays in the VPC does not pass it.
		w.arrives(w.udp("e3", "", "10.0.1.11", w.fresh(), 53), "e1")
		// It has a subnet, and that a network ACL.
		w.tables.Networks[0].ACLs[2].Entries = nil
		gateway := w.tables
		gateway.NATs = []events.NATSpec{{Gateway: "nat-1", VNI: 7, MAC: natMAC, Address: ip("10.0.9.9"), Subnet: 13}}
		if err := w.nodes[2].Apply(gateway); err != nil {
			t.Fatal(err)
		}
		w.stops(w.udp("e3", "", "203.0.113.9", w.fresh(), 53), datapath.ACLRule)
	})
}

// A NAT gateway without a public address speaks for its VPC within reach of its
// routes, and no further.
func TestPrivateNAT(t *testing.T) {
	w := newWays(t)
	w.withNAT()
	if err := w.nodes[2].DeletePublic(ip("198.18.0.20")); err != nil {
		t.Fatal(err)
	}
	w.stops(w.udp("e3", "", "203.0.113.9", w.fresh(), 53), datapath.NoPublic)

	// Its subnet's routes lead to an appliance.
	w.tables.Networks[0].Tables[2].Routes[1] = events.RoutePart{Destination: anywhere, Kind: events.RouteInterface, MAC: w.ports["e1"].MAC}
	p := w.ports["e1"]
	p.SourceCheck = false
	if err := w.nodes[0].PutPort(p); err != nil {
		t.Fatal(err)
	}
	w.tables.Mappings[0].SourceCheck = false
	w.apply()
	gateway := w.tables
	gateway.NATs = []events.NATSpec{{Gateway: "nat-1", VNI: 7, MAC: natMAC, Address: ip("10.0.9.9"), Subnet: 13}}
	if err := w.nodes[2].Apply(gateway); err != nil {
		t.Fatal(err)
	}
	out := w.udp("e3", "", "203.0.113.9", w.fresh(), 53)
	w.arrives(out, "e1")
	if out.Way == memory.ToTap && netip.AddrFrom4([4]byte(out.Frame[26:30])) != ip("10.0.9.9") {
		t.Errorf("it came as %s", ends(out.Frame))
	}
}

// Peers reach each other by a route to the peer on both sides, as the rules of
// their groups say, and nobody else does.
func TestPeering(t *testing.T) {
	w := newWays(t)
	other := events.NetworkSpec{VPC: "vpc-2", VNI: 8, Blocks: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")}, Gateways: []netip.Addr{address(2)},
		Subnets: []events.SubnetPart{{Number: 21, CIDR: netip.MustParsePrefix("10.8.1.0/24"), Table: 9}}, Tables: []events.TablePart{{Number: 9, Routes: []events.RoutePart{
			{Destination: netip.MustParsePrefix("10.8.0.0/16"), Kind: events.RouteLocal}}}}}
	w.tables.Networks = append(w.tables.Networks, other)
	w.port(0, "e5", 8, 21, "10.8.1.5", true)
	w.port(1, "e6", 8, 21, "10.8.1.6", true)
	w.apply()
	w.stops(w.udp("e5", "", "10.0.1.11", w.fresh(), 53), datapath.NoRoute)

	a, b := &w.tables.Networks[0], &w.tables.Networks[1]
	b.Tables[0].Routes = append(b.Tables[0].Routes, events.RoutePart{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RoutePeer, VNI: 7})
	w.apply()
	w.stops(w.udp("e5", "", "10.0.2.13", w.fresh(), 53), datapath.NotHere) // no peer for the other host

	a.Peers, b.Peers = []events.PeerPart{{VPC: "vpc-2", VNI: 8}}, []events.PeerPart{{VPC: "vpc-1", VNI: 7}}
	w.apply()
	p := w.fresh()
	w.arrives(w.udp("e5", "", "10.0.2.13", p, 53), "e3")
	w.arrives(w.udp("e6", "", "10.0.2.13", w.fresh(), 53), "e3")
	w.arrives(w.udp("e5", "", "10.0.1.11", w.fresh(), 53), "e1")
	if v := w.udp("e3", "", "10.8.1.5", 53, p); v.Way == memory.ToTap {
		t.Errorf("an answer without a route came to %s", v.Interface)
	}
	for i := range 2 {
		a.Tables[i].Routes = append(a.Tables[i].Routes, events.RoutePart{Destination: netip.MustParsePrefix("10.8.0.0/16"), Kind: events.RoutePeer, VNI: 8})
	}
	w.apply()
	w.arrives(w.udp("e3", "", "10.8.1.5", 53, p), "e5")
	w.stops(w.udp("e5", "10.8.1.6", "10.0.2.13", w.fresh(), 53), datapath.SourceAddress)

	// A group of the peer is a source like any other.
	w.tables.Groups = append(w.tables.Groups, events.GroupSpec{Number: 2, Rules: []events.RulePart{{Protocol: -1, Group: 3}}}, events.GroupSpec{Number: 3})
	e3 := w.ports["e3"]
	e3.Groups = []uint32{2}
	if err := w.nodes[1].PutPort(e3); err != nil {
		t.Fatal(err)
	}
	w.apply()
	w.stops(w.udp("e5", "", "10.0.2.13", w.fresh(), 53), datapath.IngressRule)
	for i := range w.tables.Mappings {
		if w.tables.Mappings[i].Interface == "e5" {
			w.tables.Mappings[i].Groups = []uint32{1, 3}
		}
	}
	w.apply()
	w.arrives(w.udp("e5", "", "10.0.2.13", w.fresh(), 53), "e3")
	w.stops(w.udp("e6", "", "10.0.2.13", w.fresh(), 53), datapath.IngressRule)
}

// What comes in by a gateway with a route table of its own goes to the appliance
// that it names, and may come from there.
func TestEdge(t *testing.T) {
	w := newWays(t)
	w.tables.Mappings[1].SourceCheck = false // e2 is the appliance
	e2 := w.ports["e2"]
	e2.SourceCheck = false
	if err := w.nodes[0].PutPort(e2); err != nil {
		t.Fatal(err)
	}
	w.apply()
	e3 := w.ports["e3"]
	spec := events.PublicSpec{Address: ip("198.18.0.16"), Interface: "e3", VNI: 7, Private: e3.PrivateIP, MAC: e3.MAC, Host: address(1), Announce: true, Epoch: 1}
	put := func() {
		t.Helper()
		if err := w.nodes[2].PutPublic(spec); err != nil {
			t.Fatal(err)
		}
	}
	put()
	w.arrives(w.enter("203.0.113.9", "198.18.0.16", w.fresh(), 53), "e3")
	w.stops(w.udp("e2", "10.0.2.13", "203.0.113.9", w.fresh(), 53), datapath.Sender)
	spec.Via = &events.Hop{MAC: e2.MAC, Host: address(0)}
	put()
	w.arrives(w.enter("203.0.113.9", "198.18.0.16", w.fresh(), 53), "e2")
	for _, from := range []events.InterfaceID{"e2", "e3"} {
		if v := w.udp(from, "10.0.2.13", "203.0.113.9", w.fresh(), 53); v.Way != memory.ToUplink {
			t.Errorf("from %s: %v %v", from, v.Way, v.Reason)
		}
	}
}

// IPv6 leaves as it is. By an internet gateway others come in, by an egress-only
// one answers alone.
func TestOutside6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWays(t)
		six, them := ip("fd00:7::11"), ip("2001:db8::9")
		everywhere6 := netip.MustParsePrefix("::/0")
		for i := range w.tables.Networks[0].ACLs {
			for _, egress := range []bool{false, true} {
				w.tables.Networks[0].ACLs[i].Entries = append(w.tables.Networks[0].ACLs[i].Entries, events.ACLEntry{Number: 101, Egress: egress, Protocol: -1, CIDR: everywhere6})
			}
		}
		w.tables.Groups[0].Rules = append(w.tables.Groups[0].Rules, events.RulePart{Protocol: -1, CIDR: everywhere6}, events.RulePart{Egress: true, Protocol: -1, CIDR: everywhere6})
		w.tables.Mappings[0].Addresses = append(w.tables.Mappings[0].Addresses, six)
		way := func(k events.RouteKind, inward bool) {
			t.Helper()
			n := &w.tables.Networks[0]
			n.Tables[0].Routes = append(routesOut(), events.RoutePart{Destination: everywhere6, Kind: k})
			n.Inward = inward
			w.apply()
		}
		e1 := w.ports["e1"]
		leave := func(sport, dport uint16) memory.Verdict {
			return w.wire.Send(w.nodes[0], "e1", datagram6(t, e1.RouterMAC, e1.MAC, six, them, 17, 64, udp6(sport, dport)...))
		}
		enter := func(sport, dport uint16) memory.Verdict {
			return w.wire.Enter(w.nodes[2], datagram6(t, "02:00:00:00:00:01", "02:00:00:00:00:02", them, six, 17, 64, udp6(sport, dport)...))
		}
		outside := func(v memory.Verdict) {
			t.Helper()
			if v.Way != memory.ToUplink || netip.AddrFrom16([16]byte(v.Frame[22:38])) != six {
				t.Errorf("%v %v", v.Way, v.Reason)
			}
		}
		way(events.RouteGateway, true)
		outside(leave(w.fresh(), 53))
		w.arrives(enter(w.fresh(), 53), "e1")

		way(events.RouteEgress, true)
		p := w.fresh()
		w.stops(enter(53, p), datapath.NoPublic)
		outside(leave(p, 53))
		w.arrives(enter(53, p), "e1")
		w.stops(enter(54, p), datapath.NoPublic)
		time.Sleep(351 * time.Second)
		w.stops(enter(53, p), datapath.NoPublic)

		way(events.RouteGateway, false)
		w.stops(leave(w.fresh(), 53), datapath.NoGateway)
	})
}
