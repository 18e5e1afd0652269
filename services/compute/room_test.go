package compute

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry/events"
	"skerry/services/state"
)

// regionOf is a state with zones of hosts of the given capacities.
func regionOf(zones map[events.Zone][]events.Capacity) *state.Tx {
	tx := state.New()
	var names []events.Zone
	for z := range zones {
		names = append(names, z)
	}
	slices.Sort(names)
	tx.Apply(events.Record{N: 1, Event: events.RegionFormed{Name: "isle-1", Zones: names, Level: 1}})
	for z, hosts := range zones {
		for i, c := range hosts {
			tx.Apply(events.Record{N: 1, Event: events.NodeJoined{Host: events.HostID(fmt.Sprintf("%s-%03d", z, i)), Kind: "compute", Zone: z, Capacity: c}})
		}
	}
	return tx
}

// holds is how many times a need fits into a capacity.
func holds(c events.Capacity, n events.Need) int {
	return max(0, min(c.VCPUs/n.VCPUs, c.MemoryMiB/n.MemoryMiB, c.DiskGiB/n.DiskGiB))
}

// A launch is refused only when an exhaustive count agrees: with hosts of any
// size, as many are promised as fit, and no more.
func TestSpreadIsExhaustive(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		zones := map[events.Zone][]events.Capacity{}
		typ := catalogue[r.IntN(len(catalogue))]
		fit := 0
		for i := range 1 + r.IntN(4) {
			z := events.Zone("isle-1" + string(rune('a'+i)))
			zones[z] = nil
			for range r.IntN(6) {
				c := events.Capacity{VCPUs: r.IntN(40), MemoryMiB: r.IntN(100_000), DiskGiB: r.IntN(2000)}
				zones[z] = append(zones[z], c)
				fit += holds(c, typ.Need())
			}
		}
		count := 1 + r.IntN(100)
		got := newRoom(&regionOf(zones).View, "111111111111", "", nil).spread(typ.Need(), count, nil, 0)
		if len(got) != min(count, fit) {
			t.Errorf("seed %d: %d of %d %s were promised, %d fit: %v", seed, len(got), count, typ.Name, fit, zones)
		}
	}
}

// Zones fill evenly by the share of their memory that is free, whichever of
// them are dead and however many hosts they have.
func TestSpreadIsEven(t *testing.T) {
	host := events.Capacity{VCPUs: 1000, MemoryMiB: 1_000_000, DiskGiB: 100_000}
	need := events.Need{VCPUs: 1, MemoryMiB: 1000, DiskGiB: 1}
	for _, test := range []struct {
		zones map[events.Zone][]events.Capacity
		count int
		want  map[events.Zone]int
	}{
		{map[events.Zone][]events.Capacity{"a": {host}, "b": {host}, "c": {host}}, 6, map[events.Zone]int{"a": 2, "b": 2, "c": 2}},
		{map[events.Zone][]events.Capacity{"a": {host}, "b": {}, "c": {host}}, 6, map[events.Zone]int{"a": 3, "c": 3}},
		{map[events.Zone][]events.Capacity{"a": {}, "b": {host}, "c": {host}}, 6, map[events.Zone]int{"b": 3, "c": 3}},
		{map[events.Zone][]events.Capacity{"a": {host}, "b": {host}, "c": {}}, 6, map[events.Zone]int{"a": 3, "b": 3}},
		{map[events.Zone][]events.Capacity{"a": {host}, "b": {{}}, "c": {host}}, 6, map[events.Zone]int{"a": 3, "c": 3}},
		{map[events.Zone][]events.Capacity{"a": {host, host}, "b": {host}}, 9, map[events.Zone]int{"a": 6, "b": 3}},
	} {
		for account := range 20 { // who begins differs by account; the shares do not
			got := map[events.Zone]int{}
			for _, at := range newRoom(&regionOf(test.zones).View, events.AccountID(fmt.Sprint(account)), "", nil).spread(need, test.count, nil, 0) {
				got[at.zone]++
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("account %d: %v over %v, want %v", account, got, test.zones, test.want)
			}
		}
	}
}

// What waits for a host is set aside before anything new is promised.
func TestWaitingIsSetAside(t *testing.T) {
	tx := regionOf(map[events.Zone][]events.Capacity{"a": {{VCPUs: 4, MemoryMiB: 4096, DiskGiB: 100}}})
	need := events.Need{VCPUs: 1, MemoryMiB: 1024, DiskGiB: 10}
	for i := range 3 {
		tx.Apply(events.Record{N: 2, Event: events.InstanceRequested{ID: events.InstanceID(fmt.Sprint("i-", i)), Zone: "a", Need: need}})
	}
	if got := newRoom(&tx.View, "1", "", nil).spread(need, 9, nil, 0); len(got) != 1 {
		t.Errorf("%d were promised beside 3 that wait, want 1", len(got))
	}
}

// A limit is a limit, and the account before it is not hindered.
func TestKeyPairLimit(t *testing.T) {
	tx := state.New()
	for i := range maxKeyPairs - 1 {
		tx.Apply(events.Record{N: 1, Event: events.KeyPairCreated{ID: events.KeyPairID(fmt.Sprint("key-", i)), Account: "1", Name: fmt.Sprint(i)}})
	}
	made, err := ImportKeyPair(&tx.View, events.Stamp{Account: "1"}, events.ImportKeyPair{Name: "last"})
	if err != nil || len(made) != 1 {
		t.Fatalf("the %d. key: %v, %v", maxKeyPairs, made, err)
	}
	tx.Apply(events.Record{N: 2, Event: made[0]})
	_, err = ImportKeyPair(&tx.View, events.Stamp{Account: "1"}, events.ImportKeyPair{Name: "more"})
	if f, ok := events.AsFault(err); !ok || f.FaultCode != "KeyPairLimitExceeded" {
		t.Errorf("one more: %v", err)
	}
	if _, err := ImportKeyPair(&tx.View, events.Stamp{Account: "2"}, events.ImportKeyPair{Name: "more"}); err != nil {
		t.Errorf("another account: %v", err)
	}
}
