package network

import (
	"strings"

	"net/netip"
	"slices"

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
	var cidr, six netip.Prefix
	switch {
	case c.Native && c.CIDR != "":
		return nil, events.Faultf("InvalidParameterCombination", "A subnet of IPv6 alone cannot have an IPv4 CIDR block.")
	case c.Native && c.IPv6 == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter ipv6CidrBlock")
	case !c.Native:
		if cidr, err = block(c.CIDR, "cidrBlock"); err != nil {
			return nil, err
		}
		inside := func(b netip.Prefix) bool { return b.Bits() <= cidr.Bits() && b.Contains(cidr.Addr()) }
		if cidr.Bits() < largest || cidr.Bits() > smallest || !slices.ContainsFunc(vpc.CIDRs(), inside) {
			return nil, events.Faultf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", cidr)
		}
	}
	if c.IPv6 != "" {
		if six, err = subnetIPv6(v, vpc, c.IPv6); err != nil {
			return nil, err
		}
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	in := map[events.Zone]int{}
	for o := range v.SubnetsOf(vpc.ID) {
		if cidr.IsValid() && o.CIDR.IsValid() && o.CIDR.Overlaps(cidr) {
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
		return nil, noZone(v, zone)
	}
	id := events.SubnetID("subnet-" + s.Seed.Hex("subnet", 0))
	out := []events.Event{events.SubnetCreated{ID: id, Account: s.Account, VPC: vpc.ID, Zone: zone, CIDR: cidr}}
	if six.IsValid() {
		out = append(out, subnetBlock(s, id, vpc.ID, zone, six))
	}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// noZone refuses a zone that the region has not, and says which ones it has.
func noZone(v *state.View, zone events.Zone) error {
	var names []string
	for _, z := range v.Zones.All() {
		names = append(names, string(z.Zone))
	}
	return events.Faultf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", zone, strings.Join(names, ", "))
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
	for range v.InterfacesOn(r.ID) {
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
	given := 0
	for _, set := range []bool{c.MapPublic != nil, c.AssignIPv6 != nil, c.DNS64 != nil, c.Hostname != nil} {
		if set {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, events.Faultf("MissingParameter", "The request must contain the attribute to modify.")
	case given > 1:
		return nil, events.Faultf("InvalidParameterCombination", "Only one attribute can be modified at a time.")
	case c.MapPublic != nil && *c.MapPublic && r.Native():
		return nil, events.Faultf("InvalidParameterCombination", "The subnet '%s' has no IPv4 addresses.", r.ID)
	case c.AssignIPv6 != nil && *c.AssignIPv6 && !r.IPv6.CIDR.IsValid(), c.DNS64 != nil && *c.DNS64 && !r.IPv6.CIDR.IsValid():
		return nil, events.Faultf("InvalidParameterCombination", "The subnet '%s' has no IPv6 CIDR block.", r.ID)
	case c.Hostname != nil && *c.Hostname != IPName && *c.Hostname != ResourceName:
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter privateDnsHostnameTypeOnLaunch is invalid. Use ip-name or resource-name.", *c.Hostname)
	case c.Hostname != nil && *c.Hostname == IPName && r.Native():
		return nil, events.Faultf("InvalidParameterCombination", "Instances in the subnet '%s' have resource names: it has no IPv4 addresses.", r.ID)
	}
	return []events.Event{events.SubnetModified{ID: r.ID, Account: r.Account, VPC: r.VPC, Zone: r.Zone, MapPublic: c.MapPublic,
		AssignIPv6: c.AssignIPv6, DNS64: c.DNS64, Hostname: c.Hostname}}, nil
}
