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

// CreateNatGateway makes a NAT gateway, public unless it is to be private.
func (h *Handlers) CreateNatGateway(ctx context.Context, c *api.Call, in *model.CreateNatGatewayInput) (*model.CreateNatGatewayOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	if value(in.AllocationId) != "" {
		if err := ids.Allocation.Check(*in.AllocationId); err != nil {
			return nil, err
		}
	}
	if err := refuse(
		param{"SecondaryAllocationId", len(in.SecondaryAllocationIds) > 0},
		param{"SecondaryPrivateIpAddress", len(in.SecondaryPrivateIpAddresses) > 0},
		param{"SecondaryPrivateIpAddressCount", value(in.SecondaryPrivateIpAddressCount) > 0},
	); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "natgateway")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateNATGateway{Subnet: events.SubnetID(*in.SubnetId), Private: value(in.ConnectivityType) == "private",
		Allocation: events.AllocationID(value(in.AllocationId)), PrivateIP: value(in.PrivateIpAddress), Tags: specs["natgateway"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := &model.CreateNatGatewayOutput{ClientToken: in.ClientToken}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.NATGatewayCreated); ok {
			s := v.natGateway(&state.NATGateway{NATGatewayCreated: e, State: state.NATPending})
			s.Tags = toldTags(reply, string(e.ID))
			out.NatGateway = &s
		}
	}
	return out, nil
}

// DeleteNatGateway ends a NAT gateway.
func (h *Handlers) DeleteNatGateway(ctx context.Context, c *api.Call, in *model.DeleteNatGatewayInput) (*model.DeleteNatGatewayOutput, error) {
	if err := ids.NATGateway.Check(value(in.NatGatewayId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteNATGateway{Gateway: events.NATGatewayID(*in.NatGatewayId)})
	return &model.DeleteNatGatewayOutput{NatGatewayId: in.NatGatewayId}, err
}

type natRow = row[model.NatGateway]

var natListing = listing[model.NatGateway]{fields: filter.Fields[natRow]{
	"nat-gateway-id": func(r natRow) []string { return word(r.shown.NatGatewayId) },
	"state":          func(r natRow) []string { return word(r.shown.State) },
	"subnet-id":      func(r natRow) []string { return word(r.shown.SubnetId) },
	"vpc-id":         func(r natRow) []string { return word(r.shown.VpcId) },
}}

// DescribeNatGateways lists the account's NAT gateways, for an hour after their
// end too.
func (h *Handlers) DescribeNatGateways(ctx context.Context, c *api.Call, in *model.DescribeNatGatewaysInput) (*model.DescribeNatGatewaysOutput, error) {
	v, list, err := listed(h, ctx, c, ids.NATGateway, "natGateway", in.NatGatewayIds,
		func(v view, account events.AccountID, id string) (*state.NATGateway, bool) {
			g, ok := v.NATGateways.Get(id)
			return g, ok && g.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.NATGateway)) {
			for g := range v.NATGatewaysOf(account) {
				yield(g)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []natRow
	for _, g := range list {
		t := v.TagsOf(string(g.ID))
		s := v.natGateway(g)
		s.Tags = shownTags(t)
		rows = append(rows, natRow{key: string(g.ID), tags: t, shown: s})
	}
	out := new(model.DescribeNatGatewaysOutput)
	out.NatGateways, out.NextToken, err = natListing.choose(h, c, ask{in.Filter, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func (v view) natGateway(g *state.NATGateway) model.NatGateway {
	out := model.NatGateway{NatGatewayId: some(g.ID), SubnetId: some(g.Subnet), VpcId: some(g.VPC), State: new(g.State), CreateTime: &g.At,
		ConnectivityType: new("public"), FailureCode: some(g.Code), FailureMessage: some(g.Detail)}
	if g.Private {
		out.ConnectivityType = new("private")
	}
	a := model.NatGatewayAddress{AllocationId: some(g.Allocation), NetworkInterfaceId: some(g.Interface), IsPrimary: new(true)}
	if g.PrivateIP.IsValid() {
		a.PrivateIp = new(g.PrivateIP.String())
	}
	switch g.State {
	case state.NATAvailable:
		a.Status = new("succeeded")
	case state.NATFailed:
		a.Status = new("failed")
	}
	if g.State == state.NATAvailable && g.Address.IsValid() {
		a.PublicIp = new(g.Address.String())
		if p, ok := v.PublicFor(g.Interface, g.PrivateIP); ok {
			a.AssociationId = some(p.Association)
		}
	}
	out.NatGatewayAddresses = []model.NatGatewayAddress{a}
	if !g.Ended.IsZero() {
		out.DeleteTime = &g.Ended
	}
	return out
}

// CreateEgressOnlyInternetGateway gives a VPC a way outside for IPv6.
func (h *Handlers) CreateEgressOnlyInternetGateway(ctx context.Context, c *api.Call, in *model.CreateEgressOnlyInternetGatewayInput) (*model.CreateEgressOnlyInternetGatewayOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "egress-only-internet-gateway")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateEgressGateway{VPC: events.VPCID(*in.VpcId), Tags: specs["egress-only-internet-gateway"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.CreateEgressOnlyInternetGatewayOutput{ClientToken: in.ClientToken}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.EgressGatewayCreated); ok {
			s := showEgress(e)
			s.Tags = toldTags(reply, string(e.ID))
			out.EgressOnlyInternetGateway = &s
		}
	}
	return out, nil
}

// DeleteEgressOnlyInternetGateway takes it away.
func (h *Handlers) DeleteEgressOnlyInternetGateway(ctx context.Context, c *api.Call, in *model.DeleteEgressOnlyInternetGatewayInput) (*model.DeleteEgressOnlyInternetGatewayOutput, error) {
	if err := ids.EgressGateway.Check(value(in.EgressOnlyInternetGatewayId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteEgressGateway{Gateway: events.EgressID(*in.EgressOnlyInternetGatewayId)})
	return &model.DeleteEgressOnlyInternetGatewayOutput{ReturnCode: new(true)}, err
}

type egressRow = row[model.EgressOnlyInternetGateway]

// It has filters on tags alone.
var egressListing = listing[model.EgressOnlyInternetGateway]{max: 255, fields: filter.Fields[egressRow]{}}

// DescribeEgressOnlyInternetGateways lists the account's.
func (h *Handlers) DescribeEgressOnlyInternetGateways(ctx context.Context, c *api.Call, in *model.DescribeEgressOnlyInternetGatewaysInput) (*model.DescribeEgressOnlyInternetGatewaysOutput, error) {
	v, list, err := listed(h, ctx, c, ids.EgressGateway, "egressOnlyInternetGateway", in.EgressOnlyInternetGatewayIds,
		func(v view, account events.AccountID, id string) (*state.EgressGateway, bool) {
			g, ok := v.EgressGateways.Get(id)
			return g, ok && g.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.EgressGateway)) {
			for g := range v.EgressGatewaysOf(account) {
				yield(g)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []egressRow
	for _, g := range list {
		t := v.TagsOf(string(g.ID))
		s := showEgress(g.EgressGatewayCreated)
		s.Tags = shownTags(t)
		rows = append(rows, egressRow{key: string(g.ID), tags: t, shown: s})
	}
	out := new(model.DescribeEgressOnlyInternetGatewaysOutput)
	out.EgressOnlyInternetGateways, out.NextToken, err = egressListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func showEgress(g events.EgressGatewayCreated) model.EgressOnlyInternetGateway {
	return model.EgressOnlyInternetGateway{EgressOnlyInternetGatewayId: some(g.ID),
		Attachments: []model.InternetGatewayAttachment{{State: new("attached"), VpcId: some(g.VPC)}}}
}
