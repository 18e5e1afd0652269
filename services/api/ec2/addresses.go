package ec2

import (
	"context"
	"net/netip"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// pool is where the region's own public addresses come from, in EC2's word.
const pool = "amazon"

// AllocateAddress gives the account an Elastic IP address.
func (h *Handlers) AllocateAddress(ctx context.Context, c *api.Call, in *model.AllocateAddressInput) (*model.AllocateAddressOutput, error) {
	switch {
	case isOther(in.Domain, "vpc"):
		return nil, events.Faultf("InvalidParameterValue", "Invalid value '%s' for domain. Every address here is for use in a VPC.", *in.Domain)
	case isOther(in.NetworkBorderGroup, c.Region):
		return nil, events.Faultf("InvalidParameterValue", "Invalid value '%s' for networkBorderGroup. The only one here is %s.", *in.NetworkBorderGroup, c.Region)
	}
	if err := refuse(param{"CustomerOwnedIpv4Pool", value(in.CustomerOwnedIpv4Pool) != ""}); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "elastic-ip")
	if err != nil {
		return nil, err
	}
	cmd := events.AllocateAddress{Address: value(in.Address), Tags: specs["elastic-ip"]}
	if isOther(in.PublicIpv4Pool, pool) {
		if err := ids.IPv4Pool.Check(*in.PublicIpv4Pool); err != nil {
			return nil, err
		}
		cmd.Pool = events.PoolID(*in.PublicIpv4Pool)
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.AllocateAddressOutput{Domain: new("vpc"), PublicIpv4Pool: new(pool), NetworkBorderGroup: &c.Region}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.AddressAllocated); ok {
			out.PublicIp, out.AllocationId = new(e.Address.String()), some(e.Allocation)
			if e.Pool != "" {
				out.PublicIpv4Pool = some(e.Pool)
			}
		}
	}
	return out, nil
}

// ReleaseAddress gives an Elastic IP address back.
func (h *Handlers) ReleaseAddress(ctx context.Context, c *api.Call, in *model.ReleaseAddressInput) (*model.ReleaseAddressOutput, error) {
	if err := checkAllocation(in.AllocationId); err != nil {
		return nil, err
	}
	if isOther(in.NetworkBorderGroup, c.Region) {
		return nil, events.Faultf("InvalidParameterValue", "Invalid value '%s' for networkBorderGroup. The only one here is %s.", *in.NetworkBorderGroup, c.Region)
	}
	_, err := h.do(ctx, c, 0, events.ReleaseAddress{Allocation: events.AllocationID(value(in.AllocationId)), Address: value(in.PublicIp)})
	return new(model.ReleaseAddressOutput), err
}

func checkAllocation(id *string) error {
	if value(id) == "" {
		return nil
	}
	return ids.Allocation.Check(*id)
}

// AssociateAddress binds an Elastic IP address to an instance or an interface.
// One that is bound there already keeps its association.
func (h *Handlers) AssociateAddress(ctx context.Context, c *api.Call, in *model.AssociateAddressInput) (*model.AssociateAddressOutput, error) {
	if err := checkAllocation(in.AllocationId); err != nil {
		return nil, err
	}
	for _, x := range []struct {
		kind ids.Kind
		id   *string
	}{{ids.Instance, in.InstanceId}, {ids.Interface, in.NetworkInterfaceId}} {
		if value(x.id) != "" {
			if err := x.kind.Check(*x.id); err != nil {
				return nil, err
			}
		}
	}
	reply, err := h.do(ctx, c, 0, events.AssociateAddress{
		Allocation: events.AllocationID(value(in.AllocationId)), Address: value(in.PublicIp), Instance: events.InstanceID(value(in.InstanceId)),
		Interface: events.InterfaceID(value(in.NetworkInterfaceId)), PrivateIP: value(in.PrivateIpAddress),
		Stay: in.AllowReassociation != nil && !*in.AllowReassociation,
	})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.AssociateAddressOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.AddressAssociated); ok {
			out.AssociationId = some(e.Association)
			return out, nil
		}
	}
	v := h.after(ctx, c)
	for a := range v.AddressesOf(events.AccountID(c.Account)) {
		if a.Association != "" && (string(a.Allocation) == value(in.AllocationId) || a.Address.String() == value(in.PublicIp)) {
			out.AssociationId = some(a.Association)
		}
	}
	return out, nil
}

// DisassociateAddress unbinds an Elastic IP address.
func (h *Handlers) DisassociateAddress(ctx context.Context, c *api.Call, in *model.DisassociateAddressInput) (*model.DisassociateAddressOutput, error) {
	if value(in.AssociationId) != "" {
		if err := ids.Association.Check(*in.AssociationId); err != nil {
			return nil, err
		}
	}
	_, err := h.do(ctx, c, 0, events.DisassociateAddress{Association: events.AssociationID(value(in.AssociationId)), Address: value(in.PublicIp)})
	return new(model.DisassociateAddressOutput), err
}

type addressRow = row[model.Address]

var addressListing = listing[model.Address]{fields: filter.Fields[addressRow]{
	"allocation-id":              func(r addressRow) []string { return word(r.shown.AllocationId) },
	"association-id":             func(r addressRow) []string { return word(r.shown.AssociationId) },
	"domain":                     func(r addressRow) []string { return word(r.shown.Domain) },
	"instance-id":                func(r addressRow) []string { return word(r.shown.InstanceId) },
	"network-border-group":       func(r addressRow) []string { return word(r.shown.NetworkBorderGroup) },
	"network-interface-id":       func(r addressRow) []string { return word(r.shown.NetworkInterfaceId) },
	"network-interface-owner-id": func(r addressRow) []string { return word(r.shown.NetworkInterfaceOwnerId) },
	"private-ip-address":         func(r addressRow) []string { return word(r.shown.PrivateIpAddress) },
	"public-ip":                  func(r addressRow) []string { return word(r.shown.PublicIp) },
}}

// DescribeAddresses lists the account's Elastic IP addresses. Those that
// interfaces have of their own are not among them.
func (h *Handlers) DescribeAddresses(ctx context.Context, c *api.Call, in *model.DescribeAddressesInput) (*model.DescribeAddressesOutput, error) {
	if err := ids.Allocation.CheckAll(in.AllocationIds); err != nil {
		return nil, err
	}
	for _, text := range in.PublicIps {
		if _, err := netip.ParseAddr(text); err != nil {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter publicIp is invalid. Invalid IPv4 address.", text)
		}
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	var list []*state.Address
	if len(in.AllocationIds) > 0 || len(in.PublicIps) == 0 {
		list, err = byID(in.AllocationIds,
			func(id string) (*state.Address, bool) { return v.Allocation(account, events.AllocationID(id)) },
			func(yield func(*state.Address)) {
				for a := range v.AddressesOf(account) {
					if a.Allocation != "" {
						yield(a)
					}
				}
			},
			func(names []string) error {
				return events.Faultf(ids.Allocation.NotFound, "The allocation ID '%s' does not exist", names[0])
			})
		if err != nil {
			return nil, err
		}
	}
	if len(in.PublicIps) > 0 {
		named, err := byID(in.PublicIps,
			func(text string) (*state.Address, bool) {
				a, ok := v.Addresses.Get(text)
				return a, ok && a.Account == account && a.Allocation != ""
			}, nil,
			func(names []string) error {
				return events.Faultf("InvalidAddress.NotFound", "Address '%s' not found.", names[0])
			})
		if err != nil {
			return nil, err
		}
		list = append(list, named...)
	}
	var rows []addressRow
	for _, a := range list {
		key := string(a.Address.AsSlice())
		if contains(rows, key) {
			continue // named both ways
		}
		t := v.TagsOf(string(a.Allocation))
		s := v.address(a)
		s.Tags = shownTags(t)
		rows = append(rows, addressRow{key: key, tags: t, shown: s})
	}
	out := new(model.DescribeAddressesOutput)
	out.Addresses, _, err = addressListing.choose(h, c, ask{filters: in.Filters}, rows)
	return out, err
}

func (v view) address(a *state.Address) model.Address {
	out := model.Address{PublicIp: new(a.Address.String()), AllocationId: some(a.Allocation), Domain: new("vpc"), PublicIpv4Pool: new(pool),
		NetworkBorderGroup: &v.Meta.Region}
	if r, ok := v.RangeOf(a.Address); ok {
		out.PublicIpv4Pool = some(r.Pool)
	}
	if a.Association != "" {
		out.AssociationId, out.InstanceId, out.NetworkInterfaceId = some(a.Association), some(a.Instance), some(a.Interface)
		out.NetworkInterfaceOwnerId, out.PrivateIpAddress = some(a.Account), new(a.Private.String())
	}
	return out
}

var addressAttributeListing = listing[model.AddressAttribute]{tagless: true, min: 1, max: 1000}

// DescribeAddressesAttribute lists the Elastic IP addresses with the names that
// their account gave them: none, since names follow from the addresses here.
func (h *Handlers) DescribeAddressesAttribute(ctx context.Context, c *api.Call, in *model.DescribeAddressesAttributeInput) (*model.DescribeAddressesAttributeOutput, error) {
	if err := ids.Allocation.CheckAll(in.AllocationIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(in.AllocationIds,
		func(id string) (*state.Address, bool) { return v.Allocation(account, events.AllocationID(id)) },
		func(yield func(*state.Address)) {
			for a := range v.AddressesOf(account) {
				if a.Allocation != "" {
					yield(a)
				}
			}
		},
		func(names []string) error {
			return events.Faultf(ids.Allocation.NotFound, "The allocation ID '%s' does not exist", names[0])
		})
	if err != nil {
		return nil, err
	}
	var rows []row[model.AddressAttribute]
	for _, a := range list {
		rows = append(rows, row[model.AddressAttribute]{key: string(a.Address.AsSlice()), shown: model.AddressAttribute{PublicIp: new(a.Address.String()), AllocationId: some(a.Allocation)}})
	}
	out := new(model.DescribeAddressesAttributeOutput)
	out.Addresses, out.NextToken, err = addressAttributeListing.choose(h, c, ask{nil, in.MaxResults, in.NextToken}, rows)
	return out, err
}
