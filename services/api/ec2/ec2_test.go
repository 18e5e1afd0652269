package ec2

import (
	"strings"
	"testing"

	"skerry/events"
)

// Every action whose shapes exist has a handler.
func TestNothingMissing(t *testing.T) {
	if missing := New(&fake{}, newWorld(t).key, "").Table().Missing(); len(missing) > 0 {
		t.Error(missing)
	}
}

// What belongs to another account does not exist, for any action that takes its
// id.
func TestAnotherAccount(t *testing.T) {
	w := newWorld(t)
	o := w.things(bob)
	mine := w.things(alice)
	const (
		noInstance = "InvalidInstanceID.NotFound"
		noImage    = "InvalidAMIID.NotFound"
		noKey      = "InvalidKeyPair.NotFound"
		noVPC      = "InvalidVpcID.NotFound"
		noSubnet   = "InvalidSubnetID.NotFound"
		noGroup    = "InvalidGroup.NotFound"
		noVolume   = "InvalidVolume.NotFound"
		noAddress  = "InvalidAddress.NotFound"
		noAlloc    = "InvalidAllocationID.NotFound"
		noEni      = "InvalidNetworkInterfaceID.NotFound"
		noGateway  = "InvalidInternetGatewayID.NotFound"
		noTable    = "InvalidRouteTableID.NotFound"
		noRule     = "InvalidSecurityGroupRuleId.NotFound"
	)
	run := func(params ...string) []string {
		return append([]string{"ImageId", ami, "MinCount", "1", "MaxCount", "1"}, params...)
	}
	for _, c := range []struct {
		code, action string
		params       []string
	}{
		{noInstance, "DescribeInstances", []string{"InstanceId.1", o.instance}},
		{noInstance, "DescribeInstances", []string{"InstanceId.1", mine.instance, "InstanceId.2", o.instance}},
		{noInstance, "DescribeInstanceStatus", []string{"InstanceId.1", o.instance}},
		{noInstance, "StartInstances", []string{"InstanceId.1", o.instance}},
		{noInstance, "StopInstances", []string{"InstanceId.1", o.instance}},
		{noInstance, "RebootInstances", []string{"InstanceId.1", o.instance}},
		{noInstance, "TerminateInstances", []string{"InstanceId.1", mine.instance, "InstanceId.2", o.instance}},
		{noInstance, "TerminateInstances", []string{"InstanceId.1", o.instance, "DryRun", "true"}},
		{noInstance, "DescribeInstanceAttribute", []string{"InstanceId", o.instance, "Attribute", "userData"}},
		{noInstance, "ModifyInstanceAttribute", []string{"InstanceId", o.instance, "DisableApiTermination.Value", "true"}},
		{noInstance, "ModifyInstanceAttribute", []string{"InstanceId", o.instance, "Kernel.Value", aki}},
		{noInstance, "ModifyInstanceAttribute", []string{"InstanceId", o.instance, "DisableApiStop.Value", "false"}},
		{noInstance, "ModifyInstanceAttribute", []string{"InstanceId", o.instance, "BlockDeviceMapping.1.DeviceName", "/dev/sda1"}},
		{noInstance, "GetConsoleOutput", []string{"InstanceId", o.instance}},
		{noInstance, "CreateTags", []string{"ResourceId.1", o.instance, "Tag.1.Key", "a"}},
		{noInstance, "DeleteTags", []string{"ResourceId.1", o.instance}},
		{noImage, "DescribeImages", []string{"ImageId.1", o.image}},
		{noImage, "DescribeImageAttribute", []string{"ImageId", o.image, "Attribute", "description"}},
		{noImage, "ModifyImageAttribute", []string{"ImageId", o.image, "Description.Value", "x"}},
		{noImage, "ResetImageAttribute", []string{"ImageId", o.image, "Attribute", "launchPermission"}},
		{noImage, "DeregisterImage", []string{"ImageId", o.image}},
		{noImage, "CreateTags", []string{"ResourceId.1", o.image, "Tag.1.Key", "a"}},
		{noImage, "RunInstances", []string{"ImageId", o.image, "MinCount", "1", "MaxCount", "1"}},
		{noKey, "RunInstances", run("KeyName", o.key)},
		{noSubnet, "RunInstances", run("SubnetId", o.subnet)},
		{noSubnet, "RunInstances", run("NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId", o.subnet)},
		{noGroup, "RunInstances", run("SecurityGroupId.1", o.group)},
		{noGroup, "ModifyInstanceAttribute", []string{"InstanceId", mine.instance, "GroupId.1", o.group}},
		{noKey, "DescribeKeyPairs", []string{"KeyName.1", o.key}},
		{noKey, "DescribeKeyPairs", []string{"KeyPairId.1", o.keyID}},
		{noKey, "DeleteKeyPair", []string{"KeyPairId", o.keyID}},
		{noKey, "CreateTags", []string{"ResourceId.1", o.keyID, "Tag.1.Key", "a"}},
		{noVPC, "DescribeVpcs", []string{"VpcId.1", o.vpc}},
		{noVPC, "DescribeVpcAttribute", []string{"VpcId", o.vpc, "Attribute", "enableDnsSupport"}},
		{noVPC, "CreateTags", []string{"ResourceId.1", o.vpc, "Tag.1.Key", "a"}},
		{noSubnet, "DescribeSubnets", []string{"SubnetId.1", o.subnet}},
		{noSubnet, "DeleteTags", []string{"ResourceId.1", o.subnet}},
		{noGroup, "DescribeSecurityGroups", []string{"GroupId.1", o.group}},
		{noGroup, "CreateTags", []string{"ResourceId.1", o.group, "Tag.1.Key", "a"}},
		{noEni, "CreateTags", []string{"ResourceId.1", o.eni, "Tag.1.Key", "a"}},
		{noEni, "DescribeNetworkInterfaces", []string{"NetworkInterfaceId.1", mine.eni, "NetworkInterfaceId.2", o.eni}},
		{noEni, "AssociateAddress", []string{"AllocationId", mine.allocation, "NetworkInterfaceId", o.eni}},
		{noGateway, "DescribeInternetGateways", []string{"InternetGatewayId.1", o.gateway}},
		{noGateway, "CreateTags", []string{"ResourceId.1", o.gateway, "Tag.1.Key", "a"}},
		{noTable, "DescribeRouteTables", []string{"RouteTableId.1", o.table}},
		{noTable, "CreateTags", []string{"ResourceId.1", o.table, "Tag.1.Key", "a"}},
		{noVPC, "CreateSecurityGroup", []string{"GroupName", "x", "GroupDescription", "x", "VpcId", o.vpc}},
		{noGroup, "DeleteSecurityGroup", []string{"GroupId", o.group}},
		{noGroup, "AuthorizeSecurityGroupIngress", []string{"GroupId", o.group, "IpProtocol", "-1", "CidrIp", "0.0.0.0/0"}},
		{noGroup, "AuthorizeSecurityGroupEgress", []string{"GroupId", o.group, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"}},
		{noGroup, "AuthorizeSecurityGroupIngress", []string{"GroupId", mine.group, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.Groups.1.GroupId", o.group}},
		{noGroup, "RevokeSecurityGroupIngress", []string{"GroupId", o.group, "SecurityGroupRuleId.1", o.rule}},
		{noGroup, "RevokeSecurityGroupEgress", []string{"GroupId", o.group, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"}},
		{noRule, "RevokeSecurityGroupIngress", []string{"GroupId", mine.group, "SecurityGroupRuleId.1", o.rule}},
		{noRule, "DescribeSecurityGroupRules", []string{"SecurityGroupRuleId.1", o.rule}},
		{noRule, "CreateTags", []string{"ResourceId.1", o.rule, "Tag.1.Key", "a"}},
		{noAlloc, "DescribeAddresses", []string{"AllocationId.1", o.allocation}},
		{noAddress, "DescribeAddresses", []string{"PublicIp.1", o.address}},
		{noAddress, "AllocateAddress", []string{"Address", o.address}},
		{noAlloc, "ReleaseAddress", []string{"AllocationId", o.allocation}},
		{noAddress, "ReleaseAddress", []string{"PublicIp", o.address}},
		{noAlloc, "AssociateAddress", []string{"AllocationId", o.allocation, "InstanceId", mine.instance}},
		{noInstance, "AssociateAddress", []string{"AllocationId", mine.allocation, "InstanceId", o.instance}},
		{"InvalidAssociationID.NotFound", "DisassociateAddress", []string{"AssociationId", o.association}},
		{noAddress, "DisassociateAddress", []string{"PublicIp", o.address}},
		{noAlloc, "CreateTags", []string{"ResourceId.1", o.allocation, "Tag.1.Key", "a"}},
		{noVolume, "DescribeVolumes", []string{"VolumeId.1", o.volume}},
		{noVolume, "DescribeVolumeStatus", []string{"VolumeId.1", mine.volume, "VolumeId.2", o.volume}},
		{noVolume, "DescribeVolumeAttribute", []string{"VolumeId", o.volume, "Attribute", "productCodes"}},
		{noVolume, "DeleteVolume", []string{"VolumeId", o.volume}},
		{noVolume, "AttachVolume", []string{"VolumeId", o.volume, "InstanceId", mine.instance, "Device", "/dev/sdg"}},
		{noInstance, "AttachVolume", []string{"VolumeId", mine.volume, "InstanceId", o.instance, "Device", "/dev/sdg"}},
		{noVolume, "DetachVolume", []string{"VolumeId", o.volume}},
		{noVolume, "DetachVolume", []string{"VolumeId", o.volume, "Force", "true"}},
		{noInstance, "DetachVolume", []string{"VolumeId", mine.volume, "InstanceId", o.instance}},
		{noVolume, "CreateTags", []string{"ResourceId.1", o.volume, "Tag.1.Key", "a"}},
	} {
		w.fails(c.code, alice, c.action, c.params...)
	}
	// Deleting a key by a name that the account has not is a success at EC2.
	w.ok(alice, "DeleteKeyPair", "KeyName", o.key)
	if !w.ok(bob, "DescribeKeyPairs", "KeyName.1", o.key).has("keySet/item") {
		t.Error("another account deleted the key")
	}
	// Nor do listings show it.
	w.ok(bob, "CreateTags", "ResourceId.1", o.instance, "Tag.1.Key", "secret")
	for _, action := range []string{"DescribeInstances", "DescribeInstanceStatus", "DescribeImages", "DescribeKeyPairs", "DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeTags",
		"DescribeInternetGateways", "DescribeRouteTables", "DescribeNetworkInterfaces", "DescribeSecurityGroupRules", "DescribeAddresses", "DescribeVolumes", "DescribeVolumeStatus"} {
		_, text := w.call(alice, action)
		for _, id := range []string{bob, o.instance, o.image, o.keyID, o.vpc, o.subnet, o.group, o.eni, o.gateway, o.table, o.rule, o.volume, o.address + "<", o.allocation, o.association} {
			if strings.Contains(text, id) {
				t.Errorf("%s shows %s of another account", action, id)
			}
		}
	}
}

// A malformed id is named before anything is looked up.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	for _, c := range [][]string{
		{"InvalidInstanceID.Malformed", "DescribeInstances", "InstanceId.1", "i-xyz"},
		{"InvalidInstanceID.Malformed", "DescribeInstanceStatus", "InstanceId.1", "vpc-01234567"},
		{"InvalidInstanceID.Malformed", "TerminateInstances", "InstanceId.1", "i-1"},
		{"InvalidInstanceID.Malformed", "RebootInstances", "InstanceId.1", "i-1"},
		{"InvalidInstanceID.Malformed", "GetConsoleOutput", "InstanceId", "i-1"},
		{"InvalidInstanceID.Malformed", "DescribeInstanceAttribute", "InstanceId", "i-1", "Attribute", "kernel"},
		{"InvalidInstanceID.Malformed", "ModifyInstanceAttribute", "InstanceId", "i-1", "SourceDestCheck.Value", "false"},
		{"InvalidAMIID.Malformed", "DescribeImages", "ImageId.1", "ami-"},
		{"InvalidAMIID.Malformed", "DeregisterImage", "ImageId", "i-01234567"},
		{"InvalidKeyPairId.Malformed", "DescribeKeyPairs", "KeyPairId.1", "key"},
		{"InvalidVpcID.Malformed", "DescribeVpcs", "VpcId.1", "vpc-g1234567"},
		{"InvalidSubnetID.Malformed", "DescribeSubnets", "SubnetId.1", "subnet-1"},
		{"InvalidGroupId.Malformed", "DescribeSecurityGroups", "GroupId.1", "default"},
		{"InvalidID", "CreateTags", "ResourceId.1", "elephant", "Tag.1.Key", "a"},
		{"InvalidInternetGatewayId.Malformed", "DescribeInternetGateways", "InternetGatewayId.1", "igw"},
		{"InvalidRouteTableId.Malformed", "DescribeRouteTables", "RouteTableId.1", "rtb-1"},
		{"InvalidNetworkInterfaceId.Malformed", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", "eni-1"},
		{"InvalidVpcID.Malformed", "CreateSecurityGroup", "GroupName", "a", "GroupDescription", "b", "VpcId", "vpc"},
		{"InvalidGroupId.Malformed", "DeleteSecurityGroup", "GroupId", "web"},
		{"InvalidGroupId.Malformed", "AuthorizeSecurityGroupIngress", "GroupId", "web", "IpProtocol", "-1", "CidrIp", "0.0.0.0/0"},
		{"InvalidGroupId.Malformed", "RevokeSecurityGroupEgress", "GroupId", "web", "SecurityGroupRuleId.1", "sgr-01234567"},
		{"InvalidSecurityGroupRuleId.Malformed", "RevokeSecurityGroupIngress", "GroupName", "web", "SecurityGroupRuleId.1", "sgr"},
		{"InvalidSecurityGroupRuleId.Malformed", "DescribeSecurityGroupRules", "SecurityGroupRuleId.1", "sgr"},
		{"InvalidAllocationID.Malformed", "DescribeAddresses", "AllocationId.1", "eipalloc"},
		{"InvalidAllocationID.Malformed", "ReleaseAddress", "AllocationId", "eipalloc"},
		{"InvalidAllocationID.Malformed", "AssociateAddress", "AllocationId", "x", "InstanceId", "i-01234567"},
		{"InvalidInstanceID.Malformed", "AssociateAddress", "AllocationId", "eipalloc-01234567", "InstanceId", "i"},
		{"InvalidNetworkInterfaceId.Malformed", "AssociateAddress", "AllocationId", "eipalloc-01234567", "NetworkInterfaceId", "eni"},
		{"InvalidAssociationID.Malformed", "DisassociateAddress", "AssociationId", "eipassoc"},
		{"InvalidVolumeID.Malformed", "DescribeVolumes", "VolumeId.1", "vol"},
		{"InvalidVolumeID.Malformed", "DescribeVolumeStatus", "VolumeId.1", "vol"},
		{"InvalidVolumeID.Malformed", "DescribeVolumeAttribute", "VolumeId", "vol", "Attribute", "productCodes"},
		{"InvalidVolumeID.Malformed", "DeleteVolume", "VolumeId", "vol"},
		{"InvalidVolumeID.Malformed", "AttachVolume", "VolumeId", "vol", "InstanceId", "i-01234567", "Device", "/dev/sdf"},
		{"InvalidInstanceID.Malformed", "AttachVolume", "VolumeId", "vol-01234567", "InstanceId", "i", "Device", "/dev/sdf"},
		{"InvalidVolumeID.Malformed", "DetachVolume", "VolumeId", "vol"},
		{"InvalidInstanceID.Malformed", "DetachVolume", "VolumeId", "vol-01234567", "InstanceId", "i"},
		{"InvalidUserID.Malformed", "DescribeImages", "Owner.1", "me"},
		{"InvalidUserID.Malformed", "DescribeImages", "ExecutableBy.1", "me"},
		{"MissingParameter", "TerminateInstances"},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
}

// A dry run says what would be answered, and leaves no trace.
func TestDryRun(t *testing.T) {
	w := newWorld(t)
	o := w.things(alice)
	i, _ := w.view().Instances.Get(o.instance)
	free, gone := w.volume(alice, i.Zone), w.group(alice, "gone")
	n, stamps := w.view().Meta.N, len(w.stamps)
	for _, c := range [][]string{
		{"RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "2"},
		{"TerminateInstances", "InstanceId.1", o.instance},
		{"CreateKeyPair", "KeyName", "new"},
		{"DeleteKeyPair", "KeyName", o.key},
		{"RegisterImage", "Name", "again", "ImageLocation", "amazon/skerry-linux", "TagSpecification.1.ResourceType", "image", "TagSpecification.1.Tag.1.Key", "a"},
		{"DeregisterImage", "ImageId", o.image},
		{"ModifyImageAttribute", "ImageId", o.image, "Description.Value", "x"},
		{"ResetImageAttribute", "ImageId", o.image, "Attribute", "launchPermission"},
		{"ModifyInstanceAttribute", "InstanceId", o.instance, "DisableApiTermination.Value", "true"},
		{"CreateTags", "ResourceId.1", o.instance, "Tag.1.Key", "a"},
		{"DeleteTags", "ResourceId.1", o.instance},
		{"RebootInstances", "InstanceId.1", o.instance},
		{"CreateSecurityGroup", "GroupName", "new", "GroupDescription", "x"},
		{"AuthorizeSecurityGroupIngress", "GroupId", o.group, "IpPermissions.1.IpProtocol", "6", "IpPermissions.1.FromPort", "1", "IpPermissions.1.ToPort", "1", "IpPermissions.1.Groups.1.GroupName", "default"},
		{"AuthorizeSecurityGroupEgress", "GroupId", o.group, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "1", "IpPermissions.1.ToPort", "1", "IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"},
		{"RevokeSecurityGroupIngress", "GroupName", "default", "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.Groups.1.GroupName", "default"},
		{"RevokeSecurityGroupEgress", "GroupId", o.group, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"},
		{"DeleteSecurityGroup", "GroupId", gone},
		{"AllocateAddress"},
		{"ReleaseAddress", "AllocationId", o.allocation},
		{"AssociateAddress", "AllocationId", o.allocation, "InstanceId", o.instance},
		{"DisassociateAddress", "AssociationId", o.association},
		{"CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1"},
		{"AttachVolume", "VolumeId", free, "InstanceId", o.instance, "Device", "/dev/sdg"},
		{"DetachVolume", "VolumeId", o.volume},
		{"DeleteVolume", "VolumeId", free},
		{"DescribeVolumes"},
		{"DescribeInstances"},
		{"GetConsoleOutput", "InstanceId", o.instance},
	} {
		w.fails("DryRunOperation", alice, c[0], append(c[1:], "DryRun", "true")...)
	}
	w.fails("InvalidAMIID.NotFound", alice, "RunInstances", "ImageId", "ami-01234567", "MinCount", "1", "MaxCount", "2", "DryRun", "true")
	if w.view().Meta.N != n || len(w.stamps) != stamps {
		t.Error("a dry run changed the region")
	}
}

// A command carries who asked, the request's id, and an id that stays the same.
func TestStamp(t *testing.T) {
	w := newWorld(t)
	w.run(alice, "ClientToken", "tok")
	s := w.stamps[len(w.stamps)-1].Stamp
	if s.Actor != "arn:aws:iam::111111111111:root" || s.Account != alice || s.ClientToken != "tok" || len(s.Request) != 36 || string(s.ID) != s.Request || s.Version != 1 {
		t.Errorf("%+v", s)
	}
	e := w.records[len(w.records)-1].Event.(events.InstanceRequested)
	if e.ClientToken != "tok" {
		t.Errorf("%+v", e)
	}
}

// Without a leader a read says so, and an acknowledged write stays one.
func TestDark(t *testing.T) {
	w := newWorld(t)
	instance := w.running(alice, "Placement.AvailabilityZone", "isle-1a")
	volume := w.volume(alice, "isle-1a")
	w.dark = events.Faultf("Unavailable", "The region has no leader that can be reached now.")
	if status, text := w.call(alice, "DescribeInstances"); status != 503 || !strings.Contains(text, "<Code>Unavailable</Code>") {
		t.Error(status, text)
	}
	n := w.ok(alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "1", "TagSpecification.1.ResourceType", "instance",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "web")
	if n.text("instancesSet/item/instanceState/name") != "pending" || n.text("instancesSet/item/tagSet/item/value") != "web" {
		t.Errorf("%+v", n)
	}
	id := n.text("instancesSet/item/instanceId")
	n = w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	if n.text("instancesSet/item/currentState/name") != "terminated" || n.text("instancesSet/item/previousState/name") != "pending" {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1"); n.text("status") != "creating" {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "AttachVolume", "VolumeId", volume, "InstanceId", instance, "Device", "/dev/sdf"); n.text("status") != "attaching" {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "AssociateAddress", "AllocationId", w.ok(alice, "AllocateAddress").text("allocationId"), "InstanceId", instance); !n.has("associationId") {
		t.Errorf("%+v", n)
	}
	// What has to read first does nothing when it cannot.
	stamps := len(w.stamps)
	w.fails("Unavailable", alice, "DetachVolume", "VolumeId", volume)
	w.fails("Unavailable", alice, "RevokeSecurityGroupIngress", "GroupName", "default", "IpProtocol", "-1", "CidrIp", "0.0.0.0/0")
	if len(w.stamps) != stamps {
		t.Error("something was done")
	}
}
