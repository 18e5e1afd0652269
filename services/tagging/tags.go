// Package tagging decides about the tags of resources, and holds their limits.
package tagging

import (
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"skerry/events"
	"skerry/internal/planted"
	"skerry/services/state"
)

// Limits of tags ("Tag restrictions").
const (
	maxTags     = 50
	maxTagKey   = 127
	maxTagValue = 255
	maxTagged   = 1000 // resources in one call
)

// uneven counts what this process decided: the bug of that name looks at it.
var uneven atomic.Int64

// Set sets tags: all resources or none.
func Set(v *state.View, s events.Stamp, c events.TagResources) ([]events.Event, error) {
	if len(c.Resources) == 0 || len(c.Tags) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain at least one resource and one tag.")
	}
	if len(c.Resources) > maxTagged {
		return nil, events.Faultf("InvalidParameterValue", "At most %d resources can be tagged at once.", maxTagged)
	}
	if err := Check(c.Tags); err != nil {
		return nil, err
	}
	var out []events.Event
	if planted.On(planted.UnevenDecision) && uneven.Add(1)%1000 == 0 {
		return nil, nil
	}
	for _, r := range c.Resources {
		if err := owned(v, s.Account, r); err != nil {
			return nil, err
		}
		has := v.TagsOf(r)
		count := len(has)
		for _, t := range c.Tags {
			if !slices.ContainsFunc(has, func(h events.Tag) bool { return h.Key == t.Key }) {
				count++
			}
		}
		if count > maxTags {
			return nil, events.Faultf("TagLimitExceeded", "The resource '%s' would have more than %d tags.", r, maxTags)
		}
		out = append(out, events.ResourceTagged{Account: s.Account, Resource: r, Tags: c.Tags})
	}
	return out, nil
}

// Remove removes tags; what is not there is removed already.
func Remove(v *state.View, s events.Stamp, c events.UntagResources) ([]events.Event, error) {
	var out []events.Event
	for _, r := range c.Resources {
		if err := owned(v, s.Account, r); err != nil {
			return nil, err
		}
		var keys []string
		for _, t := range v.TagsOf(r) {
			if strings.HasPrefix(t.Key, "aws:") {
				continue
			}
			gone := len(c.Tags) == 0
			for _, u := range c.Tags {
				gone = gone || u.Key == t.Key && (u.Value == nil || *u.Value == t.Value)
			}
			if gone {
				keys = append(keys, t.Key)
			}
		}
		if len(keys) > 0 {
			out = append(out, events.ResourceUntagged{Account: s.Account, Resource: r, Keys: keys})
		}
	}
	return out, nil
}

// New is the event that gives tags to a resource that is being made; no tags
// make no event.
func New(s events.Stamp, id string, list []events.Tag) []events.Event {
	if len(list) == 0 {
		return nil
	}
	return []events.Event{events.ResourceTagged{Account: s.Account, Resource: id, Tags: list}}
}

// Check refuses tags that EC2 refuses.
func Check(tags []events.Tag) error {
	if len(tags) > maxTags {
		return events.Faultf("TagLimitExceeded", "At most %d tags can be given.", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case t.Key == "":
			return events.Faultf("InvalidParameterValue", "Tag keys may not be empty.")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return events.Faultf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case utf8.RuneCountInString(t.Key) > maxTagKey:
			return events.Faultf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
		case utf8.RuneCountInString(t.Value) > maxTagValue:
			return events.Faultf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		case seen[t.Key]:
			return events.Faultf("InvalidParameterValue", "Duplicate tag key '%s' specified.", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}

// owned says whether an account has a resource that can be tagged.
func owned(v *state.View, a events.AccountID, id string) error {
	prefix, _, _ := strings.Cut(id, "-")
	found := false
	code := "InvalidID"
	switch prefix {
	case "i":
		code = "InvalidInstanceID.NotFound"
		_, found = v.Instance(a, events.InstanceID(id))
	case "ami", "aki", "ari":
		code = "InvalidAMIID.NotFound"
		i, ok := v.Images.Get(id)
		found = ok && i.Account == a
	case "key":
		code = "InvalidKeyPair.NotFound"
		_, found = v.KeyPairByID(a, events.KeyPairID(id))
	case "vpc":
		code = "InvalidVpcID.NotFound"
		r, ok := v.VPCs.Get(id)
		found = ok && r.Account == a
	case "subnet":
		code = "InvalidSubnetID.NotFound"
		r, ok := v.Subnets.Get(id)
		found = ok && r.Account == a
	case "sg":
		code = "InvalidGroup.NotFound"
		r, ok := v.Groups.Get(id)
		found = ok && r.Account == a
	case "nat":
		code = "NatGatewayNotFound"
		r, ok := v.NATGateways.Get(id)
		found = ok && r.Account == a
	case "eigw":
		code = "InvalidEgressOnlyInternetGatewayId.NotFound"
		r, ok := v.EgressGateways.Get(id)
		found = ok && r.Account == a
	case "pcx":
		code = "InvalidVpcPeeringConnectionID.NotFound"
		r, ok := v.Peering(a, events.PeeringID(id))
		found = ok && r.Account == a // the tags of a connection are those of who asked for it
	case "cgw":
		code = "InvalidCustomerGatewayID.NotFound"
		r, ok := v.CustomerGateways.Get(id)
		found = ok && r.Account == a
	case "vgw":
		code = "InvalidVpnGatewayID.NotFound"
		r, ok := v.VPNGateways.Get(id)
		found = ok && r.Account == a
	case "vpn":
		code = "InvalidVpnConnectionID.NotFound"
		r, ok := v.VPNs.Get(id)
		found = ok && r.Account == a
	case "eni":
		code = "InvalidNetworkInterfaceID.NotFound"
		r, ok := v.Interfaces.Get(id)
		found = ok && r.Account == a
	case "igw":
		code = "InvalidInternetGatewayID.NotFound"
		r, ok := v.InternetGateways.Get(id)
		found = ok && r.Account == a
	case "rtb":
		code = "InvalidRouteTableID.NotFound"
		r, ok := v.RouteTables.Get(id)
		found = ok && r.Account == a
	case "acl":
		code = "InvalidNetworkAclID.NotFound"
		r, ok := v.NetworkACLs.Get(id)
		found = ok && r.Account == a
	case "dopt":
		code = "InvalidDhcpOptionID.NotFound"
		r, ok := v.DHCPOptions.Get(id)
		found = ok && r.Account == a
	case "pl":
		code = "InvalidPrefixListID.NotFound"
		r, ok := v.PrefixLists.Get(id)
		found = ok && r.Account == a
	case "ipv4pool", "ipv6pool":
		code = map[string]string{"ipv4pool": "InvalidPublicIpv4PoolID.NotFound", "ipv6pool": "InvalidIpv6PoolID.NotFound"}[prefix]
		r, ok := v.Ranges.Get(id)
		found = ok && r.Account == a
	case "fl":
		code = "InvalidFlowLogId.NotFound"
		r, ok := v.FlowLogs.Get(id)
		found = ok && r.Account == a
	case "eipalloc":
		code = "InvalidAllocationID.NotFound"
		_, found = v.Allocation(a, events.AllocationID(id))
	case "vol":
		code = "InvalidVolume.NotFound"
		_, found = v.Volume(a, events.VolumeID(id))
	case "snap":
		code = "InvalidSnapshot.NotFound"
		r, ok := v.Snapshots.Get(id)
		found = ok && r.Account == a
	case "pg":
		code = "InvalidPlacementGroup.Unknown"
		_, found = v.PlacementGroup(a, id)
	case "lt":
		code = "InvalidLaunchTemplateId.NotFound"
		_, found = v.Template(a, events.TemplateID(id), "")
	case "sgr":
		code = "InvalidSecurityGroupRuleId.NotFound"
		found = rule(v, a, events.RuleID(id))
	}
	if !found {
		return events.Faultf(code, "The ID '%s' does not exist", id)
	}
	return nil
}

func rule(v *state.View, a events.AccountID, id events.RuleID) bool {
	for n := range v.VPCsOf(a) {
		for g := range v.GroupsOf(n.ID) {
			if slices.ContainsFunc(g.Rules, func(r events.Rule) bool { return r.ID == id }) {
				return true
			}
		}
	}
	return false
}
