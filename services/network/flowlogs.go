package network

import (
	"regexp"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of flow logs ("Amazon VPC quotas", "CreateFlowLogs").
const (
	maxFlowLogs   = 2    // of a resource
	maxFlowsAsked = 1000 // resources, or flow logs, in one call
)

// Kinds of destinations of flow logs ("LogDestinationType").
const (
	flowToLogs     = "cloud-watch-logs"
	flowToBucket   = "s3"
	flowToFirehose = "kinesis-data-firehose"
)

// FlowFormat is the format of a flow log that asks for none ("Default format").
const FlowFormat = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status}"

// flowFields may stand in a format ("Available fields").
var flowFields = strings.Fields(`version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
	vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service
	pkt-dst-aws-service flow-direction traffic-path ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id
	ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id reject-reason`)

var (
	logGroup    = regexp.MustCompile(`^[a-zA-Z0-9_./#-]{1,512}$`)
	flowTargets = map[string]*regexp.Regexp{
		flowToLogs:     regexp.MustCompile(`^arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[a-zA-Z0-9_./#-]{1,512}(:\*)?$`),
		flowToBucket:   regexp.MustCompile(`^arn:[a-z-]+:s3:::[a-z0-9.-]{3,63}(/[^ ]{0,900})?$`),
		flowToFirehose: regexp.MustCompile(`^arn:[a-z-]+:firehose:[a-z0-9-]+:[0-9]{12}:deliverystream/?[:a-zA-Z0-9_.-]{1,65}$`),
	}
	roleARN = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/[ -~]{1,512}$`)
)

// CreateFlowLogs makes one flow log for each resource, all or none.
func CreateFlowLogs(v *state.View, s events.Stamp, c events.CreateFlowLogs) ([]events.Event, error) {
	switch {
	case len(c.Resources) == 0:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter ResourceId")
	case len(c.Resources) > maxFlowsAsked:
		return nil, events.Faultf("InvalidParameterValue", "At most %d resources can be given at once.", maxFlowsAsked)
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	set, err := flowSetting(c.Setting)
	if err != nil {
		return nil, err
	}
	var out []events.Event
	for i, r := range c.Resources {
		if slices.Contains(c.Resources[:i], r) {
			return nil, events.Faultf("InvalidParameterValue", "The resource '%s' is given twice.", r)
		}
		if err := logged(v, s.Account, c.Type, r); err != nil {
			return nil, err
		}
		count := 0
		for l := range v.FlowLogsOn(r) {
			if l.Setting == set {
				return nil, events.Faultf("FlowLogAlreadyExists", "Error. There is an existing Flow Log with the same configuration and log destination: %s.", l.ID)
			}
			count++
		}
		if count >= maxFlowLogs {
			return nil, events.Faultf("FlowLogsLimitExceeded", "The resource '%s' has %d flow logs, which is as many as it can have.", r, count)
		}
		id := events.FlowLogID("fl-" + s.Seed.Hex("fl", i))
		out = append(out, events.FlowLogCreated{ID: id, Account: s.Account, Resource: r, Setting: set, At: s.Time})
		out = append(out, tagging.New(s, string(id), c.Tags)...)
	}
	return out, nil
}

// logged says whether an account has a resource that a flow log can be of.
func logged(v *state.View, a events.AccountID, kind, id string) error {
	var err error
	switch kind {
	case events.FlowVPC:
		_, err = named(v, a, events.VPCID(id))
	case events.FlowSubnet:
		_, err = subnet(v, a, events.SubnetID(id))
	case events.FlowInterface:
		_, err = Interface(v, a, events.InterfaceID(id))
	case "":
		return events.Faultf("MissingParameter", "The request must contain the parameter ResourceType")
	default:
		return events.Faultf("UnsupportedOperation", "Nothing of the type %s can be logged in this region.", kind)
	}
	return err
}

// flowSetting checks what is asked of a flow log and fills in what is usual.
func flowSetting(x events.FlowLogSetting) (events.FlowLogSetting, error) {
	if x.Kind == "" {
		x.Kind = flowToLogs
	}
	if x.Interval == 0 {
		x.Interval = 600
	}
	where, known := flowTargets[x.Kind]
	switch {
	case x.Traffic == "":
		return x, events.Faultf("MissingParameter", "The request must contain the parameter TrafficType")
	case !slices.Contains([]string{"ACCEPT", "REJECT", "ALL"}, x.Traffic):
		return x, events.Faultf("InvalidParameterValue", "Value (%s) for parameter TrafficType is invalid.", x.Traffic)
	case !known:
		return x, events.Faultf("InvalidParameterValue", "Value (%s) for parameter LogDestinationType is invalid.", x.Kind)
	case x.Interval != 60 && x.Interval != 600:
		return x, events.Faultf("InvalidParameterValue", "Value (%d) for parameter MaxAggregationInterval is invalid. It is 60 or 600.", x.Interval)
	case x.Group != "" && x.Destination != "":
		return x, events.Faultf("InvalidParameterCombination", "The parameter LogGroupName cannot be used with the parameter LogDestination")
	case x.Group != "" && x.Kind != flowToLogs:
		return x, events.Faultf("InvalidParameterCombination", "The parameter LogGroupName is for the destination type %s.", flowToLogs)
	case x.Group == "" && x.Destination == "":
		return x, events.Faultf("MissingParameter", "The request must contain the parameter LogDestination")
	case x.Group != "" && !logGroup.MatchString(x.Group):
		return x, events.Faultf("InvalidParameterValue", "Value (%.64s) for parameter LogGroupName is invalid.", x.Group)
	case x.Destination != "" && !where.MatchString(x.Destination):
		return x, events.Faultf("InvalidParameterValue", "Value (%.64s) for parameter LogDestination is invalid. It is no ARN of a destination of the type %s.", x.Destination, x.Kind)
	case x.Kind == flowToLogs && x.Role == "":
		return x, events.Faultf("MissingParameter", "DeliverLogsPermissionArn can't be empty if LogDestinationType is %s.", flowToLogs)
	case x.Kind == flowToBucket && x.Role != "":
		return x, events.Faultf("InvalidParameterCombination", "DeliverLogsPermissionArn is not applicable for the destination type %s.", flowToBucket)
	case x.Role != "" && !roleARN.MatchString(x.Role), x.CrossRole != "" && !roleARN.MatchString(x.CrossRole):
		return x, events.Faultf("InvalidParameterValue", "A role that delivers flow logs is given as the ARN of an IAM role.")
	case (x.File != "" || x.Hive || x.Hourly) && x.Kind != flowToBucket:
		return x, events.Faultf("InvalidParameterCombination", "DestinationOptions are for the destination type %s.", flowToBucket)
	}
	if x.Format == "" {
		x.Format = FlowFormat
	}
	fields := strings.Fields(x.Format)
	for i, f := range fields {
		name, ok := strings.CutPrefix(strings.TrimSuffix(f, "}"), "${")
		if !ok || "${"+name+"}" != f || !slices.Contains(flowFields, name) || slices.Contains(fields[:i], f) {
			return x, events.Faultf("InvalidParameterValue", "The field (%.64s) of LogFormat is unknown, or given twice. Fields have the form ${field-id}.", f)
		}
	}
	x.Format = strings.Join(fields, " ")
	return x, nil
}

// DeleteFlowLogs ends flow logs, all or none.
func DeleteFlowLogs(v *state.View, s events.Stamp, c events.DeleteFlowLogs) ([]events.Event, error) {
	if len(c.Logs) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter FlowLogId")
	}
	if len(c.Logs) > maxFlowsAsked {
		return nil, events.Faultf("InvalidParameterValue", "At most %d flow logs can be given at once.", maxFlowsAsked)
	}
	var out []events.Event
	for i, id := range c.Logs {
		l, ok := v.FlowLogs.Get(string(id))
		if !ok || l.Account != s.Account {
			return nil, events.Faultf("InvalidFlowLogId.NotFound", "These flow log ids in the input list are not found: [TotalCount: 1] %s", id)
		}
		if !slices.Contains(c.Logs[:i], id) {
			out = append(out, events.FlowLogDeleted{ID: id, Account: l.Account})
		}
	}
	return out, nil
}
