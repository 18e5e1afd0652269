package place

import (
	"cmp"
	"fmt"
	"slices"

	"skerry/events"
)

// VolumePolicy names the rule in a volume's reasons.
const VolumePolicy = "most free space"

// Stores is a set of storage nodes with what is free on them. Placing takes from
// it.
type Stores []events.StoreFree

// Place chooses the storage node of a zone that has the snapshot a volume starts
// with, or else the one with the most free space, so that load spreads with the
// data. Without one that fits the volume waits, and the
// placement says why.
func (s Stores) Place(basis uint64, w events.WaitingVolume) events.VolumePlacement {
	p := events.VolumePlacement{Volume: w.Volume, Why: events.Why{Basis: basis, Policy: VolumePolicy, Candidates: []events.Candidate{}}}
	var fits []int
	for i, n := range s {
		switch {
		case n.Zone != w.Zone:
		case n.Closed != "":
			p.Why.Rejected = append(p.Why.Rejected, events.Rejection{Host: n.Host, Reason: n.Closed})
		case n.FreeGiB < w.SizeGiB:
			p.Why.Rejected = append(p.Why.Rejected, events.Rejection{Host: n.Host, Reason: fmt.Sprintf("%d GiB free, %d needed", n.FreeGiB, w.SizeGiB)})
		default:
			fits = append(fits, i)
		}
	}
	p.Why.Rejected = p.Why.Rejected[:min(shown, len(p.Why.Rejected))]
	if len(fits) == 0 {
		return p
	}
	slices.SortStableFunc(fits, func(a, b int) int {
		if near := w.Near; near != "" && (s[a].Host == near) != (s[b].Host == near) {
			if s[a].Host == near {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(s[b].FreeGiB, s[a].FreeGiB), cmp.Compare(s[a].Host, s[b].Host))
	})
	for _, i := range fits[:min(shown, len(fits))] {
		p.Why.Candidates = append(p.Why.Candidates, events.Candidate{Host: s[i].Host, Score: int64(s[i].FreeGiB - w.SizeGiB)})
	}
	s[fits[0]].FreeGiB -= w.SizeGiB
	p.Host = s[fits[0]].Host
	return p
}
