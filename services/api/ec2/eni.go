package ec2

import (
	"context"
	"net/netip"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/network"
	"skerry/services/state"
)

// addressesOf reads what addresses are asked for an interface. An address that
// is marked primary may be in the list.
func addressesOf(primary *string, list []model.PrivateIpAddressSpecification, count *int32, prefixes []model.Ipv4PrefixSpecificationRequest, prefixCount *int32,
	v6 []model.InstanceIpv6Address, v6Count *int32, v6Prefixes []model.Ipv6PrefixSpecificationRequest, v6PrefixCount *int32) (events.Wanted, error) {
	w := events.Wanted{Primary: value(primary), SecondaryCount: int(value(count)), PrefixCount: int(value(prefixCount)), IPv6Count: int(value(v6Count)),
		IPv6Set: v6Count != nil, IPv6PrefixCount: int(value(v6PrefixCount))}
	for _, a := range list {
		switch {
		case !value(a.Primary):
			w.Secondary = append(w.Secondary, value(a.PrivateIpAddress))
		case w.Primary != "":
			return w, events.Faultf("InvalidParameterCombination", "Only one primary private IP address can be specified.")
		default:
			w.Primary = value(a.PrivateIpAddress)
		}
	}
	for _, p := range prefixes {
		w.Prefixes = append(w.Prefixes, value(p.Ipv4Prefix))
	}
	for _, a := range v6 {
		w.IPv6 = append(w.IPv6, value(a.Ipv6Address))
	}
	for _, p := range v6Prefixes {
		w.IPv6Prefixes = append(w.IPv6Prefixes, value(p.Ipv6Prefix))
	}
	return w, nil
}

// CreateNetworkInterface makes an interface that is attached to nothing.
func (h *Handlers) CreateNetworkInterface(ctx context.Context, c *api.Call, in *model.CreateNetworkInterfaceInput) (*model.CreateNetworkInterfaceOutput, error) {
	if err := ids.Subnet.Check(value(in.SubnetId)); err != nil {
		return nil, err
	}
	if err := ids.SecurityGroup.CheckAll(in.Groups); err != nil {
		return nil, err
	}
	if err := refuse(
		param{"InterfaceType", isOther(in.InterfaceType, "interface")},
		param{"EnablePrimaryIpv6", value(in.EnablePrimaryIpv6)},
		param{"ConnectionTrackingSpecification", in.ConnectionTrackingSpecification != nil},
	); err != nil {
		return nil, err
	}
	w, err := addressesOf(in.PrivateIpAddress, in.PrivateIpAddresses, in.SecondaryPrivateIpAddressCount, in.Ipv4Prefixes, in.Ipv4PrefixCount,
		in.Ipv6Addresses, in.Ipv6AddressCount, in.Ipv6Prefixes, in.Ipv6PrefixCount)
	if err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "network-interface")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateInterface{Subnet: events.SubnetID(*in.SubnetId), Description: value(in.Description),
		Groups: typed[events.GroupID](in.Groups), Addresses: w, Tags: specs["network-interface"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	out := &model.CreateNetworkInterfaceOutput{ClientToken: in.ClientToken}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InterfaceCreated); ok {
			s := v.networkInterface(&state.Interface{InterfaceCreated: e})
			s.Status = new("pending")
			s.TagSet = toldTags(reply, string(e.Interface.ID))
			out.NetworkInterface = &s
		}
	}
	return out, nil
}

// DeleteNetworkInterface ends an interface that is attached to nothing.
func (h *Handlers) DeleteNetworkInterface(ctx context.Context, c *api.Call, in *model.DeleteNetworkInterfaceInput) (*model.DeleteNetworkInterfaceOutput, error) {
	if err := ids.Interface.Check(value(in.NetworkInterfaceId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteInterface{Interface: events.InterfaceID(*in.NetworkInterfaceId)})
	return new(model.DeleteNetworkInterfaceOutput), err
}

// AttachNetworkInterface gives an interface to an instance.
func (h *Handlers) AttachNetworkInterface(ctx context.Context, c *api.Call, in *model.AttachNetworkInterfaceInput) (*model.AttachNetworkInterfaceOutput, error) {
	if err := ids.Interface.Check(value(in.NetworkInterfaceId)); err != nil {
		return nil, err
	}
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	if err := refuse(param{"NetworkCardIndex", value(in.NetworkCardIndex) != 0}, param{"EnaSrdSpecification", in.EnaSrdSpecification != nil}); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AttachInterface{Interface: events.InterfaceID(*in.NetworkInterfaceId), Instance: events.InstanceID(*in.InstanceId),
		DeviceIndex: int(value(in.DeviceIndex))})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.AttachNetworkInterfaceOutput{NetworkCardIndex: new(int32(0))}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InterfaceAttached); ok {
			out.AttachmentId = some(e.Attachment)
		}
	}
	return out, nil
}

// DetachNetworkInterface takes an interface from its instance.
func (h *Handlers) DetachNetworkInterface(ctx context.Context, c *api.Call, in *model.DetachNetworkInterfaceInput) (*model.DetachNetworkInterfaceOutput, error) {
	if err := ids.Attachment.Check(value(in.AttachmentId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DetachInterface{Attachment: events.AttachmentID(*in.AttachmentId), Force: value(in.Force)})
	return new(model.DetachNetworkInterfaceOutput), err
}

// DescribeNetworkInterfaceAttribute shows one attribute.
func (h *Handlers) DescribeNetworkInterfaceAttribute(ctx context.Context, c *api.Call, in *model.DescribeNetworkInterfaceAttributeInput) (*model.DescribeNetworkInterfaceAttributeOutput, error) {
	if err := ids.Interface.Check(value(in.NetworkInterfaceId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	f, err := network.Interface(v.View, events.AccountID(c.Account), events.InterfaceID(*in.NetworkInterfaceId))
	if err != nil {
		return nil, err
	}
	out := &model.DescribeNetworkInterfaceAttributeOutput{NetworkInterfaceId: in.NetworkInterfaceId}
	switch value(in.Attribute) {
	case "description":
		out.Description = &model.AttributeValue{Value: new(f.Interface.Description)}
	case "groupSet":
		out.Groups = v.groups(f.Interface.Groups)
	case "sourceDestCheck":
		out.SourceDestCheck = &model.AttributeBooleanValue{Value: new(!f.NoSrcCheck)}
	case "attachment":
		out.Attachment = v.attachment(f)
	case "associatePublicIpAddress":
		out.AssociatePublicIpAddress = new(f.Interface.Public)
	case "":
		return nil, events.Faultf("InvalidParameterCombination", "No attributes specified.")
	}
	return out, nil
}

// ModifyNetworkInterfaceAttribute changes one attribute.
func (h *Handlers) ModifyNetworkInterfaceAttribute(ctx context.Context, c *api.Call, in *model.ModifyNetworkInterfaceAttributeInput) (*model.ModifyNetworkInterfaceAttributeOutput, error) {
	if err := ids.Interface.Check(value(in.NetworkInterfaceId)); err != nil {
		return nil, err
	}
	if err := ids.SecurityGroup.CheckAll(in.Groups); err != nil {
		return nil, err
	}
	if err := refuse(
		param{"EnaSrdSpecification", in.EnaSrdSpecification != nil},
		param{"EnablePrimaryIpv6", value(in.EnablePrimaryIpv6)},
		param{"ConnectionTrackingSpecification", in.ConnectionTrackingSpecification != nil},
		param{"AssociatePublicIpAddress", in.AssociatePublicIpAddress != nil},
	); err != nil {
		return nil, err
	}
	cmd := events.ModifyInterface{Interface: events.InterfaceID(*in.NetworkInterfaceId), Groups: typed[events.GroupID](in.Groups),
		SourceDestCheck: value(in.SourceDestCheck).Value}
	if in.Description != nil {
		cmd.Description = new(value(in.Description.Value))
	}
	if a := in.Attachment; a != nil {
		if err := ids.Attachment.Check(value(a.AttachmentId)); err != nil {
			return nil, err
		}
		if a.DeleteOnTermination == nil {
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter Attachment.DeleteOnTermination")
		}
		cmd.Attachment, cmd.Keep = events.AttachmentID(*a.AttachmentId), new(!*a.DeleteOnTermination)
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ModifyNetworkInterfaceAttributeOutput), err
}

// ResetNetworkInterfaceAttribute has the source of packets checked again: the one
// attribute that can be reset.
func (h *Handlers) ResetNetworkInterfaceAttribute(ctx context.Context, c *api.Call, in *model.ResetNetworkInterfaceAttributeInput) (*model.ResetNetworkInterfaceAttributeOutput, error) {
	if err := ids.Interface.Check(value(in.NetworkInterfaceId)); err != nil {
		return nil, err
	}
	if in.SourceDestCheck == nil {
		return nil, events.Faultf("InvalidParameterCombination", "No attributes specified.")
	}
	_, err := h.do(ctx, c, 0, events.ModifyInterface{Interface: events.InterfaceID(*in.NetworkInterfaceId), SourceDestCheck: new(true)})
	return new(model.ResetNetworkInterfaceAttributeOutput), err
}

// assign gives an interface more addresses, and tells which.
func (h *Handlers) assign(ctx context.Context, c *api.Call, id *string, w events.Wanted, move bool) (events.InterfaceAddressesAssigned, error) {
	var out events.InterfaceAddressesAssigned
	if err := ids.Interface.Check(value(id)); err != nil {
		return out, err
	}
	reply, err := h.do(ctx, c, 0, events.AssignAddresses{Interface: events.InterfaceID(*id), Addresses: w, Move: move})
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InterfaceAddressesAssigned); ok {
			out = e
		}
	}
	return out, err
}

// AssignPrivateIpAddresses gives an interface secondary addresses or prefixes.
func (h *Handlers) AssignPrivateIpAddresses(ctx context.Context, c *api.Call, in *model.AssignPrivateIpAddressesInput) (*model.AssignPrivateIpAddressesOutput, error) {
	e, err := h.assign(ctx, c, in.NetworkInterfaceId, events.Wanted{Secondary: in.PrivateIpAddresses, SecondaryCount: int(value(in.SecondaryPrivateIpAddressCount)),
		Prefixes: in.Ipv4Prefixes, PrefixCount: int(value(in.Ipv4PrefixCount))}, value(in.AllowReassignment))
	if err != nil {
		return nil, err
	}
	return &model.AssignPrivateIpAddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId,
		AssignedPrivateIpAddresses: shownAs(e.Secondary, func(a netip.Addr) model.AssignedPrivateIpAddress {
			return model.AssignedPrivateIpAddress{PrivateIpAddress: new(a.String())}
		}),
		AssignedIpv4Prefixes: shownAs(e.Prefixes, func(p netip.Prefix) model.Ipv4PrefixSpecification {
			return model.Ipv4PrefixSpecification{Ipv4Prefix: new(p.String())}
		})}, nil
}

// AssignIpv6Addresses gives an interface IPv6 addresses or prefixes.
func (h *Handlers) AssignIpv6Addresses(ctx context.Context, c *api.Call, in *model.AssignIpv6AddressesInput) (*model.AssignIpv6AddressesOutput, error) {
	e, err := h.assign(ctx, c, in.NetworkInterfaceId, events.Wanted{IPv6: in.Ipv6Addresses, IPv6Count: int(value(in.Ipv6AddressCount)),
		IPv6Prefixes: in.Ipv6Prefixes, IPv6PrefixCount: int(value(in.Ipv6PrefixCount))}, false)
	if err != nil {
		return nil, err
	}
	return &model.AssignIpv6AddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId, AssignedIpv6Addresses: shownAs(e.IPv6, text[netip.Addr]),
		AssignedIpv6Prefixes: shownAs(e.IPv6Prefixes, text[netip.Prefix])}, nil
}

func (h *Handlers) unassign(ctx context.Context, c *api.Call, id *string, addresses, prefixes []string) error {
	if err := ids.Interface.Check(value(id)); err != nil {
		return err
	}
	_, err := h.do(ctx, c, 0, events.UnassignAddresses{Interface: events.InterfaceID(*id), Addresses: addresses, Prefixes: prefixes})
	return err
}

// UnassignPrivateIpAddresses takes secondary addresses or prefixes back.
func (h *Handlers) UnassignPrivateIpAddresses(ctx context.Context, c *api.Call, in *model.UnassignPrivateIpAddressesInput) (*model.UnassignPrivateIpAddressesOutput, error) {
	return new(model.UnassignPrivateIpAddressesOutput), h.unassign(ctx, c, in.NetworkInterfaceId, in.PrivateIpAddresses, in.Ipv4Prefixes)
}

// UnassignIpv6Addresses takes IPv6 addresses or prefixes back.
func (h *Handlers) UnassignIpv6Addresses(ctx context.Context, c *api.Call, in *model.UnassignIpv6AddressesInput) (*model.UnassignIpv6AddressesOutput, error) {
	return &model.UnassignIpv6AddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId, UnassignedIpv6Addresses: in.Ipv6Addresses,
		UnassignedIpv6Prefixes: in.Ipv6Prefixes}, h.unassign(ctx, c, in.NetworkInterfaceId, in.Ipv6Addresses, in.Ipv6Prefixes)
}
