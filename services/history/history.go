// Package history keeps a voter's copy of every event of the region, in order.
//
//	'e' n(8)           record
//	'r' id 0 n(8)      the record names the resource of that id: its story
//	't' account 0 n(8) a call of the API by the account begins there: its trail
//	'v'                version of the index of stories; one that lacks is made at opening
//
// Records are written without sync while the log is applied: the log makes them
// again. Flush makes them durable, and is called before the log is truncated.
package history

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

// Store is one voter's history. It may have a hole after a snapshot came from
// another voter; Missing names it and Fill closes it.
type Store struct {
	db *pebble.DB

	mu   sync.Mutex
	last uint64 // highest number held
	hash events.Hash
	full uint64 // all numbers up to it are known to be held

	reading sync.RWMutex // held by readers, and by Close for good
	closed  bool
}

// Open opens or makes the history in a directory of fs.
func Open(fs vfs.FS, dir string, log pebble.Logger) (*Store, error) {
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: log, MemTableSize: 4 << 20, MemTableStopWritesThreshold: 4})
	if err != nil {
		return nil, fmt.Errorf("history: %s: %w", dir, err)
	}
	s := &Store{db: db}
	it, err := db.NewIter(bounds)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("history: %s: %w", dir, err), db.Close())
	}
	if it.Last() {
		r, err := events.DecodeRecord(it.Value())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("history: %s: %w", dir, err), it.Close(), db.Close())
		}
		s.last, s.hash = r.N, r.Hash
	}
	if err := it.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("history: %s: %w", dir, err), db.Close())
	}
	if err := s.reindex(); err != nil {
		return nil, errors.Join(fmt.Errorf("history: %s: %w", dir, err), db.Close())
	}
	return s, nil
}

var bounds = &pebble.IterOptions{LowerBound: []byte{'e'}, UpperBound: []byte{'e' + 1}}

// Close closes the store, when those who read from it have ended.
func (s *Store) Close() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
	return s.db.Close()
}

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("history: closed")

// read lets the caller read until it calls the function.
func (s *Store) read() (func(), error) {
	s.reading.RLock()
	if s.closed {
		s.reading.RUnlock()
		return nil, ErrClosed
	}
	return s.reading.RUnlock, nil
}

// Last is the number of the newest record held, 0 when there is none.
func (s *Store) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Append adds records, or compares them with what is there: a record that is
// held already must be the same one. A difference means that this program
// decides otherwise than the one that wrote the history; the caller must stop.
func (s *Store) Append(records []events.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	for _, r := range records {
		enc := r.Encode()
		if r.N <= s.last {
			old, err := s.get(r.N)
			if err == nil {
				if old.Hash != r.Hash {
					return &DivergedError{N: r.N, Stored: old, Made: r}
				}
				continue
			}
			if !errors.Is(err, ErrMissing) {
				return err
			}
		}
		if err := put(b, r, enc); err != nil {
			return err
		}
		if r.N > s.last {
			s.last, s.hash = r.N, r.Hash
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	for _, r := range records {
		if r.N == s.full+1 {
			s.full = r.N
		}
	}
	return nil
}

// DivergedError says that replaying the log made another history.
type DivergedError struct {
	N            uint64
	Stored, Made events.Record
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("history: event %d diverged: stored %s %s, made %s %s", e.N,
		e.Stored.Cause, events.Line(e.Stored.Event), e.Made.Cause, events.Line(e.Made.Event))
}

// ErrMissing says that a record is not held.
var ErrMissing = errors.New("history: record is not held")

// Get reads one record.
func (s *Store) Get(n uint64) (events.Record, error) {
	done, err := s.read()
	if err != nil {
		return events.Record{}, err
	}
	defer done()
	return s.get(n)
}

func (s *Store) get(n uint64) (events.Record, error) {
	v, c, err := s.db.Get(key(n))
	if errors.Is(err, pebble.ErrNotFound) {
		return events.Record{}, fmt.Errorf("%w: %d", ErrMissing, n)
	}
	if err != nil {
		return events.Record{}, fmt.Errorf("history: %d: %w", n, err)
	}
	defer c.Close()
	r, err := events.DecodeRecord(v)
	if err != nil {
		return events.Record{}, fmt.Errorf("history: %d: %w", n, err)
	}
	return r, nil
}

// Range reads up to limit records from first on, without gaps: it ends at the
// first record that is missing.
func (s *Store) Range(first uint64, limit int) ([]events.Record, error) {
	done, err := s.read()
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: key(first), UpperBound: bounds.UpperBound})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer it.Close()
	var out []events.Record
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		r, err := events.DecodeRecord(it.Value())
		if err != nil {
			return nil, fmt.Errorf("history: %x: %w", it.Key(), err)
		}
		if r.N != first+uint64(len(out)) {
			break
		}
		out = append(out, r)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return out, nil
}

// Missing returns the first number below upTo that is not held, and whether
// there is one.
func (s *Store) Missing(upTo uint64) (uint64, bool, error) {
	done, err := s.read()
	if err != nil {
		return 0, false, err
	}
	defer done()
	s.mu.Lock()
	next := s.full + 1
	s.mu.Unlock()
	if next >= upTo {
		return next, false, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: key(next), UpperBound: bounds.UpperBound})
	if err != nil {
		return 0, false, fmt.Errorf("history: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok && next < upTo; ok = it.Next() {
		n := binary.BigEndian.Uint64(it.Key()[1:])
		if n != next {
			break
		}
		next++
	}
	if err := it.Error(); err != nil {
		return 0, false, fmt.Errorf("history: %w", err)
	}
	s.mu.Lock()
	s.full = max(s.full, next-1)
	s.mu.Unlock()
	return next, next < upTo, nil
}

// Fill adds records that a peer holds. Each must hash to what it claims, and
// continue the one before, so that a hole can only be filled with the truth.
func (s *Store) Fill(records []events.Record) error {
	if len(records) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := records[0]; first.N == 0 || first.N == 1 && first.Prev != (events.Hash{}) {
		return fmt.Errorf("history: event %d from a peer cannot begin a history", first.N)
	} else if before, err := s.get(first.N - 1); err == nil && first.Prev != before.Hash {
		return fmt.Errorf("history: event %d from a peer does not continue event %d as held here", first.N, before.N)
	}
	b := s.db.NewBatch()
	defer b.Close()
	for i, r := range records {
		enc := r.Encode()
		if sum := sha256.Sum256(enc); sum != r.Hash {
			return fmt.Errorf("history: event %d from a peer does not have the hash it claims", r.N)
		}
		if i > 0 && (r.N != records[i-1].N+1 || r.Prev != records[i-1].Hash) {
			return fmt.Errorf("history: event %d from a peer does not continue event %d", r.N, records[i-1].N)
		}
		old, err := s.get(r.N)
		switch {
		case err == nil && old.Hash != r.Hash:
			return &DivergedError{N: r.N, Stored: old, Made: r}
		case err != nil && !errors.Is(err, ErrMissing):
			return err
		}
		if err := put(b, r, enc); err != nil {
			return err
		}
	}
	if next, err := s.get(records[len(records)-1].N + 1); err == nil && next.Prev != records[len(records)-1].Hash {
		return fmt.Errorf("history: event %d from a peer does not lead to event %d as held here", next.N-1, next.N)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// Flush makes everything held durable.
func (s *Store) Flush() error {
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		return fmt.Errorf("history: flush: %w", err)
	}
	return nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'e'}, n) }
