// Package propose keeps asking the leader which instances and volumes wait for a host and
// answers with proposals. It holds nothing between two passes: what it says is
// always about the state it was told, and the region re-checks all of it.
package propose

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/internal/reconcile"
	"skerry/scheduler/place"
)

// Scheduler proposes placements for one region.
type Scheduler struct {
	Bus *bus.Client
	Log *slog.Logger
}

const (
	period = 2 * time.Second // between passes without a poke
	wait   = 5 * time.Second // for the leader
	batch  = 250             // placements of one command
)

// Run proposes until ctx ends. Events only poke; which ones does not matter.
func (s *Scheduler) Run(ctx context.Context) error {
	loop := reconcile.New("propose", period, s.Log, s.pass)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { loop.Run(ctx) })
	for ctx.Err() == nil {
		err := s.follow(ctx, loop)
		if ctx.Err() != nil {
			return nil
		}
		s.Log.Warn("following events starts again", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

func (s *Scheduler) follow(ctx context.Context, loop *reconcile.Loop) error {
	var status events.Status
	ask, cancel := context.WithTimeout(ctx, wait)
	err := s.Bus.Query(ask, "status", struct{}{}, &status)
	cancel()
	if err != nil {
		return err
	}
	loop.Poke()
	return s.Bus.Follow(ctx, bus.Cursor{N: status.N}, func(r events.Record) error {
		switch r.Event.(type) {
		case events.InstanceRequested, events.InstanceStartRequested, events.NodeLost, events.NodeReturned, events.NodeJoined, events.HostDrained, events.HostResumed, events.VolumeRequested:
			loop.Poke()
		}
		return nil
	})
}

// pass places what waits, a batch at a time, until nothing waits or the region
// took nothing of a batch.
func (s *Scheduler) pass(ctx context.Context) error {
	for {
		ask, cancel := context.WithTimeout(ctx, wait)
		var now events.Scheduling
		err := s.Bus.AskLeader(ask, "scheduling", struct{}{}, &now)
		cancel()
		if err != nil {
			return err
		}
		if err := s.volumes(ctx, now); err != nil {
			return err
		}
		if len(now.Unplaced) == 0 {
			return nil
		}
		hosts := place.New(now.Hosts)
		proposal := events.PlaceInstances{Basis: now.N}
		for _, w := range now.Unplaced[:min(batch, len(now.Unplaced))] {
			proposal.Placements = append(proposal.Placements, hosts.Place(now.N, w))
		}
		ask, cancel = context.WithTimeout(ctx, wait)
		reply, err := s.Bus.Command(ask, bus.NewStamp("scheduler"), proposal)
		cancel()
		if err != nil {
			return err
		}
		placed := 0
		for _, r := range reply.Events {
			if p, ok := r.Event.(events.InstancePlaced); ok {
				placed++
				s.Log.Info("placed", "id", p.Instance, "host", p.Host, "index", r.N)
			}
		}
		if len(reply.Events) == 0 {
			return fmt.Errorf("none of %d placements was still true", len(proposal.Placements))
		}
	}
}

// volumes places the volumes that wait and fit somewhere. Those that fit nowhere
// wait: a storage node may come back.
func (s *Scheduler) volumes(ctx context.Context, now events.Scheduling) error {
	stores := place.Stores(now.Stores)
	var proposal events.PlaceVolumes
	for _, w := range now.Volumes[:min(batch, len(now.Volumes))] {
		if p := stores.Place(now.N, w); p.Host != "" {
			proposal.Placements = append(proposal.Placements, p)
		}
	}
	if len(proposal.Placements) == 0 {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reply, err := s.Bus.Command(ask, bus.NewStamp("scheduler"), proposal)
	if err != nil {
		return err
	}
	for _, r := range reply.Events {
		if p, ok := r.Event.(events.VolumePlaced); ok {
			s.Log.Info("placed", "id", p.Volume, "host", p.Host, "index", r.N)
		}
	}
	return nil
}
