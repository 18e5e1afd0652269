package ec2

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"skerry/events"
	"skerry/services/api/sigv4"
	"skerry/services/state"
)

func TestRegionsAndZones(t *testing.T) {
	w := newWorld(t)
	u, _ := url.Parse(w.url)
	n := w.ok(alice, "DescribeRegions", "AllRegions", "true", "RegionName.1", "isle-1")
	if n.text("regionInfo/item/regionName") != "isle-1" || n.text("regionInfo/item/regionEndpoint") != u.Host || n.text("regionInfo/item/optInStatus") != "opt-in-not-required" {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidParameterValue", alice, "DescribeRegions", "RegionName.1", "us-east-1")
	x := w.ok(alice, "DescribeAvailabilityZones").all("availabilityZoneInfo/item")
	if len(x) != 3 {
		t.Fatal(len(x))
	}
	for path, want := range map[string]string{"zoneName": "isle-1b", "zoneId": "is1-az2", "zoneState": "available", "regionName": "isle-1", "groupName": "isle-1",
		"networkBorderGroup": "isle-1", "optInStatus": "opt-in-not-required", "zoneType": "availability-zone"} {
		if got := x[1].text(path); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	if got := w.ok(alice, "DescribeAvailabilityZones", "ZoneId.1", "is1-az3", "ZoneId.2", "is1-az1").texts("availabilityZoneInfo/item/zoneName"); !slices.Equal(got, []string{"isle-1a", "isle-1c"}) {
		t.Error(got)
	}
	w.fails("InvalidParameterValue", alice, "DescribeAvailabilityZones", "ZoneName.1", "us-east-1a")
	w.fails("InvalidParameterValue", alice, "DescribeAvailabilityZones", "ZoneId.1", "use1-az1")
	vpc := w.ok(alice, "DescribeVpcs").text("vpcSet/item/vpcId")
	a := w.ok(alice, "DescribeAccountAttributes", "AttributeName.1", "default-vpc")
	if a.text("accountAttributeSet/item/attributeName") != "default-vpc" || a.text("accountAttributeSet/item/attributeValueSet/item/attributeValue") != vpc {
		t.Errorf("%+v", a)
	}
	if got := w.ok(alice, "DescribeAccountAttributes").texts("accountAttributeSet/item/attributeName"); len(got) != 6 {
		t.Error(got)
	}
	few := []string{"max-instances", "vpc-max-elastic-ips"}
	if got := w.ok(alice, "DescribeAccountAttributes", "AttributeName.1", few[0], "AttributeName.2", few[1]).texts("accountAttributeSet/item/attributeName"); !slices.Equal(got, few) {
		t.Error(got)
	}
	w.fails("InvalidParameterValue", alice, "DescribeAccountAttributes", "AttributeName.1", "max-fun")
}

func TestTypes(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "DescribeInstanceTypes", "InstanceType.1", "m1.small")
	for path, want := range map[string]string{"vCpuInfo/defaultVCpus": "1", "memoryInfo/sizeInMiB": "1740", "instanceStorageInfo/totalSizeInGB": "160", "currentGeneration": "false",
		"supportedRootDeviceTypes/item": "ebs instance-store", "supportedVirtualizationTypes/item": "hvm paravirtual", "instanceStorageInfo/disks/item/type": "hdd"} {
		if got := n.text("instanceTypeSet/item/" + path); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	all := w.ok(alice, "DescribeInstanceTypes").texts("instanceTypeSet/item/instanceType")
	if len(all) < 14 || all[0] != "sk1.tiny" || all[1] != "m1.small" {
		t.Error(all)
	}
	page := w.ok(alice, "DescribeInstanceTypes", "MaxResults", "5")
	rest := w.ok(alice, "DescribeInstanceTypes", "NextToken", page.text("nextToken"))
	if got := append(page.texts("instanceTypeSet/item/instanceType"), rest.texts("instanceTypeSet/item/instanceType")...); !slices.Equal(got, all) {
		t.Error(got)
	}
	if m := w.fails("InvalidInstanceType", alice, "DescribeInstanceTypes", "InstanceType.1", "elephant"); !strings.Contains(m, "elephant") {
		t.Error(m)
	}
	w.fails("InvalidParameterValue", alice, "DescribeInstanceTypes", "MaxResults", "101")
	for kind, want := range map[string]string{"region": "isle-1", "availability-zone": "isle-1a isle-1b isle-1c", "availability-zone-id": "is1-az1 is1-az2 is1-az3", "outpost": ""} {
		n := w.ok(alice, "DescribeInstanceTypeOfferings", "LocationType", kind, "Filter.1.Name", "instance-type", "Filter.1.Value.1", "t3.micro")
		if got := n.text("instanceTypeOfferingSet/item/location"); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := w.ok(alice, "DescribeInstanceTypeOfferings").text("instanceTypeOfferingSet/item/locationType"); !strings.HasPrefix(got, "region region") {
		t.Error(got)
	}
}

func TestNetwork(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "DescribeVpcs")
	vpc := n.text("vpcSet/item/vpcId")
	if n.text("vpcSet/item/cidrBlock") != "172.31.0.0/16" || n.text("vpcSet/item/isDefault") != "true" || n.text("vpcSet/item/state") != "available" || n.text("vpcSet/item/ownerId") != alice {
		t.Errorf("%+v", n)
	}
	for attribute, want := range map[string]string{"enableDnsSupport": "true", "enableDnsHostnames": "true", "enableNetworkAddressUsageMetrics": "false"} {
		if a := w.ok(alice, "DescribeVpcAttribute", "VpcId", vpc, "Attribute", attribute); a.text(attribute+"/value") != want || a.text("vpcId") != vpc {
			t.Errorf("%+v", a)
		}
	}
	w.run(alice, "Placement.AvailabilityZone", "isle-1b")
	s := w.ok(alice, "DescribeSubnets")
	if got := s.text("subnetSet/item/availableIpAddressCount"); got != "4091 4090 4091" {
		t.Error(got)
	}
	if got := s.text("subnetSet/item/availabilityZoneId"); got != "is1-az1 is1-az2 is1-az3" {
		t.Error(got)
	}
	g := w.ok(alice, "DescribeSecurityGroups", "GroupName.1", "default")
	id := g.text("securityGroupInfo/item/groupId")
	in, out := g.all("securityGroupInfo/item/ipPermissions/item"), g.all("securityGroupInfo/item/ipPermissionsEgress/item")
	if len(in) != 1 || in[0].text("ipProtocol") != "-1" || in[0].has("fromPort") || in[0].text("groups/item/groupId") != id || in[0].text("groups/item/userId") != alice {
		t.Errorf("%+v", in)
	}
	if len(out) != 1 || out[0].text("ipRanges/item/cidrIp") != "0.0.0.0/0" {
		t.Errorf("%+v", out)
	}
	if got := w.ok(alice, "DescribeSecurityGroups", "GroupName.1", "default", "GroupId.1", id).texts("securityGroupInfo/item/groupId"); len(got) != 1 {
		t.Error(got)
	}
	if m := w.fails("InvalidGroup.NotFound", alice, "DescribeSecurityGroups", "GroupName.1", "web"); !strings.Contains(m, vpc) {
		t.Error(m)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	o := w.things(alice)
	w.ok(alice, "CreateTags", "ResourceId.1", o.instance, "ResourceId.2", o.image, "ResourceId.3", o.keyID, "ResourceId.4", o.vpc, "ResourceId.5", o.subnet, "ResourceId.6", o.group, "ResourceId.7", o.eni,
		"Tag.1.Key", "a", "Tag.1.Value", "1", "Tag.2.Key", "b")
	types := w.ok(alice, "DescribeTags", "Filter.1.Name", "key", "Filter.1.Value.1", "a").texts("tagSet/item/resourceType")
	slices.Sort(types)
	if !slices.Equal(types, []string{"image", "instance", "key-pair", "network-interface", "security-group", "subnet", "vpc"}) {
		t.Error(types)
	}
	left := func() string {
		t.Helper()
		return w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1", o.instance).text("tagSet/item/key")
	}
	w.ok(alice, "DeleteTags", "ResourceId.1", o.instance, "Tag.1.Key", "a", "Tag.1.Value", "2")
	if left() != "a b" {
		t.Error("another value was deleted:", left())
	}
	w.ok(alice, "DeleteTags", "ResourceId.1", o.instance, "Tag.1.Key", "a", "Tag.1.Value", "1")
	if left() != "b" {
		t.Error(left())
	}
	w.ok(alice, "DeleteTags", "ResourceId.1", o.instance)
	if left() != "" {
		t.Error(left())
	}
	if got := w.ok(alice, "DescribeTags", "MaxResults", "5"); len(got.all("tagSet/item")) != 5 || !got.has("nextToken") {
		t.Errorf("%+v", got)
	}
	w.fails("InvalidParameterValue", alice, "CreateTags", "ResourceId.1", o.instance, "Tag.1.Key", "aws:x")
	w.fails("MissingParameter", alice, "CreateTags", "ResourceId.1", o.instance, "Tag.1.Value", "x")
	if status, text := w.call(alice, "CreateTags", "ResourceId.1", o.instance, "Tag.1.Key", "é <&>", "Tag.1.Value", "\"quoted\""); status != 200 || !strings.Contains(text, "<return>true</return>") {
		t.Error(text)
	}
	if left() != "é <&>" {
		t.Error(left())
	}
}

func TestIdentity(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "GetCallerIdentity")
	if r := n.all("GetCallerIdentityResult")[0]; r.text("Arn") != "arn:aws:iam::"+alice+":root" || r.text("Account") != alice || r.text("UserId") != alice {
		t.Errorf("%+v", n)
	}
	ctx := t.Context()
	if _, _, err := (Keys{View: w.view, Key: w.key}).Secret(ctx, "AKIANOBODY", ""); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Error("a stranger has a secret")
	}
	if secret, who, err := (Keys{View: w.view, Key: w.key}).Secret(ctx, w.keys[bob], ""); err != nil || who.Account != bob || who.User != "" || secret != w.key.Secret(w.keys[bob]) || len(secret) != 40 {
		t.Error(secret, who, err)
	}

	// A voter that is behind asks what is known by now; when nobody can tell, it
	// does not call a key unknown.
	behind := Keys{View: func() *state.View { return &state.New().View }, Key: w.key, Present: func(context.Context) (*state.View, error) { return w.view(), nil }}
	if _, who, err := behind.Secret(ctx, w.keys[bob], ""); err != nil || who.Account != bob {
		t.Error(who, err)
	}
	if _, _, err := behind.Secret(ctx, "AKIANOBODY", ""); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Error(err)
	}
	behind.Present = func(context.Context) (*state.View, error) {
		return nil, events.Faultf("Unavailable", "The region has no leader.")
	}
	_, _, err := behind.Secret(ctx, w.keys[bob], "")
	if f, ok := events.AsFault(err); !ok || f.FaultCode != "Unavailable" {
		t.Error(err)
	}
}
