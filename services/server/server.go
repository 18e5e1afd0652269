// Package server puts one zone's control plane together: voter, bus server,
// door, outbox and watch, wired by a config file or by a simulation.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/door"
	"skerry/services/outbox"
	"skerry/services/regions"
	"skerry/services/seal"
	"skerry/services/voter"
	"skerry/services/watch"
)

// Options wire a control plane.
type Options struct {
	Region   string
	Form     events.FormRegion // proposed when the log is empty
	Replicas int               // of the event stream
	Memory   bool              // keep the stream in memory
	Voter    *voter.Voter
	Bus      *bus.Client
	Key      *seal.Key
	Log      *slog.Logger

	Self   events.RegionInfo // as other regions know it
	Root   events.RegionInfo // whose accounts the region trusts; none: its own
	Beside *regions.Peers    // that asks the root
}

// Server is one zone's control plane.
type Server struct {
	o     Options
	Door  *door.Door
	out   *outbox.Outbox
	watch *watch.Watch

	caughtUp atomic.Bool
}

// New wires it.
func New(o Options) (*Server, error) {
	out, err := outbox.New(o.Region, o.Replicas, o.Memory, o.Voter, o.Bus.Conn(), o.Log)
	if err != nil {
		return nil, err
	}
	return &Server{
		o: o, out: out,
		Door:  &door.Door{Region: o.Region, Voter: o.Voter, Bus: o.Bus, Outbox: out, Key: o.Key, Log: o.Log},
		watch: &watch.Watch{Region: o.Region, Voter: o.Voter, Bus: o.Bus, Log: o.Log},
	}, nil
}

// Run answers questions, and leads when elected, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { s.o.Voter.Lead(ctx, s.lead) })
	wg.Go(func() { s.fill(ctx) })
	wg.Go(func() {
		if err := s.Door.Serve(ctx); err != nil {
			errs <- err
			cancel()
		}
	})
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// lead is one term.
func (s *Server) lead(ctx context.Context) {
	if s.o.Voter.View().Meta.Region == "" {
		form := s.o.Form
		reply, err := s.o.Voter.Propose(events.Stamped{Stamp: bus.NewStamp(door.RegionActor), Command: form})
		if err == nil && reply.Fault != nil {
			err = reply.Fault
		}
		if err != nil {
			s.o.Log.Error("forming the region", "err", err)
			return
		}
		s.o.Log.Info("region formed", "zones", form.Zones, "images", len(form.Images))
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.out.Live(ctx) })
	wg.Go(func() { s.out.Keep(ctx) })
	wg.Go(func() { s.out.Mirror(ctx) })
	wg.Go(func() { s.watch.Run(ctx) })
	if s.o.Root.Name != "" {
		f := regions.Follower{Self: s.o.Self, Root: s.o.Root, Peers: s.o.Beside, Region: s.Door, Voter: s.o.Voter, Log: s.o.Log}
		wg.Go(func() { f.Run(ctx) })
	}
	wg.Go(func() {
		if err := s.Door.Lead(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Error("leader's endpoints", "err", err)
			if err := s.o.Voter.StepDown(); err != nil {
				s.o.Log.Error("step down", "err", err)
			}
		}
	})
	wg.Wait()
}

// fill closes the hole that a snapshot from another voter leaves in the
// history, from whoever holds the events.
func (s *Server) fill(ctx context.Context) {
	for {
		if err := s.fillOnce(ctx); err != nil && ctx.Err() == nil {
			s.o.Log.Warn("history: filling", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
	}
}

func (s *Server) fillOnce(ctx context.Context) error {
	hist := s.o.Voter.History()
	for ctx.Err() == nil {
		first, missing, err := hist.Missing(s.o.Voter.View().Meta.N + 1)
		if err != nil || !missing {
			return err
		}
		asked := false
		for _, peer := range s.o.Voter.Raft().GetConfiguration().Configuration().Servers {
			if string(peer.ID) == s.o.Voter.AZ() {
				continue
			}
			ask, cancel := context.WithTimeout(ctx, 5*time.Second)
			var page bus.HistoryAnswer
			err := s.o.Bus.Query(ask, "history."+string(peer.ID), bus.HistoryQuery{First: first, Limit: 512}, &page)
			cancel()
			if err != nil || len(page.Records) == 0 {
				continue
			}
			if err := hist.Fill(page.Records); err != nil {
				return err
			}
			asked = true
			break
		}
		if !asked {
			return fmt.Errorf("no voter that answers holds event %d", first)
		}
	}
	return nil
}

// Healthy says whether this zone can serve: it has caught up with the region
// once since it started, and knows a leader.
func (s *Server) Healthy(ctx context.Context) error {
	if !s.caughtUp.Load() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := s.Door.Read(ctx); err != nil {
			return fmt.Errorf("not caught up yet: %w", err)
		}
		s.caughtUp.Store(true)
	}
	if s.o.Voter.View().Meta.Region == "" {
		return errors.New("the region is not formed yet")
	}
	if s.o.Voter.Leader() == "" {
		return errors.New("no leader is known here")
	}
	return nil
}
