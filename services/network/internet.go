package network

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// CreateInternetGateway makes a gateway that is attached to nothing.
func CreateInternetGateway(v *state.View, s events.Stamp, c events.CreateInternetGateway) ([]events.Event, error) {
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for range v.InternetGatewaysOf(s.Account) {
		count++
	}
	if count >= maxGateways {
		return nil, events.Faultf("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
	}
	id := events.GatewayID("igw-" + s.Seed.Hex("igw", 0))
	out := []events.Event{events.InternetGatewayCreated{ID: id, Account: s.Account}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func gateway(v *state.View, a events.AccountID, id events.GatewayID) (*state.InternetGateway, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter internetGatewayId")
	}
	g, ok := v.InternetGateways.Get(string(id))
	if !ok || g.Account != a {
		return nil, events.Faultf("InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist", id)
	}
	return g, nil
}

// AttachInternetGateway gives a VPC its way outside. It has one at most.
func AttachInternetGateway(v *state.View, s events.Stamp, c events.AttachInternetGateway) ([]events.Event, error) {
	g, err := gateway(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, events.Faultf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC)
	}
	if o, ok := v.InternetGatewayOf(vpc.ID); ok {
		return nil, events.Faultf("InvalidParameterValue", "Network %s already has an internet gateway attached: %s", vpc.ID, o.ID)
	}
	return []events.Event{events.InternetGatewayAttached{ID: g.ID, Account: g.Account, VPC: vpc.ID}}, nil
}

// DetachInternetGateway takes a VPC's way outside, which nothing may need.
func DetachInternetGateway(v *state.View, s events.Stamp, c events.DetachInternetGateway) ([]events.Event, error) {
	g, err := gateway(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if g.VPC != vpc.ID {
		return nil, events.Faultf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, vpc.ID)
	}
	for f := range v.InterfacesIn(vpc.ID) {
		for range v.PublicsOf(f.Interface.ID) {
			return nil, events.Faultf("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", vpc.ID)
		}
	}
	var out []events.Event
	if g.Table != "" {
		out = append(out, unedged(g))
	}
	return append(out, events.InternetGatewayDetached{ID: g.ID, Account: g.Account, VPC: vpc.ID}), nil
}

// DeleteInternetGateway ends a gateway that is attached to nothing.
func DeleteInternetGateway(v *state.View, s events.Stamp, c events.DeleteInternetGateway) ([]events.Event, error) {
	g, err := gateway(v, s.Account, c.Gateway)
	if err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, events.Faultf("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID)
	}
	return []events.Event{events.InternetGatewayDeleted{ID: g.ID, Account: g.Account}}, nil
}
