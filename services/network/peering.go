package network

import (
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of peering ("Amazon VPC quotas").
const (
	maxPeers    = 50 // active connections of a VPC
	maxRequests = 25 // of an account, that wait for an answer
)

// CreatePeering asks for a connection. What cannot be, for reasons that lie with
// another account, fails as EC2's does: without telling why.
func CreatePeering(v *state.View, s events.Stamp, c events.CreatePeering) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	if c.Peer == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter peerVpcId")
	}
	owner := c.PeerAccount
	if owner == "" {
		owner = s.Account
	}
	waiting := 0
	for p := range v.PeeringsOf(s.Account) {
		between := p.VPC == vpc.ID && p.Peer == c.Peer || p.Peer == vpc.ID && p.VPC == c.Peer
		switch {
		case between && p.Live():
			return nil, events.Faultf("VpcPeeringConnectionAlreadyExists", "A VPC peering connection between the VPCs %s and %s exists already: %s.", vpc.ID, c.Peer, p.ID)
		case p.State == state.PeeringPending && p.Account == s.Account:
			waiting++
		}
	}
	if waiting >= maxRequests {
		return nil, events.Faultf("OutstandingVpcPeeringConnectionLimitExceeded", "The maximum number of outstanding VPC peering connection requests has been reached.")
	}
	if err := morePeers(v, vpc.ID); err != nil {
		return nil, err
	}
	peer, ok := v.VPCs.Get(string(c.Peer))
	id := events.PeeringID("pcx-" + s.Seed.Hex("pcx", 0))
	out := []events.Event{events.PeeringRequested{ID: id, Account: s.Account, VPC: vpc.ID, PeerAccount: owner, Peer: c.Peer, At: s.Time,
		Failed: !ok || peer.Account != owner || peer.ID == vpc.ID || alike(vpc, peer)}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// alike says that two VPCs have addresses in common.
func alike(a, b *state.VPC) bool {
	for _, p := range a.CIDRs() {
		if slices.ContainsFunc(b.CIDRs(), p.Overlaps) {
			return true
		}
	}
	return false
}

func morePeers(v *state.View, id events.VPCID) error {
	count := 0
	for range v.PeersOf(id) {
		count++
	}
	if count >= maxPeers {
		return events.Faultf("ActiveVpcPeeringConnectionPerVpcLimitExceeded", "The maximum number of active VPC peering connections of VPC '%s' has been reached.", id)
	}
	return nil
}

func peering(v *state.View, a events.AccountID, id events.PeeringID) (*state.Peering, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter vpcPeeringConnectionId")
	}
	p, ok := v.Peering(a, id)
	if !ok {
		return nil, events.Faultf("InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '%s' does not exist", id)
	}
	return p, nil
}

func inState(p *state.Peering, what string) error {
	return events.Faultf("InvalidStateTransition", "Invalid state transition for %s, attempted to transition from %s to %s", p.ID, p.State, what)
}

// AcceptPeering agrees to a connection, as the owner of the VPC that is asked.
func AcceptPeering(v *state.View, s events.Stamp, c events.AcceptPeering) ([]events.Event, error) {
	p, err := peering(v, s.Account, c.Peering)
	if err != nil {
		return nil, err
	}
	if p.PeerAccount != s.Account {
		return nil, events.Faultf("OperationNotPermitted", "User %s cannot accept peering %s", s.Account, p.ID)
	}
	if p.State == state.PeeringActive {
		return nil, nil
	}
	a, ok := v.VPCs.Get(string(p.VPC))
	b, ok2 := v.VPCs.Get(string(p.Peer))
	if p.State != state.PeeringPending || !ok || !ok2 || alike(a, b) { // they may have got blocks since
		return nil, inState(p, state.PeeringActive)
	}
	for _, id := range []events.VPCID{p.VPC, p.Peer} {
		if err := morePeers(v, id); err != nil {
			return nil, err
		}
	}
	return []events.Event{events.PeeringAccepted{ID: p.ID, Account: p.Account, PeerAccount: p.PeerAccount, VPC: p.VPC, Peer: p.Peer}}, nil
}

// RejectPeering refuses a connection, as the owner of the VPC that is asked.
func RejectPeering(v *state.View, s events.Stamp, c events.RejectPeering) ([]events.Event, error) {
	p, err := peering(v, s.Account, c.Peering)
	if err != nil {
		return nil, err
	}
	if p.PeerAccount != s.Account {
		return nil, events.Faultf("OperationNotPermitted", "User %s cannot reject peering %s", s.Account, p.ID)
	}
	if p.State != state.PeeringPending {
		return nil, inState(p, state.PeeringRejected)
	}
	return []events.Event{events.PeeringRejected{ID: p.ID, Account: p.Account, PeerAccount: p.PeerAccount, At: s.Time}}, nil
}

// DeletePeering ends a connection: an active one from either side, a request by
// who asked. One that has ended stays as it is.
func DeletePeering(v *state.View, s events.Stamp, c events.DeletePeering) ([]events.Event, error) {
	p, err := peering(v, s.Account, c.Peering)
	if err != nil {
		return nil, err
	}
	switch {
	case !p.Live():
		return nil, inState(p, state.PeeringDeleted)
	case p.State == state.PeeringPending && p.Account != s.Account:
		return nil, events.Faultf("OperationNotPermitted", "User %s cannot delete peering %s: reject it.", s.Account, p.ID)
	}
	return []events.Event{unpeered(s, p)}, nil
}

func unpeered(s events.Stamp, p *state.Peering) events.Event {
	return events.PeeringDeleted{ID: p.ID, Account: p.Account, PeerAccount: p.PeerAccount, VPC: p.VPC, Peer: p.Peer, By: s.Account, At: s.Time}
}

// unpeeredAll ends the connections of a VPC that ends, and the requests.
func unpeeredAll(v *state.View, s events.Stamp, vpc *state.VPC) (out []events.Event) {
	for p := range v.PeeringsOf(vpc.Account) {
		if p.Live() && (p.VPC == vpc.ID || p.Peer == vpc.ID) {
			out = append(out, unpeered(s, p))
		}
	}
	return out
}

// apart refuses a block for a VPC that a peer has addresses of.
func apart(v *state.View, id events.VPCID, block netip.Prefix) error {
	for p := range v.PeersOf(id) {
		if o, ok := v.VPCs.Get(string(p.Other(id))); ok && slices.ContainsFunc(o.CIDRs(), block.Overlaps) {
			return events.Faultf("InvalidVpc.Range", "The CIDR '%s' conflicts with a VPC that is peered through %s.", block, p.ID)
		}
	}
	return nil
}
