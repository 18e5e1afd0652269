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

// flowResources are the kinds of ids of what a flow log can be of.
var flowResources = map[string]ids.Kind{events.FlowVPC: ids.VPC, events.FlowSubnet: ids.Subnet, events.FlowInterface: ids.Interface}

// CreateFlowLogs makes a flow log for each resource, all or none.
func (h *Handlers) CreateFlowLogs(ctx context.Context, c *api.Call, in *model.CreateFlowLogsInput) (*model.CreateFlowLogsOutput, error) {
	specs, err := tags.Specs(in.TagSpecifications, "vpc-flow-log")
	if err != nil {
		return nil, err
	}
	if kind, ok := flowResources[value(in.ResourceType)]; ok {
		if err := kind.CheckAll(in.ResourceIds); err != nil {
			return nil, err
		}
	}
	options := value(in.DestinationOptions)
	reply, err := h.do(ctx, c, 0, events.CreateFlowLogs{Resources: in.ResourceIds, Type: value(in.ResourceType), Tags: specs["vpc-flow-log"], Setting: events.FlowLogSetting{
		Traffic: value(in.TrafficType), Kind: value(in.LogDestinationType), Group: value(in.LogGroupName), Destination: value(in.LogDestination), Role: value(in.DeliverLogsPermissionArn),
		CrossRole: value(in.DeliverCrossAccountRole), Format: value(in.LogFormat), Interval: int(value(in.MaxAggregationInterval)),
		File: value(options.FileFormat), Hive: value(options.HiveCompatiblePartitions), Hourly: value(options.PerHourPartition)}})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.CreateFlowLogsOutput{ClientToken: in.ClientToken}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.FlowLogCreated); ok {
			out.FlowLogIds = append(out.FlowLogIds, string(e.ID))
		}
	}
	return out, nil
}

// DeleteFlowLogs ends flow logs, all or none.
func (h *Handlers) DeleteFlowLogs(ctx context.Context, c *api.Call, in *model.DeleteFlowLogsInput) (*model.DeleteFlowLogsOutput, error) {
	if err := ids.FlowLog.CheckAll(in.FlowLogIds); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteFlowLogs{Logs: typed[events.FlowLogID](in.FlowLogIds)})
	return new(model.DeleteFlowLogsOutput), err
}

type flowLogRow = row[model.FlowLog]

var flowLogListing = listing[model.FlowLog]{min: 1, fields: filter.Fields[flowLogRow]{
	"deliver-log-status":   func(r flowLogRow) []string { return word(r.shown.DeliverLogsStatus) },
	"flow-log-id":          func(r flowLogRow) []string { return word(r.shown.FlowLogId) },
	"log-destination-type": func(r flowLogRow) []string { return word(r.shown.LogDestinationType) },
	"log-group-name":       func(r flowLogRow) []string { return word(r.shown.LogGroupName) },
	"resource-id":          func(r flowLogRow) []string { return word(r.shown.ResourceId) },
	"traffic-type":         func(r flowLogRow) []string { return word(r.shown.TrafficType) },
}}

// DescribeFlowLogs lists the account's flow logs.
func (h *Handlers) DescribeFlowLogs(ctx context.Context, c *api.Call, in *model.DescribeFlowLogsInput) (*model.DescribeFlowLogsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.FlowLog, "flow log", in.FlowLogIds,
		func(v view, account events.AccountID, id string) (*state.FlowLog, bool) {
			l, ok := v.FlowLogs.Get(id)
			return l, ok && l.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.FlowLog)) {
			for l := range v.FlowLogsOf(account) {
				yield(l)
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []flowLogRow
	for _, l := range list {
		t := v.TagsOf(string(l.ID))
		s := showFlowLog(l)
		s.Tags = shownTags(t)
		rows = append(rows, flowLogRow{key: string(l.ID), tags: t, shown: s})
	}
	out := new(model.DescribeFlowLogsOutput)
	out.FlowLogs, out.NextToken, err = flowLogListing.choose(h, c, ask{in.Filter, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// showFlowLog shows a flow log, and says that nothing is delivered.
func showFlowLog(l *state.FlowLog) model.FlowLog {
	x := l.Setting
	out := model.FlowLog{FlowLogId: some(l.ID), ResourceId: some(l.Resource), CreationTime: &l.At, FlowLogStatus: new("ACTIVE"), TrafficType: &x.Traffic,
		DeliverLogsStatus: new("FAILED"), DeliverLogsErrorMessage: new("Unknown error: flow logs are not delivered in this region."),
		LogDestinationType: &x.Kind, LogGroupName: some(x.Group), LogDestination: some(x.Destination), DeliverLogsPermissionArn: some(x.Role),
		DeliverCrossAccountRole: some(x.CrossRole), LogFormat: &x.Format, MaxAggregationInterval: new(int32(x.Interval))}
	if x.File != "" || x.Hive || x.Hourly {
		out.DestinationOptions = &model.DestinationOptionsResponse{FileFormat: some(x.File), HiveCompatiblePartitions: &x.Hive, PerHourPartition: &x.Hourly}
	}
	return out
}
