package state

import (
	"cmp"
	"iter"
	"slices"

	"skerry/events"
)

// keptVersions bounds the versions of a prefix list that are kept, the one that
// it has among them.
const keptVersions = 20

// PrefixList is a managed prefix list. Its entries are in its versions, the last
// of which is the one that it has.
type PrefixList struct {
	events.PrefixListCreated
	State    string          `json:"state"`
	Versions []PrefixVersion `json:"versions"`
}

// PrefixVersion is what a list held at a version, by block.
type PrefixVersion struct {
	Version uint64               `json:"version"`
	Entries []events.PrefixEntry `json:"entries"`
}

// States of a prefix list ("ManagedPrefixList" in the EC2 API reference).
const (
	PrefixListCreated  = "create-complete"
	PrefixListModified = "modify-complete"
	PrefixListRestored = "restore-complete"
)

// Version is the number of the version that the list has.
func (l *PrefixList) Version() uint64 { return l.Versions[len(l.Versions)-1].Version }

// Entries are those of the version that the list has.
func (l *PrefixList) Entries() []events.PrefixEntry { return l.Versions[len(l.Versions)-1].Entries }

// At are the entries of a version that is kept.
func (l *PrefixList) At(version uint64) ([]events.PrefixEntry, bool) {
	for _, v := range l.Versions {
		if v.Version == version {
			return v.Entries, true
		}
	}
	return nil, false
}

func (l *PrefixList) add(version uint64, entries []events.PrefixEntry) {
	l.Versions = append(slices.Clone(l.Versions[max(0, len(l.Versions)+1-keptVersions):]), PrefixVersion{version, entries})
}

func entriesByBlock(list []events.PrefixEntry) []events.PrefixEntry {
	out := append([]events.PrefixEntry{}, list...)
	slices.SortFunc(out, func(a, b events.PrefixEntry) int {
		return cmp.Or(a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()))
	})
	return out
}

// PrefixListsOf walks an account's prefix lists.
func (v *View) PrefixListsOf(a events.AccountID) iter.Seq[*PrefixList] {
	return v.PrefixLists.by(0, string(a))
}

// GroupsWith walks the security groups with rules that refer to a prefix list.
func (v *View) GroupsWith(id events.PrefixListID) iter.Seq[*Group] {
	return v.Groups.by(groupPrefixList, string(id))
}

func groupPrefixLists(g *Group) (out []string) {
	for _, r := range g.Rules {
		if r.PrefixList != "" {
			out = append(out, string(r.PrefixList))
		}
	}
	return out
}

// TablesWith walks the route tables with routes to a prefix list.
func (v *View) TablesWith(id events.PrefixListID) iter.Seq[*RouteTable] {
	return v.RouteTables.by(tablePrefixList, string(id))
}

func tablePrefixLists(t *RouteTable) (out []string) {
	for _, r := range t.Routes {
		if r.PrefixList != "" {
			out = append(out, string(r.PrefixList))
		}
	}
	return out
}

// prefixLists evolves prefix lists, and with their entries the groups and tables
// that refer to them.
func (tx *Tx) prefixLists(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.PrefixListCreated:
		l := &PrefixList{PrefixListCreated: e, State: PrefixListCreated}
		l.PrefixListCreated.Entries = nil // the versions tell them
		l.add(1, entriesByBlock(e.Entries))
		tx.PrefixLists.put(string(e.ID), l)
	case events.PrefixListModified:
		tx.PrefixLists.change(string(e.ID), func(l *PrefixList) {
			l.State = PrefixListModified
			if e.Name != nil {
				l.Name = *e.Name
			}
			if e.Max != nil {
				l.Max = *e.Max
			}
			if e.Version != 0 {
				left := slices.DeleteFunc(slices.Clone(l.Entries()), func(x events.PrefixEntry) bool { return slices.Contains(e.Removed, x.CIDR) })
				l.add(e.Version, entriesByBlock(append(left, e.Added...)))
			}
		})
		if e.Version != 0 {
			tx.touchReferring(e.ID, r)
		}
	case events.PrefixListRestored:
		tx.PrefixLists.change(string(e.ID), func(l *PrefixList) {
			l.State = PrefixListRestored
			old, ok := l.At(e.From)
			must(ok, r, "a version that is not kept was restored")
			l.add(e.Version, old)
		})
		tx.touchReferring(e.ID, r)
	case events.PrefixListDeleted:
		for range tx.GroupsWith(e.ID) {
			must(false, r, "a prefix list that is in use was deleted")
		}
		for range tx.TablesWith(e.ID) {
			must(false, r, "a prefix list that routes lead to was deleted")
		}
		tx.PrefixLists.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	default:
		return false
	}
	return true
}

// touchReferring notes that what rules and routes refer to is another.
func (tx *Tx) touchReferring(id events.PrefixListID, r events.Record) {
	for t := range tx.TablesWith(id) {
		tx.touchVPC(t.VPC, r)
	}
	for _, g := range slices.Collect(tx.GroupsWith(id)) {
		tx.Groups.change(string(g.ID), func(g *Group) { g.N = r.N })
	}
}
