package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/busd"
	"skerry/services/peers"
	"skerry/services/seal"
	"skerry/services/server"
	"skerry/services/voter"
)

// control is one zone's control plane, which can be stopped and started.
type control struct {
	az, dir   string
	set       []raft.Server
	at        raft.ServerAddress
	listen    string
	route     string
	others    []string
	form      events.FormRegion
	key       *seal.Key
	server    *server.Server
	stopped   bool
	stop      func()
	heartbeat time.Duration // 0: the voters' own
	bootstrap bool
}

// controls are the control planes of a region of three zones on loopback, with
// fsync and an R3 stream that syncs always. They are stopped with the benchmark.
func controls(b *testing.B, heartbeat time.Duration) []*control {
	key, err := seal.New(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	raftAddrs, busAddrs, routes := free(b, 3), free(b, 3), free(b, 3)
	set := servers(raftAddrs)
	form := events.FormRegion{Name: "isle-1", ID: "bench", Level: events.LevelNewest}
	for _, s := range set {
		form.Zones = append(form.Zones, events.Zone(s.ID))
	}
	var out []*control
	for i, s := range set {
		c := &control{az: string(s.ID), dir: b.TempDir(), set: set, at: s.Address, listen: busAddrs[i], route: routes[i], others: without(routes, i), form: form, key: key, heartbeat: heartbeat, bootstrap: true}
		c.start(b)
		b.Cleanup(func() {
			if !c.stopped {
				c.stop()
			}
		})
		out = append(out, c)
	}
	return out
}

func (c *control) start(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	up, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	ns, err := busd.Start(up, busd.Options{Region: "isle-1", AZ: c.az, Listen: c.listen, Route: c.route, Peers: c.others, Store: c.dir + "/bus", Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	client, err := bus.Connect(bus.Options{Region: "isle-1", Name: c.az, Servers: []string{"nats://" + c.listen}, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	l, err := peers.Listen(string(c.at), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: l, MaxPool: 3, Timeout: 2 * time.Second, Logger: hclog.NewNullLogger()})
	v, err := voter.Open(voter.Options{AZ: c.az, Voters: c.set, Bootstrap: c.bootstrap, FS: vfs.Default, Dir: c.dir + "/voter", Transport: t, Heartbeat: c.heartbeat, Now: time.Now, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	c.bootstrap = false
	if c.server, err = server.New(server.Options{Region: "isle-1", Form: c.form, Replicas: 3, Voter: v, Bus: client, Key: c.key, Log: quiet}); err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.server.Run(ctx) })
	c.stopped = false
	// The bus and the Raft member go first and say nothing, as with a power cut.
	c.stop = func() {
		c.stopped = true
		t.Close()
		ns.Shutdown()
		v.Close()
		cancel()
		client.Close()
		wg.Wait()
		ns.WaitForShutdown()
	}
}

// BenchmarkFailover: the leader's zone is stopped fifty times under eight
// writers; how long no write is acknowledged, and how long a consumer sees no
// event, each time. The yardstick is the election timeout, which a follower has
// to wait in any case.
func BenchmarkFailover(b *testing.B) {
	const kills, writers = 50, 8
	zones := controls(b, 0)
	var urls []string
	for _, z := range zones {
		urls = append(urls, "nats://"+z.listen)
	}
	leader := func() *control {
		for {
			for _, z := range zones {
				if !z.stopped && z.server.Door.Voter.Leading() && z.server.Door.Voter.View().Meta.Region != "" {
					return z
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	connect := func(name string) *bus.Client {
		c, err := bus.Connect(bus.Options{Region: "isle-1", Name: name, Servers: urls, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	ctx, cancel := context.WithCancel(context.Background())
	reply, err := leader().server.Door.Do(ctx, bus.NewStamp("bench"), events.CreateAccount{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	account, vpc := reply.Events[0].Event.(events.AccountCreated).ID, string(reply.Events[1].Event.(events.VPCCreated).ID)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		acked  []time.Time
		seenAt []time.Time
	)
	defer wg.Wait()
	defer cancel()
	follower := connect("consumer")
	defer follower.Close()
	wg.Go(func() {
		at := bus.Cursor{}
		for ctx.Err() == nil {
			follower.Follow(ctx, at, func(r events.Record) error {
				at = bus.Cursor{N: r.N, Hash: r.Hash}
				mu.Lock()
				seenAt = append(seenAt, time.Now())
				mu.Unlock()
				return nil
			})
		}
	})
	for i := range writers {
		c := connect(fmt.Sprintf("writer-%d", i))
		defer c.Close()
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				s := bus.NewStamp("bench")
				s.Account = account
				for ctx.Err() == nil {
					try, done := context.WithTimeout(ctx, 300*time.Millisecond)
					_, err := c.Command(try, s, events.TagResources{Resources: []string{vpc}, Tags: []events.Tag{{Key: fmt.Sprintf("writer-%d", i), Value: fmt.Sprint(n)}}})
					done()
					if err == nil {
						mu.Lock()
						acked = append(acked, time.Now())
						mu.Unlock()
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	// gap is the longest pause in what was noted from a moment on.
	gap := func(list *[]time.Time, from time.Time) (worst time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		last := from
		for _, t := range *list {
			if t.After(from) {
				worst, last = max(worst, t.Sub(last)), t
			}
		}
		return max(worst, 0)
	}
	for b.Loop() {
		var led, writes, sights []time.Duration
		for range kills {
			z := leader()
			time.Sleep(time.Second)
			mu.Lock()
			acked, seenAt = nil, nil
			mu.Unlock()
			from := time.Now()
			z.stop()
			leader()
			led = append(led, time.Since(from))
			time.Sleep(1500 * time.Millisecond)
			writes = append(writes, gap(&acked, from))
			sights = append(sights, gap(&seenAt, from))
			z.start(b)
		}
		slices.Sort(led)
		slices.Sort(writes)
		slices.Sort(sights)
		b.Logf("%d kills of the leader: another one leads after p50 %v, at most %v; no write for p50 %v, at most %v; no event for p50 %v, at most %v; the election timeout is %v",
			kills, at(led, 50), led[len(led)-1].Round(time.Millisecond), at(writes, 50), writes[len(writes)-1].Round(time.Millisecond), at(sights, 50), sights[len(sights)-1].Round(time.Millisecond), voter.DefaultHeartbeat)
		b.ReportMetric(writes[len(writes)-1].Seconds(), "write-gap-max-s")
		b.ReportMetric(writes[len(writes)-1].Seconds()/voter.DefaultHeartbeat.Seconds(), "x-election-timeout")
		b.ReportMetric(sights[len(sights)-1].Seconds(), "event-gap-max-s")
	}
}
