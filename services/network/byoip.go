package network

import (
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// maxRanges bounds the ranges that an account brings ("Bring your own IP
// addresses", quotas).
const maxRanges = 5

// The signature of an authorization: base 64 in the letters that AWS's
// instructions make of it.
var signature = regexp.MustCompile(`^[A-Za-z0-9_~-]{16,1000}$`)

// ProvisionRange brings a range and makes its pool. The region's operator vouches
// for the wire outside: the authorization is checked for its form, not against a
// registry.
func ProvisionRange(v *state.View, s events.Stamp, c events.ProvisionRange) ([]events.Event, error) {
	p, err := rangeText(c.CIDR)
	if err != nil {
		return nil, err
	}
	six := p.Addr().Is6()
	least, most := state.LargestRange, state.SmallestRange
	if six {
		least, most = 32, 48
		if c.Private {
			most = 56
		}
	}
	switch {
	case p.Bits() < least || p.Bits() > most:
		return nil, events.Faultf("InvalidParameterValue", "The address range %s is of a size that cannot be provisioned: /%d to /%d can.", p, least, most)
	case c.Private && !six:
		return nil, events.Faultf("InvalidParameterValue", "Only ranges of IPv6 can be provisioned without being publicly advertisable.")
	case utf8.RuneCountInString(c.Description) > 255:
		return nil, events.Faultf("InvalidParameterValue", "A description has up to 255 characters.")
	}
	if err := authorized(s, p, c); err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	for _, u := range append(unusable, netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8")) {
		if u.Overlaps(p) {
			return nil, events.Faultf("InvalidParameterValue", "The address range %s cannot be provisioned: nobody outside can send to %s.", p, u)
		}
	}
	for _, b := range v.Meta.Public {
		if b.Overlaps(p) {
			return nil, events.Faultf("InvalidParameterValue", "The address range %s overlaps with the region's own %s.", p, b)
		}
	}
	count := 0
	for _, r := range v.Ranges.All() {
		if r.CIDR.Overlaps(p) {
			return nil, events.Faultf("InvalidParameterValue", "The address range %s overlaps with one that is provisioned already.", p)
		}
		if r.Account == s.Account {
			count++
		}
	}
	if count >= maxRanges {
		return nil, events.Faultf("ResourceLimitExceeded", "The maximum number of address ranges has been reached: %d.", maxRanges)
	}
	kind := "ipv4pool-ec2"
	if six {
		kind = "ipv6pool-ec2"
	}
	pool := events.PoolID(kind + "-" + s.Seed.Hex(kind, 0))
	out := []events.Event{events.RangeProvisioned{Pool: pool, Account: s.Account, CIDR: p, Description: c.Description, Private: c.Private, At: s.Time}}
	return append(out, tagging.New(s, string(pool), c.Tags)...), nil
}

func rangeText(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, events.Faultf("MissingParameter", "The request must contain the parameter Cidr")
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return p, events.Faultf("InvalidParameterValue", "Value (%s) for parameter Cidr is invalid. This is not a valid CIDR block.", text)
	}
	return p, nil
}

// authorized checks the form of an authorization:
//
//	1|aws|account|cidr|YYYYMMDD|SHA256|RSAPSS
func authorized(s events.Stamp, p netip.Prefix, c events.ProvisionRange) error {
	bad := func(why string) error {
		return events.Faultf("InvalidParameterValue", "The CidrAuthorizationContext is not valid: %s", why)
	}
	if c.Message == "" || c.Signature == "" {
		if c.Private && c.Message == "" && c.Signature == "" {
			return nil
		}
		return events.Faultf("MissingParameter", "The request must contain the parameter CidrAuthorizationContext, with a message and a signature")
	}
	w := strings.Split(c.Message, "|")
	if len(w) != 7 || w[0] != "1" || w[1] != "aws" || w[5] != "SHA256" || w[6] != "RSAPSS" {
		return bad("the message is not of the form 1|aws|account|cidr|YYYYMMDD|SHA256|RSAPSS.")
	}
	until, err := time.Parse("20060102", w[4])
	switch {
	case w[2] != string(s.Account):
		return bad("it is of another account.")
	case w[3] != p.String():
		return bad("it is for another address range.")
	case err != nil:
		return bad("its date is not of the form YYYYMMDD.")
	case !s.Time.Before(until.AddDate(0, 0, 1)):
		return bad("it has expired.")
	case !signature.MatchString(c.Signature):
		return bad("the signature is not base 64 with '-', '_' and '~' for '+', '=' and '/'.")
	}
	return nil
}

func addressRange(v *state.View, a events.AccountID, text string) (*state.Range, error) {
	p, err := rangeText(text)
	if err != nil {
		return nil, err
	}
	r, ok := v.Range(p)
	if !ok || r.Account != a {
		return nil, events.Faultf("InvalidParameterValue", "The address range %s is not provisioned.", p)
	}
	return r, nil
}

// AdvertiseRange has gateways announce the addresses of a range.
func AdvertiseRange(v *state.View, s events.Stamp, c events.AdvertiseRange) ([]events.Event, error) {
	r, err := addressRange(v, s.Account, c.CIDR)
	switch {
	case err != nil:
		return nil, err
	case r.Private:
		return nil, events.Faultf("IncorrectState", "The address range %s was provisioned as not publicly advertisable.", r.CIDR)
	case r.Advertised:
		return nil, nil
	}
	return []events.Event{events.RangeAdvertised{Pool: r.Pool, Account: r.Account, CIDR: r.CIDR}}, nil
}

// WithdrawRange has them stop.
func WithdrawRange(v *state.View, s events.Stamp, c events.WithdrawRange) ([]events.Event, error) {
	r, err := addressRange(v, s.Account, c.CIDR)
	switch {
	case err != nil:
		return nil, err
	case !r.Advertised:
		return nil, events.Faultf("IncorrectState", "The address range %s is not advertised.", r.CIDR)
	}
	return []events.Event{events.RangeWithdrawn{Pool: r.Pool, Account: r.Account, CIDR: r.CIDR}}, nil
}

// DeprovisionRange takes a range away. Gateways must have let go of what was of
// it.
func DeprovisionRange(v *state.View, s events.Stamp, c events.DeprovisionRange) ([]events.Event, error) {
	r, err := addressRange(v, s.Account, c.CIDR)
	if err != nil {
		return nil, err
	}
	if r.Advertised {
		return nil, events.Faultf("IncorrectState", "The address range %s is advertised: withdraw it first.", r.CIDR)
	}
	for a := range v.AddressesOf(s.Account) {
		if r.CIDR.Contains(a.Address) {
			return nil, events.Faultf("DependencyViolation", "The address %s is allocated from the address range %s: release it first.", a.Address, r.CIDR)
		}
	}
	for n := range v.VPCsOf(s.Account) {
		for _, b := range n.Blocks {
			if b.Pool == string(r.Pool) {
				return nil, events.Faultf("DependencyViolation", "The VPC %s has the block %s of the address range %s.", n.ID, b.CIDR, r.CIDR)
			}
		}
	}
	for id := range v.Owing(events.SpecPublic) {
		if a, err := netip.ParseAddr(id); err == nil && r.CIDR.Contains(a) {
			return nil, events.Faultf("IncorrectState", "A gateway has not let go of the address %s yet.", a)
		}
	}
	return []events.Event{events.RangeDeprovisioned{Pool: r.Pool, Account: r.Account, CIDR: r.CIDR}}, nil
}

// fromPool draws an address of an account's pool of IPv4, this one when it is
// named.
func fromPool(v *state.View, a events.AccountID, pool events.PoolID, text string) (netip.Addr, error) {
	r, ok := v.Ranges.Get(string(pool))
	if !ok || r.Account != a || !r.CIDR.Addr().Is4() {
		return netip.Addr{}, events.Faultf("InvalidPublicIpv4PoolID.NotFound", "The public IPv4 pool '%s' does not exist.", pool)
	}
	if text != "" {
		x, err := netip.ParseAddr(text)
		if err != nil || !r.CIDR.Contains(x) || v.PublicTaken(x) {
			return x, events.Faultf("InvalidAddress.NotFound", "Address '%s' cannot be had: it is in use, or none of the pool '%s'.", text, pool)
		}
		return x, nil
	}
	for x := r.CIDR.Addr(); r.CIDR.Contains(x); x = x.Next() {
		if !v.PublicTaken(x) {
			return x, nil
		}
	}
	return netip.Addr{}, events.Faultf("InsufficientAddressCapacity", "Not enough addresses are free in the pool '%s'.", pool)
}

// poolIPv6 finds a block of IPv6 in a pool of the account: the one that is
// named, or the first /56 that no VPC has a part of.
func poolIPv6(v *state.View, a events.AccountID, pool, text string) (netip.Prefix, error) {
	r, ok := v.Ranges.Get(pool)
	if !ok || r.Account != a || !r.CIDR.Addr().Is6() {
		return netip.Prefix{}, events.Faultf("InvalidIpv6PoolID.NotFound", "The IPv6 pool '%s' does not exist.", pool)
	}
	taken := func(p netip.Prefix) (netip.Prefix, bool) {
		for n := range v.VPCsOf(a) {
			for _, b := range n.Blocks {
				if b.Pool == pool && b.CIDR.Overlaps(p) {
					return b.CIDR, true
				}
			}
		}
		return p, false
	}
	if text != "" {
		p, err := block6(text, "ipv6CidrBlock", smallestVPC6)
		if err != nil {
			return p, err
		}
		if !r.CIDR.Contains(p.Addr()) || p.Bits() < r.CIDR.Bits() {
			return p, events.Faultf("InvalidParameterValue", "The CIDR '%s' is not within the IPv6 pool '%s'.", p, pool)
		}
		if other, ok := taken(p); ok {
			return p, events.Faultf("CidrConflict", "The CIDR '%s' conflicts with the CIDR '%s' of a VPC", p, other)
		}
		return p, nil
	}
	const size = 56
	for p := netip.PrefixFrom(r.CIDR.Addr(), size); r.CIDR.Contains(p.Addr()); p = after(p) {
		if _, ok := taken(p); !ok {
			return p, nil
		}
	}
	return netip.Prefix{}, events.Faultf("InsufficientCidrBlocks", "The IPv6 pool '%s' has no /%d that is free.", pool, size)
}

// after is the block of the same size behind one of IPv6, of a size of whole
// bytes.
func after(p netip.Prefix) netip.Prefix {
	a := p.Addr().As16()
	for i := p.Bits()/8 - 1; i >= 0; i-- {
		if a[i]++; a[i] != 0 {
			break
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), p.Bits())
}
