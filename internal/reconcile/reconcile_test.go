package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// loop runs a pass in a bubble and notes when.
func loop(t *testing.T, log *slog.Logger, period time.Duration, pass func(n int) error) (*Loop, *[]time.Duration, func()) {
	start := time.Now()
	var at []time.Duration
	var inside atomic.Int32
	l := New("test", period, log, func(context.Context) error {
		if inside.Add(1) > 1 {
			t.Error("two passes at once")
		}
		defer inside.Add(-1)
		at = append(at, time.Since(start))
		return pass(len(at))
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	return l, &at, func() { cancel(); <-done }
}

// It passes at once, then on its period.
func TestPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, at, stop := loop(t, discard, 10*time.Second, func(int) error { return nil })
		time.Sleep(35 * time.Second)
		stop()
		if fmt.Sprint(*at) != "[0s 10s 20s 30s]" {
			t.Errorf("passes at %v", *at)
		}
	})
}

// A poke brings a pass soon; pokes that come while one waits are one; one that
// comes during a pass is not lost.
func TestPoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *Loop
		l, at, stop := loop(t, discard, time.Hour, func(n int) error {
			if n == 2 {
				time.Sleep(5 * time.Second) // pokes at 1 s and 2 s of this pass
			}
			return nil
		})
		synctest.Wait()
		l.Poke()
		time.Sleep(time.Second)
		l.Poke()
		time.Sleep(time.Second)
		l.Poke()
		l.Poke()
		time.Sleep(time.Minute)
		stop()
		if fmt.Sprint(*at) != "[0s 0s 5s]" {
			t.Errorf("passes at %v", *at)
		}
	})
}

// A pass that fails is tried again with a growing pause, never longer than the
// period; one that succeeds forgets the pauses. The same failure is told once.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		fails := 12
		_, at, stop := loop(t, slog.New(slog.NewTextHandler(&told, nil)), 5*time.Second, func(n int) error {
			switch {
			case n <= fails:
				return errors.New("no route")
			case n == fails+2:
				return errors.New("another")
			}
			return nil
		})
		time.Sleep(2 * time.Minute)
		stop()
		var pauses []time.Duration
		for i := 1; i < len(*at); i++ {
			pauses = append(pauses, (*at)[i]-(*at)[i-1])
		}
		if pauses[0] < 80*time.Millisecond || pauses[0] > 120*time.Millisecond {
			t.Errorf("the first pause is %v", pauses[0])
		}
		for i, p := range pauses[:fails] {
			if p > 6*time.Second || i > 0 && i < 5 && p < pauses[i-1] {
				t.Errorf("pause %d is %v after %v", i, p, pauses[max(0, i-1)])
			}
		}
		if p := pauses[fails]; p != 5*time.Second {
			t.Errorf("after a success the next pass is in %v", p)
		}
		if p := pauses[fails+1]; p > 120*time.Millisecond {
			t.Errorf("after a success the first pause of a failure is %v", p)
		}
		if n := strings.Count(told.String(), "no route"); n != 1 {
			t.Errorf("the same failure was told %d times", n)
		}
		if !strings.Contains(told.String(), "another") {
			t.Error("another failure was not told")
		}
	})
}

// A failing loop still takes a poke at once.
func TestPokeWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, at, stop := loop(t, discard, time.Hour, func(n int) error { return errors.New("down") })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := len(*at)
		l.Poke()
		synctest.Wait()
		if len(*at) != before+1 {
			t.Errorf("%d passes after a poke, %d before", len(*at), before)
		}
		stop()
	})
}
