package network

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// CreateSubnet makes a part of a VPC. Parts do not overlap.
func CreateSubnet(v *state.View, s events.Stamp, c events.CreateSubnet) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	cidr, err := block(c.CIDR, "cidrBlock")
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < max(largest, vpc.CIDR.Bits()) || cidr.Bits() > smallest || !vpc.CIDR.Contains(cidr.Addr()) {
		return nil, events.Faultf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", cidr)
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	in := map[events.Zone]int{}
	for o := range v.SubnetsOf(vpc.ID) {
		if o.CIDR.Overlaps(cidr) {
			return nil, events.Faultf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", cidr)
		}
		count++
		in[o.Zone]++
	}
	if count >= maxSubnets {
		return nil, events.Faultf("SubnetLimitExceeded", "The maximum number of subnets for VPC '%s' has been reached.", vpc.ID)
	}
	zone := c.Zone
	if zone == "" {
		zone = emptiest(v, in)
	} else if _, ok := v.Zones.Get(string(zone)); !ok {
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can only be created in the zones of the region.", zone)
	}
	id := events.SubnetID("subnet-" + s.Seed.Hex("subnet", 0))
	out := []events.Event{events.SubnetCreated{ID: id, Account: s.Account, VPC: vpc.ID, Zone: zone, CIDR: cidr}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// emptiest is the zone with the fewest subnets of a VPC, a healthy one before
// any other.
func emptiest(v *state.View, in map[events.Zone]int) events.Zone {
	var best *state.ZoneRow
	for _, z := range v.Zones.All() {
		if best == nil || best.Impaired && !z.Impaired || best.Impaired == z.Impaired && in[z.Zone] < in[best.Zone] {
			best = z
		}
	}
	return best.Zone // a region has zones
}

func subnet(v *state.View, a events.AccountID, id events.SubnetID) (*state.Subnet, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter subnetId")
	}
	r, ok := v.Subnets.Get(string(id))
	if !ok || r.Account != a {
		return nil, events.Faultf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	}
	return r, nil
}

// DeleteSubnet ends a subnet that no interface has an address of.
func DeleteSubnet(v *state.View, s events.Stamp, c events.DeleteSubnet) ([]events.Event, error) {
	r, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	if r.Used > 0 {
		return nil, events.Faultf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", r.ID)
	}
	return []events.Event{events.SubnetDeleted{ID: r.ID, Account: r.Account, VPC: r.VPC, Zone: r.Zone}}, nil
}

// ModifySubnet changes what launches into a subnet get.
func ModifySubnet(v *state.View, s events.Stamp, c events.ModifySubnet) ([]events.Event, error) {
	r, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	if c.MapPublic == nil {
		return nil, events.Faultf("MissingParameter", "The request must contain the attribute to modify.")
	}
	return []events.Event{events.SubnetModified{ID: r.ID, Account: r.Account, VPC: r.VPC, Zone: r.Zone, MapPublic: c.MapPublic}}, nil
}
