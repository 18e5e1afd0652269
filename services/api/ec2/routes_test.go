package ec2

import (
	"slices"
	"testing"
)

// A network made by hand: it is as its user said, and it goes again.
func TestOwnVPC(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	w.ok(alice, "ModifyVpcAttribute", "VpcId", vpc, "EnableDnsHostnames.Value", "true")
	if n := w.ok(alice, "DescribeVpcAttribute", "VpcId", vpc, "Attribute", "enableDnsHostnames"); n.text("enableDnsHostnames/value") != "true" {
		t.Errorf("%+v", n)
	}
	sub := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24", "AvailabilityZone", "isle-1b").text("subnet/subnetId")
	w.fails("InvalidSubnet.Conflict", alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/25")
	w.ok(alice, "ModifySubnetAttribute", "SubnetId", sub, "MapPublicIpOnLaunch.Value", "true")
	if n := w.ok(alice, "DescribeSubnets", "SubnetId.1", sub); n.text("subnetSet/item/mapPublicIpOnLaunch") != "true" || n.text("subnetSet/item/availableIpAddressCount") != "251" {
		t.Errorf("%+v", n)
	}
	igw := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", igw, "VpcId", vpc)
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "GatewayId", igw)
	bond := w.ok(alice, "AssociateRouteTable", "RouteTableId", table, "SubnetId", sub).text("associationId")
	if again := w.ok(alice, "AssociateRouteTable", "RouteTableId", table, "SubnetId", sub).text("associationId"); again != bond || bond == "" {
		t.Errorf("%q, again %q", bond, again)
	}
	states := func(want ...string) {
		t.Helper()
		n := w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "association.subnet-id", "Filter.1.Value.1", sub)
		if got := n.texts("routeTableSet/item/routeSet/item/state"); !slices.Equal(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
	states("active", "active")
	w.fails("DependencyViolation", alice, "DeleteVpc", "VpcId", vpc)
	w.ok(alice, "DetachInternetGateway", "InternetGatewayId", igw, "VpcId", vpc)
	states("active", "blackhole")
	w.ok(alice, "DeleteInternetGateway", "InternetGatewayId", igw)
	w.ok(alice, "DisassociateRouteTable", "AssociationId", bond)
	w.ok(alice, "DeleteRouteTable", "RouteTableId", table)
	w.ok(alice, "DeleteSubnet", "SubnetId", sub)
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
	w.fails("InvalidVpcID.NotFound", alice, "DescribeVpcs", "VpcId.1", vpc)
}
