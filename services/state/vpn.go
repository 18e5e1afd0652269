package state

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"skerry/events"
)

// The rows of site-to-site VPN, each from request to the hour after its end, how
// they are found, and how they evolve.

// CustomerGateway is a device at the customer's end.
type CustomerGateway struct {
	events.CustomerGatewayCreated
	Ended time.Time `json:"ended,omitzero"`
}

// VPNGateway is a virtual private gateway.
type VPNGateway struct {
	events.VPNGatewayCreated
	VPC   events.VPCID `json:"vpc,omitempty"` // that it is attached to
	Ended time.Time    `json:"ended,omitzero"`
}

// VPN is a connection of the two.
type VPN struct {
	events.VPNCreated
	Routes []netip.Prefix `json:"routes,omitempty"` // made by hand, in their order
	Ended  time.Time      `json:"ended,omitzero"`
}

// Live says that it has not ended.
func (g *CustomerGateway) Live() bool { return g.Ended.IsZero() }
func (g *VPNGateway) Live() bool      { return g.Ended.IsZero() }
func (c *VPN) Live() bool             { return c.Ended.IsZero() }

// Indexes of the tables of VPN. The account and the end come first in each.
const (
	vpnAccount = 0
	vpnEnd     = 1

	vpnGatewayVPC = 2 // VPNGateways

	vpnCustomer = 2 // VPNs, while live
	vpnGateway  = 3 // VPNs, while live
	vpnOutside  = 4 // VPNs, while live
)

func vpnEnded(at time.Time) []string {
	if at.IsZero() {
		return nil
	}
	return []string{stampKey(at)}
}

// ends are the values under which a connection stands while it is live.
func (c *VPN) ends(values ...string) []string {
	if !c.Live() {
		return nil
	}
	return values
}

func vpnAddresses(c *VPN) []string {
	var out []string
	for _, t := range c.Tunnels {
		out = append(out, t.Outside.String())
	}
	return c.ends(out...)
}

// CustomerGatewaysOf walks an account's customer gateways, those that have ended
// too.
func (v *View) CustomerGatewaysOf(a events.AccountID) iter.Seq[*CustomerGateway] {
	return v.CustomerGateways.by(vpnAccount, string(a))
}

// VPNGatewaysOf walks an account's virtual private gateways, those that have
// ended too.
func (v *View) VPNGatewaysOf(a events.AccountID) iter.Seq[*VPNGateway] {
	return v.VPNGateways.by(vpnAccount, string(a))
}

// VPNsOf walks an account's connections, those that have ended too.
func (v *View) VPNsOf(a events.AccountID) iter.Seq[*VPN] { return v.VPNs.by(vpnAccount, string(a)) }

// VPNGatewayOf is a VPC's virtual private gateway.
func (v *View) VPNGatewayOf(id events.VPCID) (*VPNGateway, bool) {
	for g := range v.VPNGateways.by(vpnGatewayVPC, string(id)) {
		return g, true
	}
	return nil, false
}

// VPNsTo walks the live connections of a customer gateway.
func (v *View) VPNsTo(id events.CustomerID) iter.Seq[*VPN] { return v.VPNs.by(vpnCustomer, string(id)) }

// VPNsOn walks the live connections of a virtual private gateway.
func (v *View) VPNsOn(id events.VPNGatewayID) iter.Seq[*VPN] {
	return v.VPNs.by(vpnGateway, string(id))
}

// VPNBetween is the live connection of two gateways.
func (v *View) VPNBetween(customer events.CustomerID, gateway events.VPNGatewayID) (*VPN, bool) {
	for c := range v.VPNsTo(customer) {
		if c.Gateway == gateway {
			return c, true
		}
	}
	return nil, false
}

// CustomerGatewaysEndedBefore walks those that ended before t, oldest first.
func (v *View) CustomerGatewaysEndedBefore(t time.Time) iter.Seq[*CustomerGateway] {
	return before(v.CustomerGateways, vpnEnd, func(g *CustomerGateway) time.Time { return g.Ended }, t)
}

// VPNGatewaysEndedBefore walks those that ended before t, oldest first.
func (v *View) VPNGatewaysEndedBefore(t time.Time) iter.Seq[*VPNGateway] {
	return before(v.VPNGateways, vpnEnd, func(g *VPNGateway) time.Time { return g.Ended }, t)
}

// VPNsEndedBefore walks those that ended before t, oldest first.
func (v *View) VPNsEndedBefore(t time.Time) iter.Seq[*VPN] {
	return before(v.VPNs, vpnEnd, func(c *VPN) time.Time { return c.Ended }, t)
}

// withoutVPNs ends what an account has of this.
func (tx *Tx) withoutVPNs(a events.AccountID) {
	tx.CustomerGateways.delAll(vpnAccount, string(a))
	tx.VPNGateways.delAll(vpnAccount, string(a))
	tx.VPNs.delAll(vpnAccount, string(a))
}

// vpns evolves what happened to VPN. No node has a part in it, so no spec
// changes.
func (tx *Tx) vpns(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.CustomerGatewayCreated:
		tx.CustomerGateways.put(string(e.ID), &CustomerGateway{CustomerGatewayCreated: e})
	case events.CustomerGatewayDeleted:
		for range tx.VPNsTo(e.ID) {
			must(false, r, "a customer gateway that is in use was deleted")
		}
		tx.CustomerGateways.change(string(e.ID), func(g *CustomerGateway) { g.Ended = e.At })
	case events.CustomerGatewayForgotten:
		tx.CustomerGateways.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.VPNGatewayCreated:
		tx.VPNGateways.put(string(e.ID), &VPNGateway{VPNGatewayCreated: e})
	case events.VPNGatewayAttached:
		_, has := tx.VPNGatewayOf(e.VPC)
		must(!has, r, "a VPC with two virtual private gateways")
		tx.VPNGateways.change(string(e.ID), func(g *VPNGateway) { g.VPC = e.VPC })
	case events.VPNGatewayDetached:
		for t := range tx.RouteTablesOf(e.VPC) {
			must(t.Propagating == "", r, "a virtual private gateway went while it propagated its routes")
		}
		tx.VPNGateways.change(string(e.ID), func(g *VPNGateway) { g.VPC = "" })
	case events.VPNGatewayDeleted:
		for range tx.VPNsOn(e.ID) {
			must(false, r, "a virtual private gateway that is in use was deleted")
		}
		tx.VPNGateways.change(string(e.ID), func(g *VPNGateway) {
			must(g.VPC == "", r, "a virtual private gateway was deleted while it was attached")
			g.Ended = e.At
		})
	case events.VPNGatewayForgotten:
		tx.VPNGateways.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.VPNCreated:
		for _, t := range e.Tunnels {
			must(!tx.PublicTaken(t.Outside), r, "public address given twice")
			tx.Meta.NextPublic = t.Outside.Next()
		}
		tx.VPNs.put(string(e.ID), &VPN{VPNCreated: e})
	case events.VPNDeleted:
		tx.VPNs.change(string(e.ID), func(c *VPN) {
			must(c.Live(), r, "a VPN connection ended twice")
			c.Ended = e.At
		})
	case events.VPNForgotten:
		tx.VPNs.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.VPNRouteCreated:
		tx.VPNs.change(string(e.VPN), func(c *VPN) { c.Routes = append(slices.Clip(c.Routes), e.Destination) })
	case events.VPNRouteDeleted:
		tx.VPNs.change(string(e.VPN), func(c *VPN) {
			c.Routes = slices.DeleteFunc(slices.Clone(c.Routes), func(p netip.Prefix) bool { return p == e.Destination })
		})
	case events.RoutePropagationEnabled:
		tx.RouteTables.change(string(e.Table), func(t *RouteTable) { t.Propagating = e.Gateway })
	case events.RoutePropagationDisabled:
		tx.RouteTables.change(string(e.Table), func(t *RouteTable) { t.Propagating = "" })
	default:
		return false
	}
	return true
}
