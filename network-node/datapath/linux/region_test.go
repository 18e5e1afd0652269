package linux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/network-node/datapath"
)

// region is three nodes on one bridge: two hosts and a gateway with an outside.
//
//	guests ─veth─ h1 ─┐
//	guests ─veth─ h2 ─┼─ ul (bridge)
//	               gw ─┘
//	               gw ── up0 ─ out (the rest of the world)
type region struct {
	t      testing.TB
	prefix string
	dirs   string
	nodes  [3]*Datapath
	tables datapath.Tables
	ports  map[string]*guest
	group  map[string]*events.GroupSpec
}

type guest struct {
	name string // of its namespace
	node int
	spec events.PortSpec
}

var regions atomic.Uint32

const (
	vni       = 77
	subnetA   = 771
	subnetB   = 772
	outsideIP = "203.0.113.1"
)

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, 9, byte(i + 1)}) }

func newRegion(t testing.TB) *region {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, tool := range []string{"ip", "nft", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	r := &region{t: t, prefix: fmt.Sprintf("skt%d-%d", os.Getpid(), regions.Add(1)), dirs: t.TempDir(), ports: map[string]*guest{}, group: map[string]*events.GroupSpec{}}
	for _, n := range []string{"ul", "h1", "h2", "gw", "out"} {
		r.namespace(n)
	}
	r.ip("-n @ul link add br0 type bridge")
	r.ip("-n @ul link set br0 mtu 9216 up")
	for i, n := range []string{"h1", "h2", "gw"} {
		r.ip("link add ul0 netns @%s type veth peer name p%s netns @ul", n, n)
		r.ip("-n @ul link set p%s mtu 9216 master br0 up", n)
		r.ip("-n @%s link set ul0 mtu 9216 up", n)
		r.ip("-n @%s addr add %v/24 dev ul0", n, host(i))
	}
	r.ip("link add up0 netns @gw type veth peer name eth0 netns @out")
	r.ip("-n @out link set eth0 up")
	r.ip("-n @out addr add %s/24 dev eth0", outsideIP)
	r.ip("-n @out addr add 198.51.100.9/32 dev eth0")
	r.ip("-n @out route add 198.18.0.0/24 dev eth0")
	for i := range r.nodes {
		r.open(i)
	}
	r.tables = datapath.Tables{
		Nodes: []netip.Addr{host(0), host(1), host(2)},
		Networks: []events.NetworkSpec{{VPC: "vpc-1", VNI: vni, Gateway: host(2), Gateways: []netip.Addr{host(2)},
			Subnets: []events.SubnetPart{{Number: subnetA, CIDR: netip.MustParsePrefix("10.0.0.0/24"), Table: 1}, {Number: subnetB, CIDR: netip.MustParsePrefix("10.0.1.0/24"), Table: 1}},
			Tables: []events.TablePart{{Number: 1, Routes: []events.RoutePart{{Destination: netip.MustParsePrefix("10.0.0.0/16"), Kind: events.RouteLocal},
				{Destination: netip.MustParsePrefix("0.0.0.0/0"), Kind: events.RouteGateway}}}}}},
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	r.addGroup("open", 1, events.RulePart{Egress: true, Protocol: -1, CIDR: all}, events.RulePart{Protocol: -1, CIDR: all})
	r.addGroup("default", 2, events.RulePart{Egress: true, Protocol: -1, CIDR: all}, events.RulePart{Protocol: -1, Group: 2})
	r.apply()
	return r
}

func (r *region) namespace(n string) {
	r.t.Helper()
	r.ip("netns add @%s", n)
	r.t.Cleanup(func() { exec.Command("ip", "netns", "del", r.prefix+n).Run() })
	r.sh(n, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	r.ip("-n @%s link set lo up", n)
}

func (r *region) ip(format string, a ...any) string {
	r.t.Helper()
	line := strings.ReplaceAll(fmt.Sprintf(format, a...), "@", r.prefix)
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

func (r *region) try(ns, line string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", r.prefix + ns}, strings.Fields(line)...)...).CombinedOutput()
	return string(out), err
}

func (r *region) sh(ns, line string) string {
	r.t.Helper()
	out, err := r.try(ns, line)
	if err != nil {
		r.t.Fatalf("%s: %s: %v: %s", ns, line, err, out)
	}
	return out
}

func (r *region) options(i int) Options {
	o := Options{Run: filepath.Join(r.dirs, fmt.Sprint("n", i)), Fabric: "ul0", Address: host(i), Namespace: r.prefix + []string{"h1", "h2", "gw"}[i]}
	if i == 2 {
		o.Uplink, o.UplinkAddress, o.NextHop = "up0", netip.MustParsePrefix("203.0.113.2/24"), netip.MustParseAddr(outsideIP)
	}
	return o
}

func (r *region) open(i int) {
	r.t.Helper()
	d, err := Open(r.options(i))
	if err != nil {
		r.t.Fatalf("%+v", err)
	}
	if r.nodes[i] == nil {
		r.t.Cleanup(func() {
			r.nodes[i].Close()
			if err := Erase(r.options(i).Run); err != nil {
				r.t.Error(err)
			}
		})
	}
	r.nodes[i] = d
}

func (r *region) addGroup(name string, number uint32, rules ...events.RulePart) {
	r.group[name] = &events.GroupSpec{Group: events.GroupID("sg-" + name), Number: number, Rules: rules}
}

func (r *region) apply() {
	r.t.Helper()
	t := r.tables
	for _, g := range r.group {
		t.Groups = append(t.Groups, *g)
	}
	for i, d := range r.nodes {
		if err := d.Apply(t); err != nil {
			r.t.Fatalf("node %d: %v", i, err)
		}
	}
}

// guest adds a namespace as a guest of a node.
func (r *region) guest(name string, node int, address string, groups ...uint32) *guest {
	r.t.Helper()
	n := len(r.ports) + 1
	a := netip.MustParseAddr(address)
	sub := uint32(subnetA)
	if a.As4()[2] == 1 {
		sub = subnetB
	}
	router := netip.AddrFrom4([4]byte{10, 0, a.As4()[2], 1})
	g := &guest{name: name, node: node, spec: events.PortSpec{Interface: events.InterfaceID(fmt.Sprintf("eni-%d", n)), VNI: vni, Tap: fmt.Sprintf("t%d", n),
		MAC: fmt.Sprintf("0a:00:00:00:00:%02x", n), PrivateIP: a, Subnet: sub, Groups: groups, SourceCheck: true, MTU: 9001, Router: router,
		RouterMAC: events.RouterMAC(sub), Resolver: netip.MustParseAddr("10.0.0.2")}}
	ns := []string{"h1", "h2"}[node]
	r.namespace(name)
	r.ip("link add eth0 netns @%s type veth peer name %s netns @%s", name, g.spec.Tap, ns)
	r.ip("-n @%s link set eth0 address %s mtu 9001 up", name, g.spec.MAC)
	r.ip("-n @%s addr add %s/24 dev eth0", name, address)
	if err := r.nodes[node].PutPort(g.spec); err != nil {
		r.t.Fatal(err)
	}
	r.ip("-n @%s route add default via %v", name, router)
	r.ports[name] = g
	r.tables.Mappings = append(r.tables.Mappings, events.MappingSpec{Interface: g.spec.Interface, VNI: vni, MAC: g.spec.MAC, Addresses: []netip.Addr{a}, Subnet: sub,
		Host: host(node), Groups: groups, SourceCheck: true})
	r.apply()
	return g
}

func (r *region) public(g *guest, address string) {
	r.t.Helper()
	if err := r.nodes[2].PutPublic(events.PublicSpec{Address: netip.MustParseAddr(address), VNI: vni, Private: g.spec.PrivateIP, MAC: g.spec.MAC, Host: host(g.node), Announce: true, Epoch: 1}); err != nil {
		r.t.Fatal(err)
	}
}

// mapping changes what the region knows of a guest.
func (r *region) mapping(g *guest, f func(*events.MappingSpec)) {
	for i := range r.tables.Mappings {
		if r.tables.Mappings[i].Interface == g.spec.Interface {
			f(&r.tables.Mappings[i])
		}
	}
	r.apply()
}

func (r *region) ping(from, to string) bool {
	for range 2 { // the first may wait for a neighbour
		if r.echo(from, to, 56, 0) == "reply" {
			return true
		}
	}
	return false
}

var echoes atomic.Uint32

// echo sends one ICMP echo request and says what came back: "reply", "11.0" for
// an ICMP error, or "" for nothing in a second. With a ttl the request must
// not be fragmented.
func (r *region) echo(from, to string, size, ttl int) (got string) {
	r.t.Helper()
	id := uint16(echoes.Add(1))
	r.inside(from, func() error {
		c, err := net.ListenIP("ip4:icmp", nil)
		if err != nil {
			return err
		}
		defer c.Close()
		if ttl != 0 {
			raw, err := c.SyscallConn()
			if err != nil {
				return err
			}
			raw.Control(func(fd uintptr) {
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl),
					unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO))
			})
			if err != nil {
				return err
			}
		}
		if _, err := c.WriteTo(icmp(8, 0, id, make([]byte, size)), &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			return nil // no route, or too big for the way that is known: no reply either
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, 65536)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return nil
			}
			switch {
			case n >= 8 && b[0] == 0 && binary.BigEndian.Uint16(b[4:]) == id:
				got = "reply"
				return nil
			case n >= 36 && b[0] != 8 && binary.BigEndian.Uint16(b[8+20+4:]) == id:
				if sum16(b[:n]) != 0 {
					got = "damaged"
					return nil
				}
				got = fmt.Sprintf("%d.%d", b[0], b[1])
				return nil
			}
		}
	})
	return got
}

func (r *region) mustPing(from, to string, want bool) {
	r.t.Helper()
	if got := r.ping(from, to); got != want {
		r.t.Fatalf("ping from %s to %s: %v, want %v\n%s", from, to, got, want, r.counters())
	}
}

func (r *region) counters() string {
	var b strings.Builder
	for i, d := range r.nodes {
		cs, err := d.Counters()
		fmt.Fprintln(&b, "node", i, err)
		for _, c := range cs {
			fmt.Fprintln(&b, " ", c.Interface, c.Reason, c.Packets)
		}
	}
	return b.String()
}

func (r *region) count(node int, id events.InterfaceID, why datapath.Reason) (n uint64) {
	cs, err := r.nodes[node].Counters()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range cs {
		if c.Interface == id && c.Reason == why {
			n += c.Packets
		}
	}
	return n
}

// grows waits until a counter has grown while do is done again and again.
func (r *region) grows(node int, id events.InterfaceID, why datapath.Reason, do func()) {
	r.t.Helper()
	was := r.count(node, id, why)
	r.until(fmt.Sprintf("node %d %s %v grows", node, id, why), func() bool {
		do()
		return r.count(node, id, why) > was
	})
}

func (r *region) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	r.t.Fatalf("not in 20 s: %s\n%s", what, r.counters())
}

// inside does something in the namespace of a guest or node.
func (r *region) inside(ns string, do func() error) {
	r.t.Helper()
	h, err := netns.GetFromName(r.prefix + ns)
	if err != nil {
		r.t.Fatal(err)
	}
	defer h.Close()
	if err := enter(h, do); err != nil {
		r.t.Fatal(ns, ": ", err)
	}
}

func (r *region) listen(ns, network, address string) (l net.Listener) {
	r.t.Helper()
	r.inside(ns, func() (err error) { l, err = net.Listen(network, address); return err })
	r.t.Cleanup(func() { l.Close() })
	return l
}

func (r *region) dial(ns, network, address string) (c net.Conn, err error) {
	h, err := netns.GetFromName(r.prefix + ns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	err = enter(h, func() (err error) { c, err = net.DialTimeout(network, address, 3*time.Second); return err })
	return c, err
}

// raw sends a frame as it is from a guest.
func (r *region) raw(g *guest, f []byte) {
	r.t.Helper()
	r.inside(g.name, func() error { return send("eth0", f) })
}

// echo answers every connection with what it sends.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 64<<10)
			for {
				n, err := c.Read(b)
				if _, werr := c.Write(b[:n]); err != nil || werr != nil {
					return
				}
			}
		}()
	}
}

func talks(c net.Conn, word string) error {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	b := make([]byte, len(word))
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if !bytes.Equal(b, []byte(word)) {
		return fmt.Errorf("%q came back as %q", word, b)
	}
	return nil
}
