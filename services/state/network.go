package state

import (
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
		tx.VPCs.put(string(e.ID), &VPC{e, r.N})
		tx.Meta.NextVNI = max(tx.Meta.NextVNI, e.VNI+1)
	case events.SubnetCreated:
		tx.Subnets.put(string(e.ID), &Subnet{SubnetCreated: e, Number: tx.number(), Next: e.CIDR.Masked().Addr()})
		tx.touchVPC(e.VPC, r)
	case events.InternetGatewayCreated:
		tx.InternetGateways.put(string(e.ID), &InternetGateway{e})
		tx.touchVPC(e.VPC, r)
	case events.RouteTableCreated:
		tx.RouteTables.put(string(e.ID), &RouteTable{e, tx.number()})
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
	case events.InterfaceCreated:
		must(!tx.AddressTaken(e.Interface.Subnet, e.Interface.PrivateIP.String()) && !tx.MACTaken(e.Interface.MAC), r, "address or MAC given twice")
		tx.Interfaces.put(string(e.Interface.ID), &Interface{e, r.N, r.Request})
		tx.Subnets.change(string(e.Interface.Subnet), func(s *Subnet) { s.Used++; s.Next = e.Interface.PrivateIP.Next() })
	case events.InterfaceDeleted:
		i, _ := tx.Interfaces.Get(string(e.ID))
		_, public := tx.PublicOf(e.ID)
		must(!public, r, "an interface went with its public address")
		tx.Interfaces.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.Subnets.change(string(i.Interface.Subnet), func(s *Subnet) { s.Used-- })
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
		tx.Meta.NextPublic = e.Address.Next()
	case events.AddressReleased:
		tx.Addresses.del(e.Address.String())
		tx.Tags.del(string(e.Allocation))
	case events.AddressAssociated:
		_, has := tx.PublicOf(e.Interface)
		must(!has, r, "an interface with two public addresses for one private one")
		tx.Addresses.change(e.Address.String(), func(a *Address) {
			a.Association, a.Zone, a.Interface, a.Instance, a.Private = e.Association, e.Zone, e.Interface, e.Instance, e.Private
			a.N, a.Request = r.N, r.Request
		})
		for _, t := range slices.Collect(tx.Tombstones.by(1, string(events.SpecPublic)+"/"+e.Address.String())) {
			tx.Tombstones.del(tombstoneKey(t.Host, t.Kind, t.ID)) // served again: the order to let go is void
		}
		tx.touchInterface(e.Interface, r)
	case events.AddressDisassociated:
		tx.Addresses.change(e.Address.String(), func(a *Address) {
			*a = Address{Address: a.Address, Account: a.Account, Allocation: a.Allocation, At: a.At, N: r.N, Request: r.Request}
		})
		tx.withdraw(e.Address.String(), r)
		tx.touchInterface(e.Interface, r)
	case events.GatewayElected:
		tx.Gateways.put(string(e.Zone), &Gateway{e, r.N})
	case events.SpecRemoved:
		tx.Tombstones.del(tombstoneKey(e.Host, e.Kind, e.ID))
	default:
		return false
	}
	return true
}

// withdraw tells every gateway node to let go of a public address.
func (tx *Tx) withdraw(address string, r events.Record) {
	for _, n := range slices.Collect(tx.GatewayNodes()) {
		tx.entomb(n.Host, events.SpecPublic, address, r)
	}
}

func (tx *Tx) entomb(h events.HostID, k events.SpecKind, id string, r events.Record) {
	tx.Tombstones.put(tombstoneKey(h, k, id), &Tombstone{h, k, id, r.N, r.Request})
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
	for _, f := range i.Interfaces {
		tx.touchInterface(f.ID, r)
	}
}
