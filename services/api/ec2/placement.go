package ec2

import (
	"context"
	"fmt"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/compute"
	"skerry/services/state"
)

// CreatePlacementGroup makes a group for instances to be launched into.
func (h *Handlers) CreatePlacementGroup(ctx context.Context, c *api.Call, in *model.CreatePlacementGroupInput) (*model.CreatePlacementGroupOutput, error) {
	if err := refuse(param{"SpreadLevel", isOther(in.SpreadLevel, "rack")}); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "placement-group")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreatePlacementGroup{Name: value(in.GroupName), Strategy: value(in.Strategy),
		Partitions: int(value(in.PartitionCount)), Tags: specs["placement-group"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.PlacementGroupCreated); ok {
			made := showPlacementGroup(c, &state.PlacementGroup{PlacementGroupCreated: e})
			made.Tags = toldTags(reply, string(e.ID))
			return &model.CreatePlacementGroupOutput{PlacementGroup: &made}, nil
		}
	}
	return nil, fmt.Errorf("ec2: a placement group was made without a word of it")
}

// DeletePlacementGroup ends a group without instances.
func (h *Handlers) DeletePlacementGroup(ctx context.Context, c *api.Call, in *model.DeletePlacementGroupInput) (*model.DeletePlacementGroupOutput, error) {
	_, err := h.do(ctx, c, 0, events.DeletePlacementGroup{Name: value(in.GroupName)})
	return new(model.DeletePlacementGroupOutput), err
}

func showPlacementGroup(c *api.Call, g *state.PlacementGroup) model.PlacementGroup {
	out := model.PlacementGroup{GroupId: some(g.ID), GroupName: &g.Name, State: new("available"), Strategy: &g.Strategy,
		GroupArn: new(fmt.Sprintf("arn:aws:ec2:%s:%s:placement-group/%s", c.Region, g.Account, g.Name))}
	switch g.Strategy {
	case events.Partition:
		out.PartitionCount = new(int32(g.Partitions))
	case events.Spread:
		out.SpreadLevel = new("rack")
	}
	return out
}

type placementRow = row[model.PlacementGroup]

var placementListing = listing[model.PlacementGroup]{fields: filter.Fields[placementRow]{
	"group-arn":    func(r placementRow) []string { return word(r.shown.GroupArn) },
	"group-name":   func(r placementRow) []string { return word(r.shown.GroupName) },
	"spread-level": func(r placementRow) []string { return word(r.shown.SpreadLevel) },
	"state":        func(r placementRow) []string { return word(r.shown.State) },
	"strategy":     func(r placementRow) []string { return word(r.shown.Strategy) },
}}

// DescribePlacementGroups lists groups by name. EC2 has no pages of them.
func (h *Handlers) DescribePlacementGroups(ctx context.Context, c *api.Call, in *model.DescribePlacementGroupsInput) (*model.DescribePlacementGroupsOutput, error) {
	if err := ids.PlacementGroup.CheckAll(in.GroupIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(append(in.GroupNames, in.GroupIds...),
		func(n string) (*state.PlacementGroup, bool) { return v.PlacementGroup(account, n) },
		func(yield func(*state.PlacementGroup)) {
			for g := range v.PlacementGroupsOf(account) {
				yield(g)
			}
		},
		func(names []string) error { return compute.NoPlacementGroup(names[0]) })
	if err != nil {
		return nil, err
	}
	out := new(model.DescribePlacementGroupsOutput)
	out.PlacementGroups, _, err = chooseFrom(placementListing, h, c, ask{filters: in.Filters}, list,
		func(g *state.PlacementGroup) string { return g.Name },
		func(g *state.PlacementGroup) placementRow {
			r := placementRow{shown: showPlacementGroup(c, g), tags: v.TagsOf(string(g.ID))}
			r.shown.Tags = shownTags(r.tags)
			return r
		})
	return out, err
}
