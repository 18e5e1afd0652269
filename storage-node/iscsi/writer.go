package iscsi

import (
	"net"
	"sync"
)

// pdu is one that leaves.
type pdu struct {
	h      header
	data   []byte
	status bool   // takes a StatSN of its own
	after  func() // when it has left, or never will
}

func newPDU(op byte) *pdu {
	p := &pdu{}
	p.h[0] = op
	return p
}

var padding [4]byte

// writer sends PDUs in the order in which they are given to it. Whoever finds
// nobody sending sends, for the others too: at depth many PDUs share a write,
// and at depth one nobody has to be woken.
type writer struct {
	c     net.Conn
	stamp func(*header)

	mu     sync.Mutex
	queue  []*pdu
	busy   bool
	broken bool
	statSN uint32
}

func (w *writer) send(ps ...*pdu) {
	w.mu.Lock()
	if w.broken {
		w.mu.Unlock()
		discard(ps)
		return
	}
	w.queue = append(w.queue, ps...)
	if w.busy {
		w.mu.Unlock()
		return
	}
	w.busy = true
	var vec [3 * batch][]byte
	for len(w.queue) > 0 && !w.broken {
		n := min(len(w.queue), batch)
		part := w.queue[:n:n]
		w.queue = w.queue[n:]
		if len(w.queue) == 0 {
			w.queue = nil
		}
		v := net.Buffers(vec[:0])
		for _, p := range part {
			if p.h[0] != opDataIn || p.status {
				if p.h[0] != opDataIn {
					clear(p.h[24:36])
				}
				be.PutUint32(p.h[24:], w.statSN)
			}
			if p.status {
				w.statSN++
			}
			w.stamp(&p.h)
			p.h.setLength(len(p.data))
			v = append(v, p.h[:])
			if len(p.data) > 0 {
				v = append(v, p.data)
				if pad := -len(p.data) & 3; pad > 0 {
					v = append(v, padding[:pad])
				}
			}
		}
		w.mu.Unlock()
		_, err := v.WriteTo(w.c)
		discard(part)
		w.mu.Lock()
		if err != nil {
			w.broken = true
			w.c.Close()
		}
	}
	left := w.queue
	if w.broken {
		w.queue = nil
	}
	w.busy = false
	w.mu.Unlock()
	discard(left)
}

func discard(ps []*pdu) {
	for _, p := range ps {
		if p.after != nil {
			p.after()
			p.after = nil
		}
	}
}

// writeOne sends a PDU whose numbers are set.
func writeOne(c net.Conn, h *header, data []byte) error {
	h.setLength(len(data))
	v := net.Buffers{h[:]}
	if len(data) > 0 {
		v = append(v, data, padding[:-len(data)&3])
	}
	_, err := v.WriteTo(c)
	return err
}
