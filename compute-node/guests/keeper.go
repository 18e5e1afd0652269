package guests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/events"
	"skerry/internal/node"
)

// Limits of the keeper's work.
const (
	period      = 2 * time.Second  // between passes when nobody pokes
	patience    = time.Second      // that a pass waits for its steps
	width       = 8                // starts and ends at once
	stepTimeout = 60 * time.Second // for one step; image fetches included
	listTimeout = 10 * time.Second
	sayTimeout  = 5 * time.Second // for a report
	tidyEvery   = 30 * time.Second
	strayEvery  = 10 * time.Second // between reports of what no spec explains
)

// Reporter brings a report to the region. An error is no loss: the report
// repeats.
type Reporter interface {
	Report(ctx context.Context, r events.Command) error
}

// ReporterFunc is a function as a Reporter.
type ReporterFunc func(ctx context.Context, r events.Command) error

// Report implements Reporter.
func (f ReporterFunc) Report(ctx context.Context, r events.Command) error { return f(ctx, r) }

// Options of a keeper.
type Options struct {
	Host  events.HostID
	Accel hypervisor.Accel
	Log   *slog.Logger // nil: none

	Blocks Blocks         // nil: volumes need no way
	Portal netip.AddrPort // where the relay listens; not valid: DefaultPortal
	Taps   Taps           // nil: taps need no waiting for

	Conditions []string // what is wrong with the machine itself
}

// Keeper makes one host hold its guests.
type Keeper struct {
	hv    hypervisor.Driver
	store Store
	say   Reporter
	opt   Options
	log   *slog.Logger
	pokes chan struct{}
	slots chan struct{}

	mu       sync.Mutex
	specs    map[events.InstanceID]events.Spec
	n        uint64 // of the set
	complete bool
	done     map[events.InstanceID]have // what this keeper did; Domain and Record unused
	busy     map[events.InstanceID]bool
	bad      map[events.InstanceID]string // specs that cannot be read
	paused   []string
	passes   uint64
	acted    uint64
	tidied   time.Time
	strayed  time.Time // when strays were last reported
	read     map[events.InstanceID]reading
	served   []events.DiskSpec // what the relay was told last
	work     sync.WaitGroup
}

// New is a keeper that holds nothing yet. Run it, or call Pass.
func New(hv hypervisor.Driver, store Store, say Reporter, opt Options) *Keeper {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if !opt.Portal.IsValid() {
		opt.Portal = DefaultPortal
	}
	if opt.Accel == "" {
		opt.Accel = hypervisor.TCG
	}
	return &Keeper{
		hv: hv, store: store, say: say, opt: opt,
		log:   opt.Log.With("host", opt.Host, "kind", "compute"),
		pokes: make(chan struct{}, 1), slots: make(chan struct{}, width),
		specs: map[events.InstanceID]events.Spec{}, done: map[events.InstanceID]have{},
		busy: map[events.InstanceID]bool{}, bad: map[events.InstanceID]string{},
	}
}

// Want replaces the specs the host is to hold; other kinds than instances are
// passed over. Complete says that a manifest closed the set at event n: before
// the first complete set the keeper only looks. Per object a lower N is dropped.
func (k *Keeper) Want(n uint64, specs []events.Spec, complete bool) {
	k.mu.Lock()
	k.specs = node.Merge(k.specs, specs, complete, func(s events.Spec) (events.InstanceID, bool) {
		return events.InstanceID(s.ID), s.Kind == events.SpecInstance
	})
	k.n = max(k.n, n)
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
	if d, ok := k.store.(*Disk); ok {
		k.work.Go(func() { d.images.warm(ctx) })
	}
	var taps <-chan struct{}
	if k.opt.Taps != nil {
		taps = k.opt.Taps.Pokes()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.pokes:
		case <-k.hv.Pokes():
		case <-taps:
		}
		if err := k.Pass(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("pass", "err", err)
		}
		timer.Reset(period)
	}
}

// Pass makes the host hold what the specs name. It is told nothing about what
// changed. Steps that take longer than its patience go on behind it, one chain
// per guest at a time.
func (k *Keeper) Pass(ctx context.Context) error {
	domains, records, err := k.look(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	k.mu.Lock()
	k.passes++
	k.observe(domains)
	var chains [][]step
	wants := map[events.InstanceID]want{}
	if k.complete {
		wants = k.wants()
		k.serve(wants)
		haves := map[events.InstanceID]have{}
		for id := range wants {
			if k.busy[id] {
				delete(wants, id)
				continue
			}
			h := k.done[id]
			if s, ok := domains[id]; ok {
				h.Domain = &s
			}
			if r, ok := records[id]; ok {
				h.Record = &r
			}
			h.Unplugged = (h.Domain == nil || !h.Domain.Alive()) && !k.plugged(wants[id])
			haves[id] = h
		}
		steps := plan(wants, haves, at)
		if at.Sub(k.strayed) >= strayEvery {
			k.strayed = at
			steps = append(steps, strays(wants, k.unexplained(domains, records))...)
		}
		chains = slices.Collect(byGuest(steps))
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
		errs = append(errs, k.store.Tidy(ctx))
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

// look reads what the host holds.
func (k *Keeper) look(ctx context.Context) (map[events.InstanceID]hypervisor.Status, map[events.InstanceID]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	ds, err := k.hv.Domains(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("guests: list domains: %w", err)
	}
	rs, err := k.store.Records(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("guests: list records: %w", err)
	}
	domains := map[events.InstanceID]hypervisor.Status{}
	for _, d := range ds {
		domains[events.InstanceID(d.ID)] = d
	}
	records := map[events.InstanceID]Record{}
	for _, r := range rs {
		records[r.Instance] = r
	}
	return domains, records, nil
}

// observe notes what the domains say of earlier steps; mu is held.
func (k *Keeper) observe(domains map[events.InstanceID]hypervisor.Status) {
	k.paused = nil
	for id, d := range domains {
		if d.State == hypervisor.Paused {
			k.paused = append(k.paused, string(id))
		}
	}
	slices.Sort(k.paused)
	for id, h := range k.done {
		if _, ok := k.specs[id]; !ok && !k.busy[id] && k.complete {
			delete(k.done, id) // the region forgot it
			continue
		}
		if d, ok := domains[id]; !ok || !d.Alive() {
			h.Pressed, h.LastPress = time.Time{}, time.Time{}
			k.done[id] = h
		}
	}
}

// unexplained is what the host holds without a spec; mu is held.
func (k *Keeper) unexplained(domains map[events.InstanceID]hypervisor.Status, records map[events.InstanceID]Record) map[events.InstanceID]have {
	out := map[events.InstanceID]have{}
	for id, s := range domains {
		if _, ok := k.specs[id]; !ok && !k.busy[id] {
			out[id] = have{Domain: &s}
		}
	}
	for id, r := range records {
		if _, ok := k.specs[id]; !ok && !k.busy[id] {
			h := out[id]
			h.Record = &r
			out[id] = h
		}
	}
	return out
}

// reading is a spec as it was read: bodies are parsed once per version.
type reading struct {
	n    uint64
	want want
}

// wants reads the specs; mu is held.
func (k *Keeper) wants() map[events.InstanceID]want {
	out := make(map[events.InstanceID]want, len(k.specs))
	seen := make(map[events.InstanceID]reading, len(k.specs))
	clear(k.bad)
	for id, s := range k.specs {
		if r, ok := k.read[id]; ok && r.n == s.N && r.want.Tombstone == s.Tombstone {
			out[id], seen[id] = r.want, r
			continue
		}
		w := want{Tombstone: s.Tombstone, Request: s.Request, N: s.N}
		// The order to destroy a guest names the volumes that it may reach until it
		// is gone.
		if !s.Tombstone || len(s.Body) > 0 {
			if err := json.Unmarshal(s.Body, &w.Spec); err != nil {
				k.bad[id] = err.Error()
				continue
			}
			if w.Spec.Instance != id {
				k.bad[id] = fmt.Sprintf("the spec of %s names %q", id, w.Spec.Instance)
				continue
			}
		}
		out[id], seen[id] = w, reading{s.N, w}
	}
	k.read = seen
	return out
}

// byGuest splits steps into one chain per guest.
func byGuest(steps []step) func(func([]step) bool) {
	return func(yield func([]step) bool) {
		for len(steps) > 0 {
			n := 1
			for n < len(steps) && steps[n].id == steps[0].id {
				n++
			}
			if !yield(steps[:n:n]) {
				return
			}
			steps = steps[n:]
		}
	}
}

// run does the steps of one guest in order and stops at the first that fails.
func (k *Keeper) run(ctx context.Context, chain []step, w want) error {
	id := chain[0].id
	defer func() {
		k.mu.Lock()
		delete(k.busy, id)
		k.mu.Unlock()
		k.Poke()
	}()
	for _, s := range chain {
		err := k.do(ctx, s, w)
		if s.aboutDisk() && (err == nil || ctx.Err() == nil) {
			k.mu.Lock()
			k.noteDisk(s, err)
			if err == nil {
				k.acted++
			}
			k.mu.Unlock()
			if isInUse(err) {
				continue // said by its condition, and asked again
			}
		}
		if err == nil {
			k.succeeded(s, w.Request)
			continue
		}
		if ctx.Err() != nil {
			return nil // the keeper ends; the next one takes it up again
		}
		err = fmt.Errorf("%v: %w", s, err)
		if !s.aboutDisk() {
			k.failed(s, err)
		}
		k.log.Warn("step", "id", id, "step", s.String(), "request", w.Request, "err", err)
		return fmt.Errorf("guests: %w", err)
	}
	return nil
}

// do makes one step true.
func (k *Keeper) do(ctx context.Context, s step, w want) error {
	limit := stepTimeout
	if s.verb == doReport || s.verb == doTellDisk {
		limit = sayTimeout
	} else {
		select {
		case k.slots <- struct{}{}:
			defer func() { <-k.slots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if s.aboutDisk() {
		return k.doDisk(ctx, s, w)
	}
	id := string(s.id)
	switch s.verb {
	case doPrepare:
		_, err := k.store.Prepare(ctx, w.Spec)
		return err
	case doStart:
		files, err := k.store.Prepare(ctx, w.Spec) // only finds what the step before made
		if err != nil {
			return err
		}
		d := domain(w.Spec, files, k.opt.Accel)
		if root, ok := diskOf(w, w.Spec.RootVolume); ok {
			d.Root = new(k.volume(root))
			if k.opt.Blocks != nil {
				defer k.opt.Blocks.Impatient(root.Volume)()
			}
		}
		if err := k.hv.Start(ctx, d); err != nil {
			return err
		}
		return k.store.Started(ctx, s.id, s.boot.Generation, s.boot.Reboots)
	case doAdopt:
		return k.store.Started(ctx, s.id, s.boot.Generation, s.boot.Reboots)
	case doPress:
		return k.hv.Shutdown(ctx, id)
	case doDestroy:
		return k.hv.Destroy(ctx, id)
	case doForget:
		return k.hv.Remove(ctx, id)
	case doRetire:
		return k.store.Retire(ctx, s.id)
	case doReport:
		return k.say.Report(ctx, events.ReportInstance{Host: k.opt.Host, Instance: s.id, Generation: s.boot.Generation, Phase: s.phase, Detail: s.detail, Order: s.order})
	}
	panic("guests: unknown step " + string(s.verb))
}

func (k *Keeper) succeeded(s step, request string) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.aboutDisk() {
		if s.verb != doProbe {
			k.log.Info("step", "id", s.id, "step", s.String(), "request", request)
		}
		return
	}
	if s.verb != doReport {
		k.acted++
	}
	h := k.done[s.id]
	if h.Failed != nil && h.Failed.Verb == s.verb {
		h.Failed = nil
	}
	switch s.verb {
	case doPress:
		h.LastPress = now
		if h.Pressed.IsZero() {
			h.Pressed = now
		}
	case doReport:
		h.Reported, h.Detail, h.At = s.phase, s.detail, now
	}
	k.done[s.id] = h
	if s.verb != doReport || h.Reported == events.PhaseAbsent {
		k.log.Info("step", "id", s.id, "step", s.String(), "request", request)
	}
}

func (k *Keeper) failed(s step, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.done[s.id]
	if s.verb == doReport {
		// It repeats, as any that the region did not hear, and no sooner.
		h.Reported, h.Detail, h.At = s.phase, s.detail, time.Now()
		k.done[s.id] = h
		return
	}
	count := 1
	if f := h.Failed; f != nil && f.Boot == s.boot && f.Verb == s.verb {
		count = f.Count + 1
	}
	if s.verb == doPress { // a button that cannot be pressed still starts the grace
		now := time.Now()
		h.LastPress = now
		if h.Pressed.IsZero() {
			h.Pressed = now
		}
	}
	h.Failed = &failure{Verb: s.verb, Boot: s.boot, Count: count, Last: time.Now(), Detail: detail(err)}
	k.done[s.id] = h
}

func isInUse(err error) bool { return errors.Is(err, hypervisor.ErrInUse) }

// maxDetail bounds what a report says of an error.
const maxDetail = 500

func detail(err error) string {
	s := err.Error()
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	return s
}

// Console returns the last limit bytes of a guest's console, also of one that
// was retired lately.
func (k *Keeper) Console(ctx context.Context, id events.InstanceID, limit int) ([]byte, error) {
	b, err := k.hv.Console(ctx, string(id), limit)
	if errors.Is(err, hypervisor.ErrNoDomain) {
		return k.store.Console(id, limit)
	}
	return b, err
}

// Have is what the host holds, for doctor: domains and files, and those that no
// spec explains.
func (k *Keeper) Have(ctx context.Context) (events.Have, error) {
	domains, records, err := k.look(ctx)
	if err != nil {
		return events.Have{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := events.Have{Host: k.opt.Host, Kind: "compute", N: k.n}
	orphan := func(kind string, id events.InstanceID) {
		if _, ok := k.specs[id]; !ok && k.complete {
			out.Orphans = append(out.Orphans, kind+" "+string(id))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(domains)) {
		d := domains[id]
		out.Objects = append(out.Objects, events.Object{Kind: "domain", ID: string(id), State: fmt.Sprintf("%s %d.%d", d.State, d.Generation, d.Reboots)})
		orphan("domain", id)
	}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		r := records[id]
		out.Objects = append(out.Objects, events.Object{Kind: "files", ID: string(id), State: fmt.Sprintf("prepared %d", r.Prepared)})
		orphan("files", id)
	}
	return out, nil
}

// Conditions are what an operator should know, for heartbeats.
func (k *Keeper) Conditions() []string {
	problems := append(slices.Clone(k.opt.Conditions), k.store.Problems()...)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range k.paused {
		problems = append(problems, "guest paused: "+id)
	}
	for _, id := range slices.Sorted(maps.Keys(k.bad)) {
		problems = append(problems, "spec unreadable: "+string(id)+": "+k.bad[id])
	}
	for _, id := range slices.Sorted(maps.Keys(k.done)) {
		if f := k.done[id].Failed; f != nil {
			problems = append(problems, f.Detail)
		}
		for _, v := range slices.Sorted(maps.Keys(k.done[id].Disks)) {
			d := k.done[id].Disks[v]
			if d.Failed != nil {
				problems = append(problems, d.Failed.Detail)
			}
			if d.Busy {
				problems = append(problems, fmt.Sprintf("volume %s cannot be detached: %s has it mounted", v, id))
			}
		}
	}
	if k.opt.Blocks != nil {
		problems = append(problems, k.opt.Blocks.Problems()...)
	}
	return problems
}

// Passes counts passes and the steps that changed something.
func (k *Keeper) Passes() (passes, acted uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.passes, k.acted
}

// ChargedMiB is the memory that the guests on this host take, those asked for
// included.
func (k *Keeper) ChargedMiB() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	sum := 0
	for _, w := range k.wants() {
		if !w.Tombstone {
			sum += ChargeMiB(w.Spec.Shape, k.opt.Accel)
		}
	}
	return sum
}
