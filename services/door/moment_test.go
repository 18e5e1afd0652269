package door

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"github.com/nats-io/nats.go/micro"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/voter"
)

// asked is a question of the bus, and what was answered.
type asked struct {
	micro.Request
	inbox  string
	data   []byte
	answer any
	fault  string
	times  int
}

func (a *asked) Reply() string { return a.inbox }
func (a *asked) Data() []byte  { return a.data }
func (a *asked) RespondJSON(v any, _ ...micro.RespondOpt) error {
	a.answer = v
	a.times++
	return nil
}
func (a *asked) Error(code, about string, _ []byte, _ ...micro.RespondOpt) error {
	a.fault = code
	a.times++
	return nil
}

// leader is a region of one voter.
func leader(t *testing.T) *Door {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	addr, transport := raft.NewInmemTransport("")
	v, err := voter.Open(voter.Options{AZ: "isle-1a", Voters: []raft.Server{{ID: "isle-1a", Address: addr}}, Bootstrap: true, FS: vfs.NewMem(), Dir: "voter",
		Transport: transport, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	leads := make(chan struct{})
	wg.Go(func() {
		v.Lead(ctx, func(ctx context.Context) { close(leads); <-ctx.Done() })
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	<-leads
	return &Door{Region: "isle-1", Voter: v, Log: log}
}

// What the region was at a moment does not depend on the snapshots at hand.
func TestMoments(t *testing.T) {
	d := leader(t)
	do := func(id string, c events.Command) events.Reply {
		t.Helper()
		s := events.Stamp{ID: events.CommandID(id), Actor: "test", Version: 1}
		copy(s.Seed[:], id)
		r, err := d.Voter.Propose(events.Stamped{Stamp: s, Command: c})
		if err != nil || r.Fault != nil {
			t.Fatal(err, r.Fault)
		}
		return r
	}
	do("form", events.FormRegion{Name: "isle-1", ID: "8f9ae0a2", Zones: []events.Zone{"isle-1a"}, Level: 1})
	var accounts []string
	for i := range 6 {
		r := do(fmt.Sprint("account-", i), events.CreateAccount{Name: fmt.Sprint("account", i)})
		accounts = append(accounts, string(r.Events[0].Event.(events.AccountCreated).ID))
		if i == 3 {
			do("gone", events.DeleteAccount{ID: events.AccountID(accounts[1])})
		}
	}
	last := d.Voter.View().Meta.N
	records, err := d.Voter.History().Range(1, int(last))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		tx := state.New()
		for _, r := range records {
			tx.Apply(r)
			want, err := tx.Rows(accounts[1])
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.at(events.MomentQuery{Resource: accounts[1], N: r.N})
			if err != nil || got.N != r.N || !got.Time.Equal(r.Time) || !maps.EqualFunc(got.Rows, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Fatalf("%s, event %d: %v %+v, want %s", when, r.N, err, got, want)
			}
			timed, err := d.at(events.MomentQuery{Resource: accounts[1], Time: r.Time})
			if err != nil || timed.N < r.N || len(timed.Rows) != len(want) && timed.N == r.N {
				t.Fatalf("%s, at %v: %v %+v", when, r.Time, err, timed)
			}
		}
	}
	check("without a snapshot")
	if err := d.Voter.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		do(fmt.Sprint("later-", i), events.CreateAccount{Name: fmt.Sprint("later", i)})
	}
	if tx, err := d.Voter.Past(func(m state.Meta) bool { return m.N <= last }); err != nil || tx.Meta.N != last {
		t.Fatalf("the snapshot is not at hand: %v", err)
	}
	if tx, err := d.Voter.Past(func(m state.Meta) bool { return m.N < last }); err != nil || tx.Meta.N != 0 {
		t.Fatalf("a snapshot of later is taken: %v", err)
	}
	newest := d.Voter.View().Meta.N
	if records, err = d.Voter.History().Range(1, int(newest)); err != nil {
		t.Fatal(err)
	}
	check("with a snapshot")
	for _, q := range []events.MomentQuery{{}, {N: 1, Time: time.Now()}, {N: newest + 1}} {
		if _, err := d.at(q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
}

// A voter makes so many states of the past at a time and says when it is busy; a
// question that comes again is not another one.
func TestMomentsAreBounded(t *testing.T) {
	d := leader(t)
	p := newPast(d)
	p.under["one"], p.under["two"] = true, true
	again := &asked{inbox: "two"}
	p.moment(again)
	if again.times != 0 {
		t.Errorf("the question that is under way is answered twice: %+v", again)
	}
	third := &asked{inbox: "three"}
	p.moment(third)
	if third.fault != "RequestLimitExceeded" || len(p.under) != maxMoments {
		t.Errorf("%+v, %v", third, p.under)
	}
	delete(p.under, "one")
	if p.moment(third); third.fault != "InvalidParameterCombination" || len(p.under) != maxMoments-1 {
		t.Errorf("%+v, %v", third, p.under)
	}
}
