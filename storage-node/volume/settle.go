package volume

import "fmt"

// settleChunk is how much of the base one write has at most.
const settleChunk = 1 << 20

// settler brings full segments into the base until the volume is closed.
func (v *Volume) settler() {
	for {
		select {
		case <-v.quit:
			return
		case <-v.poke:
		}
		for {
			select {
			case <-v.quit:
				return
			default:
			}
			v.mu.RLock()
			var s *segment
			if len(v.full) > 0 && v.failed == nil {
				s = v.full[0]
			}
			v.mu.RUnlock()
			if s == nil {
				break
			}
			err := v.settle(s)
			if err != nil {
				v.log.Warn("volume: settle", "id", v.id, "segment", s.name, "err", err)
			}
			v.mu.Lock()
			v.tries++
			v.last = err
			v.settled.Broadcast()
			v.mu.Unlock()
			if err != nil {
				break // until the next poke
			}
		}
	}
}

// settle brings one segment into the base and removes it. The oldest goes
// first, and the next one only when its file is gone for good: a segment that
// came back would put old data over newer.
func (v *Volume) settle(s *segment) error {
	if err := v.removeLeft(); err != nil {
		return err
	}
	v.mu.RLock()
	exts := v.over.of(s)
	v.mu.RUnlock()
	// Nothing goes to the base that could be lost from the log, which is what
	// mends a base that is half written. Nor does the segment go while a write
	// that covered one of its own could be lost: the log to its end must be
	// stable.
	if err := v.syncLog(); err != nil {
		return err
	}
	buf := make([]byte, 0, settleChunk)
	var from int64
	var cks []uint32
	put := func() error {
		if len(buf) == 0 {
			return nil
		}
		if _, err := v.base.WriteAt(buf, from*Block); err != nil {
			return fmt.Errorf("base: %w", space(err))
		}
		if err := v.sums.set(from, cks); err != nil {
			return fmt.Errorf("sums: %w", space(err))
		}
		buf, cks = buf[:0], cks[:0]
		return nil
	}
	for _, x := range exts {
		if x.sums == nil {
			if err := put(); err != nil {
				return err
			}
			if err := punch(v.base, x.start*Block, (x.end-x.start)*Block); err != nil {
				return fmt.Errorf("base: %w", space(err))
			}
			if err := v.sums.zero(x.start, x.end); err != nil {
				return fmt.Errorf("sums: %w", space(err))
			}
			continue
		}
		for x.start < x.end {
			next := from + int64(len(buf)/Block)
			if len(buf) > 0 && (x.start != next || len(buf) == settleChunk) {
				if err := put(); err != nil {
					return err
				}
			}
			if len(buf) == 0 {
				from = x.start
			}
			n := min(x.end-x.start, int64(settleChunk-len(buf))/Block)
			y := x.cut(x.start, x.start+n)
			at := len(buf)
			buf = buf[:at+int(n)*Block]
			if err := readLog(y, buf[at:]); err != nil {
				return err
			}
			cks = append(cks, y.sums...)
			if x.start+n == x.end {
				break
			}
			x = x.cut(x.start+n, x.end)
		}
	}
	if err := put(); err != nil {
		return err
	}
	if err := v.base.SyncData(); err != nil {
		return v.fail(err)
	}
	if err := v.sums.flush(); err != nil {
		return fmt.Errorf("sums: %w", space(err))
	}
	if err := v.sums.f.SyncData(); err != nil {
		return v.fail(err)
	}
	v.mu.Lock()
	for _, x := range v.over.of(s) {
		v.over.tree.Delete(x)
	}
	v.full = v.full[1:]
	v.mu.Unlock()
	s.release()
	<-s.idle // readers that had looked before
	v.left = s
	return v.removeLeft()
}

// removeLeft removes the file of the segment that was settled last.
func (v *Volume) removeLeft() error {
	s := v.left
	if s == nil {
		return nil
	}
	if s.f != nil {
		if err := s.f.Close(); err != nil {
			v.log.Warn("volume: close", "id", v.id, "segment", s.name, "err", err)
		}
		s.f = nil
	}
	if err := v.fs.Remove(v.fs.PathJoin(v.dir, s.name)); err != nil && !notExist(err) {
		return err
	}
	if err := syncDir(v.fs, v.dir); err != nil {
		return err
	}
	v.left = nil
	return nil
}
