package ec2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The calls that the Terraform provider makes for each kind of resource: to make
// it, read it, change it and end it. It goes by what these answer: attributes
// after a change, states that it waits for, and the exact codes of what is gone.

// reader reads one row of a describe.
func (w *world) reader(action, rows string, params ...string) func(...string) string {
	return func(paths ...string) string {
		w.t.Helper()
		list := w.ok(alice, action, params...).all(rows)
		if len(list) != 1 {
			w.t.Fatalf("%s %v: %d rows", action, params, len(list))
		}
		var out []string
		for _, p := range paths {
			out = append(out, list[0].text(p))
		}
		return strings.Join(out, "|")
	}
}

func (w *world) is(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

// tagged are the provider's tags at the making of something.
func tagged(kind string, params ...string) []string {
	return append(params, "TagSpecification.1.ResourceType", kind, "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "made", "TagSpecification.1.Tag.2.Key", "owner")
}

// retag changes tags as an update does, and checks that read shows it.
func (w *world) retag(id string, read func(...string) string) {
	w.t.Helper()
	w.is(read("tagSet/item/key"), "Name owner")
	w.ok(alice, "DeleteTags", "ResourceId.1", id, "Tag.1.Key", "owner")
	w.ok(alice, "CreateTags", "ResourceId.1", id, "Tag.1.Key", "Name", "Tag.1.Value", "changed", "Tag.2.Key", "team", "Tag.2.Value", "red")
	w.is(read("tagSet/item/key", "tagSet/item/value"), "Name team|changed red")
}

func TestTerraformNetworks(t *testing.T) {
	w := newWorld(t)
	n := w.ok(alice, "CreateVpc", tagged("vpc", "CidrBlock", "10.0.0.0/16", "InstanceTenancy", "default")...)
	vpc := n.text("vpc/vpcId")
	read := w.reader("DescribeVpcs", "vpcSet/item", "VpcId.1", vpc)
	w.is(read("state", "cidrBlock", "isDefault", "instanceTenancy"), "available|10.0.0.0/16|false|default")
	attribute := func(name string) string {
		return w.ok(alice, "DescribeVpcAttribute", "VpcId", vpc, "Attribute", name).text(name + "/value")
	}
	w.is(attribute("enableDnsSupport")+attribute("enableDnsHostnames")+attribute("enableNetworkAddressUsageMetrics"), "truefalsefalse")
	w.ok(alice, "ModifyVpcAttribute", "VpcId", vpc, "EnableDnsHostnames.Value", "true")
	w.ok(alice, "ModifyVpcAttribute", "VpcId", vpc, "EnableDnsSupport.Value", "true")
	w.is(attribute("enableDnsHostnames"), "true")
	byVPC := func(filter, value string) []string {
		return []string{"Filter.1.Name", filter, "Filter.1.Value.1", value, "Filter.2.Name", "vpc-id", "Filter.2.Value.1", vpc}
	}
	for _, c := range [][3]string{{"DescribeNetworkAcls", "default", "networkAclSet/item/networkAclId"}, {"DescribeRouteTables", "association.main", "routeTableSet/item/routeTableId"}} {
		if got := w.ok(alice, c[0], byVPC(c[1], "true")...).texts(c[2]); len(got) != 1 {
			t.Errorf("%s: %q", c[0], got)
		}
	}
	if got := w.ok(alice, "DescribeSecurityGroups", byVPC("group-name", "default")...).texts("securityGroupInfo/item/groupId"); len(got) != 1 {
		t.Errorf("%q", got)
	}
	w.retag(vpc, read)
	six := w.ok(alice, "AssociateVpcCidrBlock", "VpcId", vpc, "AmazonProvidedIpv6CidrBlock", "true").text("ipv6CidrBlockAssociation/associationId")
	w.is(read("ipv6CidrBlockAssociationSet/item/associationId", "ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state"), six+"|associated")
	block := strings.Replace(read("ipv6CidrBlockAssociationSet/item/ipv6CidrBlock"), "/56", "/64", 1)

	subnet := w.ok(alice, "CreateSubnet", tagged("subnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24", "AvailabilityZone", "isle-1a")...).text("subnet/subnetId")
	sub := w.reader("DescribeSubnets", "subnetSet/item", "SubnetId.1", subnet)
	w.is(sub("state", "mapPublicIpOnLaunch", "assignIpv6AddressOnCreation", "enableDns64", "privateDnsNameOptionsOnLaunch/hostnameType"), "available|false|false|false|ip-name")
	bond := w.ok(alice, "AssociateSubnetCidrBlock", "SubnetId", subnet, "Ipv6CidrBlock", block).text("ipv6CidrBlockAssociation/associationId")
	w.is(sub("ipv6CidrBlockAssociationSet/item/associationId", "ipv6CidrBlockAssociationSet/item/ipv6CidrBlockState/state"), bond+"|associated")
	for _, a := range []string{"MapPublicIpOnLaunch.Value", "AssignIpv6AddressOnCreation.Value"} {
		w.ok(alice, "ModifySubnetAttribute", "SubnetId", subnet, a, "true")
	}
	w.is(sub("mapPublicIpOnLaunch", "assignIpv6AddressOnCreation"), "true|true")
	w.ok(alice, "ModifySubnetAttribute", "SubnetId", subnet, "PrivateDnsHostnameTypeOnLaunch", "resource-name")
	w.is(sub("privateDnsNameOptionsOnLaunch/hostnameType"), "resource-name")
	w.retag(subnet, sub)
	w.ok(alice, "ModifySubnetAttribute", "SubnetId", subnet, "AssignIpv6AddressOnCreation.Value", "false")
	w.ok(alice, "DisassociateSubnetCidrBlock", "AssociationId", bond)
	w.is(sub("ipv6CidrBlockAssociationSet/item"), "")

	gateway := w.ok(alice, "CreateInternetGateway", tagged("internet-gateway")...).text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", gateway, "VpcId", vpc)
	igw := w.reader("DescribeInternetGateways", "internetGatewaySet/item", "InternetGatewayId.1", gateway)
	w.is(igw("attachmentSet/item/state", "attachmentSet/item/vpcId"), "available|"+vpc)
	w.retag(gateway, igw)

	table := w.ok(alice, "CreateRouteTable", tagged("route-table", "VpcId", vpc)...).text("routeTable/routeTableId")
	rtb := w.reader("DescribeRouteTables", "routeTableSet/item", "RouteTableId.1", table)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "GatewayId", gateway)
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0", "GatewayId", gateway)
	w.is(rtb("routeSet/item/destinationCidrBlock", "routeSet/item/destinationIpv6CidrBlock"), "10.0.0.0/16 0.0.0.0/0|"+read("ipv6CidrBlockAssociationSet/item/ipv6CidrBlock")+" ::/0")
	w.fails("RouteAlreadyExists", alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "GatewayId", gateway)
	eni := w.ok(alice, "CreateNetworkInterface", "SubnetId", subnet).text("networkInterface/networkInterfaceId")
	w.ok(alice, "ReplaceRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0", "NetworkInterfaceId", eni)
	w.is(rtb("routeSet/item/networkInterfaceId"), eni)
	w.fails("InvalidParameterValue", alice, "ReplaceRoute", "RouteTableId", table, "DestinationCidrBlock", "192.0.2.0/24", "GatewayId", gateway)
	w.ok(alice, "DeleteRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0")
	w.ok(alice, "DeleteRoute", "RouteTableId", table, "DestinationIpv6CidrBlock", "::/0")
	w.fails("InvalidRoute.NotFound", alice, "DeleteRoute", "RouteTableId", table, "DestinationCidrBlock", "0.0.0.0/0")
	w.retag(table, rtb)
	link := w.ok(alice, "AssociateRouteTable", "RouteTableId", table, "SubnetId", subnet).text("associationId")
	w.is(rtb("associationSet/item/routeTableAssociationId", "associationSet/item/subnetId", "associationSet/item/associationState/state"), link+"|"+subnet+"|associated")
	other := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	moved := w.ok(alice, "ReplaceRouteTableAssociation", "AssociationId", link, "RouteTableId", other).text("newAssociationId")
	w.is(w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "association.route-table-association-id", "Filter.1.Value.1", moved).text("routeTableSet/item/routeTableId"), other)
	w.fails("InvalidAssociationID.NotFound", alice, "DisassociateRouteTable", "AssociationId", link)
	w.fails("DependencyViolation", alice, "DeleteRouteTable", "RouteTableId", other)
	w.ok(alice, "DisassociateRouteTable", "AssociationId", moved)
	// The main table is replaced through its association, too.
	main := w.ok(alice, "DescribeRouteTables", byVPC("association.main", "true")...).text("routeTableSet/item/associationSet/item/routeTableAssociationId")
	if w.ok(alice, "ReplaceRouteTableAssociation", "AssociationId", main, "RouteTableId", other).text("newAssociationId") == "" {
		t.Error("no association")
	}
	w.is(w.ok(alice, "DescribeRouteTables", byVPC("association.main", "true")...).text("routeTableSet/item/routeTableId"), other)
	first := w.ok(alice, "DescribeRouteTables", byVPC("route-table-id", "*")...).texts("routeTableSet/item/routeTableId")
	first = slices.DeleteFunc(first, func(s string) bool { return s == other || s == table })

	// The end, in the order of what depends on what.
	w.fails("DependencyViolation", alice, "DeleteSubnet", "SubnetId", subnet)
	w.is(w.ok(alice, "DescribeNetworkInterfaces", "Filter.1.Name", "subnet-id", "Filter.1.Value.1", subnet).text("networkInterfaceSet/item/networkInterfaceId"), eni)
	w.ok(alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	w.ok(alice, "DeleteSubnet", "SubnetId", subnet)
	w.fails("InvalidSubnetID.NotFound", alice, "DeleteSubnet", "SubnetId", subnet)
	w.fails("DependencyViolation", alice, "DeleteInternetGateway", "InternetGatewayId", gateway)
	w.ok(alice, "DetachInternetGateway", "InternetGatewayId", gateway, "VpcId", vpc)
	w.fails("Gateway.NotAttached", alice, "DetachInternetGateway", "InternetGatewayId", gateway, "VpcId", vpc)
	w.ok(alice, "DeleteInternetGateway", "InternetGatewayId", gateway)
	w.fails("InvalidInternetGatewayID.NotFound", alice, "DescribeInternetGateways", "InternetGatewayId.1", gateway)
	w.ok(alice, "DeleteRouteTable", "RouteTableId", table)
	w.fails("InvalidRouteTableID.NotFound", alice, "DescribeRouteTables", "RouteTableId.1", table)
	w.fails("DependencyViolation", alice, "DeleteVpc", "VpcId", vpc) // the table that was the main one is like any other
	w.ok(alice, "DeleteRouteTable", "RouteTableId", first[0])
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
}

func TestTerraformGroups(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	id := w.ok(alice, "CreateSecurityGroup", tagged("security-group", "GroupName", "web", "GroupDescription", "Managed by Terraform", "VpcId", vpc)...).text("groupId")
	read := w.reader("DescribeSecurityGroups", "securityGroupInfo/item", "GroupId.1", id)
	w.ok(alice, "RevokeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")
	w.fails("InvalidPermission.NotFound", alice, "RevokeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0")
	w.is(read("ipPermissions/item", "ipPermissionsEgress/item"), "|")
	w.retag(id, read)
	for _, c := range []struct{ authorize, revoke, path, egress string }{
		{"AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "ipPermissions", "false"},
		{"AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress", "ipPermissionsEgress", "true"},
	} {
		p := []string{"GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "443", "IpPermissions.1.ToPort", "443", "IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8", "IpPermissions.1.IpRanges.1.Description", "in"}
		n := w.ok(alice, c.authorize, tagged("security-group-rule", p...)...)
		rule := n.text("securityGroupRuleSet/item/securityGroupRuleId")
		w.is(n.text("securityGroupRuleSet/item/isEgress")+n.text("securityGroupRuleSet/item/tagSet/item/key"), c.egress+"Name owner")
		w.fails("InvalidPermission.Duplicate", alice, c.authorize, p...)
		one := w.reader("DescribeSecurityGroupRules", "securityGroupRuleSet/item", "SecurityGroupRuleId.1", rule)
		w.retag(rule, one)
		w.ok(alice, "ModifySecurityGroupRules", "GroupId", id, "SecurityGroupRule.1.SecurityGroupRuleId", rule, "SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "udp", "SecurityGroupRule.1.SecurityGroupRule.FromPort", "53",
			"SecurityGroupRule.1.SecurityGroupRule.ToPort", "54", "SecurityGroupRule.1.SecurityGroupRule.ReferencedGroupId", id)
		w.is(one("ipProtocol", "fromPort", "toPort", "referencedGroupInfo/groupId", "isEgress", "tagSet/item/key"), "udp|53|54|"+id+"|"+c.egress+"|Name team")
		w.is(read(c.path+"/item/groups/item/groupId"), id)
		w.ok(alice, c.revoke, "GroupId", id, "SecurityGroupRuleId.1", rule)
		w.fails("InvalidSecurityGroupRuleId.NotFound", alice, "DescribeSecurityGroupRules", "SecurityGroupRuleId.1", rule)
		w.fails("InvalidSecurityGroupRuleId.NotFound", alice, c.revoke, "GroupId", id, "SecurityGroupRuleId.1", rule)
	}
	// A description of an egress rule, by its permission and by its id.
	p := []string{"GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "1", "IpPermissions.1.ToPort", "1", "IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"}
	rule := w.ok(alice, "AuthorizeSecurityGroupEgress", p...).text("securityGroupRuleSet/item/securityGroupRuleId")
	w.ok(alice, "UpdateSecurityGroupRuleDescriptionsEgress", append(p, "IpPermissions.1.IpRanges.1.Description", "by form")...)
	w.is(read("ipPermissionsEgress/item/ipRanges/item/description"), "by form")
	w.ok(alice, "UpdateSecurityGroupRuleDescriptionsEgress", "GroupId", id, "SecurityGroupRuleDescription.1.SecurityGroupRuleId", rule, "SecurityGroupRuleDescription.1.Description", "by id")
	w.is(read("ipPermissionsEgress/item/ipRanges/item/description"), "by id")

	subnet := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24").text("subnet/subnetId")
	eni := w.ok(alice, "CreateNetworkInterface", "SubnetId", subnet, "SecurityGroupId.1", id).text("networkInterface/networkInterfaceId")
	w.fails("DependencyViolation", alice, "DeleteSecurityGroup", "GroupId", id)
	w.is(w.ok(alice, "DescribeNetworkInterfaces", "Filter.1.Name", "group-id", "Filter.1.Value.1", id).text("networkInterfaceSet/item/networkInterfaceId"), eni)
	w.ok(alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	w.ok(alice, "DeleteSecurityGroup", "GroupId", id)
	w.fails("InvalidGroup.NotFound", alice, "DescribeSecurityGroups", "GroupId.1", id)
	w.ok(alice, "DeleteSubnet", "SubnetId", subnet)
	w.fails("InvalidSubnetID.NotFound", alice, "DescribeSubnets", "SubnetId.1", subnet)
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
	w.fails("InvalidVpcID.NotFound", alice, "DescribeVpcs", "VpcId.1", vpc)

	// ACLs: the rule that every ACL ends with is there to be skipped.
	vpc = w.ok(alice, "DescribeVpcs").text("vpcSet/item/vpcId")
	acl := w.ok(alice, "CreateNetworkAcl", tagged("network-acl", "VpcId", vpc, "ClientToken", "terraform-1")...).text("networkAcl/networkAclId")
	one := w.reader("DescribeNetworkAcls", "networkAclSet/item", "NetworkAclId.1", acl)
	w.is(one("entrySet/item/ruleNumber", "entrySet/item/protocol", "entrySet/item/portRange"), "32767 32767|-1 -1|")
	w.ok(alice, "CreateNetworkAclEntry", "NetworkAclId", acl, "RuleNumber", "100", "Egress", "false", "RuleAction", "allow", "Protocol", "-1", "CidrBlock", "10.0.0.0/8", "PortRange.From", "0", "PortRange.To", "0")
	w.is(one("entrySet/item/portRange"), "")
	w.retag(acl, one)
	link := w.ok(alice, "DescribeNetworkAcls", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc, "Filter.2.Name", "default", "Filter.2.Value.1", "true")
	first, bonds := link.text("networkAclSet/item/networkAclId"), link.texts("networkAclSet/item/associationSet/item/networkAclAssociationId")
	moved := w.ok(alice, "ReplaceNetworkAclAssociation", "AssociationId", bonds[0], "NetworkAclId", acl).text("newAssociationId")
	w.is(one("associationSet/item/networkAclAssociationId"), moved)
	w.ok(alice, "ReplaceNetworkAclAssociation", "AssociationId", moved, "NetworkAclId", first)
	w.ok(alice, "DeleteNetworkAcl", "NetworkAclId", acl)
	w.fails("InvalidNetworkAclID.NotFound", alice, "DescribeNetworkAcls", "NetworkAclId.1", acl)
	w.fails("InvalidNetworkAclID.NotFound", alice, "DeleteNetworkAcl", "NetworkAclId", acl)
}

func TestTerraformVPN(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")

	customer := w.ok(alice, "CreateCustomerGateway", tagged("customer-gateway", "BgpAsn", "65000", "IpAddress", "172.0.0.1", "Type", "ipsec.1", "DeviceName", "test")...).text("customerGateway/customerGatewayId")
	cgw := w.reader("DescribeCustomerGateways", "customerGatewaySet/item", "CustomerGatewayId.1", customer)
	w.is(cgw("state", "bgpAsn", "ipAddress", "type", "deviceName", "certificateArn"), "available|65000|172.0.0.1|ipsec.1|test|")
	w.retag(customer, cgw)

	gateway := w.ok(alice, "CreateVpnGateway", tagged("vpn-gateway", "AmazonSideAsn", "4294967294", "Type", "ipsec.1")...).text("vpnGateway/vpnGatewayId")
	vgw := w.reader("DescribeVpnGateways", "vpnGatewaySet/item", "VpnGatewayId.1", gateway)
	w.is(vgw("state", "amazonSideAsn", "availabilityZone", "attachments/item"), "available|4294967294||")
	w.is(w.ok(alice, "AttachVpnGateway", "VpcId", vpc, "VpnGatewayId", gateway).text("attachment/vpcId"), vpc)
	w.is(vgw("attachments/item/state", "attachments/item/vpcId"), "attached|"+vpc)
	w.is(w.ok(alice, "DescribeVpnGateways", "Filter.1.Name", "attachment.vpc-id", "Filter.1.Value.1", vpc, "Filter.2.Name", "attachment.state", "Filter.2.Value.1", "attached").text("vpnGatewaySet/item/vpnGatewayId"), gateway)
	w.retag(gateway, vgw)

	connection := w.ok(alice, "CreateVpnConnection", tagged("vpn-connection", "CustomerGatewayId", customer, "VpnGatewayId", gateway, "Type", "ipsec.1", "Options.StaticRoutesOnly", "true",
		"Options.EnableAcceleration", "false", "Options.TunnelOptions.1.TunnelInsideCidr", "169.254.8.0/30", "Options.TunnelOptions.1.PreSharedKey", "12345678", "Options.TunnelOptions.1.StartupAction", "add",
		"Options.TunnelOptions.2.Phase1LifetimeSeconds", "28800", "Options.TunnelOptions.2.RekeyFuzzPercentage", "100")...).text("vpnConnection/vpnConnectionId")
	vpn := w.reader("DescribeVpnConnections", "vpnConnectionSet/item", "VpnConnectionId.1", connection)
	w.is(vpn("state", "customerGatewayId", "vpnGatewayId", "type", "options/staticRoutesOnly", "options/enableAcceleration", "options/tunnelInsideIpVersion", "options/localIpv4NetworkCidr", "options/remoteIpv4NetworkCidr"),
		"available|"+customer+"|"+gateway+"|ipsec.1|true|false|ipv4|0.0.0.0/0|0.0.0.0/0")
	w.retag(connection, vpn)
	config := w.vpnConfig(w.ok(alice, "DescribeVpnConnections", "VpnConnectionId.1", connection).all("vpnConnectionSet/item")[0])
	w.is(config.Tunnels[0].Key+" "+config.Tunnels[0].Theirs, "12345678 169.254.8.2")
	w.is(vpn("options/tunnelOptionSet/item/outsideIpAddress", "options/tunnelOptionSet/item/preSharedKey", "vgwTelemetry/item/outsideIpAddress"),
		config.Tunnels[0].Outside+" "+config.Tunnels[1].Outside+"|12345678 "+config.Tunnels[1].Key+"|"+config.Tunnels[0].Outside+" "+config.Tunnels[1].Outside)

	w.ok(alice, "CreateVpnConnectionRoute", "DestinationCidrBlock", "172.168.10.0/24", "VpnConnectionId", connection)
	route := []string{"Filter.1.Name", "route.destination-cidr-block", "Filter.1.Value.1", "172.168.10.0/24", "Filter.2.Name", "vpn-connection-id", "Filter.2.Value.1", connection}
	w.is(w.ok(alice, "DescribeVpnConnections", route...).text("vpnConnectionSet/item/routes/item/state"), "available")
	w.is(vpn("routes/item/destinationCidrBlock", "routes/item/source"), "172.168.10.0/24|Static")

	rtb := w.reader("DescribeRouteTables", "routeTableSet/item", "RouteTableId.1", table)
	w.ok(alice, "EnableVgwRoutePropagation", "GatewayId", gateway, "RouteTableId", table)
	w.is(rtb("propagatingVgwSet/item/gatewayId", "routeSet/item/origin"), gateway+"|CreateRouteTable EnableVgwRoutePropagation")
	w.ok(alice, "DisableVgwRoutePropagation", "GatewayId", gateway, "RouteTableId", table)
	w.is(rtb("propagatingVgwSet/item/gatewayId", "routeSet/item/origin"), "|CreateRouteTable")
	w.ok(alice, "CreateRoute", "RouteTableId", table, "DestinationCidrBlock", "172.168.0.0/16", "GatewayId", gateway)
	w.is(rtb("routeSet/item/gatewayId"), "local "+gateway)
	w.ok(alice, "DeleteRoute", "RouteTableId", table, "DestinationCidrBlock", "172.168.0.0/16")

	// The end, in the order of what depends on what: what has ended is shown as such.
	w.ok(alice, "DeleteVpnConnectionRoute", "DestinationCidrBlock", "172.168.10.0/24", "VpnConnectionId", connection)
	w.fails("InvalidRoute.NotFound", alice, "DeleteVpnConnectionRoute", "DestinationCidrBlock", "172.168.10.0/24", "VpnConnectionId", connection)
	if w.ok(alice, "DescribeVpnConnections", route...).has("vpnConnectionSet/item") {
		t.Error("the route is there")
	}
	w.fails("IncorrectState", alice, "DeleteCustomerGateway", "CustomerGatewayId", customer)
	w.fails("IncorrectState", alice, "DeleteVpnGateway", "VpnGatewayId", gateway)
	w.ok(alice, "DeleteVpnConnection", "VpnConnectionId", connection)
	w.is(vpn("state"), "deleted")
	w.ok(alice, "DetachVpnGateway", "VpcId", vpc, "VpnGatewayId", gateway)
	w.is(vgw("attachments/item"), "")
	w.fails("InvalidVpnGatewayAttachment.NotFound", alice, "DetachVpnGateway", "VpcId", vpc, "VpnGatewayId", gateway)
	w.ok(alice, "DeleteVpnGateway", "VpnGatewayId", gateway)
	w.is(vgw("state"), "deleted")
	w.ok(alice, "DeleteCustomerGateway", "CustomerGatewayId", customer)
	w.is(cgw("state"), "deleted")
	w.fails("InvalidVpnConnectionID.NotFound", alice, "DescribeVpnConnections", "VpnConnectionId.1", "vpn-0dead0beef0dead00")
	w.fails("InvalidVpnGatewayID.NotFound", alice, "DescribeVpnGateways", "VpnGatewayId.1", "vgw-0dead0beef0dead00")
	w.fails("InvalidCustomerGatewayID.NotFound", alice, "DescribeCustomerGateways", "CustomerGatewayId.1", "cgw-0dead0beef0dead00")
}

func TestTerraformInstances(t *testing.T) {
	w := newWorld(t)
	w.live()
	volume := w.ok(alice, "CreateVolume", tagged("volume", "AvailabilityZone", "isle-1a", "Size", "1", "VolumeType", "gp3")...).text("volumeId")
	w.volumeIs(volume, "available")
	vol := w.reader("DescribeVolumes", "volumeSet/item", "VolumeId.1", volume)
	w.retag(volume, vol)
	w.ok(alice, "ModifyVolume", "VolumeId", volume, "Size", "8", "Iops", "4000", "Throughput", "200")
	until(t, "modified", func() bool {
		return w.ok(alice, "DescribeVolumesModifications", "VolumeId.1", volume).text("volumeModificationSet/item/modificationState") == "completed"
	})
	w.is(vol("size", "iops", "throughput", "volumeType"), "8|4000|200|gp3")

	snapshot := w.ok(alice, "CreateSnapshot", tagged("snapshot", "VolumeId", volume, "Description", "first")...).text("snapshotId")
	whole := func(id string) {
		t.Helper()
		until(t, id+" is completed", func() bool {
			return w.ok(alice, "DescribeSnapshots", "SnapshotId.1", id).text("snapshotSet/item/status") == "completed"
		})
	}
	whole(snapshot)
	w.retag(snapshot, w.reader("DescribeSnapshots", "snapshotSet/item", "SnapshotId.1", snapshot))
	n := w.ok(alice, "CopySnapshot", tagged("snapshot", "SourceSnapshotId", snapshot, "SourceRegion", "isle-1", "Description", "second")...)
	copied := n.text("snapshotId")
	w.is(n.text("tagSet/item/key"), "Name owner")
	whole(copied)
	w.is(w.reader("DescribeSnapshots", "snapshotSet/item", "SnapshotId.1", copied)("description", "volumeSize", "ownerId"), "second|8|"+alice)

	image := w.ok(alice, "RegisterImage", tagged("image", "Name", "mine", "Architecture", "x86_64", "RootDeviceName", "/dev/sda1", "KernelId", aki, "RamdiskId", ari, "BlockDeviceMapping.1.DeviceName", "/dev/sda1", "BlockDeviceMapping.1.Ebs.SnapshotId", snapshot)...).text("imageId")
	ami := w.reader("DescribeImages", "imagesSet/item", "ImageId.1", image)
	w.is(ami("imageState", "rootDeviceName", "rootDeviceType"), "available|/dev/sda1|ebs")
	w.retag(image, ami)
	w.ok(alice, "ModifyImageAttribute", "ImageId", image, "Attribute", "description", "Value", "changed")
	w.is(ami("description"), "changed")
	clone := w.ok(alice, "CopyImage", "Name", "clone", "SourceImageId", image, "SourceRegion", "isle-1", "Description", "a copy").text("imageId")
	until(t, "the copy is available", func() bool {
		return w.reader("DescribeImages", "imagesSet/item", "ImageId.1", clone)("imageState") == "available"
	})
	w.is(w.reader("DescribeImages", "imagesSet/item", "ImageId.1", clone)("name", "description", "rootDeviceType", "imageLocation"), "clone|a copy|ebs|"+alice+"/clone")

	w.ok(alice, "CreatePlacementGroup", tagged("placement-group", "GroupName", "far", "Strategy", "spread")...)
	group := w.reader("DescribePlacementGroups", "placementGroupSet/item", "GroupName.1", "far")
	w.is(group("state", "strategy", "spreadLevel"), "available|spread|rack")
	w.retag(group("groupId"), group)
	template := w.ok(alice, "CreateLaunchTemplate", tagged("launch-template", "LaunchTemplateName", "web", "LaunchTemplateData.InstanceType", "t3.micro", "LaunchTemplateData.ImageId", image,
		"LaunchTemplateData.TagSpecification.1.ResourceType", "instance", "LaunchTemplateData.TagSpecification.1.Tag.1.Key", "Name", "LaunchTemplateData.TagSpecification.1.Tag.1.Value", "web")...).text("launchTemplate/launchTemplateId")
	lt := w.reader("DescribeLaunchTemplates", "launchTemplates/item", "LaunchTemplateId.1", template)
	w.retag(template, lt)
	w.ok(alice, "CreateLaunchTemplateVersion", "LaunchTemplateId", template, "SourceVersion", "1", "LaunchTemplateData.Placement.GroupName", "far")
	w.ok(alice, "ModifyLaunchTemplate", "LaunchTemplateId", template, "SetDefaultVersion", "2")
	w.is(lt("defaultVersionNumber", "latestVersionNumber"), "2|2")

	key := w.ok(alice, "ImportKeyPair", tagged("key-pair", "KeyName", "laptop", "PublicKeyMaterial", encode(sshLine))...).text("keyPairId")
	pair := w.reader("DescribeKeyPairs", "keySet/item", "KeyName.1", "laptop", "IncludePublicKey", "true")
	w.is(pair("keyPairId", "keyType"), key+"|ed25519")
	w.retag(key, pair)

	subnet := w.ok(alice, "DescribeSubnets", "Filter.1.Name", "availability-zone", "Filter.1.Value.1", "isle-1a").text("subnetSet/item/subnetId")
	id := w.ok(alice, "RunInstances", "MinCount", "1", "MaxCount", "1", "ClientToken", "terraform-2", "LaunchTemplate.LaunchTemplateId", template, "LaunchTemplate.Version", "$Latest", "KeyName", "laptop", "SubnetId", subnet,
		"CreditSpecification.CpuCredits", "standard", "DisableApiTermination", "true", "UserData", encode("#!/bin/sh")).text("instancesSet/item/instanceId")
	w.instanceIs(id, "running")
	read := w.reader("DescribeInstances", "reservationSet/item/instancesSet/item", "InstanceId.1", id)
	w.is(read("placement/groupName", "keyName", "instanceType"), "far|laptop|t3.micro")
	for _, want := range []string{"aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version", "Name"} {
		if !slices.Contains(strings.Fields(read("tagSet/item/key")), want) {
			t.Errorf("no tag %s: %s", want, read("tagSet/item/key"))
		}
	}
	attribute := func(name string) string {
		return w.ok(alice, "DescribeInstanceAttribute", "InstanceId", id, "Attribute", name).text(name + "/value")
	}
	w.is(attribute("disableApiStop")+" "+attribute("disableApiTermination")+" "+attribute("instanceInitiatedShutdownBehavior")+" "+attribute("userData"), "false true stop "+encode("#!/bin/sh"))
	w.is(w.ok(alice, "DescribeInstanceCreditSpecifications", "InstanceId.1", id).text("instanceCreditSpecificationSet/item/cpuCredits"), "standard")
	if rows := w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1", id).all("tagSet/item"); len(rows) != 3 {
		t.Errorf("%d tags", len(rows))
	}
	// Updates in place.
	n = w.ok(alice, "ModifyInstanceMetadataOptions", "InstanceId", id, "HttpTokens", "required", "HttpPutResponseHopLimit", "2", "HttpEndpoint", "enabled", "InstanceMetadataTags", "enabled")
	w.is(n.text("instanceMetadataOptions/httpTokens")+n.text("instanceMetadataOptions/state"), "requiredpending")
	w.is(read("metadataOptions/httpTokens", "metadataOptions/httpPutResponseHopLimit", "metadataOptions/instanceMetadataTags", "metadataOptions/state"), "required|2|enabled|applied")
	w.fails("InvalidParameterValue", alice, "ModifyInstanceMetadataOptions", "InstanceId", id, "HttpPutResponseHopLimit", "65")
	w.ok(alice, "MonitorInstances", "InstanceId.1", id)
	w.is(read("monitoring/state"), "enabled")
	w.is(w.ok(alice, "UnmonitorInstances", "InstanceId.1", id).text("instancesSet/item/monitoring/state"), "disabling")
	w.is(read("monitoring/state"), "disabled")
	n = w.ok(alice, "GetPasswordData", "InstanceId", id)
	w.is(n.text("passwordData")+n.text("instanceId"), id)
	// Updates that need a stop.
	w.ok(alice, "StopInstances", "InstanceId.1", id)
	w.instanceIs(id, "stopped")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "InstanceType.Value", "t3.small")
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "UserData.Value", encode("#!/bin/true"))
	w.ok(alice, "StartInstances", "InstanceId.1", id)
	w.instanceIs(id, "running")
	w.is(read("instanceType")+" "+attribute("userData"), "t3.small "+encode("#!/bin/true"))

	// A volume comes and goes.
	attached := []string{"VolumeId.1", volume, "Filter.1.Name", "attachment.device", "Filter.1.Value.1", "/dev/sdh", "Filter.2.Name", "attachment.instance-id", "Filter.2.Value.1", id}
	if w.ok(alice, "DescribeVolumes", attached...).has("volumeSet/item") {
		t.Error("attached too soon")
	}
	w.is(w.ok(alice, "AttachVolume", "VolumeId", volume, "InstanceId", id, "Device", "/dev/sdh").text("device"), "/dev/sdh")
	until(t, "attached", func() bool {
		return w.ok(alice, "DescribeVolumes", attached...).text("volumeSet/item/attachmentSet/item/status") == "attached"
	})
	w.fails("VolumeInUse", alice, "DeleteVolume", "VolumeId", volume)
	w.ok(alice, "DetachVolume", "VolumeId", volume, "InstanceId", id, "Device", "/dev/sdh")
	w.volumeIs(volume, "available")

	// An interface and an address.
	eni := w.ok(alice, "CreateNetworkInterface", tagged("network-interface", "SubnetId", read("subnetId"), "Description", "spare", "ClientToken", "terraform-3")...).text("networkInterface/networkInterfaceId")
	nic := w.reader("DescribeNetworkInterfaces", "networkInterfaceSet/item", "NetworkInterfaceId.1", eni)
	w.is(nic("status", "description", "sourceDestCheck"), "available|spare|true")
	w.retag(eni, nic)
	w.ok(alice, "AssignPrivateIpAddresses", "NetworkInterfaceId", eni, "SecondaryPrivateIpAddressCount", "1")
	second := strings.Fields(nic("privateIpAddressesSet/item/privateIpAddress"))[1]
	w.ok(alice, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId", eni, "SourceDestCheck.Value", "false")
	bond := w.ok(alice, "AttachNetworkInterface", "NetworkInterfaceId", eni, "InstanceId", id, "DeviceIndex", "1").text("attachmentId")
	until(t, "the interface is attached", func() bool { return nic("attachment/status") == "attached" })
	w.fails("InvalidParameterValue", alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	eip := w.ok(alice, "AllocateAddress", tagged("elastic-ip", "Domain", "vpc")...).text("allocationId")
	address := w.reader("DescribeAddresses", "addressesSet/item", "AllocationId.1", eip)
	w.retag(eip, address)
	association := w.ok(alice, "AssociateAddress", "AllocationId", eip, "NetworkInterfaceId", eni, "PrivateIpAddress", second, "AllowReassociation", "true").text("associationId")
	w.is(address("associationId", "networkInterfaceId", "privateIpAddress"), association+"|"+eni+"|"+second)
	w.is(w.ok(alice, "DescribeAddressesAttribute", "AllocationId.1", eip, "Attribute", "domain-name").text("addressSet/item/allocationId"), eip)
	w.ok(alice, "DisassociateAddress", "AssociationId", association)
	w.fails("InvalidAssociationID.NotFound", alice, "DisassociateAddress", "AssociationId", association)
	w.ok(alice, "ReleaseAddress", "AllocationId", eip)
	w.fails("InvalidAllocationID.NotFound", alice, "DescribeAddresses", "AllocationId.1", eip)
	w.ok(alice, "UnassignPrivateIpAddresses", "NetworkInterfaceId", eni, "PrivateIpAddress.1", second)
	w.ok(alice, "DetachNetworkInterface", "AttachmentId", bond, "Force", "true")
	until(t, "the interface is free", func() bool { return nic("status") == "available" })
	w.ok(alice, "DeleteNetworkInterface", "NetworkInterfaceId", eni)
	w.fails("InvalidNetworkInterfaceID.NotFound", alice, "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)

	// The end.
	w.fails("InvalidPlacementGroup.InUse", alice, "DeletePlacementGroup", "GroupName", "far")
	w.fails("OperationNotPermitted", alice, "TerminateInstances", "InstanceId.1", id)
	w.ok(alice, "ModifyInstanceAttribute", "InstanceId", id, "DisableApiTermination.Value", "false")
	w.ok(alice, "TerminateInstances", "InstanceId.1", id)
	w.instanceIs(id, "terminated")
	w.ok(alice, "DeletePlacementGroup", "GroupName", "far")
	w.fails("InvalidPlacementGroup.Unknown", alice, "DescribePlacementGroups", "GroupName.1", "far")
	w.ok(alice, "DeleteLaunchTemplate", "LaunchTemplateId", template)
	w.fails("InvalidLaunchTemplateId.NotFound", alice, "DescribeLaunchTemplates", "LaunchTemplateId.1", template)
	w.ok(alice, "DeleteKeyPair", "KeyName", "laptop")
	w.fails("InvalidKeyPair.NotFound", alice, "DescribeKeyPairs", "KeyName.1", "laptop")
	for _, i := range []string{image, clone} {
		w.ok(alice, "DeregisterImage", "ImageId", i)
		if w.ok(alice, "DescribeImages", "Owner.1", "self", "Filter.1.Name", "image-id", "Filter.1.Value.1", i).has("imagesSet/item") {
			t.Error("the image is there")
		}
	}
	for _, s := range []string{snapshot, copied} {
		w.ok(alice, "DeleteSnapshot", "SnapshotId", s)
		w.fails("InvalidSnapshot.NotFound", alice, "DescribeSnapshots", "SnapshotId.1", s)
	}
	w.ok(alice, "DeleteVolume", "VolumeId", volume)
	until(t, "the volume is gone", func() bool {
		_, text := w.call(alice, "DescribeVolumes", "VolumeId.1", volume)
		return w.parse(text).text("Errors/Error/Code") == "InvalidVolume.NotFound"
	})
	w.is(w.ok(alice, "DisableEbsEncryptionByDefault").text("ebsEncryptionByDefault"), "false")
}

// together makes n calls at once, and returns what they answered, in no order.
func (w *world) together(n int, call func(i int) (action string, params []string)) (out []*node) {
	w.t.Helper()
	texts := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			action, params := call(i)
			_, texts[i] = w.call(alice, action, params...)
		})
	}
	wg.Wait()
	for _, text := range texts {
		n := w.parse(text)
		if n.has("Errors") {
			w.t.Errorf("refused: %s", text)
		}
		out = append(out, n)
	}
	return out
}

// What a plan makes at once, all of it is there afterwards.
func TestTogether(t *testing.T) {
	const many = 10
	w := newWorld(t)
	w.live()
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	gateway := w.ok(alice, "CreateInternetGateway").text("internetGateway/internetGatewayId")
	w.ok(alice, "AttachInternetGateway", "InternetGatewayId", gateway, "VpcId", vpc)
	table := w.ok(alice, "CreateRouteTable", "VpcId", vpc).text("routeTable/routeTableId")
	count := func(want int, action, path string, params ...string) {
		t.Helper()
		got := w.ok(alice, action, params...).texts(path)
		if slices.Sort(got); len(slices.Compact(got)) != want {
			t.Errorf("%s: %d are there of %d: %q", action, len(got), want, got)
		}
	}
	block := func(i int) string { return fmt.Sprintf("192.0.%d.0/24", i+1) }

	w.together(many, func(i int) (string, []string) {
		return "CreateRoute", []string{"RouteTableId", table, "DestinationCidrBlock", block(i), "GatewayId", gateway}
	})
	count(many+1, "DescribeRouteTables", "routeTableSet/item/routeSet/item/destinationCidrBlock", "RouteTableId.1", table)

	group := w.ok(alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "web", "VpcId", vpc).text("groupId")
	for _, c := range []struct{ action, egress string }{{"AuthorizeSecurityGroupIngress", "false"}, {"AuthorizeSecurityGroupEgress", "true"}} {
		var rules []string
		for _, n := range w.together(many, func(i int) (string, []string) {
			return c.action, []string{"GroupId", group, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80", "IpPermissions.1.IpRanges.1.CidrIp", block(i)}
		}) {
			rules = append(rules, n.text("securityGroupRuleSet/item/securityGroupRuleId"))
		}
		var params []string
		for i, r := range rules {
			params = append(params, fmt.Sprint("SecurityGroupRuleId.", i+1), r)
		}
		count(many, "DescribeSecurityGroupRules", "securityGroupRuleSet/item/cidrIpv4", params...)
		w.together(many/2, func(i int) (string, []string) {
			return strings.Replace(c.action, "Authorize", "Revoke", 1), []string{"GroupId", group, "SecurityGroupRuleId.1", rules[i]}
		})
		count(many-many/2, "DescribeSecurityGroupRules", "securityGroupRuleSet/item/cidrIpv4", params[many/2*2:]...)
	}

	acl := w.ok(alice, "CreateNetworkAcl", "VpcId", vpc).text("networkAcl/networkAclId")
	w.together(many, func(i int) (string, []string) {
		return "CreateNetworkAclEntry", []string{"NetworkAclId", acl, "RuleNumber", fmt.Sprint(i + 1), "Egress", "false", "RuleAction", "allow", "Protocol", "-1", "CidrBlock", block(i)}
	})
	count(many+1, "DescribeNetworkAcls", "networkAclSet/item/entrySet/item/ruleNumber", "NetworkAclId.1", acl)

	w.together(many, func(i int) (string, []string) {
		return "CreateSubnet", []string{"VpcId", vpc, "CidrBlock", fmt.Sprintf("10.0.%d.0/24", i)}
	})
	count(many, "DescribeSubnets", "subnetSet/item/cidrBlock", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc)
	subnet := w.ok(alice, "DescribeSubnets", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc).texts("subnetSet/item/subnetId")[0]

	w.together(many, func(i int) (string, []string) {
		return "CreateTags", []string{"ResourceId.1", vpc, "Tag.1.Key", fmt.Sprint("key", i), "Tag.1.Value", "x"}
	})
	count(many, "DescribeVpcs", "vpcSet/item/tagSet/item/key", "VpcId.1", vpc)

	addresses := map[string]bool{}
	for _, n := range w.together(many, func(int) (string, []string) { return "CreateNetworkInterface", []string{"SubnetId", subnet} }) {
		a := n.text("networkInterface/privateIpAddress")
		if _, err := netip.ParseAddr(a); err != nil || addresses[a] {
			t.Errorf("%q is given, and again", a)
		}
		addresses[a] = true
	}
	w.together(4, func(int) (string, []string) { return "AllocateAddress", nil })
	count(4, "DescribeAddresses", "addressesSet/item/publicIp")

	// One token, one instance, however many calls carry it.
	var made []string
	for _, n := range w.together(many, func(int) (string, []string) {
		return "RunInstances", []string{"ImageId", ami, "MinCount", "1", "MaxCount", "1", "SubnetId", subnet, "ClientToken", "once"}
	}) {
		made = append(made, n.text("instancesSet/item/instanceId"))
	}
	if slices.Sort(made); len(slices.Compact(made)) != 1 {
		t.Errorf("one token made %q", made)
	}
	id := made[0]
	w.instanceIs(id, "running")
	zone := w.ok(alice, "DescribeInstances", "InstanceId.1", id).text("reservationSet/item/instancesSet/item/placement/availabilityZone")
	const most = 7 // volumes of an instance of this type
	var volumes []string
	for _, n := range w.together(most, func(int) (string, []string) { return "CreateVolume", []string{"AvailabilityZone", zone, "Size", "1"} }) {
		volumes = append(volumes, n.text("volumeId"))
	}
	for _, v := range volumes {
		w.volumeIs(v, "available")
	}
	w.together(most, func(i int) (string, []string) {
		return "AttachVolume", []string{"VolumeId", volumes[i], "InstanceId", id, "Device", fmt.Sprintf("/dev/sd%c", 'f'+i)}
	})
	until(t, "all are attached", func() bool {
		got := w.ok(alice, "DescribeVolumes", "Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", id, "Filter.2.Name", "attachment.status", "Filter.2.Value.1", "attached").texts("volumeSet/item/volumeId")
		return len(got) == most
	})
	count(most, "DescribeInstances", "reservationSet/item/instancesSet/item/blockDeviceMapping/item/deviceName", "InstanceId.1", id)
	w.together(most, func(i int) (string, []string) { return "DetachVolume", []string{"VolumeId", volumes[i]} })
	for _, v := range volumes {
		w.volumeIs(v, "available")
	}
	w.together(most, func(i int) (string, []string) { return "DeleteVolume", []string{"VolumeId", volumes[i]} })
	until(t, "all are gone", func() bool {
		return !w.ok(alice, "DescribeVolumes").has("volumeSet/item")
	})
}
