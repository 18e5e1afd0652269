package events

import (
	"net/netip"
	"strings"
	"time"
)

// Commands and events of networks: VPCs, subnets, route tables, gateways,
// security groups, interfaces and public addresses.

// VPCCreated is an account's network; Default is the one every account starts with.
type VPCCreated struct {
	ID      VPCID        `json:"id"`
	Account AccountID    `json:"account"`
	CIDR    netip.Prefix `json:"cidr"`
	VNI     uint32       `json:"vni"` // 24 bits, never reused
	Default bool         `json:"default"`
}

// SubnetCreated is a part of a VPC in one zone.
type SubnetCreated struct {
	ID      SubnetID     `json:"id"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
	Zone    Zone         `json:"zone"`
	CIDR    netip.Prefix `json:"cidr"`
	Default bool         `json:"default"`
}

// GroupCreated is a security group with its first rules.
type GroupCreated struct {
	ID          GroupID   `json:"id"`
	Account     AccountID `json:"account"`
	VPC         VPCID     `json:"vpc"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Rules       []Rule    `json:"rules"`
}

// InterfaceCreated gives an address and a MAC to an interface.
type InterfaceCreated struct {
	Account   AccountID  `json:"account"`
	Zone      Zone       `json:"zone"`
	Instance  InstanceID `json:"instance,omitempty"`
	Interface Interface  `json:"interface"`
	At        time.Time  `json:"at"`
	Keep      bool       `json:"keep,omitempty"` // when the instance ends
}

// InterfaceDeleted gives them back.
type InterfaceDeleted struct {
	ID      InterfaceID `json:"id"`
	Account AccountID   `json:"account"`
	Zone    Zone        `json:"zone"`
	VPC     VPCID       `json:"vpc,omitempty"`
	Host    HostID      `json:"host,omitempty"` // where its tap is
}

// InternetGatewayCreated is a gateway to the outside, attached to a VPC when one
// is named.
type InternetGatewayCreated struct {
	ID      GatewayID `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// Route is one line of a route table. It has one target at most; without any it
// leads to the VPC itself. Where it has a prefix list, that is its destination.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Gateway     GatewayID    `json:"gateway,omitempty"`
	Interface   InterfaceID  `json:"interface,omitempty"`
	NAT         NATGatewayID `json:"nat,omitempty"`
	Egress      EgressID     `json:"egress,omitempty"`
	Peering     PeeringID    `json:"peering,omitempty"`
	VPN         VPNGatewayID `json:"vpn,omitempty"`
	PrefixList  PrefixListID `json:"prefixList,omitempty"`
}

// SameDestination says that two routes of a table would be one.
func (r Route) SameDestination(o Route) bool {
	return r.Destination == o.Destination && r.PrefixList == o.PrefixList
}

// Local says that a route leads to the VPC itself.
func (r Route) Local() bool { return r == Route{Destination: r.Destination} }

// RouteTableCreated is a table with its first routes. The main table serves the
// subnets that name no other.
type RouteTableCreated struct {
	ID          TableID       `json:"id"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Main        bool          `json:"main"`
	Association AssociationID `json:"association"` // of the main table with its VPC
	Routes      []Route       `json:"routes"`
}

// CreateGroup makes a security group in a VPC, the default one when none is named.
type CreateGroup struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	VPC         VPCID  `json:"vpc,omitempty"`
	Tags        []Tag  `json:"tags,omitempty"`
}

// DeleteGroup removes a security group, by id or by its name in the default VPC.
type DeleteGroup struct {
	Group GroupID `json:"group,omitempty"`
	Name  string  `json:"name,omitempty"`
}

// AuthorizeRules adds rules to a security group, all or none. Their ids are drawn.
type AuthorizeRules struct {
	Group  GroupID `json:"group,omitempty"`
	Name   string  `json:"name,omitempty"`
	Egress bool    `json:"egress,omitempty"`
	Rules  []Rule  `json:"rules"`
	Tags   []Tag   `json:"tags,omitempty"`
}

// RevokeRules removes rules from a security group: by id, or those that are as
// described.
type RevokeRules struct {
	Group  GroupID  `json:"group,omitempty"`
	Name   string   `json:"name,omitempty"`
	Egress bool     `json:"egress,omitempty"`
	Rules  []Rule   `json:"rules,omitempty"`
	IDs    []RuleID `json:"ids,omitempty"`
}

// ModifyRules makes rules of a group what is given. Their direction stays.
type ModifyRules struct {
	Group GroupID `json:"group"`
	Rules []Rule  `json:"rules"` // by id
}

// DescribeRules gives rules of a group other descriptions: those that are as
// given, or have the ids.
type DescribeRules struct {
	Group  GroupID `json:"group,omitempty"`
	Name   string  `json:"name,omitempty"`
	Egress bool    `json:"egress,omitempty"`
	Rules  []Rule  `json:"rules"`
}

// GroupDeleted ends a security group.
type GroupDeleted struct {
	ID      GroupID   `json:"id"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
}

// RulesAuthorized adds rules to a group.
type RulesAuthorized struct {
	Group   GroupID   `json:"group"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Rules   []Rule    `json:"rules"`
}

// RulesRevoked removes them.
type RulesRevoked struct {
	Group   GroupID   `json:"group"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Rules   []RuleID  `json:"rules"`
}

// RulesModified replaces rules of a group, by id.
type RulesModified struct {
	Group   GroupID   `json:"group"`
	Account AccountID `json:"account"`
	VPC     VPCID     `json:"vpc"`
	Rules   []Rule    `json:"rules"`
}

// AllocateAddress gives the account an Elastic IP address, this one when it is free.
type AllocateAddress struct {
	Address string `json:"address,omitempty"`
	Pool    PoolID `json:"pool,omitempty"` // of the account, unset for the region's own
	Tags    []Tag  `json:"tags,omitempty"`
}

// ReleaseAddress gives it back. It must not be associated.
type ReleaseAddress struct {
	Allocation AllocationID `json:"allocation,omitempty"`
	Address    string       `json:"address,omitempty"`
}

// AssociateAddress binds an Elastic IP address to an instance's first interface,
// or to an interface. One that is bound elsewhere moves unless Stay is set.
type AssociateAddress struct {
	Allocation AllocationID `json:"allocation,omitempty"`
	Address    string       `json:"address,omitempty"`
	Instance   InstanceID   `json:"instance,omitempty"`
	Interface  InterfaceID  `json:"interface,omitempty"`
	PrivateIP  string       `json:"privateIp,omitempty"`
	Stay       bool         `json:"stay,omitempty"`
}

// DisassociateAddress unbinds it.
type DisassociateAddress struct {
	Association AssociationID `json:"association,omitempty"`
	Address     string        `json:"address,omitempty"`
}

// PublicAddressAssigned gives an interface a public address out of the region's
// pool, for as long as it lives or until an Elastic IP address takes its place.
type PublicAddressAssigned struct {
	Address   netip.Addr  `json:"address"`
	Account   AccountID   `json:"account"`
	Zone      Zone        `json:"zone"`
	VPC       VPCID       `json:"vpc"`
	Interface InterfaceID `json:"interface"`
	Instance  InstanceID  `json:"instance,omitempty"`
	Private   netip.Addr  `json:"private"`
}

// PublicAddressReturned gives it back. It rests until every gateway has let go.
type PublicAddressReturned struct {
	Address   netip.Addr  `json:"address"`
	Account   AccountID   `json:"account"`
	Zone      Zone        `json:"zone"`
	VPC       VPCID       `json:"vpc"`
	Interface InterfaceID `json:"interface"`
}

// AddressAllocated is an Elastic IP address of an account.
type AddressAllocated struct {
	Allocation AllocationID `json:"allocation"`
	Address    netip.Addr   `json:"address"`
	Account    AccountID    `json:"account"`
	At         time.Time    `json:"at"`
	Pool       PoolID       `json:"pool,omitempty"`
}

// AddressReleased ends it. It rests until every gateway has let go.
type AddressReleased struct {
	Allocation AllocationID `json:"allocation"`
	Address    netip.Addr   `json:"address"`
	Account    AccountID    `json:"account"`
}

// AddressAssociated binds an Elastic IP address to an interface.
type AddressAssociated struct {
	Association AssociationID `json:"association"`
	Address     netip.Addr    `json:"address"`
	Account     AccountID     `json:"account"`
	Zone        Zone          `json:"zone"`
	VPC         VPCID         `json:"vpc"`
	Interface   InterfaceID   `json:"interface"`
	Instance    InstanceID    `json:"instance,omitempty"`
	Private     netip.Addr    `json:"private"`
}

// AddressDisassociated unbinds it.
type AddressDisassociated struct {
	Association AssociationID `json:"association"`
	Address     netip.Addr    `json:"address"`
	Account     AccountID     `json:"account"`
	Zone        Zone          `json:"zone"`
	VPC         VPCID         `json:"vpc"`
	Interface   InterfaceID   `json:"interface"`
}

// GatewayElected names the gateway node that serves a zone: the zone's hosts send
// to it, and it announces the zone's public addresses outside.
type GatewayElected struct {
	Zone  Zone   `json:"zone"`
	Host  HostID `json:"host"`
	Epoch uint64 `json:"epoch"` // rises with each election of the zone
}

// ReportRemoved is a node's word that nothing is left of an object that a
// tombstone named.
type ReportRemoved struct {
	Host HostID   `json:"host"`
	Kind SpecKind `json:"kind"`
	ID   string   `json:"id"`

	Order uint64 `json:"order,omitempty"` // number of the order to remove that it answers; 0 from a node that does not tell
}

// SpecRemoved takes the tombstone away.
type SpecRemoved struct {
	Host HostID   `json:"host"`
	Zone Zone     `json:"zone"`
	Kind SpecKind `json:"kind"`
	ID   string   `json:"id"`
}

// Service names the room that decides.
func (CreateGroup) Service() string         { return "network" }
func (DeleteGroup) Service() string         { return "network" }
func (AuthorizeRules) Service() string      { return "network" }
func (RevokeRules) Service() string         { return "network" }
func (ModifyRules) Service() string         { return "network" }
func (DescribeRules) Service() string       { return "network" }
func (AllocateAddress) Service() string     { return "network" }
func (ReleaseAddress) Service() string      { return "network" }
func (AssociateAddress) Service() string    { return "network" }
func (DisassociateAddress) Service() string { return "network" }
func (ReportRemoved) Service() string       { return "network" }

// About says of whom.
func (e VPCCreated) About() About { return About{"", "network", "vpc", string(e.ID), "created"} }
func (e SubnetCreated) About() About {
	return About{e.Zone, "network", "subnet", string(e.ID), "created"}
}
func (e GroupCreated) About() About {
	return About{"", "network", "security-group", string(e.ID), "created"}
}
func (e InterfaceCreated) About() About {
	return About{e.Zone, "network", "interface", string(e.Interface.ID), "created"}
}
func (e InterfaceDeleted) About() About {
	return About{e.Zone, "network", "interface", string(e.ID), "deleted"}
}
func (e InternetGatewayCreated) About() About {
	return About{"", "network", "internet-gateway", string(e.ID), "created"}
}
func (e RouteTableCreated) About() About {
	return About{"", "network", "route-table", string(e.ID), "created"}
}
func (e GroupDeleted) About() About {
	return About{"", "network", "security-group", string(e.ID), "deleted"}
}
func (e RulesAuthorized) About() About {
	return About{"", "network", "security-group", string(e.Group), "rules-authorized"}
}
func (e RulesRevoked) About() About {
	return About{"", "network", "security-group", string(e.Group), "rules-revoked"}
}
func (e RulesModified) About() About {
	return About{"", "network", "security-group", string(e.Group), "rules-modified"}
}
func (e PublicAddressAssigned) About() About { return addressAbout(e.Zone, e.Address, "assigned") }
func (e PublicAddressReturned) About() About { return addressAbout(e.Zone, e.Address, "returned") }
func (e AddressAllocated) About() About      { return addressAbout("", e.Address, "allocated") }
func (e AddressReleased) About() About       { return addressAbout("", e.Address, "released") }
func (e AddressAssociated) About() About     { return addressAbout(e.Zone, e.Address, "associated") }
func (e AddressDisassociated) About() About  { return addressAbout(e.Zone, e.Address, "disassociated") }
func (e GatewayElected) About() About {
	return About{e.Zone, "network", "gateway", string(e.Host), "elected"}
}
func (e SpecRemoved) About() About {
	return About{e.Zone, "network", string(e.Kind), word(e.ID), "removed"}
}

// addressAbout writes an address as one word of a subject: 198-18-1-4.
func addressAbout(z Zone, a netip.Addr, verb string) About {
	return About{z, "network", "address", word(a.String()), verb}
}

// word makes an address a word of a subject.
func word(s string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(s) }

func init() {
	for _, c := range []Command{CreateGroup{}, DeleteGroup{}, AuthorizeRules{}, RevokeRules{}, ModifyRules{}, DescribeRules{}, AllocateAddress{}, ReleaseAddress{},
		AssociateAddress{}, DisassociateAddress{}, ReportRemoved{}} {
		commands.add(c)
	}
	for _, e := range []Event{VPCCreated{}, SubnetCreated{}, GroupCreated{}, InterfaceCreated{}, InterfaceDeleted{}, InternetGatewayCreated{},
		RouteTableCreated{}, GroupDeleted{}, RulesAuthorized{}, RulesRevoked{}, RulesModified{}, PublicAddressAssigned{}, PublicAddressReturned{},
		AddressAllocated{}, AddressReleased{}, AddressAssociated{}, AddressDisassociated{}, GatewayElected{}, SpecRemoved{}} {
		kinds.add(e)
	}
}
