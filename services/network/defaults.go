package network

import (
	"encoding/binary"
	"net/netip"

	"skerry/events"
	"skerry/services/state"
)

// defaultBits is the size of a default subnet ("Default subnets").
const defaultBits = 20

// CreateDefaultVPC makes the network that an account starts with, when it has
// deleted it.
func CreateDefaultVPC(v *state.View, s events.Stamp, _ events.CreateDefaultVPC) ([]events.Event, error) {
	count := 0
	for n := range v.VPCsOf(s.Account) {
		if n.Default {
			return nil, events.Faultf("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
		}
		count++
	}
	if count >= maxVPCs {
		return nil, events.Faultf("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	return DefaultVPC(v, s, s.Account)
}

// CreateDefaultSubnet makes the default subnet of a zone, of the first addresses
// that are free.
func CreateDefaultSubnet(v *state.View, s events.Stamp, c events.CreateDefaultSubnet) ([]events.Event, error) {
	if c.Zone == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter availabilityZone")
	}
	if _, ok := v.Zones.Get(string(c.Zone)); !ok {
		return nil, noZone(v, c.Zone)
	}
	vpc, ok := v.DefaultVPC(s.Account)
	if !ok {
		return nil, events.Faultf("DefaultVpcDoesNotExist", "There is no default VPC in which to carry out the operation.")
	}
	var taken []netip.Prefix
	for o := range v.SubnetsOf(vpc.ID) {
		if o.Default && o.Zone == c.Zone {
			return nil, events.Faultf("DefaultSubnetAlreadyExistsInAvailabilityZone", "'%s' is already the default subnet in %s.", o.ID, c.Zone)
		}
		if o.CIDR.IsValid() {
			taken = append(taken, o.CIDR)
		}
	}
	if len(taken) >= maxSubnets {
		return nil, events.Faultf("SubnetLimitExceeded", "The maximum number of subnets for VPC '%s' has been reached.", vpc.ID)
	}
	base := vpc.CIDR.Masked().Addr().As4()
next:
	for n := range 1 << (defaultBits - vpc.CIDR.Bits()) {
		cidr := netip.PrefixFrom(v4(binary.BigEndian.Uint32(base[:])+uint32(n)<<(32-defaultBits)), defaultBits)
		for _, o := range taken {
			if o.Overlaps(cidr) {
				continue next
			}
		}
		return []events.Event{events.SubnetCreated{ID: events.SubnetID("subnet-" + s.Seed.Hex("subnet", 0)), Account: s.Account, VPC: vpc.ID, Zone: c.Zone, CIDR: cidr, Default: true}}, nil
	}
	return nil, events.Faultf("InsufficientCidrBlocks", "The default VPC has no free /%d for a default subnet.", defaultBits)
}
