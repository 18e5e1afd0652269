package ec2

import (
	"regexp"
	"strings"
	"testing"

	"skerry/events"
)

var moments = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// A volume from its request to its end, as the CLI's user sees it.
func TestVolumeLife(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1b", "Size", "1", "ClientToken", "one", "TagSpecification.1.ResourceType", "volume",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "data")
	id := n.text("volumeId")
	if !strings.HasPrefix(id, "vol-") || n.text("status") != "creating" || n.text("size") != "1" || n.text("volumeType") != "gp2" || n.text("iops") != "100" ||
		n.text("availabilityZone") != "isle-1b" || n.text("encrypted") != "false" || !moments.MatchString(n.text("createTime")) || n.text("tagSet/item/value") != "data" ||
		n.has("attachmentSet/item") || n.has("throughput") || !n.has("snapshotId") {
		t.Errorf("%+v", n)
	}
	state := func(want string) *node {
		t.Helper()
		v := w.ok(alice, "DescribeVolumes", "VolumeId.1", id).all("volumeSet/item")[0]
		if got := v.text("status"); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
		return v
	}
	health := func(want string) {
		t.Helper()
		s := w.ok(alice, "DescribeVolumeStatus", "VolumeId.1", id)
		if got := s.texts("volumeStatusSet/item/volumeStatus/status"); len(got) != 1 || got[0] != want {
			t.Errorf("want %s, got %v", want, got)
		}
	}
	state("creating")
	health("insufficient-data")
	w.placeVolumes(t)
	state("creating")
	w.stored(t, id, events.VolumeReady)
	state("available")
	health("ok")
	// The token again: the same volume, as it is.
	again := w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1b", "Size", "1", "ClientToken", "one", "TagSpecification.1.ResourceType", "volume",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "data")
	if again.text("volumeId") != id || again.text("status") != "available" || again.text("tagSet/item/value") != "data" {
		t.Errorf("%+v", again)
	}

	instance := w.running(alice, "Placement.AvailabilityZone", "isle-1b")
	far := w.running(alice, "Placement.AvailabilityZone", "isle-1a")
	w.fails("InvalidVolume.ZoneMismatch", alice, "AttachVolume", "VolumeId", id, "InstanceId", far, "Device", "/dev/xvdb")
	a := w.ok(alice, "AttachVolume", "VolumeId", id, "InstanceId", instance, "Device", "/dev/xvdb")
	if a.text("status") != "attaching" || a.text("volumeId") != id || a.text("instanceId") != instance || a.text("device") != "/dev/xvdb" || !moments.MatchString(a.text("attachTime")) {
		t.Errorf("%+v", a)
	}
	attachment := func(want string) *node {
		t.Helper()
		x := state("in-use").all("attachmentSet/item")
		if len(x) != 1 || x[0].text("status") != want || x[0].text("instanceId") != instance || x[0].text("device") != "/dev/xvdb" || x[0].text("deleteOnTermination") != "false" {
			t.Fatalf("want %s, got %+v", want, x)
		}
		i := w.ok(alice, "DescribeInstances", "InstanceId.1", instance).all("reservationSet/item/instancesSet/item/blockDeviceMapping/item")
		if len(i) != 1 || i[0].text("deviceName") != "/dev/xvdb" || i[0].text("ebs/volumeId") != id || i[0].text("ebs/status") != want || i[0].text("ebs/deleteOnTermination") != "false" ||
			i[0].text("ebs/attachTime") != x[0].text("attachTime") {
			t.Errorf("want %s, got %+v", want, i)
		}
		return x[0]
	}
	attachment("attaching")
	w.fails("VolumeInUse", alice, "AttachVolume", "VolumeId", id, "InstanceId", instance, "Device", "/dev/xvdc")
	w.fails("VolumeInUse", alice, "DeleteVolume", "VolumeId", id)
	w.disk(t, id, events.DiskAttached)
	w.stored(t, id, events.VolumeReady)
	at := attachment("attached").text("attachTime")
	m := w.ok(alice, "DescribeInstanceAttribute", "InstanceId", instance, "Attribute", "blockDeviceMapping")
	if m.text("blockDeviceMapping/item/ebs/volumeId") != id || m.text("blockDeviceMapping/item/deviceName") != "/dev/xvdb" {
		t.Errorf("%+v", m)
	}
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", instance, "BlockDeviceMapping.1.DeviceName", "/dev/xvdb", "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", instance, "BlockDeviceMapping.1.DeviceName", "/dev/xvdb", "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true")
	m = w.ok(alice, "DescribeInstanceAttribute", "InstanceId", instance, "Attribute", "blockDeviceMapping")
	if m.text("blockDeviceMapping/item/ebs/deleteOnTermination") != "true" {
		t.Errorf("%+v", m)
	}
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", instance, "BlockDeviceMapping.1.DeviceName", "/dev/xvdb", "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false")

	// Detaching while mounted stays detaching, however often it is asked.
	w.fails("InvalidAttachment.NotFound", alice, "DetachVolume", "VolumeId", id, "InstanceId", far)
	w.fails("InvalidAttachment.NotFound", alice, "DetachVolume", "VolumeId", id, "Device", "/dev/sdz")
	for range 2 {
		d := w.ok(alice, "DetachVolume", "VolumeId", id)
		if d.text("status") != "detaching" || d.text("instanceId") != instance || d.text("device") != "/dev/xvdb" || d.text("attachTime") != at || d.text("volumeId") != id {
			t.Errorf("%+v", d)
		}
		w.disk(t, id, events.DiskBusy)
		attachment("detaching")
	}
	w.disk(t, id, events.DiskReleased)
	attachment("detaching") // until the storage node says that nobody can write
	w.stored(t, id, events.VolumeReady)
	if x := state("available"); x.has("attachmentSet/item") {
		t.Errorf("%+v", x)
	}
	w.fails("IncorrectState", alice, "DetachVolume", "VolumeId", id)

	// By force, and at an instance's end.
	w.ok(alice, "AttachVolume", "VolumeId", id, "InstanceId", instance, "Device", "/dev/sdg")
	if d := w.ok(alice, "DetachVolume", "VolumeId", id, "Force", "true"); d.text("status") != "detaching" || d.text("device") != "/dev/sdg" {
		t.Errorf("%+v", d)
	}
	w.stored(t, id, events.VolumeReady)
	w.ok(alice, "AttachVolume", "VolumeId", id, "InstanceId", instance, "Device", "/dev/xvdb")
	w.ok(alice, "TerminateInstances", "InstanceId.1", instance)
	attachment("detaching")
	w.report(t, instance, events.PhaseAbsent)
	w.stored(t, id, events.VolumeReady)
	state("available")

	w.loseZone(t, "isle-1b")
	health("impaired")
	w.ok(alice, "DeleteVolume", "VolumeId", id)
	state("deleting")
	w.stored(t, id, events.VolumeAbsent)
	w.fails("InvalidVolume.NotFound", alice, "DescribeVolumes", "VolumeId.1", id)
	again = w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1b", "Size", "1", "ClientToken", "one", "TagSpecification.1.ResourceType", "volume",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "data")
	if again.text("volumeId") != id || again.text("status") != "deleted" {
		t.Errorf("%+v", again)
	}
}

func TestVolumeRefuses(t *testing.T) {
	w := newWorld(t)
	id := w.volume(alice, "isle-1a")
	for _, c := range [][]string{
		{"MissingParameter", "CreateVolume", "Size", "1"},
		{"MissingParameter", "CreateVolume", "AvailabilityZone", "isle-1a"},
		{"InvalidZone.NotFound", "CreateVolume", "AvailabilityZone", "isle-9z", "Size", "1"},
		{"InvalidParameterValue", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "20000"},
		{"InvalidParameterValue", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "-1"},
		{"InvalidParameterValue", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "one"},
		{"InvalidParameterValue", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1", "VolumeType", "floppy"},
		{"InvalidSnapshot.NotFound", "CreateVolume", "AvailabilityZone", "isle-1a", "SnapshotId", "snap-01234567"},
		{"InvalidSnapshotID.Malformed", "CreateVolume", "AvailabilityZone", "isle-1a", "SnapshotId", "snap"},
		{"UnsupportedOperation", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1", "Encrypted", "true"},
		{"UnsupportedOperation", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1", "KmsKeyId", "x"},
		{"UnsupportedOperation", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1", "OutpostArn", "x"},
		{"UnsupportedOperation", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "4", "VolumeType", "io1", "Iops", "100", "MultiAttachEnabled", "true"},
		{"InvalidParameterValue", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1", "TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "a"},
		{"InsufficientVolumeCapacity", "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1001"},
		{"InvalidInstanceID.NotFound", "AttachVolume", "VolumeId", id, "InstanceId", "i-01234567", "Device", "/dev/sdf"},
		{"MissingParameter", "AttachVolume", "VolumeId", id, "InstanceId", "i-01234567"},
		{"InvalidParameterCombination", "DescribeVolumes", "VolumeId.1", id, "MaxResults", "5"},
		{"InvalidParameterCombination", "DescribeVolumeStatus", "VolumeId.1", id, "MaxResults", "5"},
		{"InvalidParameterValue", "DescribeVolumes", "MaxResults", "4"},
		{"InvalidParameterValue", "DescribeVolumeAttribute", "VolumeId", id, "Attribute", "elephant"},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
	if n := w.ok(alice, "DescribeVolumeAttribute", "VolumeId", id, "Attribute", "autoEnableIO"); n.text("autoEnableIO/value") != "false" || n.text("volumeId") != id {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "DescribeVolumeAttribute", "VolumeId", id, "Attribute", "productCodes"); !n.has("productCodes") || n.has("productCodes/item") {
		t.Errorf("%+v", n)
	}
}

// Pages cover the listing, each volume once, in the order of creation.
func TestVolumePages(t *testing.T) {
	w := newWorld(t)
	var all []string
	for range 7 {
		all = append(all, w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1").text("volumeId"))
	}
	first := w.ok(alice, "DescribeVolumes", "MaxResults", "5")
	rest := w.ok(alice, "DescribeVolumes", "MaxResults", "5", "NextToken", first.text("nextToken"))
	got := append(first.texts("volumeSet/item/volumeId"), rest.texts("volumeSet/item/volumeId")...)
	if strings.Join(got, " ") != strings.Join(all, " ") || rest.has("nextToken") {
		t.Errorf("%v\n%v", got, all)
	}
}
