package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
)

// What networks have that this region has not: tenancies but one, and links to
// EC2-Classic.

// networks refuses ids of networks that the account has not.
func (h *Handlers) networks(ctx context.Context, c *api.Call, list ...string) error {
	if err := ids.VPC.CheckAll(list); err != nil {
		return err
	}
	v, err := h.read(ctx)
	if err != nil {
		return err
	}
	for _, id := range list {
		if _, ok := v.vpc(events.AccountID(c.Account), id); !ok {
			return notFound(ids.VPC, "vpc")([]string{id})
		}
	}
	return nil
}

// ModifyVpcTenancy makes a network's tenancy the only one that there is.
func (h *Handlers) ModifyVpcTenancy(ctx context.Context, c *api.Call, in *model.ModifyVpcTenancyInput) (*model.ModifyVpcTenancyOutput, error) {
	if value(in.InstanceTenancy) == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter InstanceTenancy")
	}
	return &model.ModifyVpcTenancyOutput{ReturnValue: new(true)}, h.networks(ctx, c, value(in.VpcId))
}

var classicListing = listing[model.VpcClassicLink]{fields: filter.Fields[row[model.VpcClassicLink]]{
	"is-classic-link-enabled": never[row[model.VpcClassicLink]],
}}

// DescribeVpcClassicLink lists the networks with links: none.
func (h *Handlers) DescribeVpcClassicLink(ctx context.Context, c *api.Call, in *model.DescribeVpcClassicLinkInput) (*model.DescribeVpcClassicLinkOutput, error) {
	if err := h.networks(ctx, c, in.VpcIds...); err != nil {
		return nil, err
	}
	out := new(model.DescribeVpcClassicLinkOutput)
	var err error
	out.Vpcs, _, err = classicListing.choose(h, c, ask{filters: in.Filters}, nil)
	return out, err
}

// DescribeVpcClassicLinkDnsSupport lists the networks whose names such links
// know: none.
func (h *Handlers) DescribeVpcClassicLinkDnsSupport(ctx context.Context, c *api.Call, in *model.DescribeVpcClassicLinkDnsSupportInput) (*model.DescribeVpcClassicLinkDnsSupportOutput, error) {
	if err := h.networks(ctx, c, in.VpcIds...); err != nil {
		return nil, err
	}
	out := new(model.DescribeVpcClassicLinkDnsSupportOutput)
	var err error
	out.Vpcs, out.NextToken, err = listing[model.ClassicLinkDnsSupport]{tagless: true}.choose(h, c, ask{nil, in.MaxResults, in.NextToken}, nil)
	return out, err
}
