package iscsi

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"skerry/storage-node/scsi"
	"skerry/storage-node/volume"
)

// Limits of a session.
const (
	queueDepth  = 128      // commands that may be under way
	maxBuffered = 64 << 20 // bytes of data of commands under way
	inline      = 64 << 10 // bytes of a command that is run at once when nothing else is
	batch       = 64       // PDUs in one write
	extra       = 16       // immediate commands beyond the queue depth
)

// session is one connection after its preamble.
type session struct {
	x    *export
	c    net.Conn
	unit *scsi.Unit
	log  *slog.Logger
	r    *bufio.Reader
	done chan struct{} // closed when nothing of it is under way

	params

	exp     atomic.Uint32 // CmdSN that is expected
	retired atomic.Uint32 // non-immediate commands that are done
	heard   atomic.Int64  // when the initiator was last heard, ns

	waiting map[uint32]*task // for data; the reader's

	mu       sync.Mutex
	running  map[uint32]*task
	inflight int
	buffered int
	idle     *sync.Cond // on mu: a command is done

	work sync.WaitGroup

	out writer
}

// kill cuts the connection; what is under way ends by itself.
func (s *session) kill() { s.c.Close() }

// task is a SCSI command.
type task struct {
	scsi.Command
	itt       uint32
	expect    int // the initiator's expected data transfer length
	read      bool
	write     bool
	immediate bool
	dropped   bool // aborted: no answer

	held int    // bytes that count as buffered
	buf  []byte // of a write
	got  int
	ttt  uint32 // of the R2T that is out
	end  int    // where its burst ends
	next uint32 // DataSN
	r2ts uint32
}

var errProtocol = errors.New("iscsi: against the protocol")

// run is the session from login to its end.
func (s *session) run(loggedIn func()) {
	s.idle = sync.NewCond(&s.mu)
	p, err := login(s.r, func(h *header, data []byte) error { return writeOne(s.c, h, data) }, s.x.Target, s.x.Initiator)
	if err != nil {
		s.log.Info("iscsi: login", "err", err)
		return
	}
	loggedIn()
	s.params = p
	s.exp.Store(p.expCmd)
	s.out = writer{c: s.c, statSN: p.statSN, stamp: s.stamp}
	s.c.SetDeadline(time.Time{})
	s.heard.Store(time.Now().UnixNano())
	s.log.Info("iscsi: session", "discovery", p.discovery)
	quit := make(chan struct{})
	s.work.Go(func() { s.watch(quit) })
	err = s.read()
	s.c.Close()
	close(quit)
	s.work.Wait()
	s.log.Info("iscsi: session ended", "err", err)
}

// watch asks a quiet initiator whether it is there, and ends the session of one
// that is not.
func (s *session) watch(quit chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		switch since := time.Since(time.Unix(0, s.heard.Load())); {
		case since > silence:
			s.log.Warn("iscsi: nothing is heard", "for", since)
			s.kill()
			return
		case since > quiet:
			ping := newPDU(opNopIn)
			ping.h[1] = 0x80
			be.PutUint32(ping.h[16:], noTag)
			be.PutUint32(ping.h[20:], 1)
			s.out.send(ping)
		}
	}
}

// stamp puts the session's numbers into a header that is about to leave.
func (s *session) stamp(h *header) {
	exp := s.exp.Load()
	be.PutUint32(h[28:], exp)
	be.PutUint32(h[32:], s.maxCmd())
}

// maxCmd moves on as commands end, so that no more than queueDepth of them are
// under way.
func (s *session) maxCmd() uint32 { return s.expCmd + queueDepth - 1 + s.retired.Load() }

func (s *session) read() error {
	var h header
	for {
		if err := readHeader(s.r, &h, ourSegment); err != nil {
			return err
		}
		s.heard.Store(time.Now().UnixNano())
		op := h.op()
		if op == opDataOut {
			if err := s.dataOut(&h); err != nil {
				return err
			}
			continue
		}
		var data []byte
		if n := h.length(); n > 0 {
			data = make([]byte, n)
			if err := readData(s.r, data); err != nil {
				return err
			}
		}
		switch op {
		case opNopOut, opCommand, opTask, opText, opLogout:
		default:
			s.reject(&h, 0x04)
			return fmt.Errorf("%w: operation %#x", errProtocol, op)
		}
		if !h.immediate() {
			sn, exp := h.cmdSN(), s.exp.Load()
			if sn != exp {
				if int32(sn-exp) < 0 || int32(sn-s.maxCmd()) > 0 {
					continue // outside of the window: ignored (RFC 7143, 4.2.2.1)
				}
				return fmt.Errorf("%w: command %d where %d is due", errProtocol, sn, exp)
			}
			if int32(exp-s.maxCmd()) > 0 {
				continue
			}
			s.exp.Store(exp + 1)
		}
		var err error
		switch op {
		case opCommand:
			err = s.command(&h, data)
		case opNopOut:
			s.nop(&h, data)
		case opTask:
			s.manage(&h)
		case opText:
			err = s.text(&h, data)
		case opLogout:
			p := newPDU(opLoggedOu)
			p.h[1] = 0x80
			copy(p.h[16:20], h[16:20])
			p.status = true
			s.settle()
			s.out.send(p)
			return nil
		}
		if err != nil {
			return err
		}
		if op != opCommand && !h.immediate() {
			s.retired.Add(1)
		}
	}
}

func (s *session) nop(h *header, data []byte) {
	if h.itt() == noTag { // the answer to a ping
		return
	}
	p := newPDU(opNopIn)
	p.h[1] = 0x80
	copy(p.h[8:16], h[8:16])
	copy(p.h[16:20], h[16:20])
	be.PutUint32(p.h[20:], noTag)
	p.data = data[:min(len(data), s.segment)]
	p.status = true
	s.out.send(p)
}

// text answers SendTargets with nothing: who may use what is said elsewhere.
func (s *session) text(h *header, data []byte) error {
	if !h.final() || h[1]&0x40 != 0 {
		s.reject(h, 0x04)
		return fmt.Errorf("%w: text that goes on", errProtocol)
	}
	if _, _, err := parseKeys(data); err != nil {
		s.reject(h, 0x09)
		return err
	}
	p := newPDU(opTextDone)
	p.h[1] = 0x80
	copy(p.h[8:20], h[8:20])
	be.PutUint32(p.h[20:], noTag)
	p.status = true
	s.out.send(p)
	return nil
}

// reject sends the header back that cannot be taken.
func (s *session) reject(h *header, reason byte) {
	p := newPDU(opReject)
	p.h[1], p.h[2] = 0x80, reason
	be.PutUint32(p.h[16:], noTag)
	bad := *h
	p.data = bad[:]
	p.status = true
	s.out.send(p)
}

// settle waits until no command runs.
func (s *session) settle() {
	s.mu.Lock()
	for len(s.running) > 0 {
		s.idle.Wait()
	}
	s.mu.Unlock()
}

// manage is task management. Commands that run cannot be stopped: an abort
// waits for them and keeps their answer back.
func (s *session) manage(h *header) {
	const complete, noTask, noLUN, unsupported = 0, 1, 2, 5
	result := byte(complete)
	switch h[1] & 0x7f {
	case 1: // abort task
		tag := h.refTag()
		if t := s.waiting[tag]; t != nil {
			s.forget(t)
			break
		}
		s.mu.Lock()
		t := s.running[tag]
		if t == nil {
			result = noTask
		} else {
			t.dropped = true
			for s.running[tag] == t {
				s.idle.Wait()
			}
		}
		s.mu.Unlock()
	case 2, 4, 5, 6, 7: // abort or clear the task set, reset unit or target
		for _, t := range s.waiting {
			s.forget(t)
		}
		s.mu.Lock()
		for _, t := range s.running {
			t.dropped = true
		}
		s.mu.Unlock()
		s.settle()
	default:
		result = unsupported
	}
	p := newPDU(opTaskDone)
	p.h[1], p.h[2] = 0x80, result
	copy(p.h[16:20], h[16:20])
	p.status = true
	s.out.send(p)
}

// forget drops a command that waits for data.
func (s *session) forget(t *task) {
	delete(s.waiting, t.itt)
	s.release(t)
}

// release gives back what a command held.
func (s *session) release(t *task) {
	s.mu.Lock()
	s.inflight--
	s.buffered -= t.held
	if s.running[t.itt] == t {
		delete(s.running, t.itt)
	}
	s.idle.Broadcast()
	s.mu.Unlock()
	if !t.immediate {
		s.retired.Add(1)
	}
}

func (s *session) command(h *header, data []byte) error {
	t := &task{itt: h.itt(), expect: int(h.expect()), read: h[1]&0x40 != 0, write: h[1]&0x20 != 0, immediate: h.immediate()}
	copy(t.CDB[:], h[32:48])
	t.LUN = h.lun()
	s.mu.Lock()
	_, twice := s.running[t.itt]
	full := s.inflight >= queueDepth+extra
	s.mu.Unlock()
	switch {
	case s.discovery:
		return fmt.Errorf("%w: a command in a discovery session", errProtocol)
	case twice || s.waiting[t.itt] != nil || t.itt == noTag:
		return fmt.Errorf("%w: tag %#x is in use", errProtocol, t.itt)
	case !h.final():
		return fmt.Errorf("%w: unsolicited data", errProtocol)
	case len(data) > 0 && (!t.write || !s.params.immediate || len(data) > t.expect || len(data) > s.first):
		return fmt.Errorf("%w: %d bytes of immediate data", errProtocol, len(data))
	case full:
		t.Status = 0x28 // task set full
		s.mu.Lock()
		s.inflight++
		s.mu.Unlock()
		return s.finish(t)
	}
	size := 0
	if t.write {
		size = t.expect
	}
	s.mu.Lock()
	s.inflight++
	busy := size > 0 && s.buffered+size > maxBuffered
	if !busy && size <= volume.MaxIO {
		t.held = size
		s.buffered += size
	}
	s.mu.Unlock()
	switch {
	case t.read && t.write, size > volume.MaxIO:
		t.Refuse()
		return s.finish(t)
	case busy:
		t.Status = 0x08 // busy: the initiator sends it again
		return s.finish(t)
	}
	if !t.write {
		t.Expect = t.expect
		if !t.read {
			t.Expect = 0
		}
		return s.start(t)
	}
	if len(data) == size {
		t.buf, t.got = data, size
		return s.start(t)
	}
	t.buf = make([]byte, size)
	t.got = copy(t.buf, data)
	s.waiting[t.itt] = t
	s.ask(t)
	return nil
}

// ask sends an R2T for the next burst.
func (s *session) ask(t *task) {
	t.end = min(len(t.buf), t.got+s.burst)
	t.ttt++
	t.next = 0
	p := newPDU(opR2T)
	p.h[1] = 0x80
	copy(p.h[8:16], t.LUN[:])
	be.PutUint32(p.h[16:], t.itt)
	be.PutUint32(p.h[20:], t.ttt)
	be.PutUint32(p.h[36:], t.r2ts)
	be.PutUint32(p.h[40:], uint32(t.got))
	be.PutUint32(p.h[44:], uint32(t.end-t.got))
	t.r2ts++
	s.out.send(p)
}

// dataOut takes data that an R2T asked for. Data of a command that is no longer
// known are passed over.
func (s *session) dataOut(h *header) error {
	n := h.length()
	t := s.waiting[h.itt()]
	if t == nil {
		_, err := s.r.Discard((n + 3) &^ 3)
		return err
	}
	if h.ttt() != t.ttt || h.dataSN() != t.next || int64(h.offset()) != int64(t.got) || n > t.end-t.got {
		if _, err := s.r.Discard((n + 3) &^ 3); err != nil {
			return err
		}
		delete(s.waiting, t.itt)
		t.Refuse()
		return s.finish(t)
	}
	if err := readData(s.r, t.buf[t.got:t.got+n]); err != nil {
		return err
	}
	t.got += n
	t.next++
	switch {
	case t.got == len(t.buf):
		delete(s.waiting, t.itt)
		return s.start(t)
	case t.got == t.end:
		s.ask(t)
	case h.final():
		delete(s.waiting, t.itt)
		t.Refuse()
		return s.finish(t)
	}
	return nil
}

// start runs a command: at once when it is small and nothing else is to do,
// beside the others if not.
func (s *session) start(t *task) error {
	t.Out = t.buf
	s.mu.Lock()
	alone := s.inflight == 1
	s.running[t.itt] = t
	s.mu.Unlock()
	if alone && s.quick(t) && s.r.Buffered() == 0 {
		return s.perform(t)
	}
	s.work.Go(func() {
		if err := s.perform(t); err != nil {
			s.kill()
		}
	})
	return nil
}

// quick says that a command ends in the page cache.
func (s *session) quick(t *task) bool {
	switch t.CDB[0] {
	case 0x28, 0x88:
		return t.expect <= inline
	case 0x2a, 0x8a:
		return t.expect <= inline && !s.x.WriteThrough && t.CDB[1]&0x08 == 0
	case 0x00, 0x12, 0x25:
		return true
	}
	return false
}

func (s *session) perform(t *task) error {
	if err := s.unit.Do(&t.Command); err != nil {
		s.release(t)
		return err
	}
	return s.finish(t)
}

// finish answers a command.
func (s *session) finish(t *task) error {
	s.mu.Lock()
	dropped := t.dropped
	s.mu.Unlock()
	if dropped {
		t.Free()
		s.release(t)
		return nil
	}
	var residual byte
	rest := 0
	if moved := t.Wanted; t.Status == scsi.Good && moved != t.expect && (t.read || t.write || moved > 0) {
		if moved < t.expect {
			residual, rest = 0x02, t.expect-moved
		} else {
			residual, rest = 0x04, moved-t.expect
		}
	}
	free := t.Free
	if t.Status == scsi.Good && len(t.In) > 0 {
		ps := s.dataIn(t, residual, rest)
		ps[len(ps)-1].after = free
		s.release(t)
		s.out.send(ps...)
		return nil
	}
	p := newPDU(opResponse)
	p.h[1], p.h[3] = 0x80|residual, t.Status
	be.PutUint32(p.h[16:], t.itt)
	be.PutUint32(p.h[36:], t.r2ts)
	if t.Status == scsi.CheckCondition {
		residual, rest = 0, 0
		if t.expect > 0 {
			residual, rest = 0x02, t.expect
		}
		p.h[1] = 0x80 | residual
		p.data = append(be.AppendUint16(nil, uint16(len(t.Sense))), t.Sense...)
	}
	be.PutUint32(p.h[44:], uint32(rest))
	p.status = true
	p.after = free
	s.release(t)
	s.out.send(p)
	return nil
}

// dataIn splits what was read into PDUs; the last one carries the status.
func (s *session) dataIn(t *task, residual byte, rest int) []*pdu {
	ps := make([]*pdu, 0, 1+len(t.In)/s.segment)
	burst := 0
	for off := 0; off < len(t.In); {
		n := min(len(t.In)-off, s.segment, s.burst-burst)
		p := newPDU(opDataIn)
		be.PutUint32(p.h[16:], t.itt)
		be.PutUint32(p.h[20:], noTag)
		be.PutUint32(p.h[36:], uint32(len(ps)))
		be.PutUint32(p.h[40:], uint32(off))
		p.data = t.In[off : off+n]
		off += n
		if burst += n; burst == s.burst {
			burst = 0
			p.h[1] = 0x80
		}
		if off == len(t.In) {
			p.h[1] = 0x80 | 0x01 | residual
			p.h[3] = t.Status
			be.PutUint32(p.h[44:], uint32(rest))
			p.status = true
		}
		ps = append(ps, p)
	}
	return ps
}
