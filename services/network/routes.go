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
		return ok && f.Interface.VPC == vpc && f.Instance != ""
	case r.NAT != "":
		g, ok := v.NATGateways.Get(string(r.NAT))
		return ok && g.VPC == vpc && g.Live()
	case r.Egress != "":
		g, ok := v.EgressGateways.Get(string(r.Egress))
		return ok && g.VPC == vpc
	case r.VPN != "":
		g, ok := v.VPNGateways.Get(string(r.VPN))
		return ok && g.VPC == vpc
	case r.Peering != "":
		p, ok := v.Peerings.Get(string(r.Peering))
		return ok && p.State == state.PeeringActive && (p.VPC == vpc || p.Peer == vpc)
	}
	return true
}

// Along are the blocks that a route of a table leads to: its destination, or
// those of its prefix list. Of a list are left out what is within the VPC, which
// the local route leads to, and what a route by its own block or one to an
// earlier list leads to already ("Route priority for prefix lists").
func Along(v *state.View, t *state.RouteTable, r events.Route) []netip.Prefix {
	if r.PrefixList == "" {
		return []netip.Prefix{r.Destination}
	}
	before := true
	var taken, within []netip.Prefix
	for _, o := range t.Routes {
		before = before && !o.SameDestination(r)
		switch {
		case o.Local():
			within = append(within, o.Destination)
		case o.PrefixList == "":
			taken = append(taken, o.Destination)
		case before:
			taken = append(taken, listed(v, o.PrefixList)...)
		}
	}
	return slices.DeleteFunc(listed(v, r.PrefixList), func(p netip.Prefix) bool {
		return slices.Contains(taken, p) || slices.ContainsFunc(within, func(b netip.Prefix) bool { return p.Bits() >= b.Bits() && b.Contains(p.Addr()) })
	})
}

// routesOf is how many routes of a family a table has, those within the VPC
// besides.
func routesOf(v *state.View, t *state.RouteTable, family string) (count int) {
	for _, r := range t.Routes {
		if !r.Local() && familyOf(v, r) == family {
			count += weight(v, r.PrefixList)
		}
	}
	return count
}

func familyOf(v *state.View, r events.Route) string {
	if l, ok := v.PrefixLists.Get(string(r.PrefixList)); ok {
		return l.Family
	}
	if r.Destination.Addr().Is6() {
		return events.FamilyIPv6
	}
	return events.FamilyIPv4
}

// destinationOf is how a route is called.
func destinationOf(r events.Route) string {
	if r.PrefixList != "" {
		return string(r.PrefixList)
	}
	return r.Destination.String()
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
	out := []events.Event{events.RouteTableCreated{ID: id, Account: s.Account, VPC: vpc.ID, Routes: within(vpc)}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// within are the routes of a VPC's own blocks, which every table has.
func within(vpc *state.VPC) (out []events.Route) {
	for _, p := range vpc.CIDRs() {
		out = append(out, events.Route{Destination: p})
	}
	return out
}

// destination reads where a route leads to.
func destination(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is6() && !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	return block(text, "destinationCidrBlock")
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
	for range v.EdgesOn(t.ID) {
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
	if _, ok := to(t, r); ok {
		return nil, events.Faultf("RouteAlreadyExists", "The route identified by %s already exists.", destinationOf(r))
	}
	if routesOf(v, t, familyOf(v, r))+weight(v, r.PrefixList) > maxRoutes {
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
	old, ok := to(t, r)
	switch {
	case !ok:
		return nil, events.Faultf("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", destinationOf(r))
	case old.Local():
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
	dest, err := bound(v, s.Account, c.Destination, c.PrefixList)
	if err != nil {
		return nil, err
	}
	r, ok := to(t, dest)
	switch {
	case !ok && c.PrefixList != "":
		return nil, events.Faultf("InvalidRoute.NotFound", "no route with destination-prefix-list-id %s in route table %s", c.PrefixList, t.ID)
	case !ok:
		return nil, events.Faultf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", dest.Destination, t.ID)
	case r.Local():
		return nil, events.Faultf("InvalidParameterValue", "cannot remove local route %s in route table %s", dest.Destination, t.ID)
	}
	return []events.Event{events.RouteDeleted{Table: t.ID, Account: t.Account, VPC: t.VPC, Destination: r.Destination, PrefixList: r.PrefixList}}, nil
}

// bound reads where a route leads to: a block, or those of a prefix list.
func bound(v *state.View, a events.AccountID, block string, list events.PrefixListID) (r events.Route, err error) {
	if list == "" {
		r.Destination, err = destination(block)
		return r, err
	}
	if block != "" {
		return r, events.Faultf("InvalidParameterCombination", "A route has one destination: a block, or a prefix list.")
	}
	l, err := prefixList(v, a, list)
	if err == nil {
		r.PrefixList = l.ID
	}
	return r, err
}

// to is the route of a table with the destination of another.
func to(t *state.RouteTable, dest events.Route) (events.Route, bool) {
	i := slices.IndexFunc(t.Routes, dest.SameDestination)
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
	if r, err = bound(v, s.Account, c.Destination, c.PrefixList); err != nil {
		return nil, r, err
	}
	given := 0
	for _, set := range []bool{c.Gateway != "", c.Interface != "", c.Instance != "", c.NAT != "", c.Egress != "", c.Peering != "", c.VPN != ""} {
		if set {
			given++
		}
	}
	switch given {
	case 0:
		return nil, r, events.Faultf("MissingParameter", "The request must contain the target of the route: a gateway, a peering connection, a network interface or an instance.")
	case 1:
	default:
		return nil, r, events.Faultf("InvalidParameterCombination", "A route has one target: a gateway, a peering connection, a network interface or an instance.")
	}
	six := familyOf(v, r) == events.FamilyIPv6
	strange := func(what string, id string) error {
		return events.Faultf("InvalidParameterValue", "route table %s and %s %s belong to different networks", t.ID, what, id)
	}
	switch {
	case c.NAT != "":
		g, err := natGateway(v, s.Account, c.NAT)
		if err != nil {
			return nil, r, events.Faultf("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", c.NAT)
		}
		switch {
		case g.VPC != t.VPC:
			return nil, r, strange("NAT gateway", string(g.ID))
		case !g.Live():
			return nil, r, events.Faultf("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", c.NAT)
		case six:
			return nil, r, events.Faultf("InvalidParameterValue", "The NAT gateway %s translates IPv4 alone.", g.ID)
		}
		r.NAT = g.ID
	case c.Egress != "":
		g, err := egress(v, s.Account, c.Egress)
		switch {
		case err != nil:
			return nil, r, err
		case g.VPC != t.VPC:
			return nil, r, strange("egress-only internet gateway", string(g.ID))
		case !six:
			return nil, r, events.Faultf("InvalidParameterValue", "The egress-only internet gateway %s carries IPv6 alone.", g.ID)
		}
		r.Egress = g.ID
	case c.Peering != "":
		p, err := peering(v, s.Account, c.Peering)
		switch {
		case err != nil:
			return nil, r, err
		case p.VPC != t.VPC && p.Peer != t.VPC:
			return nil, r, strange("VPC peering connection", string(p.ID))
		case p.State != state.PeeringActive && p.State != state.PeeringPending:
			return nil, r, events.Faultf("InvalidParameterValue", "The VPC peering connection %s is %s.", p.ID, p.State)
		}
		r.Peering = p.ID
	case c.VPN != "":
		g, ok := v.VPNGateways.Get(string(c.VPN))
		switch {
		case !ok || g.Account != s.Account || !g.Live():
			return nil, r, events.Faultf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", c.VPN)
		case g.VPC != t.VPC:
			return nil, r, strange("network gateway", string(g.ID))
		case six:
			return nil, r, events.Faultf("InvalidParameterValue", "The virtual private gateway %s carries IPv4 alone.", g.ID)
		}
		r.VPN = g.ID
	case c.Gateway != "":
		g, ok := v.InternetGateways.Get(string(c.Gateway))
		if !ok || g.Account != s.Account {
			return nil, r, events.Faultf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", c.Gateway)
		}
		if g.VPC != t.VPC {
			return nil, r, events.Faultf("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		r.Gateway = g.ID
	default:
		id := c.Interface
		if c.Instance != "" {
			i, ok := v.Instance(s.Account, c.Instance)
			if !ok {
				return nil, r, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
			}
			have := i.Interfaces(v)
			if len(have) != 1 {
				return nil, r, events.Faultf("InvalidInstanceID", "There are %d interfaces attached to instance '%s': name one of them.", len(have), i.ID)
			}
			id = have[0].Interface.ID
		}
		f, err := Interface(v, s.Account, id)
		if err != nil {
			return nil, r, err
		}
		if f.Interface.NAT != "" {
			return nil, r, events.Faultf("InvalidParameterValue", "The interface %s is that of NAT gateway %s: name the gateway.", f.Interface.ID, f.Interface.NAT)
		}
		if f.Interface.VPC != t.VPC {
			return nil, r, events.Faultf("InvalidParameterValue", "route table %s and interface %s belong to different networks", t.ID, f.Interface.ID)
		}
		r.Interface = f.Interface.ID
	}
	for range v.EdgesOn(t.ID) {
		if r.Interface == "" {
			return nil, r, events.Faultf("InvalidParameterValue", "The route table %s is that of a gateway: its routes lead to network interfaces.", t.ID)
		}
		if r.PrefixList != "" {
			return nil, r, events.Faultf("InvalidParameterValue", "The route table %s is that of a gateway: none of its routes has a prefix list.", t.ID)
		}
	}
	return t, r, inside(v, t, r)
}

// inside checks a route that is more specific than the VPC's own: it may lead
// the traffic of one subnet through an interface ("Route tables": middlebox).
func inside(v *state.View, t *state.RouteTable, r events.Route) error {
	vpc, ok := v.VPCs.Get(string(t.VPC))
	if !ok || r.PrefixList != "" { // what of a list is inside goes within the VPC
		return nil
	}
	blocks := vpc.CIDRs()
	at := slices.IndexFunc(blocks, func(b netip.Prefix) bool { return r.Destination.Bits() > b.Bits() && b.Contains(r.Destination.Addr()) })
	if at < 0 {
		return nil
	}
	for sub := range v.SubnetsOf(vpc.ID) {
		if (sub.CIDR == r.Destination || sub.IPv6.CIDR == r.Destination) && r.Interface != "" {
			return nil
		}
	}
	return events.Faultf("InvalidParameterValue", "The destination CIDR block %s is within the CIDR block %s of the VPC: it must be that of a subnet, and lead to a network interface.", r.Destination, blocks[at])
}

// AssociateRouteTable has a subnet use a table, or a gateway.
func AssociateRouteTable(v *state.View, s events.Stamp, c events.AssociateRouteTable) ([]events.Event, error) {
	t, err := table(v, s.Account, c.Table)
	if err != nil {
		return nil, err
	}
	if c.Gateway != "" {
		return associateEdge(v, s, t, c)
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

// associateEdge has what comes in by an internet gateway follow a table, whose
// routes may lead to interfaces alone ("Gateway route tables").
func associateEdge(v *state.View, s events.Stamp, t *state.RouteTable, c events.AssociateRouteTable) ([]events.Event, error) {
	if c.Subnet != "" {
		return nil, events.Faultf("InvalidParameterCombination", "A route table is associated with a subnet or with a gateway, one at a time.")
	}
	g, err := gateway(v, s.Account, c.Gateway)
	if err != nil {
		return nil, events.Faultf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", c.Gateway)
	}
	switch {
	case g.VPC != t.VPC:
		return nil, events.Faultf("InvalidParameterValue", "Route table %s and gateway %s belong to different networks", t.ID, g.ID)
	case g.Table == t.ID:
		return nil, nil
	case g.Table != "":
		return nil, events.Faultf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
	}
	if err := inward(t); err != nil {
		return nil, err
	}
	return []events.Event{edge(s, t, g)}, nil
}

// inward refuses a table for a gateway whose routes lead elsewhere than into the
// VPC.
func inward(t *state.RouteTable) error {
	if t.Propagating != "" {
		return events.Faultf("InvalidParameterValue", "The route table %s takes up the routes of %s: what comes in by a gateway cannot go there.", t.ID, t.Propagating)
	}
	for _, r := range t.Routes {
		if !r.Local() && (r.Interface == "" || r.PrefixList != "") {
			return events.Faultf("InvalidParameterValue", "The route to %s of route table %s does not lead into the VPC: what comes in by a gateway cannot go there.", destinationOf(r), t.ID)
		}
	}
	return nil
}

func edge(s events.Stamp, t *state.RouteTable, g *state.InternetGateway) events.Event {
	return events.GatewayTableAssociated{Association: association(s), Account: t.Account, VPC: t.VPC, Table: t.ID, Gateway: g.ID}
}

func unedged(g *state.InternetGateway) events.Event {
	return events.GatewayTableDisassociated{Association: g.Association, Account: g.Account, VPC: g.VPC, Table: g.Table, Gateway: g.ID}
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

// DisassociateRouteTable has a subnet use the main table again, or a gateway none.
func DisassociateRouteTable(v *state.View, s events.Stamp, c events.DisassociateRouteTable) ([]events.Event, error) {
	if _, ok := v.MainTableOf(s.Account, c.Association); ok {
		return nil, events.Faultf("InvalidParameterValue", "cannot disassociate the main route table association %s", c.Association)
	}
	if g, ok := v.GatewayOf(s.Account, c.Association); ok {
		return []events.Event{unedged(g)}, nil
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
	g, isEdge := v.GatewayOf(s.Account, c.Association)
	switch {
	case isMain && main.VPC != t.VPC, isSubnet && sub.VPC != t.VPC, isEdge && g.VPC != t.VPC:
		return nil, events.Faultf("InvalidParameterValue", "Route table %s and association %s belong to different networks", t.ID, c.Association)
	case isMain:
		return []events.Event{events.MainRouteTableReplaced{Association: association(s), Account: t.Account, VPC: t.VPC, Table: t.ID}}, nil
	case isSubnet:
		return []events.Event{disassociated(sub), associated(s, t, sub)}, nil
	case isEdge:
		if err := inward(t); err != nil {
			return nil, err
		}
		return []events.Event{unedged(g), edge(s, t, g)}, nil
	}
	return nil, noAssociation(c.Association)
}
