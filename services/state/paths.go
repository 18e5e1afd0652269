package state

import (
	"iter"
	"net/netip"
	"slices"

	"skerry/events"
)

// The rows of what packets pass on their way, how they are found, and how they
// evolve.

// NetworkACL is a network ACL. Its rules are by direction, ingress first, and
// number.
type NetworkACL struct {
	events.NetworkACLCreated
	Entries []events.ACLEntry `json:"entries"`
}

// Default says that the ACL came with its VPC.
func (a *NetworkACL) Default() bool { return a.ID == events.DefaultACL(a.VPC) }

// Entry is the rule of a number and direction.
func (a *NetworkACL) Entry(number int, egress bool) (e events.ACLEntry, ok bool) {
	i, ok := slices.BinarySearchFunc(a.Entries, events.ACLEntry{Number: number, Egress: egress}, entryOrder)
	if ok {
		e = a.Entries[i]
	}
	return e, ok
}

func entryOrder(a, b events.ACLEntry) int {
	switch {
	case a.Egress == b.Egress:
		return a.Number - b.Number
	case a.Egress:
		return 1
	}
	return -1
}

// ACLsOf walks a VPC's network ACLs.
func (v *View) ACLsOf(id events.VPCID) iter.Seq[*NetworkACL] { return v.NetworkACLs.by(0, string(id)) }

// SubnetsUnder walks the subnets that a network ACL serves.
func (v *View) SubnetsUnder(id events.NetworkACLID) iter.Seq[*Subnet] {
	return v.Subnets.by(subnetACL, string(id))
}

// SubnetByACL finds the subnet of an association with a network ACL.
func (v *View) SubnetByACL(a events.AccountID, id events.AssociationID) (*Subnet, bool) {
	for s := range v.Subnets.by(subnetACLAssociation, string(id)) {
		return s, s.Account == a
	}
	return nil, false
}

var everywhere = netip.MustParsePrefix("0.0.0.0/0")

// withVPC makes what comes with a VPC.
func (tx *Tx) withVPC(e events.VPCCreated) {
	all := events.ACLEntry{Number: events.ACLFirst, Protocol: -1, From: -1, To: -1, CIDR: everywhere}
	out := all
	out.Egress = true
	id := events.DefaultACL(e.ID)
	tx.NetworkACLs.put(string(id), &NetworkACL{events.NetworkACLCreated{ID: id, Account: e.Account, VPC: e.ID}, []events.ACLEntry{all, out}})
}

// withoutVPC ends what came with a VPC.
func (tx *Tx) withoutVPC(id events.VPCID) {
	for _, a := range slices.Collect(tx.ACLsOf(id)) {
		tx.NetworkACLs.del(string(a.ID))
		tx.Tags.del(string(a.ID))
	}
}

// paths evolves what happened on the ways of packets.
func (tx *Tx) paths(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.NetworkACLCreated:
		tx.NetworkACLs.put(string(e.ID), &NetworkACL{e, []events.ACLEntry{}})
		tx.touchVPC(e.VPC, r)
	case events.NetworkACLDeleted:
		for range tx.SubnetsUnder(e.ID) {
			must(false, r, "a network ACL that is in use was deleted")
		}
		tx.NetworkACLs.del(string(e.ID))
		tx.Tags.del(string(e.ID))
		tx.touchVPC(e.VPC, r)
	case events.ACLEntryPut:
		tx.NetworkACLs.change(string(e.ACL), func(a *NetworkACL) {
			a.Entries = slices.Clone(a.Entries)
			if i, ok := slices.BinarySearchFunc(a.Entries, e.Entry, entryOrder); ok {
				a.Entries[i] = e.Entry
			} else {
				a.Entries = slices.Insert(a.Entries, i, e.Entry)
			}
		})
		tx.touchVPC(e.VPC, r)
	case events.ACLEntryDeleted:
		tx.NetworkACLs.change(string(e.ACL), func(a *NetworkACL) {
			a.Entries = slices.DeleteFunc(slices.Clone(a.Entries), func(o events.ACLEntry) bool { return o.Number == e.Number && o.Egress == e.Egress })
		})
		tx.touchVPC(e.VPC, r)
	case events.NetworkACLAssociated:
		tx.Subnets.change(string(e.Subnet), func(s *Subnet) { s.ACL, s.ACLAssociation = e.ACL, e.Association })
		tx.touchVPC(e.VPC, r)
	default:
		return false
	}
	return true
}
