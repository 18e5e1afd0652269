package linux

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"skerry/network-node/datapath"
)

// Services is the namespace in which metadata and resolver listen. It lives as
// long as it is open, and its veth with it; packets between guests do not need it.
//
//	node's namespace: sk-service ◀──veth──▶ eth0 : namespace of its own
//	                  from_service             169.254.169.252, .253, .254
//	                                           route 100.64.0.0/10
type Services struct{ ns netns.NsHandle }

// Services opens the namespace; only one can be open.
func (d *Datapath) Services() (*Services, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s *Services
	err := d.in(func() error {
		ns, err := newNamespace()
		if err != nil {
			return err
		}
		if err := d.join(ns); err != nil {
			ns.Close()
			return err
		}
		s = &Services{ns}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("datapath: services: %w", err)
	}
	return s, nil
}

// newNamespace makes a namespace without a name: it ends with its last handle.
func newNamespace() (netns.NsHandle, error) {
	type made struct {
		ns  netns.NsHandle
		err error
	}
	done := make(chan made, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.New()
		done <- made{ns, err}
	}()
	m := <-done
	return m.ns, m.err
}

func (d *Datapath) join(ns netns.NsHandle) error {
	if old, err := netlink.LinkByName(serviceName); err == nil { // an agent's that has just died
		if err := netlink.LinkDel(old); err != nil {
			return err
		}
	}
	const mtu = 9001
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: serviceName, MTU: mtu}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(ns)), PeerMTU: mtu})
	if err != nil {
		return err
	}
	host, err := netlink.LinkByName(serviceName)
	if err != nil {
		return err
	}
	quiet(serviceName)
	if err := d.attach(serviceName, host.Attrs().Index, "from_service", false); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return err
	}
	err = enter(ns, func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		quiet("eth0")
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		for _, a := range []string{datapath.MetadataAddr.String(), datapath.ResolverAddr.String(), datapath.VPCResolver.String()} {
			addr, err := netlink.ParseAddr(a + "/32")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(dev, addr); err != nil {
				return err
			}
		}
		// Nobody answers ARP there: the program finds the guest by its address.
		if err := netlink.LinkSetARPOff(dev); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(dev); err != nil {
			return err
		}
		copy(d.conf.ServiceMAC[:], dev.Attrs().HardwareAddr)
		_, dst, err := net.ParseCIDR(datapath.ServiceNet.String())
		if err != nil {
			return err
		}
		// Replies leave from the address that was asked; an address of 127/8 never comes in.
		_ = os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o644)
		return netlink.RouteAdd(&netlink.Route{LinkIndex: dev.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK})
	})
	if err != nil {
		return err
	}
	d.conf.Service = uint32(host.Attrs().Index)
	return d.writeConfig()
}

// Listen listens for streams inside of the namespace.
func (s *Services) Listen(network, address string) (l net.Listener, err error) {
	err = enter(s.ns, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), network, address)
		return err
	})
	return l, err
}

// ListenPacket listens for packets inside of the namespace.
func (s *Services) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = enter(s.ns, func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), network, address)
		return err
	})
	return c, err
}

// Close lets go of the namespace; it ends with the last socket in it.
func (s *Services) Close() error { return s.ns.Close() }
