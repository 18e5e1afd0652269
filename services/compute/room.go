package compute

import (
	"cmp"
	"hash/fnv"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

// room is what the region's hosts can still give, those that wait for a host
// already set aside. It answers the one question of RunInstances: do they fit?
type room struct {
	zones []*zoneRoom // by name
	turn  int         // breaks ties between equally free zones
}

type zoneRoom struct {
	zone      events.Zone
	hosts     []hostRoom // by name
	free, all int        // memory of the usable hosts, MiB; all is never 0
	group     []int      // instances of the launch's placement group, by partition; in all at 0
}

type hostRoom struct {
	host    events.HostID
	free    events.Need
	members []events.GroupMember
}

// slot is where an instance fits.
type slot struct {
	zone      events.Zone
	partition int
}

// newRoom looks at the zones given, or at all of them, for a launch into a group,
// or into none.
func newRoom(v *state.View, account events.AccountID, only events.Zone, g *state.PlacementGroup) *room {
	h := fnv.New32a()
	h.Write([]byte(account))
	r := &room{turn: int(h.Sum32() & 0xffff)}
	for _, z := range v.Zones.All() {
		if only != "" && z.Zone != only {
			continue
		}
		zr := &zoneRoom{zone: z.Zone}
		for host := range v.HostsOf(z.Zone) {
			free, usable := v.Free(host)
			if !usable {
				continue
			}
			n, _ := v.Compute(host.Host)
			zr.hosts = append(zr.hosts, hostRoom{host.Host, free, v.MembersOn(host.Host)})
			zr.free += free.MemoryMiB
			zr.all += n.Capacity.MemoryMiB
		}
		if zr.all == 0 {
			continue // nothing here can take anything, and a share of nothing cannot be compared
		}
		for i := range v.Unplaced(z.Zone) {
			zr.take(i.Need, v.MemberOf(i))
		}
		if g != nil {
			zr.group = make([]int, g.Partitions+1)
			for i := range v.InGroup(g.ID) {
				if i.Zone == z.Zone {
					zr.count(i.Partition)
				}
			}
		}
		r.zones = append(r.zones, zr)
	}
	return r
}

func (z *zoneRoom) count(partition int) {
	z.group[0]++
	if partition > 0 {
		z.group[partition]++
	}
}

// take sets an instance aside on the host it fits most tightly.
func (z *zoneRoom) take(n events.Need, m *events.GroupMember) bool {
	best := -1
	for i, h := range z.hosts {
		if !Fits(h.free, n) || m.Apart(h.members) != "" {
			continue
		}
		if best < 0 || h.free.MemoryMiB < z.hosts[best].free.MemoryMiB {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	h := &z.hosts[best]
	f := &h.free
	f.VCPUs -= n.VCPUs
	f.MemoryMiB -= n.MemoryMiB
	f.DiskGiB -= n.DiskGiB
	z.free -= n.MemoryMiB
	if m != nil {
		h.members = append(slices.Clip(h.members), *m)
	}
	return true
}

// join takes an instance into the launch's group: into a partition that is asked
// for, or the one with the fewest instances that has a host.
func (z *zoneRoom) join(n events.Need, g *state.PlacementGroup, partition int) (slot, bool) {
	try := []int{partition}
	switch {
	case g == nil:
		return slot{zone: z.zone}, z.take(n, nil)
	case g.Strategy == events.Spread && z.group[0] >= maxSpread:
		return slot{}, false
	case g.Strategy == events.Partition && partition == 0:
		try = try[:0]
		for p := 1; p <= g.Partitions; p++ {
			try = append(try, p)
		}
		slices.SortStableFunc(try, func(a, b int) int { return cmp.Compare(z.group[a], z.group[b]) })
	}
	for _, p := range try {
		if z.take(n, g.Member(p)) {
			z.count(p)
			return slot{z.zone, p}, true
		}
	}
	return slot{}, false
}

// Fits says whether a need fits into what is free.
func Fits(free, n events.Need) bool {
	return free.VCPUs >= n.VCPUs && free.MemoryMiB >= n.MemoryMiB && free.DiskGiB >= n.DiskGiB
}

// spread picks a zone for each of up to n instances: always the zone with the
// largest share of its memory free, so that zones fill evenly by weight. It
// stops at the first that fits nowhere. A cluster stays in the zone of its first.
func (r *room) spread(n events.Need, count int, g *state.PlacementGroup, partition int) []slot {
	var out []slot
	for len(out) < count {
		order := slices.Clone(r.zones)
		k := len(order)
		pos := func(z *zoneRoom) int { return (slices.Index(r.zones, z) - r.turn%k + k) % k }
		slices.SortFunc(order, func(a, b *zoneRoom) int {
			// a.free/a.all against b.free/b.all without division
			return cmp.Or(cmp.Compare(b.free*a.all, a.free*b.all), cmp.Compare(pos(a), pos(b)))
		})
		placed := false
		for _, z := range order {
			if g != nil && g.Strategy == events.Cluster && len(out) > 0 && z.zone != out[0].zone {
				continue
			}
			if s, ok := z.join(n, g, partition); ok {
				out = append(out, s)
				placed = true
				break
			}
		}
		if !placed {
			break
		}
	}
	return out
}
