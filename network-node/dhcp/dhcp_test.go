package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"skerry/events"
)

const guestMAC = "02:00:00:00:00:04"

func port() events.PortSpec {
	return events.PortSpec{
		Interface: "eni-00000000000000004", Tap: "t1", MAC: guestMAC, PrivateIP: netip.MustParseAddr("172.31.16.4"),
		MTU: 1450, Hostname: "ip-172-31-16-4.isle-1.compute.internal", Domain: "isle-1.compute.internal",
		DHCP: events.DHCPPart{Domain: "isle-1.compute.internal", NameServers: []netip.Addr{netip.MustParseAddr("172.31.0.2")}},
		CIDR: netip.MustParsePrefix("172.31.16.0/20"), Router: netip.MustParseAddr("172.31.16.1"),
		RouterMAC: events.RouterMAC(7), Resolver: netip.MustParseAddr("172.31.0.2"), Subnet: 7,
	}
}

func mac(s string) net.HardwareAddr { m, _ := net.ParseMAC(s); return m }

// ask builds a client's frame.
func ask(t testing.TB, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) []byte {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac(guestMAC)), dhcpv4.WithMessageType(kind),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})}, with...)...)
	if err != nil {
		t.Fatal(err)
	}
	return request(mac(guestMAC), net.IPv4bcast, m.ToBytes())
}

func request(from net.HardwareAddr, to net.IP, payload []byte) []byte {
	b := frame(from, mac("ff:ff:ff:ff:ff:ff"), net.IPv4zero, to, payload)
	binary.BigEndian.PutUint16(b[34:], clientPort)
	binary.BigEndian.PutUint16(b[36:], serverPort)
	return b
}

// read takes an answer apart and checks its sums.
func read(t testing.TB, b []byte) (to net.HardwareAddr, dst net.IP, m *dhcpv4.DHCPv4) {
	t.Helper()
	h := b[etherSize:]
	if sum(0, h[:ipSize]) != 0xffff {
		t.Fatal("IP checksum")
	}
	if n := int(binary.BigEndian.Uint16(h[2:])); n != len(h) {
		t.Fatalf("IP length %d of %d", n, len(h))
	}
	pseudo := uint32(sum(0, h[12:20])) + 17 + uint32(len(h)-ipSize)
	if sum(pseudo, h[ipSize:]) != 0xffff {
		t.Fatal("UDP checksum")
	}
	m, err := dhcpv4.FromBytes(h[ipSize+udpSize:])
	if err != nil {
		t.Fatal(err)
	}
	return net.HardwareAddr(b[:6]), net.IP(h[16:20]), m
}

func TestAnswers(t *testing.T) {
	p := port()
	opt := dhcpv4.WithOption
	own, other := net.IPv4(172, 31, 16, 4), net.IPv4(172, 31, 16, 5)
	router, rogue := net.IPv4(172, 31, 16, 1), net.IPv4(172, 31, 16, 9)
	for _, c := range []struct {
		name  string
		frame []byte
		what  outcome
		kind  dhcpv4.MessageType
		dst   string
	}{
		{"discover", ask(t, dhcpv4.MessageTypeDiscover), offered, dhcpv4.MessageTypeOffer, "172.31.16.4"},
		{"discover, broadcast", ask(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithBroadcast(true)), offered, dhcpv4.MessageTypeOffer, "255.255.255.255"},
		{"discover, another client id", ask(t, dhcpv4.MessageTypeDiscover, opt(dhcpv4.OptClientIdentifier([]byte("x")))), offered, dhcpv4.MessageTypeOffer, "172.31.16.4"},
		{"discover, wishes another address", ask(t, dhcpv4.MessageTypeDiscover, opt(dhcpv4.OptRequestedIPAddress(other))), offered, dhcpv4.MessageTypeOffer, "172.31.16.4"},
		{"selecting", ask(t, dhcpv4.MessageTypeRequest, opt(dhcpv4.OptServerIdentifier(router)), opt(dhcpv4.OptRequestedIPAddress(own))), acked, dhcpv4.MessageTypeAck, "172.31.16.4"},
		{"selecting another server", ask(t, dhcpv4.MessageTypeRequest, opt(dhcpv4.OptServerIdentifier(rogue)), opt(dhcpv4.OptRequestedIPAddress(own))), ignored, 0, ""},
		{"reboot", ask(t, dhcpv4.MessageTypeRequest, opt(dhcpv4.OptRequestedIPAddress(own))), acked, dhcpv4.MessageTypeAck, "172.31.16.4"},
		{"reboot with a foreign address", ask(t, dhcpv4.MessageTypeRequest, opt(dhcpv4.OptRequestedIPAddress(other))), naked, dhcpv4.MessageTypeNak, "255.255.255.255"},
		{"renew", ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(own)), acked, dhcpv4.MessageTypeAck, "172.31.16.4"},
		{"renew a foreign address", ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(other)), naked, dhcpv4.MessageTypeNak, "255.255.255.255"},
		{"request for nothing", ask(t, dhcpv4.MessageTypeRequest), malformed, 0, ""},
		{"inform", ask(t, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(own)), acked, dhcpv4.MessageTypeAck, "172.31.16.4"},
		{"inform from a foreign address", ask(t, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(other)), ignored, 0, ""},
		{"release", ask(t, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(own)), released, 0, ""},
		{"decline", ask(t, dhcpv4.MessageTypeDecline, opt(dhcpv4.OptRequestedIPAddress(own))), declined, 0, ""},
		{"an answer", ask(t, dhcpv4.MessageTypeOffer), ignored, 0, ""},
		{"no type", ask(t, dhcpv4.MessageTypeNone), ignored, 0, ""},
		{"a relay", ask(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(rogue)), foreign, 0, ""},
		{"another chaddr", ask(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(mac("02:00:00:00:00:05"))), foreign, 0, ""},
		{"to another guest", request(mac(guestMAC), rogue, ask(t, dhcpv4.MessageTypeDiscover)[42:]), ignored, 0, ""},
		{"from another MAC", request(mac("02:00:00:00:00:05"), net.IPv4bcast, ask(t, dhcpv4.MessageTypeDiscover)[42:]), foreign, 0, ""},
		{"short", ask(t, dhcpv4.MessageTypeDiscover)[:60], malformed, 0, ""},
		{"empty", nil, malformed, 0, ""},
	} {
		b, what := answer(c.frame, p)
		if what != c.what || (b == nil) != (c.dst == "") {
			t.Errorf("%s: outcome %d, want %d; answered %v", c.name, what, c.what, b != nil)
			continue
		}
		if b == nil {
			continue
		}
		to, dst, m := read(t, b)
		if m.MessageType() != c.kind || dst.String() != c.dst || m.TransactionID != (dhcpv4.TransactionID{1, 2, 3, 4}) {
			t.Errorf("%s: %v to %v, want %v to %s", c.name, m.MessageType(), dst, c.kind, c.dst)
		}
		if (to.String() == "ff:ff:ff:ff:ff:ff") != (c.dst == "255.255.255.255") {
			t.Errorf("%s: frame to %v", c.name, to)
		}
	}
}

func TestWhatIsTold(t *testing.T) {
	b, _ := answer(ask(t, dhcpv4.MessageTypeDiscover), port())
	_, _, m := read(t, b)
	mtu, _ := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, m.Options)
	if got := m.YourIPAddr.String(); got != "172.31.16.4" {
		t.Errorf("address %s", got)
	}
	if ones, _ := m.SubnetMask().Size(); ones != 20 || mtu != 1450 || m.Router()[0].String() != "172.31.16.1" || m.DNS()[0].String() != "172.31.0.2" ||
		m.HostName() != "ip-172-31-16-4" || m.DomainName() != "isle-1.compute.internal" || m.BroadcastAddress().String() != "172.31.31.255" ||
		m.IPAddressLeaseTime(0) != time.Hour || m.ServerIdentifier().String() != "172.31.16.1" {
		t.Errorf("%s", m.Summary())
	}
	if !bytes.Equal(b[6:12], mac(events.RouterMAC(7))) {
		t.Errorf("from %v", net.HardwareAddr(b[6:12]))
	}
	b, _ = answer(ask(t, dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IPv4(172, 31, 16, 4))), port())
	if _, _, m = read(t, b); m.Options.Has(dhcpv4.OptionIPAddressLeaseTime) || !m.YourIPAddr.IsUnspecified() {
		t.Errorf("an INFORM was given a lease: %s", m.Summary())
	}
	if _, what := answer(ask(t, dhcpv4.MessageTypeDiscover), events.PortSpec{}); what != ignored {
		t.Errorf("a port without an address was answered: %d", what)
	}
}

// What a VPC's set says is told, and what it does not say is not.
func TestOptions(t *testing.T) {
	a := netip.MustParseAddr
	p := port()
	p.DHCP = events.DHCPPart{Domain: "example.com", NameServers: []netip.Addr{a("10.0.0.1"), a("fd00::1"), a("172.31.0.2")}, TimeServers: []netip.Addr{a("10.0.0.3"), a("10.0.0.4")},
		NetBIOSServers: []netip.Addr{a("10.0.0.5")}, NetBIOSNode: 2, PreferredIPv6: 140}
	b, _ := answer(ask(t, dhcpv4.MessageTypeDiscover), p)
	_, _, m := read(t, b)
	if got := fmt.Sprint(m.DomainName(), m.DNS(), m.NTPServers(), m.NetBIOSNameServers(), m.Options.Get(dhcpv4.OptionNetBIOSOverTCPIPNodeType)); got != "example.com[10.0.0.1 172.31.0.2] [10.0.0.3 10.0.0.4] [10.0.0.5] [2]" {
		t.Errorf("told %s", got)
	}
	p.DHCP = events.DHCPPart{NameServers: []netip.Addr{a("fd00::1")}}
	b, _ = answer(ask(t, dhcpv4.MessageTypeDiscover), p)
	_, _, m = read(t, b)
	for _, o := range []dhcpv4.OptionCode{dhcpv4.OptionDomainName, dhcpv4.OptionDomainNameServer, dhcpv4.OptionNTPServers, dhcpv4.OptionNetBIOSOverTCPIPNameServer, dhcpv4.OptionNetBIOSOverTCPIPNodeType} {
		if m.Options.Has(o) {
			t.Errorf("%v was told: %s", o, m.Summary())
		}
	}
}

func TestFragmentsAndBadSums(t *testing.T) {
	good := ask(t, dhcpv4.MessageTypeDiscover)
	for name, spoil := range map[string]func(b []byte){
		"more fragments": func(b []byte) { b[20] |= 0x20; resum(b) },
		"offset":         func(b []byte) { b[21] = 1; resum(b) },
		"IP sum":         func(b []byte) { b[24]++ },
		"IP length":      func(b []byte) { binary.BigEndian.PutUint16(b[16:], 9000); resum(b) },
		"UDP length":     func(b []byte) { binary.BigEndian.PutUint16(b[38:], 9000) },
		"cookie":         func(b []byte) { b[42+236]++ },
		"version":        func(b []byte) { b[14] = 6<<4 | 5; resum(b) },
		"header length":  func(b []byte) { b[14] = 4<<4 | 4; resum(b) },
	} {
		b := bytes.Clone(good)
		spoil(b)
		if r, what := answer(b, port()); r != nil || what != malformed {
			t.Errorf("%s: %d", name, what)
		}
	}
}

func resum(b []byte) {
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], ^sum(0, b[14:34]))
}

// A guest's own client in its own namespace, on a pair of links, as on a tap.
func TestAClientGetsItsLease(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // the thread ends with the test
	home, err := netns.New()
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	defer home.Close()
	ours, theirs := "dhcp-node", "dhcp-guest"
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: ours}, PeerName: theirs, PeerHardwareAddr: mac(guestMAC)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Skipf("cannot make a veth pair: %v", err)
	}
	node, err := netlink.LinkByName(ours)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := netlink.LinkByName(theirs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &Server{Tap: ours, Port: port}
	ended := make(chan error, 1)
	running := make(chan struct{})
	go func() { // sockets belong to the namespace of their thread
		runtime.LockOSThread()
		if err := netns.Set(home); err != nil {
			ended <- err
			close(running)
			return
		}
		close(running)
		ended <- s.Run(ctx)
	}()
	<-running
	// The links come up after the server: a tap is served from its first frame.
	for _, l := range []netlink.Link{node, guest} {
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	client, err := nclient4.New(theirs, nclient4.WithTimeout(500*time.Millisecond), nclient4.WithRetry(20))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	within, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	lease, err := client.Request(within)
	if err != nil {
		t.Fatalf("no lease: %v; %+v", err, s.Counters())
	}
	if !lease.ACK.YourIPAddr.Equal(net.IPv4(172, 31, 16, 4)) || lease.ACK.HostName() != "ip-172-31-16-4" {
		t.Errorf("%s", lease.ACK.Summary())
	}
	if n := s.Counters(); n.Offers < 1 || n.Acks < 1 || n.Malformed+n.Foreign > 0 {
		t.Errorf("%+v", n)
	}
	if err := netlink.LinkDel(node); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, ErrGone) {
			t.Errorf("ended with %v, want ErrGone", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it did not notice that its tap is gone")
	}
}

func TestServeNamesTheTap(t *testing.T) {
	if err := Serve(t.Context(), "no-such-tap", port); err == nil || !bytes.Contains([]byte(err.Error()), []byte("no-such-tap")) {
		t.Errorf("%v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, k := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeRelease} {
		f.Add(ask(f, k, dhcpv4.WithClientIP(net.IPv4(172, 31, 16, 4)), dhcpv4.WithOption(dhcpv4.OptHostName("x"))))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, in := range [][]byte{b, request(mac(guestMAC), net.IPv4bcast, b)} { // the second reaches the message itself
			if len(in) > 4096 {
				return
			}
			r, what := answer(in, port())
			if (r != nil) != (what == offered || what == acked || what == naked) {
				t.Fatalf("outcome %d with answer %v", what, r != nil)
			}
			if r != nil {
				_, _, m := read(t, r)
				if m.OpCode != dhcpv4.OpcodeBootReply || len(r) > 1400 {
					t.Fatalf("%d bytes: %s", len(r), m.Summary())
				}
			}
		}
	})
}
