package exact

import (
	"bytes"
	"time"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/state"
)

// entry is one of the log. The bytes are what voters read, the last one each
// time anew; the call is who asked the leader, when that still matters.
type entry struct {
	data []byte
	read *events.Stamped // by a voter before
	call *call
}

// mark is what the first voter made of an entry.
type mark struct {
	n    uint64
	hash events.Hash
}

// voter is a replica.
type voter struct {
	i       int
	tx      *state.Tx // nil while it is down
	applied uint64
	saved   []byte // its last snapshot
	savedAt uint64
	skew    time.Duration
	cut     bool // from the other voters
	lag     int  // entries at a time, 0: all
}

func newVoter(i int) *voter { return &voter{i: i, tx: state.New()} }

func (v *voter) up() bool { return v.tx != nil }

// call is a command on its way, sent until it is answered.
type call struct {
	stamped  events.Stamped
	answer   func(events.Reply)
	answered bool
	sent     int // beat
	first    *events.Reply
}

// ask sends a call to who leads, as far as the caller knows.
func (w *world) ask(c *call) {
	c.sent = w.beat
	w.send(func() { w.arrive(c) })
}

// again sends a call once more when it had no answer for a while.
func (w *world) again(c *call) {
	if !c.answered && w.beat-c.sent > 20 {
		w.ask(c)
	}
}

// arrive is a call at the leader. Without one nobody answers.
func (w *world) arrive(c *call) {
	if w.leader < 0 {
		return
	}
	l := w.voters[w.leader]
	if !l.up() {
		return
	}
	s := c.stamped
	s.Stamp.Time = w.now.Add(l.skew)
	w.tail = append(w.tail, entry{data: s.Encode(), call: c})
}

// majority says that a voter can reach another one, or is not alone in being cut.
func (w *world) majority(i int) bool {
	n := 0
	for _, v := range w.voters {
		if v.up() && (v.i == i || !v.cut && !w.voters[i].cut) {
			n++
		}
	}
	return w.voters[i].up() && n > zones/2
}

// elect lets another voter lead when the one that did cannot. Some of what the
// old one had taken and not committed is in the log of the new one, some is not.
func (w *world) elect() {
	if w.leader >= 0 && !w.majority(w.leader) {
		kept := w.rng.IntN(len(w.tail) + 1)
		for _, e := range w.tail[:kept] {
			w.log = append(w.log, entry{data: e.data}) // nobody hears of it
		}
		w.tail = w.tail[:0]
		w.leader, w.heir = -1, w.beat+10+w.rng.IntN(20)
	}
	if w.leader >= 0 || w.beat < w.heir {
		return
	}
	var able []int
	for i := range w.voters {
		if w.majority(i) {
			able = append(able, i)
		}
	}
	if len(able) > 0 {
		w.lead(able[w.rng.IntN(len(able))])
	}
}

// lead begins a term: the new leader has applied all there is before it answers.
func (w *world) lead(i int) {
	w.leader = i
	w.catchUp(w.voters[i], w.first+uint64(len(w.log)))
	w.watch.term(w)
	w.stream.term()
}

// commit takes what the leader has into the log, and answers.
func (w *world) commit() {
	if w.leader < 0 || len(w.tail) == 0 {
		return
	}
	l := w.voters[w.leader]
	batch := w.tail
	w.tail = nil
	w.catchUp(l, w.first+uint64(len(w.log)))
	for _, e := range batch {
		w.log = append(w.log, entry{data: e.data})
		reply := w.apply(l)
		if c := e.call; c != nil {
			w.send(func() { w.answer(c, reply) })
		}
	}
}

// answer is a reply at the caller. Whatever came before says the same, unless it
// was too late to act and was not remembered.
func (w *world) answer(c *call, r events.Reply) {
	if r.Fault != nil && r.Fault.FaultCode == "RequestExpired" {
		if c.first == nil {
			c.sent = w.beat
			c.stamped.Stamp.Expires = w.expiry()
		}
		return
	}
	if c.first != nil {
		if f := c.first; f.First != r.First || f.Last != r.Last || f.N != r.N || code(f.Fault) != code(r.Fault) {
			w.fail("%s %s was answered with events %d to %d (%s), then with %d to %d (%s)", events.Name(c.stamped.Command), c.stamped.Stamp.ID, f.First, f.Last, code(f.Fault), r.First, r.Last, code(r.Fault))
		}
		return
	}
	c.first, c.answered = &r, true
	w.judge.answered(c, r)
	c.answer(r)
}

func code(f *events.Fault) string {
	if f == nil {
		return ""
	}
	return f.FaultCode
}

// expiry is when a caller gives up, by whichever clock is ahead.
func (w *world) expiry() time.Time {
	t := w.now
	if at := w.judge.meta.Time; at.After(t) {
		t = at
	}
	return t.Add(most)
}

// apply lets a voter take its next entry.
func (w *world) apply(v *voter) events.Reply {
	index := v.applied + 1
	e := &w.log[index-w.first]
	if e.read == nil || v.i == zones-1 {
		s, err := events.DecodeStamped(e.data)
		if err != nil {
			w.fail("entry %d: %v", index, err)
		}
		e.read = &s
	}
	s := *e.read
	reply := decide.Apply(v.tx, s, index)
	v.applied = index
	m := mark{v.tx.Meta.N, v.tx.Meta.Last}
	if index > uint64(len(w.marks)) {
		w.marks = append(w.marks, m)
		if w.o.Entry != nil {
			w.o.Entry(e.data, m.hash, v.tx.Meta.Level)
		}
		w.judge.entry(&v.tx.View, s, reply)
	} else if w.marks[index-1] != m {
		w.fail("voters disagree about entry %d, %s: %d events %x, and %d events %x", index, events.Name(s.Command), w.marks[index-1].n, w.marks[index-1].hash[:4], m.n, m.hash[:4])
	}
	return reply
}

// catchUp applies all entries before an index.
func (w *world) catchUp(v *voter, before uint64) {
	for v.applied+1 < before {
		w.apply(v)
	}
}

// follow lets a voter that is not cut off take what is committed, and now and
// then keep a snapshot.
func (w *world) follow(v *voter) {
	if !v.up() {
		return
	}
	end := w.first + uint64(len(w.log))
	if v.i != w.leader && !v.cut {
		if v.lag > 0 {
			end = min(end, v.applied+1+uint64(w.rng.IntN(v.lag+1)))
		}
		w.catchUp(v, end)
	}
	if v.applied-v.savedAt > 2000 && w.rng.IntN(40) == 0 {
		w.save(v)
	}
}

func (w *world) save(v *voter) {
	var b bytes.Buffer
	if err := v.tx.Publish().Save(&b); err != nil {
		w.fail("snapshot: %v", err)
	}
	v.saved, v.savedAt = b.Bytes(), v.applied
	if w.rng.IntN(2) == 0 {
		w.truncate()
	}
}

// truncate forgets entries that a majority has in snapshots: who is behind gets
// one of them.
func (w *world) truncate() {
	a, b, c := w.voters[0].savedAt, w.voters[1].savedAt, w.voters[2].savedAt
	keep := max(min(a, b), min(max(a, b), c)) // the middle one
	for _, v := range w.voters {
		if v.up() {
			keep = min(keep, v.applied)
		}
	}
	if keep >= w.first {
		w.log = append([]entry(nil), w.log[keep-w.first+1:]...)
		w.first = keep + 1
	}
}

// crash takes a voter's power.
func (v *voter) crash() { v.tx = nil }

// restart brings a voter back with its last snapshot, or with another's when the
// log does not reach back to it.
func (w *world) restart(v *voter) {
	if v.up() {
		return
	}
	from := v
	if v.savedAt+1 < w.first {
		for _, o := range w.voters {
			if o.savedAt+1 >= w.first {
				from = o
			}
		}
	}
	v.tx, v.applied = state.New(), 0
	if from.saved != nil {
		tx, err := state.Load(bytes.NewReader(from.saved))
		if err != nil {
			w.fail("snapshot of voter %d: %v", from.i, err)
		}
		v.tx, v.applied = tx, from.savedAt
		v.saved, v.savedAt = from.saved, from.savedAt
		if m := w.marks[v.applied-1]; m != (mark{tx.Meta.N, tx.Meta.Last}) {
			w.fail("the snapshot at entry %d holds event %d, not %d", v.applied, tx.Meta.N, m.n)
		}
	}
}

// view is what somebody learns from some voter that is up: it may be old.
func (w *world) view() *state.View {
	for range 4 {
		if v := w.voters[w.rng.IntN(zones)]; v.up() && v.applied > 0 {
			return &v.tx.View
		}
	}
	return nil
}

// leading is the view of the leader.
func (w *world) leading() *state.View {
	if w.leader < 0 {
		return nil
	}
	return &w.voters[w.leader].tx.View
}
