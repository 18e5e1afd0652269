package ec2

import (
	"slices"
	"strings"
	"testing"
)

// An interface from its making to its end, through the hands of an instance.
func TestInterfaceLife(t *testing.T) {
	w := newWorld(t)
	id := w.running(alice, "Placement.AvailabilityZone", "isle-1a")
	i := w.ok(alice, "DescribeInstances").all("reservationSet/item/instancesSet/item")[0]
	subnet, vpc := i.text("subnetId"), i.text("vpcId")
	free := func() string {
		return w.ok(alice, "DescribeSubnets", "SubnetId.1", subnet).text("subnetSet/item/availableIpAddressCount")
	}
	before := free()
	make := []string{"SubnetId", subnet, "Description", "the second", "PrivateIpAddresses.1.PrivateIpAddress", "172.31.0.40", "PrivateIpAddresses.1.Primary", "true",
		"PrivateIpAddresses.2.PrivateIpAddress", "172.31.0.41", "ClientToken", "once",
		"TagSpecification.1.ResourceType", "network-interface", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "two"}
	w.fails("DryRunOperation", alice, "CreateNetworkInterface", append(make, "DryRun", "true")...)
	n := w.ok(alice, "CreateNetworkInterface", make...)
	eni := n.text("networkInterface/networkInterfaceId")
	if n.text("networkInterface/status") != "pending" || n.text("clientToken") != "once" || n.text("networkInterface/tagSet/item/value") != "two" {
		t.Errorf("%+v", n)
	}
	if again := w.ok(alice, "CreateNetworkInterface", make...).text("networkInterface/networkInterfaceId"); again != eni {
		t.Errorf("the token made %s and %s", eni, again)
	}
	show := func() *node {
		t.Helper()
		return w.ok(alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni).all("networkInterfaceSet/item")[0]
	}
	f := show()
	if f.text("status") != "available" || f.has("attachment") || f.text("vpcId") != vpc || f.text("description") != "the second" ||
		f.text("privateIpAddressesSet/item/privateIpAddress") != "172.31.0.40 172.31.0.41" || f.text("privateIpAddressesSet/item/primary") != "true false" {
		t.Errorf("%+v", f)
	}
	if before != "4090" || free() != "4088" {
		t.Errorf("%s addresses were free, and are %s", before, free())
	}

	for _, c := range [][]string{
		{"InvalidNetworkInterfaceId.Malformed", "AttachNetworkInterface", "NetworkInterfaceId", "x", "InstanceId", id, "DeviceIndex", "1"},
		{"InvalidInstanceID.Malformed", "AttachNetworkInterface", "NetworkInterfaceId", eni, "InstanceId", "x", "DeviceIndex", "1"},
		{"MissingParameter", "AttachNetworkInterface", "NetworkInterfaceId", eni, "InstanceId", id},
		{"InvalidNetworkInterfaceAttachmentId.Malformed", "DetachNetworkInterface", "AttachmentId", "x"},
		{"InvalidSubnetID.Malformed", "CreateNetworkInterface", "SubnetId", "x"},
		{"UnsupportedOperation", "CreateNetworkInterface", "SubnetId", subnet, "InterfaceType", "efa"},
		{"InvalidParameterCombination", "DescribeNetworkInterfaceAttribute", "NetworkInterfaceId", eni},
		{"InvalidParameterCombination", "ResetNetworkInterfaceAttribute", "NetworkInterfaceId", eni},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
	attachment := w.ok(alice, "AttachNetworkInterface", "NetworkInterfaceId", eni, "InstanceId", id, "DeviceIndex", "1").text("attachmentId")
	f = show()
	for path, want := range map[string]string{"status": "in-use", "attachment/attachmentId": attachment, "attachment/instanceId": id, "attachment/deviceIndex": "1",
		"attachment/deleteOnTermination": "false", "attachment/status": "attached"} {
		if f.text(path) != want {
			t.Errorf("%s: %s, want %s", path, f.text(path), want)
		}
	}
	i = w.ok(alice, "DescribeInstances").all("reservationSet/item/instancesSet/item")[0]
	if got := i.texts("networkInterfaceSet/item/networkInterfaceId"); len(got) != 2 || got[1] != eni || i.text("privateIpAddress") == "172.31.0.40" {
		t.Errorf("%v", got)
	}
	w.fails("OperationNotPermitted", alice, "DetachNetworkInterface", "AttachmentId", i.texts("networkInterfaceSet/item/attachment/attachmentId")[0])

	// Attributes, one by one.
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "Description.Value", "other")
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "SourceDestCheck.Value", "false")
	web := w.group(alice, "web")
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "SecurityGroupId.1", web)
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "Attachment.AttachmentId", attachment, "Attachment.DeleteOnTermination", "true")
	attribute := func(name, path string) string {
		return w.ok(alice, "DescribeNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "Attribute", name).text(path)
	}
	for _, x := range [][3]string{{"description", "description/value", "other"}, {"sourceDestCheck", "sourceDestCheck/value", "false"}, {"groupSet", "groupSet/item/groupId", web},
		{"attachment", "attachment/deleteOnTermination", "true"}, {"associatePublicIpAddress", "associatePublicIpAddress", "false"}} {
		if got := attribute(x[0], x[1]); got != x[2] {
			t.Errorf("%s: %q, want %q", x[0], got, x[2])
		}
	}
	w.ok(alice, "ResetNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "SourceDestCheck", "value")
	if attribute("sourceDestCheck", "sourceDestCheck/value") != "true" {
		t.Error("it was not reset")
	}
	w.fails("DependencyViolation", alice, "DeleteSecurityGroup", "GroupId", web)

	// Addresses, and an Elastic one behind a secondary.
	a := w.ok(alice, "AssignPrivateIpAddresses", "NetworkInterfaceId", eni, "Ipv4PrefixCount", "1")
	prefix := a.text("assignedIpv4PrefixSet/item/ipv4Prefix")
	if !strings.HasSuffix(prefix, "/28") || show().text("ipv4PrefixSet/item/ipv4Prefix") != prefix || free() != "4072" {
		t.Errorf("%s, %s free: %+v", prefix, free(), show())
	}
	if got := w.ok(alice, "AssignPrivateIpAddresses", "NetworkInterfaceId", eni, "PrivateIpAddress.1", "172.31.0.50").text("assignedPrivateIpAddressesSet/item/privateIpAddress"); got != "172.31.0.50" {
		t.Error(got)
	}
	w.fails("PrivateIpAddressLimitExceeded", alice, "AssignPrivateIpAddresses", "NetworkInterfaceId", eni, "SecondaryPrivateIpAddressCount", "1")
	allocation := w.ok(alice, "AllocateAddress").text("allocationId")
	w.ok(alice, "AssociateAddress", "AllocationId", allocation, "NetworkInterfaceId", eni, "PrivateIpAddress", "172.31.0.50")
	f = show()
	if f.has("association") || f.text("privateIpAddressesSet/item/association/allocationId") != allocation {
		t.Errorf("%+v", f)
	}
	w.ok(alice, "UnassignPrivateIpAddresses", "NetworkInterfaceId", eni, "PrivateIpAddress.1", "172.31.0.50", "Ipv4Prefix.1", prefix)
	if w.ok(alice, "DescribeAddresses").has("addressesSet/item/associationId") {
		t.Error("the address stayed")
	}

	// Detached, it goes on; attached again, it ends with its instance.
	w.fails("InvalidParameterValue", alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	w.ok(alice, "DetachNetworkInterface", "AttachmentId", attachment)
	if f = show(); f.text("status") != "available" || f.has("attachment") {
		t.Errorf("%+v", f)
	}
	w.fails("InvalidAttachmentID.NotFound", alice, "DetachNetworkInterface", "AttachmentId", attachment)
	again := w.ok(alice, "AttachNetworkInterface", "NetworkInterfaceId", eni, "InstanceId", id, "DeviceIndex", "2").text("attachmentId")
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "Attachment.AttachmentId", again, "Attachment.DeleteOnTermination", "true")
	w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	w.report(t, id, "absent")
	w.fails("InvalidNetworkInterfaceID.NotFound", alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)
	if free() != "4091" {
		t.Error(free())
	}
}

// A launch with interfaces: what there is stays when the instance ends.
func TestLaunchWithInterfaces(t *testing.T) {
	w := newWorld(t)
	subnet := w.ok(alice, "DescribeSubnets", "Filter.1.Name", "availability-zone", "Filter.1.Value.1", "isle-1b").text("subnetSet/item/subnetId")
	eni := w.ok(alice, "CreateNetworkInterface", "SubnetId", subnet).text("networkInterface/networkInterfaceId")
	id := w.running(alice, "NetworkInterface.1.DeviceIndex", "1", "NetworkInterface.1.SubnetId", subnet, "NetworkInterface.1.Description", "made", "NetworkInterface.1.SecondaryPrivateIpAddressCount", "2",
		"NetworkInterface.2.DeviceIndex", "0", "NetworkInterface.2.NetworkInterfaceId", eni)
	i := w.ok(alice, "DescribeInstances").all("reservationSet/item/instancesSet/item")[0]
	x := "networkInterfaceSet/item/"
	if i.texts(x + "networkInterfaceId")[0] != eni || !slices.Equal(i.texts(x+"attachment/deviceIndex"), []string{"0", "1"}) || i.text(x+"description") != " made" ||
		!slices.Equal(i.texts(x+"attachment/deleteOnTermination"), []string{"false", "true"}) || len(i.texts(x+"privateIpAddressesSet/item")) != 4 || i.has("ipAddress") {
		t.Errorf("%+v", i)
	}
	w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	w.report(t, id, "absent")
	if got := w.ok(alice, "DescribeNetworkInterfaces").texts("networkInterfaceSet/item/networkInterfaceId"); !slices.Equal(got, []string{eni}) {
		t.Error(got)
	}
	w.ok(alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
}
