package ec2

import (
	"slices"
	"strings"
	"testing"
)

// A list changes by version, and what refers to it is named and shown.
func TestPrefixLists(t *testing.T) {
	w := newWorld(t)
	made := w.ok(alice, "CreateManagedPrefixList", "PrefixListName", "offices", "AddressFamily", "IPv4", "MaxEntries", "4", "ClientToken", "once", "Entry.1.Cidr", "192.0.2.0/24", "Entry.1.Description", "north",
		"Entry.2.Cidr", "10.0.0.0/8", "TagSpecification.1.ResourceType", "prefix-list", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "offices")
	id := made.text("prefixList/prefixListId")
	if made.text("prefixList/version") != "1" || made.text("prefixList/state") != "create-in-progress" || made.text("prefixList/maxEntries") != "4" || made.text("prefixList/addressFamily") != "IPv4" ||
		made.text("prefixList/prefixListArn") != "arn:aws:ec2:isle-1:111111111111:prefix-list/"+id || made.text("prefixList/tagSet/item/value") != "offices" {
		t.Errorf("%+v", made)
	}
	is := func(state, version string) {
		t.Helper()
		if n := w.ok(alice, "DescribeManagedPrefixLists", "PrefixListId.1", id); n.text("prefixListSet/item/state") != state || n.text("prefixListSet/item/version") != version {
			t.Errorf("%+v", n)
		}
	}
	entries := func(want string, params ...string) {
		t.Helper()
		var got []string
		for _, e := range w.ok(alice, "GetManagedPrefixListEntries", append([]string{"PrefixListId", id}, params...)...).all("entrySet/item") {
			got = append(got, e.text("cidr")+e.text("description"))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("entries %q, want %q", s, want)
		}
	}
	is("create-complete", "1")
	entries("10.0.0.0/8 192.0.2.0/24north")
	n := w.ok(alice, "ModifyManagedPrefixList", "PrefixListId", id, "CurrentVersion", "1", "AddEntry.1.Cidr", "198.51.100.0/24", "RemoveEntry.1.Cidr", "10.0.0.0/8")
	if n.text("prefixList/version") != "2" || n.text("prefixList/state") != "modify-in-progress" {
		t.Errorf("%+v", n)
	}
	is("modify-complete", "2")
	entries("192.0.2.0/24north 198.51.100.0/24")
	entries("10.0.0.0/8 192.0.2.0/24north", "TargetVersion", "1")
	w.fails("InvalidParameterValue", alice, "GetManagedPrefixListEntries", "PrefixListId", id, "TargetVersion", "3")
	w.fails("PrefixListVersionMismatch", alice, "ModifyManagedPrefixList", "PrefixListId", id, "CurrentVersion", "1", "AddEntry.1.Cidr", "10.0.0.0/8")
	w.fails("MissingParameter", alice, "ModifyManagedPrefixList", "PrefixListId", id, "AddEntry.1.Cidr", "10.0.0.0/8")
	w.fails("InvalidParameterValue", alice, "ModifyManagedPrefixList", "PrefixListId", id, "CurrentVersion", "2", "AddEntry.1.Cidr", "192.0.2.0/24", "RemoveEntry.1.Cidr", "192.0.2.0/24")
	w.fails("InvalidParameterValue", alice, "ModifyManagedPrefixList", "PrefixListId", id, "CurrentVersion", "2", "AddEntry.1.Cidr", "elsewhere")
	w.fails("PrefixListMaxEntriesExceeded", alice, "ModifyManagedPrefixList", "PrefixListId", id, "MaxEntries", "1")
	if n := w.ok(alice, "RestoreManagedPrefixListVersion", "PrefixListId", id, "CurrentVersion", "2", "PreviousVersion", "1"); n.text("prefixList/version") != "3" {
		t.Errorf("%+v", n)
	}
	is("restore-complete", "3")
	entries("10.0.0.0/8 192.0.2.0/24north")
	w.ok(alice, "ModifyManagedPrefixList", "PrefixListId", id, "PrefixListName", "desks")
	is("modify-complete", "3")
	first := w.ok(alice, "GetManagedPrefixListEntries", "PrefixListId", id, "MaxResults", "1")
	entries("192.0.2.0/24north", "MaxResults", "1", "NextToken", first.text("nextToken"))

	web := w.ok(alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "my web").text("groupId")
	list := "IpPermissions.1.PrefixListIds.1."
	rule := w.ok(alice, "AuthorizeSecurityGroupIngress", "GroupId", web, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", list+"PrefixListId", id, list+"Description", "desks")
	if rule.text("securityGroupRuleSet/item/prefixListId") != id || rule.text("securityGroupRuleSet/item/description") != "desks" || rule.has("securityGroupRuleSet/item/cidrIpv6") {
		t.Errorf("%+v", rule)
	}
	ruleID := rule.text("securityGroupRuleSet/item/securityGroupRuleId")
	if n := w.ok(alice, "DescribeSecurityGroupRules", "SecurityGroupRuleId.1", ruleID); n.text("securityGroupRuleSet/item/prefixListId") != id {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "DescribeSecurityGroups", "Filter.1.Name", "ip-permission.prefix-list-id", "Filter.1.Value.1", id); n.text("securityGroupInfo/item/ipPermissions/item/prefixListIds/item/description") != "desks" {
		t.Errorf("%+v", n)
	}
	if n := w.ok(alice, "GetManagedPrefixListAssociations", "PrefixListId", id); n.text("prefixListAssociationSet/item/resourceId") != web || n.text("prefixListAssociationSet/item/resourceOwner") != alice {
		t.Errorf("%+v", n)
	}
	w.fails("DependencyViolation", alice, "DeleteManagedPrefixList", "PrefixListId", id)
	w.fails("InvalidPermission.Duplicate", alice, "AuthorizeSecurityGroupIngress", "GroupId", web, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", list+"PrefixListId", id)
	w.fails("InvalidPrefixListId.NotFound", bob, "AuthorizeSecurityGroupIngress", "GroupName", "default", "IpPermissions.1.IpProtocol", "-1", list+"PrefixListId", id)
	w.fails("InvalidPrefixListId.Malformed", alice, "AuthorizeSecurityGroupIngress", "GroupId", web, "IpPermissions.1.IpProtocol", "-1", list+"PrefixListId", "offices")
	w.ok(alice, "ModifySecurityGroupRules", "GroupId", web, "SecurityGroupRule.1.SecurityGroupRuleId", ruleID, "SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "udp", "SecurityGroupRule.1.SecurityGroupRule.FromPort", "53",
		"SecurityGroupRule.1.SecurityGroupRule.ToPort", "53", "SecurityGroupRule.1.SecurityGroupRule.PrefixListId", id)
	w.fails("RulesPerSecurityGroupLimitExceeded", alice, "ModifyManagedPrefixList", "PrefixListId", id, "MaxEntries", "61")
	w.ok(alice, "RevokeSecurityGroupIngress", "GroupId", web, "IpPermissions.1.IpProtocol", "udp", "IpPermissions.1.FromPort", "53", "IpPermissions.1.ToPort", "53", list+"PrefixListId", id)

	for _, action := range []string{"GetManagedPrefixListEntries", "GetManagedPrefixListAssociations", "DeleteManagedPrefixList"} {
		w.fails("InvalidPrefixListID.NotFound", bob, action, "PrefixListId", id)
		w.fails("InvalidPrefixListId.Malformed", bob, action, "PrefixListId", "pl")
	}
	w.fails("InvalidPrefixListID.NotFound", bob, "ModifyManagedPrefixList", "PrefixListId", id, "PrefixListName", "mine")
	w.fails("InvalidPrefixListID.NotFound", bob, "RestoreManagedPrefixListVersion", "PrefixListId", id, "CurrentVersion", "3", "PreviousVersion", "1")
	w.fails("InvalidPrefixListID.NotFound", bob, "DescribeManagedPrefixLists", "PrefixListId.1", id)
	w.fails("InvalidPrefixListID.NotFound", bob, "CreateTags", "ResourceId.1", id, "Tag.1.Key", "a")
	w.fails("MissingParameter", alice, "CreateManagedPrefixList", "PrefixListName", "x", "AddressFamily", "IPv4")
	if n := w.ok(alice, "DescribePrefixLists"); n.has("prefixListSet/item") {
		t.Errorf("%+v", n)
	}
	w.fails("InvalidPrefixListId.NotFound", alice, "DescribePrefixLists", "PrefixListId.1", id)
	w.fails("InvalidParameterValue", alice, "DescribePrefixLists", "Filter.1.Name", "elephant", "Filter.1.Value.1", "x")
	if n := w.ok(alice, "DeleteManagedPrefixList", "PrefixListId", id); n.text("prefixList/state") != "delete-in-progress" || n.text("prefixList/prefixListName") != "desks" {
		t.Errorf("%+v", n)
	}
	if ids := w.ok(alice, "DescribeManagedPrefixLists").texts("prefixListSet/item/prefixListId"); slices.Contains(ids, id) {
		t.Errorf("%v", ids)
	}
}

// A route may lead to a list, which then is shown as its destination and stays
// while it does.
func TestPrefixListRoutes(t *testing.T) {
	w := newWorld(t)
	vpc, _ := w.view().DefaultVPC(alice)
	gateway, _ := w.view().InternetGatewayOf(vpc.ID)
	table := w.ok(alice, "CreateRouteTable", "VpcId", string(vpc.ID)).text("routeTable/routeTableId")
	id := w.ok(alice, "CreateManagedPrefixList", "PrefixListName", "offices", "AddressFamily", "IPv4", "MaxEntries", "5", "Entry.1.Cidr", "192.0.2.0/24").text("prefixList/prefixListId")
	to := func(params ...string) []string {
		return append([]string{"RouteTableId", table, "DestinationPrefixListId", id}, params...)
	}
	w.fails("InvalidParameterCombination", alice, "CreateRoute", to("DestinationCidrBlock", "192.0.2.0/24", "GatewayId", string(gateway.ID))...)
	w.fails("InvalidPrefixListId.Malformed", alice, "DeleteRoute", "RouteTableId", table, "DestinationPrefixListId", "offices")
	w.ok(alice, "CreateRoute", to("GatewayId", string(gateway.ID))...)
	w.fails("RouteAlreadyExists", alice, "CreateRoute", to("GatewayId", string(gateway.ID))...)
	n := w.ok(alice, "DescribeRouteTables", "Filter.1.Name", "route.destination-prefix-list-id", "Filter.1.Value.1", id).all("routeTableSet/item/routeSet/item")
	if len(n) != 2 || n[1].text("destinationPrefixListId") != id || n[1].has("destinationCidrBlock") || n[1].text("gatewayId") != string(gateway.ID) || n[1].text("state") != "active" {
		t.Errorf("%+v", n)
	}
	w.is(w.ok(alice, "GetManagedPrefixListAssociations", "PrefixListId", id).text("prefixListAssociationSet/item/resourceId"), table)
	w.fails("DependencyViolation", alice, "DeleteManagedPrefixList", "PrefixListId", id)
	w.fails("RouteLimitExceeded", alice, "ModifyManagedPrefixList", "PrefixListId", id, "MaxEntries", "51")
	nic := w.ok(alice, "CreateNetworkInterface", "SubnetId", w.ok(alice, "DescribeSubnets").texts("subnetSet/item/subnetId")[0]).text("networkInterface/networkInterfaceId")
	w.ok(alice, "ReplaceRoute", to("NetworkInterfaceId", nic)...)
	w.is(w.ok(alice, "DescribeRouteTables", "RouteTableId.1", table).text("routeTableSet/item/routeSet/item/networkInterfaceId"), nic)
	w.ok(alice, "DeleteRoute", to()...)
	w.fails("InvalidRoute.NotFound", alice, "DeleteRoute", to()...)
	w.ok(alice, "DeleteManagedPrefixList", "PrefixListId", id)
}
