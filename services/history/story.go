package history

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"skerry/events"
)

// put adds a record, its line in the story of each resource it names, and in the
// trail of its account.
func put(b *pebble.Batch, r events.Record, enc []byte) error {
	if err := b.Set(key(r.N), enc, nil); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if r.Call.Action != "" && r.Account != "" {
		if err := b.Set(trailKey(r.Account, r.N), trailLine(r), nil); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	return index(b, r.N, enc)
}

func index(b *pebble.Batch, n uint64, enc []byte) error {
	var err error
	named(enc, func(id []byte) {
		if err == nil {
			err = b.Set(storyKey(id, n), nil, nil)
		}
	})
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

const idDigits = 17

// named finds the ids of resources in a record: letters, digits and dashes, a
// dash, and 17 hex digits ("Resource IDs" in the EC2 user guide). An id stands
// in a record as text, so the record need not be read. One that is named more
// than once is found as often.
func named(enc []byte, found func(id []byte)) {
	for at := 0; ; {
		i := bytes.IndexByte(enc[at:], '-')
		if i < 0 || at+i+1+idDigits > len(enc) {
			return
		}
		dash := at + i
		at = dash + 1
		end := dash + 1 + idDigits
		if !hexadecimal(enc[dash+1 : end]) {
			continue
		}
		begin := dash
		for begin > 0 && (enc[begin-1] >= 'a' && enc[begin-1] <= 'z' || enc[begin-1] == '-' || enc[begin-1] >= '0' && enc[begin-1] <= '9') {
			begin--
		}
		// In front of a text the codec has its length, which may be a letter: the
		// text that is as long as that, to the last digit, is the id.
		for n := end - begin; begin < dash; begin, n = begin+1, n-1 {
			if n < 24 && begin > 0 && enc[begin-1] == 0x60|byte(n) || n >= 24 && begin > 1 && enc[begin-1] == byte(n) && enc[begin-2] == 0x78 {
				found(enc[begin:end])
				break
			}
		}
		at = end
	}
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func storyKey(id []byte, n uint64) []byte {
	k := append([]byte{'r'}, id...)
	return binary.BigEndian.AppendUint64(append(k, 0), n)
}

// Story reads up to limit records that name a resource, from number first on.
func (s *Store) Story(id string, first uint64, limit int) ([]events.Record, error) {
	done, err := s.read()
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: storyKey([]byte(id), first), UpperBound: append([]byte("r"+id), 1)})
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer it.Close()
	var out []events.Record
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		k := it.Key()
		r, err := s.get(binary.BigEndian.Uint64(k[len(k)-8:]))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return out, nil
}

// indexBatch is how many records are indexed in one batch at opening.
const indexBatch = 4096

// reindex makes the stories of a history that was written without.
func (s *Store) reindex() error {
	_, c, err := s.db.Get([]byte{'v'})
	if err == nil {
		return c.Close()
	}
	if err != pebble.ErrNotFound {
		return err
	}
	it, err := s.db.NewIter(bounds)
	if err != nil {
		return err
	}
	defer it.Close()
	b := s.db.NewBatch()
	defer func() { b.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		if err := index(b, binary.BigEndian.Uint64(it.Key()[1:]), it.Value()); err != nil {
			return err
		}
		if b.Count() > indexBatch {
			if err := b.Commit(pebble.NoSync); err != nil {
				return err
			}
			b.Close()
			b = s.db.NewBatch()
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if err := b.Set([]byte{'v'}, []byte{1}, nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}
