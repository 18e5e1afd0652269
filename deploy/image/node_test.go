package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"

	"skerry/events"
	"skerry/network-node/dhcp"
	"skerry/network-node/metadata"
	"skerry/network-node/resolver"
)

// TestGuestOfANode boots the image on a tap where the servers of a network node
// answer: address, size of packets, names and keys all come from them.
func TestGuestOfANode(t *testing.T) {
	dir, list, key := stage(t)
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	const domain, public, mac = "isle-1.compute.internal", "isle-1.compute.skerry.internal", "02:00:00:00:00:04"
	at := netip.MustParseAddr("172.31.16.4")
	port := events.PortSpec{
		Interface: "eni-00000000000000004", Instance: "i-0ccccccccccccccc1", VPC: "vpc-1", Tap: "tguest", MAC: mac, PrivateIP: at, MTU: 1450,
		Hostname: "ip-172-31-16-4." + domain, Domain: domain, CIDR: netip.MustParsePrefix("172.31.16.0/20"), Router: netip.MustParseAddr("172.31.16.1"),
		Resolver: netip.MustParseAddr("172.31.0.2"), Subnet: 7, DHCP: events.DHCPPart{Domain: domain, NameServers: []netip.Addr{netip.MustParseAddr("172.31.0.2")}},
	}
	spec := events.MetadataSpec{
		Instance: port.Instance, KeyName: "mine", PublicKey: string(ssh.MarshalAuthorizedKey(key.PublicKey())), Region: "isle-1", Zone: "isle-1a",
		Devices:    []events.DevicePart{{Virtual: "ami", Device: "/dev/sda1"}, {Virtual: "ephemeral0", Device: "sdb"}},
		Interfaces: []events.InterfacePart{{MAC: mac, PrivateIP: at, LocalName: port.Hostname, Public: netip.MustParseAddr("198.18.1.4")}},
		Options:    events.MetadataOptions{HTTPTokens: "required", HopLimit: 1, Endpoint: "enabled"},
	}

	// The tap carries the router's address, lo those of the servers.
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: port.Tap}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Skipf("cannot make a tap: %v", err)
	}
	router, err := net.ParseMAC(events.RouterMAC(port.Subnet))
	if err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName(port.Tap)
	if err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		netlink.LinkSetHardwareAddr(link, router),
		netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(172, 31, 16, 1), Mask: net.CIDRMask(20, 32)}}),
		netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(169, 254, 169, 254), Mask: net.CIDRMask(32, 32)}}),
		netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(172, 31, 0, 2), Mask: net.CIDRMask(32, 32)}}),
		netlink.LinkSetUp(link),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	defer func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	leases := &dhcp.Server{Tap: port.Tap, Port: func() events.PortSpec { return port }}
	go func() {
		runtime.LockOSThread() // its socket belongs to the thread's namespace
		if err := netns.Set(home); err != nil {
			ended <- err
			return
		}
		ended <- leases.Run(ctx)
	}()
	told, err := metadata.New(func(a netip.Addr) (events.PortSpec, events.MetadataSpec, bool) { return port, spec, a == at }, make([]byte, 32), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp4", "169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- told.Serve(ctx, web) }()
	names := &resolver.Inside{
		Port: func(a netip.Addr) (events.PortSpec, bool) { return port, a == at },
		Network: func(events.VPCID) (events.NetworkSpec, bool) {
			return events.NetworkSpec{Blocks: []netip.Prefix{netip.MustParsePrefix("172.31.0.0/16")}}, true
		},
		Private: func(_ events.VPCID, a netip.Addr) (netip.Addr, bool) {
			return port.Router, a == netip.MustParseAddr("198.18.1.5")
		},
		PublicDomain: public,
	}
	udp, err := net.ListenPacket("udp4", "172.31.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", "172.31.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- resolver.Serve(ctx, names, udp, tcp) }()

	g := boot(t, dir, list.Images[0], key, []string{"-netdev", "tap,id=n0,ifname=" + port.Tap + ",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,mac=" + mac}, "172.31.16.4:22")
	for line, want := range map[string]string{
		"cat /sys/class/net/eth0/mtu":                              "1450\n",
		"hostname":                                                 "ip-172-31-16-4\n",
		"cat /etc/resolv.conf":                                     "search isle-1.compute.internal\nnameserver 172.31.0.2\n",
		"/sbin/ip -4 -o addr show eth0":                            "172.31.16.4/20",
		"ifconfig eth0":                                            "inet 172.31.16.4",
		"sudo -n dmesg >/dev/null && df / /mnt":                    "/mnt",
		"/sbin/ip route":                                           "default via 172.31.16.1",
		"ping -c 1 -w 5 ip-172-31-16-1":                            "1 received",
		"ping -c 1 -w 5 ec2-198-18-1-5." + public:                  "(172.31.16.1)",
		"getent hosts 172.31.16.9 || busybox nslookup 172.31.16.9": "ip-172-31-16-9." + domain,
		"wget -q -O - http://169.254.169.254/latest/meta-data/public-ipv4; echo $?": "6\n", // 401
		`curl -s -H "X-aws-ec2-metadata-token: $(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)" http://169.254.169.254/latest/meta-data/public-ipv4`: "198.18.1.4",
	} {
		if got := g.run(line); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if n := leases.Counters(); n.Offers < 1 || n.Acks < 1 || n.Foreign+n.Malformed+n.Naks > 0 {
		t.Errorf("%+v", n)
	}
}
