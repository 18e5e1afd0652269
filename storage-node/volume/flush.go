package volume

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// flusher is the group commit: those who want to flush while a sync is under
// way wait for it and share the next.
type flusher struct {
	durable atomic.Uint64 // highest seq known to be on stable storage

	mu   sync.Mutex
	busy chan struct{} // closed when the sync under way ends; nil: none is
}

// Flush returns when everything that was acknowledged before it is on stable
// storage.
func (v *Volume) Flush() error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	v.mu.RLock()
	upto, failed := v.seq, v.failed
	v.mu.RUnlock()
	if failed != nil {
		return fmt.Errorf("volume: flush %s: %w", v.id, failed)
	}
	f := &v.flush
	for f.durable.Load() < upto {
		f.mu.Lock()
		if busy := f.busy; busy != nil {
			f.mu.Unlock()
			<-busy
			if err := v.Err(); err != nil {
				return fmt.Errorf("volume: flush %s: %w", v.id, err)
			}
			continue
		}
		done := make(chan struct{})
		f.busy = done
		f.mu.Unlock()
		err := v.syncLog()
		f.mu.Lock()
		f.busy = nil
		f.mu.Unlock()
		close(done)
		if err != nil {
			return fmt.Errorf("volume: flush %s: %w", v.id, err)
		}
	}
	return nil
}

// syncLog brings the log to stable storage, oldest segment first: a record that
// is stable has only stable ones before it.
func (v *Volume) syncLog() error {
	v.mu.RLock()
	upto := v.seq
	var dirty []*segment
	sizes := map[*segment]int64{}
	for _, s := range v.full {
		if s.dirty {
			dirty = append(dirty, s)
		}
	}
	if s := v.active; s != nil && s.dirty {
		dirty = append(dirty, s)
	}
	for _, s := range dirty {
		s.refs.Add(1)
		sizes[s] = s.size
	}
	v.mu.RUnlock()
	var err error
	for _, s := range dirty {
		if err == nil {
			v.syncs.Add(1)
			if err = s.f.SyncData(); err != nil {
				err = v.fail(err)
			}
		}
		s.release()
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	for _, s := range dirty {
		if s.size == sizes[s] {
			s.dirty = false
		}
	}
	v.mu.Unlock()
	for {
		have := v.flush.durable.Load()
		if upto <= have || v.flush.durable.CompareAndSwap(have, upto) {
			return nil
		}
	}
}

// Syncs counts how often the log was brought to stable storage.
func (v *Volume) Syncs() uint64 { return v.syncs.Load() }
