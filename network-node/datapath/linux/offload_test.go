package linux

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/network-node/datapath/datapathtest"
)

// What a virtio guest leaves to its host — the checksum, and the cutting into
// segments — is right after the fabric and after both translations of a
// gateway.
func TestOffload(t *testing.T) {
	l := openLab(t).(*lab)
	all := netip.MustParsePrefix("0.0.0.0/0")
	l.addGroup("open", 1, events.RulePart{Egress: true, Protocol: -1, CIDR: all}, events.RulePart{Protocol: -1, CIDR: all})
	var ports []events.PortSpec
	for i := range 2 {
		p := events.PortSpec{Interface: events.InterfaceID([]string{"e1", "e3"}[i]), VNI: vni, Tap: []string{"t1", "t3"}[i], MAC: []string{"0a:00:00:00:01:11", "0a:00:00:00:01:13"}[i],
			PrivateIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + 2*i)}), Subnet: subnetA, Groups: []uint32{1}, SourceCheck: true, MTU: 9001,
			Router: addr("10.0.0.1"), RouterMAC: events.RouterMAC(subnetA), Resolver: addr("10.0.0.2")}
		if err := l.nodes[i].PutPort(p); err != nil {
			t.Fatal(err)
		}
		l.tables.Mappings = append(l.tables.Mappings, events.MappingSpec{Interface: p.Interface, VNI: vni, MAC: p.MAC, Addresses: []netip.Addr{p.PrivateIP}, Subnet: subnetA, Host: host(i), Groups: []uint32{1}, SourceCheck: true})
		if err := l.nodes[2].PutPublic(events.PublicSpec{Address: netip.AddrFrom4([4]byte{198, 18, 0, byte(11 + 2*i)}), VNI: vni, Private: p.PrivateIP, MAC: p.MAC, Host: host(i)}); err != nil {
			t.Fatal(err)
		}
		ports = append(ports, p)
		l.tap(i, p.Interface)
	}
	l.apply()
	data := make([]byte, 20000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for name, c := range map[string]struct {
		mac  string
		to   netip.Addr
		from netip.Addr
	}{
		"fabric":  {ports[1].MAC, ports[1].PrivateIP, ports[0].PrivateIP},
		"gateway": {ports[0].RouterMAC, addr("198.18.0.13"), addr("198.18.0.11")},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			f := ether(c.mac, ports[0].MAC, 0x0800, ip(ports[0].PrivateIP, c.to, 6, 64, 1, 0x4000, append(tcp(1000, 2000, 0x18, 0), data...)))
			pseudo := append(append([]byte{}, f[26:34]...), 0, 6, byte((20+len(data))>>8), byte(20+len(data)))
			binary.BigEndian.PutUint16(f[50:], ^sum16(pseudo)) // what the kernel of a guest leaves there
			head := make([]byte, vnetHeader)
			head[0], head[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
			binary.NativeEndian.PutUint16(head[2:], 54)
			binary.NativeEndian.PutUint16(head[4:], 1400) // bytes in a segment
			binary.NativeEndian.PutUint16(head[6:], 34)
			binary.NativeEndian.PutUint16(head[8:], 16)
			if _, err := l.tap(0, "e1").Write(append(head, f...)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 0, len(data))
			deadline := time.After(10 * time.Second)
			for len(got) < len(data) {
				var o datapathtest.Outcome
				select {
				case o = <-l.arrived:
				case <-deadline:
					t.Fatalf("%d of %d bytes\n%s", len(got), len(data), l.counters())
				}
				g := o.Frame
				if o.Interface != "e3" || len(g) < 54 || g[23] != 6 {
					continue
				}
				n := int(binary.BigEndian.Uint16(g[16:]))
				seg := g[34 : 14+n]
				pseudo := append(append([]byte{}, g[26:34]...), 0, 6, byte(len(seg)>>8), byte(len(seg)))
				if sum16(g[14:34]) != 0 || sum16(append(pseudo, seg...)) != 0 {
					t.Fatalf("checksums of a segment of %d bytes: %x %x", len(seg), sum16(g[14:34]), sum16(append(pseudo, seg...)))
				}
				if from := netip.AddrFrom4([4]byte(g[26:30])); from != c.from {
					t.Fatalf("from %v, want %v", from, c.from)
				}
				got = append(got, seg[20:]...)
			}
			if !bytes.Equal(got, data) {
				t.Error("the data changed on the way")
			}
		})
	}
}
