package voter

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/internal/planted"
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
		reply := decide.Apply(f.tx, s, l.Index)
		made = append(made, reply.Events...)
		out[i] = reply
	}
	if err := f.hist.Append(made); err != nil {
		panic(fmt.Sprintf("voter: halt: %v", err))
	}
	f.publish()
	return out
}

// Snapshot is O(1): the published view never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{f.view.Load(), f.hist}, nil
}

// Restore replaces the state by a snapshot's, which raft closes. Where the history holds the
// snapshot's last event it must be the same one.
func (f *fsm) Restore(r io.ReadCloser) error {
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
	var err error
	if !planted.On(planted.UnflushedHistory) {
		err = s.hist.Flush()
	}
	if err == nil {
		err = s.view.Save(sink)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s *snapshot) Release() {}
