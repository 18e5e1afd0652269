package ec2

import (
	"context"
	"fmt"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
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

// subnet shows a subnet. A default one gives public addresses at launch, while
// the region has any.
func (v view) subnet(s *state.Subnet) model.Subnet {
	return model.Subnet{
		SubnetId: some(s.ID), SubnetArn: new(fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", v.Meta.Region, s.Account, s.ID)),
		VpcId: some(s.VPC), OwnerId: some(s.Account), State: new("available"), CidrBlock: new(s.CIDR.String()),
		AvailabilityZone: some(s.Zone), AvailabilityZoneId: new(network.ZoneID(v.View, s.Zone)), AvailableIpAddressCount: new(int32(network.Free(s))),
		DefaultForAz: &s.Default, MapPublicIpOnLaunch: new(s.Default && len(v.Meta.Public) > 0), MapCustomerOwnedIpOnLaunch: new(false),
		AssignIpv6AddressOnCreation: new(false), EnableDns64: new(false), Ipv6Native: new(false),
		Ipv6CidrBlockAssociationSet: []model.SubnetIpv6CidrBlockAssociation{},
		PrivateDnsNameOptionsOnLaunch: &model.PrivateDnsNameOptionsOnLaunch{
			HostnameType: new("ip-name"), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false)},
	}
}
