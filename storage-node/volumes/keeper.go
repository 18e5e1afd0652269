// Package volumes is the keeper of a storage node: it makes the node hold
// exactly the volumes that the region's specs name, open to exactly the
// attachments they name, and says what it sees.
//
//	specs ──▶ want ─┐
//	                ├─ plan ─▶ steps ─▶ engine, target
//	engine ─▶ have ─┤             └───▶ reports ──▶ region ──▶ specs …
//	target ─▶       ┘
//
//	one volume:  create ─▶ report ready ─▶ export … end, raise ─▶ report ready
//	             tombstone: end, retire, report absent ─▶ (later) unlinked
//
// "Ready at epoch e" is the node's word that it holds the volume and that
// nothing of an older epoch can write to it any more. The keeper promises that
// nothing is served before the spec names this very process (its boot), that a
// volume whose data are gone is never made anew, that files leave only for a
// tombstone and are moved aside first, and that what cannot be done is reported
// in words. It expects the region to show in KnownEpoch that it heard.
package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry/events"
	"skerry/internal/node"
	"skerry/storage-node/iscsi"
	"skerry/storage-node/volume"
)

// Limits of the keeper's work.
const (
	period     = 2 * time.Second // between passes when nobody pokes
	patience   = time.Second     // that a pass waits for its steps
	width      = 8               // volumes at once
	sayTimeout = 5 * time.Second // for a report
	tidyEvery  = 30 * time.Second
	keepFor    = 10 * time.Minute // a retired volume, so that a wrong tombstone can be undone by hand
	maxDetail  = 500
)

// Reporter brings a report to the region. An error is no loss: the report
// repeats.
type Reporter func(context.Context, events.Command) error

// Options of a keeper.
type Options struct {
	Host events.HostID
	Boot string // of this process
	Log  *slog.Logger
}

// Keeper makes one node hold its volumes.
type Keeper struct {
	store  *volume.Store
	target *iscsi.Target
	say    Reporter
	opt    Options
	log    *slog.Logger
	pokes  chan struct{}
	slots  chan struct{}

	mu       sync.Mutex
	specs    map[events.VolumeID]events.Spec
	n        uint64
	complete bool
	done     map[events.VolumeID]have // what this keeper did: failures and reports
	exported map[events.VolumeID]events.VolumeSpec
	busy     map[events.VolumeID]bool
	bad      map[events.VolumeID]string // specs that cannot be read
	tidied   time.Time
	work     sync.WaitGroup
}

// New is a keeper that holds nothing yet. Run it, or call Pass.
func New(store *volume.Store, target *iscsi.Target, say Reporter, opt Options) *Keeper {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{store: store, target: target, say: say, opt: opt, log: opt.Log,
		pokes: make(chan struct{}, 1), slots: make(chan struct{}, width),
		specs: map[events.VolumeID]events.Spec{}, done: map[events.VolumeID]have{}, exported: map[events.VolumeID]events.VolumeSpec{},
		busy: map[events.VolumeID]bool{}, bad: map[events.VolumeID]string{}}
}

// Want gives the keeper specs. Before the first complete set it only looks; a
// part takes nothing away. Per object a lower N is dropped.
func (k *Keeper) Want(set events.SpecSet, complete bool) {
	k.mu.Lock()
	k.specs = node.Merge(k.specs, set.Specs, complete, func(s events.Spec) (events.VolumeID, bool) {
		return events.VolumeID(s.ID), s.Kind == events.SpecVolume || s.Kind == events.SpecSnapshot
	})
	k.n = max(k.n, set.Manifest.N)
	k.complete = k.complete || complete
	k.mu.Unlock()
	k.Poke()
}

// Poke asks for a pass soon.
func (k *Keeper) Poke() {
	select {
	case k.pokes <- struct{}{}:
	default:
	}
}

// Run passes whenever something may have changed, until ctx ends, and then
// waits for the steps that are under way.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.work.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.pokes:
		}
		if err := k.Pass(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("pass", "err", err)
		}
		timer.Reset(period)
	}
}

// Pass makes the node hold what the specs name. It is told nothing about what
// changed. Steps that take longer than its patience go on behind it.
func (k *Keeper) Pass(ctx context.Context) error {
	held, err := k.store.List()
	if err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	// Opening replays a log, which may take its time: not while mu is held.
	k.mu.Lock()
	known := maps.Clone(k.specs)
	k.mu.Unlock()
	for _, id := range held {
		if s, ok := known[id]; ok && !s.Tombstone {
			k.store.Volume(id) // look finds it open, or meets the error again
		}
	}
	at := time.Now()
	k.mu.Lock()
	var chains [][]step
	wants := map[events.VolumeID]want{}
	if k.complete {
		wants = k.wants()
		haves := map[events.VolumeID]have{}
		for id, w := range wants {
			if k.busy[id] {
				delete(wants, id)
				continue
			}
			haves[id] = k.look(id, w, slices.Contains(held, id))
		}
		for id := range k.done {
			if _, ok := k.specs[id]; !ok && !k.busy[id] {
				delete(k.done, id) // the region forgot it
			}
		}
		chains = byVolume(plan(k.opt.Boot, wants, haves, at))
		for _, c := range chains {
			k.busy[c[0].id] = true
		}
	}
	tidy := at.Sub(k.tidied) >= tidyEvery
	if tidy {
		k.tidied = at
	}
	k.mu.Unlock()
	results := make(chan error, len(chains))
	for _, c := range chains {
		w := wants[c[0].id]
		k.work.Go(func() { results <- k.run(ctx, c, w) })
	}
	var errs []error
	if tidy {
		errs = append(errs, k.store.Tidy(at.Add(-keepFor)))
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for range chains {
		select {
		case err := <-results:
			errs = append(errs, err)
		case <-wait.C:
			return errors.Join(errs...)
		case <-ctx.Done():
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

// look is what is known of a volume that the region asks something of; mu is held.
func (k *Keeper) look(id events.VolumeID, w want, held bool) have {
	h := k.done[id]
	h.Held = held
	h.Exported, _ = k.target.Exported(id)
	h.Same = w.Spec.Attachment != nil && sameExport(k.exported[id], w.Spec)
	if !held || w.Tombstone {
		return h
	}
	v, err := k.store.Volume(id)
	if err == nil {
		err = v.Err()
	}
	if err != nil {
		h.Bad = detail(err)
		return h
	}
	h.Bytes, h.Epoch = v.Bytes(), v.Epoch()
	return h
}

func sameExport(a, b events.VolumeSpec) bool {
	x, y := a.Attachment, b.Attachment
	return x != nil && y != nil && x.Attachment == y.Attachment && x.Initiator == y.Initiator && string(x.Secret) == string(y.Secret) &&
		a.Target == b.Target && a.WriteThrough == b.WriteThrough
}

// wants reads the specs; mu is held.
func (k *Keeper) wants() map[events.VolumeID]want {
	out := make(map[events.VolumeID]want, len(k.specs))
	clear(k.bad)
	for id, s := range k.specs {
		w := want{Tombstone: s.Tombstone, Request: s.Request, IsSnapshot: s.Kind == events.SpecSnapshot}
		switch {
		case s.Tombstone:
		case w.IsSnapshot:
			if err := json.Unmarshal(s.Body, &w.Snapshot); err != nil {
				k.bad[id] = err.Error()
				continue
			}
		default:
			if err := json.Unmarshal(s.Body, &w.Spec); err != nil {
				k.bad[id] = err.Error()
				continue
			}
			if w.Spec.Volume != id {
				k.bad[id] = fmt.Sprintf("the spec of %s names %q", id, w.Spec.Volume)
				continue
			}
		}
		out[id] = w
	}
	return out
}

// byVolume splits steps into one chain per volume.
func byVolume(steps []step) (chains [][]step) {
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].id == steps[0].id {
			n++
		}
		chains = append(chains, steps[:n:n])
		steps = steps[n:]
	}
	return chains
}

// run does the steps of one volume in order and stops at the first that fails.
func (k *Keeper) run(ctx context.Context, chain []step, w want) error {
	id := chain[0].id
	acted := false
	defer func() {
		k.mu.Lock()
		delete(k.busy, id)
		k.mu.Unlock()
		if acted {
			k.Poke()
		}
	}()
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return nil
	}
	for _, s := range chain {
		err := k.do(ctx, s, w)
		if ctx.Err() != nil {
			return nil
		}
		k.noted(s, err)
		if err != nil {
			err = fmt.Errorf("%v: %w", s, err)
			k.log.Warn("step", "id", id, "step", s.String(), "request", w.Request, "err", err)
			return fmt.Errorf("volumes: %w", err)
		}
		if s.verb != doReport {
			acted = true
			k.log.Info("step", "id", id, "step", s.String(), "request", w.Request)
		}
	}
	return nil
}

// do makes one step true.
func (k *Keeper) do(ctx context.Context, s step, w want) error {
	switch s.verb {
	case doCreate:
		if from := w.Spec.Source; from != nil {
			return k.store.Copy(events.VolumeID(from.Snapshot), s.id, w.Spec.Bytes, s.epoch)
		}
		_, err := k.store.Create(s.id, w.Spec.Bytes, s.epoch)
		return err
	case doGrow:
		v, err := k.store.Volume(s.id)
		if err != nil {
			return err
		}
		return v.Grow(w.Spec.Bytes)
	case doCopy:
		from := w.Snapshot.Volume
		if w.Snapshot.Source != "" {
			from = events.VolumeID(w.Snapshot.Source)
		}
		return k.store.Copy(from, s.id, w.Snapshot.Bytes, 1)
	case doEnd:
		k.mu.Lock()
		delete(k.exported, s.id)
		k.mu.Unlock()
		return k.target.End(s.id)
	case doRaise:
		v, err := k.store.Volume(s.id)
		if err != nil {
			return err
		}
		return v.SetEpoch(s.epoch)
	case doExport:
		v, err := k.store.Volume(s.id)
		if err != nil {
			return err
		}
		a := w.Spec.Attachment
		if err := k.target.Export(iscsi.Export{Volume: v, Epoch: s.epoch, Attachment: a.Attachment, Target: w.Spec.Target,
			Initiator: a.Initiator, Secret: a.Secret, WriteThrough: w.Spec.WriteThrough}); err != nil {
			return err
		}
		k.mu.Lock()
		k.exported[s.id] = w.Spec
		k.mu.Unlock()
		return nil
	case doRetire:
		return k.store.Retire(s.id, time.Now())
	case doReport:
		ctx, cancel := context.WithTimeout(ctx, sayTimeout)
		defer cancel()
		if s.snapshot {
			return k.say(ctx, events.ReportSnapshot{Host: k.opt.Host, Snapshot: events.SnapshotID(s.id),
				Phase: events.SnapshotPhase(s.report.Phase), Detail: s.report.Detail})
		}
		return k.say(ctx, events.ReportVolume{Host: k.opt.Host, Volume: s.id, Epoch: s.report.Epoch, Boot: k.opt.Boot,
			Phase: s.report.Phase, Detail: s.report.Detail, Revision: s.report.Revision})
	}
	panic("volumes: unknown step " + string(s.verb))
}

// noted remembers what became of a step.
func (k *Keeper) noted(s step, err error) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.done[s.id]
	switch {
	case s.verb == doReport: // heard or not: it repeats, and no sooner
		h.Reported, h.At = s.report, now
	case err == nil:
		h.Failed = nil
	default:
		count := 1
		if f := h.Failed; f != nil && f.Verb == s.verb && f.Epoch == s.epoch {
			count = f.Count + 1
		}
		h.Failed = &failure{Verb: s.verb, Epoch: s.epoch, Count: count, Last: now, Detail: detail(fmt.Errorf("%v: %w", s, err))}
	}
	k.done[s.id] = h
}

func detail(err error) string {
	s := err.Error()
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	return s
}

// Have is what the node holds, for doctor: volumes, and those that no spec
// explains.
func (k *Keeper) Have(context.Context) (events.Have, error) {
	held, err := k.store.List()
	if err != nil {
		return events.Have{}, fmt.Errorf("volumes: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := events.Have{Host: k.opt.Host, Kind: "storage", N: k.n}
	for _, id := range held {
		spec, explained := k.specs[id]
		kind := "volume"
		if strings.HasPrefix(string(id), "snap-") || spec.Kind == events.SpecSnapshot {
			kind = "snapshot"
		}
		state := "held"
		if explained {
			if v, err := k.store.Volume(id); err == nil {
				state = fmt.Sprintf("epoch %d", v.Epoch())
			} else {
				state = detail(err)
			}
		}
		if a, ok := k.target.Exported(id); ok {
			state += " " + string(a)
		}
		out.Objects = append(out.Objects, events.Object{Kind: kind, ID: string(id), State: state})
		if !explained && k.complete {
			out.Orphans = append(out.Orphans, kind+" "+string(id))
		}
	}
	return out, nil
}

// Conditions are what an operator should know, for heartbeats.
func (k *Keeper) Conditions() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(k.bad)) {
		out = append(out, "spec unreadable: "+string(id)+": "+k.bad[id])
	}
	for _, id := range slices.Sorted(maps.Keys(k.done)) {
		if f := k.done[id].Failed; f != nil {
			out = append(out, f.Detail)
		} else if r := k.done[id].Reported; r.Phase == events.VolumeFailed {
			out = append(out, "volume "+string(id)+": "+r.Detail)
		}
	}
	return out
}
