package ec2

import (
	"context"
	"fmt"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/network"
	"skerry/services/state"
)

type subnetRow = row[model.Subnet]

// The filters of DescribeSubnets, some of which EC2 knows by two names.
var subnetListing = listing[model.Subnet]{fields: filter.Fields[subnetRow]{
	"availability-zone":          func(r subnetRow) []string { return word(r.shown.AvailabilityZone) },
	"availabilityZone":           func(r subnetRow) []string { return word(r.shown.AvailabilityZone) },
	"availability-zone-id":       func(r subnetRow) []string { return word(r.shown.AvailabilityZoneId) },
	"availabilityZoneId":         func(r subnetRow) []string { return word(r.shown.AvailabilityZoneId) },
	"available-ip-address-count": func(r subnetRow) []string { return number(r.shown.AvailableIpAddressCount) },
	"cidr":                       func(r subnetRow) []string { return word(r.shown.CidrBlock) },
	"cidr-block":                 func(r subnetRow) []string { return word(r.shown.CidrBlock) },
	"cidrBlock":                  func(r subnetRow) []string { return word(r.shown.CidrBlock) },
	"customer-owned-ipv4-pool":   never[subnetRow],
	"default-for-az":             func(r subnetRow) []string { return flag(r.shown.DefaultForAz) },
	"defaultForAz":               func(r subnetRow) []string { return flag(r.shown.DefaultForAz) },
	"enable-dns64":               func(r subnetRow) []string { return flag(r.shown.EnableDns64) },
	"enable-lni-at-device-index": never[subnetRow],
	"ipv6-cidr-block-association.association-id":  never[subnetRow],
	"ipv6-cidr-block-association.ipv6-cidr-block": never[subnetRow],
	"ipv6-cidr-block-association.state":           never[subnetRow],
	"ipv6-native":                                 func(r subnetRow) []string { return flag(r.shown.Ipv6Native) },
	"map-customer-owned-ip-on-launch":             func(r subnetRow) []string { return flag(r.shown.MapCustomerOwnedIpOnLaunch) },
	"map-public-ip-on-launch":                     func(r subnetRow) []string { return flag(r.shown.MapPublicIpOnLaunch) },
	"outpost-arn":                                 never[subnetRow],
	"owner-id":                                    func(r subnetRow) []string { return word(r.shown.OwnerId) },
	"private-dns-name-options-on-launch.enable-resource-name-dns-a-record": func(r subnetRow) []string {
		return flag(r.shown.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord)
	},
	"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": func(r subnetRow) []string {
		return flag(r.shown.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord)
	},
	"private-dns-name-options-on-launch.hostname-type": func(r subnetRow) []string {
		return word(r.shown.PrivateDnsNameOptionsOnLaunch.HostnameType)
	},
	"state":      func(r subnetRow) []string { return word(r.shown.State) },
	"subnet-arn": func(r subnetRow) []string { return word(r.shown.SubnetArn) },
	"subnet-id":  func(r subnetRow) []string { return word(r.shown.SubnetId) },
	"vpc-id":     func(r subnetRow) []string { return word(r.shown.VpcId) },
}}

// DescribeSubnets lists the account's subnets, by VPC and zone.
func (h *Handlers) DescribeSubnets(ctx context.Context, c *api.Call, in *model.DescribeSubnetsInput) (*model.DescribeSubnetsOutput, error) {
	if err := ids.Subnet.CheckAll(in.SubnetIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(in.SubnetIds,
		func(id string) (*state.Subnet, bool) {
			s, ok := v.Subnets.Get(id)
			return s, ok && s.Account == account
		},
		func(yield func(*state.Subnet)) {
			for n := range v.VPCsOf(account) {
				for s := range v.SubnetsOf(n.ID) {
					yield(s)
				}
			}
		}, notFound(ids.Subnet, "subnet"))
	if err != nil {
		return nil, err
	}
	var rows []subnetRow
	for _, s := range list {
		t := v.TagsOf(string(s.ID))
		shown := v.subnet(s)
		shown.Tags = shownTags(t)
		rows = append(rows, subnetRow{key: fmt.Sprintf("%s/%s/%s", s.VPC, s.Zone, s.ID), tags: t, shown: shown})
	}
	out := new(model.DescribeSubnetsOutput)
	out.Subnets, out.NextToken, err = subnetListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// subnet shows a subnet.
func (v view) subnet(s *state.Subnet) model.Subnet {
	return model.Subnet{
		SubnetId: some(s.ID), SubnetArn: new(fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", v.Meta.Region, s.Account, s.ID)),
		VpcId: some(s.VPC), OwnerId: some(s.Account), State: new("available"), CidrBlock: new(s.CIDR.String()),
		AvailabilityZone: some(s.Zone), AvailabilityZoneId: new(network.ZoneID(v.View, s.Zone)), AvailableIpAddressCount: new(int32(network.Free(s))),
		DefaultForAz: &s.Default, MapPublicIpOnLaunch: new(s.GivesPublic(v.View)), MapCustomerOwnedIpOnLaunch: new(false),
		AssignIpv6AddressOnCreation: new(false), EnableDns64: new(false), Ipv6Native: new(false),
		Ipv6CidrBlockAssociationSet: []model.SubnetIpv6CidrBlockAssociation{},
		PrivateDnsNameOptionsOnLaunch: &model.PrivateDnsNameOptionsOnLaunch{
			HostnameType: new("ip-name"), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false)},
	}
}

// CreateSubnet makes a part of a VPC.
func (h *Handlers) CreateSubnet(ctx context.Context, c *api.Call, in *model.CreateSubnetInput) (*model.CreateSubnetOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	const v6, pools = "subnets have IPv4 addresses only", "blocks come from no pool"
	for _, p := range []struct {
		name, why string
		set       bool
	}{
		{"Ipv6CidrBlock", v6, value(in.Ipv6CidrBlock) != ""}, {"Ipv6Native", v6, value(in.Ipv6Native)}, {"Ipv6IpamPoolId", v6, value(in.Ipv6IpamPoolId) != ""},
		{"Ipv6NetmaskLength", v6, in.Ipv6NetmaskLength != nil}, {"Ipv4IpamPoolId", pools, value(in.Ipv4IpamPoolId) != ""},
		{"Ipv4NetmaskLength", pools, in.Ipv4NetmaskLength != nil}, {"OutpostArn", "the region has no Outposts", value(in.OutpostArn) != ""},
	} {
		if p.set {
			return nil, unsupported(p.name, "%s", p.why)
		}
	}
	if err := notTogether("AvailabilityZone", in.AvailabilityZone != nil, "AvailabilityZoneId", in.AvailabilityZoneId != nil); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "subnet")
	if err != nil {
		return nil, err
	}
	zone := events.Zone(value(in.AvailabilityZone))
	if id := value(in.AvailabilityZoneId); id != "" {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		for _, z := range v.Zones.All() {
			if network.ZoneID(v.View, z.Zone) == id {
				zone = z.Zone
			}
		}
		if zone == "" {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter availabilityZoneId is invalid.", id)
		}
	}
	reply, err := h.do(ctx, c, 0, events.CreateSubnet{VPC: events.VPCID(*in.VpcId), CIDR: value(in.CidrBlock), Zone: zone, Tags: specs["subnet"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := new(model.CreateSubnetOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.SubnetCreated); ok {
			s := v.subnet(&state.Subnet{SubnetCreated: e})
			s.Tags = toldTags(reply, string(e.ID))
			out.Subnet = &s
		}
	}
	return out, nil
}

// DeleteSubnet ends a subnet that no interface is in.
func (h *Handlers) DeleteSubnet(ctx context.Context, c *api.Call, in *model.DeleteSubnetInput) (*model.DeleteSubnetOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteSubnet{Subnet: events.SubnetID(*in.SubnetId)})
	return new(model.DeleteSubnetOutput), err
}

// ModifySubnetAttribute changes whether instances launched into a subnet get a
// public address. Asking for what is so anyhow is fine.
func (h *Handlers) ModifySubnetAttribute(ctx context.Context, c *api.Call, in *model.ModifySubnetAttributeInput) (*model.ModifySubnetAttributeOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	others := 0
	for _, p := range []struct {
		name     string
		set, off bool
	}{
		{"AssignIpv6AddressOnCreation", in.AssignIpv6AddressOnCreation != nil, !value(value(in.AssignIpv6AddressOnCreation).Value)},
		{"EnableDns64", in.EnableDns64 != nil, !value(value(in.EnableDns64).Value)},
		{"EnableResourceNameDnsARecordOnLaunch", in.EnableResourceNameDnsARecordOnLaunch != nil, !value(value(in.EnableResourceNameDnsARecordOnLaunch).Value)},
		{"EnableResourceNameDnsAAAARecordOnLaunch", in.EnableResourceNameDnsAAAARecordOnLaunch != nil, !value(value(in.EnableResourceNameDnsAAAARecordOnLaunch).Value)},
		{"MapCustomerOwnedIpOnLaunch", in.MapCustomerOwnedIpOnLaunch != nil, !value(value(in.MapCustomerOwnedIpOnLaunch).Value)},
		{"DisableLniAtDeviceIndex", in.DisableLniAtDeviceIndex != nil, !value(value(in.DisableLniAtDeviceIndex).Value)},
		{"PrivateDnsHostnameTypeOnLaunch", in.PrivateDnsHostnameTypeOnLaunch != nil, value(in.PrivateDnsHostnameTypeOnLaunch) == "ip-name"},
		{"CustomerOwnedIpv4Pool", in.CustomerOwnedIpv4Pool != nil, false},
		{"EnableLniAtDeviceIndex", in.EnableLniAtDeviceIndex != nil, false},
	} {
		switch {
		case p.set && !p.off:
			return nil, unsupported(p.name, "subnets have IPv4 addresses, and names made of them")
		case p.set:
			others++
		}
	}
	if others > 0 && in.MapPublicIpOnLaunch == nil {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		if s, ok := v.Subnets.Get(*in.SubnetId); !ok || string(s.Account) != c.Account {
			return nil, notFound(ids.Subnet, "subnet")([]string{*in.SubnetId})
		}
		return new(model.ModifySubnetAttributeOutput), nil
	}
	_, err := h.do(ctx, c, 0, events.ModifySubnet{Subnet: events.SubnetID(*in.SubnetId), MapPublic: value(in.MapPublicIpOnLaunch).Value})
	return new(model.ModifySubnetAttributeOutput), err
}
