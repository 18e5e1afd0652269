package regions

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"skerry/events"
	"skerry/events/bus"
)

// Follower imports what happens to identities at the root of this region's
// accounts. One of a region's voters runs it: the leader.
type Follower struct {
	Self   events.RegionInfo
	Root   events.RegionInfo // name, and where it is asked until it says otherwise
	Peers  *Peers
	Region Region
	Voter  Voter
	Log    *slog.Logger
}

// Limits of following.
const (
	firstPause = 100 * time.Millisecond // after the root did not answer
	lastPause  = 2 * time.Second
	importFor  = 10 * time.Second
	// How far the root may be ahead of the last import that is in the log, when
	// nothing happened to identities: the next leader reads as much again.
	maxAhead = 50_000
)

// Run follows until ctx ends. While the root is away it asks again and again, and
// the region goes on with what it knows.
func (f *Follower) Run(ctx context.Context) {
	pause, away := firstPause, false
	at := events.Point{}
	for ctx.Err() == nil {
		logged := f.Voter.View().Meta.RootAt
		if at.N < logged.N {
			at = logged
		}
		happened, err := f.ask(ctx, at)
		if err == nil {
			if away {
				f.Log.Info("regions: the root answers", "root", f.Root.Name, "n", happened.To.N)
			}
			pause, away = firstPause, false
			at = happened.To
			if len(happened.Identities) == 0 && at.N < logged.N+maxAhead {
				continue
			}
			if err = f.take(ctx, logged, happened); err == nil {
				continue
			}
			f.Log.Warn("regions: identities are not imported", "root", f.Root.Name, "err", err)
			at = events.Point{} // from where the log says
		} else if !away && ctx.Err() == nil {
			away = true
			f.Log.Warn("regions: the root does not answer; what is known of identities stays", "root", f.Root.Name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (f *Follower) ask(ctx context.Context, after events.Point) (Happened, error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor+askFor)
	defer cancel()
	places := f.Root.At
	if r, ok := f.Voter.View().Regions.Get(f.Root.Name); ok {
		for _, p := range r.Region.At {
			if !slices.Contains(places, p) {
				places = append(slices.Clip(places), p)
			}
		}
	}
	var out Happened
	err := f.Peers.ask(ctx, f.Root.Name, places, askIdentities, Identities{f.Self, after}, &out)
	return out, err
}

func (f *Follower) take(ctx context.Context, after events.Point, h Happened) error {
	ctx, cancel := context.WithTimeout(ctx, importFor)
	defer cancel()
	_, err := f.Region.Do(ctx, bus.NewStamp(Actor), events.ImportIdentities{Root: f.Root.Name, After: after, To: h.To, Identities: h.Identities})
	return err
}
