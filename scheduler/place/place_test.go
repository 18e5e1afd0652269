package place

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"skerry/events"
)

func host(name string, zone events.Zone, vcpus, mem, disk int, closed string) events.HostFree {
	return events.HostFree{Host: events.HostID(name), Zone: zone, Free: events.Need{VCPUs: vcpus, MemoryMiB: mem, DiskGiB: disk},
		Capacity: events.Capacity{VCPUs: 64, MemoryMiB: 65536, DiskGiB: 1000}, Closed: closed}
}

func TestTightestHostWinsAndSaysWhy(t *testing.T) {
	h := New([]events.HostFree{
		host("big", "a", 64, 65536, 1000, ""),
		host("tight", "a", 3, 3000, 1000, ""),
		host("full", "a", 1, 65536, 1000, ""),
		host("drained", "a", 4, 4096, 1000, "drained"),
		host("elsewhere", "b", 2, 2048, 1000, ""),
	})
	p := h.Place(7, events.Waiting{Instance: "i-1", Zone: "a", Need: events.Need{VCPUs: 2, MemoryMiB: 2048, DiskGiB: 8}})
	if p.Host != "tight" {
		t.Fatalf("placed on %q, want tight: %+v", p.Host, p.Why)
	}
	if p.Why.Basis != 7 || len(p.Why.Candidates) != 2 || p.Why.Candidates[0].Host != "tight" {
		t.Errorf("reasons: %+v", p.Why)
	}
	want := map[events.HostID]string{"drained": "drained", "full": "1 vCPUs free, 2 needed"}
	for _, r := range p.Why.Rejected {
		if want[r.Host] != r.Reason {
			t.Errorf("%s was rejected with %q, want %q", r.Host, r.Reason, want[r.Host])
		}
		delete(want, r.Host)
	}
	if len(want) > 0 {
		t.Errorf("no reason for %v", want)
	}
}

func TestNothingFits(t *testing.T) {
	h := New([]events.HostFree{host("a", "a", 1, 1024, 10, "")})
	p := h.Place(1, events.Waiting{Instance: "i-1", Zone: "a", Need: events.Need{VCPUs: 1, MemoryMiB: 2048, DiskGiB: 1}})
	if p.Host != "" || len(p.Why.Rejected) != 1 {
		t.Errorf("%+v", p)
	}
}

// Whatever is asked, no host is ever promised more than it has, and a need is
// refused only when no host can take it.
func TestNeverOverCapacity(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var hosts []events.HostFree
		free := map[events.HostID]events.Need{}
		for i := range 20 {
			f := host(fmt.Sprint("h", i), "a", 1+r.IntN(64), 1+r.IntN(65536), r.IntN(1000), "")
			hosts = append(hosts, f)
			free[f.Host] = f.Free
		}
		h := New(hosts)
		for i := range 500 {
			n := events.Need{VCPUs: 1 + r.IntN(8), MemoryMiB: 128 << r.IntN(6), DiskGiB: r.IntN(100)}
			p := h.Place(1, events.Waiting{Instance: events.InstanceID(fmt.Sprint("i-", i)), Zone: "a", Need: n})
			if p.Host == "" {
				for name, f := range free {
					if f.VCPUs >= n.VCPUs && f.MemoryMiB >= n.MemoryMiB && f.DiskGiB >= n.DiskGiB {
						t.Fatalf("seed %d: %+v refused, but %s has %+v", seed, n, name, f)
					}
				}
				continue
			}
			f := free[p.Host]
			f.VCPUs -= n.VCPUs
			f.MemoryMiB -= n.MemoryMiB
			f.DiskGiB -= n.DiskGiB
			if f.VCPUs < 0 || f.MemoryMiB < 0 || f.DiskGiB < 0 {
				t.Fatalf("seed %d: %s promised too much: %+v", seed, p.Host, f)
			}
			free[p.Host] = f
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	var hosts []events.HostFree
	for i := range 10000 {
		hosts = append(hosts, events.HostFree{Host: events.HostID(fmt.Sprintf("h%05d", i)), Zone: "a", Free: events.Need{VCPUs: 192, MemoryMiB: 768 << 10, DiskGiB: 1 << 30},
			Capacity: events.Capacity{VCPUs: 192, MemoryMiB: 768 << 10, DiskGiB: 1 << 30}})
	}
	h := New(hosts)
	n := 0
	for b.Loop() {
		if n++; n%400_000 == 0 {
			h = New(hosts)
		}
		h.Place(1, events.Waiting{Instance: events.InstanceID(fmt.Sprint("i-", n)), Zone: "a", Need: events.Need{VCPUs: 1 + n%4, MemoryMiB: 4096, DiskGiB: 8}})
	}
}
