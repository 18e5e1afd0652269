package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/busd"
	"skerry/services/peers"
	"skerry/services/raftlog"
	"skerry/services/server"
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

// without is a list but for its i-th.
func without(list []string, i int) []string { return slices.Delete(slices.Clone(list), i, i+1) }

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

// load runs do from some callers and returns how many ended in a second, and
// their latencies.
func load(callers int, do func(id, n int) error) (float64, []time.Duration, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []time.Duration
		fail  error
		begin = time.Now().Add(warm)
		end   = begin.Add(measure)
	)
	for id := range callers {
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
	return bare(b, "yardstick", size, func() {})
}

// floor is the yardstick beside a bus: for each entry a message of an event's
// size goes into a stream of three replicas, in order, as the outbox keeps
// events. Nothing is decided, applied, told or consumed: what a region can do at
// most on this machine.
func floor(b *testing.B, size, told int) float64 {
	addrs, routes := free(b, 3), free(b, 3)
	for i, az := range servers(addrs) {
		o := busd.Options{Region: "isle-1", AZ: string(az.ID), Listen: addrs[i], Route: routes[i], Peers: without(routes, i), Store: b.TempDir(), Log: quiet}
		ctx, done := context.WithTimeout(b.Context(), 20*time.Second)
		ns, err := busd.Start(ctx, o)
		done()
		if err != nil {
			b.Fatal(err)
		}
		defer ns.WaitForShutdown()
		defer ns.Shutdown()
	}
	conn, err := nats.Connect("nats://" + addrs[0])
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		b.Fatal(err)
	}
	stream := jetstream.StreamConfig{Name: "BENCH", Subjects: []string{"bench.>"}, Replicas: 3, DenyDelete: true, AllowDirect: true}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = js.CreateStream(b.Context(), stream); err == nil {
			break
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
	acked := make(chan struct{}, 1<<20)
	var kept float64
	ended := make(chan error, 1)
	go func() {
		var err error
		kept, err = keep(js, acked, make([]byte, told))
		ended <- err
	}()
	rate := bare(b, "floor", size, func() { acked <- struct{}{} })
	close(acked)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.Logf("floor: %.0f messages/s kept", kept)
	return min(rate, kept)
}

// keep publishes a message for each that was acknowledged, a window at a time,
// and tells how many in a second.
func keep(js jetstream.JetStream, acked <-chan struct{}, body []byte) (float64, error) {
	var began time.Time
	last := 0
	for range acked {
		if last == 0 {
			began = time.Now()
		}
		window := 1 + min(len(acked), 127)
		var futures []jetstream.PubAckFuture
		for i := range window {
			if i > 0 {
				<-acked
			}
			m := nats.NewMsg("bench.event")
			m.Data = body
			m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.Itoa(last))
			last++
			f, err := js.PublishMsgAsync(m)
			if err != nil {
				return 0, err
			}
			futures = append(futures, f)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return 0, err
			}
		}
	}
	return float64(last) / time.Since(began).Seconds(), nil
}

// bare is hashicorp/raft with a state machine that does nothing.
func bare(b *testing.B, name string, size int, acked func()) float64 {
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
	rate, d, err := load(clients, func(int, int) error {
		if err := leader.Apply(body, time.Second).Error(); err != nil {
			return err
		}
		acked()
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s: %.0f commands/s, p50 %v, p99 %v", name, rate, at(d, 50), at(d, 99))
	return rate
}

// region are the servers of a region whose leader stays, however busy it is.
func region(b *testing.B) []*server.Server {
	var out []*server.Server
	for _, c := range controls(b, 2*time.Second) {
		out = append(out, c.server)
	}
	return out
}

// BenchmarkCommands: commands acknowledged and consumed at 64 clients, through
// the door of the leader's zone, followed on another server, against
// hashicorp/raft with a state machine that does nothing.
func BenchmarkCommands(b *testing.B) {
	zones := region(b)
	leader := lead(zones)
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
	told := len(events.Record{N: 1, Time: time.Now().UTC(), Cause: s.ID, Actor: s.Actor, Account: account,
		Event: events.ResourceTagged{Account: account, Resource: vpc, Tags: c.Tags}}.JSON("isle-1"))

	for b.Loop() {
		bare, least := yardstick(b, size), floor(b, size, told)
		first := consumed.Load()
		rate, d, err := load(clients, func(id, n int) error {
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
		b.ReportMetric(rate/least, "x-raft-and-stream")
		b.ReportMetric(rate, "commands/s")
		b.ReportMetric(float64(at(d, 99).Microseconds())/1000, "ack-p99-ms")
	}
	cancel()
	<-done
}
