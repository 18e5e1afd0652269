package ec2

import (
	"context"
	"fmt"
	"slices"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/state"
	"skerry/services/storage"
)

// snapshotDeleted is what a snapshot is once nothing is left of it. Only a call
// repeated by its client token can still see one.
const snapshotDeleted = "deleted"

// CreateSnapshot keeps what a volume holds. The reply shows it pending.
func (h *Handlers) CreateSnapshot(ctx context.Context, c *api.Call, in *model.CreateSnapshotInput) (*model.CreateSnapshotOutput, error) {
	if err := refuse(param{"OutpostArn", value(in.OutpostArn) != ""}); err != nil {
		return nil, err
	}
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "snapshot")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateSnapshot{Volume: events.VolumeID(*in.VolumeId), Description: value(in.Description), Tags: specs["snapshot"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	made, err := h.snapshotOf(ctx, c, reply)
	return &made, err
}

// snapshotOf shows the snapshot that a command made, or the one of the call that
// this one repeats as it is.
func (h *Handlers) snapshotOf(ctx context.Context, c *api.Call, reply events.Reply) (model.Snapshot, error) {
	for _, r := range reply.Events {
		e, ok := r.Event.(events.SnapshotRequested)
		if !ok {
			continue
		}
		row, tags := &state.Snapshot{SnapshotRequested: e, State: state.SnapshotPending}, toldTags(reply, string(e.ID))
		if r.Request != c.RequestID {
			v := h.after(ctx, c)
			old, ok := v.Snapshots.Get(string(e.ID))
			if !ok || old.State == state.SnapshotDeleting {
				old = &state.Snapshot{SnapshotRequested: e, State: snapshotDeleted}
			}
			row, tags = old, shownTags(v.TagsOf(string(e.ID)))
		}
		made := showSnapshot(row)
		made.Tags = tags
		return made, nil
	}
	return model.Snapshot{}, fmt.Errorf("ec2: a snapshot was made without a word of it")
}

// CopySnapshot copies a snapshot, of this region or of another.
func (h *Handlers) CopySnapshot(ctx context.Context, c *api.Call, in *model.CopySnapshotInput) (*model.CopySnapshotOutput, error) {
	if err := ids.Snapshot.Check(value(in.SourceSnapshotId)); err != nil {
		return nil, err
	}
	if to := value(in.DestinationRegion); to != "" && to != c.Region {
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter destinationRegion is invalid. The request went to the region '%s', and copies are made there.", to, c.Region)
	}
	if err := refuse(param{"DestinationOutpostArn", value(in.DestinationOutpostArn) != ""}, param{"Encrypted", value(in.Encrypted)}, param{"KmsKeyId", value(in.KmsKeyId) != ""}); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "snapshot")
	if err != nil {
		return nil, err
	}
	cmd := events.CopySnapshot{Snapshot: events.SnapshotID(*in.SourceSnapshotId), Description: value(in.Description), Tags: specs["snapshot"]}
	from, err := h.elsewhere(ctx, c, in.SourceRegion)
	if err != nil {
		return nil, err
	}
	if from != nil {
		far, err := h.far.Snapshot(ctx, *from, events.AccountID(c.Account), cmd.Snapshot)
		if err != nil {
			return nil, err
		}
		cmd.Far = &far
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	made, err := h.snapshotOf(ctx, c, reply)
	return &model.CopySnapshotOutput{SnapshotId: made.SnapshotId, Tags: made.Tags}, err
}

// elsewhere is the region that a copy is made from, when it is another one: nil
// means this one.
func (h *Handlers) elsewhere(ctx context.Context, c *api.Call, name *string) (*events.RegionInfo, error) {
	if value(name) == "" || *name == c.Region {
		return nil, nil
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := v.Regions.Get(*name)
	if !ok || h.far == nil {
		return nil, events.Faultf("InvalidParameterValue", "Invalid region: [%s]. No region of this name shares the accounts of the region %s.", *name, c.Region)
	}
	return &r.Region, nil
}

// DeleteSnapshot ends a snapshot.
func (h *Handlers) DeleteSnapshot(ctx context.Context, c *api.Call, in *model.DeleteSnapshotInput) (*model.DeleteSnapshotOutput, error) {
	if err := ids.Snapshot.Check(value(in.SnapshotId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteSnapshot{Snapshot: events.SnapshotID(*in.SnapshotId)})
	return new(model.DeleteSnapshotOutput), err
}

// showSnapshot shows a snapshot without its tags.
func showSnapshot(r *state.Snapshot) model.Snapshot {
	progress := "0%"
	if r.State == state.SnapshotCompleted {
		progress = "100%"
	}
	volume := r.Volume
	if volume == "" {
		volume = "vol-ffffffff" // EC2 shows this of a copy
	}
	detail := r.Detail
	if r.SourceRegion != "" && r.State == state.SnapshotPending {
		detail = "The snapshot waits for the bytes of " + string(r.Source) + " from the region " + r.SourceRegion + ": none of them is in this region yet."
	}
	return model.Snapshot{SnapshotId: some(r.ID), VolumeId: some(volume), VolumeSize: new(int32(r.SizeGiB)), State: &r.State, StateMessage: some(detail),
		Progress: &progress, StartTime: &r.At, OwnerId: some(r.Account), Description: &r.Description, Encrypted: new(false), StorageTier: new("standard")}
}

type snapshotRow = row[model.Snapshot]

var snapshotListing = listing[model.Snapshot]{fields: filter.Fields[snapshotRow]{
	"description":  func(r snapshotRow) []string { return word(r.shown.Description) },
	"encrypted":    func(r snapshotRow) []string { return flag(r.shown.Encrypted) },
	"owner-alias":  func(r snapshotRow) []string { return word(r.shown.OwnerAlias) },
	"owner-id":     func(r snapshotRow) []string { return word(r.shown.OwnerId) },
	"progress":     func(r snapshotRow) []string { return word(r.shown.Progress) },
	"snapshot-id":  func(r snapshotRow) []string { return word(r.shown.SnapshotId) },
	"start-time":   func(r snapshotRow) []string { return moment(r.shown.StartTime) },
	"status":       func(r snapshotRow) []string { return word(r.shown.State) },
	"storage-tier": func(r snapshotRow) []string { return word(r.shown.StorageTier) },
	"volume-id":    func(r snapshotRow) []string { return word(r.shown.VolumeId) },
	"volume-size":  func(r snapshotRow) []string { return number(r.shown.VolumeSize) },
}}

// DescribeSnapshots lists the snapshots that the account may make volumes of, by
// owner and by who was given them, in the order of their creation.
func (h *Handlers) DescribeSnapshots(ctx context.Context, c *api.Call, in *model.DescribeSnapshotsInput) (*model.DescribeSnapshotsOutput, error) {
	if err := ids.Snapshot.CheckAll(in.SnapshotIds); err != nil {
		return nil, err
	}
	if err := notTogether("snapshotIds", len(in.SnapshotIds) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	for _, list := range [][]string{in.OwnerIds, in.RestorableByUserIds} {
		for _, o := range list {
			if !slices.Contains([]string{"self", "amazon", "all"}, o) && !accountForm.MatchString(o) {
				return nil, events.Faultf("InvalidUserID.Malformed", "Invalid user id: \"%s\"; use self, amazon, all or an account id of 12 digits.", o)
			}
		}
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(in.SnapshotIds,
		func(id string) (*state.Snapshot, bool) { return v.Snapshot(account, events.SnapshotID(id)) },
		func(yield func(*state.Snapshot)) {
			for _, r := range v.Snapshots.All() {
				if r.Readable(account) {
					yield(r)
				}
			}
		},
		func(names []string) error { return storage.NoSnapshot(names[0]) })
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(r *state.Snapshot) bool {
		return !ownedBy(in.OwnerIds, r, account) || !restorable(in.RestorableByUserIds, r, account)
	})
	out := new(model.DescribeSnapshotsOutput)
	out.Snapshots, out.NextToken, err = chooseFrom(snapshotListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list,
		func(r *state.Snapshot) string { return state.ByTime(r.At, string(r.ID)) },
		func(r *state.Snapshot) snapshotRow {
			row := snapshotRow{shown: showSnapshot(r)}
			if r.Account == account { // an owner's tags are not shown to others
				row.tags = v.TagsOf(string(r.ID))
				row.shown.Tags = shownTags(row.tags)
			}
			return row
		})
	return out, err
}

func ownedBy(list []string, r *state.Snapshot, account events.AccountID) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(o string) bool {
		return o == string(r.Account) || o == "self" && r.Account == account
	})
}

// restorable reads the RestorableBy parameter: all means public snapshots, self
// what the caller may make volumes of.
func restorable(list []string, r *state.Snapshot, account events.AccountID) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(o string) bool {
		switch o {
		case "all":
			return r.Public
		case "self", string(account):
			return r.Readable(account)
		}
		return slices.Contains(r.Accounts, events.AccountID(o))
	})
}

// mine finds a snapshot of the caller's own.
func (v view) mine(c *api.Call, id *string) (*state.Snapshot, error) {
	if err := ids.Snapshot.Check(value(id)); err != nil {
		return nil, err
	}
	r, ok := v.Snapshot(events.AccountID(c.Account), events.SnapshotID(*id))
	switch {
	case !ok:
		return nil, storage.NoSnapshot(*id)
	case string(r.Account) != c.Account:
		return nil, events.Faultf("AuthFailure", "Not authorized for snapshot: %s", *id)
	}
	return r, nil
}

// DescribeSnapshotAttribute shows who may make volumes of a snapshot.
func (h *Handlers) DescribeSnapshotAttribute(ctx context.Context, c *api.Call, in *model.DescribeSnapshotAttributeInput) (*model.DescribeSnapshotAttributeOutput, error) {
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	r, err := v.mine(c, in.SnapshotId)
	if err != nil {
		return nil, err
	}
	out := &model.DescribeSnapshotAttributeOutput{SnapshotId: in.SnapshotId}
	switch value(in.Attribute) {
	case "createVolumePermission":
		out.CreateVolumePermissions = []model.CreateVolumePermission{}
		if r.Public {
			out.CreateVolumePermissions = append(out.CreateVolumePermissions, model.CreateVolumePermission{Group: new("all")})
		}
		for _, a := range r.Accounts {
			out.CreateVolumePermissions = append(out.CreateVolumePermissions, model.CreateVolumePermission{UserId: some(a)})
		}
	case "productCodes":
		out.ProductCodes = []model.ProductCode{}
	}
	return out, nil
}

// ModifySnapshotAttribute changes who may make volumes of a snapshot, in the
// structured form or by OperationType.
func (h *Handlers) ModifySnapshotAttribute(ctx context.Context, c *api.Call, in *model.ModifySnapshotAttributeInput) (*model.ModifySnapshotAttributeOutput, error) {
	if err := ids.Snapshot.Check(value(in.SnapshotId)); err != nil {
		return nil, err
	}
	if a := value(in.Attribute); a != "" && a != "createVolumePermission" {
		return nil, events.Faultf("InvalidParameterValue", "The attribute '%s' of a snapshot cannot be changed; createVolumePermission can.", a)
	}
	p := value(in.CreateVolumePermission)
	var list []model.CreateVolumePermission
	for _, u := range in.UserIds {
		list = append(list, model.CreateVolumePermission{UserId: &u})
	}
	for _, g := range in.GroupNames {
		list = append(list, model.CreateVolumePermission{Group: &g})
	}
	switch {
	case len(list) == 0:
	case value(in.OperationType) == "add":
		p.Add = append(p.Add, list...)
	case value(in.OperationType) == "remove":
		p.Remove = append(p.Remove, list...)
	default:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter OperationType: add or remove.")
	}
	if len(p.Add)+len(p.Remove) == 0 {
		return nil, events.Faultf("InvalidParameterCombination", "The request changes nothing: give CreateVolumePermission.")
	}
	cmd := events.ModifySnapshot{Snapshot: events.SnapshotID(*in.SnapshotId)}
	for _, side := range []struct {
		list []model.CreateVolumePermission
		into *[]events.AccountID
		give bool
	}{{p.Add, &cmd.Add, true}, {p.Remove, &cmd.Remove, false}} {
		for _, x := range side.list {
			switch {
			case x.Group != nil && *x.Group == "all" && (cmd.Public == nil || *cmd.Public == side.give):
				cmd.Public = new(side.give)
			case x.Group != nil && *x.Group == "all":
				return nil, events.Faultf("InvalidParameterCombination", "The group all cannot be added and removed at once.")
			case x.Group != nil:
				return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter group is invalid. Use all.", *x.Group)
			case !accountForm.MatchString(value(x.UserId)):
				return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter userId is invalid. Use an account id of 12 digits.", value(x.UserId))
			default:
				*side.into = append(*side.into, events.AccountID(*x.UserId))
			}
		}
	}
	_, err := h.do(ctx, c, 0, cmd)
	return new(model.ModifySnapshotAttributeOutput), err
}
