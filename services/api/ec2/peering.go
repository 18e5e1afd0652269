package ec2

import (
	"context"
	"time"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// CreateVpcPeeringConnection asks for a connection with another VPC.
func (h *Handlers) CreateVpcPeeringConnection(ctx context.Context, c *api.Call, in *model.CreateVpcPeeringConnectionInput) (*model.CreateVpcPeeringConnectionOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	if err := ids.VPC.Check(value(in.PeerVpcId)); err != nil {
		return nil, err
	}
	if r := value(in.PeerRegion); r != "" && r != c.Region {
		return nil, unsupported("PeerRegion", "VPCs are peered within a region")
	}
	specs, err := tags.Specs(in.TagSpecifications, "vpc-peering-connection")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreatePeering{VPC: events.VPCID(*in.VpcId), Peer: events.VPCID(*in.PeerVpcId),
		PeerAccount: events.AccountID(value(in.PeerOwnerId)), Tags: specs["vpc-peering-connection"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := new(model.CreateVpcPeeringConnectionOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.PeeringRequested); ok {
			s := v.peering(&state.Peering{PeeringRequested: e, State: "initiating-request"})
			s.Tags = toldTags(reply, string(e.ID))
			out.VpcPeeringConnection = &s
		}
	}
	return out, nil
}

// AcceptVpcPeeringConnection agrees to a connection.
func (h *Handlers) AcceptVpcPeeringConnection(ctx context.Context, c *api.Call, in *model.AcceptVpcPeeringConnectionInput) (*model.AcceptVpcPeeringConnectionOutput, error) {
	if err := ids.Peering.Check(value(in.VpcPeeringConnectionId)); err != nil {
		return nil, err
	}
	if _, err := h.do(ctx, c, 0, events.AcceptPeering{Peering: events.PeeringID(*in.VpcPeeringConnectionId)}); err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := new(model.AcceptVpcPeeringConnectionOutput)
	if p, ok := v.Peering(events.AccountID(c.Account), events.PeeringID(*in.VpcPeeringConnectionId)); ok {
		s := v.peering(p)
		s.Tags = shownTags(v.own(c, string(p.ID)))
		out.VpcPeeringConnection = &s
	}
	return out, nil
}

// RejectVpcPeeringConnection refuses a connection.
func (h *Handlers) RejectVpcPeeringConnection(ctx context.Context, c *api.Call, in *model.RejectVpcPeeringConnectionInput) (*model.RejectVpcPeeringConnectionOutput, error) {
	if err := ids.Peering.Check(value(in.VpcPeeringConnectionId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.RejectPeering{Peering: events.PeeringID(*in.VpcPeeringConnectionId)})
	return &model.RejectVpcPeeringConnectionOutput{Return: new(true)}, err
}

// DeleteVpcPeeringConnection ends a connection.
func (h *Handlers) DeleteVpcPeeringConnection(ctx context.Context, c *api.Call, in *model.DeleteVpcPeeringConnectionInput) (*model.DeleteVpcPeeringConnectionOutput, error) {
	if err := ids.Peering.Check(value(in.VpcPeeringConnectionId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeletePeering{Peering: events.PeeringID(*in.VpcPeeringConnectionId)})
	return &model.DeleteVpcPeeringConnectionOutput{Return: new(true)}, err
}

type peeringRow = row[model.VpcPeeringConnection]

// end is a filter on the VPC at one end.
func end(of func(model.VpcPeeringConnection) *model.VpcPeeringConnectionVpcInfo, get func(model.VpcPeeringConnectionVpcInfo) *string) func(peeringRow) []string {
	return func(r peeringRow) []string { return word(get(*of(r.shown))) }
}

func accepter(p model.VpcPeeringConnection) *model.VpcPeeringConnectionVpcInfo {
	return p.AccepterVpcInfo
}
func requester(p model.VpcPeeringConnection) *model.VpcPeeringConnectionVpcInfo {
	return p.RequesterVpcInfo
}
func endBlock(i model.VpcPeeringConnectionVpcInfo) *string { return i.CidrBlock }
func endOwner(i model.VpcPeeringConnectionVpcInfo) *string { return i.OwnerId }
func endVPC(i model.VpcPeeringConnectionVpcInfo) *string   { return i.VpcId }

var peeringListing = listing[model.VpcPeeringConnection]{fields: filter.Fields[peeringRow]{
	"accepter-vpc-info.cidr-block":  end(accepter, endBlock),
	"accepter-vpc-info.owner-id":    end(accepter, endOwner),
	"accepter-vpc-info.vpc-id":      end(accepter, endVPC),
	"expiration-time":               func(r peeringRow) []string { return moment(r.shown.ExpirationTime) },
	"requester-vpc-info.cidr-block": end(requester, endBlock),
	"requester-vpc-info.owner-id":   end(requester, endOwner),
	"requester-vpc-info.vpc-id":     end(requester, endVPC),
	"status-code":                   func(r peeringRow) []string { return word(r.shown.Status.Code) },
	"status-message":                func(r peeringRow) []string { return word(r.shown.Status.Message) },
	"vpc-peering-connection-id":     func(r peeringRow) []string { return word(r.shown.VpcPeeringConnectionId) },
}}

// DescribeVpcPeeringConnections lists the connections of which the account has an
// end.
func (h *Handlers) DescribeVpcPeeringConnections(ctx context.Context, c *api.Call, in *model.DescribeVpcPeeringConnectionsInput) (*model.DescribeVpcPeeringConnectionsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.Peering, "vpcPeeringConnection", in.VpcPeeringConnectionIds,
		func(v view, account events.AccountID, id string) (*state.Peering, bool) {
			return v.Peering(account, events.PeeringID(id))
		},
		func(v view, account events.AccountID, yield func(*state.Peering)) {
			for p := range v.PeeringsOf(account) {
				yield(p)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []peeringRow
	for _, p := range list {
		t := v.own(c, string(p.ID))
		s := v.peering(p)
		s.Tags = shownTags(t)
		rows = append(rows, peeringRow{key: string(p.ID), tags: t, shown: s})
	}
	out := new(model.DescribeVpcPeeringConnectionsOutput)
	out.VpcPeeringConnections, out.NextToken, err = peeringListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// own are the tags that the caller gave to a resource: not those of who has its
// other end.
func (v view) own(c *api.Call, id string) []events.Tag {
	t, ok := v.Tags.Get(id)
	if !ok || string(t.Account) != c.Account {
		return nil
	}
	return t.Tags
}

// peeringTold is what EC2 says of a state.
var peeringTold = map[string]string{
	"initiating-request":  "Initiating Request to ",
	state.PeeringPending:  "Pending Acceptance by ",
	state.PeeringActive:   "Active",
	state.PeeringRejected: "Rejected by ",
	state.PeeringFailed:   "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range",
	state.PeeringExpired:  "The VPC peering connection request expired",
	state.PeeringDeleted:  "Deleted by ",
}

func (v view) peering(p *state.Peering) model.VpcPeeringConnection {
	said := peeringTold[p.State]
	switch p.State {
	case "initiating-request", state.PeeringPending, state.PeeringRejected:
		said += string(p.PeerAccount)
	case state.PeeringDeleted:
		said += string(p.By)
	}
	out := model.VpcPeeringConnection{VpcPeeringConnectionId: some(p.ID), Status: &model.VpcPeeringConnectionStateReason{Code: new(p.State), Message: new(said)},
		RequesterVpcInfo: v.peeringEnd(p.Account, p.VPC, true),
		// The blocks of the other side show once it has agreed.
		AccepterVpcInfo: v.peeringEnd(p.PeerAccount, p.Peer, p.State == state.PeeringActive || p.Account == p.PeerAccount && p.State != state.PeeringFailed)}
	if p.State == state.PeeringPending || p.State == "initiating-request" {
		at := p.At.Add(events.KeepPeeringRequest).Truncate(time.Second)
		out.ExpirationTime = &at
	}
	return out
}

func (v view) peeringEnd(owner events.AccountID, id events.VPCID, blocks bool) *model.VpcPeeringConnectionVpcInfo {
	out := &model.VpcPeeringConnectionVpcInfo{OwnerId: some(owner), VpcId: some(id), Region: new(v.Meta.Region)}
	vpc, ok := v.VPCs.Get(string(id))
	if !ok || !blocks {
		return out
	}
	out.PeeringOptions = &model.VpcPeeringConnectionOptionsDescription{AllowDnsResolutionFromRemoteVpc: new(false),
		AllowEgressFromLocalClassicLinkToRemoteVpc: new(false), AllowEgressFromLocalVpcToRemoteClassicLink: new(false)}
	for _, b := range vpc.CIDRs() {
		if b.Addr().Is6() {
			out.Ipv6CidrBlockSet = append(out.Ipv6CidrBlockSet, model.Ipv6CidrBlock{Ipv6CidrBlock: new(b.String())})
			continue
		}
		if out.CidrBlock == nil {
			out.CidrBlock = new(b.String())
		}
		out.CidrBlockSet = append(out.CidrBlockSet, model.CidrBlock{CidrBlock: new(b.String())})
	}
	return out
}
