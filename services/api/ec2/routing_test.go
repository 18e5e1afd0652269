package ec2

import (
	"slices"
	"testing"
)

// The parts of a default VPC, and how they hang together.
func TestDefaultVPC(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "DescribeVpcs", "Filter.1.Name", "is-default", "Filter.1.Value.1", "true").text("vpcSet/item/vpcId")
	g := w.ok(alice, "DescribeInternetGateways", "Filter.1.Name", "attachment.vpc-id", "Filter.1.Value.1", vpc)
	x := "internetGatewaySet/item/"
	igw := g.text(x + "internetGatewayId")
	if g.text(x+"attachmentSet/item/state") != "available" || g.text(x+"attachmentSet/item/vpcId") != vpc || g.text(x+"ownerId") != alice || igw == "" {
		t.Errorf("%+v", g)
	}
	r := w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "association.main", "Filter.1.Value.1", "true", "Filter.2.Name", "vpc-id", "Filter.2.Value.1", vpc)
	x = "routeTableSet/item/"
	for path, want := range map[string][]string{
		"associationSet/item/main": {"true"}, "associationSet/item/associationState/state": {"associated"}, "vpcId": {vpc}, "ownerId": {alice},
		"routeSet/item/destinationCidrBlock": {"172.31.0.0/16", "0.0.0.0/0"}, "routeSet/item/gatewayId": {"local", igw},
		"routeSet/item/origin": {"CreateRouteTable", "CreateRoute"}, "routeSet/item/state": {"active", "active"},
		"associationSet/item/routeTableId": r.texts(x + "routeTableId"),
	} {
		if got := r.texts(x + path); !slices.Equal(got, want) {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, attribute := range []string{"enableDnsSupport", "enableDnsHostnames"} {
		if n := w.ok(alice, "DescribeVpcAttribute", "VpcId", vpc, "Attribute", attribute); n.text(attribute+"/value") != "true" {
			t.Errorf("%+v", n)
		}
	}
	for _, action := range []string{"DescribeInternetGateways", "DescribeRouteTables", "DescribeNetworkInterfaces", "DescribeSecurityGroupRules"} {
		w.fails("InvalidParameterValue", alice, action, "MaxResults", "4")
		w.ok(alice, action, "MaxResults", "100")
	}
	w.fails("InvalidParameterValue", alice, "DescribeRouteTables", "MaxResults", "101")
}

// An interface follows its instance.
func TestInterfaces(t *testing.T) {
	w := newWorld(t)
	id := w.run(alice, "Placement.AvailabilityZone", "isle-1b")[0]
	show := func() *node {
		t.Helper()
		n := w.ok(alice, "DescribeNetworkInterfaces").all("networkInterfaceSet/item")
		if len(n) != 1 {
			t.Fatalf("%+v", n)
		}
		return n[0]
	}
	f := show()
	i := w.ok(alice, "DescribeInstances").all("reservationSet/item/instancesSet/item")[0]
	for path, want := range map[string]string{
		"status": "in-use", "interfaceType": "interface", "requesterManaged": "false", "sourceDestCheck": "true", "availabilityZone": "isle-1b", "ownerId": alice,
		"attachment/status": "attaching", "attachment/instanceId": id, "attachment/instanceOwnerId": alice, "attachment/deviceIndex": "0", "attachment/deleteOnTermination": "true",
		"attachment/attachmentId": i.text("networkInterfaceSet/item/attachment/attachmentId"), "attachment/attachTime": i.text("launchTime"),
		"macAddress": i.text("networkInterfaceSet/item/macAddress"), "privateIpAddress": i.text("privateIpAddress"), "privateDnsName": i.text("privateDnsName"),
		"subnetId": i.text("subnetId"), "vpcId": i.text("vpcId"), "groupSet/item/groupName": "default", "networkInterfaceId": i.text("networkInterfaceSet/item/networkInterfaceId"),
		"privateIpAddressesSet/item/primary": "true",
	} {
		if f.text(path) != want || want == "" {
			t.Errorf("%s: %q, not %q", path, f.text(path), want)
		}
	}
	w.place(t)
	w.report(t, id, "running")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "SourceDestCheck.Value", "false")
	web := w.group(alice, "web")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "GroupId.1", web)
	f = show()
	if f.text("attachment/status") != "attached" || f.text("sourceDestCheck") != "false" || f.text("groupSet/item/groupId") != web {
		t.Errorf("%+v", f)
	}
	w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	if f = show(); f.text("attachment/status") != "detaching" || f.has("association") {
		t.Errorf("%+v", f)
	}
	w.report(t, id, "absent")
	w.fails("InvalidNetworkInterfaceID.NotFound", alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", f.text("networkInterfaceId"))
}
