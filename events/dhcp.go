package events

// DHCP options: what guests of a VPC are told beside their addresses. An account
// starts with a set of its own, which a VPC uses until it uses another; no event
// tells that, and its id is derived.

// DefaultDHCPOptions is the id of the set that comes with an account.
func DefaultDHCPOptions(a AccountID) DHCPOptionsID {
	return DHCPOptionsID("dopt-" + Derived("dopt", string(a)))
}

// NoDHCPOptions is what a VPC has that uses no set ("AssociateDhcpOptions").
const NoDHCPOptions DHCPOptionsID = "default"

// Names of DHCP options, and the word for the VPC's own resolver.
const (
	DHCPDomainName        = "domain-name"
	DHCPDomainNameServers = "domain-name-servers"
	DHCPNTPServers        = "ntp-servers"
	DHCPNetBIOSServers    = "netbios-name-servers"
	DHCPNetBIOSNode       = "netbios-node-type"
	DHCPPreferredIPv6     = "ipv6-address-preferred-lease-time"

	ProvidedDNS = "AmazonProvidedDNS"
)

// DHCPOption is one option of a set.
type DHCPOption struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// CreateDHCPOptions makes a set that no VPC uses yet.
type CreateDHCPOptions struct {
	Options []DHCPOption `json:"options"`
	Tags    []Tag        `json:"tags,omitempty"`
}

// DeleteDHCPOptions ends a set that no VPC uses.
type DeleteDHCPOptions struct {
	Options DHCPOptionsID `json:"options"`
}

// AssociateDHCPOptions has a VPC use another set, or none.
type AssociateDHCPOptions struct {
	VPC     VPCID         `json:"vpc"`
	Options DHCPOptionsID `json:"options"`
}

// DHCPOptionsCreated is a set of options.
type DHCPOptionsCreated struct {
	ID      DHCPOptionsID `json:"id"`
	Account AccountID     `json:"account"`
	Options []DHCPOption  `json:"options"`
}

// DHCPOptionsDeleted ends it.
type DHCPOptionsDeleted struct {
	ID      DHCPOptionsID `json:"id"`
	Account AccountID     `json:"account"`
}

// DHCPOptionsAssociated has a VPC use a set, in place of the one before.
type DHCPOptionsAssociated struct {
	VPC     VPCID         `json:"vpc"`
	Account AccountID     `json:"account"`
	Options DHCPOptionsID `json:"options"`
}

// Service names the room that decides.
func (CreateDHCPOptions) Service() string    { return "network" }
func (DeleteDHCPOptions) Service() string    { return "network" }
func (AssociateDHCPOptions) Service() string { return "network" }

// About says of whom.
func (e DHCPOptionsCreated) About() About { return dhcpAbout(e.ID, "created") }
func (e DHCPOptionsDeleted) About() About { return dhcpAbout(e.ID, "deleted") }
func (e DHCPOptionsAssociated) About() About {
	return About{"", "network", "vpc", string(e.VPC), "dhcp-options-associated"}
}

func dhcpAbout(id DHCPOptionsID, verb string) About {
	return About{"", "network", "dhcp-options", string(id), verb}
}

func init() {
	for _, c := range []Command{CreateDHCPOptions{}, DeleteDHCPOptions{}, AssociateDHCPOptions{}} {
		commands.add(c)
	}
	for _, e := range []Event{DHCPOptionsCreated{}, DHCPOptionsDeleted{}, DHCPOptionsAssociated{}} {
		kinds.add(e)
	}
}
