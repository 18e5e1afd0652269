package sim

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Weather is what a zone's Raft wire does to what the zone sends. Percentages
// are of messages.
type Weather struct {
	Loss      int           // requests that do not arrive
	Deaf      int           // answers that do not arrive: the work was done
	Duplicate int           // requests that arrive again later, when others have come in between
	Delay     time.Duration // at most this long on the way, each its own
}

var errLost = errors.New("sim: the message was lost")

// raftWire is one zone's end of the Raft wires.
type raftWire struct {
	*raft.InmemTransport

	all  *sync.Map // of the region: the wire of each address
	dead atomic.Bool

	mu      sync.Mutex
	weather Weather
	rng     *rand.Rand
}

func (w *raftWire) set(x Weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = x
}

// AppendEntriesPipeline refuses: without a pipeline each request is one call
// below, and has its own weather.
func (w *raftWire) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (w *raftWire) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return w.send(to, func() error { return w.InmemTransport.AppendEntries(id, to, args, resp) },
		func() { w.InmemTransport.AppendEntries(id, to, args, new(raft.AppendEntriesResponse)) })
}

// RequestVote implements raft.Transport.
func (w *raftWire) RequestVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return w.send(to, func() error { return w.InmemTransport.RequestVote(id, to, args, resp) },
		func() { w.InmemTransport.RequestVote(id, to, args, new(raft.RequestVoteResponse)) })
}

// RequestPreVote implements raft.WithPreVote.
func (w *raftWire) RequestPreVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return w.send(to, func() error { return w.InmemTransport.RequestPreVote(id, to, args, resp) },
		func() { w.InmemTransport.RequestPreVote(id, to, args, new(raft.RequestPreVoteResponse)) })
}

// InstallSnapshot implements raft.Transport.
func (w *raftWire) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	body, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	install := func(resp *raft.InstallSnapshotResponse) error {
		return w.InmemTransport.InstallSnapshot(id, to, args, resp, bytes.NewReader(body))
	}
	return w.send(to, func() error { return install(resp) }, func() { install(new(raft.InstallSnapshotResponse)) })
}

// heard does a call, and loses the answer of one that died meanwhile: what it
// says after its last sync, nobody hears.
func (w *raftWire) heard(to raft.ServerAddress, call func() error) error {
	other, _ := w.all.Load(to)
	err := call()
	if o, ok := other.(*raftWire); ok && o.dead.Load() {
		return errLost
	}
	return err
}

// send does a call in the wire's weather. Again is the same call, its answer
// unread.
func (w *raftWire) send(to raft.ServerAddress, call func() error, again func()) error {
	w.mu.Lock()
	x := w.weather
	var lost, deaf, twice bool
	var delay, later time.Duration
	if x != (Weather{}) {
		lost, deaf, twice = w.rng.IntN(100) < x.Loss, w.rng.IntN(100) < x.Deaf, w.rng.IntN(100) < x.Duplicate
		if x.Delay > 0 {
			delay = time.Duration(w.rng.Int64N(int64(x.Delay)))
		}
		later = time.Duration(w.rng.Int64N(int64(200 * time.Millisecond)))
	}
	w.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if lost {
		time.Sleep(50 * time.Millisecond) // the sender waits for an answer
		return errLost
	}
	err := w.heard(to, call)
	if twice {
		go func() {
			time.Sleep(later)
			again()
		}()
	}
	if deaf && err == nil {
		return errLost
	}
	return err
}
