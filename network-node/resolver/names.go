package resolver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// address reads the label of a name: ip-172-31-0-4 with the prefix ip. Only the
// one spelling of an address is a name, so 04 and 256 are none.
func address(s, prefix string) (netip.Addr, bool) {
	f := strings.Split(s, "-")
	if len(f) != 5 || f[0] != prefix {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, d := range f[1:] {
		n, err := strconv.ParseUint(d, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != d {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// under says whether a canonical name is a domain or below it, and what comes
// before.
func under(name, domain string) (string, bool) {
	if domain == "" {
		return "", false
	}
	if name == domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+domain)
}

// reversed reads 4.0.31.172.in-addr.arpa (RFC 1035 section 3.5). ok says that
// the name belongs to that tree, whole that it names an address.
func reversed(name string) (a netip.Addr, whole, ok bool) {
	rest, ok := under(name, "in-addr.arpa")
	if !ok {
		return netip.Addr{}, false, false
	}
	f := strings.Split(rest, ".")
	if len(f) != 4 {
		return netip.Addr{}, false, true
	}
	var b [4]byte
	for i, d := range f {
		n, err := strconv.ParseUint(d, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != d {
			return netip.Addr{}, false, true
		}
		b[3-i] = byte(n)
	}
	return netip.AddrFrom4(b), true, true
}

// Reverse is the name whose PTR record tells the name of an address.
func Reverse(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
}

// routable says whether a public name of the address can mean anything: no name
// leads a program to the machine that it runs on or to a neighbour.
func routable(a netip.Addr) bool {
	b := a.As4()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && binary.BigEndian.Uint32(b[:]) < 0xe0000000 && b[0] != 0
}

// local are the trees whose names mean something in one place only, so that a
// question about them is never sent on (RFC 6303, RFC 6761, and "internal" by
// ICANN's resolution of 2024).
var local = []string{
	"internal", "localhost", "local", "invalid", "test", "onion", "10.in-addr.arpa", "168.192.in-addr.arpa", "254.169.in-addr.arpa",
	"127.in-addr.arpa", "0.in-addr.arpa", "255.255.255.255.in-addr.arpa", "home.arpa",
	"16.172.in-addr.arpa", "17.172.in-addr.arpa", "18.172.in-addr.arpa", "19.172.in-addr.arpa", "20.172.in-addr.arpa", "21.172.in-addr.arpa",
	"22.172.in-addr.arpa", "23.172.in-addr.arpa", "24.172.in-addr.arpa", "25.172.in-addr.arpa", "26.172.in-addr.arpa", "27.172.in-addr.arpa",
	"28.172.in-addr.arpa", "29.172.in-addr.arpa", "30.172.in-addr.arpa", "31.172.in-addr.arpa",
}

func isLocal(name string) bool {
	for _, d := range local {
		if _, ok := under(name, d); ok {
			return true
		}
	}
	return false
}
