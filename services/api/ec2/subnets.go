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

func blocks6(values func(model.SubnetIpv6CidrBlockAssociation) []string) func(subnetRow) []string {
	return func(r subnetRow) []string { return each(r.shown.Ipv6CidrBlockAssociationSet, values) }
}

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
	"ipv6-cidr-block-association.association-id":  blocks6(func(a model.SubnetIpv6CidrBlockAssociation) []string { return word(a.AssociationId) }),
	"ipv6-cidr-block-association.ipv6-cidr-block": blocks6(func(a model.SubnetIpv6CidrBlockAssociation) []string { return word(a.Ipv6CidrBlock) }),
	"ipv6-cidr-block-association.state":           blocks6(func(a model.SubnetIpv6CidrBlockAssociation) []string { return word(a.Ipv6CidrBlockState.State) }),
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
	v, list, err := listed(h, ctx, c, ids.Subnet, "subnet", in.SubnetIds,
		func(v view, account events.AccountID, id string) (*state.Subnet, bool) {
			s, ok := v.Subnets.Get(id)
			return s, ok && s.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.Subnet)) {
			for n := range v.VPCsOf(account) {
				for s := range v.SubnetsOf(n.ID) {
					yield(s)
				}
			}
		})
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
	out := model.Subnet{
		SubnetId: some(s.ID), SubnetArn: new(fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", v.Meta.Region, s.Account, s.ID)),
		VpcId: some(s.VPC), OwnerId: some(s.Account), State: new("available"),
		AvailabilityZone: some(s.Zone), AvailabilityZoneId: new(network.ZoneID(v.View, s.Zone)), AvailableIpAddressCount: new(int32(network.Free(s))),
		DefaultForAz: &s.Default, MapPublicIpOnLaunch: new(s.GivesPublic(v.View)), MapCustomerOwnedIpOnLaunch: new(false),
		AssignIpv6AddressOnCreation: &s.AssignIPv6, EnableDns64: &s.DNS64, Ipv6Native: new(s.Native()),
		Ipv6CidrBlockAssociationSet: []model.SubnetIpv6CidrBlockAssociation{},
		PrivateDnsNameOptionsOnLaunch: &model.PrivateDnsNameOptionsOnLaunch{
			HostnameType: new(network.HostnameType(s)), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false)},
	}
	if !s.Native() {
		out.CidrBlock = new(s.CIDR.String())
	}
	if s.IPv6.CIDR.IsValid() {
		out.Ipv6CidrBlockAssociationSet = append(out.Ipv6CidrBlockAssociationSet, subnetBlock(s.IPv6, "associated"))
	}
	return out
}

func subnetBlock(b state.Block, is string) model.SubnetIpv6CidrBlockAssociation {
	return model.SubnetIpv6CidrBlockAssociation{AssociationId: some(b.Association), Ipv6CidrBlock: new(b.CIDR.String()),
		Ipv6CidrBlockState: &model.SubnetCidrBlockState{State: &is}}
}

// CreateSubnet makes a part of a VPC.
func (h *Handlers) CreateSubnet(ctx context.Context, c *api.Call, in *model.CreateSubnetInput) (*model.CreateSubnetOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	if err := refuseIpam(c.Region, nil, param{"Ipv6IpamPoolId", value(in.Ipv6IpamPoolId) != ""}, param{"Ipv6NetmaskLength", in.Ipv6NetmaskLength != nil},
		param{"Ipv4IpamPoolId", value(in.Ipv4IpamPoolId) != ""}, param{"Ipv4NetmaskLength", in.Ipv4NetmaskLength != nil}); err != nil {
		return nil, err
	}
	if value(in.OutpostArn) != "" {
		return nil, unsupported("OutpostArn", "the region has no Outposts")
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
	reply, err := h.do(ctx, c, 0, events.CreateSubnet{VPC: events.VPCID(*in.VpcId), CIDR: value(in.CidrBlock), Zone: zone, IPv6: value(in.Ipv6CidrBlock),
		Native: value(in.Ipv6Native), Tags: specs["subnet"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	n := new(state.Subnet)
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.SubnetCreated:
			n.SubnetCreated = e
		case events.SubnetBlockAssociated:
			n.IPv6 = state.Block{Association: e.Association, CIDR: e.CIDR}
		}
	}
	s := v.subnet(n)
	s.Tags = toldTags(reply, string(n.ID))
	return &model.CreateSubnetOutput{Subnet: &s}, nil
}

// DeleteSubnet ends a subnet that no interface is in.
func (h *Handlers) DeleteSubnet(ctx context.Context, c *api.Call, in *model.DeleteSubnetInput) (*model.DeleteSubnetOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteSubnet{Subnet: events.SubnetID(*in.SubnetId)})
	return new(model.DeleteSubnetOutput), err
}

// ModifySubnetAttribute changes what instances launched into a subnet get. Asking for what is so anyhow is fine.
func (h *Handlers) ModifySubnetAttribute(ctx context.Context, c *api.Call, in *model.ModifySubnetAttributeInput) (*model.ModifySubnetAttributeOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	others := 0
	for _, p := range []struct {
		name     string
		set, off bool
	}{
		{"EnableResourceNameDnsARecordOnLaunch", in.EnableResourceNameDnsARecordOnLaunch != nil, !value(value(in.EnableResourceNameDnsARecordOnLaunch).Value)},
		{"EnableResourceNameDnsAAAARecordOnLaunch", in.EnableResourceNameDnsAAAARecordOnLaunch != nil, !value(value(in.EnableResourceNameDnsAAAARecordOnLaunch).Value)},
		{"MapCustomerOwnedIpOnLaunch", in.MapCustomerOwnedIpOnLaunch != nil, !value(value(in.MapCustomerOwnedIpOnLaunch).Value)},
		{"DisableLniAtDeviceIndex", in.DisableLniAtDeviceIndex != nil, !value(value(in.DisableLniAtDeviceIndex).Value)},
		{"CustomerOwnedIpv4Pool", in.CustomerOwnedIpv4Pool != nil, false},
		{"EnableLniAtDeviceIndex", in.EnableLniAtDeviceIndex != nil, false},
	} {
		switch {
		case p.set && !p.off:
			return nil, unsupported(p.name, "names have the records that their type gives them, and there are no Outposts")
		case p.set:
			others++
		}
	}
	cmd := events.ModifySubnet{Subnet: events.SubnetID(*in.SubnetId), MapPublic: value(in.MapPublicIpOnLaunch).Value,
		AssignIPv6: value(in.AssignIpv6AddressOnCreation).Value, DNS64: value(in.EnableDns64).Value, Hostname: in.PrivateDnsHostnameTypeOnLaunch}
	if others > 0 && cmd == (events.ModifySubnet{Subnet: cmd.Subnet}) {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		if s, ok := v.Subnets.Get(*in.SubnetId); !ok || string(s.Account) != c.Account {
			return nil, notFound(ids.Subnet, "subnet")([]string{*in.SubnetId})
		}
		return new(model.ModifySubnetAttributeOutput), nil
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ModifySubnetAttributeOutput), err
}
