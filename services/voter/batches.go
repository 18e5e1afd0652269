package voter

import (
	"time"

	"github.com/hashicorp/raft"

	"skerry/events"
)

// abreast is how many batches of proposals are on their way to a majority at a
// time. Raft takes what it finds, and syncs it at once: clients that come one by
// one would have a sync each, on every voter. What waits for a batch to land
// goes with the next one, and so the busier the region, the more of them share
// a sync; alone, a command never waits.
const abreast = 2

// proposal is a command that waits for raft to take it.
type proposal struct {
	s     events.Stamped
	taken chan struct{}    // closed with the rest set
	log   raft.ApplyFuture // nil: the voter does not lead
	last  bool             // of its batch
}

// submit hands a command to raft and waits for its answer.
func (v *Voter) submit(s events.Stamped) (raft.ApplyFuture, error) {
	p := &proposal{s: s, taken: make(chan struct{})}
	v.mu.Lock()
	if !v.leading || v.closing {
		v.mu.Unlock()
		return nil, ErrNotLeader
	}
	v.calls.Add(1)
	defer v.calls.Done()
	v.waiting = append(v.waiting, p)
	v.depart()
	v.mu.Unlock()
	<-p.taken
	if p.log == nil {
		return nil, ErrNotLeader
	}
	err := p.log.Error()
	if p.last {
		v.mu.Lock()
		v.flying--
		v.depart()
		v.mu.Unlock()
	}
	return p.log, err
}

// depart gives raft what waits, if another batch may go. v.mu is held: stamps
// rise in the order of the log.
func (v *Voter) depart() {
	for v.flying < abreast && len(v.waiting) > 0 {
		batch := v.waiting[:min(len(v.waiting), maxAppend/abreast)] // raft has room for all
		v.waiting = v.waiting[len(batch):]
		if v.leading && !v.closing {
			entries := make([][]byte, len(batch))
			for i, p := range batch {
				p.s.Stamp.Time = v.stamp()
				entries[i] = p.s.Encode()
			}
			for i, p := range batch { // at one go: raft syncs what it finds
				p.log = v.raft.Apply(entries[i], time.Second)
			}
			batch[len(batch)-1].last = true
			v.flying++
		}
		for _, p := range batch {
			close(p.taken)
		}
	}
}
