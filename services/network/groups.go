package network

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of security groups ("Amazon VPC quotas").
const (
	maxGroups = 500 // in a VPC
	maxRules  = 60  // of a group in one direction
)

// groupText is what names and descriptions may hold ("CreateSecurityGroup").
var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

// CreateGroup makes a security group that lets everything out.
func CreateGroup(v *state.View, s events.Stamp, c events.CreateGroup) ([]events.Event, error) {
	switch {
	case c.Name == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter GroupName")
	case c.Description == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter GroupDescription")
	case !groupText.MatchString(c.Name):
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", c.Name)
	case !groupText.MatchString(c.Description):
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", c.Description)
	case strings.HasPrefix(c.Name, "sg-"):
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", c.Name)
	case c.Name == "default":
		return nil, events.Faultf("InvalidParameterValue", "Cannot use reserved security group name: default")
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	vpc, err := network(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	count := 0
	for g := range v.GroupsOf(vpc.ID) {
		if g.Name == c.Name {
			return nil, events.Faultf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", c.Name, vpc.ID)
		}
		count++
	}
	if count >= maxGroups {
		return nil, events.Faultf("SecurityGroupLimitExceeded", "The maximum number of security groups for VPC '%s' has been reached.", vpc.ID)
	}
	id := events.GroupID("sg-" + s.Seed.Hex("sg", 0))
	rules := []events.Rule{{ID: events.RuleID("sgr-" + s.Seed.Hex("sgr", 0)), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: everywhere}}
	if slices.ContainsFunc(vpc.Blocks, func(b state.Block) bool { return b.CIDR.Addr().Is6() }) {
		rules = append(rules, everything6(s, 1))
	}
	out := []events.Event{events.GroupCreated{ID: id, Account: s.Account, VPC: vpc.ID, Name: c.Name, Description: c.Description, Rules: rules}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// network finds an account's VPC, the default one when none is named.
func network(v *state.View, a events.AccountID, id events.VPCID) (*state.VPC, error) {
	if id == "" {
		if n, ok := v.DefaultVPC(a); ok {
			return n, nil
		}
		return nil, events.Faultf("VPCIdNotSpecified", "No default VPC for this user")
	}
	n, ok := v.VPCs.Get(string(id))
	if !ok || n.Account != a {
		return nil, events.Faultf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
	}
	return n, nil
}

// group finds a security group by id, or by its name in the default VPC.
func group(v *state.View, a events.AccountID, id events.GroupID, name string) (*state.Group, error) {
	if id == "" && name == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter groupName or groupId")
	}
	if id != "" {
		g, ok := v.Groups.Get(string(id))
		if !ok || g.Account != a {
			return nil, events.Faultf("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
		if name != "" && g.Name != name {
			return nil, events.Faultf("InvalidParameterCombination", "The group '%s' is not named '%s': give one of the two.", id, name)
		}
		return g, nil
	}
	vpc, err := network(v, a, "")
	if err != nil {
		return nil, err
	}
	for g := range v.GroupsOf(vpc.ID) {
		if g.Name == name {
			return g, nil
		}
	}
	return nil, events.Faultf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, vpc.ID)
}

// DeleteGroup removes a security group that nobody needs.
func DeleteGroup(v *state.View, s events.Stamp, c events.DeleteGroup) ([]events.Event, error) {
	g, err := group(v, s.Account, c.Group, c.Name)
	if err != nil {
		return nil, err
	}
	if g.Name == "default" {
		return nil, events.Faultf("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.ID)
	}
	for range v.Members(g.ID) {
		return nil, events.Faultf("DependencyViolation", "resource %s has a dependent object", g.ID)
	}
	for o := range v.GroupsOf(g.VPC) {
		if o.ID != g.ID && slices.ContainsFunc(o.Rules, func(r events.Rule) bool { return r.Group == g.ID }) {
			return nil, events.Faultf("DependencyViolation", "resource %s has a dependent object", g.ID)
		}
	}
	return []events.Event{events.GroupDeleted{ID: g.ID, Account: g.Account, VPC: g.VPC}}, nil
}

// AuthorizeRules adds rules, all or none.
func AuthorizeRules(v *state.View, s events.Stamp, c events.AuthorizeRules) ([]events.Event, error) {
	g, err := group(v, s.Account, c.Group, c.Name)
	if err != nil {
		return nil, err
	}
	if len(c.Rules) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain at least one rule.")
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	have := slices.Clone(g.Rules)
	var made []events.Rule
	for i, r := range c.Rules {
		r.Egress = c.Egress
		if r, err = ruleOf(v, g, r); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(have, func(o events.Rule) bool { return same(o, r) }) {
			return nil, events.Faultf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", describe(r))
		}
		r.ID = events.RuleID("sgr-" + s.Seed.Hex("sgr", i))
		have, made = append(have, r), append(made, r)
	}
	if err := rulesFit(v, have, c.Egress); err != nil {
		return nil, err
	}
	out := []events.Event{events.RulesAuthorized{Group: g.ID, Account: g.Account, VPC: g.VPC, Rules: made}}
	for _, r := range made {
		out = append(out, tagging.New(s, string(r.ID), c.Tags)...)
	}
	return out, nil
}

// RevokeRules removes rules. In a default VPC one that is not there is passed
// over; elsewhere it is a fault, and then none is removed
// ("RevokeSecurityGroupIngress").
func RevokeRules(v *state.View, s events.Stamp, c events.RevokeRules) ([]events.Event, error) {
	g, gone, unknown, err := revoked(v, s.Account, c)
	if err != nil {
		return nil, err
	}
	if vpc, ok := v.VPCs.Get(string(g.VPC)); len(unknown) > 0 && ok && !vpc.Default {
		return nil, events.Faultf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	}
	if len(gone) == 0 {
		return nil, nil
	}
	return []events.Event{events.RulesRevoked{Group: g.ID, Account: g.Account, VPC: g.VPC, Rules: gone}}, nil
}

// ModifyRules makes rules what is given, all or none. Their direction stays.
func ModifyRules(v *state.View, s events.Stamp, c events.ModifyRules) ([]events.Event, error) {
	g, err := group(v, s.Account, c.Group, "")
	if err != nil {
		return nil, err
	}
	if len(c.Rules) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain at least one rule.")
	}
	have := slices.Clone(g.Rules)
	var made []events.Rule
	for _, r := range c.Rules {
		at := slices.IndexFunc(have, func(o events.Rule) bool { return o.ID == r.ID })
		if at < 0 {
			return nil, noRule(r.ID)
		}
		if slices.ContainsFunc(made, func(o events.Rule) bool { return o.ID == r.ID }) {
			return nil, events.Faultf("InvalidParameterValue", "The security group rule ID '%s' is given twice.", r.ID)
		}
		id := r.ID
		r.Egress = have[at].Egress
		if r, err = ruleOf(v, g, r); err != nil {
			return nil, err
		}
		r.ID = id
		have[at], made = r, append(made, r)
	}
	for i, r := range have {
		if slices.ContainsFunc(have[:i], func(o events.Rule) bool { return same(o, r) }) {
			return nil, events.Faultf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", describe(r))
		}
	}
	for _, egress := range []bool{false, true} {
		if err := rulesFit(v, have, egress); err != nil {
			return nil, err
		}
	}
	return []events.Event{events.RulesModified{Group: g.ID, Account: g.Account, VPC: g.VPC, Rules: made}}, nil
}

// DescribeRules gives rules other descriptions, all or none.
func DescribeRules(v *state.View, s events.Stamp, c events.DescribeRules) ([]events.Event, error) {
	g, err := group(v, s.Account, c.Group, c.Name)
	if err != nil {
		return nil, err
	}
	if len(c.Rules) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain at least one rule.")
	}
	var made []events.Rule
	for _, r := range c.Rules {
		r.Egress = c.Egress
		var at int
		if r.ID != "" {
			at = slices.IndexFunc(g.Rules, func(o events.Rule) bool { return o.ID == r.ID && o.Egress == r.Egress })
			if at < 0 {
				return nil, noRule(r.ID)
			}
			if !describable(r.Description) {
				return nil, badDescription
			}
		} else {
			if r, err = ruleOf(v, g, r); err != nil {
				return nil, err
			}
			if at = slices.IndexFunc(g.Rules, func(o events.Rule) bool { return same(o, r) }); at < 0 {
				return nil, events.Faultf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
		}
		o := g.Rules[at]
		o.Description = r.Description
		made = append(slices.DeleteFunc(made, func(m events.Rule) bool { return m.ID == o.ID }), o)
	}
	return []events.Event{events.RulesModified{Group: g.ID, Account: g.Account, VPC: g.VPC, Rules: made}}, nil
}

func noRule(id events.RuleID) error {
	return events.Faultf("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
}

// Unknown are the rules that a revocation describes and that the group has not.
func Unknown(v *state.View, a events.AccountID, c events.RevokeRules) []events.Rule {
	_, _, unknown, _ := revoked(v, a, c)
	return unknown
}

// revoked finds what a revocation is about.
func revoked(v *state.View, a events.AccountID, c events.RevokeRules) (g *state.Group, gone []events.RuleID, unknown []events.Rule, err error) {
	if g, err = group(v, a, c.Group, c.Name); err != nil {
		return nil, nil, nil, err
	}
	if len(c.Rules) == 0 && len(c.IDs) == 0 {
		return nil, nil, nil, events.Faultf("MissingParameter", "The request must contain at least one rule.")
	}
	for _, id := range c.IDs {
		if !slices.ContainsFunc(g.Rules, func(r events.Rule) bool { return r.ID == id && r.Egress == c.Egress }) {
			return nil, nil, nil, noRule(id)
		}
		gone = append(gone, id)
	}
	for _, r := range c.Rules {
		r.Egress = c.Egress
		if r, err = ruleOf(v, g, r); err != nil {
			return nil, nil, nil, err
		}
		if at := slices.IndexFunc(g.Rules, func(o events.Rule) bool { return same(o, r) }); at >= 0 {
			gone = append(gone, g.Rules[at].ID)
		} else {
			unknown = append(unknown, r)
		}
	}
	slices.Sort(gone)
	return g, slices.Compact(gone), unknown, nil
}

// same says whether two rules let the same through.
func same(a, b events.Rule) bool {
	return a.Egress == b.Egress && a.Protocol == b.Protocol && a.From == b.From && a.To == b.To && a.CIDR == b.CIDR && a.Group == b.Group && a.PrefixList == b.PrefixList
}

func describe(r events.Rule) string {
	peer := r.CIDR.String()
	switch {
	case r.Group != "":
		peer = string(r.Group)
	case r.PrefixList != "":
		peer = string(r.PrefixList)
	}
	if r.Protocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.From, r.To)
}

// Protocols by name ("IpPermission" in the EC2 API reference).
var protocols = map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}

// ruleOf checks a rule and brings it into the one form in which it is kept.
func ruleOf(v *state.View, g *state.Group, r events.Rule) (events.Rule, error) {
	r.ID = ""
	r.Protocol = strings.ToLower(r.Protocol)
	if p, ok := protocols[r.Protocol]; ok {
		r.Protocol = p
	}
	switch r.Protocol {
	case "":
		return r, events.Faultf("MissingParameter", "The request must contain the parameter IpProtocol")
	case "-1":
		r.From, r.To = -1, -1
	case "tcp", "udp":
		switch {
		case r.From == -1 && r.To == -1:
			r.From, r.To = 0, 65535
		case r.From < 0 || r.From > 65535 || r.To < 0 || r.To > 65535:
			return r, events.Faultf("InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
		case r.From > r.To:
			return r, events.Faultf("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", r.From, r.To)
		}
	case "icmp", "icmpv6":
		if r.From < -1 || r.From > 255 || r.To < -1 || r.To > 255 || r.From == -1 && r.To != -1 {
			return r, events.Faultf("InvalidParameterValue", "ICMP type (%d) and code (%d) must be between 0 and 255, or -1 for all", r.From, r.To)
		}
	default:
		n, err := strconv.Atoi(r.Protocol)
		if err != nil || n < 0 || n > 255 {
			return r, events.Faultf("InvalidPermission.Malformed", "Invalid IP protocol '%s'.", r.Protocol)
		}
		r.From, r.To = -1, -1
	}
	if !describable(r.Description) {
		return r, badDescription
	}
	peers := 0
	for _, has := range []bool{r.Group != "", r.CIDR.IsValid(), r.PrefixList != ""} {
		if has {
			peers++
		}
	}
	switch {
	case peers != 1:
		return r, events.Faultf("InvalidPermission.Malformed", "A rule has one source: an address range, a prefix list or a security group.")
	case r.PrefixList != "":
		l, ok := v.PrefixLists.Get(string(r.PrefixList))
		if !ok || l.Account != g.Account {
			return r, events.Faultf("InvalidPrefixListId.NotFound", "The prefix list ID '%s' does not exist", r.PrefixList)
		}
		if four := l.Family == events.FamilyIPv4; !four && r.Protocol == "icmp" || four && r.Protocol == "icmpv6" {
			return r, events.Faultf("InvalidParameterValue", "The protocol %s does not go with the %s prefix list %s.", r.Protocol, l.Family, l.ID)
		}
	case r.Group != "":
		if o, ok := v.Groups.Get(string(r.Group)); !ok || o.Account != g.Account || o.VPC != g.VPC {
			return r, events.Faultf("InvalidGroup.NotFound", "You have specified two resources that belong to different networks, or the security group '%s' does not exist", r.Group)
		}
	case r.CIDR != r.CIDR.Masked():
		return r, events.Faultf("InvalidParameterValue", "CIDR block %s is malformed: did you mean %s?", r.CIDR, r.CIDR.Masked())
	case !r.CIDR.Addr().Is4() && r.Protocol == "icmp", r.CIDR.Addr().Is4() && r.Protocol == "icmpv6":
		return r, events.Faultf("InvalidParameterValue", "The protocol %s does not go with the address range %s.", r.Protocol, r.CIDR)
	}
	return r, nil
}

// describable says whether a text may describe a rule.
func describable(s string) bool { return s == "" || groupText.MatchString(s) }

var badDescription = events.Faultf("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")

// Numbers of protocols that have names here.
var numbers = map[string]int{"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}

// ProtocolNumber is the IP protocol number of a rule, -1 for all.
func ProtocolNumber(r events.Rule) int {
	n, ok := protocolNumber(r.Protocol)
	if !ok {
		panic("network: rule " + string(r.ID) + " of protocol " + r.Protocol) // checked when it was made
	}
	return n
}

func protocolNumber(p string) (int, bool) {
	if n, ok := numbers[p]; ok {
		return n, true
	}
	n, err := strconv.Atoi(p)
	return n, err == nil && n >= -1
}
