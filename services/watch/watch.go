// Package watch is what the leader keeps an eye on: deadlines that come due,
// nodes that fall silent, and its own clock.
//
// A node is called lost only when the silence is the node's and not ours: the
// bus is healthy, the term is old enough that every node had time to speak, and
// other zones are heard. A zone that is silent as a whole is its own verdict.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/door"
	"skerry/services/voter"
)

const (
	look      = time.Second
	silence   = 8 * time.Second  // heartbeats come every second
	grace     = 12 * time.Second // after an election, before anybody is called lost
	maxSkew   = 500 * time.Millisecond
	clockPace = 2 * time.Second
)

// Watch belongs to one voter and works while it leads.
type Watch struct {
	Region string
	Voter  *voter.Voter
	Bus    *bus.Client
	Log    *slog.Logger

	mu    sync.Mutex
	heard map[events.NodeKey]heard
}

type heard struct {
	at   time.Time
	boot string
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	w.mu.Lock()
	w.heard = map[events.NodeKey]heard{}
	w.mu.Unlock()
	sub, err := w.Bus.Conn().Subscribe("sk.node."+w.Region+".*.*.*.heartbeat", w.hear)
	if err != nil {
		w.Log.Error("watch: heartbeats", "err", err)
		return
	}
	defer sub.Unsubscribe()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.clock(ctx) })
	start := time.Now()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.deadlines()
		w.nodes(time.Since(start) > grace)
	}
}

func (w *Watch) hear(m *nats.Msg) {
	var h events.Heartbeat
	if err := json.Unmarshal(m.Data, &h); err != nil {
		w.Log.Warn("watch: heartbeat cannot be read", "subject", m.Subject, "err", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard[events.NodeKey{Host: h.Host, Kind: h.Kind}] = heard{time.Now(), h.Boot}
}

func (w *Watch) propose(c events.Command) {
	reply, err := w.Voter.Propose(events.Stamped{Stamp: bus.NewStamp(door.RegionActor), Command: c})
	if err == nil && reply.Fault != nil {
		err = reply.Fault
	}
	if err != nil && !errors.Is(err, voter.ErrNotLeader) {
		w.Log.Error("watch: proposal", "command", events.Name(c), "err", err)
	}
}

// deadlines lets region time pass when something is due.
func (w *Watch) deadlines() {
	if due, ok := w.Voter.View().NextDeadline(); ok && w.Voter.Now().After(due) {
		w.propose(events.Tick{})
	}
}

// nodes compares who should speak with who was heard.
func (w *Watch) nodes(mayLose bool) {
	view := w.Voter.View()
	healthy := mayLose && w.Bus.Conn().IsConnected()
	type zone struct {
		silent []events.NodeKey
		all    int
	}
	zones := map[events.Zone]*zone{}
	var back []events.ReportNodeBack
	w.mu.Lock()
	now := time.Now()
	anybody := false
	for _, n := range view.Nodes.All() {
		z := zones[n.Zone]
		if z == nil {
			z = &zone{}
			zones[n.Zone] = z
		}
		z.all++
		k := events.NodeKey{Host: n.Host, Kind: n.Kind}
		h, ok := w.heard[k]
		if !n.Lost && h.boot != n.Boot {
			// It joined after it was last heard: its join is the first word of this start.
			h, ok = heard{now, n.Boot}, true
			w.heard[k] = h
		}
		if ok && now.Sub(h.at) < silence {
			anybody = true
			if n.Lost {
				back = append(back, events.ReportNodeBack{Node: k, Boot: h.boot})
			}
			continue
		}
		z.silent = append(z.silent, k)
	}
	w.mu.Unlock()
	for _, c := range back {
		w.propose(c)
	}
	if !healthy || !anybody {
		return // nobody at all is heard: then it is this voter that is deaf
	}
	for _, row := range view.Zones.All() {
		z := zones[row.Zone]
		if z == nil {
			continue
		}
		lost := slices.DeleteFunc(z.silent, func(k events.NodeKey) bool {
			n, _ := view.Nodes.Get(string(k.Host) + "/" + k.Kind)
			return n.Lost
		})
		whole := len(z.silent) == z.all
		if len(lost) > 0 {
			w.Log.Warn("watch: nodes are silent", "zone", row.Zone, "nodes", lost, "whole", whole)
			w.propose(events.ReportNodeLost{Zone: row.Zone, Nodes: lost, Whole: whole})
		}
	}
}

// clock steps down when this leader's clock is off a majority's: stamps would
// run ahead of, or behind, everybody else's time.
func (w *Watch) clock(ctx context.Context) {
	tick := time.NewTicker(clockPace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		servers := w.Voter.Raft().GetConfiguration().Configuration().Servers
		off := 0
		for _, s := range servers {
			if string(s.ID) == w.Voter.AZ() {
				continue
			}
			ask, cancel := context.WithTimeout(ctx, time.Second)
			var other events.VoterStatus
			sent := w.Voter.Now()
			err := w.Bus.Query(ask, "voter."+string(s.ID), events.VoterQuery{ClockOnly: true}, &other)
			cancel()
			if err != nil {
				continue
			}
			if got := w.Voter.Now(); other.Clock.After(got.Add(maxSkew)) || other.Clock.Before(sent.Add(-maxSkew)) {
				off++
			}
		}
		if off > len(servers)/2 {
			w.Log.Warn("watch: this clock is off a majority's: stepping down", "off", off)
			if err := w.Voter.StepDown(); err != nil {
				w.Log.Warn("watch: step down", "err", err)
			}
		}
	}
}
