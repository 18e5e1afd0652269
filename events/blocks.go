package events

import "net/netip"

// Commands and events of the blocks of addresses of VPCs and subnets.

// AssociateVPCBlock gives a VPC one more block: of IPv4, of IPv6 from a pool of
// the account, or of IPv6 from the region's own.
type AssociateVPCBlock struct {
	VPC        VPCID  `json:"vpc"`
	CIDR       string `json:"cidr,omitempty"`
	IPv6       string `json:"ipv6,omitempty"`
	Pool       string `json:"pool,omitempty"`
	AmazonIPv6 bool   `json:"amazonIpv6,omitempty"`
}

// DisassociateVPCBlock takes a block away that no subnet has a part of.
type DisassociateVPCBlock struct {
	Association AssociationID `json:"association"`
}

// AssociateSubnetBlock gives a subnet its block of IPv6.
type AssociateSubnetBlock struct {
	Subnet SubnetID `json:"subnet"`
	IPv6   string   `json:"ipv6"`
}

// DisassociateSubnetBlock takes it away when no interface has an address of it.
type DisassociateSubnetBlock struct {
	Association AssociationID `json:"association"`
}

// VPCBlockAssociated gives a VPC one more block.
type VPCBlockAssociated struct {
	VPC         VPCID         `json:"vpc"`
	Account     AccountID     `json:"account"`
	Association AssociationID `json:"association"`
	CIDR        netip.Prefix  `json:"cidr"`
	Pool        string        `json:"pool,omitempty"` // of IPv6
}

// VPCBlockDisassociated takes it away.
type VPCBlockDisassociated struct {
	VPC         VPCID         `json:"vpc"`
	Account     AccountID     `json:"account"`
	Association AssociationID `json:"association"`
	CIDR        netip.Prefix  `json:"cidr"`
}

// SubnetBlockAssociated gives a subnet its block of IPv6.
type SubnetBlockAssociated struct {
	Subnet      SubnetID      `json:"subnet"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Zone        Zone          `json:"zone"`
	Association AssociationID `json:"association"`
	CIDR        netip.Prefix  `json:"cidr"`
}

// SubnetBlockDisassociated takes it away.
type SubnetBlockDisassociated struct {
	Subnet      SubnetID      `json:"subnet"`
	Account     AccountID     `json:"account"`
	VPC         VPCID         `json:"vpc"`
	Zone        Zone          `json:"zone"`
	Association AssociationID `json:"association"`
	CIDR        netip.Prefix  `json:"cidr"`
}

// Service names the room that decides.
func (AssociateVPCBlock) Service() string       { return "network" }
func (DisassociateVPCBlock) Service() string    { return "network" }
func (AssociateSubnetBlock) Service() string    { return "network" }
func (DisassociateSubnetBlock) Service() string { return "network" }

// About says of whom.
func (e VPCBlockAssociated) About() About {
	return About{"", "network", "vpc", string(e.VPC), "block-associated"}
}
func (e VPCBlockDisassociated) About() About {
	return About{"", "network", "vpc", string(e.VPC), "block-disassociated"}
}
func (e SubnetBlockAssociated) About() About {
	return About{e.Zone, "network", "subnet", string(e.Subnet), "block-associated"}
}
func (e SubnetBlockDisassociated) About() About {
	return About{e.Zone, "network", "subnet", string(e.Subnet), "block-disassociated"}
}

func init() {
	for _, c := range []Command{AssociateVPCBlock{}, DisassociateVPCBlock{}, AssociateSubnetBlock{}, DisassociateSubnetBlock{}} {
		commands.add(c)
	}
	for _, e := range []Event{VPCBlockAssociated{}, VPCBlockDisassociated{}, SubnetBlockAssociated{}, SubnetBlockDisassociated{}} {
		kinds.add(e)
	}
}
