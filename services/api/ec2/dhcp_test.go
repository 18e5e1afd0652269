package ec2

import (
	"slices"
	"testing"
)

// A network uses the set that its account starts with until it uses another.
func TestDHCPOptions(t *testing.T) {
	w := newWorld(t)
	const x = "dhcpOptionsSet/item/"
	first := w.ok(alice, "DescribeDhcpOptions")
	standard := first.text(x + "dhcpOptionsId")
	if got := first.texts(x + "dhcpConfigurationSet/item/valueSet/item/value"); !slices.Equal(got, []string{"isle-1.compute.internal", "AmazonProvidedDNS"}) || first.text(x+"ownerId") != alice {
		t.Errorf("%+v", first)
	}
	vpc := w.ok(alice, "CreateVpc", "CidrBlock", "10.0.0.0/16")
	id := vpc.text("vpc/vpcId")
	if vpc.text("vpc/dhcpOptionsId") != standard {
		t.Errorf("%+v", vpc)
	}
	made := w.ok(alice, "CreateDhcpOptions", "DhcpConfiguration.1.Key", "domain-name", "DhcpConfiguration.1.Value.1", "example.com",
		"DhcpConfiguration.2.Key", "domain-name-servers", "DhcpConfiguration.2.Value.1", "10.2.5.1,10.2.5.2", "DhcpConfiguration.2.Value.2", "AmazonProvidedDNS",
		"DhcpConfiguration.3.Key", "netbios-node-type", "DhcpConfiguration.3.Value.1", "2", "TagSpecification.1.ResourceType", "dhcp-options", "TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "ours")
	ours := made.text("dhcpOptions/dhcpOptionsId")
	if got := made.texts("dhcpOptions/dhcpConfigurationSet/item/valueSet/item/value"); !slices.Equal(got, []string{"example.com", "10.2.5.1", "10.2.5.2", "AmazonProvidedDNS", "2"}) ||
		made.text("dhcpOptions/tagSet/item/value") != "ours" || made.text("dhcpOptions/ownerId") != alice {
		t.Errorf("%+v", made)
	}
	uses := func(want string) {
		t.Helper()
		if n := w.ok(alice, "DescribeVpcs", "Filter.1.Name", "dhcp-options-id", "Filter.1.Value.1", want, "VpcId.1", id); n.text("vpcSet/item/dhcpOptionsId") != want {
			t.Errorf("it uses another set than %s: %+v", want, n)
		}
	}
	w.ok(alice, "AssociateDhcpOptions", "VpcId", id, "DhcpOptionsId", ours)
	uses(ours)
	w.fails("DependencyViolation", alice, "DeleteDhcpOptions", "DhcpOptionsId", ours)
	w.fails("DependencyViolation", alice, "DeleteDhcpOptions", "DhcpOptionsId", standard)
	w.ok(alice, "AssociateDhcpOptions", "VpcId", id, "DhcpOptionsId", "default")
	uses("default")
	w.ok(alice, "AssociateDhcpOptions", "VpcId", id, "DhcpOptionsId", standard)
	uses(standard)

	w.fails("InvalidDhcpOptionID.NotFound", bob, "DeleteDhcpOptions", "DhcpOptionsId", ours)
	w.fails("InvalidDhcpOptionID.NotFound", bob, "DescribeDhcpOptions", "DhcpOptionsId.1", ours)
	w.fails("InvalidVpcID.NotFound", bob, "AssociateDhcpOptions", "VpcId", id, "DhcpOptionsId", "default")
	theirs := w.ok(bob, "DescribeVpcs").text("vpcSet/item/vpcId")
	w.fails("InvalidDhcpOptionID.NotFound", bob, "AssociateDhcpOptions", "VpcId", theirs, "DhcpOptionsId", ours)
	w.fails("InvalidDhcpOptionID.NotFound", bob, "CreateTags", "ResourceId.1", ours, "Tag.1.Key", "a")
	w.fails("InvalidDhcpOptionsId.Malformed", alice, "DescribeDhcpOptions", "DhcpOptionsId.1", "dopt-1")
	w.fails("InvalidDhcpOptionsId.Malformed", alice, "AssociateDhcpOptions", "VpcId", id, "DhcpOptionsId", "none")
	w.fails("MissingParameter", alice, "CreateDhcpOptions")
	w.fails("InvalidParameterValue", alice, "CreateDhcpOptions", "DhcpConfiguration.1.Key", "domain", "DhcpConfiguration.1.Value.1", "example.com")
	w.fails("DryRunOperation", alice, "DeleteDhcpOptions", "DhcpOptionsId", ours, "DryRun", "true")

	w.ok(alice, "CreateTags", "ResourceId.1", standard, "Tag.1.Key", "last")
	if n := w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-type", "Filter.1.Value.1", "dhcp-options"); len(n.all("tagSet/item")) != 2 {
		t.Errorf("%+v", n)
	}
	page := w.ok(alice, "DescribeDhcpOptions", "MaxResults", "5")
	if len(page.all("dhcpOptionsSet/item")) != 2 || page.has("nextToken") {
		t.Errorf("%+v", page)
	}
	w.ok(alice, "DeleteDhcpOptions", "DhcpOptionsId", ours)
	w.fails("InvalidDhcpOptionID.NotFound", alice, "DescribeDhcpOptions", "DhcpOptionsId.1", ours)
	if n := w.ok(alice, "DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1", ours); n.has("tagSet/item") {
		t.Errorf("%+v", n)
	}
}
