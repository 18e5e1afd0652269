// Package sim is a whole region in virtual time: real voters on real Raft and
// pebble, a real bus server, the real scheduler and the real keepers, in one
// process inside testing/synctest. Disks, wires, clocks and guests are memory,
// so that they can fail at will.
//
//	driver ─▶ faults ─▶ disks, raft wires, bus ports, clocks, hosts
//	   │
//	   └────▶ clients ─▶ doors ─▶ voters ─▶ … ─▶ keepers
//	              │
//	              └─▶ journal ─▶ judge: nothing acknowledged is missing, …
//
// A seed fixes which faults come when. It does not fix the interleaving of
// goroutines: a seed that fails may need several runs to fail again. Package
// exact drills the decisions alone, where a seed fixes everything.
package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/events/bus"
	plane "skerry/network-node/datapath/memory"
	"skerry/scheduler/propose"
	"skerry/services/seal"
	"skerry/services/server"
	"skerry/services/voter"
)

// Name of the simulated region.
const Name = "isle-1"

// Options of a simulated region.
type Options struct {
	Seed  uint64
	Zones int  // 3 unless given
	Hosts int  // for guests: 2 in the first zone and 1 in the others unless given for each
	Core  bool // voters, bus and doors alone: no hosts, gateways and scheduler
	// SnapshotThreshold is small in simulations, so that snapshots happen.
	SnapshotThreshold uint64
	Log               io.Writer // nil: none
}

// Region is a running simulation.
type Region struct {
	T      testing.TB
	Rng    *rand.Rand // the driver's; no goroutine but the driver's uses it
	Bus    *Bus
	Zones  []*Zone
	Hosts  []*Host // for guests
	Gates  []*Host // gateways, one for each zone
	Wire   *plane.Wire
	Key    *seal.Key
	Image  events.ImageID
	log    *slog.Logger
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sched  *part
	port   int      // of the last judgement of packets
	wires  sync.Map // Raft wires by address
}

// Zone is one zone's control plane.
type Zone struct {
	Name   string
	Disk   *Disk
	Port   *Port
	Skew   time.Duration // of its clock
	region *Region
	addr   raft.ServerAddress
	wire   *raftWire

	mu sync.Mutex
	up *controlPlane
}

type controlPlane struct {
	voter  *voter.Voter
	server *server.Server
	client *bus.Client
	part   *part
}

// part is something that runs until it is stopped.
type part struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (r *Region) start(run func(context.Context)) *part {
	ctx, cancel := context.WithCancel(r.ctx)
	p := &part{cancel, make(chan struct{})}
	r.wg.Go(func() {
		defer close(p.done)
		run(ctx)
	})
	return p
}

func (p *part) stop() {
	p.cancel()
	<-p.done
}

// Capacity of each simulated host.
var Capacity = events.Capacity{VCPUs: 64, MemoryMiB: 64 << 10, DiskGiB: 4 << 10}

// New builds a region and waits until it is formed and its nodes have joined.
// It must be called inside a bubble, and Close before the bubble ends.
func New(t testing.TB, o Options) *Region {
	if o.Zones == 0 {
		o.Zones = 3
	}
	if o.SnapshotThreshold == 0 {
		o.SnapshotThreshold = 200
	}
	w := o.Log
	if w == nil {
		w = io.Discard
	}
	r := &Region{T: t, Rng: rand.New(rand.NewPCG(o.Seed, 0x5ee4)), o: o,
		log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	if r.Key, err = seal.New(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if r.Bus, err = StartBus(t.TempDir); err != nil {
		t.Fatal(err)
	}
	for i := range o.Zones {
		z := &Zone{Name: Name + string(rune('a'+i)), Disk: NewDisk(), Port: r.Bus.Port(), region: r}
		z.addr = raft.ServerAddress(z.Name)
		z.newWire()
		r.Zones = append(r.Zones, z)
	}
	for _, z := range r.Zones {
		r.connect(z)
	}
	for _, z := range r.Zones {
		z.Start(true)
	}
	if !o.Core {
		r.build()
	}
	r.Within(20*time.Second, "the region is formed and its nodes have joined", func() bool {
		z := r.Leader()
		return z != nil && z.Voter().View().Meta.Region != "" && z.Voter().View().Nodes.Len() == 3*len(r.Hosts)+len(r.Gates)
	})
	return r
}

// build starts the scheduler and the hosts.
func (r *Region) build() {
	r.StartScheduler()
	r.Wire = plane.NewWire()
	for i := range r.Zones {
		hosts := r.o.Hosts
		if hosts == 0 && i == 0 {
			hosts = 2
		}
		for k := range max(hosts, 1) {
			r.Hosts = append(r.Hosts, r.newHost(i, k, false))
		}
		r.Gates = append(r.Gates, r.newHost(i, 190, true))
	}
	for _, h := range slices.Concat(r.Hosts, r.Gates) {
		h.Start()
	}
}

// newWire makes the zone's end of the Raft wires: Raft closes the one it had.
func (z *Zone) newWire() {
	_, wire := raft.NewInmemTransport(z.addr)
	z.wire = &raftWire{InmemTransport: wire, all: &z.region.wires, rng: rand.New(rand.NewPCG(z.region.Rng.Uint64(), 6))}
	z.region.wires.Store(z.addr, z.wire)
}

// Close ends everything.
func (r *Region) Close() {
	r.cancel()
	for _, z := range r.Zones {
		z.Stop()
	}
	r.wg.Wait()
	r.Bus.Stop()
	for _, z := range r.Zones {
		z.wire.Close()
	}
	time.Sleep(time.Minute) // virtual: timers of libraries end
}

// connect joins a zone's Raft wire with the others.
func (r *Region) connect(z *Zone) {
	for _, other := range r.Zones {
		if other != z {
			z.wire.Connect(other.addr, other.wire.InmemTransport)
			other.wire.Connect(z.addr, z.wire.InmemTransport)
		}
	}
}

// images are what the region offers.
func images() []events.Image {
	file := func(n string) events.ImageFile {
		return events.ImageFile{Name: n, SHA256: fmt.Sprintf("%064d", len(n)), Bytes: 1 << 20}
	}
	return []events.Image{
		{ID: "aki-00000000000000001", Name: "sim-kernel", Location: "amazon/sim-kernel", Type: "kernel", Architecture: "x86_64", File: file("kernel")},
		{ID: "ari-00000000000000001", Name: "sim-ramdisk", Location: "amazon/sim-ramdisk", Type: "ramdisk", Architecture: "x86_64", File: file("ramdisk")},
		{ID: "ami-00000000000000001", Name: "sim-linux", Location: "amazon/sim-linux", Type: "machine", Architecture: "x86_64", Virtualization: "paravirtual",
			Kernel: "aki-00000000000000001", Ramdisk: "ari-00000000000000001", RootDevice: "/dev/sda1", RootDeviceType: "instance-store",
			File: events.ImageFile{Name: "root", SHA256: fmt.Sprintf("%064d", 4), Bytes: 1 << 30, Format: "raw"}},
	}
}

// Public is the block of public addresses: small, so that they come round.
var Public = netip.MustParsePrefix("198.18.0.0/24")

// Image is the machine image of a simulated region.
const Image events.ImageID = "ami-00000000000000001"

// Start starts the zone's control plane on what its disk holds.
func (z *Zone) Start(first bool) {
	r := z.region
	log := r.log.With("az", z.Name)
	var servers []raft.Server
	form := events.FormRegion{Name: Name, ID: "00000000-0000-4000-8000-000000000000", Level: 1, Images: images(), Public: []netip.Prefix{Public}}
	for _, o := range r.Zones {
		servers = append(servers, raft.Server{ID: raft.ServerID(o.Name), Address: o.addr})
		form.Zones = append(form.Zones, events.Zone(o.Name))
	}
	v, err := voter.Open(voter.Options{AZ: z.Name, Voters: servers, Bootstrap: first, FS: z.Disk.FS, Dir: "/voter", Transport: z.wire,
		Now: func() time.Time { z.mu.Lock(); defer z.mu.Unlock(); return time.Now().Add(z.Skew) }, Log: log,
		SnapshotThreshold: r.o.SnapshotThreshold, SnapshotInterval: 2 * time.Second, Trailing: r.o.SnapshotThreshold})
	if err != nil {
		r.T.Fatalf("%s: %v", z.Name, err)
	}
	client, err := bus.Connect(bus.Options{Region: Name, Name: z.Name, Server: z.Port, Log: log})
	if err != nil {
		r.T.Fatalf("%s: %v", z.Name, err)
	}
	s, err := server.New(server.Options{Region: Name, Form: form, Replicas: 1, Memory: true, Voter: v, Bus: client, Key: r.Key, Log: log})
	if err != nil {
		r.T.Fatalf("%s: %v", z.Name, err)
	}
	cp := &controlPlane{voter: v, server: s, client: client}
	cp.part = r.start(func(ctx context.Context) {
		if err := s.Run(ctx); err != nil {
			r.T.Errorf("%s: %v", z.Name, err)
		}
	})
	z.mu.Lock()
	z.up = cp
	z.mu.Unlock()
}

// Up is the zone's control plane, nil while it is down.
func (z *Zone) Up() *controlPlane {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.up
}

// Voter is the zone's voter. The zone must be up.
func (z *Zone) Voter() *voter.Voter { return z.Up().voter }

// Stop ends the control plane in order.
func (z *Zone) Stop() {
	z.mu.Lock()
	cp := z.up
	z.up = nil
	z.mu.Unlock()
	if cp == nil {
		return
	}
	cp.part.stop()
	cp.client.Close()
	if err := cp.voter.Close(); err != nil {
		z.region.T.Errorf("%s: close: %v", z.Name, err)
	}
}

// Crash takes the zone's power away: at its next n-th sync, or after 5 s
// without one. What follows is what was on the disk.
func (z *Zone) Crash(n int) {
	r := z.region
	died := z.Disk.Arm(n, rand.New(rand.NewPCG(r.Rng.Uint64(), 1)))
	cut := rand.New(rand.NewPCG(r.Rng.Uint64(), 2))
	select {
	case <-died:
	case <-time.After(5 * time.Second):
		z.Isolate()
		z.Disk.Cut(cut)
	}
	z.fell()
}

// fell ends a zone whose disk has died.
func (z *Zone) fell() {
	z.Isolate()
	z.wire.dead.Store(true)
	z.Port.Cut(true, true)
	z.Disk.Release()
	z.Stop()
	z.Disk.Reborn()
}

// Restart starts a crashed zone again.
func (z *Zone) Restart() {
	z.Port.Cut(false, false)
	z.newWire()
	z.region.connect(z)
	z.Start(false)
}

// Isolate cuts the zone's voter from the others, in both directions.
func (z *Zone) Isolate() {
	z.wire.DisconnectAll()
	for _, o := range z.region.Zones {
		if o != z {
			o.wire.Disconnect(z.addr)
		}
	}
}

// Deafen cuts one direction of the zone's Raft wire: the others cannot reach
// it, but it reaches them.
func (z *Zone) Deafen() {
	for _, o := range z.region.Zones {
		if o != z {
			o.wire.Disconnect(z.addr)
		}
	}
}

// Heal joins the zone's wires again, in fine weather.
func (z *Zone) Heal() {
	z.wire.set(Weather{})
	z.region.connect(z)
	z.Port.Cut(false, false)
}

// StartScheduler starts the scheduler.
func (r *Region) StartScheduler() {
	port := r.Bus.Port()
	client, err := bus.Connect(bus.Options{Region: Name, Name: "scheduler", Server: port, Log: r.log})
	if err != nil {
		r.T.Fatal(err)
	}
	r.sched = r.start(func(ctx context.Context) {
		defer client.Close()
		s := &propose.Scheduler{Bus: client, Log: r.log}
		if err := s.Run(ctx); err != nil {
			r.T.Errorf("scheduler: %v", err)
		}
	})
}

// Leader is the zone that leads and has caught up, or nil.
func (r *Region) Leader() *Zone {
	for _, z := range r.Zones {
		if cp := z.Up(); cp != nil && cp.voter.Leading() {
			return z
		}
	}
	return nil
}

// WaitLeader waits for a leader other than not.
func (r *Region) WaitLeader(not *Zone) *Zone {
	var z *Zone
	r.Within(20*time.Second, "a leader", func() bool {
		for _, c := range r.Zones {
			if cp := c.Up(); cp != nil && c != not && cp.voter.Leading() {
				z = c
				return true
			}
		}
		return false
	})
	return z
}

// Within waits for a condition in virtual time and fails the test when it does
// not come.
func (r *Region) Within(d time.Duration, what string, ok func() bool) {
	r.T.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.dump()
			r.T.Fatalf("seed %d: not within %v: %s", r.o.Seed, d, what)
		}
	}
}

// dump prints the events that led here.
func (r *Region) dump() {
	for _, z := range r.Zones {
		cp := z.Up()
		if cp == nil {
			r.T.Logf("%s: down", z.Name)
			continue
		}
		v := cp.voter.View()
		r.T.Logf("%s: %v leader=%q n=%d index=%d kept=%d bus=%v", z.Name, cp.voter.Raft().State(), cp.voter.Leader(), v.Meta.N, v.Meta.Index, cp.server.Door.Outbox.Kept(), cp.client.Conn().Status())
	}
	if z := r.Leader(); z != nil {
		n := z.Voter().View().Meta.N
		records, err := z.Voter().History().Range(n-min(n, 40)+1, 40)
		if err != nil {
			r.T.Log(err)
		}
		for _, rec := range records {
			r.T.Logf("%6d %s %s", rec.N, rec.Actor, events.Line(rec.Event))
		}
	}
}
