package ec2

import (
	"context"
	"math"
	"strconv"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// The numbers of both ends where none is given ("CreateCustomerGateway",
// "CreateVpnGateway").
const (
	customerASN = 65000
	amazonASN   = 64512
)

// CreateCustomerGateway tells the region of a device at the customer's end, or
// shows the one that is known.
func (h *Handlers) CreateCustomerGateway(ctx context.Context, c *api.Call, in *model.CreateCustomerGatewayInput) (*model.CreateCustomerGatewayOutput, error) {
	if value(in.CertificateArn) != "" {
		return nil, unsupported("CertificateArn", "tunnels are authenticated by a pre-shared key")
	}
	if err := notTogether("ipAddress", in.IpAddress != nil, "publicIp", in.PublicIp != nil); err != nil {
		return nil, err
	}
	if err := notTogether("bgpAsn", in.BgpAsn != nil, "bgpAsnExtended", in.BgpAsnExtended != nil); err != nil {
		return nil, err
	}
	cmd := events.CreateCustomerGateway{Address: value(in.IpAddress) + value(in.PublicIp), ASN: customerASN, Device: value(in.DeviceName)}
	for _, n := range []struct {
		name        string
		given       *int64
		first, last int64
	}{{"bgpAsn", wide(in.BgpAsn), 1, math.MaxInt32}, {"bgpAsnExtended", in.BgpAsnExtended, math.MaxInt32 + 1, math.MaxUint32}} {
		if n.given == nil {
			continue
		}
		if *n.given < n.first || *n.given > n.last {
			return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter %s is invalid. Use %d to %d.", *n.given, n.name, n.first, n.last)
		}
		cmd.ASN = uint32(*n.given)
	}
	specs, err := tags.Specs(in.TagSpecifications, "customer-gateway")
	if err != nil {
		return nil, err
	}
	cmd.Tags = specs["customer-gateway"]
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.CustomerGatewayCreated); ok {
			s := showCustomer(&state.CustomerGateway{CustomerGatewayCreated: e})
			s.Tags = toldTags(reply, string(e.ID))
			return &model.CreateCustomerGatewayOutput{CustomerGateway: &s}, nil
		}
	}
	v := h.after(ctx, c)
	for g := range v.CustomerGatewaysOf(events.AccountID(c.Account)) { // it was there already
		if g.Live() && g.Address.String() == cmd.Address && g.ASN == cmd.ASN && g.Device == cmd.Device {
			s := showCustomer(g)
			s.Tags = shownTags(v.TagsOf(string(g.ID)))
			return &model.CreateCustomerGatewayOutput{CustomerGateway: &s}, nil
		}
	}
	return new(model.CreateCustomerGatewayOutput), nil
}

func wide(n *int32) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

// DeleteCustomerGateway forgets one that no connection uses.
func (h *Handlers) DeleteCustomerGateway(ctx context.Context, c *api.Call, in *model.DeleteCustomerGatewayInput) (*model.DeleteCustomerGatewayOutput, error) {
	if err := ids.CustomerGateway.Check(value(in.CustomerGatewayId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteCustomerGateway{Gateway: events.CustomerID(*in.CustomerGatewayId)})
	return new(model.DeleteCustomerGatewayOutput), err
}

type customerRow = row[model.CustomerGateway]

var customerListing = listing[model.CustomerGateway]{fields: filter.Fields[customerRow]{
	"bgp-asn":             func(r customerRow) []string { return append(word(r.shown.BgpAsn), word(r.shown.BgpAsnExtended)...) },
	"customer-gateway-id": func(r customerRow) []string { return word(r.shown.CustomerGatewayId) },
	"ip-address":          func(r customerRow) []string { return word(r.shown.IpAddress) },
	"state":               func(r customerRow) []string { return word(r.shown.State) },
	"type":                func(r customerRow) []string { return word(r.shown.Type) },
}}

// DescribeCustomerGateways lists the account's, for an hour after their end too.
func (h *Handlers) DescribeCustomerGateways(ctx context.Context, c *api.Call, in *model.DescribeCustomerGatewaysInput) (*model.DescribeCustomerGatewaysOutput, error) {
	v, list, err := listed(h, ctx, c, ids.CustomerGateway, "customerGateway", in.CustomerGatewayIds,
		func(v view, account events.AccountID, id string) (*state.CustomerGateway, bool) {
			g, ok := v.CustomerGateways.Get(id)
			return g, ok && g.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.CustomerGateway)) {
			for g := range v.CustomerGatewaysOf(account) {
				yield(g)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []customerRow
	for _, g := range list {
		t := v.TagsOf(string(g.ID))
		s := showCustomer(g)
		s.Tags = shownTags(t)
		rows = append(rows, customerRow{key: string(g.ID), tags: t, shown: s})
	}
	out := new(model.DescribeCustomerGatewaysOutput)
	out.CustomerGateways, _, err = customerListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

// standing is EC2's word for what has not ended, and for what has.
func standing(live bool) *string {
	if live {
		return new("available")
	}
	return new("deleted")
}

func showCustomer(g *state.CustomerGateway) model.CustomerGateway {
	out := model.CustomerGateway{CustomerGatewayId: some(g.ID), IpAddress: new(g.Address.String()), DeviceName: some(g.Device), Type: new("ipsec.1"), State: standing(g.Live())}
	if asn := new(strconv.FormatUint(uint64(g.ASN), 10)); g.ASN > math.MaxInt32 {
		out.BgpAsnExtended = asn
	} else {
		out.BgpAsn = asn
	}
	return out
}

// CreateVpnGateway makes a virtual private gateway that is attached to nothing.
func (h *Handlers) CreateVpnGateway(ctx context.Context, c *api.Call, in *model.CreateVpnGatewayInput) (*model.CreateVpnGatewayOutput, error) {
	cmd := events.CreateVPNGateway{ASN: amazonASN, Zone: events.Zone(value(in.AvailabilityZone))}
	if n := in.AmazonSideAsn; n != nil {
		if cmd.ASN = 0; *n > 0 && *n <= math.MaxUint32 {
			cmd.ASN = uint32(*n)
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "vpn-gateway")
	if err != nil {
		return nil, err
	}
	cmd.Tags = specs["vpn-gateway"]
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateVpnGatewayOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPNGatewayCreated); ok {
			s := showVPNGateway(&state.VPNGateway{VPNGatewayCreated: e})
			s.Tags = toldTags(reply, string(e.ID))
			out.VpnGateway = &s
		}
	}
	return out, nil
}

// AttachVpnGateway gives a VPC its virtual private gateway.
func (h *Handlers) AttachVpnGateway(ctx context.Context, c *api.Call, in *model.AttachVpnGatewayInput) (*model.AttachVpnGatewayOutput, error) {
	if err := vpnGatewayAndVPC(in.VpnGatewayId, in.VpcId); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AttachVPNGateway{Gateway: events.VPNGatewayID(*in.VpnGatewayId), VPC: events.VPCID(*in.VpcId)})
	out := &model.AttachVpnGatewayOutput{VpcAttachment: &model.VpcAttachment{State: new("attaching"), VpcId: in.VpcId}}
	if len(reply.Events) == 0 { // it was so already
		out.VpcAttachment.State = new("attached")
	}
	return out, err
}

// DetachVpnGateway takes it away.
func (h *Handlers) DetachVpnGateway(ctx context.Context, c *api.Call, in *model.DetachVpnGatewayInput) (*model.DetachVpnGatewayOutput, error) {
	if err := vpnGatewayAndVPC(in.VpnGatewayId, in.VpcId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DetachVPNGateway{Gateway: events.VPNGatewayID(*in.VpnGatewayId), VPC: events.VPCID(*in.VpcId)})
	return new(model.DetachVpnGatewayOutput), err
}

func vpnGatewayAndVPC(gateway, vpc *string) error {
	if err := ids.VPNGateway.Check(value(gateway)); err != nil {
		return err
	}
	return ids.VPC.Check(value(vpc))
}

// DeleteVpnGateway ends a virtual private gateway that nothing uses.
func (h *Handlers) DeleteVpnGateway(ctx context.Context, c *api.Call, in *model.DeleteVpnGatewayInput) (*model.DeleteVpnGatewayOutput, error) {
	if err := ids.VPNGateway.Check(value(in.VpnGatewayId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteVPNGateway{Gateway: events.VPNGatewayID(*in.VpnGatewayId)})
	return new(model.DeleteVpnGatewayOutput), err
}

type vpnGatewayRow = row[model.VpnGateway]

var vpnGatewayListing = listing[model.VpnGateway]{fields: filter.Fields[vpnGatewayRow]{
	"amazon-side-asn": func(r vpnGatewayRow) []string { return number(r.shown.AmazonSideAsn) },
	"attachment.state": func(r vpnGatewayRow) []string {
		return each(r.shown.VpcAttachments, func(a model.VpcAttachment) []string { return word(a.State) })
	},
	"attachment.vpc-id": func(r vpnGatewayRow) []string {
		return each(r.shown.VpcAttachments, func(a model.VpcAttachment) []string { return word(a.VpcId) })
	},
	"availability-zone": func(r vpnGatewayRow) []string { return word(r.shown.AvailabilityZone) },
	"state":             func(r vpnGatewayRow) []string { return word(r.shown.State) },
	"type":              func(r vpnGatewayRow) []string { return word(r.shown.Type) },
	"vpn-gateway-id":    func(r vpnGatewayRow) []string { return word(r.shown.VpnGatewayId) },
}}

// DescribeVpnGateways lists the account's, for an hour after their end too.
func (h *Handlers) DescribeVpnGateways(ctx context.Context, c *api.Call, in *model.DescribeVpnGatewaysInput) (*model.DescribeVpnGatewaysOutput, error) {
	v, list, err := listed(h, ctx, c, ids.VPNGateway, "vpnGateway", in.VpnGatewayIds,
		func(v view, account events.AccountID, id string) (*state.VPNGateway, bool) {
			g, ok := v.VPNGateways.Get(id)
			return g, ok && g.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.VPNGateway)) {
			for g := range v.VPNGatewaysOf(account) {
				yield(g)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []vpnGatewayRow
	for _, g := range list {
		t := v.TagsOf(string(g.ID))
		s := showVPNGateway(g)
		s.Tags = shownTags(t)
		rows = append(rows, vpnGatewayRow{key: string(g.ID), tags: t, shown: s})
	}
	out := new(model.DescribeVpnGatewaysOutput)
	out.VpnGateways, _, err = vpnGatewayListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

func showVPNGateway(g *state.VPNGateway) model.VpnGateway {
	out := model.VpnGateway{VpnGatewayId: some(g.ID), AmazonSideAsn: new(int64(g.ASN)), AvailabilityZone: some(g.Zone), Type: new("ipsec.1"), State: standing(g.Live()),
		VpcAttachments: []model.VpcAttachment{}}
	if g.VPC != "" {
		out.VpcAttachments = append(out.VpcAttachments, model.VpcAttachment{State: new("attached"), VpcId: some(g.VPC)})
	}
	return out
}

// EnableVgwRoutePropagation has a route table take up the routes of its VPC's
// virtual private gateway.
func (h *Handlers) EnableVgwRoutePropagation(ctx context.Context, c *api.Call, in *model.EnableVgwRoutePropagationInput) (*model.EnableVgwRoutePropagationOutput, error) {
	if err := tableAndVPNGateway(in.RouteTableId, in.GatewayId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.EnableRoutePropagation{Table: events.TableID(*in.RouteTableId), Gateway: events.VPNGatewayID(*in.GatewayId)})
	return new(model.EnableVgwRoutePropagationOutput), err
}

// DisableVgwRoutePropagation ends that.
func (h *Handlers) DisableVgwRoutePropagation(ctx context.Context, c *api.Call, in *model.DisableVgwRoutePropagationInput) (*model.DisableVgwRoutePropagationOutput, error) {
	if err := tableAndVPNGateway(in.RouteTableId, in.GatewayId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DisableRoutePropagation{Table: events.TableID(*in.RouteTableId), Gateway: events.VPNGatewayID(*in.GatewayId)})
	return new(model.DisableVgwRoutePropagationOutput), err
}

func tableAndVPNGateway(table, gateway *string) error {
	if err := ids.RouteTable.Check(value(table)); err != nil {
		return err
	}
	return ids.VPNGateway.Check(value(gateway))
}
