package events

import (
	"net/netip"
	"time"
)

// Commands and events of the gateways through which instances without a public
// address reach others: NAT gateways, and egress-only internet gateways.

// CreateNATGateway makes a gateway in a subnet: a public one with an Elastic IP
// address, a private one without. With no address named, its subnet gives it
// one.
type CreateNATGateway struct {
	Subnet     SubnetID     `json:"subnet"`
	Private    bool         `json:"private,omitempty"`
	Allocation AllocationID `json:"allocation,omitempty"`
	PrivateIP  string       `json:"privateIp,omitempty"`
	Tags       []Tag        `json:"tags,omitempty"`
}

// DeleteNATGateway ends it.
type DeleteNATGateway struct {
	Gateway NATGatewayID `json:"gateway"`
}

// ReportNATGateway is a gateway node's word about a NAT gateway that it is to
// serve.
type ReportNATGateway struct {
	Gateway NATGatewayID `json:"gateway"`
	Host    HostID       `json:"host"`
	Ready   bool         `json:"ready"`
	Detail  string       `json:"detail,omitempty"` // why it is not
}

// CreateEgressGateway gives a VPC a way outside for IPv6 that nobody comes in by.
type CreateEgressGateway struct {
	VPC  VPCID `json:"vpc"`
	Tags []Tag `json:"tags,omitempty"`
}

// DeleteEgressGateway takes it away. Routes that lead there lead nowhere.
type DeleteEgressGateway struct {
	Gateway EgressID `json:"gateway"`
}

// NATGatewayCreated is a NAT gateway that no node serves yet. Its interface has
// been made before.
type NATGatewayCreated struct {
	ID         NATGatewayID `json:"id"`
	Account    AccountID    `json:"account"`
	Zone       Zone         `json:"zone"`
	VPC        VPCID        `json:"vpc"`
	Subnet     SubnetID     `json:"subnet"`
	Interface  InterfaceID  `json:"interface,omitempty"`
	PrivateIP  netip.Addr   `json:"privateIp"`
	Private    bool         `json:"private,omitempty"`
	Allocation AllocationID `json:"allocation,omitempty"`
	Address    netip.Addr   `json:"address,omitzero"` // public
	At         time.Time    `json:"at"`
}

// NATGatewayAvailable says that the gateway node of its zone serves it.
type NATGatewayAvailable struct {
	ID      NATGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	Zone    Zone         `json:"zone"`
	VPC     VPCID        `json:"vpc"`
}

// NATGatewayFailed says that it cannot be. Its interface ends with it.
type NATGatewayFailed struct {
	ID      NATGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	Zone    Zone         `json:"zone"`
	VPC     VPCID        `json:"vpc"`
	Code    string       `json:"code"` // of EC2
	Detail  string       `json:"detail"`
	At      time.Time    `json:"at"`
}

// NATGatewayDeleted ends it, and its interface ends with it: what a gateway node
// still sends as that one nobody takes.
type NATGatewayDeleted struct {
	ID      NATGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	Zone    Zone         `json:"zone"`
	VPC     VPCID        `json:"vpc"`
	At      time.Time    `json:"at"`
}

// NATGatewayForgotten takes one that has ended off the list.
type NATGatewayForgotten struct {
	ID      NATGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	Zone    Zone         `json:"zone"`
}

// EgressGatewayCreated is an egress-only internet gateway of a VPC.
type EgressGatewayCreated struct {
	ID      EgressID  `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// EgressGatewayDeleted ends it.
type EgressGatewayDeleted struct {
	ID      EgressID  `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// GatewayTableAssociated has what comes in by an internet gateway follow a route
// table ("Gateway route tables").
type GatewayTableAssociated struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Table       TableID       `json:"table"`
	Gateway     GatewayID     `json:"gateway"`
}

// GatewayTableDisassociated ends that.
type GatewayTableDisassociated struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Table       TableID       `json:"table"`
	Gateway     GatewayID     `json:"gateway"`
}

// Service names the room that decides.
func (CreateNATGateway) Service() string    { return "network" }
func (DeleteNATGateway) Service() string    { return "network" }
func (ReportNATGateway) Service() string    { return "network" }
func (CreateEgressGateway) Service() string { return "network" }
func (DeleteEgressGateway) Service() string { return "network" }

func natAbout(z Zone, id NATGatewayID, verb string) About {
	return About{z, "network", "nat-gateway", string(id), verb}
}

// About says of whom.
func (e NATGatewayCreated) About() About   { return natAbout(e.Zone, e.ID, "created") }
func (e NATGatewayAvailable) About() About { return natAbout(e.Zone, e.ID, "available") }
func (e NATGatewayFailed) About() About    { return natAbout(e.Zone, e.ID, "failed") }
func (e NATGatewayDeleted) About() About   { return natAbout(e.Zone, e.ID, "deleted") }
func (e NATGatewayForgotten) About() About { return natAbout(e.Zone, e.ID, "forgotten") }
func (e EgressGatewayCreated) About() About {
	return About{"", "network", "egress-only-internet-gateway", string(e.ID), "created"}
}
func (e EgressGatewayDeleted) About() About {
	return About{"", "network", "egress-only-internet-gateway", string(e.ID), "deleted"}
}
func (e GatewayTableAssociated) About() About { return tableAbout(e.Table, "associated-with-gateway") }
func (e GatewayTableDisassociated) About() About {
	return tableAbout(e.Table, "disassociated-from-gateway")
}

func init() {
	for _, c := range []Command{CreateNATGateway{}, DeleteNATGateway{}, ReportNATGateway{}, CreateEgressGateway{}, DeleteEgressGateway{}} {
		commands.add(c)
	}
	for _, e := range []Event{NATGatewayCreated{}, NATGatewayAvailable{}, NATGatewayFailed{}, NATGatewayDeleted{}, NATGatewayForgotten{},
		EgressGatewayCreated{}, EgressGatewayDeleted{}, GatewayTableAssociated{}, GatewayTableDisassociated{}} {
		kinds.add(e)
	}
}
