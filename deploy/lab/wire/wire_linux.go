package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// MTU of the wire leaves a guest's 9001 bytes room for VXLAN and IPv6.
const MTU = 9216

// Inside and Outside are the links of a host: to the other hosts of the region,
// and of a gateway to where public addresses are.
const (
	Inside  = "eth0"
	Outside = "out"
)

const (
	outsideBridge = "outside"
	machinePort   = "machine"
	outsideMTU    = 9001 // what a guest can take
)

// cutPriority is the first priority of the rules that cut zones apart. It lies
// before the rule of the main table.
const cutPriority = 1000

// Host is one port of the wire.
type Host struct {
	Name      string // isle-1a-1
	Namespace string
	Zone      int        // 1 for the first
	Index     int        // unique in the zone
	Addr      netip.Addr // in 10.77.<zone>.0/24
	Outside   bool       // has a port outside as well
}

// Wire is the network of one region.
type Wire struct {
	Tag   string // 8 hex digits that name the region on this machine
	Zones int
	Hosts []Host

	// Outside is the machine's own address on the wire outside, where public
	// addresses are; not valid means that there is none.
	Outside netip.Prefix
}

// Cuts are the faults in force. Hosts are named; Pairs are directions: packets
// from the first zone to the second are dropped.
type Cuts struct {
	Hosts map[string]bool
	Pairs map[[2]int]bool
}

// Namespace is the name of the wire's own namespace.
func (w *Wire) Namespace() string { return "sk" + w.Tag + "-wire" }

func (w *Wire) port(h Host) string { return fmt.Sprintf("sk%s.%d.%d", w.Tag[:4], h.Zone, h.Index) }

// outsidePort is the far end of a gateway's port outside.
func (w *Wire) outsidePort(h Host) string { return fmt.Sprintf("sk%s.%d.out", w.Tag[:4], h.Zone) }

// OutsideLink is the machine's own end of the wire outside, in the namespace of
// the caller: the only link of a region there.
func (w *Wire) OutsideLink() string { return "sk" + w.Tag + "-out" }

func bridge(zone int) string { return fmt.Sprintf("zone%d", zone) }

func prefix(zone int) *net.IPNet {
	return &net.IPNet{IP: net.IPv4(10, 77, byte(zone), 0).To4(), Mask: net.CIDRMask(24, 32)}
}

func gateway(zone int) net.IP { return net.IPv4(10, 77, byte(zone), 1).To4() }

// Ensure makes what is missing of the wire and leaves alone what is there.
func (w *Wire) Ensure() error {
	anew, err := makeNamespace(w.Namespace())
	if err != nil {
		return err
	}
	fresh := map[string]bool{}
	for _, h := range w.Hosts {
		made, err := makeNamespace(h.Namespace)
		if err != nil {
			return err
		}
		fresh[h.Name] = made
	}
	err = Do(w.Namespace(), func() error {
		if err := up("lo"); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			return err
		}
		for z := 1; z <= w.Zones; z++ {
			if err := ensureBridge(bridge(z), &net.IPNet{IP: gateway(z), Mask: net.CIDRMask(24, 32)}); err != nil {
				return err
			}
		}
		for _, h := range w.Hosts {
			if err := w.ensurePort(h, fresh[h.Name]); err != nil {
				return fmt.Errorf("host %s: %w", h.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	for _, h := range w.Hosts {
		if err := Do(h.Namespace, func() error { return ensureHost(h) }); err != nil {
			return fmt.Errorf("wire: host %s: %w", h.Name, err)
		}
	}
	if w.Outside.IsValid() {
		if anew {
			// The link of a wire that was here before goes when the kernel gets to it.
			if err := w.Unplug(); err != nil {
				return fmt.Errorf("wire: outside: %w", err)
			}
		}
		if err := w.ensureOutside(); err != nil {
			return fmt.Errorf("wire: outside: %w", err)
		}
	}
	return nil
}

func ensureBridge(name string, ip *net.IPNet) error {
	if _, err := netlink.LinkByName(name); err != nil {
		if !missing(err) {
			return err
		}
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: MTU}}
		if err := netlink.LinkAdd(br); err != nil {
			return fmt.Errorf("add bridge %s: %w", name, err)
		}
	}
	if ip != nil {
		if err := address(name, ip); err != nil {
			return err
		}
	}
	return up(name)
}

// ensurePort runs in the wire's namespace. Both ends are made where they
// belong, so no link of a host ever appears in the machine's own namespace. The
// port of a fresh namespace leads nowhere yet, whatever its name still stands for.
func (w *Wire) ensurePort(h Host, fresh bool) error {
	if err := ensureVeth(w.port(h), bridge(h.Zone), h.Namespace, Inside, fresh); err != nil || !h.Outside || !w.Outside.IsValid() {
		return err
	}
	if err := ensureBridge(outsideBridge, nil); err != nil {
		return err
	}
	return ensureVeth(w.outsidePort(h), outsideBridge, h.Namespace, Outside, fresh)
}

// ensureVeth plugs a namespace into a bridge.
func ensureVeth(name, bridge, namespace, peer string, fresh bool) error {
	old, err := netlink.LinkByName(name)
	switch {
	case err == nil && !fresh:
		return nil
	case err == nil:
		if err := netlink.LinkDel(old); err != nil {
			return fmt.Errorf("remove link %s: %w", name, err)
		}
	case !missing(err):
		return err
	}
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return err
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MTU: MTU, MasterIndex: br.Attrs().Index},
		PeerName:  peer, PeerMTU: MTU, PeerNamespace: netlink.NsFd(ns),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add link %s: %w", name, err)
	}
	return up(name)
}

// Unplug takes the machine itself off the wire outside.
func (w *Wire) Unplug() error {
	link, err := netlink.LinkByName(w.OutsideLink())
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !missing(err) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("link %s: %w", w.OutsideLink(), err)
	}
	return nil
}

// ensureOutside plugs the machine itself into the wire outside. The link goes
// when the wire's namespace does.
func (w *Wire) ensureOutside() error {
	name := w.OutsideLink()
	if _, err := netlink.LinkByName(name); missing(err) {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		err = Do(w.Namespace(), func() error {
			br, err := netlink.LinkByName(outsideBridge)
			if err != nil {
				return err
			}
			if stale, err := netlink.LinkByName(machinePort); err == nil {
				if err := netlink.LinkDel(stale); err != nil {
					return err
				}
			}
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: machinePort, MTU: MTU, MasterIndex: br.Attrs().Index},
				PeerName: name, PeerMTU: outsideMTU, PeerNamespace: netlink.NsFd(home)}); err != nil {
				return err
			}
			return up(machinePort)
		})
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := address(name, &net.IPNet{IP: w.Outside.Addr().AsSlice(), Mask: net.CIDRMask(w.Outside.Bits(), 32)}); err != nil {
		return err
	}
	return up(name)
}

func ensureHost(h Host) error {
	if err := up("lo"); err != nil {
		return err
	}
	if err := address(Inside, &net.IPNet{IP: h.Addr.AsSlice(), Mask: net.CIDRMask(24, 32)}); err != nil {
		return err
	}
	if err := up(Inside); err != nil {
		return err
	}
	link, err := netlink.LinkByName(Inside)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway(h.Zone)})
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("link %s up: %w", name, err)
	}
	return nil
}

func address(name string, ip *net.IPNet) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ip}); err != nil {
		return fmt.Errorf("link %s address %s: %w", name, ip, err)
	}
	return nil
}

// Cut makes exactly the given faults hold: it takes down the ports of cut
// hosts and raises the others, and replaces the rules between zones.
func (w *Wire) Cut(c Cuts) error {
	err := Do(w.Namespace(), func() error {
		for _, h := range w.Hosts {
			link, err := netlink.LinkByName(w.port(h))
			if err != nil {
				return fmt.Errorf("port of %s: %w", h.Name, err)
			}
			set := netlink.LinkSetUp
			if c.Hosts[h.Name] {
				set = netlink.LinkSetDown
			}
			if err := set(link); err != nil {
				return fmt.Errorf("port of %s: %w", h.Name, err)
			}
			if out, err := netlink.LinkByName(w.outsidePort(h)); err == nil && h.Outside {
				if err := set(out); err != nil {
					return fmt.Errorf("outside port of %s: %w", h.Name, err)
				}
			}
		}
		return cutPairs(w.Zones, c.Pairs)
	})
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}

// cutPairs gives each direction between two zones a priority of its own, so
// that a rule is there or not.
func cutPairs(zones int, want map[[2]int]bool) error {
	rules, err := netlink.RuleList(unix.AF_INET)
	if err != nil {
		return err
	}
	have := map[int]netlink.Rule{}
	for _, r := range rules {
		if r.Priority >= cutPriority && r.Priority < cutPriority+10000 {
			have[r.Priority] = r
		}
	}
	for from := 1; from <= zones; from++ {
		for to := 1; to <= zones; to++ {
			p := cutPriority + from*100 + to
			r, there := have[p]
			switch cut := want[[2]int{from, to}]; {
			case cut && !there:
				r := netlink.NewRule()
				r.Family, r.Priority, r.Type = unix.AF_INET, p, unix.RTN_BLACKHOLE
				r.IifName, r.Dst = bridge(from), prefix(to)
				if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
					return fmt.Errorf("cut %d to %d: %w", from, to, err)
				}
			case !cut && there:
				if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
					return fmt.Errorf("heal %d to %d: %w", from, to, err)
				}
			}
		}
	}
	return nil
}

// Strays lists links in the wire's namespace that are no part of the plan.
func (w *Wire) Strays() ([]string, error) {
	if !exists(w.Namespace()) {
		return nil, nil
	}
	known := map[string]bool{"lo": true}
	for z := 1; z <= w.Zones; z++ {
		known[bridge(z)] = true
	}
	for _, h := range w.Hosts {
		known[w.port(h)] = true
		known[w.outsidePort(h)] = true
	}
	known[outsideBridge], known[machinePort] = true, true
	var out []string
	err := Do(w.Namespace(), func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if !known[l.Attrs().Name] {
				out = append(out, l.Attrs().Name)
			}
		}
		return nil
	})
	return out, err
}

func missing(err error) bool {
	var nf netlink.LinkNotFoundError
	return errors.As(err, &nf)
}
