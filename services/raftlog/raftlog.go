// Package raftlog keeps a voter's Raft log, vote and snapshots on disk.
//
// Log and stable store are one pebble with small memtables; every write is
// synced before it returns, since an acknowledgement stands on it.
//
//	'l' index(8)  term(8) type(1) appended-at ns(8) len(4) extensions data
//	's' key       value of the stable store (term, vote)
//
// Snapshots are files beside it: see Snapshots.
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"skerry/internal/planted"
)

// Store is a raft.LogStore and raft.StableStore.
type Store struct {
	db *pebble.DB

	mu          sync.Mutex
	first, last uint64
}

// memTable is small: the log is short-lived and written twice.
const memTable = 4 << 20

// Open opens or makes the store in a directory of fs.
func Open(fs vfs.FS, dir string, log pebble.Logger) (*Store, error) {
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: log, MemTableSize: memTable, MemTableStopWritesThreshold: 4})
	if err != nil {
		return nil, fmt.Errorf("raftlog: %s: %w", dir, err)
	}
	s := &Store{db: db}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'l'}, UpperBound: []byte{'l' + 1}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: %s: %w", dir, err), db.Close())
	}
	if it.First() {
		s.first = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if it.Last() {
		s.last = binary.BigEndian.Uint64(it.Key()[1:])
	}
	if err := it.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("raftlog: %s: %w", dir, err), db.Close())
	}
	return s, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.db.Close() }

// IsMonotonic tells raft that the log never has gaps.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex is the oldest entry's index, 0 for an empty log.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex is the newest entry's index, 0 for an empty log.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

const headSize = 8 + 8 + 1 + 8 + 4

func appendLog(b []byte, l *raft.Log) []byte {
	b = binary.BigEndian.AppendUint64(b, l.Index)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(l.AppendedAt.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	return append(b, l.Data...)
}

func readLog(v []byte, l *raft.Log) error {
	if len(v) < headSize {
		return fmt.Errorf("an entry of %d bytes is shorter than its head", len(v))
	}
	l.Index = binary.BigEndian.Uint64(v)
	l.Term = binary.BigEndian.Uint64(v[8:])
	l.Type = raft.LogType(v[16])
	l.AppendedAt = time.Unix(0, int64(binary.BigEndian.Uint64(v[17:])))
	n := int(binary.BigEndian.Uint32(v[25:]))
	if n > len(v)-headSize {
		return fmt.Errorf("an entry's extensions of %d bytes reach past its end", n)
	}
	l.Extensions = append([]byte(nil), v[headSize:headSize+n]...)
	l.Data = append([]byte(nil), v[headSize+n:]...)
	return nil
}

// GetLog reads an entry, or raft.ErrLogNotFound.
func (s *Store) GetLog(index uint64, l *raft.Log) error {
	v, c, err := s.db.Get(logKey(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return fmt.Errorf("raftlog: entry %d: %w", index, err)
	}
	defer c.Close()
	if err := readLog(v, l); err != nil {
		return fmt.Errorf("raftlog: entry %d: %w", index, err)
	}
	return nil
}

// StoreLog appends one entry durably.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries durably, in one sync.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	var buf []byte
	for _, l := range logs {
		buf = appendLog(buf[:0], l)
		if err := b.Set(logKey(l.Index), buf, nil); err != nil {
			return fmt.Errorf("raftlog: %w", err)
		}
	}
	how := pebble.Sync
	if planted.On(planted.SkipSync) {
		how = pebble.NoSync
	}
	if err := b.Commit(how); err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	if s.first == 0 {
		s.first = logs[0].Index
	}
	s.last = logs[len(logs)-1].Index
	return nil
}

// DeleteRange removes entries min to max, both included: a prefix after a
// snapshot, or a suffix that conflicts with the leader's log.
func (s *Store) DeleteRange(min, max uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.DeleteRange(logKey(min), logKey(max+1), pebble.Sync); err != nil {
		return fmt.Errorf("raftlog: delete %d to %d: %w", min, max, err)
	}
	switch {
	case s.last == 0 || max < s.first || min > s.last: // nothing was there
	case min <= s.first && max >= s.last:
		s.first, s.last = 0, 0
	case min <= s.first:
		s.first = max + 1
	case max >= s.last:
		s.last = min - 1
	}
	return nil
}

func (s *Store) get(key []byte) ([]byte, error) {
	v, c, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("raftlog: %w", err)
	}
	defer c.Close()
	return append([]byte(nil), v...), nil
}

// Set stores a value durably.
func (s *Store) Set(key, val []byte) error {
	if err := s.db.Set(stableKey(key), val, pebble.Sync); err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	return nil
}

// Get reads a value, nil when there is none.
func (s *Store) Get(key []byte) ([]byte, error) { return s.get(stableKey(key)) }

// SetUint64 stores a number durably.
func (s *Store) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// GetUint64 reads a number, 0 when there is none.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

func logKey(i uint64) []byte      { return binary.BigEndian.AppendUint64([]byte{'l'}, i) }
func stableKey(key []byte) []byte { return append([]byte{'s'}, key...) }
