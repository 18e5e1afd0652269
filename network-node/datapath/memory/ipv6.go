package memory

import (
	"encoding/binary"
	"net/netip"

	"skerry/events"
	"skerry/network-node/datapath"
)

// IPv6 (RFC 8200): a header of 40 bytes, and what it carries right behind it or
// behind a fragment header. Other extension headers are dropped, as options of
// IPv4 are.
const (
	l46 = l3 + 40

	etherIPv6 = 0x86dd

	protoFragment = 44
	protoICMPv6   = 58
)

// Neighbour discovery (RFC 4861).
const (
	routerSolicitation    = 133
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	redirect              = 137
)

func v6At(b []byte, at int) netip.Addr { return netip.AddrFrom16([16]byte(b[at : at+16])) }

// extended says that a header is followed by more of its kind.
func extended(proto uint8) bool {
	switch proto {
	case 0, 43, 50, 51, 60, 135, 139, 140:
		return true
	}
	return false
}

// parse6 reads an IPv6 packet, or says why it cannot be let through.
func parse6(f frame) (p packet, no datapath.Reason, ok bool) {
	if len(f) < l46 {
		return p, datapath.Malformed, false
	}
	ip := f[l3:]
	p.length = 40 + int(binary.BigEndian.Uint16(ip[4:]))
	if ip[0]>>4 != 6 || p.length > len(ip) {
		return p, datapath.Malformed, false
	}
	p.src, p.dst, p.proto, p.ttl = v6At(ip, 8), v6At(ip, 24), ip[6], ip[7]
	p.kind = tracked
	b := ip[40:p.length]
	if p.proto == protoFragment {
		if len(b) < 8 {
			return p, datapath.Malformed, false
		}
		p.proto, p.id = b[0], binary.BigEndian.Uint16(b[6:])
		off := binary.BigEndian.Uint16(b[2:])
		if off>>3 != 0 {
			if p.proto == protoTCP && off>>3 < 3 || extended(p.proto) { // would overwrite the header that was checked (RFC 3128)
				return p, datapath.Fragment, false
			}
			p.fragment = 2
			return p, 0, true
		}
		if off&1 != 0 {
			p.fragment = 1
		}
		b = b[8:]
	}
	if extended(p.proto) || p.proto == protoFragment {
		return p, datapath.Options, false
	}
	switch p.proto {
	case protoTCP:
		if len(b) < 20 {
			return p, datapath.Malformed, false
		}
		p.sport, p.dport, p.tcp = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[13]
	case protoUDP:
		if len(b) < 8 {
			return p, datapath.Malformed, false
		}
		p.sport, p.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case protoICMPv6:
		if len(b) < 8 {
			return p, datapath.Malformed, false
		}
		p.icmp, p.code = b[0], b[1]
		switch p.icmp {
		case 128, 129:
			p.sport, p.dport = binary.BigEndian.Uint16(b[4:]), uint16(p.icmp-128)
		case 1, 2, 3, 4:
			p.kind = untracked
			if q, ok := quote6(b[8:], p.dst); ok {
				p.quoted, p.kind = q, about
			}
		default:
			p.kind = untracked
		}
	}
	return p, 0, true
}

// quote6 reads the packet that an ICMPv6 error is about: one that to had sent.
func quote6(b []byte, to netip.Addr) (t tuple, ok bool) {
	if len(b) < 48 || b[0]>>4 != 6 || v6At(b, 8) != to {
		return t, false
	}
	t.src, t.dst, t.proto = v6At(b, 8), v6At(b, 24), b[6]
	b = b[40:]
	switch t.proto {
	case protoTCP, protoUDP:
		t.sport, t.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case protoICMPv6:
		if b[0] != 128 && b[0] != 129 {
			return t, false
		}
		t.sport, t.dport = binary.BigEndian.Uint16(b[4:]), uint16(b[0]-128)
	default:
		return t, !extended(t.proto) && t.proto != protoFragment
	}
	return t, true
}

// neighbours says that a packet is between a guest and its link: neighbour
// discovery, which goes no further than the port.
func neighbours(p packet) bool {
	return p.proto == protoICMPv6 && p.icmp >= routerSolicitation && p.icmp <= redirect
}

// solicited answers a question about an address of the subnet, as answer does in
// IPv4. A guest that asks whether somebody has an address, before it takes it, is
// told when somebody has.
func (d *Datapath) solicited(port *port, p packet, f frame) Verdict {
	id := port.spec.Interface
	b := f[l46:]
	if p.icmp != neighborSolicitation || p.code != 0 || p.ttl != 255 || p.fragment != 0 || f[l3+6] != protoICMPv6 || p.length < 40+24 {
		return d.drop(id, datapath.ARP, f)
	}
	target := v6At(b, 8)
	m := port.router
	router := target == events.RouterLocal(port.spec.Subnet)
	if !router {
		o, ok := d.owner(port.spec.VNI, target)
		if !ok || o.subnet != port.spec.Subnet || o.mac == port.mac {
			return d.drop(id, datapath.ARP, f)
		}
		m = o.mac
	}
	return Verdict{Way: ToTap, Reason: datapath.Delivered, Interface: id, Frame: advertisement(f.src(), p.src, target, m, router)}
}

var allNodes = netip.MustParseAddr("ff02::1")

// advertisement says that an address is at a MAC (RFC 4861 section 4.4), to who
// asked, or to all when that one has no address yet.
func advertisement(toMAC mac, to, target netip.Addr, at mac, router bool) frame {
	const n = 24 + 8 // with the option that tells the MAC
	out := make(frame, l46+n)
	flags := byte(0x60) // solicited, override
	if to.IsUnspecified() {
		to, toMAC, flags = allNodes, mac{0x33, 0x33, 0, 0, 0, 1}, 0x20
	}
	if router {
		flags |= 0x80
	}
	out.setMACs(toMAC, at)
	binary.BigEndian.PutUint16(out[12:], etherIPv6)
	ip := out[l3:]
	ip[0], ip[6], ip[7] = 0x60, protoICMPv6, 255
	binary.BigEndian.PutUint16(ip[4:], n)
	src, dst := target.As16(), to.As16()
	copy(ip[8:], src[:])
	copy(ip[24:], dst[:])
	b := ip[40:]
	b[0], b[4] = neighborAdvertisement, flags
	copy(b[8:], src[:])
	b[24], b[25] = 2, 1
	copy(b[26:], at[:])
	binary.BigEndian.PutUint16(b[2:], ^fold(sum16(ip[8:40])+n+protoICMPv6+sum16(b)))
	return out
}
