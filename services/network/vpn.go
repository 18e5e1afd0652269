package network

import (
	"net/netip"
	"regexp"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of VPN connections ("Site-to-Site VPN quotas").
const (
	maxVPNs      = 50 // of an account
	maxVPNsOn    = 10 // of a virtual private gateway
	maxVPNRoutes = 100
	tunnels      = 2 // of a connection
)

// linkLocal are the addresses inside of tunnels, and tunnelReserved those blocks
// that EC2 keeps for itself ("Tunnel options").
var (
	linkLocal      = netip.MustParsePrefix("169.254.0.0/16")
	tunnelReserved = regexp.MustCompile(`^169\.254\.([0-5]\.0|169\.252)/30$`)
)

// CreateVPN connects a customer gateway with a virtual private one. Between two
// of them there is one connection: to ask for the same again is no error.
func CreateVPN(v *state.View, s events.Stamp, c events.CreateVPN) ([]events.Event, error) {
	to, err := customer(v, s.Account, c.Customer)
	if err != nil {
		return nil, err
	}
	if !to.Live() {
		return nil, events.Faultf("InvalidCustomerGatewayState", "The customer gateway %s is deleted.", to.ID)
	}
	from, err := standing(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	made := events.VPNCreated{Account: s.Account, Customer: to.ID, Gateway: from.ID, Static: c.Static, Local: everywhere, Remote: everywhere, At: s.Time}
	for _, b := range []struct {
		text, parameter string
		into            *netip.Prefix
	}{{c.Local, "localIpv4NetworkCidr", &made.Local}, {c.Remote, "remoteIpv4NetworkCidr", &made.Remote}} {
		if b.text == "" {
			continue
		}
		if *b.into, err = block(b.text, b.parameter); err != nil {
			return nil, err
		}
	}
	if len(c.Tunnels) > tunnels {
		return nil, events.Faultf("InvalidParameterValue", "A VPN connection has %d tunnels; options are given for %d.", tunnels, len(c.Tunnels))
	}
	if have, ok := v.VPNBetween(to.ID, from.ID); ok {
		if asked(have, made, c.Tunnels) {
			return nil, nil
		}
		return nil, events.Faultf("InvalidParameterValue", "The gateways %s and %s are connected already, with other options: %s.", to.ID, from.ID, have.ID)
	}
	if err := moreVPNs(v, s.Account, from.ID); err != nil {
		return nil, err
	}
	if made.Tunnels, err = dug(v, s, from.ID, c.Tunnels); err != nil {
		return nil, err
	}
	made.ID = events.VPNID("vpn-" + s.Seed.Hex("vpn", 0))
	return append([]events.Event{made}, tagging.New(s, string(made.ID), c.Tags)...), nil
}

// asked says that a connection is as it is asked for once more.
func asked(have *state.VPN, want events.VPNCreated, options []events.Tunnel) bool {
	for i, t := range options {
		is := have.Tunnels[i]
		if t.Inside != "" && t.Inside != is.Inside.String() || !slices.Equal(t.Key, is.Key) || t.Options != is.Options {
			return false
		}
	}
	return have.Static == want.Static && have.Local == want.Local && have.Remote == want.Remote
}

func moreVPNs(v *state.View, a events.AccountID, on events.VPNGatewayID) error {
	all, here := 0, 0
	for c := range v.VPNsOf(a) {
		switch {
		case !c.Live():
		case c.Gateway == on:
			here++
			fallthrough
		default:
			all++
		}
	}
	if all >= maxVPNs || here >= maxVPNsOn {
		return events.Faultf("VpnConnectionLimitExceeded", "The maximum number of VPN connections has been reached: %d of an account, %d of a virtual private gateway.", maxVPNs, maxVPNsOn)
	}
	return nil
}

// dug settles the tunnels of a connection: each has a public address of its own,
// and a block inside that no other tunnel of the gateway has.
func dug(v *state.View, s events.Stamp, on events.VPNGatewayID, options []events.Tunnel) ([]events.TunnelPart, error) {
	used := map[netip.Prefix]bool{}
	for c := range v.VPNsOn(on) {
		for _, t := range c.Tunnels {
			used[t.Inside] = true
		}
	}
	out := make([]events.TunnelPart, tunnels)
	for i, o := range options {
		out[i].Key, out[i].Options = o.Key, o.Options
		if o.Inside == "" {
			continue
		}
		p, err := netip.ParsePrefix(o.Inside)
		switch {
		case err != nil || p.Bits() != 30 || p != p.Masked() || !linkLocal.Contains(p.Addr()):
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter tunnelInsideCidr is invalid. It must be a /30 block of %s.", o.Inside, linkLocal)
		case tunnelReserved.MatchString(p.String()):
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter tunnelInsideCidr is invalid. The block is reserved.", o.Inside)
		case used[p]:
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter tunnelInsideCidr is invalid. Another tunnel of the virtual private gateway has the block.", o.Inside)
		}
		out[i].Inside, used[p] = p, true
	}
	var given []netip.Addr
	drawn := 0
	for i := range out {
		a, err := Public(v, given...)
		if err != nil {
			return nil, err
		}
		given, out[i].Outside = append(given, a), a
		for p := &out[i].Inside; !p.IsValid(); drawn++ {
			b := s.Seed.Bytes("tunnel", drawn)
			x := netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, b[0], b[1] &^ 3}), 30)
			if !used[x] && !tunnelReserved.MatchString(x.String()) {
				*p, used[x] = x, true
			}
		}
	}
	return out, nil
}

// DeleteVPN ends a connection. One that has ended stays as it is.
func DeleteVPN(v *state.View, s events.Stamp, c events.DeleteVPN) ([]events.Event, error) {
	x, err := vpn(v, s.Account, c.VPN)
	if err != nil || !x.Live() {
		return nil, err
	}
	return []events.Event{events.VPNDeleted{ID: x.ID, Account: x.Account, At: s.Time}}, nil
}

func vpn(v *state.View, a events.AccountID, id events.VPNID) (*state.VPN, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter vpnConnectionId")
	}
	c, ok := v.VPNs.Get(string(id))
	if !ok || c.Account != a {
		return nil, events.Faultf("InvalidVpnConnectionID.NotFound", "The vpnConnection ID '%s' does not exist", id)
	}
	return c, nil
}

// routed finds a connection that has static routes, and reads a destination.
func routed(v *state.View, a events.AccountID, id events.VPNID, destination string) (*state.VPN, netip.Prefix, error) {
	c, err := vpn(v, a, id)
	if err != nil {
		return nil, netip.Prefix{}, err
	}
	p, err := block(destination, "destinationCidrBlock")
	switch {
	case err != nil:
		return nil, p, err
	case !c.Live():
		return nil, p, events.Faultf("InvalidVpnConnection.InvalidState", "The VPN connection %s is deleted.", c.ID)
	case !c.Static:
		return nil, p, events.Faultf("InvalidVpnConnection.InvalidType", "The VPN connection %s does not support static routes.", c.ID)
	}
	return c, p, nil
}

// CreateVPNRoute tells of a network that is behind a connection's customer
// gateway. What is told already is told.
func CreateVPNRoute(v *state.View, s events.Stamp, c events.CreateVPNRoute) ([]events.Event, error) {
	x, p, err := routed(v, s.Account, c.VPN, c.Destination)
	if err != nil || slices.Contains(x.Routes, p) {
		return nil, err
	}
	if len(x.Routes) >= maxVPNRoutes {
		return nil, events.Faultf("RouteLimitExceeded", "The maximum number of static routes of VPN connection %s has been reached.", x.ID)
	}
	return []events.Event{events.VPNRouteCreated{VPN: x.ID, Account: x.Account, Destination: p}}, nil
}

// DeleteVPNRoute takes that back.
func DeleteVPNRoute(v *state.View, s events.Stamp, c events.DeleteVPNRoute) ([]events.Event, error) {
	x, p, err := routed(v, s.Account, c.VPN, c.Destination)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(x.Routes, p) {
		return nil, events.Faultf("InvalidRoute.NotFound", "no static route to %s in VPN connection %s", p, x.ID)
	}
	return []events.Event{events.VPNRouteDeleted{VPN: x.ID, Account: x.Account, Destination: p}}, nil
}
