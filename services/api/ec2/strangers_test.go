package ec2

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry/events"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/reply"
)

// calls has, for every implemented action, calls that alice may make; a $ stands
// for something of her estate. Together they name every id that the action
// takes: a new action, or a new parameter, is a line here.
const calls = `
DescribeRegions
DescribeAvailabilityZones
DescribeAccountAttributes
DescribeInstanceTypes
DescribeInstanceTypeOfferings

CreateTags ResourceId.1=$instance Tag.1.Key=a
CreateTags ResourceId.1=$volume Tag.1.Key=a
CreateTags ResourceId.1=$snapshot Tag.1.Key=a
CreateTags ResourceId.1=$image Tag.1.Key=a
CreateTags ResourceId.1=$key Tag.1.Key=a
CreateTags ResourceId.1=$vpc Tag.1.Key=a
CreateTags ResourceId.1=$subnet Tag.1.Key=a
CreateTags ResourceId.1=$group Tag.1.Key=a
CreateTags ResourceId.1=$rule Tag.1.Key=a
CreateTags ResourceId.1=$interface Tag.1.Key=a
CreateTags ResourceId.1=$gateway Tag.1.Key=a
CreateTags ResourceId.1=$table Tag.1.Key=a
CreateTags ResourceId.1=$acl Tag.1.Key=a
CreateTags ResourceId.1=$allocation Tag.1.Key=a
CreateTags ResourceId.1=$options Tag.1.Key=a
CreateTags ResourceId.1=$list Tag.1.Key=a
CreateTags ResourceId.1=$pool Tag.1.Key=a
CreateTags ResourceId.1=$flowlog Tag.1.Key=a
CreateTags ResourceId.1=$placement Tag.1.Key=a
CreateTags ResourceId.1=$nat Tag.1.Key=a
CreateTags ResourceId.1=$egress Tag.1.Key=a
CreateTags ResourceId.1=$peering Tag.1.Key=a
CreateTags ResourceId.1=$template Tag.1.Key=a
CreateTags ResourceId.1=$customer Tag.1.Key=a
CreateTags ResourceId.1=$vgw Tag.1.Key=a
CreateTags ResourceId.1=$vpn Tag.1.Key=a
DeleteTags ResourceId.1=$instance
DescribeTags

CreateKeyPair KeyName=another KeyType=ed25519
ImportKeyPair KeyName=another PublicKeyMaterial=$material
DescribeKeyPairs KeyName.1=$keyname
DescribeKeyPairs KeyPairId.1=$key
DeleteKeyPair KeyPairId=$key

DescribeImages ImageId.1=$image
RegisterImage Name=another RootDeviceName=/dev/sda1 KernelId=$kernel RamdiskId=$ramdisk BlockDeviceMapping.1.DeviceName=/dev/sda1 BlockDeviceMapping.1.Ebs.SnapshotId=$snapshot
CreateImage InstanceId=$stopped Name=another
CopyImage SourceImageId=$image SourceRegion=isle-1 Name=another
DescribeImageAttribute ImageId=$image Attribute=description
ModifyImageAttribute ImageId=$image Description.Value=x
ResetImageAttribute ImageId=$image Attribute=launchPermission
DeregisterImage ImageId=$image

RunInstances ImageId=$image MinCount=1 MaxCount=1 KeyName=$keyname KernelId=$kernel RamdiskId=$ramdisk
RunInstances ImageId=$image MinCount=1 MaxCount=1 SubnetId=$subnet SecurityGroupId.1=$group Placement.GroupId=$placement
RunInstances ImageId=$image MinCount=1 MaxCount=1 Placement.GroupName=$placementname
RunInstances ImageId=$image MinCount=1 MaxCount=1 SecurityGroup.1=$groupname
RunInstances MinCount=1 MaxCount=1 LaunchTemplate.LaunchTemplateId=$template
RunInstances MinCount=1 MaxCount=1 LaunchTemplate.LaunchTemplateName=$templatename
RunInstances ImageId=$image MinCount=1 MaxCount=1 NetworkInterface.1.DeviceIndex=0 NetworkInterface.1.SubnetId=$subnet NetworkInterface.1.SecurityGroupId.1=$group
RunInstances ImageId=$image MinCount=1 MaxCount=1 NetworkInterface.1.DeviceIndex=0 NetworkInterface.1.NetworkInterfaceId=$interface
RunInstances ImageId=$image MinCount=1 MaxCount=1 BlockDeviceMapping.1.DeviceName=/dev/sdb BlockDeviceMapping.1.Ebs.SnapshotId=$snapshot
DescribeInstances InstanceId.1=$instance
DescribeInstanceStatus InstanceId.1=$instance
DescribeInstanceAttribute InstanceId=$instance Attribute=userData
DescribeInstanceCreditSpecifications InstanceId.1=$burst
ModifyInstanceAttribute InstanceId=$instance DisableApiTermination.Value=true
ModifyInstanceAttribute InstanceId=$instance GroupId.1=$group
ModifyInstanceAttribute InstanceId=$stopped InstanceType.Value=t3.small
ModifyInstanceAttribute InstanceId=$stopped Kernel.Value=$kernel
ModifyInstanceAttribute InstanceId=$stopped Ramdisk.Value=$ramdisk
ResetInstanceAttribute InstanceId=$stopped Attribute=kernel
ModifyInstanceMetadataOptions InstanceId=$instance HttpTokens=required
MonitorInstances InstanceId.1=$instance
UnmonitorInstances InstanceId.1=$instance
GetConsoleOutput InstanceId=$instance
GetPasswordData InstanceId=$instance
StartInstances InstanceId.1=$stopped
StopInstances InstanceId.1=$burst
RebootInstances InstanceId.1=$instance
TerminateInstances InstanceId.1=$instance

CreatePlacementGroup GroupName=another Strategy=spread
DescribePlacementGroups GroupId.1=$placement
DescribePlacementGroups GroupName.1=$placementname
DeletePlacementGroup GroupName=$placementname

CreateLaunchTemplate LaunchTemplateName=another LaunchTemplateData.InstanceType=t3.micro
CreateLaunchTemplateVersion LaunchTemplateId=$template LaunchTemplateData.InstanceType=t3.micro
CreateLaunchTemplateVersion LaunchTemplateName=$templatename LaunchTemplateData.InstanceType=t3.micro
DescribeLaunchTemplates LaunchTemplateId.1=$template
DescribeLaunchTemplates LaunchTemplateName.1=$templatename
DescribeLaunchTemplateVersions LaunchTemplateId=$template
DescribeLaunchTemplateVersions LaunchTemplateName=$templatename
ModifyLaunchTemplate LaunchTemplateId=$template SetDefaultVersion=1
ModifyLaunchTemplate LaunchTemplateName=$templatename SetDefaultVersion=1
DeleteLaunchTemplateVersions LaunchTemplateId=$template LaunchTemplateVersion.1=2
DeleteLaunchTemplateVersions LaunchTemplateName=$templatename LaunchTemplateVersion.1=2
DeleteLaunchTemplate LaunchTemplateId=$template
DeleteLaunchTemplate LaunchTemplateName=$templatename

CreateVolume AvailabilityZone=isle-1a SnapshotId=$snapshot
DescribeVolumes VolumeId.1=$volume
DescribeVolumeStatus VolumeId.1=$volume
DescribeVolumeAttribute VolumeId=$volume Attribute=productCodes
ModifyVolumeAttribute VolumeId=$volume AutoEnableIO.Value=true
AttachVolume VolumeId=$volume InstanceId=$instance Device=/dev/sdg
DetachVolume VolumeId=$attached InstanceId=$instance
ModifyVolume VolumeId=$attached Size=2
DescribeVolumesModifications VolumeId.1=$modified
DeleteVolume VolumeId=$volume

CreateSnapshot VolumeId=$volume
DescribeSnapshots SnapshotId.1=$snapshot
CopySnapshot SourceSnapshotId=$snapshot SourceRegion=isle-1
DescribeSnapshotAttribute SnapshotId=$snapshot Attribute=createVolumePermission
ModifySnapshotAttribute SnapshotId=$snapshot CreateVolumePermission.Remove.1.Group=all
DeleteSnapshot SnapshotId=$loosesnapshot
EnableEbsEncryptionByDefault
DisableEbsEncryptionByDefault
GetEbsEncryptionByDefault

CreateVpc CidrBlock=10.9.0.0/16
CreateDefaultVpc
DescribeVpcs VpcId.1=$vpc
DescribeVpcAttribute VpcId=$vpc Attribute=enableDnsSupport
ModifyVpcAttribute VpcId=$vpc EnableDnsSupport.Value=true
AssociateVpcCidrBlock VpcId=$ownvpc CidrBlock=10.44.0.0/16
DisassociateVpcCidrBlock AssociationId=$vpccidr
DeleteVpc VpcId=$emptyvpc

CreateSubnet VpcId=$ownvpc CidrBlock=10.0.7.0/24
CreateDefaultSubnet AvailabilityZone=isle-1a
DescribeSubnets SubnetId.1=$subnet
ModifySubnetAttribute SubnetId=$subnet MapPublicIpOnLaunch.Value=true
AssociateSubnetCidrBlock SubnetId=$emptysubnet Ipv6CidrBlock=$six
DisassociateSubnetCidrBlock AssociationId=$subnetcidr
DeleteSubnet SubnetId=$emptysubnet

CreateInternetGateway
DescribeInternetGateways InternetGatewayId.1=$gateway
AttachInternetGateway InternetGatewayId=$loosegateway VpcId=$emptyvpc
DetachInternetGateway InternetGatewayId=$boundgateway VpcId=$ownvpc
DeleteInternetGateway InternetGatewayId=$loosegateway

CreateEgressOnlyInternetGateway VpcId=$ownvpc
DescribeEgressOnlyInternetGateways EgressOnlyInternetGatewayId.1=$egress
DeleteEgressOnlyInternetGateway EgressOnlyInternetGatewayId=$egress

CreateNatGateway SubnetId=$subnet AllocationId=$looseallocation
DescribeNatGateways NatGatewayId.1=$nat
DeleteNatGateway NatGatewayId=$nat

CreateVpcPeeringConnection VpcId=$vpc PeerVpcId=$peervpc
DescribeVpcPeeringConnections VpcPeeringConnectionId.1=$peering
AcceptVpcPeeringConnection VpcPeeringConnectionId=$peering
RejectVpcPeeringConnection VpcPeeringConnectionId=$peering
DeleteVpcPeeringConnection VpcPeeringConnectionId=$peering

CreateCustomerGateway Type=ipsec.1 IpAddress=203.0.113.99
DescribeCustomerGateways CustomerGatewayId.1=$customer
DeleteCustomerGateway CustomerGatewayId=$loosecustomer

CreateVpnGateway Type=ipsec.1
DescribeVpnGateways VpnGatewayId.1=$vgw
AttachVpnGateway VpnGatewayId=$loosevgw VpcId=$emptyvpc
DetachVpnGateway VpnGatewayId=$vgw VpcId=$ownvpc
DeleteVpnGateway VpnGatewayId=$loosevgw
EnableVgwRoutePropagation RouteTableId=$loosetable GatewayId=$vgw
DisableVgwRoutePropagation RouteTableId=$loosetable GatewayId=$vgw

CreateVpnConnection Type=ipsec.1 CustomerGatewayId=$loosecustomer VpnGatewayId=$vgw
DescribeVpnConnections VpnConnectionId.1=$vpn
CreateVpnConnectionRoute VpnConnectionId=$vpn DestinationCidrBlock=192.0.2.0/24
DeleteVpnConnectionRoute VpnConnectionId=$vpn DestinationCidrBlock=192.168.0.0/24
DeleteVpnConnection VpnConnectionId=$vpn

CreateRouteTable VpcId=$ownvpc
DescribeRouteTables RouteTableId.1=$table
CreateRoute RouteTableId=$loosetable DestinationCidrBlock=192.0.2.0/24 GatewayId=$boundgateway
CreateRoute RouteTableId=$loosetable DestinationCidrBlock=192.0.2.0/24 GatewayId=$vgw
CreateRoute RouteTableId=$loosetable DestinationCidrBlock=192.0.2.0/24 NetworkInterfaceId=$ownnic
CreateRoute RouteTableId=$table DestinationCidrBlock=192.0.2.0/24 InstanceId=$instance
CreateRoute RouteTableId=$table DestinationCidrBlock=192.0.2.0/24 NatGatewayId=$nat
CreateRoute RouteTableId=$loosetable DestinationIpv6CidrBlock=::/0 EgressOnlyInternetGatewayId=$egress
CreateRoute RouteTableId=$loosetable DestinationCidrBlock=10.1.0.0/16 VpcPeeringConnectionId=$peering
CreateRoute RouteTableId=$loosetable DestinationPrefixListId=$list GatewayId=$boundgateway
ReplaceRoute RouteTableId=$loosetable DestinationPrefixListId=$routedlist GatewayId=$boundgateway
DeleteRoute RouteTableId=$loosetable DestinationPrefixListId=$routedlist
ReplaceRoute RouteTableId=$table DestinationCidrBlock=0.0.0.0/0 NatGatewayId=$nat
ReplaceRoute RouteTableId=$loosetable DestinationIpv6CidrBlock=2001:db8::/32 EgressOnlyInternetGatewayId=$egress
ReplaceRoute RouteTableId=$loosetable DestinationCidrBlock=198.51.100.0/24 VpcPeeringConnectionId=$peering
ReplaceRoute RouteTableId=$loosetable DestinationCidrBlock=198.51.100.0/24 GatewayId=$boundgateway
ReplaceRoute RouteTableId=$loosetable DestinationCidrBlock=198.51.100.0/24 GatewayId=$vgw
ReplaceRoute RouteTableId=$loosetable DestinationCidrBlock=198.51.100.0/24 NetworkInterfaceId=$ownnic
ReplaceRoute RouteTableId=$table DestinationCidrBlock=0.0.0.0/0 InstanceId=$instance
DeleteRoute RouteTableId=$loosetable DestinationCidrBlock=198.51.100.0/24
AssociateRouteTable RouteTableId=$loosetable SubnetId=$emptysubnet
AssociateRouteTable RouteTableId=$edgetable GatewayId=$boundgateway
ReplaceRouteTableAssociation AssociationId=$tableassociation RouteTableId=$loosetable
DisassociateRouteTable AssociationId=$tableassociation
DeleteRouteTable RouteTableId=$loosetable

CreateNetworkInterface SubnetId=$subnet SecurityGroupId.1=$group
DescribeNetworkInterfaces NetworkInterfaceId.1=$interface
AttachNetworkInterface NetworkInterfaceId=$interface InstanceId=$instance DeviceIndex=1
DescribeNetworkInterfaceAttribute NetworkInterfaceId=$interface Attribute=description
ModifyNetworkInterfaceAttribute NetworkInterfaceId=$interface Description.Value=mine
ModifyNetworkInterfaceAttribute NetworkInterfaceId=$interface SecurityGroupId.1=$group
ModifyNetworkInterfaceAttribute NetworkInterfaceId=$second Attachment.AttachmentId=$attachment Attachment.DeleteOnTermination=true
ResetNetworkInterfaceAttribute NetworkInterfaceId=$interface SourceDestCheck=true
AssignPrivateIpAddresses NetworkInterfaceId=$interface SecondaryPrivateIpAddressCount=1
UnassignPrivateIpAddresses NetworkInterfaceId=$interface PrivateIpAddress.1=$secondary
AssignIpv6Addresses NetworkInterfaceId=$sixnic Ipv6AddressCount=1
UnassignIpv6Addresses NetworkInterfaceId=$sixnic Ipv6Addresses.1=$sixaddress
DetachNetworkInterface AttachmentId=$attachment
DeleteNetworkInterface NetworkInterfaceId=$interface

CreateSecurityGroup GroupName=another GroupDescription=x VpcId=$vpc
DescribeSecurityGroups GroupId.1=$group
DescribeSecurityGroups GroupName.1=$groupname
DescribeSecurityGroupRules SecurityGroupRuleId.1=$rule
AuthorizeSecurityGroupIngress GroupId=$group IpProtocol=tcp FromPort=7 ToPort=7 CidrIp=192.0.2.0/24
AuthorizeSecurityGroupIngress GroupName=$groupname IpProtocol=tcp FromPort=7 ToPort=7 CidrIp=192.0.2.0/24
AuthorizeSecurityGroupIngress GroupId=$group IpPermissions.1.IpProtocol=-1 IpPermissions.1.Groups.1.GroupId=$group
AuthorizeSecurityGroupEgress GroupId=$group IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=7 IpPermissions.1.ToPort=7 IpPermissions.1.Groups.1.GroupId=$group
RevokeSecurityGroupIngress GroupId=$group SecurityGroupRuleId.1=$rule
RevokeSecurityGroupIngress GroupName=$groupname IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22 IpPermissions.1.Groups.1.GroupId=$group
RevokeSecurityGroupEgress GroupId=$group SecurityGroupRuleId.1=$outrule
RevokeSecurityGroupEgress GroupId=$group IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22 IpPermissions.1.Groups.1.GroupId=$group
ModifySecurityGroupRules GroupId=$group SecurityGroupRule.1.SecurityGroupRuleId=$rule SecurityGroupRule.1.SecurityGroupRule.IpProtocol=-1 SecurityGroupRule.1.SecurityGroupRule.ReferencedGroupId=$group
UpdateSecurityGroupRuleDescriptionsIngress GroupId=$group SecurityGroupRuleDescription.1.SecurityGroupRuleId=$rule SecurityGroupRuleDescription.1.Description=x
UpdateSecurityGroupRuleDescriptionsIngress GroupName=$groupname IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22 IpPermissions.1.Groups.1.GroupId=$group
UpdateSecurityGroupRuleDescriptionsEgress GroupId=$group SecurityGroupRuleDescription.1.SecurityGroupRuleId=$outrule SecurityGroupRuleDescription.1.Description=x
UpdateSecurityGroupRuleDescriptionsEgress GroupName=$groupname IpPermissions.1.IpProtocol=tcp IpPermissions.1.FromPort=22 IpPermissions.1.ToPort=22 IpPermissions.1.Groups.1.GroupId=$group
DeleteSecurityGroup GroupId=$loosegroup
DeleteSecurityGroup GroupName=$loosegroupname

CreateNetworkAcl VpcId=$vpc
DescribeNetworkAcls NetworkAclId.1=$acl
CreateNetworkAclEntry NetworkAclId=$acl RuleNumber=7 Egress=false RuleAction=deny Protocol=-1 CidrBlock=192.0.2.0/24
ReplaceNetworkAclEntry NetworkAclId=$acl RuleNumber=5 Egress=false RuleAction=deny Protocol=-1 CidrBlock=192.0.2.0/24
DeleteNetworkAclEntry NetworkAclId=$acl RuleNumber=5 Egress=false
ReplaceNetworkAclAssociation AssociationId=$aclassociation NetworkAclId=$acl
DeleteNetworkAcl NetworkAclId=$acl

CreateDhcpOptions DhcpConfiguration.1.Key=domain-name DhcpConfiguration.1.Value.1=example.com
DescribeDhcpOptions DhcpOptionsId.1=$options
AssociateDhcpOptions VpcId=$vpc DhcpOptionsId=$options
DeleteDhcpOptions DhcpOptionsId=$options

CreateManagedPrefixList PrefixListName=another AddressFamily=IPv4 MaxEntries=5
DescribeManagedPrefixLists PrefixListId.1=$list
DescribePrefixLists
ModifyManagedPrefixList PrefixListId=$list PrefixListName=x
RestoreManagedPrefixListVersion PrefixListId=$list CurrentVersion=1 PreviousVersion=1
GetManagedPrefixListEntries PrefixListId=$list
GetManagedPrefixListAssociations PrefixListId=$list
DeleteManagedPrefixList PrefixListId=$list

ProvisionByoipCidr Cidr=2001:db8:77::/48 PubliclyAdvertisable=false
DescribeByoipCidrs MaxResults=5
AdvertiseByoipCidr Cidr=$range
WithdrawByoipCidr Cidr=$range
DeprovisionByoipCidr Cidr=$range
DescribePublicIpv4Pools PoolId.1=$pool

CreateFlowLogs ResourceType=VPC ResourceId.1=$vpc TrafficType=ALL LogDestinationType=s3 LogDestination=arn:aws:s3:::bucket
CreateFlowLogs ResourceType=Subnet ResourceId.1=$subnet TrafficType=ALL LogDestinationType=s3 LogDestination=arn:aws:s3:::bucket
CreateFlowLogs ResourceType=NetworkInterface ResourceId.1=$interface TrafficType=ALL LogDestinationType=s3 LogDestination=arn:aws:s3:::bucket
DescribeFlowLogs FlowLogId.1=$flowlog
DeleteFlowLogs FlowLogId.1=$flowlog
ModifyVpcTenancy VpcId=$vpc InstanceTenancy=default
DescribeVpcClassicLink VpcId.1=$vpc
DescribeVpcClassicLinkDnsSupport VpcIds.1=$vpc

AllocateAddress
DescribeAddresses AllocationId.1=$allocation
DescribeAddresses PublicIp.1=$address
DescribeAddressesAttribute AllocationId.1=$allocation
AssociateAddress AllocationId=$looseallocation InstanceId=$instance
AssociateAddress AllocationId=$looseallocation NetworkInterfaceId=$interface
DisassociateAddress AssociationId=$association
DisassociateAddress PublicIp=$address
ReleaseAddress AllocationId=$looseallocation
ReleaseAddress PublicIp=$looseaddress
`

// refusals are the calls of the list that this region or this estate refuses.
var refusals = map[string]string{
	"CreateDefaultVpc":             "DefaultVpcAlreadyExists",
	"CreateDefaultSubnet":          "DefaultSubnetAlreadyExistsInAvailabilityZone",
	"EnableEbsEncryptionByDefault": "UnsupportedOperation",
	"WithdrawByoipCidr":            "IncorrectState",
}

// absent are ids of things that this region has none of, wherever an action
// takes one: such a call is refused.
var absent = regexp.MustCompile(`(KmsKeyId|IpamPoolId|HostId|CapacityReservationId|CarrierGatewayId|LocalGatewayId|TransitGatewayId|TransitGatewayAttachmentId|VpcEndpointId|Groups\.1\.VpcPeeringConnectionId|PrefixListId|SecondaryAllocationId\.1)$|^DescribePrefixLists PrefixListId.1$|^ModifyInstanceAttribute BlockDeviceMapping.1.Ebs.VolumeId$`)

// otherwise are ids that no call need name: of accounts, of zones, and of what a
// launch template keeps unread.
var otherwise = regexp.MustCompile(`(UserId|OwnerId|UserId\.1|Owner\.1|RestorableBy\.1|ZoneId|ZoneId\.1|AvailabilityZoneId)$|^LaunchTemplateData\.|^(Copy|Create)Image.*Ebs\.SnapshotId$|Groups\.1\.VpcId$`)

// inputs are the parameters of each structure of the generated decoders, by
// their names on the wire.
func inputs(t *testing.T) map[string][][2]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../model/decode_gen.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][][2]string{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv == nil {
			continue
		}
		of := fn.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
		out[of] = nil
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			var wire, field string
			for _, a := range c.Args {
				switch a := a.(type) {
				case *ast.BasicLit:
					wire, _ = strconv.Unquote(a.Value)
				case *ast.UnaryExpr:
					field = a.X.(*ast.SelectorExpr).Sel.Name
				}
			}
			if field != "" {
				out[of] = append(out[of], [2]string{field, wire})
			}
			return true
		})
	}
	return out
}

// identifiers are the parameters of an input that are called ids.
func identifiers(all map[string][][2]string, t reflect.Type, path string, seen []reflect.Type) (out []string) {
	switch t.Kind() {
	case reflect.Pointer:
		return identifiers(all, t.Elem(), path, seen)
	case reflect.Slice:
		return identifiers(all, t.Elem(), path+".1", seen)
	case reflect.String:
		if strings.HasSuffix(strings.TrimSuffix(path, ".1"), "Id") {
			return []string{path}
		}
	case reflect.Struct:
		if slices.Contains(seen, t) {
			return nil
		}
		for _, m := range all[t.Name()] {
			f, _ := t.FieldByName(m[0])
			out = append(out, identifiers(all, f.Type, strings.TrimPrefix(path+"."+m[1], "."), append(seen, t))...)
		}
	}
	return out
}

// oneCall is a line of calls.
type oneCall struct {
	action string
	params [][2]string
}

func readCalls() (out []oneCall) {
	for s := bufio.NewScanner(strings.NewReader(calls)); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) == 0 {
			continue
		}
		c := oneCall{action: words[0]}
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			c.params = append(c.params, [2]string{name, value})
		}
		out = append(out, c)
	}
	return out
}

// with are the parameters for an estate, with another value for the one at.
func (c oneCall) with(e estate, at int, value string) (out []string) {
	for i, p := range c.params {
		v := p[1]
		if i == at {
			v = value
		} else if name, ok := strings.CutPrefix(v, "$"); ok {
			v = e[name]
		}
		out = append(out, p[0], v)
	}
	return out
}

// estate is what an account has, by the names that calls use.
type estate map[string]string

// named are the things of an estate that are known by a name or an address: what
// EC2 answers when there is none, and a name that nobody has.
var named = map[string][2]string{
	"keyname":        {"InvalidKeyPair.NotFound", "nobody"},
	"groupname":      {"InvalidGroup.NotFound", "nobody"},
	"loosegroupname": {"InvalidGroup.NotFound", "nobody"},
	"placementname":  {"InvalidPlacementGroup.Unknown", "nobody"},
	"templatename":   {"InvalidLaunchTemplateName.NotFoundException", "nobody"},
	"address":        {"InvalidAddress.NotFound", "198.19.255.254"},
	"looseaddress":   {"InvalidAddress.NotFound", "198.19.255.254"},
}

// plain are values of an estate that are no ids.
var plain = []string{"peervpc", "material", "six", "secondary", "sixaddress", "range"}

func (w *world) estate(account string) estate {
	w.t.Helper()
	e := estate{"kernel": aki, "ramdisk": ari, "material": encode(sshLine)}
	ok := func(action string, params ...string) *node { w.t.Helper(); return w.ok(account, action, params...) }
	run := func(params ...string) string {
		w.t.Helper()
		return w.running(account, append(params, "Placement.AvailabilityZone", "isle-1a")...)
	}
	e["keyname"] = "key-" + account
	e["key"] = ok("CreateKeyPair", "KeyName", e["keyname"], "KeyType", "ed25519").text("keyPairId")
	e["instance"] = run("UserData", encode("secret of "+account))
	n := ok("DescribeInstances", "InstanceId.1", e["instance"]).all("reservationSet/item/instancesSet/item")[0]
	e["vpc"], e["subnet"] = n.text("vpcId"), n.text("subnetId")

	e["volume"], e["attached"], e["modified"] = w.volume(account, "isle-1a"), w.volume(account, "isle-1a"), w.volume(account, "isle-1a")
	ok("ModifyVolume", "VolumeId", e["modified"], "Size", "3")
	ok("AttachVolume", "VolumeId", e["attached"], "InstanceId", e["instance"], "Device", "/dev/sdf")
	w.disk(w.t, e["attached"], events.DiskAttached)
	for _, name := range []string{"snapshot", "loosesnapshot"} {
		e[name] = ok("CreateSnapshot", "VolumeId", e["volume"]).text("snapshotId")
		s, _ := w.view().Snapshots.Get(e[name])
		w.act(w.t, "", events.ReportSnapshot{Host: s.Host, Snapshot: s.ID, Phase: events.SnapshotReady})
	}
	e["image"] = ok("RegisterImage", "Name", "mine-"+account, "RootDeviceName", "/dev/sda1", "KernelId", aki, "RamdiskId", ari, "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", e["snapshot"]).text("imageId")
	for _, name := range []string{"burst", "stopped"} {
		e[name] = w.run(account, "ImageId", e["image"], "InstanceType", "t3.micro", "Placement.AvailabilityZone", "isle-1a")[0]
		w.place(w.t)
		w.placeVolumes(w.t)
		w.stored(w.t, ok("DescribeVolumes", "Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", e[name]).text("volumeSet/item/volumeId"), events.VolumeReady)
		w.report(w.t, e[name], events.PhaseRunning)
	}
	ok("StopInstances", "InstanceId.1", e["stopped"])
	w.report(w.t, e["stopped"], events.PhaseAbsent)

	e["placementname"], e["templatename"] = "far-"+account, "template-"+account
	e["placement"] = ok("CreatePlacementGroup", "GroupName", e["placementname"], "Strategy", "spread").text("placementGroup/groupId")
	e["template"] = ok("CreateLaunchTemplate", "LaunchTemplateName", e["templatename"], "LaunchTemplateData.ImageId", e["image"], "LaunchTemplateData.InstanceType", "t3.micro").text("launchTemplate/launchTemplateId")
	ok("CreateLaunchTemplateVersion", "LaunchTemplateId", e["template"], "LaunchTemplateData.ImageId", e["image"])

	e["groupname"], e["loosegroupname"] = "web-"+account, "loose-"+account
	e["group"], e["loosegroup"] = w.group(account, e["groupname"]), w.group(account, e["loosegroupname"])
	permission := []string{"GroupId", e["group"], "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.Groups.1.GroupId", e["group"]}
	e["rule"] = ok("AuthorizeSecurityGroupIngress", permission...).text("securityGroupRuleSet/item/securityGroupRuleId")
	e["outrule"] = ok("AuthorizeSecurityGroupEgress", permission...).text("securityGroupRuleSet/item/securityGroupRuleId")

	n = ok("CreateNetworkInterface", "SubnetId", e["subnet"], "SecondaryPrivateIpAddressCount", "1").all("networkInterface")[0]
	e["interface"], e["secondary"] = n.text("networkInterfaceId"), n.texts("privateIpAddressesSet/item/privateIpAddress")[1]
	e["second"] = ok("CreateNetworkInterface", "SubnetId", e["subnet"]).text("networkInterface/networkInterfaceId")
	e["attachment"] = ok("AttachNetworkInterface", "NetworkInterfaceId", e["second"], "InstanceId", e["burst"], "DeviceIndex", "1").text("attachmentId")

	n = ok("CreateVpc", "CidrBlock", "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock", "true")
	e["ownvpc"] = n.text("vpc/vpcId")
	e["emptyvpc"] = ok("CreateVpc", "CidrBlock", "10.1.0.0/16").text("vpc/vpcId")
	e["vpccidr"] = ok("AssociateVpcCidrBlock", "VpcId", e["ownvpc"], "CidrBlock", "10.2.0.0/16").text("cidrBlockAssociation/associationId")
	six := n.text("vpc/ipv6CidrBlockAssociationSet/item/ipv6CidrBlock")
	block := func(i string) string { return strings.Replace(six, "00::/56", i+"::/64", 1) }
	e["six"] = block("02")
	e["emptysubnet"] = ok("CreateSubnet", "VpcId", e["ownvpc"], "CidrBlock", "10.0.1.0/24").text("subnet/subnetId")
	e["subnetcidr"] = ok("CreateSubnet", "VpcId", e["ownvpc"], "CidrBlock", "10.0.2.0/24", "Ipv6CidrBlock", block("01")).text("subnet/ipv6CidrBlockAssociationSet/item/associationId")
	own := ok("CreateSubnet", "VpcId", e["ownvpc"], "CidrBlock", "10.0.3.0/24", "Ipv6CidrBlock", block("03")).text("subnet/subnetId")
	n = ok("CreateNetworkInterface", "SubnetId", own, "Ipv6AddressCount", "1").all("networkInterface")[0]
	e["sixnic"], e["ownnic"], e["sixaddress"] = n.text("networkInterfaceId"), n.text("networkInterfaceId"), n.text("ipv6AddressesSet/item/ipv6Address")

	e["gateway"] = ok("DescribeInternetGateways", "Filter.1.Name", "attachment.vpc-id", "Filter.1.Value.1", e["vpc"]).text("internetGatewaySet/item/internetGatewayId")
	e["boundgateway"] = ok("CreateInternetGateway").text("internetGateway/internetGatewayId")
	ok("AttachInternetGateway", "InternetGatewayId", e["boundgateway"], "VpcId", e["ownvpc"])
	e["loosegateway"] = ok("CreateInternetGateway").text("internetGateway/internetGatewayId")
	e["table"] = ok("DescribeRouteTables", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", e["vpc"]).text("routeTableSet/item/routeTableId")
	e["loosetable"] = ok("CreateRouteTable", "VpcId", e["ownvpc"]).text("routeTable/routeTableId")
	ok("CreateRoute", "RouteTableId", e["loosetable"], "DestinationCidrBlock", "198.51.100.0/24", "GatewayId", e["boundgateway"])
	e["egress"] = ok("CreateEgressOnlyInternetGateway", "VpcId", e["ownvpc"]).text("egressOnlyInternetGateway/egressOnlyInternetGatewayId")
	ok("CreateRoute", "RouteTableId", e["loosetable"], "DestinationIpv6CidrBlock", "2001:db8::/32", "EgressOnlyInternetGatewayId", e["egress"])
	e["nat"] = ok("CreateNatGateway", "SubnetId", e["subnet"], "ConnectivityType", "private").text("natGateway/natGatewayId")
	e["peervpc"] = e["ownvpc"]
	e["peering"] = ok("CreateVpcPeeringConnection", "VpcId", e["emptyvpc"], "PeerVpcId", e["peervpc"]).text("vpcPeeringConnection/vpcPeeringConnectionId")
	e["customer"] = ok("CreateCustomerGateway", "Type", "ipsec.1", "IpAddress", "203.0.113.7").text("customerGateway/customerGatewayId")
	e["loosecustomer"] = ok("CreateCustomerGateway", "Type", "ipsec.1", "IpAddress", "203.0.113.8").text("customerGateway/customerGatewayId")
	e["vgw"] = ok("CreateVpnGateway", "Type", "ipsec.1").text("vpnGateway/vpnGatewayId")
	e["loosevgw"] = ok("CreateVpnGateway", "Type", "ipsec.1").text("vpnGateway/vpnGatewayId")
	ok("AttachVpnGateway", "VpnGatewayId", e["vgw"], "VpcId", e["ownvpc"])
	e["vpn"] = ok("CreateVpnConnection", "Type", "ipsec.1", "CustomerGatewayId", e["customer"], "VpnGatewayId", e["vgw"], "Options.StaticRoutesOnly", "true").text("vpnConnection/vpnConnectionId")
	ok("CreateVpnConnectionRoute", "VpnConnectionId", e["vpn"], "DestinationCidrBlock", "192.168.0.0/24")
	e["edgetable"] = ok("CreateRouteTable", "VpcId", e["ownvpc"]).text("routeTable/routeTableId")
	bound := ok("CreateRouteTable", "VpcId", e["ownvpc"]).text("routeTable/routeTableId")
	e["tableassociation"] = ok("AssociateRouteTable", "RouteTableId", bound, "SubnetId", own).text("associationId")

	e["acl"] = ok("CreateNetworkAcl", "VpcId", e["ownvpc"]).text("networkAcl/networkAclId")
	ok("CreateNetworkAclEntry", "NetworkAclId", e["acl"], "RuleNumber", "5", "Egress", "false", "RuleAction", "allow", "Protocol", "-1", "CidrBlock", "192.0.2.0/24")
	e["aclassociation"] = ok("DescribeNetworkAcls", "Filter.1.Name", "association.subnet-id", "Filter.1.Value.1", own).texts("networkAclSet/item/associationSet/item/networkAclAssociationId")[0]

	n = ok("AllocateAddress")
	e["address"], e["allocation"] = n.text("publicIp"), n.text("allocationId")
	n = ok("AllocateAddress")
	e["looseaddress"], e["looseallocation"] = n.text("publicIp"), n.text("allocationId")
	e["association"] = ok("AssociateAddress", "AllocationId", e["allocation"], "NetworkInterfaceId", e["second"]).text("associationId")
	e["options"] = ok("CreateDhcpOptions", "DhcpConfiguration.1.Key", "netbios-node-type", "DhcpConfiguration.1.Value.1", "2").text("dhcpOptions/dhcpOptionsId")
	e["list"] = ok("CreateManagedPrefixList", "PrefixListName", "offices", "AddressFamily", "IPv4", "MaxEntries", "2").text("prefixList/prefixListId")
	e["routedlist"] = ok("CreateManagedPrefixList", "PrefixListName", "routed", "AddressFamily", "IPv4", "MaxEntries", "2").text("prefixList/prefixListId")
	ok("CreateRoute", "RouteTableId", e["loosetable"], "DestinationPrefixListId", e["routedlist"], "GatewayId", e["boundgateway"])
	e["range"] = map[string]string{alice: "203.0.112.0/24", bob: "203.0.113.0/24"}[account]
	w.provision(account, e["range"])
	e["pool"] = ok("DescribePublicIpv4Pools").text("publicIpv4PoolSet/item/poolId")
	e["flowlog"] = ok("CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", e["vpc"], "TrafficType", "REJECT", "LogDestinationType", "s3", "LogDestination", "arn:aws:s3:::bucket").text("flowLogIdSet/item")
	for name, value := range e {
		if value == "" || strings.Contains(value, " ") {
			w.t.Errorf("the estate has %q as its %s", value, name)
		}
	}
	return e
}

// nowhere is an id of the same kind that nobody has.
func nowhere(id string) string { return id[:strings.LastIndexByte(id, '-')+1] + "0dead0beef0dead00" }

// What belongs to another account does not exist, for any action, under any
// name; and the answer is the same, to the letter, as for what is nowhere.
func TestAnotherAccount(t *testing.T) {
	w := newWorld(t)
	w.limit.Factor = 1e3 // it asks faster than people do
	his, mine := w.estate(bob), w.estate(alice)
	table := New(w.fake, w.key, "").Table()
	missing := table.Missing()
	all, handlers := inputs(t), reflect.TypeFor[*Handlers]()
	lines := readCalls()
	for _, action := range slices.Sorted(slices.Values(model.Implemented(reply.EC2))) {
		if slices.Contains(missing, action) {
			continue
		}
		m, _ := handlers.MethodByName(action)
		input := m.Type.In(3)
		takes := identifiers(all, input, "", nil)
		var first *oneCall
		for _, c := range lines {
			if c.action != action {
				continue
			}
			if first == nil {
				first = &c
			}
			w.strange(t, c, mine, his)
			for _, p := range c.params {
				takes = slices.DeleteFunc(takes, func(s string) bool { return s == p[0] })
			}
			// The call itself is right, so that it is the id that was refused.
			params := c.with(mine, -1, "")
			_, dry := reflect.Zero(input).Interface().(interface{ IsDryRun() bool })
			want := "" // no error
			if code, ok := refusals[action]; ok {
				want = code
			} else if dry && !strings.HasPrefix(action, "Describe") {
				want, params = "DryRunOperation", append(params, "DryRun", "true")
			}
			if _, text := w.call(alice, action, params...); w.parse(text).text("Errors/Error/Code") != want {
				t.Errorf("%s %v: want %q, got %s", action, params, want, text)
			}
		}
		if first == nil {
			t.Errorf("%s has no line in calls: add one that alice may make, and what it needs to her estate", action)
			continue
		}
		for _, p := range takes {
			switch {
			case otherwise.MatchString(p) || otherwise.MatchString(action+" "+p):
			case absent.MatchString(action + " " + p):
				params := append(first.with(mine, -1, ""), p, "none-01234567")
				n := w.view().Meta.N
				if status, text := w.call(alice, action, params...); status == 200 || status == 500 || w.view().Meta.N != n {
					t.Errorf("%s %v: %d %s", action, params, status, text)
				}
			default:
				t.Errorf("%s: no line in calls has %s", action, p)
			}
		}
	}
}

// strange makes a call with each of its ids another's, nobody's and malformed.
func (w *world) strange(t *testing.T, c oneCall, mine, his estate) {
	t.Helper()
	request := regexp.MustCompile(`<RequestID>[^<]*</RequestID>`)
	for at, p := range c.params {
		name, ok := strings.CutPrefix(p[1], "$")
		if !ok || slices.Contains(plain, name) {
			continue
		}
		if mine[name] == "" {
			t.Fatalf("%s: the estate has no %s", c.action, name)
		}
		var code, malformed, nobody string
		if n, ok := named[name]; ok {
			code, nobody = n[0], n[1]
		} else {
			kind, err := ids.Of(mine[name])
			if err != nil {
				t.Fatal(c.action, name, err)
			}
			code, malformed, nobody = kind.NotFound, kind.Malformed, nowhere(mine[name])
		}
		switch p[0] {
		case "ResourceId.1":
			if strings.HasSuffix(c.action, "Tags") { // which take ids of every kind
				malformed = "InvalidID"
			}
		case "GatewayId": // of a route, it may be of another kind
			code = "InvalidGatewayID.NotFound"
			if strings.HasSuffix(c.action, "Route") {
				malformed = ids.InternetGateway.Malformed
			}
		case "NatGatewayId":
			if strings.HasSuffix(c.action, "Route") {
				code = "InvalidNatGatewayID.NotFound"
			}
		}
		n := w.view().Meta.N
		refused := func(code, value string) string {
			t.Helper()
			params := c.with(mine, at, value)
			for _, p := range [][]string{params, append(slices.Clone(params), "DryRun", "true")} {
				status, text := w.call(alice, c.action, p...)
				got := w.parse(text).text("Errors/Error/Code")
				if got == "UnknownParameter" && p[len(p)-2] == "DryRun" {
					continue
				}
				if got != code {
					t.Errorf("%s %v: want %s, got %d %s", c.action, p, code, status, text)
				}
			}
			status, text := w.call(alice, c.action, params...)
			return strconv.Itoa(status) + strings.ReplaceAll(request.ReplaceAllString(text, ""), value, "IT")
		}
		none := refused(code, nobody)
		if his[name] != mine[name] {
			if some := refused(code, his[name]); some != none {
				t.Errorf("%s tells bob's %s from nobody's: %s, %s", c.action, p[0], some, none)
			}
		}
		if list, ok := strings.CutSuffix(p[0], ".1"); ok && his[name] != mine[name] {
			w.fails(code, alice, c.action, append(c.with(mine, -1, ""), list+".2", his[name])...)
		}
		if malformed != "" {
			for _, value := range []string{"x", "elephant-01234567", mine[name] + "0", strings.ToUpper(mine[name])} {
				refused(malformed, value)
			}
		}
		if now := w.view().Meta.N; now != n {
			t.Errorf("%s with another's %s changed the region", c.action, p[0])
		}
	}
}

// Nor do listings show what is another's, whatever they filter by.
func TestListingsOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	his := w.estate(bob)
	w.estate(alice)
	w.ok(bob, "CreateTags", "ResourceId.1", his["instance"], "Tag.1.Key", "secret", "Tag.1.Value", bob)
	his["account"] = bob
	for _, name := range []string{"kernel", "ramdisk", "material", "secondary"} {
		delete(his, name) // everybody's
	}
	values := slices.Sorted(maps.Values(his))
	for _, d := range describes {
		_, text := w.call(alice, d.action, d.params...)
		for name, value := range his {
			if strings.Contains(text, ">"+value+"<") {
				t.Errorf("%s shows bob's %s, %s", d.action, name, value)
			}
		}
		for _, f := range append(d.fields, "tag:secret") {
			params := append([]string{"Filter.1.Name", f}, d.params...)
			for i, v := range values {
				params = append(params, "Filter.1.Value."+strconv.Itoa(i+1), v)
			}
			status, text := w.call(alice, d.action, params...)
			if f == "tag:secret" && status == 400 {
				continue // rows without tags
			}
			if rows := d.read(w.parse(text)); status != 200 || len(rows) > 0 {
				t.Errorf("%s by %s shows %d rows of bob's: %d", d.action, f, len(rows), status)
			}
		}
	}
}
