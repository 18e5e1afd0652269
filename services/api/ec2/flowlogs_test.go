package ec2

import (
	"strings"
	"testing"
)

// Flow logs are kept, shown with what they ask, and said to deliver nothing.
func TestFlowLogs(t *testing.T) {
	w := newWorld(t)
	vpc, _ := w.view().DefaultVPC(alice)
	id := string(vpc.ID)
	const role = "arn:aws:iam::111111111111:role/flows"
	logs := []string{"ResourceType", "VPC", "ResourceId.1", id, "TrafficType", "ALL", "LogGroupName", "flows", "DeliverLogsPermissionArn", role, "ClientToken", "once",
		"TagSpecification.1.ResourceType", "vpc-flow-log", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "all"}
	made := w.ok(alice, "CreateFlowLogs", logs...)
	first := made.text("flowLogIdSet/item")
	if !strings.HasPrefix(first, "fl-0") || made.text("clientToken") != "once" || made.has("unsuccessful/item") {
		t.Errorf("%+v", made)
	}
	if again := w.ok(alice, "CreateFlowLogs", logs...); again.text("flowLogIdSet/item") != first {
		t.Errorf("%+v", again)
	}
	const x = "flowLogSet/item/"
	n := w.ok(alice, "DescribeFlowLogs", "FlowLogId.1", first)
	for path, want := range map[string]string{"resourceId": id, "flowLogStatus": "ACTIVE", "deliverLogsStatus": "FAILED", "trafficType": "ALL", "logDestinationType": "cloud-watch-logs", "logGroupName": "flows",
		"deliverLogsPermissionArn": role, "maxAggregationInterval": "600", "tagSet/item/value": "all"} {
		if got := n.text(x + path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if !strings.Contains(n.text(x+"deliverLogsErrorMessage"), "not delivered") || !strings.HasPrefix(n.text(x+"logFormat"), "${version} ${account-id}") {
		t.Errorf("%+v", n)
	}
	var subnets []string
	for s := range w.view().SubnetsOf(vpc.ID) {
		subnets = append(subnets, string(s.ID))
	}
	two := w.ok(alice, "CreateFlowLogs", "ResourceType", "Subnet", "ResourceId.1", subnets[0], "ResourceId.2", subnets[1], "TrafficType", "REJECT", "LogDestinationType", "s3", "LogDestination", "arn:aws:s3:::bucket",
		"DestinationOptions.FileFormat", "parquet", "DestinationOptions.PerHourPartition", "true").texts("flowLogIdSet/item")
	if len(two) != 2 {
		t.Fatalf("%v", two)
	}
	if n := w.ok(alice, "DescribeFlowLogs", "FlowLogId.1", two[1]); n.text(x+"destinationOptions/fileFormat") != "parquet" || n.text(x+"destinationOptions/perHourPartition") != "true" || n.text(x+"logDestination") != "arn:aws:s3:::bucket" {
		t.Errorf("%+v", n)
	}
	page := w.ok(alice, "DescribeFlowLogs", "MaxResults", "2")
	if rest := w.ok(alice, "DescribeFlowLogs", "MaxResults", "2", "NextToken", page.text("nextToken")); len(page.all("flowLogSet/item")) != 2 || len(rest.all("flowLogSet/item")) != 1 {
		t.Errorf("%+v, then %+v", page, rest)
	}
	w.fails("FlowLogAlreadyExists", alice, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", id, "TrafficType", "ALL", "LogGroupName", "flows", "DeliverLogsPermissionArn", role)
	w.fails("InvalidVpcID.NotFound", bob, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", id, "TrafficType", "ALL", "LogGroupName", "flows", "DeliverLogsPermissionArn", role)
	w.fails("InvalidVpcID.Malformed", alice, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", subnets[0], "TrafficType", "ALL", "LogGroupName", "flows", "DeliverLogsPermissionArn", role)
	w.fails("MissingParameter", alice, "CreateFlowLogs", "ResourceType", "VPC", "ResourceId.1", id, "LogGroupName", "flows", "DeliverLogsPermissionArn", role)
	w.fails("InvalidFlowLogId.NotFound", bob, "DeleteFlowLogs", "FlowLogId.1", first)
	w.fails("InvalidFlowLogId.NotFound", bob, "DescribeFlowLogs", "FlowLogId.1", first)
	w.fails("InvalidFlowLogId.NotFound", bob, "CreateTags", "ResourceId.1", first, "Tag.1.Key", "a")
	w.fails("InvalidFlowLogId.Malformed", alice, "DeleteFlowLogs", "FlowLogId.1", "fl")
	w.ok(alice, "DeleteFlowLogs", "FlowLogId.1", first, "FlowLogId.2", two[0])
	if n := w.ok(alice, "DescribeFlowLogs"); n.text(x+"flowLogId") != two[1] {
		t.Errorf("%+v", n)
	}
}

// What this region has not is said so.
func TestTenancyAndClassicLinks(t *testing.T) {
	w := newWorld(t)
	vpc, _ := w.view().DefaultVPC(alice)
	id := string(vpc.ID)
	if n := w.ok(alice, "ModifyVpcTenancy", "VpcId", id, "InstanceTenancy", "default"); n.text("return") != "true" {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidParameterValue", alice, "ModifyVpcTenancy", "VpcId", id, "InstanceTenancy", "dedicated")
	w.fails("MissingParameter", alice, "ModifyVpcTenancy", "VpcId", id)
	w.fails("InvalidVpcID.NotFound", bob, "ModifyVpcTenancy", "VpcId", id, "InstanceTenancy", "default")
	w.fails("InvalidVpcID.Malformed", bob, "ModifyVpcTenancy", "VpcId", "vpc", "InstanceTenancy", "default")
	if n := w.ok(alice, "DescribeVpcClassicLink", "VpcId.1", id, "Filter.1.Name", "is-classic-link-enabled", "Filter.1.Value.1", "false"); n.has("vpcSet/item") {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "DescribeVpcClassicLinkDnsSupport", "VpcIds.1", id); n.has("vpcs/item") {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidVpcID.NotFound", bob, "DescribeVpcClassicLink", "VpcId.1", id)
	w.fails("InvalidVpcID.NotFound", bob, "DescribeVpcClassicLinkDnsSupport", "VpcIds.1", id)
	w.fails("InvalidParameterValue", alice, "DescribeVpcClassicLink", "Filter.1.Name", "elephant", "Filter.1.Value.1", "x")
}
