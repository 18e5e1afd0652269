package raftlog

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

type quiet struct{ testing.TB }

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

var _ pebble.Logger = quiet{}

// A power cut loses nothing that was stored: 100 cuts, each losing another part
// of what was not synced.
func TestPowerCut(t *testing.T) {
	for trial := range uint64(100) {
		fs := vfs.NewCrashableMem()
		s, err := Open(fs, "/raft", quiet{t})
		if err != nil {
			t.Fatal(err)
		}
		root, err := fs.OpenDir("/")
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Sync(); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(trial, 1))
		last := uint64(0)
		for range 1 + rng.IntN(20) {
			var logs []*raft.Log
			for range 1 + rng.IntN(10) {
				last++
				logs = append(logs, &raft.Log{Index: last, Term: 3, Type: raft.LogCommand, Data: make([]byte, rng.IntN(3000)), Extensions: []byte("x")})
			}
			if err := s.StoreLogs(logs); err != nil {
				t.Fatal(err)
			}
			if err := s.SetUint64([]byte("CurrentTerm"), last); err != nil {
				t.Fatal(err)
			}
		}
		cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		again, err := Open(cut, "/raft", quiet{t})
		if err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		if got, _ := again.LastIndex(); got != last {
			t.Fatalf("trial %d: the log ends at %d, %d was stored", trial, got, last)
		}
		if term, err := again.GetUint64([]byte("CurrentTerm")); err != nil || term != last {
			t.Fatalf("trial %d: the term is %d (%v), %d was stored", trial, term, err, last)
		}
		var l raft.Log
		for i := uint64(1); i <= last; i++ {
			if err := again.GetLog(i, &l); err != nil || l.Index != i || l.Term != 3 || string(l.Extensions) != "x" {
				t.Fatalf("trial %d: entry %d: %+v, %v", trial, i, l, err)
			}
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
