package history

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

// trailOf makes the history of n commands of all sorts: calls of two accounts
// with several events, and what nodes and operators do between.
func trailOf(rng *rand.Rand, n int) []events.Record {
	var out []events.Record
	add := func(r events.Record) {
		if len(out) > 0 {
			r.Prev = out[len(out)-1].Hash
		}
		r.N = uint64(len(out) + 1)
		r.Hash = sha256.Sum256(r.Encode())
		out = append(out, r)
	}
	at := time.Unix(1000, 0).UTC()
	for i := range n {
		at = at.Add(time.Duration(rng.IntN(3000)) * time.Millisecond)
		r := events.Record{Time: at, Cause: events.CommandID(fmt.Sprint("c", i)), Actor: "node:h/compute"}
		calls := rng.IntN(4)
		if calls < 2 { // one that an operator does for an account has no call
			r.Account, r.Actor = events.AccountID(fmt.Sprint(1+rng.IntN(2))), "operator"
		}
		if calls == 0 {
			user := rng.IntN(3)
			r.Actor = []string{"arn:aws:iam::1:root", "arn:aws:iam::1:user/jo", "arn:aws:iam::1:user/al"}[user]
			r.Call = events.Call{Action: []string{"CreateVpc", "DeleteVpc"}[rng.IntN(2)], AccessKey: fmt.Sprint("AKIA", user)}
		}
		for range 1 + rng.IntN(4) {
			r.Event = events.ResourceTagged{Account: "1", Resource: fmt.Sprintf("vol-%017x", rng.IntN(6))}
			add(r)
			r.Call = events.Call{}
		}
	}
	return out
}

// Walks find what a search through all records finds, in whatever pieces.
func TestCalls(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	records := trailOf(rng, 400)
	s := open(t, vfs.NewMem())
	defer s.Close()
	must(t, s.Append(records))
	last := records[len(records)-1].Time
	found := 0
	for range 500 {
		w := Walk{Account: events.AccountID(fmt.Sprint(1 + rng.IntN(3)))}
		if rng.IntN(2) == 0 {
			w.Resource = fmt.Sprintf("vol-%017x", rng.IntN(7))
		}
		if rng.IntN(2) == 0 {
			w.Since = time.Unix(990+rng.Int64N(last.Unix()-980), 0)
		}
		if rng.IntN(2) == 0 {
			w.Until = time.Unix(990+rng.Int64N(last.Unix()-980), 0)
		}
		var want []uint64
		for i, r := range records {
			second := r.Time.Truncate(time.Second)
			if r.Call.Action == "" || r.Account != w.Account || second.Before(w.Since) || !w.Until.IsZero() && second.After(w.Until) {
				continue
			}
			names := w.Resource == ""
			for _, x := range records[i:] {
				names = names || x.Cause == r.Cause && x.Event.(events.ResourceTagged).Resource == w.Resource
			}
			if names {
				want = append(want, r.N)
			}
		}
		slices.Reverse(want)
		var got []uint64
		for walked := w; ; {
			most := 1 + rng.IntN(20)
			below, err := s.Calls(walked, func(c Call) bool {
				if most--; most < 0 {
					return false
				}
				r := records[c.N-1]
				if c.Action != r.Call.Action || c.AccessKey != r.Call.AccessKey || c.User != UserOf(r.Actor) || !c.Time.Equal(r.Time.Truncate(time.Second)) {
					t.Fatalf("the call of %+v is %+v", r, c)
				}
				got = append(got, c.N)
				return true
			})
			must(t, err)
			if below == 0 {
				break
			}
			walked.Below = below
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: %v, want %v", w, got, want)
		}
		found += len(got)
	}
	if found < 1000 {
		t.Errorf("only %d calls were found", found)
	}
	for _, r := range records {
		act, err := s.Act(r.N)
		must(t, err)
		if act.First.N != r.N || act.Read < 1 || act.Read > 4 || len(act.Resources) < 1 || len(act.Events) != 1 {
			t.Fatalf("%+v", act)
		}
	}
	if _, err := s.Act(uint64(len(records) + 1)); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}

// One walk reads a bounded part, and the next goes on from there.
func TestCallsAreBounded(t *testing.T) {
	const id = "vol-0123456789abcdef0"
	s := open(t, vfs.NewMem())
	defer s.Close()
	var records []events.Record
	for n := range uint64(2*maxLines + 5) {
		r := events.Record{N: n + 1, Time: time.Unix(int64(n), 0).UTC(), Cause: events.CommandID(fmt.Sprint(n)), Actor: "arn:aws:iam::1:root", Account: "1",
			Event: events.ResourceUntagged{Account: "1", Resource: id}}
		if n != 1 { // this one is of the call before it, and the only one that tells it
			r.Call.Action = "DeleteTags"
		}
		records = append(records, r)
	}
	must(t, s.Append(records))
	for _, w := range []Walk{{Account: "1"}, {Account: "1", Resource: id}} {
		walks, calls := 0, 0
		for more := true; more; more = w.Below > 0 {
			seen := 0
			below, err := s.Calls(w, func(Call) bool { seen++; return true })
			must(t, err)
			if seen > maxLines {
				t.Fatalf("%d calls in one walk", seen)
			}
			walks, calls, w.Below = walks+1, calls+seen, below
		}
		if walks != 3 || calls != 2*maxLines+4 {
			t.Errorf("%d calls in %d walks", calls, walks)
		}
	}
}
