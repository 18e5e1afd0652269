package state

import "skerry/events"

// Region is a region that shares the accounts, this one among them once the root
// knows it.
type Region struct{ events.RegionTold }

func accountKey(a *Account) []string {
	if !a.Closed.IsZero() {
		return nil
	}
	return []string{a.AccessKey}
}

// regions evolves what happened to the regions that share the accounts.
func (tx *Tx) regions(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.RegionTold:
		tx.Regions.put(e.Region.Name, &Region{e})
	case events.RegionForgotten:
		tx.Regions.del(e.Name)
	case events.IdentitiesImported:
		must(e.Root == tx.Meta.Root && e.To.N >= tx.Meta.RootAt.N, r, "identities of another root, or of before")
		tx.Meta.RootAt = e.To
	case events.AccountClosed:
		tx.forgetUsers(e.ID)
		tx.Accounts.change(string(e.ID), func(a *Account) { a.Closed = e.At })
	default:
		return false
	}
	return true
}

// ImageState follows the files of an image, and the snapshots that it is made of
// ("ImageState" in the EC2 API reference).
func (v *View) ImageState(i *events.Image) string {
	out := "available"
	if i.Absent {
		out = "pending"
	}
	for _, m := range i.Mappings {
		if s, ok := v.Snapshots.Get(string(m.Snapshot)); ok {
			switch s.State {
			case SnapshotPending:
				out = "pending"
			case SnapshotError:
				return "failed"
			}
		}
	}
	return out
}
