package events

import "net/netip"

// Network ACLs: numbered rules of a subnet, without memory. The default one of a
// VPC comes with the VPC, and a subnet is associated with it until it is with
// another; no event tells that, and their ids are derived.

// DefaultACL is the id of the network ACL that comes with a VPC.
func DefaultACL(vpc VPCID) NetworkACLID { return NetworkACLID("acl-" + Derived("acl", string(vpc))) }

// FirstACLAssociation is the id of the association that a subnet starts with.
func FirstACLAssociation(s SubnetID) AssociationID {
	return AssociationID("aclassoc-" + Derived("aclassoc", string(s)))
}

// The numbers of the rules that a default network ACL starts with, which let
// everything through, and of the last ones, which nothing passes and which no ACL
// stores ("Default network ACL").
const (
	ACLFirst     = 100
	ACLFirstIPv6 = 101
	ACLLast      = 32767
	ACLLastIPv6  = 32768
)

// ACLEntry is one rule of a network ACL. Protocol is the IP protocol number, -1
// for all. From and To are ports for TCP and UDP, type and code for ICMP with -1
// for any, and -1 otherwise.
type ACLEntry struct {
	Number   int          `json:"number"`
	Egress   bool         `json:"egress,omitempty"`
	Deny     bool         `json:"deny,omitempty"`
	Protocol int          `json:"protocol"`
	From     int          `json:"from"`
	To       int          `json:"to"`
	CIDR     netip.Prefix `json:"cidr"`
}

// CreateNetworkACL makes an ACL that lets nothing through.
type CreateNetworkACL struct {
	VPC  VPCID `json:"vpc"`
	Tags []Tag `json:"tags,omitempty"`
}

// DeleteNetworkACL ends an ACL that no subnet uses.
type DeleteNetworkACL struct {
	ACL NetworkACLID `json:"acl"`
}

// CreateACLEntry adds a rule.
type CreateACLEntry struct {
	ACL   NetworkACLID `json:"acl"`
	Entry ACLEntry     `json:"entry"`
}

// ReplaceACLEntry makes the rule of a number another.
type ReplaceACLEntry struct {
	ACL   NetworkACLID `json:"acl"`
	Entry ACLEntry     `json:"entry"`
}

// DeleteACLEntry removes a rule.
type DeleteACLEntry struct {
	ACL    NetworkACLID `json:"acl"`
	Number int          `json:"number"`
	Egress bool         `json:"egress,omitempty"`
}

// ReplaceACLAssociation has the subnet of an association use another ACL.
type ReplaceACLAssociation struct {
	Association AssociationID `json:"association"`
	ACL         NetworkACLID  `json:"acl"`
}

// NetworkACLCreated is an ACL without rules.
type NetworkACLCreated struct {
	ID      NetworkACLID `json:"id"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
}

// NetworkACLDeleted ends it.
type NetworkACLDeleted struct {
	ID      NetworkACLID `json:"id"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
}

// ACLEntryPut adds a rule to an ACL, or replaces the one of its number and
// direction.
type ACLEntryPut struct {
	ACL     NetworkACLID `json:"acl"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
	Entry   ACLEntry     `json:"entry"`
}

// ACLEntryDeleted removes a rule.
type ACLEntryDeleted struct {
	ACL     NetworkACLID `json:"acl"`
	Account AccountID    `json:"account"`
	VPC     VPCID        `json:"vpc"`
	Number  int          `json:"number"`
	Egress  bool         `json:"egress,omitempty"`
}

// NetworkACLAssociated has a subnet use an ACL, in place of the one before.
type NetworkACLAssociated struct {
	Association AssociationID `json:"association"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	ACL         NetworkACLID  `json:"acl"`
	Subnet      SubnetID      `json:"subnet"`
}

// Service names the room that decides.
func (CreateNetworkACL) Service() string      { return "network" }
func (DeleteNetworkACL) Service() string      { return "network" }
func (CreateACLEntry) Service() string        { return "network" }
func (ReplaceACLEntry) Service() string       { return "network" }
func (DeleteACLEntry) Service() string        { return "network" }
func (ReplaceACLAssociation) Service() string { return "network" }

// About says of whom.
func (e NetworkACLCreated) About() About    { return aclAbout(e.ID, "created") }
func (e NetworkACLDeleted) About() About    { return aclAbout(e.ID, "deleted") }
func (e ACLEntryPut) About() About          { return aclAbout(e.ACL, "entry-put") }
func (e ACLEntryDeleted) About() About      { return aclAbout(e.ACL, "entry-deleted") }
func (e NetworkACLAssociated) About() About { return aclAbout(e.ACL, "associated") }

func aclAbout(id NetworkACLID, verb string) About {
	return About{"", "network", "network-acl", string(id), verb}
}

func init() {
	for _, c := range []Command{CreateNetworkACL{}, DeleteNetworkACL{}, CreateACLEntry{}, ReplaceACLEntry{}, DeleteACLEntry{}, ReplaceACLAssociation{}} {
		commands.add(c)
	}
	for _, e := range []Event{NetworkACLCreated{}, NetworkACLDeleted{}, ACLEntryPut{}, ACLEntryDeleted{}, NetworkACLAssociated{}} {
		kinds.add(e)
	}
}
