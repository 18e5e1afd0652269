package ec2

import (
	"context"

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

func cidrs6(values func(model.VpcIpv6CidrBlockAssociation) []string) func(vpcRow) []string {
	return func(r vpcRow) []string { return each(r.shown.Ipv6CidrBlockAssociationSet, values) }
}

var vpcListing = listing[model.Vpc]{fields: filter.Fields[vpcRow]{
	"cidr":                                        func(r vpcRow) []string { return word(r.shown.CidrBlock) },
	"cidr-block-association.association-id":       cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.AssociationId) }),
	"cidr-block-association.cidr-block":           cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.CidrBlock) }),
	"cidr-block-association.state":                cidrs(func(a model.VpcCidrBlockAssociation) []string { return word(a.CidrBlockState.State) }),
	"dhcp-options-id":                             func(r vpcRow) []string { return word(r.shown.DhcpOptionsId) },
	"ipv6-cidr-block-association.association-id":  cidrs6(func(a model.VpcIpv6CidrBlockAssociation) []string { return word(a.AssociationId) }),
	"ipv6-cidr-block-association.ipv6-cidr-block": cidrs6(func(a model.VpcIpv6CidrBlockAssociation) []string { return word(a.Ipv6CidrBlock) }),
	"ipv6-cidr-block-association.ipv6-pool":       cidrs6(func(a model.VpcIpv6CidrBlockAssociation) []string { return word(a.Ipv6Pool) }),
	"ipv6-cidr-block-association.state":           cidrs6(func(a model.VpcIpv6CidrBlockAssociation) []string { return word(a.Ipv6CidrBlockState.State) }),
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
		s := v.showVPC(n, "available")
		s.Tags = shownTags(t)
		rows = append(rows, vpcRow{key: string(n.ID), tags: t, shown: s})
	}
	out := new(model.DescribeVpcsOutput)
	out.Vpcs, out.NextToken, err = vpcListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func (v view) showVPC(n *state.VPC, is string) model.Vpc {
	out := model.Vpc{
		VpcId: some(n.ID), OwnerId: some(n.Account), State: &is, IsDefault: &n.Default, InstanceTenancy: new("default"), DhcpOptionsId: some(n.DHCPOptions()),
		CidrBlockAssociationSet: []model.VpcCidrBlockAssociation{}, Ipv6CidrBlockAssociationSet: []model.VpcIpv6CidrBlockAssociation{},
	}
	if n.CIDR.IsValid() {
		out.CidrBlock = new(n.CIDR.String())
		out.CidrBlockAssociationSet = append(out.CidrBlockAssociationSet, vpcBlock(state.Block{Association: n.Association(), CIDR: n.CIDR}, "associated"))
	}
	for _, b := range n.Blocks {
		if b.CIDR.Addr().Is4() {
			out.CidrBlockAssociationSet = append(out.CidrBlockAssociationSet, vpcBlock(b, "associated"))
		} else {
			out.Ipv6CidrBlockAssociationSet = append(out.Ipv6CidrBlockAssociationSet, vpcBlock6(v.Meta.Region, b, "associated"))
		}
	}
	return out
}

func vpcBlock(b state.Block, is string) model.VpcCidrBlockAssociation {
	return model.VpcCidrBlockAssociation{AssociationId: some(b.Association), CidrBlock: new(b.CIDR.String()), CidrBlockState: &model.VpcCidrBlockState{State: &is}}
}

func vpcBlock6(region string, b state.Block, is string) model.VpcIpv6CidrBlockAssociation {
	return model.VpcIpv6CidrBlockAssociation{AssociationId: some(b.Association), Ipv6CidrBlock: new(b.CIDR.String()), Ipv6Pool: new(b.Pool),
		NetworkBorderGroup: &region, Ipv6CidrBlockState: &model.VpcCidrBlockState{State: &is}}
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
	if err := refuseIpam(c.Region, in.Ipv6CidrBlockNetworkBorderGroup, param{"Ipv6IpamPoolId", value(in.Ipv6IpamPoolId) != ""}, param{"Ipv6NetmaskLength", in.Ipv6NetmaskLength != nil},
		param{"Ipv4IpamPoolId", value(in.Ipv4IpamPoolId) != ""}, param{"Ipv4NetmaskLength", in.Ipv4NetmaskLength != nil}); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "vpc")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateVPC{CIDR: value(in.CidrBlock), IPv6: value(in.Ipv6CidrBlock), Pool: value(in.Ipv6Pool),
		AmazonIPv6: value(in.AmazonProvidedIpv6CidrBlock), Tags: specs["vpc"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	n := new(state.VPC)
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.VPCCreated:
			n.VPCCreated = e
		case events.VPCBlockAssociated:
			n.Blocks = append(n.Blocks, state.Block{Association: e.Association, CIDR: e.CIDR, Pool: e.Pool})
		}
	}
	s := v.showVPC(n, "pending")
	s.Tags = toldTags(reply, string(n.ID))
	return &model.CreateVpcOutput{Vpc: &s}, nil
}

// refuseIpam names what asks for blocks of IPAM pools, or of another place.
func refuseIpam(region string, group *string, list ...param) error {
	for _, p := range list {
		if p.set {
			return unsupported(p.name, "blocks come from no IPAM pool")
		}
	}
	if isOther(group, region) {
		return events.Faultf("InvalidParameterValue", "Invalid value '%s' for networkBorderGroup. The only one here is %s.", *group, region)
	}
	return nil
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
