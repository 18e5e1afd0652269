package ec2

import (
	"context"
	"encoding/base64"
	"regexp"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// maxUserData is the size of user data before encoding ("Instance user data").
const maxUserData = 16 << 10

// RunInstances launches instances. The reply shows them pending, whatever
// became of them meanwhile; a call repeated by its client token gets the
// instances of the first as they are.
func (h *Handlers) RunInstances(ctx context.Context, c *api.Call, in *model.RunInstancesInput) (*model.RunInstancesOutput, error) {
	cmd, err := h.launch(in)
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := &model.RunInstancesOutput{OwnerId: &c.Account, Groups: []model.GroupIdentifier{}, Instances: []model.Instance{}}
	for _, r := range reply.Events {
		e, ok := r.Event.(events.InstanceRequested)
		if !ok {
			continue
		}
		out.ReservationId = some(e.Reservation)
		i := &state.Instance{InstanceRequested: e, State: state.Pending}
		if r.Request != c.RequestID {
			if i, ok = v.Instances.Get(string(e.ID)); !ok { // its hour is over
				i = &state.Instance{InstanceRequested: e, State: state.Terminated}
				i.Interfaces = nil
			}
		}
		out.Instances = append(out.Instances, v.instance(i).Instance)
	}
	// Tags that came with the launch, should the state not tell them.
	for _, r := range reply.Events {
		e, ok := r.Event.(events.ResourceTagged)
		for i := range out.Instances {
			if ok && *out.Instances[i].InstanceId == e.Resource && out.Instances[i].Tags == nil && r.Request == c.RequestID {
				out.Instances[i].Tags = shownTags(e.Tags)
			}
		}
	}
	return out, nil
}

// launch turns the parameters into the region's command.
func (h *Handlers) launch(in *model.RunInstancesInput) (events.RunInstances, error) {
	var none events.RunInstances
	if err := refuseLaunch(in); err != nil {
		return none, err
	}
	if value(in.ImageId) == "" {
		return none, events.Faultf("MissingParameter", "The request must contain the parameter ImageId")
	}
	for _, x := range []struct {
		kind ids.Kind
		id   *string
	}{{ids.Image, in.ImageId}, {ids.Kernel, in.KernelId}, {ids.Ramdisk, in.RamdiskId}, {ids.Subnet, in.SubnetId}} {
		if x.id != nil {
			if err := x.kind.Check(*x.id); err != nil {
				return none, err
			}
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "instance", "network-interface", "volume")
	if err != nil {
		return none, err
	}
	data, err := h.sealUserData(in.UserData)
	if err != nil {
		return none, err
	}
	cmd := events.RunInstances{
		Image: events.ImageID(*in.ImageId), Type: value(in.InstanceType), Min: int(*in.MinCount), Max: int(*in.MaxCount),
		Subnet: events.SubnetID(value(in.SubnetId)), PrivateIP: value(in.PrivateIpAddress), KeyName: value(in.KeyName),
		Groups: typed[events.GroupID](in.SecurityGroupIds), GroupNames: in.SecurityGroups,
		Kernel: events.ImageID(value(in.KernelId)), Ramdisk: events.ImageID(value(in.RamdiskId)), UserData: data,
		Shutdown: value(in.InstanceInitiatedShutdownBehavior), DisableTermination: value(in.DisableApiTermination),
		Metadata: metadataOptions(in.MetadataOptions), Tags: specs["instance"], InterfaceTags: specs["network-interface"],
	}
	if in.Placement != nil {
		cmd.Zone = events.Zone(value(in.Placement.AvailabilityZone))
	}
	if len(in.NetworkInterfaces) > 0 {
		if err := primary(in, &cmd); err != nil {
			return none, err
		}
	}
	if err := ids.SecurityGroup.CheckAll(in.SecurityGroupIds); err != nil {
		return none, err
	}
	if err := notTogether("groupName", len(cmd.GroupNames) > 0, "subnet", cmd.Subnet != ""); err != nil {
		return none, err
	}
	return cmd, nil
}

// sealUserData decodes user data and seals it: the region's log holds secrets
// of no one.
func (h *Handlers) sealUserData(text *string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return nil, events.Faultf("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	return h.seal(b)
}

func (h *Handlers) seal(data []byte) ([]byte, error) {
	if len(data) > maxUserData {
		return nil, events.Faultf("InvalidParameterValue", "User data is limited to %d bytes; there are %d.", maxUserData, len(data))
	}
	return h.key.Seal(data), nil
}

func metadataOptions(in *model.InstanceMetadataOptionsRequest) events.MetadataOptions {
	if in == nil {
		return events.MetadataOptions{}
	}
	return events.MetadataOptions{HTTPTokens: value(in.HttpTokens), HopLimit: int(value(in.HttpPutResponseHopLimit)),
		Endpoint: value(in.HttpEndpoint), InstanceTags: value(in.InstanceMetadataTags)}
}

// refuseLaunch names the first parameter that the region cannot honour. What
// asks for the state of affairs, such as default tenancy, is fine.
func refuseLaunch(in *model.RunInstancesInput) error {
	if err := checkMappings(in.BlockDeviceMappings); err != nil {
		return err
	}
	if in.MetadataOptions != nil {
		n := in.MetadataOptions.HttpPutResponseHopLimit
		if n != nil && (*n < 1 || *n > 64) {
			return events.Faultf("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. Expecting a value between 1 and 64.", *n)
		}
	}
	capacity := value(in.CapacityReservationSpecification)
	place := value(in.Placement)
	names := value(in.PrivateDnsNameOptions)
	return refuse(
		param{"AdditionalInfo", in.AdditionalInfo != nil},
		param{"CapacityReservationSpecification.CapacityReservationTarget", capacity.CapacityReservationTarget != nil},
		param{"CpuOptions", in.CpuOptions != nil},
		param{"CreditSpecification", in.CreditSpecification != nil},
		param{"DisableApiStop", value(in.DisableApiStop)},
		param{"EbsOptimized", value(in.EbsOptimized)},
		param{"ElasticGpuSpecification", len(in.ElasticGpuSpecification) > 0},
		param{"ElasticInferenceAccelerator", len(in.ElasticInferenceAccelerators) > 0},
		param{"EnablePrimaryIpv6", value(in.EnablePrimaryIpv6)},
		param{"EnclaveOptions", value(value(in.EnclaveOptions).Enabled)},
		param{"HibernationOptions", value(value(in.HibernationOptions).Configured)},
		param{"IamInstanceProfile", in.IamInstanceProfile != nil},
		param{"InstanceMarketOptions", in.InstanceMarketOptions != nil},
		param{"Ipv6AddressCount", value(in.Ipv6AddressCount) != 0},
		param{"Ipv6Address", len(in.Ipv6Addresses) > 0},
		param{"LaunchTemplate", in.LaunchTemplate != nil},
		param{"LicenseSpecification", len(in.LicenseSpecifications) > 0},
		param{"MaintenanceOptions.AutoRecovery", isOther(value(in.MaintenanceOptions).AutoRecovery, "default")},
		param{"MetadataOptions.HttpProtocolIpv6", isOther(value(in.MetadataOptions).HttpProtocolIpv6, "disabled")},
		param{"Monitoring.Enabled", value(value(in.Monitoring).Enabled)},
		param{"Placement.Affinity", isOther(place.Affinity, "default")},
		param{"Placement.GroupId", value(place.GroupId) != ""},
		param{"Placement.GroupName", value(place.GroupName) != ""},
		param{"Placement.HostId", place.HostId != nil},
		param{"Placement.HostResourceGroupArn", place.HostResourceGroupArn != nil},
		param{"Placement.PartitionNumber", place.PartitionNumber != nil},
		param{"Placement.SpreadDomain", place.SpreadDomain != nil},
		param{"Placement.Tenancy", isOther(place.Tenancy, "default")},
		param{"PrivateDnsNameOptions.HostnameType", isOther(names.HostnameType, "ip-name")},
		param{"PrivateDnsNameOptions.EnableResourceNameDnsARecord", value(names.EnableResourceNameDnsARecord)},
		param{"PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord", value(names.EnableResourceNameDnsAAAARecord)},
	)
}

func isOther(p *string, than string) bool { return p != nil && *p != "" && *p != than }

var ephemeral = regexp.MustCompile(`^ephemeral([0-9]|1[0-9]|2[0-3])$`)

// checkMappings accepts the instance-store disks, which come with the type, and
// refuses volumes: those are attached to an instance that runs.
func checkMappings(list []model.BlockDeviceMapping) error {
	seen := map[string]bool{}
	for i, m := range list {
		device := value(m.DeviceName)
		switch {
		case device == "":
			return events.Faultf("MissingParameter", "The request must contain the parameter BlockDeviceMapping.%d.DeviceName", i+1)
		case seen[device]:
			return events.Faultf("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", device)
		case m.Ebs != nil:
			return unsupported("BlockDeviceMapping.Ebs", "a launch brings no volume for the device %s: create one and attach it; instance-store disks (ephemeral0, …) come with the instance type.", device)
		case m.VirtualName != nil && !ephemeral.MatchString(*m.VirtualName):
			return events.Faultf("InvalidBlockDeviceMapping", "The virtual name '%s' of the device %s is not valid; use ephemeral0 to ephemeral23.", *m.VirtualName, device)
		case m.VirtualName == nil && m.NoDevice == nil:
			return events.Faultf("InvalidBlockDeviceMapping", "The mapping of the device %s says neither Ebs, VirtualName nor NoDevice.", device)
		}
		seen[device] = true
	}
	return nil
}

// primary takes a network interface specification as the primary interface.
func primary(in *model.RunInstancesInput, cmd *events.RunInstances) error {
	for _, x := range []struct {
		what string
		has  bool
	}{{"subnet ID", cmd.Subnet != ""}, {"security groups", len(cmd.Groups)+len(cmd.GroupNames) > 0}, {"private IP address", cmd.PrivateIP != ""}} {
		if x.has {
			return events.Faultf("InvalidParameterCombination", "Network interfaces and an instance-level %s may not be specified on the same request", x.what)
		}
	}
	if len(in.NetworkInterfaces) > 1 {
		return unsupported("NetworkInterface.2", "an instance starts with its primary interface alone.")
	}
	n := in.NetworkInterfaces[0]
	if n.DeviceIndex == nil {
		return events.Faultf("MissingParameter", "The request must contain the parameter NetworkInterface.1.DeviceIndex")
	}
	if *n.DeviceIndex != 0 {
		return unsupported("NetworkInterface.1.DeviceIndex", "the only interface is the primary one, with the index 0.")
	}
	ip := value(n.PrivateIpAddress)
	for i, a := range n.PrivateIpAddresses {
		if !value(a.Primary) || i > 0 || ip != "" {
			return unsupported("NetworkInterface.1.PrivateIpAddresses", "an interface has one address, the primary.")
		}
		ip = value(a.PrivateIpAddress)
	}
	if err := refuse(
		param{"NetworkInterface.1.AssociateCarrierIpAddress", value(n.AssociateCarrierIpAddress)},
		param{"NetworkInterface.1.ConnectionTrackingSpecification", n.ConnectionTrackingSpecification != nil},
		param{"NetworkInterface.1.DeleteOnTermination", n.DeleteOnTermination != nil && !*n.DeleteOnTermination},
		param{"NetworkInterface.1.Description", value(n.Description) != ""},
		param{"NetworkInterface.1.EnaSrdSpecification", n.EnaSrdSpecification != nil},
		param{"NetworkInterface.1.InterfaceType", isOther(n.InterfaceType, "interface")},
		param{"NetworkInterface.1.Ipv4PrefixCount", value(n.Ipv4PrefixCount) != 0},
		param{"NetworkInterface.1.Ipv4Prefix", len(n.Ipv4Prefixes) > 0},
		param{"NetworkInterface.1.Ipv6AddressCount", value(n.Ipv6AddressCount) != 0},
		param{"NetworkInterface.1.Ipv6Addresses", len(n.Ipv6Addresses) > 0},
		param{"NetworkInterface.1.Ipv6PrefixCount", value(n.Ipv6PrefixCount) != 0},
		param{"NetworkInterface.1.Ipv6Prefix", len(n.Ipv6Prefixes) > 0},
		param{"NetworkInterface.1.NetworkCardIndex", value(n.NetworkCardIndex) != 0},
		param{"NetworkInterface.1.NetworkInterfaceId", n.NetworkInterfaceId != nil},
		param{"NetworkInterface.1.PrimaryIpv6", value(n.PrimaryIpv6)},
		param{"NetworkInterface.1.SecondaryPrivateIpAddressCount", value(n.SecondaryPrivateIpAddressCount) != 0},
	); err != nil {
		return err
	}
	if n.SubnetId != nil {
		if err := ids.Subnet.Check(*n.SubnetId); err != nil {
			return err
		}
	}
	if err := ids.SecurityGroup.CheckAll(n.Groups); err != nil {
		return err
	}
	cmd.Subnet, cmd.PrivateIP, cmd.Groups = events.SubnetID(value(n.SubnetId)), ip, typed[events.GroupID](n.Groups)
	cmd.PublicIP = n.AssociatePublicIpAddress
	return nil
}
