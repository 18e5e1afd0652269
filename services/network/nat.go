package network

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// maxNAT is how many NAT gateways an account may have in a zone ("Amazon VPC
// quotas").
const maxNAT = 5

// CreateNATGateway makes a gateway with an interface of its own. One whose VPC has
// no way outside fails at once, as EC2's does a little later.
func CreateNATGateway(v *state.View, s events.Stamp, c events.CreateNATGateway) ([]events.Event, error) {
	sub, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for g := range v.NATGatewaysOf(s.Account) {
		if g.Live() && g.Zone == sub.Zone {
			count++
		}
	}
	switch {
	case count >= maxNAT:
		return nil, events.Faultf("NatGatewayLimitExceeded", "The maximum number of NAT gateways has been reached in the Availability Zone %s.", sub.Zone)
	case sub.Native():
		return nil, events.Faultf("InvalidParameterValue", "The subnet '%s' has no IPv4 addresses.", sub.ID)
	case c.Private && c.Allocation != "":
		return nil, events.Faultf("InvalidParameterCombination", "A private NAT gateway has no Elastic IP address.")
	case !c.Private && c.Allocation == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter AllocationId")
	}
	id := events.NATGatewayID("nat-" + s.Seed.Hex("nat", 0))
	made := events.NATGatewayCreated{ID: id, Account: s.Account, Zone: sub.Zone, VPC: sub.VPC, Subnet: sub.ID, Private: c.Private, At: s.Time}
	var a *state.Address
	if !c.Private {
		if a, err = elastic(v, s, c.Allocation, ""); err != nil {
			return nil, err
		}
		if a.Association != "" {
			return nil, events.Faultf("Resource.AlreadyAssociated", "Elastic IP address [%s] is already associated", c.Allocation)
		}
		made.Allocation, made.Address = a.Allocation, a.Address
	}
	f, err := Make(v, s, sub, nil, "Interface for NAT Gateway "+string(id), events.Wanted{Primary: c.PrivateIP, IPv6Set: true}, 0)
	if err != nil {
		return nil, err
	}
	if _, out := v.InternetGatewayOf(sub.VPC); !c.Private && !out {
		return append([]events.Event{made, events.NATGatewayFailed{ID: id, Account: s.Account, Zone: sub.Zone, VPC: sub.VPC, Code: "Gateway.NotAttached",
			Detail: "Network " + string(sub.VPC) + " has no Internet gateway attached", At: s.Time}}, tagging.New(s, string(id), c.Tags)...), nil
	}
	f.NAT = id
	made.Interface, made.PrivateIP = f.ID, f.PrivateIP
	out := []events.Event{events.InterfaceCreated{Account: s.Account, Zone: sub.Zone, Interface: f, At: s.Time}, made}
	if a != nil {
		out = append(out, events.AddressAssociated{Association: events.AssociationID("eipassoc-" + s.Seed.Hex("eipassoc", 0)), Address: a.Address, Account: a.Account,
			Zone: sub.Zone, VPC: sub.VPC, Interface: f.ID, Private: f.PrivateIP})
	}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// DeleteNATGateway ends a gateway; its Elastic IP address stays its account's.
// One that has ended stays as it is.
func DeleteNATGateway(v *state.View, s events.Stamp, c events.DeleteNATGateway) ([]events.Event, error) {
	g, err := natGateway(v, s.Account, c.Gateway)
	failed := err == nil && g.State == state.NATFailed && v.Meta.Level >= events.LevelEnds
	if err != nil || !g.Live() && !failed {
		return nil, err
	}
	return append([]events.Event{events.NATGatewayDeleted{ID: g.ID, Account: g.Account, Zone: g.Zone, VPC: g.VPC, At: s.Time}}, unmade(v, g)...), nil
}

// unmade ends the interface of a NAT gateway.
func unmade(v *state.View, g *state.NATGateway) []events.Event {
	f, ok := v.Interfaces.Get(string(g.Interface))
	if !ok {
		return nil
	}
	return Ended(v, f, "")
}

func natGateway(v *state.View, a events.AccountID, id events.NATGatewayID) (*state.NATGateway, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter natGatewayId")
	}
	g, ok := v.NATGateways.Get(string(id))
	if !ok || g.Account != a {
		return nil, events.Faultf("NatGatewayNotFound", "The Nat Gateway %s was not found", id)
	}
	return g, nil
}

// ReportNATGateway hears from the gateway node of a zone that it serves a NAT
// gateway, or that it cannot.
func ReportNATGateway(v *state.View, s events.Stamp, c events.ReportNATGateway) ([]events.Event, error) {
	g, ok := v.NATGateways.Get(string(c.Gateway))
	if !ok || g.State != state.NATPending {
		return nil, nil
	}
	if serving, ok := v.Gateways.Get(string(g.Zone)); !ok || serving.Host != c.Host {
		return nil, nil // another one's word counts by now
	}
	if c.Ready {
		return []events.Event{events.NATGatewayAvailable{ID: g.ID, Account: g.Account, Zone: g.Zone, VPC: g.VPC}}, nil
	}
	return append([]events.Event{events.NATGatewayFailed{ID: g.ID, Account: g.Account, Zone: g.Zone, VPC: g.VPC, Code: "InternalError", Detail: c.Detail, At: s.Time}}, unmade(v, g)...), nil
}

// CreateEgressGateway gives a VPC a way outside for IPv6. EC2 allows several.
func CreateEgressGateway(v *state.View, s events.Stamp, c events.CreateEgressGateway) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for range v.EgressGatewaysOf(s.Account) {
		count++
	}
	if count >= maxGateways {
		return nil, events.Faultf("EgressOnlyInternetGatewayLimitExceeded", "The maximum number of egress-only internet gateways has been reached.")
	}
	id := events.EgressID("eigw-" + s.Seed.Hex("eigw", 0))
	out := []events.Event{events.EgressGatewayCreated{ID: id, Account: s.Account, VPC: vpc.ID}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// DeleteEgressGateway takes it away.
func DeleteEgressGateway(v *state.View, s events.Stamp, c events.DeleteEgressGateway) ([]events.Event, error) {
	g, err := egress(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	return []events.Event{events.EgressGatewayDeleted{ID: g.ID, Account: g.Account, VPC: g.VPC}}, nil
}

func egress(v *state.View, a events.AccountID, id events.EgressID) (*state.EgressGateway, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter egressOnlyInternetGatewayId")
	}
	g, ok := v.EgressGateways.Get(string(id))
	if !ok || g.Account != a {
		return nil, events.Faultf("InvalidEgressOnlyInternetGatewayId.NotFound", "The egressOnlyInternetGateway ID '%s' does not exist", id)
	}
	return g, nil
}
