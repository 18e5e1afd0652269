package ec2

import (
	"context"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/network"
	"skerry/services/state"
)

type gatewayRow = row[model.InternetGateway]

var gatewayListing = listing[model.InternetGateway]{fields: filter.Fields[gatewayRow]{
	"attachment.state": func(r gatewayRow) []string {
		return each(r.shown.Attachments, func(a model.InternetGatewayAttachment) []string { return word(a.State) })
	},
	"attachment.vpc-id": func(r gatewayRow) []string {
		return each(r.shown.Attachments, func(a model.InternetGatewayAttachment) []string { return word(a.VpcId) })
	},
	"internet-gateway-id": func(r gatewayRow) []string { return word(r.shown.InternetGatewayId) },
	"owner-id":            func(r gatewayRow) []string { return word(r.shown.OwnerId) },
}}

// DescribeInternetGateways lists the account's gateways.
func (h *Handlers) DescribeInternetGateways(ctx context.Context, c *api.Call, in *model.DescribeInternetGatewaysInput) (*model.DescribeInternetGatewaysOutput, error) {
	v, list, err := listed(h, ctx, c, ids.InternetGateway, "internetGateway", in.InternetGatewayIds,
		func(v view, account events.AccountID, id string) (*state.InternetGateway, bool) {
			g, ok := v.InternetGateways.Get(id)
			return g, ok && g.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.InternetGateway)) {
			for g := range v.InternetGatewaysOf(account) {
				yield(g)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []gatewayRow
	for _, g := range list {
		t := v.TagsOf(string(g.ID))
		s := showGateway(g.InternetGatewayCreated)
		s.Tags = shownTags(t)
		rows = append(rows, gatewayRow{key: string(g.ID), tags: t, shown: s})
	}
	out := new(model.DescribeInternetGatewaysOutput)
	out.InternetGateways, out.NextToken, err = gatewayListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func showGateway(g events.InternetGatewayCreated) model.InternetGateway {
	out := model.InternetGateway{InternetGatewayId: some(g.ID), OwnerId: some(g.Account), Attachments: []model.InternetGatewayAttachment{}}
	if g.VPC != "" {
		out.Attachments = append(out.Attachments, model.InternetGatewayAttachment{State: new("available"), VpcId: some(g.VPC)})
	}
	return out
}

type tableRow = row[model.RouteTable]

func bonds(values func(model.RouteTableAssociation) []string) func(tableRow) []string {
	return func(r tableRow) []string { return each(r.shown.Associations, values) }
}

func routes(values func(model.Route) []string) func(tableRow) []string {
	return func(r tableRow) []string { return each(r.shown.Routes, values) }
}

// A page of DescribeRouteTables has at most 100 rows.
var tableListing = listing[model.RouteTable]{max: 100, fields: filter.Fields[tableRow]{
	"association.gateway-id":                 bonds(func(a model.RouteTableAssociation) []string { return word(a.GatewayId) }),
	"association.main":                       bonds(func(a model.RouteTableAssociation) []string { return flag(a.Main) }),
	"association.route-table-association-id": bonds(func(a model.RouteTableAssociation) []string { return word(a.RouteTableAssociationId) }),
	"association.route-table-id":             bonds(func(a model.RouteTableAssociation) []string { return word(a.RouteTableId) }),
	"association.subnet-id":                  bonds(func(a model.RouteTableAssociation) []string { return word(a.SubnetId) }),
	"owner-id":                               func(r tableRow) []string { return word(r.shown.OwnerId) },
	"route-table-id":                         func(r tableRow) []string { return word(r.shown.RouteTableId) },
	"route.destination-cidr-block":           routes(func(o model.Route) []string { return word(o.DestinationCidrBlock) }),
	"route.destination-ipv6-cidr-block":      routes(func(o model.Route) []string { return word(o.DestinationIpv6CidrBlock) }),
	"route.destination-prefix-list-id":       routes(func(o model.Route) []string { return word(o.DestinationPrefixListId) }),
	"route.egress-only-internet-gateway-id":  routes(func(o model.Route) []string { return word(o.EgressOnlyInternetGatewayId) }),
	"route.gateway-id":                       routes(func(o model.Route) []string { return word(o.GatewayId) }),
	"route.instance-id":                      routes(func(o model.Route) []string { return word(o.InstanceId) }),
	"route.nat-gateway-id":                   routes(func(o model.Route) []string { return word(o.NatGatewayId) }),
	"route.origin":                           routes(func(o model.Route) []string { return word(o.Origin) }),
	"route.state":                            routes(func(o model.Route) []string { return word(o.State) }),
	"route.transit-gateway-id":               never[tableRow],
	"route.vpc-peering-connection-id":        routes(func(o model.Route) []string { return word(o.VpcPeeringConnectionId) }),
	"vpc-id":                                 func(r tableRow) []string { return word(r.shown.VpcId) },
}}

// DescribeRouteTables lists the route tables of the account's networks.
func (h *Handlers) DescribeRouteTables(ctx context.Context, c *api.Call, in *model.DescribeRouteTablesInput) (*model.DescribeRouteTablesOutput, error) {
	v, list, err := listed(h, ctx, c, ids.RouteTable, "routeTable", in.RouteTableIds,
		func(v view, account events.AccountID, id string) (*state.RouteTable, bool) {
			t, ok := v.RouteTables.Get(id)
			return t, ok && t.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.RouteTable)) {
			for n := range v.VPCsOf(account) {
				for t := range v.RouteTablesOf(n.ID) {
					yield(t)
				}
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []tableRow
	for _, r := range list {
		t := v.TagsOf(string(r.ID))
		s := v.table(r)
		s.Tags = shownTags(t)
		rows = append(rows, tableRow{key: string(r.VPC) + "/" + string(r.ID), tags: t, shown: s})
	}
	out := new(model.DescribeRouteTablesOutput)
	out.RouteTables, out.NextToken, err = tableListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// table shows a route table. The route within the VPC comes with the table;
// the others count as made by hand, as those of a default VPC do at EC2.
func (v view) table(r *state.RouteTable) model.RouteTable {
	out := model.RouteTable{RouteTableId: some(r.ID), OwnerId: some(r.Account), VpcId: some(r.VPC), PropagatingVgws: []model.PropagatingVgw{},
		Associations: []model.RouteTableAssociation{}, Routes: []model.Route{}}
	if r.Main {
		out.Associations = append(out.Associations, model.RouteTableAssociation{Main: new(true), RouteTableAssociationId: some(r.Association),
			RouteTableId: some(r.ID), AssociationState: associated()})
	}
	for s := range v.SubnetsOn(r.ID) {
		out.Associations = append(out.Associations, model.RouteTableAssociation{Main: new(false), RouteTableAssociationId: some(s.Association),
			RouteTableId: some(r.ID), SubnetId: some(s.ID), AssociationState: associated()})
	}
	for g := range v.EdgesOn(r.ID) {
		out.Associations = append(out.Associations, model.RouteTableAssociation{Main: new(false), RouteTableAssociationId: some(g.Association),
			RouteTableId: some(r.ID), GatewayId: some(g.ID), AssociationState: associated()})
	}
	if r.Propagating != "" {
		out.PropagatingVgws = append(out.PropagatingVgws, model.PropagatingVgw{GatewayId: some(r.Propagating)})
	}
	for i, o := range slices.Concat(r.Routes, network.Propagated(v.View, r)) {
		s := model.Route{Origin: new("CreateRoute"), State: new("active")}
		if i >= len(r.Routes) {
			s.Origin = new("EnableVgwRoutePropagation")
		}
		if o.PrefixList != "" {
			s.DestinationPrefixListId = some(o.PrefixList)
		} else if o.Destination.Addr().Is4() {
			s.DestinationCidrBlock = new(o.Destination.String())
		} else {
			s.DestinationIpv6CidrBlock = new(o.Destination.String())
		}
		switch {
		case o.Gateway != "":
			s.GatewayId = some(o.Gateway)
		case o.Interface != "":
			s.NetworkInterfaceId = some(o.Interface)
			if f, ok := v.Interfaces.Get(string(o.Interface)); ok && f.Instance != "" {
				s.InstanceId, s.InstanceOwnerId = some(f.Instance), some(f.Account)
			}
		case o.NAT != "":
			s.NatGatewayId = some(o.NAT)
		case o.Egress != "":
			s.EgressOnlyInternetGatewayId = some(o.Egress)
		case o.VPN != "":
			s.GatewayId = some(o.VPN)
		case o.Peering != "":
			s.VpcPeeringConnectionId = some(o.Peering)
		default:
			s.GatewayId, s.Origin = new("local"), new("CreateRouteTable")
		}
		if !network.Leads(v.View, r.VPC, o) {
			s.State = new("blackhole")
		}
		out.Routes = append(out.Routes, s)
	}
	return out
}
