package state

import (
	"iter"

	"skerry/events"
)

// The rows of what networks are told and use beside their parts, and how they
// evolve.

// DHCPOptions is a set of DHCP options.
type DHCPOptions struct {
	events.DHCPOptionsCreated
}

// DHCPOptions is the set that the VPC uses, or events.NoDHCPOptions.
func (v *VPC) DHCPOptions() events.DHCPOptionsID {
	if v.DHCP == "" {
		return events.DefaultDHCPOptions(v.Account)
	}
	return v.DHCP
}

// DHCPOptionsOf walks an account's sets of DHCP options.
func (v *View) DHCPOptionsOf(a events.AccountID) iter.Seq[*DHCPOptions] {
	return v.DHCPOptions.by(0, string(a))
}

// withAccount makes what comes with an account.
func (tx *Tx) withAccount(a events.AccountID) {
	id := events.DefaultDHCPOptions(a)
	tx.DHCPOptions.put(string(id), &DHCPOptions{events.DHCPOptionsCreated{ID: id, Account: a, Options: []events.DHCPOption{
		{Key: events.DHCPDomainName, Values: []string{events.PrivateDomain(tx.Meta.Region)}},
		{Key: events.DHCPDomainNameServers, Values: []string{events.ProvidedDNS}},
	}}})
}

// withoutAccount ends what an account has of this.
func (tx *Tx) withoutAccount(a events.AccountID) {
	tx.DHCPOptions.delAll(0, string(a))
	tx.PrefixLists.delAll(0, string(a))
	tx.Ranges.delAll(rangeAccount, string(a))
	tx.FlowLogs.delAll(flowLogAccount, string(a))
}

// options evolves what networks are told and use.
func (tx *Tx) options(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.DHCPOptionsCreated:
		tx.DHCPOptions.put(string(e.ID), &DHCPOptions{e})
	case events.DHCPOptionsDeleted:
		for v := range tx.VPCsOf(e.Account) {
			must(v.DHCPOptions() != e.ID, r, "a set of DHCP options that is in use was deleted")
		}
		tx.DHCPOptions.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.DHCPOptionsAssociated:
		tx.VPCs.change(string(e.VPC), func(v *VPC) { v.DHCP = e.Options })
		tx.touchAll(tx.InterfacesIn(e.VPC), r)
	default:
		return tx.prefixLists(r) || tx.ranges(r) || tx.flowLogs(r)
	}
	return true
}
