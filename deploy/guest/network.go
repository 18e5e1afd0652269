//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// configureNetwork brings lo up and every Ethernet device, asking for an
// address by DHCP (RFC 2131) on all at once, within the bound. It returns one
// "eth0=10.0.0.5/24" per lease and a function that keeps the leases until its
// context ends.
func configureNetwork(ctx context.Context, bound time.Duration) ([]string, func(context.Context)) {
	// ping without privileges: every group may open an ICMP socket.
	os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0o644)
	if lo, err := netlink.LinkByName("lo"); err == nil {
		netlink.LinkSetUp(lo)
	}
	names := ethernetDevices("/sys/class/net")
	if len(names) == 0 {
		return nil, func(context.Context) {}
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	found := make([]*lease, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			l, err := acquire(ctx, name, i)
			if err != nil {
				console("SKERRY-WARN %s: %v", name, err)
				return
			}
			found[i] = l
		})
	}
	wg.Wait()
	var said []string
	for _, l := range found {
		if l != nil {
			said = append(said, l.String())
		}
	}
	if l := found[0]; l != nil { // the first interface speaks for the guest
		setHostname(l.reply.ACK.HostName())
	}
	slices.Sort(said)
	return said, func(ctx context.Context) {
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() { keep(ctx, name, i, found[i]) })
		}
		wg.Wait()
	}
}

// ethernetDevices lists the interfaces of a /sys/class/net that are not
// loopback and stand on a device.
func ethernetDevices(sys string) []string {
	dirs, _ := filepath.Glob(filepath.Join(sys, "*", "device"))
	var out []string
	for _, d := range dirs {
		out = append(out, filepath.Base(filepath.Dir(d)))
	}
	slices.Sort(out)
	return out
}

// lease is what DHCP gave to one interface.
type lease struct {
	name  string
	index int // position of the interface: the default route of the first wins
	addr  net.IPNet
	reply *nclient4.Lease
}

func (l *lease) String() string { return l.name + "=" + l.addr.String() }

// acquire runs discover, offer, request, acknowledge and applies the result.
func acquire(ctx context.Context, name string, index int) (*lease, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("up: %w", err)
	}
	c, err := nclient4.New(name, nclient4.WithTimeout(time.Second), nclient4.WithRetry(10))
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	defer c.Close()
	got, err := c.Request(ctx)
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	l := &lease{name: name, index: index, reply: got}
	return l, l.apply(link)
}

// apply puts address, routes and resolver of the lease in place. Doing it again
// changes nothing.
func (l *lease) apply(link netlink.Link) error {
	ack := l.reply.ACK
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	l.addr = net.IPNet{IP: ack.YourIPAddr, Mask: mask}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 576 {
		netlink.LinkSetMTU(link, int(mtu))
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &l.addr}); err != nil {
		return fmt.Errorf("address %s: %w", l.addr.String(), err)
	}
	if olds, err := netlink.AddrList(link, netlink.FAMILY_V4); err == nil {
		for _, a := range olds {
			if !a.IP.Equal(l.addr.IP) {
				netlink.AddrDel(link, &a)
			}
		}
	}
	metric := 100 + l.index
	for _, r := range ack.ClasslessStaticRoute() {
		route := netlink.Route{LinkIndex: link.Attrs().Index, Dst: r.Dest, Gw: r.Router, Priority: metric}
		if r.Router.IsUnspecified() {
			route.Gw, route.Scope = nil, netlink.SCOPE_LINK
		}
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("route %s: %w", r, err)
		}
	}
	if gw := ack.Router(); len(gw) > 0 && len(ack.ClasslessStaticRoute()) == 0 {
		all := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Gw: gw[0], Priority: metric}); err != nil {
			return fmt.Errorf("default route: %w", err)
		}
	}
	if l.index == 0 {
		return os.WriteFile("/etc/resolv.conf", resolvConf(ack.DNS(), ack.DomainName()), 0o644)
	}
	return nil
}

func resolvConf(servers []net.IP, domain string) []byte {
	var b strings.Builder
	if domain != "" && !strings.ContainsAny(domain, " \n\t") {
		fmt.Fprintf(&b, "search %s\n", domain)
	}
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return []byte(b.String())
}

// keep holds a lease: it asks again at half of its time (RFC 2131 section
// 4.4.5), and every half minute while there is none.
func keep(ctx context.Context, name string, index int, l *lease) {
	for {
		wait := 30 * time.Second
		if l != nil {
			wait = max(l.reply.ACK.IPAddressLeaseTime(time.Hour)/2, 10*time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		if fresh, err := acquire(try, name, index); err == nil {
			l = fresh
		}
		cancel()
	}
}
