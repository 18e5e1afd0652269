package ec2

import (
	"testing"

	"skerry/events"
)

// gateways are NAT gateways, egress-only ones and peers, with routes to them.
func (w *world) gateways() {
	w.t.Helper()
	tagged := func(kind, value string) []string {
		return []string{"TagSpecification.1.ResourceType", kind, "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", value}
	}
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.66.0.0/16", "AmazonProvidedIpv6CidrBlock", "true").text("vpc/vpcId")
	sub := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.66.0.0/24").text("subnet/subnetId")
	nat := w.ok(alice, "CreateNatGateway", append(tagged("natgateway", "inner"), "SubnetId", sub, "ConnectivityType", "private")...).text("natGateway/natGatewayId")
	w.ok(alice, "DeleteNatGateway", "NatGatewayId", w.ok(alice, "CreateNatGateway", "SubnetId", sub, "ConnectivityType", "private").text("natGateway/natGatewayId"))
	six := w.ok(alice, "CreateEgressOnlyInternetGateway", append(tagged("egress-only-internet-gateway", "six"), "VpcId", vpc)...).text("egressOnlyInternetGateway/egressOnlyInternetGatewayId")
	w.ok(alice, "CreateEgressOnlyInternetGateway", "VpcId", vpc)
	mine, _ := w.view().DefaultVPC(alice)
	peer := w.ok(alice, "CreateVpcPeeringConnection", append(tagged("vpc-peering-connection", "both"), "VpcId", vpc, "PeerVpcId", string(mine.ID))...).text("vpcPeeringConnection/vpcPeeringConnectionId")
	w.ok(alice, "AcceptVpcPeeringConnection", "VpcPeeringConnectionId", peer)
	his, _ := w.view().DefaultVPC(bob)
	w.ok(alice, "CreateVpcPeeringConnection", "VpcId", vpc, "PeerVpcId", string(his.ID), "PeerOwnerId", bob)
	w.ok(alice, "CreateVpcPeeringConnection", "VpcId", vpc, "PeerVpcId", "vpc-0dead0beef0dead00")
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "NatGatewayId", nat)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0", "EgressOnlyInternetGatewayId", six)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", mine.CIDR.String(), "VpcPeeringConnectionId", peer)
	list := w.ok(alice, "CreateManagedPrefixList", "PrefixListName", "away", "AddressFamily", "IPv4", "MaxEntries", "5").text("prefixList/prefixListId")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationPrefixListId", list, "NatGatewayId", nat)
	g := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", g, "VpcId", vpc)
	w.ok(alice, "AssociateRouteTable", "RouteTableId", w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId"), "GatewayId", g)
}

// serving has a gateway node in alice's first zone report what it serves.
func (w *world) serving(nat string, ready bool, detail string) {
	w.t.Helper()
	g, _ := w.view().NATGateways.Get(nat)
	if by, ok := w.view().Gateways.Get(string(g.Zone)); ok {
		w.act(w.t, "", events.ReportNATGateway{Gateway: g.ID, Host: by.Host, Ready: ready, Detail: detail})
		return
	}
	w.t.Fatalf("no gateway node serves %s", g.Zone)
}

// A NAT gateway has an interface of its own until it ends, and its address stays
// the account's.
func TestNatGateways(t *testing.T) {
	w := newWorld(t)
	vpc, _ := w.view().DefaultVPC(alice)
	sub := w.ok(alice, "DescribeSubnets", "Filter.1.Name", "availability-zone", "Filter.1.Value.1", "isle-1a").text("subnetSet/item/subnetId")
	w.act(t, "", events.JoinNode{Host: "isle-1a-gw", Kind: "gateway", Zone: "isle-1a", Boot: "b", Address: "10.0.9.9"})
	eip := w.ok(alice, "AllocateAddress")
	allocation, public := eip.text("allocationId"), eip.text("publicIp")
	w.fails("MissingParameter", alice, "CreateNatGateway", "SubnetId", sub)
	w.fails("UnsupportedOperation", alice, "CreateNatGateway", "SubnetId", sub, "AllocationId", allocation, "SecondaryPrivateIpAddressCount", "1")
	made := w.ok(alice, "CreateNatGateway", "SubnetId", sub, "AllocationId", allocation, "ClientToken", "once")
	nat := made.text("natGateway/natGatewayId")
	x := "natGateway/natGatewayAddressSet/item/"
	if made.text("natGateway/state") != "pending" || made.text(x+"allocationId") != allocation || made.text("natGateway/connectivityType") != "public" || made.text("natGateway/vpcId") != string(vpc.ID) {
		t.Errorf("%+v", made)
	}
	if again := w.ok(alice, "CreateNatGateway", "SubnetId", sub, "AllocationId", allocation, "ClientToken", "once"); again.text("natGateway/natGatewayId") != nat {
		t.Errorf("%+v", again)
	}
	w.fails("Resource.AlreadyAssociated", alice, "CreateNatGateway", "SubnetId", sub, "AllocationId", allocation)
	w.serving(nat, true, "")
	n := w.ok(alice, "DescribeNatGateways", "NatGatewayId.1", nat).all("natGatewaySet/item")[0]
	eni := n.text("natGatewayAddressSet/item/networkInterfaceId")
	if n.text("state") != "available" || n.text("natGatewayAddressSet/item/publicIp") != public || n.text("natGatewayAddressSet/item/status") != "succeeded" {
		t.Errorf("%+v", n)
	}
	f := w.ok(alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni).all("networkInterfaceSet/item")[0]
	if f.text("interfaceType") != "nat_gateway" || f.text("requesterManaged") != "true" || f.text("status") != "in-use" || f.text("association/publicIp") != public || f.text("sourceDestCheck") != "false" ||
		f.text("attachment/instanceOwnerId") != "amazon-aws" {
		t.Errorf("%+v", f)
	}
	w.fails("InvalidParameterValue", alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	w.fails("OperationNotPermitted", alice, "AssignPrivateIpAddresses", "NetworkInterfaceId", eni, "SecondaryPrivateIpAddressCount", "1")
	w.fails("OperationNotPermitted", alice, "DisassociateAddress", "PublicIp", public)
	w.fails("InvalidIPAddress.InUse", alice, "ReleaseAddress", "AllocationId", allocation)
	table := w.ok(alice, "CreateRouteTable", "VpcId", string(vpc.ID)).text("routeTable/routeTableId")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "NatGatewayId", nat)
	state := func() string {
		return w.ok(alice, "DescribeRouteTables", "RouteTableId.1", table).texts("routeTableSet/item/routeSet/item/state")[1]
	}
	if got := state(); got != "active" {
		t.Errorf("the route is %s", got)
	}
	w.ok(alice, "DeleteNatGateway", "NatGatewayId", nat)
	w.ok(alice, "DeleteNatGateway", "NatGatewayId", nat)
	n = w.ok(alice, "DescribeNatGateways", "NatGatewayId.1", nat).all("natGatewaySet/item")[0]
	if n.text("state") != "deleted" || !n.has("deleteTime") || state() != "blackhole" {
		t.Errorf("%+v, and the route is %s", n, state())
	}
	w.fails("InvalidNetworkInterfaceID.NotFound", alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)
	w.ok(alice, "ReleaseAddress", "AllocationId", allocation)

	// A node that cannot serve it says so, and it fails.
	nat = w.ok(alice, "CreateNatGateway", "SubnetId", sub, "ConnectivityType", "private").text("natGateway/natGatewayId")
	w.serving(nat, false, "not here")
	n = w.ok(alice, "DescribeNatGateways", "NatGatewayId.1", nat).all("natGatewaySet/item")[0]
	if n.text("state") != "failed" || n.text("failureMessage") != "not here" || n.text("failureCode") != "InternalError" {
		t.Errorf("%+v", n)
	}
}

// Two accounts peer; what one of them has of the other shows when both agree.
func TestVpcPeering(t *testing.T) {
	w := newWorld(t)
	a := w.ok(alice, "CreateVpc", "CidrBlock", "10.1.0.0/16").text("vpc/vpcId")
	b := w.ok(bob, "CreateVpc", "CidrBlock", "10.2.0.0/16").text("vpc/vpcId")
	w.fails("UnsupportedOperation", alice, "CreateVpcPeeringConnection", "VpcId", a, "PeerVpcId", b, "PeerOwnerId", bob, "PeerRegion", "isle-2")
	made := w.ok(alice, "CreateVpcPeeringConnection", "VpcId", a, "PeerVpcId", b, "PeerOwnerId", bob).all("vpcPeeringConnection")[0]
	id := made.text("vpcPeeringConnectionId")
	if made.text("status/code") != "initiating-request" || made.text("requesterVpcInfo/cidrBlock") != "10.1.0.0/16" || made.has("accepterVpcInfo/cidrBlock") || made.text("accepterVpcInfo/ownerId") != bob {
		t.Errorf("%+v", made)
	}
	look := func(account string) *node {
		t.Helper()
		return w.ok(account, "DescribeVpcPeeringConnections", "VpcPeeringConnectionId.1", id).all("vpcPeeringConnectionSet/item")[0]
	}
	if n := look(bob); n.text("status/code") != "pending-acceptance" || n.has("accepterVpcInfo/cidrBlock") || !n.has("expirationTime") {
		t.Errorf("%+v", n)
	}
	w.fails("OperationNotPermitted", alice, "AcceptVpcPeeringConnection", "VpcPeeringConnectionId", id)
	if n := w.ok(bob, "AcceptVpcPeeringConnection", "VpcPeeringConnectionId", id); n.text("vpcPeeringConnection/status/code") != "active" {
		t.Errorf("%+v", n)
	}
	if n := look(alice); n.text("accepterVpcInfo/cidrBlock") != "10.2.0.0/16" || n.text("status/message") != "Active" || n.has("expirationTime") {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidStateTransition", bob, "RejectVpcPeeringConnection", "VpcPeeringConnectionId", id)
	w.ok(bob, "DeleteVpcPeeringConnection", "VpcPeeringConnectionId", id)
	if n := look(alice); n.text("status/code") != "deleted" || n.text("status/message") != "Deleted by "+bob {
		t.Errorf("%+v", n)
	}
}
