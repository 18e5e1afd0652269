package resolver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"skerry/events"
)

const (
	private = "isle-1.compute.internal"
	public  = "isle-1.compute.skerry.internal"
)

var addr = netip.MustParseAddr

// inside knows two VPCs with the same addresses, one guest each.
func inside(upstream ...netip.AddrPort) *Inside {
	ports := map[netip.Addr]events.PortSpec{
		addr("127.0.0.1"): {VPC: "vpc-1", Domain: private, CIDR: netip.MustParsePrefix("172.31.0.0/20"), Resolver: addr("172.31.0.2")},
		addr("127.0.0.2"): {VPC: "vpc-2", Domain: private, CIDR: netip.MustParsePrefix("172.31.0.0/20"), Resolver: addr("172.31.0.2")},
	}
	return &Inside{
		Port: func(a netip.Addr) (events.PortSpec, bool) { p, ok := ports[a]; return p, ok },
		Network: func(v events.VPCID) (events.NetworkSpec, bool) {
			if v != "vpc-1" {
				return events.NetworkSpec{}, false
			}
			return events.NetworkSpec{Blocks: []netip.Prefix{netip.MustParsePrefix("172.31.0.0/16"), netip.MustParsePrefix("10.1.0.0/24")}}, true
		},
		Private: func(v events.VPCID, a netip.Addr) (netip.Addr, bool) {
			if v == "vpc-1" && a == addr("198.18.1.4") {
				return addr("172.31.0.4"), true
			}
			return netip.Addr{}, false
		},
		PublicDomain: public, Upstream: upstream,
	}
}

// start serves on loopback and returns the address.
func start(t testing.TB, h Handler) string {
	t.Helper()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, h, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return tcp.Addr().String()
}

func question(name string, kind uint16) *dns.Msg {
	m := new(dns.Msg)
	return m.SetQuestion(dns.Fqdn(name), kind)
}

func ask(t *testing.T, at, from, network string, q *dns.Msg) *dns.Msg {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	m, _, err := (&dns.Client{Net: network, Dialer: d, Timeout: 10 * time.Second}).Exchange(q, at)
	if err != nil {
		t.Fatalf("%s: %v", q.Question[0].Name, err)
	}
	return m
}

// said is "NOERROR 172.31.0.4" or "NXDOMAIN SOA" or "REFUSED".
func said(m *dns.Msg) string {
	s := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		s += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	if len(m.Answer) == 0 && len(m.Ns) > 0 {
		s += " " + dns.TypeToString[m.Ns[0].Header().Rrtype]
	}
	return s
}

func TestInside(t *testing.T) {
	at := start(t, inside())
	for _, c := range []struct {
		from, name string
		kind       uint16
		want       string
	}{
		{"127.0.0.1", "ip-172-31-0-4." + private, dns.TypeA, "NOERROR 172.31.0.4"},
		{"127.0.0.1", "IP-172-31-0-4.Isle-1.COMPUTE.internal", dns.TypeA, "NOERROR 172.31.0.4"},
		{"127.0.0.1", "ip-10-1-0-9." + private, dns.TypeA, "NOERROR 10.1.0.9"},
		{"127.0.0.1", "ip-10-2-0-9." + private, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "ip-172-31-0-04." + private, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "ip-172-31-0-256." + private, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "x.ip-172-31-0-4." + private, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "ip-172-31-0-4." + private, dns.TypeAAAA, "NOERROR SOA"},
		{"127.0.0.1", private, dns.TypeA, "NOERROR SOA"},
		{"127.0.0.1", private, dns.TypeNS, "NOERROR ns." + private + "."},
		{"127.0.0.1", "ns." + private, dns.TypeA, "NOERROR 172.31.0.2"},
		// The same name means two addresses.
		{"127.0.0.1", "ec2-198-18-1-4." + public, dns.TypeA, "NOERROR 172.31.0.4"},
		{"127.0.0.2", "ec2-198-18-1-4." + public, dns.TypeA, "NOERROR 198.18.1.4"},
		{"127.0.0.1", "ec2-198-18-1-5." + public, dns.TypeA, "NOERROR 198.18.1.5"},
		{"127.0.0.1", "ec2-198-18-1-4." + public, dns.TypeAAAA, "NOERROR SOA"},
		{"127.0.0.1", "ec2-127-0-0-1." + public, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "ec2-10-0-0-1." + public, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "ip-172-31-0-4." + public, dns.TypeA, "NXDOMAIN SOA"},
		{"127.0.0.1", "4.0.31.172.in-addr.arpa", dns.TypePTR, "NOERROR ip-172-31-0-4." + private + "."},
		{"127.0.0.1", "4.1.18.198.in-addr.arpa", dns.TypePTR, "NOERROR ec2-198-18-1-4." + public + "."},
		// Not known, and never asked of anyone else.
		{"127.0.0.1", "4.0.2.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{"127.0.0.2", "4.0.1.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{"127.0.0.1", "ip-172-31-0-4.other.compute.internal", dns.TypeA, "NXDOMAIN"},
		{"127.0.0.1", "printer.local", dns.TypeA, "NXDOMAIN"},
		{"127.0.0.1", "example.com", dns.TypeA, "REFUSED"},
		{"127.0.0.3", "ip-172-31-0-4." + private, dns.TypeA, "REFUSED"}, // nobody's address
		{"127.0.0.1", private, dns.TypeAXFR, "REFUSED"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := said(ask(t, at, c.from, network, question(c.name, c.kind))); got != c.want {
				t.Errorf("%s from %s over %s: %s, want %s", c.name, c.from, network, got, c.want)
			}
		}
	}
}

func TestOutside(t *testing.T) {
	h := &Outside{Domain: public, Known: func(a netip.Addr) bool { return a == addr("198.18.1.4") }, Self: addr("198.18.0.1")}
	at := start(t, h)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"ec2-198-18-1-4." + public, dns.TypeA, "NOERROR 198.18.1.4"},
		{"ec2-198-18-1-4." + public, dns.TypeAAAA, "NOERROR SOA"},
		{"ec2-198-18-1-5." + public, dns.TypeA, "NXDOMAIN SOA"},
		{"www." + public, dns.TypeA, "NXDOMAIN SOA"},
		{public, dns.TypeSOA, "NOERROR ns." + public + ". hostmaster." + public + ". 1 3600 600 86400 5"},
		{public, dns.TypeNS, "NOERROR ns." + public + "."},
		{"ns." + public, dns.TypeA, "NOERROR 198.18.0.1"},
		{"4.1.18.198.in-addr.arpa", dns.TypePTR, "NOERROR ec2-198-18-1-4." + public + "."},
		{"5.1.18.198.in-addr.arpa", dns.TypePTR, "REFUSED"},
		{"ip-172-31-0-4." + private, dns.TypeA, "REFUSED"},
		{"example.com", dns.TypeA, "REFUSED"},
		{"not" + public, dns.TypeA, "REFUSED"},
		{".", dns.TypeNS, "REFUSED"},
	} {
		m := ask(t, at, "127.0.0.1", "udp", question(c.name, c.kind))
		if got := said(m); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if m.RecursionAvailable || m.Authoritative == (m.Rcode == dns.RcodeRefused) {
			t.Errorf("%s: flags %+v", c.name, m.MsgHdr)
		}
	}
	odd := question(public, dns.TypeA)
	odd.Question[0].Qclass = dns.ClassCHAOS
	if got := said(ask(t, at, "127.0.0.1", "udp", odd)); got != "REFUSED" {
		t.Errorf("CHAOS: %s", got)
	}
	odd = question(public, dns.TypeA)
	odd.SetEdns0(4096, false)
	odd.IsEdns0().SetVersion(1)
	if m := ask(t, at, "127.0.0.1", "udp", odd); m.Rcode != dns.RcodeBadVers {
		t.Errorf("EDNS 1: %s", said(m))
	}
	if n := h.Counters(); n.Answered == 0 || n.Refused == 0 {
		t.Errorf("%+v", n)
	}
}

type plain func(dns.ResponseWriter, *dns.Msg)

func (f plain) Answer(_ context.Context, w dns.ResponseWriter, r *dns.Msg) { f(w, r) }

// upstream answers every name; big. has a long answer, bad. none.
func upstream(t *testing.T, asked *atomic.Int64) netip.AddrPort {
	return netip.MustParseAddrPort(start(t, plain(func(w dns.ResponseWriter, r *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg)
		m.SetReply(r)
		n := 1
		switch name := r.Question[0].Name; {
		case strings.HasPrefix(name, "bad."):
			m.Rcode = dns.RcodeServerFailure
		case strings.HasPrefix(name, "none."):
			m.Rcode = dns.RcodeNameError
		case strings.HasPrefix(name, "big."):
			n = 200
		}
		for i := range n {
			if m.Rcode == 0 {
				m.Answer = append(m.Answer, &dns.A{Hdr: header(r.Question[0].Name, dns.TypeA), A: net.IPv4(192, 0, 2, byte(i))})
			}
		}
		write(w, r, m)
	})))
}

func TestForwarding(t *testing.T) {
	var asked atomic.Int64
	up := upstream(t, &asked)
	nobody, err := net.ListenPacket("udp4", "127.0.0.1:0") // hears and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	h := inside(up)
	at := start(t, h)
	if got := said(ask(t, at, "127.0.0.1", "udp", question("www.Example.com", dns.TypeA))); got != "NOERROR 192.0.2.0" {
		t.Errorf("%s", got)
	}
	if got := said(ask(t, at, "127.0.0.1", "udp", question("none.example.com", dns.TypeA))); got != "NXDOMAIN" {
		t.Errorf("%s", got)
	}
	if got := said(ask(t, at, "127.0.0.1", "udp", question("bad.example.com", dns.TypeA))); got != "SERVFAIL" {
		t.Errorf("%s", got)
	}
	big := ask(t, at, "127.0.0.1", "udp", question("big.example.com", dns.TypeA))
	big.Compress = true // as it came
	if !big.Truncated || big.Len() > 512 {
		t.Errorf("a long answer over UDP: truncated %v, %d bytes", big.Truncated, big.Len())
	}
	if big = ask(t, at, "127.0.0.1", "tcp", question("big.example.com", dns.TypeA)); len(big.Answer) != 200 {
		t.Errorf("a long answer over TCP: %d", len(big.Answer))
	}
	before := asked.Load()
	for _, name := range []string{"ip-172-31-9-9." + private, "x.internal", "9.9.168.192.in-addr.arpa", "ec2-1-2-3-4." + public} {
		ask(t, at, "127.0.0.1", "udp", question(name, dns.TypeA))
	}
	if asked.Load() != before {
		t.Error("a private name was sent on")
	}
	quiet := question("www.example.com", dns.TypeA)
	quiet.RecursionDesired = false
	if got := said(ask(t, at, "127.0.0.1", "udp", quiet)); got != "REFUSED" {
		t.Errorf("without recursion: %s", got)
	}
	// The next server is asked when the first is silent.
	second := start(t, inside(netip.MustParseAddrPort(nobody.LocalAddr().String()), up))
	if got := said(ask(t, second, "127.0.0.1", "udp", question("www.example.com", dns.TypeA))); got != "NOERROR 192.0.2.0" {
		t.Errorf("with a silent first server: %s", got)
	}
	if n := h.Counters(); n.Forwarded < 3 || n.Answered < 4 || n.Refused != 1 {
		t.Errorf("%+v", n)
	}
}

// A guest whose questions hang is limited; another is answered.
func TestOneGuestDoesNotUseUpTheServer(t *testing.T) {
	nobody, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	h := inside(netip.MustParseAddrPort(nobody.LocalAddr().String()))
	at := start(t, h)
	c, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}}).Dial("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 * queries {
		b, err := question(fmt.Sprintf("n%d.example.com", i), dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(b)
	}
	for end := time.Now().Add(10 * time.Second); h.Counters().Limited == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never limited: %+v", h.Counters())
		}
	}
	if got := said(ask(t, at, "127.0.0.2", "udp", question("ip-172-31-0-4."+private, dns.TypeA))); got != "NOERROR 172.31.0.4" {
		t.Errorf("another guest: %s", got)
	}
}

func TestNames(t *testing.T) {
	if got := events.PublicName(addr("198.18.1.4"), public); got != "ec2-198-18-1-4.isle-1.compute.skerry.internal" {
		t.Error(got)
	}
	if got := events.PrivateName(addr("172.31.0.4"), private); got != "ip-172-31-0-4.isle-1.compute.internal" {
		t.Error(got)
	}
	if a, whole, ok := reversed(Reverse(addr("172.31.0.4"))); !ok || !whole || a != addr("172.31.0.4") {
		t.Error(a, whole, ok)
	}
}

// answers is a dns.ResponseWriter that keeps what is written.
type answers struct {
	dns.ResponseWriter
	from net.Addr
	got  *dns.Msg
}

func (a *answers) RemoteAddr() net.Addr      { return a.from }
func (a *answers) WriteMsg(m *dns.Msg) error { a.got = m; return nil }

func FuzzQuestions(f *testing.F) {
	for _, q := range []*dns.Msg{question("ip-172-31-0-4."+private, dns.TypeA), question("ec2-198-18-1-4."+public, dns.TypeANY),
		question("4.0.31.172.in-addr.arpa", dns.TypePTR), question(".", dns.TypeNS)} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		q.SetEdns0(4096, true)
		b, _ = q.Pack()
		f.Add(b)
	}
	in := inside()
	out := &Outside{Domain: public, Known: func(a netip.Addr) bool { return a == addr("198.18.1.4") }}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(dns.Msg)
		if r.Unpack(b) != nil {
			return
		}
		for _, h := range []Handler{in, out} {
			w := &answers{from: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5}}
			h.Answer(t.Context(), w, r)
			if w.got == nil || w.got.Id != r.Id || !w.got.Response {
				t.Fatalf("no answer to %v", r)
			}
			wire, err := w.got.Pack()
			if err != nil {
				t.Fatalf("an answer that cannot be sent: %v to %v", err, r)
			}
			if len(wire) > 1232 && len(wire) > len(b)+512 {
				t.Fatalf("%d bytes for %d", len(wire), len(b))
			}
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("ip-172-31-0-4")
	f.Add("ec2-1-2-3")
	f.Add("4.0.31.172.in-addr.arpa")
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := address(s, "ip"); ok && events.PrivateName(a, "x") != s+".x" {
			t.Fatalf("%q is %v", s, a)
		}
		if a, whole, _ := reversed(s); whole && Reverse(a) != s {
			t.Fatalf("%q is %v", s, a)
		}
	})
}
