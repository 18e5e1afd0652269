package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
	"skerry/services/storage"
)

// maxUserData is the size of user data before encoding ("Instance user data").
const maxUserData = 16 << 10

// RunInstances launches instances. The reply shows them pending, whatever
// became of them meanwhile; a call repeated by its client token gets the
// instances of the first as they are.
func (h *Handlers) RunInstances(ctx context.Context, c *api.Call, in *model.RunInstancesInput) (*model.RunInstancesOutput, error) {
	template, version, err := h.fromTemplate(ctx, c, in)
	if err != nil {
		return nil, err
	}
	cmd, err := h.launch(in)
	if err != nil {
		return nil, err
	}
	cmd.Template, cmd.Version = template, version
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
				i.InstanceRequested.Interfaces = nil
			}
		}
		out.Instances = append(out.Instances, v.instance(i, v.TagsOf(string(i.ID))).Instance)
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
	if cmd.Addresses, err = addressesOf(nil, nil, nil, nil, nil, in.Ipv6Addresses, in.Ipv6AddressCount, nil, nil); err != nil {
		return none, err
	}
	cmd.Hostname = value(value(in.PrivateDnsNameOptions).HostnameType)
	if p := in.Placement; p != nil {
		cmd.Zone, cmd.Group, cmd.Partition = events.Zone(value(p.AvailabilityZone)), value(p.GroupName), int(value(p.PartitionNumber))
		if id := value(p.GroupId); id != "" {
			if err := notTogether("groupName", cmd.Group != "", "groupId", true); err != nil {
				return none, err
			}
			if err := ids.PlacementGroup.Check(id); err != nil {
				return none, err
			}
			cmd.Group = id
		}
	}
	if cmd.Mappings, err = mappings(in.BlockDeviceMappings); err != nil {
		return none, err
	}
	cmd.VolumeTags, cmd.DisableStop, cmd.EBSOptimized = specs["volume"], value(in.DisableApiStop), in.EbsOptimized
	cmd.Monitoring, cmd.Credits = value(value(in.Monitoring).Enabled), value(value(in.CreditSpecification).CpuCredits)
	if len(in.NetworkInterfaces) > 0 {
		if err := interfaces(in, &cmd); err != nil {
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
		param{"ElasticGpuSpecification", len(in.ElasticGpuSpecification) > 0},
		param{"ElasticInferenceAccelerator", len(in.ElasticInferenceAccelerators) > 0},
		param{"EnablePrimaryIpv6", value(in.EnablePrimaryIpv6)},
		param{"EnclaveOptions", value(value(in.EnclaveOptions).Enabled)},
		param{"HibernationOptions", value(value(in.HibernationOptions).Configured)},
		param{"IamInstanceProfile", in.IamInstanceProfile != nil},
		param{"InstanceMarketOptions", in.InstanceMarketOptions != nil},
		param{"LicenseSpecification", len(in.LicenseSpecifications) > 0},
		param{"MaintenanceOptions.AutoRecovery", isOther(value(in.MaintenanceOptions).AutoRecovery, "default")},
		param{"MetadataOptions.HttpProtocolIpv6", isOther(value(in.MetadataOptions).HttpProtocolIpv6, "disabled")},
		param{"Placement.Affinity", isOther(place.Affinity, "default")},
		param{"Placement.HostId", place.HostId != nil},
		param{"Placement.HostResourceGroupArn", place.HostResourceGroupArn != nil},
		param{"Placement.SpreadDomain", place.SpreadDomain != nil},
		param{"Placement.Tenancy", isOther(place.Tenancy, "default")},
		param{"PrivateDnsNameOptions.EnableResourceNameDnsARecord", value(names.EnableResourceNameDnsARecord)},
		param{"PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord", value(names.EnableResourceNameDnsAAAARecord)},
	)
}

func isOther(p *string, than string) bool { return p != nil && *p != "" && *p != than }

var ephemeral = regexp.MustCompile(`^ephemeral([0-9]|1[0-9]|2[0-3])$`)

// mappings reads a block device mapping: volumes, disks of the instance store,
// which come with the type, and nothing.
func mappings(list []model.BlockDeviceMapping) ([]events.BlockDevice, error) {
	var out []events.BlockDevice
	seen := map[string]bool{}
	for i, m := range list {
		b := events.BlockDevice{Device: value(m.DeviceName), Virtual: value(m.VirtualName), NoDevice: m.NoDevice != nil}
		switch {
		case b.Device == "":
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter BlockDeviceMapping.%d.DeviceName", i+1)
		case seen[b.Device]:
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", b.Device)
		case b.Virtual != "" && !ephemeral.MatchString(b.Virtual):
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The virtual name '%s' of the device %s is not valid; use ephemeral0 to ephemeral23.", b.Virtual, b.Device)
		case m.VirtualName == nil && m.NoDevice == nil && m.Ebs == nil:
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The mapping of the device %s says neither Ebs, VirtualName nor NoDevice.", b.Device)
		case m.Ebs != nil && (b.Virtual != "" || b.NoDevice):
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The mapping of the device %s says more than one of Ebs, VirtualName and NoDevice.", b.Device)
		}
		seen[b.Device] = true
		if e := m.Ebs; e != nil {
			if err := refuse(param{"BlockDeviceMapping.Ebs.KmsKeyId", value(e.KmsKeyId) != ""}, param{"BlockDeviceMapping.Ebs.OutpostArn", value(e.OutpostArn) != ""}); err != nil {
				return nil, err
			}
			if e.SnapshotId != nil {
				if err := ids.Snapshot.Check(*e.SnapshotId); err != nil {
					return nil, err
				}
			}
			b.Snapshot, b.SizeGiB, b.Type = events.SnapshotID(value(e.SnapshotId)), int(value(e.VolumeSize)), value(e.VolumeType)
			b.IOPS, b.Throughput, b.Encrypted = int(value(e.Iops)), int(value(e.Throughput)), value(e.Encrypted)
			if e.DeleteOnTermination != nil {
				b.Keep = new(!*e.DeleteOnTermination)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// showMappings shows a block device mapping as an image has it.
func showMappings(list []events.BlockDevice) []model.BlockDeviceMapping {
	out := []model.BlockDeviceMapping{}
	for _, b := range list {
		m := model.BlockDeviceMapping{DeviceName: &b.Device, VirtualName: some(b.Virtual)}
		switch {
		case b.NoDevice:
			m.NoDevice = new("")
		case b.Virtual == "":
			typ := b.Type
			if typ == "" {
				typ = storage.DefaultType
			}
			m.Ebs = &model.EbsBlockDevice{SnapshotId: some(b.Snapshot), VolumeType: &typ, DeleteOnTermination: new(b.Keep == nil || !*b.Keep), Encrypted: &b.Encrypted}
			for _, n := range []struct {
				from int
				to   **int32
			}{{b.SizeGiB, &m.Ebs.VolumeSize}, {b.IOPS, &m.Ebs.Iops}, {b.Throughput, &m.Ebs.Throughput}} {
				if n.from != 0 {
					*n.to = new(int32(n.from))
				}
			}
		}
		out = append(out, m)
	}
	return out
}

// interfaces takes network interface specifications.
func interfaces(in *model.RunInstancesInput, cmd *events.RunInstances) error {
	for _, x := range []struct {
		what string
		has  bool
	}{{"subnet ID", cmd.Subnet != ""}, {"security groups", len(cmd.Groups)+len(cmd.GroupNames) > 0}, {"private IP address", cmd.PrivateIP != ""},
		{"IPv6 addresses", len(in.Ipv6Addresses) > 0 || in.Ipv6AddressCount != nil}} {
		if x.has {
			return events.Faultf("InvalidParameterCombination", "Network interfaces and an instance-level %s may not be specified on the same request", x.what)
		}
	}
	for at, n := range in.NetworkInterfaces {
		name := func(what string) string { return fmt.Sprintf("NetworkInterface.%d.%s", at+1, what) }
		if n.DeviceIndex == nil {
			return events.Faultf("MissingParameter", "The request must contain the parameter %s", name("DeviceIndex"))
		}
		if err := refuse(
			param{name("AssociateCarrierIpAddress"), value(n.AssociateCarrierIpAddress)},
			param{name("ConnectionTrackingSpecification"), n.ConnectionTrackingSpecification != nil},
			param{name("EnaSrdSpecification"), n.EnaSrdSpecification != nil},
			param{name("InterfaceType"), isOther(n.InterfaceType, "interface")},
			param{name("NetworkCardIndex"), value(n.NetworkCardIndex) != 0},
			param{name("PrimaryIpv6"), value(n.PrimaryIpv6)},
		); err != nil {
			return err
		}
		for _, x := range []struct {
			kind ids.Kind
			id   *string
		}{{ids.Subnet, n.SubnetId}, {ids.Interface, n.NetworkInterfaceId}} {
			if x.id != nil {
				if err := x.kind.Check(*x.id); err != nil {
					return err
				}
			}
		}
		if err := ids.SecurityGroup.CheckAll(n.Groups); err != nil {
			return err
		}
		w, err := addressesOf(n.PrivateIpAddress, n.PrivateIpAddresses, n.SecondaryPrivateIpAddressCount, n.Ipv4Prefixes, n.Ipv4PrefixCount,
			n.Ipv6Addresses, n.Ipv6AddressCount, n.Ipv6Prefixes, n.Ipv6PrefixCount)
		if err != nil {
			return err
		}
		if n.NetworkInterfaceId != nil && value(n.DeleteOnTermination) {
			return events.Faultf("InvalidParameterCombination", "A network interface that exists is kept when its instance ends: %s cannot be true.", name("DeleteOnTermination"))
		}
		cmd.Interfaces = append(cmd.Interfaces, events.LaunchInterface{DeviceIndex: int(*n.DeviceIndex), Interface: events.InterfaceID(value(n.NetworkInterfaceId)),
			Subnet: events.SubnetID(value(n.SubnetId)), Description: value(n.Description), Groups: typed[events.GroupID](n.Groups), PublicIP: n.AssociatePublicIpAddress,
			Keep: n.DeleteOnTermination != nil && !*n.DeleteOnTermination, Addresses: w})
	}
	return nil
}
