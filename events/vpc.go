package events

import "net/netip"

// Commands and events of the networks that users make: VPCs, subnets, internet
// gateways and route tables.

// CreateVPC makes a network with its main route table and its default group. One
// with a block of IPv6 needs none of IPv4.
type CreateVPC struct {
	CIDR string `json:"cidr"`
	Tags []Tag  `json:"tags,omitempty"`

	IPv6       string `json:"ipv6,omitempty"` // of a pool of the account
	Pool       string `json:"pool,omitempty"`
	AmazonIPv6 bool   `json:"amazonIpv6,omitempty"` // of the region's own
}

// CreateDefaultVPC makes the network that an account starts with anew.
type CreateDefaultVPC struct{}

// CreateDefaultSubnet makes the default subnet of a zone anew.
type CreateDefaultSubnet struct {
	Zone Zone `json:"zone"`
}

// DeleteVPC ends a network that nothing is in.
type DeleteVPC struct {
	VPC VPCID `json:"vpc"`
}

// ModifyVPC changes what is set.
type ModifyVPC struct {
	VPC          VPCID `json:"vpc"`
	DNSSupport   *bool `json:"dnsSupport,omitempty"`
	DNSHostnames *bool `json:"dnsHostnames,omitempty"`
}

// CreateSubnet makes a part of a VPC in a zone, which is chosen when none is named.
type CreateSubnet struct {
	VPC    VPCID  `json:"vpc"`
	CIDR   string `json:"cidr"`
	Zone   Zone   `json:"zone,omitempty"`
	Tags   []Tag  `json:"tags,omitempty"`
	IPv6   string `json:"ipv6,omitempty"`
	Native bool   `json:"native,omitempty"` // of IPv6 alone
}

// DeleteSubnet ends a subnet without interfaces.
type DeleteSubnet struct {
	Subnet SubnetID `json:"subnet"`
}

// ModifySubnet changes what is set.
type ModifySubnet struct {
	Subnet    SubnetID `json:"subnet"`
	MapPublic *bool    `json:"mapPublic,omitempty"`

	AssignIPv6 *bool   `json:"assignIpv6,omitempty"`
	DNS64      *bool   `json:"dns64,omitempty"`
	Hostname   *string `json:"hostname,omitempty"` // ip-name or resource-name
}

// CreateInternetGateway makes a gateway that is attached to nothing.
type CreateInternetGateway struct {
	Tags []Tag `json:"tags,omitempty"`
}

// AttachInternetGateway gives a VPC its way outside.
type AttachInternetGateway struct {
	Gateway GatewayID `json:"gateway"`
	VPC     VPCID     `json:"vpc"`
}

// DetachInternetGateway takes it away.
type DetachInternetGateway struct {
	Gateway GatewayID `json:"gateway"`
	VPC     VPCID     `json:"vpc"`
}

// DeleteInternetGateway ends a gateway that is attached to nothing.
type DeleteInternetGateway struct {
	Gateway GatewayID `json:"gateway"`
}

// CreateRouteTable makes a table with the route within the VPC.
type CreateRouteTable struct {
	VPC  VPCID `json:"vpc"`
	Tags []Tag `json:"tags,omitempty"`
}

// DeleteRouteTable ends a table that no subnet uses.
type DeleteRouteTable struct {
	Table TableID `json:"table"`
}

// CreateRoute adds a route to one target: a gateway of some kind, a peer, an
// interface, or an instance's only interface.
type CreateRoute struct {
	Table       TableID     `json:"table"`
	Destination string      `json:"destination"`
	Gateway     GatewayID   `json:"gateway,omitempty"`
	Interface   InterfaceID `json:"interface,omitempty"`
	Instance    InstanceID  `json:"instance,omitempty"`

	NAT     NATGatewayID `json:"nat,omitempty"`
	Egress  EgressID     `json:"egress,omitempty"`
	Peering PeeringID    `json:"peering,omitempty"`
	VPN     VPNGatewayID `json:"vpn,omitempty"`

	PrefixList PrefixListID `json:"prefixList,omitempty"` // instead of a destination
}

// ReplaceRoute gives a route another target.
type ReplaceRoute struct {
	Table       TableID     `json:"table"`
	Destination string      `json:"destination"`
	Gateway     GatewayID   `json:"gateway,omitempty"`
	Interface   InterfaceID `json:"interface,omitempty"`
	Instance    InstanceID  `json:"instance,omitempty"`

	NAT     NATGatewayID `json:"nat,omitempty"`
	Egress  EgressID     `json:"egress,omitempty"`
	Peering PeeringID    `json:"peering,omitempty"`
	VPN     VPNGatewayID `json:"vpn,omitempty"`

	PrefixList PrefixListID `json:"prefixList,omitempty"` // instead of a destination
}

// DeleteRoute removes a route.
type DeleteRoute struct {
	Table       TableID      `json:"table"`
	Destination string       `json:"destination"`
	PrefixList  PrefixListID `json:"prefixList,omitempty"` // instead of a destination
}

// AssociateRouteTable has a subnet use a table, or what comes in by an internet
// gateway.
type AssociateRouteTable struct {
	Table   TableID   `json:"table"`
	Subnet  SubnetID  `json:"subnet"`
	Gateway GatewayID `json:"gateway,omitempty"`
}

// DisassociateRouteTable has a subnet use the main table again, or a gateway
// none.
type DisassociateRouteTable struct {
	Association AssociationID `json:"association"`
}

// ReplaceRouteTableAssociation has what an association stands for, a subnet or
// the VPC, use another table.
type ReplaceRouteTableAssociation struct {
	Association AssociationID `json:"association"`
	Table       TableID       `json:"table"`
}

// VPCModified changes what is set.
type VPCModified struct {
	ID           VPCID     `json:"id"`
	Account      AccountID `json:"account"`
	DNSSupport   *bool     `json:"dnsSupport,omitempty"`
	DNSHostnames *bool     `json:"dnsHostnames,omitempty"`
}

// VPCDeleted ends a network. What came with it has ended before.
type VPCDeleted struct {
	ID      VPCID     `json:"id"`
	Account AccountID `json:"account"`
}

// SubnetModified changes what is set.
type SubnetModified struct {
	ID        SubnetID  `json:"id"`
	Account   AccountID `json:"account"`
	VPC       VPCID     `json:"vpc"`
	Zone      Zone      `json:"zone"`
	MapPublic *bool     `json:"mapPublic,omitempty"`

	AssignIPv6 *bool   `json:"assignIpv6,omitempty"`
	DNS64      *bool   `json:"dns64,omitempty"`
	Hostname   *string `json:"hostname,omitempty"`
}

// SubnetDeleted ends a subnet, and its association with a route table.
type SubnetDeleted struct {
	ID      SubnetID  `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Zone    Zone      `json:"zone"`
}

// InternetGatewayAttached gives a VPC its way outside.
type InternetGatewayAttached struct {
	ID      GatewayID `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// InternetGatewayDetached takes it away. Routes that lead there lead nowhere.
type InternetGatewayDetached struct {
	ID      GatewayID `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// InternetGatewayDeleted ends a gateway.
type InternetGatewayDeleted struct {
	ID      GatewayID `json:"id"`
	Account AccountID `json:"account"`
}

// RouteTableDeleted ends a table.
type RouteTableDeleted struct {
	ID      TableID   `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// RouteCreated adds a route to a table.
type RouteCreated struct {
	Table   TableID   `json:"table"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Route   Route     `json:"route"`
}

// RouteReplaced gives the route with this destination another target.
type RouteReplaced struct {
	Table   TableID   `json:"table"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Route   Route     `json:"route"`
}

// RouteDeleted removes a route.
type RouteDeleted struct {
	Table       TableID      `json:"table"`
	Account     AccountID    `json:"account"`
	VPC         VPCID        `json:"vpc"`
	Destination netip.Prefix `json:"destination"`
	PrefixList  PrefixListID `json:"prefixList,omitempty"`
}

// RouteTableAssociated has a subnet use a table.
type RouteTableAssociated struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Table       TableID       `json:"table"`
	Subnet      SubnetID      `json:"subnet"`
}

// RouteTableDisassociated has a subnet use the main table again.
type RouteTableDisassociated struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Table       TableID       `json:"table"`
	Subnet      SubnetID      `json:"subnet"`
}

// MainRouteTableReplaced makes another table the main one of its VPC.
type MainRouteTableReplaced struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Table       TableID       `json:"table"`
}

// Service names the room that decides.
func (CreateVPC) Service() string                    { return "network" }
func (CreateDefaultVPC) Service() string             { return "network" }
func (CreateDefaultSubnet) Service() string          { return "network" }
func (DeleteVPC) Service() string                    { return "network" }
func (ModifyVPC) Service() string                    { return "network" }
func (CreateSubnet) Service() string                 { return "network" }
func (DeleteSubnet) Service() string                 { return "network" }
func (ModifySubnet) Service() string                 { return "network" }
func (CreateInternetGateway) Service() string        { return "network" }
func (AttachInternetGateway) Service() string        { return "network" }
func (DetachInternetGateway) Service() string        { return "network" }
func (DeleteInternetGateway) Service() string        { return "network" }
func (CreateRouteTable) Service() string             { return "network" }
func (DeleteRouteTable) Service() string             { return "network" }
func (CreateRoute) Service() string                  { return "network" }
func (ReplaceRoute) Service() string                 { return "network" }
func (DeleteRoute) Service() string                  { return "network" }
func (AssociateRouteTable) Service() string          { return "network" }
func (DisassociateRouteTable) Service() string       { return "network" }
func (ReplaceRouteTableAssociation) Service() string { return "network" }

// About says of whom.
func (e VPCModified) About() About { return About{"", "network", "vpc", string(e.ID), "modified"} }
func (e VPCDeleted) About() About  { return About{"", "network", "vpc", string(e.ID), "deleted"} }
func (e SubnetModified) About() About {
	return About{e.Zone, "network", "subnet", string(e.ID), "modified"}
}
func (e SubnetDeleted) About() About {
	return About{e.Zone, "network", "subnet", string(e.ID), "deleted"}
}
func (e InternetGatewayAttached) About() About { return gatewayAbout(e.ID, "attached") }
func (e InternetGatewayDetached) About() About { return gatewayAbout(e.ID, "detached") }
func (e InternetGatewayDeleted) About() About  { return gatewayAbout(e.ID, "deleted") }
func (e RouteTableDeleted) About() About       { return tableAbout(e.ID, "deleted") }
func (e RouteCreated) About() About            { return tableAbout(e.Table, "route-created") }
func (e RouteReplaced) About() About           { return tableAbout(e.Table, "route-replaced") }
func (e RouteDeleted) About() About            { return tableAbout(e.Table, "route-deleted") }
func (e RouteTableAssociated) About() About    { return tableAbout(e.Table, "associated") }
func (e RouteTableDisassociated) About() About { return tableAbout(e.Table, "disassociated") }
func (e MainRouteTableReplaced) About() About  { return tableAbout(e.Table, "made-main") }

func gatewayAbout(id GatewayID, verb string) About {
	return About{"", "network", "internet-gateway", string(id), verb}
}

func tableAbout(id TableID, verb string) About {
	return About{"", "network", "route-table", string(id), verb}
}

func init() {
	for _, c := range []Command{CreateVPC{}, CreateDefaultVPC{}, CreateDefaultSubnet{}, DeleteVPC{}, ModifyVPC{}, CreateSubnet{}, DeleteSubnet{}, ModifySubnet{}, CreateInternetGateway{},
		AttachInternetGateway{}, DetachInternetGateway{}, DeleteInternetGateway{}, CreateRouteTable{}, DeleteRouteTable{}, CreateRoute{},
		ReplaceRoute{}, DeleteRoute{}, AssociateRouteTable{}, DisassociateRouteTable{}, ReplaceRouteTableAssociation{}} {
		commands.add(c)
	}
	for _, e := range []Event{VPCModified{}, VPCDeleted{}, SubnetModified{}, SubnetDeleted{}, InternetGatewayAttached{}, InternetGatewayDetached{},
		InternetGatewayDeleted{}, RouteTableDeleted{}, RouteCreated{}, RouteReplaced{}, RouteDeleted{}, RouteTableAssociated{},
		RouteTableDisassociated{}, MainRouteTableReplaced{}} {
		kinds.add(e)
	}
}
