package network

import (
	"crypto/sha256"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

// Blocks that a VPC may have of each family ("Amazon VPC quotas").
const maxBlocks = 5

// AmazonPool is the region's own pool of IPv6 addresses, in EC2's word.
const AmazonPool = "Amazon"

// The sizes of IPv6 blocks ("IPv6 VPC CIDR blocks"): every fourth one.
const (
	largest6     = 44
	smallestVPC6 = 60
	smallest6    = 64
)

// The private ranges of RFC 1918, and one that no VPC mixes with them: a VPC has
// secondary blocks of its first one's range ("IPv4 CIDR block association
// restrictions").
var ranges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.19.0.0/16")}

func rangeOf(p netip.Prefix) int {
	return slices.IndexFunc(ranges, p.Overlaps)
}

// block6 reads a block of IPv6 addresses.
func block6(text, parameter string, smallest int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() {
		return p, events.Faultf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid IPv6 CIDR block.", text, parameter)
	}
	if p = p.Masked(); p.Bits() < largest6 || p.Bits() > smallest || p.Bits()%4 != 0 {
		return p, events.Faultf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. The size must be /%d to /%d, in steps of /4.", text, parameter, largest6, smallest)
	}
	return p, nil
}

// amazonIPv6 is the n-th block of the region's own IPv6 addresses that a VPC has:
// unique local ones (RFC 4193), of a prefix that follows from the region, the
// number and the VPC's network identifier. As that one is never reused, neither
// is the block.
func amazonIPv6(v *state.View, vni uint32, n int) netip.Prefix {
	h := sha256.Sum256([]byte("ipv6 of region " + v.Meta.ID))
	a := netip.AddrFrom16([16]byte{0xfd, h[0], h[1], byte(n), byte(vni >> 16), byte(vni >> 8), byte(vni)})
	return netip.PrefixFrom(a, 56)
}

func vpcAssociation(s events.Stamp, n int) events.AssociationID {
	return events.AssociationID("vpc-cidr-assoc-" + s.Seed.Hex("vpc-cidr-assoc", n))
}

// ipv6Of settles a block of IPv6 for a VPC: what it asks for of a pool of the
// account, or the next of the region's own.
func ipv6Of(v *state.View, s events.Stamp, vni uint32, have []state.Block, text, pool string, amazon bool) (netip.Prefix, string, error) {
	var none netip.Prefix
	switch {
	case amazon && (text != "" || pool != ""):
		return none, "", events.Faultf("InvalidParameterCombination", "An Amazon-provided IPv6 CIDR block and an IPv6 pool cannot be specified on the same request.")
	case amazon:
		for n := 0; ; n++ {
			if p := amazonIPv6(v, vni, n); !slices.ContainsFunc(have, func(b state.Block) bool { return b.CIDR == p }) {
				return p, AmazonPool, nil
			}
		}
	case pool == "":
		return none, "", events.Faultf("MissingParameter", "The request must contain the parameter ipv6Pool")
	}
	p, err := poolIPv6(v, s.Account, pool, text)
	return p, pool, err
}

// AssociateVPCBlock gives a VPC one more block, and every route table of it the
// route within.
func AssociateVPCBlock(v *state.View, s events.Stamp, c events.AssociateVPCBlock) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	e := events.VPCBlockAssociated{VPC: vpc.ID, Account: vpc.Account, Association: vpcAssociation(s, 0)}
	switch six := c.AmazonIPv6 || c.IPv6 != "" || c.Pool != ""; {
	case six && c.CIDR != "":
		return nil, events.Faultf("InvalidParameterCombination", "Only one of an IPv4 and an IPv6 CIDR block can be associated at a time.")
	case six:
		e.CIDR, e.Pool, err = ipv6Of(v, s, vpc.VNI, vpc.Blocks, c.IPv6, c.Pool, c.AmazonIPv6)
	default:
		e.CIDR, err = secondary(vpc, c.CIDR)
	}
	if err != nil {
		return nil, err
	}
	if err := apart(v, vpc.ID, e.CIDR); err != nil {
		return nil, err
	}
	count := 0
	for _, b := range vpc.CIDRs() {
		if b.Overlaps(e.CIDR) {
			return nil, events.Faultf("CidrConflict", "The CIDR '%s' conflicts with the CIDR '%s' of the VPC", e.CIDR, b)
		}
		if b.Addr().Is4() == e.CIDR.Addr().Is4() {
			count++
		}
	}
	if count >= maxBlocks {
		return nil, events.Faultf("CidrLimitExceeded", "The maximum number of CIDR blocks for VPC '%s' has been reached.", vpc.ID)
	}
	out := []events.Event{e}
	if a, ok := v.NetworkACLs.Get(string(events.DefaultACL(vpc.ID))); ok && e.CIDR.Addr().Is6() && count == 0 &&
		!slices.ContainsFunc(a.Entries, func(x events.ACLEntry) bool { return x.Number == events.ACLFirstIPv6 }) {
		out = append(out, allow6(vpc.Account, vpc.ID)...)
	}
	for t := range v.RouteTablesOf(vpc.ID) {
		for _, r := range t.Routes {
			if e.CIDR.Contains(r.Destination.Addr()) && r.Destination.Bits() >= e.CIDR.Bits() {
				return nil, events.Faultf("CidrConflict", "The CIDR '%s' conflicts with the route to %s in route table %s", e.CIDR, r.Destination, t.ID)
			}
		}
		out = append(out, events.RouteCreated{Table: t.ID, Account: t.Account, VPC: t.VPC, Route: events.Route{Destination: e.CIDR}})
	}
	return out, nil
}

// allow6 are the rules of the default network ACL that let IPv6 through, as they
// do IPv4: a VPC has them from its first block of IPv6 on.
func allow6(account events.AccountID, vpc events.VPCID) (out []events.Event) {
	for _, egress := range []bool{false, true} {
		out = append(out, events.ACLEntryPut{ACL: events.DefaultACL(vpc), Account: account, VPC: vpc,
			Entry: events.ACLEntry{Number: events.ACLFirstIPv6, Egress: egress, Protocol: -1, From: -1, To: -1, CIDR: everywhere6}})
	}
	return out
}

// secondary checks a secondary IPv4 block: of the same private range as the first
// one, of the shared addresses of RFC 6598, or public.
func secondary(vpc *state.VPC, text string) (netip.Prefix, error) {
	p, err := block(text, "cidrBlock")
	if err != nil {
		return p, err
	}
	if !vpc.CIDR.IsValid() {
		return p, events.Faultf("InvalidParameterCombination", "The VPC '%s' has IPv6 addresses alone.", vpc.ID)
	}
	if err := sized(p); err != nil {
		return p, err
	}
	if mine := rangeOf(p); mine >= 0 && mine != rangeOf(vpc.CIDR) {
		return p, events.Faultf("InvalidVpc.Range", "The CIDR '%s' is invalid: %s restricts it.", p, vpc.CIDR)
	}
	return p, nil
}

// sized checks the size of an IPv4 block, and that guests could send to it.
func sized(p netip.Prefix) error {
	if p.Bits() < largest || p.Bits() > smallest {
		return events.Faultf("InvalidVpc.Range", "The CIDR '%s' is invalid.", p)
	}
	for _, u := range unusable {
		if u.Overlaps(p) {
			return events.Faultf("InvalidVpc.Range", "The CIDR '%s' is invalid: %s cannot be used in a VPC.", p, u)
		}
	}
	return nil
}

// DisassociateVPCBlock takes a block away that no subnet has a part of. The first
// one stays.
func DisassociateVPCBlock(v *state.View, s events.Stamp, c events.DisassociateVPCBlock) ([]events.Event, error) {
	vpc, ok := v.VPCOfBlock(s.Account, c.Association)
	if !ok {
		return nil, events.Faultf("InvalidVpcCidrBlockAssociationID.NotFound", "The vpc CIDR block association ID '%s' does not exist", c.Association)
	}
	at := slices.IndexFunc(vpc.Blocks, func(b state.Block) bool { return b.Association == c.Association })
	if at < 0 || !vpc.CIDR.IsValid() && len(vpc.Blocks) == 1 {
		return nil, events.Faultf("OperationNotPermitted", "The vpc CIDR block with association ID %s may not be disassociated. It is the primary CIDR block of the VPC", c.Association)
	}
	b := vpc.Blocks[at]
	for sub := range v.SubnetsOf(vpc.ID) {
		if sub.CIDR.IsValid() && b.CIDR.Overlaps(sub.CIDR) || sub.IPv6.CIDR.IsValid() && b.CIDR.Overlaps(sub.IPv6.CIDR) {
			return nil, events.Faultf("InvalidCidrBlock.InUse", "The vpc %s currently has a subnet within CIDR block %s", vpc.ID, b.CIDR)
		}
	}
	var out []events.Event
	for t := range v.RouteTablesOf(vpc.ID) {
		if r, ok := to(t, events.Route{Destination: b.CIDR}); ok && r.Local() {
			out = append(out, events.RouteDeleted{Table: t.ID, Account: t.Account, VPC: t.VPC, Destination: b.CIDR})
		}
	}
	return append(out, events.VPCBlockDisassociated{VPC: vpc.ID, Account: vpc.Account, Association: b.Association, CIDR: b.CIDR}), nil
}

// subnetIPv6 checks a block of IPv6 for a subnet: inside of its VPC, apart from
// the others.
func subnetIPv6(v *state.View, vpc *state.VPC, text string) (netip.Prefix, error) {
	p, err := block6(text, "ipv6CidrBlock", smallest6)
	if err != nil {
		return p, err
	}
	if !slices.ContainsFunc(vpc.Blocks, func(b state.Block) bool { return b.CIDR.Contains(p.Addr()) && b.CIDR.Bits() <= p.Bits() }) {
		return p, events.Faultf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", p)
	}
	for o := range v.SubnetsOf(vpc.ID) {
		if o.IPv6.CIDR.IsValid() && o.IPv6.CIDR.Overlaps(p) {
			return p, events.Faultf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", p)
		}
	}
	return p, nil
}

func subnetBlock(s events.Stamp, id events.SubnetID, vpc events.VPCID, z events.Zone, p netip.Prefix) events.Event {
	return events.SubnetBlockAssociated{Subnet: id, Account: s.Account, VPC: vpc, Zone: z,
		Association: events.AssociationID("subnet-cidr-assoc-" + s.Seed.Hex("subnet-cidr-assoc", 0)), CIDR: p}
}

// AssociateSubnetBlock gives a subnet its block of IPv6.
func AssociateSubnetBlock(v *state.View, s events.Stamp, c events.AssociateSubnetBlock) ([]events.Event, error) {
	sub, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	vpc, err := network(v, s.Account, sub.VPC)
	if err != nil {
		return nil, err
	}
	if sub.IPv6.CIDR.IsValid() {
		return nil, events.Faultf("InvalidParameterValue", "The subnet '%s' has an IPv6 CIDR block already: %s", sub.ID, sub.IPv6.CIDR)
	}
	p, err := subnetIPv6(v, vpc, c.IPv6)
	if err != nil {
		return nil, err
	}
	return []events.Event{subnetBlock(s, sub.ID, sub.VPC, sub.Zone, p)}, nil
}

// DisassociateSubnetBlock takes a subnet's block of IPv6 when no interface has an
// address of it.
func DisassociateSubnetBlock(v *state.View, s events.Stamp, c events.DisassociateSubnetBlock) ([]events.Event, error) {
	sub, ok := v.SubnetOfBlock(s.Account, c.Association)
	if !ok {
		return nil, events.Faultf("InvalidSubnetCidrBlockAssociationID.NotFound", "The subnet CIDR block association ID '%s' does not exist", c.Association)
	}
	if sub.Native() {
		return nil, events.Faultf("OperationNotPermitted", "The subnet '%s' has IPv6 addresses alone.", sub.ID)
	}
	for f := range v.InterfacesOn(sub.ID) {
		if len(f.Interface.IPv6)+len(f.Interface.IPv6Prefixes) > 0 {
			return nil, events.Faultf("InvalidCidrBlock.InUse", "The subnet %s currently has network interfaces within CIDR block %s", sub.ID, sub.IPv6.CIDR)
		}
	}
	return []events.Event{events.SubnetBlockDisassociated{Subnet: sub.ID, Account: sub.Account, VPC: sub.VPC, Zone: sub.Zone,
		Association: sub.IPv6.Association, CIDR: sub.IPv6.CIDR}}, nil
}
