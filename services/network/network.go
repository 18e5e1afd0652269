// Package network decides about VPCs, subnets, security groups and interfaces.
package network

import (
	"encoding/binary"
	"net/netip"

	"skerry/events"
	"skerry/services/state"
)

// defaultCIDR is the block of every default VPC ("Default VPC components").
var defaultCIDR = netip.MustParsePrefix("172.31.0.0/16")

// maxVNI is the largest VXLAN network identifier (RFC 7348 section 5).
const maxVNI = 1<<24 - 1

var (
	everywhere  = netip.MustParsePrefix("0.0.0.0/0")
	everywhere6 = netip.MustParsePrefix("::/0")
)

// DefaultVPC makes what an account's network starts with: the VPC, a /20 per
// zone, the way outside and the main route table that leads there, and the group "default" whose members reach each other and everything
// outside ("Default security groups").
func DefaultVPC(v *state.View, s events.Stamp, account events.AccountID) ([]events.Event, error) {
	if v.Meta.NextVNI > maxVNI {
		return nil, events.Faultf("VpcLimitExceeded", "The region has given out all %d network identifiers.", maxVNI)
	}
	vpc := events.VPCID("vpc-" + s.Seed.Hex("vpc", 0))
	out := []events.Event{events.VPCCreated{ID: vpc, Account: account, CIDR: defaultCIDR, VNI: v.Meta.NextVNI, Default: true}}
	block := defaultCIDR.Addr().As4()
	i := 0
	for _, z := range v.Zones.All() {
		base := binary.BigEndian.Uint32(block[:]) + uint32(i)<<12
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base))), 20)
		out = append(out, events.SubnetCreated{ID: events.SubnetID("subnet-" + s.Seed.Hex("subnet", i)), Account: account, VPC: vpc, Zone: z.Zone, CIDR: cidr, Default: true})
		i++
	}
	igw := events.GatewayID("igw-" + s.Seed.Hex("igw", 0))
	out = append(out,
		events.InternetGatewayCreated{ID: igw, Account: account, VPC: vpc},
		events.RouteTableCreated{ID: events.TableID("rtb-" + s.Seed.Hex("rtb", 0)), Account: account, VPC: vpc, Main: true,
			Association: events.AssociationID("rtbassoc-" + s.Seed.Hex("rtbassoc", 0)),
			Routes:      []events.Route{{Destination: defaultCIDR}, {Destination: everywhere, Gateway: igw}}})
	return append(out, defaultGroup(s, account, vpc)), nil
}

// Reserved are the addresses at the start of a subnet that nobody gets: the
// network, the router, the resolver and one for later ("Subnet sizing"). The
// last address is kept as well.
const Reserved = 4

// Free is how many IPv4 addresses a subnet has left.
func Free(s *state.Subnet) int {
	if s.Native() {
		return 0
	}
	return 1<<(32-s.CIDR.Bits()) - Reserved - 1 - s.Used
}

func usable(p netip.Prefix) (first, last netip.Addr) {
	b := p.Masked().Addr().As4()
	base := binary.BigEndian.Uint32(b[:])
	size := uint32(1) << (32 - p.Bits())
	return v4(base + Reserved), v4(base + size - 2)
}

func v4(n uint32) netip.Addr { return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))) }
