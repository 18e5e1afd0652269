package ec2

import "testing"

// What an account starts with can be deleted, and made anew.
func TestDefaultsAnew(t *testing.T) {
	w := newWorld(t)
	w.fails("DefaultVpcAlreadyExists", alice, "CreateDefaultVpc")
	w.fails("DefaultSubnetAlreadyExistsInAvailabilityZone", alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-1a")
	w.fails("InvalidParameterValue", alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-9z")
	w.fails("MissingParameter", alice, "CreateDefaultSubnet")
	w.fails("UnsupportedOperation", alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-1a", "Ipv6Native", "true")
	vpc := w.ok(alice, "DescribeVpcs").text("vpcSet/item/vpcId")
	igw := w.ok(alice, "DescribeInternetGateways").text("internetGatewaySet/item/internetGatewayId")
	w.ok(alice, "DetachInternetGateway", "InternetGatewayId", igw, "VpcId", vpc)
	w.ok(alice, "DeleteInternetGateway", "InternetGatewayId", igw)
	for _, s := range w.ok(alice, "DescribeSubnets").texts("subnetSet/item/subnetId") {
		w.ok(alice, "DeleteSubnet", "SubnetId", s)
	}
	s := w.ok(alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-1c").all("subnet")[0]
	if s.text("cidrBlock") != "172.31.0.0/20" || s.text("defaultForAz") != "true" || s.text("mapPublicIpOnLaunch") != "true" || s.text("availabilityZone") != "isle-1c" {
		t.Errorf("%+v", s)
	}
	if got := w.ok(alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-1a").text("subnet/cidrBlock"); got != "172.31.16.0/20" {
		t.Error(got)
	}
	for _, s := range w.ok(alice, "DescribeSubnets").texts("subnetSet/item/subnetId") {
		w.ok(alice, "DeleteSubnet", "SubnetId", s)
	}
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
	w.fails("DefaultVpcDoesNotExist", alice, "CreateDefaultSubnet", "AvailabilityZone", "isle-1a")
	w.fails("DryRunOperation", alice, "CreateDefaultVpc", "DryRun", "true")
	n := w.ok(alice, "CreateDefaultVpc").all("vpc")[0]
	if n.text("isDefault") != "true" || n.text("cidrBlock") != "172.31.0.0/16" || n.text("vpcId") == vpc {
		t.Errorf("%+v", n)
	}
	w.running(alice)
	if got := w.ok(alice, "DescribeSubnets").texts("subnetSet/item"); len(got) != 3 {
		t.Errorf("%d subnets", len(got))
	}
}

func TestAddressAttributes(t *testing.T) {
	w := newWorld(t)
	a := w.ok(alice, "AllocateAddress")
	n := w.ok(alice, "DescribeAddressesAttribute", "Attribute", "domain-name", "AllocationId.1", a.text("allocationId"))
	if n.text("addressSet/item/publicIp") != a.text("publicIp") || n.has("addressSet/item/ptrRecord") {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidAllocationID.NotFound", bob, "DescribeAddressesAttribute", "AllocationId.1", a.text("allocationId"))
	w.fails("InvalidAllocationID.Malformed", alice, "DescribeAddressesAttribute", "AllocationId.1", "x")
	if w.ok(bob, "DescribeAddressesAttribute").has("addressSet/item") {
		t.Error("another account's address is listed")
	}
}
