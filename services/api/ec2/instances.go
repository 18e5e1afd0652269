package ec2

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/spread"
	"skerry/services/compute"
	"skerry/services/network"
	"skerry/services/state"
)

// instance is an instance as EC2 shows it, with what its filters ask beside.
type instance struct {
	model.Instance
	reservation events.ReservationID
	owner       events.AccountID
	nicTags     func() []events.Tag // of its interfaces
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
	tagsOf := func(i *state.Instance) []events.Tag { return v.TagsOf(string(i.ID)) }
	show := func(i *state.Instance) instanceRow {
		t := tagsOf(i)
		return instanceRow{shown: v.instance(i, t), tags: t}
	}
	var page []*instance
	var next *string
	q := ask{in.Filters, in.MaxResults, in.NextToken}
	if len(in.InstanceIds) > 0 || onTags(in.Filters) {
		list, bad := v.mayMatch(c, in.InstanceIds, in.Filters)
		if bad != nil {
			return nil, bad
		}
		if list, err = withTags(list, in.Filters, tagsOf); err != nil {
			return nil, err
		}
		page, next, err = chooseFrom(instanceListing, h, c, q, list, (*state.Instance).LaunchOrder, show)
	} else {
		page, next, err = chooseAfter(instanceListing, h, c, q, func(after string) iter.Seq2[string, events.InstanceID] {
			return v.LaunchedAfter(events.AccountID(c.Account), after)
		}, func(id events.InstanceID) instanceRow {
			i, _ := v.Instances.Get(string(id))
			return show(i)
		})
	}
	if err != nil {
		return nil, err
	}
	out := &model.DescribeInstancesOutput{NextToken: next}
	for len(page) > 0 {
		first := page[0]
		n := slices.IndexFunc(page, func(i *instance) bool { return i.reservation != first.reservation })
		if n < 0 {
			n = len(page)
		}
		r := model.Reservation{ReservationId: some(first.reservation), OwnerId: some(first.owner), Groups: []model.GroupIdentifier{}, Instances: make([]model.Instance, n)}
		for k, i := range page[:n] {
			r.Instances[k] = i.Instance
		}
		out.Reservations = append(out.Reservations, r)
		page = page[n:]
	}
	return out, nil
}

// What is said of every instance. Replies are read only, so all say it with the
// same words.
var (
	no, yes, blank, xen, linux  = new(false), new(true), new(""), new("xen"), new("Linux/UNIX")
	bios                        = new("legacy-bios")
	standard, applied, disabled = new("default"), new("applied"), new("disabled")
	runInstances                = new("RunInstances")
	inUse, plainInterface       = new("in-use"), new("interface")
	firstCard                   = new(int32(0))
	openCapacity                = &model.CapacityReservationSpecificationResponse{CapacityReservationPreference: new("open")}
	monitored, unmonitored      = &model.Monitoring{State: new("enabled")}, &model.Monitoring{State: disabled}
	noHibernation, noEnclave    = &model.HibernationOptions{Configured: no}, &model.EnclaveOptions{Enabled: no}
	startsUp                    = &model.StateReason{Code: new("pending"), Message: new("pending")}
	standardRecovery            = &model.InstanceMaintenanceOptions{AutoRecovery: standard}
)

var plainMetadata = showMetadata(events.MetadataOptions{})

func showMetadata(m events.MetadataOptions) *model.InstanceMetadataOptionsResponse {
	pick := func(s ...string) *string { return new(cmp.Or(s...)) }
	return &model.InstanceMetadataOptionsResponse{
		State: applied, HttpTokens: pick(m.HTTPTokens, "optional"), HttpPutResponseHopLimit: new(int32(max(m.HopLimit, 1))),
		HttpEndpoint: pick(m.Endpoint, "enabled"), HttpProtocolIpv6: disabled, InstanceMetadataTags: pick(m.InstanceTags, "disabled"),
	}
}

// namedAs are the ways to name an instance.
var namedAs = func() map[string]*model.PrivateDnsNameOptionsResponse {
	out := map[string]*model.PrivateDnsNameOptionsResponse{}
	for _, how := range []string{network.IPName, network.ResourceName} {
		out[how] = &model.PrivateDnsNameOptionsResponse{HostnameType: &how, EnableResourceNameDnsARecord: no, EnableResourceNameDnsAAAARecord: no}
	}
	return out
}()

// cpus are the processors of each type.
var cpus = func() map[string]*model.CpuOptions {
	out := map[string]*model.CpuOptions{}
	for _, t := range compute.Types() {
		out[t.Name] = &model.CpuOptions{CoreCount: new(cores(t)), ThreadsPerCore: new(threads(t))}
	}
	return out
}()

// truth is a pointer to one of two values.
func truth(t bool) *bool {
	if t {
		return yes
	}
	return no
}

// instances looks up instances of the caller, all or none.
func (v view) instances(c *api.Call, names []string) ([]*state.Instance, error) {
	account := events.AccountID(c.Account)
	get := func(id string) (*state.Instance, bool) { return v.Instance(account, events.InstanceID(id)) }
	return byID(names, get,
		func(yield func(*state.Instance)) {
			var list []events.InstanceID
			for _, id := range v.LaunchedAfter(account, "") {
				list = append(list, id)
			}
			for _, i := range spread.Over(list, func(id events.InstanceID) *state.Instance { i, _ := v.Instance(account, id); return i }) {
				yield(i)
			}
		},
		func(names []string) error { return compute.NotFound(names...) })
}

// mayMatch looks up the instances that a call names. If it names none, but whole
// tags, they are those with such a tag; otherwise all.
func (v view) mayMatch(c *api.Call, names []string, filters []model.Filter) ([]*state.Instance, error) {
	account := events.AccountID(c.Account)
	for _, f := range filters {
		key, values, whole := filter.Tagged(f)
		if len(names) > 0 || !whole {
			continue
		}
		var tagged []string
		for _, t := range values {
			tagged = append(tagged, v.Tagged(account, events.Tag{Key: key, Value: t})...)
		}
		slices.Sort(tagged)
		list := spread.Over(slices.Compact(tagged), func(id string) *state.Instance {
			i, _ := v.Instance(account, events.InstanceID(id))
			return i
		})
		return slices.DeleteFunc(list, func(i *state.Instance) bool { return i == nil }), nil
	}
	return v.instances(c, names)
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

// showState shows a state of an instance. There are few.
func showState(s string) *model.InstanceState { return shownStates[s] }

var shownStates = func() map[string]*model.InstanceState {
	out := map[string]*model.InstanceState{}
	for name, code := range stateCodes {
		out[name] = &model.InstanceState{Code: &code, Name: &name}
	}
	return out
}()

// instance shows an instance. It has a private name and address from the
// start, and none once it is terminated; public ones while it runs.
func (v view) instance(i *state.Instance, tags []events.Tag) *instance {
	out := &instance{reservation: i.Reservation, owner: i.Account, Instance: model.Instance{
		InstanceId: at((*string)(&i.ID)), ImageId: at((*string)(&i.Image)), InstanceType: &i.Shape.Type, KernelId: at((*string)(&i.Kernel)), RamdiskId: at((*string)(&i.Ramdisk)),
		KeyName: at(&i.KeyName), AmiLaunchIndex: new(int32(i.LaunchIndex)), LaunchTime: new(i.LaunchTime()), ClientToken: &i.ClientToken,
		State: showState(i.State), StateTransitionReason: &i.Transition,
		Placement:    v.placement(i),
		Architecture: at(&i.Architecture), VirtualizationType: at(&i.Virtualization), Hypervisor: xen,
		RootDeviceName: at(&i.RootDevice), RootDeviceType: at(&i.RootDeviceType), BlockDeviceMappings: v.mapped(i),
		EbsOptimized: &i.EBSOptimized, EnaSupport: no, Monitoring: showMonitoring(i.Monitoring),
		PrivateDnsName: blank, PublicDnsName: blank, ProductCodes: []model.ProductCode{},
		NetworkInterfaces: []model.InstanceNetworkInterface{}, SecurityGroups: []model.GroupIdentifier{}, Tags: shownTags(tags),
		CapacityReservationSpecification: openCapacity,
		HibernationOptions:               noHibernation, EnclaveOptions: noEnclave,
		MetadataOptions: plainMetadata, CpuOptions: cpus[i.Shape.Type],
		PlatformDetails: linux, UsageOperation: runInstances, UsageOperationUpdateTime: &i.At,
		PrivateDnsNameOptions: namedAs[cmp.Or(i.Hostname, network.IPName)],
		MaintenanceOptions:    standardRecovery, CurrentInstanceBootMode: bios,
	}}
	if m := i.Metadata; m != (events.MetadataOptions{}) {
		out.MetadataOptions = showMetadata(m)
	}
	switch {
	case i.Reason.Code != "":
		out.StateReason = &model.StateReason{Code: &i.Reason.Code, Message: &i.Reason.Message}
	case i.State == state.Pending:
		out.StateReason = startsUp
	}
	interfaces := v.interfacesOf(i)
	for _, f := range interfaces {
		public := v.publics(i, f.Interface.ID)
		shown := v.attached(i, f, public)
		if f.Interface.DeviceIndex == 0 {
			if len(f.Interface.IPv6) > 0 {
				out.Ipv6Address = new(f.Interface.IPv6[0].String())
			}
			out.SubnetId, out.VpcId, out.PrivateIpAddress = shown.SubnetId, shown.VpcId, shown.PrivateIpAddress
			if i.Hostname == network.ResourceName || shown.PrivateDnsName == nil { // not after its address
				shown.PrivateDnsName = new(network.Hostname(v.Meta.Region, i, f.Interface.PrivateIP))
			}
			out.PrivateDnsName, out.SecurityGroups, out.SourceDestCheck = shown.PrivateDnsName, shown.Groups, shown.SourceDestCheck
			if shown.Association != nil {
				out.PublicDnsName, out.PublicIpAddress = shown.Association.PublicDnsName, shown.Association.PublicIp
			}
		}
		out.public = append(out.public, public...)
		out.NetworkInterfaces = append(out.NetworkInterfaces, shown)
	}
	out.nicTags = func() (all []events.Tag) {
		for _, f := range interfaces {
			all = append(all, v.TagsOf(string(f.Interface.ID))...)
		}
		return all
	}
	return out
}

func (v view) placement(i *state.Instance) *model.Placement {
	out := &model.Placement{AvailabilityZone: at((*string)(&i.Zone)), GroupName: blank, Tenancy: standard}
	if i.Group != "" {
		if g, ok := v.PlacementGroups.Get(string(i.Group)); ok {
			out.GroupName, out.GroupId = &g.Name, at((*string)(&g.ID))
		}
	}
	if i.Partition != 0 {
		out.PartitionNumber = new(int32(i.Partition))
	}
	return out
}

func showMonitoring(on bool) *model.Monitoring {
	if on {
		return monitored
	}
	return unmonitored
}

// mapped shows the volumes of an instance, by device.
func (v view) mapped(i *state.Instance) []model.InstanceBlockDeviceMapping {
	out := []model.InstanceBlockDeviceMapping{}
	for r := range v.VolumesAttached(i.ID) {
		a := r.Attachment
		out = append(out, model.InstanceBlockDeviceMapping{DeviceName: &a.Device, Ebs: &model.EbsInstanceBlockDevice{
			VolumeId: at((*string)(&r.ID)), Status: &a.State, AttachTime: &a.At, DeleteOnTermination: &a.DeleteOnTermination}})
	}
	slices.SortStableFunc(out, func(a, b model.InstanceBlockDeviceMapping) int { return cmp.Compare(*a.DeviceName, *b.DeviceName) })
	return out
}

// attached shows an interface of an instance, with the public addresses that it
// has now.
func (v view) attached(i *state.Instance, row *state.Interface, public []*state.Address) model.InstanceNetworkInterface {
	f := &row.Interface
	name := v.privateName(f.PrivateIP)
	out := model.InstanceNetworkInterface{
		NetworkInterfaceId: at((*string)(&f.ID)), OwnerId: at((*string)(&i.Account)), Status: inUse, InterfaceType: plainInterface, Description: &f.Description,
		VpcId: at((*string)(&f.VPC)), SubnetId: at((*string)(&f.Subnet)), MacAddress: &f.MAC, SourceDestCheck: truth(!row.NoSrcCheck),
		PrivateDnsName: name, Groups: v.groups(f.Groups), PrivateIpAddresses: []model.InstancePrivateIpAddress{},
		Ipv6Addresses: shownAs(f.IPv6, func(a netip.Addr) model.InstanceIpv6Address {
			return model.InstanceIpv6Address{Ipv6Address: new(a.String()), IsPrimaryIpv6: no}
		}),
		Ipv4Prefixes: whole(shownAs(f.Prefixes, func(p netip.Prefix) model.InstanceIpv4Prefix {
			return model.InstanceIpv4Prefix{Ipv4Prefix: new(p.String())}
		})),
		Ipv6Prefixes: whole(shownAs(f.IPv6Prefixes, func(p netip.Prefix) model.InstanceIpv6Prefix {
			return model.InstanceIpv6Prefix{Ipv6Prefix: new(p.String())}
		})),
		Attachment: &model.InstanceNetworkInterfaceAttachment{
			AttachmentId: some(row.AttachmentID()), AttachTime: &row.Attached, Status: new(attachmentStatus(i, row)),
			DeleteOnTermination: truth(!row.Keep), DeviceIndex: new(int32(f.DeviceIndex)), NetworkCardIndex: firstCard,
		},
	}
	for n, a := range privates4(*f) {
		if n > 0 {
			name = v.privateName(a)
		}
		shown := model.InstancePrivateIpAddress{Primary: truth(n == 0), PrivateDnsName: name, PrivateIpAddress: new(a.String())}
		if p, ok := publicFor(public, a); ok {
			shown.Association = &model.InstanceNetworkInterfaceAssociation{IpOwnerId: addressOwner(p), PublicDnsName: new(v.publicName(p)), PublicIp: new(p.Address.String())}
		}
		if n == 0 {
			out.PrivateIpAddress, out.Association = shown.PrivateIpAddress, shown.Association
		}
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, shown)
	}
	return out
}

// groups names security groups, by name.
func (v view) groups(list []events.GroupID) []model.GroupIdentifier {
	out := make([]model.GroupIdentifier, 0, len(list))
	for _, id := range list {
		if g, ok := v.Groups.Get(string(id)); ok {
			out = append(out, model.GroupIdentifier{GroupId: (*string)(&g.ID), GroupName: &g.Name})
		} else {
			out = append(out, model.GroupIdentifier{GroupId: some(id), GroupName: blank})
		}
	}
	slices.SortStableFunc(out, func(a, b model.GroupIdentifier) int { return cmp.Compare(*a.GroupName, *b.GroupName) })
	return out
}
