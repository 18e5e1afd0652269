// Package exact drills the region's mind alone, one step after the other: the
// decisions and the state, the specs, the scheduler's choices, and the order of
// the events on their way to the stream. One goroutine, one source of chance and
// no clock: a seed is one history, to the last byte, however often it is run.
//
//	clients ─┐  lost, late, twice                       ┌─▶ judge, at each event
//	nodes   ─┼──────▶ leader ──▶ log ──▶ three voters ──┤
//	scheduler┘          ▲        decide, evolve         └─▶ outbox ──▶ stream
//	   ▲                └── falls, jumps, is cut off            │
//	   └──────────── views, some of them old ◀──────────────────┘
//
// Raft, disks and the bus are what they promise, and no more: an entry that was
// not acknowledged may be in the log or not, a voter comes back with its last
// snapshot, the stream takes an event only at its number. Whether the programs
// keep these promises is for package sim, which runs them.
package exact

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"skerry/events"
)

// Region is the name of the simulated region.
const Region = "isle-1"

// Of the world.
const (
	beat    = 50 * time.Millisecond // one step
	zones   = 3
	callers = 24 // clients that draw from all commands, each with one in hand
	taggers = 24 // clients that set and remove tags
	most    = 30 * time.Second
)

// Options of a run.
type Options struct {
	Seed  uint64
	Beats int       // of weather and clients; 800, which is 40 seconds, unless given
	Log   io.Writer // nil: none
	// Entry is told of each entry of the log, with the hash of the last event
	// after it and the feature level. Unset: nobody is.
	Entry func(data []byte, last events.Hash, level int)
}

// Result is what a run was.
type Result struct {
	Acked   int            // commands of clients that were done
	Refused int            // commands of clients that were answered with a fault
	Events  uint64         // of the region
	Hash    events.Hash    // of the last one: of the whole history
	Slowest time.Duration  // between two acknowledgements
	Faults  []string       // in their order
	Kinds   map[string]int // events by type
}

// Run plays a seed. An error is a breach of what must hold, with the steps that
// led there.
func Run(o Options) (r Result, err error) {
	if o.Beats == 0 {
		o.Beats = 800
	}
	w := newWorld(o)
	defer func() {
		if p := recover(); p != nil {
			why := fmt.Sprint(p)
			if _, ok := p.(breach); !ok {
				why = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
			}
			r, err = w.result(), fmt.Errorf("seed %d: %s\nthe steps before:\n%s", o.Seed, why, w.steps())
		}
	}()
	w.form()
	w.main()
	w.settle()
	w.sweep()
	return w.result(), nil
}

// breach is something that must not be.
type breach string

// fail ends the run.
func (w *world) fail(format string, args ...any) { panic(breach(fmt.Sprintf(format, args...))) }

// world is a region and all who speak with it.
type world struct {
	o     Options
	rng   *rand.Rand
	now   time.Time
	beat  int
	count uint64 // of stamps

	voters [zones]*voter
	leader int // index of the voter that leads, -1: none
	heir   int // beat at which another one may lead
	log    []entry
	first  uint64  // index of log[0]
	tail   []entry // with the leader, not committed
	marks  []mark  // by index-1: what the first voter made of each entry

	due   [maxDelay][]func() // what arrives, by beat
	loss  int                // percent of messages that are lost, …
	twice int                // … that come twice
	late  int                // beats that messages may take more

	nodes    []*node
	clients  []*client
	watch    watch
	scheds   [2]scheduler // one that was thought to be gone goes on
	stream   stream
	operator []*call // of operators, not answered
	judge    *judge

	accounts [3]events.AccountID
	level    int  // at which the region is formed
	calm     bool // no more clients
	faults   []string
	healing  []healing
	acked    int
	refused  int
	last     int // beat of the last acknowledgement
	slowest  int
}

// maxDelay is how many beats a message may take.
const maxDelay = 64

func newWorld(o Options) *world {
	w := &world{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0xe4ac7)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), first: 1, leader: 0}
	w.level = events.LevelNewest
	if o.Seed%4 == 0 {
		w.level = 1
	}
	w.judge = newJudge(w)
	for i := range w.voters {
		w.voters[i] = newVoter(i)
	}
	for z := range zones {
		hosts := 1
		if z == 0 {
			hosts = 2
		}
		for h := range hosts {
			w.addHost(z, h)
		}
		w.addGateway(z)
	}
	return w
}

func zone(i int) events.Zone { return events.Zone(Region + string(rune('a'+i))) }

// step is one beat.
func (w *world) step() {
	w.beat++
	w.now = w.now.Add(beat)
	slot := w.beat % maxDelay
	arrived := w.due[slot]
	w.due[slot] = nil
	for _, f := range arrived {
		f()
	}
	w.elect()
	w.commit()
	for _, v := range w.voters {
		w.follow(v)
	}
	w.publish()
	for _, n := range w.nodes {
		n.step()
	}
	w.operator = slices.DeleteFunc(w.operator, func(k *call) bool {
		w.again(k)
		return k.answered
	})
	for i := range w.scheds {
		w.scheds[i].step(w)
	}
	w.watch.step(w)
	for _, c := range w.clients {
		c.step()
	}
}

// send delivers f in a beat or some, or not at all, or twice.
func (w *world) send(f func()) {
	copies := 1
	if w.loss > 0 && w.rng.IntN(100) < w.loss {
		copies = 0
	}
	if w.twice > 0 && w.rng.IntN(100) < w.twice {
		copies++
	}
	for range copies {
		delay := 1
		if w.late > 0 {
			delay += w.rng.IntN(w.late)
		}
		at := (w.beat + min(delay, maxDelay-1)) % maxDelay
		w.due[at] = append(w.due[at], f)
	}
}

// story is how many events a breach is told with.
const story = 40

// steps are the last events and faults.
func (w *world) steps() string {
	lines := make([]string, 0, story)
	for _, r := range w.judge.records[max(0, len(w.judge.records)-story):] {
		lines = append(lines, fmt.Sprintf("%8d %s %s", r.N, r.Actor, events.Line(r.Event)))
	}
	return strings.Join(lines, "\n") + "\nfaults: " + strings.Join(w.faults, "; ")
}

func (w *world) result() Result {
	front := w.judge.meta
	return Result{Acked: w.acked, Refused: w.refused, Events: front.N, Hash: front.Last, Slowest: time.Duration(w.slowest) * beat, Faults: w.faults, Kinds: w.judge.kinds}
}

// form makes the region, its accounts and its nodes.
func (w *world) form() {
	form := events.FormRegion{Name: Region, ID: "00000000-0000-4000-8000-000000000000", Level: w.level, Images: images, Public: []netip.Prefix{public}}
	for z := range zones {
		form.Zones = append(form.Zones, zone(z))
	}
	w.must(form)
	for i, name := range []string{"one", "two", "three"} {
		reply := w.must(events.CreateAccount{Name: name})
		w.accounts[i] = reply.Events[0].Event.(events.AccountCreated).ID
	}
	for _, n := range w.nodes {
		n.start()
	}
	w.until(400, func() string {
		for _, n := range w.nodes {
			if !n.joined {
				return "node " + n.key() + " has not joined"
			}
		}
		return ""
	})
	for i := range callers + taggers {
		w.clients = append(w.clients, newClient(w, i))
	}
}

// must has a command decided at once, in good weather.
func (w *world) must(c events.Command) events.Reply {
	var got *events.Reply
	w.arrive(&call{stamped: events.Stamped{Stamp: w.stamp("operator", ""), Command: c}, answer: func(r events.Reply) { got = &r }})
	for range 10 {
		if w.step(); got != nil {
			break
		}
	}
	if got == nil || got.Fault != nil {
		w.fail("%s: %+v", events.Name(c), got)
	}
	return *got
}

// until steps until holds says nothing.
func (w *world) until(beats int, holds func() string) {
	left := ""
	for range beats {
		if left = holds(); left == "" {
			return
		}
		w.step()
	}
	w.fail("after %d beats: %s", beats, left)
}

// stamp mints what a door would.
func (w *world) stamp(actor string, a events.AccountID) events.Stamp {
	w.count++
	s := events.Stamp{ID: events.CommandID(fmt.Sprintf("%08x%08x", w.o.Seed, w.count)), Actor: actor, Account: a, Version: 1}
	for i := 0; i < len(s.Seed); i += 8 {
		x := w.rng.Uint64()
		for k := range 8 {
			s.Seed[i+k] = byte(x >> (8 * k))
		}
	}
	return s
}

// main is weather and clients.
func (w *world) main() {
	w.last = w.beat
	for end := w.beat + w.o.Beats; w.beat < end; {
		w.weather()
		w.step()
	}
	w.heal()
}

// settle waits until everything is where it ends up.
func (w *world) settle() {
	w.calm = true
	for range 4000 {
		if w.beat%20 == 0 && w.unsettled() == "" {
			return
		}
		w.step()
	}
	w.fail("unsettled: %s", w.unsettled())
}
