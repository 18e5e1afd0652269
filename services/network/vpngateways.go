package network

import (
	"net/netip"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of VPN gateways of an account ("Site-to-Site VPN quotas").
const (
	maxCustomers   = 50
	maxVPNGateways = 5
)

// CreateCustomerGateway tells the region of a device at the customer's end. One
// like it, under the same name, is there already.
func CreateCustomerGateway(v *state.View, s events.Stamp, c events.CreateCustomerGateway) ([]events.Event, error) {
	address, err := netip.ParseAddr(c.Address)
	switch {
	case c.Address == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter ipAddress")
	case err != nil || !address.Is4() || !address.IsGlobalUnicast():
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter ipAddress is invalid. This is not the IPv4 address of a device.", c.Address)
	case c.ASN == 0:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter bgpAsn")
	case len(c.Device) > 255:
		return nil, events.Faultf("InvalidParameterValue", "The device name exceeds the maximum length of 255 characters.")
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for g := range v.CustomerGatewaysOf(s.Account) {
		switch {
		case !g.Live():
		case g.Address == address && g.ASN == c.ASN && g.Device == c.Device:
			return nil, nil
		default:
			count++
		}
	}
	if count >= maxCustomers {
		return nil, events.Faultf("CustomerGatewayLimitExceeded", "The maximum number of customer gateways has been reached.")
	}
	id := events.CustomerID("cgw-" + s.Seed.Hex("cgw", 0))
	out := []events.Event{events.CustomerGatewayCreated{ID: id, Account: s.Account, Address: address, ASN: c.ASN, Device: c.Device, At: s.Time}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// DeleteCustomerGateway forgets one that no connection uses. One that has ended
// stays as it is.
func DeleteCustomerGateway(v *state.View, s events.Stamp, c events.DeleteCustomerGateway) ([]events.Event, error) {
	g, err := customer(v, s.Account, c.Gateway)
	if err != nil || !g.Live() {
		return nil, err
	}
	for range v.VPNsTo(g.ID) {
		return nil, events.Faultf("IncorrectState", "The customer gateway is in use.")
	}
	return []events.Event{events.CustomerGatewayDeleted{ID: g.ID, Account: g.Account, At: s.Time}}, nil
}

func customer(v *state.View, a events.AccountID, id events.CustomerID) (*state.CustomerGateway, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter customerGatewayId")
	}
	g, ok := v.CustomerGateways.Get(string(id))
	if !ok || g.Account != a {
		return nil, events.Faultf("InvalidCustomerGatewayID.NotFound", "The customerGateway ID '%s' does not exist", id)
	}
	return g, nil
}

// CreateVPNGateway makes a virtual private gateway, attached to nothing. Its
// number is a private one (RFC 6996).
func CreateVPNGateway(v *state.View, s events.Stamp, c events.CreateVPNGateway) ([]events.Event, error) {
	switch {
	case c.ASN >= 64512 && c.ASN <= 65534, c.ASN >= 4200000000 && c.ASN <= 4294967294:
	default:
		return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter amazonSideAsn is invalid. Use 64512 to 65534, or 4200000000 to 4294967294.", c.ASN)
	}
	if _, ok := v.Zones.Get(string(c.Zone)); c.Zone != "" && !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid availability zone: [%s]", c.Zone)
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for g := range v.VPNGatewaysOf(s.Account) {
		if g.Live() {
			count++
		}
	}
	if count >= maxVPNGateways {
		return nil, events.Faultf("VpnGatewayLimitExceeded", "The maximum number of virtual private gateways has been reached.")
	}
	id := events.VPNGatewayID("vgw-" + s.Seed.Hex("vgw", 0))
	out := []events.Event{events.VPNGatewayCreated{ID: id, Account: s.Account, ASN: c.ASN, Zone: c.Zone, At: s.Time}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func vpnGateway(v *state.View, a events.AccountID, id events.VPNGatewayID) (*state.VPNGateway, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter vpnGatewayId")
	}
	g, ok := v.VPNGateways.Get(string(id))
	if !ok || g.Account != a {
		return nil, events.Faultf("InvalidVpnGatewayID.NotFound", "The vpnGateway ID '%s' does not exist", id)
	}
	return g, nil
}

// standing finds a virtual private gateway that has not ended.
func standing(v *state.View, a events.AccountID, id events.VPNGatewayID) (*state.VPNGateway, error) {
	g, err := vpnGateway(v, a, id)
	if err == nil && !g.Live() {
		return nil, events.Faultf("InvalidVpnGatewayState", "The virtual private gateway %s is deleted.", id)
	}
	return g, err
}

// AttachVPNGateway gives a VPC its virtual private gateway. It has one at most,
// and each is of one VPC.
func AttachVPNGateway(v *state.View, s events.Stamp, c events.AttachVPNGateway) ([]events.Event, error) {
	g, err := standing(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if g.VPC == vpc.ID {
		return nil, nil
	}
	if g.VPC != "" {
		return nil, events.Faultf("VpnGatewayAttachmentLimitExceeded", "The virtual private gateway %s is attached to VPC %s already.", g.ID, g.VPC)
	}
	if _, has := v.VPNGatewayOf(vpc.ID); has {
		return nil, events.Faultf("InvalidVpcState", "VPC %s is currently attached to the Virtual Private Gateway.", vpc.ID)
	}
	return []events.Event{events.VPNGatewayAttached{ID: g.ID, Account: g.Account, VPC: vpc.ID}}, nil
}

// DetachVPNGateway takes it away, and its routes from the VPC's tables.
func DetachVPNGateway(v *state.View, s events.Stamp, c events.DetachVPNGateway) ([]events.Event, error) {
	g, err := vpnGateway(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if g.VPC != vpc.ID {
		return nil, events.Faultf("InvalidVpnGatewayAttachment.NotFound", "The attachment with vpn gateway ID '%s' and vpc ID '%s' does not exist", g.ID, vpc.ID)
	}
	var out []events.Event
	for t := range v.RouteTablesOf(vpc.ID) {
		if t.Propagating == g.ID {
			out = append(out, unpropagated(t))
		}
	}
	return append(out, events.VPNGatewayDetached{ID: g.ID, Account: g.Account, VPC: vpc.ID}), nil
}

// DeleteVPNGateway ends a virtual private gateway that nothing uses. One that has
// ended stays as it is.
func DeleteVPNGateway(v *state.View, s events.Stamp, c events.DeleteVPNGateway) ([]events.Event, error) {
	g, err := vpnGateway(v, s.Account, c.Gateway)
	if err != nil || !g.Live() {
		return nil, err
	}
	busy := events.Faultf("IncorrectState", "The VPN gateway is in use.")
	if g.VPC != "" {
		return nil, busy
	}
	for range v.VPNsOn(g.ID) {
		return nil, busy
	}
	return []events.Event{events.VPNGatewayDeleted{ID: g.ID, Account: g.Account, At: s.Time}}, nil
}

// propagation finds a route table, and a virtual private gateway that is
// attached to its VPC.
func propagation(v *state.View, a events.AccountID, id events.TableID, from events.VPNGatewayID) (*state.RouteTable, *state.VPNGateway, error) {
	t, err := table(v, a, id)
	if err != nil {
		return nil, nil, err
	}
	g, err := vpnGateway(v, a, from)
	if err != nil {
		return nil, nil, events.Faultf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", from)
	}
	if g.VPC != t.VPC {
		return nil, nil, events.Faultf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, t.VPC)
	}
	return t, g, nil
}

// EnableRoutePropagation has a route table take up the routes of the VPC's
// virtual private gateway.
func EnableRoutePropagation(v *state.View, s events.Stamp, c events.EnableRoutePropagation) ([]events.Event, error) {
	t, g, err := propagation(v, s.Account, c.Table, c.Gateway)
	if err != nil || t.Propagating == g.ID {
		return nil, err
	}
	for range v.EdgesOn(t.ID) {
		return nil, events.Faultf("InvalidParameterValue", "The route table %s is that of a gateway: its routes lead to network interfaces.", t.ID)
	}
	return []events.Event{events.RoutePropagationEnabled{Table: t.ID, Account: t.Account, VPC: t.VPC, Gateway: g.ID}}, nil
}

// DisableRoutePropagation ends that.
func DisableRoutePropagation(v *state.View, s events.Stamp, c events.DisableRoutePropagation) ([]events.Event, error) {
	t, g, err := propagation(v, s.Account, c.Table, c.Gateway)
	if err != nil || t.Propagating != g.ID {
		return nil, err
	}
	return []events.Event{unpropagated(t)}, nil
}

func unpropagated(t *state.RouteTable) events.Event {
	return events.RoutePropagationDisabled{Table: t.ID, Account: t.Account, VPC: t.VPC, Gateway: t.Propagating}
}

// Propagated are the routes that a table takes up of a virtual private gateway:
// one for each network behind it to which the table has none of its own.
func Propagated(v *state.View, t *state.RouteTable) (out []events.Route) {
	taken := map[netip.Prefix]bool{}
	for _, r := range t.Routes {
		for _, p := range Along(v, t, r) {
			taken[p] = true
		}
	}
	for c := range v.VPNsOn(t.Propagating) {
		for _, p := range c.Routes {
			if !taken[p] {
				taken[p] = true
				out = append(out, events.Route{Destination: p, VPN: t.Propagating})
			}
		}
	}
	return out
}
