package ec2

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Every waiter of the stock CLI for what this region has: it ends when it
// should, and says so when what it waits for cannot come.
func TestWaiters(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed")
	}
	t.Parallel() // each call starts an interpreter
	w := newWorld(t)
	w.live()
	cli := w.cli(path)
	wait := func(lines ...string) {
		t.Helper()
		var wg sync.WaitGroup
		for _, line := range lines {
			wg.Go(func() {
				if got := cli(append([]string{"ec2", "wait"}, strings.Fields(line)...)...); got != "" {
					t.Errorf("wait %s: %s", line, got)
				}
			})
		}
		wg.Wait()
	}
	volume := w.ok(alice, "CreateVolume", "AvailabilityZone", "isle-1a", "Size", "1").text("volumeId")
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	subnet := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24", "AvailabilityZone", "isle-1a").text("subnet/subnetId")
	gateway := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	group := w.group(alice, "web")
	eni := w.ok(alice, "CreateNetworkInterface", "SubnetId", subnet).text("networkInterface/networkInterfaceId")
	w.ok(alice, "CreateKeyPair", "KeyName", "tour", "KeyType", "ed25519")
	wait("volume-available --volume-ids "+volume, "vpc-exists --vpc-ids "+vpc, "vpc-available --vpc-ids "+vpc, "subnet-available --subnet-ids "+subnet, "internet-gateway-exists --internet-gateway-ids "+gateway,
		"security-group-exists --group-ids "+group, "security-group-exists --group-names web", "network-interface-available --network-interface-ids "+eni, "key-pair-exists --key-names tour")

	snapshot := w.ok(alice, "CreateSnapshot", "VolumeId", volume).text("snapshotId")
	wait("snapshot-completed --snapshot-ids "+snapshot, "snapshot-completed --owner-ids self --filters Name=volume-id,Values="+volume)
	image := w.ok(alice, "RegisterImage", "Name", "disk", "RootDeviceName", "/dev/sda1", "KernelId", aki, "RamdiskId", ari, "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", snapshot).text("imageId")
	id := w.ok(alice, "RunInstances", "ImageId", image, "InstanceType", "t3.micro", "MinCount", "1", "MaxCount", "1", "Placement.AvailabilityZone", "isle-1a").text("instancesSet/item/instanceId")
	wait("image-exists --image-ids "+image, "image-available --image-ids "+image,
		"instance-exists --instance-ids "+id, "instance-running --instance-ids "+id, "instance-running --filters Name=image-id,Values="+image, "instance-status-ok --instance-ids "+id, "system-status-ok --instance-ids "+id)
	w.instanceIs(id, "running")
	w.ok(alice, "AttachVolume", "VolumeId", volume, "InstanceId", id, "Device", "/dev/sdf")
	wait("volume-in-use --volume-ids " + volume)
	until(t, "attached", func() bool {
		return w.ok(alice, "DescribeVolumes", "VolumeId.1", volume).text("volumeSet/item/attachmentSet/item/status") == "attached"
	})
	w.ok(alice, "DetachVolume", "VolumeId", volume)
	w.ok(alice, "StopInstances", "InstanceId.1", id)
	wait("volume-available --volume-ids "+volume, "instance-stopped --instance-ids "+id)
	w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	w.ok(alice, "DeleteVolume", "VolumeId", volume)
	wait("volume-deleted --volume-ids "+volume, "instance-terminated --instance-ids "+id)

	// What cannot come.
	for line, want := range map[string]string{
		"instance-running --instance-ids " + id:                          "terminal failure state",
		"instance-stopped --instance-ids " + id:                          "terminal failure state",
		"volume-available --volume-ids " + volume:                        "(InvalidVolume.NotFound)",
		"volume-in-use --volume-ids vol-0dead0beef0dead00":               "(InvalidVolume.NotFound)",
		"snapshot-completed --snapshot-ids snap-0dead0beef0dead00":       "(InvalidSnapshot.NotFound)",
		"network-interface-available --network-interface-ids eni-dead00": "(InvalidNetworkInterfaceId.Malformed)",
	} {
		if got := cli(append([]string{"ec2", "wait"}, strings.Fields(line)...)...); !strings.Contains(got, want) {
			t.Errorf("wait %s: %q, want %s", line, got, want)
		}
	}
}

// The stock SDK for Go walks through the life of a network, an instance and a
// volume. Its walk is a program of its own, deploy/sdk, that make builds.
func TestStockSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	walk, err := filepath.Abs("../../../.build/sdk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(walk); err != nil {
		t.Skip("the walk is not built: make sdk")
	}
	t.Parallel() // it waits by the second
	w := newWorld(t)
	w.live()
	cmd := exec.CommandContext(t.Context(), walk, "-endpoint", w.url, "-region", "isle-1")
	cmd.Env = append(cmd.Environ(), "AWS_ACCESS_KEY_ID="+w.keys[alice], "AWS_SECRET_ACCESS_KEY="+w.key.Secret(w.keys[alice]), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
