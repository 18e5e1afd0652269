package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
)

// CreateDhcpOptions makes a set of options that no network uses yet.
func (h *Handlers) CreateDhcpOptions(ctx context.Context, c *api.Call, in *model.CreateDhcpOptionsInput) (*model.CreateDhcpOptionsOutput, error) {
	specs, err := tags.Specs(in.TagSpecifications, "dhcp-options")
	if err != nil {
		return nil, err
	}
	cmd := events.CreateDHCPOptions{Tags: specs["dhcp-options"]}
	for _, o := range in.DhcpConfigurations {
		cmd.Options = append(cmd.Options, events.DHCPOption{Key: value(o.Key), Values: o.Values})
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateDhcpOptionsOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.DHCPOptionsCreated); ok {
			s := showDHCPOptions(e)
			s.Tags = toldTags(reply, string(e.ID))
			out.DhcpOptions = &s
		}
	}
	return out, nil
}

// DeleteDhcpOptions ends a set that no network uses.
func (h *Handlers) DeleteDhcpOptions(ctx context.Context, c *api.Call, in *model.DeleteDhcpOptionsInput) (*model.DeleteDhcpOptionsOutput, error) {
	if err := ids.DHCPOptions.Check(value(in.DhcpOptionsId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteDHCPOptions{Options: events.DHCPOptionsID(*in.DhcpOptionsId)})
	return new(model.DeleteDhcpOptionsOutput), err
}

// AssociateDhcpOptions has a network use another set, or none by the word
// default.
func (h *Handlers) AssociateDhcpOptions(ctx context.Context, c *api.Call, in *model.AssociateDhcpOptionsInput) (*model.AssociateDhcpOptionsOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	id := events.DHCPOptionsID(value(in.DhcpOptionsId))
	if id != events.NoDHCPOptions {
		if err := ids.DHCPOptions.Check(string(id)); err != nil {
			return nil, err
		}
	}
	_, err := h.do(ctx, c, 0, events.AssociateDHCPOptions{VPC: events.VPCID(*in.VpcId), Options: id})
	return new(model.AssociateDhcpOptionsOutput), err
}

type dhcpRow = row[model.DhcpOptions]

var dhcpListing = listing[model.DhcpOptions]{fields: filter.Fields[dhcpRow]{
	"dhcp-options-id": func(r dhcpRow) []string { return word(r.shown.DhcpOptionsId) },
	"key": func(r dhcpRow) []string {
		return each(r.shown.DhcpConfigurations, func(o model.DhcpConfiguration) []string { return word(o.Key) })
	},
	"owner-id": func(r dhcpRow) []string { return word(r.shown.OwnerId) },
	"value": func(r dhcpRow) []string {
		return each(r.shown.DhcpConfigurations, func(o model.DhcpConfiguration) []string {
			return each(o.Values, func(v model.AttributeValue) []string { return word(v.Value) })
		})
	},
}}

// DescribeDhcpOptions lists the account's sets.
func (h *Handlers) DescribeDhcpOptions(ctx context.Context, c *api.Call, in *model.DescribeDhcpOptionsInput) (*model.DescribeDhcpOptionsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.DHCPOptions, "dhcpOption", in.DhcpOptionsIds,
		func(v view, account events.AccountID, id string) (*state.DHCPOptions, bool) {
			o, ok := v.DHCPOptions.Get(id)
			return o, ok && o.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.DHCPOptions)) {
			for o := range v.DHCPOptionsOf(account) {
				yield(o)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []dhcpRow
	for _, o := range list {
		t := v.TagsOf(string(o.ID))
		s := showDHCPOptions(o.DHCPOptionsCreated)
		s.Tags = shownTags(t)
		rows = append(rows, dhcpRow{key: string(o.ID), tags: t, shown: s})
	}
	out := new(model.DescribeDhcpOptionsOutput)
	out.DhcpOptions, out.NextToken, err = dhcpListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

func showDHCPOptions(o events.DHCPOptionsCreated) model.DhcpOptions {
	out := model.DhcpOptions{DhcpOptionsId: some(o.ID), OwnerId: some(o.Account)}
	for _, x := range o.Options {
		s := model.DhcpConfiguration{Key: new(x.Key)}
		for _, v := range x.Values {
			s.Values = append(s.Values, model.AttributeValue{Value: new(v)})
		}
		out.DhcpConfigurations = append(out.DhcpConfigurations, s)
	}
	return out
}
