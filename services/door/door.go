// Package door is how the outside reaches the region: commands go to the
// leader, questions to any voter.
//
//	EC2 API ─▶ Do ──┬─ this voter leads ─▶ Propose
//	                └─ another does ─────▶ bus ─▶ its Lead endpoints ─▶ Propose
//	node, operator ─▶ bus ─────────────────────────┘
//
// Every endpoint is a NATS micro service, so `nats micro ls` shows the region
// and `nats req sk.cmd.…` drives it.
package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/internal/planted"
	"skerry/services/outbox"
	"skerry/services/seal"
	"skerry/services/state"
	"skerry/services/voter"
)

// MaxLag is how many events the kept stream may be behind before callers are
// asked to wait.
const MaxLag = 100_000

// Version is the program's version in micro services.
const Version = "0.1.0"

// Door belongs to one voter.
type Door struct {
	Region string
	Voter  *voter.Voter
	Bus    *bus.Client
	Outbox *outbox.Outbox
	Key    *seal.Key
	Log    *slog.Logger
}

// Do has a command decided, wherever the leader is, until ctx ends. A fault is
// returned as the error.
func (d *Door) Do(ctx context.Context, s events.Stamp, c events.Command) (events.Reply, error) {
	if deadline, ok := ctx.Deadline(); ok && s.Expires.IsZero() {
		// Region time is the leader's, and may be ahead of every clock after a
		// leader's was: count from whichever is later, and leave it room.
		from := d.Voter.Now()
		if t := d.Voter.View().Meta.Time; t.After(from) {
			from = t
		}
		s.Expires = from.Add(time.Until(deadline) + time.Second)
	}
	if d.Voter.Leading() {
		reply, err := d.propose(events.Stamped{Stamp: s, Command: c})
		if !errors.Is(err, voter.ErrNotLeader) {
			if err == nil && reply.Fault != nil {
				return reply, reply.Fault
			}
			return reply, err
		}
	}
	reply, err := d.Bus.Command(ctx, s, c)
	if err == nil {
		return reply, nil
	}
	if f, ok := events.AsFault(err); ok {
		return reply, f
	}
	return reply, unavailable(err)
}

func unavailable(err error) error {
	return fmt.Errorf("%w (%w)", events.Faultf("Unavailable", "The region has no leader that can be reached now. Please try again shortly."), err)
}

func (d *Door) propose(s events.Stamped) (events.Reply, error) {
	if lag := d.Outbox.Lag(); lag > MaxLag && !strings.HasPrefix(s.Stamp.Actor, "node:") && s.Stamp.Actor != RegionActor {
		return events.Reply{Fault: events.Faultf("RequestLimitExceeded", "The region's event stream is %d events behind; try again later.", lag)}, nil
	}
	return d.Voter.Propose(s)
}

// RegionActor is who acts when the leader itself proposes.
const RegionActor = "region"

// Try tells what a command would be answered, and changes nothing (DryRun).
func (d *Door) Try(ctx context.Context, s events.Stamp, c events.Command) error {
	if _, err := d.Read(ctx); err != nil {
		return err
	}
	if _, fault := d.Voter.Try(events.Stamped{Stamp: s, Command: c}); fault != nil {
		return fault
	}
	return nil
}

// readFor is how long a read looks for a leader.
const readFor = 5 * time.Second

// Read returns a state that contains every write acknowledged before the call,
// in whatever zone: linearizable. Without a leader it says so.
func (d *Door) Read(ctx context.Context) (*state.View, error) {
	ctx, cancel := context.WithTimeout(ctx, readFor)
	defer cancel()
	if planted.On(planted.ReadLocal) {
		return d.Voter.View(), nil
	}
	n, err := d.Voter.ReadIndex()
	if err != nil {
		var answer events.ReadIndex
		if err := d.Bus.AskLeader(ctx, "readindex", struct{}{}, &answer); err != nil {
			return nil, unavailable(err)
		}
		n = answer.N
	}
	v, err := d.Voter.WaitFor(ctx, n)
	if err != nil {
		return nil, unavailable(err)
	}
	return v, nil
}

// present is the state that a question about the region is answered from: the
// newest, or this voter's own when no leader tells what the newest is. An
// operator asks most when things are broken.
func (d *Door) present() *state.View {
	ctx, cancel := context.WithTimeout(context.Background(), presentFor)
	defer cancel()
	if v, err := d.Read(ctx); err == nil {
		return v
	}
	return d.Voter.View()
}

// presentFor is how long a question waits for the newest state.
const presentFor = 700 * time.Millisecond
