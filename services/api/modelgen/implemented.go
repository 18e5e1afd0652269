package main

import "strings"

// implemented lists the actions whose shapes are generated, by family. Adding an
// action is adding its name here, running go generate, and registering a
// handler.
var implemented = map[string][]string{
	"ec2": strings.Fields(`
		DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes
		DescribeInstanceTypes DescribeInstanceTypeOfferings

		CreateTags DeleteTags DescribeTags

		CreateKeyPair ImportKeyPair DescribeKeyPairs DeleteKeyPair

		DescribeImages RegisterImage DeregisterImage CreateImage CopyImage
		DescribeImageAttribute ModifyImageAttribute ResetImageAttribute

		RunInstances DescribeInstances DescribeInstanceStatus
		StartInstances StopInstances RebootInstances TerminateInstances
		DescribeInstanceAttribute ModifyInstanceAttribute ResetInstanceAttribute
		DescribeInstanceCreditSpecifications ModifyInstanceMetadataOptions
		MonitorInstances UnmonitorInstances GetConsoleOutput GetPasswordData

		CreatePlacementGroup DescribePlacementGroups DeletePlacementGroup

		CreateLaunchTemplate CreateLaunchTemplateVersion DescribeLaunchTemplates
		DescribeLaunchTemplateVersions ModifyLaunchTemplate
		DeleteLaunchTemplate DeleteLaunchTemplateVersions

		CreateVolume DeleteVolume DescribeVolumes DescribeVolumeStatus
		DescribeVolumeAttribute ModifyVolumeAttribute AttachVolume DetachVolume
		ModifyVolume DescribeVolumesModifications

		CreateSnapshot DescribeSnapshots DeleteSnapshot CopySnapshot
		DescribeSnapshotAttribute ModifySnapshotAttribute
		EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault GetEbsEncryptionByDefault

		CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute
		CreateDefaultVpc AssociateVpcCidrBlock DisassociateVpcCidrBlock ModifyVpcTenancy
		DescribeVpcClassicLink DescribeVpcClassicLinkDnsSupport

		CreateSubnet DeleteSubnet DescribeSubnets ModifySubnetAttribute CreateDefaultSubnet
		AssociateSubnetCidrBlock DisassociateSubnetCidrBlock

		CreateInternetGateway AttachInternetGateway DetachInternetGateway
		DeleteInternetGateway DescribeInternetGateways
		CreateEgressOnlyInternetGateway DescribeEgressOnlyInternetGateways DeleteEgressOnlyInternetGateway
		CreateNatGateway DescribeNatGateways DeleteNatGateway

		CreateRouteTable DeleteRouteTable DescribeRouteTables
		CreateRoute ReplaceRoute DeleteRoute
		AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation

		CreateNetworkInterface DeleteNetworkInterface DescribeNetworkInterfaces
		AttachNetworkInterface DetachNetworkInterface
		DescribeNetworkInterfaceAttribute ModifyNetworkInterfaceAttribute ResetNetworkInterfaceAttribute
		AssignPrivateIpAddresses UnassignPrivateIpAddresses AssignIpv6Addresses UnassignIpv6Addresses

		CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups DescribeSecurityGroupRules
		AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress
		RevokeSecurityGroupIngress RevokeSecurityGroupEgress
		ModifySecurityGroupRules
		UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress

		CreateNetworkAcl DeleteNetworkAcl DescribeNetworkAcls
		CreateNetworkAclEntry ReplaceNetworkAclEntry DeleteNetworkAclEntry ReplaceNetworkAclAssociation

		AllocateAddress ReleaseAddress AssociateAddress DisassociateAddress
		DescribeAddresses DescribeAddressesAttribute

		ProvisionByoipCidr AdvertiseByoipCidr WithdrawByoipCidr DeprovisionByoipCidr DescribeByoipCidrs
		DescribePublicIpv4Pools

		CreateDhcpOptions DescribeDhcpOptions AssociateDhcpOptions DeleteDhcpOptions

		CreateVpcPeeringConnection AcceptVpcPeeringConnection RejectVpcPeeringConnection
		DescribeVpcPeeringConnections DeleteVpcPeeringConnection

		CreateManagedPrefixList DescribeManagedPrefixLists GetManagedPrefixListEntries
		GetManagedPrefixListAssociations ModifyManagedPrefixList RestoreManagedPrefixListVersion
		DeleteManagedPrefixList DescribePrefixLists

		CreateFlowLogs DescribeFlowLogs DeleteFlowLogs

		CreateCustomerGateway DescribeCustomerGateways DeleteCustomerGateway
		CreateVpnGateway DescribeVpnGateways AttachVpnGateway DetachVpnGateway DeleteVpnGateway
		CreateVpnConnection DescribeVpnConnections DeleteVpnConnection
		CreateVpnConnectionRoute DeleteVpnConnectionRoute
		EnableVgwRoutePropagation DisableVgwRoutePropagation
	`),
	"sts": {
		"GetCallerIdentity",
		"GetSessionToken",
	},
}

// openEnums are words that the region knows better than the model: they are
// decoded as plain text and checked by their handler.
var openEnums = map[string]bool{
	"AccountAttributeName": true, // the model has two of the six that EC2 documents
	"InstanceType":         true,
}
