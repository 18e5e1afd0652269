package ec2

import (
	"slices"
	"testing"
)

func TestImages(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "DescribeImages", "Owner.1", "amazon", "Filter.1.Name", "image-type", "Filter.1.Value.1", "machine")
	x := n.all("imagesSet/item")[0]
	for path, want := range map[string]string{
		"imageId": ami, "imageLocation": "amazon/skerry-linux", "imageOwnerAlias": "amazon", "imageOwnerId": "000000000000", "isPublic": "true", "kernelId": aki, "ramdiskId": ari,
		"name": "skerry-linux", "rootDeviceName": "/dev/sda1", "rootDeviceType": "instance-store", "virtualizationType": "paravirtual", "hypervisor": "xen",
		"imageState": "available", "architecture": "x86_64", "creationDate": "2026-11-20T18:00:01.123Z", "blockDeviceMapping": "",
	} {
		if got := x.text(path); got != want || !x.has(path) {
			t.Errorf("%s is %q, not %q", path, got, want)
		}
	}
	list := func(params ...string) []string {
		t.Helper()
		return w.ok(alice, "DescribeImages", params...).texts("imagesSet/item/imageId")
	}
	if got := list("ImageId.1", aki, "ImageId.2", ari); !slices.Equal(got, []string{aki, ari}) {
		t.Error(got)
	}
	mine := w.ok(alice, "RegisterImage", "Name", "mine", "Description", "d", "ImageLocation", "amazon/skerry-linux", "RootDeviceName", "/dev/xvda", "Architecture", "x86_64",
		"VirtualizationType", "paravirtual", "KernelId", aki, "TagSpecification.1.ResourceType", "image", "TagSpecification.1.Tag.1.Key", "a", "TagSpecification.1.Tag.1.Value", "b").text("imageId")
	his := w.ok(bob, "RegisterImage", "Name", "his", "ImageLocation", "amazon/skerry-linux").text("imageId")
	given := w.ok(bob, "RegisterImage", "Name", "given", "ImageLocation", "amazon/skerry-linux").text("imageId")
	w.ok(bob, "ModifyImageAttribute", "ImageId", given, "LaunchPermission.Add.1.UserId", alice)
	for _, c := range []struct {
		params []string
		want   []string
	}{
		{[]string{"Owner.1", "self"}, []string{mine}},
		{[]string{"Owner.1", alice}, []string{mine}},
		{[]string{"Owner.1", "amazon"}, []string{ami, aki, ari}},
		{[]string{"Owner.1", "000000000000", "Owner.2", "self"}, []string{ami, aki, ari, mine}},
		{[]string{"Owner.1", "aws-marketplace"}, nil},
		{[]string{"Owner.1", bob}, []string{given}},
		{[]string{"ExecutableBy.1", "self"}, []string{given}},
		{[]string{"ExecutableBy.1", "all"}, []string{ami, aki, ari}},
		{[]string{"ExecutableBy.1", bob}, nil},
		{nil, []string{ami, aki, ari, mine, given}},
		{[]string{"MaxResults", "2"}, nil},
	} {
		got, want := list(c.params...), c.want
		if len(c.params) > 0 && c.params[0] == "MaxResults" {
			if len(got) != 2 {
				t.Error(got)
			}
			continue
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", c.params, got, want)
		}
	}
	// Shared with bob, it is shown to bob, and found among what alice gave him.
	w.ok(alice, "ModifyImageAttribute", "ImageId", mine, "Attribute", "launchPermission", "OperationType", "add", "UserId.1", bob)
	if got := list("ExecutableBy.1", bob); !slices.Equal(got, []string{mine}) {
		t.Error(got)
	}
	if n := w.ok(bob, "DescribeImages", "ImageId.1", mine); n.has("imagesSet/item/tagSet/item") || n.text("imagesSet/item/rootDeviceName") != "/dev/xvda" {
		t.Errorf("%+v", n)
	}
	w.run(bob, "ImageId", mine)
	for _, c := range [][]string{
		{"InvalidAMIName.Duplicate", "RegisterImage", "Name", "mine", "ImageLocation", "amazon/skerry-linux"},
		{"InvalidAMIName.Malformed", "RegisterImage", "Name", "x", "ImageLocation", "amazon/skerry-linux"},
		{"InvalidAMIName.Malformed", "RegisterImage", "Name", "a#b", "ImageLocation", "amazon/skerry-linux"},
		{"InvalidParameterValue", "RegisterImage", "Name", "abc", "ImageLocation", "nowhere/nothing"},
		{"InvalidParameterValue", "RegisterImage", "Name", "abc", "ImageLocation", "amazon/skerry-linux", "VirtualizationType", "hvm"},
		{"InvalidParameterValue", "RegisterImage", "Name", "abc", "ImageLocation", "amazon/skerry-linux", "TagSpecification.1.ResourceType", "image", "TagSpecification.1.Tag.1.Key", "aws:x"},
		{"MissingParameter", "RegisterImage", "Name", "abc"},
		{"InvalidSnapshot.NotFound", "RegisterImage", "Name", "abc", "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", "snap-01234567"},
		{"UnsupportedOperation", "RegisterImage", "Name", "abc", "ImageLocation", "amazon/skerry-linux", "BootMode", "uefi"},
		{"InvalidAMIID.NotFound", "DeregisterImage", "ImageId", his},
		{"AuthFailure", "DeregisterImage", "ImageId", ami},
		{"AuthFailure", "DeregisterImage", "ImageId", given},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
	w.ok(alice, "DeregisterImage", "ImageId", mine)
	w.fails("InvalidAMIID.NotFound", alice, "DescribeImages", "ImageId.1", mine)
}

func TestImageAttributes(t *testing.T) {
	w := newWorld(t)
	id := w.ok(alice, "RegisterImage", "Name", "mine", "Description", "first", "ImageLocation", "amazon/skerry-linux").text("imageId")
	show := func(attribute string) *node {
		t.Helper()
		return w.ok(alice, "DescribeImageAttribute", "ImageId", id, "Attribute", attribute)
	}
	for attribute, want := range map[string][2]string{"description": {"description/value", "first"}, "kernel": {"kernel/value", aki}, "ramdisk": {"ramdisk/value", ari},
		"launchPermission": {"launchPermission", ""}, "blockDeviceMapping": {"blockDeviceMapping", ""}, "productCodes": {"productCodes", ""}, "sriovNetSupport": {"sriovNetSupport", ""},
		"bootMode": {"bootMode", ""}, "tpmSupport": {"tpmSupport", ""}, "uefiData": {"uefiData", ""}, "lastLaunchedTime": {"lastLaunchedTime", ""}, "imdsSupport": {"imdsSupport", ""},
		"deregistrationProtection": {"deregistrationProtection/value", "disabled"}} {
		if n := show(attribute); !n.has(want[0]) || n.text(want[0]) != want[1] || n.text("imageId") != id || len(n.Kids) != 3 {
			t.Errorf("%s: %+v", attribute, n)
		}
	}
	modify := func(params ...string) {
		t.Helper()
		w.ok(alice, "ModifyImageAttribute", append(params, "ImageId", id)...)
	}
	modify("LaunchPermission.Add.1.Group", "all", "LaunchPermission.Add.2.UserId", bob)
	if n := show("launchPermission"); n.text("launchPermission/item/group") != "all" || n.text("launchPermission/item/userId") != bob {
		t.Errorf("%+v", n)
	}
	modify("LaunchPermission.Remove.1.UserId", bob)
	modify("Attribute", "launchPermission", "OperationType", "remove", "UserGroup.1", "all")
	if n := show("launchPermission"); n.has("launchPermission/item") {
		t.Errorf("%+v", n)
	}
	modify("Description.Value", "second")
	if n := show("description"); n.text("description/value") != "second" {
		t.Errorf("%+v", n)
	}
	modify("Attribute", "description", "Value", "third")
	modify("LaunchPermission.Add.1.Group", "all")
	w.ok(alice, "ResetImageAttribute", "ImageId", id, "Attribute", "launchPermission")
	if n := show("launchPermission"); n.has("launchPermission/item") || show("description").text("description/value") != "third" {
		t.Errorf("%+v", n)
	}
	for _, c := range [][]string{
		{"InvalidAMIAttributeItemValue", "ModifyImageAttribute", "ImageId", id, "LaunchPermission.Add.1.UserId", "bob"},
		{"InvalidAMIAttributeItemValue", "ModifyImageAttribute", "ImageId", id, "LaunchPermission.Add.1.UserId", "999999999999"},
		{"InvalidParameterCombination", "ModifyImageAttribute", "ImageId", id, "LaunchPermission.Add.1.Group", "all", "LaunchPermission.Remove.1.Group", "all"},
		{"InvalidParameterCombination", "ModifyImageAttribute", "ImageId", id},
		{"MissingParameter", "ModifyImageAttribute", "ImageId", id, "Attribute", "launchPermission", "UserId.1", bob},
		{"MissingParameter", "ModifyImageAttribute", "ImageId", id, "Attribute", "description"},
		{"UnsupportedOperation", "ModifyImageAttribute", "ImageId", id, "ProductCode.1", "x"},
		{"UnsupportedOperation", "ModifyImageAttribute", "ImageId", id, "Attribute", "kernel", "Value", aki},
		{"AuthFailure", "ModifyImageAttribute", "ImageId", ami, "Description.Value", "x"},
		{"AuthFailure", "DescribeImageAttribute", "ImageId", ami, "Attribute", "launchPermission"},
		{"InvalidParameterValue", "DescribeImageAttribute", "ImageId", id, "Attribute", "elephant"},
	} {
		w.fails(c[0], alice, c[1], c[2:]...)
	}
}
