package ec2

import (
	"context"
	"net/netip"
	"strconv"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/tags"
	"skerry/services/network"
	"skerry/services/state"
)

// CreateNetworkAcl makes a network ACL that lets nothing through.
func (h *Handlers) CreateNetworkAcl(ctx context.Context, c *api.Call, in *model.CreateNetworkAclInput) (*model.CreateNetworkAclOutput, error) {
	if err := ids.VPC.Check(value(in.VpcId)); err != nil {
		return nil, err
	}
	specs, err := tags.Specs(in.TagSpecifications, "network-acl")
	if err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.CreateNetworkACL{VPC: events.VPCID(*in.VpcId), Tags: specs["network-acl"]})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := &model.CreateNetworkAclOutput{ClientToken: in.ClientToken}
	v := h.after(ctx, c)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.NetworkACLCreated); ok {
			s := v.acl(&state.NetworkACL{NetworkACLCreated: e})
			s.Tags = toldTags(reply, string(e.ID))
			out.NetworkAcl = &s
		}
	}
	return out, nil
}

// DeleteNetworkAcl ends a network ACL that no subnet uses.
func (h *Handlers) DeleteNetworkAcl(ctx context.Context, c *api.Call, in *model.DeleteNetworkAclInput) (*model.DeleteNetworkAclOutput, error) {
	if err := ids.NetworkACL.Check(value(in.NetworkAclId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteNetworkACL{ACL: events.NetworkACLID(*in.NetworkAclId)})
	return new(model.DeleteNetworkAclOutput), err
}

// CreateNetworkAclEntry adds a rule.
func (h *Handlers) CreateNetworkAclEntry(ctx context.Context, c *api.Call, in *model.CreateNetworkAclEntryInput) (*model.CreateNetworkAclEntryOutput, error) {
	e, err := entryOf(in)
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.CreateACLEntry{ACL: events.NetworkACLID(*in.NetworkAclId), Entry: e})
	return new(model.CreateNetworkAclEntryOutput), err
}

// ReplaceNetworkAclEntry makes the rule of a number another.
func (h *Handlers) ReplaceNetworkAclEntry(ctx context.Context, c *api.Call, in *model.ReplaceNetworkAclEntryInput) (*model.ReplaceNetworkAclEntryOutput, error) {
	e, err := entryOf((*model.CreateNetworkAclEntryInput)(in))
	if err != nil {
		return nil, err
	}
	_, err = h.do(ctx, c, 0, events.ReplaceACLEntry{ACL: events.NetworkACLID(*in.NetworkAclId), Entry: e})
	return new(model.ReplaceNetworkAclEntryOutput), err
}

// entryOf reads a rule. Ports and types that its protocol does not have are not
// kept; those that it needs must be there.
func entryOf(in *model.CreateNetworkAclEntryInput) (e events.ACLEntry, err error) {
	if err := ids.NetworkACL.Check(value(in.NetworkAclId)); err != nil {
		return e, err
	}
	e = events.ACLEntry{Number: int(value(in.RuleNumber)), Egress: value(in.Egress), Deny: value(in.RuleAction) == "deny", From: -1, To: -1}
	if err := notTogether("cidrBlock", in.CidrBlock != nil, "ipv6CidrBlock", in.Ipv6CidrBlock != nil); err != nil {
		return e, err
	}
	switch {
	case in.CidrBlock != nil:
		e.CIDR, err = block(in.CidrBlock, true)
	case in.Ipv6CidrBlock != nil:
		e.CIDR, err = block(in.Ipv6CidrBlock, false)
	}
	if err != nil {
		return e, err
	}
	if e.Protocol, err = network.ACLProtocol(value(in.Protocol)); err != nil {
		return e, err
	}
	switch e.Protocol {
	case 6, 17:
		r := value(in.PortRange)
		if r.From == nil || r.To == nil {
			return e, events.Faultf("MissingParameter", "The request must contain the parameter portRange")
		}
		e.From, e.To = int(*r.From), int(*r.To)
	case 1, 58:
		r := value(in.IcmpTypeCode)
		if r.Type == nil || r.Code == nil {
			return e, events.Faultf("MissingParameter", "The request must contain the parameter icmpTypeCode")
		}
		e.From, e.To = int(*r.Type), int(*r.Code)
	}
	return e, nil
}

// DeleteNetworkAclEntry removes a rule.
func (h *Handlers) DeleteNetworkAclEntry(ctx context.Context, c *api.Call, in *model.DeleteNetworkAclEntryInput) (*model.DeleteNetworkAclEntryOutput, error) {
	if err := ids.NetworkACL.Check(value(in.NetworkAclId)); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.DeleteACLEntry{ACL: events.NetworkACLID(*in.NetworkAclId), Number: int(value(in.RuleNumber)), Egress: value(in.Egress)})
	return new(model.DeleteNetworkAclEntryOutput), err
}

// ReplaceNetworkAclAssociation has the subnet of an association use another ACL.
func (h *Handlers) ReplaceNetworkAclAssociation(ctx context.Context, c *api.Call, in *model.ReplaceNetworkAclAssociationInput) (*model.ReplaceNetworkAclAssociationOutput, error) {
	if err := ids.ACLAssociation.Check(value(in.AssociationId)); err != nil {
		return nil, err
	}
	if err := ids.NetworkACL.Check(value(in.NetworkAclId)); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, events.ReplaceACLAssociation{Association: events.AssociationID(*in.AssociationId), ACL: events.NetworkACLID(*in.NetworkAclId)})
	if err != nil || c.DryRun {
		return nil, err
	}
	out := new(model.ReplaceNetworkAclAssociationOutput)
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.NetworkACLAssociated); ok {
			out.NewAssociationId = some(e.Association)
		}
	}
	return out, nil
}

type aclRow = row[model.NetworkAcl]

func aclBonds(values func(model.NetworkAclAssociation) []string) func(aclRow) []string {
	return func(r aclRow) []string { return each(r.shown.Associations, values) }
}

func aclEntries(values func(model.NetworkAclEntry) []string) func(aclRow) []string {
	return func(r aclRow) []string { return each(r.shown.Entries, values) }
}

var aclListing = listing[model.NetworkAcl]{fields: filter.Fields[aclRow]{
	"association.association-id": aclBonds(func(a model.NetworkAclAssociation) []string { return word(a.NetworkAclAssociationId) }),
	"association.network-acl-id": aclBonds(func(a model.NetworkAclAssociation) []string { return word(a.NetworkAclId) }),
	"association.subnet-id":      aclBonds(func(a model.NetworkAclAssociation) []string { return word(a.SubnetId) }),
	"default":                    func(r aclRow) []string { return flag(r.shown.IsDefault) },
	"entry.cidr":                 aclEntries(func(e model.NetworkAclEntry) []string { return word(e.CidrBlock) }),
	"entry.egress":               aclEntries(func(e model.NetworkAclEntry) []string { return flag(e.Egress) }),
	"entry.icmp.code":            aclEntries(func(e model.NetworkAclEntry) []string { return number(value(e.IcmpTypeCode).Code) }),
	"entry.icmp.type":            aclEntries(func(e model.NetworkAclEntry) []string { return number(value(e.IcmpTypeCode).Type) }),
	"entry.ipv6-cidr":            aclEntries(func(e model.NetworkAclEntry) []string { return word(e.Ipv6CidrBlock) }),
	"entry.port-range.from":      aclEntries(func(e model.NetworkAclEntry) []string { return number(value(e.PortRange).From) }),
	"entry.port-range.to":        aclEntries(func(e model.NetworkAclEntry) []string { return number(value(e.PortRange).To) }),
	"entry.protocol":             aclEntries(func(e model.NetworkAclEntry) []string { return word(e.Protocol) }),
	"entry.rule-action":          aclEntries(func(e model.NetworkAclEntry) []string { return word(e.RuleAction) }),
	"entry.rule-number":          aclEntries(func(e model.NetworkAclEntry) []string { return number(e.RuleNumber) }),
	"network-acl-id":             func(r aclRow) []string { return word(r.shown.NetworkAclId) },
	"owner-id":                   func(r aclRow) []string { return word(r.shown.OwnerId) },
	"vpc-id":                     func(r aclRow) []string { return word(r.shown.VpcId) },
}}

// DescribeNetworkAcls lists the network ACLs of the account's networks.
func (h *Handlers) DescribeNetworkAcls(ctx context.Context, c *api.Call, in *model.DescribeNetworkAclsInput) (*model.DescribeNetworkAclsOutput, error) {
	v, list, err := listed(h, ctx, c, ids.NetworkACL, "networkAcl", in.NetworkAclIds,
		func(v view, account events.AccountID, id string) (*state.NetworkACL, bool) {
			a, ok := v.NetworkACLs.Get(id)
			return a, ok && a.Account == account
		},
		func(v view, account events.AccountID, yield func(*state.NetworkACL)) {
			for n := range v.VPCsOf(account) {
				for a := range v.ACLsOf(n.ID) {
					yield(a)
				}
			}
		})
	if err != nil {
		return nil, err
	}
	var rows []aclRow
	for _, a := range list {
		t := v.TagsOf(string(a.ID))
		s := v.acl(a)
		s.Tags = shownTags(t)
		rows = append(rows, aclRow{key: string(a.VPC) + "/" + string(a.ID), tags: t, shown: s})
	}
	out := new(model.DescribeNetworkAclsOutput)
	out.NetworkAcls, out.NextToken, err = aclListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	return out, err
}

// acl shows a network ACL with the last rules, which every one has.
func (v view) acl(a *state.NetworkACL) model.NetworkAcl {
	out := model.NetworkAcl{NetworkAclId: some(a.ID), VpcId: some(a.VPC), OwnerId: some(a.Account), IsDefault: new(a.Default()),
		Associations: []model.NetworkAclAssociation{}, Entries: []model.NetworkAclEntry{}}
	for s := range v.SubnetsUnder(a.ID) {
		out.Associations = append(out.Associations, model.NetworkAclAssociation{NetworkAclAssociationId: some(s.ACLAssociation), NetworkAclId: some(a.ID), SubnetId: some(s.ID)})
	}
	for _, egress := range []bool{false, true} {
		for _, e := range a.Entries {
			if e.Egress == egress {
				out.Entries = append(out.Entries, showEntry(e))
			}
		}
		last := events.ACLEntry{Number: events.ACLLast, Egress: egress, Deny: true, Protocol: -1, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
		out.Entries = append(out.Entries, showEntry(last))
	}
	return out
}

func showEntry(e events.ACLEntry) model.NetworkAclEntry {
	s := model.NetworkAclEntry{RuleNumber: new(int32(e.Number)), Egress: &e.Egress, Protocol: new(strconv.Itoa(e.Protocol)), RuleAction: new("allow")}
	if e.Deny {
		s.RuleAction = new("deny")
	}
	if e.CIDR.Addr().Is4() {
		s.CidrBlock = new(e.CIDR.String())
	} else {
		s.Ipv6CidrBlock = new(e.CIDR.String())
	}
	switch e.Protocol {
	case 6, 17:
		s.PortRange = &model.PortRange{From: new(int32(e.From)), To: new(int32(e.To))}
	case 1, 58:
		s.IcmpTypeCode = &model.IcmpTypeCode{Type: new(int32(e.From)), Code: new(int32(e.To))}
	}
	return s
}
