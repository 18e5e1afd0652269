package ec2

import (
	"strings"
	"testing"

	"skerry/events"
)

// Which actions whose shapes exist have no handler: they answer
// UnsupportedOperation.
func TestMissing(t *testing.T) {
	missing := New(&fake{}, newWorld(t).key, "").Table().Missing()
	t.Logf("%d: %v", len(missing), missing)
}

// What is malformed and no id of a resource is named before anything is looked
// up, too.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	for _, c := range [][]string{
		{"InvalidUserID.Malformed", "DescribeImages", "Owner.1", "me"},
		{"InvalidUserID.Malformed", "DescribeImages", "ExecutableBy.1", "me"},
		{"InvalidUserID.Malformed", "DescribeSnapshots", "Owner.1", "me"},
		{"InvalidUserID.Malformed", "DescribeSnapshots", "RestorableBy.1", "me"},
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
