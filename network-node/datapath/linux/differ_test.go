package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/memory"
)

// The eBPF programs and the Go specification decide alike: same worlds, same
// packets, same verdicts, same bytes, same counters.

// choices turns bytes into decisions, so that a fuzzer can steer them.
type choices struct{ b []byte }

func (c *choices) n(n int) int {
	if len(c.b) == 0 {
		return 0
	}
	v := int(c.b[0])
	c.b = c.b[1:]
	return v % n
}

func one[T any](c *choices, of ...T) T { return of[c.n(len(of))] }

func (c *choices) often() bool { return c.n(8) != 7 }
func (c *choices) rare() bool  { return c.n(8) == 7 }

// Devices in a run: lo is the tap of the first port, or the uplink.
const (
	tapIndex     = 1
	vxlanIndex   = 1000
	serviceIndex = 1001
)

type rig struct {
	col   *ebpf.Collection
	flows []*ebpf.Map
	gone  [][2]any // what a world put into the maps
}

func newRig(t testing.TB) *rig {
	if os.Getuid() != 0 {
		t.Skip("needs root to load eBPF programs")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Skip(err)
	}
	s, err := spec(true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollection(s)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(c.Close)
	r := &rig{col: c}
	for id := range uint32(3) { // once: to take a map from a map waits for all CPUs
		flows, err := ebpf.NewMap(flowMap())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flows.Close() })
		if err := c.Maps["flows"].Put(id+1, flows); err != nil {
			t.Fatal(err)
		}
		r.flows = append(r.flows, flows)
	}
	return r
}

func (r *rig) put(t testing.TB, m string, k, v any) {
	t.Helper()
	if err := r.col.Maps[m].Put(k, v); err != nil {
		t.Fatalf("%s: %v", m, err)
	}
	r.gone = append(r.gone, [2]any{m, k})
}

func (r *rig) clear(t testing.TB) {
	for _, g := range r.gone {
		if err := gone(r.col.Maps[g[0].(string)].Delete(g[1])); err != nil {
			t.Fatal(err)
		}
	}
	r.gone = nil
	for _, m := range r.flows {
		var keys [][]byte
		if err := each(m, func(k, _ []byte) error { keys = append(keys, bytes.Clone(k)); return nil }); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if err := gone(m.Delete(k)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var k counterKey
	var v []counter
	it := r.col.Maps["counters"].Iterate()
	var keys []counterKey
	for it.Next(&k, &v) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := gone(r.col.Maps["counters"].Delete(k)); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	poolVNI    = []uint32{5, 7}
	poolMAC    = []string{"0a:00:00:00:00:01", "0a:00:00:00:00:02", "0a:00:00:00:00:03", "0a:00:00:00:00:04"}
	poolAddr   = []string{"10.0.0.4", "10.0.0.5", "10.0.1.6", "10.0.1.7", "192.0.2.9"}
	poolHost   = []string{"172.16.0.1", "172.16.0.2", "172.16.0.3"}
	poolPublic = []string{"198.18.0.1", "198.18.0.2", "198.18.0.3"}
	self       = netip.MustParseAddr("172.16.0.1")
	uplinkAddr = netip.MustParseAddr("203.0.113.2")
	serviceMAC = [6]byte{2, 0, 0, 0, 0xfe, 1}
	uplinkMAC  = [6]byte{2, 0, 0, 0, 0xfe, 2}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func (c *choices) rules() []events.RulePart {
	var out []events.RulePart
	for range c.n(4) {
		r := events.RulePart{Egress: c.n(2) == 0, Protocol: one(c, -1, 6, 17, 1, 47)}
		r.From, r.To = one(c, 0, 22, 53, 1024), one(c, 65535, 22, 53)
		if r.Protocol == 1 {
			r.From, r.To = one(c, -1, 8, 3, 0), one(c, -1, 0, 4)
		}
		switch c.n(3) {
		case 0:
			r.CIDR = netip.MustParsePrefix("0.0.0.0/0")
		case 1:
			r.CIDR = netip.PrefixFrom(addr(one(c, poolAddr...)), one(c, 32, 24, 31, 8, 1))
		default:
			r.Group = uint32(1 + c.n(4))
		}
		out = append(out, r)
	}
	if c.often() {
		out = append(out, events.RulePart{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")})
	}
	return out
}

func (c *choices) groups() []uint32 {
	var out []uint32
	for range 1 + c.n(3) {
		out = append(out, uint32(1+c.n(4)))
	}
	return out
}

func (c *choices) tables() datapath.Tables {
	var t datapath.Tables
	for _, vni := range poolVNI {
		n := events.NetworkSpec{VNI: vni, Gateways: []netip.Addr{addr(one(c, poolHost...))}}
		if c.often() {
			n.Gateway = addr(one(c, poolHost...))
		}
		for s := range uint32(2) {
			number := vni*10 + s
			n.Subnets = append(n.Subnets, events.SubnetPart{Number: number, Table: vni*10 + uint32(c.n(2))})
			tp := events.TablePart{Number: number}
			if c.often() {
				tp.Routes = append(tp.Routes, events.RoutePart{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RouteLocal})
			}
			if c.often() {
				tp.Routes = append(tp.Routes, events.RoutePart{Destination: netip.MustParsePrefix("0.0.0.0/0"), Kind: events.RouteGateway})
			}
			for range c.n(3) {
				tp.Routes = append(tp.Routes, events.RoutePart{Destination: netip.PrefixFrom(addr(one(c, poolAddr...)), one(c, 32, 25, 24, 12)),
					Kind: one(c, events.RouteInterface, events.RouteBlackhole, events.RouteLocal), MAC: one(c, poolMAC...)})
			}
			n.Tables = append(n.Tables, tp)
		}
		t.Networks = append(t.Networks, n)
		for i, m := range poolMAC {
			if c.rare() {
				continue
			}
			mp := events.MappingSpec{Interface: events.InterfaceID(fmt.Sprint("m", i)), VNI: vni, MAC: m, Subnet: vni*10 + uint32(i/2),
				Host: addr(one(c, poolHost...)), Groups: c.groups(), SourceCheck: c.often()}
			if c.n(2) == 0 {
				mp.Host = self
			}
			mp.Addresses = append(mp.Addresses, addr(poolAddr[i]))
			if c.rare() {
				mp.Addresses = append(mp.Addresses, addr(one(c, poolAddr...)))
			}
			t.Mappings = append(t.Mappings, mp)
		}
	}
	for g := range uint32(4) {
		t.Groups = append(t.Groups, events.GroupSpec{Group: events.GroupID(fmt.Sprint("g", g)), Number: g + 1, Rules: c.rules()})
	}
	return t
}

func (c *choices) ports() []events.PortSpec {
	var out []events.PortSpec
	for i := range 3 {
		vni := poolVNI[0]
		if i > 0 {
			vni = one(c, poolVNI...)
		}
		out = append(out, events.PortSpec{Interface: events.InterfaceID(fmt.Sprint("p", i)), VNI: vni, Tap: fmt.Sprint("t", i), MAC: poolMAC[i],
			PrivateIP: addr(poolAddr[i]), Subnet: vni*10 + uint32(i/2), Groups: c.groups(), SourceCheck: c.often(), MTU: 9001,
			Router: addr(one(c, "10.0.0.1", "10.0.1.1")), RouterMAC: events.RouterMAC(vni*10 + uint32(i/2)), Resolver: addr("10.0.0.2")})
	}
	return out
}

func (c *choices) publics() []events.PublicSpec {
	var out []events.PublicSpec
	for i, p := range poolPublic {
		vni := one(c, poolVNI...)
		out = append(out, events.PublicSpec{Address: addr(p), VNI: vni, Private: addr(poolAddr[i]), MAC: poolMAC[i], Host: addr(one(c, poolHost...)), Announce: c.n(2) == 0})
	}
	return out
}

func sum16(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// ip is an IPv4 packet with right checksums.
func ip(src, dst netip.Addr, proto, ttl byte, id, frag uint16, body []byte) []byte {
	b := make([]byte, 20+len(body))
	b[0], b[8], b[9] = 0x45, ttl, proto
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], frag)
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], sum16(b[:20]))
	copy(b[20:], body)
	at := map[byte]int{6: 36, 17: 26}[proto]
	if at != 0 && len(b) > at+1 && frag&0x1fff == 0 {
		pseudo := append(append([]byte{}, b[12:20]...), 0, proto, byte(len(body)>>8), byte(len(body)))
		binary.BigEndian.PutUint16(b[at:], sum16(append(pseudo, b[20:]...)))
	}
	return b
}

func tcp(sport, dport uint16, flags byte, n int) []byte {
	b := make([]byte, 20+n)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[12], b[13] = 0x50, flags
	return b
}

func udp(sport, dport uint16, n int) []byte {
	b := make([]byte, 8+n)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func icmp(kind, code byte, id uint16, body []byte) []byte {
	b := append([]byte{kind, code, 0, 0, byte(id >> 8), byte(id), 0, 1}, body...)
	binary.BigEndian.PutUint16(b[2:], sum16(b))
	return b
}

func ether(dst, src string, kind uint16, body []byte) []byte {
	d, _ := datapath.MAC(src)
	b := make([]byte, 14, 14+len(body))
	copy(b[6:], d[:])
	for i := range 6 {
		fmt.Sscanf(dst[i*3:i*3+2], "%02x", &b[i])
	}
	binary.BigEndian.PutUint16(b[12:], kind)
	return append(b, body...)
}

func arp(op uint16, sha string, spa, tpa netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op), 27: 0}
	m, _ := datapath.MAC(sha)
	copy(b[8:], m[:])
	s, t := spa.As4(), tpa.As4()
	copy(b[14:], s[:])
	copy(b[24:], t[:])
	return b
}

func (c *choices) body(src, dst netip.Addr) (proto byte, b []byte) {
	ports := []uint16{22, 53, 80, 1024, 40000}
	switch c.n(6) {
	case 0, 1:
		return 6, tcp(one(c, ports...), one(c, ports...), one(c, byte(0x02), 0x12, 0x10, 0x11, 0x04, 0x18), one(c, 0, 7, 1400, 1600))
	case 2, 3:
		return 17, udp(one(c, ports...), one(c, ports...), one(c, 0, 5, 1460, 1500))
	case 4:
		return 1, icmp(one(c, byte(8), 0, 13), one(c, byte(0), 1), uint16(c.n(3)), make([]byte, one(c, 0, 56, 1500)))
	}
	if c.rare() {
		return 47, make([]byte, c.n(30))
	}
	p, b := one(c, byte(6), 17, 1, 47), []byte(nil)
	switch p {
	case 6:
		b = tcp(one(c, ports...), one(c, ports...), 0x10, 0)
	case 17:
		b = udp(one(c, ports...), one(c, ports...), 0)
	case 1:
		b = icmp(one(c, byte(8), 0, 3), 0, uint16(c.n(3)), nil)
	default:
		b = make([]byte, 8)
	}
	inner := ip(dst, src, p, 60, 9, one(c, uint16(0), 0, 0, 8), b)
	if c.often() { // about what dst had sent
		inner = ip(dst, addr(one(c, append([]string{src.String()}, poolAddr...)...)), p, 60, 9, 0, b)
	}
	return 1, icmp(one(c, byte(3), 11, 12), one(c, byte(0), 4), 0, inner[:len(inner)-c.n(3)*one(c, 0, 0, 1, 9)])
}

func (c *choices) frame(src, dst string, from, to netip.Addr) []byte {
	if c.rare() {
		b := arp(one(c, uint16(1), 1, 1, 2), src, from, to)
		return ether(one(c, "ff:ff:ff:ff:ff:ff", dst), src, 0x0806, b)
	}
	proto, body := c.body(from, to)
	frag := uint16(0)
	if c.rare() {
		frag = one(c, uint16(0x2000), 0x2000, 0x2001, 2, 8, 0x4000)
	}
	b := ip(from, to, proto, one(c, byte(64), 64, 64, 1, 0, 2), uint16(c.n(2)), frag, body)
	kind := uint16(0x0800)
	if c.rare() && c.n(2) == 0 {
		kind = 0x86dd
	}
	f := ether(dst, src, kind, b)
	if c.rare() { // bytes after the packet
		f = append(f, make([]byte, c.n(9))...)
	}
	if c.rare() {
		i := c.n(len(f))
		if i >= 12 {
			f[i] ^= byte(1 << c.n(8))
		}
	}
	if c.rare() && c.n(2) == 0 {
		f = f[:max(34, len(f)-c.n(60))] // the kernel runs no program on less
	}
	if binary.BigEndian.Uint16(f[12:]) == 0x86dd && len(f) < 54 {
		f[12] = 0x88 // nor on less than an IPv6 header
	}
	return f
}

func (r *rig) run(t testing.TB, prog string, f []byte, vni uint32, host netip.Addr) (ret uint32, cb [5]uint32, out []byte) {
	ctx, back := make([]byte, 192), make([]byte, 192)
	binary.NativeEndian.PutUint32(ctx[40:], tapIndex)
	binary.NativeEndian.PutUint32(ctx[48+12:], vni)
	if host.IsValid() {
		h := host.As4()
		copy(ctx[48+16:], h[:])
	}
	o := &ebpf.RunOptions{Data: f, DataOut: make([]byte, len(f)+256), Context: ctx, ContextOut: back, Repeat: 1}
	ret, err := r.col.Programs[prog].Run(o)
	if err != nil {
		t.Fatalf("%s of %x: %v", prog, f, err)
	}
	for i := range cb {
		cb[i] = binary.NativeEndian.Uint32(back[48+4*i:])
	}
	return ret, cb, o.DataOut
}

func (r *rig) differ(t testing.TB, seed []byte) (ways map[memory.Way]int) {
	defer r.clear(t)
	c := &choices{seed}
	gateway := c.n(3) == 0
	mem := memory.New(memory.Options{Address: self, Gateway: gateway, UplinkAddr: uplinkAddr, UplinkMAC: uplinkMAC, UplinkMTU: 1500, Service: true, ServiceMAC: serviceMAC, IPv4: true})
	conf := bpfConfig{Host: v4(self), Vxlan: vxlanIndex, Service: serviceIndex, Uplink: tapIndex, NextHop: v4(addr("203.0.113.1")), UplinkAddr: v4(uplinkAddr),
		UplinkMTU: 1500, ServiceMAC: serviceMAC, UplinkMAC: uplinkMAC}
	if err := r.col.Maps["config"].Put(uint32(0), bytesOf(conf)); err != nil {
		t.Fatal(err)
	}
	index := map[uint32]events.InterfaceID{}
	ids := map[uint32]events.InterfaceID{}
	tables := c.tables()
	im, err := encode(tables)
	if err != nil {
		t.Fatal(err)
	}
	for name, entries := range im {
		for k, v := range entries {
			r.put(t, name, []byte(k), []byte(v))
		}
	}
	if err := mem.Apply(tables); err != nil {
		t.Fatal(err)
	}
	var ports []events.PortSpec
	if gateway {
		for _, p := range c.publics() {
			if err := mem.PutPublic(p); err != nil {
				t.Fatal(err)
			}
			m, _ := datapath.MAC(p.MAC)
			v := bpfPublic{Private: mapped(p.Private), VNI: p.VNI, Host: v4(p.Host), MAC: m}
			if p.Announce {
				v.Announce = 1
			}
			r.put(t, "publics", bytesOf(mapped(p.Address)), bytesOf(v))
			r.put(t, "outsides", bytesOf(addrKey{p.VNI, mapped(p.Private)}), bytesOf(bpfOutside{Public: v4(p.Address), Host: v.Host, MAC: m}))
		}
	} else {
		for i, s := range c.ports() {
			if err := mem.PutPort(s); err != nil {
				t.Fatal(err)
			}
			p := bpfPort{ID: uint32(i + 1), VNI: s.VNI, Subnet: s.Subnet, Flags: flags(s.SourceCheck), Index: uint32(tapIndex + i),
				Private: mapped(s.PrivateIP), Router: mapped(s.Router), Resolver: mapped(s.Resolver)}
			p.MAC, _ = datapath.MAC(s.MAC)
			p.RouterMAC, _ = datapath.MAC(s.RouterMAC)
			copy(p.Groups[:], s.Groups)
			r.put(t, "ports", p.Index, bytesOf(p))
			r.put(t, "port_ids", p.ID, p.Index)
			r.put(t, "local", bytesOf(macKey{VNI: s.VNI, MAC: p.MAC}), p.Index)
			index[p.Index], ids[p.ID] = s.Interface, s.Interface
			ports = append(ports, s)
		}
	}
	ways = map[memory.Way]int{}
	for range 40 {
		if len(c.b) < 8 {
			break
		}
		var f []byte
		var v memory.Verdict
		var prog string
		vni, host := one(c, poolVNI...), addr(one(c, poolHost...))
		any := func() netip.Addr { return addr(one(c, append(poolAddr, poolPublic...)...)) }
		switch what := c.n(4); {
		case gateway && what < 2:
			prog = "igw_fabric"
			i := c.n(3)
			dst := events.GatewayMAC(vni)
			if c.rare() {
				dst = poolMAC[0]
			}
			f = c.frame(poolMAC[i], dst, addr(poolAddr[i]), any())
			v = mem.FromFabric(vni, host, f)
		case gateway:
			prog = "igw_uplink"
			f = c.frame("02:00:00:00:00:99", "02:00:00:00:fe:02", addr("192.0.2.7"), addr(one(c, append(poolPublic, "203.0.113.2")...)))
			v = mem.FromUplink(f)
		case what < 2:
			prog = "from_guest"
			p := ports[0]
			from, src := p.PrivateIP, p.MAC
			if c.rare() {
				from = any()
			}
			if c.rare() && c.n(4) == 0 {
				src = poolMAC[1]
			}
			to := any()
			if c.rare() {
				to = addr(one(c, "169.254.169.254", "169.254.169.253", "10.0.0.2", "169.254.1.1", "224.0.0.1", "10.0.0.1", "0.1.2.3"))
			}
			f = c.frame(src, one(c, append(poolMAC, p.RouterMAC, p.RouterMAC, "ff:ff:ff:ff:ff:ff")...), from, to)
			v = mem.FromGuest(p.Interface, f)
		case what == 2:
			prog = "from_fabric"
			i := c.n(4)
			src := poolMAC[i]
			if c.rare() {
				src = events.GatewayMAC(vni)
			}
			from := addr(poolAddr[i])
			if c.rare() {
				from = any()
			}
			p := one(c, ports...)
			to := p.PrivateIP
			if c.rare() {
				to = any()
			}
			vni = p.VNI
			f = c.frame(src, p.MAC, from, to)
			v = mem.FromFabric(vni, host, f)
		default:
			prog = "from_service"
			f = c.frame("02:00:00:00:fe:01", "02:00:00:00:fe:09", addr(one(c, "169.254.169.254", "169.254.169.253", "169.254.169.252", "10.0.0.9")),
				datapath.ServiceAddr(uint32(1+c.n(4))))
			v = mem.FromService(f)
		}
		ret, cb, out := r.run(t, prog, f, vni, host)
		got := memory.Verdict{Reason: v.Reason}
		switch {
		case ret == 2:
		case ret == 0:
			got.Way, got.Frame = memory.ToHost, out
		case ret == 7 && cb[0] == vxlanIndex:
			got.Way, got.Frame, got.VNI = memory.ToFabric, out, cb[1]
			var h [4]byte
			binary.NativeEndian.PutUint32(h[:], cb[2])
			got.Host = netip.AddrFrom4(h)
		case ret == 7 && cb[0] == serviceIndex:
			got.Way, got.Frame = memory.ToService, out
		case ret == 7 && gateway && cb[0] == tapIndex:
			got.Way, got.Frame = memory.ToUplink, out
		case ret == 7:
			got.Way, got.Frame, got.Interface = memory.ToTap, out, index[cb[0]]
		}
		if got.Way != v.Way || got.Host != v.Host || got.VNI != v.VNI || got.Interface != v.Interface || !bytes.Equal(got.Frame, v.Frame) {
			t.Fatalf("%s of %x (network %d from %v):\n eBPF %v %s vni=%d host=%v %x\n Go   %v %s vni=%d host=%v %x (%v)", prog, f, vni, host,
				got.Way, got.Interface, got.VNI, got.Host, got.Frame, v.Way, v.Interface, v.VNI, v.Host, v.Frame, v.Reason)
		}
		ways[v.Way]++
	}
	want, err := mem.Counters()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[counterKey]uint64{}
	for _, w := range want {
		k := counterKey{Reason: uint32(w.Reason)}
		for id, n := range ids {
			if n == w.Interface {
				k.Port = id
			}
		}
		counted[k] = w.Packets
	}
	var k counterKey
	var vs []counter
	it := r.col.Maps["counters"].Iterate()
	for it.Next(&k, &vs) {
		var n uint64
		for _, v := range vs {
			n += v.Packets
		}
		if counted[k] != n {
			t.Fatalf("port %d %v: eBPF counted %d, Go %d", k.Port, datapath.Reason(k.Reason), n, counted[k])
		}
		delete(counted, k)
	}
	for k, n := range counted {
		t.Fatalf("port %d %v: eBPF counted none, Go %d", k.Port, datapath.Reason(k.Reason), n)
	}
	return ways
}

func TestDifferential(t *testing.T) {
	r := newRig(t)
	worlds := 3000
	if testing.Short() {
		worlds = 300
	}
	total := map[memory.Way]int{}
	for i := range worlds {
		rnd := rand.New(rand.NewPCG(uint64(i), 3))
		b := make([]byte, 1600)
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		for w, n := range r.differ(t, b) {
			total[w] += n
		}
	}
	t.Log(total)
	for _, w := range []memory.Way{memory.Dropped, memory.ToTap, memory.ToFabric, memory.ToService, memory.ToUplink, memory.ToHost} {
		if total[w] < worlds/30 {
			t.Errorf("only %d packets went to %v: the worlds are too narrow", total[w], w)
		}
	}
}

func FuzzDifferential(f *testing.F) {
	r := newRig(f)
	for i := range 4 {
		rnd := rand.New(rand.NewPCG(uint64(i), 9))
		b := make([]byte, 700)
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { r.differ(t, b) })
}
