package ec2

import (
	"context"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

type vpcRow = row[model.Vpc]

func cidrs(values func(model.VpcCidrBlockAssociation) []string) func(vpcRow) []string {
	return func(r vpcRow) []string { return each(r.shown.CidrBlockAssociationSet, values) }
}

var vpcListing = listing[model.Vpc]{fields: filter.Fields[vpcRow]{
	"cidr":                                        func(r vpcRow) []string { return word(r.shown.CidrBlock) },
	"cidr-block-association.association-id":       cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.AssociationId) }),
	"cidr-block-association.cidr-block":           cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.CidrBlock) }),
	"cidr-block-association.state":                cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.CidrBlockState.State) }),
	"dhcp-options-id":                             func(r vpcRow) []string { return word(r.shown.DhcpOptionsId) },
	"ipv6-cidr-block-association.association-id":  never[vpcRow],
	"ipv6-cidr-block-association.ipv6-cidr-block": never[vpcRow],
	"ipv6-cidr-block-association.ipv6-pool":       never[vpcRow],
	"ipv6-cidr-block-association.state":           never[vpcRow],
	"is-default":                                  func(r vpcRow) []string { return flag(r.shown.IsDefault) },
	"isDefault":                                   func(r vpcRow) []string { return flag(r.shown.IsDefault) },
	"owner-id":                                    func(r vpcRow) []string { return word(r.shown.OwnerId) },
	"state":                                       func(r vpcRow) []string { return word(r.shown.State) },
	"vpc-id":                                      func(r vpcRow) []string { return word(r.shown.VpcId) },
}}

// DescribeVpcs lists the account's networks.
func (h *Handlers) DescribeVpcs(ctx context.Context, c *api.Call, in *model.DescribeVpcsInput) (*model.DescribeVpcsOutput, error) {
	if err := ids.VPC.CheckAll(in.VpcIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(in.VpcIds,
		func(id string) (*state.VPC, bool) { return v.vpc(account, id) },
		func(yield func(*state.VPC)) {
			for n := range v.VPCsOf(account) {
				yield(n)
			}
		}, notFound(ids.VPC, "vpc"))
	if err != nil {
		return nil, err
	}
	var rows []vpcRow
	for _, n := range list {
		t := v.TagsOf(string(n.ID))
		rows = append(rows, vpcRow{key: string(n.ID), tags: t, shown: model.Vpc{
			VpcId: some(n.ID), OwnerId: some(n.Account), CidrBlock: new(n.CIDR.String()), State: new("available"), IsDefault: &n.Default,
			InstanceTenancy: new("default"), DhcpOptionsId: new("default"), Tags: shownTags(t),
			CidrBlockAssociationSet: []model.VpcCidrBlockAssociation{{
				AssociationId: new("vpc-cidr-assoc-" + strings.TrimPrefix(string(n.ID), "vpc-")), CidrBlock: new(n.CIDR.String()),
				CidrBlockState: &model.VpcCidrBlockState{State: new("associated")}}},
		}})
	}
	out := new(model.DescribeVpcsOutput)
	out.Vpcs, out.NextToken, err = vpcListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func (v view) vpc(account events.AccountID, id string) (*state.VPC, bool) {
	n, ok := v.VPCs.Get(id)
	return n, ok && n.Account == account
}

// DescribeVpcAttribute shows one attribute: names are resolved in every VPC,
// and given to the instances of the default one.
func (h *Handlers) DescribeVpcAttribute(ctx context.Context, c *api.Call, in *model.DescribeVpcAttributeInput) (*model.DescribeVpcAttributeOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	n, ok := v.vpc(events.AccountID(c.Account), *in.VpcId)
	if !ok {
		return nil, notFound(ids.VPC, "vpc")([]string{*in.VpcId})
	}
	out := &model.DescribeVpcAttributeOutput{VpcId: in.VpcId}
	switch value(in.Attribute) {
	case "enableDnsSupport":
		out.EnableDnsSupport = &model.AttributeBooleanValue{Value: new(true)}
	case "enableDnsHostnames":
		out.EnableDnsHostnames = &model.AttributeBooleanValue{Value: &n.Default}
	case "enableNetworkAddressUsageMetrics":
		out.EnableNetworkAddressUsageMetrics = &model.AttributeBooleanValue{Value: new(false)}
	}
	return out, nil
}
