package ec2

import (
	"slices"
	"testing"
)

// entries reads the rules of an ACL as one line each.
func (w *world) entries(acl string) (out []string) {
	w.t.Helper()
	for _, e := range w.ok(alice, "DescribeNetworkAcls", "NetworkAclId.1", acl).all("networkAclSet/item/entrySet/item") {
		line := e.text("ruleNumber") + " " + map[string]string{"true": "out", "false": "in"}[e.text("egress")] + " " + e.text("ruleAction") + " " + e.text("protocol") + " " + e.text("cidrBlock") + e.text("ipv6CidrBlock")
		for _, path := range []string{"portRange/from", "portRange/to", "icmpTypeCode/type", "icmpTypeCode/code"} {
			if e.has(path) {
				line += " " + e.text(path)
			}
		}
		out = append(out, line)
	}
	return out
}

// A VPC has an ACL that its subnets use until they use another.
func TestNetworkACLs(t *testing.T) {
	w := newWorld(t)
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16").text("vpc/vpcId")
	sub := w.ok(alice, "CreateSubnet", "VpcId", vpc, "CidrBlock", "10.0.1.0/24").text("subnet/subnetId")
	n := w.ok(alice, "DescribeNetworkAcls", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc, "Filter.2.Name", "default", "Filter.2.Value.1", "true")
	x := "networkAclSet/item/"
	first := n.text(x + "networkAclId")
	bond := n.text(x + "associationSet/item/networkAclAssociationId")
	if n.text(x+"associationSet/item/subnetId") != sub || n.text(x+"default") != "true" || n.text(x+"ownerId") != alice || bond == "" {
		t.Errorf("%+v", n)
	}
	open := []string{"100 in allow -1 0.0.0.0/0", "32767 in deny -1 0.0.0.0/0", "100 out allow -1 0.0.0.0/0", "32767 out deny -1 0.0.0.0/0"}
	if got := w.entries(first); !slices.Equal(got, open) {
		t.Errorf("%q", got)
	}
	made := w.ok(alice, "CreateNetworkAcl", "VpcId", vpc, "ClientToken", "once", "TagSpecification.1.ResourceType", "network-acl", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "tight")
	acl := made.text("networkAcl/networkAclId")
	if made.text("networkAcl/default") != "false" || made.text("networkAcl/tagSet/item/value") != "tight" || made.text("clientToken") != "once" || len(made.all("networkAcl/entrySet/item")) != 2 {
		t.Errorf("%+v", made)
	}
	if again := w.ok(alice, "CreateNetworkAcl", "VpcId", vpc, "ClientToken", "once", "TagSpecification.1.ResourceType", "network-acl", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "tight"); again.text("networkAcl/networkAclId") != acl {
		t.Errorf("%+v", again)
	}
	entry := func(number, egress, action, protocol, cidr string, more ...string) []string {
		name := "CidrBlock"
		if cidr == "::/0" {
			name = "Ipv6CidrBlock"
		}
		return append([]string{"NetworkAclId", acl, "RuleNumber", number, "Egress", egress, "RuleAction", action, "Protocol", protocol, name, cidr}, more...)
	}
	w.ok(alice, "CreateNetworkAclEntry", entry("200", "false", "allow", "tcp", "0.0.0.0/0", "PortRange.From", "80", "PortRange.To", "443")...)
	w.ok(alice, "CreateNetworkAclEntry", entry("100", "false", "deny", "6", "192.0.2.0/24", "PortRange.From", "0", "PortRange.To", "65535")...)
	w.ok(alice, "CreateNetworkAclEntry", entry("100", "true", "allow", "-1", "0.0.0.0/0", "PortRange.From", "1", "PortRange.To", "2")...)
	w.ok(alice, "CreateNetworkAclEntry", entry("300", "false", "allow", "1", "0.0.0.0/0", "Icmp.Type", "8", "Icmp.Code", "-1")...)
	w.ok(alice, "CreateNetworkAclEntry", entry("310", "false", "allow", "58", "::/0", "Icmp.Type", "-1", "Icmp.Code", "-1")...)
	w.ok(alice, "ReplaceNetworkAclEntry", entry("300", "false", "allow", "icmp", "10.0.0.0/8", "Icmp.Type", "-1", "Icmp.Code", "-1")...)
	want := []string{"100 in deny 6 192.0.2.0/24 0 65535", "200 in allow 6 0.0.0.0/0 80 443", "300 in allow 1 10.0.0.0/8 -1 -1", "310 in allow 58 ::/0 -1 -1", "32767 in deny -1 0.0.0.0/0",
		"100 out allow -1 0.0.0.0/0", "32767 out deny -1 0.0.0.0/0"}
	if got := w.entries(acl); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	w.fails("NetworkAclEntryAlreadyExists", alice, "CreateNetworkAclEntry", entry("100", "true", "deny", "-1", "0.0.0.0/0")...)
	w.fails("MissingParameter", alice, "CreateNetworkAclEntry", entry("101", "true", "deny", "6", "0.0.0.0/0")...)
	w.fails("MissingParameter", alice, "CreateNetworkAclEntry", entry("101", "true", "deny", "1", "0.0.0.0/0")...)
	w.fails("InvalidParameterValue", alice, "CreateNetworkAclEntry", entry("32767", "true", "deny", "-1", "0.0.0.0/0")...)
	w.fails("InvalidParameterValue", alice, "CreateNetworkAclEntry", entry("101", "true", "deny", "pigeon", "0.0.0.0/0")...)
	w.fails("InvalidParameterValue", alice, "CreateNetworkAclEntry", entry("101", "true", "deny", "-1", "elsewhere")...)
	w.fails("InvalidParameterCombination", alice, "CreateNetworkAclEntry", entry("101", "true", "deny", "-1", "0.0.0.0/0", "Ipv6CidrBlock", "::/0")...)
	w.fails("InvalidNetworkAclEntry.NotFound", alice, "ReplaceNetworkAclEntry", entry("101", "true", "deny", "-1", "0.0.0.0/0")...)
	w.fails("InvalidNetworkAclID.NotFound", bob, "CreateNetworkAclEntry", entry("101", "true", "deny", "-1", "0.0.0.0/0")...)

	moved := w.ok(alice, "ReplaceNetworkAclAssociation", "AssociationId", bond, "NetworkAclId", acl).text("newAssociationId")
	w.fails("InvalidAssociationID.NotFound", alice, "ReplaceNetworkAclAssociation", "AssociationId", bond, "NetworkAclId", acl)
	w.fails("InvalidAssociationID.NotFound", bob, "ReplaceNetworkAclAssociation", "AssociationId", moved, "NetworkAclId", w.ok(bob, "DescribeNetworkAcls").text("networkAclSet/item/networkAclId"))
	if n := w.ok(alice, "DescribeNetworkAcls", "Filter.1.Name", "association.association-id", "Filter.1.Value.1", moved); n.text(x+"networkAclId") != acl {
		t.Errorf("%+v", n)
	}
	w.fails("DependencyViolation", alice, "DeleteNetworkAcl", "NetworkAclId", acl)
	w.fails("InvalidParameterValue", alice, "DeleteNetworkAcl", "NetworkAclId", first)
	w.fails("InvalidNetworkAclID.NotFound", bob, "DeleteNetworkAcl", "NetworkAclId", first)
	w.fails("InvalidNetworkAclID.NotFound", bob, "DescribeNetworkAcls", "NetworkAclId.1", first)
	w.fails("InvalidNetworkAclId.Malformed", alice, "DescribeNetworkAcls", "NetworkAclId.1", "acl")
	w.ok(alice, "ReplaceNetworkAclAssociation", "AssociationId", moved, "NetworkAclId", first)
	w.ok(alice, "DeleteNetworkAclEntry", "NetworkAclId", acl, "RuleNumber", "100", "Egress", "true")
	w.fails("InvalidNetworkAclEntry.NotFound", alice, "DeleteNetworkAclEntry", "NetworkAclId", acl, "RuleNumber", "100", "Egress", "true")
	w.ok(alice, "CreateTags", "ResourceId.1", acl, "Tag.1.Key", "last")
	if n := w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-type", "Filter.1.Value.1", "network-acl"); len(n.all("tagSet/item")) != 2 {
		t.Errorf("%+v", n)
	}
	w.ok(alice, "DeleteSubnet", "SubnetId", sub)
	w.fails("DependencyViolation", alice, "DeleteVpc", "VpcId", vpc)
	w.ok(alice, "DeleteNetworkAcl", "NetworkAclId", acl)
	w.ok(alice, "DeleteVpc", "VpcId", vpc)
	w.fails("InvalidNetworkAclID.NotFound", alice, "DescribeNetworkAcls", "NetworkAclId.1", first)
}
