package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/history"
	"skerry/services/raftlog"
	"skerry/services/state"
	"skerry/services/voter"
)

// What a region grows to: 100,000 instances with an interface each and 200,000
// volumes, of 50 accounts.
const (
	grownAccounts  = 50
	grownInstances = 2000 // of each account
	grownVolumes   = 4000
)

// grown is a region of that size, made by decisions. Each is handed to keep.
func grown(b *testing.B, keep func([]events.Record)) *state.Tx {
	tx, at, n := state.New(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), uint64(0)
	do := func(a events.AccountID, c events.Command) []events.Record {
		n++
		at = at.Add(time.Millisecond)
		s := events.Stamp{ID: events.CommandID(fmt.Sprintf("%016x", n)), Actor: "bench", Account: a, Version: 1, Time: at}
		binary.BigEndian.PutUint64(s.Seed[:], n)
		reply := decide.Apply(tx, events.Stamped{Stamp: s, Command: c}, n)
		if reply.Fault != nil {
			b.Fatalf("%s: %v", events.Name(c), reply.Fault)
		}
		if keep != nil {
			keep(reply.Events)
		}
		return reply.Events
	}
	zones, hosts := []events.Zone{"isle-1a", "isle-1b", "isle-1c"}, map[events.Zone][]events.HostID{}
	do("", events.FormRegion{Name: "isle-1", ID: "bench", Zones: zones, Level: 1, Images: []events.Image{
		{ID: "aki-1", Name: "k", Type: "kernel"}, {ID: "ami-1", Name: "m", Type: "machine", Kernel: "aki-1", RootDeviceType: "instance-store"}}})
	for i := range 300 {
		z := zones[i%3]
		h := events.HostID(fmt.Sprintf("%s-%d", z, i))
		hosts[z] = append(hosts[z], h)
		do("", events.JoinNode{Host: h, Kind: "compute", Zone: z, Boot: "b", Capacity: events.Capacity{VCPUs: 400, MemoryMiB: 1 << 20, DiskGiB: 1 << 20}})
		do("", events.JoinNode{Host: h, Kind: "storage", Zone: z, Boot: "b", Address: "10.0.0.1:3260", Capacity: events.Capacity{DiskGiB: 1 << 20}})
	}
	next := 0
	for i := range grownAccounts {
		a := do("", events.CreateAccount{Name: fmt.Sprintf("account-%d", i)})[0].Event.(events.AccountCreated).ID
		for range grownInstances / 500 {
			var place events.PlaceInstances
			for _, r := range do(a, events.RunInstances{Image: "ami-1", Type: "sk1.tiny", Min: 500, Max: 500, Tags: []events.Tag{{Key: "Name", Value: "web"}}}) {
				if e, ok := r.Event.(events.InstanceRequested); ok {
					next++
					place.Placements = append(place.Placements, events.Placement{Instance: e.ID, Host: hosts[e.Zone][next%len(hosts[e.Zone])]})
				}
			}
			for _, r := range do("", place) {
				if e, ok := r.Event.(events.InstancePlaced); ok {
					do("", events.ReportInstance{Host: e.Host, Instance: e.Instance, Generation: 1, Phase: events.PhaseRunning})
				}
			}
		}
		for k := range grownVolumes {
			z := zones[k%3]
			h := hosts[z][k%len(hosts[z])]
			e := do(a, events.CreateVolume{Zone: z, SizeGiB: 1})[0].Event.(events.VolumeRequested)
			do("", events.PlaceVolumes{Placements: []events.VolumePlacement{{Volume: e.ID, Host: h}}})
			do("", events.ReportVolume{Host: h, Volume: e.ID, Epoch: 1, Boot: "b", Phase: events.VolumeReady})
		}
	}
	return tx
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkGrowth: the memory of a region of 400,000 rows; how long its snapshot
// takes and how long a command waits meanwhile, beside how long one waits without
// it; and how long the snapshot is read back.
func BenchmarkGrowth(b *testing.B) {
	for b.Loop() {
		before := heap()
		tx := grown(b, nil)
		used := heap() - before
		b.Logf("%d instances, %d interfaces, %d volumes, %d tags and %d events: %.0f MB", tx.Instances.Len(), tx.Interfaces.Len(), tx.Volumes.Len(), tx.Tags.Len(), tx.Meta.N, used)
		var vpc events.VPCID
		var account events.AccountID
		for _, v := range tx.VPCs.All() {
			vpc, account = v.ID, v.Account
		}
		n := tx.Meta.Index
		// worst runs commands until done is closed, and tells the longest.
		worst := func(done <-chan struct{}) (longest time.Duration, all int) {
			for {
				select {
				case <-done:
					return longest, all
				default:
				}
				n++
				s := events.Stamp{ID: events.CommandID(fmt.Sprintf("w%016x", n)), Actor: "bench", Account: account, Version: 1, Time: tx.Meta.Time.Add(time.Microsecond)}
				at := time.Now()
				decide.Apply(tx, events.Stamped{Stamp: s, Command: events.TagResources{Resources: []string{string(vpc)}, Tags: []events.Tag{{Key: "k", Value: fmt.Sprint(n)}}}}, n)
				tx.Publish()
				longest = max(longest, time.Since(at))
				all++
				time.Sleep(200 * time.Microsecond)
			}
		}
		done := make(chan struct{})
		time.AfterFunc(2*time.Second, func() { close(done) })
		alone, _ := worst(done)

		var saved bytes.Buffer
		at := time.Now()
		view := tx.Publish()
		handle := time.Since(at)
		done = make(chan struct{})
		var took time.Duration
		var fail error
		go func() {
			defer close(done)
			at := time.Now()
			fail = view.Save(&saved)
			took = time.Since(at)
		}()
		beside, commands := worst(done)
		if fail != nil {
			b.Fatal(fail)
		}
		at = time.Now()
		if _, err := state.Load(bytes.NewReader(saved.Bytes())); err != nil {
			b.Fatal(err)
		}
		load := time.Since(at)
		b.Logf("snapshot: handle %v, %d MB in %v beside %d commands, the longest of them %v (%v without a snapshot); read back in %v",
			handle.Round(time.Microsecond), saved.Len()>>20, took.Round(time.Millisecond), commands, beside.Round(10*time.Microsecond), alone.Round(10*time.Microsecond), load.Round(time.Millisecond))
		b.ReportMetric(used, "MB")
		b.ReportMetric(float64(beside.Microseconds())/1000, "pause-ms")
		b.ReportMetric(float64(alone.Microseconds())/1000, "pause-alone-ms")
		b.ReportMetric(took.Seconds(), "snapshot-s")
		b.ReportMetric(load.Seconds(), "load-s")
		runtime.KeepAlive(tx)
	}
}

// BenchmarkRestart: a voter with 400,000 rows in its snapshot and a million
// events in its history opens its stores and has its state again; beside how
// long the bare snapshot takes to read.
func BenchmarkRestart(b *testing.B) {
	dir, fs := b.TempDir(), vfs.Default
	hist, err := history.Open(fs, dir+"/voter/history", pebbleQuiet{})
	if err != nil {
		b.Fatal(err)
	}
	var batch []events.Record
	flush := func() {
		if err := hist.Append(batch); err != nil {
			b.Fatal(err)
		}
		batch = batch[:0]
	}
	keep := func(rs []events.Record) {
		if batch = append(batch, rs...); len(batch) > 500 {
			flush()
		}
	}
	tx := grown(b, keep)
	var vpc events.VPCID
	var account events.AccountID
	for _, v := range tx.VPCs.All() {
		vpc, account = v.ID, v.Account
	}
	for n := tx.Meta.Index + 1; tx.Meta.N < 1_000_000; n++ {
		s := events.Stamp{ID: events.CommandID(fmt.Sprintf("%016x", n)), Actor: "bench", Account: account, Version: 1, Time: tx.Meta.Time.Add(25 * time.Hour / 1_000_000)}
		keep(decide.Apply(tx, events.Stamped{Stamp: s, Command: events.TagResources{Resources: []string{string(vpc)}, Tags: []events.Tag{{Key: "k", Value: fmt.Sprint(n)}}}}, n).Events)
	}
	flush()
	if err := hist.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := hist.Close(); err != nil {
		b.Fatal(err)
	}
	addr := free(b, 1)
	set := servers(addr)
	snaps, err := raftlog.OpenSnapshots(fs, dir+"/voter/snapshots")
	if err != nil {
		b.Fatal(err)
	}
	sink, err := snaps.Create(raft.SnapshotVersionMax, tx.Meta.Index, 1, raft.Configuration{Servers: set}, 1, transport(b, "127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	var plain bytes.Buffer
	view := tx.Publish()
	if err := view.Save(io.MultiWriter(sink, &plain)); err != nil {
		b.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		b.Fatal(err)
	}
	last := tx.Meta
	tx, view = nil, nil
	runtime.GC()
	for b.Loop() {
		at := time.Now()
		if _, err := state.Load(bytes.NewReader(plain.Bytes())); err != nil {
			b.Fatal(err)
		}
		bare := time.Since(at)
		at = time.Now()
		v, err := voter.Open(voter.Options{AZ: string(set[0].ID), Voters: set, FS: fs, Dir: dir + "/voter", Transport: transport(b, addr[0]), Now: time.Now, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		got, err := v.WaitFor(ctx, last.N)
		cancel()
		took := time.Since(at)
		if err != nil || got.Meta.Last != last.Last {
			b.Fatalf("event %d: %v", v.View().Meta.N, err)
		}
		b.Logf("a voter of %d instances, %d volumes and %d events is back after %v; its snapshot alone is read in %v", got.Instances.Len(), got.Volumes.Len(), got.Meta.N, took.Round(time.Millisecond), bare.Round(time.Millisecond))
		b.ReportMetric(took.Seconds(), "restart-s")
		b.ReportMetric(took.Seconds()/bare.Seconds(), "x-load")
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
