package exact

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/state"
)

var keepLog = flag.Bool("keep-log", false, "write a log of what is decided today beside the older ones")

// A voter decides its log again after a restart, with whatever program it is
// then: what a command did once it does for ever. A decision that changes waits
// for a feature level, or stops every region that is brought up with it.
//
// A kept log is a list of entries, each behind its length and the hash of the
// last event after it.
func TestOldLogs(t *testing.T) {
	if *keepLog {
		keep(t)
	}
	files, err := filepath.Glob("testdata/*.log.zst")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			b, err = d.DecodeAll(b, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		tx, index := state.New(), uint64(0)
		for len(b) > 0 {
			n := binary.BigEndian.Uint32(b)
			entry, want := b[4:4+n], events.Hash(b[4+n:4+n+32])
			b = b[4+n+32:]
			index++
			s, err := events.DecodeStamped(entry)
			if err != nil {
				t.Fatalf("%s: entry %d: %v", f, index, err)
			}
			if decide.Apply(tx, s, index); tx.Meta.Last != want {
				t.Fatalf("%s: entry %d, %s, makes other events than it did: a decision changed. Let it wait for a feature level (events.Level…)\n%+v", f, index, events.Name(s.Command), s.Command)
			}
		}
		t.Logf("%s: %d entries make the %d events that they made", f, index, tx.Meta.N)
	}
}

// keep writes a log of some seeds, formed at the first feature level or at the
// newest one.
func keep(t *testing.T) {
	for _, seed := range []uint64{4, 5} {
		var log []byte
		level := 0
		_, err := Run(Options{Seed: seed, Beats: 160, Entry: func(data []byte, last events.Hash, l int) {
			level = l
			log = binary.BigEndian.AppendUint32(log, uint32(len(data)))
			log = append(append(log, data...), last[:]...)
		}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("testdata/seed-%d-level-%d-of-%d.log.zst", seed, level, events.LevelNewest)
		if err := os.WriteFile(name, e.EncodeAll(log, nil), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
