package ec2

import (
	"context"
	"slices"
	"time"

	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

type statusRow = row[model.InstanceStatus]

var statusListing = listing[model.InstanceStatus]{tagless: true, fields: filter.Fields[statusRow]{
	"availability-zone":            func(r statusRow) []string { return word(r.shown.AvailabilityZone) },
	"instance-state-code":          func(r statusRow) []string { return number(r.shown.InstanceState.Code) },
	"instance-state-name":          func(r statusRow) []string { return word(r.shown.InstanceState.Name) },
	"instance-status.reachability": func(r statusRow) []string { return reachability(r.shown.InstanceStatus) },
	"instance-status.status":       func(r statusRow) []string { return word(r.shown.InstanceStatus.Status) },
	"system-status.reachability":   func(r statusRow) []string { return reachability(r.shown.SystemStatus) },
	"system-status.status":         func(r statusRow) []string { return word(r.shown.SystemStatus.Status) },

	"event.code":                never[statusRow],
	"event.description":         never[statusRow],
	"event.instance-event-id":   never[statusRow],
	"event.not-after":           never[statusRow],
	"event.not-before":          never[statusRow],
	"event.not-before-deadline": never[statusRow],
}}

func reachability(s *model.InstanceStatusSummary) []string {
	return each(s.Details, func(d model.InstanceStatusDetails) []string { return word(d.Status) })
}

// DescribeInstanceStatus tells how instances fare: the running ones, unless all
// are asked for.
func (h *Handlers) DescribeInstanceStatus(ctx context.Context, c *api.Call, in *model.DescribeInstanceStatusInput) (*model.DescribeInstanceStatusOutput, error) {
	if err := ids.Instance.CheckAll(in.InstanceIds); err != nil {
		return nil, err
	}
	if err := notTogether("instancesSet", len(in.InstanceIds) > 0, "maxResults", in.MaxResults != nil); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	list, err := v.instances(c, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	if !value(in.IncludeAllInstances) {
		list = slices.DeleteFunc(list, func(i *state.Instance) bool { return i.State != state.Running })
	}
	out := new(model.DescribeInstanceStatusOutput)
	out.InstanceStatuses, out.NextToken, err = chooseFrom(statusListing, h, c, ask{in.Filters, in.MaxResults, in.NextToken}, list, (*state.Instance).LaunchOrder,
		func(i *state.Instance) statusRow { return statusRow{shown: v.status(i)} })
	return out, err
}

// status is what the region knows of an instance's health: whether its host
// answers.
func (v view) status(i *state.Instance) model.InstanceStatus {
	summary, check := "not-applicable", ""
	var since *time.Time
	n, placed := v.Compute(i.Host)
	switch {
	case i.State == state.Pending:
		summary, check = "initializing", "initializing"
	case i.State == state.Running && placed && n.Lost:
		summary, check, since = "impaired", "failed", &n.Since
	case i.State == state.Running:
		summary, check = "ok", "passed"
	}
	show := func() *model.InstanceStatusSummary {
		s := &model.InstanceStatusSummary{Status: &summary}
		if check != "" {
			s.Details = []model.InstanceStatusDetails{{Name: new("reachability"), Status: &check, ImpairedSince: since}}
		}
		return s
	}
	return model.InstanceStatus{InstanceId: new(string(i.ID)), AvailabilityZone: new(string(i.Zone)), InstanceState: showState(i.State),
		SystemStatus: show(), InstanceStatus: show()}
}
