package ec2

import (
	"context"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
)

// CreateTags sets tags on resources: on all of them, or on none.
func (h *Handlers) CreateTags(ctx context.Context, c *api.Call, in *model.CreateTagsInput) (*model.CreateTagsOutput, error) {
	if err := anyKind(in.Resources); err != nil {
		return nil, err
	}
	list, err := tags.Read(in.Tags)
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.TagResources{Resources: in.Resources, Tags: list})
	return new(model.CreateTagsOutput), err
}

// DeleteTags removes tags: of a key whatever its value, of a key and a value,
// or all of them when none is named.
func (h *Handlers) DeleteTags(ctx context.Context, c *api.Call, in *model.DeleteTagsInput) (*model.DeleteTagsOutput, error) {
	if err := anyKind(in.Resources); err != nil {
		return nil, err
	}
	cmd := events.UntagResources{Resources: in.Resources}
	for i, t := range in.Tags {
		if t.Key == nil {
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter Tag.%d.Key", i+1)
		}
		cmd.Tags = append(cmd.Tags, events.UntagTag{Key: *t.Key, Value: t.Value})
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.DeleteTagsOutput), err
}

func anyKind(resources []string) error {
	for _, r := range resources {
		if _, err := ids.Of(r); err != nil {
			return err
		}
	}
	return nil
}

type tagRow = row[model.TagDescription]

var tagListing = listing[model.TagDescription]{fields: filter.Fields[tagRow]{
	"key":           func(r tagRow) []string { return word(r.shown.Key) },
	"resource-id":   func(r tagRow) []string { return word(r.shown.ResourceId) },
	"resource-type": func(r tagRow) []string { return word(r.shown.ResourceType) },
	"value":         func(r tagRow) []string { return word(r.shown.Value) },
}}

// DescribeTags lists the account's tags, one row for each.
func (h *Handlers) DescribeTags(ctx context.Context, c *api.Call, in *model.DescribeTagsInput) (*model.DescribeTagsOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	var rows []tagRow
	for t := range v.TaggedBy(events.AccountID(c.Account)) {
		for _, tag := range t.Tags {
			rows = append(rows, tagRow{key: t.Resource + "/" + tag.Key, tags: []events.Tag{tag}, shown: model.TagDescription{
				Key: new(tag.Key), Value: new(tag.Value), ResourceId: new(t.Resource), ResourceType: new(resourceType(t.Resource))}})
		}
	}
	out := new(model.DescribeTagsOutput)
	out.Tags, out.NextToken, err = tagListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// resourceTypes are EC2's words for what an id's prefix says ("Tag" data types,
// ResourceType).
var resourceTypes = map[string]string{
	"i": "instance", "ami": "image", "aki": "image", "ari": "image", "key": "key-pair", "vpc": "vpc",
	"subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule", "eni": "network-interface",
	"vol": "volume", "snap": "snapshot", "r": "reservation",
	"igw": "internet-gateway", "rtb": "route-table", "eipalloc": "elastic-ip",
	"acl": "network-acl", "nat": "natgateway", "eigw": "egress-only-internet-gateway", "pcx": "vpc-peering-connection", "pg": "placement-group", "lt": "launch-template",
	"dopt": "dhcp-options", "pl": "prefix-list", "fl": "vpc-flow-log", "ipv4pool": "ipv4pool-ec2", "ipv6pool": "ipv6pool-ec2",
	"cgw": "customer-gateway", "vgw": "vpn-gateway", "vpn": "vpn-connection",
}

func resourceType(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	return resourceTypes[prefix]
}
