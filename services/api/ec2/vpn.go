package ec2

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// CreateVpnConnection connects a customer gateway with a virtual private one, or
// shows the connection that is there.
func (h *Handlers) CreateVpnConnection(ctx context.Context, c *api.Call, in *model.CreateVpnConnectionInput) (*model.CreateVpnConnectionOutput, error) {
	o := value(in.Options)
	if err := refuse(
		param{"TransitGatewayId", value(in.TransitGatewayId) != ""},
		param{"Options.EnableAcceleration", value(o.EnableAcceleration)},
		param{"Options.LocalIpv6NetworkCidr", value(o.LocalIpv6NetworkCidr) != ""},
		param{"Options.RemoteIpv6NetworkCidr", value(o.RemoteIpv6NetworkCidr) != ""},
		param{"Options.OutsideIpAddressType", value(o.OutsideIpAddressType) != "" && *o.OutsideIpAddressType != "PublicIpv4"},
		param{"Options.TransportTransitGatewayAttachmentId", value(o.TransportTransitGatewayAttachmentId) != ""},
		param{"Options.TunnelInsideIpVersion", value(o.TunnelInsideIpVersion) != "" && *o.TunnelInsideIpVersion != "ipv4"},
	); err != nil {
		return nil, err
	}
	if t := value(in.Type); t != "ipsec.1" {
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter type is invalid. Use ipsec.1.", t)
	}
	if err := ids.CustomerGateway.Check(value(in.CustomerGatewayId)); err != nil {
		return nil, err
	}
	if value(in.VpnGatewayId) == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter vpnGatewayId")
	}
	if err := ids.VPNGateway.Check(*in.VpnGatewayId); err != nil {
		return nil, err
	}
	cmd := events.CreateVPN{Customer: events.CustomerID(*in.CustomerGatewayId), Gateway: events.VPNGatewayID(*in.VpnGatewayId), Static: value(o.StaticRoutesOnly),
		Local: value(o.LocalIpv4NetworkCidr), Remote: value(o.RemoteIpv4NetworkCidr)}
	for _, t := range o.TunnelOptions {
		want, err := h.tunnel(t)
		if err != nil {
			return nil, err
		}
		cmd.Tunnels = append(cmd.Tunnels, want)
	}
	specs, err := tags.Specs(in.TagSpecifications, "vpn-connection")
	if err != nil {
		return nil, err
	}
	cmd.Tags = specs["vpn-connection"]
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VPNCreated); ok {
			s, err := h.vpn(v, &state.VPN{VPNCreated: e})
			s.State, s.Tags = new("pending"), toldTags(reply, string(e.ID))
			return &model.CreateVpnConnectionOutput{VpnConnection: &s.VpnConnection}, err
		}
	}
	if x, ok := v.VPNBetween(cmd.Customer, cmd.Gateway); ok { // it was there already
		s, err := h.vpn(v, x)
		s.Tags = shownTags(v.TagsOf(string(x.ID)))
		return &model.CreateVpnConnectionOutput{VpnConnection: &s.VpnConnection}, err
	}
	return new(model.CreateVpnConnectionOutput), nil
}

// sharedKey is the form of a pre-shared key ("Tunnel options").
var sharedKey = regexp.MustCompile(`^[A-Za-z1-9._][A-Za-z0-9._]{7,63}$`)

// tunnel reads how a tunnel is wanted. A pre-shared key is sealed here: nothing
// further in sees it. The words of IKE are EC2's own, and kept as they are.
func (h *Handlers) tunnel(o model.VpnTunnelOptionsSpecification) (events.Tunnel, error) {
	out := events.Tunnel{Inside: value(o.TunnelInsideCidr)}
	if o.PreSharedKey != nil {
		if !sharedKey.MatchString(*o.PreSharedKey) {
			return out, events.Faultf("InvalidParameterValue", "The pre-shared key is invalid: use 8 to 64 letters, digits, '.' and '_', and no zero at the start.")
		}
		out.Key = h.key.Seal([]byte(*o.PreSharedKey))
	}
	logs := value(value(o.LogOptions).CloudWatchLogOptions)
	if err := refuse(
		param{"TunnelInsideIpv6Cidr", value(o.TunnelInsideIpv6Cidr) != ""},
		param{"EnableTunnelLifecycleControl", value(o.EnableTunnelLifecycleControl)},
		param{"LogOptions", value(logs.LogEnabled)},
	); err != nil {
		return out, err
	}
	if err := checkTunnel(o); err != nil {
		return out, err
	}
	o.PreSharedKey, o.TunnelInsideCidr, o.TunnelInsideIpv6Cidr, o.EnableTunnelLifecycleControl, o.LogOptions = nil, nil, nil, nil, nil
	all, err := json.Marshal(o)
	if err != nil {
		return out, err
	}
	members := map[string]json.RawMessage{}
	if err := reread(all, &members); err != nil {
		return out, err
	}
	maps.DeleteFunc(members, func(_ string, m json.RawMessage) bool { return string(m) == "null" })
	if len(members) > 0 {
		all, err = json.Marshal(members)
		out.Options = string(all)
	}
	return out, err
}

// checkTunnel refuses what IKE could not mean, in the limits that EC2 gives
// ("VpnTunnelOptionsSpecification").
func checkTunnel(o model.VpnTunnelOptionsSpecification) error {
	second := int32(3600)
	if o.Phase2LifetimeSeconds != nil {
		second = *o.Phase2LifetimeSeconds
	}
	most := int32(28800)
	if o.Phase1LifetimeSeconds != nil {
		most = *o.Phase1LifetimeSeconds
	}
	for _, n := range []struct {
		name        string
		given       *int32
		first, last int32
	}{
		{"phase1LifetimeSeconds", o.Phase1LifetimeSeconds, 900, 28800}, {"phase2LifetimeSeconds", o.Phase2LifetimeSeconds, 900, min(3600, most-1)},
		{"dpdTimeoutSeconds", o.DPDTimeoutSeconds, 30, 1<<31 - 1}, {"rekeyMarginTimeSeconds", o.RekeyMarginTimeSeconds, 60, second / 2},
		{"rekeyFuzzPercentage", o.RekeyFuzzPercentage, 0, 100}, {"replayWindowSize", o.ReplayWindowSize, 64, 2048},
	} {
		if n.given != nil && (*n.given < n.first || *n.given > n.last) {
			return events.Faultf("InvalidParameterValue", "Value (%d) for parameter %s is invalid. Use %d to %d.", *n.given, n.name, n.first, n.last)
		}
	}
	encryption, integrity := []string{"AES128", "AES256", "AES128-GCM-16", "AES256-GCM-16"}, []string{"SHA1", "SHA2-256", "SHA2-384", "SHA2-512"}
	groups := []string{"2", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23", "24"}
	for _, l := range []struct {
		name        string
		given, some []string
	}{
		{"dpdTimeoutAction", word(o.DPDTimeoutAction), []string{"clear", "none", "restart"}}, {"startupAction", word(o.StartupAction), []string{"add", "start"}},
		{"ikeVersion", each(o.IKEVersions, func(x model.IKEVersionsRequestListValue) []string { return word(x.Value) }), []string{"ikev1", "ikev2"}},
		{"phase1EncryptionAlgorithm", each(o.Phase1EncryptionAlgorithms, func(x model.Phase1EncryptionAlgorithmsRequestListValue) []string { return word(x.Value) }), encryption},
		{"phase2EncryptionAlgorithm", each(o.Phase2EncryptionAlgorithms, func(x model.Phase2EncryptionAlgorithmsRequestListValue) []string { return word(x.Value) }), encryption},
		{"phase1IntegrityAlgorithm", each(o.Phase1IntegrityAlgorithms, func(x model.Phase1IntegrityAlgorithmsRequestListValue) []string { return word(x.Value) }), integrity},
		{"phase2IntegrityAlgorithm", each(o.Phase2IntegrityAlgorithms, func(x model.Phase2IntegrityAlgorithmsRequestListValue) []string { return word(x.Value) }), integrity},
		{"phase1DHGroupNumber", each(o.Phase1DHGroupNumbers, func(x model.Phase1DHGroupNumbersRequestListValue) []string { return number(x.Value) }), groups},
		{"phase2DHGroupNumber", each(o.Phase2DHGroupNumbers, func(x model.Phase2DHGroupNumbersRequestListValue) []string { return number(x.Value) }), append([]string{"5"}, groups...)},
	} {
		for _, w := range l.given {
			if !slices.Contains(l.some, w) {
				return events.Faultf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Use one of %v.", w, l.name, l.some)
			}
		}
	}
	return nil
}

// DeleteVpnConnection ends a connection.
func (h *Handlers) DeleteVpnConnection(ctx context.Context, c *api.Call, in *model.DeleteVpnConnectionInput) (*model.DeleteVpnConnectionOutput, error) {
	if err := ids.VPNConnection.Check(value(in.VpnConnectionId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteVPN{VPN: events.VPNID(*in.VpnConnectionId)})
	return new(model.DeleteVpnConnectionOutput), err
}

// CreateVpnConnectionRoute tells of a network behind a connection's customer
// gateway.
func (h *Handlers) CreateVpnConnectionRoute(ctx context.Context, c *api.Call, in *model.CreateVpnConnectionRouteInput) (*model.CreateVpnConnectionRouteOutput, error) {
	if err := ids.VPNConnection.Check(value(in.VpnConnectionId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.CreateVPNRoute{VPN: events.VPNID(*in.VpnConnectionId), Destination: value(in.DestinationCidrBlock)})
	return new(model.CreateVpnConnectionRouteOutput), err
}

// DeleteVpnConnectionRoute takes that back.
func (h *Handlers) DeleteVpnConnectionRoute(ctx context.Context, c *api.Call, in *model.DeleteVpnConnectionRouteInput) (*model.DeleteVpnConnectionRouteOutput, error) {
	if err := ids.VPNConnection.Check(value(in.VpnConnectionId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteVPNRoute{VPN: events.VPNID(*in.VpnConnectionId), Destination: value(in.DestinationCidrBlock)})
	return new(model.DeleteVpnConnectionRouteOutput), err
}

// vpn is a connection as EC2 shows it, with what its filters ask beside.
type vpn struct {
	model.VpnConnection
	asn []string // number of the customer gateway
}

type vpnRow = row[vpn]

var vpnListing = listing[vpn]{fields: filter.Fields[vpnRow]{
	"bgp-asn":                        func(r vpnRow) []string { return r.shown.asn },
	"customer-gateway-configuration": func(r vpnRow) []string { return word(r.shown.CustomerGatewayConfiguration) },
	"customer-gateway-id":            func(r vpnRow) []string { return word(r.shown.CustomerGatewayId) },
	"option.static-routes-only":      func(r vpnRow) []string { return flag(r.shown.Options.StaticRoutesOnly) },
	"route.destination-cidr-block": func(r vpnRow) []string {
		return each(r.shown.Routes, func(o model.VpnStaticRoute) []string { return word(o.DestinationCidrBlock) })
	},
	"state":              func(r vpnRow) []string { return word(r.shown.State) },
	"transit-gateway-id": never[vpnRow],
	"type":               func(r vpnRow) []string { return word(r.shown.Type) },
	"vpn-connection-id":  func(r vpnRow) []string { return word(r.shown.VpnConnectionId) },
	"vpn-gateway-id":     func(r vpnRow) []string { return word(r.shown.VpnGatewayId) },
}}

// DescribeVpnConnections lists the account's, for an hour after their end too.
func (h *Handlers) DescribeVpnConnections(ctx context.Context, c *api.Call, in *model.DescribeVpnConnectionsInput) (*model.DescribeVpnConnectionsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.VPNConnection, "vpnConnection", in.VpnConnectionIds,
		func(v view, account events.AccountID, id string) (*state.VPN, bool) {
			x, ok := v.VPNs.Get(id)
			return x, ok && x.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.VPN)) {
			for x := range v.VPNsOf(account) {
				yield(x)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []vpnRow
	for _, x := range list {
		s, err := h.vpn(v, x)
		if err != nil {
			return nil, err
		}
		t := v.TagsOf(string(x.ID))
		s.Tags = shownTags(t)
		rows = append(rows, vpnRow{key: string(x.ID), tags: t, shown: s})
	}
	page, _, err := vpnListing.choose(h, c, ask{filters: in.Filters}, rows)
	out := new(model.DescribeVpnConnectionsOutput)
	for _, s := range page {
		out.VpnConnections = append(out.VpnConnections, s.VpnConnection)
	}
	return out, err
}

// vpn shows a connection. No node serves one, so its tunnels are down. One that
// has ended tells no keys.
func (h *Handlers) vpn(v view, x *state.VPN) (vpn, error) {
	out := vpn{VpnConnection: model.VpnConnection{VpnConnectionId: some(x.ID), CustomerGatewayId: some(x.Customer), VpnGatewayId: some(x.Gateway), Category: new("VPN"),
		Type: new("ipsec.1"), State: standing(x.Live()), Routes: []model.VpnStaticRoute{}, VgwTelemetry: []model.VgwTelemetry{},
		Options: &model.VpnConnectionOptions{EnableAcceleration: new(false), StaticRoutesOnly: &x.Static, LocalIpv4NetworkCidr: new(x.Local.String()),
			RemoteIpv4NetworkCidr: new(x.Remote.String()), OutsideIpAddressType: new("PublicIpv4"), TunnelInsideIpVersion: new("ipv4")}}}
	customer, known := v.CustomerGateways.Get(string(x.Customer))
	if known {
		out.asn = []string{strconv.FormatUint(uint64(customer.ASN), 10)}
	}
	if !x.Live() {
		return out, nil
	}
	for _, p := range x.Routes {
		out.Routes = append(out.Routes, model.VpnStaticRoute{DestinationCidrBlock: new(p.String()), Source: new("Static"), State: new("available")})
	}
	for i, t := range x.Tunnels {
		var o model.TunnelOption
		if t.Options != "" {
			if err := reread([]byte(t.Options), &o); err != nil {
				return out, err
			}
		}
		key, err := h.preSharedKey(x.ID, i, t.Key)
		if err != nil {
			return out, err
		}
		o.OutsideIpAddress, o.TunnelInsideCidr, o.PreSharedKey = new(t.Outside.String()), new(t.Inside.String()), &key
		out.Options.TunnelOptions = append(out.Options.TunnelOptions, o)
		out.VgwTelemetry = append(out.VgwTelemetry, model.VgwTelemetry{OutsideIpAddress: o.OutsideIpAddress, Status: new("DOWN"), LastStatusChange: &x.At, AcceptedRouteCount: new(int32(0)),
			StatusMessage: new("")})
	}
	if own, ok := v.VPNGateways.Get(string(x.Gateway)); ok && known {
		out.CustomerGatewayConfiguration = new(configuration(x, customer, own, out.Options.TunnelOptions))
	}
	return out, nil
}

// preSharedKey is the key of a connection's tunnel: the one that was given, or
// one that follows from the region's key, so that none is stored. It is in base
// 32, which has no zero.
func (h *Handlers) preSharedKey(id events.VPNID, tunnel int, sealed []byte) (string, error) {
	given, err := h.key.Open(sealed)
	if err != nil {
		return "", fmt.Errorf("ec2: pre-shared key of %s: %w", id, err)
	}
	if len(given) > 0 {
		return string(given), nil
	}
	const bytes = 20 // 32 characters, as EC2's have
	return base32.StdEncoding.EncodeToString(h.key.Derive(fmt.Sprintf("pre-shared key %s/%d", id, tunnel))[:bytes]), nil
}
