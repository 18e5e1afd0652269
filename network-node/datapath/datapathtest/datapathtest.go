// Package datapathtest holds every data plane to the same behaviour.
//
//	node 0 ─┐                        node 2 is the gateway, with
//	node 1 ─┼─ fabric                198.18.0.0/15 behind it
//	node 2 ─┘── outside
package datapathtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"skerry/events"
	"skerry/network-node/datapath"
)

// Lab is three nodes that are joined. Each test gets its own.
type Lab interface {
	Node(i int) datapath.Datapath
	Address(i int) netip.Addr // on the fabric
	// Send lets the guest behind a port send a frame and tells what became of it.
	Send(node int, id events.InterfaceID, frame []byte) Outcome
	// Enter lets the outside send a frame to the gateway.
	Enter(frame []byte) Outcome
}

// Outcome is where a frame came out.
type Outcome struct {
	Interface events.InterfaceID // "": outside, or dropped
	Outside   bool
	Frame     []byte // nil: dropped
}

const vni = 4321

var outside = netip.MustParseAddr("203.0.113.1")

type world struct {
	*testing.T
	Lab
	tables datapath.Tables
	ports  []events.PortSpec
}

// begin makes a VPC: e1 and e2 on node 0, e3 and e4 on node 1; e4 in another
// subnet. All are in group 1, which lets everything out and its members in.
func begin(t *testing.T, open func(*testing.T) Lab) *world {
	w := &world{T: t, Lab: open(t)}
	all := netip.MustParsePrefix("0.0.0.0/0")
	w.tables = datapath.Tables{Nodes: []netip.Addr{w.Address(0), w.Address(1), w.Address(2)},
		Networks: []events.NetworkSpec{{VPC: "vpc-1", VNI: vni, Gateway: w.Address(2), Gateways: []netip.Addr{w.Address(2)},
			Subnets: []events.SubnetPart{{Number: 11, Table: 5}, {Number: 12, Table: 5}},
			Tables: []events.TablePart{{Number: 5, Routes: []events.RoutePart{{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RouteLocal},
				{Destination: all, Kind: events.RouteGateway}}}}}},
		Groups: []events.GroupSpec{{Group: "sg-1", Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: all}, {Protocol: -1, Group: 1}}}}}
	for i, at := range []string{"10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.1.14"} {
		id := events.InterfaceID([]string{"e1", "e2", "e3", "e4"}[i])
		a := netip.MustParseAddr(at)
		sub := 11 + uint32(a.As4()[2])
		p := events.PortSpec{Interface: id, VPC: "vpc-1", VNI: vni, Tap: "t-" + string(id), MAC: "0a:00:00:00:01:1" + string(id[1]), PrivateIP: a, Subnet: sub, Groups: []uint32{1},
			SourceCheck: true, MTU: 9001, Router: netip.AddrFrom4([4]byte{10, 0, a.As4()[2], 1}), RouterMAC: events.RouterMAC(sub), Resolver: netip.MustParseAddr("10.0.0.2")}
		w.ports = append(w.ports, p)
		w.tables.Mappings = append(w.tables.Mappings, events.MappingSpec{Interface: id, VPC: "vpc-1", VNI: vni, MAC: p.MAC, Addresses: []netip.Addr{a}, Subnet: sub,
			Host: w.Address(i / 2), Groups: []uint32{1}, SourceCheck: true})
		w.must(w.Node(i / 2).PutPort(p))
	}
	w.apply()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) apply() {
	w.Helper()
	for i := range 3 {
		w.must(w.Node(i).Apply(w.tables))
	}
}

func (w *world) count(node int, id events.InterfaceID, r datapath.Reason) (n uint64) {
	w.Helper()
	cs, err := w.Node(node).Counters()
	w.must(err)
	for _, c := range cs {
		if c.Interface == id && c.Reason == r {
			n += c.Packets
		}
	}
	return n
}

func (w *world) dropped(node int, id events.InterfaceID, r datapath.Reason, send func() Outcome) {
	w.Helper()
	was := w.count(node, id, r)
	if o := send(); o.Frame != nil {
		w.Fatalf("it came out at %q: %x", o.Interface, o.Frame)
	}
	if got := w.count(node, id, r); got != was+1 {
		cs, _ := w.Node(node).Counters()
		w.Fatalf("node %d counted %d times %v at %q, want %d: %v", node, got, r, id, was+1, cs)
	}
}

func mac(s string) [6]byte {
	m, err := datapath.MAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// udp is a frame with a UDP datagram, checksums right.
func udp(dst, src string, from, to netip.Addr, sport, dport uint16) []byte {
	f := make([]byte, 14+20+8+4)
	d, s := mac(dst), mac(src)
	copy(f, d[:])
	copy(f[6:], s[:])
	f[12] = 8
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	a, b := from.As4(), to.As4()
	copy(ip[12:], a[:])
	copy(ip[16:], b[:])
	binary.BigEndian.PutUint16(ip[10:], sum(ip[:20]))
	u := ip[20:]
	binary.BigEndian.PutUint16(u, sport)
	binary.BigEndian.PutUint16(u[2:], dport)
	binary.BigEndian.PutUint16(u[4:], 12)
	copy(u[8:], "data")
	binary.BigEndian.PutUint16(u[6:], sum(append(append([]byte{0, 17, 0, 12}, ip[12:20]...), u...)))
	return f
}

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// whole says whether the checksums of a UDP frame are right.
func whole(f []byte) bool {
	ip := f[14:]
	return sum(ip[:20]) == 0 && sum(append(append([]byte{0, 17, 0, 12}, ip[12:20]...), ip[20:32]...)) == 0
}

func (w *world) arrives(o Outcome, id events.InterfaceID, srcMAC string, from netip.Addr) {
	w.Helper()
	if o.Frame == nil || o.Interface != id {
		for i := range 3 {
			cs, _ := w.Node(i).Counters()
			w.Log(i, cs)
		}
		w.Fatalf("it came out at %q, want %q", o.Interface, id)
	}
	if m := mac(srcMAC); [6]byte(o.Frame[6:12]) != m {
		w.Errorf("from MAC %x, want %x", o.Frame[6:12], m)
	}
	if got := netip.AddrFrom4([4]byte(o.Frame[26:30])); got != from || !whole(o.Frame) {
		w.Errorf("from %v, want %v; %x", got, from, o.Frame)
	}
}

// Run holds the data planes that open makes to their promises.
func Run(t *testing.T, open func(*testing.T) Lab) {
	t.Run("guests", func(t *testing.T) {
		w := begin(t, open)
		e1, e2, e3, e4 := w.ports[0], w.ports[1], w.ports[2], w.ports[3]
		send := func(to events.PortSpec, dst string) Outcome {
			return w.Send(0, "e1", udp(dst, e1.MAC, e1.PrivateIP, to.PrivateIP, 1000, 2000))
		}
		w.arrives(send(e2, e2.MAC), "e2", e1.MAC, e1.PrivateIP)             // same host
		w.arrives(send(e3, e3.MAC), "e3", e1.MAC, e1.PrivateIP)             // another
		w.arrives(send(e4, e1.RouterMAC), "e4", e4.RouterMAC, e1.PrivateIP) // another subnet
		w.dropped(0, "e1", datapath.NoMapping, func() Outcome { return send(e4, e4.MAC) })
		stranger := netip.MustParseAddr("10.0.0.99")
		w.dropped(0, "e1", datapath.SourceAddress, func() Outcome { return w.Send(0, "e1", udp(e2.MAC, e1.MAC, stranger, e2.PrivateIP, 1, 2)) })
		w.dropped(0, "e1", datapath.SourceMAC, func() Outcome { return w.Send(0, "e1", udp(e2.MAC, e3.MAC, e1.PrivateIP, e2.PrivateIP, 1, 2)) })
		w.dropped(1, "e3", datapath.Destination, func() Outcome { return w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, stranger, 1, 2)) })
		w.dropped(0, "e1", datapath.Service, func() Outcome {
			return w.Send(0, "e1", udp(e1.RouterMAC, e1.MAC, e1.PrivateIP, netip.MustParseAddr("169.254.1.1"), 1, 2))
		})
	})
	t.Run("arp", func(t *testing.T) {
		w := begin(t, open)
		e1 := w.ports[0]
		ask := func(target string) []byte {
			f := make([]byte, 42)
			copy(f, bytes.Repeat([]byte{0xff}, 6))
			m := mac(e1.MAC)
			copy(f[6:], m[:])
			copy(f[12:], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1})
			copy(f[22:], m[:])
			s, a := e1.PrivateIP.As4(), netip.MustParseAddr(target).As4()
			copy(f[28:], s[:])
			copy(f[38:], a[:])
			return f
		}
		for target, want := range map[string]string{"10.0.0.13": w.ports[2].MAC, "10.0.0.1": e1.RouterMAC, "10.0.0.2": e1.RouterMAC, "169.254.169.254": e1.RouterMAC} {
			o := w.Send(0, "e1", ask(target))
			if m := mac(want); o.Interface != "e1" || len(o.Frame) < 42 || [6]byte(o.Frame[22:28]) != m || o.Frame[21] != 2 {
				t.Errorf("who has %s: %x, want %s", target, o.Frame, want)
			}
		}
		for _, nobody := range []string{"10.0.0.99", "10.0.1.14", "10.0.0.11"} { // unknown, another subnet, itself
			w.dropped(0, "e1", datapath.ARP, func() Outcome { return w.Send(0, "e1", ask(nobody)) })
		}
	})
	t.Run("groups", func(t *testing.T) {
		w := begin(t, open)
		e1, e3 := w.ports[0], w.ports[2]
		there := udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1000, 2000)
		back := udp(e1.MAC, e3.MAC, e3.PrivateIP, e1.PrivateIP, 2000, 1000)
		w.arrives(w.Send(0, "e1", there), "e3", e1.MAC, e1.PrivateIP)
		w.tables.Groups[0].Rules = w.tables.Groups[0].Rules[:1] // nothing may come in any more
		w.apply()
		w.arrives(w.Send(0, "e1", there), "e3", e1.MAC, e1.PrivateIP) // the flow goes on
		w.arrives(w.Send(1, "e3", back), "e1", e3.MAC, e3.PrivateIP)
		fresh := udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1001, 2000)
		w.dropped(1, "e3", datapath.IngressRule, func() Outcome { return w.Send(0, "e1", fresh) })
		w.tables.Groups[0].Rules = append(w.tables.Groups[0].Rules, events.RulePart{Protocol: 17, From: 2000, To: 2000, CIDR: netip.MustParsePrefix("10.0.0.8/29")})
		w.apply()
		w.arrives(w.Send(0, "e1", fresh), "e3", e1.MAC, e1.PrivateIP)
		w.dropped(1, "e3", datapath.IngressRule, func() Outcome { return w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1001, 2001)) })
		w.tables.Groups = nil // no rules at all: closed
		w.apply()
		w.dropped(0, "e1", datapath.EgressRule, func() Outcome { return w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1002, 2000)) })
	})
	t.Run("outside", func(t *testing.T) {
		w := begin(t, open)
		e1, e3 := w.ports[0], w.ports[2]
		w.tables.Groups[0].Rules = append(w.tables.Groups[0].Rules, events.RulePart{Protocol: -1, CIDR: netip.MustParsePrefix("203.0.113.0/24")})
		w.apply()
		out := udp(e1.RouterMAC, e1.MAC, e1.PrivateIP, outside, 1000, 2000)
		w.dropped(2, "", datapath.NoPublic, func() Outcome { return w.Send(0, "e1", out) })
		pub1, pub3 := netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.13")
		s1 := events.PublicSpec{Address: pub1, VNI: vni, Private: e1.PrivateIP, MAC: e1.MAC, Host: w.Address(0), Announce: true, Epoch: 2}
		w.must(w.Node(2).PutPublic(s1))
		w.must(w.Node(2).PutPublic(events.PublicSpec{Address: pub3, VNI: vni, Private: e3.PrivateIP, MAC: e3.MAC, Host: w.Address(1), Announce: true, Epoch: 2}))
		o := w.Send(0, "e1", out)
		if !o.Outside || netip.AddrFrom4([4]byte(o.Frame[26:30])) != pub1 || !whole(o.Frame) || o.Frame[22] != 63 {
			t.Fatalf("outside saw %x", o.Frame)
		}
		w.arrives(w.Enter(udp(e1.MAC, e3.MAC, outside, pub3, 7, 8)), "e3", e3.RouterMAC, outside)
		// Membership does not count by way of public addresses.
		w.dropped(1, "e3", datapath.IngressRule, func() Outcome { return w.Send(0, "e1", udp(e1.RouterMAC, e1.MAC, e1.PrivateIP, pub3, 5, 6)) })
		w.tables.Groups[0].Rules = append(w.tables.Groups[0].Rules, events.RulePart{Protocol: 17, From: 6, To: 6, CIDR: netip.PrefixFrom(pub1, 32)})
		w.apply()
		w.arrives(w.Send(0, "e1", udp(e1.RouterMAC, e1.MAC, e1.PrivateIP, pub3, 5, 6)), "e3", e3.RouterMAC, pub1)
		// An older word about an address is not heard.
		old := s1
		old.Epoch, old.Private = 1, e3.PrivateIP
		w.must(w.Node(2).PutPublic(old))
		w.arrives(w.Enter(udp(e1.MAC, e3.MAC, outside, pub1, 7, 8)), "e1", e1.RouterMAC, outside)
		w.must(w.Node(2).DeletePublic(pub1))
		w.must(w.Node(2).DeletePublic(pub1))
		w.dropped(2, "", datapath.NoPublic, func() Outcome { return w.Send(0, "e1", out) })
		if err := w.Node(0).PutPublic(s1); !errors.Is(err, datapath.ErrNotGateway) {
			t.Errorf("a host took a public address: %v", err)
		}
		if err := w.Node(2).PutPort(e1); err == nil {
			t.Error("a gateway took a port")
		}
		w.tables.Networks[0].Gateway = netip.Addr{}
		w.apply()
		w.dropped(0, "e1", datapath.NoGateway, func() Outcome { return w.Send(0, "e1", out) })
	})
	t.Run("ports", func(t *testing.T) {
		w := begin(t, open)
		e1, e3 := w.ports[0], w.ports[2]
		was, err := w.Node(0).Ports()
		w.must(err)
		w.must(w.Node(0).PutPort(e1))
		now, err := w.Node(0).Ports()
		w.must(err)
		if len(now) != 2 || now[0] != was[0] {
			t.Errorf("asking twice: %v became %v", was, now)
		}
		w.must(w.Node(1).DeletePort("e3"))
		w.must(w.Node(1).DeletePort("e3"))
		w.dropped(1, "", datapath.NotHere, func() Outcome { return w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1, 2)) })
		if ps, err := w.Node(1).Ports(); err != nil || len(ps) != 1 {
			t.Errorf("%v %v", ps, err)
		}
		for name, bad := range map[string]func(*events.PortSpec){
			"tap of another": func(p *events.PortSpec) { p.Interface = "e9" },
			"tap name":       func(p *events.PortSpec) { p.Tap = "../x" },
			"multicast MAC":  func(p *events.PortSpec) { p.MAC = "ff:ff:ff:ff:ff:ff" },
			"no address":     func(p *events.PortSpec) { p.PrivateIP = netip.Addr{} },
			"network":        func(p *events.PortSpec) { p.VNI = 1 << 24 },
			"groups":         func(p *events.PortSpec) { p.Groups = make([]uint32, 17) },
			"another tap":    func(p *events.PortSpec) { p.Tap = "other" },
		} {
			p := e1
			bad(&p)
			if err := w.Node(0).PutPort(p); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		// It moves: the sender that has not heard yet is told nothing by the old host.
		w.must(w.Node(1).PutPort(e3))
		w.apply()
		w.arrives(w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1, 2)), "e3", e1.MAC, e1.PrivateIP)
	})
	t.Run("tables", func(t *testing.T) {
		w := begin(t, open)
		e1, e3 := w.ports[0], w.ports[2]
		bad := w.tables
		bad.Mappings = append(bad.Mappings[:len(bad.Mappings):len(bad.Mappings)], events.MappingSpec{Interface: "e9", MAC: "zz"})
		if err := w.Node(0).Apply(bad); err == nil {
			t.Error("no word about a mapping without a MAC")
		}
		w.arrives(w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 1, 2)), "e3", e1.MAC, e1.PrivateIP) // the rest holds
		routes := &w.tables.Networks[0].Tables[0].Routes
		*routes = append(*routes, events.RoutePart{Destination: netip.MustParsePrefix("10.0.1.14/32"), Kind: events.RouteBlackhole})
		w.apply()
		to4 := udp(e1.RouterMAC, e1.MAC, e1.PrivateIP, w.ports[3].PrivateIP, 1, 2)
		w.dropped(0, "e1", datapath.Blackhole, func() Outcome { return w.Send(0, "e1", to4) })
		*routes = nil
		w.apply()
		w.dropped(0, "e1", datapath.NoRoute, func() Outcome { return w.Send(0, "e1", to4) })
		w.tables = datapath.Tables{Nodes: w.tables.Nodes}
		w.apply()
		w.dropped(0, "e1", datapath.SourceAddress, func() Outcome { return w.Send(0, "e1", udp(e3.MAC, e1.MAC, e1.PrivateIP, e3.PrivateIP, 3, 2)) })
	})
}
