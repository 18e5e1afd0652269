package history

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"skerry/events"
)

// Call is a line in the trail of an account: a call of the API that led to
// events, by the number of the first.
//
//	seconds(8) action 0 user 0 access key
//
// It has what most look-ups select by, so that a record is read when it is told.
type Call struct {
	N         uint64
	Time      time.Time // in whole seconds
	Action    string
	User      string // root for the account's root
	AccessKey string

	store *Store
}

// Act reads what the call did, while it is walked.
func (c Call) Act() (Act, error) { return c.store.act(c.N) }

func trailKey(a events.AccountID, n uint64) []byte {
	k := append([]byte{'t'}, a...)
	return binary.BigEndian.AppendUint64(append(k, 0), n)
}

func trailLine(r events.Record) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.Time.Unix()))
	return append(b, r.Call.Action+"\x00"+UserOf(r.Actor)+"\x00"+r.Call.AccessKey...)
}

// UserOf is the name of the user in an ARN, root for an account's root.
func UserOf(actor string) string {
	name := actor[strings.LastIndexByte(actor, ':')+1:]
	return strings.TrimPrefix(name, "user/")
}

func (s *Store) readCall(k, v []byte) (Call, error) {
	words := bytes.SplitN(v[min(8, len(v)):], []byte{0}, 3)
	if len(words) != 3 || len(k) < 8 {
		return Call{}, fmt.Errorf("history: the line %x of a trail cannot be read", k)
	}
	return Call{N: binary.BigEndian.Uint64(k[len(k)-8:]), Time: time.Unix(int64(binary.BigEndian.Uint64(v)), 0).UTC(),
		Action: string(words[0]), User: string(words[1]), AccessKey: string(words[2]), store: s}, nil
}

// Walk says which calls are walked.
type Walk struct {
	Account      events.AccountID
	Resource     string    // id that one of their events names; empty for all calls
	Below        uint64    // where a walk before this one ended; 0 for the newest
	Since, Until time.Time // in whole seconds, both among them; zero for no bound
}

// A walk ends after so many lines; a record that it must read counts as several.
const (
	maxLines    = 10_000
	linesRecord = 10
)

// Calls walks calls of the API that led to events, newest first, until yield
// refuses one or enough has been read. It returns where the next walk goes on,
// with the call that was refused; 0 when there are no more. What yield wants to
// know of a call it asks the call: the store is being read.
func (s *Store) Calls(w Walk, yield func(Call) bool) (below uint64, err error) {
	done, err := s.read()
	if err != nil {
		return 0, err
	}
	defer done()
	if w.Below == 0 {
		w.Below = s.Last() + 1
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("history: %w", err)
		}
	}()
	trail, err := s.db.NewIter(&pebble.IterOptions{LowerBound: trailKey(w.Account, 0), UpperBound: append([]byte("t"+w.Account), 1)})
	if err != nil {
		return 0, err
	}
	defer trail.Close()
	if err := s.until(&w, trail); err != nil {
		return 0, err
	}
	if w.Resource != "" {
		return s.naming(w, trail, yield)
	}
	lines := 0
	for ok := trail.SeekLT(trailKey(w.Account, w.Below)); ok; ok = trail.Prev() {
		c, err := s.readCall(trail.Key(), trail.Value())
		switch {
		case err != nil:
			return 0, err
		case c.Time.Before(w.Since):
			return 0, nil
		case lines == maxLines || !yield(c):
			return c.N + 1, nil
		}
		lines++
	}
	return 0, trail.Error()
}

// until lowers Below to the first call that is too late.
func (s *Store) until(w *Walk, trail *pebble.Iterator) error {
	if w.Until.IsZero() {
		return nil
	}
	low, high := uint64(0), w.Below
	for low < high {
		middle := low + (high-low)/2
		if !trail.SeekGE(trailKey(w.Account, middle)) {
			high = middle
			continue
		}
		c, err := s.readCall(trail.Key(), trail.Value())
		switch {
		case err != nil:
			return err
		case c.Time.After(w.Until):
			high, w.Below = middle, min(w.Below, c.N)
		default:
			low = c.N + 1
		}
	}
	return trail.Error()
}

// naming walks the story of a resource for events of the account's calls. The
// events of a call follow each other, so the call that an event belongs to is
// the last before it, if any.
func (s *Store) naming(w Walk, trail *pebble.Iterator, yield func(Call) bool) (below uint64, err error) {
	id := []byte(w.Resource)
	story, err := s.db.NewIter(&pebble.IterOptions{LowerBound: storyKey(id, 0), UpperBound: storyKey(id, w.Below)})
	if err != nil {
		return 0, err
	}
	defer story.Close()
	lines := 0
	for ok := story.Last(); ok; {
		k := story.Key()
		n := binary.BigEndian.Uint64(k[len(k)-8:])
		if lines >= maxLines {
			return n + 1, nil
		}
		lines++
		if !trail.SeekLT(trailKey(w.Account, n+1)) {
			return 0, trail.Error()
		}
		c, err := s.readCall(trail.Key(), trail.Value())
		if err != nil || c.Time.Before(w.Since) {
			return 0, err
		}
		if n != c.N {
			lines += linesRecord
			first, err := s.get(c.N)
			if err != nil {
				return 0, err
			}
			r, err := s.get(n)
			if err != nil {
				return 0, err
			}
			if r.Cause != first.Cause {
				ok = story.Prev()
				continue
			}
		}
		if !yield(c) {
			return n + 1, nil
		}
		ok = story.SeekLT(storyKey(id, c.N))
	}
	return 0, story.Error()
}

// MaxAct is how many events of one call are read.
const MaxAct = 256

// Act is what a call did, as far as its first MaxAct events tell.
type Act struct {
	First     events.Record
	Read      int      // events
	Events    []string // their names, each once
	Resources []string // ids that they name, each once
}

// Act reads the call whose first event has a number. ErrMissing: there is no such event.
func (s *Store) Act(n uint64) (Act, error) {
	done, err := s.read()
	if err != nil {
		return Act{}, err
	}
	defer done()
	return s.act(n)
}

func (s *Store) act(n uint64) (Act, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: key(n), UpperBound: bounds.UpperBound})
	if err != nil {
		return Act{}, fmt.Errorf("history: %w", err)
	}
	defer it.Close()
	var a Act
	seen := map[string]bool{}
	for ok := it.First(); ok && a.Read < MaxAct; ok = it.Next() {
		r, err := events.DecodeRecord(it.Value())
		if err != nil {
			return Act{}, fmt.Errorf("history: %x: %w", it.Key(), err)
		}
		if a.Read == 0 {
			a.First = r
		}
		if r.N != n+uint64(a.Read) || r.Cause != a.First.Cause {
			break
		}
		a.Read++
		if name := events.Name(r.Event); !slices.Contains(a.Events, name) {
			a.Events = append(a.Events, name)
		}
		named(it.Value(), func(id []byte) {
			if !seen[string(id)] {
				seen[string(id)] = true
				a.Resources = append(a.Resources, string(id))
			}
		})
	}
	if err := it.Error(); err != nil {
		return Act{}, fmt.Errorf("history: %w", err)
	}
	if a.Read == 0 {
		return Act{}, fmt.Errorf("%w: %d", ErrMissing, n)
	}
	return a, nil
}
