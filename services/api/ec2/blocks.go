package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

// AssociateVpcCidrBlock gives a VPC one more block.
func (h *Handlers) AssociateVpcCidrBlock(ctx context.Context, c *api.Call, in *model.AssociateVpcCidrBlockInput) (*model.AssociateVpcCidrBlockOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	if err := refuseIpam(c.Region, in.Ipv6CidrBlockNetworkBorderGroup, param{"Ipv6IpamPoolId", value(in.Ipv6IpamPoolId) != ""}, param{"Ipv6NetmaskLength", in.Ipv6NetmaskLength != nil},
		param{"Ipv4IpamPoolId", value(in.Ipv4IpamPoolId) != ""}, param{"Ipv4NetmaskLength", in.Ipv4NetmaskLength != nil}); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AssociateVPCBlock{VPC: events.VPCID(*in.VpcId), CIDR: value(in.CidrBlock), IPv6: value(in.Ipv6CidrBlock),
		Pool: value(in.Ipv6Pool), AmazonIPv6: value(in.AmazonProvidedIpv6CidrBlock)})
	if err != nil {
		return nil, err
	}
	out := &model.AssociateVpcCidrBlockOutput{VpcId: in.VpcId}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPCBlockAssociated); ok {
			out.CidrBlockAssociation, out.Ipv6CidrBlockAssociation = shownBlock(c.Region, state.Block{Association: e.Association, CIDR: e.CIDR, Pool: e.Pool}, "associating")
		}
	}
	return out, nil
}

// shownBlock shows a block of a VPC where its family has its place.
func shownBlock(region string, b state.Block, is string) (*model.VpcCidrBlockAssociation, *model.VpcIpv6CidrBlockAssociation) {
	if b.CIDR.Addr().Is4() {
		return new(vpcBlock(b, is)), nil
	}
	return nil, new(vpcBlock6(region, b, is))
}

// DisassociateVpcCidrBlock takes a block away.
func (h *Handlers) DisassociateVpcCidrBlock(ctx context.Context, c *api.Call, in *model.DisassociateVpcCidrBlockInput) (*model.DisassociateVpcCidrBlockOutput, error) {
	if err := ids.VPCCIDRAssociation.Check(value(in.AssociationId)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.DisassociateVPCBlock{Association: events.AssociationID(*in.AssociationId)})
	if err != nil {
		return nil, err
	}
	out := new(model.DisassociateVpcCidrBlockOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPCBlockDisassociated); ok {
			out.VpcId = some(e.VPC)
			out.CidrBlockAssociation, out.Ipv6CidrBlockAssociation = shownBlock(c.Region, state.Block{Association: e.Association, CIDR: e.CIDR}, "disassociating")
		}
	}
	return out, nil
}

// AssociateSubnetCidrBlock gives a subnet its block of IPv6.
func (h *Handlers) AssociateSubnetCidrBlock(ctx context.Context, c *api.Call, in *model.AssociateSubnetCidrBlockInput) (*model.AssociateSubnetCidrBlockOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	if err := refuseIpam(c.Region, nil, param{"Ipv6IpamPoolId", value(in.Ipv6IpamPoolId) != ""}, param{"Ipv6NetmaskLength", in.Ipv6NetmaskLength != nil}); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AssociateSubnetBlock{Subnet: events.SubnetID(*in.SubnetId), IPv6: value(in.Ipv6CidrBlock)})
	if err != nil {
		return nil, err
	}
	out := &model.AssociateSubnetCidrBlockOutput{SubnetId: in.SubnetId}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.SubnetBlockAssociated); ok {
			out.Ipv6CidrBlockAssociation = new(subnetBlock(state.Block{Association: e.Association, CIDR: e.CIDR}, "associating"))
		}
	}
	return out, nil
}

// DisassociateSubnetCidrBlock takes it away.
func (h *Handlers) DisassociateSubnetCidrBlock(ctx context.Context, c *api.Call, in *model.DisassociateSubnetCidrBlockInput) (*model.DisassociateSubnetCidrBlockOutput, error) {
	if err := ids.SubnetCIDRAssociation.Check(value(in.AssociationId)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.DisassociateSubnetBlock{Association: events.AssociationID(*in.AssociationId)})
	if err != nil {
		return nil, err
	}
	out := new(model.DisassociateSubnetCidrBlockOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.SubnetBlockDisassociated); ok {
			out.SubnetId = some(e.Subnet)
			out.Ipv6CidrBlockAssociation = new(subnetBlock(state.Block{Association: e.Association, CIDR: e.CIDR}, "disassociating"))
		}
	}
	return out, nil
}
