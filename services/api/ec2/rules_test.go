package ec2

import (
	"slices"
	"strings"
	"testing"
)

// permissions reads the rules of a group as one line each.
func (w *world) permissions(account, group string) (in, out []string) {
	w.t.Helper()
	g := w.ok(account, "DescribeSecurityGroups", "GroupId.1", group).all("securityGroupInfo/item")[0]
	read := func(set string) (lines []string) {
		for _, p := range g.all(set + "/item") {
			head := p.text("ipProtocol")
			if p.has("fromPort") {
				head += " " + p.text("fromPort") + "-" + p.text("toPort")
			}
			for _, path := range []string{"ipRanges/item/cidrIp", "ipv6Ranges/item/cidrIpv6", "groups/item/groupId"} {
				for _, peer := range p.texts(path) {
					lines = append(lines, head+" "+peer)
				}
			}
		}
		return lines
	}
	return read("ipPermissions"), read("ipPermissionsEgress")
}

func (w *world) group(account, name string) string {
	w.t.Helper()
	return w.ok(account, "CreateSecurityGroup", "GroupName", name, "GroupDescription", "about "+name).text("groupId")
}

func TestGroups(t *testing.T) {
	w := newWorld(t)
	check := func(id string, in, out []string) {
		t.Helper()
		if i, o := w.permissions(alice, id); !slices.Equal(i, in) || !slices.Equal(o, out) {
			t.Errorf("in %q\nout %q", i, o)
		}
	}
	w.fails("MissingParameter", alice, "CreateSecurityGroup", "GroupName", "web")
	n := w.ok(alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "my web", "TagSpecification.1.ResourceType", "security-group",
		"TagSpecification.1.Tag.1.Key", "Name", "TagSpecification.1.Tag.1.Value", "w")
	id := n.text("groupId")
	if !strings.HasPrefix(id, "sg-") || n.text("tagSet/item/value") != "w" {
		t.Errorf("%+v", n)
	}
	everything := []string{"-1 0.0.0.0/0"}
	check(id, nil, everything)
	w.fails("InvalidGroup.Duplicate", alice, "CreateSecurityGroup", "GroupName", "web", "GroupDescription", "again")
	db := w.group(alice, "db")

	// Each range and each group of a permission is a rule with an id.
	n = w.ok(alice, "AuthorizeSecurityGroupIngress", "GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "443",
		"IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "IpPermissions.1.IpRanges.1.Description", "all", "IpPermissions.1.IpRanges.2.CidrIp", "10.0.0.0/8",
		"IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0", "IpPermissions.1.Groups.1.GroupId", db, "IpPermissions.1.Groups.1.UserId", alice, "IpPermissions.1.Groups.2.GroupName", "web",
		"IpPermissions.2.IpProtocol", "icmp", "IpPermissions.2.FromPort", "-1", "IpPermissions.2.ToPort", "-1", "IpPermissions.2.IpRanges.1.CidrIp", "172.31.0.0/16",
		"TagSpecification.1.ResourceType", "security-group-rule", "TagSpecification.1.Tag.1.Key", "k", "TagSpecification.1.Tag.1.Value", "v")
	rules := n.all("securityGroupRuleSet/item")
	if n.text("return") != "true" || len(rules) != 6 {
		t.Fatalf("%+v", n)
	}
	for i, want := range [][]string{{"cidrIpv4", "0.0.0.0/0"}, {"cidrIpv4", "10.0.0.0/8"}, {"cidrIpv6", "::/0"}, {"referencedGroupInfo/groupId", db}, {"referencedGroupInfo/groupId", id}, {"cidrIpv4", "172.31.0.0/16"}} {
		r := rules[i]
		if r.text(want[0]) != want[1] || r.text("groupId") != id || r.text("groupOwnerId") != alice || r.text("isEgress") != "false" || r.text("tagSet/item/value") != "v" ||
			!strings.HasPrefix(r.text("securityGroupRuleId"), "sgr-") || (r.text("description") == "all") != (i == 0) {
			t.Errorf("%d %+v", i, r)
		}
	}
	tcp := []string{"tcp 80-443 0.0.0.0/0", "tcp 80-443 10.0.0.0/8", "tcp 80-443 ::/0", "tcp 80-443 " + db, "tcp 80-443 " + id}
	check(id, append(slices.Clone(tcp), "icmp -1--1 172.31.0.0/16"), everything)
	w.fails("InvalidPermission.Duplicate", alice, "AuthorizeSecurityGroupIngress", "GroupId", id, "IpProtocol", "icmp", "FromPort", "-1", "ToPort", "-1", "CidrIp", "172.31.0.0/16")
	w.fails("DependencyViolation", alice, "DeleteSecurityGroup", "GroupName", "db")

	// A group is found by the names that its rules refer to, which it does not show.
	for value, want := range map[string][]string{"db": {"web"}, "we*": {"web"}, "default": {"default"}, "x": nil} {
		n := w.ok(alice, "DescribeSecurityGroups", "Filter.1.Name", "ip-permission.group-name", "Filter.1.Value.1", value)
		if got := n.texts("securityGroupInfo/item/groupName"); !slices.Equal(got, want) || n.has("securityGroupInfo/item/ipPermissions/item/groups/item/groupName") {
			t.Error(value, got)
		}
	}
	if n := w.ok(alice, "DescribeSecurityGroups", "Filter.1.Name", "egress.ip-permission.group-name", "Filter.1.Value.1", "*"); n.has("securityGroupInfo/item") {
		t.Errorf("%+v", n)
	}

	// Rules by themselves, ingress first.
	d := w.ok(alice, "DescribeSecurityGroupRules", "Filter.1.Name", "group-id", "Filter.1.Value.1", id)
	if got := d.texts("securityGroupRuleSet/item/isEgress"); !slices.Equal(got, []string{"false", "false", "false", "false", "false", "false", "true"}) {
		t.Error(got)
	}
	icmp := rules[5].text("securityGroupRuleId")
	d = w.ok(alice, "DescribeSecurityGroupRules", "SecurityGroupRuleId.1", icmp)
	if d.text("securityGroupRuleSet/item/ipProtocol") != "icmp" || d.text("securityGroupRuleSet/item/fromPort") != "-1" || d.text("securityGroupRuleSet/item/tagSet/item/key") != "k" {
		t.Errorf("%+v", d)
	}

	// Revoked by id, and as described; what is not there is told.
	w.ok(alice, "RevokeSecurityGroupIngress", "GroupId", id, "SecurityGroupRuleId.1", icmp)
	w.fails("InvalidSecurityGroupRuleId.NotFound", alice, "RevokeSecurityGroupIngress", "GroupId", id, "SecurityGroupRuleId.1", icmp)
	n = w.ok(alice, "RevokeSecurityGroupIngress", "GroupName", "web", "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "80", "IpPermissions.1.ToPort", "443",
		"IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "IpPermissions.1.IpRanges.2.CidrIp", "11.0.0.0/8", "IpPermissions.1.Groups.1.GroupId", db)
	if n.text("return") != "true" || !slices.Equal(n.texts("unknownIpPermissionSet/item/ipRanges/item/cidrIp"), []string{"11.0.0.0/8"}) || n.text("unknownIpPermissionSet/item/fromPort") != "80" {
		t.Errorf("%+v", n)
	}
	check(id, []string{"tcp 80-443 10.0.0.0/8", "tcp 80-443 ::/0", "tcp 80-443 " + id}, everything)
	w.ok(alice, "RevokeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")
	w.ok(alice, "RevokeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "-1", "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0")
	n = w.ok(alice, "AuthorizeSecurityGroupEgress", "GroupId", id, "IpPermissions.1.IpProtocol", "17", "IpPermissions.1.FromPort", "53", "IpPermissions.1.ToPort", "53", "IpPermissions.1.IpRanges.1.CidrIp", "172.31.0.2/32")
	if n.text("securityGroupRuleSet/item/isEgress") != "true" || n.text("securityGroupRuleSet/item/ipProtocol") != "udp" {
		t.Errorf("%+v", n)
	}
	check(id, []string{"tcp 80-443 10.0.0.0/8", "tcp 80-443 ::/0", "tcp 80-443 " + id}, []string{"udp 53-53 172.31.0.2/32"})

	w.ok(alice, "DeleteSecurityGroup", "GroupName", "db")
	w.fails("InvalidGroup.NotFound", alice, "DeleteSecurityGroup", "GroupId", db)
	w.fails("CannotDelete", alice, "DeleteSecurityGroup", "GroupName", "default")
	i := w.run(alice, "SecurityGroupId.1", id)[0]
	w.fails("DependencyViolation", alice, "DeleteSecurityGroup", "GroupId", id)
	w.ok(alice, "TerminateInstances", "InstanceId.1", i)
	w.ok(alice, "DeleteSecurityGroup", "GroupId", id)
}

func TestRulesRefused(t *testing.T) {
	w := newWorld(t)
	id := w.group(alice, "web")
	theirs := w.group(bob, "theirs")
	tcp := func(params ...string) []string {
		return append([]string{"IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "22", "IpPermissions.1.ToPort", "22"}, params...)
	}
	for _, c := range []struct {
		code   string
		params []string
	}{
		{"MissingParameter", nil},
		{"MissingParameter", tcp()},
		{"MissingParameter", []string{"CidrIp", "0.0.0.0/0"}},
		{"MissingParameter", []string{"IpProtocol", "tcp", "FromPort", "22", "ToPort", "22"}},
		{"MissingParameter", tcp("IpPermissions.1.Groups.1.UserId", alice)},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "CidrIp", "0.0.0.0/0"}},
		{"InvalidParameterValue", []string{"IpProtocol", "6", "FromPort", "22", "CidrIp", "0.0.0.0/0"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "443", "ToPort", "80", "CidrIp", "0.0.0.0/0"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "0", "ToPort", "70000", "CidrIp", "0.0.0.0/0"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "22", "ToPort", "22", "CidrIp", "everywhere"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "22", "ToPort", "22", "CidrIp", "10.0.0.1"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "22", "ToPort", "22", "CidrIp", "10.0.0.1/8"}},
		{"InvalidParameterValue", []string{"IpProtocol", "tcp", "FromPort", "22", "ToPort", "22", "CidrIp", "::/0"}},
		{"InvalidParameterValue", tcp("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "0.0.0.0/0")},
		{"InvalidParameterValue", tcp("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::ffff:10.0.0.0/104")},
		{"InvalidParameterValue", tcp("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "IpPermissions.1.IpRanges.1.Description", strings.Repeat("x", 256))},
		{"InvalidPermission.Malformed", []string{"IpProtocol", "carrier-pigeon", "CidrIp", "0.0.0.0/0"}},
		{"InvalidPrefixListId.NotFound", tcp("IpPermissions.1.PrefixListIds.1.PrefixListId", "pl-01234567")},
		{"InvalidGroup.NotFound", tcp("IpPermissions.1.Groups.1.GroupName", "nobody")},
		{"InvalidGroup.NotFound", tcp("IpPermissions.1.Groups.1.GroupName", "theirs")},
		{"InvalidGroup.NotFound", tcp("IpPermissions.1.Groups.1.GroupName", "theirs", "IpPermissions.1.Groups.1.UserId", bob)},
		{"InvalidGroup.NotFound", tcp("IpPermissions.1.Groups.1.GroupId", theirs)},
		{"InvalidGroupId.Malformed", tcp("IpPermissions.1.Groups.1.GroupId", "theirs")},
		{"UnsupportedOperation", tcp("IpPermissions.1.Groups.1.GroupId", id, "IpPermissions.1.Groups.1.VpcPeeringConnectionId", "pcx-01234567")},
		{"InvalidParameterCombination", tcp("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "IpProtocol", "tcp")},
		{"InvalidParameterCombination", []string{"SourceSecurityGroupName", "web", "IpProtocol", "tcp"}},
		{"InvalidParameterCombination", []string{"SourceSecurityGroupOwnerId", alice}},
		{"InvalidParameterCombination", tcp("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "GroupName", "elephant")},
		{"InvalidParameterValue", tcp("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0", "TagSpecification.1.ResourceType", "instance", "TagSpecification.1.Tag.1.Key", "a")},
	} {
		w.fails(c.code, alice, "AuthorizeSecurityGroupIngress", append([]string{"GroupId", id}, c.params...)...)
	}
	w.fails("UnsupportedOperation", alice, "AuthorizeSecurityGroupEgress", "GroupId", id, "IpProtocol", "tcp", "FromPort", "22", "ToPort", "22", "CidrIp", "0.0.0.0/0")
	w.fails("MissingParameter", alice, "AuthorizeSecurityGroupIngress", "IpProtocol", "-1", "CidrIp", "0.0.0.0/0")
	w.fails("InvalidParameterCombination", alice, "RevokeSecurityGroupIngress", "GroupId", id, "SecurityGroupRuleId.1", "sgr-01234567", "IpProtocol", "-1", "CidrIp", "0.0.0.0/0")
	if in, out := w.permissions(alice, id); len(in) != 0 || len(out) != 1 {
		t.Error(in, out)
	}
}

// Whatever a rule says, it is made as it reads or refused, and what was made can
// be revoked by the same words.
func FuzzRule(f *testing.F) {
	for _, s := range [][5]string{{"tcp", "22", "22", "0.0.0.0/0", ""}, {"-1", "", "", "::/0", "all"}, {"icmp", "8", "-1", "10.0.0.0/8", "ping"}, {"50", "1", "2", "10.0.0.1/32", "é"},
		{"TCP", "-1", "-1", "::ffff:1.2.3.4/128", ""}, {"256", "99999999999", "", "fe80::%eth0/64", "\n"}, {"1", "3", "", "1.2.3.4", ""}} {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	w := newWorld(f)
	w.limit.Factor = 1e6 // a fuzzer does not wait
	id := w.group(alice, "web")
	f.Fuzz(func(t *testing.T, protocol, from, to, cidr, description string) {
		w.t = t
		family := "IpRanges.1.CidrIp"
		if strings.Contains(cidr, ":") {
			family = "Ipv6Ranges.1.CidrIpv6"
		}
		params := []string{"GroupId", id, "IpPermissions.1.IpProtocol", protocol, "IpPermissions.1." + family, cidr,
			"IpPermissions.1." + strings.Split(family, ".")[0] + ".1.Description", description}
		if from != "" {
			params = append(params, "IpPermissions.1.FromPort", from)
		}
		if to != "" {
			params = append(params, "IpPermissions.1.ToPort", to)
		}
		status, text := w.call(alice, "AuthorizeSecurityGroupIngress", params...)
		if status != 200 && status != 400 {
			t.Fatal(status, text)
		}
		in, _ := w.permissions(alice, id)
		if status != 200 {
			if len(in) != 0 {
				t.Fatal(in, text)
			}
			return
		}
		if len(in) != 1 || !strings.HasSuffix(in[0], " "+cidr) && !strings.Contains(cidr, ":") {
			t.Fatal(in, text)
		}
		n := w.ok(alice, "RevokeSecurityGroupIngress", params...)
		if in, _ = w.permissions(alice, id); len(in) != 0 || n.has("unknownIpPermissionSet/item") {
			t.Fatal(in, n)
		}
	})
}
