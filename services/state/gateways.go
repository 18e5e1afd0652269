package state

import (
	"iter"
	"time"

	"skerry/events"
)

// The rows of gateways and peers, how they are found, and how they evolve.

// States of a NAT gateway ("NatGatewayState" in the EC2 API reference).
const (
	NATPending   = "pending"
	NATAvailable = "available"
	NATFailed    = "failed"
	NATDeleted   = "deleted"
)

// NATGateway is a NAT gateway from request to the hour after its end.
type NATGateway struct {
	events.NATGatewayCreated
	State   string    `json:"state"`
	Code    string    `json:"code,omitempty"` // why it failed, in EC2's word
	Detail  string    `json:"detail,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`
	N       uint64    `json:"n"`
	Request string    `json:"request,omitempty"`
}

// Live says that a NAT gateway has not ended.
func (g *NATGateway) Live() bool { return g.State == NATPending || g.State == NATAvailable }

// EgressGateway is a VPC's way outside for IPv6 that nobody comes in by.
type EgressGateway struct {
	events.EgressGatewayCreated
}

func natEnd(g *NATGateway) []string {
	if g.Live() {
		return nil
	}
	return []string{stampKey(g.Ended)}
}

func natLive(g *NATGateway) []string {
	if !g.Live() {
		return nil
	}
	return []string{string(g.VPC)}
}

// NATGatewaysOf walks an account's NAT gateways, those that have ended too.
func (v *View) NATGatewaysOf(a events.AccountID) iter.Seq[*NATGateway] {
	return v.NATGateways.by(0, string(a))
}

// NATGatewaysIn walks a VPC's NAT gateways that have not ended.
func (v *View) NATGatewaysIn(id events.VPCID) iter.Seq[*NATGateway] {
	return v.NATGateways.by(1, string(id))
}

// NATEndedBefore walks NAT gateways that ended before t, oldest first.
func (v *View) NATEndedBefore(t time.Time) iter.Seq[*NATGateway] {
	return before(v.NATGateways, 2, func(g *NATGateway) time.Time { return g.Ended }, t)
}

// EgressGatewaysOf walks an account's egress-only gateways.
func (v *View) EgressGatewaysOf(a events.AccountID) iter.Seq[*EgressGateway] {
	return v.EgressGateways.by(0, string(a))
}

// EgressGatewaysIn walks a VPC's egress-only gateways.
func (v *View) EgressGatewaysIn(id events.VPCID) iter.Seq[*EgressGateway] {
	return v.EgressGateways.by(1, string(id))
}

// GatewayOf finds the internet gateway of an association with a route table.
func (v *View) GatewayOf(a events.AccountID, id events.AssociationID) (*InternetGateway, bool) {
	for g := range v.InternetGateways.by(2, string(id)) {
		return g, g.Account == a
	}
	return nil, false
}

// EdgesOn walks the internet gateways that are associated with a route table.
func (v *View) EdgesOn(id events.TableID) iter.Seq[*InternetGateway] {
	return v.InternetGateways.by(3, string(id))
}

// gateways evolves what happened to gateways.
func (tx *Tx) gateways(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.NATGatewayCreated:
		tx.NATGateways.put(string(e.ID), &NATGateway{NATGatewayCreated: e, State: NATPending, N: r.N, Request: r.Request})
		tx.touchVPC(e.VPC, r)
	case events.NATGatewayAvailable:
		tx.changeNAT(e.ID, r, func(g *NATGateway) { g.State = NATAvailable })
	case events.NATGatewayFailed:
		tx.changeNAT(e.ID, r, func(g *NATGateway) { g.State, g.Code, g.Detail, g.Ended = NATFailed, e.Code, e.Detail, e.At })
	case events.NATGatewayDeleted:
		tx.changeNAT(e.ID, r, func(g *NATGateway) { g.State, g.Ended = NATDeleted, e.At })
	case events.NATGatewayForgotten:
		tx.NATGateways.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.EgressGatewayCreated:
		tx.EgressGateways.put(string(e.ID), &EgressGateway{e})
		tx.touchVPC(e.VPC, r)
	case events.EgressGatewayDeleted:
		tx.EgressGateways.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.touchVPC(e.VPC, r)
	case events.GatewayTableAssociated:
		tx.edge(e.Gateway, e.VPC, r, e.Table, e.Association)
	case events.GatewayTableDisassociated:
		tx.edge(e.Gateway, e.VPC, r, "", "")
	default:
		return false
	}
	return true
}

func (tx *Tx) changeNAT(id events.NATGatewayID, r events.Record, f func(*NATGateway)) {
	var vpc events.VPCID
	tx.NATGateways.change(string(id), func(g *NATGateway) {
		_, deleted := r.Event.(events.NATGatewayDeleted)
		must(g.Live() || deleted && g.State == NATFailed, r, "a NAT gateway after its end")
		f(g)
		g.N, g.Request, vpc = r.N, r.Request, g.VPC
	})
	tx.touchVPC(vpc, r)
}

func (tx *Tx) edge(id events.GatewayID, vpc events.VPCID, r events.Record, table events.TableID, a events.AssociationID) {
	tx.InternetGateways.change(string(id), func(g *InternetGateway) { g.Table, g.Association, g.TableN = table, a, r.N })
	tx.touchVPC(vpc, r)
}

// moved notes that another node serves a zone's gateways: their interfaces are
// there now.
func (tx *Tx) moved(z events.Zone, r events.Record) {
	for _, g := range tx.NATGateways.All() {
		if g.Zone == z && g.Live() {
			tx.touchInterface(g.Interface, r)
			tx.touchVPC(g.VPC, r)
		}
	}
}
