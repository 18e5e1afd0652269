// Package ids checks the form of resource ids: a prefix, a dash, and 8 or 17
// hexadecimal digits ("Resource IDs" in the EC2 user guide).
//
//	i-0123456789abcdef0   vpc-01234567
//
// A malformed id is answered before anything is looked up, with the code that
// EC2 has for its kind; whether it exists is for the region to say. Kinds carry
// both codes, because EC2's spelling follows no rule.
package ids

import (
	"skerry/events"
)

// Kind is a kind of resource.
type Kind struct {
	Prefix    string
	Malformed string // error code
	NotFound  string // error code
}

// The kinds, with the codes of "Error codes for the Amazon EC2 API".
var (
	Instance          = Kind{"i", "InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound"}
	Image             = Kind{"ami", "InvalidAMIID.Malformed", "InvalidAMIID.NotFound"}
	Kernel            = Kind{"aki", "InvalidKernelId.Malformed", "InvalidAMIID.NotFound"}
	Ramdisk           = Kind{"ari", "InvalidRamDiskId.Malformed", "InvalidAMIID.NotFound"}
	Reservation       = Kind{"r", "InvalidReservationID.Malformed", "InvalidReservationID.NotFound"}
	KeyPair           = Kind{"key", "InvalidKeyPairId.Malformed", "InvalidKeyPair.NotFound"}
	Volume            = Kind{"vol", "InvalidVolumeID.Malformed", "InvalidVolume.NotFound"}
	Snapshot          = Kind{"snap", "InvalidSnapshotID.Malformed", "InvalidSnapshot.NotFound"}
	VPC               = Kind{"vpc", "InvalidVpcID.Malformed", "InvalidVpcID.NotFound"}
	Subnet            = Kind{"subnet", "InvalidSubnetID.Malformed", "InvalidSubnetID.NotFound"}
	SecurityGroup     = Kind{"sg", "InvalidGroupId.Malformed", "InvalidGroup.NotFound"}
	SecurityGroupRule = Kind{"sgr", "InvalidSecurityGroupRuleId.Malformed", "InvalidSecurityGroupRuleId.NotFound"}
	Interface         = Kind{"eni", "InvalidNetworkInterfaceId.Malformed", "InvalidNetworkInterfaceID.NotFound"}
	Attachment        = Kind{"eni-attach", "InvalidNetworkInterfaceAttachmentId.Malformed", "InvalidAttachmentID.NotFound"}
	Allocation        = Kind{"eipalloc", "InvalidAllocationID.Malformed", "InvalidAllocationID.NotFound"}
	Association       = Kind{"eipassoc", "InvalidAssociationID.Malformed", "InvalidAssociationID.NotFound"}
	RouteTable        = Kind{"rtb", "InvalidRouteTableId.Malformed", "InvalidRouteTableID.NotFound"}
	RouteAssociation  = Kind{"rtbassoc", "InvalidAssociationID.Malformed", "InvalidAssociationID.NotFound"}
	InternetGateway   = Kind{"igw", "InvalidInternetGatewayId.Malformed", "InvalidInternetGatewayID.NotFound"}
	EgressGateway     = Kind{"eigw", "InvalidEgressOnlyInternetGatewayId.Malformed", "InvalidEgressOnlyInternetGatewayId.NotFound"}
	NATGateway        = Kind{"nat", "NatGatewayMalformed", "NatGatewayNotFound"}
	NetworkACL        = Kind{"acl", "InvalidNetworkAclId.Malformed", "InvalidNetworkAclID.NotFound"}
	DHCPOptions       = Kind{"dopt", "InvalidDhcpOptionsId.Malformed", "InvalidDhcpOptionID.NotFound"}
	PlacementGroup    = Kind{"pg", "InvalidPlacementGroupId.Malformed", "InvalidPlacementGroup.Unknown"}
	LaunchTemplate    = Kind{"lt", "InvalidLaunchTemplateId.Malformed", "InvalidLaunchTemplateId.NotFound"}

	ACLAssociation        = Kind{"aclassoc", "InvalidAssociationID.Malformed", "InvalidAssociationID.NotFound"}
	VPCCIDRAssociation    = Kind{"vpc-cidr-assoc", "InvalidVpcCidrBlockAssociationId.Malformed", "InvalidVpcCidrBlockAssociationID.NotFound"}
	SubnetCIDRAssociation = Kind{"subnet-cidr-assoc", "InvalidSubnetCidrBlockAssociationId.Malformed", "InvalidSubnetCidrBlockAssociationID.NotFound"}
	Peering               = Kind{"pcx", "InvalidVpcPeeringConnectionId.Malformed", "InvalidVpcPeeringConnectionID.NotFound"}
	PrefixList            = Kind{"pl", "InvalidPrefixListId.Malformed", "InvalidPrefixListID.NotFound"}
	FlowLog               = Kind{"fl", "InvalidFlowLogId.Malformed", "InvalidFlowLogId.NotFound"}
	CustomerGateway       = Kind{"cgw", "InvalidCustomerGatewayID.Malformed", "InvalidCustomerGatewayID.NotFound"}
	VPNGateway            = Kind{"vgw", "InvalidVpnGatewayID.Malformed", "InvalidVpnGatewayID.NotFound"}
	VPNConnection         = Kind{"vpn", "InvalidVpnConnectionID.Malformed", "InvalidVpnConnectionID.NotFound"}
	IPv4Pool              = Kind{"ipv4pool-ec2", "InvalidPublicIpv4PoolID.Malformed", "InvalidPublicIpv4PoolID.NotFound"}
	IPv6Pool              = Kind{"ipv6pool-ec2", "InvalidIpv6PoolID.Malformed", "InvalidIpv6PoolID.NotFound"}
)

var kinds = func() map[string]Kind {
	m := make(map[string]Kind)
	for _, k := range []Kind{
		Instance, Image, Kernel, Ramdisk, Reservation, KeyPair, Volume, Snapshot, VPC, Subnet,
		SecurityGroup, SecurityGroupRule, Interface, Attachment, Allocation, Association, RouteTable,
		RouteAssociation, InternetGateway, EgressGateway, NATGateway, NetworkACL, DHCPOptions,
		PlacementGroup, LaunchTemplate, ACLAssociation, VPCCIDRAssociation, SubnetCIDRAssociation, Peering,
		PrefixList, FlowLog, CustomerGateway, VPNGateway, VPNConnection, IPv4Pool, IPv6Pool,
	} {
		m[k.Prefix] = k
	}
	return m
}()

// Check refuses an id that cannot be of a kind, with the kind's Malformed code.
func (k Kind) Check(id string) error {
	prefix, ok := split(id)
	switch {
	case ok && prefix == k.Prefix:
		return nil
	case prefix == k.Prefix:
		return events.Faultf(k.Malformed, "Invalid id: \"%s\"", cut(id))
	}
	return events.Faultf(k.Malformed, "Invalid id: \"%s\" (expecting \"%s-...\")", cut(id), k.Prefix)
}

// CheckAll checks a list of ids and refuses the first that is malformed.
func (k Kind) CheckAll(list []string) error {
	for _, id := range list {
		if err := k.Check(id); err != nil {
			return err
		}
	}
	return nil
}

// OneOf refuses an id that is of none of some kinds, with the first kind's
// code: an image id may be an ami, an aki or an ari.
func OneOf(id string, kinds ...Kind) error {
	prefix, ok := split(id)
	for _, k := range kinds {
		if prefix == k.Prefix {
			if ok {
				return nil
			}
			return k.Check(id)
		}
	}
	return kinds[0].Check(id)
}

// Of tells the kind of any well-formed id, for actions such as CreateTags that
// take ids of all kinds. Fault: InvalidID.
func Of(id string) (Kind, error) {
	prefix, ok := split(id)
	k, known := kinds[prefix]
	if !ok || !known {
		return Kind{}, events.Faultf("InvalidID", "The ID '%s' is not valid", cut(id))
	}
	return k, nil
}

// split cuts an id at its last dash; ok says that the rest has the right form.
func split(id string) (prefix string, ok bool) {
	at := -1
	for i := 0; i < len(id); i++ {
		if id[i] == '-' {
			at = i
		}
	}
	if at < 0 {
		return "", false
	}
	digits := id[at+1:]
	if len(digits) != 8 && len(digits) != 17 {
		return id[:at], false
	}
	for i := 0; i < len(digits); i++ {
		c := digits[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id[:at], false
		}
	}
	return id[:at], true
}

func cut(s string) string {
	const most = 64
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
