package voter

import (
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"skerry/services/raftlog"
)

// A voter with a snapshot up to entry 100 of term 4 and a log from 101 to 105,
// and what raft sees of messages to it.
func TestMessagesAreCutToWhatIsNotHere(t *testing.T) {
	fs := vfs.NewMem()
	store, err := raftlog.Open(fs, "/raft", pebbleLog{discard})
	ok(t, err)
	defer store.Close()
	snaps, err := raftlog.OpenSnapshots(fs, "/snapshots")
	ok(t, err)
	logs := func(first, last, term uint64) []*raft.Log {
		var out []*raft.Log
		for i := first; i <= last; i++ {
			out = append(out, &raft.Log{Index: i, Term: term})
		}
		return out
	}
	ok(t, store.StoreLogs(logs(101, 105, 5)))
	_, wire := raft.NewInmemTransport("here")
	applied := uint64(102)
	a := newArrivals(wire, entries{store, snaps, func() uint64 { return applied }})
	a.term = func() uint64 { return 5 }
	message := func(prev, prevTerm uint64, es []*raft.Log, commit uint64) raft.AppendEntriesRequest {
		return raft.AppendEntriesRequest{Term: 5, PrevLogEntry: prev, PrevLogTerm: prevTerm, Entries: es, LeaderCommitIndex: commit}
	}
	heartbeat := raft.AppendEntriesRequest{Term: 5}
	if got := a.within(&heartbeat); !reflect.DeepEqual(*got, heartbeat) {
		t.Errorf("a heartbeat became %+v", got)
	}
	early := message(90, 4, logs(91, 103, 5), 200)
	if got := a.within(&early); got.PrevLogEntry != 90 || len(got.Entries) != 13 || got.LeaderCommitIndex != 103 {
		t.Errorf("without a snapshot: %+v", got)
	}
	var l raft.Log
	if err := a.log.GetLog(100, &l); err != raft.ErrLogNotFound {
		t.Errorf("entry 100 without a snapshot: %+v, %v", l, err)
	}

	sink, err := snaps.Create(1, 100, 4, raft.Configuration{}, 1, nil)
	ok(t, err)
	ok(t, sink.Close())
	ok(t, a.log.GetLog(100, &l))
	if l.Index != 100 || l.Term != 4 || l.Type != raft.LogNoop {
		t.Errorf("the end of the snapshot is told as %+v", l)
	}
	if err := a.log.GetLog(99, &l); err != raft.ErrLogNotFound {
		t.Errorf("an entry within the snapshot: %+v, %v", l, err)
	}
	for name, c := range map[string]struct{ in, want raft.AppendEntriesRequest }{
		"across the end":          {message(90, 4, logs(91, 103, 5), 200), message(100, 4, logs(101, 103, 5), 103)},
		"before it":               {message(90, 4, logs(91, 95, 4), 95), message(100, 4, nil, 95)},
		"up to it":                {message(90, 4, logs(91, 100, 4), 100), message(100, 4, nil, 100)},
		"before it, without any":  {message(90, 4, nil, 200), message(100, 4, nil, 100)},
		"from the first on":       {message(0, 0, logs(1, 101, 5), 101), message(100, 4, logs(101, 101, 5), 101)},
		"right behind it":         {message(100, 4, logs(101, 106, 5), 102), message(100, 4, logs(101, 106, 5), 102)},
		"behind the log":          {message(105, 5, logs(106, 107, 5), 200), message(105, 5, logs(106, 107, 5), 107)},
		"a commit that is news":   {message(105, 5, nil, 105), message(105, 5, nil, 105)},
		"a commit of what is not": {message(103, 5, nil, 105), message(103, 5, nil, 103)},
	} {
		was := c.in
		got := a.within(&c.in)
		if !reflect.DeepEqual(c.in, was) {
			t.Errorf("%s: the sender's own message became %+v", name, c.in)
		}
		if len(got.Entries) == 0 {
			got.Entries = nil
		}
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	// A leader of the past has no say, and a snapshot that is not applied yet none either.
	past := message(90, 4, logs(91, 103, 3), 100)
	past.Term = 4
	if got := a.within(&past); got.PrevLogEntry != 90 {
		t.Errorf("a leader of the past: %+v", got)
	}
	applied = 99
	if got := a.within(&early); got.PrevLogEntry != 90 {
		t.Errorf("a snapshot that is still being taken up: %+v", got)
	}
	if err := a.log.GetLog(100, &l); err != raft.ErrLogNotFound {
		t.Errorf("the end of a snapshot that is still being taken up: %+v, %v", l, err)
	}
	if a.has(&raft.InstallSnapshotRequest{Term: 5, LastLogIndex: 100, LastLogTerm: 4}) {
		t.Error("a snapshot that is still being taken up counts as here when it comes again")
	}
	applied = 102
	for name, c := range map[string]struct {
		term, index, last uint64
		has               bool
	}{
		"the one that is here":         {5, 100, 4, true},
		"an older one":                 {5, 40, 2, true},
		"of what is applied":           {6, 102, 5, true},
		"of what is in the log":        {5, 104, 5, true},
		"of another end of the log":    {6, 104, 6, false},
		"of more than is here":         {5, 106, 5, false},
		"by a leader of the past":      {4, 100, 4, false},
		"by the next one, of new ends": {6, 300, 6, false},
	} {
		if got := a.has(&raft.InstallSnapshotRequest{Term: c.term, LastLogIndex: c.index, LastLogTerm: c.last}); got != c.has {
			t.Errorf("a snapshot %s: %v", name, got)
		}
	}
}
