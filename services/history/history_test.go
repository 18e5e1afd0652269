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

// A story is the records that name a resource, also of a history that was
// written without stories, and of records that came from a peer.
func TestStory(t *testing.T) {
	const a, b = "vol-0123456789abcdef0", "ipv4pool-ec2-0aaaaaaaaaaaaaaaa"
	var records []events.Record
	for i, e := range []events.Event{
		events.ResourceTagged{Account: "1", Resource: a, Tags: []events.Tag{{Key: "k", Value: b}}},
		events.ResourceTagged{Account: "1", Resource: b, Tags: []events.Tag{{Key: "k", Value: "x-0123456789abcdef00"}}},
		events.ResourceUntagged{Account: "1", Resource: a, Keys: []string{a, a}},
		events.HostDrained{Host: "vol-0123456789abcdef", Zone: "z"},
	} {
		r := events.Record{N: uint64(i + 1), Cause: "c", Actor: "i-00000000000000001 is part of a longer word", Event: e}
		if i > 0 {
			r.Prev = records[i-1].Hash
		}
		r.Hash = sha256.Sum256(r.Encode())
		records = append(records, r)
	}
	check := func(s *Store) {
		t.Helper()
		for id, want := range map[string]string{a: "[1 3]", b: "[1 2]", "i-00000000000000001": "[]", "vol-0123456789abcdef": "[]", "x-0123456789abcdef0": "[]"} {
			got, err := s.Story(id, 0, 10)
			must(t, err)
			ns := []uint64{}
			for _, r := range got {
				ns = append(ns, r.N)
			}
			if fmt.Sprint(ns) != want {
				t.Errorf("%s: %v, want %s", id, ns, want)
			}
		}
	}
	fs := vfs.NewMem()
	s := open(t, fs)
	must(t, s.Append(records))
	check(s)
	if got, err := s.Story(a, 2, 10); err != nil || len(got) != 1 || got[0].N != 3 {
		t.Errorf("from event 2 on: %v %v", got, err)
	}
	if got, err := s.Story(a, 0, 1); err != nil || len(got) != 1 {
		t.Errorf("one at most: %v %v", got, err)
	}
	// As written by a program that knew no stories.
	must(t, s.db.DeleteRange([]byte{'r'}, []byte{'w'}, nil))
	must(t, s.Close())
	s = open(t, fs)
	check(s)
	must(t, s.Close())

	peer := open(t, vfs.NewMem())
	must(t, peer.Fill(records))
	check(peer)
	must(t, peer.Close())
}
