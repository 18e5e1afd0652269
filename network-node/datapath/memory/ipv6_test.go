package memory_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/memory"
)

var ip = netip.MustParseAddr

// datagram6 is an IPv6 packet with some payload.
func datagram6(t *testing.T, dst, src string, from, to netip.Addr, proto, hops byte, payload ...byte) []byte {
	t.Helper()
	f := make([]byte, 14+40+len(payload))
	for i, m := range []string{dst, src} {
		a, err := datapath.MAC(m)
		if m == multicast {
			a, err = [6]byte{0x33, 0x33, 0xff, 0, 0, 6}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(f[6*i:], a[:])
	}
	f[12], f[13], f[14], f[20], f[21] = 0x86, 0xdd, 0x60, proto, hops
	binary.BigEndian.PutUint16(f[18:], uint16(len(payload)))
	copy(f[22:], from.AsSlice())
	copy(f[38:], to.AsSlice())
	copy(f[54:], payload)
	return f
}

const multicast = "33:33:ff:00:00:06"

func udp6(sport, dport uint16) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[5] = 8
	return b
}

func solicitation(target netip.Addr) []byte {
	return append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
}

// Two subnets of a network with IPv6: e1 and e2 on two hosts in one, e3 in the
// other, which has IPv6 alone and a prefix.
func TestIPv6(t *testing.T) {
	nodes := []*memory.Datapath{memory.New(memory.Options{Address: address(0)}), memory.New(memory.Options{Address: address(1)})}
	gw := memory.New(memory.Options{Address: address(2), Gateway: true, UplinkAddr: ip("203.0.113.2")})
	wire := memory.NewWire()
	for _, n := range append(nodes, gw) {
		wire.Join(n)
	}
	type eni struct {
		node   int
		subnet uint32
		mac    string
		four   netip.Addr
		six    netip.Addr
	}
	list := map[events.InterfaceID]eni{
		"e1": {0, 71, "0a:00:00:00:00:01", ip("10.0.0.4"), ip("fd00:1::4")},
		"e2": {1, 71, "0a:00:00:00:00:02", ip("10.0.0.5"), ip("fd00:1::5")},
		"e3": {1, 72, "0a:00:00:00:00:03", netip.Addr{}, ip("fd00:1:0:1::6")},
	}
	block := netip.MustParsePrefix("fd00:1::/56")
	table := events.TablePart{Number: 1, Routes: []events.RoutePart{{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RouteLocal},
		{Destination: block, Kind: events.RouteLocal}, {Destination: netip.MustParsePrefix("::/0"), Kind: events.RouteGateway},
		{Destination: netip.MustParsePrefix("2001:db8::/32"), Kind: events.RouteBlackhole}}}
	tables := datapath.Tables{
		Networks: []events.NetworkSpec{{VPC: "vpc-1", VNI: 7, Gateway: address(2), Gateways: []netip.Addr{address(2)}, Tables: []events.TablePart{table},
			Subnets: []events.SubnetPart{{Number: 71, Table: 1}, {Number: 72, Table: 1}}}},
		Groups: []events.GroupSpec{{Number: 1, Rules: []events.RulePart{
			{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("::/0")},
			{Protocol: 17, From: 53, To: 53, CIDR: netip.MustParsePrefix("fd00:1::/64")},
			{Protocol: 58, From: 128, To: -1, Group: 1}}}},
		Nodes: []netip.Addr{address(0), address(1), address(2)},
	}
	for id, e := range list {
		p := events.PortSpec{Interface: id, VPC: "vpc-1", VNI: 7, Tap: "t-" + string(id), MAC: e.mac, PrivateIP: e.four, Subnet: e.subnet, Groups: []uint32{1}, SourceCheck: true,
			MTU: 9001, RouterMAC: events.RouterMAC(e.subnet), IPv6: []netip.Addr{e.six}}
		m := events.MappingSpec{Interface: id, VPC: "vpc-1", VNI: 7, MAC: e.mac, Addresses: []netip.Addr{e.six}, Subnet: e.subnet, Host: address(e.node), Groups: []uint32{1}, SourceCheck: true}
		if e.four.IsValid() {
			p.Router, p.Resolver = ip("10.0.0.1"), ip("10.0.0.2")
			m.Addresses = append([]netip.Addr{e.four}, m.Addresses...)
		} else {
			m.Prefixes = []netip.Prefix{netip.MustParsePrefix("fd00:1:0:1:9::/80")}
		}
		if err := nodes[e.node].PutPort(p); err != nil {
			t.Fatal(err)
		}
		tables.Mappings = append(tables.Mappings, m)
	}
	for _, n := range append(nodes, gw) {
		if err := n.Apply(tables); err != nil {
			t.Fatal(err)
		}
	}
	e1, e2, e3 := list["e1"], list["e2"], list["e3"]
	router := events.RouterMAC(71)
	send := func(id events.InterfaceID, f []byte) memory.Verdict { return wire.Send(nodes[list[id].node], id, f) }
	arrives := func(name string, v memory.Verdict, at events.InterfaceID) {
		t.Helper()
		if v.Way != memory.ToTap || v.Interface != at {
			t.Errorf("%s: %v at %q (%v)", name, v.Way, v.Interface, v.Reason)
		}
	}
	dropped := func(name string, v memory.Verdict, why datapath.Reason) {
		t.Helper()
		if v.Way != memory.Dropped || v.Reason != why {
			t.Errorf("%s: %v, %v, want %v", name, v.Way, v.Reason, why)
		}
	}

	// Who has an address of the subnet is told in place; the router is at its
	// link-local address.
	for target, at := range map[netip.Addr]string{e2.six: e2.mac, events.RouterLocal(71): router} {
		v := send("e1", datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1:ff00:6"), 58, 255, solicitation(target)...))
		arrives("a neighbour", v, "e1")
		if len(v.Frame) != 14+40+32 || v.Frame[54] != 136 || string(v.Frame[62:78]) != string(target.AsSlice()) {
			t.Fatalf("%x", v.Frame)
		}
		m, _ := datapath.MAC(at)
		if [6]byte(v.Frame[80:86]) != m || [6]byte(v.Frame[6:12]) != m || (v.Frame[58]&0x80 != 0) != (at == router) {
			t.Errorf("%v is at %x", target, v.Frame)
		}
		sum := uint32(32 + 58)
		for i := 22; i < len(v.Frame); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(v.Frame[i:]))
		}
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		if sum != 0xffff {
			t.Errorf("the checksum is off: %x", sum)
		}
	}
	arrives("a duplicate", send("e1", datagram6(t, multicast, e1.mac, ip("::"), ip("ff02::1:ff00:6"), 58, 255, solicitation(e2.six)...)), "e1")
	for name, f := range map[string][]byte{
		"its own":        datagram6(t, multicast, e1.mac, ip("::"), ip("ff02::1:ff00:6"), 58, 255, solicitation(e1.six)...),
		"another subnet": datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1:ff00:6"), 58, 255, solicitation(e3.six)...),
		"from afar":      datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1:ff00:6"), 58, 64, solicitation(e2.six)...),
		"short":          datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1:ff00:6"), 58, 255, solicitation(e2.six)[:12]...),
		"advertisement":  datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 58, 255, append([]byte{136}, solicitation(e2.six)[1:]...)...),
		"router":         datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1"), 58, 255, append([]byte{134}, solicitation(e2.six)[1:]...)...),
	} {
		dropped(name, send("e1", f), datapath.ARP)
	}

	// Rules of IPv6, and flows.
	arrives("by a rule", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 17, 64, udp6(1000, 53)...)), "e2")
	arrives("its answer", send("e2", datagram6(t, e1.mac, e2.mac, e2.six, e1.six, 17, 64, udp6(53, 1000)...)), "e1")
	dropped("another port", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 17, 64, udp6(1000, 54)...)), datapath.IngressRule)
	arrives("routed", send("e1", datagram6(t, router, e1.mac, e1.six, e3.six, 17, 64, udp6(1000, 53)...)), "e3")
	arrives("into a prefix", send("e1", datagram6(t, router, e1.mac, e1.six, ip("fd00:1:0:1:9::77"), 17, 64, udp6(1000, 53)...)), "e3")
	arrives("from a prefix", send("e3", datagram6(t, events.RouterMAC(72), e3.mac, ip("fd00:1:0:1:9::77"), e1.six, 58, 64, 128, 0, 0, 0, 0, 1, 0, 1)), "e1")
	dropped("outside of the rule's range", send("e3", datagram6(t, events.RouterMAC(72), e3.mac, e3.six, e1.six, 17, 64, udp6(1, 53)...)), datapath.IngressRule)
	arrives("an echo, by group", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 58, 64, 128, 0, 0, 0, 0, 7, 0, 1)), "e2")
	arrives("its reply", send("e2", datagram6(t, e1.mac, e2.mac, e2.six, e1.six, 58, 64, 129, 0, 0, 0, 0, 7, 0, 1)), "e1")
	tooBig := append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 17, 64, udp6(1000, 53)...)[14:]...)
	arrives("an error about a flow", send("e2", datagram6(t, e1.mac, e2.mac, e2.six, e1.six, 58, 64, tooBig...)), "e1")

	// Checks.
	dropped("a stranger's address", send("e1", datagram6(t, e2.mac, e1.mac, ip("fd00:1::9"), e2.six, 17, 64, udp6(1, 53)...)), datapath.SourceAddress)
	dropped("a link-local source", send("e1", datagram6(t, e2.mac, e1.mac, ip("fe80::1"), e2.six, 17, 64, udp6(1, 53)...)), datapath.SourceAddress)
	dropped("a link-local destination", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, ip("fe80::1"), 17, 64, udp6(1, 53)...)), datapath.Service)
	dropped("to all", send("e1", datagram6(t, multicast, e1.mac, e1.six, ip("ff02::1"), 17, 64, udp6(1, 53)...)), datapath.Broadcast)
	dropped("a hop-by-hop header", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 0, 64, make([]byte, 16)...)), datapath.Options)
	dropped("cut off", send("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 17, 64, udp6(1, 53)[:4]...)), datapath.Malformed)
	dropped("a black hole", send("e1", datagram6(t, router, e1.mac, e1.six, ip("2001:db8::1"), 17, 64, udp6(1, 2)...)), datapath.Blackhole)
	dropped("nobody", send("e1", datagram6(t, router, e1.mac, e1.six, ip("fd00:1:0:5::1"), 17, 64, udp6(1, 2)...)), datapath.NoMapping)

	// Fragments follow the first one.
	fragment := func(off, more byte) []byte {
		return datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 44, 64, append([]byte{17, 0, off >> 5, off<<3 | more, 0, 0, 0, 9}, udp6(2000, 53)...)...)
	}
	dropped("a stray fragment", send("e1", fragment(4, 0)), datapath.Fragment)
	arrives("the first", send("e1", fragment(0, 1)), "e2")
	arrives("the rest", send("e1", fragment(4, 0)), "e2")

	// ::/0 leads to the gateway node, and no further without an internet gateway.
	out := nodes[0].FromGuest("e1", datagram6(t, router, e1.mac, e1.six, ip("2001:4860::1"), 17, 64, udp6(1, 2)...))
	if out.Way != memory.ToFabric || out.Host != address(2) || [6]byte(out.Frame) != [6]byte{2, 0xff, 0, 0, 0, 7} {
		t.Errorf("%+v", out)
	}
	dropped("at the gateway", send("e1", datagram6(t, router, e1.mac, e1.six, ip("2001:4860::1"), 17, 64, udp6(1, 2)...)), datapath.NoGateway)

	// One that speaks IPv4 alone drops it all.
	old := memory.New(memory.Options{Address: address(0), IPv4: true})
	p := events.PortSpec{Interface: "e1", VNI: 7, Tap: "t1", MAC: e1.mac, PrivateIP: e1.four, Subnet: 71, MTU: 9001, Router: ip("10.0.0.1"), RouterMAC: router, Resolver: ip("10.0.0.2")}
	if err := old.PutPort(p); err != nil {
		t.Fatal(err)
	}
	dropped("IPv4 alone", old.FromGuest("e1", datagram6(t, e2.mac, e1.mac, e1.six, e2.six, 17, 64, udp6(1000, 53)...)), datapath.EtherType)
}
