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
}

type hostRoom struct {
	host events.HostID
	free events.Need
}

// newRoom looks at the zones given, or at all of them.
func newRoom(v *state.View, account events.AccountID, only events.Zone) *room {
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
			zr.hosts = append(zr.hosts, hostRoom{host.Host, free})
			zr.free += free.MemoryMiB
			zr.all += n.Capacity.MemoryMiB
		}
		if zr.all == 0 {
			continue // nothing here can take anything, and a share of nothing cannot be compared
		}
		for i := range v.Unplaced(z.Zone) {
			zr.take(i.Need)
		}
		r.zones = append(r.zones, zr)
	}
	return r
}

// take sets an instance aside on the host it fits most tightly.
func (z *zoneRoom) take(n events.Need) bool {
	best := -1
	for i, h := range z.hosts {
		if !Fits(h.free, n) {
			continue
		}
		if best < 0 || h.free.MemoryMiB < z.hosts[best].free.MemoryMiB {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	f := &z.hosts[best].free
	f.VCPUs -= n.VCPUs
	f.MemoryMiB -= n.MemoryMiB
	f.DiskGiB -= n.DiskGiB
	z.free -= n.MemoryMiB
	return true
}

// Fits says whether a need fits into what is free.
func Fits(free, n events.Need) bool {
	return free.VCPUs >= n.VCPUs && free.MemoryMiB >= n.MemoryMiB && free.DiskGiB >= n.DiskGiB
}

// spread picks a zone for each of up to n instances: always the zone with the
// largest share of its memory free, so that zones fill evenly by weight. It
// stops at the first that fits nowhere.
func (r *room) spread(n events.Need, count int) []events.Zone {
	var out []events.Zone
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
			if z.take(n) {
				out = append(out, z.zone)
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
