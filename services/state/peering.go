package state

import (
	"iter"
	"time"

	"skerry/events"
)

// States of a peering connection ("VPC peering connection lifecycle").
const (
	PeeringPending  = "pending-acceptance"
	PeeringActive   = "active"
	PeeringRejected = "rejected"
	PeeringFailed   = "failed"
	PeeringExpired  = "expired"
	PeeringDeleted  = "deleted"
)

// Peering is a connection between two VPCs, from request to the hour after its
// end.
type Peering struct {
	events.PeeringRequested
	State string           `json:"state"`
	Ended time.Time        `json:"ended,omitzero"`
	By    events.AccountID `json:"by,omitempty"` // who ended it
	N     uint64           `json:"n"`
}

// Live says that packets go through it, or may yet.
func (p *Peering) Live() bool { return p.State == PeeringPending || p.State == PeeringActive }

// Due is when time does something to it.
func (p *Peering) Due() (time.Time, bool) {
	switch {
	case p.State == PeeringPending:
		return p.At.Add(events.KeepPeeringRequest), true
	case !p.Live():
		return p.Ended.Add(events.KeepTerminated), true
	}
	return time.Time{}, false
}

// Other is the VPC at the other end.
func (p *Peering) Other(id events.VPCID) events.VPCID {
	if id == p.VPC {
		return p.Peer
	}
	return p.VPC
}

// sides are the VPCs at both ends, while the connection is active.
func (p *Peering) sides() []string {
	if p.State != PeeringActive {
		return nil
	}
	return []string{string(p.VPC), string(p.Peer)}
}

func peeringOwners(p *Peering) []string {
	if p.PeerAccount == p.Account || p.State == PeeringFailed { // a failed one concerns who asked alone
		return []string{string(p.Account)}
	}
	return []string{string(p.Account), string(p.PeerAccount)}
}

func peeringDue(p *Peering) []string {
	at, ok := p.Due()
	if !ok {
		return nil
	}
	return []string{stampKey(at)}
}

// Peering finds a connection of which an account has an end.
func (v *View) Peering(a events.AccountID, id events.PeeringID) (*Peering, bool) {
	p, ok := v.Peerings.Get(string(id))
	if !ok || p.Account != a && (p.PeerAccount != a || p.State == PeeringFailed) {
		return nil, false
	}
	return p, true
}

// PeeringsOf walks the connections of which an account has an end.
func (v *View) PeeringsOf(a events.AccountID) iter.Seq[*Peering] { return v.Peerings.by(0, string(a)) }

// PeersOf walks the active connections of a VPC.
func (v *View) PeersOf(id events.VPCID) iter.Seq[*Peering] { return v.Peerings.by(1, string(id)) }

// PeeringsDue walks the connections that time does something to before t.
func (v *View) PeeringsDue(t time.Time) iter.Seq[*Peering] {
	due := func(p *Peering) time.Time {
		at, _ := p.Due()
		return at
	}
	return before(v.Peerings, 2, due, t)
}

// peerings evolves what happened to peering connections.
func (tx *Tx) peerings(r events.Record) bool {
	end := func(id events.PeeringID, state string, at time.Time, by events.AccountID) {
		tx.Peerings.change(string(id), func(p *Peering) {
			must(p.Live(), r, "a peering connection ended twice")
			p.State, p.Ended, p.By, p.N = state, at, by, r.N
		})
	}
	switch e := r.Event.(type) {
	case events.PeeringRequested:
		p := &Peering{PeeringRequested: e, State: PeeringPending, N: r.N}
		if e.Failed {
			p.State, p.Ended = PeeringFailed, e.At
		}
		tx.Peerings.put(string(e.ID), p)
	case events.PeeringAccepted:
		tx.Peerings.change(string(e.ID), func(p *Peering) {
			must(p.State == PeeringPending, r, "a peering connection was accepted that nobody waits for")
			p.State, p.N = PeeringActive, r.N
		})
		tx.touchVPC(e.VPC, r)
		tx.touchVPC(e.Peer, r)
	case events.PeeringRejected:
		end(e.ID, PeeringRejected, e.At, e.PeerAccount)
	case events.PeeringExpired:
		end(e.ID, PeeringExpired, e.At, "")
	case events.PeeringDeleted:
		end(e.ID, PeeringDeleted, e.At, e.By)
		tx.touchVPC(e.VPC, r)
		tx.touchVPC(e.Peer, r)
	case events.PeeringForgotten:
		tx.Peerings.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	default:
		return false
	}
	return true
}
