package ec2

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"skerry/events"
)

// together makes two regions with the accounts of the first, once the second one
// has heard of them.
func together(t *testing.T) (one, two *world) {
	t.Helper()
	one = newWorld(t)
	two = newRegion(t, "isle-2", "another key of the second region", one)
	two.until("the accounts are known", func() bool { return two.view().Accounts.Len() == 2 && two.view().Regions.Len() == 2 })
	two.meet()
	return one, two
}

// until waits for a condition.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: never; the last events are %v", what, w.view().Meta)
		}
	}
}

// code is the error that a call is answered with.
func (w *world) code(account, action string, params ...string) string {
	w.t.Helper()
	_, text := w.call(account, action, params...)
	return w.parse(text).text("Errors/Error/Code") + w.parse(text).text("Error/Code")
}

// The same key signs in both regions, and each has a default VPC and names of its
// own: what one calls something means nothing in the other.
func TestOneAccountInTwoRegions(t *testing.T) {
	one, two := together(t)
	if one.keys[alice] == "" || one.keys[alice] != two.keys[alice] || one.key.Secret(one.keys[alice]) != two.key.Secret(two.keys[alice]) {
		t.Fatal("the keys differ")
	}
	vpcs := [2]string{}
	for i, w := range []*world{one, two} {
		n := w.ok(alice, "GetCallerIdentity").all("GetCallerIdentityResult")[0]
		if n.text("Account") != alice {
			t.Errorf("%s knows alice as %s", w.region, n.text("Account"))
		}
		if vpcs[i] = w.ok(alice, "DescribeVpcs").text("vpcSet/item/vpcId"); vpcs[i] == "" {
			t.Errorf("alice has no default VPC in %s", w.region)
		}
	}
	if vpcs[0] == vpcs[1] {
		t.Error("a VPC has one id in two regions")
	}
	mine := one.things(alice)
	for _, c := range [][3]string{
		{"InvalidInstanceID.NotFound", "DescribeInstances", "InstanceId.1=" + mine.instance},
		{"InvalidVpcID.NotFound", "DescribeVpcs", "VpcId.1=" + mine.vpc},
		{"InvalidSubnetID.NotFound", "DescribeSubnets", "SubnetId.1=" + mine.subnet},
		{"InvalidGroup.NotFound", "DescribeSecurityGroups", "GroupId.1=" + mine.group},
		{"InvalidVolume.NotFound", "DescribeVolumes", "VolumeId.1=" + mine.volume},
		{"InvalidAMIID.NotFound", "DescribeImages", "ImageId.1=" + mine.image},
		{"InvalidAMIID.NotFound", "DescribeImages", "ImageId.1=" + ami},
		{"InvalidKeyPair.NotFound", "DescribeKeyPairs", "KeyName.1=" + mine.key},
	} {
		name, value, _ := strings.Cut(c[2], "=")
		one.ok(alice, c[1], name, value)
		two.fails(c[0], alice, c[1], name, value)
	}
	if got := two.ok(alice, "DescribeInstances").texts("reservationSet/item"); len(got) != 0 {
		t.Error(got)
	}
	// A request is signed for one region.
	two.region = "isle-1"
	if got := two.code(alice, "DescribeVpcs"); got != "AuthFailure" {
		t.Errorf("a request for isle-1 is answered %q in isle-2", got)
	}
}

// What the root decides about identities holds in the other region a moment later,
// and while the root is away what is known goes on.
func TestIdentitiesFollow(t *testing.T) {
	one, two := together(t)
	one.user("jo", `{"Statement":{"Effect":"Allow","Action":["ec2:DescribeVpcs","sts:GetSessionToken"],"Resource":"*"}}`)
	two.keys["jo"] = one.keys["jo"]
	two.until("jo may look", func() bool { return two.code("jo", "DescribeVpcs") == "" })
	if got := two.code("jo", "DescribeSubnets"); got != denied {
		t.Error(got)
	}
	// A session of one region is one of the other.
	n := one.ok("jo", "GetSessionToken").all("GetSessionTokenResult/Credentials")[0]
	session := aws.Credentials{AccessKeyID: n.text("AccessKeyId"), SecretAccessKey: n.text("SecretAccessKey"), SessionToken: n.text("SessionToken")}
	if status, text := two.callAs(session, "DescribeVpcs"); status != 200 {
		t.Error(text)
	}
	one.act(t, alice, events.PutUserPolicy{User: "jo", Name: "q", Document: `{"Statement":{"Effect":"Allow","Action":"ec2:DescribeSubnets","Resource":"*"}}`})
	two.until("jo may see subnets", func() bool { return two.code("jo", "DescribeSubnets") == "" })
	one.act(t, "", events.CreateAccount{Name: "carol", ID: "333333333333"})
	two.until("carol is known", func() bool { two.meet(); return two.keys["333333333333"] != "" })
	if got := two.ok("333333333333", "DescribeVpcs").texts("vpcSet/item/vpcId"); len(got) != 1 {
		t.Error(got)
	}

	one.act(t, alice, events.DeleteAccessKey{User: "jo", AccessKey: one.keys["jo"]})
	deleted := time.Now()
	two.until("jo's key is gone", func() bool { return two.code("jo", "DescribeVpcs") == "AuthFailure" })
	t.Logf("a key that was deleted was refused in the other region after %v", time.Since(deleted).Round(time.Millisecond))
	if status, text := two.callAs(session, "DescribeVpcs"); status == 200 {
		t.Error(text)
	}

	// Nothing of it is decided elsewhere.
	if _, err := two.Do(t.Context(), events.Stamp{ID: "x", Account: alice, Version: 1}, events.CreateUser{Name: "al"}); err == nil || !strings.Contains(err.Error(), "isle-1") {
		t.Error(err)
	}

	one.server.CloseClientConnections()
	one.server.Close()
	two.ok(alice, "DescribeVpcs")
	two.run(alice, "ImageId", "ami-00000000000000002")
}

// The history of the root is followed from the point that was reached, and no
// other history is.
func TestFollowingGoesOn(t *testing.T) {
	one, two := together(t)
	two.stop()
	one.user("jo", "")
	for range 600 { // more than the root reads at once
		one.act(t, alice, events.TagResources{Resources: []string{one.ok(alice, "DescribeVpcs").text("vpcSet/item/vpcId")}, Tags: []events.Tag{{Key: "n"}}})
	}
	one.user("al", "")
	at := two.view().Meta.RootAt
	r, err := one.history.Get(at.N)
	if err != nil || r.Hash != at.Hash {
		t.Errorf("%v %v: %v", at, r.Hash, err)
	}
	two.follow(one)
	two.until("al is known", func() bool { _, ok := two.view().User(alice, "al"); return ok })
	if _, ok := two.view().User(alice, "jo"); !ok {
		t.Error("jo was left out")
	}
	if got := two.view().Regions.Len(); got != 2 {
		t.Error(got)
	}

	// Another history under the same name and key is noticed.
	again := newWorld(t)
	for again.view().Meta.N < two.view().Meta.RootAt.N+10 {
		again.user("u"+time.Now().Format("150405.000000000"), "")
	}
	two.stop()
	n := two.view().Meta.N
	two.follow(again)
	two.until("the difference is told", func() bool { return strings.Contains(two.log.String(), "is another one than was followed") })
	two.stop()
	if got := two.view().Meta.N; got != n {
		t.Errorf("%d events came of another history", got-n)
	}
}

func TestDescribeRegionsTogether(t *testing.T) {
	one, two := together(t)
	for _, w := range []*world{one, two} {
		n := w.ok(alice, "DescribeRegions")
		if got := n.text("regionInfo/item/optInStatus"); got != "opt-in-not-required opt-in-not-required" {
			t.Error(got)
		}
		names, ends := n.texts("regionInfo/item/regionName"), n.texts("regionInfo/item/regionEndpoint")
		slices.Sort(names)
		if !slices.Equal(names, []string{"isle-1", "isle-2"}) {
			t.Errorf("%s lists %v", w.region, names)
		}
		for _, o := range []*world{one, two} {
			got := w.ok(alice, "DescribeRegions", "RegionName.1", o.region).text("regionInfo/item/regionEndpoint")
			if want := strings.TrimPrefix(o.url, "http://"); got != want || !slices.Contains(ends, want) {
				t.Errorf("%s shows %s at %s, not at %s", w.region, o.region, got, want)
			}
		}
		if got := w.ok(alice, "DescribeRegions", "Filter.1.Name", "region-name", "Filter.1.Value.1", "isle-2").texts("regionInfo/item"); len(got) != 1 {
			t.Error(got)
		}
		w.fails("InvalidParameterValue", alice, "DescribeRegions", "RegionName.1", "isle-3")
	}
	// A region that is no more is taken off the list, everywhere.
	two.stop()
	one.act(t, "", events.ForgetRegion{Name: "isle-2"})
	if got := one.ok(alice, "DescribeRegions").text("regionInfo/item/regionName"); got != "isle-1" {
		t.Error(got)
	}
}

// snap makes a snapshot that is completed.
func (w *world) snap(account string) string {
	w.t.Helper()
	id := w.ok(account, "CreateSnapshot", "VolumeId", w.volume(account, events.Zone(w.region+"a"))).text("snapshotId")
	r, _ := w.view().Snapshots.Get(id)
	w.act(w.t, "", events.ReportSnapshot{Host: r.Host, Snapshot: r.ID, Phase: events.SnapshotReady})
	return id
}

func TestCopySnapshotFromAnotherRegion(t *testing.T) {
	one, two := together(t)
	for _, way := range [][2]*world{{one, two}, {two, one}} {
		from, to := way[0], way[1]
		id := from.snap(alice)
		to.fails("InvalidSnapshot.NotFound", alice, "CopySnapshot", "SourceRegion", to.region, "SourceSnapshotId", id)
		made := to.ok(alice, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", id, "Description", "far", "DestinationRegion", to.region,
			"TagSpecification.1.ResourceType", "snapshot", "TagSpecification.1.Tag.1.Key", "a").text("snapshotId")
		if made == id || made == "" {
			t.Fatal(made)
		}
		n := to.ok(alice, "DescribeSnapshots", "SnapshotId.1", made)
		for path, want := range map[string]string{"status": "pending", "progress": "0%", "volumeSize": "1", "description": "far", "ownerId": alice, "tagSet/item/key": "a"} {
			if got := n.text("snapshotSet/item/" + path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		if got := n.text("snapshotSet/item/statusMessage"); !strings.Contains(got, id) || !strings.Contains(got, from.region) {
			t.Errorf("what it waits for is told as %q", got)
		}
		from.fails("InvalidSnapshot.NotFound", alice, "DescribeSnapshots", "SnapshotId.1", made)
		to.fails("IncorrectState", alice, "CreateVolume", "AvailabilityZone", to.region+"a", "SnapshotId", made)
		// One that is not complete there is no more here.
		from.fails("InvalidParameterValue", alice, "CopySnapshot", "SourceRegion", to.region, "SourceSnapshotId", made, "DestinationRegion", to.region)
		from.fails("IncorrectState", alice, "CopySnapshot", "SourceRegion", to.region, "SourceSnapshotId", made)

		// Bob may copy what he was given, and nothing else; the answer is as for
		// what is nowhere.
		stranger := to.fails("InvalidSnapshot.NotFound", bob, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", id)
		nobody := to.fails("InvalidSnapshot.NotFound", bob, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", nowhere(id))
		if strings.ReplaceAll(stranger, id, "") != strings.ReplaceAll(nobody, nowhere(id), "") {
			t.Error(stranger, nobody)
		}
		from.ok(alice, "ModifySnapshotAttribute", "SnapshotId", id, "CreateVolumePermission.Add.1.UserId", bob)
		to.ok(bob, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", id)
		from.ok(alice, "ModifySnapshotAttribute", "SnapshotId", id, "CreateVolumePermission.Remove.1.UserId", bob, "CreateVolumePermission.Add.1.Group", "all")
		to.ok(bob, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", id)
		to.fails("DryRunOperation", bob, "CopySnapshot", "SourceRegion", from.region, "SourceSnapshotId", id, "DryRun", "true")

		to.ok(alice, "DeleteSnapshot", "SnapshotId", made)
		to.fails("InvalidSnapshot.NotFound", alice, "DescribeSnapshots", "SnapshotId.1", made)
		to.fails("InvalidParameterValue", alice, "CopySnapshot", "SourceRegion", "isle-9", "SourceSnapshotId", id)
	}
	// A region that cannot be reached is told, and nothing is half done.
	id := one.snap(alice)
	one.server.CloseClientConnections()
	one.server.Close()
	n := two.view().Meta.N
	if status, text := two.call(alice, "CopySnapshot", "SourceRegion", "isle-1", "SourceSnapshotId", id); status != 503 || !strings.Contains(text, "isle-1") || !strings.Contains(text, "<Code>Unavailable</Code>") {
		t.Error(status, text)
	}
	if two.view().Meta.N != n {
		t.Error("something was done")
	}
}

func TestCopyImageFromAnotherRegion(t *testing.T) {
	one, two := together(t)
	// The region's own image has the same files in both.
	made := two.ok(alice, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", ami, "Name", "same").text("imageId")
	n := two.ok(alice, "DescribeImages", "ImageId.1", made)
	for path, want := range map[string]string{"imageState": "available", "kernelId": "aki-00000000000000002", "ramdiskId": "ari-00000000000000002", "imageOwnerId": alice, "isPublic": "false", "name": "same"} {
		if got := n.text("imagesSet/item/" + path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	two.run(alice, "ImageId", made)

	// One whose root is a snapshot waits for its bytes.
	snap := one.snap(alice)
	far := one.ok(alice, "RegisterImage", "Name", "root", "RootDeviceName", "/dev/sda1", "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", snap).text("imageId")
	one.ok(alice, "CreateTags", "ResourceId.1", far, "Tag.1.Key", "team", "Tag.1.Value", "red")
	two.fails("InvalidAMIID.NotFound", bob, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", far, "Name", "root")
	made = two.ok(alice, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", far, "Name", "root", "CopyImageTags", "true").text("imageId")
	n = two.ok(alice, "DescribeImages", "ImageId.1", made)
	if n.text("imagesSet/item/imageState") != "pending" || n.text("imagesSet/item/tagSet/item/value") != "red" {
		t.Errorf("%+v", n)
	}
	copied := n.text("imagesSet/item/blockDeviceMapping/item/ebs/snapshotId")
	if got := two.ok(alice, "DescribeSnapshots", "SnapshotId.1", copied).text("snapshotSet/item/statusMessage"); copied == snap || !strings.Contains(got, snap) {
		t.Errorf("%s waits: %s", copied, got)
	}
	two.fails("IncorrectState", alice, "RunInstances", "ImageId", made, "MinCount", "1", "MaxCount", "1")
	one.ok(alice, "ModifyImageAttribute", "ImageId", far, "LaunchPermission.Add.1.UserId", bob)
	two.ok(bob, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", far, "Name", "root")

	two.fails("InvalidAMIName.Duplicate", alice, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", ami, "Name", "same")

	// So does one whose files are not here.
	absent := two.act(t, alice, events.CopyImage{Image: "ami-0far", Name: "absent", Far: &events.FarImage{Region: "isle-1", State: "available",
		Image: events.Image{ID: "ami-0far", Type: "machine", Location: "amazon/other", Architecture: "x86_64", RootDeviceType: "instance-store", File: events.ImageFile{Name: "other", SHA256: "ff"}}}})
	id := string(absent[0].Event.(events.ImageRegistered).Image.ID)
	n = two.ok(alice, "DescribeImages", "ImageId.1", id, "Filter.1.Name", "state", "Filter.1.Value.1", "pending", "Filter.2.Name", "state-reason-code", "Filter.2.Value.1", "pending")
	if got := n.text("imagesSet/item/stateReason/message"); !strings.Contains(got, "isle-1") {
		t.Errorf("what it waits for is told as %q", got)
	}
	two.fails("InvalidAMIID.Unavailable", alice, "RunInstances", "ImageId", id, "MinCount", "1", "MaxCount", "1")
	two.fails("InvalidAMIID.Unavailable", alice, "CopyImage", "SourceRegion", "isle-2", "SourceImageId", id, "Name", "again")
	two.fails("InvalidParameterValue", alice, "RegisterImage", "Name", "again", "ImageLocation", "amazon/other")
	one.server.CloseClientConnections()
	one.server.Close()
	before := two.view().Meta.N
	two.fails("Unavailable", alice, "CopyImage", "SourceRegion", "isle-1", "SourceImageId", ami, "Name", "late")
	if two.view().Meta.N != before {
		t.Error("something was done")
	}
}
