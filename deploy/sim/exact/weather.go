package exact

import (
	"fmt"
	"time"

	"skerry/events"
)

// fault is something that goes wrong for a while.
type fault struct {
	name string
	from int                 // beats that it lasts, …
	to   int                 // … at most
	do   func(*world) func() // and its repair
}

// healing is a repair that is due.
type healing struct {
	beat int
	do   func()
}

// Faults are the names of what a seed draws.
func Faults() []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.name)
	}
	return out
}

// weather lets a fault begin now and then, and ends those that are over.
func (w *world) weather() {
	rest := w.healing[:0]
	for _, h := range w.healing {
		if w.beat >= h.beat {
			h.do()
		} else {
			rest = append(rest, h)
		}
	}
	w.healing = rest
	if w.rng.IntN(25) != 0 {
		return
	}
	f := faults[w.rng.IntN(len(faults))]
	over := f.do(w)
	if over == nil {
		return
	}
	w.faults = append(w.faults, f.name)
	if w.o.Log != nil {
		fmt.Fprintf(w.o.Log, "%6d FAULT %s\n", w.beat, f.name)
	}
	w.healing = append(w.healing, healing{w.beat + f.from + w.rng.IntN(f.to-f.from+1), over})
}

// heal ends all that is wrong.
func (w *world) heal() {
	for _, h := range w.healing {
		h.do()
	}
	w.healing = nil
	w.loss, w.twice, w.late = 0, 0, 0
	for _, v := range w.voters {
		v.cut, v.lag, v.skew = false, 0, 0
		w.restart(v)
	}
	w.stream.away = false
	for i := range w.scheds {
		w.scheds[i].away = false
	}
	for _, n := range w.nodes {
		n.deaf, n.mute, n.slow = false, false, pace
		if !n.up {
			n.start()
		}
	}
}

func (w *world) anyVoter() *voter     { return w.voters[w.rng.IntN(zones)] }
func (w *world) anyMachine() *machine { ms := w.machines(); return ms[w.rng.IntN(len(ms))] }
func (w *world) anyNode() *node       { return w.nodes[w.rng.IntN(len(w.nodes))] }

var faults = []fault{
	{"leader falls", 10, 100, func(w *world) func() {
		if w.leader < 0 {
			return nil
		}
		v := w.voters[w.leader]
		v.crash()
		return func() { w.restart(v) }
	}},
	{"a voter falls", 10, 200, func(w *world) func() {
		v := w.anyVoter()
		if !v.up() {
			return nil
		}
		v.crash()
		return func() { w.restart(v) }
	}},
	{"every voter falls", 5, 40, func(w *world) func() {
		for _, v := range w.voters {
			v.crash()
		}
		return func() {
			for _, v := range w.voters {
				w.restart(v)
			}
		}
	}},
	{"leader isolated", 20, 100, func(w *world) func() {
		if w.leader < 0 {
			return nil
		}
		v := w.voters[w.leader]
		v.cut = true
		return func() { v.cut = false }
	}},
	{"a voter is slow", 20, 200, func(w *world) func() {
		v := w.anyVoter()
		v.lag = 1 + w.rng.IntN(4)
		return func() { v.lag = 0 }
	}},
	{"a voter's clock jumps", 40, 200, func(w *world) func() {
		v := w.anyVoter()
		v.skew = time.Duration(w.rng.IntN(1200)-600) * time.Second
		return func() { v.skew = 0 }
	}},
	{"snapshots are taken", 1, 1, func(w *world) func() {
		for _, v := range w.voters {
			if v.up() && v.applied > 0 && w.rng.IntN(2) == 0 {
				w.save(v)
			}
		}
		return func() {}
	}},
	{"messages are lost", 20, 150, func(w *world) func() {
		w.loss = 1 + w.rng.IntN(30)
		return func() { w.loss = 0 }
	}},
	{"messages come twice", 20, 150, func(w *world) func() {
		w.twice = 10 + w.rng.IntN(60)
		return func() { w.twice = 0 }
	}},
	{"messages come late and out of order", 20, 150, func(w *world) func() {
		w.late = 2 + w.rng.IntN(maxDelay-2)
		return func() { w.late = 0 }
	}},
	{"the stream is lost", 1, 60, func(w *world) func() {
		w.stream.lose()
		w.stream.away = true
		return func() { w.stream.away = false }
	}},
	{"a scheduler is away", 20, 200, func(w *world) func() {
		s := &w.scheds[w.rng.IntN(len(w.scheds))]
		s.away = true
		return func() { s.away = false }
	}},
	{"a program restarts", 1, 100, func(w *world) func() {
		n := w.anyNode()
		if !n.up {
			return nil
		}
		n.stop()
		return func() {
			if !n.up {
				n.start()
			}
		}
	}},
	{"a machine loses power", 1, 150, func(w *world) func() {
		m := w.anyMachine()
		m.powerCut()
		return m.powerOn
	}},
	{"a program hears nothing", 20, 150, func(w *world) func() {
		n := w.anyNode()
		n.deaf = true
		return func() { n.deaf = false }
	}},
	{"a program is not heard", 20, 150, func(w *world) func() {
		n := w.anyNode()
		n.mute = true
		return func() { n.mute = false }
	}},
	{"a zone loses power", 10, 120, func(w *world) func() {
		z := zone(w.rng.IntN(zones))
		var hit []*machine
		for _, m := range w.machines() {
			if m.zone == z {
				m.powerCut()
				hit = append(hit, m)
			}
		}
		return func() {
			for _, m := range hit {
				m.powerOn()
			}
		}
	}},
	{"programs are slow", 40, 200, func(w *world) func() {
		for _, n := range w.nodes {
			n.slow = 8 * pace
		}
		return func() {
			for _, n := range w.nodes {
				n.slow = pace
			}
		}
	}},
	{"an hour passes", 1, 1, func(w *world) func() {
		w.now = w.now.Add(61 * time.Minute)
		return func() {}
	}},
	{"a host is drained", 20, 200, func(w *world) func() {
		m := w.anyMachine()
		if m.program(compute) == nil {
			return nil
		}
		drain := func(resume bool) {
			k := &call{stamped: events.Stamped{Stamp: w.stamp("operator", ""), Command: events.DrainHost{Host: m.id, Resume: resume}}, answer: func(events.Reply) {}}
			w.operator = append(w.operator, k)
			w.ask(k)
		}
		drain(false)
		return func() { drain(true) }
	}},
	{"guests end by themselves", 1, 1, func(w *world) func() {
		for _, m := range w.machines() {
			for _, id := range sorted(m.guests) {
				if w.rng.IntN(4) == 0 {
					m.guests[id].alive = false
				}
			}
		}
		return func() {}
	}},
	{"the feature level is raised", 1, 1, func(w *world) func() {
		v := w.leading()
		if v == nil || v.Meta.Level >= events.LevelNewest {
			return nil
		}
		w.arrive(&call{stamped: events.Stamped{Stamp: w.stamp("operator", ""), Command: events.RaiseFeatureLevel{Level: v.Meta.Level + 1}}, answer: func(events.Reply) {}})
		return func() {}
	}},
}
