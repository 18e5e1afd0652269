package events

import (
	"net/netip"
	"time"
)

// Commands and events of interfaces and of their addresses.

// Wanted are the addresses that are asked for an interface, by name or by
// number. A prefix is a /28 of IPv4 or a /80 of IPv6.
type Wanted struct {
	Primary         string   `json:"primary,omitempty"`
	Secondary       []string `json:"secondary,omitempty"`
	SecondaryCount  int      `json:"secondaryCount,omitempty"`
	Prefixes        []string `json:"prefixes,omitempty"`
	PrefixCount     int      `json:"prefixCount,omitempty"`
	IPv6            []string `json:"ipv6,omitempty"`
	IPv6Count       int      `json:"ipv6Count,omitempty"`
	IPv6Set         bool     `json:"ipv6Set,omitempty"` // as many as IPv6Count says, were it none: not what the subnet gives
	IPv6Prefixes    []string `json:"ipv6Prefixes,omitempty"`
	IPv6PrefixCount int      `json:"ipv6PrefixCount,omitempty"`
}

// LaunchInterface is an interface that an instance starts with: one that there
// is, or one to be made.
type LaunchInterface struct {
	DeviceIndex int         `json:"deviceIndex"`
	Interface   InterfaceID `json:"interface,omitempty"`
	Subnet      SubnetID    `json:"subnet,omitempty"`
	Description string      `json:"description,omitempty"`
	Groups      []GroupID   `json:"groups,omitempty"`
	PublicIP    *bool       `json:"publicIp,omitempty"`
	Keep        bool        `json:"keep,omitempty"` // when the instance ends
	Addresses   Wanted      `json:"addresses,omitzero"`
}

// CreateInterface makes an interface that is attached to nothing.
type CreateInterface struct {
	Subnet      SubnetID  `json:"subnet"`
	Description string    `json:"description,omitempty"`
	Groups      []GroupID `json:"groups,omitempty"`
	Addresses   Wanted    `json:"addresses,omitzero"`
	Tags        []Tag     `json:"tags,omitempty"`
}

// DeleteInterface ends an interface that is attached to nothing.
type DeleteInterface struct {
	Interface InterfaceID `json:"interface"`
}

// AttachInterface gives an interface to an instance, which may run.
type AttachInterface struct {
	Interface   InterfaceID `json:"interface"`
	Instance    InstanceID  `json:"instance"`
	DeviceIndex int         `json:"deviceIndex"`
}

// DetachInterface takes it away once its host has let go of it, or by force
// without asking the host.
type DetachInterface struct {
	Attachment AttachmentID `json:"attachment"`
	Force      bool         `json:"force,omitempty"`
}

// ModifyInterface changes what is set. Keep belongs to the attachment.
type ModifyInterface struct {
	Interface       InterfaceID  `json:"interface"`
	Description     *string      `json:"description,omitempty"`
	Groups          []GroupID    `json:"groups,omitempty"`
	SourceDestCheck *bool        `json:"sourceDestCheck,omitempty"`
	Attachment      AttachmentID `json:"attachment,omitempty"`
	Keep            *bool        `json:"keep,omitempty"`
}

// AssignAddresses gives an interface more addresses. Move takes them from the
// interfaces that have them.
type AssignAddresses struct {
	Interface InterfaceID `json:"interface"`
	Addresses Wanted      `json:"addresses"`
	Move      bool        `json:"move,omitempty"`
}

// UnassignAddresses takes addresses and prefixes from an interface.
type UnassignAddresses struct {
	Interface InterfaceID `json:"interface"`
	Addresses []string    `json:"addresses,omitempty"`
	Prefixes  []string    `json:"prefixes,omitempty"`
}

// InterfaceAttached gives an interface to an instance.
type InterfaceAttached struct {
	ID          InterfaceID  `json:"id"`
	Account     AccountID    `json:"account"`
	Zone        Zone         `json:"zone"`
	VPC         VPCID        `json:"vpc"`
	Attachment  AttachmentID `json:"attachment"`
	Instance    InstanceID   `json:"instance"`
	DeviceIndex int          `json:"deviceIndex"`
	Keep        bool         `json:"keep,omitempty"`
	At          time.Time    `json:"at"`
}

// InterfaceDetachRequested orders the instance's host to let go of an interface.
type InterfaceDetachRequested struct {
	ID         InterfaceID  `json:"id"`
	Account    AccountID    `json:"account"`
	Zone       Zone         `json:"zone"`
	VPC        VPCID        `json:"vpc"`
	Attachment AttachmentID `json:"attachment"`
	Instance   InstanceID   `json:"instance"`
	Host       HostID       `json:"host"` // where its tap is
}

// InterfaceDetached makes an interface available. With a host, that one has not
// let go of it yet.
type InterfaceDetached struct {
	ID         InterfaceID  `json:"id"`
	Account    AccountID    `json:"account"`
	Zone       Zone         `json:"zone"`
	VPC        VPCID        `json:"vpc"`
	Attachment AttachmentID `json:"attachment"`
	Instance   InstanceID   `json:"instance"`
	Host       HostID       `json:"host,omitempty"`
}

// InterfaceModified carries what changed.
type InterfaceModified struct {
	ID              InterfaceID `json:"id"`
	Account         AccountID   `json:"account"`
	Zone            Zone        `json:"zone"`
	VPC             VPCID       `json:"vpc"`
	Description     *string     `json:"description,omitempty"`
	Groups          []GroupID   `json:"groups,omitempty"`
	SourceDestCheck *bool       `json:"sourceDestCheck,omitempty"`
	Keep            *bool       `json:"keep,omitempty"`
}

// InterfaceAddressesAssigned gives an interface more addresses: of a subnet
// nobody else has.
type InterfaceAddressesAssigned struct {
	ID           InterfaceID    `json:"id"`
	Account      AccountID      `json:"account"`
	Zone         Zone           `json:"zone"`
	VPC          VPCID          `json:"vpc"`
	Secondary    []netip.Addr   `json:"secondary,omitempty"`
	Prefixes     []netip.Prefix `json:"prefixes,omitempty"`
	IPv6         []netip.Addr   `json:"ipv6,omitempty"`
	IPv6Prefixes []netip.Prefix `json:"ipv6Prefixes,omitempty"`
}

// InterfaceAddressesUnassigned takes them back.
type InterfaceAddressesUnassigned struct {
	ID           InterfaceID    `json:"id"`
	Account      AccountID      `json:"account"`
	Zone         Zone           `json:"zone"`
	VPC          VPCID          `json:"vpc"`
	Secondary    []netip.Addr   `json:"secondary,omitempty"`
	Prefixes     []netip.Prefix `json:"prefixes,omitempty"`
	IPv6         []netip.Addr   `json:"ipv6,omitempty"`
	IPv6Prefixes []netip.Prefix `json:"ipv6Prefixes,omitempty"`
}

// Service names the room that decides.
func (CreateInterface) Service() string   { return "network" }
func (DeleteInterface) Service() string   { return "network" }
func (AttachInterface) Service() string   { return "network" }
func (DetachInterface) Service() string   { return "network" }
func (ModifyInterface) Service() string   { return "network" }
func (AssignAddresses) Service() string   { return "network" }
func (UnassignAddresses) Service() string { return "network" }

func interfaceAbout(z Zone, id InterfaceID, verb string) About {
	return About{z, "network", "interface", string(id), verb}
}

// About says of whom.
func (e InterfaceAttached) About() About { return interfaceAbout(e.Zone, e.ID, "attached") }
func (e InterfaceDetachRequested) About() About {
	return interfaceAbout(e.Zone, e.ID, "detach-requested")
}
func (e InterfaceDetached) About() About { return interfaceAbout(e.Zone, e.ID, "detached") }
func (e InterfaceModified) About() About { return interfaceAbout(e.Zone, e.ID, "modified") }
func (e InterfaceAddressesAssigned) About() About {
	return interfaceAbout(e.Zone, e.ID, "addresses-assigned")
}
func (e InterfaceAddressesUnassigned) About() About {
	return interfaceAbout(e.Zone, e.ID, "addresses-unassigned")
}

func init() {
	for _, c := range []Command{CreateInterface{}, DeleteInterface{}, AttachInterface{}, DetachInterface{}, ModifyInterface{}, AssignAddresses{}, UnassignAddresses{}} {
		commands.add(c)
	}
	for _, e := range []Event{InterfaceAttached{}, InterfaceDetachRequested{}, InterfaceDetached{}, InterfaceModified{},
		InterfaceAddressesAssigned{}, InterfaceAddressesUnassigned{}} {
		kinds.add(e)
	}
}
