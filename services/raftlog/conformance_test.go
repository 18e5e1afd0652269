package raftlog

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

func openLog(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(fs, "/raft", quiet{t})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entries(first, last uint64) []*raft.Log {
	var out []*raft.Log
	for i := first; i <= last; i++ {
		out = append(out, &raft.Log{Index: i, Term: i / 3, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(i)}, int(i%5)), Extensions: []byte{byte(i), 0}, AppendedAt: time.Unix(int64(i), 7)})
	}
	return out
}

// holds checks the log's ends, here and after a reopening, and every entry.
func holds(t *testing.T, s *Store, fs vfs.FS, first, last uint64) *Store {
	t.Helper()
	for range 2 {
		f, err := s.FirstIndex()
		ok(t, err)
		l, err := s.LastIndex()
		ok(t, err)
		if f != first || l != last {
			t.Fatalf("the log is %d to %d, want %d to %d", f, l, first, last)
		}
		var got raft.Log
		for i := first; i <= last && i > 0; i++ {
			ok(t, s.GetLog(i, &got))
			if want := entries(i, i)[0]; got.Index != i || got.Term != want.Term || !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
				t.Fatalf("entry %d is %+v", i, got)
			}
		}
		for _, out := range []uint64{0, first - 1, last + 1} {
			if out == first {
				continue
			}
			if err := s.GetLog(out, &got); !errors.Is(err, raft.ErrLogNotFound) {
				t.Fatalf("entry %d outside of the log: %v", out, err)
			}
		}
		ok(t, s.Close())
		s = openLog(t, fs)
	}
	return s
}

func TestLogConformance(t *testing.T) {
	fs := vfs.NewMem()
	s := openLog(t, fs)
	s = holds(t, s, fs, 0, 0)
	ok(t, s.StoreLogs(nil))
	ok(t, s.StoreLog(entries(1, 1)[0]))
	ok(t, s.StoreLogs(entries(2, 20)))
	s = holds(t, s, fs, 1, 20)
	ok(t, s.DeleteRange(1, 5)) // behind a snapshot
	s = holds(t, s, fs, 6, 20)
	ok(t, s.DeleteRange(16, 20)) // what conflicts with the leader's log
	s = holds(t, s, fs, 6, 15)
	ok(t, s.StoreLogs(entries(16, 17)))
	s = holds(t, s, fs, 6, 17)
	ok(t, s.DeleteRange(1, 3)) // long gone
	s = holds(t, s, fs, 6, 17)
	ok(t, s.DeleteRange(6, 17)) // all of it
	s = holds(t, s, fs, 0, 0)
	ok(t, s.StoreLogs(entries(100, 110))) // after a snapshot from the leader
	s = holds(t, s, fs, 100, 110)
	ok(t, s.DeleteRange(0, 1000))
	s = holds(t, s, fs, 0, 0)
	ok(t, s.DeleteRange(5, 9)) // nothing there
	s = holds(t, s, fs, 0, 0)
	if !s.IsMonotonic() {
		t.Error("raft would not know that the log has no gaps")
	}
	ok(t, s.Close())
}

func TestStableConformance(t *testing.T) {
	fs := vfs.NewMem()
	s := openLog(t, fs)
	if v, err := s.Get([]byte("none")); err != nil || len(v) != 0 {
		t.Errorf("a value that is not there: %q, %v", v, err)
	}
	if n, err := s.GetUint64([]byte("none")); err != nil || n != 0 {
		t.Errorf("a number that is not there: %d, %v", n, err)
	}
	ok(t, s.Set([]byte("LastVoteCand"), []byte("isle-1a")))
	ok(t, s.SetUint64([]byte("CurrentTerm"), 1<<63))
	ok(t, s.StoreLogs(entries(1, 3))) // the two do not mix
	ok(t, s.DeleteRange(1, 3))
	ok(t, s.Set([]byte("LastVoteCand"), []byte("isle-1b")))
	ok(t, s.Close())
	s = openLog(t, fs)
	defer s.Close()
	if v, err := s.Get([]byte("LastVoteCand")); err != nil || string(v) != "isle-1b" {
		t.Errorf("%q, %v", v, err)
	}
	if n, err := s.GetUint64([]byte("CurrentTerm")); err != nil || n != 1<<63 {
		t.Errorf("%d, %v", n, err)
	}
	if f, _ := s.FirstIndex(); f != 0 {
		t.Errorf("stable values are taken for entries: first is %d", f)
	}
}

// Damaged bytes are an error that names the entry.
func TestDamagedEntry(t *testing.T) {
	s := openLog(t, vfs.NewMem())
	defer s.Close()
	ok(t, s.StoreLogs(entries(1, 2)))
	whole := appendLog(nil, entries(1, 1)[0])
	for name, bad := range map[string][]byte{"short": whole[:headSize-1], "long extensions": append(bytes.Clone(whole[:headSize-4]), 0xff, 0xff, 0xff, 0xff), "empty": {}} {
		ok(t, s.db.Set(logKey(1), bad, nil))
		var l raft.Log
		if err := s.GetLog(1, &l); err == nil || errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add(appendLog(nil, entries(7, 7)[0]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l, again raft.Log
		if readLog(b, &l) != nil {
			return
		}
		enc := appendLog(nil, &l)
		if !bytes.Equal(enc, b) {
			t.Fatalf("%x is written as %x", b, enc)
		}
		if err := readLog(enc, &again); err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%+v, %+v, %v", l, again, err)
		}
	})
}
