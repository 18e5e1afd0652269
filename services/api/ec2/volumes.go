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
	"skerry/services/state"
	"skerry/services/storage"
)

// volumeDeleted is what a volume is once nothing is left of it. Only a call
// repeated by its client token can still see one.
const volumeDeleted = "deleted"

// CreateVolume asks for a volume. The reply shows it creating; a call repeated
// by its client token gets the volume of the first as it is.
func (h *Handlers) CreateVolume(ctx context.Context, c *api.Call, in *model.CreateVolumeInput) (*model.CreateVolumeOutput, error) {
	if err := refuse(param{"KmsKeyId", value(in.KmsKeyId) != ""}, param{"OutpostArn", value(in.OutpostArn) != ""}); err != nil {
		return nil, err
	}
	if value(in.SnapshotId) != "" {
		if err := ids.Snapshot.Check(*in.SnapshotId); err != nil {
			return nil, err
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "volume")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateVolume{
		Zone: events.Zone(value(in.AvailabilityZone)), SizeGiB: int(value(in.Size)), Type: value(in.VolumeType), IOPS: int(value(in.Iops)),
		Throughput: int(value(in.Throughput)), Snapshot: value(in.SnapshotId), Encrypted: value(in.Encrypted),
		MultiAttach: value(in.MultiAttachEnabled), Tags: specs["volume"],
	})
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		e, ok := r.Event.(events.VolumeRequested)
		if !ok {
			continue
		}
		if r.Request == c.RequestID {
			made := showVolume(&state.Volume{VolumeRequested: e, State: state.VolumeCreating})
			made.Tags = toldTags(reply, string(e.ID))
			return &made, nil
		}
		v := h.after(ctx, c)
		old, ok := v.Volumes.Get(string(e.ID))
		if !ok {
			old = &state.Volume{VolumeRequested: e, State: volumeDeleted}
		}
		made := showVolume(old)
		made.Tags = shownTags(v.TagsOf(string(e.ID)))
		return &made, nil
	}
	return nil, fmt.Errorf("ec2: a volume was made without a word of it")
}

// toldTags are the tags that a command's events give to a resource.
func toldTags(reply events.Reply, resource string) []model.Tag {
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.ResourceTagged); ok && e.Resource == resource {
			return shownTags(e.Tags)
		}
	}
	return nil
}

// DeleteVolume ends a volume that nobody has.
func (h *Handlers) DeleteVolume(ctx context.Context, c *api.Call, in *model.DeleteVolumeInput) (*model.DeleteVolumeOutput, error) {
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteVolume{Volume: events.VolumeID(*in.VolumeId)})
	return new(model.DeleteVolumeOutput), err
}

// AttachVolume gives a volume to an instance. The reply shows it attaching.
func (h *Handlers) AttachVolume(ctx context.Context, c *api.Call, in *model.AttachVolumeInput) (*model.AttachVolumeOutput, error) {
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AttachVolume{Volume: events.VolumeID(*in.VolumeId), Instance: events.InstanceID(*in.InstanceId), Device: value(in.Device)})
	if err != nil || c.DryRun {
		return nil, err
	}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.VolumeAttachRequested); ok {
			return showAttachment(e.Volume, &state.Attachment{Instance: e.Instance, Device: e.Device, State: state.Attaching,
				DeleteOnTermination: e.DeleteOnTermination, At: e.At}), nil
		}
	}
	return nil, fmt.Errorf("ec2: a volume was attached without a word of it")
}

// DetachVolume takes a volume back. The reply shows it detaching: it is the
// guest that lets go, and the storage node that says the volume is free. The
// attachment is read first, since what happened does not repeat its device.
func (h *Handlers) DetachVolume(ctx context.Context, c *api.Call, in *model.DetachVolumeInput) (*model.DetachVolumeOutput, error) {
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	if in.InstanceId != nil {
		if err := ids.Instance.Check(*in.InstanceId); err != nil {
			return nil, err
		}
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	id := events.VolumeID(*in.VolumeId)
	a := &state.Attachment{Instance: events.InstanceID(value(in.InstanceId)), Device: value(in.Device)}
	if r, ok := v.Volume(events.AccountID(c.Account), id); ok && r.Attachment != nil {
		a = new(*r.Attachment)
	}
	reply, err := h.do(ctx, c, 0, events.DetachVolume{Volume: id, Instance: events.InstanceID(value(in.InstanceId)), Device: value(in.Device), Force: value(in.Force)})
	if err != nil || c.DryRun {
		return nil, err
	}
	// Should another attachment have taken the place of the one read.
	for _, r := range reply.Events {
		var ended events.AttachmentID
		var instance events.InstanceID
		switch e := r.Event.(type) {
		case events.VolumeDetachRequested:
			ended, instance = e.Attachment, e.Instance
		case events.AttachmentEnded:
			ended, instance = e.Attachment, e.Instance
		}
		if ended != "" && ended != a.ID {
			a = &state.Attachment{Instance: instance, Device: value(in.Device)}
		}
	}
	a.State = state.Detaching
	return showAttachment(id, a), nil
}

func showAttachment(id events.VolumeID, a *state.Attachment) *model.VolumeAttachment {
	out := &model.VolumeAttachment{VolumeId: some(id), InstanceId: some(a.Instance), Device: some(a.Device), State: some(a.State),
		DeleteOnTermination: &a.DeleteOnTermination}
	if !a.At.IsZero() {
		out.AttachTime = &a.At
	}
	return out
}

// showVolume shows a volume without its tags.
func showVolume(r *state.Volume) model.Volume {
	out := model.Volume{
		VolumeId: some(r.ID), AvailabilityZone: some(r.Zone), Size: new(int32(r.SizeGiB)), SnapshotId: new(string(r.Snapshot)), State: &r.State, CreateTime: &r.At,
		VolumeType: &r.Type, Encrypted: new(false), MultiAttachEnabled: new(false), Attachments: []model.VolumeAttachment{},
	}
	if r.IOPS != 0 {
		out.Iops = new(int32(r.IOPS))
	}
	if r.Throughput != 0 {
		out.Throughput = new(int32(r.Throughput))
	}
	if r.Attachment != nil {
		out.Attachments = append(out.Attachments, *showAttachment(r.ID, r.Attachment))
	}
	return out
}

type volumeRow = row[model.Volume]

func attachments(values func(model.VolumeAttachment) []string) func(volumeRow) []string {
	return func(r volumeRow) []string { return each(r.shown.Attachments, values) }
}

var volumeListing = listing[model.Volume]{fields: filter.Fields[volumeRow]{
	"attachment.attach-time":           attachments(func(a model.VolumeAttachment) []string { return moment(a.AttachTime) }),
	"attachment.delete-on-termination": attachments(func(a model.VolumeAttachment) []string { return flag(a.DeleteOnTermination) }),
	"attachment.device":                attachments(func(a model.VolumeAttachment) []string { return word(a.Device) }),
	"attachment.instance-id":           attachments(func(a model.VolumeAttachment) []string { return word(a.InstanceId) }),
	"attachment.status":                attachments(func(a model.VolumeAttachment) []string { return word(a.State) }),
	"availability-zone":                func(r volumeRow) []string { return word(r.shown.AvailabilityZone) },
	"create-time":                      func(r volumeRow) []string { return moment(r.shown.CreateTime) },
	"encrypted":                        func(r volumeRow) []string { return flag(r.shown.Encrypted) },
	"fast-restored":                    never[volumeRow],
	"multi-attach-enabled":             func(r volumeRow) []string { return flag(r.shown.MultiAttachEnabled) },
	"size":                             func(r volumeRow) []string { return number(r.shown.Size) },
	"snapshot-id":                      func(r volumeRow) []string { return word(r.shown.SnapshotId) },
	"status":                           func(r volumeRow) []string { return word(r.shown.State) },
	"volume-id":                        func(r volumeRow) []string { return word(r.shown.VolumeId) },
	"volume-type":                      func(r volumeRow) []string { return word(r.shown.VolumeType) },
}}

// DescribeVolumes lists volumes in the order of their creation.
func (h *Handlers) DescribeVolumes(ctx context.Context, c *api.Call, in *model.DescribeVolumesInput) (*model.DescribeVolumesOutput, error) {
	v, list, err := h.volumes(ctx, c, in.VolumeIds, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeVolumesOutput)
	out.Volumes, out.NextToken, err = chooseFrom(volumeListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list, creationOrder,
		func(r *state.Volume) volumeRow {
			t := v.TagsOf(string(r.ID))
			s := showVolume(r)
			s.Tags = shownTags(t)
			return volumeRow{shown: s, tags: t}
		})
	return out, err
}

func creationOrder(r *state.Volume) string { return state.ByTime(r.At, string(r.ID)) }

// volumes looks up volumes of the caller, all or none.
func (h *Handlers) volumes(ctx context.Context, c *api.Call, names []string, maxResults *int32) (view, []*state.Volume, error) {
	if err := ids.Volume.CheckAll(names); err != nil {
		return view{}, nil, err
	}
	if err := notTogether("volumeIds", len(names) > 0, "maxResults", maxResults != nil); err != nil {
		return view{}, nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return view{}, nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(names,
		func(id string) (*state.Volume, bool) { return v.Volume(account, events.VolumeID(id)) },
		func(yield func(*state.Volume)) {
			for r := range v.VolumesOf(account) {
				yield(r)
			}
		},
		func(names []string) error { return storage.NotFound(names[0]) })
	return v, list, err
}

type volumeStatusRow = row[model.VolumeStatusItem]

func volumeDetails(values func(model.VolumeStatusDetails) []string) func(volumeStatusRow) []string {
	return func(r volumeStatusRow) []string { return each(r.shown.VolumeStatus.Details, values) }
}

var volumeStatusListing = listing[model.VolumeStatusItem]{tagless: true, fields: filter.Fields[volumeStatusRow]{
	"availability-zone":            func(r volumeStatusRow) []string { return word(r.shown.AvailabilityZone) },
	"volume-status.details-name":   volumeDetails(func(d model.VolumeStatusDetails) []string { return word(d.Name) }),
	"volume-status.details-status": volumeDetails(func(d model.VolumeStatusDetails) []string { return word(d.Status) }),
	"volume-status.status":         func(r volumeStatusRow) []string { return word(r.shown.VolumeStatus.Status) },

	"action.code":        never[volumeStatusRow],
	"action.description": never[volumeStatusRow],
	"action.event-id":    never[volumeStatusRow],
	"event.description":  never[volumeStatusRow],
	"event.event-id":     never[volumeStatusRow],
	"event.event-type":   never[volumeStatusRow],
	"event.not-after":    never[volumeStatusRow],
	"event.not-before":   never[volumeStatusRow],
}}

// DescribeVolumeStatus tells how volumes fare.
func (h *Handlers) DescribeVolumeStatus(ctx context.Context, c *api.Call, in *model.DescribeVolumeStatusInput) (*model.DescribeVolumeStatusOutput, error) {
	v, list, err := h.volumes(ctx, c, in.VolumeIds, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeVolumeStatusOutput)
	out.VolumeStatuses, out.NextToken, err = chooseFrom(volumeStatusListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list, creationOrder,
		func(r *state.Volume) volumeStatusRow { return volumeStatusRow{shown: v.volumeStatus(r)} })
	return out, err
}

// volumeStatus is what the region knows of a volume's health: whether it is
// held, and whether its storage node answers. How fast it is nobody measures.
func (v view) volumeStatus(r *state.Volume) model.VolumeStatusItem {
	status, io := "ok", "passed"
	n, placed := v.Nodes.Get(state.NodeKey(r.Host, "storage"))
	switch {
	case r.State == state.VolumeError, placed && n.Lost:
		status, io = "impaired", "failed"
	case r.State == state.VolumeCreating:
		status, io = "insufficient-data", "not-applicable"
	}
	return model.VolumeStatusItem{
		VolumeId: some(r.ID), AvailabilityZone: some(r.Zone), Actions: []model.VolumeStatusAction{}, Events: []model.VolumeStatusEvent{},
		VolumeStatus: &model.VolumeStatusInfo{Status: &status, Details: []model.VolumeStatusDetails{
			{Name: new("io-enabled"), Status: &io}, {Name: new("io-performance"), Status: new("not-applicable")}}},
	}
}

// DescribeVolumeAttribute shows one attribute of a volume. A volume whose blocks
// are doubted is not served, whatever it says.
func (h *Handlers) DescribeVolumeAttribute(ctx context.Context, c *api.Call, in *model.DescribeVolumeAttributeInput) (*model.DescribeVolumeAttributeOutput, error) {
	_, list, err := h.volumes(ctx, c, []string{value(in.VolumeId)}, nil)
	if err != nil {
		return nil, err
	}
	out := &model.DescribeVolumeAttributeOutput{VolumeId: in.VolumeId}
	switch value(in.Attribute) {
	case "autoEnableIO":
		out.AutoEnableIO = &model.AttributeBooleanValue{Value: &list[0].AutoIO}
	case "productCodes":
		out.ProductCodes = []model.ProductCode{}
	}
	return out, nil
}
