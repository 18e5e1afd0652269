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

// States of a range ("ByoipCidr" in the EC2 API reference).
const (
	rangeProvisioning   = "pending-provision"
	rangeDeprovisioning = "pending-deprovision"
)

func rangeState(r *state.Range) string {
	switch {
	case r.Advertised:
		return "advertised"
	case r.Private:
		return "provisioned-not-publicly-advertisable"
	}
	return "provisioned"
}

// ProvisionByoipCidr brings a range of addresses and makes its pool.
func (h *Handlers) ProvisionByoipCidr(ctx context.Context, c *api.Call, in *model.ProvisionByoipCidrInput) (*model.ProvisionByoipCidrOutput, error) {
	if err := refuse(param{"MultiRegion", value(in.MultiRegion)}); err != nil {
		return nil, err
	}
	if err := borderGroup(c, in.NetworkBorderGroup); err != nil {
		return nil, err
	}
	kind := "ipv4pool-ec2"
	if p, err := netip.ParsePrefix(value(in.Cidr)); err == nil && p.Addr().Is6() {
		kind = "ipv6pool-ec2"
	}
	specs, err := tags.Specs(in.PoolTagSpecifications, kind)
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.ProvisionRange{CIDR: value(in.Cidr), Description: value(in.Description), Message: value(value(in.CidrAuthorizationContext).Message),
		Signature: value(value(in.CidrAuthorizationContext).Signature), Private: in.PubliclyAdvertisable != nil && !*in.PubliclyAdvertisable, Tags: specs[kind]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.ProvisionByoipCidrOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.RangeProvisioned); ok {
			s := showRange(c.Region, &state.Range{RangeProvisioned: e}, rangeProvisioning)
			out.ByoipCidr = &s
		}
	}
	return out, nil
}

func borderGroup(c *api.Call, group *string) error {
	if isOther(group, c.Region) {
		return events.Faultf("InvalidParameterValue", "Invalid value '%s' for networkBorderGroup. The only one here is %s.", *group, c.Region)
	}
	return nil
}

// AdvertiseByoipCidr has gateways announce the addresses of a range.
func (h *Handlers) AdvertiseByoipCidr(ctx context.Context, c *api.Call, in *model.AdvertiseByoipCidrInput) (*model.AdvertiseByoipCidrOutput, error) {
	if err := refuse(param{"Asn", value(in.Asn) != ""}); err != nil {
		return nil, err
	}
	if err := borderGroup(c, in.NetworkBorderGroup); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.AdvertiseRange{CIDR: value(in.Cidr)})
	if err != nil || c.DryRun {
		return nil, err
	}
	return &model.AdvertiseByoipCidrOutput{ByoipCidr: h.changedRange(ctx, c, in.Cidr)}, nil
}

// WithdrawByoipCidr has them stop.
func (h *Handlers) WithdrawByoipCidr(ctx context.Context, c *api.Call, in *model.WithdrawByoipCidrInput) (*model.WithdrawByoipCidrOutput, error) {
	_, err := h.do(ctx, c, 0, events.WithdrawRange{CIDR: value(in.Cidr)})
	if err != nil || c.DryRun {
		return nil, err
	}
	return &model.WithdrawByoipCidrOutput{ByoipCidr: h.changedRange(ctx, c, in.Cidr)}, nil
}

// changedRange shows a range after a change of it.
func (h *Handlers) changedRange(ctx context.Context, c *api.Call, cidr *string) *model.ByoipCidr {
	p, err := netip.ParsePrefix(value(cidr))
	if r, ok := h.after(ctx, c).Range(p); err == nil && ok {
		s := showRange(c.Region, r, rangeState(r))
		return &s
	}
	return &model.ByoipCidr{Cidr: cidr}
}

// DeprovisionByoipCidr takes a range away that nothing has a part of.
func (h *Handlers) DeprovisionByoipCidr(ctx context.Context, c *api.Call, in *model.DeprovisionByoipCidrInput) (*model.DeprovisionByoipCidrOutput, error) {
	_, err := h.do(ctx, c, 0, events.DeprovisionRange{CIDR: value(in.Cidr)})
	if err != nil || c.DryRun {
		return nil, err
	}
	return &model.DeprovisionByoipCidrOutput{ByoipCidr: &model.ByoipCidr{Cidr: in.Cidr, State: new(rangeDeprovisioning), NetworkBorderGroup: &c.Region}}, nil
}

func showRange(region string, r *state.Range, is string) model.ByoipCidr {
	return model.ByoipCidr{Cidr: new(r.CIDR.String()), Description: some(r.Description), State: &is, NetworkBorderGroup: &region}
}

var rangeListing = listing[model.ByoipCidr]{tagless: true, min: 1, max: 100}

// DescribeByoipCidrs lists the ranges that the account brought.
func (h *Handlers) DescribeByoipCidrs(ctx context.Context, c *api.Call, in *model.DescribeByoipCidrsInput) (*model.DescribeByoipCidrsOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row[model.ByoipCidr]
	for r := range v.RangesOf(events.AccountID(c.Account)) {
		rows = append(rows, row[model.ByoipCidr]{key: string(r.CIDR.Addr().AsSlice()) + r.CIDR.String(), shown: showRange(c.Region, r, rangeState(r))})
	}
	out := new(model.DescribeByoipCidrsOutput)
	out.ByoipCidrs, out.NextToken, err = rangeListing.choose(h, c, ask{nil, in.MaxResults, in.NextToken}, rows)
	return out, err
}

type poolRow = row[model.PublicIpv4Pool]

var poolListing = listing[model.PublicIpv4Pool]{fields: filter.Fields[poolRow]{}, min: 1, max: 10}

// DescribePublicIpv4Pools lists the pools of the ranges of IPv4 that the account
// brought.
func (h *Handlers) DescribePublicIpv4Pools(ctx context.Context, c *api.Call, in *model.DescribePublicIpv4PoolsInput) (*model.DescribePublicIpv4PoolsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.IPv4Pool, "public IPv4 pool", in.PoolIds,
		func(v view, account events.AccountID, id string) (*state.Range, bool) {
			r, ok := v.Ranges.Get(id)
			return r, ok && r.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.Range)) {
			for r := range v.RangesOf(account) {
				if r.CIDR.Addr().Is4() {
					yield(r)
				}
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []poolRow
	for _, r := range list {
		t := v.TagsOf(string(r.Pool))
		s := v.pool(r)
		s.Tags = shownTags(t)
		rows = append(rows, poolRow{key: string(r.Pool), tags: t, shown: s})
	}
	out := new(model.DescribePublicIpv4PoolsOutput)
	out.PublicIpv4Pools, out.NextToken, err = poolListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func (v view) pool(r *state.Range) model.PublicIpv4Pool {
	total := int32(1) << (32 - r.CIDR.Bits())
	free := total
	for a := range v.AddressesOf(r.Account) {
		if r.CIDR.Contains(a.Address) {
			free--
		}
	}
	b := r.CIDR.Addr().As4()
	last := netip.AddrFrom4([4]byte{b[0], b[1], b[2] | byte((total-1)>>8), b[3] | byte(total-1)})
	return model.PublicIpv4Pool{PoolId: some(r.Pool), Description: some(r.Description), NetworkBorderGroup: &v.Meta.Region, TotalAddressCount: &total, TotalAvailableAddressCount: &free,
		PoolAddressRanges: []model.PublicIpv4PoolRange{{FirstAddress: new(r.CIDR.Addr().String()), LastAddress: new(last.String()), AddressCount: &total, AvailableAddressCount: &free}}}
}
