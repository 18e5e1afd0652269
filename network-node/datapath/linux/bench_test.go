package linux

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"skerry/events"
	"skerry/network-node/datapath"
)

// flood copies for a while over one TCP connection and returns bytes a second.
func (r *region) flood(from, to, address string) float64 {
	l := r.listen(to, "tcp4", address)
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- 0
			return
		}
		defer c.Close()
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
		got <- n
	}()
	c, err := r.dial(from, "tcp4", address)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.counters())
	}
	b := make([]byte, 256<<10)
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		if _, err := c.Write(b); err != nil {
			r.t.Fatal(err)
		}
	}
	c.Close()
	return float64(<-got) / time.Since(start).Seconds()
}

// asks counts round trips of one byte a second.
func (r *region) asks(from, to, address string) float64 {
	l := r.listen(to, "tcp4", address)
	defer l.Close()
	go echo(l)
	c, err := r.dial(from, "tcp4", address)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.counters())
	}
	defer c.Close()
	c.(*net.TCPConn).SetNoDelay(true)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1)
	start := time.Now()
	n := 0
	for ; time.Since(start) < time.Second; n++ {
		if _, err := c.Write(b); err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			r.t.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// BenchmarkTCP is TCP through the VPC, across two hosts, beside TCP between two
// namespaces that the same hosts route plainly, in the same run.
func BenchmarkTCP(b *testing.B) {
	r := newRegion(b)
	r.guest("a", 0, "10.0.0.11", 1)
	r.guest("b", 1, "10.0.0.12", 1)
	for i, n := range []string{"pa", "pb"} {
		r.namespace(n)
		ns := []string{"h1", "h2"}[i]
		r.ip("link add eth0 netns @%s type veth peer name plain netns @%s", n, ns)
		r.ip("-n @%s link set eth0 mtu 9001 up", n)
		r.ip("-n @%s link set plain mtu 9001 up", ns)
		r.ip("-n @%s addr add 192.168.%d.2/24 dev eth0", n, i)
		r.ip("-n @%s addr add 192.168.%d.1/24 dev plain", ns, i)
		r.ip("-n @%s route add default via 192.168.%d.1", n, i)
		r.ip("-n @%s route add 192.168.%d.0/24 via %v", ns, 1-i, host(1-i))
		r.sh(ns, "sysctl -qw net.ipv4.ip_forward=1")
	}
	var vpc, plain, ask, plainAsk float64
	for range b.N { // taken in turns, for the machine is shared
		plain += r.flood("pa", "pb", "192.168.1.2:5001")
		vpc += r.flood("a", "b", "10.0.0.12:5001")
		plainAsk += r.asks("pa", "pb", "192.168.1.2:5002")
		ask += r.asks("a", "b", "10.0.0.12:5002")
	}
	n := float64(b.N)
	b.ReportMetric(vpc/plain, "bulk/plain")
	b.ReportMetric(ask/plainAsk, "asks/plain")
	b.ReportMetric(vpc/n*8/1e9, "Gbit/s")
	b.ReportMetric(plain/n*8/1e9, "plain-Gbit/s")
	b.ReportMetric(ask/n, "asks/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkApply is how fast mappings come into force.
func BenchmarkApply(b *testing.B) {
	r := newRegion(b)
	t := r.tables
	for i := range 20000 {
		ip := [4]byte{10, 1, byte(i >> 8), byte(i)}
		t.Mappings = append(t.Mappings, events.MappingSpec{Interface: "e", VNI: vni, MAC: fmt.Sprintf("0a:01:00:00:%02x:%02x", byte(i>>8), byte(i)), Addresses: []netip.Addr{netip.AddrFrom4(ip)}, Subnet: subnetA, Host: host(0), SourceCheck: true})
	}
	d := r.nodes[0]
	empty := r.tables
	var took time.Duration
	for range b.N {
		start := time.Now()
		if err := d.Apply(t); err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		if err := d.Apply(empty); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(t.Mappings)*b.N)/took.Seconds(), "mappings/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPacket is one packet through the guest's program, by BPF_PROG_RUN.
func BenchmarkPacket(b *testing.B) {
	r := newRig(b)
	conf := bpfConfig{Host: v4(self), Vxlan: vxlanIndex}
	if err := r.col.Maps["config"].Put(uint32(0), bytesOf(conf)); err != nil {
		b.Fatal(err)
	}
	p := bpfPort{ID: 1, VNI: 5, Subnet: 50, Index: tapIndex, Private: mapped(addr("10.0.0.4")), Router: mapped(addr("10.0.0.1")), Resolver: mapped(addr("10.0.0.2"))}
	p.MAC, _ = datapath.MAC(poolMAC[0])
	p.Groups[0] = 1
	r.put(b, "ports", p.Index, bytesOf(p))
	im, err := encode(datapath.Tables{
		Mappings: []events.MappingSpec{{VNI: 5, MAC: poolMAC[0], Addresses: []netip.Addr{addr("10.0.0.4")}, Subnet: 50, Host: self, SourceCheck: true},
			{VNI: 5, MAC: poolMAC[1], Addresses: []netip.Addr{addr("10.0.0.5")}, Subnet: 50, Host: addr(poolHost[1]), SourceCheck: true}},
		Groups: []events.GroupSpec{{Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}}}})
	if err != nil {
		b.Fatal(err)
	}
	for m, es := range im {
		for k, v := range es {
			r.put(b, m, []byte(k), []byte(v))
		}
	}
	ctx := make([]byte, 192)
	ctx[40] = tapIndex
	f := ether(poolMAC[1], poolMAC[0], 0x0800, ip(addr("10.0.0.4"), addr("10.0.0.5"), 17, 64, 1, 0, udp(1, 2, 100)))
	o := &ebpf.RunOptions{Data: f, DataOut: make([]byte, 256), Context: ctx, Repeat: uint32(b.N)}
	b.ResetTimer()
	ret, err := r.col.Programs["from_guest"].Run(o)
	if err != nil || ret != 7 {
		b.Fatal(ret, err)
	}
}
