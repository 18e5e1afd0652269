package ec2

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"skerry/events"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// What the region cannot do is refused by its name, and never ignored.
func TestRunRefuses(t *testing.T) {
	w := newWorld(t)
	unsupported := func(name, value string) []string { return []string{"UnsupportedOperation", name, name, value} }
	for _, c := range [][]string{
		unsupported("AdditionalInfo", "x"),
		unsupported("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId", "cr-1"),
		unsupported("CpuOptions.CoreCount", "1"),
		unsupported("ElasticGpuSpecification.1.Type", "x"),
		unsupported("ElasticInferenceAccelerator.1.Type", "x"),
		unsupported("EnclaveOptions.Enabled", "true"),
		unsupported("HibernationOptions.Configured", "true"),
		unsupported("IamInstanceProfile.Name", "x"),
		unsupported("InstanceMarketOptions.MarketType", "spot"),
		{"InvalidParameterCombination", "no IPv6 CIDR block", "Ipv6AddressCount", "1", "InstanceType", "t3.micro"},
		{"InvalidParameterCombination", "no IPv6 CIDR block", "Ipv6Address.1.Ipv6Address", "fd00::1"},
		unsupported("LicenseSpecification.1.LicenseConfigurationArn", "x"),
		unsupported("MaintenanceOptions.AutoRecovery", "disabled"),
		unsupported("MetadataOptions.HttpProtocolIpv6", "enabled"),
		unsupported("Placement.Tenancy", "dedicated"),
		unsupported("Placement.HostId", "h-1"),
		unsupported("Placement.Affinity", "host"),
		unsupported("PrivateDnsNameOptions.EnableResourceNameDnsARecord", "true"),
		{"InvalidParameterValue", "HostnameType", "PrivateDnsNameOptions.HostnameType", "elephant"},
		{"InvalidPlacementGroup.Unknown", "x", "Placement.GroupName", "x"},
		{"InvalidParameterCombination", "PartitionNumber", "Placement.PartitionNumber", "2"},
		{"InvalidLaunchTemplateName.NotFoundException", "x", "LaunchTemplate.LaunchTemplateName", "x"},
		{"InvalidParameterCombination", "EBS-optimized", "EbsOptimized", "true"},
		{"UnsupportedOperation", "EBS root device", "DisableApiStop", "true"},
		{"InvalidParameterCombination", "CreditSpecification", "CreditSpecification.CpuCredits", "unlimited"},
		{"UnsupportedOperation", "Encrypted", "BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.Ebs.VolumeSize", "8", "BlockDeviceMapping.1.Ebs.Encrypted", "true"},
		{"InvalidSnapshot.NotFound", "snap-01234567", "BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.Ebs.SnapshotId", "snap-01234567"},
		{"InvalidSnapshotID.Malformed", "x", "BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.Ebs.SnapshotId", "x"},
		{"InvalidBlockDeviceMapping", "tmpfs", "BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.VirtualName", "tmpfs"},
		{"InvalidBlockDeviceMapping", "/dev/sdb", "BlockDeviceMapping.1.DeviceName", "/dev/sdb"},
		{"InvalidBlockDeviceMapping", "more than one", "BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.NoDevice", "",
			"BlockDeviceMapping.2.DeviceName", "/dev/sdb", "BlockDeviceMapping.2.NoDevice", ""},
		{"MissingParameter", "BlockDeviceMapping.1.DeviceName", "BlockDeviceMapping.1.VirtualName", "ephemeral0"},
		{"InvalidParameterValue", "an index of its own", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.2.DeviceIndex", "0"},
		{"InvalidParameterCombination", "device index 0", "NetworkInterface.1.DeviceIndex", "1"},
		{"UnsupportedOperation", "NetworkInterface.1.NetworkCardIndex", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.NetworkCardIndex", "1"},
		{"InvalidSubnetID.Malformed", "x", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId", "x"},
		{"InvalidNetworkInterfaceId.Malformed", "x", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.NetworkInterfaceId", "x"},
		{"InvalidParameterCombination", "DeleteOnTermination", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.NetworkInterfaceId", "eni-01234567", "NetworkInterface.1.DeleteOnTermination", "true"},
		{"InvalidParameterCombination", "associatePublicIPAddress", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.2.DeviceIndex", "1", "NetworkInterface.1.AssociatePublicIpAddress", "true"},
		{"MissingParameter", "DeviceIndex", "NetworkInterface.1.SubnetId", "subnet-01234567"},
		{"InvalidNetworkInterfaceID.NotFound", "eni-01234567", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.NetworkInterfaceId", "eni-01234567"},
		{"InvalidParameterValue", "subnet's address range", "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress", "10.31.0.9"},
		{"InvalidParameterCombination", "subnet ID", "SubnetId", "subnet-01234567", "NetworkInterface.1.DeviceIndex", "0"},
		{"InvalidParameterCombination", "security groups", "SecurityGroup.1", "default", "NetworkInterface.1.DeviceIndex", "0"},
		{"InvalidParameterCombination", "subnet", "SecurityGroup.1", "default", "SubnetId", "subnet-01234567"},
		{"InvalidUserData.Malformed", "BASE64", "UserData", "%"},
		{"InvalidParameterValue", "16384", "UserData", encode(strings.Repeat("x", 16385))},
		{"InvalidParameterValue", "elephant", "InstanceType", "elephant"},
		{"InvalidParameterValue", "isle-9z", "Placement.AvailabilityZone", "isle-9z"},
		{"InvalidParameterValue", "0", "MetadataOptions.HttpPutResponseHopLimit", "0"},
		{"InvalidParameterValue", "elastic-gpu", "TagSpecification.1.ResourceType", "elastic-gpu", "TagSpecification.1.Tag.1.Key", "a"},
		{"InvalidGroup.NotFound", "nobody", "SecurityGroup.1", "nobody"},
		{"InvalidKeyPair.NotFound", "nobody", "KeyName", "nobody"},
		{"InvalidParameterCombination", "stop", "InstanceInitiatedShutdownBehavior", "stop"},
		{"InsufficientInstanceCapacity", "1000", "MinCount", "1000", "MaxCount", "1000"},
		{"InvalidSubnetID.Malformed", "x", "SubnetId", "x"},
		{"InvalidGroupId.Malformed", "x", "SecurityGroupId.1", "x"},
		{"InvalidKernelId.Malformed", "ami-", "KernelId", ami},
		{"InvalidRamDiskId.Malformed", "x", "RamdiskId", "x"},
	} {
		params := []string{"ImageId", ami, "MinCount", "1", "MaxCount", "1"}
		message := w.fails(c[0], alice, "RunInstances", append(params, c[2:]...)...)
		want := c[1]
		if c[0] == "UnsupportedOperation" { // by as much of the name as the shape has
			want = strings.Split(strings.Split(c[1], ".1.")[0], "Options.Core")[0]
			want = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(want, ".Enabled"), ".Configured"), ".CapacityReservationId")
			for _, s := range []string{".CoreCount", ".CpuCredits", ".Name", ".MarketType", ".LaunchTemplateName"} {
				want = strings.TrimSuffix(want, s)
			}
		}
		if !strings.Contains(message, want) {
			t.Errorf("%v: the message lacks %q: %s", c, want, message)
		}
	}
	w.fails("MissingParameter", alice, "RunInstances", "MinCount", "1", "MaxCount", "1")
	w.fails("MissingParameter", alice, "RunInstances", "ImageId", ami, "MinCount", "1")
	if w.view().Instances.Len() > 0 {
		t.Error("something was launched")
	}
}

// What asks for the state of affairs is fine.
func TestRunAccepts(t *testing.T) {
	w := newWorld(t)
	o := w.things(alice)
	for _, params := range [][]string{
		{"Placement.Tenancy", "default", "Placement.GroupName", "", "Monitoring.Enabled", "false", "EbsOptimized", "false"},
		{"HibernationOptions.Configured", "false", "EnclaveOptions.Enabled", "false", "DisableApiStop", "false"},
		{"CapacityReservationSpecification.CapacityReservationPreference", "open", "MaintenanceOptions.AutoRecovery", "default"},
		{"BlockDeviceMapping.1.DeviceName", "/dev/sdb", "BlockDeviceMapping.1.VirtualName", "ephemeral0", "BlockDeviceMapping.2.DeviceName", "/dev/sdc", "BlockDeviceMapping.2.NoDevice", ""},
		{"SecurityGroup.1", "default", "InstanceInitiatedShutdownBehavior", "terminate", "KernelId", aki, "RamdiskId", ari},
		{"SecurityGroupId.1", o.group, "SubnetId", o.subnet},
		{"TagSpecification.1.ResourceType", "volume", "TagSpecification.1.Tag.1.Key", "a"},
	} {
		w.run(alice, params...)
	}
	v := w.view()
	s, _ := v.Subnets.Get(o.subnet)
	ip := s.CIDR.Addr().Next().Next().Next().Next().Next().Next().Next().Next().String()
	id := w.run(alice, "NetworkInterface.1.DeviceIndex", "0", "NetworkInterface.1.SubnetId", o.subnet, "NetworkInterface.1.SecurityGroupId.1", o.group,
		"NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress", ip, "NetworkInterface.1.PrivateIpAddresses.1.Primary", "true",
		"NetworkInterface.1.DeleteOnTermination", "true", "NetworkInterface.1.AssociatePublicIpAddress", "false",
		"TagSpecification.1.ResourceType", "network-interface", "TagSpecification.1.Tag.1.Key", "nic", "TagSpecification.1.Tag.1.Value", "one")[0]
	n := w.ok(alice, "DescribeInstances", "Filter.1.Name", "network-interface.tag-key", "Filter.1.Value.1", "nic", "Filter.2.Name", "network-interface.tag-value", "Filter.2.Value.1", "o?e")
	x := n.all("reservationSet/item/instancesSet/item")
	if len(x) != 1 || x[0].text("instanceId") != id || x[0].text("privateIpAddress") != ip || x[0].text("subnetId") != o.subnet {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidIPAddress.InUse", alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "1", "SubnetId", o.subnet, "PrivateIpAddress", ip)
}

// User data enters the log sealed, and comes back as it was given.
func TestUserData(t *testing.T) {
	w := newWorld(t)
	secret := "#!/bin/sh\necho the-secret " + strings.Repeat("\x00", 100)
	id := w.run(alice, "UserData", encode(secret))[0]
	w.run(alice, "UserData", encode(strings.Repeat("x", 16384)))
	for _, s := range w.stamps {
		if bytes.Contains(s.Encode(), []byte("the-secret")) {
			t.Error("the command has the secret in the clear")
		}
	}
	for _, r := range w.records {
		if bytes.Contains(r.Encode(), []byte("the-secret")) {
			t.Error("the history has the secret in the clear")
		}
	}
	if got := w.ok(alice, "DescribeInstanceAttribute", "InstanceId", id, "Attribute", "userData").text("userData/value"); got != encode(secret) {
		t.Error(got)
	}
	i, _ := w.view().Instance(alice, events.InstanceID(id))
	if plain, err := w.key.Open(i.UserData); err != nil || string(plain) != secret {
		t.Error(err, plain)
	}
	other := w.run(alice)[0]
	if n := w.ok(alice, "DescribeInstanceAttribute", "InstanceId", other, "Attribute", "userData"); !n.has("userData") || n.has("userData/value") {
		t.Errorf("%+v", n)
	}
}
