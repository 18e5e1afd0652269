package ec2

import (
	"testing"

	"skerry/events"
)

func TestInstanceAttributes(t *testing.T) {
	w := newWorld(t)
	o := w.things(alice)
	id := w.run(alice, "UserData", encode("hi"))[0]
	w.place(t)
	w.report(t, id, events.PhaseRunning)
	show := func(attribute string) *node {
		t.Helper()
		return w.ok(alice, "DescribeInstanceAttribute", "InstanceId", id, "Attribute", attribute)
	}
	for attribute, want := range map[string][2]string{
		"instanceType": {"instanceType/value", "m1.small"}, "kernel": {"kernel/value", aki}, "ramdisk": {"ramdisk/value", ari}, "userData": {"userData/value", encode("hi")},
		"disableApiTermination": {"disableApiTermination/value", "false"}, "disableApiStop": {"disableApiStop/value", "false"},
		"instanceInitiatedShutdownBehavior": {"instanceInitiatedShutdownBehavior/value", "terminate"}, "rootDeviceName": {"rootDeviceName/value", "/dev/sda1"},
		"blockDeviceMapping": {"blockDeviceMapping", ""}, "productCodes": {"productCodes", ""}, "sourceDestCheck": {"sourceDestCheck/value", "true"},
		"groupSet": {"groupSet/item/groupId", o.group}, "ebsOptimized": {"ebsOptimized/value", "false"}, "sriovNetSupport": {"sriovNetSupport", ""},
		"enaSupport": {"enaSupport/value", "false"}, "enclaveOptions": {"enclaveOptions/enabled", "false"},
	} {
		if n := show(attribute); !n.has(want[0]) || n.text(want[0]) != want[1] || n.text("instanceId") != id || len(n.Kids) != 3 {
			t.Errorf("%s: %+v", attribute, n)
		}
	}
	modify := func(params ...string) {
		t.Helper()
		w.ok(alice, "ModifyInstanceAttribute", append(params, "InstanceId", id)...)
	}
	modify("DisableApiTermination.Value", "true")
	w.fails("OperationNotPermitted", alice, "TerminateInstances", "InstanceId.1", id)
	modify("Attribute", "disableApiTermination", "Value", "false")
	modify("SourceDestCheck.Value", "false")
	if got := show("sourceDestCheck").text("sourceDestCheck/value"); got != "false" {
		t.Error(got)
	}
	modify("Attribute", "sourceDestCheck", "Value", "true")
	modify("InstanceInitiatedShutdownBehavior.Value", "terminate")
	modify("GroupId.1", o.group)
	modify("DisableApiStop.Value", "false")
	for _, c := range [][]string{
		{"IncorrectInstanceState", "InstanceType.Value", "t3.micro"},
		{"IncorrectInstanceState", "Attribute", "instanceType", "Value", "t3.micro"},
		{"InvalidInstanceAttributeValue", "InstanceType.Value", "elephant"},
		{"IncorrectInstanceState", "UserData.Value", encode("other")},
		{"IncorrectInstanceState", "UserData.Value", ""},
		{"IncorrectInstanceState", "Attribute", "userData", "Value", encode("other")},
		{"InvalidUserData.Malformed", "Attribute", "userData", "Value", "%"},
		{"IncorrectInstanceState", "Kernel.Value", aki},
		{"IncorrectInstanceState", "Attribute", "ramdisk", "Value", ari},
		{"IncorrectInstanceState", "EbsOptimized.Value", "true"},
		{"IncorrectInstanceState", "SriovNetSupport.Value", "simple"},
		{"IncorrectInstanceState", "EnaSupport.Value", "true"},
		{"UnsupportedOperation", "DisableApiStop.Value", "true"},
		{"UnsupportedOperation", "InstanceInitiatedShutdownBehavior.Value", "stop"},
		{"InvalidInstanceAttributeValue", "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "false"},
		{"InvalidParameterCombination", "SourceDestCheck.Value", "true", "DisableApiTermination.Value", "true"},
		{"InvalidParameterCombination"},
		{"MissingParameter", "Value", "true"},
		{"MissingParameter", "Attribute", "sourceDestCheck"},
		{"InvalidParameterValue", "Attribute", "sourceDestCheck", "Value", "perhaps"},
		{"InvalidParameterValue", "Attribute", "rootDeviceName", "Value", "/dev/sdb"},
		{"InvalidGroupId.Malformed", "GroupId.1", "default"},
	} {
		w.fails(c[0], alice, "ModifyInstanceAttribute", append(c[1:], "InstanceId", id)...)
	}
	w.fails("InvalidParameterValue", alice, "DescribeInstanceAttribute", "InstanceId", id, "Attribute", "elephant")
	// A change that was refused left nothing.
	if n := show("userData"); n.text("userData/value") != encode("hi") {
		t.Errorf("%+v", n)
	}
}
