package ec2

import (
	"slices"
	"testing"
)

// A rule keeps its id while it changes, and its description goes and comes by
// itself.
func TestRuleChanges(t *testing.T) {
	w := newWorld(t)
	id, db := w.group(alice, "web"), w.group(alice, "db")
	rule := w.ok(alice, "AuthorizeSecurityGroupIngress", "GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "80",
		"IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8", "IpPermissions.1.IpRanges.1.Description", "web").text("securityGroupRuleSet/item/securityGroupRuleId")
	show := func(want ...string) {
		t.Helper()
		n := w.ok(alice, "DescribeSecurityGroupRules", "SecurityGroupRuleId.1", rule)
		var got []string
		for _, path := range []string{"ipProtocol", "fromPort", "cidrIpv4", "cidrIpv6", "referencedGroupInfo/groupId", "description"} {
			got = append(got, n.text("securityGroupRuleSet/item/"+path))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
	}
	change := func(params ...string) []string {
		return append([]string{"GroupId", id, "SecurityGroupRule.1.SecurityGroupRuleId", rule}, params...)
	}
	const r = "SecurityGroupRule.1.SecurityGroupRule."
	w.ok(alice, "ModifySecurityGroupRules", change(r+"IpProtocol", "udp", r+"FromPort", "53", r+"ToPort", "53", r+"CidrIpv4", "10.1.0.0/16", r+"Description", "names")...)
	show("udp", "53", "10.1.0.0/16", "", "", "names")
	w.ok(alice, "ModifySecurityGroupRules", change(r+"IpProtocol", "-1", r+"ReferencedGroupId", db)...)
	show("-1", "-1", "", "", db, "")
	w.ok(alice, "ModifySecurityGroupRules", change(r+"IpProtocol", "tcp", r+"FromPort", "22", r+"ToPort", "22", r+"CidrIpv6", "2001:db8::/32")...)
	show("tcp", "22", "", "2001:db8::/32", "", "")
	w.fails("InvalidParameterValue", alice, "ModifySecurityGroupRules", change(r+"IpProtocol", "-1", r+"CidrIpv4", "10.0.0.0/8", r+"ReferencedGroupId", db)...)
	w.fails("InvalidParameterValue", alice, "ModifySecurityGroupRules", change(r+"IpProtocol", "-1")...)
	w.fails("InvalidGroupId.Malformed", alice, "ModifySecurityGroupRules", "GroupId", "x", "SecurityGroupRule.1.SecurityGroupRuleId", rule)
	w.fails("InvalidGroup.NotFound", bob, "ModifySecurityGroupRules", change(r+"IpProtocol", "-1", r+"CidrIpv4", "10.0.0.0/8")...)

	w.ok(alice, "UpdateSecurityGroupRuleDescriptionsIngress", "GroupName", "web", "SecurityGroupRuleDescription.1.SecurityGroupRuleId", rule, "SecurityGroupRuleDescription.1.Description", "by id")
	show("tcp", "22", "", "2001:db8::/32", "", "by id")
	permission := []string{"GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22", "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "2001:db8::/32"}
	w.ok(alice, "UpdateSecurityGroupRuleDescriptionsIngress", permission...)
	show("tcp", "22", "", "2001:db8::/32", "", "")
	w.fails("InvalidPermission.NotFound", alice, "UpdateSecurityGroupRuleDescriptionsEgress", permission...)
	w.fails("InvalidSecurityGroupRuleId.NotFound", alice, "UpdateSecurityGroupRuleDescriptionsEgress", "GroupId", id, "SecurityGroupRuleDescription.1.SecurityGroupRuleId", rule)
	w.fails("DryRunOperation", alice, "UpdateSecurityGroupRuleDescriptionsIngress", append(permission, "DryRun", "true")...)
}

// What the Terraform provider does to every group that it makes: it takes the
// rules of egress, that for IPv6 too, which there may not be.
func TestRevokeOfEverything(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	for _, id := range []string{w.group(alice, "web"), w.ok(alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "web", "VpcId", vpc).text("groupId")} {
		w.ok(alice, "RevokeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")
		params := []string{"GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0"}
		if own, _ := w.view().Groups.Get(id); string(own.VPC) == vpc {
			w.fails("InvalidPermission.NotFound", alice, "RevokeSecurityGroupEgress", params...)
		} else if n := w.ok(alice, "RevokeSecurityGroupEgress", params...); n.text("unknownIpPermissionSet/item/ipv6Ranges/item/cidrIpv6") != "::/0" {
			t.Errorf("%+v", n)
		}
		if _, out := w.permissions(alice, id); len(out) != 0 {
			t.Errorf("%s still lets out %q", id, out)
		}
	}
}
