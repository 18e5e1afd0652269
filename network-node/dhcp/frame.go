package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

const (
	etherSize = 14
	ipSize    = 20 // without options
	udpSize   = 8
	ttl       = 64
)

// query is a request as it came off the wire.
type query struct {
	source  net.HardwareAddr // of the frame
	to      netip.Addr
	message *dhcpv4.DHCPv4
}

// parse takes a request out of an Ethernet frame; false when it is not a whole,
// unfragmented UDP packet for the server's port with a DHCP message in it. The
// UDP checksum is not looked at: a guest leaves it to its virtual device, which
// never fills it in for a frame that does not leave the host.
func parse(b []byte) (query, bool) {
	var q query
	if len(b) < etherSize+ipSize+udpSize || binary.BigEndian.Uint16(b[12:]) != unix.ETH_P_IP {
		return q, false
	}
	q.source = net.HardwareAddr(b[6:12])
	h := b[etherSize:]
	size, total := int(h[0]&0xf)*4, int(binary.BigEndian.Uint16(h[2:]))
	switch {
	case h[0]>>4 != 4, size < ipSize, total < size+udpSize, total > len(h),
		binary.BigEndian.Uint16(h[6:])&0x3fff != 0, // offset, or more fragments
		h[9] != unix.IPPROTO_UDP,
		sum(0, h[:size]) != 0xffff:
		return q, false
	}
	q.to = netip.AddrFrom4([4]byte(h[16:20]))
	u := h[size:total]
	length := int(binary.BigEndian.Uint16(u[4:]))
	if binary.BigEndian.Uint16(u[2:]) != serverPort || length < udpSize || length > len(u) {
		return q, false
	}
	m, err := dhcpv4.FromBytes(u[udpSize:length])
	if err != nil {
		return q, false
	}
	q.message = m
	return q, true
}

// frame wraps a DHCP message from the server's port to the client's.
func frame(from, to net.HardwareAddr, src, dst net.IP, payload []byte) []byte {
	b := make([]byte, etherSize+ipSize+udpSize, etherSize+ipSize+udpSize+len(payload))
	copy(b, to)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)

	h := b[etherSize:]
	h[0] = 4<<4 | ipSize/4
	binary.BigEndian.PutUint16(h[2:], uint16(ipSize+udpSize+len(payload)))
	binary.BigEndian.PutUint16(h[6:], 0x4000) // never fragmented: it fits
	h[8], h[9] = ttl, unix.IPPROTO_UDP
	copy(h[12:], src.To4())
	copy(h[16:], dst.To4())
	binary.BigEndian.PutUint16(h[10:], ^sum(0, h[:ipSize]))

	u := h[ipSize:]
	binary.BigEndian.PutUint16(u, serverPort)
	binary.BigEndian.PutUint16(u[2:], clientPort)
	binary.BigEndian.PutUint16(u[4:], uint16(udpSize+len(payload)))
	// RFC 768: the pseudo header is addresses, protocol and length.
	pseudo := uint32(sum(0, h[12:20])) + unix.IPPROTO_UDP + uint32(udpSize+len(payload))
	b = append(b, payload...)
	check := ^sum(pseudo, b[etherSize+ipSize:])
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[etherSize+ipSize+6:], check)
	return b
}

// sum is the one's complement sum of RFC 1071 over b, begun with start.
func sum(start uint32, b []byte) uint16 {
	s := uint64(start)
	for ; len(b) > 1; b = b[2:] {
		s += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
