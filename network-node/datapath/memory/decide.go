package memory

import (
	"encoding/binary"
	"net/netip"
	"time"

	"skerry/events"
	"skerry/network-node/datapath"
)

// Way is where a packet goes.
type Way int

// Ways.
const (
	Dropped  Way = iota
	ToTap        // of Interface
	ToFabric     // to Host, in network VNI
	ToService
	ToUplink
	ToHost // it is not the data plane's
)

func (w Way) String() string {
	return [...]string{"dropped", "tap", "fabric", "service", "uplink", "host"}[w]
}

// Verdict is what becomes of one packet.
type Verdict struct {
	Way       Way
	Reason    datapath.Reason // the last that was counted
	Interface events.InterfaceID
	VNI       uint32
	Host      netip.Addr
	Frame     []byte
}

func (d *Datapath) count(id events.InterfaceID, r datapath.Reason, f frame) {
	c := d.counters[counterKey{id, r}]
	c.Packets++
	c.Bytes += uint64(len(f))
	d.counters[counterKey{id, r}] = c
}

func (d *Datapath) drop(id events.InterfaceID, r datapath.Reason, f frame) Verdict {
	d.count(id, r, f)
	return Verdict{Reason: r}
}

func routable(a netip.Addr) bool {
	if a.Is6() {
		return !a.IsMulticast() && !a.IsLoopback() && !a.IsUnspecified()
	}
	first := a.As4()[0]
	return first < 224 && first != 127 && first != 0
}

// fromGuest decides about a frame that the guest of a port sent.
func (d *Datapath) fromGuest(port *port, f frame) Verdict {
	id := port.spec.Interface
	switch {
	case len(f) < l3:
		return d.drop(id, datapath.Malformed, f)
	case f.src() != port.mac:
		return d.drop(id, datapath.SourceMAC, f)
	case f.ether() == etherARP:
		return d.answer(port, f)
	}
	if f.ether() == etherIPv6 && !d.o.IPv4 {
		if p, _, ok := parse6(f); ok && neighbours(p) {
			return d.solicited(port, p, f)
		}
	}
	if f[0]&1 != 0 {
		return d.drop(id, datapath.Broadcast, f)
	}
	p, no, ok := d.read(f)
	if !ok {
		return d.drop(id, no, f)
	}
	if p.dst.IsLinkLocalUnicast() || p.dst == port.spec.Resolver {
		return d.toService(port, p, f)
	}
	if !routable(p.dst) {
		return d.drop(id, datapath.Broadcast, f)
	}
	vni := port.spec.VNI
	own, mine := d.owner(vni, p.src)
	mine = mine && own.mac == port.mac
	if port.spec.SourceCheck && !mine {
		return d.drop(id, datapath.SourceAddress, f)
	}
	to, in := f.dst(), vni
	routed := to == port.router
	r, way := d.route(port.spec.Subnet, p.dst)
	if routed && way && r.kind == events.RoutePeer {
		in = r.vni
	}
	peer, known := d.owner(in, p.dst)
	if no, ok := d.admit(port, p, peer.groups, egress); !ok {
		return d.drop(id, no, f)
	}
	if routed {
		switch {
		case !way:
			return d.drop(id, datapath.NoRoute, f)
		case r.kind == events.RouteBlackhole:
			return d.drop(id, datapath.Blackhole, f)
		case r.kind == events.RouteGateway, r.kind == events.RouteEgress:
			gw := d.networks[vni]
			if !gw.IsValid() {
				return d.drop(id, datapath.NoGateway, f)
			}
			if !d.passes(port.spec.Subnet, p, egress) {
				return d.drop(id, datapath.ACLRule, f)
			}
			f.setMACs(gatewayMAC(vni), port.mac)
			d.count(id, datapath.Sent, f)
			return Verdict{Way: ToFabric, Reason: datapath.Sent, VNI: vni, Host: gw, Frame: f}
		case r.kind == events.RouteInterface:
			to = r.mac
		case !known:
			return d.drop(id, datapath.NoMapping, f)
		default:
			to = peer.mac
		}
		f.setMACs(to, port.mac)
	}
	m, ok := d.mappings[macKey{in, to}]
	if !ok || !routed && m.subnet != port.spec.Subnet { // the link is the subnet
		return d.drop(id, datapath.NoMapping, f)
	}
	near := m.subnet == port.spec.Subnet
	if !near && !d.passes(port.spec.Subnet, p, egress) {
		return d.drop(id, datapath.ACLRule, f)
	}
	if m.host != d.o.Address {
		d.count(id, datapath.Sent, f)
		return Verdict{Way: ToFabric, Reason: datapath.Sent, VNI: vni, Host: m.host, Frame: f}
	}
	target, ok := d.byMAC[macKey{in, to}]
	if !ok {
		return d.drop(id, datapath.NotHere, f)
	}
	d.count(id, datapath.Sent, f)
	var groups []uint32
	if mine {
		groups = own.groups
	}
	return d.deliver(target, p, f, groups, near)
}

// answer makes the answer to a question about an address of the subnet: the
// MAC of its interface, or the router's for the router and the services.
func (d *Datapath) answer(port *port, f frame) Verdict {
	id := port.spec.Interface
	if len(f) < l3+arpSize {
		return d.drop(id, datapath.ARP, f)
	}
	a := f[l3:]
	if [8]byte(a) != [8]byte{0, 1, 8, 0, 6, 4, 0, 1} || mac(a[8:14]) != port.mac {
		return d.drop(id, datapath.ARP, f)
	}
	target := v4At(a, 24)
	m := port.router
	switch target {
	case datapath.MetadataAddr, datapath.ResolverAddr, port.spec.Resolver, port.spec.Router:
	default:
		o, ok := d.owners[addrKey{port.spec.VNI, target}]
		if !ok || o.subnet != port.spec.Subnet || o.mac == port.mac {
			return d.drop(id, datapath.ARP, f)
		}
		m = o.mac
	}
	turn(f, m)
	return Verdict{Way: ToTap, Reason: datapath.Delivered, Interface: id, Frame: f}
}

// turn makes an ARP request its reply.
func turn(f frame, m mac) {
	a := f[l3:]
	asker, sender, target := mac(a[8:14]), [4]byte(a[14:18]), [4]byte(a[24:28])
	a[7] = 2
	copy(a[8:], m[:])
	copy(a[14:], target[:])
	copy(a[18:], asker[:])
	copy(a[24:], sender[:])
	f.setMACs(asker, m)
}

// toService shows a guest to the services as the number of its port.
func (d *Datapath) toService(port *port, p packet, f frame) Verdict {
	id := port.spec.Interface
	dns := p.dport == 53 && (p.proto == protoTCP || p.proto == protoUDP)
	web := p.dport == 80 && p.proto == protoTCP
	ok := p.dst == datapath.MetadataAddr && web || (p.dst == datapath.ResolverAddr || p.dst == port.spec.Resolver) && p.dst != datapath.MetadataAddr && dns
	switch {
	case !d.o.Service || p.fragment != 0 || !ok:
		return d.drop(id, datapath.Service, f)
	case p.src != port.spec.PrivateIP:
		return d.drop(id, datapath.SourceAddress, f)
	}
	if p.dst != datapath.MetadataAddr && p.dst != datapath.ResolverAddr {
		rewrite(f, &p, true, datapath.VPCResolver)
	}
	rewrite(f, &p, false, datapath.ServiceAddr(port.id))
	copy(f[0:6], d.o.ServiceMAC[:])
	d.count(id, datapath.Sent, f)
	return Verdict{Way: ToService, Reason: datapath.Sent, Frame: f}
}

// fromService decides about what a service answers.
func (d *Datapath) fromService(f frame) Verdict {
	p, no, ok := d.read(f)
	if !ok {
		return d.drop("", no, f)
	}
	if !datapath.ServiceNet.Contains(p.dst) {
		return d.drop("", datapath.Service, f)
	}
	port, ok := d.byID[binary.BigEndian.Uint32(p.dst.AsSlice())&datapath.MaxID] // of IPv4, as ServiceNet is
	if !ok {
		return d.drop("", datapath.NotHere, f)
	}
	id := port.spec.Interface
	switch p.src {
	case datapath.VPCResolver:
		rewrite(f, &p, false, port.spec.Resolver)
	case datapath.MetadataAddr, datapath.ResolverAddr:
	default:
		return d.drop(id, datapath.Service, f)
	}
	rewrite(f, &p, true, port.spec.PrivateIP)
	f.setMACs(port.mac, port.router)
	d.count(id, datapath.Delivered, f)
	return Verdict{Way: ToTap, Reason: datapath.Delivered, Interface: id, Frame: f}
}

// read parses a frame that must be IPv4 or IPv6.
func (d *Datapath) read(f frame) (packet, datapath.Reason, bool) {
	switch {
	case len(f) < l3:
		return packet{}, datapath.Malformed, false
	case f.ether() == etherIPv4:
		return parse(f)
	case f.ether() == etherIPv6 && !d.o.IPv4:
		return parse6(f)
	}
	return packet{}, datapath.EtherType, false
}

// owner is the interface that has an address, or a prefix around it.
func (d *Datapath) owner(vni uint32, a netip.Addr) (owner, bool) {
	if o, ok := d.owners[addrKey{vni, a}]; ok {
		return o, true
	}
	for p, o := range d.prefixes[vni] { // they do not overlap
		if p.Contains(a) {
			return o, true
		}
	}
	return owner{}, false
}

// fromFabric decides about what another node sent: the interface that it names
// must live there, and have the address that it sends from.
func (d *Datapath) fromFabric(vni uint32, host netip.Addr, f frame) Verdict {
	p, no, ok := d.read(f)
	if !ok {
		return d.drop("", no, f)
	}
	var groups []uint32
	var subnet uint32
	if f.src() == gatewayMAC(vni) {
		if !d.gateways[hostKey{vni, host}] {
			return d.drop("", datapath.Sender, f)
		}
	} else {
		m, ok := d.mappings[macKey{vni, f.src()}]
		if !ok || m.host != host {
			return d.drop("", datapath.Sender, f)
		}
		o, ok := d.owner(vni, p.src)
		if ok && o.mac == f.src() {
			groups = o.groups
		} else if m.check {
			return d.drop("", datapath.SenderAddress, f)
		}
		subnet = m.subnet
	}
	target, ok := d.byMAC[macKey{vni, f.dst()}]
	for _, peer := range d.peers[vni] {
		if !ok && f.src() != gatewayMAC(vni) {
			target, ok = d.byMAC[macKey{peer, f.dst()}]
		}
	}
	if !ok {
		return d.drop("", datapath.NotHere, f)
	}
	return d.deliver(target, p, f, groups, subnet == target.spec.Subnet)
}

// deliver gives a packet to a port of this node. groups are the sender's; near
// says that it is in the same subnet.
func (d *Datapath) deliver(t *port, p packet, f frame, groups []uint32, near bool) Verdict {
	id := t.spec.Interface
	if t.spec.SourceCheck {
		if o, ok := d.owner(t.spec.VNI, p.dst); !ok || o.mac != t.mac {
			return d.drop(id, datapath.Destination, f)
		}
	}
	if !near && !d.passes(t.spec.Subnet, p, ingress) {
		return d.drop(id, datapath.ACLRule, f)
	}
	if no, ok := d.admit(t, p, groups, ingress); !ok {
		return d.drop(id, no, f)
	}
	src := f.src()
	if !near {
		src = t.router
	}
	f.setMACs(t.mac, src)
	d.count(id, datapath.Delivered, f)
	return Verdict{Way: ToTap, Reason: datapath.Delivered, Interface: id, Frame: f}
}

func (d *Datapath) route(subnet uint32, a netip.Addr) (best route, ok bool) {
	table, ok := d.subnets[subnet]
	if !ok {
		return best, false
	}
	ok = false
	for _, r := range d.routes[table] {
		if r.to.Contains(a) && (!ok || r.to.Bits() > best.to.Bits()) {
			best, ok = r, true
		}
	}
	return best, ok
}

// fabricToOutside is the internet gateway on the way out: one to one, without a
// state. What is for another public address turns round here.
func (d *Datapath) fabricToOutside(vni uint32, host netip.Addr, f frame) Verdict {
	switch {
	case len(f) < l3:
		return d.drop("", datapath.Malformed, f)
	case f.ether() != etherIPv4:
		return d.drop("", datapath.EtherType, f)
	case f.dst() != gatewayMAC(vni):
		return d.drop("", datapath.NotHere, f)
	}
	p, no, ok := parse(f)
	if !ok {
		return d.drop("", no, f)
	}
	o, ok := d.outsides[addrKey{vni, p.src}]
	if !ok {
		return d.drop("", datapath.NoPublic, f)
	}
	if from := (hop{host, f.src()}); from != (hop{o.host, o.mac}) && (from != o.via || !o.via.host.IsValid()) {
		return d.drop("", datapath.Sender, f)
	}
	if !routable(p.dst) {
		return d.drop("", datapath.Broadcast, f)
	}
	if p.ttl <= 1 {
		return d.complain(f, p, vni, host, datapath.TTL, 0)
	}
	in, inside := d.publics[p.dst]
	if !inside && d.o.UplinkMTU != 0 && p.length > d.o.UplinkMTU {
		return d.complain(f, p, vni, host, datapath.TooBig, uint16(d.o.UplinkMTU))
	}
	rewrite(f, &p, false, o.public)
	if inside {
		return d.into(in, p, f)
	}
	older(f)
	d.count("", datapath.Sent, f)
	return Verdict{Way: ToUplink, Reason: datapath.Sent, Frame: f}
}

func (d *Datapath) complain(f frame, p packet, vni uint32, host netip.Addr, why datapath.Reason, mtu uint16) Verdict {
	d.count("", why, f)
	if c := complaint(f, p, d.o.UplinkAddr, gatewayMAC(vni), mtu); c != nil {
		return Verdict{Way: ToFabric, Reason: why, VNI: vni, Host: host, Frame: c}
	}
	return Verdict{Reason: why}
}

// fromUplink is the internet gateway on the way in.
func (d *Datapath) fromUplink(f frame) Verdict {
	pass := Verdict{Way: ToHost, Frame: f}
	switch {
	case len(f) < l3:
		return pass
	case f.ether() == etherARP:
		if len(f) < l3+arpSize || [8]byte(f[l3:]) != [8]byte{0, 1, 8, 0, 6, 4, 0, 1} {
			return pass
		}
		in, ok := d.publics[v4At(f[l3:], 24)]
		if !ok {
			return pass
		}
		if !in.announce {
			return d.drop("", datapath.ARP, f)
		}
		turn(f, d.o.UplinkMAC)
		return Verdict{Way: ToUplink, Reason: datapath.Delivered, Frame: f}
	case f.ether() == etherIPv6 && !d.o.IPv4 && len(f) >= l46:
		vni, inside := d.inside6(v6At(f[l3:], 24))
		if !inside {
			return pass
		}
		p, no, ok := parse6(f)
		switch {
		case !ok:
			return d.drop("", no, f)
		case f[0]&1 != 0:
			return d.drop("", datapath.Broadcast, f)
		case p.ttl <= 1:
			return d.drop("", datapath.TTL, f)
		}
		f[l3+7]--
		return d.into6(vni, p, f)
	case f.ether() != etherIPv4 || len(f) < l4:
		return pass
	}
	in, ok := d.publics[v4At(f[l3:], 16)]
	if !ok {
		return pass
	}
	if f[0]&1 != 0 {
		return d.drop("", datapath.Broadcast, f)
	}
	p, no, ok := parse(f)
	if !ok {
		return d.drop("", no, f)
	}
	if p.ttl <= 1 {
		return d.drop("", datapath.TTL, f)
	}
	return d.into(in, p, f)
}

// into sends a packet for a public address to the interface behind it.
func (d *Datapath) into(in public, p packet, f frame) Verdict {
	rewrite(f, &p, true, in.private)
	older(f)
	to := hop{in.host, in.mac}
	if in.via.host.IsValid() {
		to = in.via
	}
	f.setMACs(to.mac, gatewayMAC(in.vni))
	d.count("", datapath.Delivered, f)
	return Verdict{Way: ToFabric, Reason: datapath.Delivered, VNI: in.vni, Host: to.host, Frame: f}
}

// direction of a packet as its port sees it.
type direction int

const (
	egress direction = iota
	ingress
)

// flowKey is a flow as its port sees it: the same for both directions. An ICMP
// echo is a flow of whoever asked.
type flowKey struct {
	local, peer  netip.Addr
	lport, pport uint16
	proto        uint8
	fragment     int
}

func keyOf(p packet, dir direction) flowKey {
	t := p.tuple
	if p.kind == about { // the quoted packet went the other way
		t, dir = p.quoted, 1-dir
	}
	k := flowKey{local: t.src, peer: t.dst, lport: t.sport, pport: t.dport, proto: t.proto}
	if dir == ingress {
		k.local, k.peer = t.dst, t.src
	}
	switch {
	case t.proto == protoICMP, t.proto == protoICMPv6:
		k.lport, k.pport = t.sport, t.dport^uint16(dir)
	case dir == ingress:
		k.lport, k.pport = t.dport, t.sport
	}
	return k
}

// flow is what is remembered of one.
type flow struct {
	seen       time.Time
	spoke, fin [2]bool // by direction
	reset      bool
}

// patience is how long a flow is remembered without a packet.
func (w *flow) patience(proto uint8) time.Duration {
	both := w.spoke[egress] && w.spoke[ingress]
	switch {
	case proto == protoTCP && (w.reset || w.fin[egress] && w.fin[ingress]):
		return 10 * time.Second
	case proto == protoTCP && (w.fin[egress] || w.fin[ingress]):
		return 120 * time.Second
	case proto == protoTCP && both:
		return 5 * 24 * time.Hour
	case proto == protoTCP:
		return 60 * time.Second
	case proto == protoICMP || proto == protoICMPv6 || !both:
		return 30 * time.Second
	}
	return 180 * time.Second
}

// MaxFlows of a port: a port that opens more forgets its own oldest.
const MaxFlows = 16384

// fragmentPatience is how long the rest of a packet may take.
const fragmentPatience = 30 * time.Second

// admit is the security groups of a port: what belongs to a known flow passes,
// and so does what a rule allows, which makes a flow.
func (d *Datapath) admit(port *port, p packet, peer []uint32, dir direction) (datapath.Reason, bool) {
	now := time.Now()
	fk := flowKey{local: p.src, peer: p.dst, lport: p.id, proto: p.proto, fragment: 1 + int(dir)}
	if dir == ingress {
		fk.local, fk.peer = p.dst, p.src
	}
	if p.fragment == 2 {
		w := port.flows[fk]
		return datapath.Fragment, w != nil && now.Sub(w.seen) < fragmentPatience
	}
	if !d.follows(port, p, dir, now) {
		if !d.allowed(port, p, peer, dir) {
			return map[direction]datapath.Reason{egress: datapath.EgressRule, ingress: datapath.IngressRule}[dir], false
		}
		if p.kind == tracked {
			w := &flow{seen: now}
			w.spoke[dir] = true
			port.remember(keyOf(p, dir), w)
		}
	}
	if p.fragment == 1 {
		port.remember(fk, &flow{seen: now})
	}
	return 0, true
}

func (t *port) remember(k flowKey, w *flow) {
	if _, ok := t.flows[k]; !ok && len(t.flows) >= MaxFlows {
		var oldest flowKey
		var at time.Time
		for k, w := range t.flows {
			if at.IsZero() || w.seen.Before(at) {
				oldest, at = k, w.seen
			}
		}
		delete(t.flows, oldest)
	}
	t.flows[k] = w
}

// follows says whether a packet belongs to a flow that is still open.
func (d *Datapath) follows(port *port, p packet, dir direction, now time.Time) bool {
	if p.kind == untracked {
		return false
	}
	k := keyOf(p, dir)
	w := port.flows[k]
	if w == nil || now.Sub(w.seen) >= w.patience(k.proto) {
		return false
	}
	if p.kind == about {
		return true
	}
	if p.proto == protoTCP && p.tcp&0x12 == 0x02 {
		return false // a SYN always asks the rules: the flow it would belong to is over
	}
	w.spoke[dir] = true
	if p.proto == protoTCP {
		w.fin[dir] = w.fin[dir] || p.tcp&1 != 0
		w.reset = w.reset || p.tcp&4 != 0
	}
	w.seen = now
	return true
}

// allowed says whether a rule of the port's groups lets a packet through.
func (d *Datapath) allowed(port *port, p packet, peer []uint32, dir direction) bool {
	other := p.dst
	if dir == ingress {
		other = p.src
	}
	for _, g := range port.spec.Groups {
		if g == 0 {
			return false // the list ends there
		}
		n := 0
		for _, r := range d.groups[g] {
			if r.Egress != (dir == egress) || !speaks(r, other.Is6()) {
				continue
			}
			if n++; n > datapath.MaxRules {
				break
			}
			if matches(r, p, other, peer) {
				return true
			}
		}
	}
	return false
}

// speaks says whether a rule is about packets of IPv4, or of IPv6.
func speaks(r events.RulePart, six bool) bool {
	return r.Protocol >= -1 && r.Protocol <= 255 && (r.Group != 0 || r.CIDR.IsValid() && r.CIDR.Addr().Is6() == six)
}

func matches(r events.RulePart, p packet, other netip.Addr, peer []uint32) bool {
	if r.Protocol != -1 {
		if r.Protocol != int(p.proto) {
			return false
		}
		switch p.proto {
		case protoTCP, protoUDP:
			if r.From >= 0 && (int(p.dport) < r.From || int(p.dport) > r.To) {
				return false
			}
		case protoICMP, protoICMPv6:
			if r.From >= 0 && r.From != int(p.icmp) || r.To >= 0 && r.To != int(p.code) {
				return false
			}
		}
	}
	if r.Group != 0 {
		for _, g := range peer {
			if g == r.Group {
				return true
			}
		}
		return false
	}
	return r.CIDR.Masked().Contains(other)
}
