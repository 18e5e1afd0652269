package voter

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/services/history"
)

var (
	start   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	discard = slog.New(slog.NewTextHandler(io.Discard, nil))
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openHistory(t testing.TB, fs vfs.FS) *history.Store {
	t.Helper()
	h, err := history.Open(fs, "/history", pebbleLog{discard})
	ok(t, err)
	return h
}

func form() events.Command {
	return events.FormRegion{Name: "isle-1", ID: "8f9ae0a2", Zones: []events.Zone{"isle-1a"}, Level: 1}
}

func stamped(id string, at time.Duration, c events.Command) events.Stamped {
	s := events.Stamp{ID: events.CommandID(id), Actor: "test", Version: 1, Time: start.Add(at)}
	copy(s.Seed[:], id)
	return events.Stamped{Stamp: s, Command: c}
}

// story is a log of a region's first commands.
func story(n int) []*raft.Log {
	logs := []*raft.Log{{Index: 1, Type: raft.LogConfiguration}, {Index: 2, Type: raft.LogCommand, Data: stamped("form", 0, form()).Encode()}}
	for i := range n {
		logs = append(logs, &raft.Log{Index: uint64(i + 3), Type: raft.LogCommand,
			Data: stamped(fmt.Sprint("account-", i), time.Duration(i+1)*time.Second, events.CreateAccount{Name: fmt.Sprint("account", i)}).Encode()})
	}
	return logs
}

// halts runs f and returns what it panicked with.
func halts(f func()) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprint(r)
		}
	}()
	f()
	return ""
}

// However the log is cut into batches, and however often it is replayed over
// the history it made, state and history are the same.
func TestReplay(t *testing.T) {
	fs := vfs.NewMem()
	h := openHistory(t, fs)
	one := newFSM(h)
	for _, l := range story(20) {
		one.Apply(l)
	}
	ok(t, h.Close())
	h = openHistory(t, fs)
	defer h.Close()
	two := newFSM(h)
	two.ApplyBatch(story(20)) // over the same history
	if one.view.Load().Digest() != two.view.Load().Digest() {
		t.Error("the same log made two states")
	}
	last := two.view.Load().Meta
	records, err := h.Range(1, 1000)
	ok(t, err)
	if uint64(len(records)) != last.N || records[len(records)-1].Hash != last.Last {
		t.Fatalf("%d records, the state is at %d", len(records), last.N)
	}
	prev := events.Hash{}
	for _, r := range records {
		if r.Prev != prev || sha256.Sum256(r.Encode()) != r.Hash {
			t.Fatalf("event %d does not continue the chain", r.N)
		}
		prev = r.Hash
	}
}

// A voter whose history is not what its log makes halts, and says where.
func TestTamperedHistoryHalts(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	newFSM(h).ApplyBatch(story(5))
	records, err := h.Range(1, 1000)
	ok(t, err)
	ok(t, h.Close())

	// The same numbers with one event changed and the chain made anew behind it.
	tampered := openHistory(t, vfs.NewMem())
	defer tampered.Close()
	prev := events.Hash{}
	at := uint64(0)
	for i, r := range records {
		if e, is := r.Event.(events.AccountCreated); is && e.Name == "account3" {
			e.AccessKey = "AKIASOMEBODYELSES"
			r.Event, at = e, r.N
		}
		r.Prev = prev
		r.Hash = sha256.Sum256(r.Encode())
		prev = r.Hash
		records[i] = r
	}
	ok(t, tampered.Append(records))
	why := halts(func() { newFSM(tampered).ApplyBatch(story(5)) })
	if !strings.Contains(why, "halt") || !strings.Contains(why, fmt.Sprintf("event %d", at)) || !strings.Contains(why, "AKIASOMEBODYELSES") {
		t.Errorf("a history changed at event %d: %q", at, why)
	}

	// A snapshot of a state that this history does not lead to.
	honest := newFSM(openHistory(t, vfs.NewMem()))
	honest.ApplyBatch(story(5))
	var b bytes.Buffer
	ok(t, honest.view.Load().Save(&b))
	why = halts(func() { err = newFSM(tampered).Restore(io.NopCloser(&b)) })
	if !strings.Contains(why, "halt") {
		t.Errorf("a snapshot against a changed history: %q, %v", why, err)
	}
}

// An entry that this program cannot read stops the voter: skipping it would be
// another region.
func TestUnreadableEntryHalts(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	defer h.Close()
	f := newFSM(h)
	why := halts(func() { f.Apply(&raft.Log{Index: 9, Type: raft.LogCommand, Data: []byte("from the future")}) })
	if !strings.Contains(why, "entry 9") {
		t.Errorf("%q", why)
	}
}

// State goes on from a snapshot as if it had never been away.
func TestSnapshotRestore(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	defer h.Close()
	all := story(20)
	whole := newFSM(h)
	whole.ApplyBatch(all)
	half := newFSM(openHistory(t, vfs.NewMem()))
	half.ApplyBatch(all[:11])
	snap, err := half.Snapshot()
	ok(t, err)
	half.ApplyBatch(all[11:13]) // a snapshot does not move with the state
	var sink memorySink
	ok(t, snap.Persist(&sink))
	snap.Release()
	if !sink.closed {
		t.Error("the sink was not closed")
	}
	for name, store := range map[string]*history.Store{"with the history": h, "without": openHistory(t, vfs.NewMem())} {
		back := newFSM(store)
		ok(t, back.Restore(io.NopCloser(bytes.NewReader(sink.Bytes()))))
		if back.view.Load().Meta.Index != 11 {
			t.Errorf("%s: restored at index %d", name, back.view.Load().Meta.Index)
		}
		back.ApplyBatch(all[11:])
		if back.view.Load().Digest() != whole.view.Load().Digest() {
			t.Errorf("%s: restored, it is another state", name)
		}
	}
	if err := newFSM(h).Restore(io.NopCloser(strings.NewReader("damaged"))); err == nil {
		t.Error("a damaged snapshot was restored")
	}
}

type memorySink struct {
	bytes.Buffer
	closed bool
}

func (*memorySink) ID() string     { return "s" }
func (*memorySink) Cancel() error  { return nil }
func (s *memorySink) Close() error { s.closed = true; return nil }

// What the state machine answers: once per id, once per client token, faults by
// command id, nothing for those who are gone.
func TestAnswers(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	defer h.Close()
	f := newFSM(h)
	index := uint64(0)
	do := func(s events.Stamped) events.Reply {
		index++
		return f.Apply(&raft.Log{Index: index, Type: raft.LogCommand, Data: s.Encode()}).(events.Reply)
	}
	code := func(r events.Reply) string {
		if r.Fault == nil {
			return ""
		}
		return r.Fault.FaultCode
	}
	do(stamped("form", 0, form()))
	alice := do(stamped("a", 1, events.CreateAccount{Name: "alice"}))
	n := alice.N
	if again := do(stamped("a", 2, events.CreateAccount{Name: "alice"})); again.First != alice.First || again.Last != alice.Last || again.N != n || f.view.Load().Meta.N != n {
		t.Errorf("the same id: %+v, then %+v", alice, again)
	}
	// The id is the command: whatever else is sent with it.
	if again := do(stamped("a", 3, events.CreateAccount{Name: "mallory"})); again.First != alice.First || f.view.Load().Meta.N != n {
		t.Errorf("the same id with other words acted: %+v", again)
	}

	// A fault is remembered by command id, also when it would not happen any more.
	if got := do(stamped("dup", 4, events.CreateAccount{Name: "alice"})); code(got) != "EntityAlreadyExists" {
		t.Errorf("%+v", got)
	}
	id := alice.Events[0].Event.(events.AccountCreated).ID
	do(stamped("del", 5, events.DeleteAccount{ID: id}))
	if got := do(stamped("dup", 6, events.CreateAccount{Name: "alice"})); code(got) != "EntityAlreadyExists" {
		t.Errorf("a remembered fault: %+v", got)
	}

	// Client tokens: per account and command, with the same parameters only; a
	// fault is not remembered by token.
	token := func(id, token string, account events.AccountID, c events.Command) events.Reply {
		s := stamped(id, 10, c)
		s.Stamp.ClientToken, s.Stamp.Account = token, account
		return do(s)
	}
	bob := token("b1", "t", "1", events.CreateAccount{Name: "bob"})
	n = f.view.Load().Meta.N
	if got := token("b2", "t", "1", events.CreateAccount{Name: "bob"}); got.First != bob.First || f.view.Load().Meta.N != n {
		t.Errorf("the same token: %+v, then %+v", bob, got)
	}
	if got := token("b3", "t", "1", events.CreateAccount{Name: "bob2"}); code(got) != "IdempotentParameterMismatch" {
		t.Errorf("the same token with other parameters: %+v", got)
	}
	if got := token("b4", "t", "2", events.CreateAccount{Name: "bob3"}); code(got) != "" || got.First == bob.First {
		t.Errorf("another account's token: %+v", got)
	}
	if got := token("b5", "u", "1", events.CreateAccount{Name: "bob"}); code(got) != "EntityAlreadyExists" {
		t.Errorf("%+v", got)
	}
	if got := token("b6", "u", "1", events.CreateAccount{Name: "carol"}); code(got) != "" {
		t.Errorf("a token of a refused call: %+v", got)
	}

	// One whose caller has given up does not act, and is not remembered.
	late := stamped("late", time.Hour, events.CreateAccount{Name: "late"})
	late.Stamp.Expires = start.Add(time.Minute)
	if got := do(late); code(got) != "RequestExpired" {
		t.Errorf("%+v", got)
	}
	late.Stamp.Expires = start.Add(2 * time.Hour)
	if got := do(late); code(got) != "" || got.First == 0 {
		t.Errorf("tried again in time: %+v", got)
	}
	late.Stamp.Expires = start // answered already: that it is late does not matter
	if got := do(late); code(got) != "" || got.First == 0 {
		t.Errorf("asked again for its answer: %+v", got)
	}

	// Time goes forward along the log, whatever the stamps say.
	var last time.Time
	records, err := h.Range(1, 1000)
	ok(t, err)
	cause := events.CommandID("")
	for _, r := range records {
		if r.Time.Before(last) || r.Cause != cause && !r.Time.After(last) {
			t.Errorf("event %d is stamped %v, the one before %v", r.N, r.Time, last)
		}
		last, cause = r.Time, r.Cause
	}
}
