package state

import (
	"iter"
	"slices"

	"skerry/events"
)

// number gives the next number of the region to a subnet, group or route table.
func (tx *Tx) number() uint32 {
	tx.Meta.NextNumber++
	return tx.Meta.NextNumber
}

// network evolves what happened to networks.
func (tx *Tx) network(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.VPCCreated:
		tx.VPCs.put(string(e.ID), &VPC{VPCCreated: e, N: r.N})
		tx.Meta.NextVNI = max(tx.Meta.NextVNI, e.VNI+1)
		tx.withVPC(e)
	case events.VPCModified:
		tx.VPCs.change(string(e.ID), func(v *VPC) {
			if e.DNSSupport != nil {
				v.NoDNS = !*e.DNSSupport
			}
			if e.DNSHostnames != nil {
				v.Hostnames = e.DNSHostnames
			}
		})
	case events.VPCDeleted:
		tx.vpcDeleted(e, r)
	case events.SubnetModified:
		tx.Subnets.change(string(e.ID), func(s *Subnet) {
			if e.MapPublic != nil {
				s.MapPublic = e.MapPublic
			}
			if e.AssignIPv6 != nil {
				s.AssignIPv6 = *e.AssignIPv6
			}
			if e.DNS64 != nil {
				s.DNS64 = *e.DNS64
			}
			if e.Hostname != nil {
				s.Hostname = *e.Hostname
			}
		})
		if e.DNS64 != nil {
			tx.touchAll(tx.InterfacesOn(e.ID), r)
		}
	case events.VPCBlockAssociated:
		for _, b := range tx.vpc(e.VPC).CIDRs() {
			must(!b.Overlaps(e.CIDR), r, "two blocks of a VPC overlap")
		}
		tx.VPCs.change(string(e.VPC), func(v *VPC) {
			v.Blocks, v.N = append(slices.Clip(v.Blocks), Block{e.Association, e.CIDR, e.Pool}), r.N
		})
		tx.touchAll(tx.InterfacesIn(e.VPC), r)
	case events.VPCBlockDisassociated:
		tx.VPCs.change(string(e.VPC), func(v *VPC) {
			v.Blocks, v.N = slices.DeleteFunc(slices.Clone(v.Blocks), func(b Block) bool { return b.Association == e.Association }), r.N
		})
		tx.touchAll(tx.InterfacesIn(e.VPC), r)
	case events.SubnetBlockAssociated:
		for s := range tx.SubnetsOf(e.VPC) {
			must(!s.IPv6.CIDR.IsValid() || !s.IPv6.CIDR.Overlaps(e.CIDR), r, "two subnets overlap")
		}
		tx.Subnets.change(string(e.Subnet), func(s *Subnet) { s.IPv6 = Block{Association: e.Association, CIDR: e.CIDR} })
		tx.touchSubnet(e.Subnet, e.VPC, r)
	case events.SubnetBlockDisassociated:
		tx.Subnets.change(string(e.Subnet), func(s *Subnet) { s.IPv6, s.AssignIPv6 = Block{}, false })
		tx.touchSubnet(e.Subnet, e.VPC, r)
	case events.SubnetDeleted:
		s, _ := tx.Subnets.Get(string(e.ID))
		must(s.Used == 0, r, "a subnet went with its addresses")
		tx.Subnets.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.touchVPC(e.VPC, r)
	case events.SubnetCreated:
		tx.Subnets.put(string(e.ID), &Subnet{SubnetCreated: e, Number: tx.number(), Next: e.CIDR.Masked().Addr(),
			ACL: events.DefaultACL(e.VPC), ACLAssociation: events.FirstACLAssociation(e.ID)})
		tx.touchVPC(e.VPC, r)
	case events.InternetGatewayCreated:
		tx.InternetGateways.put(string(e.ID), &InternetGateway{InternetGatewayCreated: e})
		tx.touchVPC(e.VPC, r)
	case events.InternetGatewayAttached:
		_, has := tx.InternetGatewayOf(e.VPC)
		must(!has, r, "a VPC with two ways outside")
		tx.InternetGateways.change(string(e.ID), func(g *InternetGateway) { g.VPC = e.VPC })
		tx.touchVPC(e.VPC, r)
	case events.InternetGatewayDetached:
		tx.InternetGateways.change(string(e.ID), func(g *InternetGateway) { g.VPC = "" })
		tx.touchVPC(e.VPC, r)
	case events.InternetGatewayDeleted:
		tx.InternetGateways.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.RouteTableDeleted:
		for range tx.SubnetsOn(e.ID) {
			must(false, r, "a route table that is in use was deleted")
		}
		for range tx.EdgesOn(e.ID) {
			must(false, r, "a gateway's route table was deleted")
		}
		tx.RouteTables.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.touchVPC(e.VPC, r)
	case events.RouteCreated:
		tx.changeRoutes(e.Table, e.VPC, r, func(list []events.Route) []events.Route { return append(list, e.Route) })
	case events.RouteReplaced:
		tx.changeRoutes(e.Table, e.VPC, r, func(list []events.Route) []events.Route {
			for i := range list {
				if list[i].SameDestination(e.Route) {
					list[i] = e.Route
				}
			}
			return list
		})
	case events.RouteDeleted:
		tx.changeRoutes(e.Table, e.VPC, r, func(list []events.Route) []events.Route {
			return slices.DeleteFunc(list, func(o events.Route) bool {
				return o.SameDestination(events.Route{Destination: e.Destination, PrefixList: e.PrefixList})
			})
		})
	case events.RouteTableAssociated:
		tx.Subnets.change(string(e.Subnet), func(s *Subnet) { s.Table, s.Association = e.Table, e.Association })
		tx.touchVPC(e.VPC, r)
	case events.RouteTableDisassociated:
		tx.Subnets.change(string(e.Subnet), func(s *Subnet) { s.Table, s.Association = "", "" })
		tx.touchVPC(e.VPC, r)
	case events.MainRouteTableReplaced:
		for _, t := range slices.Collect(tx.RouteTablesOf(e.VPC)) {
			if t.Main {
				tx.RouteTables.change(string(t.ID), func(t *RouteTable) { t.Main, t.Association = false, "" })
			}
		}
		tx.RouteTables.change(string(e.Table), func(t *RouteTable) { t.Main, t.Association = true, e.Association })
		tx.touchVPC(e.VPC, r)
	case events.RouteTableCreated:
		tx.RouteTables.put(string(e.ID), &RouteTable{RouteTableCreated: e, Number: tx.number()})
		tx.touchVPC(e.VPC, r)
	case events.GroupCreated:
		tx.Groups.put(string(e.ID), &Group{e, tx.number(), r.N})
	case events.GroupDeleted:
		for range tx.Members(e.ID) {
			must(false, r, "a group that is in use was deleted")
		}
		if g, ok := tx.Groups.Get(string(e.ID)); ok {
			for _, rule := range g.Rules {
				tx.Tags.del(string(rule.ID))
			}
		}
		tx.Groups.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.RulesAuthorized:
		tx.Groups.change(string(e.Group), func(g *Group) {
			g.Rules, g.N = append(slices.Clip(slices.Clone(g.Rules)), e.Rules...), r.N
		})
	case events.RulesRevoked:
		tx.Groups.change(string(e.Group), func(g *Group) {
			g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(x events.Rule) bool { return slices.Contains(e.Rules, x.ID) })
			g.N = r.N
		})
		for _, id := range e.Rules {
			tx.Tags.del(string(id))
		}
	case events.RulesModified:
		tx.Groups.change(string(e.Group), func(g *Group) {
			g.Rules, g.N = slices.Clone(g.Rules), r.N
			for _, m := range e.Rules {
				g.Rules[slices.IndexFunc(g.Rules, func(o events.Rule) bool { return o.ID == m.ID })] = m
			}
		})
	case events.InterfaceCreated:
		tx.interfaceCreated(e, r)
	case events.InterfaceAttached, events.InterfaceDetachRequested, events.InterfaceDetached, events.InterfaceModified,
		events.InterfaceAddressesAssigned, events.InterfaceAddressesUnassigned:
		tx.interfaceChanged(r)
	case events.InterfaceDeleted:
		i, _ := tx.Interfaces.Get(string(e.ID))
		for range tx.PublicsOf(e.ID) {
			must(false, r, "an interface went with its public address")
		}
		tx.Interfaces.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.use(i.Interface.Subnet, -i.taken())
		if tx.Routed(i.Interface.VPC, e.ID) {
			tx.touchVPC(i.Interface.VPC, r) // the route leads nowhere
		}
		if _, ok := tx.Nodes.Get(NodeKey(e.Host, "network")); ok && e.Host != "" {
			tx.entomb(e.Host, events.SpecPort, string(e.ID), r)
		}
	case events.PublicAddressAssigned:
		must(!tx.PublicTaken(e.Address), r, "public address given twice")
		tx.Addresses.put(e.Address.String(), &Address{Address: e.Address, Account: e.Account, Zone: e.Zone, Interface: e.Interface,
			Instance: e.Instance, Private: e.Private, At: r.Time, N: r.N, Request: r.Request})
		tx.Meta.NextPublic = e.Address.Next()
		tx.touchInterface(e.Interface, r)
	case events.PublicAddressReturned:
		tx.Addresses.del(e.Address.String())
		tx.withdraw(e.Address.String(), r)
		tx.touchInterface(e.Interface, r)
	case events.AddressAllocated:
		must(!tx.PublicTaken(e.Address), r, "public address given twice")
		tx.Addresses.put(e.Address.String(), &Address{Address: e.Address, Account: e.Account, Allocation: e.Allocation, At: e.At, N: r.N, Request: r.Request})
		if e.Pool == "" {
			tx.Meta.NextPublic = e.Address.Next()
		}
	case events.AddressReleased:
		tx.Addresses.del(e.Address.String())
		tx.Tags.del(string(e.Allocation))
	case events.AddressAssociated:
		_, has := tx.PublicFor(e.Interface, e.Private)
		must(!has, r, "an interface with two public addresses for one private one")
		tx.Addresses.change(e.Address.String(), func(a *Address) {
			a.Association, a.Zone, a.Interface, a.Instance, a.Private = e.Association, e.Zone, e.Interface, e.Instance, e.Private
			a.N, a.Request = r.N, r.Request
		})
		tx.serve(e.Interface)
		tx.touchInterface(e.Interface, r)
	case events.AddressDisassociated:
		tx.Addresses.change(e.Address.String(), func(a *Address) {
			*a = Address{Address: a.Address, Account: a.Account, Allocation: a.Allocation, At: a.At, N: r.N, Request: r.Request}
		})
		tx.withdraw(e.Address.String(), r)
		tx.touchInterface(e.Interface, r)
	case events.GatewayElected:
		tx.Gateways.put(string(e.Zone), &Gateway{e, r.N})
		tx.moved(e.Zone, r)
	case events.SpecRemoved:
		tx.Tombstones.del(tombstoneKey(e.Host, e.Kind, e.ID))
	default:
		return false
	}
	return true
}

func (tx *Tx) vpcDeleted(e events.VPCDeleted, r events.Record) {
	for range tx.SubnetsOf(e.ID) {
		must(false, r, "a VPC went with its subnets")
	}
	for range tx.InterfacesIn(e.ID) {
		must(false, r, "a VPC went with its interfaces")
	}
	for range tx.RouteTablesOf(e.ID) {
		must(false, r, "a VPC went with its route tables")
	}
	for range tx.GroupsOf(e.ID) {
		must(false, r, "a VPC went with its groups")
	}
	for range tx.EgressGatewaysIn(e.ID) {
		must(false, r, "a VPC went with its way outside")
	}
	_, has := tx.VPNGatewayOf(e.ID)
	must(!has, r, "a VPC went with its virtual private gateway")
	tx.withoutVPC(e.ID)
	tx.VPCs.del(string(e.ID))
	tx.Tags.del(string(e.ID))
}

// changeRoutes changes a copy of a table's routes: views share the rows.
func (tx *Tx) changeRoutes(id events.TableID, vpc events.VPCID, r events.Record, f func([]events.Route) []events.Route) {
	tx.RouteTables.change(string(id), func(t *RouteTable) { t.Routes = f(slices.Clone(t.Routes)) })
	tx.touchVPC(vpc, r)
}

// withdraw tells every gateway node to let go of a public address.
func (tx *Tx) withdraw(address string, r events.Record) {
	for _, n := range slices.Collect(tx.GatewayNodes()) {
		tx.entomb(n.Host, events.SpecPublic, address, r)
	}
}

// serve takes back the orders to let go of an interface's public addresses, once
// it has a place where they lead.
func (tx *Tx) serve(id events.InterfaceID) {
	f, ok := tx.Interfaces.Get(string(id))
	if !ok {
		return
	}
	if i, ok := tx.Instances.Get(string(f.Instance)); f.Interface.NAT == "" && (!ok || i.Host == "" || !i.Live() || f.Detaching) {
		return
	}
	for a := range tx.PublicsOf(id) {
		for _, t := range slices.Collect(tx.Tombstones.by(1, string(events.SpecPublic)+"/"+a.Address.String())) {
			tx.Tombstones.del(tombstoneKey(t.Host, t.Kind, t.ID))
		}
	}
}

func (tx *Tx) entomb(h events.HostID, k events.SpecKind, id string, r events.Record) {
	tx.Tombstones.put(tombstoneKey(h, k, id), &Tombstone{h, k, id, r.N, r.Request})
}

func (tx *Tx) vpc(id events.VPCID) *VPC {
	v, _ := tx.VPCs.Get(string(id)) // decide names what is there
	return v
}

// touchSubnet notes that a subnet is another for the interfaces in it.
func (tx *Tx) touchSubnet(id events.SubnetID, vpc events.VPCID, r events.Record) {
	tx.touchVPC(vpc, r)
	tx.touchAll(tx.InterfacesOn(id), r)
}

// touchAll notes that interfaces are in another network than before.
func (tx *Tx) touchAll(list iter.Seq[*Interface], r events.Record) {
	for _, f := range slices.Collect(list) {
		tx.touchInterface(f.Interface.ID, r)
	}
}

func (tx *Tx) touchVPC(id events.VPCID, r events.Record) {
	if _, ok := tx.VPCs.Get(string(id)); ok {
		tx.VPCs.change(string(id), func(v *VPC) { v.N = r.N })
	}
}

// touchInterface notes that what nodes must do of an interface has changed.
func (tx *Tx) touchInterface(id events.InterfaceID, r events.Record) {
	if _, ok := tx.Interfaces.Get(string(id)); ok {
		tx.Interfaces.change(string(id), func(i *Interface) { i.N, i.Request = r.N, r.Request })
	}
}

func (tx *Tx) touchInterfaces(id events.InstanceID, r events.Record) {
	i, _ := tx.Instances.Get(string(id))
	for _, f := range i.Interfaces(&tx.View) {
		tx.touchInterface(f.Interface.ID, r)
	}
}
