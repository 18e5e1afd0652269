package voter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/history"
	"skerry/services/raftlog"
	"skerry/services/state"
)

// Options open a voter.
type Options struct {
	AZ        string        // its name in the Raft group
	Voters    []raft.Server // the first configuration
	Bootstrap bool          // form it when there is no state yet
	FS        vfs.FS
	Dir       string
	Transport Transport
	Heartbeat time.Duration    // heartbeat and election timeout; 0 means DefaultHeartbeat
	Now       func() time.Time // the leader's clock, the one seam where clocks can disagree
	Log       *slog.Logger

	SnapshotThreshold uint64        // entries between snapshots, 0 means 16384
	SnapshotInterval  time.Duration // between looks at whether to make one, 0 means 30 s
	Trailing          uint64        // entries kept behind a snapshot, 0 means 20480
}

// DefaultHeartbeat makes writes resume within a second or so after a leader is lost.
const DefaultHeartbeat = 400 * time.Millisecond

const (
	maxAppend   = 512   // entries of one append
	trailing    = 20480 // entries kept behind a snapshot, for a voter that was away
	maxInFlight = 2048  // proposals waiting for their commit
)

// ErrNotLeader says that another voter leads, or none does. The caller tries
// again with the same command id.
var ErrNotLeader = errors.New("voter: not the leader")

// Voter is one member of the region's Raft group.
type Voter struct {
	o     Options
	fsm   *fsm
	store *raftlog.Store
	hist  *history.Store
	snaps *raftlog.Snapshots
	raft  *raft.Raft
	terms chan bool
	queue chan struct{} // a place for each proposal in flight

	mu      sync.Mutex
	leading bool
	closing bool
	last    time.Time      // last stamp given
	waiting []*proposal    // for a batch to land
	flying  int            // batches
	calls   sync.WaitGroup // that wait for raft
}

// Open opens the voter's stores and starts its Raft member.
func Open(o Options) (*Voter, error) {
	if o.Heartbeat == 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.SnapshotThreshold == 0 {
		o.SnapshotThreshold = 16384
	}
	if o.SnapshotInterval == 0 {
		o.SnapshotInterval = 30 * time.Second
	}
	if o.Trailing == 0 {
		o.Trailing = trailing
	}
	said := pebbleLog{o.Log}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("voter: %w", err)
	}
	store, err := raftlog.Open(o.FS, o.FS.PathJoin(o.Dir, "raft"), said)
	if err != nil {
		return nil, err
	}
	hist, err := history.Open(o.FS, o.FS.PathJoin(o.Dir, "history"), said)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	snaps, err := raftlog.OpenSnapshots(o.FS, o.FS.PathJoin(o.Dir, "snapshots"))
	if err != nil {
		return nil, errors.Join(err, hist.Close(), store.Close())
	}
	// A directory survives a power cut when its parent is synced; the stores
	// sync what is inside of theirs.
	if err := errors.Join(syncDir(o.FS, o.Dir), syncDir(o.FS, o.FS.PathDir(o.Dir))); err != nil {
		return nil, errors.Join(fmt.Errorf("voter: %w", err), hist.Close(), store.Close())
	}
	v := &Voter{o: o, fsm: newFSM(hist), store: store, hist: hist, snaps: snaps, terms: make(chan bool, 16), queue: make(chan struct{}, maxInFlight)}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(o.AZ)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = o.Heartbeat, o.Heartbeat, o.Heartbeat/2
	c.CommitTimeout = 50 * time.Millisecond
	c.MaxAppendEntries, c.BatchApplyCh = maxAppend, true
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = o.SnapshotThreshold, o.SnapshotInterval, o.Trailing
	c.NotifyCh = v.terms
	// RestoreCommittedLogs stays off: raft 1.8.0 then skips the configuration
	// entries it restores, and a restarted voter knows no peers.
	c.Logger = hclog.New(&hclog.LoggerOptions{Output: lineLog{o.Log}, Level: hclog.Info, DisableTime: true})
	var member atomic.Pointer[raft.Raft]
	log := entries{store, snaps, func() uint64 {
		if r := member.Load(); r != nil {
			return r.AppliedIndex()
		}
		return 0
	}}
	wire := newArrivals(o.Transport, log)
	if o.Bootstrap {
		has, err := raft.HasExistingState(log, store, snaps)
		if err == nil && !has {
			err = raft.BootstrapCluster(c, log, store, snaps, wire, raft.Configuration{Servers: o.Voters})
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("voter: bootstrap: %w", err), hist.Close(), store.Close())
		}
	}
	if v.raft, err = raft.NewRaft(c, v.fsm, log, store, snaps, wire); err != nil {
		return nil, errors.Join(fmt.Errorf("voter: %w", err), hist.Close(), store.Close())
	}
	member.Store(v.raft)
	wire.start(v.raft)
	return v, nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close stops the member and closes its stores. Calls that wait for raft are
// answered first: raft forgets those it has not come to when it shuts down, and
// their callers would wait for ever.
func (v *Voter) Close() error {
	v.mu.Lock()
	v.closing = true
	v.mu.Unlock()
	v.calls.Wait()
	return errors.Join(v.raft.Shutdown().Error(), v.hist.Close(), v.store.Close())
}

// View is the newest applied state of this voter.
func (v *Voter) View() *state.View { return v.fsm.view.Load() }

// Changed is closed when a newer view than the present one is there.
func (v *Voter) Changed() <-chan struct{} { return v.fsm.Changed() }

// History is this voter's copy of the region's events.
func (v *Voter) History() *history.Store { return v.hist }

// Past is the state of the newest snapshot held here that is of a wanted moment,
// or the empty state when none is.
func (v *Voter) Past(wanted func(state.Meta) bool) (*state.Tx, error) {
	all, err := v.snaps.List()
	if err != nil {
		return nil, fmt.Errorf("voter: %w", err)
	}
	for _, m := range all {
		_, f, err := v.snaps.Open(m.ID)
		if err != nil {
			continue // replaced meanwhile
		}
		meta, err := state.Peek(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("voter: snapshot %s: %w", m.ID, err)
		}
		if !wanted(meta) {
			continue
		}
		if _, f, err = v.snaps.Open(m.ID); err != nil {
			continue
		}
		tx, err := state.Load(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("voter: snapshot %s: %w", m.ID, err)
		}
		return tx, nil
	}
	return state.New(), nil
}

// Raft is the member, for operators' questions.
func (v *Voter) Raft() *raft.Raft { return v.raft }

// AZ is the voter's name.
func (v *Voter) AZ() string { return v.o.AZ }

// Now is the voter's clock.
func (v *Voter) Now() time.Time { return v.o.Now().UTC() }

// Leader is the zone whose voter leads, as far as this one knows.
func (v *Voter) Leader() string {
	_, id := v.raft.LeaderWithID()
	return string(id)
}

// Leading says that this voter leads and has applied everything before its term.
func (v *Voter) Leading() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leading
}

// WaitFor returns a view at event n or later.
func (v *Voter) WaitFor(ctx context.Context, n uint64) (*state.View, error) {
	for {
		changed := v.Changed()
		if view := v.View(); view.Meta.N >= n {
			return view, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("voter: waiting for event %d: %w", n, context.Cause(ctx))
		}
	}
}

// ReadIndex is an event number that contains every acknowledged write. Only the
// leader can tell, after a round to its followers.
func (v *Voter) ReadIndex() (uint64, error) {
	v.mu.Lock()
	if !v.leading || v.closing {
		v.mu.Unlock()
		return 0, ErrNotLeader
	}
	v.calls.Add(1)
	v.mu.Unlock()
	defer v.calls.Done()
	n := v.View().Meta.N
	if err := v.raft.VerifyLeader().Error(); err != nil {
		return 0, ErrNotLeader
	}
	return max(n, v.View().Meta.N), nil
}

// Propose stamps the region's time on a command and commits it. It fails with
// ErrNotLeader when this voter does not lead or stops leading meanwhile; the
// command may then have been committed or not, and is tried again with its id.
func (v *Voter) Propose(s events.Stamped) (events.Reply, error) {
	select {
	case v.queue <- struct{}{}:
		defer func() { <-v.queue }()
	default:
		return events.Reply{Fault: events.Faultf("RequestLimitExceeded", "The region has %d commands in flight; try again.", maxInFlight)}, nil
	}
	s.Stamp.Time = v.Now()
	if _, err := events.DecodeStamped(s.Encode()); err != nil {
		// Text that is not UTF-8, or a list over the codec's bounds: in the log it
		// would stop every voter, now and after every restart.
		return events.Reply{Fault: events.Faultf("InvalidParameterValue", "The command cannot be kept in the log: %v.", err)}, nil
	}
	f, err := v.submit(s)
	switch {
	case errors.Is(err, ErrNotLeader):
		return events.Reply{}, err
	case err != nil:
		return events.Reply{}, fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	reply := f.Response().(events.Reply)
	if reply.Fault == nil && reply.First > 0 && reply.Events == nil {
		// Answered before: the events are in the history.
		records, err := v.hist.Range(reply.First, int(reply.Last-reply.First)+1)
		if err != nil {
			return events.Reply{}, err
		}
		reply.Events = records
	}
	return reply, nil
}

// stamp is the region's time: the leader's clock, but never back and never
// twice the same. v.mu is held.
func (v *Voter) stamp() time.Time {
	now := v.Now()
	if last := v.View().Meta.Time; v.last.Before(last) {
		v.last = last
	}
	if !now.After(v.last) {
		now = v.last.Add(1)
	}
	v.last = now
	return now
}

// Try decides a command on the present state and changes nothing: the answer
// is what Propose would have said.
func (v *Voter) Try(s events.Stamped) ([]events.Event, *events.Fault) {
	view := v.View()
	if s.Stamp.Time = v.Now(); !s.Stamp.Time.After(view.Meta.Time) {
		s.Stamp.Time = view.Meta.Time.Add(1)
	}
	return decide.Command(view, s)
}

// Lead calls lead for each term that this voter leads, after everything before
// the term is applied. Its context ends with the term; Lead waits for its
// return before the next. Lead returns when ctx ends.
func (v *Voter) Lead(ctx context.Context, lead func(context.Context)) {
	var stop func()
	end := func() {
		v.mu.Lock()
		v.leading = false
		v.mu.Unlock()
		if stop != nil {
			stop()
			stop = nil
		}
	}
	defer end()
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-v.terms:
			end()
			if !leads {
				continue
			}
			if err := v.raft.Barrier(0).Error(); err != nil {
				continue // lost again: the next notice says so
			}
			v.mu.Lock()
			v.leading = true
			v.mu.Unlock()
			v.o.Log.Info("leading", "n", v.View().Meta.N, "index", v.raft.AppliedIndex())
			term, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				lead(term)
			}()
			stop = func() { cancel(); <-done }
		}
	}
}

// StepDown hands leadership to another voter.
func (v *Voter) StepDown() error { return v.raft.LeadershipTransfer().Error() }

// pebbleLog passes pebble's warnings on. Fatal means that the disk cannot be
// trusted any more: the voter dies and the others go on.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(f string, a ...any)  { l.log.Debug(fmt.Sprintf(f, a...)) }
func (l pebbleLog) Errorf(f string, a ...any) { l.log.Error(fmt.Sprintf(f, a...)) }
func (l pebbleLog) Fatalf(f string, a ...any) { panic("voter: disk: " + fmt.Sprintf(f, a...)) }

// lineLog writes raft's lines to slog.
type lineLog struct{ log *slog.Logger }

func (l lineLog) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	level := slog.LevelDebug
	switch {
	case strings.HasPrefix(line, "[ERROR]"):
		level = slog.LevelError
	case strings.HasPrefix(line, "[WARN]"):
		level = slog.LevelWarn
	}
	_, line, _ = strings.Cut(line, "] ")
	l.log.Log(context.Background(), level, "raft: "+strings.TrimSpace(line))
	return len(b), nil
}
