// Package outbox publishes the region's events from the leader.
//
//	history ──▶ live cursor ──▶ sk.ev.…  core NATS, at once, may be lost
//	        └─▶ kept cursor ──▶ sk.log.… ──▶ stream SK_EV_<region> as sk.ev.…
//
// Event n is published to the stream with the expectation that its last
// sequence is n-1: sequence and event number are the same. So a stale leader is
// refused, a retry changes nothing, and a stream that was lost comes back
// identical.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"skerry/events"
	"skerry/events/bus"
	"skerry/internal/planted"
	"skerry/services/specs"
	"skerry/services/voter"
)

const (
	window    = 128             // records published before their answers are awaited
	replay    = 256             // records a new leader's live cursor tells again
	pace      = time.Second     // between positions, and between looks at an idle stream
	publishTO = 2 * time.Second // for one answer of the stream
	keepBytes = 4 << 30         // of the stream; the voters' history is whole
)

// Outbox is one voter's; it publishes while the voter leads.
type Outbox struct {
	region   string
	replicas int
	memory   bool
	v        *voter.Voter
	conn     *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger

	kept atomic.Uint64 // last event the stream has acknowledged, as far as this voter knows
}

// New makes an outbox. Memory keeps the stream in memory, for simulations.
func New(region string, replicas int, memory bool, v *voter.Voter, conn *nats.Conn, log *slog.Logger) (*Outbox, error) {
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(2*window), jetstream.WithPublishAsyncTimeout(publishTO))
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return &Outbox{region: region, replicas: replicas, memory: memory, v: v, conn: conn, js: js, log: log}, nil
}

// Kept is the last event number known to be in the stream.
func (o *Outbox) Kept() uint64 { return o.kept.Load() }

// Lag is how many events the stream is behind.
func (o *Outbox) Lag() uint64 {
	n := o.v.View().Meta.N
	return n - min(n, o.kept.Load())
}

// Live runs the live cursor until ctx ends. It starts a little before the end,
// since the leader before may not have told its last events; consumers drop
// what they have.
func (o *Outbox) Live(ctx context.Context) {
	at := o.v.View().Meta.N
	at -= min(at, replay)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		changed := o.v.Changed()
		view := o.v.View()
		for at < view.Meta.N && ctx.Err() == nil {
			records, err := o.v.History().Range(at+1, window)
			if err != nil || len(records) == 0 {
				o.log.Error("outbox: live: history", "from", at+1, "err", err)
				break
			}
			for _, r := range records {
				o.publish(r.Event.About().Subject(o.region), r.JSON(o.region))
				for _, p := range specs.Touched(view, r) {
					o.tell(p.Subject(o.region), p.Spec)
				}
				at = r.N
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
			m := o.v.View().Meta
			o.tell(bus.PositionSubject(o.region), bus.Position{N: m.N, Hash: m.Last})
		}
	}
}

// mirrorPace is how often the mirror of specs is looked for.
const mirrorPace = 5 * time.Second

// Mirror keeps a stream of the nodes' specs until ctx ends, the newest of each
// object, for operators to read. Nothing reads it back: one that was lost is
// made again from the state.
func (o *Outbox) Mirror(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.mirror(ctx); err != nil && ctx.Err() == nil {
			o.log.Debug("outbox: mirror of specs", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(mirrorPace):
		}
	}
}

func (o *Outbox) mirror(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*publishTO)
	defer cancel()
	name := events.SpecStream(o.region)
	_, err := o.js.Stream(ctx, name)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if _, err := o.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Description: "What each node must be: the newest spec of each object. For reading only.",
		Subjects: []string{"sk.spec." + o.region + ".node.>", "sk.spec." + o.region + ".vpc.>"}, MaxMsgsPerSubject: 1, MaxAge: 7 * 24 * time.Hour,
		Storage: jetstream.MemoryStorage, MaxBytes: 64 << 20, Discard: jetstream.DiscardOld, AllowDirect: true,
	}); err != nil {
		return err
	}
	v := o.v.View()
	for _, n := range v.Nodes.All() {
		set, err := specs.Set(v, n.Host, n.Kind, nil, specs.Closed{})
		if err != nil {
			return err
		}
		for _, s := range set.Specs {
			o.tell(events.SpecSubject(o.region, n.Host, n.Kind, s), s)
		}
	}
	return nil
}

// publish sends on core NATS. Its errors are losses, and losses are what the
// numbers are for.
func (o *Outbox) publish(subject string, body []byte) {
	if err := o.conn.Publish(subject, body); err != nil {
		o.log.Debug("outbox: live", "subject", subject, "err", err)
	}
}

func (o *Outbox) tell(subject string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	o.publish(subject, b)
}

// Keep runs the kept cursor until ctx ends.
func (o *Outbox) Keep(ctx context.Context) {
	wait := 50 * time.Millisecond
	o.kept.Store(o.v.View().Meta.N) // until the stream says: a term does not begin with a lag
	for ctx.Err() == nil {
		err := o.keep(ctx)
		if ctx.Err() != nil {
			return
		}
		var ahead *AheadError
		if errors.As(err, &ahead) {
			// A stream that holds more than the region ever said is another region's, or
			// a forgery. Nothing is published into it; the region goes on without.
			o.log.Error("outbox: kept cursor halted", "err", err)
			wait = 10 * time.Second
		} else {
			o.log.Info("outbox: kept cursor starts again", "kept", o.kept.Load(), "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// AheadError says that the stream holds events that the region does not know.
type AheadError struct{ Stream, Region uint64 }

func (e *AheadError) Error() string {
	return fmt.Sprintf("outbox: the stream ends at %d, the region at %d", e.Stream, e.Region)
}

// keep publishes from where the stream ends until something fails.
func (o *Outbox) keep(ctx context.Context) error {
	s, err := o.stream(ctx)
	if err != nil {
		return err
	}
	at, err := o.last(ctx, s)
	if err != nil {
		return err
	}
	idle := time.NewTicker(pace)
	defer idle.Stop()
	for {
		changed := o.v.Changed()
		n := o.v.View().Meta.N
		o.kept.Store(min(at, n))
		for more := true; more; {
			if at, err = Advance(at, n, o.v.History().Range, func(records []events.Record) error { return o.send(ctx, records) }); err != nil {
				return err
			}
			o.kept.Store(at)
			more = at < n
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-idle.C:
			last, err := o.last(ctx, s)
			if err != nil {
				return err
			}
			if last != at && o.v.View().Meta.N == n {
				return fmt.Errorf("outbox: the stream ends at %d, %d was acknowledged", last, at)
			}
		}
	}
}

// Advance publishes a window of what a stream that ends at one event lacks of a
// region at event n, and tells where the stream ends then.
func Advance(at, n uint64, history func(first uint64, most int) ([]events.Record, error), send func([]events.Record) error) (uint64, error) {
	if at > n {
		return at, &AheadError{at, n}
	}
	if at == n {
		return at, nil
	}
	records, err := history(at+1, int(min(window, n-at))) // it may have more than the region was told of
	if err != nil {
		return at, err
	}
	if len(records) == 0 || records[0].N != at+1 {
		return at, fmt.Errorf("outbox: the history of this voter has no event %d", at+1)
	}
	if err := send(records); err != nil {
		return at, err
	}
	return records[len(records)-1].N, nil
}

func (o *Outbox) last(ctx context.Context, s jetstream.Stream) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTO)
	defer cancel()
	i, err := s.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	return i.State.LastSeq, nil
}

func (o *Outbox) stream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*publishTO)
	defer cancel()
	name := events.EventStream(o.region)
	s, err := o.js.Stream(ctx, name)
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	cfg := jetstream.StreamConfig{
		Name: name, Description: "Every event of the region, by number: sequence is the event number.",
		Subjects:         []string{"sk.log." + o.region + ".>"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "sk.log." + o.region + ".>", Destination: "sk.ev." + o.region + ".>"},
		Replicas:         o.replicas, DenyDelete: true, MaxBytes: keepBytes, Discard: jetstream.DiscardOld,
		Duplicates: 10 * time.Second, AllowDirect: true,
	}
	if o.memory {
		cfg.Storage, cfg.MaxBytes = jetstream.MemoryStorage, -1
	}
	if s, err = o.js.CreateStream(ctx, cfg); err != nil {
		return nil, fmt.Errorf("outbox: create stream: %w", err)
	}
	o.log.Info("outbox: stream made", "stream", name)
	return s, nil
}

// send publishes a run of records and waits for all answers. The first failure
// ends it: everything behind has failed too.
func (o *Outbox) send(ctx context.Context, records []events.Record) error {
	futures := make([]jetstream.PubAckFuture, 0, len(records))
	swapped := planted.On(planted.PublishSwapped) && len(records) > 1
	if swapped {
		records = slices.Clone(records)
		records[0], records[1] = records[1], records[0]
	}
	for _, r := range records {
		m := nats.NewMsg(r.Event.About().LogSubject(o.region))
		m.Data = r.JSON(o.region)
		if !swapped {
			m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(r.N-1, 10))
		}
		m.Header.Set(jetstream.MsgIDHeader, o.region+"."+strconv.FormatUint(r.N, 10))
		f, err := o.js.PublishMsgAsync(m)
		if err != nil {
			return fmt.Errorf("outbox: event %d: %w", r.N, err)
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		select {
		case ack := <-f.Ok():
			if ack.Sequence != records[i].N && !swapped {
				return fmt.Errorf("outbox: event %d became sequence %d", records[i].N, ack.Sequence)
			}
		case err := <-f.Err():
			return fmt.Errorf("outbox: event %d: %w", records[i].N, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
