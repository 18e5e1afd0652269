package network

import (
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Leads says that the target of a VPC's route is there. Where it is not, the
// route is a black hole.
func Leads(v *state.View, vpc events.VPCID, r events.Route) bool {
	switch {
	case r.Gateway != "":
		g, ok := v.InternetGateways.Get(string(r.Gateway))
		return ok && g.VPC == vpc
	case r.Interface != "":
		f, ok := v.Interfaces.Get(string(r.Interface))
		return ok && f.Interface.VPC == vpc
	}
	return true
}

// CreateRouteTable makes a table with the route within the VPC.
func CreateRouteTable(v *state.View, s events.Stamp, c events.CreateRouteTable) ([]events.Event, error) {
	vpc, err := named(v, s.Account, c.VPC)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	count := 0
	for range v.RouteTablesOf(vpc.ID) {
		count++
	}
	if count >= maxTables {
		return nil, events.Faultf("RouteTableLimitExceeded", "The maximum number of route tables for VPC '%s' has been reached.", vpc.ID)
	}
	id := events.TableID("rtb-" + s.Seed.Hex("rtb", 0))
	out := []events.Event{events.RouteTableCreated{ID: id, Account: s.Account, VPC: vpc.ID, Routes: []events.Route{{Destination: vpc.CIDR}}}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func table(v *state.View, a events.AccountID, id events.TableID) (*state.RouteTable, error) {
	if id == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter routeTableId")
	}
	t, ok := v.RouteTables.Get(string(id))
	if !ok || t.Account != a {
		return nil, events.Faultf("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
	}
	return t, nil
}

// DeleteRouteTable ends a table that nothing uses.
func DeleteRouteTable(v *state.View, s events.Stamp, c events.DeleteRouteTable) ([]events.Event, error) {
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, err
	}
	busy := events.Faultf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.ID)
	if t.Main {
		return nil, busy
	}
	for range v.SubnetsOn(t.ID) {
		return nil, busy
	}
	return []events.Event{events.RouteTableDeleted{ID: t.ID, Account: t.Account, VPC: t.VPC}}, nil
}

// CreateRoute adds a route.
func CreateRoute(v *state.View, s events.Stamp, c events.CreateRoute) ([]events.Event, error) {
	t, r, err := route(v, s, c)
	if err != nil {
		return nil, err
	}
	if _, ok := to(t, r.Destination); ok {
		return nil, events.Faultf("RouteAlreadyExists", "The route identified by %s already exists.", r.Destination)
	}
	if len(t.Routes) > maxRoutes {
		return nil, events.Faultf("RouteLimitExceeded", "The maximum number of routes for route table '%s' has been reached.", t.ID)
	}
	return []events.Event{events.RouteCreated{Table: t.ID, Account: t.Account, VPC: t.VPC, Route: r}}, nil
}

// ReplaceRoute gives a route another target.
func ReplaceRoute(v *state.View, s events.Stamp, c events.ReplaceRoute) ([]events.Event, error) {
	t, r, err := route(v, s, events.CreateRoute(c))
	if err != nil {
		return nil, err
	}
	old, ok := to(t, r.Destination)
	switch {
	case !ok:
		return nil, events.Faultf("InvalidRoute.NotFound", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", r.Destination)
	case local(old):
		return nil, events.Faultf("InvalidParameterValue", "cannot replace local route %s in route table %s", r.Destination, t.ID)
	case old == r:
		return nil, nil
	}
	return []events.Event{events.RouteReplaced{Table: t.ID, Account: t.Account, VPC: t.VPC, Route: r}}, nil
}

// DeleteRoute removes a route. That within the VPC stays.
func DeleteRoute(v *state.View, s events.Stamp, c events.DeleteRoute) ([]events.Event, error) {
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, err
	}
	dest, err := block(c.Destination, "destinationCidrBlock")
	if err != nil {
		return nil, err
	}
	r, ok := to(t, dest)
	switch {
	case !ok:
		return nil, events.Faultf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", dest, t.ID)
	case local(r):
		return nil, events.Faultf("InvalidParameterValue", "cannot remove local route %s in route table %s", dest, t.ID)
	}
	return []events.Event{events.RouteDeleted{Table: t.ID, Account: t.Account, VPC: t.VPC, Destination: dest}}, nil
}

func local(r events.Route) bool { return r.Gateway == "" && r.Interface == "" }

func to(t *state.RouteTable, dest netip.Prefix) (events.Route, bool) {
	i := slices.IndexFunc(t.Routes, func(r events.Route) bool { return r.Destination == dest })
	if i < 0 {
		return events.Route{}, false
	}
	return t.Routes[i], true
}

// route settles a route's table, destination and target.
func route(v *state.View, s events.Stamp, c events.CreateRoute) (*state.RouteTable, events.Route, error) {
	var r events.Route
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, r, err
	}
	if r.Destination, err = block(c.Destination, "destinationCidrBlock"); err != nil {
		return nil, r, err
	}
	given := 0
	for _, set := range []bool{c.Gateway != "", c.Interface != "", c.Instance != ""} {
		if set {
			given++
		}
	}
	switch given {
	case 0:
		return nil, r, events.Faultf("MissingParameter", "The request must contain the target of the route: a gateway, a network interface or an instance.")
	case 1:
	default:
		return nil, r, events.Faultf("InvalidParameterCombination", "A route has one target: a gateway, a network interface or an instance.")
	}
	if c.Gateway != "" {
		g, ok := v.InternetGateways.Get(string(c.Gateway))
		if !ok || g.Account != s.Account {
			return nil, r, events.Faultf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", c.Gateway)
		}
		if g.VPC != t.VPC {
			return nil, r, events.Faultf("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		r.Gateway = g.ID
	} else {
		id := c.Interface
		if c.Instance != "" {
			i, ok := v.Instance(s.Account, c.Instance)
			if !ok {
				return nil, r, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
			}
			if len(i.Interfaces) != 1 {
				return nil, r, events.Faultf("InvalidInstanceID", "There are %d interfaces attached to instance '%s': name one of them.", len(i.Interfaces), i.ID)
			}
			id = i.Interfaces[0].ID
		}
		f, ok := v.Interfaces.Get(string(id))
		if !ok || f.Account != s.Account {
			return nil, r, events.Faultf("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
		}
		if f.Interface.VPC != t.VPC {
			return nil, r, events.Faultf("InvalidParameterValue", "route table %s and interface %s belong to different networks", t.ID, f.Interface.ID)
		}
		r.Interface = f.Interface.ID
	}
	return t, r, inside(v, t, r)
}

// inside checks a route that is more specific than the VPC's own: it may lead
// the traffic of one subnet through an interface ("Route tables": middlebox).
func inside(v *state.View, t *state.RouteTable, r events.Route) error {
	vpc, ok := v.VPCs.Get(string(t.VPC))
	if !ok || r.Destination.Bits() <= vpc.CIDR.Bits() || !vpc.CIDR.Contains(r.Destination.Addr()) {
		return nil
	}
	for sub := range v.SubnetsOf(vpc.ID) {
		if sub.CIDR == r.Destination && r.Interface != "" {
			return nil
		}
	}
	return events.Faultf("InvalidParameterValue", "The destination CIDR block %s is within the CIDR block %s of the VPC: it must be that of a subnet, and lead to a network interface.", r.Destination, vpc.CIDR)
}

// AssociateRouteTable has a subnet use a table.
func AssociateRouteTable(v *state.View, s events.Stamp, c events.AssociateRouteTable) ([]events.Event, error) {
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, err
	}
	sub, err := subnet(v, s.Account, c.Subnet)
	if err != nil {
		return nil, err
	}
	switch {
	case sub.VPC != t.VPC:
		return nil, events.Faultf("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", t.ID, sub.ID)
	case sub.Table == t.ID:
		return nil, nil
	case sub.Table != "":
		return nil, events.Faultf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
	}
	return []events.Event{associated(s, t, sub)}, nil
}

func associated(s events.Stamp, t *state.RouteTable, sub *state.Subnet) events.Event {
	return events.RouteTableAssociated{Association: association(s), Account: t.Account, VPC: t.VPC, Table: t.ID, Subnet: sub.ID}
}

func disassociated(sub *state.Subnet) events.Event {
	return events.RouteTableDisassociated{Association: sub.Association, Account: sub.Account, VPC: sub.VPC, Table: sub.Table, Subnet: sub.ID}
}

func noAssociation(id events.AssociationID) error {
	return events.Faultf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

// DisassociateRouteTable has a subnet use the main table again.
func DisassociateRouteTable(v *state.View, s events.Stamp, c events.DisassociateRouteTable) ([]events.Event, error) {
	if _, ok := v.MainTableOf(s.Account, c.Association); ok {
		return nil, events.Faultf("InvalidParameterValue", "cannot disassociate the main route table association %s", c.Association)
	}
	sub, ok := v.SubnetOf(s.Account, c.Association)
	if !ok {
		return nil, noAssociation(c.Association)
	}
	return []events.Event{disassociated(sub)}, nil
}

// ReplaceRouteTableAssociation has a subnet, or the VPC, use another table. The
// association gets another id, even when the table is the same.
func ReplaceRouteTableAssociation(v *state.View, s events.Stamp, c events.ReplaceRouteTableAssociation) ([]events.Event, error) {
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, err
	}
	main, isMain := v.MainTableOf(s.Account, c.Association)
	sub, isSubnet := v.SubnetOf(s.Account, c.Association)
	switch {
	case isMain && main.VPC != t.VPC, isSubnet && sub.VPC != t.VPC:
		return nil, events.Faultf("InvalidParameterValue", "Route table %s and association %s belong to different networks", t.ID, c.Association)
	case isMain:
		return []events.Event{events.MainRouteTableReplaced{Association: association(s), Account: t.Account, VPC: t.VPC, Table: t.ID}}, nil
	case isSubnet:
		return []events.Event{disassociated(sub), associated(s, t, sub)}, nil
	}
	return nil, noAssociation(c.Association)
}
