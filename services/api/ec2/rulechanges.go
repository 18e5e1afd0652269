package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
)

// ModifySecurityGroupRules makes rules of a group, by id, what is given.
func (h *Handlers) ModifySecurityGroupRules(ctx context.Context, c *api.Call, in *model.ModifySecurityGroupRulesInput) (*model.ModifySecurityGroupRulesOutput, error) {
	if err := ids.SecurityGroup.Check(value(in.GroupId)); err != nil {
		return nil, err
	}
	cmd := events.ModifyRules{Group: events.GroupID(*in.GroupId)}
	for _, u := range in.SecurityGroupRules {
		if err := ids.SecurityGroupRule.Check(value(u.SecurityGroupRuleId)); err != nil {
			return nil, err
		}
		p, err := permissionOf(value(u.SecurityGroupRule))
		if err != nil {
			return nil, err
		}
		list, err := h.rules(ctx, c, ruleForm{list: []model.IpPermission{p}})
		if err != nil {
			return nil, err
		}
		list[0].ID = events.RuleID(*u.SecurityGroupRuleId)
		cmd.Rules = append(cmd.Rules, list[0])
	}
	_, err := h.do(ctx, c, 0, cmd)
	return &model.ModifySecurityGroupRulesOutput{Return: new(true)}, err
}

// permissionOf is the permission of one rule, which has one source.
func permissionOf(r model.SecurityGroupRuleRequest) (model.IpPermission, error) {
	p := model.IpPermission{IpProtocol: r.IpProtocol, FromPort: r.FromPort, ToPort: r.ToPort}
	if r.CidrIpv4 != nil {
		p.IpRanges = []model.IpRange{{CidrIp: r.CidrIpv4, Description: r.Description}}
	}
	if r.CidrIpv6 != nil {
		p.Ipv6Ranges = []model.Ipv6Range{{CidrIpv6: r.CidrIpv6, Description: r.Description}}
	}
	if r.PrefixListId != nil {
		p.PrefixListIds = []model.PrefixListId{{PrefixListId: r.PrefixListId, Description: r.Description}}
	}
	if r.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []model.UserIdGroupPair{{GroupId: r.ReferencedGroupId, Description: r.Description}}
	}
	if n := len(p.IpRanges) + len(p.Ipv6Ranges) + len(p.PrefixListIds) + len(p.UserIdGroupPairs); n != 1 {
		return p, events.Faultf("InvalidParameterValue", "A rule has one source: exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId.")
	}
	return p, nil
}

// UpdateSecurityGroupRuleDescriptionsIngress describes what is let in.
func (h *Handlers) UpdateSecurityGroupRuleDescriptionsIngress(ctx context.Context, c *api.Call, in *model.UpdateSecurityGroupRuleDescriptionsIngressInput) (*model.UpdateSecurityGroupRuleDescriptionsIngressOutput, error) {
	err := h.describeRules(ctx, c, in.SecurityGroupRuleDescriptions, ruleForm{group: in.GroupId, name: in.GroupName, list: in.IpPermissions})
	return &model.UpdateSecurityGroupRuleDescriptionsIngressOutput{Return: new(true)}, err
}

// UpdateSecurityGroupRuleDescriptionsEgress describes what is let out.
func (h *Handlers) UpdateSecurityGroupRuleDescriptionsEgress(ctx context.Context, c *api.Call, in *model.UpdateSecurityGroupRuleDescriptionsEgressInput) (*model.UpdateSecurityGroupRuleDescriptionsEgressOutput, error) {
	err := h.describeRules(ctx, c, in.SecurityGroupRuleDescriptions, ruleForm{group: in.GroupId, name: in.GroupName, egress: true, list: in.IpPermissions})
	return &model.UpdateSecurityGroupRuleDescriptionsEgressOutput{Return: new(true)}, err
}

func (h *Handlers) describeRules(ctx context.Context, c *api.Call, list []model.SecurityGroupRuleDescription, f ruleForm) error {
	if err := checkGroup(f.group); err != nil {
		return err
	}
	if err := notTogether("ipPermissions", len(f.list) > 0, "securityGroupRuleDescriptions", len(list) > 0); err != nil {
		return err
	}
	rules, err := h.rules(ctx, c, f)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := ids.SecurityGroupRule.Check(value(d.SecurityGroupRuleId)); err != nil {
			return err
		}
		rules = append(rules, events.Rule{ID: events.RuleID(*d.SecurityGroupRuleId), Description: value(d.Description)})
	}
	_, err = h.do(ctx, c, 0, events.DescribeRules{Group: events.GroupID(value(f.group)), Name: value(f.name), Egress: f.egress, Rules: rules})
	return err
}
