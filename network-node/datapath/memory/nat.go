package memory

import (
	"encoding/binary"
	"net/netip"
	"time"

	"skerry/events"
	"skerry/network-node/datapath"
)

// nat is a NAT gateway on its gateway node. It remembers who speaks with whom
// through it; the same port serves as many as there are others to speak with.
type nat struct {
	spec  events.NATSpec
	mac   mac
	next  uint16
	ports map[tuple]uint16  // given to what came from inside
	flows map[tuple]*passed // by what its answers say of themselves
}

// passed is a flow through a NAT gateway: who began it, from which port.
type passed struct {
	inside netip.Addr
	port   uint16
	key    tuple
	seen   time.Time
}

// natPatience is how long a NAT gateway remembers a flow without packets ("NAT
// gateway basics"); ports below natFirst are never given.
const (
	natPatience = 350 * time.Second
	natFirst    = 1024
)

func newNAT(s events.NATSpec, m mac) *nat {
	return &nat{spec: s, mac: m, next: natFirst, ports: map[tuple]uint16{}, flows: map[tuple]*passed{}}
}

// answers is how an answer to a packet from a port of the gateway looks.
func (n *nat) answers(p packet, port uint16) tuple {
	k := tuple{src: p.dst, dst: n.spec.Address, proto: p.proto, sport: p.dport, dport: port}
	if p.proto == protoICMP {
		k.sport, k.dport = port, 1
	}
	return k
}

// out finds the port for a packet from inside, or gives it one.
func (n *nat) out(p packet, now time.Time) (uint16, bool) {
	if port, ok := n.ports[p.tuple]; ok {
		if w := n.flows[n.answers(p, port)]; w != nil && now.Sub(w.seen) < natPatience {
			w.seen = now
			return port, true
		}
	}
	for range 1<<16 - natFirst {
		port := n.next
		if n.next++; n.next < natFirst {
			n.next = natFirst
		}
		key := n.answers(p, port)
		w := n.flows[key]
		if w != nil && now.Sub(w.seen) < natPatience {
			continue
		}
		if w != nil {
			delete(n.ports, w.key)
		}
		n.flows[key], n.ports[p.tuple] = &passed{p.src, p.sport, p.tuple, now}, port
		return port, true
	}
	return 0, false // all in use with this destination
}

// through is a NAT gateway: what comes from inside goes on from its own address,
// and what answers goes back. It has no security groups.
func (d *Datapath) through(n *nat, vni uint32, host netip.Addr, f frame) Verdict {
	if len(f) < l3 {
		return d.drop("", datapath.Malformed, f)
	}
	if f.ether() != etherIPv4 {
		return d.drop("", datapath.EtherType, f)
	}
	p, no, ok := parse(f)
	if !ok {
		return d.drop("", no, f)
	}
	near := false
	if f.src() == gatewayMAC(vni) {
		if !d.gateways[hostKey{vni, host}] {
			return d.drop("", datapath.Sender, f)
		}
	} else {
		m, ok := d.mappings[macKey{vni, f.src()}]
		if !ok || m.host != host {
			return d.drop("", datapath.Sender, f)
		}
		if o, ok := d.owner(vni, p.src); m.check && (!ok || o.mac != f.src()) {
			return d.drop("", datapath.SenderAddress, f)
		}
		near = m.subnet == n.spec.Subnet
	}
	switch {
	case p.fragment != 0:
		return d.drop("", datapath.Fragment, f)
	case p.kind != tracked || p.proto != protoTCP && p.proto != protoUDP && p.proto != protoICMP:
		return d.drop("", datapath.NoMapping, f) // no flow could be told by it
	case p.ttl <= 1:
		return d.drop("", datapath.TTL, f)
	case !near && !d.passes(n.spec.Subnet, p, ingress):
		return d.drop("", datapath.ACLRule, f)
	}
	now := time.Now()
	if p.dst == n.spec.Address {
		w := n.flows[p.tuple]
		if w == nil || now.Sub(w.seen) >= natPatience {
			return d.drop("", datapath.NoMapping, f)
		}
		w.seen = now
		rewrite(f, &p, true, w.inside)
		report(f, &p, true, w.port)
	} else {
		port, ok := n.out(p, now)
		if !ok {
			return d.drop("", datapath.NoMapping, f)
		}
		rewrite(f, &p, false, n.spec.Address)
		report(f, &p, false, port)
	}
	older(f)
	return d.onward(n, vni, p, f)
}

// onward leads a packet from a NAT gateway by the routes of its subnet.
func (d *Datapath) onward(n *nat, vni uint32, p packet, f frame) Verdict {
	r, ok := d.route(n.spec.Subnet, p.dst)
	if !ok {
		return d.drop("", datapath.NoRoute, f)
	}
	in := vni
	var to mac
	switch r.kind {
	case events.RouteGateway:
		if !d.passes(n.spec.Subnet, p, egress) {
			return d.drop("", datapath.ACLRule, f)
		}
		f.setMACs(gatewayMAC(vni), n.mac)
		return d.fabricToOutside(vni, d.o.Address, f)
	case events.RouteInterface:
		to = r.mac
	case events.RouteLocal, events.RoutePeer:
		if r.kind == events.RoutePeer {
			in = r.vni
		}
		o, ok := d.owner(in, p.dst)
		if !ok {
			return d.drop("", datapath.NoMapping, f)
		}
		to = o.mac
	default:
		return d.drop("", datapath.Blackhole, f)
	}
	m, ok := d.mappings[macKey{in, to}]
	switch {
	case !ok:
		return d.drop("", datapath.NoMapping, f)
	case m.subnet != n.spec.Subnet && !d.passes(n.spec.Subnet, p, egress):
		return d.drop("", datapath.ACLRule, f)
	}
	f.setMACs(to, n.mac)
	d.count("", datapath.Sent, f)
	return Verdict{Way: ToFabric, Reason: datapath.Sent, VNI: vni, Host: m.host, Frame: f}
}

// report replaces the source or destination port of a packet, the identifier of
// an ICMP echo.
func report(f frame, p *packet, dst bool, to uint16) {
	at, sum := l4, 0
	switch p.proto {
	case protoICMP:
		at, sum = l4+4, l4+2
	case protoTCP:
		sum = l4 + 16
	case protoUDP:
		sum = l4 + 6
	}
	switch {
	case p.proto == protoICMP:
		p.sport = to
	case dst:
		at += 2
		p.dport = to
	default:
		p.sport = to
	}
	was := [2]byte(f[at : at+2])
	binary.BigEndian.PutUint16(f[at:], to)
	if p.proto == protoUDP && f[sum]|f[sum+1] == 0 {
		return // none was made
	}
	adjust(f[sum:sum+2], was[:], f[at:at+2])
	if p.proto == protoUDP && f[sum]|f[sum+1] == 0 {
		f[sum], f[sum+1] = 0xff, 0xff
	}
}

// outside6 brings IPv6 outside, as it is: by a route to the internet gateway, or
// to an egress-only one, which lets in nothing but answers.
func (d *Datapath) outside6(vni uint32, host netip.Addr, f frame) Verdict {
	p, no, ok := parse6(f)
	switch {
	case !ok:
		return d.drop("", no, f)
	case f.dst() != gatewayMAC(vni):
		return d.drop("", datapath.NotHere, f)
	}
	m, ok := d.mappings[macKey{vni, f.src()}]
	if !ok || m.host != host {
		return d.drop("", datapath.Sender, f)
	}
	o, ok := d.owner(vni, p.src)
	switch {
	case !ok || m.check && o.mac != f.src():
		return d.drop("", datapath.SenderAddress, f)
	case !routable(p.dst):
		return d.drop("", datapath.Broadcast, f)
	case p.ttl <= 1:
		return d.drop("", datapath.TTL, f)
	}
	r, ok := d.route(o.subnet, p.dst)
	switch {
	case ok && r.kind == events.RouteEgress:
		d.asked[tuple{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport}] = time.Now()
	case !ok || r.kind != events.RouteGateway:
		return d.drop("", datapath.NoRoute, f)
	case !d.inward[vni]:
		return d.drop("", datapath.NoGateway, f)
	}
	f[l3+7]--
	if in, inside := d.inside6(p.dst); inside { // of another network of the region
		return d.into6(in, p, f)
	}
	d.count("", datapath.Sent, f)
	return Verdict{Way: ToUplink, Reason: datapath.Sent, Frame: f}
}

// inside6 is the network that has an IPv6 address.
func (d *Datapath) inside6(a netip.Addr) (uint32, bool) {
	if vni, ok := d.networks6[a]; ok {
		return vni, true
	}
	for vni := range d.prefixes {
		if _, ok := d.owner(vni, a); ok {
			return vni, true
		}
	}
	return 0, false
}

// into6 brings IPv6 from outside into a network: to a subnet that the internet
// gateway is open to, or as an answer.
func (d *Datapath) into6(vni uint32, p packet, f frame) Verdict {
	o, _ := d.owner(vni, p.dst)
	m, ok := d.mappings[macKey{vni, o.mac}]
	if !ok {
		return d.drop("", datapath.NoMapping, f)
	}
	r, ok := d.route(o.subnet, p.src)
	open := d.inward[vni] && ok && r.kind == events.RouteGateway
	if at, asked := d.asked[p.tuple]; !open && (!asked || time.Since(at) >= natPatience) {
		return d.drop("", datapath.NoPublic, f)
	}
	f.setMACs(o.mac, gatewayMAC(vni))
	d.count("", datapath.Delivered, f)
	return Verdict{Way: ToFabric, Reason: datapath.Delivered, VNI: vni, Host: m.host, Frame: f}
}
