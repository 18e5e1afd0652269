// Package memory is the data plane in Go: the readable specification of what
// the eBPF programs do, the one that tests use without root, and the one that
// those programs are compared with.
//
//	wire := memory.NewWire()
//	a, b := memory.New(…), memory.New(…)   nodes
//	wire.Join(a); wire.Join(b)
//	wire.Send(a, "eni-1", frame)           where it comes out
package memory

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skerry/events"
	"skerry/network-node/datapath"
)

// Options say who a node is.
type Options struct {
	Address    netip.Addr // on the fabric
	Gateway    bool
	UplinkAddr netip.Addr
	UplinkMAC  [6]byte
	UplinkMTU  int // 0: no limit
	Service    bool
	IPv4       bool // drops IPv6, which the eBPF programs do not speak
	ServiceMAC [6]byte
}

type (
	macKey struct {
		vni uint32
		mac mac
	}
	addrKey struct {
		vni  uint32
		addr netip.Addr
	}
	hostKey struct {
		vni  uint32
		host netip.Addr
	}
	counterKey struct {
		id     events.InterfaceID
		reason datapath.Reason
	}
	mapping struct {
		host   netip.Addr
		subnet uint32
		check  bool
	}
	owner struct {
		mac    mac
		subnet uint32
		groups []uint32
	}
	route struct {
		to   netip.Prefix
		kind events.RouteKind
		mac  mac
		vni  uint32 // of the peer
	}
	hop struct {
		host netip.Addr
		mac  mac
	}
	public struct {
		address, private, host netip.Addr
		vni                    uint32
		mac                    mac
		announce               bool
		epoch                  uint64
		via                    hop // an appliance on the way in
	}
	outside struct {
		public, host netip.Addr
		mac          mac
		via          hop
	}
	port struct {
		id          uint32
		spec        events.PortSpec
		mac, router mac
		flows       map[flowKey]*flow
	}
)

// Datapath is the data plane of one node.
type Datapath struct {
	o Options

	mu       sync.Mutex
	last     uint32 // number given to a port
	ports    map[events.InterfaceID]*port
	byID     map[uint32]*port
	byMAC    map[macKey]*port
	mappings map[macKey]mapping
	owners   map[addrKey]owner
	prefixes map[uint32]map[netip.Prefix]owner // by network
	subnets  map[uint32]uint32
	acls     map[uint32][]events.ACLEntry // by subnet; one that has none lets all through
	routes   map[uint32][]route
	groups   map[uint32][]events.RulePart
	networks map[uint32]netip.Addr
	gateways map[hostKey]bool
	publics  map[netip.Addr]public
	outsides map[addrKey]outside
	nodes    map[netip.Addr]bool
	counters map[counterKey]datapath.Counter

	peers     map[uint32][]uint32 // networks that a network's packets may come out in
	nats      map[macKey]*nat
	inward    map[uint32]bool // networks with an internet gateway for IPv6
	networks6 map[netip.Addr]uint32
	asked     map[tuple]time.Time // what answers through an egress-only gateway look like
}

var _ datapath.Datapath = (*Datapath)(nil)

// New is a node that knows nothing.
func New(o Options) *Datapath {
	return &Datapath{o: o, ports: map[events.InterfaceID]*port{}, byID: map[uint32]*port{}, byMAC: map[macKey]*port{},
		publics: map[netip.Addr]public{}, outsides: map[addrKey]outside{}, counters: map[counterKey]datapath.Counter{},
		nats: map[macKey]*nat{}, asked: map[tuple]time.Time{}}
}

// Translates implements datapath.Datapath.
func (d *Datapath) Translates() error { return nil }

func gatewayMAC(vni uint32) mac {
	return mac{0x02, 0xff, byte(vni >> 24), byte(vni >> 16), byte(vni >> 8), byte(vni)}
}

// PutPort implements datapath.Datapath.
func (d *Datapath) PutPort(s events.PortSpec) error {
	if err := datapath.CheckPort(s); err != nil {
		return err
	}
	if d.o.Gateway {
		return fmt.Errorf("datapath: port %s: a gateway holds no ports", s.Interface)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.ports[s.Interface]
	if ok && p.spec.Tap != s.Tap {
		return fmt.Errorf("datapath: port %s: its tap is %s and cannot become %s", s.Interface, p.spec.Tap, s.Tap)
	}
	for id, q := range d.ports {
		if id != s.Interface && q.spec.Tap == s.Tap {
			return fmt.Errorf("datapath: port %s: tap %s is that of %s", s.Interface, s.Tap, id)
		}
	}
	if !ok {
		if len(d.ports) >= datapath.MaxPorts {
			return fmt.Errorf("datapath: port %s: there are %d ports already", s.Interface, len(d.ports))
		}
		for {
			if d.last++; d.last > datapath.MaxID {
				d.last = 1
			}
			if d.byID[d.last] == nil {
				break
			}
		}
		p = &port{id: d.last, flows: map[flowKey]*flow{}}
	} else {
		delete(d.byMAC, macKey{p.spec.VNI, p.mac})
	}
	s.Groups = slices.Clone(s.Groups)
	p.spec = s
	p.mac, _ = datapath.MAC(s.MAC)
	p.router, _ = datapath.MAC(s.RouterMAC)
	d.ports[s.Interface], d.byID[p.id], d.byMAC[macKey{s.VNI, p.mac}] = p, p, p
	return nil
}

// DeletePort implements datapath.Datapath.
func (d *Datapath) DeletePort(id events.InterfaceID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.ports[id]; ok {
		delete(d.ports, id)
		delete(d.byID, p.id)
		delete(d.byMAC, macKey{p.spec.VNI, p.mac})
		maps.DeleteFunc(d.counters, func(k counterKey, _ datapath.Counter) bool { return k.id == id })
	}
	return nil
}

// PutPublic implements datapath.Datapath.
func (d *Datapath) PutPublic(s events.PublicSpec) error {
	if !d.o.Gateway {
		return datapath.ErrNotGateway
	}
	if err := datapath.CheckPublic(s); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.publics[s.Address]
	if ok && old.epoch > s.Epoch {
		return nil
	}
	p := public{address: s.Address, private: s.Private, host: s.Host, vni: s.VNI, announce: s.Announce, epoch: s.Epoch}
	p.mac, _ = datapath.MAC(s.MAC)
	if s.Via != nil {
		p.via.host = s.Via.Host
		p.via.mac, _ = datapath.MAC(s.Via.MAC)
	}
	if ok {
		d.deleteOutside(old)
	}
	d.publics[s.Address] = p
	d.outsides[addrKey{s.VNI, s.Private}] = outside{s.Address, s.Host, p.mac, p.via}
	return nil
}

// deleteOutside forgets that an interface goes out as p, unless it goes out as
// another address since.
func (d *Datapath) deleteOutside(p public) {
	if k := (addrKey{p.vni, p.private}); d.outsides[k].public == p.address {
		delete(d.outsides, k)
	}
}

// DeletePublic implements datapath.Datapath.
func (d *Datapath) DeletePublic(a netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.publics[a]; ok {
		d.deleteOutside(p)
		delete(d.publics, a)
	}
	return nil
}

// Apply implements datapath.Datapath.
func (d *Datapath) Apply(t datapath.Tables) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mappings, d.owners, d.prefixes = map[macKey]mapping{}, map[addrKey]owner{}, map[uint32]map[netip.Prefix]owner{}
	d.subnets, d.routes, d.groups = map[uint32]uint32{}, map[uint32][]route{}, map[uint32][]events.RulePart{}
	d.acls = map[uint32][]events.ACLEntry{}
	d.networks, d.gateways, d.nodes = map[uint32]netip.Addr{}, map[hostKey]bool{}, map[netip.Addr]bool{}
	d.peers, d.inward, d.networks6 = map[uint32][]uint32{}, map[uint32]bool{}, map[netip.Addr]uint32{}
	var bad []error
	for _, n := range t.Networks {
		if n.VNI == 0 || n.VNI >= 1<<24 {
			bad = append(bad, fmt.Errorf("network %s: identifier %d", n.VPC, n.VNI))
			continue
		}
		if n.Gateway.Is4() {
			d.networks[n.VNI] = n.Gateway
		}
		d.inward[n.VNI] = n.Inward
		for _, p := range n.Peers {
			d.peers[n.VNI] = append(d.peers[n.VNI], p.VNI)
		}
		for _, g := range n.Gateways {
			d.gateways[hostKey{n.VNI, g}] = true
		}
		for _, s := range n.Subnets {
			d.subnets[s.Number] = s.Table
			for _, a := range n.ACLs {
				if a.ACL == s.ACL {
					d.acls[s.Number] = slices.Clone(a.Entries)
				}
			}
		}
		for _, table := range n.Tables {
			d.routes[table.Number] = nil
			for _, r := range table.Routes {
				if !r.Destination.IsValid() {
					continue
				}
				v := route{to: r.Destination.Masked(), kind: r.Kind, vni: r.VNI}
				var err error
				switch r.Kind {
				case events.RouteInterface:
					v.mac, err = datapath.MAC(r.MAC)
				case events.RouteLocal, events.RouteGateway, events.RouteEgress, events.RoutePeer, events.RouteBlackhole:
				default:
					err = fmt.Errorf("a route of kind %q", r.Kind)
				}
				if err != nil {
					bad = append(bad, fmt.Errorf("network %s: route to %v: %w", n.VPC, r.Destination, err))
					v.kind = events.RouteBlackhole
				}
				// The last of two routes to one destination holds.
				d.routes[table.Number] = slices.DeleteFunc(d.routes[table.Number], func(o route) bool { return o.to == v.to })
				d.routes[table.Number] = append(d.routes[table.Number], v)
			}
		}
	}
	for _, m := range t.Mappings {
		a, err := datapath.MAC(m.MAC)
		if err == nil && (!m.Host.Is4() || len(m.Groups) > datapath.MaxGroups) {
			err = fmt.Errorf("host %v, %d groups", m.Host, len(m.Groups))
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("mapping of %s: %w", m.Interface, err))
			continue
		}
		d.mappings[macKey{m.VNI, a}] = mapping{m.Host, m.Subnet, m.SourceCheck}
		o := owner{a, m.Subnet, slices.Clone(m.Groups)}
		for _, ip := range m.Addresses {
			d.owners[addrKey{m.VNI, ip}] = o
			if ip.Is6() {
				d.networks6[ip] = m.VNI
			}
		}
		for _, p := range m.Prefixes {
			if d.prefixes[m.VNI] == nil {
				d.prefixes[m.VNI] = map[netip.Prefix]owner{}
			}
			d.prefixes[m.VNI][p.Masked()] = o
		}
	}
	for _, g := range t.Groups {
		if g.Number == 0 {
			bad = append(bad, fmt.Errorf("group %s has no number", g.Group))
			continue
		}
		n := map[[2]bool]int{}
		for _, r := range g.Rules {
			for _, six := range []bool{false, true} {
				if speaks(r, six) {
					n[[2]bool{r.Egress, six}]++
				}
			}
		}
		if slices.Max(append(slices.Collect(maps.Values(n)), 0)) > datapath.MaxRules {
			bad = append(bad, fmt.Errorf("group %s: more than %d rules in one direction", g.Group, datapath.MaxRules))
		}
		d.groups[g.Number] = slices.Clone(g.Rules)
	}
	for _, n := range t.Nodes {
		d.nodes[n] = true
	}
	before := d.nats
	d.nats = map[macKey]*nat{}
	for _, s := range t.NATs {
		a, err := datapath.MAC(s.MAC)
		if err == nil && !d.o.Gateway {
			err = datapath.ErrNotGateway
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("NAT gateway %s: %w", s.Gateway, err))
			continue
		}
		n := before[macKey{s.VNI, a}]
		if n == nil || n.spec.Gateway != s.Gateway {
			n = newNAT(s, a)
		}
		n.spec = s
		d.nats[macKey{s.VNI, a}] = n
	}
	if len(bad) > 0 {
		return fmt.Errorf("datapath: tables: %w", errors.Join(bad...))
	}
	return nil
}

// Ports implements datapath.Datapath.
func (d *Datapath) Ports() ([]datapath.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []datapath.Port
	for id, p := range d.ports {
		out = append(out, datapath.Port{Interface: id, Tap: p.spec.Tap, Index: int(p.id), ID: p.id, Service: datapath.ServiceAddr(p.id)})
	}
	slices.SortFunc(out, func(a, b datapath.Port) int { return cmp.Compare(a.Interface, b.Interface) })
	return out, nil
}

// Publics implements datapath.Datapath.
func (d *Datapath) Publics() ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.publics), netip.Addr.Compare), nil
}

// Counters implements datapath.Datapath.
func (d *Datapath) Counters() ([]datapath.Counter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []datapath.Counter
	for k, c := range d.counters {
		c.Interface, c.Reason = k.id, k.reason
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b datapath.Counter) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// Close implements datapath.Datapath.
func (d *Datapath) Close() error { return nil }

// FromGuest decides about a frame that a guest sent. The frame is copied.
func (d *Datapath) FromGuest(id events.InterfaceID, f []byte) Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := frame(slices.Clone(f))
	p, ok := d.ports[id]
	if !ok {
		return d.drop("", datapath.UnknownPort, g)
	}
	return d.fromGuest(p, g)
}

// FromFabric decides about a frame that another node sent.
func (d *Datapath) FromFabric(vni uint32, host netip.Addr, f []byte) Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := frame(slices.Clone(f))
	if d.o.Gateway {
		if len(g) >= l3 {
			if n := d.nats[macKey{vni, g.dst()}]; n != nil {
				return d.through(n, vni, host, g)
			}
			if g.ether() == etherIPv6 && !d.o.IPv4 {
				return d.outside6(vni, host, g)
			}
		}
		return d.fabricToOutside(vni, host, g)
	}
	return d.fromFabric(vni, host, g)
}

// FromService decides about a frame that a service of the node sent.
func (d *Datapath) FromService(f []byte) Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fromService(slices.Clone(f))
}

// FromUplink decides about a frame from outside.
func (d *Datapath) FromUplink(f []byte) Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fromUplink(slices.Clone(f))
}

// Wire joins nodes as the fabric does.
type Wire struct{ nodes map[netip.Addr]*Datapath }

// NewWire is a fabric without nodes.
func NewWire() *Wire { return &Wire{map[netip.Addr]*Datapath{}} }

// Join puts a node on the fabric.
func (w *Wire) Join(d *Datapath) { w.nodes[d.o.Address] = d }

// Send carries what a guest of one node sends to where it comes out.
func (w *Wire) Send(from *Datapath, id events.InterfaceID, f []byte) Verdict {
	return w.carry(from, from.FromGuest(id, f))
}

// Enter carries what comes from outside to a gateway.
func (w *Wire) Enter(gateway *Datapath, f []byte) Verdict {
	return w.carry(gateway, gateway.FromUplink(f))
}

// maxHops ends a loop between nodes, which there cannot be.
const maxHops = 8

func (w *Wire) carry(at *Datapath, v Verdict) Verdict {
	for range maxHops {
		if v.Way != ToFabric {
			return v
		}
		next, ok := w.nodes[v.Host]
		if !ok {
			return Verdict{Reason: datapath.NotHere}
		}
		next.mu.Lock()
		open := next.nodes[at.o.Address]
		next.mu.Unlock()
		if !open { // the firewall of the fabric
			return Verdict{Reason: datapath.Sender}
		}
		v, at = next.FromFabric(v.VNI, at.o.Address, v.Frame), next
	}
	return Verdict{Reason: datapath.TTL}
}
