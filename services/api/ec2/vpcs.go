package ec2

import (
	"context"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
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
		s := showVPC(n.VPCCreated, "available")
		s.Tags = shownTags(t)
		rows = append(rows, vpcRow{key: string(n.ID), tags: t, shown: s})
	}
	out := new(model.DescribeVpcsOutput)
	out.Vpcs, out.NextToken, err = vpcListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func showVPC(n events.VPCCreated, is string) model.Vpc {
	return model.Vpc{
		VpcId: some(n.ID), OwnerId: some(n.Account), CidrBlock: new(n.CIDR.String()), State: &is, IsDefault: &n.Default,
		InstanceTenancy: new("default"), DhcpOptionsId: new("default"),
		CidrBlockAssociationSet: []model.VpcCidrBlockAssociation{{
			AssociationId: new("vpc-cidr-assoc-" + strings.TrimPrefix(string(n.ID), "vpc-")), CidrBlock: new(n.CIDR.String()),
			CidrBlockState: &model.VpcCidrBlockState{State: new("associated")}}},
	}
}

func (v view) vpc(account events.AccountID, id string) (*state.VPC, bool) {
	n, ok := v.VPCs.Get(id)
	return n, ok && n.Account == account
}

// DescribeVpcAttribute shows one attribute.
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
		out.EnableDnsSupport = &model.AttributeBooleanValue{Value: new(!n.NoDNS)}
	case "enableDnsHostnames":
		out.EnableDnsHostnames = &model.AttributeBooleanValue{Value: new(n.DNSHostnames())}
	case "enableNetworkAddressUsageMetrics":
		out.EnableNetworkAddressUsageMetrics = &model.AttributeBooleanValue{Value: new(false)}
	}
	return out, nil
}

// CreateVpc makes a network with an IPv4 block.
func (h *Handlers) CreateVpc(ctx context.Context, c *api.Call, in *model.CreateVpcInput) (*model.CreateVpcOutput, error) {
	if t := value(in.InstanceTenancy); t != "" && t != "default" {
		return nil, unsupported("InstanceTenancy", "no host is set aside for one account")
	}
	const v6, pools = "VPCs have IPv4 addresses only", "blocks come from no pool"
	for _, p := range []struct {
		name, why string
		set       bool
	}{
		{"AmazonProvidedIpv6CidrBlock", v6, value(in.AmazonProvidedIpv6CidrBlock)}, {"Ipv6CidrBlock", v6, value(in.Ipv6CidrBlock) != ""},
		{"Ipv6Pool", v6, value(in.Ipv6Pool) != ""}, {"Ipv6IpamPoolId", v6, value(in.Ipv6IpamPoolId) != ""}, {"Ipv6NetmaskLength", v6, in.Ipv6NetmaskLength != nil},
		{"Ipv6CidrBlockNetworkBorderGroup", v6, value(in.Ipv6CidrBlockNetworkBorderGroup) != ""},
		{"Ipv4IpamPoolId", pools, value(in.Ipv4IpamPoolId) != ""}, {"Ipv4NetmaskLength", pools, in.Ipv4NetmaskLength != nil},
	} {
		if p.set {
			return nil, unsupported(p.name, "%s", p.why)
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "vpc")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateVPC{CIDR: value(in.CidrBlock), Tags: specs["vpc"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateVpcOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPCCreated); ok {
			s := showVPC(e, "pending")
			s.Tags = toldTags(reply, string(e.ID))
			out.Vpc = &s
		}
	}
	return out, nil
}

// DeleteVpc ends a network that nothing is in.
func (h *Handlers) DeleteVpc(ctx context.Context, c *api.Call, in *model.DeleteVpcInput) (*model.DeleteVpcOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteVPC{VPC: events.VPCID(*in.VpcId)})
	return new(model.DeleteVpcOutput), err
}

// ModifyVpcAttribute changes one attribute.
func (h *Handlers) ModifyVpcAttribute(ctx context.Context, c *api.Call, in *model.ModifyVpcAttributeInput) (*model.ModifyVpcAttributeOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	if value(value(in.EnableNetworkAddressUsageMetrics).Value) {
		return nil, unsupported("EnableNetworkAddressUsageMetrics", "addresses in use are not counted")
	}
	if in.EnableNetworkAddressUsageMetrics != nil && in.EnableDnsSupport == nil && in.EnableDnsHostnames == nil {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		if _, ok := v.vpc(events.AccountID(c.Account), *in.VpcId); !ok {
			return nil, notFound(ids.VPC, "vpc")([]string{*in.VpcId})
		}
		return new(model.ModifyVpcAttributeOutput), nil // it is off already
	}
	_, err := h.do(ctx, c, 0, events.ModifyVPC{VPC: events.VPCID(*in.VpcId), DNSSupport: value(in.EnableDnsSupport).Value, DNSHostnames: value(in.EnableDnsHostnames).Value})
	return new(model.ModifyVpcAttributeOutput), err
}
