package memory

import (
	"encoding/binary"
	"net/netip"

	"skerry/network-node/datapath"
)

// Where the headers of a frame begin: Ethernet (IEEE 802.3), IPv4 without
// options (RFC 791), and what it carries.
const (
	l3 = 14
	l4 = l3 + 20

	arpSize = 28

	etherIPv4 = 0x0800
	etherARP  = 0x0806

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// frame is a view of an Ethernet frame.
type frame []byte

func (f frame) dst() mac             { return mac(f[0:6]) }
func (f frame) src() mac             { return mac(f[6:12]) }
func (f frame) ether() uint16        { return binary.BigEndian.Uint16(f[12:]) }
func (f frame) setMACs(dst, src mac) { copy(f[0:6], dst[:]); copy(f[6:12], src[:]) }

type mac [6]byte

// kind says how security groups see a packet.
type kind int

const (
	untracked kind = iota // its rules are asked each time
	tracked               // it belongs to a flow
	about                 // an ICMP error about a packet of a flow
)

// tuple is who speaks with whom. For an ICMP echo the ports are its
// identifier and whether it is the reply.
type tuple struct {
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
}

// packet is what a frame says of itself.
type packet struct {
	tuple
	quoted     tuple // by an ICMP error
	kind       kind
	fragment   int // 1 first, 2 later
	id         uint16
	length     int
	icmp, code uint8
	tcp        uint8 // flags
	ttl        uint8
}

func v4At(b []byte, at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }

// parse reads an IPv4 packet, or says why it cannot be let through.
func parse(f frame) (p packet, no datapath.Reason, ok bool) {
	if len(f) < l4 {
		return p, datapath.Malformed, false
	}
	ip := f[l3:]
	if ip[0]>>4 != 4 || ip[0]&15 < 5 {
		return p, datapath.Malformed, false
	}
	if ip[0] != 0x45 {
		return p, datapath.Options, false
	}
	p.length = int(binary.BigEndian.Uint16(ip[2:]))
	if p.length < 20 || p.length > len(ip) {
		return p, datapath.Malformed, false
	}
	p.src, p.dst, p.proto, p.ttl = v4At(ip, 12), v4At(ip, 16), ip[9], ip[8]
	p.id = binary.BigEndian.Uint16(ip[4:])
	p.kind = tracked
	frag := binary.BigEndian.Uint16(ip[6:])
	if off := frag & 0x1fff; off != 0 {
		if p.proto == protoTCP && off < 3 { // would overwrite the header that was checked (RFC 3128)
			return p, datapath.Fragment, false
		}
		p.fragment = 2
		return p, 0, true
	}
	if frag&0x2000 != 0 {
		p.fragment = 1
	}
	b := f[l4:]
	switch p.proto {
	case protoTCP:
		if p.length < 40 {
			return p, datapath.Malformed, false
		}
		p.sport, p.dport, p.tcp = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[13]
	case protoUDP:
		if p.length < 28 {
			return p, datapath.Malformed, false
		}
		p.sport, p.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case protoICMP:
		if p.length < 28 {
			return p, datapath.Malformed, false
		}
		p.icmp, p.code = b[0], b[1]
		switch p.icmp {
		case 8, 0:
			p.sport, p.dport = binary.BigEndian.Uint16(b[4:]), reply(p.icmp)
		case 3, 11, 12:
			p.kind = untracked
			if q, ok := quote(b[8:p.length-20], p.dst); ok {
				p.quoted, p.kind = q, about
			}
		default:
			p.kind = untracked
		}
	}
	return p, 0, true
}

func reply(icmp uint8) uint16 {
	if icmp == 0 {
		return 1
	}
	return 0
}

// quote reads the packet that an ICMP error is about: one that to had sent.
func quote(b []byte, to netip.Addr) (t tuple, ok bool) {
	if len(b) < 20 {
		return t, false
	}
	ihl := int(b[0]&15) * 4
	if b[0]>>4 != 4 || ihl < 20 || len(b) < ihl+8 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 || v4At(b, 12) != to {
		return t, false
	}
	t.src, t.dst, t.proto = v4At(b, 12), v4At(b, 16), b[9]
	b = b[ihl:]
	switch t.proto {
	case protoTCP, protoUDP:
		t.sport, t.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case protoICMP:
		if b[0] != 8 && b[0] != 0 {
			return t, false
		}
		t.sport, t.dport = binary.BigEndian.Uint16(b[4:]), reply(b[0])
	}
	return t, true
}

// adjust changes an Internet checksum as its data changes from one to the
// other (RFC 1624, equation 3).
func adjust(b []byte, from, to []byte) {
	sum := uint32(^binary.BigEndian.Uint16(b))
	for i := 0; i+1 < len(from); i += 2 {
		sum += uint32(^binary.BigEndian.Uint16(from[i:])) + uint32(binary.BigEndian.Uint16(to[i:]))
	}
	binary.BigEndian.PutUint16(b, ^fold(sum))
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func sum16(b []byte) (sum uint32) {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

// rewrite replaces the source or destination address of a packet, and the same
// address where an ICMP error quotes it.
func rewrite(f frame, p *packet, dst bool, to netip.Addr) {
	at, old, quoted, qat := l3+12, &p.src, &p.quoted.dst, l4+8+16
	if dst {
		at, old, quoted, qat = l3+16, &p.dst, &p.quoted.src, l4+8+12
	}
	from, is := old.As4(), to.As4()
	if p.fragment != 2 {
		switch p.proto {
		case protoTCP:
			adjust(f[l4+16:l4+18], from[:], is[:])
		case protoUDP:
			if sum := f[l4+6 : l4+8]; sum[0]|sum[1] != 0 {
				adjust(sum, from[:], is[:])
				if sum[0]|sum[1] == 0 {
					sum[0], sum[1] = 0xff, 0xff
				}
			}
		}
	}
	adjust(f[l3+10:l3+12], from[:], is[:])
	copy(f[at:], is[:])
	if p.kind == about && *quoted == *old {
		// The quoted header sums to the same as before, so the ICMP checksum holds.
		adjust(f[l4+8+10:l4+8+12], from[:], is[:])
		copy(f[qat:], is[:])
		*quoted = to
	}
	*old = to
}

// older takes one from the time to live.
func older(f frame) {
	was := [2]byte(f[l3+8 : l3+10])
	f[l3+8]--
	adjust(f[l3+10:l3+12], was[:], f[l3+8:l3+10])
}

// complaint is the ICMP error about a packet, or nil when there may be none:
// fragmentation needed for mtu, time exceeded when that is zero. The quoted
// transport header is made to sum to zero; see complain in vpc.bpf.c.
func complaint(f frame, p packet, from netip.Addr, gateway mac, mtu uint16) frame {
	n := 8
	if p.proto == protoTCP {
		n = 20
	}
	if p.fragment == 2 || p.proto == protoICMP && p.icmp != 8 && p.icmp != 0 || len(f) < l4+n {
		return nil
	}
	out := make(frame, l4+8+20+n)
	out.setMACs(f.src(), gateway)
	binary.BigEndian.PutUint16(out[12:], etherIPv4)
	src, dst := from.As4(), p.src.As4()
	ip := out[l3:]
	ip[0], ip[8], ip[9] = 0x45, 64, protoICMP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum16(ip[:20])))
	m := ip[20:]
	m[0] = 11
	if mtu != 0 {
		m[0], m[1] = 3, 4
		binary.BigEndian.PutUint16(m[6:], mtu)
	}
	copy(m[8:], f[l3:l4+n])
	q := m[28:]
	switch p.proto {
	case protoTCP:
		copy(q[16:20], make([]byte, 4))
		binary.BigEndian.PutUint16(q[18:], ^fold(sum16(q)))
	case protoUDP:
		copy(q[4:8], make([]byte, 4))
		binary.BigEndian.PutUint16(q[4:], ^fold(sum16(q)))
	}
	binary.BigEndian.PutUint16(m[2:], ^fold(sum16(m)))
	return out
}
