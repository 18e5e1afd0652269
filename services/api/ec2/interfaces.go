package ec2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/network"
	"skerry/services/state"
)

// publics are the addresses by which an interface is reached from outside. They
// show from when the instance runs, if there is one: before that nothing answers
// there.
func (v view) publics(i *state.Instance, f events.InterfaceID) []*state.Address {
	if i != nil && i.State != state.Running {
		return nil
	}
	return slices.Collect(v.PublicsOf(f))
}

// publicFor is the one of them that leads to a private address.
func publicFor(public []*state.Address, private netip.Addr) (*state.Address, bool) {
	for _, p := range public {
		if p.Private == private {
			return p, true
		}
	}
	return nil, false
}

// interfacesOf are an instance's interfaces: those of its launch while the state
// does not tell.
func (v view) interfacesOf(i *state.Instance) []*state.Interface {
	out := i.Interfaces(v.View)
	if out == nil {
		for _, f := range i.InstanceRequested.Interfaces {
			out = append(out, &state.Interface{Attached: i.At, InterfaceCreated: events.InterfaceCreated{Account: i.Account, Zone: i.Zone, Instance: i.ID, Interface: f, At: i.At}})
		}
	}
	return out
}

func (v view) publicName(a *state.Address) string {
	return network.PublicName(v.Meta.Region, a.Address)
}

// privateName is the name of an address inside; IPv6 addresses have none.
func (v view) privateName(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return new(network.PrivateName(v.Meta.Region, a))
}

// privates4 are the private addresses of an interface, the primary first.
func privates4(f events.Interface) []netip.Addr {
	if !f.PrivateIP.IsValid() {
		return nil
	}
	return append([]netip.Addr{f.PrivateIP}, f.Secondary...)
}

func text[T fmt.Stringer](x T) string { return x.String() }

// shownAs makes a list of a reply of another list.
func shownAs[T, S any](list []T, as func(T) S) []S {
	out := make([]S, 0, len(list))
	for _, x := range list {
		out = append(out, as(x))
	}
	return out
}

// whole is absent for none: lists that not every interface has.
func whole[S any](list []S) []S {
	if len(list) == 0 {
		return nil
	}
	return list
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
func attachmentStatus(i *state.Instance, f *state.Interface) string {
	switch {
	case i.State == state.Pending:
		return "attaching"
	case i.State == state.ShuttingDown, f.Detaching:
		return "detaching"
	}
	return "attached"
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

	"availability-zone": func(r interfaceRow) []string { return word(r.shown.AvailabilityZone) },
	"description":       func(r interfaceRow) []string { return word(r.shown.Description) },
	"group-id":          func(r interfaceRow) []string { return each(r.shown.Groups, groupID) },
	"group-name":        func(r interfaceRow) []string { return each(r.shown.Groups, groupName) },
	"interface-type":    func(r interfaceRow) []string { return word(r.shown.InterfaceType) },
	"ipv6-addresses.ipv6-address": func(r interfaceRow) []string {
		return each(r.shown.Ipv6Addresses, func(a model.NetworkInterfaceIpv6Address) []string { return word(a.Ipv6Address) })
	},
	"mac-address":          func(r interfaceRow) []string { return word(r.shown.MacAddress) },
	"network-interface-id": func(r interfaceRow) []string { return word(r.shown.NetworkInterfaceId) },
	"owner-id":             func(r interfaceRow) []string { return word(r.shown.OwnerId) },
	"private-dns-name":     func(r interfaceRow) []string { return word(r.shown.PrivateDnsName) },
	"private-ip-address":   func(r interfaceRow) []string { return word(r.shown.PrivateIpAddress) },
	"requester-id":         func(r interfaceRow) []string { return word(r.shown.RequesterId) },
	"requester-managed":    func(r interfaceRow) []string { return flag(r.shown.RequesterManaged) },
	"source-dest-check":    func(r interfaceRow) []string { return flag(r.shown.SourceDestCheck) },
	"status":               func(r interfaceRow) []string { return word(r.shown.Status) },
	"subnet-id":            func(r interfaceRow) []string { return word(r.shown.SubnetId) },
	"vpc-id":               func(r interfaceRow) []string { return word(r.shown.VpcId) },
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
		func(f *state.Interface) string { return state.ByTime(f.At, string(f.Interface.ID)) },
		func(f *state.Interface) interfaceRow {
			t := v.TagsOf(string(f.Interface.ID))
			s := v.networkInterface(f)
			s.TagSet = shownTags(t)
			return interfaceRow{shown: s, tags: t}
		})
	return out, err
}

// networkInterface shows an interface, and what it is attached to.
func (v view) networkInterface(row *state.Interface) model.NetworkInterface {
	f := row.Interface
	out := model.NetworkInterface{
		NetworkInterfaceId: some(f.ID), OwnerId: some(row.Account), Status: new("available"), InterfaceType: new("interface"), Description: new(f.Description),
		AvailabilityZone: some(row.Zone), VpcId: some(f.VPC), SubnetId: some(f.Subnet), MacAddress: new(f.MAC), SourceDestCheck: new(!row.NoSrcCheck),
		RequesterManaged: new(false), PrivateDnsName: v.privateName(f.PrivateIP), Groups: v.groups(f.Groups), PrivateIpAddresses: []model.NetworkInterfacePrivateIpAddress{},
		Ipv6Addresses: shownAs(f.IPv6, func(a netip.Addr) model.NetworkInterfaceIpv6Address {
			return model.NetworkInterfaceIpv6Address{Ipv6Address: new(a.String()), IsPrimaryIpv6: new(false)}
		}),
		Ipv4Prefixes: whole(shownAs(f.Prefixes, func(p netip.Prefix) model.Ipv4PrefixSpecification {
			return model.Ipv4PrefixSpecification{Ipv4Prefix: new(p.String())}
		})),
		Ipv6Prefixes: whole(shownAs(f.IPv6Prefixes, func(p netip.Prefix) model.Ipv6PrefixSpecification {
			return model.Ipv6PrefixSpecification{Ipv6Prefix: new(p.String())}
		})),
	}
	if len(f.IPv6) > 0 {
		out.Ipv6Address = new(f.IPv6[0].String())
	}
	if !f.PrivateIP.IsValid() {
		out.Ipv6Native = new(true)
	}
	i, _ := v.Instances.Get(string(row.Instance))
	public := v.publics(i, f.ID)
	for n, a := range privates4(f) {
		shown := model.NetworkInterfacePrivateIpAddress{Primary: new(n == 0), PrivateDnsName: v.privateName(a), PrivateIpAddress: new(a.String())}
		if p, ok := publicFor(public, a); ok {
			shown.Association = &model.NetworkInterfaceAssociation{AllocationId: some(p.Allocation), AssociationId: some(p.Association),
				IpOwnerId: addressOwner(p), PublicDnsName: new(v.publicName(p)), PublicIp: new(p.Address.String())}
		}
		if n == 0 {
			out.PrivateIpAddress, out.Association = shown.PrivateIpAddress, shown.Association
		}
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, shown)
	}
	if f.NAT != "" {
		out.InterfaceType, out.RequesterManaged, out.RequesterId, out.SourceDestCheck = new("nat_gateway"), new(true), some(row.Account), new(false)
	}
	out.Attachment = v.attachment(row)
	if out.Attachment != nil {
		out.Status = new("in-use")
	}
	return out
}

// attachment shows the bond of an interface to its instance.
func (v view) attachment(f *state.Interface) *model.NetworkInterfaceAttachment {
	if f.Interface.NAT != "" { // EC2's own has it
		return &model.NetworkInterfaceAttachment{AttachmentId: new("ela-attach-" + strings.TrimPrefix(string(f.Interface.ID), "eni-")), AttachTime: &f.At,
			DeleteOnTermination: new(false), DeviceIndex: new(int32(1)), NetworkCardIndex: new(int32(0)), InstanceOwnerId: new("amazon-aws"), Status: new("attached")}
	}
	i, ok := v.Instances.Get(string(f.Instance))
	if !ok {
		return nil
	}
	return &model.NetworkInterfaceAttachment{
		AttachmentId: some(f.AttachmentID()), AttachTime: &f.Attached, DeleteOnTermination: new(!f.Keep), DeviceIndex: new(int32(f.Interface.DeviceIndex)),
		NetworkCardIndex: new(int32(0)), InstanceId: some(i.ID), InstanceOwnerId: some(i.Account), Status: new(attachmentStatus(i, f)),
	}
}
