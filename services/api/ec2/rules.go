package ec2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/network"
)

// CreateSecurityGroup makes a group, in the default VPC when none is named.
func (h *Handlers) CreateSecurityGroup(ctx context.Context, c *api.Call, in *model.CreateSecurityGroupInput) (*model.CreateSecurityGroupOutput, error) {
	if value(in.VpcId) != "" {
		if err := ids.VPC.Check(*in.VpcId); err != nil {
			return nil, err
		}
	}
	specs, err := tags.Specs(in.TagSpecifications, "security-group")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateGroup{Name: value(in.GroupName), Description: value(in.Description), VPC: events.VPCID(value(in.VpcId)), Tags: specs["security-group"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.CreateSecurityGroupOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.GroupCreated); ok {
			out.GroupId, out.Tags = some(e.ID), toldTags(reply, string(e.ID))
		}
	}
	return out, nil
}

// DeleteSecurityGroup removes a group, by id or by its name in the default VPC.
func (h *Handlers) DeleteSecurityGroup(ctx context.Context, c *api.Call, in *model.DeleteSecurityGroupInput) (*model.DeleteSecurityGroupOutput, error) {
	if err := checkGroup(in.GroupId); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteGroup{Group: events.GroupID(value(in.GroupId)), Name: value(in.GroupName)})
	return new(model.DeleteSecurityGroupOutput), err
}

func checkGroup(id *string) error {
	if value(id) == "" {
		return nil
	}
	return ids.SecurityGroup.Check(*id)
}

// AuthorizeSecurityGroupIngress lets traffic in.
func (h *Handlers) AuthorizeSecurityGroupIngress(ctx context.Context, c *api.Call, in *model.AuthorizeSecurityGroupIngressInput) (*model.AuthorizeSecurityGroupIngressOutput, error) {
	made, err := h.authorize(ctx, c, in.TagSpecifications, ruleForm{group: in.GroupId, name: in.GroupName, list: in.IpPermissions,
		flat: flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}})
	return &model.AuthorizeSecurityGroupIngressOutput{Return: new(true), SecurityGroupRules: made}, err
}

// AuthorizeSecurityGroupEgress lets traffic out.
func (h *Handlers) AuthorizeSecurityGroupEgress(ctx context.Context, c *api.Call, in *model.AuthorizeSecurityGroupEgressInput) (*model.AuthorizeSecurityGroupEgressOutput, error) {
	made, err := h.authorize(ctx, c, in.TagSpecifications, ruleForm{group: in.GroupId, egress: true, list: in.IpPermissions,
		flat: flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}})
	return &model.AuthorizeSecurityGroupEgressOutput{Return: new(true), SecurityGroupRules: made}, err
}

// RevokeSecurityGroupIngress takes back what was let in.
func (h *Handlers) RevokeSecurityGroupIngress(ctx context.Context, c *api.Call, in *model.RevokeSecurityGroupIngressInput) (*model.RevokeSecurityGroupIngressOutput, error) {
	unknown, err := h.revoke(ctx, c, in.SecurityGroupRuleIds, ruleForm{group: in.GroupId, name: in.GroupName, list: in.IpPermissions,
		flat: flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}})
	return &model.RevokeSecurityGroupIngressOutput{Return: new(true), UnknownIpPermissions: unknown}, err
}

// RevokeSecurityGroupEgress takes back what was let out.
func (h *Handlers) RevokeSecurityGroupEgress(ctx context.Context, c *api.Call, in *model.RevokeSecurityGroupEgressInput) (*model.RevokeSecurityGroupEgressOutput, error) {
	unknown, err := h.revoke(ctx, c, in.SecurityGroupRuleIds, ruleForm{group: in.GroupId, egress: true, list: in.IpPermissions,
		flat: flatRule{in.IpProtocol, in.FromPort, in.ToPort, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId}})
	return &model.RevokeSecurityGroupEgressOutput{Return: new(true), UnknownIpPermissions: unknown}, err
}

// ruleForm is what the four actions on rules have in common.
type ruleForm struct {
	group, name *string
	egress      bool
	list        []model.IpPermission
	flat        flatRule
}

// flatRule is the old form of one rule, whose parts are parameters of their own.
type flatRule struct {
	protocol   *string
	from, to   *int32
	cidr       *string
	peer       *string // a group of the default VPC
	peersOwner *string
}

func (h *Handlers) authorize(ctx context.Context, c *api.Call, specs []model.TagSpecification, f ruleForm) ([]model.SecurityGroupRule, error) {
	t, err := tags.Specs(specs, "security-group-rule")
	if err != nil {
		return nil, err
	}
	if err := checkGroup(f.group); err != nil {
		return nil, err
	}
	rules, err := h.rules(ctx, c, f)
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.AuthorizeRules{Group: events.GroupID(value(f.group)), Name: value(f.name), Egress: f.egress, Rules: rules, Tags: t["security-group-rule"]})
	if err != nil {
		return nil, err
	}
	made := []model.SecurityGroupRule{}
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.RulesAuthorized); ok {
			for _, x := range e.Rules {
				s := showRule(e.Account, e.Group, x)
				s.Tags = toldTags(reply, string(x.ID))
				made = append(made, s)
			}
		}
	}
	return made, nil
}

func (h *Handlers) revoke(ctx context.Context, c *api.Call, list []string, f ruleForm) ([]model.IpPermission, error) {
	if err := checkGroup(f.group); err != nil {
		return nil, err
	}
	if err := ids.SecurityGroupRule.CheckAll(list); err != nil {
		return nil, err
	}
	rules, err := h.rules(ctx, c, f)
	if err != nil {
		return nil, err
	}
	if err := notTogether("securityGroupRuleIds", len(list) > 0, "ipPermissions", len(rules) > 0); err != nil {
		return nil, err
	}
	cmd := events.RevokeRules{Group: events.GroupID(value(f.group)), Name: value(f.name), Egress: f.egress, Rules: rules, IDs: typed[events.RuleID](list)}
	var unknown []model.IpPermission
	if len(rules) > 0 {
		v, err := h.read(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range network.Unknown(v.View, events.AccountID(c.Account), cmd) {
			addRule(&unknown, events.AccountID(c.Account), r)
		}
	}
	_, err = h.do(ctx, c, 0, cmd)
	return unknown, err
}

// rules turns permissions into rules: each range and each group of a permission
// is a rule.
func (h *Handlers) rules(ctx context.Context, c *api.Call, f ruleForm) ([]events.Rule, error) {
	list, err := f.permissions()
	if err != nil {
		return nil, err
	}
	var out []events.Rule
	for n, p := range list {
		r, err := ports(p, n)
		if err != nil {
			return nil, err
		}
		add := func(description *string) {
			r.Description = value(description)
			out = append(out, r)
		}
		for _, x := range p.IpRanges {
			if r.CIDR, err = block(x.CidrIp, true); err != nil {
				return nil, err
			}
			add(x.Description)
		}
		for _, x := range p.Ipv6Ranges {
			if r.CIDR, err = block(x.CidrIpv6, false); err != nil {
				return nil, err
			}
			add(x.Description)
		}
		r.CIDR = netip.Prefix{}
		for _, x := range p.PrefixListIds {
			if err := ids.PrefixList.Check(value(x.PrefixListId)); err != nil {
				return nil, err
			}
			r.PrefixList = events.PrefixListID(*x.PrefixListId)
			add(x.Description)
		}
		r.PrefixList = ""
		for _, x := range p.UserIdGroupPairs {
			if r.Group, err = h.peer(ctx, c, x); err != nil {
				return nil, err
			}
			add(x.Description)
		}
		if len(p.IpRanges)+len(p.Ipv6Ranges)+len(p.PrefixListIds)+len(p.UserIdGroupPairs) == 0 {
			return nil, events.Faultf("MissingParameter", "The permission for '%s' says neither an address range nor a prefix list nor a security group", value(p.IpProtocol))
		}
	}
	return out, nil
}

// permissions brings the old form into the new one.
func (f ruleForm) permissions() ([]model.IpPermission, error) {
	o := f.flat
	parts := o.protocol != nil || o.from != nil || o.to != nil || o.cidr != nil
	group := o.peer != nil || o.peersOwner != nil
	switch {
	case !parts && !group:
		return f.list, nil
	case len(f.list) > 0:
		return nil, events.Faultf("InvalidParameterCombination", "The parameter ipPermissions cannot be used with the parameters of a single rule")
	case f.egress:
		return nil, unsupported("IpProtocol", "rules of egress have no form but IpPermissions.")
	case group && (parts || o.peer == nil):
		return nil, events.Faultf("InvalidParameterCombination", "The parameter sourceSecurityGroupName stands alone: send IpPermissions for a group with a protocol and ports")
	case group:
		// "Creates rules that grant full ICMP, UDP, and TCP access."
		pairs := []model.UserIdGroupPair{{GroupName: o.peer, UserId: o.peersOwner}}
		all := func(protocol string, from, to int32) model.IpPermission {
			return model.IpPermission{IpProtocol: &protocol, FromPort: &from, ToPort: &to, UserIdGroupPairs: pairs}
		}
		return []model.IpPermission{all("tcp", 0, 65535), all("udp", 0, 65535), all("icmp", -1, -1)}, nil
	}
	p := model.IpPermission{IpProtocol: o.protocol, FromPort: o.from, ToPort: o.to}
	if o.cidr != nil {
		p.IpRanges = []model.IpRange{{CidrIp: o.cidr}}
	}
	return []model.IpPermission{p}, nil
}

// ports reads a permission's protocol and ports. Only TCP and UDP must have
// them.
func ports(p model.IpPermission, n int) (events.Rule, error) {
	r := events.Rule{Protocol: value(p.IpProtocol), From: -1, To: -1}
	if r.Protocol == "" {
		return r, events.Faultf("MissingParameter", "The request must contain the parameter ipPermissions.%d.ipProtocol", n+1)
	}
	if needed := slices.Contains([]string{"tcp", "6", "udp", "17"}, strings.ToLower(r.Protocol)); needed && (p.FromPort == nil || p.ToPort == nil) {
		return r, events.Faultf("InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
	}
	if p.FromPort != nil {
		r.From = int(*p.FromPort)
	}
	if p.ToPort != nil {
		r.To = int(*p.ToPort)
	}
	return r, nil
}

// block reads an address range.
func block(text *string, four bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value(text))
	if err != nil || p.Addr().Is4() != four || p.Addr().Is4In6() {
		return p, events.Faultf("InvalidParameterValue", "CIDR block %s is malformed", value(text))
	}
	return p, nil
}

// peer finds the group of a pair. A name is of the default VPC, and another
// account's group is not there.
func (h *Handlers) peer(ctx context.Context, c *api.Call, p model.UserIdGroupPair) (events.GroupID, error) {
	if err := refuse(param{"VpcPeeringConnectionId", value(p.VpcPeeringConnectionId) != ""}); err != nil {
		return "", err
	}
	id, name := value(p.GroupId), value(p.GroupName)
	if owner := value(p.UserId); owner != "" && owner != c.Account {
		return "", events.Faultf(ids.SecurityGroup.NotFound, "The security group '%s' of the account '%s' does not exist", id+name, owner)
	}
	switch {
	case id != "":
		return events.GroupID(id), ids.SecurityGroup.Check(id)
	case name == "":
		return "", events.Faultf("MissingParameter", "The request must contain the parameter groupName or groupId")
	}
	v, err := h.read(ctx)
	if err != nil {
		return "", err
	}
	account := events.AccountID(c.Account)
	g, ok := v.groupNamed(account, name)
	if !ok {
		vpc, _ := v.DefaultVPC(account)
		return "", events.Faultf(ids.SecurityGroup.NotFound, "The security group '%s' does not exist in default VPC '%s'", name, value(vpc).ID)
	}
	return g.ID, nil
}

// showRule shows a rule without its tags.
func showRule(account events.AccountID, group events.GroupID, r events.Rule) model.SecurityGroupRule {
	out := model.SecurityGroupRule{SecurityGroupRuleId: some(r.ID), GroupId: some(group), GroupOwnerId: some(account), IsEgress: &r.Egress,
		IpProtocol: &r.Protocol, FromPort: new(int32(r.From)), ToPort: new(int32(r.To)), Description: some(r.Description)}
	switch {
	case r.Group != "":
		out.ReferencedGroupInfo = &model.ReferencedSecurityGroup{GroupId: some(r.Group), UserId: some(account)}
	case r.PrefixList != "":
		out.PrefixListId = some(r.PrefixList)
	case r.CIDR.Addr().Is4():
		out.CidrIpv4 = new(r.CIDR.String())
	default:
		out.CidrIpv6 = new(r.CIDR.String())
	}
	return out
}

type ruleRow = row[model.SecurityGroupRule]

var ruleListing = listing[model.SecurityGroupRule]{fields: filter.Fields[ruleRow]{
	"group-id":               func(r ruleRow) []string { return word(r.shown.GroupId) },
	"security-group-rule-id": func(r ruleRow) []string { return word(r.shown.SecurityGroupRuleId) },
}}

// DescribeSecurityGroupRules lists rules by group, ingress first.
func (h *Handlers) DescribeSecurityGroupRules(ctx context.Context, c *api.Call, in *model.DescribeSecurityGroupRulesInput) (*model.DescribeSecurityGroupRulesOutput, error) {
	if err := ids.SecurityGroupRule.CheckAll(in.SecurityGroupRuleIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	var all []ruleRow
	for n := range v.VPCsOf(account) {
		for g := range v.GroupsOf(n.ID) {
			for _, r := range g.Rules {
				t := v.TagsOf(string(r.ID))
				s := showRule(account, g.ID, r)
				s.Tags = shownTags(t)
				all = append(all, ruleRow{key: fmt.Sprintf("%s/%t/%s", g.ID, r.Egress, r.ID), tags: t, shown: s})
			}
		}
	}
	rows, err := byID(in.SecurityGroupRuleIds,
		func(id string) (ruleRow, bool) {
			at := slices.IndexFunc(all, func(r ruleRow) bool { return *r.shown.SecurityGroupRuleId == id })
			if at < 0 {
				return ruleRow{}, false
			}
			return all[at], true
		},
		func(yield func(ruleRow)) {
			for _, r := range all {
				yield(r)
			}
		},
		func(names []string) error {
			return events.Faultf(ids.SecurityGroupRule.NotFound, "The security group rule ID '%s' does not exist", names[0])
		})
	if err != nil {
		return nil, err
	}
	out := new(model.DescribeSecurityGroupRulesOutput)
	out.SecurityGroupRules, out.NextToken, err = ruleListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}
