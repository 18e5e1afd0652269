package lab

import (
	"fmt"
	"net"
	"net/netip"
)

// benchmark is the network that regions on one machine share for their public
// addresses: it is set aside for tests and never routed (RFC 2544 appendix
// C.2.2, RFC 6890).
var benchmark = netip.MustParsePrefix("198.18.0.0/15")

// One region's part, and how many there are.
const (
	publicBits = 20
	parts      = 1 << (publicBits - 15)
)

// choosePublic takes a part of the benchmark network that no interface of this
// machine has, nor the region whose accounts this one has, for good. Regions
// begin to look at different places, so that one that is down keeps its part
// from the next one that is made.
func (r *Region) choosePublic() error {
	if r.Public.IsValid() || r.Formed {
		return nil
	}
	var taken []netip.Prefix
	if r.beside != nil && r.beside.Public.IsValid() {
		taken = append(taken, r.beside.Public)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			taken = append(taken, p.Masked())
		}
	}
	first := r.firstPart()
	for i := range parts {
		p := part((first + i) % parts)
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(p)
		}
		if free {
			r.Public = p
			return nil
		}
	}
	return fmt.Errorf("all of %s is in use on this machine: end a region with `skerry down --purge`", benchmark)
}

// firstPart is where the region begins to look.
func (r *Region) firstPart() int {
	var seed int
	fmt.Sscanf(r.Tag(), "%x", &seed)
	return seed % parts
}

// part is the i-th part of the benchmark network.
func part(i int) netip.Prefix {
	a := benchmark.Addr().As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(i)<<(32-publicBits)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), publicBits)
}
