package ids

import (
	"testing"

	"skerry/events"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		id   string
		code string
		text string
	}{
		{Instance, "i-0123456789abcdef0", "", ""},
		{Instance, "i-01234567", "", ""},
		{Attachment, "eni-attach-01234567", "", ""},
		{Instance, "i-0123456", "InvalidInstanceID.Malformed", `Invalid id: "i-0123456"`},
		{Instance, "i-0123456G", "InvalidInstanceID.Malformed", `Invalid id: "i-0123456G"`},
		{Instance, "i-0123456789ABCDEF0", "InvalidInstanceID.Malformed", `Invalid id: "i-0123456789ABCDEF0"`},
		{Instance, "i-", "InvalidInstanceID.Malformed", `Invalid id: "i-"`},
		{Instance, "", "InvalidInstanceID.Malformed", `Invalid id: "" (expecting "i-...")`},
		{Image, "i-01234567", "InvalidAMIID.Malformed", `Invalid id: "i-01234567" (expecting "ami-...")`},
		{VPC, "vpc_1", "InvalidVpcID.Malformed", `Invalid id: "vpc_1" (expecting "vpc-...")`},
		{Interface, "eni-attach-01234567", "InvalidNetworkInterfaceId.Malformed", `Invalid id: "eni-attach-01234567" (expecting "eni-...")`},
		{SecurityGroup, "sg-", "InvalidGroupId.Malformed", `Invalid id: "sg-"`},
	} {
		err := c.kind.CheckAll([]string{c.id})
		if c.code == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if f, ok := events.AsFault(err); !ok || f.Code() != c.code || f.Message != c.text {
			t.Errorf("%s: %v", c.id, err)
		}
	}
}

func TestOneOf(t *testing.T) {
	for id, code := range map[string]string{
		"ami-01234567": "",
		"aki-01234567": "",
		"ari-0123":     "InvalidRamDiskId.Malformed",
		"i-01234567":   "InvalidAMIID.Malformed",
	} {
		err := OneOf(id, Image, Kernel, Ramdisk)
		if f, ok := events.AsFault(err); (err != nil || code != "") && (!ok || f.Code() != code) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestOf(t *testing.T) {
	for id, want := range map[string]Kind{"i-01234567": Instance, "eni-attach-01234567": Attachment, "sgr-0123456789abcdef0": SecurityGroupRule} {
		if got, err := Of(id); err != nil || got != want {
			t.Error(id, got, err)
		}
	}
	for _, id := range []string{"", "-", "-01234567", "i", "x-01234567", "i-1"} {
		if k, err := Of(id); err == nil {
			t.Error(id, k)
		}
	}
}
