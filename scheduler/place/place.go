// Package place chooses hosts. It is pure: the same hosts and needs give the
// same places, and every choice explains itself.
//
// Hosts of a zone stand in buckets by free vCPUs. A need looks from its own
// size upwards and scores the first few hosts it fits on; the tightest wins, so
// that large holes stay large.
//
//	free vCPUs   0 │ h4
//	             1 │
//	need 2 ──▶   2 │ h1 h7     ← scored first
//	             3 │ h2
//	            16 │ h3 h5 h6  ← kept whole
package place

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"skerry/events"
)

// Policy names the rule in a placement's reasons.
const Policy = "bucketed best fit"

const (
	scored    = 16 // feasible hosts scored for one need
	near      = 8  // scores this close to the best count as equal, and chance decides
	shown     = 5  // candidates and rejections kept in the reasons
	maxBucket = 4096
	beside    = 4000 // more than any two hosts differ by
)

// Hosts is a set of hosts with what is free on them. Placing takes from it.
type Hosts struct {
	zones map[events.Zone]*zone
}

type zone struct {
	hosts   []events.HostFree
	buckets [][]int // by free vCPUs, indexes of open hosts, ordered
}

// New indexes hosts.
func New(hosts []events.HostFree) *Hosts {
	h := &Hosts{zones: map[events.Zone]*zone{}}
	for _, f := range hosts {
		z := h.zones[f.Zone]
		if z == nil {
			z = &zone{}
			h.zones[f.Zone] = z
		}
		z.hosts = append(z.hosts, f)
	}
	for _, z := range h.zones {
		slices.SortFunc(z.hosts, func(a, b events.HostFree) int { return cmp.Compare(a.Host, b.Host) })
		for i := range z.hosts {
			if z.hosts[i].Closed == "" {
				z.add(i)
			}
		}
	}
	return h
}

func (z *zone) bucket(i int) int { return min(max(z.hosts[i].Free.VCPUs, 0), maxBucket) }

func (z *zone) add(i int) {
	b := z.bucket(i)
	for len(z.buckets) <= b {
		z.buckets = append(z.buckets, nil)
	}
	at, _ := slices.BinarySearch(z.buckets[b], i)
	z.buckets[b] = slices.Insert(z.buckets[b], at, i)
}

func (z *zone) remove(i int) {
	b := z.bucket(i)
	at, _ := slices.BinarySearch(z.buckets[b], i)
	z.buckets[b] = slices.Delete(z.buckets[b], at, at+1)
}

// Place chooses a host for one instance and takes its need from it. A placement
// without a host means that every host of the zone was looked at in vain.
func (h *Hosts) Place(basis uint64, w events.Waiting) events.Placement {
	p := events.Placement{Instance: w.Instance, Why: events.Why{Basis: basis, Policy: Policy, Candidates: []events.Candidate{}}}
	z := h.zones[w.Zone]
	if z == nil {
		return p
	}
	type fit struct {
		i     int
		score int64
	}
	var fits []fit
	for i := range z.hosts { // wherever its cluster is, that host is looked at
		if w.Member.Together(z.hosts[i].Members) && lacks(z.hosts[i], w) == "" {
			fits = append(fits, fit{i, score(z.hosts[i], w)})
			break
		}
	}
search:
	for b := min(w.Need.VCPUs, maxBucket); b < len(z.buckets); b++ {
		for _, i := range z.buckets[b] {
			if len(fits) > 0 && fits[0].i == i {
				continue
			}
			if lacks(z.hosts[i], w) == "" {
				fits = append(fits, fit{i, score(z.hosts[i], w)})
				if len(fits) == scored {
					break search
				}
			}
		}
	}
	for i := range z.hosts {
		if len(p.Why.Rejected) == shown {
			break
		}
		if why := lacks(z.hosts[i], w); why != "" {
			p.Why.Rejected = append(p.Why.Rejected, events.Rejection{Host: z.hosts[i].Host, Reason: why})
		}
	}
	if len(fits) == 0 {
		return p
	}
	slices.SortStableFunc(fits, func(a, b fit) int { return cmp.Compare(a.score, b.score) })
	for _, f := range fits[:min(shown, len(fits))] {
		p.Why.Candidates = append(p.Why.Candidates, events.Candidate{Host: z.hosts[f.i].Host, Score: f.score})
	}
	// Among near-equals chance decides, by the instance's id: schedulers that
	// work on the same state collide less.
	equal := 1
	for equal < len(fits) && fits[equal].score-fits[0].score <= near {
		equal++
	}
	hash := fnv.New32a()
	hash.Write([]byte(w.Instance))
	best := fits[int(hash.Sum32()%uint32(equal))].i
	z.remove(best)
	f := &z.hosts[best].Free
	f.VCPUs -= w.Need.VCPUs
	f.MemoryMiB -= w.Need.MemoryMiB
	f.DiskGiB -= w.Need.DiskGiB
	z.add(best)
	if w.Member != nil {
		z.hosts[best].Members = append(slices.Clip(z.hosts[best].Members), *w.Member)
	}
	p.Host = z.hosts[best].Host
	return p
}

// lacks says in words why a host cannot take an instance, or nothing.
func lacks(h events.HostFree, w events.Waiting) string {
	n := w.Need
	switch {
	case h.Closed != "":
		return h.Closed
	case h.Free.VCPUs < n.VCPUs:
		return fmt.Sprintf("%d vCPUs free, %d needed", h.Free.VCPUs, n.VCPUs)
	case h.Free.MemoryMiB < n.MemoryMiB:
		return fmt.Sprintf("%d MiB free, %d needed", h.Free.MemoryMiB, n.MemoryMiB)
	case h.Free.DiskGiB < n.DiskGiB:
		return fmt.Sprintf("%d GiB of disk free, %d needed", h.Free.DiskGiB, n.DiskGiB)
	}
	return w.Member.Apart(h.Members)
}

// score is what is left over, in thousandths of the host, and how uneven it is:
// less is tighter. Next to its cluster an instance fits better than anywhere.
func score(h events.HostFree, w events.Waiting) int64 {
	n := w.Need
	together := int64(0)
	if w.Member.Together(h.Members) {
		together = beside
	}
	left := func(free, need, all int) int64 {
		if all <= 0 {
			return 0
		}
		return int64(free-need) * 1000 / int64(all)
	}
	cpu := left(h.Free.VCPUs, n.VCPUs, h.Capacity.VCPUs)
	mem := left(h.Free.MemoryMiB, n.MemoryMiB, h.Capacity.MemoryMiB)
	return cpu + mem + max(cpu-mem, mem-cpu) - together
}
