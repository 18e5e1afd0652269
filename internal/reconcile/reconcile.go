// Package reconcile runs a level-triggered loop: a pass on every poke and on a
// period, never two at once. A pass is told nothing about what changed.
//
// The nodes and the scheduler use it.
package reconcile

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Loop is one loop.
type Loop struct {
	Name   string
	Period time.Duration
	Pass   func(context.Context) error
	Log    *slog.Logger

	poke chan struct{}
}

// New makes a loop.
func New(name string, period time.Duration, log *slog.Logger, pass func(context.Context) error) *Loop {
	return &Loop{Name: name, Period: period, Pass: pass, Log: log, poke: make(chan struct{}, 1)}
}

// Poke asks for a pass soon. Pokes that come while one is waiting are one.
func (l *Loop) Poke() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// Run passes until ctx ends. A pass that fails is tried again with a growing
// pause, or at the next poke.
func (l *Loop) Run(ctx context.Context) {
	pause := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: l.Period}
	pause.Reset()
	last := ""
	for {
		wait := l.Period
		if err := l.Pass(ctx); err != nil && ctx.Err() == nil {
			wait = pause.NextBackOff()
			if err.Error() != last {
				l.Log.Warn(l.Name+": pass", "err", err)
			}
			last = err.Error()
		} else {
			pause.Reset()
			last = ""
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.poke:
		case <-timer.C:
		}
		timer.Stop()
	}
}
