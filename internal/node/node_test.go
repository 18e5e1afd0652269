package node

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"skerry/events"
	"skerry/events/bus"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// region is what a node sees of one: it answers joins and questions for specs
// as the test says.
type region struct {
	t    *testing.T
	conn *nats.Conn
	srv  *server.Server

	mu    sync.Mutex
	joins []events.JoinNode
	asked []events.SpecGet
	joinN uint64                               // event number that joins are answered with
	set   func(events.SpecGet) *events.SpecSet // nil: no answer
}

func newRegion(t *testing.T) *region {
	t.Helper()
	srv, err := server.NewServer(&server.Options{ServerName: "test", DontListen: true, NoSigs: true, NoLog: true})
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
	r := &region{t: t, conn: conn, srv: srv, joinN: 10}
	r.serve("sk.cmd.isle-1.region.JoinNode.h1", func(m *nats.Msg) any {
		var c events.JoinNode
		if err := json.Unmarshal(m.Data, &c); err != nil {
			t.Errorf("join: %v", err)
		}
		r.joins = append(r.joins, c)
		return events.Reply{N: r.joinN}
	})
	r.serve("sk.spec.isle-1.get.h1.compute", func(m *nats.Msg) any {
		var q events.SpecGet
		if err := json.Unmarshal(m.Data, &q); err != nil {
			t.Errorf("spec get: %v", err)
		}
		r.asked = append(r.asked, q)
		if r.set == nil {
			return nil
		}
		if s := r.set(q); s != nil {
			return s
		}
		return nil
	})
	t.Cleanup(func() { conn.Close(); srv.Shutdown(); srv.WaitForShutdown() })
	return r
}

func (r *region) serve(subject string, answer func(*nats.Msg) any) {
	_, err := r.conn.Subscribe(subject, func(m *nats.Msg) {
		r.mu.Lock()
		a := answer(m)
		r.mu.Unlock()
		if a == nil {
			return
		}
		b, err := json.Marshal(a)
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil {
			r.t.Errorf("%s: %v", subject, err)
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) answer(set func(events.SpecGet) *events.SpecSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set, r.asked = set, nil
}

func (r *region) questions() []events.SpecGet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func (r *region) poke(id string, n uint64) {
	b, err := json.Marshal(events.Spec{Kind: events.SpecInstance, ID: id, N: n})
	if err == nil {
		err = r.conn.Publish("sk.spec.isle-1.node.h1.compute.instance-"+id, b)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// setOf is a whole set at event n.
func setOf(n uint64, ids ...string) *events.SpecSet {
	specs := []events.Spec{}
	for _, id := range ids {
		specs = append(specs, events.Spec{Kind: events.SpecInstance, ID: id, N: n, Body: json.RawMessage(`{"name":"<&>"}`)})
	}
	return &events.SpecSet{Manifest: events.Manifest{N: n, Count: len(specs), Digest: events.Digest(specs)}, Specs: specs}
}

func always(s *events.SpecSet) func(events.SpecGet) *events.SpecSet {
	return func(events.SpecGet) *events.SpecSet { return s }
}

// keeper notes what it is told.
type keeper struct {
	mu      sync.Mutex
	wanted  []given
	running bool
}

type given struct {
	n        uint64
	ids      []string
	complete bool
}

func (k *keeper) Want(s events.SpecSet, complete bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := given{n: s.Manifest.N, complete: complete}
	for _, x := range s.Specs {
		g.ids = append(g.ids, x.ID)
	}
	k.wanted = append(k.wanted, g)
}

func (k *keeper) Run(ctx context.Context) error {
	k.mu.Lock()
	k.running = true
	k.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (k *keeper) Have(context.Context) (events.Have, error) {
	return events.Have{Objects: []events.Object{{Kind: "instance", ID: "i-1", State: "running"}}}, nil
}

func (k *keeper) Conditions() []string { return []string{"disk nearly full"} }

func (k *keeper) seen() []given {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.wanted)
}

func (k *keeper) last() given {
	all := k.seen()
	if len(all) == 0 {
		return given{}
	}
	return all[len(all)-1]
}

// start runs a node and returns its keeper and a way to end it.
func (r *region) start(data string, period time.Duration) (*Node, *keeper, func()) {
	r.t.Helper()
	client, err := bus.Connect(bus.Options{Region: "isle-1", Name: "node", Server: r.srv, Log: discard})
	if err != nil {
		r.t.Fatal(err)
	}
	n := New(Options{Region: "isle-1", Zone: "isle-1a", Host: "h1", Kind: "compute", Capacity: events.Capacity{VCPUs: 4}, Data: data, Bus: client, Log: discard, Period: period})
	k := &keeper{}
	n.SetKeeper(k)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("the node ended: %v", err)
			}
			client.Close()
		})
	}
	r.t.Cleanup(stop)
	return n, k, stop
}

func (r *region) within(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("it never came to: %s", what)
		}
	}
}

const short = 20 * time.Millisecond // between looks

// A node joins, takes its set, keeps it, says so in its heartbeats, and tells
// what it has.
func TestJoinAndHold(t *testing.T) {
	r := newRegion(t)
	beats := make(chan events.Heartbeat, 16)
	if _, err := r.conn.Subscribe("sk.node.isle-1.isle-1a.h1.compute.heartbeat", func(m *nats.Msg) {
		var h events.Heartbeat
		if err := json.Unmarshal(m.Data, &h); err != nil {
			t.Error(err)
		}
		beats <- h
	}); err != nil {
		t.Fatal(err)
	}
	set := setOf(12, "i-1", "i-2")
	r.answer(always(set))
	data := t.TempDir()
	_, k, _ := r.start(data, short)
	r.within("the keeper has the set", func() bool { return reflect.DeepEqual(k.last(), given{12, []string{"i-1", "i-2"}, true}) })
	if q := r.questions()[0]; q.AtLeast != 10 || q.Only != nil {
		t.Errorf("the first question is %+v: a set from before the join would do", q)
	}
	var stored events.SpecSet
	b, err := os.ReadFile(filepath.Join(data, "specs.json"))
	if err == nil {
		err = json.Unmarshal(b, &stored)
	}
	if err != nil || events.Digest(stored.Specs) != set.Manifest.Digest {
		t.Errorf("on disk: %v", err)
	}
	r.mu.Lock()
	if len(r.joins) != 1 || r.joins[0].Boot == "" || r.joins[0].Capacity.VCPUs != 4 || r.joins[0].Zone != "isle-1a" {
		t.Errorf("it joined with %+v", r.joins)
	}
	boot := r.joins[0].Boot
	r.mu.Unlock()
	for h := range beats {
		if !h.Synced {
			continue // the first may come before the set
		}
		if h.N != 12 || h.Digest != set.Manifest.Digest || h.Boot != boot || len(h.Conditions) != 1 {
			t.Errorf("it beats %+v", h)
		}
		break
	}
	m, err := r.conn.Request("sk.node.isle-1.isle-1a.h1.compute.have", nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var have events.Have
	if err := json.Unmarshal(m.Data, &have); err != nil || have.Host != "h1" || have.N != 12 || len(have.Objects) != 1 {
		t.Errorf("it has %s, %v", m.Data, err)
	}
}

// A set that did not arrive whole is no set: the keeper is not told, whatever
// is missing.
func TestDamagedSetsAreRefused(t *testing.T) {
	r := newRegion(t)
	bad := []func(*events.SpecSet){
		func(s *events.SpecSet) { s.Specs = s.Specs[:1] },
		func(s *events.SpecSet) { s.Manifest.Count = 1 },
		func(s *events.SpecSet) { s.Manifest.Digest = "" },
		func(s *events.SpecSet) { s.Specs[0].Body = json.RawMessage(`{"name":"other"}`) },
		func(s *events.SpecSet) { s.Specs[1].Tombstone = true },
		func(s *events.SpecSet) { s.Specs[0], s.Specs[1] = s.Specs[1], s.Specs[0] },
		func(s *events.SpecSet) { s.Manifest = events.Manifest{} },
	}
	next := 0
	r.answer(func(events.SpecGet) *events.SpecSet {
		s := setOf(12, "i-1", "i-2")
		bad[next%len(bad)](s)
		next++
		return s
	})
	_, k, _ := r.start(t.TempDir(), short)
	r.within("every kind of damage was answered", func() bool { return len(r.questions()) > len(bad) })
	if got := k.seen(); len(got) > 0 {
		t.Fatalf("the keeper was told %+v", got)
	}
	r.answer(always(setOf(13, "i-1")))
	r.within("a whole set is taken", func() bool { return k.last().n == 13 })
}

// An older set than the one held is dropped.
func TestOlderSetIsDropped(t *testing.T) {
	r := newRegion(t)
	r.answer(always(setOf(20, "i-1", "i-2")))
	_, k, _ := r.start(t.TempDir(), short)
	r.within("the set is held", func() bool { return k.last().n == 20 })
	r.answer(always(setOf(19))) // a voter that is behind, and does not know that it is
	r.within("it was offered", func() bool { return len(r.questions()) > 2 })
	for _, q := range r.questions() {
		if q.AtLeast < 20 {
			t.Errorf("it asked for event %d and holds 20", q.AtLeast)
		}
	}
	if got := k.last(); got.n != 20 {
		t.Errorf("the keeper was told %+v", got)
	}
}

// A poke asks for what changed, at its number; what comes takes nothing away.
func TestPoke(t *testing.T) {
	r := newRegion(t)
	r.answer(always(setOf(20, "i-1", "i-2")))
	n, k, _ := r.start(t.TempDir(), time.Hour) // no look without a poke
	r.within("the set is held", func() bool { return k.last().n == 20 })
	r.answer(always(setOf(31, "i-2")))
	r.poke("i-2", 30)
	r.within("the part is there", func() bool { return reflect.DeepEqual(k.last(), given{31, []string{"i-2"}, false}) })
	if got := r.questions(); len(got) != 1 || got[0].AtLeast != 30 || !slices.Equal(got[0].Only, []string{"i-2"}) {
		t.Errorf("it asked %+v", got)
	}
	// The same object twice is one question for it; an answer that is damaged is
	// asked for again, whole.
	r.answer(func(q events.SpecGet) *events.SpecSet {
		s := setOf(41, "i-3")
		if q.Only != nil {
			s.Manifest.Digest = "damaged"
		}
		return s
	})
	r.poke("i-3", 40)
	r.within("the whole set is there", func() bool { return reflect.DeepEqual(k.last(), given{41, []string{"i-3"}, true}) })
	// A flood of pokes is one question for everything.
	asked, gate := make(chan struct{}), make(chan struct{})
	r.answer(func(q events.SpecGet) *events.SpecSet {
		if slices.Equal(q.Only, []string{"first"}) {
			asked <- struct{}{}
			<-gate
			return setOf(50, "first")
		}
		return setOf(q.AtLeast, "all")
	})
	r.poke("first", 50)
	<-asked
	for i := range 2 * maxPoked {
		r.poke("i-"+strings.Repeat("x", i), uint64(51+i))
	}
	r.within("the node has heard every poke", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.floor >= 50+2*maxPoked
	})
	close(gate)
	r.within("the flood is answered by a whole set", func() bool {
		return reflect.DeepEqual(k.last(), given{50 + 2*maxPoked, []string{"all"}, true})
	})
	// What cannot be read is no poke.
	if err := r.conn.Publish("sk.spec.isle-1.node.h1.compute.instance-x", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	r.poke("i-9", 1000)
	r.within("it goes on", func() bool { return k.last().n >= 1000 })
}

// Without a region the keeper runs, and is told nothing; a restart remembers how
// far it had come, but not what it was told.
func TestAloneAndRestarted(t *testing.T) {
	r := newRegion(t)
	data := t.TempDir()
	r.answer(always(setOf(77, "i-1")))
	_, k, stop := r.start(data, short)
	r.within("the set is held", func() bool { return k.last().n == 77 })
	stop()

	r.answer(nil) // nobody answers
	_, k, stop = r.start(data, short)
	r.within("the keeper runs and the region was asked", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.running && len(r.questions()) > 0
	})
	if q := r.questions()[0]; q.AtLeast != 77 || q.Only != nil {
		t.Errorf("after a restart it asks %+v, and had 77", q)
	}
	if got := k.seen(); len(got) > 0 {
		t.Errorf("without a region the keeper was told %+v", got)
	}
	stop()

	// A damaged file counts as none.
	if err := os.WriteFile(filepath.Join(data, "specs.json"), []byte(`{"manifest":{"n":999,"digest":"no"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.answer(always(setOf(78, "i-1")))
	_, k, stop = r.start(data, short)
	r.within("the set is held", func() bool { return k.last().n == 78 })
	if q := r.questions()[0]; q.AtLeast != 10 {
		t.Errorf("with a damaged file it asks for %d", q.AtLeast)
	}
	stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	boots := map[string]bool{}
	for _, j := range r.joins {
		boots[j.Boot] = true
	}
	if len(boots) != 3 {
		t.Errorf("%d incarnations of three starts", len(boots))
	}
}

// A region that knows another start of the node, since that one's join came
// late, is joined again, and what it said until then is not held.
func TestAnotherStartIsKnown(t *testing.T) {
	r := newRegion(t)
	r.answer(func(events.SpecGet) *events.SpecSet { // r.mu is held
		s := setOf(20, "i-1")
		s.Boot = "another"
		if len(r.joins) > 1 {
			s.Boot = r.joins[len(r.joins)-1].Boot
		}
		return s
	})
	n, k, stop := r.start(t.TempDir(), time.Hour)
	defer stop()
	r.within("the set is held", func() bool { return len(k.seen()) > 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.joins) != 2 || r.joins[1].Boot != n.Boot() || len(r.asked) != 2 || len(k.seen()) != 1 {
		t.Errorf("joins %+v, asked %v, held %v", r.joins, r.asked, k.seen())
	}
}
