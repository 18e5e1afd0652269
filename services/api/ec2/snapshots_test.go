package ec2

import (
	"slices"
	"testing"

	"skerry/events"
)

// kept is a snapshot of a volume that its storage node holds.
func (w *world) kept(t *testing.T, volume string) string {
	t.Helper()
	id := w.ok(alice, "CreateSnapshot", "VolumeId", volume, "Description", "first", "TagSpecification.1.ResourceType", "snapshot",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "kept").text("snapshotId")
	r, ok := w.view().Snapshots.Get(id)
	if !ok {
		t.Fatal("no snapshot", id)
	}
	w.act(t, "", events.ReportSnapshot{Host: r.Host, Snapshot: r.ID, Phase: events.SnapshotReady})
	return id
}

// A snapshot becomes the root of an image, an instance boots from it, is stopped
// and started, and becomes an image again.
func TestRootOnVolume(t *testing.T) {
	w := newWorld(t)
	volume := w.volume(alice, "isle-1b")
	snap := w.kept(t, volume)
	s := w.ok(alice, "DescribeSnapshots", "Owner.1", "self", "Filter.1.Name", "tag:Name", "Filter.1.Value.1", "kept")
	if s.text("snapshotSet/item/snapshotId") != snap || s.text("snapshotSet/item/status") != "completed" || s.text("snapshotSet/item/progress") != "100%" {
		t.Errorf("%+v", s)
	}
	w.fails("InvalidSnapshot.NotFound", bob, "DescribeSnapshots", "SnapshotId.1", snap)
	w.fails("InvalidSnapshotID.Malformed", alice, "DescribeSnapshots", "SnapshotId.1", "snap")
	w.ok(alice, "ModifySnapshotAttribute", "SnapshotId", snap, "CreateVolumePermission.Add.1.Group", "all")
	if got := w.ok(alice, "DescribeSnapshotAttribute", "SnapshotId", snap, "Attribute", "createVolumePermission").text("createVolumePermission/item/group"); got != "all" {
		t.Errorf("group %q", got)
	}
	w.ok(bob, "DescribeSnapshots", "SnapshotId.1", snap)
	w.fails("AuthFailure", bob, "DeleteSnapshot", "SnapshotId", snap)
	w.fails("InvalidParameterValue", alice, "CopySnapshot", "SourceSnapshotId", snap, "SourceRegion", "elsewhere-1")

	image := w.ok(alice, "RegisterImage", "Name", "disk", "RootDeviceName", "/dev/sda1", "KernelId", aki, "RamdiskId", ari,
		"BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", snap).text("imageId")
	w.fails("InvalidSnapshot.InUse", alice, "DeleteSnapshot", "SnapshotId", snap)
	i := w.ok(alice, "DescribeImages", "ImageId.1", image, "Filter.1.Name", "block-device-mapping.snapshot-id", "Filter.1.Value.1", snap)
	if i.text("imagesSet/item/rootDeviceType") != "ebs" || i.text("imagesSet/item/imageState") != "available" || i.text("imagesSet/item/blockDeviceMapping/item/ebs/volumeSize") != "1" {
		t.Errorf("%+v", i)
	}

	id := w.ok(alice, "RunInstances", "ImageId", image, "InstanceType", "t3.micro", "MinCount", "1", "MaxCount", "1", "Placement.AvailabilityZone", "isle-1b").text("instancesSet/item/instanceId")
	w.place(t)
	w.placeVolumes(t)
	root := w.ok(alice, "DescribeInstances", "InstanceId.1", id).text("reservationSet/item/instancesSet/item/blockDeviceMapping/item/ebs/volumeId")
	w.stored(t, root, events.VolumeReady)
	w.report(t, id, events.PhaseRunning)
	state := func(want string) {
		t.Helper()
		if got := w.ok(alice, "DescribeInstances", "InstanceId.1", id).text("reservationSet/item/instancesSet/item/instanceState/name"); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	state("running")
	w.fails("IncorrectInstanceState", alice, "ModifyInstanceAttribute", "InstanceId", id, "InstanceType.Value", "t3.small")
	w.fails("OperationNotPermitted", alice, "DetachVolume", "VolumeId", root)
	if got := w.ok(alice, "StopInstances", "InstanceId.1", id).text("instancesSet/item/currentState/name"); got != "stopping" {
		t.Errorf("stopping is %s", got)
	}
	w.report(t, id, events.PhaseAbsent)
	state("stopped")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "InstanceType.Value", "t3.small")
	w.ok(alice, "ResetInstanceAttribute", "InstanceId", id, "Attribute", "kernel")
	copied := w.ok(alice, "CreateImage", "InstanceId", id, "Name", "copied").text("imageId")
	if got := w.ok(alice, "DescribeImages", "ImageId.1", copied).text("imagesSet/item/imageState"); got != "pending" {
		t.Errorf("an image is %s before its snapshot is whole", got)
	}
	if got := w.ok(alice, "StartInstances", "InstanceId.1", id).text("instancesSet/item/previousState/name"); got != "stopped" {
		t.Errorf("started from %s", got)
	}
	w.place(t)
	w.stored(t, root, events.VolumeReady)
	w.report(t, id, events.PhaseRunning)
	state("running")
	if got := w.ok(alice, "MonitorInstances", "InstanceId.1", id).text("instancesSet/item/monitoring/state"); got != "pending" {
		t.Errorf("monitoring %s", got)
	}
	if got := w.ok(alice, "DescribeInstanceCreditSpecifications", "InstanceId.1", id).text("instanceCreditSpecificationSet/item/cpuCredits"); got != "unlimited" {
		t.Errorf("credits %s", got)
	}

	m := w.ok(alice, "ModifyVolume", "VolumeId", root, "Size", "2").all("volumeModification")[0]
	if m.text("modificationState") != "modifying" || m.text("originalSize") != "1" || m.text("targetSize") != "2" {
		t.Errorf("%+v", m)
	}
	w.fails("IncorrectModificationState", alice, "ModifyVolume", "VolumeId", root, "Size", "3")
	r, _ := w.view().Volumes.Get(root)
	w.act(t, "", events.ReportVolume{Host: r.Host, Volume: r.ID, Epoch: r.Epoch, Boot: r.Boot, Phase: events.VolumeReady, Revision: r.Revision})
	if got := w.ok(alice, "DescribeVolumesModifications", "VolumeId.1", root).text("volumeModificationSet/item/modificationState"); got != "completed" {
		t.Errorf("modification %s", got)
	}
	w.ok(alice, "ModifyVolumeAttribute", "VolumeId", root, "AutoEnableIO.Value", "true")
	if got := w.ok(alice, "DescribeVolumeAttribute", "VolumeId", root, "Attribute", "autoEnableIO").text("autoEnableIO/value"); got != "true" {
		t.Errorf("autoEnableIO %s", got)
	}
	w.fails("UnsupportedOperation", alice, "EnableEbsEncryptionByDefault")
	if got := w.ok(alice, "GetEbsEncryptionByDefault").text("ebsEncryptionByDefault"); got != "false" {
		t.Errorf("encryption %s", got)
	}
}

// What a call says goes over what its launch template says.
func TestLaunchTemplates(t *testing.T) {
	w := newWorld(t)
	w.ok(alice, "CreatePlacementGroup", "GroupName", "far", "Strategy", "spread")
	lt := w.ok(alice, "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", ami, "LaunchTemplateData.InstanceType", "t3.micro",
		"LaunchTemplateData.UserData", encode("hello"), "LaunchTemplateData.Placement.GroupName", "far").text("launchTemplate/launchTemplateId")
	v := w.ok(alice, "CreateLaunchTemplateVersion", "LaunchTemplateId", lt, "SourceVersion", "$Latest", "LaunchTemplateData.InstanceType", "t3.small").all("launchTemplateVersion")[0]
	if v.text("versionNumber") != "2" || v.text("launchTemplateData/imageId") != ami || v.text("launchTemplateData/instanceType") != "t3.small" || v.text("launchTemplateData/userData") != encode("hello") {
		t.Errorf("%+v", v)
	}
	w.ok(alice, "ModifyLaunchTemplate", "LaunchTemplateName", "web", "SetDefaultVersion", "2")
	if got := w.ok(alice, "DescribeLaunchTemplates", "LaunchTemplateName.1", "web").text("launchTemplates/item/defaultVersionNumber"); got != "2" {
		t.Errorf("default version %s", got)
	}
	if got := w.ok(alice, "DescribeLaunchTemplateVersions", "LaunchTemplateId", lt).texts("launchTemplateVersionSet/item/versionNumber"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("versions %v", got)
	}
	made := w.ok(alice, "RunInstances", "MinCount", "1", "MaxCount", "1", "LaunchTemplate.LaunchTemplateId", lt, "LaunchTemplate.Version", "1", "InstanceType", "t3.nano").all("instancesSet/item")[0]
	if made.text("instanceType") != "t3.nano" || made.text("imageId") != ami || made.text("placement/groupName") != "far" {
		t.Errorf("%+v", made)
	}
	shown := w.ok(alice, "DescribeInstances", "Filter.1.Name", "tag:aws:ec2launchtemplate:version", "Filter.1.Value.1", "1").texts("reservationSet/item/instancesSet/item/instanceId")
	if !slices.Equal(shown, []string{made.text("instanceId")}) {
		t.Errorf("of version 1: %v", shown)
	}
	w.fails("InvalidLaunchTemplateId.NotFound", bob, "DescribeLaunchTemplates", "LaunchTemplateId.1", lt)
	w.fails("InvalidLaunchTemplateId.VersionNotFound", alice, "RunInstances", "MinCount", "1", "MaxCount", "1", "LaunchTemplate.LaunchTemplateId", lt, "LaunchTemplate.Version", "7")
	w.fails("InvalidPlacementGroup.InUse", alice, "DeletePlacementGroup", "GroupName", "far")
	w.fails("InvalidPlacementGroup.Unknown", bob, "DescribePlacementGroups", "GroupName.1", "far")
	d := w.ok(alice, "DeleteLaunchTemplateVersions", "LaunchTemplateId", lt, "LaunchTemplateVersion.1", "1", "LaunchTemplateVersion.2", "2")
	if d.text("successfullyDeletedLaunchTemplateVersionSet/item/versionNumber") != "1" || d.text("unsuccessfullyDeletedLaunchTemplateVersionSet/item/versionNumber") != "2" {
		t.Errorf("%+v", d)
	}
	w.ok(alice, "DeleteLaunchTemplate", "LaunchTemplateId", lt)
}

// Of a placement, a launch from a template leaves each member open by itself.
func TestLaunchTemplatePlacement(t *testing.T) {
	w := newWorld(t)
	parts := w.ok(alice, "CreatePlacementGroup", "GroupName", "parts", "Strategy", "partition", "PartitionCount", "3").text("placementGroup/groupId")
	w.ok(alice, "CreatePlacementGroup", "GroupName", "others", "Strategy", "partition", "PartitionCount", "3")
	w.ok(alice, "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", ami, "LaunchTemplateData.InstanceType", "t3.micro",
		"LaunchTemplateData.Placement.GroupName", "parts", "LaunchTemplateData.Placement.PartitionNumber", "2", "LaunchTemplateData.Placement.AvailabilityZone", "isle-1a")
	for _, c := range []struct {
		asks  []string
		zone  string
		group string
		part  string
	}{
		{nil, "isle-1a", "parts", "2"},
		{[]string{"Placement.Tenancy", "default"}, "isle-1a", "parts", "2"},
		{[]string{"Placement.AvailabilityZone", "isle-1b"}, "isle-1b", "parts", "2"},
		{[]string{"Placement.PartitionNumber", "1"}, "isle-1a", "parts", "1"},
		{[]string{"Placement.GroupName", "others"}, "isle-1a", "others", "2"},
		{[]string{"Placement.GroupId", parts, "Placement.PartitionNumber", "3"}, "isle-1a", "parts", "3"},
	} {
		got := w.ok(alice, "RunInstances", append([]string{"MinCount", "1", "MaxCount", "1", "LaunchTemplate.LaunchTemplateName", "web"}, c.asks...)...).all("instancesSet/item")[0]
		if z, g, p := got.text("placement/availabilityZone"), got.text("placement/groupName"), got.text("placement/partitionNumber"); z != c.zone || g != c.group || p != c.part {
			t.Errorf("%v: in %s, group %s, partition %s", c.asks, z, g, p)
		}
		w.ok(alice, "TerminateInstances", "InstanceId.1", got.text("instanceId"))
	}
}
