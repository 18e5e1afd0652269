package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/busd"
	"skerry/services/peers"
	"skerry/services/raftlog"
	"skerry/services/seal"
	"skerry/services/server"
	"skerry/services/voter"
)

const (
	clients = 64
	warm    = 500 * time.Millisecond
	measure = 5 * time.Second
)

var quiet = slog.New(slog.DiscardHandler)

// free returns n loopback addresses that nobody listens on.
func free(b *testing.B, n int) []string {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

func transport(b *testing.B, addr string) *raft.NetworkTransport {
	l, err := peers.Listen(addr, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: l, MaxPool: 3, Timeout: 2 * time.Second, Logger: hclog.NewNullLogger()})
	b.Cleanup(func() { t.Close() })
	return t
}

func servers(addrs []string) []raft.Server {
	var out []raft.Server
	for i, a := range addrs {
		out = append(out, raft.Server{ID: raft.ServerID(fmt.Sprintf("isle-1%c", 'a'+i)), Address: raft.ServerAddress(a)})
	}
	return out
}

// load runs do from many callers and returns how many ended in a second, and
// their latencies.
func load(do func(id, n int) error) (float64, []time.Duration, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		fail  error
		begin = time.Now().Add(warm)
		end   = begin.Add(measure)
	)
	for id := range clients {
		wg.Go(func() {
			var mine []time.Duration
			for n := 0; time.Now().Before(end); n++ {
				at := time.Now()
				err := do(id, n)
				if now := time.Now(); at.After(begin) && now.Before(end) {
					mine = append(mine, now.Sub(at))
				}
				if err != nil {
					mu.Lock()
					fail = err
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(all)
	return float64(len(all)) / measure.Seconds(), all, fail
}

func at(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, len(d)*percent/100)].Round(10 * time.Microsecond)
}

type nothing struct{}

func (nothing) Apply(*raft.Log) any { return nil }
func (nothing) ApplyBatch(l []*raft.Log) []any {
	return make([]any, len(l))
}
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }

type pebbleQuiet struct{}

func (pebbleQuiet) Infof(string, ...any)      {}
func (pebbleQuiet) Errorf(string, ...any)     {}
func (pebbleQuiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

var _ pebble.Logger = pebbleQuiet{}

// yardstick is hashicorp/raft on the same store with the same batching and a
// state machine that does nothing: commands a second.
func yardstick(b *testing.B, size int) float64 {
	set := servers(free(b, 3))
	var rafts []*raft.Raft
	for i, s := range set {
		store, err := raftlog.Open(vfs.Default, fmt.Sprintf("%s/%d", b.TempDir(), i), pebbleQuiet{})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = s.ID, hclog.NewNullLogger()
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 2*time.Second, 2*time.Second, time.Second
		c.MaxAppendEntries, c.BatchApplyCh = 512, true
		tr := transport(b, string(s.Address))
		snaps := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(c, store, store, snaps, tr, raft.Configuration{Servers: set}); err != nil {
			b.Fatal(err)
		}
		r, err := raft.NewRaft(c, nothing{}, store, store, snaps, tr)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Shutdown()
		rafts = append(rafts, r)
	}
	leader := func() *raft.Raft {
		for {
			for _, r := range rafts {
				if r.State() == raft.Leader {
					return r
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	body := make([]byte, size)
	rate, d, err := load(func(int, int) error { return leader.Apply(body, time.Second).Error() })
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("yardstick: %.0f commands/s, p50 %v, p99 %v", rate, at(d, 50), at(d, 99))
	return rate
}

// region is three control planes on loopback, with fsync and an R3 stream that
// syncs always.
func region(b *testing.B) []*server.Server {
	key, err := seal.New(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	raftAddrs, busAddrs, routes := free(b, 3), free(b, 3), free(b, 3)
	set := servers(raftAddrs)
	form := events.FormRegion{Name: "isle-1", ID: "bench", Level: 1}
	for _, s := range set {
		form.Zones = append(form.Zones, events.Zone(s.ID))
	}
	up, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	var out []*server.Server
	for i, s := range set {
		dir := b.TempDir()
		var others []string
		for j, r := range routes {
			if j != i {
				others = append(others, r)
			}
		}
		ns, err := busd.Start(up, busd.Options{Region: "isle-1", AZ: string(s.ID), Listen: busAddrs[i], Route: routes[i], Peers: others, Store: dir + "/bus", Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(ns.Shutdown)
		client, err := bus.Connect(bus.Options{Region: "isle-1", Name: string(s.ID), Servers: []string{"nats://" + busAddrs[i]}, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(client.Close)
		v, err := voter.Open(voter.Options{AZ: string(s.ID), Voters: set, Bootstrap: true, FS: vfs.Default, Dir: dir + "/voter",
			Transport: transport(b, raftAddrs[i]), Heartbeat: 2 * time.Second, Now: time.Now, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { v.Close() })
		srv, err := server.New(server.Options{Region: "isle-1", Form: form, Replicas: 3, Voter: v, Bus: client, Key: key, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { srv.Run(ctx) })
		out = append(out, srv)
	}
	b.Cleanup(func() { cancel(); wg.Wait() })
	return out
}

// BenchmarkCommands: commands acknowledged and consumed at 64 clients, through
// the door of the leader's zone, followed on another server, against
// hashicorp/raft with a state machine that does nothing.
func BenchmarkCommands(b *testing.B) {
	zones := region(b)
	var leader *server.Server
	for leader == nil {
		for _, z := range zones {
			if z.Door.Voter.Leading() && z.Door.Voter.View().Meta.Region != "" {
				leader = z
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stamp := func() events.Stamp { return bus.NewStamp("bench") }
	reply, err := leader.Door.Do(ctx, stamp(), events.CreateAccount{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	account := reply.Events[0].Event.(events.AccountCreated).ID
	vpc := string(reply.Events[1].Event.(events.VPCCreated).ID)

	// The consumer follows on another zone's server.
	var other *server.Server
	for _, z := range zones {
		if z != leader {
			other = z
		}
	}
	var (
		consumed atomic.Uint64
		mu       sync.Mutex
		lags     []time.Duration
		sent     sync.Map
	)
	done := make(chan struct{})
	go func() {
		defer close(done)
		other.Door.Bus.Follow(ctx, bus.Cursor{}, func(r events.Record) error {
			consumed.Store(r.N)
			if at, ok := sent.LoadAndDelete(r.Cause); ok {
				mu.Lock()
				lags = append(lags, time.Since(at.(time.Time)))
				mu.Unlock()
			}
			return nil
		})
	}()
	command := func(id, n int) (events.Stamp, events.TagResources) {
		s := stamp()
		s.Account = account
		return s, events.TagResources{Resources: []string{vpc}, Tags: []events.Tag{{Key: fmt.Sprintf("client-%d", id%32), Value: fmt.Sprintf("write number %d", n)}}}
	}
	s, c := command(0, 0)
	size := len(events.Stamped{Stamp: s, Command: c}.Encode())

	for b.Loop() {
		bare := yardstick(b, size)
		first := consumed.Load()
		rate, d, err := load(func(id, n int) error {
			s, c := command(id, n)
			sent.Store(s.ID, time.Now())
			_, err := leader.Door.Do(ctx, s, c)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		acked := leader.Door.Voter.View().Meta.N
		behind := acked - consumed.Load()
		kept := acked - leader.Door.Outbox.Kept()
		mu.Lock()
		slices.Sort(lags)
		b.Logf("region: %.0f commands/s acknowledged, p50 %v, p99 %v; consumed %d events, %d behind at the end, client to consumer p50 %v, p99 %v; stream %d behind",
			rate, at(d, 50), at(d, 99), consumed.Load()-first, behind, at(lags, 50), at(lags, 99), kept)
		lags = nil
		mu.Unlock()
		b.ReportMetric(rate/bare, "x-bare-raft")
		b.ReportMetric(rate, "commands/s")
		b.ReportMetric(float64(at(d, 99).Microseconds())/1000, "ack-p99-ms")
	}
	cancel()
	<-done
}
