package raftlog

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

var servers = raft.Configuration{Servers: []raft.Server{{ID: "isle-1a", Address: "10.0.1.2:7000"}}}

func body(index uint64) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%d,", index)), 2000) }

// take writes one snapshot in pieces.
func take(s *Snapshots, index, term uint64) error {
	k, err := s.Create(1, index, term, servers, 1, nil)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(body(index), 3000) {
		if _, err := k.Write(piece); err != nil {
			return err
		}
	}
	return k.Close()
}

// whole reads every listed snapshot and says which indexes there are, newest first.
func indexes(t *testing.T, s *Snapshots) []uint64 {
	t.Helper()
	list, err := s.List()
	ok(t, err)
	var out []uint64
	for _, m := range list {
		meta, r, err := s.Open(m.ID)
		if err != nil {
			t.Fatalf("snapshot %s is listed and cannot be opened: %v", m.ID, err)
		}
		b, err := io.ReadAll(r)
		ok(t, err)
		ok(t, r.Close())
		if !bytes.Equal(b, body(m.Index)) || meta.Size != int64(len(b)) || len(meta.Configuration.Servers) != 1 {
			t.Fatalf("snapshot %s is not what was written: %d bytes, %+v", m.ID, len(b), meta)
		}
		out = append(out, m.Index)
	}
	return out
}

func TestSnapshotsAreKeptAndReaped(t *testing.T) {
	fs := vfs.NewMem()
	s, err := OpenSnapshots(fs, "/v/snapshots")
	ok(t, err)
	if got := indexes(t, s); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for _, i := range []uint64{10, 20, 30, 200} {
		ok(t, take(s, i, i/10))
	}
	if got := indexes(t, s); !slices.Equal(got, []uint64{200, 30}) {
		t.Errorf("%v are kept", got)
	}
	// One that is given up leaves nothing; closing and cancelling twice is once.
	k, err := s.Create(1, 300, 9, servers, 1, nil)
	ok(t, err)
	if _, err := k.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	ok(t, k.Cancel())
	ok(t, k.Cancel())
	ok(t, k.Close())
	// The same snapshot once more, given up: the one before stays whole.
	k, err = s.Create(1, 200, 20, servers, 1, nil)
	ok(t, err)
	if _, err := k.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if got := indexes(t, s); !slices.Equal(got, []uint64{200, 30}) {
		t.Errorf("%v are kept while one is written anew", got)
	}
	ok(t, k.Cancel())
	// And written anew again and again: each is there once it is whole, as raft
	// opens it then.
	for range 4 {
		k, err := s.Create(1, 200, 20, servers, 1, nil)
		ok(t, err)
		if _, err := k.Write(body(200)); err != nil {
			t.Fatal(err)
		}
		ok(t, k.Close())
		if _, r, err := s.Open(k.ID()); err != nil {
			t.Fatalf("a snapshot that was just written: %v", err)
		} else {
			ok(t, r.Close())
		}
	}
	s, err = OpenSnapshots(fs, "/v/snapshots")
	ok(t, err)
	if got := indexes(t, s); !slices.Equal(got, []uint64{200, 30}) {
		t.Errorf("%v after a reopening", got)
	}
	names, err := fs.List("/v/snapshots")
	ok(t, err)
	if len(names) != 4 {
		t.Errorf("the directory holds %v", names)
	}
	if _, err := s.Create(2, 1, 1, servers, 1, nil); err == nil {
		t.Error("a version that is not known was begun")
	}
	if _, _, err := s.Open("nothing"); err == nil {
		t.Error("a snapshot that is not there was opened")
	}
}

// syncs counts a file system's syncs and stops the world at one of them.
type syncs struct {
	vfs.FS
	left int
	at   func()
}

type cutFile struct {
	vfs.File
	s *syncs
}

func (s *syncs) tick() {
	if s.left--; s.left == 0 {
		s.at()
	}
}

func (f cutFile) Sync() error {
	f.s.tick() // the moment before it is durable
	err := f.File.Sync()
	f.s.tick() // and the moment after
	return err
}

func (s *syncs) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return cutFile{f, s}, err
}

func (s *syncs) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return cutFile{f, s}, err
}

func (s *syncs) Rename(a, b string) error { s.tick(); defer s.tick(); return s.FS.Rename(a, b) }
func (s *syncs) Remove(a string) error    { s.tick(); defer s.tick(); return s.FS.Remove(a) }

// A power cut at any moment, losing any part of what was not synced: what is
// listed afterwards is whole, what was finished before is there, and the store
// goes on working.
func TestSnapshotPowerCuts(t *testing.T) {
	for moment := 1; ; moment++ {
		reached := false
		for trial := range uint64(6) {
			mem := vfs.NewCrashableMem()
			ok(t, mem.MkdirAll("/v/snapshots", 0o700))
			for _, d := range []string{"/", "/v"} {
				f, err := mem.OpenDir(d)
				ok(t, err)
				ok(t, f.Sync())
			}
			rng := rand.New(rand.NewPCG(uint64(moment), trial))
			var cut *vfs.MemFS
			finished := uint64(0)
			must := uint64(0)
			fs := &syncs{FS: mem, left: moment}
			fs.at = func() {
				cut = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 100, 50, 50, 20, 80}[trial], RNG: rng})
				must = finished
			}
			s, err := OpenSnapshots(fs, "/v/snapshots")
			ok(t, err)
			for _, i := range []uint64{10, 20, 30, 30, 40} {
				ok(t, take(s, i, 1))
				finished = i
			}
			if cut == nil {
				continue
			}
			reached = true
			again, err := OpenSnapshots(cut, "/v/snapshots")
			ok(t, err)
			got := indexes(t, again)
			if must > 0 && (len(got) == 0 || got[0] < must) {
				t.Fatalf("moment %d, trial %d: snapshot %d was finished, %v are there", moment, trial, must, got)
			}
			for _, i := range []uint64{50, 60, 70} {
				if err := take(again, i, 1); err != nil {
					t.Fatalf("moment %d, trial %d: the next snapshot: %v", moment, trial, err)
				}
			}
			if got := indexes(t, again); !slices.Equal(got, []uint64{70, 60}) {
				t.Fatalf("moment %d, trial %d: %v are kept", moment, trial, got)
			}
		}
		if !reached {
			if moment < 40 {
				t.Fatalf("only %d moments were tried", moment)
			}
			return
		}
	}
}
