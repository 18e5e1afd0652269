package history

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func open(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(fs, "/history", quiet{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// chain makes n records, told by a word so that chains can differ.
func chain(n int, word string) []events.Record {
	var out []events.Record
	prev := events.Hash{}
	for i := range n {
		r := events.Record{N: uint64(i + 1), Prev: prev, Time: time.Unix(int64(i), 0).UTC(), Cause: events.CommandID(fmt.Sprint("c", i)),
			Actor: "test", Event: events.HostDrained{Host: events.HostID(word), Zone: "z"}}
		r.Hash = sha256.Sum256(r.Encode())
		prev = r.Hash
		out = append(out, r)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendAndRead(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	if s.Last() != 0 {
		t.Errorf("an empty history ends at %d", s.Last())
	}
	if got, err := s.Range(1, 10); err != nil || len(got) != 0 {
		t.Errorf("an empty history holds %v, %v", got, err)
	}
	records := chain(10, "a")
	must(t, s.Append(nil))
	must(t, s.Append(records[:4]))
	must(t, s.Append(records[2:])) // a replay overlaps
	must(t, s.Close())
	s = open(t, fs)
	defer s.Close()
	if s.Last() != 10 {
		t.Errorf("it ends at %d", s.Last())
	}
	for _, test := range []struct {
		first uint64
		limit int
		want  int
	}{{1, 100, 10}, {3, 4, 4}, {10, 5, 1}, {11, 5, 0}, {1, 0, 0}} {
		got, err := s.Range(test.first, test.limit)
		if err != nil || len(got) != test.want || len(got) > 0 && (got[0].N != test.first || got[0].Hash != records[test.first-1].Hash) {
			t.Errorf("from %d, %d at most: %d records, %v", test.first, test.limit, len(got), err)
		}
	}
	if _, err := s.Get(11); !errors.Is(err, ErrMissing) {
		t.Errorf("a record that is not there: %v", err)
	}
}

// A replay that makes another record is noticed at that record.
func TestReplayDiverges(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	must(t, s.Append(chain(5, "a")))
	err := s.Append(chain(5, "b")[2:])
	var d *DivergedError
	if !errors.As(err, &d) || d.N != 3 || !strings.Contains(err.Error(), `"host":"a"`) || !strings.Contains(err.Error(), `"host":"b"`) {
		t.Errorf("%v", err)
	}
	if got, err := s.Get(3); err != nil || got.Hash != chain(5, "a")[2].Hash {
		t.Errorf("what was stored is gone: %+v, %v", got, err)
	}
}

// Bytes that are damaged on the disk are an error, not a record.
func TestDamagedRecord(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer s.Close()
	must(t, s.Append(chain(3, "a")))
	must(t, s.db.Set(key(2), []byte("nonsense"), nil))
	if _, err := s.Get(2); err == nil {
		t.Error("nonsense was read")
	}
	if _, err := s.Range(1, 3); err == nil {
		t.Error("nonsense was read in a range")
	}
	if err := s.Append(chain(3, "a")[1:]); err == nil {
		t.Error("a replay over nonsense passed")
	}
}

// A hole is closed only with the truth.
func TestFill(t *testing.T) {
	truth, lie := chain(20, "a"), chain(20, "b")
	fresh := func() *Store {
		s := open(t, vfs.NewMem())
		must(t, s.Append(truth[:3]))
		must(t, s.Append(truth[12:])) // after a peer's snapshot at 12
		return s
	}
	s := fresh()
	if n, missing, err := s.Missing(21); err != nil || !missing || n != 4 {
		t.Errorf("missing: %d, %v, %v", n, missing, err)
	}
	if got, err := s.Range(1, 100); err != nil || len(got) != 3 {
		t.Errorf("a range over a hole has %d records, %v", len(got), err)
	}
	must(t, s.Fill(nil))
	must(t, s.Fill(truth[3:8]))
	must(t, s.Fill(truth[5:14])) // overlaps on both sides
	if _, missing, err := s.Missing(21); err != nil || missing {
		t.Errorf("still missing: %v, %v", missing, err)
	}
	if got, err := s.Range(1, 100); err != nil || len(got) != 20 {
		t.Errorf("%d records, %v", len(got), err)
	}
	must(t, s.Close())

	forged := truth[5]
	forged.Actor = "somebody else"
	for name, records := range map[string][]events.Record{
		"another chain":                  lie[3:12],
		"a record changed":               {truth[3], truth[4], forged},
		"a gap":                          {truth[3], truth[5]},
		"out of order":                   {truth[4], truth[3]},
		"not leading to what is held":    lie[11:12],
		"not continuing what is held":    lie[3:4],
		"against what is held":           lie[2:3],
		"number 0":                       {{Event: events.HostDrained{}}},
		"a beginning that is not one":    {func() events.Record { r := truth[5]; r.N = 1; r.Hash = sha256.Sum256(r.Encode()); return r }()},
		"the truth, then something else": append(append([]events.Record{}, truth[3:11]...), lie[11]),
	} {
		s := fresh()
		if err := s.Fill(records); err == nil {
			t.Errorf("%s was taken", name)
		}
		if n, missing, err := s.Missing(21); err != nil || !missing || n != 4 {
			t.Errorf("%s: something of it was kept: missing from %d, %v, %v", name, n, missing, err)
		}
		must(t, s.Close())
	}
}

// What was flushed survives a power cut; a cut without a flush takes only an
// end, which the log makes again.
func TestPowerCut(t *testing.T) {
	records := chain(40, "a")
	for flushed := range 2 {
		fs := vfs.NewCrashableMem()
		s := open(t, fs)
		root, err := fs.OpenDir("/")
		must(t, err)
		must(t, root.Sync())
		must(t, s.Append(records[:20]))
		if flushed == 1 {
			must(t, s.Flush())
		}
		must(t, s.Append(records[20:]))
		cut := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		got, err := cut.Range(1, 100)
		if err != nil || uint64(len(got)) != cut.Last() || flushed == 1 && len(got) < 20 {
			t.Errorf("flushed %v: %d records, last %d, %v", flushed == 1, len(got), cut.Last(), err)
		}
		must(t, cut.Append(records))
		if got, err := cut.Range(1, 100); err != nil || len(got) != 40 {
			t.Errorf("after a replay: %d records, %v", len(got), err)
		}
		must(t, cut.Close())
		must(t, s.Close())
	}
}
