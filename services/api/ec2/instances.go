package ec2

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/compute"
	"skerry/services/state"
)

// instance is an instance as EC2 shows it, with what its filters ask beside.
type instance struct {
	model.Instance
	reservation events.ReservationID
	owner       events.AccountID
	nicTags     []events.Tag // of its interfaces
	public      []*state.Address
}

// DescribeInstances lists instances by reservation, in the order of their
// launch. A page may end within a reservation.
func (h *Handlers) DescribeInstances(ctx context.Context, c *api.Call, in *model.DescribeInstancesInput) (*model.DescribeInstancesOutput, error) {
	if err := ids.Instance.CheckAll(in.InstanceIds); err != nil {
		return nil, err
	}
	if err := notTogether("instancesSet", len(in.InstanceIds) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	list, err := v.instances(c, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	page, next, err := chooseFrom(instanceListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list, launchOrder,
		func(i *state.Instance) row[instance] {
			return row[instance]{shown: v.instance(i), tags: v.TagsOf(string(i.ID))}
		})
	if err != nil {
		return nil, err
	}
	out := &model.DescribeInstancesOutput{NextToken: next}
	for _, i := range page {
		n := len(out.Reservations)
		if n == 0 || *out.Reservations[n-1].ReservationId != string(i.reservation) {
			out.Reservations = append(out.Reservations, model.Reservation{
				ReservationId: some(i.reservation), OwnerId: some(i.owner), Groups: []model.GroupIdentifier{}})
			n++
		}
		r := &out.Reservations[n-1]
		r.Instances = append(r.Instances, i.Instance)
	}
	return out, nil
}

// launchOrder is an instance's place in a listing: launches in their order,
// then the instances of each.
func launchOrder(i *state.Instance) string {
	return fmt.Sprintf("%020d/%s/%06d", i.At.UnixNano(), i.Reservation, i.LaunchIndex)
}

// instances looks up instances of the caller, all or none.
func (v view) instances(c *api.Call, names []string) ([]*state.Instance, error) {
	account := events.AccountID(c.Account)
	return byID(names,
		func(id string) (*state.Instance, bool) { return v.Instance(account, events.InstanceID(id)) },
		func(yield func(*state.Instance)) {
			for i := range v.InstancesOf(account) {
				yield(i)
			}
		},
		func(names []string) error { return compute.NotFound(names...) })
}

// one looks up one instance.
func (v view) one(c *api.Call, id *string) (*state.Instance, error) {
	list, err := v.instances(c, []string{value(id)})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// stateCodes are the low bytes of EC2's numbers for states ("InstanceState").
var stateCodes = map[string]int32{
	state.Pending: 0, state.Running: 16, state.ShuttingDown: 32, state.Terminated: 48, state.Stopping: 64, state.Stopped: 80,
}

func showState(s string) *model.InstanceState {
	return &model.InstanceState{Code: new(stateCodes[s]), Name: &s}
}

// instance shows an instance. It has a private name and address from the
// start, and none once it is terminated; public ones while it runs.
func (v view) instance(i *state.Instance) instance {
	pick := func(s ...string) *string { return new(cmp.Or(s...)) }
	m := i.Metadata
	out := instance{reservation: i.Reservation, owner: i.Account, Instance: model.Instance{
		InstanceId: some(i.ID), ImageId: some(i.Image), InstanceType: new(i.Shape.Type), KernelId: some(i.Kernel), RamdiskId: some(i.Ramdisk),
		KeyName: some(i.KeyName), AmiLaunchIndex: new(int32(i.LaunchIndex)), LaunchTime: new(i.At), ClientToken: new(i.ClientToken),
		State: showState(i.State), StateTransitionReason: new(i.Transition),
		Placement:    &model.Placement{AvailabilityZone: some(i.Zone), GroupName: new(""), Tenancy: new("default")},
		Architecture: some(i.Architecture), VirtualizationType: some(i.Virtualization), Hypervisor: new("xen"),
		RootDeviceName: some(i.RootDevice), RootDeviceType: some(i.RootDeviceType), BlockDeviceMappings: v.mapped(i),
		EbsOptimized: new(false), EnaSupport: new(false), Monitoring: &model.Monitoring{State: new("disabled")},
		PrivateDnsName: new(""), PublicDnsName: new(""), ProductCodes: []model.ProductCode{},
		NetworkInterfaces: []model.InstanceNetworkInterface{}, SecurityGroups: []model.GroupIdentifier{}, Tags: shownTags(v.TagsOf(string(i.ID))),
		CapacityReservationSpecification: &model.CapacityReservationSpecificationResponse{CapacityReservationPreference: new("open")},
		HibernationOptions:               &model.HibernationOptions{Configured: new(false)}, EnclaveOptions: &model.EnclaveOptions{Enabled: new(false)},
		MetadataOptions: &model.InstanceMetadataOptionsResponse{
			State: new("applied"), HttpTokens: pick(m.HTTPTokens, "optional"), HttpPutResponseHopLimit: new(int32(max(m.HopLimit, 1))),
			HttpEndpoint: pick(m.Endpoint, "enabled"), HttpProtocolIpv6: new("disabled"), InstanceMetadataTags: pick(m.InstanceTags, "disabled"),
		},
		PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"), UsageOperationUpdateTime: new(i.At),
		PrivateDnsNameOptions: &model.PrivateDnsNameOptionsResponse{HostnameType: new("ip-name"), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false)},
		MaintenanceOptions:    &model.InstanceMaintenanceOptions{AutoRecovery: new("default")}, CurrentInstanceBootMode: new("legacy-bios"),
	}}
	if t, ok := compute.FindType(i.Shape.Type); ok {
		out.CpuOptions = &model.CpuOptions{CoreCount: new(cores(t)), ThreadsPerCore: new(threads(t))}
	}
	switch {
	case i.Reason.Code != "":
		out.StateReason = &model.StateReason{Code: new(i.Reason.Code), Message: new(i.Reason.Message)}
	case i.State == state.Pending:
		out.StateReason = &model.StateReason{Code: new("pending"), Message: new("pending")}
	}
	for n, f := range i.Interfaces {
		shown := v.attached(i, f)
		if n == 0 {
			out.SubnetId, out.VpcId, out.PrivateIpAddress = shown.SubnetId, shown.VpcId, shown.PrivateIpAddress
			out.PrivateDnsName, out.SecurityGroups, out.SourceDestCheck = shown.PrivateDnsName, shown.Groups, shown.SourceDestCheck
			if shown.Association != nil {
				out.PublicDnsName, out.PublicIpAddress = shown.Association.PublicDnsName, shown.Association.PublicIp
			}
		}
		if a, ok := v.public(i, f.ID); ok {
			out.public = append(out.public, a)
		}
		out.NetworkInterfaces = append(out.NetworkInterfaces, shown)
		out.nicTags = append(out.nicTags, v.TagsOf(string(f.ID))...)
	}
	return out
}

// mapped shows the volumes of an instance, by device.
func (v view) mapped(i *state.Instance) []model.InstanceBlockDeviceMapping {
	out := []model.InstanceBlockDeviceMapping{}
	for r := range v.VolumesAttached(i.ID) {
		a := r.Attachment
		out = append(out, model.InstanceBlockDeviceMapping{DeviceName: &a.Device, Ebs: &model.EbsInstanceBlockDevice{
			VolumeId: some(r.ID), Status: &a.State, AttachTime: &a.At, DeleteOnTermination: &a.DeleteOnTermination}})
	}
	slices.SortStableFunc(out, func(a, b model.InstanceBlockDeviceMapping) int { return cmp.Compare(*a.DeviceName, *b.DeviceName) })
	return out
}

// attached shows an interface of an instance.
func (v view) attached(i *state.Instance, f events.Interface) model.InstanceNetworkInterface {
	name, ip := v.privateName(f), f.PrivateIP.String()
	out := model.InstanceNetworkInterface{
		NetworkInterfaceId: some(f.ID), OwnerId: some(i.Account), Status: new("in-use"), InterfaceType: new("interface"), Description: new(""),
		VpcId: some(f.VPC), SubnetId: some(f.Subnet), MacAddress: new(f.MAC), SourceDestCheck: new(!i.NoSrcCheck),
		PrivateDnsName: &name, PrivateIpAddress: &ip, Groups: v.groups(f.Groups),
		PrivateIpAddresses: []model.InstancePrivateIpAddress{{Primary: new(true), PrivateDnsName: &name, PrivateIpAddress: &ip}},
		Ipv6Addresses:      []model.InstanceIpv6Address{},
		Attachment: &model.InstanceNetworkInterfaceAttachment{
			AttachmentId: attachmentID(f.ID), AttachTime: new(i.At), Status: new(attachmentStatus(i)),
			DeleteOnTermination: new(true), DeviceIndex: new(int32(f.DeviceIndex)), NetworkCardIndex: new(int32(0)),
		},
	}
	if a, ok := v.public(i, f.ID); ok {
		out.Association = &model.InstanceNetworkInterfaceAssociation{IpOwnerId: addressOwner(a), PublicDnsName: new(v.publicName(a)), PublicIp: new(a.Address.String())}
		out.PrivateIpAddresses[0].Association = out.Association
	}
	return out
}

// groups names security groups, by name.
func (v view) groups(list []events.GroupID) []model.GroupIdentifier {
	out := make([]model.GroupIdentifier, 0, len(list))
	for _, id := range list {
		name := ""
		if g, ok := v.Groups.Get(string(id)); ok {
			name = g.Name
		}
		out = append(out, model.GroupIdentifier{GroupId: some(id), GroupName: &name})
	}
	slices.SortStableFunc(out, func(a, b model.GroupIdentifier) int { return cmp.Compare(*a.GroupName, *b.GroupName) })
	return out
}
