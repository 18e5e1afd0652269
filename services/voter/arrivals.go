package voter

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"skerry/services/raftlog"
)

// Transport carries Raft's messages.
type Transport interface {
	raft.Transport
	raft.WithPreVote
}

// arrivals is a transport that puts right what raft 1.8.0 would do to a message
// that comes late, twice, or after its answer to an earlier one was lost. Raft
// holds no entry of a snapshot that it was sent, knows of that snapshot's end
// only while nothing is behind it, and starts from the snapshot again when a
// leader asks for anything before: the voter would lose what it has
// acknowledged since, and go on as if it had it. (hashicorp/raft#697 and #86 are
// about the same places.) The rules are of the Raft paper, figures 2 and 13:
//
//   - A snapshot whose last entry is here is not installed. The answer is yes.
//   - Entries that a snapshot here covers are not compared: they were committed,
//     so every leader has them. What is left of a message follows the snapshot.
//   - A leader's commit index reaches no further than the entries it was sent
//     with: what is behind them may be of nobody.
//
// Messages are taken one at a time and in order. What is still on its way
// through raft while one is looked at can only add to what is here.
//
// A log that conflicts with a snapshot and is longer cannot come up: what nobody
// committed is at most maxInFlight long, and a voter is sent a snapshot only
// where it lacks more than the trailing entries behind it.
type arrivals struct {
	Transport
	log   entries
	term  func() uint64 // of the member
	in    chan raft.RPC
	ended chan struct{}
	end   sync.Once
	gone  sync.WaitGroup
}

func newArrivals(t Transport, log entries) *arrivals {
	return &arrivals{Transport: t, log: log, in: make(chan raft.RPC), ended: make(chan struct{})}
}

// start lets messages in, once there is a member to ask.
func (a *arrivals) start(r *raft.Raft) {
	a.term = r.CurrentTerm
	a.gone.Go(func() {
		for {
			select {
			case m := <-a.Transport.Consumer():
				switch c := m.Command.(type) {
				case *raft.AppendEntriesRequest:
					m.Command = a.within(c)
				case *raft.InstallSnapshotRequest:
					if a.has(c) {
						go skip(m, c) // its sender may never come to its end
						continue
					}
				}
				select {
				case a.in <- m:
				case <-a.ended:
					m.Respond(nil, raft.ErrRaftShutdown)
					return
				}
			case <-a.ended:
				return
			}
		}
	})
}

// has says that a snapshot of the present term, or of one to come, holds
// nothing new. Snapshots of earlier terms are raft's to refuse.
func (a *arrivals) has(s *raft.InstallSnapshotRequest) bool {
	if s.Term < a.term() {
		return false
	}
	if s.LastLogIndex <= a.log.applied() {
		return true
	}
	var l raft.Log
	return a.log.GetLog(s.LastLogIndex, &l) == nil && l.Term == s.LastLogTerm
}

// skip reads a snapshot past, and thanks for it.
func skip(m raft.RPC, s *raft.InstallSnapshotRequest) {
	_, err := io.Copy(io.Discard, m.Reader)
	m.Respond(&raft.InstallSnapshotResponse{RPCHeader: s.RPCHeader, Term: s.Term, Success: err == nil}, err)
}

// within is the part of a message that the newest snapshot here does not cover,
// with a commit index that is within it. The message itself may be its sender's
// still, and is left as it is.
func (a *arrivals) within(m *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	if m.PrevLogEntry == 0 && len(m.Entries) == 0 {
		return m // a heartbeat, which says nothing of the log
	}
	out := *m
	if index, term := a.log.base(); m.PrevLogEntry < index && m.Term >= a.term() {
		out.Entries = m.Entries[min(index-m.PrevLogEntry, uint64(len(m.Entries))):]
		out.PrevLogEntry, out.PrevLogTerm = index, term
	}
	out.LeaderCommitIndex = min(m.LeaderCommitIndex, out.PrevLogEntry+uint64(len(out.Entries)))
	return &out
}

// Consumer implements raft.Transport.
func (a *arrivals) Consumer() <-chan raft.RPC { return a.in }

// Close implements raft.WithClose.
func (a *arrivals) Close() error {
	a.end.Do(func() { close(a.ended) })
	a.gone.Wait()
	if c, ok := a.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

// entries is the log as raft sees it: it also tells the term of the entry that
// it stands on, which raft asks for when it compares.
type entries struct {
	*raftlog.Store
	snaps   *raftlog.Snapshots
	applied func() uint64 // what the state has, 0 before there is a member
}

// base is the last entry of the newest snapshot, 0 without one. One that the
// state is still being read from does not count: nothing may stand on it yet.
func (e entries) base() (index, term uint64) {
	if index, term = e.snaps.Newest(); index > e.applied() {
		return 0, 0
	}
	return index, term
}

// GetLog implements raft.LogStore. An entry that only a snapshot holds has no
// data; a voter without the one before it cannot send it to another one.
func (e entries) GetLog(index uint64, l *raft.Log) error {
	err := e.Store.GetLog(index, l)
	if errors.Is(err, raft.ErrLogNotFound) {
		if at, term := e.base(); index == at && index > 1 {
			*l = raft.Log{Index: at, Term: term, Type: raft.LogNoop}
			return nil
		}
	}
	return err
}
