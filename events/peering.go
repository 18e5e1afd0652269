package events

import "time"

// Commands and events of connections between two VPCs of the region.

// CreatePeering asks the owner of another VPC for a connection.
type CreatePeering struct {
	VPC         VPCID     `json:"vpc"`
	Peer        VPCID     `json:"peer"`
	PeerAccount AccountID `json:"peerAccount,omitempty"` // the caller's when unset
	Tags        []Tag     `json:"tags,omitempty"`
}

// AcceptPeering agrees to a connection that was asked for.
type AcceptPeering struct {
	Peering PeeringID `json:"peering"`
}

// RejectPeering refuses it.
type RejectPeering struct {
	Peering PeeringID `json:"peering"`
}

// DeletePeering ends a connection, from either side.
type DeletePeering struct {
	Peering PeeringID `json:"peering"`
}

// PeeringRequested is a connection that the peer's owner may accept until it
// expires. One that could never be is failed from the start: Failed says so,
// and nothing of why, which would tell of other accounts' networks.
type PeeringRequested struct {
	ID          PeeringID `json:"id"`
	Account     AccountID `json:"account"`
	VPC         VPCID     `json:"vpc"`
	PeerAccount AccountID `json:"peerAccount"`
	Peer        VPCID     `json:"peer"`
	Failed      bool      `json:"failed,omitempty"`
	At          time.Time `json:"at"`
}

// PeeringAccepted makes it active.
type PeeringAccepted struct {
	ID          PeeringID `json:"id"`
	Account     AccountID `json:"account"`
	PeerAccount AccountID `json:"peerAccount"`
	VPC         VPCID     `json:"vpc"`
	Peer        VPCID     `json:"peer"`
}

// PeeringRejected refuses it for good.
type PeeringRejected struct {
	ID          PeeringID `json:"id"`
	Account     AccountID `json:"account"`
	PeerAccount AccountID `json:"peerAccount"`
	At          time.Time `json:"at"`
}

// PeeringExpired says that nobody accepted in time.
type PeeringExpired struct {
	ID          PeeringID `json:"id"`
	Account     AccountID `json:"account"`
	PeerAccount AccountID `json:"peerAccount"`
	At          time.Time `json:"at"`
}

// PeeringDeleted ends it. Routes that lead there lead nowhere.
type PeeringDeleted struct {
	ID          PeeringID `json:"id"`
	Account     AccountID `json:"account"`
	PeerAccount AccountID `json:"peerAccount"`
	VPC         VPCID     `json:"vpc"`
	Peer        VPCID     `json:"peer"`
	By          AccountID `json:"by"`
	At          time.Time `json:"at"`
}

// PeeringForgotten takes one that has ended off the list.
type PeeringForgotten struct {
	ID      PeeringID `json:"id"`
	Account AccountID `json:"account"`
}

// KeepPeeringRequest is how long a request waits for an answer ("VPC peering
// connection lifecycle").
const KeepPeeringRequest = 7 * 24 * time.Hour

// Service names the room that decides.
func (CreatePeering) Service() string { return "network" }
func (AcceptPeering) Service() string { return "network" }
func (RejectPeering) Service() string { return "network" }
func (DeletePeering) Service() string { return "network" }

func peeringAbout(id PeeringID, verb string) About {
	return About{"", "network", "vpc-peering-connection", string(id), verb}
}

// About says of whom.
func (e PeeringRequested) About() About { return peeringAbout(e.ID, "requested") }
func (e PeeringAccepted) About() About  { return peeringAbout(e.ID, "accepted") }
func (e PeeringRejected) About() About  { return peeringAbout(e.ID, "rejected") }
func (e PeeringExpired) About() About   { return peeringAbout(e.ID, "expired") }
func (e PeeringDeleted) About() About   { return peeringAbout(e.ID, "deleted") }
func (e PeeringForgotten) About() About { return peeringAbout(e.ID, "forgotten") }

func init() {
	for _, c := range []Command{CreatePeering{}, AcceptPeering{}, RejectPeering{}, DeletePeering{}} {
		commands.add(c)
	}
	for _, e := range []Event{PeeringRequested{}, PeeringAccepted{}, PeeringRejected{}, PeeringExpired{}, PeeringDeleted{}, PeeringForgotten{}} {
		kinds.add(e)
	}
}
