package ec2

import (
	"context"
	"fmt"
	"net/netip"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/network"
	"skerry/services/state"
)

// Words of the replies for what is done when the reply comes: EC2 says that it
// is under way.
const (
	creatingPrefixList  = "create-in-progress"
	modifyingPrefixList = "modify-in-progress"
	restoringPrefixList = "restore-in-progress"
	deletingPrefixList  = "delete-in-progress"
)

// CreateManagedPrefixList makes a list that nothing refers to yet.
func (h *Handlers) CreateManagedPrefixList(ctx context.Context, c *api.Call, in *model.CreateManagedPrefixListInput) (*model.CreateManagedPrefixListOutput, error) {
	specs, err := tags.Specs(in.TagSpecifications, "prefix-list")
	if err != nil {
		return nil, err
	}
	entries, err := prefixEntries(in.Entries)
	if err != nil {
		return nil, err
	}
	if in.MaxEntries == nil {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter MaxEntries")
	}
	reply, err := h.do(ctx, c, 0, events.CreatePrefixList{Name: value(in.PrefixListName), Family: value(in.AddressFamily), Max: int(*in.MaxEntries), Entries: entries, Tags: specs["prefix-list"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateManagedPrefixListOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.PrefixListCreated); ok {
			s := showPrefixList(c.Region, &state.PrefixList{PrefixListCreated: e, Versions: []state.PrefixVersion{{Version: 1}}}, creatingPrefixList)
			s.Tags = toldTags(reply, string(e.ID))
			out.PrefixList = &s
		}
	}
	return out, nil
}

func prefixEntries(in []model.AddPrefixListEntry) (out []events.PrefixEntry, err error) {
	for _, x := range in {
		p, err := anyBlock(x.Cidr)
		if err != nil {
			return nil, err
		}
		out = append(out, events.PrefixEntry{CIDR: p, Description: value(x.Description)})
	}
	return out, nil
}

// anyBlock reads a block of addresses of either family.
func anyBlock(text *string) (netip.Prefix, error) {
	if value(text) == "" {
		return netip.Prefix{}, events.Faultf("MissingParameter", "The request must contain the parameter Cidr")
	}
	p, err := netip.ParsePrefix(*text)
	if err != nil {
		return p, events.Faultf("InvalidParameterValue", "CIDR block %s is malformed", *text)
	}
	return p, nil
}

// ModifyManagedPrefixList changes the name, the size or the entries of a list.
func (h *Handlers) ModifyManagedPrefixList(ctx context.Context, c *api.Call, in *model.ModifyManagedPrefixListInput) (*model.ModifyManagedPrefixListOutput, error) {
	if err := ids.PrefixList.Check(value(in.PrefixListId)); err != nil {
		return nil, err
	}
	cmd := events.ModifyPrefixList{List: events.PrefixListID(*in.PrefixListId), Name: in.PrefixListName}
	var err error
	if cmd.Add, err = prefixEntries(in.AddEntries); err != nil {
		return nil, err
	}
	for _, x := range in.RemoveEntries {
		p, err := anyBlock(x.Cidr)
		if err != nil {
			return nil, err
		}
		cmd.Remove = append(cmd.Remove, p)
	}
	if in.MaxEntries != nil {
		cmd.Max = new(int(*in.MaxEntries))
	}
	if in.CurrentVersion != nil {
		v, err := listVersion(in.CurrentVersion, "CurrentVersion")
		if err != nil {
			return nil, err
		}
		cmd.Current = &v
	}
	_, err = h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	return &model.ModifyManagedPrefixListOutput{PrefixList: h.changedPrefixList(ctx, c, cmd.List, modifyingPrefixList)}, nil
}

// RestoreManagedPrefixListVersion makes an older version's entries those of the
// next version.
func (h *Handlers) RestoreManagedPrefixListVersion(ctx context.Context, c *api.Call, in *model.RestoreManagedPrefixListVersionInput) (*model.RestoreManagedPrefixListVersionOutput, error) {
	if err := ids.PrefixList.Check(value(in.PrefixListId)); err != nil {
		return nil, err
	}
	current, err := listVersion(in.CurrentVersion, "CurrentVersion")
	if err != nil {
		return nil, err
	}
	from, err := listVersion(in.PreviousVersion, "PreviousVersion")
	if err != nil {
		return nil, err
	}
	id := events.PrefixListID(*in.PrefixListId)
	_, err = h.do(ctx, c, 0, events.RestorePrefixList{List: id, Current: current, From: from})
	if err != nil || c.DryRun {
		return nil, err
	}
	return &model.RestoreManagedPrefixListVersionOutput{PrefixList: h.changedPrefixList(ctx, c, id, restoringPrefixList)}, nil
}

func listVersion(n *int64, parameter string) (uint64, error) {
	switch {
	case n == nil:
		return 0, events.Faultf("MissingParameter", "The request must contain the parameter %s", parameter)
	case *n < 1:
		return 0, events.Faultf("InvalidParameterValue", "Value (%d) for parameter %s is invalid. Versions begin with 1.", *n, parameter)
	}
	return uint64(*n), nil
}

// changedPrefixList shows a list after a change of it.
func (h *Handlers) changedPrefixList(ctx context.Context, c *api.Call, id events.PrefixListID, is string) *model.ManagedPrefixList {
	v := h.after(ctx, c)
	l, ok := v.PrefixLists.Get(string(id))
	if !ok {
		return &model.ManagedPrefixList{PrefixListId: some(id), OwnerId: &c.Account, State: &is}
	}
	s := showPrefixList(c.Region, l, is)
	s.Tags = shownTags(v.TagsOf(string(id)))
	return &s
}

// DeleteManagedPrefixList ends a list that nothing refers to.
func (h *Handlers) DeleteManagedPrefixList(ctx context.Context, c *api.Call, in *model.DeleteManagedPrefixListInput) (*model.DeleteManagedPrefixListOutput, error) {
	if err := ids.PrefixList.Check(value(in.PrefixListId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	id := events.PrefixListID(*in.PrefixListId)
	old, ok := v.PrefixLists.Get(string(id))
	if _, err = h.do(ctx, c, 0, events.DeletePrefixList{List: id}); err != nil || c.DryRun {
		return nil, err
	}
	out := &model.DeleteManagedPrefixListOutput{PrefixList: &model.ManagedPrefixList{PrefixListId: some(id), OwnerId: &c.Account, State: new(deletingPrefixList)}}
	if ok {
		s := showPrefixList(c.Region, old, deletingPrefixList)
		out.PrefixList = &s
	}
	return out, nil
}

func showPrefixList(region string, l *state.PrefixList, is string) model.ManagedPrefixList {
	return model.ManagedPrefixList{PrefixListId: some(l.ID), OwnerId: some(l.Account), PrefixListName: &l.Name, AddressFamily: &l.Family, MaxEntries: new(int32(l.Max)),
		State: &is, Version: new(int64(l.Version())), PrefixListArn: new(fmt.Sprintf("arn:aws:ec2:%s:%s:prefix-list/%s", region, l.Account, l.ID))}
}

type prefixListRow = row[model.ManagedPrefixList]

var prefixListListing = listing[model.ManagedPrefixList]{fields: filter.Fields[prefixListRow]{
	"owner-id":         func(r prefixListRow) []string { return word(r.shown.OwnerId) },
	"prefix-list-id":   func(r prefixListRow) []string { return word(r.shown.PrefixListId) },
	"prefix-list-name": func(r prefixListRow) []string { return word(r.shown.PrefixListName) },
}}

// DescribeManagedPrefixLists lists the account's prefix lists.
func (h *Handlers) DescribeManagedPrefixLists(ctx context.Context, c *api.Call, in *model.DescribeManagedPrefixListsInput) (*model.DescribeManagedPrefixListsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.PrefixList, "prefix list", in.PrefixListIds,
		func(v view, account events.AccountID, id string) (*state.PrefixList, bool) {
			l, ok := v.PrefixLists.Get(id)
			return l, ok && l.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.PrefixList)) {
			for l := range v.PrefixListsOf(account) {
				yield(l)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []prefixListRow
	for _, l := range list {
		t := v.TagsOf(string(l.ID))
		s := showPrefixList(c.Region, l, l.State)
		s.Tags = shownTags(t)
		rows = append(rows, prefixListRow{key: string(l.ID), tags: t, shown: s})
	}
	out := new(model.DescribeManagedPrefixListsOutput)
	out.PrefixLists, out.NextToken, err = prefixListListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

var servicePrefixListing = listing[model.PrefixList]{tagless: true, fields: filter.Fields[row[model.PrefixList]]{
	"prefix-list-id":   never[row[model.PrefixList]],
	"prefix-list-name": never[row[model.PrefixList]],
}}

// DescribePrefixLists lists the prefix lists of services that endpoints lead to.
// There are none in this region.
func (h *Handlers) DescribePrefixLists(ctx context.Context, c *api.Call, in *model.DescribePrefixListsInput) (*model.DescribePrefixListsOutput, error) {
	if err := ids.PrefixList.CheckAll(in.PrefixListIds); err != nil {
		return nil, err
	}
	if len(in.PrefixListIds) > 0 {
		return nil, events.Faultf("InvalidPrefixListId.NotFound", "The prefix list ID '%s' does not exist", in.PrefixListIds[0])
	}
	out := new(model.DescribePrefixListsOutput)
	var err error
	out.PrefixLists, out.NextToken, err = servicePrefixListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, nil)
	return out, err
}

// GetManagedPrefixListEntries lists the entries of a version of a list.
func (h *Handlers) GetManagedPrefixListEntries(ctx context.Context, c *api.Call, in *model.GetManagedPrefixListEntriesInput) (*model.GetManagedPrefixListEntriesOutput, error) {
	if err := ids.PrefixList.Check(value(in.PrefixListId)); err != nil {
		return nil, err
	}
	version := uint64(0)
	if in.TargetVersion != nil {
		var err error
		if version, err = listVersion(in.TargetVersion, "TargetVersion"); err != nil {
			return nil, err
		}
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := network.PrefixEntries(v.View, events.AccountID(c.Account), events.PrefixListID(*in.PrefixListId), version)
	if err != nil {
		return nil, err
	}
	var rows []row[model.PrefixListEntry]
	for _, e := range entries {
		rows = append(rows, row[model.PrefixListEntry]{key: fmt.Sprintf("%s/%03d", e.CIDR.Addr().StringExpanded(), e.CIDR.Bits()),
			shown: model.PrefixListEntry{Cidr: new(e.CIDR.String()), Description: some(e.Description)}})
	}
	out := new(model.GetManagedPrefixListEntriesOutput)
	out.Entries, out.NextToken, err = listing[model.PrefixListEntry]{tagless: true, min: 1, max: 100}.choose(h, c, ask{nil, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// GetManagedPrefixListAssociations lists what refers to a list.
func (h *Handlers) GetManagedPrefixListAssociations(ctx context.Context, c *api.Call, in *model.GetManagedPrefixListAssociationsInput) (*model.GetManagedPrefixListAssociationsOutput, error) {
	if err := ids.PrefixList.Check(value(in.PrefixListId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	id := events.PrefixListID(*in.PrefixListId)
	if _, err := network.PrefixEntries(v.View, events.AccountID(c.Account), id, 0); err != nil {
		return nil, err
	}
	var rows []row[model.PrefixListAssociation]
	for g := range v.GroupsWith(id) {
		rows = append(rows, row[model.PrefixListAssociation]{key: string(g.ID), shown: model.PrefixListAssociation{ResourceId: some(g.ID), ResourceOwner: some(g.Account)}})
	}
	for t := range v.TablesWith(id) {
		rows = append(rows, row[model.PrefixListAssociation]{key: string(t.ID), shown: model.PrefixListAssociation{ResourceId: some(t.ID), ResourceOwner: some(t.Account)}})
	}
	out := new(model.GetManagedPrefixListAssociationsOutput)
	out.PrefixListAssociations, out.NextToken, err = listing[model.PrefixListAssociation]{tagless: true, min: 5, max: 255}.choose(h, c, ask{nil, in.MaxResults, in.NextToken}, rows)
	return out, err
}
