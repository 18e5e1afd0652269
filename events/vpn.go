package events

import (
	"net/netip"
	"time"
)

// Commands and events of site-to-site VPN: customer gateways, virtual private
// gateways, the connections between them, and what follows for route tables.

// CreateCustomerGateway tells the region of a device at the customer's end. One
// that is known already is not made again.
type CreateCustomerGateway struct {
	Address string `json:"address"`          // IPv4, of its outside interface
	ASN     uint32 `json:"asn,omitempty"`    // 65000 when unset
	Device  string `json:"device,omitempty"` // its name
	Tags    []Tag  `json:"tags,omitempty"`
}

// DeleteCustomerGateway forgets one that no connection uses.
type DeleteCustomerGateway struct {
	Gateway CustomerID `json:"gateway"`
}

// CreateVPNGateway makes a virtual private gateway, attached to nothing.
type CreateVPNGateway struct {
	ASN  uint32 `json:"asn,omitempty"` // of the region's side; 64512 when unset
	Zone Zone   `json:"zone,omitempty"`
	Tags []Tag  `json:"tags,omitempty"`
}

// AttachVPNGateway gives a VPC its virtual private gateway.
type AttachVPNGateway struct {
	Gateway VPNGatewayID `json:"gateway"`
	VPC     VPCID        `json:"vpc"`
}

// DetachVPNGateway takes it away. It propagates its routes no more, and routes
// that lead there lead nowhere.
type DetachVPNGateway struct {
	Gateway VPNGatewayID `json:"gateway"`
	VPC     VPCID        `json:"vpc"`
}

// DeleteVPNGateway ends a virtual private gateway that nothing uses.
type DeleteVPNGateway struct {
	Gateway VPNGatewayID `json:"gateway"`
}

// CreateVPN connects a customer gateway with a virtual private one by two
// tunnels.
type CreateVPN struct {
	Customer CustomerID   `json:"customer"`
	Gateway  VPNGatewayID `json:"gateway"`
	Static   bool         `json:"static,omitempty"` // routes are made by hand, none are learnt
	Local    string       `json:"local,omitempty"`  // block on the customer's side; everything when unset
	Remote   string       `json:"remote,omitempty"` // and on the region's
	Tunnels  []Tunnel     `json:"tunnels,omitempty"`
	Tags     []Tag        `json:"tags,omitempty"`
}

// Tunnel is how one tunnel of a connection is wanted. What is unset is chosen.
type Tunnel struct {
	Inside  string `json:"inside,omitempty"` // a /30 of 169.254.0.0/16
	Key     []byte `json:"key,omitempty"`    // the pre-shared key, sealed; else it is derived
	Options string `json:"options,omitempty"`
}

// DeleteVPN ends a connection.
type DeleteVPN struct {
	VPN VPNID `json:"vpn"`
}

// CreateVPNRoute tells of a network that is behind a connection's customer
// gateway.
type CreateVPNRoute struct {
	VPN         VPNID  `json:"vpn"`
	Destination string `json:"destination"`
}

// DeleteVPNRoute takes that back.
type DeleteVPNRoute struct {
	VPN         VPNID  `json:"vpn"`
	Destination string `json:"destination"`
}

// EnableRoutePropagation has a route table take up the routes of a virtual
// private gateway.
type EnableRoutePropagation struct {
	Table   TableID      `json:"table"`
	Gateway VPNGatewayID `json:"gateway"`
}

// DisableRoutePropagation ends that.
type DisableRoutePropagation struct {
	Table   TableID      `json:"table"`
	Gateway VPNGatewayID `json:"gateway"`
}

// CustomerGatewayCreated is a device at the customer's end.
type CustomerGatewayCreated struct {
	ID      CustomerID `json:"id"`
	Account AccountID  `json:"account"`
	Address netip.Addr `json:"address"`
	ASN     uint32     `json:"asn"`
	Device  string     `json:"device,omitempty"`
	At      time.Time  `json:"at"`
}

// CustomerGatewayDeleted ends it.
type CustomerGatewayDeleted struct {
	ID      CustomerID `json:"id"`
	Account AccountID  `json:"account"`
	At      time.Time  `json:"at"`
}

// CustomerGatewayForgotten takes one that has ended off the list.
type CustomerGatewayForgotten struct {
	ID      CustomerID `json:"id"`
	Account AccountID  `json:"account"`
}

// VPNGatewayCreated is a virtual private gateway that is attached to nothing.
type VPNGatewayCreated struct {
	ID      VPNGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	ASN     uint32       `json:"asn"`
	Zone    Zone         `json:"zone,omitempty"` // as it was asked for; it is in all of them
	At      time.Time    `json:"at"`
}

// VPNGatewayAttached gives a VPC its virtual private gateway.
type VPNGatewayAttached struct {
	ID      VPNGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
}

// VPNGatewayDetached takes it away. Its routes have left the VPC's tables before.
type VPNGatewayDetached struct {
	ID      VPNGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
}

// VPNGatewayDeleted ends it.
type VPNGatewayDeleted struct {
	ID      VPNGatewayID `json:"id"`
	Account AccountID    `json:"account"`
	At      time.Time    `json:"at"`
}

// VPNGatewayForgotten takes one that has ended off the list.
type VPNGatewayForgotten struct {
	ID      VPNGatewayID `json:"id"`
	Account AccountID    `json:"account"`
}

// VPNCreated is a connection, which is available at once: no node forms it.
type VPNCreated struct {
	ID       VPNID        `json:"id"`
	Account  AccountID    `json:"account"`
	Customer CustomerID   `json:"customer"`
	Gateway  VPNGatewayID `json:"gateway"`
	Static   bool         `json:"static,omitempty"`
	Local    netip.Prefix `json:"local"`
	Remote   netip.Prefix `json:"remote"`
	Tunnels  []TunnelPart `json:"tunnels"`
	At       time.Time    `json:"at"`
}

// TunnelPart is a tunnel of a connection. Its pre-shared key follows from the
// region's key, unless one was given: Key is that one, sealed.
type TunnelPart struct {
	Outside netip.Addr   `json:"outside"` // public address of the region's end
	Inside  netip.Prefix `json:"inside"`  // the region's end has its first address, the customer's the second
	Key     []byte       `json:"key,omitempty"`
	Options string       `json:"options,omitempty"` // EC2's own shape as JSON: what the region only keeps
}

// VPNDeleted ends a connection. Its outside addresses are free.
type VPNDeleted struct {
	ID      VPNID     `json:"id"`
	Account AccountID `json:"account"`
	At      time.Time `json:"at"`
}

// VPNForgotten takes one that has ended off the list.
type VPNForgotten struct {
	ID      VPNID     `json:"id"`
	Account AccountID `json:"account"`
}

// VPNRouteCreated is a network behind a connection's customer gateway.
type VPNRouteCreated struct {
	VPN         VPNID        `json:"vpn"`
	Account     AccountID    `json:"account"`
	Destination netip.Prefix `json:"destination"`
}

// VPNRouteDeleted takes it away.
type VPNRouteDeleted struct {
	VPN         VPNID        `json:"vpn"`
	Account     AccountID    `json:"account"`
	Destination netip.Prefix `json:"destination"`
}

// RoutePropagationEnabled has a route table take up the routes of its VPC's
// virtual private gateway.
type RoutePropagationEnabled struct {
	Table   TableID      `json:"table"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
	Gateway VPNGatewayID `json:"gateway"`
}

// RoutePropagationDisabled ends that.
type RoutePropagationDisabled struct {
	Table   TableID      `json:"table"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
	Gateway VPNGatewayID `json:"gateway"`
}

// Service names the room that decides.
func (CreateCustomerGateway) Service() string   { return "network" }
func (DeleteCustomerGateway) Service() string   { return "network" }
func (CreateVPNGateway) Service() string        { return "network" }
func (AttachVPNGateway) Service() string        { return "network" }
func (DetachVPNGateway) Service() string        { return "network" }
func (DeleteVPNGateway) Service() string        { return "network" }
func (CreateVPN) Service() string               { return "network" }
func (DeleteVPN) Service() string               { return "network" }
func (CreateVPNRoute) Service() string          { return "network" }
func (DeleteVPNRoute) Service() string          { return "network" }
func (EnableRoutePropagation) Service() string  { return "network" }
func (DisableRoutePropagation) Service() string { return "network" }

func customerAbout(id CustomerID, verb string) About {
	return About{"", "network", "customer-gateway", string(id), verb}
}

func vpnGatewayAbout(id VPNGatewayID, verb string) About {
	return About{"", "network", "vpn-gateway", string(id), verb}
}

func vpnAbout(id VPNID, verb string) About {
	return About{"", "network", "vpn-connection", string(id), verb}
}

// About says of whom.
func (e CustomerGatewayCreated) About() About   { return customerAbout(e.ID, "created") }
func (e CustomerGatewayDeleted) About() About   { return customerAbout(e.ID, "deleted") }
func (e CustomerGatewayForgotten) About() About { return customerAbout(e.ID, "forgotten") }
func (e VPNGatewayCreated) About() About        { return vpnGatewayAbout(e.ID, "created") }
func (e VPNGatewayAttached) About() About       { return vpnGatewayAbout(e.ID, "attached") }
func (e VPNGatewayDetached) About() About       { return vpnGatewayAbout(e.ID, "detached") }
func (e VPNGatewayDeleted) About() About        { return vpnGatewayAbout(e.ID, "deleted") }
func (e VPNGatewayForgotten) About() About      { return vpnGatewayAbout(e.ID, "forgotten") }
func (e VPNCreated) About() About               { return vpnAbout(e.ID, "created") }
func (e VPNDeleted) About() About               { return vpnAbout(e.ID, "deleted") }
func (e VPNForgotten) About() About             { return vpnAbout(e.ID, "forgotten") }
func (e VPNRouteCreated) About() About          { return vpnAbout(e.VPN, "route-created") }
func (e VPNRouteDeleted) About() About          { return vpnAbout(e.VPN, "route-deleted") }
func (e RoutePropagationEnabled) About() About  { return tableAbout(e.Table, "propagation-enabled") }
func (e RoutePropagationDisabled) About() About { return tableAbout(e.Table, "propagation-disabled") }

func init() {
	for _, c := range []Command{CreateCustomerGateway{}, DeleteCustomerGateway{}, CreateVPNGateway{}, AttachVPNGateway{}, DetachVPNGateway{}, DeleteVPNGateway{},
		CreateVPN{}, DeleteVPN{}, CreateVPNRoute{}, DeleteVPNRoute{}, EnableRoutePropagation{}, DisableRoutePropagation{}} {
		commands.add(c)
	}
	for _, e := range []Event{CustomerGatewayCreated{}, CustomerGatewayDeleted{}, CustomerGatewayForgotten{},
		VPNGatewayCreated{}, VPNGatewayAttached{}, VPNGatewayDetached{}, VPNGatewayDeleted{}, VPNGatewayForgotten{},
		VPNCreated{}, VPNDeleted{}, VPNForgotten{}, VPNRouteCreated{}, VPNRouteDeleted{},
		RoutePropagationEnabled{}, RoutePropagationDisabled{}} {
		kinds.add(e)
	}
}
