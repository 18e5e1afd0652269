package ec2

import (
	"context"
	"net/netip"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// CreateInternetGateway makes a gateway that is attached to nothing.
func (h *Handlers) CreateInternetGateway(ctx context.Context, c *api.Call, in *model.CreateInternetGatewayInput) (*model.CreateInternetGatewayOutput, error) {
	specs, err := tags.Specs(in.TagSpecifications, "internet-gateway")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateInternetGateway{Tags: specs["internet-gateway"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateInternetGatewayOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InternetGatewayCreated); ok {
			s := showGateway(e)
			s.Tags = toldTags(reply, string(e.ID))
			out.InternetGateway = &s
		}
	}
	return out, nil
}

// AttachInternetGateway gives a VPC its way outside.
func (h *Handlers) AttachInternetGateway(ctx context.Context, c *api.Call, in *model.AttachInternetGatewayInput) (*model.AttachInternetGatewayOutput, error) {
	if err := gatewayAndVPC(in.InternetGatewayId, in.VpcId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.AttachInternetGateway{Gateway: events.GatewayID(*in.InternetGatewayId), VPC: events.VPCID(*in.VpcId)})
	return new(model.AttachInternetGatewayOutput), err
}

// DetachInternetGateway takes it away.
func (h *Handlers) DetachInternetGateway(ctx context.Context, c *api.Call, in *model.DetachInternetGatewayInput) (*model.DetachInternetGatewayOutput, error) {
	if err := gatewayAndVPC(in.InternetGatewayId, in.VpcId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DetachInternetGateway{Gateway: events.GatewayID(*in.InternetGatewayId), VPC: events.VPCID(*in.VpcId)})
	return new(model.DetachInternetGatewayOutput), err
}

func gatewayAndVPC(gateway, vpc *string) error {
	if err := ids.InternetGateway.Check(value(gateway)); err != nil {
		return err
	}
	return ids.VPC.Check(value(vpc))
}

// DeleteInternetGateway ends a gateway that is attached to nothing.
func (h *Handlers) DeleteInternetGateway(ctx context.Context, c *api.Call, in *model.DeleteInternetGatewayInput) (*model.DeleteInternetGatewayOutput, error) {
	if err := ids.InternetGateway.Check(value(in.InternetGatewayId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteInternetGateway{Gateway: events.GatewayID(*in.InternetGatewayId)})
	return new(model.DeleteInternetGatewayOutput), err
}

// CreateRouteTable makes a table with the route within the VPC.
func (h *Handlers) CreateRouteTable(ctx context.Context, c *api.Call, in *model.CreateRouteTableInput) (*model.CreateRouteTableOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "route-table")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateRouteTable{VPC: events.VPCID(*in.VpcId), Tags: specs["route-table"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := &model.CreateRouteTableOutput{ClientToken: in.ClientToken}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.RouteTableCreated); ok {
			s := v.table(&state.RouteTable{RouteTableCreated: e})
			s.Tags = toldTags(reply, string(e.ID))
			out.RouteTable = &s
		}
	}
	return out, nil
}

// DeleteRouteTable ends a table that nothing uses.
func (h *Handlers) DeleteRouteTable(ctx context.Context, c *api.Call, in *model.DeleteRouteTableInput) (*model.DeleteRouteTableOutput, error) {
	if err := ids.RouteTable.Check(value(in.RouteTableId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteRouteTable{Table: events.TableID(*in.RouteTableId)})
	return new(model.DeleteRouteTableOutput), err
}

// CreateRoute adds a route to a gateway, an interface or an instance.
func (h *Handlers) CreateRoute(ctx context.Context, c *api.Call, in *model.CreateRouteInput) (*model.CreateRouteOutput, error) {
	cmd, err := routeOf(in)
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, cmd)
	return &model.CreateRouteOutput{Return: new(true)}, err
}

// ReplaceRoute gives a route another target.
func (h *Handlers) ReplaceRoute(ctx context.Context, c *api.Call, in *model.ReplaceRouteInput) (*model.ReplaceRouteOutput, error) {
	if value(in.LocalTarget) {
		return nil, unsupported("LocalTarget", "the local route always leads to the VPC")
	}
	cmd, err := routeOf(&model.CreateRouteInput{CarrierGatewayId: in.CarrierGatewayId, CoreNetworkArn: in.CoreNetworkArn, DestinationCidrBlock: in.DestinationCidrBlock,
		DestinationIpv6CidrBlock: in.DestinationIpv6CidrBlock, DestinationPrefixListId: in.DestinationPrefixListId, EgressOnlyInternetGatewayId: in.EgressOnlyInternetGatewayId,
		GatewayId: in.GatewayId, InstanceId: in.InstanceId, LocalGatewayId: in.LocalGatewayId, NatGatewayId: in.NatGatewayId, NetworkInterfaceId: in.NetworkInterfaceId,
		RouteTableId: in.RouteTableId, TransitGatewayId: in.TransitGatewayId, VpcEndpointId: in.VpcEndpointId, VpcPeeringConnectionId: in.VpcPeeringConnectionId})
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.ReplaceRoute(cmd))
	return new(model.ReplaceRouteOutput), err
}

// routeOf checks a route as it is asked for.
func routeOf(in *model.CreateRouteInput) (cmd events.CreateRoute, err error) {
	if err := ids.RouteTable.Check(value(in.RouteTableId)); err != nil {
		return cmd, err
	}
	to, list, err := destination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return cmd, err
	}
	if err := refuse(
		param{"CarrierGatewayId", value(in.CarrierGatewayId) != ""},
		param{"CoreNetworkArn", value(in.CoreNetworkArn) != ""},
		param{"LocalGatewayId", value(in.LocalGatewayId) != ""},
		param{"TransitGatewayId", value(in.TransitGatewayId) != ""},
		param{"VpcEndpointId", value(in.VpcEndpointId) != ""},
	); err != nil {
		return cmd, err
	}
	cmd = events.CreateRoute{Table: events.TableID(*in.RouteTableId), Destination: to, PrefixList: list, Gateway: events.GatewayID(value(in.GatewayId)),
		Interface: events.InterfaceID(value(in.NetworkInterfaceId)), Instance: events.InstanceID(value(in.InstanceId)),
		NAT: events.NATGatewayID(value(in.NatGatewayId)), Egress: events.EgressID(value(in.EgressOnlyInternetGatewayId)),
		Peering: events.PeeringID(value(in.VpcPeeringConnectionId))}
	internet := in.GatewayId
	if ids.VPNGateway.Check(value(in.GatewayId)) == nil { // a gateway of either kind
		cmd.Gateway, cmd.VPN, internet = "", events.VPNGatewayID(*in.GatewayId), nil
	}
	for _, p := range []struct {
		kind ids.Kind
		id   *string
	}{{ids.InternetGateway, internet}, {ids.Interface, in.NetworkInterfaceId}, {ids.Instance, in.InstanceId},
		{ids.NATGateway, in.NatGatewayId}, {ids.EgressGateway, in.EgressOnlyInternetGatewayId}, {ids.Peering, in.VpcPeeringConnectionId}} {
		if value(p.id) == "" {
			continue
		}
		if err := p.kind.Check(*p.id); err != nil {
			return cmd, err
		}
	}
	return cmd, nil
}

// destination is where a route leads to: one of the forms that a call may name.
func destination(v4, v6, list *string) (string, events.PrefixListID, error) {
	if value(list) != "" {
		if err := notTogether("destinationPrefixListId", true, "destinationCidrBlock", value(v4)+value(v6) != ""); err != nil {
			return "", "", err
		}
		return "", events.PrefixListID(*list), ids.PrefixList.Check(*list)
	}
	if value(v6) == "" {
		return value(v4), "", nil
	}
	if err := notTogether("destinationCidrBlock", value(v4) != "", "destinationIpv6CidrBlock", true); err != nil {
		return "", "", err
	}
	if p, err := netip.ParsePrefix(*v6); err != nil || !p.Addr().Is6() {
		return "", "", events.Faultf("InvalidParameterValue", "Value (%s) for parameter destinationIpv6CidrBlock is invalid. This is not a valid IPv6 CIDR block.", *v6)
	}
	return *v6, "", nil
}

// DeleteRoute removes a route.
func (h *Handlers) DeleteRoute(ctx context.Context, c *api.Call, in *model.DeleteRouteInput) (*model.DeleteRouteOutput, error) {
	if err := ids.RouteTable.Check(value(in.RouteTableId)); err != nil {
		return nil, err
	}
	to, list, err := destination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.DeleteRoute{Table: events.TableID(*in.RouteTableId), Destination: to, PrefixList: list})
	return new(model.DeleteRouteOutput), err
}

// AssociateRouteTable has a subnet use a table, or what comes in by a gateway.
func (h *Handlers) AssociateRouteTable(ctx context.Context, c *api.Call, in *model.AssociateRouteTableInput) (*model.AssociateRouteTableOutput, error) {
	if err := ids.RouteTable.Check(value(in.RouteTableId)); err != nil {
		return nil, err
	}
	kind, id := ids.Subnet, in.SubnetId
	if in.GatewayId != nil {
		kind, id = ids.InternetGateway, in.GatewayId
	}
	if ids.VPNGateway.Check(value(in.GatewayId)) == nil {
		return nil, unsupported("GatewayId", "nothing comes in by a virtual private gateway")
	}
	if err := kind.Check(value(id)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AssociateRouteTable{Table: events.TableID(*in.RouteTableId), Subnet: events.SubnetID(value(in.SubnetId)),
		Gateway: events.GatewayID(value(in.GatewayId))})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.AssociateRouteTableOutput{AssociationState: associated()}
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.RouteTableAssociated:
			out.AssociationId = some(e.Association)
			return out, nil
		case events.GatewayTableAssociated:
			out.AssociationId = some(e.Association)
			return out, nil
		}
	}
	v := h.after(ctx, c) // it was so already
	if s, ok := v.Subnets.Get(value(in.SubnetId)); ok {
		out.AssociationId = some(s.Association)
	}
	if g, ok := v.InternetGateways.Get(value(in.GatewayId)); ok {
		out.AssociationId = some(g.Association)
	}
	return out, nil
}

func associated() *model.RouteTableAssociationState {
	return &model.RouteTableAssociationState{State: new("associated")}
}

// DisassociateRouteTable has a subnet use the main table again.
func (h *Handlers) DisassociateRouteTable(ctx context.Context, c *api.Call, in *model.DisassociateRouteTableInput) (*model.DisassociateRouteTableOutput, error) {
	if err := ids.RouteAssociation.Check(value(in.AssociationId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DisassociateRouteTable{Association: events.AssociationID(*in.AssociationId)})
	return new(model.DisassociateRouteTableOutput), err
}

// ReplaceRouteTableAssociation has a subnet, or the VPC, use another table.
func (h *Handlers) ReplaceRouteTableAssociation(ctx context.Context, c *api.Call, in *model.ReplaceRouteTableAssociationInput) (*model.ReplaceRouteTableAssociationOutput, error) {
	if err := ids.RouteAssociation.Check(value(in.AssociationId)); err != nil {
		return nil, err
	}
	if err := ids.RouteTable.Check(value(in.RouteTableId)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.ReplaceRouteTableAssociation{Association: events.AssociationID(*in.AssociationId), Table: events.TableID(*in.RouteTableId)})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.ReplaceRouteTableAssociationOutput{AssociationState: associated()}
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.RouteTableAssociated:
			out.NewAssociationId = some(e.Association)
		case events.GatewayTableAssociated:
			out.NewAssociationId = some(e.Association)
		case events.MainRouteTableReplaced:
			out.NewAssociationId = some(e.Association)
		}
	}
	return out, nil
}
