package ec2

import (
	"context"
	"fmt"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

// group is a security group as EC2 shows it, with what its filters ask beside:
// a permission shows the groups it refers to by id alone.
type group struct {
	model.SecurityGroup
	in, out []string // names of the groups that its rules refer to
}

type groupRow = row[group]

// permissionFields are the filters on a group's rules in one direction. Each
// looks at all rules: two filters may be met by two rules.
func permissionFields(into filter.Fields[groupRow], prefix string, of func(group) []model.IpPermission) {
	on := func(name string, values func(model.IpPermission) []string) {
		into[prefix+name] = func(r groupRow) []string { return each(of(r.shown), values) }
	}
	pairs := func(values func(model.UserIdGroupPair) []string) func(model.IpPermission) []string {
		return func(p model.IpPermission) []string { return each(p.UserIdGroupPairs, values) }
	}
	on("cidr", func(p model.IpPermission) []string {
		return each(p.IpRanges, func(r model.IpRange) []string { return word(r.CidrIp) })
	})
	on("ipv6-cidr", func(p model.IpPermission) []string {
		return each(p.Ipv6Ranges, func(r model.Ipv6Range) []string { return word(r.CidrIpv6) })
	})
	on("prefix-list-id", func(p model.IpPermission) []string {
		return each(p.PrefixListIds, func(l model.PrefixListId) []string { return word(l.PrefixListId) })
	})
	on("protocol", func(p model.IpPermission) []string { return word(p.IpProtocol) })
	on("from-port", func(p model.IpPermission) []string { return number(p.FromPort) })
	on("to-port", func(p model.IpPermission) []string { return number(p.ToPort) })
	on("group-id", pairs(func(g model.UserIdGroupPair) []string { return word(g.GroupId) }))
	on("user-id", pairs(func(g model.UserIdGroupPair) []string { return word(g.UserId) }))
}

var groupListing = func() listing[group] {
	fields := filter.Fields[groupRow]{
		"description": func(r groupRow) []string { return word(r.shown.Description) },
		"group-id":    func(r groupRow) []string { return word(r.shown.GroupId) },
		"group-name":  func(r groupRow) []string { return word(r.shown.GroupName) },
		"owner-id":    func(r groupRow) []string { return word(r.shown.OwnerId) },
		"vpc-id":      func(r groupRow) []string { return word(r.shown.VpcId) },

		"ip-permission.group-name":        func(r groupRow) []string { return r.shown.in },
		"egress.ip-permission.group-name": func(r groupRow) []string { return r.shown.out },
	}
	permissionFields(fields, "ip-permission.", func(g group) []model.IpPermission { return g.IpPermissions })
	permissionFields(fields, "egress.ip-permission.", func(g group) []model.IpPermission { return g.IpPermissionsEgress })
	return listing[group]{fields: fields}
}()

// DescribeSecurityGroups lists the account's groups with their rules. Names are
// those of the default VPC.
func (h *Handlers) DescribeSecurityGroups(ctx context.Context, c *api.Call, in *model.DescribeSecurityGroupsInput) (*model.DescribeSecurityGroupsOutput, error) {
	if err := ids.SecurityGroup.CheckAll(in.GroupIds); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	account := events.AccountID(c.Account)
	var list []*state.Group
	if len(in.GroupIds) > 0 || len(in.GroupNames) == 0 {
		list, err = byID(in.GroupIds,
			func(id string) (*state.Group, bool) {
				g, ok := v.Groups.Get(id)
				return g, ok && g.Account == account
			},
			func(yield func(*state.Group)) {
				for n := range v.VPCsOf(account) {
					for g := range v.GroupsOf(n.ID) {
						yield(g)
					}
				}
			},
			func(names []string) error {
				return events.Faultf(ids.SecurityGroup.NotFound, "The security group '%s' does not exist", names[0])
			})
		if err != nil {
			return nil, err
		}
	}
	if len(in.GroupNames) > 0 {
		named, err := byID(in.GroupNames,
			func(name string) (*state.Group, bool) { return v.groupNamed(account, name) }, nil,
			func(names []string) error {
				vpc, _ := v.DefaultVPC(account)
				return events.Faultf(ids.SecurityGroup.NotFound, "The security group '%s' does not exist in default VPC '%s'", names[0], value(vpc).ID)
			})
		if err != nil {
			return nil, err
		}
		list = append(list, named...)
	}
	var rows []groupRow
	for _, g := range list {
		key := fmt.Sprintf("%s/%s/%s", g.VPC, g.Name, g.ID)
		if contains(rows, key) {
			continue // named both ways
		}
		t := v.TagsOf(string(g.ID))
		shown := v.group(g)
		shown.Tags = shownTags(t)
		rows = append(rows, groupRow{key: key, tags: t, shown: shown})
	}
	page, next, err := groupListing.choose(h, c, ask{in.Filters, in.MaxResults, in.NextToken}, rows)
	out := &model.DescribeSecurityGroupsOutput{NextToken: next}
	for _, g := range page {
		out.SecurityGroups = append(out.SecurityGroups, g.SecurityGroup)
	}
	return out, err
}

// groupNamed finds a group of the default VPC.
func (v view) groupNamed(account events.AccountID, name string) (*state.Group, bool) {
	vpc, ok := v.DefaultVPC(account)
	if !ok {
		return nil, false
	}
	for g := range v.GroupsOf(vpc.ID) {
		if g.Name == name {
			return g, true
		}
	}
	return nil, false
}

// group shows a group. Rules of the same protocol and ports are one permission
// with several sources, as EC2 has them.
func (v view) group(g *state.Group) group {
	out := group{SecurityGroup: model.SecurityGroup{GroupId: some(g.ID), GroupName: &g.Name, Description: &g.Description, OwnerId: some(g.Account), VpcId: some(g.VPC),
		IpPermissions: []model.IpPermission{}, IpPermissionsEgress: []model.IpPermission{}}}
	for _, r := range g.Rules {
		into, peers := &out.IpPermissions, &out.in
		if r.Egress {
			into, peers = &out.IpPermissionsEgress, &out.out
		}
		addRule(into, g.Account, r)
		if o, ok := v.Groups.Get(string(r.Group)); ok {
			*peers = append(*peers, o.Name)
		}
	}
	return out
}

// addRule adds a rule to the permission that it belongs to.
func addRule(into *[]model.IpPermission, account events.AccountID, r events.Rule) {
	p := permission(into, r)
	switch {
	case r.Group != "":
		p.UserIdGroupPairs = append(p.UserIdGroupPairs, model.UserIdGroupPair{GroupId: some(r.Group), UserId: some(account), Description: some(r.Description)})
	case r.PrefixList != "":
		p.PrefixListIds = append(p.PrefixListIds, model.PrefixListId{PrefixListId: some(r.PrefixList), Description: some(r.Description)})
	case r.CIDR.Addr().Is4():
		p.IpRanges = append(p.IpRanges, model.IpRange{CidrIp: new(r.CIDR.String()), Description: some(r.Description)})
	case r.CIDR.IsValid():
		p.Ipv6Ranges = append(p.Ipv6Ranges, model.Ipv6Range{CidrIpv6: new(r.CIDR.String()), Description: some(r.Description)})
	}
}

// permission finds the permission that a rule belongs to, or adds it. A rule of
// every protocol has no ports.
func permission(list *[]model.IpPermission, r events.Rule) *model.IpPermission {
	from, to := new(int32(r.From)), new(int32(r.To))
	if r.Protocol == "-1" {
		from, to = nil, nil
	}
	for i := range *list {
		if p := &(*list)[i]; *p.IpProtocol == r.Protocol && value(p.FromPort) == value(from) && value(p.ToPort) == value(to) {
			return p
		}
	}
	*list = append(*list, model.IpPermission{IpProtocol: new(r.Protocol), FromPort: from, ToPort: to,
		IpRanges: []model.IpRange{}, Ipv6Ranges: []model.Ipv6Range{}, PrefixListIds: []model.PrefixListId{}, UserIdGroupPairs: []model.UserIdGroupPair{}})
	return &(*list)[len(*list)-1]
}
