package linux

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/network-node/datapath"
)

func send(dev string, f []byte) error {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return err
	}
	c, err := packet.Listen(i, packet.Raw, unix.ETH_P_IP, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WriteTo(f, &packet.Addr{HardwareAddr: net.HardwareAddr(f[:6])})
	return err
}

// Two hosts and a gateway: what guests see of one another and of the outside.
func TestVPC(t *testing.T) {
	r := newRegion(t)
	a := r.guest("a", 0, "10.0.0.11", 1)
	b := r.guest("b", 1, "10.0.0.12", 1)
	r.guest("c", 1, "10.0.1.13", 1)
	d := r.guest("d", 0, "10.0.0.14", 2)
	e := r.guest("e", 1, "10.0.0.15", 2)
	r.public(a, "198.18.0.11")
	r.public(b, "198.18.0.12")
	r.public(e, "198.18.0.15")

	t.Run("private", func(t *testing.T) {
		r.t = t
		r.mustPing("a", "10.0.0.12", true)  // another host
		r.mustPing("a", "10.0.1.13", true)  // another subnet
		r.mustPing("d", "10.0.0.11", true)  // the same host
		r.mustPing("a", "10.0.0.99", false) // nobody
	})
	t.Run("arp", func(t *testing.T) {
		r.t = t
		r.mustPing("a", "10.0.0.12", true)
		n := r.sh("a", "ip neigh show dev eth0")
		if !strings.Contains(n, "10.0.0.12 lladdr "+b.spec.MAC) || !strings.Contains(n, "10.0.0.1 lladdr "+a.spec.RouterMAC) {
			t.Errorf("neighbours of a:\n%s", n)
		}
		if strings.Contains(n, "10.0.0.99 lladdr") {
			t.Errorf("somebody answered for 10.0.0.99:\n%s", n)
		}
	})
	t.Run("public", func(t *testing.T) {
		r.t = t
		r.mustPing("out", "198.18.0.11", true)
		r.mustPing("a", outsideIP, true)
		r.mustPing("c", outsideIP, false) // it has no public address
		if r.count(2, "", datapath.NoPublic) == 0 {
			t.Error("the gateway did not say why")
		}
		r.mustPing("a", "198.18.0.12", true)
		// The receiver sees the sender's public address.
		l := r.listen("b", "tcp4", "10.0.0.12:700")
		seen := make(chan net.Addr, 1)
		go func() {
			if c, err := l.Accept(); err == nil {
				seen <- c.RemoteAddr()
				c.Close()
			}
		}()
		conn, err := r.dial("a", "tcp4", "198.18.0.12:700")
		if err != nil {
			t.Fatal(err, r.counters())
		}
		defer conn.Close()
		if got := (<-seen).(*net.TCPAddr).IP.String(); got != "198.18.0.11" {
			t.Errorf("b saw %s", got)
		}
	})
	t.Run("groups", func(t *testing.T) {
		r.t = t
		r.mustPing("d", "10.0.0.15", true)  // both are members
		r.mustPing("a", "10.0.0.15", false) // not a member
		if r.count(1, e.spec.Interface, datapath.IngressRule) == 0 {
			t.Error("nobody counted why")
		}
		r.mustPing("e", "10.0.0.11", true)    // replies need no rule
		r.mustPing("d", "198.18.0.15", false) // d has no public address, and membership does not count there
		r.mustPing("out", "198.18.0.15", false)
	})
	t.Run("spoofed", func(t *testing.T) {
		r.t = t
		f := ether(b.spec.MAC, a.spec.MAC, 0x0800, ip(addr("10.0.0.50"), addr("10.0.0.12"), 17, 64, 1, 0, udp(1, 2, 4)))
		r.grows(0, a.spec.Interface, datapath.SourceAddress, func() { r.raw(a, f) })
		f = ether(b.spec.MAC, "0a:00:00:00:00:77", 0x0800, f[14:])
		r.grows(0, a.spec.Interface, datapath.SourceMAC, func() { r.raw(a, f) })
		// With the check off it is delivered, which b's own check allows.
		a.spec.SourceCheck = false
		if err := r.nodes[0].PutPort(a.spec); err != nil {
			t.Fatal(err)
		}
		r.mapping(a, func(m *events.MappingSpec) { m.SourceCheck = false })
		f = ether(b.spec.MAC, a.spec.MAC, 0x0800, f[14:])
		r.grows(1, b.spec.Interface, datapath.Delivered, func() { r.raw(a, f) })
		a.spec.SourceCheck = true
		if err := r.nodes[0].PutPort(a.spec); err != nil {
			t.Fatal(err)
		}
		r.mapping(a, func(m *events.MappingSpec) { m.SourceCheck = true })
	})
	t.Run("forged", func(t *testing.T) {
		r.t = t
		forge := func(from string, vni uint32, inner []byte) {
			r.inside(from, func() error {
				c, err := net.Dial("udp4", host(1).String()+":4789")
				if err != nil {
					return err
				}
				defer c.Close()
				head := []byte{8, 0, 0, 0, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}
				_, err = c.Write(append(head, inner...))
				return err
			})
		}
		inner := ether(b.spec.MAC, a.spec.MAC, 0x0800, ip(a.spec.PrivateIP, b.spec.PrivateIP, 17, 64, 1, 0, udp(1, 2, 4)))
		r.grows(1, "", datapath.Sender, func() { forge("gw", vni, inner) })   // a lives on h1
		r.grows(1, "", datapath.Sender, func() { forge("h1", vni+1, inner) }) // another network
		other := ether(b.spec.MAC, a.spec.MAC, 0x0800, ip(d.spec.PrivateIP, b.spec.PrivateIP, 17, 64, 1, 0, udp(1, 2, 4)))
		r.grows(1, "", datapath.SenderAddress, func() { forge("h1", vni, other) }) // d's address
		r.grows(1, b.spec.Interface, datapath.Delivered, func() { forge("h1", vni, inner) })
		// Who is no node of the region is not heard at all.
		r.ip("-n @ul addr add 172.16.9.200/24 dev br0")
		was := r.count(1, "", datapath.Sender)
		forge("ul", vni, inner)
		r.until("the firewall counts it", func() bool {
			return !strings.Contains(r.sh("h2", "nft list chain ip skerry fabric"), "@nodes counter packets 0")
		})
		if got := r.count(1, "", datapath.Sender); got != was {
			t.Errorf("a stranger's frame reached the program")
		}
	})
	t.Run("broadcast", func(t *testing.T) {
		r.t = t
		f := ether("ff:ff:ff:ff:ff:ff", a.spec.MAC, 0x0800, ip(addr("0.0.0.0"), addr("255.255.255.255"), 17, 64, 1, 0, udp(68, 67, 4)))
		r.grows(0, a.spec.Interface, datapath.Broadcast, func() { r.raw(a, f) })
	})
	t.Run("rule removed", func(t *testing.T) {
		r.t = t
		r.addGroup("open", 1, events.RulePart{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")},
			events.RulePart{Protocol: 6, From: 800, To: 800, CIDR: netip.MustParsePrefix("10.0.0.11/32")})
		r.apply()
		go echo(r.listen("b", "tcp4", "10.0.0.12:800"))
		conn, err := r.dial("a", "tcp4", "10.0.0.12:800")
		if err != nil {
			t.Fatal(err, r.counters())
		}
		defer conn.Close()
		if err := talks(conn, "before"); err != nil {
			t.Fatal(err)
		}
		r.group["open"].Rules = r.group["open"].Rules[:1]
		r.apply()
		if err := talks(conn, "after"); err != nil {
			t.Errorf("the flow did not go on: %v", err)
		}
		if c, err := r.dial("a", "tcp4", "10.0.0.12:800"); err == nil {
			c.Close()
			t.Error("a new flow was let in")
		}
		all := netip.MustParsePrefix("0.0.0.0/0")
		r.addGroup("open", 1, events.RulePart{Egress: true, Protocol: -1, CIDR: all}, events.RulePart{Protocol: -1, CIDR: all})
		r.apply()
	})
	t.Run("fragments", func(t *testing.T) {
		r.t = t
		if got := r.echo("a", "10.0.0.12", 20000, 0); got != "reply" {
			t.Errorf("an echo in fragments: %q\n%s", got, r.counters())
		}
	})
	t.Run("too big for outside", func(t *testing.T) {
		r.t = t
		if got := r.echo("a", outsideIP, 4000, 64); got != "3.4" {
			t.Errorf("4000 bytes to a link of 1500: %q", got)
		}
		if out := r.ip("-n @a route get %s", outsideIP); !strings.Contains(out, "mtu 1500") {
			t.Errorf("a did not learn the MTU: %s", out)
		}
		r.ip("-n @a route flush cache")
		// TCP: 4 MB arrive, though a segment of a's would be 9001 bytes.
		r.sh("out", "ip link set eth0 mtu 9000") // its MSS promises more than the link holds
		const size = 4 << 20
		l := r.listen("out", "tcp4", outsideIP+":900")
		got := make(chan int64, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			n, _ := io.Copy(io.Discard, c)
			got <- n
		}()
		conn, err := r.dial("a", "tcp4", outsideIP+":900")
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = conn.Write(make([]byte, size))
		conn.Close()
		if n := <-got; err != nil || n != size {
			t.Errorf("%d of %d bytes arrived: %v\n%s", n, size, err, r.counters())
		}
		if r.count(2, "", datapath.TooBig) == 0 {
			t.Error("nothing was too big")
		}
	})
	t.Run("hops", func(t *testing.T) {
		r.t = t
		if got := r.echo("a", outsideIP, 56, 1); got != "11.0" {
			t.Errorf("one hop to the outside: %q", got)
		}
	})
	t.Run("route", func(t *testing.T) {
		r.t = t
		routes := &r.tables.Networks[0].Tables[0].Routes
		*routes = append(*routes, events.RoutePart{Destination: netip.MustParsePrefix("203.0.113.1/32"), Kind: events.RouteBlackhole})
		r.apply()
		r.mustPing("a", outsideIP, false)
		if r.count(0, a.spec.Interface, datapath.Blackhole) == 0 {
			t.Error("not counted")
		}
		r.mustPing("a", "198.51.100.9", true)
		*routes = (*routes)[:1] // no way out
		r.apply()
		r.mustPing("a", "198.51.100.9", false)
		r.mustPing("a", "10.0.0.12", true)
		*routes = append(*routes, events.RoutePart{Destination: netip.MustParsePrefix("0.0.0.0/0"), Kind: events.RouteGateway})
		r.apply()
		r.mustPing("a", "198.51.100.9", true)
	})
	t.Run("services", func(t *testing.T) {
		r.t = t
		s, err := r.nodes[0].Services()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, at := range []string{"169.254.169.254:80", "169.254.169.252:53"} {
			l, err := s.Listen("tcp4", at)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					fmt.Fprintf(c, "you are %v", c.RemoteAddr().(*net.TCPAddr).IP)
					c.Close()
				}
			}()
		}
		ports, err := r.nodes[0].Ports()
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"169.254.169.254:80", "10.0.0.2:53"} {
			for _, g := range []*guest{a, d} {
				c, err := r.dial(g.name, "tcp4", at)
				if err != nil {
					t.Fatalf("%s to %s: %v\n%s", g.name, at, err, r.counters())
				}
				c.SetDeadline(time.Now().Add(5 * time.Second))
				buf := make([]byte, 100)
				n, _ := c.Read(buf)
				c.Close()
				for _, p := range ports {
					if p.Interface == g.spec.Interface && string(buf[:n]) != "you are "+p.Service.String() {
						t.Errorf("%s at %s: %q, want %v", g.name, at, buf[:n], p.Service)
					}
				}
			}
		}
		f := ether(a.spec.RouterMAC, a.spec.MAC, 0x0800, ip(addr("10.0.0.14"), addr("169.254.169.254"), 6, 64, 1, 0, tcp(9, 80, 2, 0)))
		r.grows(0, a.spec.Interface, datapath.SourceAddress, func() { r.raw(a, f) })
	})
}

// The agent dies and comes back under a running connection, and repairs what
// was changed behind it.
func TestRestart(t *testing.T) {
	r := newRegion(t)
	a := r.guest("a", 0, "10.0.0.11", 2)
	b := r.guest("b", 1, "10.0.0.12", 2)
	go echo(r.listen("b", "tcp4", "10.0.0.12:800"))
	conn, err := r.dial("a", "tcp4", "10.0.0.12:800")
	if err != nil {
		t.Fatal(err, r.counters())
	}
	defer conn.Close()
	before, err := r.nodes[0].Ports()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for i := range r.nodes { // as if killed: nothing of the process is left but the pins
			if err := r.nodes[i].Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := talks(conn, "nobody is at home"); err != nil {
			t.Fatalf("round %d: without agents: %v", round, err)
		}
		r.mustPingPlain("a", "10.0.0.12")
		for i := range r.nodes {
			r.open(i)
		}
		if err := talks(conn, "back again"); err != nil {
			t.Fatalf("round %d: after the start: %v", round, err)
		}
	}
	after, err := r.nodes[0].Ports()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 1 || after[0] != before[0] {
		t.Errorf("ports %v became %v", before, after)
	}
	// Somebody edits the maps while no agent runs; Apply repairs it.
	m := r.nodes[0].col.Maps
	want := dump(t, r.nodes[0])
	mac, _ := datapath.MAC(b.spec.MAC)
	if err := m["mappings"].Delete(bytesOf(macKey{VNI: vni, MAC: mac})); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(100) {
		k := addrKey{vni, mapped(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}))}
		if err := m["owners"].Put(bytesOf(k), bytesOf(bpfOwner{MAC: mac})); err != nil {
			t.Fatal(err)
		}
	}
	r.nodes[0].Close()
	r.open(0)
	r.apply()
	if got := dump(t, r.nodes[0]); got != want {
		t.Errorf("not repaired:\n%s\nwant\n%s", got, want)
	}
	r.mustPing("a", "10.0.0.12", true)
	// A tombstone: the port goes, its number is not used again.
	if err := r.nodes[0].DeletePort(a.spec.Interface); err != nil {
		t.Fatal(err)
	}
	if out := r.ip("-n @h1 -o link"); strings.Contains(out, a.spec.Tap+":") {
		t.Errorf("the tap is still there: %s", out)
	}
	if err := r.nodes[0].DeletePort(a.spec.Interface); err != nil {
		t.Errorf("asked twice: %v", err)
	}
	if err := r.nodes[0].PutPort(a.spec); err != nil {
		t.Fatal(err)
	}
	if again, err := r.nodes[0].Ports(); err != nil || len(again) != 1 || again[0].ID == before[0].ID {
		t.Errorf("%v: number %d was given again: %v", err, before[0].ID, again)
	}
	out := r.ip("-n @h1 -d link show %s", a.spec.Tap)
	for _, want := range []string{"vnet_hdr on", "persist on", "mtu 9001", "UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("the tap is not %q:\n%s", want, out)
		}
	}
}

func (r *region) mustPingPlain(from, to string) {
	r.t.Helper()
	if !r.ping(from, to) {
		r.t.Fatalf("ping from %s to %s lost", from, to)
	}
}

// dump is what the table maps of a node hold.
func dump(t *testing.T, d *Datapath) string {
	var lines []string
	for _, name := range tableMaps {
		err := each(d.col.Maps[name], func(k, v []byte) error {
			lines = append(lines, fmt.Sprintf("%s %x %x", name, k, v[:min(len(v), 90)]))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A hash map has no order.
	for i := range lines {
		for j := i; j > 0 && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return strings.Join(lines, "\n")
}

// One port that opens a flow with every packet leaves the flows of others alone.
func TestFlood(t *testing.T) {
	r := newRegion(t)
	a := r.guest("a", 0, "10.0.0.11", 2)
	b := r.guest("b", 0, "10.0.0.12", 2)
	c := r.guest("c", 1, "10.0.0.13", 2)
	go echo(r.listen("c", "tcp4", "10.0.0.13:800"))
	conn, err := r.dial("b", "tcp4", "10.0.0.13:800")
	if err != nil {
		t.Fatal(err, r.counters())
	}
	defer conn.Close()
	r.group["default"].Rules = r.group["default"].Rules[:1] // from here on only known flows come in
	r.apply()
	const flood = 40000
	r.inside("a", func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		p, err := packet.Listen(i, packet.Raw, unix.ETH_P_IP, nil)
		if err != nil {
			return err
		}
		defer p.Close()
		f := ether(c.spec.MAC, a.spec.MAC, 0x0800, ip(a.spec.PrivateIP, c.spec.PrivateIP, 6, 64, 1, 0, tcp(1, 1, 2, 0)))
		for n := range flood {
			binary.BigEndian.PutUint32(f[34:], uint32(n))
			if _, err := p.WriteTo(f, &packet.Addr{HardwareAddr: net.HardwareAddr(f[:6])}); err != nil {
				return err
			}
		}
		return nil
	})
	r.until("the flood passed a's port", func() bool { return r.count(0, a.spec.Interface, datapath.Sent) >= flood })
	if err := talks(conn, "still here"); err != nil {
		t.Errorf("b's flow was forgotten: %v\n%s", err, r.counters())
	}
	_ = b
}

// A kernel before 6.6 has no tcx: a filter of clsact holds the program.
func TestClsact(t *testing.T) {
	r := newRegion(t)
	a := r.guest("a", 0, "10.0.0.11", 2)
	r.guest("b", 1, "10.0.0.12", 2)
	d := r.nodes[0]
	for _, l := range d.links {
		l.Unpin() // not pinned: the service's
		l.Close()
	}
	d.links = nil
	was := r.count(0, a.spec.Interface, datapath.Sent)
	if r.ping("a", "10.0.0.12") || r.count(0, a.spec.Interface, datapath.Sent) != was {
		t.Fatal("a program is still there")
	}
	r.inside("h1", func() error {
		if err := clsact(int(d.conf.Vxlan), d.col.Programs["from_fabric"], "from_fabric"); err != nil {
			return err
		}
		for range 2 { // the next agent puts its own in the same place
			if err := clsact(int(d.ports[a.spec.Interface].Index), d.col.Programs["from_guest"], "from_guest"); err != nil {
				return err
			}
		}
		return nil
	})
	r.mustPing("a", "10.0.0.12", true)
	was = r.count(0, a.spec.Interface, datapath.Sent)
	r.mustPing("a", "10.0.0.12", true)
	if n := r.count(0, a.spec.Interface, datapath.Sent) - was; n == 0 || n > 2 {
		t.Errorf("one echo was sent %d times", n)
	}
}
