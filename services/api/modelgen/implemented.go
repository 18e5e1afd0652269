package main

// implemented lists the actions whose shapes are generated. Adding an action is
// adding its name here, running go generate, and registering a handler.
var implemented = map[string][]string{
	"ec2": {
		"DescribeRegions",
		"DescribeAvailabilityZones",
		"DescribeAccountAttributes",
		"DescribeInstanceTypes",
		"DescribeInstanceTypeOfferings",

		"CreateTags",
		"DeleteTags",
		"DescribeTags",

		"CreateKeyPair",
		"ImportKeyPair",
		"DescribeKeyPairs",
		"DeleteKeyPair",

		"DescribeImages",
		"RegisterImage",
		"DeregisterImage",
		"DescribeImageAttribute",
		"ModifyImageAttribute",
		"ResetImageAttribute",

		"RunInstances",
		"DescribeInstances",
		"DescribeInstanceStatus",
		"StartInstances",
		"StopInstances",
		"RebootInstances",
		"TerminateInstances",
		"DescribeInstanceAttribute",
		"ModifyInstanceAttribute",
		"GetConsoleOutput",

		"CreateVpc",
		"DeleteVpc",
		"DescribeVpcs",
		"DescribeVpcAttribute",
		"ModifyVpcAttribute",
		"CreateSubnet",
		"DeleteSubnet",
		"DescribeSubnets",
		"ModifySubnetAttribute",
		"CreateInternetGateway",
		"AttachInternetGateway",
		"DetachInternetGateway",
		"DeleteInternetGateway",
		"DescribeInternetGateways",
		"CreateRouteTable",
		"DeleteRouteTable",
		"DescribeRouteTables",
		"CreateRoute",
		"ReplaceRoute",
		"DeleteRoute",
		"AssociateRouteTable",
		"DisassociateRouteTable",
		"ReplaceRouteTableAssociation",
		"DescribeNetworkInterfaces",

		"CreateSecurityGroup",
		"DeleteSecurityGroup",
		"DescribeSecurityGroups",
		"DescribeSecurityGroupRules",
		"AuthorizeSecurityGroupIngress",
		"AuthorizeSecurityGroupEgress",
		"RevokeSecurityGroupIngress",
		"RevokeSecurityGroupEgress",

		"AllocateAddress",
		"ReleaseAddress",
		"AssociateAddress",
		"DisassociateAddress",
		"DescribeAddresses",

		"CreateVolume",
		"DeleteVolume",
		"DescribeVolumes",
		"DescribeVolumeStatus",
		"DescribeVolumeAttribute",
		"AttachVolume",
		"DetachVolume",
	},
	"sts": {
		"GetCallerIdentity",
	},
}

// openEnums are words that the region knows better than the model: they are
// decoded as plain text and checked by their handler.
var openEnums = map[string]bool{
	"InstanceType": true,
}
