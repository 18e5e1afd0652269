package propose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"skerry/events"
	"skerry/events/bus"
)

// leader is a region's leader as a scheduler sees it: hosts, what waits, and a
// decision about each proposal.
type leader struct {
	t    *testing.T
	conn *nats.Conn
	srv  *server.Server

	mu        sync.Mutex
	n         uint64
	hosts     []events.HostFree
	waiting   []events.Waiting
	refuse    bool // take nothing
	proposals []events.PlaceInstances
	asked     int
}

func newLeader(t *testing.T) *leader {
	t.Helper()
	srv, err := server.NewServer(&server.Options{ServerName: "test", DontListen: true, NoSigs: true, NoLog: true, MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the bus did not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	l := &leader{t: t, conn: conn, srv: srv, n: 100}
	l.serve("sk.query.isle-1.status", func([]byte) any { return events.Status{N: l.n} })
	l.serve("sk.query.isle-1.history", func([]byte) any { return bus.HistoryAnswer{N: l.n} })
	l.serve("sk.lead.isle-1.scheduling", func([]byte) any {
		l.asked++
		return events.Scheduling{N: l.n, Hosts: l.hosts, Unplaced: l.waiting[:min(500, len(l.waiting))]}
	})
	l.serve("sk.cmd.isle-1.compute.PlaceInstances", func(b []byte) any {
		c, err := events.DecodeCommandJSON("PlaceInstances", b)
		if err != nil {
			t.Errorf("a proposal cannot be read: %v", err)
			return events.Reply{}
		}
		p := c.(events.PlaceInstances)
		l.proposals = append(l.proposals, p)
		return l.decide(p)
	})
	t.Cleanup(func() { conn.Close(); srv.Shutdown(); srv.WaitForShutdown() })
	return l
}

// decide takes what fits.
func (l *leader) decide(p events.PlaceInstances) events.Reply {
	var reply events.Reply
	if l.refuse {
		return reply
	}
	for _, one := range p.Placements {
		w := slices.IndexFunc(l.waiting, func(w events.Waiting) bool { return w.Instance == one.Instance })
		if w < 0 {
			l.t.Errorf("%s does not wait and was placed", one.Instance)
			continue
		}
		var e events.Event = events.InstanceTerminated{Instance: one.Instance, Zone: l.waiting[w].Zone}
		if one.Host != "" {
			h := slices.IndexFunc(l.hosts, func(h events.HostFree) bool { return h.Host == one.Host })
			need := l.waiting[w].Need
			f := &l.hosts[h].Free
			f.VCPUs, f.MemoryMiB, f.DiskGiB = f.VCPUs-need.VCPUs, f.MemoryMiB-need.MemoryMiB, f.DiskGiB-need.DiskGiB
			if f.VCPUs < 0 || f.MemoryMiB < 0 || f.DiskGiB < 0 || l.hosts[h].Closed != "" || l.hosts[h].Zone != l.waiting[w].Zone {
				l.t.Errorf("%s was placed on %s, which cannot take it", one.Instance, one.Host)
			}
			e = events.InstancePlaced{Instance: one.Instance, Zone: l.waiting[w].Zone, Host: one.Host, Why: one.Why}
		}
		if one.Why.Basis != l.n || one.Why.Policy == "" {
			l.t.Errorf("%s: %+v says why on event %d", one.Instance, one.Why, l.n)
		}
		l.waiting = slices.Delete(l.waiting, w, w+1)
		reply.Events = append(reply.Events, events.Record{N: l.n + 1, Event: e})
	}
	return reply
}

func (l *leader) serve(subject string, answer func([]byte) any) {
	_, err := l.conn.Subscribe(subject, func(m *nats.Msg) {
		l.mu.Lock()
		a := answer(m.Data)
		l.mu.Unlock()
		b, err := json.Marshal(a)
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil && !errors.Is(err, nats.ErrConnectionClosed) { // the test may be over by then
			l.t.Errorf("%s: %v", subject, err)
		}
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *leader) wait(n int, zone events.Zone, need events.Need) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.waiting = append(l.waiting, events.Waiting{Instance: events.InstanceID(fmt.Sprint("i-", len(l.waiting), "-", zone)), Zone: zone, Need: need})
	}
}

func (l *leader) look(f func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f()
}

func (l *leader) within(what string, f func() bool) {
	l.t.Helper()
	for end := time.Now().Add(10 * time.Second); !l.look(f); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("it never came to: %s", what)
		}
	}
}

func (l *leader) schedule() {
	l.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	client, err := bus.Connect(bus.Options{Region: "isle-1", Name: "scheduler", Server: l.srv, Log: log})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&Scheduler{Bus: client, Log: log}).Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("the scheduler ended: %v", err)
		}
		client.Close()
	})
}

func (l *leader) host(name string, zone events.Zone, vcpus int, closed string) {
	l.hosts = append(l.hosts, events.HostFree{Host: events.HostID(name), Zone: zone, Closed: closed,
		Free: events.Need{VCPUs: vcpus, MemoryMiB: 1 << 20, DiskGiB: 1 << 20}, Capacity: events.Capacity{VCPUs: vcpus, MemoryMiB: 1 << 20, DiskGiB: 1 << 20}})
}

var small = events.Need{VCPUs: 1, MemoryMiB: 512, DiskGiB: 8}

// What waits at the start is placed, in batches, on hosts that can take it;
// what nobody can take is said to be so.
func TestPlacesWhatWaits(t *testing.T) {
	l := newLeader(t)
	l.host("a1", "a", 400, "")
	l.host("a2", "a", 400, "")
	l.host("a3", "a", 4000, "drained")
	l.host("b1", "b", 3, "")
	l.wait(600, "a", small)
	l.wait(5, "b", small)
	l.wait(1, "c", small) // a zone without hosts
	l.schedule()
	l.within("nothing waits any more", func() bool { return len(l.waiting) == 0 })
	placed := map[events.HostID]int{}
	l.look(func() bool {
		for _, p := range l.proposals {
			if len(p.Placements) > batch || p.Basis != l.n {
				t.Errorf("a proposal of %d on event %d", len(p.Placements), p.Basis)
			}
			for _, one := range p.Placements {
				placed[one.Host]++
			}
		}
		if len(l.proposals) < 3 {
			t.Errorf("%d proposals for 606 instances", len(l.proposals))
		}
		return true
	})
	if placed["a1"]+placed["a2"] != 600 || placed["b1"] != 3 || placed["a3"] != 0 || placed[""] != 3 {
		t.Errorf("placed %v", placed)
	}
}

// An event pokes: the next instance does not wait for the period.
func TestEventsPoke(t *testing.T) {
	l := newLeader(t)
	l.host("a1", "a", 100, "")
	l.schedule()
	l.within("the first look", func() bool { return l.asked > 0 })
	// Follow has subscribed when a record of its next number brings a look.
	for try := 0; ; try++ {
		before := 0
		l.look(func() bool { before = l.asked; l.n++; return true })
		if try == 0 {
			l.wait(1, "a", small)
		}
		r := events.Record{N: l.n, Cause: "c", Actor: "test", Event: events.InstanceRequested{ID: "i-0-a", Zone: "a"}}
		if err := l.conn.Publish(r.Event.About().Subject("isle-1"), r.JSON("isle-1")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for time.Since(began) < period/4 && !l.look(func() bool { return l.asked > before }) {
			time.Sleep(2 * time.Millisecond)
		}
		if l.look(func() bool { return l.asked > before }) {
			break
		}
		if try == 20 {
			t.Fatal("no event brought a look within a quarter of the period")
		}
	}
	l.within("the instance is placed", func() bool { return len(l.waiting) == 0 })
}

// A leader that takes nothing is not flooded: each refused round is followed by
// a pause that grows.
func TestRefusedProposalsPause(t *testing.T) {
	if testing.Short() {
		t.Skip("waits out the pauses")
	}
	l := newLeader(t)
	l.host("a1", "a", 100, "")
	l.wait(1, "a", small)
	l.refuse = true
	l.schedule()
	l.within("three rounds were refused", func() bool { return len(l.proposals) >= 3 })
	began := time.Now()
	before := 0
	l.look(func() bool { before = len(l.proposals); return true })
	l.within("three more", func() bool { return len(l.proposals) >= before+3 })
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("three more refused rounds took %v", took)
	}
	l.look(func() bool { l.refuse = false; return true })
	l.within("it is placed once the leader agrees", func() bool { return len(l.waiting) == 0 })
}
