package memory_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/datapathtest"
	"skerry/network-node/datapath/memory"
)

type lab struct {
	wire  *memory.Wire
	nodes [3]*memory.Datapath
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 0, byte(i + 1)}) }

func (l *lab) Node(i int) datapath.Datapath { return l.nodes[i] }
func (l *lab) Address(i int) netip.Addr     { return address(i) }
func (l *lab) Send(node int, id events.InterfaceID, f []byte) datapathtest.Outcome {
	return outcome(l.wire.Send(l.nodes[node], id, f))
}
func (l *lab) Enter(f []byte) datapathtest.Outcome { return outcome(l.wire.Enter(l.nodes[2], f)) }

func outcome(v memory.Verdict) datapathtest.Outcome {
	if v.Way == memory.Dropped {
		return datapathtest.Outcome{}
	}
	return datapathtest.Outcome{Interface: v.Interface, Outside: v.Way == memory.ToUplink, Frame: v.Frame}
}

func open(*testing.T) datapathtest.Lab {
	l := &lab{wire: memory.NewWire()}
	for i := range l.nodes {
		l.nodes[i] = memory.New(memory.Options{Address: address(i), Gateway: i == 2, UplinkAddr: netip.MustParseAddr("203.0.113.2"), UplinkMTU: 1500})
		l.wire.Join(l.nodes[i])
	}
	return l
}

func TestConformance(t *testing.T) { datapathtest.Run(t, open) }

// A flow is forgotten when nobody speaks for long enough.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New(memory.Options{Address: address(0)})
		p := events.PortSpec{Interface: "e1", VNI: 7, Tap: "t1", MAC: "0a:00:00:00:00:01", PrivateIP: netip.MustParseAddr("10.0.0.4"), Subnet: 71, Groups: []uint32{1}, SourceCheck: true, MTU: 9001,
			Router: netip.MustParseAddr("10.0.0.1"), RouterMAC: events.RouterMAC(71), Resolver: netip.MustParseAddr("10.0.0.2")}
		if err := d.PutPort(p); err != nil {
			t.Fatal(err)
		}
		tables := datapath.Tables{
			Mappings: []events.MappingSpec{{VNI: 7, MAC: p.MAC, Addresses: []netip.Addr{p.PrivateIP}, Subnet: 71, Host: address(0), SourceCheck: true},
				{VNI: 7, MAC: "0a:00:00:00:00:02", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}, Subnet: 71, Host: address(1), SourceCheck: true}},
			Groups: []events.GroupSpec{{Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}}},
		}
		if err := d.Apply(tables); err != nil {
			t.Fatal(err)
		}
		out := []byte{0x0a, 0, 0, 0, 0, 2, 0x0a, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 4, 10, 0, 0, 5, 0, 9, 0, 9, 0, 8, 0, 0}
		in := []byte{0x0a, 0, 0, 0, 0, 1, 0x0a, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 5, 10, 0, 0, 4, 0, 9, 0, 9, 0, 8, 0, 0}
		if v := d.FromFabric(7, address(1), in); v.Reason != datapath.IngressRule {
			t.Fatalf("unasked: %v", v.Reason)
		}
		for _, step := range []struct {
			wait time.Duration
			want memory.Way
		}{{29 * time.Second, memory.ToTap}, {179 * time.Second, memory.ToTap}, {180 * time.Second, memory.Dropped}} {
			if step.want == memory.ToTap {
				if v := d.FromGuest("e1", out); v.Way != memory.ToFabric {
					t.Fatalf("out: %v %v", v.Way, v.Reason)
				}
			}
			time.Sleep(step.wait)
			if v := d.FromFabric(7, address(1), in); v.Way != step.want {
				t.Errorf("after %v: %v %v, want %v", step.wait, v.Way, v.Reason, step.want)
			}
		}
	})
}

// No bytes make it panic, and nothing a guest sends leaves with another source.
func FuzzFromGuest(f *testing.F) {
	d := memory.New(memory.Options{Address: address(0), Service: true})
	p := events.PortSpec{Interface: "e1", VNI: 7, Tap: "t1", MAC: "0a:00:00:00:00:01", PrivateIP: netip.MustParseAddr("10.0.0.4"), Subnet: 71, Groups: []uint32{1}, SourceCheck: true, MTU: 9001,
		Router: netip.MustParseAddr("10.0.0.1"), RouterMAC: events.RouterMAC(71), Resolver: netip.MustParseAddr("10.0.0.2")}
	if err := d.PutPort(p); err != nil {
		f.Fatal(err)
	}
	if err := d.Apply(datapath.Tables{
		Mappings: []events.MappingSpec{{VNI: 7, MAC: p.MAC, Addresses: []netip.Addr{p.PrivateIP}, Subnet: 71, Host: address(0), SourceCheck: true},
			{VNI: 7, MAC: "0a:00:00:00:00:02", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}, Subnet: 71, Host: address(1), SourceCheck: true}},
		Groups: []events.GroupSpec{{Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}}},
	}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0x0a, 0, 0, 0, 0, 2, 0x0a, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 4, 10, 0, 0, 5, 0, 9, 0, 9, 0, 8, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0a, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0x0a, 0, 0, 0, 0, 1, 10, 0, 0, 4, 0, 0, 0, 0, 0, 0, 10, 0, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		v := d.FromGuest("e1", b)
		if v.Way == memory.ToFabric && (netip.AddrFrom4([4]byte(v.Frame[26:30])) != p.PrivateIP || [6]byte(v.Frame[6:12]) != [6]byte{0x0a, 0, 0, 0, 0, 1}) {
			t.Fatalf("%x left as %x", b, v.Frame)
		}
	})
}
