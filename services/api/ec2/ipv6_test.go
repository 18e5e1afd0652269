package ec2

import (
	"slices"
	"strings"
	"testing"
)

// A network with IPv6 from end to end, as every describe shows it.
func TestIPv6(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock", "true")
	vpc := n.text("vpc/vpcId")
	six := n.text("vpc/ipv6CidrBlockAssociationSet/item/ipv6CidrBlock")
	if !strings.HasPrefix(six, "fd") || !strings.HasSuffix(six, "/56") || n.text("vpc/ipv6CidrBlockAssociationSet/item/ipv6Pool") != "Amazon" {
		t.Fatalf("%+v", n)
	}
	part := strings.Replace(six, "::/56", "::/64", 1)
	subnet := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.0.0/24", "Ipv6CidrBlock", part).text("subnet/subnetId")
	other := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24").text("subnet/subnetId")
	next := strings.Replace(part, "00::/64", "01::/64", 1)
	association := w.ok(alice, "AssociateSubnetCidrBlock", "SubnetId", other, "Ipv6CidrBlock", next).text("ipv6CidrBlockAssociation/associationId")
	if got := w.ok(alice, "DescribeSubnets", "Filter.1.Name", "ipv6-cidr-block-association.association-id", "Filter.1.Value.1", association); got.text("subnetSet/item/subnetId") != other ||
		got.text("subnetSet/item/ipv6CidrBlockAssociationSet/item/ipv6CidrBlock") != next {
		t.Errorf("%+v", got)
	}
	if got := w.ok(alice, "DisassociateSubnetCidrBlock", "AssociationId", association); got.text("subnetId") != other || got.text("ipv6CidrBlockAssociation/ipv6CidrBlockState/state") != "disassociating" {
		t.Errorf("%+v", got)
	}
	w.ok(alice, "ModifySubnetAttribute", "SubnetId", subnet, "AssignIpv6AddressOnCreation.Value", "true")
	w.ok(alice, "ModifySubnetAttribute", "SubnetId", subnet, "EnableDns64.Value", "true")
	s := w.ok(alice, "DescribeSubnets", "SubnetId.1", subnet).all("subnetSet/item")[0]
	if s.text("assignIpv6AddressOnCreation") != "true" || s.text("enableDns64") != "true" || s.text("ipv6Native") != "false" {
		t.Errorf("%+v", s)
	}
	native := w.ok(alice, "CreateSubnet", "VpcId", vpc, "Ipv6Native", "true", "Ipv6CidrBlock", next).all("subnet")[0]
	if native.text("ipv6Native") != "true" || native.has("cidrBlock") || native.text("availableIpAddressCount") != "0" || native.text("privateDnsNameOptionsOnLaunch/hostnameType") != "resource-name" {
		t.Errorf("%+v", native)
	}

	id := w.running(alice, "SubnetId", subnet, "InstanceType", "t3.micro")
	i := w.ok(alice, "DescribeInstances", "InstanceId.1", id).all("reservationSet/item/instancesSet/item")[0]
	address := i.text("ipv6Address")
	if !strings.HasPrefix(address, strings.TrimSuffix(part, ":/64")) || i.text("networkInterfaceSet/item/ipv6AddressesSet/item/ipv6Address") != address {
		t.Errorf("%s in %s: %+v", address, part, i)
	}
	eni := i.text("networkInterfaceSet/item/networkInterfaceId")
	prefix := w.ok(alice, "AssignIpv6Addresses", "NetworkInterfaceId", eni, "Ipv6PrefixCount", "1").text("assignedIpv6PrefixSet/item")
	f := w.ok(alice, "DescribeNetworkInterfaces", "Filter.1.Name", "ipv6-addresses.ipv6-address", "Filter.1.Value.1", address).all("networkInterfaceSet/item")[0]
	if f.text("ipv6PrefixSet/item/ipv6Prefix") != prefix || !strings.HasSuffix(prefix, "/80") || f.text("ipv6AddressesSet/item/ipv6Address") != address {
		t.Errorf("%s: %+v", prefix, f)
	}
	if got := w.ok(alice, "UnassignIpv6Addresses", "NetworkInterfaceId", eni, "Ipv6Prefix.1", prefix); got.text("unassignedIpv6PrefixSet/item") != prefix {
		t.Errorf("%+v", got)
	}
	alone := w.running(alice, "SubnetId", native.text("subnetId"), "InstanceType", "t3.micro")
	i = w.ok(alice, "DescribeInstances", "InstanceId.1", alone).all("reservationSet/item/instancesSet/item")[0]
	if i.has("privateIpAddress") || !strings.HasPrefix(i.text("privateDnsName"), alone+".") || !i.has("ipv6Address") || i.text("privateDnsNameOptions/hostnameType") != "resource-name" {
		t.Errorf("%+v", i)
	}

	// Routes: local ones of every block, and ::/0.
	table := w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc).text("routeTableSet/item/routeTableId")
	igw := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", igw, "VpcId", vpc)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0", "GatewayId", igw)
	w.fails("InvalidParameterValue", alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "0.0.0.0/0", "GatewayId", igw)
	w.fails("InvalidParameterCombination", alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0", "DestinationCidrBlock", "0.0.0.0/0", "GatewayId", igw)
	got := w.ok(alice, "DescribeRouteTables", "RouteTableId.1", table).texts("routeTableSet/item/routeSet/item/destinationIpv6CidrBlock")
	if !slices.Equal(got, []string{six, "::/0"}) {
		t.Error(got)
	}
	w.ok(alice, "DeleteRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0")

	// A secondary block, and a VPC of IPv6 alone.
	b := w.ok(alice, "AssociateVpcCidrBlock", "VpcId", vpc, "CidrBlock", "100.64.0.0/16")
	if b.text("cidrBlockAssociation/cidrBlockState/state") != "associating" || b.text("vpcId") != vpc {
		t.Errorf("%+v", b)
	}
	v := w.ok(alice, "DescribeVpcs", "Filter.1.Name", "cidr-block-association.cidr-block", "Filter.1.Value.1", "100.64.0.0/16").all("vpcSet/item")[0]
	if v.text("cidrBlock") != "10.0.0.0/16" || !slices.Equal(v.texts("cidrBlockAssociationSet/item/cidrBlock"), []string{"10.0.0.0/16", "100.64.0.0/16"}) {
		t.Errorf("%+v", v)
	}
	w.fails("OperationNotPermitted", alice, "DisassociateVpcCidrBlock", "AssociationId", v.texts("cidrBlockAssociationSet/item/associationId")[0])
	if got := w.ok(alice, "DisassociateVpcCidrBlock", "AssociationId", b.text("cidrBlockAssociation/associationId")).text("cidrBlockAssociation/cidrBlock"); got != "100.64.0.0/16" {
		t.Error(got)
	}
	lone := w.ok(alice, "CreateVpc", "AmazonProvidedIpv6CidrBlock", "true").all("vpc")[0]
	if lone.has("cidrBlock") || lone.has("cidrBlockAssociationSet/item") || !lone.has("ipv6CidrBlockAssociationSet/item") {
		t.Errorf("%+v", lone)
	}
	w.fails("InvalidVpcCidrBlockAssociationId.Malformed", alice, "DisassociateVpcCidrBlock", "AssociationId", "x")
	w.fails("InvalidSubnetCidrBlockAssociationId.Malformed", alice, "DisassociateSubnetCidrBlock", "AssociationId", "x")
	w.fails("UnsupportedOperation", alice, "CreateVpc", "Ipv4IpamPoolId", "ipam-pool-1")
	w.fails("InvalidVpcID.NotFound", bob, "AssociateVpcCidrBlock", "VpcId", vpc, "CidrBlock", "100.64.0.0/16")
	w.fails("InvalidSubnetID.NotFound", bob, "AssociateSubnetCidrBlock", "SubnetId", subnet, "Ipv6CidrBlock", next)
}
