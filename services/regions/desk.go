package regions

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/seal"
	"skerry/services/state"
)

// Region decides and shows: a voter's door is one.
type Region interface {
	Do(context.Context, events.Stamp, events.Command) (events.Reply, error)
	Read(context.Context) (*state.View, error)
}

// Voter is this voter's own state.
type Voter interface {
	View() *state.View
	WaitFor(ctx context.Context, n uint64) (*state.View, error)
}

// History is this voter's own history.
type History interface {
	Get(n uint64) (events.Record, error)
	Range(first uint64, limit int) ([]events.Record, error)
}

// Limits of a desk.
const (
	maxAsked      = 64              // questions at a time
	pollFor       = 5 * time.Second // that a question waits for something to happen
	page          = 512             // events that are read at once
	maxScanned    = 16 * page       // events that are read for one answer
	maxIdentities = 200             // in one answer
	tellFor       = 2 * time.Second
)

// Desk answers what other regions ask.
type Desk struct {
	Self    events.RegionInfo
	Region  Region
	Voter   Voter
	History History
	Log     *slog.Logger

	seals  envelopes
	places chan struct{}
}

// NewDesk returns the desk of a region.
func NewDesk(self events.RegionInfo, key *seal.Key, r Region, v Voter, h History, log *slog.Logger) *Desk {
	return &Desk{Self: self, Region: r, Voter: v, History: h, Log: log, seals: envelopesOf(key), places: make(chan struct{}, maxAsked)}
}

// ServeHTTP answers one question. Who cannot seal one is told no more than that.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	default:
		http.Error(w, "too many questions at a time", http.StatusServiceUnavailable)
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		http.Error(w, "the question cannot be read to its end", http.StatusBadRequest)
		return
	}
	q, err := d.seals.openQuestion(b, d.Self.Name, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	a := answer{From: d.Self.Name, Nonce: q.Nonce}
	out, err := d.answer(r.Context(), q)
	switch f, isFault := events.AsFault(err); {
	case err == nil:
		a.Body = events.Encode(out)
	case isFault:
		a.Fault = f
	default:
		d.Log.Warn("regions: question", "from", q.From, "what", q.What, "err", err)
		a.Fault = events.Faultf("Unavailable", "The region '%s' cannot answer now.", d.Self.Name)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(d.seals.answers.Seal(events.Encode(a))) // a region that went away reads nothing
}

func (d *Desk) answer(ctx context.Context, q question) (any, error) {
	switch q.What {
	case askIdentities:
		var of Identities
		if err := read(q, &of); err != nil {
			return nil, err
		}
		if of.Region.Name != q.From {
			return nil, events.Faultf("InvalidParameterValue", "The region '%s' asks in the name of '%.64s'.", q.From, of.Region.Name)
		}
		return d.identities(ctx, of)
	case askSnapshot:
		var of snapshotOf
		if err := read(q, &of); err != nil {
			return nil, err
		}
		return d.snapshot(ctx, of)
	case askImage:
		var of imageOf
		if err := read(q, &of); err != nil {
			return nil, err
		}
		return d.image(ctx, of)
	}
	return nil, events.Faultf("UnsupportedOperation", "The region '%s' does not know the question '%.64s'.", d.Self.Name, q.What)
}

func read(q question, into any) error {
	if err := events.Decode(q.Body, into); err != nil {
		return events.Faultf("InvalidParameterValue", "The question '%s' cannot be read.", q.What)
	}
	return nil
}

// identities waits until something happened to identities, for a while, and tells
// it.
func (d *Desk) identities(ctx context.Context, of Identities) (Happened, error) {
	v := d.Voter.View()
	if v.Meta.Root != "" {
		return Happened{}, events.Faultf("UnsupportedOperation", "The region '%s' is no root of accounts: it has those of '%s'.", d.Self.Name, v.Meta.Root)
	}
	if err := d.continues(of.After); err != nil {
		return Happened{}, err
	}
	if err := d.know(ctx, v, d.Self, of.Region); err != nil {
		return Happened{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	out := Happened{To: of.After}
	for scanned := 0; scanned < maxScanned; {
		records, err := d.History.Range(out.To.N+1, page)
		if err != nil {
			return Happened{}, err
		}
		for _, r := range records {
			if r.N != out.To.N+1 {
				return Happened{}, events.Faultf("Unavailable", "This voter does not hold event %d.", out.To.N+1)
			}
			out.To = events.Point{N: r.N, Hash: r.Hash}
			if i, ok := events.IdentityOf(r); ok {
				if out.Identities = append(out.Identities, i); len(out.Identities) == maxIdentities {
					return out, nil
				}
			}
		}
		if scanned += len(records); len(records) == page {
			continue
		}
		if len(out.Identities) > 0 {
			return out, nil
		}
		if _, err := d.Voter.WaitFor(ctx, out.To.N+1); err != nil {
			return out, nil // nothing happened
		}
	}
	return out, nil
}

// continues says whether a point is one of this history.
func (d *Desk) continues(p events.Point) error {
	if p.N == 0 {
		return nil
	}
	if p.N > d.Voter.View().Meta.N {
		return events.Faultf("Unavailable", "This voter knows no event %d yet.", p.N)
	}
	r, err := d.History.Get(p.N)
	if err != nil {
		return errors.Join(events.Faultf("Unavailable", "This voter does not hold event %d.", p.N), err)
	}
	if r.Hash != p.Hash {
		return events.Faultf("IncorrectState", "Event %d of the region '%s' is another one than was followed: the region was made anew, or was given back a state of before.", p.N, d.Self.Name)
	}
	return nil
}

// know has the region learn of others. One that cannot learn now is told again
// with the next question.
func (d *Desk) know(ctx context.Context, v *state.View, list ...events.RegionInfo) error {
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	for _, i := range list {
		if r, ok := v.Regions.Get(i.Name); ok && r.Region.ID == i.ID && r.Region.Endpoint == i.Endpoint && slices.Equal(r.Region.At, i.At) {
			continue
		}
		_, err := d.Region.Do(ctx, bus.NewStamp(Actor), events.TellRegion{Region: i})
		if f, isFault := events.AsFault(err); isFault && f.FaultCode != "Unavailable" {
			return f
		}
		if err != nil {
			d.Log.Warn("regions: a region is not told of", "name", i.Name, "err", err)
		}
	}
	return nil
}

// Actor is who acts when a region tells another one something.
const Actor = "region"

// tenant refuses an account that is not here.
func (d *Desk) tenant(ctx context.Context, a events.AccountID, none error) (*state.View, error) {
	v, err := d.Region.Read(ctx)
	if err != nil {
		return nil, err
	}
	if r, ok := v.Accounts.Get(string(a)); !ok || !r.Closed.IsZero() {
		return nil, none
	}
	return v, nil
}

func (d *Desk) snapshot(ctx context.Context, of snapshotOf) (out events.FarSnapshot, err error) {
	none := events.Faultf("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", of.Snapshot)
	v, err := d.tenant(ctx, of.Account, none)
	if err != nil {
		return out, err
	}
	r, ok := v.Snapshot(of.Account, of.Snapshot)
	if !ok {
		return out, none
	}
	return d.far(r), nil
}

func (d *Desk) far(r *state.Snapshot) events.FarSnapshot {
	return events.FarSnapshot{Region: d.Self.Name, SizeGiB: r.SizeGiB, State: r.State}
}

func (d *Desk) image(ctx context.Context, of imageOf) (out events.FarImage, err error) {
	none := events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", of.Image)
	v, err := d.tenant(ctx, of.Account, none)
	if err != nil {
		return out, err
	}
	i, ok := v.Image(of.Account, of.Image)
	if !ok {
		return out, none
	}
	out = events.FarImage{Region: d.Self.Name, Image: *i, State: v.ImageState(i)}
	out.Image.Public, out.Image.LaunchAccounts = false, nil
	if k, ok := v.Images.Get(string(i.Kernel)); ok {
		out.Kernel = k.File
	}
	if r, ok := v.Images.Get(string(i.Ramdisk)); ok {
		out.Ramdisk = r.File
	}
	for _, m := range i.Mappings {
		if m.Snapshot == "" {
			continue
		}
		r, ok := v.Snapshots.Get(string(m.Snapshot))
		if !ok {
			r = &state.Snapshot{State: state.SnapshotError}
		}
		out.Snapshots = append(out.Snapshots, d.far(r))
	}
	if i.Account == of.Account {
		out.Tags = v.TagsOf(string(i.ID))
	}
	return out, nil
}
