package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"skerry/events"
)

// HistoryQuery asks a voter for records from First on.
type HistoryQuery struct {
	First uint64 `json:"first"`
	Limit int    `json:"limit"`
}

// HistoryAnswer is a run of records without gaps. N is the voter's last number.
type HistoryAnswer struct {
	N       uint64          `json:"n"`
	Records []events.Record `json:"records"`
}

// Position is what the leader says every second on sk.live.<region>, so that a
// silent loss is noticed.
type Position struct {
	N    uint64      `json:"n"`
	Hash events.Hash `json:"hash"`
}

// PositionSubject is where positions are told.
func PositionSubject(region string) string { return "sk.live." + region }

// followPage is how many records one history query asks for.
const followPage = 512

// Cursor is how far a consumer has come.
type Cursor struct {
	N    uint64
	Hash events.Hash // of record N; zero: not checked
}

// Follow calls fn for every record after the cursor, in order, without gaps and
// without repeats, until ctx ends or fn fails. A record whose prev is not the
// hash of the one before is an error: the histories differ.
func (c *Client) Follow(ctx context.Context, at Cursor, fn func(events.Record) error) error {
	ch := make(chan *nats.Msg, 4096)
	for _, subject := range []string{"sk.ev." + c.Region + ".>", PositionSubject(c.Region)} {
		sub, err := c.conn.ChanSubscribe(subject, ch)
		if err != nil {
			return fmt.Errorf("bus: follow: %w", err)
		}
		defer sub.Unsubscribe()
	}
	take := func(r events.Record) error {
		if at.Hash != (events.Hash{}) && r.Prev != at.Hash {
			return fmt.Errorf("bus: follow: event %d does not continue event %d as held here", r.N, at.N)
		}
		if err := fn(r); err != nil {
			return err
		}
		at = Cursor{r.N, r.Hash}
		return nil
	}
	catchUp := func(to uint64) error {
		for at.N < to {
			var page HistoryAnswer
			if err := c.Query(ctx, "history", HistoryQuery{at.N + 1, followPage}, &page); err != nil {
				return err
			}
			for _, r := range page.Records {
				if r.N != at.N+1 {
					return fmt.Errorf("bus: follow: asked for event %d, got %d", at.N+1, r.N)
				}
				if err := take(r); err != nil {
					return err
				}
			}
			if len(page.Records) == 0 { // the voter asked is behind: ask again
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-ch:
			if m.Subject == PositionSubject(c.Region) {
				p, err := decodePosition(m.Data)
				if err != nil {
					c.log.Warn("bus: position", "err", err)
					continue
				}
				if err := catchUp(p.N); err != nil {
					return err
				}
				continue
			}
			r, err := events.DecodeEnvelope(m.Data)
			if err != nil {
				return fmt.Errorf("bus: follow: %s: %w", m.Subject, err)
			}
			if r.N <= at.N {
				continue
			}
			if err := catchUp(r.N - 1); err != nil {
				return err
			}
			if r.N == at.N+1 {
				if err := take(r); err != nil {
					return err
				}
			}
		}
	}
}

func decodePosition(b []byte) (Position, error) {
	var p Position
	err := json.Unmarshal(b, &p)
	return p, err
}
