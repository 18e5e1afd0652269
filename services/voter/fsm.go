package voter

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/history"
	"skerry/services/state"
)

// fsm is the region's state machine. Raft calls it from one goroutine; readers
// take views.
type fsm struct {
	tx   *state.Tx
	hist *history.Store
	view atomic.Pointer[state.View]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a view is published
}

func newFSM(hist *history.Store) *fsm {
	f := &fsm{tx: state.New(), hist: hist, changed: make(chan struct{})}
	f.view.Store(f.tx.Publish())
	return f
}

// Changed is closed when a newer view is published.
func (f *fsm) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fsm) publish() {
	f.view.Store(f.tx.Publish())
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Apply applies one entry.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries in order and publishes one view for all of them.
// Each answer is an events.Reply.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	var made []events.Record
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		s, err := events.DecodeStamped(l.Data)
		if err != nil {
			panic(fmt.Sprintf("voter: entry %d cannot be read, this program is older than the log: %v", l.Index, err))
		}
		reply := f.apply(s, l.Index)
		made = append(made, reply.Events...)
		out[i] = reply
	}
	if err := f.hist.Append(made); err != nil {
		panic(fmt.Sprintf("voter: halt: %v", err))
	}
	f.publish()
	return out
}

// apply decides one command and evolves its events.
func (f *fsm) apply(s events.Stamped, index uint64) events.Reply {
	tx := f.tx
	if !s.Stamp.Time.After(tx.Meta.Time) {
		s.Stamp.Time = tx.Meta.Time.Add(1)
	}
	if a, ok := tx.Commands.Get(string(s.Stamp.ID)); ok {
		return events.Reply{First: a.First, Last: a.Last, N: a.N, Fault: a.Fault}
	}
	if e := s.Stamp.Expires; !e.IsZero() && s.Stamp.Time.After(e) {
		// Nobody waits for it any more. It is not remembered: a retry is a new question.
		return events.Reply{N: tx.Meta.N, Fault: events.Faultf("RequestExpired", "The region came to this command after its caller had given up; try again.")}
	}
	token, hash := "", events.Hash{}
	if s.Stamp.ClientToken != "" {
		token = string(s.Stamp.Account) + "/" + events.Name(s.Command) + "/" + s.Stamp.ClientToken
		hash = sha256.Sum256(events.CommandBytes(s.Command))
		if a, ok := tx.Tokens.Get(token); ok {
			answered := *a
			answered.At = s.Stamp.Time
			if a.Hash != hash {
				answered = state.Answered{N: tx.Meta.N, At: s.Stamp.Time, Fault: events.Faultf("IdempotentParameterMismatch", "The client token '%s' was used before with other parameters.", s.Stamp.ClientToken)}
			}
			tx.Answer(s, index, answered, "")
			return events.Reply{First: answered.First, Last: answered.Last, N: answered.N, Fault: answered.Fault}
		}
	}
	made, fault := decide.Command(&tx.View, s)
	answered := state.Answered{N: tx.Meta.N, Fault: fault, Hash: hash, At: s.Stamp.Time}
	if fault != nil {
		tx.Answer(s, index, answered, "")
		return events.Reply{N: answered.N, Fault: fault}
	}
	records := make([]events.Record, 0, len(made))
	for _, e := range made {
		r := events.Record{N: tx.Meta.N + 1, Prev: tx.Meta.Last, Time: s.Stamp.Time, Cause: s.Stamp.ID,
			Request: s.Stamp.Request, Actor: s.Stamp.Actor, Account: s.Stamp.Account, Event: e}
		r.Hash = sha256.Sum256(r.Encode())
		tx.Apply(r)
		records = append(records, r)
	}
	if len(records) > 0 {
		answered.First, answered.Last = records[0].N, records[len(records)-1].N
	}
	answered.N = tx.Meta.N
	tx.Answer(s, index, answered, token)
	return events.Reply{First: answered.First, Last: answered.Last, N: answered.N, Events: records}
}

// Snapshot is O(1): the published view never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{f.view.Load(), f.hist}, nil
}

// Restore replaces the state by a snapshot's. Where the history holds the
// snapshot's last event it must be the same one.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	tx, err := state.Load(r)
	if err != nil {
		return err
	}
	if tx.Meta.N > 0 {
		held, err := f.hist.Get(tx.Meta.N)
		switch {
		case errors.Is(err, history.ErrMissing): // a peer's snapshot: the hole is filled from peers
		case err != nil:
			return err
		case held.Hash != tx.Meta.Last:
			panic(fmt.Sprintf("voter: halt: event %d of the history is not the snapshot's", tx.Meta.N))
		}
	}
	f.tx = tx
	f.publish()
	return nil
}

type snapshot struct {
	view *state.View
	hist *history.Store
}

// Persist writes the state. The history is made durable first: the log that
// could make it again is truncated afterwards.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	err := s.hist.Flush()
	if err == nil {
		err = s.view.Save(sink)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s *snapshot) Release() {}
