package memory_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/memory"
)

// ways is two nodes and a gateway with a VPC on them:
//
//	node 0: e1 10.0.1.11, e2 10.0.1.12 (subnet 11)   node 1: e3 10.0.2.13 (subnet 12)
type ways struct {
	*testing.T
	*lab
	tables datapath.Tables
	ports  map[events.InterfaceID]events.PortSpec
	at     map[events.InterfaceID]int
	sport  uint16
}

var anywhere = netip.MustParsePrefix("0.0.0.0/0")

func newWays(t *testing.T) *ways {
	w := &ways{T: t, lab: open(t).(*lab), ports: map[events.InterfaceID]events.PortSpec{}, at: map[events.InterfaceID]int{}, sport: 20000}
	w.tables = datapath.Tables{Nodes: []netip.Addr{address(0), address(1), address(2)},
		Networks: []events.NetworkSpec{{VPC: "vpc-1", VNI: 7, Blocks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Gateway: address(2), Gateways: []netip.Addr{address(2)},
			Subnets: []events.SubnetPart{{Number: 11, CIDR: netip.MustParsePrefix("10.0.1.0/24"), Table: 5, ACL: "acl-1"}, {Number: 12, CIDR: netip.MustParsePrefix("10.0.2.0/24"), Table: 6, ACL: "acl-2"}},
			ACLs:    []events.ACLPart{{ACL: "acl-1", Entries: openACL()}, {ACL: "acl-2", Entries: openACL()}},
			Tables:  []events.TablePart{{Number: 5, Routes: routesOut()}, {Number: 6, Routes: routesOut()}}}},
		Groups: []events.GroupSpec{{Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: anywhere}, {Protocol: -1, CIDR: anywhere}}}}}
	w.port(0, "e1", 7, 11, "10.0.1.11", true)
	w.port(0, "e2", 7, 11, "10.0.1.12", true)
	w.port(1, "e3", 7, 12, "10.0.2.13", true)
	return w
}

func openACL() []events.ACLEntry {
	return []events.ACLEntry{{Number: 100, Protocol: -1, CIDR: anywhere}, {Number: 100, Egress: true, Protocol: -1, CIDR: anywhere}}
}

func routesOut() []events.RoutePart {
	return []events.RoutePart{{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RouteLocal}, {Destination: anywhere, Kind: events.RouteGateway}}
}

// port gives a node a guest.
func (w *ways) port(node int, id events.InterfaceID, vni, subnet uint32, ip string, check bool) {
	w.Helper()
	a := netip.MustParseAddr(ip)
	p := events.PortSpec{Interface: id, VNI: vni, Tap: "t-" + string(id), MAC: "0a:00:00:00:01:0" + string(id[1]), PrivateIP: a, Subnet: subnet, Groups: []uint32{1}, SourceCheck: check, MTU: 9001,
		Router: a, RouterMAC: events.RouterMAC(subnet), Resolver: netip.MustParseAddr("10.0.0.2")}
	w.ports[id], w.at[id] = p, node
	if err := w.nodes[node].PutPort(p); err != nil {
		w.Fatal(err)
	}
	w.tables.Mappings = append(w.tables.Mappings, events.MappingSpec{Interface: id, VNI: vni, MAC: p.MAC, Addresses: []netip.Addr{a}, Subnet: subnet, Host: address(node), Groups: []uint32{1}, SourceCheck: check})
}

func (w *ways) apply() {
	w.Helper()
	for _, n := range w.nodes {
		if err := n.Apply(w.tables); err != nil {
			w.Fatal(err)
		}
	}
}

// fresh is a port that no flow knows.
func (w *ways) fresh() uint16 { w.sport++; return w.sport }

// udp sends a datagram through the router of a guest's subnet.
func (w *ways) udp(from events.InterfaceID, src, dst string, sport, dport uint16) memory.Verdict {
	w.Helper()
	p := w.ports[from]
	if src == "" {
		src = p.PrivateIP.String()
	}
	return w.wire.Send(w.nodes[w.at[from]], from, datagram(w, p.RouterMAC, p.MAC, src, dst, sport, dport))
}

// enter sends a datagram from outside.
func (w *ways) enter(src, dst string, sport, dport uint16) memory.Verdict {
	w.Helper()
	return w.wire.Enter(w.nodes[2], datagram(w, "02:00:00:00:00:01", "02:00:00:00:00:02", src, dst, sport, dport))
}

func datagram(t testing.TB, dst, src, from, to string, sport, dport uint16) []byte {
	t.Helper()
	f := make([]byte, 14+20+8)
	for i, m := range []string{dst, src} {
		a, err := datapath.MAC(m)
		if err != nil {
			t.Fatal(err)
		}
		copy(f[6*i:], a[:])
	}
	f[12] = 8
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	a, b := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	copy(ip[12:], a[:])
	copy(ip[16:], b[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(ip[20:], sport)
	binary.BigEndian.PutUint16(ip[22:], dport)
	binary.BigEndian.PutUint16(ip[24:], 8)
	return f
}

// ends reads addresses and ports of a frame: from:port>to:port.
func ends(f []byte) string {
	a, b := netip.AddrFrom4([4]byte(f[26:30])), netip.AddrFrom4([4]byte(f[30:34]))
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(f[34:])).String() + ">" + netip.AddrPortFrom(b, binary.BigEndian.Uint16(f[36:])).String()
}

func (w *ways) arrives(v memory.Verdict, at events.InterfaceID) {
	w.Helper()
	if v.Way != memory.ToTap || v.Interface != at {
		w.Errorf("it went to the %v of %q (%v), not to %s", v.Way, v.Interface, v.Reason, at)
	}
}

func (w *ways) stops(v memory.Verdict, why datapath.Reason) {
	w.Helper()
	if v.Way != memory.Dropped || v.Reason != why {
		w.Errorf("it went to the %v of %q (%v), should be dropped: %v", v.Way, v.Interface, v.Reason, why)
	}
}

// A network ACL is asked in both directions, for answers too, in the order of
// its rules, and never within a subnet.
func TestNetworkACL(t *testing.T) {
	w := newWays(t)
	acl := func(i int, entries ...events.ACLEntry) {
		w.tables.Networks[0].ACLs[i].Entries = entries
		w.apply()
	}
	entry := func(n int, egress, deny bool, protocol, from, to int, cidr string) events.ACLEntry {
		return events.ACLEntry{Number: n, Egress: egress, Deny: deny, Protocol: protocol, From: from, To: to, CIDR: netip.MustParsePrefix(cidr)}
	}
	w.apply()
	p := w.fresh()
	w.arrives(w.udp("e1", "", "10.0.2.13", p, 53), "e3")
	w.arrives(w.udp("e3", "", "10.0.1.11", 53, p), "e1")

	acl(1) // no rule: nothing passes
	w.stops(w.udp("e1", "", "10.0.2.13", p, 53), datapath.ACLRule)
	w.stops(w.udp("e3", "", "10.0.1.11", 53, p), datapath.ACLRule) // a flow that is known
	w.arrives(w.udp("e1", "", "10.0.1.12", w.fresh(), 53), "e2")

	acl(1, entry(10, false, true, 17, 53, 53, "10.0.1.11/32"), entry(20, false, false, 17, 50, 60, "10.0.0.0/16"), entry(10, true, false, -1, -1, -1, "0.0.0.0/0"))
	w.stops(w.udp("e1", "", "10.0.2.13", w.fresh(), 53), datapath.ACLRule)
	w.arrives(w.udp("e2", "", "10.0.2.13", w.fresh(), 53), "e3")
	w.stops(w.udp("e2", "", "10.0.2.13", w.fresh(), 61), datapath.ACLRule)

	// The answer asks as well: its port is that of who asked.
	p = w.fresh()
	acl(1, entry(20, false, false, 17, 53, 53, "10.0.0.0/16"), entry(10, true, false, 17, 1024, 9999, "10.0.0.0/16"))
	w.arrives(w.udp("e1", "", "10.0.2.13", p, 53), "e3")
	w.stops(w.udp("e3", "", "10.0.1.11", 53, p), datapath.ACLRule)
	acl(1, entry(20, false, false, 17, 53, 53, "10.0.0.0/16"), entry(10, true, false, 17, int(p), int(p), "10.0.0.0/16"))
	w.arrives(w.udp("e3", "", "10.0.1.11", 53, p), "e1")

	// On the way outside and back it is asked too.
	if err := w.nodes[2].PutPublic(events.PublicSpec{Address: netip.MustParseAddr("198.18.0.16"), Interface: "e3", VNI: 7, Private: w.ports["e3"].PrivateIP, MAC: w.ports["e3"].MAC, Host: address(1), Announce: true, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
	w.stops(w.udp("e3", "", "203.0.113.9", w.fresh(), 53), datapath.ACLRule)
	w.stops(w.enter("203.0.113.9", "198.18.0.16", w.fresh(), 53), datapath.ACLRule)
	acl(1, openACL()...)
	w.arrives(w.enter("203.0.113.9", "198.18.0.16", w.fresh(), 53), "e3")
	if v := w.udp("e3", "", "203.0.113.9", w.fresh(), 53); v.Way != memory.ToUplink {
		t.Errorf("%v %v", v.Way, v.Reason)
	}
}
