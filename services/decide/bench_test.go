package decide

import (
	"crypto/sha256"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/state"
)

// BenchmarkRunInstances500 is one decision for 500 instances in a region of six
// hosts, with its evolve.
func BenchmarkRunInstances500(b *testing.B) {
	tx := state.New()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	do := func(tx *state.Tx, account events.AccountID, n int, c events.Command) []events.Event {
		at = at.Add(time.Millisecond)
		s := events.Stamp{ID: "c", Actor: "bench", Account: account, Version: 1, Time: at}
		s.Seed[0], s.Seed[1] = byte(n), byte(n>>8)
		made, fault := Command(&tx.View, events.Stamped{Stamp: s, Command: c})
		if fault != nil {
			b.Fatal(fault)
		}
		for _, e := range made {
			r := events.Record{N: tx.Meta.N + 1, Prev: tx.Meta.Last, Time: at, Event: e}
			r.Hash = sha256.Sum256(r.Encode())
			tx.Apply(r)
		}
		return made
	}
	do(tx, "", 1, events.FormRegion{Name: "isle-1", ID: "x", Zones: []events.Zone{"isle-1a", "isle-1b", "isle-1c"}, Level: 1, Images: []events.Image{
		{ID: "aki-1", Name: "k", Type: "kernel"}, {ID: "ami-1", Name: "m", Type: "machine", Kernel: "aki-1", RootDeviceType: "instance-store"}}})
	for i, h := range []string{"isle-1a-1", "isle-1a-2", "isle-1b-1", "isle-1b-2", "isle-1c-1", "isle-1c-2"} {
		do(tx, "", i, events.JoinNode{Host: events.HostID(h), Kind: "compute", Zone: events.Zone(h[:7]), Boot: "b", Capacity: events.Capacity{VCPUs: 1 << 20, MemoryMiB: 1 << 30, DiskGiB: 1 << 20}})
	}
	account := do(tx, "", 99, events.CreateAccount{Name: "bench"})[0].(events.AccountCreated).ID
	n := 0
	for b.Loop() {
		n++
		do(tx.View.Fork(), account, n, events.RunInstances{Image: "ami-1", Type: "sk1.tiny", Min: 500, Max: 500})
	}
}
