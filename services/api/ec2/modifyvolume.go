package ec2

import (
	"context"
	"fmt"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

// ModifyVolume changes size, type or performance of a volume. The reply shows it
// being modified; it is completed when the storage node holds it so.
func (h *Handlers) ModifyVolume(ctx context.Context, c *api.Call, in *model.ModifyVolumeInput) (*model.ModifyVolumeOutput, error) {
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	if err := refuse(param{"MultiAttachEnabled", value(in.MultiAttachEnabled)}); err != nil {
		return nil, err
	}
	id := events.VolumeID(*in.VolumeId)
	reply, err := h.do(ctx, c, 0, events.ModifyVolume{Volume: id, SizeGiB: int(value(in.Size)), Type: value(in.VolumeType),
		IOPS: int(value(in.Iops)), Throughput: int(value(in.Throughput))})
	if err != nil || c.DryRun {
		return nil, err
	}
	v := h.after(ctx, c)
	for _, r := range reply.Events {
		e, ok := r.Event.(events.VolumeModificationRequested)
		if !ok {
			continue
		}
		to := state.Kind{SizeGiB: e.SizeGiB, Type: e.Type, IOPS: e.IOPS, Throughput: e.Throughput}
		m := state.Modification{From: to, To: to, At: e.At} // what it was before is in the row alone
		if row, ok := v.Volumes.Get(string(id)); ok && row.Modification != nil && row.Revision == e.Revision {
			m.From = row.Modification.From
		}
		shown := showModification(id, &m)
		return &model.ModifyVolumeOutput{VolumeModification: &shown}, nil
	}
	return nil, fmt.Errorf("ec2: a volume was modified without a word of it")
}

func showModification(id events.VolumeID, m *state.Modification) model.VolumeModification {
	out := model.VolumeModification{VolumeId: some(id), ModificationState: new("modifying"), Progress: new(int64(0)), StartTime: &m.At,
		OriginalSize: new(int32(m.From.SizeGiB)), OriginalVolumeType: &m.From.Type, OriginalMultiAttachEnabled: new(false),
		TargetSize: new(int32(m.To.SizeGiB)), TargetVolumeType: &m.To.Type, TargetMultiAttachEnabled: new(false)}
	for _, n := range []struct {
		from int
		to   **int32
	}{{m.From.IOPS, &out.OriginalIops}, {m.To.IOPS, &out.TargetIops}, {m.From.Throughput, &out.OriginalThroughput}, {m.To.Throughput, &out.TargetThroughput}} {
		if n.from != 0 {
			*n.to = new(int32(n.from))
		}
	}
	if !m.Done.IsZero() {
		out.ModificationState, out.Progress, out.EndTime = new("completed"), new(int64(100)), &m.Done
	}
	return out
}

type modificationRow = row[model.VolumeModification]

var modificationListing = listing[model.VolumeModification]{tagless: true, fields: filter.Fields[modificationRow]{
	"modification-state":         func(r modificationRow) []string { return word(r.shown.ModificationState) },
	"original-iops":              func(r modificationRow) []string { return number(r.shown.OriginalIops) },
	"originalMultiAttachEnabled": func(r modificationRow) []string { return flag(r.shown.OriginalMultiAttachEnabled) },
	"original-size":              func(r modificationRow) []string { return number(r.shown.OriginalSize) },
	"original-volume-type":       func(r modificationRow) []string { return word(r.shown.OriginalVolumeType) },
	"start-time":                 func(r modificationRow) []string { return moment(r.shown.StartTime) },
	"target-iops":                func(r modificationRow) []string { return number(r.shown.TargetIops) },
	"targetMultiAttachEnabled":   func(r modificationRow) []string { return flag(r.shown.TargetMultiAttachEnabled) },
	"target-size":                func(r modificationRow) []string { return number(r.shown.TargetSize) },
	"target-volume-type":         func(r modificationRow) []string { return word(r.shown.TargetVolumeType) },
	"volume-id":                  func(r modificationRow) []string { return word(r.shown.VolumeId) },
}}

// DescribeVolumesModifications lists the last modification of each volume that
// had one, in the order of the volumes' creation.
func (h *Handlers) DescribeVolumesModifications(ctx context.Context, c *api.Call, in *model.DescribeVolumesModificationsInput) (*model.DescribeVolumesModificationsOutput, error) {
	_, list, err := h.volumes(ctx, c, in.VolumeIds, in.MaxResults)
	if err != nil {
		return nil, err
	}
	changed := list[:0]
	for _, r := range list {
		switch {
		case r.Modification != nil:
			changed = append(changed, r)
		case len(in.VolumeIds) > 0:
			return nil, events.Faultf("InvalidVolumeModification.NotFound", "Modification for volume '%s' does not exist.", r.ID)
		}
	}
	out := new(model.DescribeVolumesModificationsOutput)
	out.VolumesModifications, out.NextToken, err = chooseFrom(modificationListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, changed, creationOrder,
		func(r *state.Volume) modificationRow {
			return modificationRow{shown: showModification(r.ID, r.Modification)}
		})
	return out, err
}

// ModifyVolumeAttribute sets the one attribute of a volume that can be set.
func (h *Handlers) ModifyVolumeAttribute(ctx context.Context, c *api.Call, in *model.ModifyVolumeAttributeInput) (*model.ModifyVolumeAttributeOutput, error) {
	if err := ids.Volume.Check(value(in.VolumeId)); err != nil {
		return nil, err
	}
	if in.AutoEnableIO == nil || in.AutoEnableIO.Value == nil {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter AutoEnableIO")
	}
	_, err := h.do(ctx, c, 0, events.SetVolumeAutoIO{Volume: events.VolumeID(*in.VolumeId), AutoIO: *in.AutoEnableIO.Value})
	return new(model.ModifyVolumeAttributeOutput), err
}

// GetEbsEncryptionByDefault says that volumes are not encrypted.
func (h *Handlers) GetEbsEncryptionByDefault(context.Context, *api.Call, *model.GetEbsEncryptionByDefaultInput) (*model.GetEbsEncryptionByDefaultOutput, error) {
	return &model.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: new(false)}, nil
}

// DisableEbsEncryptionByDefault asks for the state of affairs.
func (h *Handlers) DisableEbsEncryptionByDefault(context.Context, *api.Call, *model.DisableEbsEncryptionByDefaultInput) (*model.DisableEbsEncryptionByDefaultOutput, error) {
	return &model.DisableEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: new(false)}, nil
}

// EnableEbsEncryptionByDefault refuses: whoever asks for it relies on it.
func (h *Handlers) EnableEbsEncryptionByDefault(context.Context, *api.Call, *model.EnableEbsEncryptionByDefaultInput) (*model.EnableEbsEncryptionByDefaultOutput, error) {
	return nil, events.Faultf("UnsupportedOperation", "Encrypted volumes are not supported in this region.")
}
