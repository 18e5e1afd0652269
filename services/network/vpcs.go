package network

import (
	"net/netip"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of an account's networks ("Amazon VPC quotas").
const (
	maxVPCs     = 5
	maxGateways = 5
	maxSubnets  = 200 // in a VPC
	maxTables   = 200 // in a VPC
	maxRoutes   = 50  // in a table of one family, those within the VPC besides
)

// The sizes of blocks of VPCs and subnets ("VPC CIDR blocks").
const (
	largest  = 16
	smallest = 28
)

// unusable are addresses that no VPC may hold: a guest could not send to them.
var unusable = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3")}

// block reads a block of addresses and brings it into its canonical form, as EC2
// does: 100.68.0.18/18 is 100.68.0.0/18.
func block(text, parameter string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, events.Faultf("MissingParameter", "The request must contain the parameter %s", parameter)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, events.Faultf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", text, parameter)
	}
	return p.Masked(), nil
}

// CreateVPC makes a network with what comes with it: the main route table, and
// the group "default". One with IPv6 may do without IPv4, which EC2's cannot.
func CreateVPC(v *state.View, s events.Stamp, c events.CreateVPC) ([]events.Event, error) {
	var cidr netip.Prefix
	six := c.AmazonIPv6 || c.IPv6 != "" || c.Pool != ""
	if c.CIDR != "" || !six {
		var err error
		if cidr, err = block(c.CIDR, "cidrBlock"); err != nil {
			return nil, err
		}
		if err := sized(cidr); err != nil {
			return nil, err
		}
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for range v.VPCsOf(s.Account) {
		count++
	}
	if count >= maxVPCs {
		return nil, events.Faultf("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	if v.Meta.NextVNI > maxVNI {
		return nil, events.Faultf("VpcLimitExceeded", "The region has given out all %d network identifiers.", maxVNI)
	}
	vpc := events.VPCID("vpc-" + s.Seed.Hex("vpc", 0))
	out := []events.Event{events.VPCCreated{ID: vpc, Account: s.Account, CIDR: cidr, VNI: v.Meta.NextVNI}}
	var within []events.Route
	if cidr.IsValid() {
		within = append(within, events.Route{Destination: cidr})
	}
	group := defaultGroup(s, s.Account, vpc)
	if six {
		p, pool, err := ipv6Of(v, s, v.Meta.NextVNI, nil, c.IPv6, c.Pool, c.AmazonIPv6)
		if err != nil {
			return nil, err
		}
		out = append(out, events.VPCBlockAssociated{VPC: vpc, Account: s.Account, Association: vpcAssociation(s, 0), CIDR: p, Pool: pool})
		out = append(out, allow6(s.Account, vpc)...)
		within = append(within, events.Route{Destination: p})
		group.Rules = append(group.Rules, everything6(s, 2))
	}
	out = append(out, events.RouteTableCreated{ID: events.TableID("rtb-" + s.Seed.Hex("rtb", 0)), Account: s.Account, VPC: vpc, Main: true,
		Association: association(s), Routes: within}, group)
	return append(out, tagging.New(s, string(vpc), c.Tags)...), nil
}

// defaultGroup is the group whose members reach each other and everything
// outside ("Default security groups").
func defaultGroup(s events.Stamp, account events.AccountID, vpc events.VPCID) events.GroupCreated {
	group := events.GroupID("sg-" + s.Seed.Hex("sg", 0))
	return events.GroupCreated{
		ID: group, Account: account, VPC: vpc, Name: "default", Description: "default VPC security group",
		Rules: []events.Rule{
			{ID: events.RuleID("sgr-" + s.Seed.Hex("sgr", 0)), Protocol: "-1", From: -1, To: -1, Group: group},
			{ID: events.RuleID("sgr-" + s.Seed.Hex("sgr", 1)), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: everywhere},
		},
	}
}

// everything6 lets everything out over IPv6, as a group of a VPC with IPv6 does.
func everything6(s events.Stamp, n int) events.Rule {
	return events.Rule{ID: events.RuleID("sgr-" + s.Seed.Hex("sgr", n)), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: everywhere6}
}

func association(s events.Stamp) events.AssociationID {
	return events.AssociationID("rtbassoc-" + s.Seed.Hex("rtbassoc", 0))
}

// named finds an account's VPC, which has to be named.
func named(v *state.View, a events.AccountID, id events.VPCID) (*state.VPC, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter vpcId")
	}
	return network(v, a, id)
}

// DeleteVPC ends a network that holds nothing but what came with it.
func DeleteVPC(v *state.View, s events.Stamp, c events.DeleteVPC) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	busy := events.Faultf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", vpc.ID)
	for range v.SubnetsOf(vpc.ID) {
		return nil, busy
	}
	for range v.InterfacesIn(vpc.ID) {
		return nil, busy
	}
	if _, ok := v.InternetGatewayOf(vpc.ID); ok {
		return nil, busy
	}
	for range v.EgressGatewaysIn(vpc.ID) {
		return nil, busy
	}
	if _, ok := v.VPNGatewayOf(vpc.ID); ok {
		return nil, busy
	}
	out := unpeeredAll(v, s, vpc)
	for t := range v.RouteTablesOf(vpc.ID) {
		if !t.Main {
			return nil, busy
		}
		out = append(out, events.RouteTableDeleted{ID: t.ID, Account: t.Account, VPC: t.VPC})
	}
	for g := range v.GroupsOf(vpc.ID) {
		if g.Name != "default" {
			return nil, busy
		}
		out = append(out, events.GroupDeleted{ID: g.ID, Account: g.Account, VPC: g.VPC})
	}
	for a := range v.ACLsOf(vpc.ID) {
		if !a.Default() {
			return nil, busy
		}
	}
	return append(out, events.VPCDeleted{ID: vpc.ID, Account: vpc.Account}), nil
}

// ModifyVPC changes one attribute.
func ModifyVPC(v *state.View, s events.Stamp, c events.ModifyVPC) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	switch {
	case c.DNSSupport == nil && c.DNSHostnames == nil:
		return nil, events.Faultf("MissingParameter", "The request must contain the attribute to modify.")
	case c.DNSSupport != nil && c.DNSHostnames != nil:
		return nil, events.Faultf("InvalidParameterCombination", "Only one attribute can be modified at a time.")
	case c.DNSHostnames != nil && *c.DNSHostnames && vpc.NoDNS:
		return nil, events.Faultf("InvalidParameterValue", "DNS hostnames need DNS support, which VPC '%s' has turned off.", vpc.ID)
	}
	return []events.Event{events.VPCModified{ID: vpc.ID, Account: vpc.Account, DNSSupport: c.DNSSupport, DNSHostnames: c.DNSHostnames}}, nil
}
