package ec2

import (
	"context"
	"fmt"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/network"
	"skerry/services/state"
)

// public is the address by which an interface is reached from outside. It shows
// from when the instance runs: before that nothing answers there.
func (v view) public(i *state.Instance, f events.InterfaceID) (*state.Address, bool) {
	if i.State != state.Running {
		return nil, false
	}
	return v.PublicOf(f)
}

func (v view) publicName(a *state.Address) string {
	return network.PublicName(v.Meta.Region, a.Address)
}

func (v view) privateName(f events.Interface) string {
	return network.PrivateName(v.Meta.Region, f.PrivateIP)
}

// addressOwner is whose a public address is: the account's when it is an Elastic
// one, EC2's own otherwise.
func addressOwner(a *state.Address) *string {
	if a.Allocation == "" {
		return new(pool)
	}
	return some(a.Account)
}

// attachmentStatus follows an interface's bond to its instance.
func attachmentStatus(i *state.Instance) string {
	switch i.State {
	case state.Pending:
		return "attaching"
	case state.ShuttingDown:
		return "detaching"
	}
	return "attached"
}

func attachmentID(f events.InterfaceID) *string {
	return new("eni-attach-" + strings.TrimPrefix(string(f), "eni-"))
}

type interfaceRow = row[model.NetworkInterface]

// privates is a filter on the addresses of an interface.
func privates(values func(model.NetworkInterfacePrivateIpAddress) []string) func(interfaceRow) []string {
	return func(r interfaceRow) []string { return each(r.shown.PrivateIpAddresses, values) }
}

var interfaceListing = listing[model.NetworkInterface]{fields: filter.Fields[interfaceRow]{
	"addresses.association.owner-id": privates(func(a model.NetworkInterfacePrivateIpAddress) []string {
		return word(value(a.Association).IpOwnerId)
	}),
	"addresses.association.public-ip": privates(func(a model.NetworkInterfacePrivateIpAddress) []string {
		return word(value(a.Association).PublicIp)
	}),
	"addresses.primary":            privates(func(a model.NetworkInterfacePrivateIpAddress) []string { return flag(a.Primary) }),
	"addresses.private-ip-address": privates(func(a model.NetworkInterfacePrivateIpAddress) []string { return word(a.PrivateIpAddress) }),

	"association.allocation-id":   func(r interfaceRow) []string { return word(value(r.shown.Association).AllocationId) },
	"association.association-id":  func(r interfaceRow) []string { return word(value(r.shown.Association).AssociationId) },
	"association.ip-owner-id":     func(r interfaceRow) []string { return word(value(r.shown.Association).IpOwnerId) },
	"association.public-dns-name": func(r interfaceRow) []string { return word(value(r.shown.Association).PublicDnsName) },
	"association.public-ip":       func(r interfaceRow) []string { return word(value(r.shown.Association).PublicIp) },

	"attachment.attach-time":           func(r interfaceRow) []string { return moment(value(r.shown.Attachment).AttachTime) },
	"attachment.attachment-id":         func(r interfaceRow) []string { return word(value(r.shown.Attachment).AttachmentId) },
	"attachment.delete-on-termination": func(r interfaceRow) []string { return flag(value(r.shown.Attachment).DeleteOnTermination) },
	"attachment.device-index":          func(r interfaceRow) []string { return number(value(r.shown.Attachment).DeviceIndex) },
	"attachment.instance-id":           func(r interfaceRow) []string { return word(value(r.shown.Attachment).InstanceId) },
	"attachment.instance-owner-id":     func(r interfaceRow) []string { return word(value(r.shown.Attachment).InstanceOwnerId) },
	"attachment.nat-gateway-id":        never[interfaceRow],
	"attachment.status":                func(r interfaceRow) []string { return word(value(r.shown.Attachment).Status) },

	"availability-zone":           func(r interfaceRow) []string { return word(r.shown.AvailabilityZone) },
	"description":                 func(r interfaceRow) []string { return word(r.shown.Description) },
	"group-id":                    func(r interfaceRow) []string { return each(r.shown.Groups, groupID) },
	"group-name":                  func(r interfaceRow) []string { return each(r.shown.Groups, groupName) },
	"interface-type":              func(r interfaceRow) []string { return word(r.shown.InterfaceType) },
	"ipv6-addresses.ipv6-address": never[interfaceRow],
	"mac-address":                 func(r interfaceRow) []string { return word(r.shown.MacAddress) },
	"network-interface-id":        func(r interfaceRow) []string { return word(r.shown.NetworkInterfaceId) },
	"owner-id":                    func(r interfaceRow) []string { return word(r.shown.OwnerId) },
	"private-dns-name":            func(r interfaceRow) []string { return word(r.shown.PrivateDnsName) },
	"private-ip-address":          func(r interfaceRow) []string { return word(r.shown.PrivateIpAddress) },
	"requester-id":                never[interfaceRow],
	"requester-managed":           func(r interfaceRow) []string { return flag(r.shown.RequesterManaged) },
	"source-dest-check":           func(r interfaceRow) []string { return flag(r.shown.SourceDestCheck) },
	"status":                      func(r interfaceRow) []string { return word(r.shown.Status) },
	"subnet-id":                   func(r interfaceRow) []string { return word(r.shown.SubnetId) },
	"vpc-id":                      func(r interfaceRow) []string { return word(r.shown.VpcId) },
}}

// DescribeNetworkInterfaces lists the account's interfaces in the order of their
// creation.
func (h *Handlers) DescribeNetworkInterfaces(ctx context.Context, c *api.Call, in *model.DescribeNetworkInterfacesInput) (*model.DescribeNetworkInterfacesOutput, error) {
	if err := ids.Interface.CheckAll(in.NetworkInterfaceIds); err != nil {
		return nil, err
	}
	if err := notTogether("networkInterfaceIds", len(in.NetworkInterfaceIds) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(in.NetworkInterfaceIds,
		func(id string) (*state.Interface, bool) {
			f, ok := v.Interfaces.Get(id)
			return f, ok && f.Account == account
		},
		func(yield func(*state.Interface)) {
			for f := range v.InterfacesOf(account) {
				yield(f)
			}
		}, notFound(ids.Interface, "networkInterface"))
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeNetworkInterfacesOutput)
	out.NetworkInterfaces, out.NextToken, err = chooseFrom(interfaceListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list,
		func(f *state.Interface) string { return fmt.Sprintf("%020d/%s", f.At.UnixNano(), f.Interface.ID) },
		func(f *state.Interface) interfaceRow {
			t := v.TagsOf(string(f.Interface.ID))
			s := v.networkInterface(f)
			s.TagSet = shownTags(t)
			return interfaceRow{shown: s, tags: t}
		})
	return out, err
}

// networkInterface shows an interface and what it is attached to: every
// interface belongs to an instance, from its launch to its end.
func (v view) networkInterface(row *state.Interface) model.NetworkInterface {
	f := row.Interface
	name, ip := v.privateName(f), f.PrivateIP.String()
	out := model.NetworkInterface{
		NetworkInterfaceId: some(f.ID), OwnerId: some(row.Account), Status: new("available"), InterfaceType: new("interface"), Description: new(""),
		AvailabilityZone: some(row.Zone), VpcId: some(f.VPC), SubnetId: some(f.Subnet), MacAddress: new(f.MAC), SourceDestCheck: new(true),
		RequesterManaged: new(false), PrivateDnsName: &name, PrivateIpAddress: &ip, Groups: v.groups(f.Groups),
		PrivateIpAddresses: []model.NetworkInterfacePrivateIpAddress{{Primary: new(true), PrivateDnsName: &name, PrivateIpAddress: &ip}},
		Ipv6Addresses:      []model.NetworkInterfaceIpv6Address{},
	}
	i, ok := v.Instances.Get(string(row.Instance))
	if !ok {
		return out
	}
	out.Status, out.SourceDestCheck = new("in-use"), new(!i.NoSrcCheck)
	out.Attachment = &model.NetworkInterfaceAttachment{
		AttachmentId: attachmentID(f.ID), AttachTime: &row.At, DeleteOnTermination: new(true), DeviceIndex: new(int32(f.DeviceIndex)),
		NetworkCardIndex: new(int32(0)), InstanceId: some(i.ID), InstanceOwnerId: some(i.Account), Status: new(attachmentStatus(i)),
	}
	if a, ok := v.public(i, f.ID); ok {
		out.Association = &model.NetworkInterfaceAssociation{AllocationId: some(a.Allocation), AssociationId: some(a.Association),
			IpOwnerId: addressOwner(a), PublicDnsName: new(v.publicName(a)), PublicIp: new(a.Address.String())}
		out.PrivateIpAddresses[0].Association = out.Association
	}
	return out
}
