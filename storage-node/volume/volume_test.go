package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"skerry/events"
)

const vol = events.VolumeID("vol-0123456789abcdef0")

var small = Options{SegmentBytes: 96 << 10, Segments: 2}

func mustOpen(t testing.TB, fs vfs.FS, opt Options) *Store {
	t.Helper()
	s, err := Open(fs, "store", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustCreate(t testing.TB, s *Store, bytes int64) *Volume {
	t.Helper()
	v, err := s.Create(vol, bytes, 1)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func content(t testing.TB, v *Volume) []byte {
	t.Helper()
	b := make([]byte, v.Bytes())
	if err := v.Read(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// act is one random write or zeroing; model is what the volume must be then.
func act(r *rand.Rand, v *Volume, epoch uint64, model []byte) error {
	size := int64(len(model))
	unit := int64(Sector)
	if r.IntN(2) == 0 {
		unit = Block
	}
	off := r.Int64N(size/unit) * unit
	n := (1 + r.Int64N(12)) * unit
	if r.IntN(20) == 0 {
		n = size / 2
	}
	n = min(n, size-off)
	if r.IntN(5) == 0 {
		if err := v.Zero(epoch, off, n); err != nil {
			return err
		}
		clear(model[off : off+n])
		return nil
	}
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	if err := v.Write(epoch, p, off); err != nil {
		return err
	}
	copy(model[off:], p)
	return nil
}

// After a power cut at any moment, the settler's work included, the volume is
// what it was after some write since the last flush, and no write is half there.
func TestPowerCut(t *testing.T) {
	const size = 160 << 10
	seeds := 60
	if testing.Short() {
		seeds = 15
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		mem := vfs.NewCrashableMem()
		epoch := uint64(1)
		model := make([]byte, size)
		for cut := range 4 {
			var ops atomic.Int64
			var clone atomic.Pointer[vfs.MemFS]
			when := int64(1 + r.IntN(400))
			kept := []int{0, 30, 80, 100}[r.IntN(4)]
			cr := rand.New(rand.NewPCG(uint64(seed), uint64(cut)))
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(errorfs.Op) error {
				if ops.Add(1) == when {
					clone.Store(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: cr}))
				}
				return nil
			}))
			s, err := Open(fs, "store", small)
			if err != nil {
				t.Fatalf("seed %d cut %d: %v", seed, cut, err)
			}
			v, err := s.Create(vol, size, epoch)
			if err != nil {
				t.Fatalf("seed %d cut %d: %v", seed, cut, err)
			}
			if got := content(t, v); cut == 0 && !bytes.Equal(got, model) {
				t.Fatal("a new volume is not zeros")
			}
			may := [][]byte{bytes.Clone(model)}
			accepted := []uint64{epoch}
			for i := 0; i < 3000 && clone.Load() == nil; i++ {
				before := bytes.Clone(model)
				switch r.IntN(12) {
				case 0:
					if err := v.Flush(); err != nil {
						t.Fatal(err)
					}
					if clone.Load() == nil {
						may = [][]byte{}
					}
				case 1:
					epoch++
					accepted = append(accepted, epoch)
					if err := v.SetEpoch(epoch); err != nil {
						t.Fatal(err)
					}
					if clone.Load() == nil {
						accepted = []uint64{epoch}
					}
				default:
					if err := act(r, v, epoch, model); err != nil {
						t.Fatal(err)
					}
				}
				may = append(may, before, bytes.Clone(model))
				if r.IntN(30) == 0 {
					if got := content(t, v); !bytes.Equal(got, model) {
						t.Fatalf("seed %d: the volume is not what was written", seed)
					}
				}
			}
			after := clone.Load()
			if after == nil {
				after = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: cr})
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			mem = after
			s, err = Open(mem, "store", small)
			if err != nil {
				t.Fatalf("seed %d cut %d: after the power cut: %v", seed, cut, err)
			}
			if v, err = s.Volume(vol); errors.Is(err, ErrAbsent) && cut == 0 {
				s.Close()
				break // it was cut before the volume was there
			}
			if err != nil {
				t.Fatalf("seed %d cut %d: after the power cut: %v", seed, cut, err)
			}
			got := content(t, v)
			found := false
			for _, m := range may {
				found = found || bytes.Equal(got, m)
			}
			if !found {
				t.Fatalf("seed %d cut %d (kept %d%%): the volume is none of the %d things it may be", seed, cut, kept, len(may))
			}
			if e := v.Epoch(); e < accepted[0] {
				t.Fatalf("seed %d cut %d: epoch %d, %d was accepted", seed, cut, e, accepted[0])
			}
			epoch = v.Epoch()
			model = got
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A disk that is full now and then refuses writes, and what it refused is not
// there; nor after the next opening.
func TestFullDisk(t *testing.T) {
	const size = 128 << 10
	for seed := range 20 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		mem := vfs.NewCrashableMem()
		var full atomic.Bool
		var fr = rand.New(rand.NewPCG(uint64(seed), 8))
		var mu sync.Mutex
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			switch op.Kind {
			case errorfs.OpFileWriteAt, errorfs.OpCreate, errorfs.OpFileWrite:
				if full.Load() && fr.IntN(3) == 0 {
					return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
				}
			}
			return nil
		}))
		s := mustOpen(t, fs, small)
		v := mustCreate(t, s, size)
		model := make([]byte, size)
		refused := 0
		for i := range 400 {
			full.Store(i%7 < 5)
			if err := act(r, v, 1, model); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				refused++
			}
			if i%20 == 0 && !bytes.Equal(content(t, v), model) {
				t.Fatalf("seed %d: after %d acts and %d refusals the volume is not what was written", seed, i, refused)
			}
		}
		full.Store(false)
		if refused == 0 {
			t.Errorf("seed %d: nothing was refused", seed)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		v, err := mustOpen(t, mem, small).Volume(vol)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(content(t, v), model) {
			t.Fatalf("seed %d: after opening again the volume is not what was acknowledged", seed)
		}
	}
}

// A failed fsync ends all writing: what it lost cannot be known.
func TestFailedSync(t *testing.T) {
	var bad atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if bad.Load() && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync) {
			return syscall.EIO
		}
		return nil
	}))
	v := mustCreate(t, mustOpen(t, fs, small), 64<<10)
	p := bytes.Repeat([]byte{7}, Block)
	if err := v.Write(1, p, 0); err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	if err := v.Flush(); !errors.Is(err, ErrFailed) {
		t.Errorf("flush: %v", err)
	}
	bad.Store(false)
	if err := v.Flush(); !errors.Is(err, ErrFailed) {
		t.Errorf("a second flush: %v", err)
	}
	if err := v.Write(1, p, 0); !errors.Is(err, ErrFailed) {
		t.Errorf("write: %v", err)
	}
	if got := content(t, v); !bytes.Equal(got[:Block], p) {
		t.Error("what was written can no longer be read")
	}
}

// A block that changed on the disk is an error, in the log and in the base.
func TestDamage(t *testing.T) {
	mem := vfs.NewMem()
	v := mustCreate(t, mustOpen(t, mem, Options{SegmentBytes: 64 << 10, Segments: 1}), 4<<20)
	p := make([]byte, Block)
	for i := range 200 {
		p[0] = byte(i + 1)
		if err := v.Write(1, p, int64(i)*Block); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"data", v.active.name} {
		f, err := mem.OpenReadWrite(mem.PathJoin("store", "volumes", string(vol), name), category)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(5)
		if name != "data" {
			at = v.active.size - 10
		}
		if _, err := f.WriteAt([]byte{0xee}, at); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	for _, block := range []int64{0, 199} {
		if err := v.Read(p, block*Block); !errors.Is(err, ErrDamaged) {
			t.Errorf("block %d: %v", block, err)
		}
	}
	if err := v.Read(p, 1*Block); err != nil || p[0] != 2 {
		t.Errorf("block 1: %v, %d", err, p[0])
	}
}

// If the disk loses what it had promised, the volume does not open as if
// nothing had been.
func TestLostPromise(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, mem, Options{})
	v := mustCreate(t, s, 4<<20)
	p := bytes.Repeat([]byte{1}, Block)
	for i := range 10 {
		if err := v.Write(1, p, int64(i)*Block); err != nil {
			t.Fatal(err)
		}
		if err := v.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	name := mem.PathJoin("store", "volumes", string(vol), v.active.name)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite(name, category)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(make([]byte, 100), Block+4*2*Block) // the fifth record's header
	f.Close()
	if _, err := mustOpen(t, mem, Options{}).Volume(vol); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
}

func TestEpochs(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, mem, small)
	v := mustCreate(t, s, 1<<20)
	p := bytes.Repeat([]byte{1}, Block)
	if err := v.Write(1, p, 0); err != nil {
		t.Fatal(err)
	}
	if err := v.SetEpoch(5); err != nil {
		t.Fatal(err)
	}
	for _, e := range []uint64{1, 4, 6} {
		if err := v.Write(e, p, 0); !errors.Is(err, ErrEpoch) {
			t.Errorf("a write of epoch %d at 5: %v", e, err)
		}
		if err := v.Zero(e, 0, Block); !errors.Is(err, ErrEpoch) {
			t.Errorf("zeros of epoch %d at 5: %v", e, err)
		}
	}
	if err := v.SetEpoch(4); !errors.Is(err, ErrEpoch) {
		t.Errorf("back to 4: %v", err)
	}
	// It was on stable storage before it was accepted.
	v, err := mustOpen(t, mem.CrashClone(vfs.CrashCloneCfg{}), small).Volume(vol)
	if err != nil {
		t.Fatal(err)
	}
	if v.Epoch() != 5 {
		t.Errorf("after a power cut the epoch is %d", v.Epoch())
	}
}

// Sixteen writers that flush share their syncs.
func TestGroupCommit(t *testing.T) {
	slow := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData {
			time.Sleep(2 * time.Millisecond) // a disk
		}
		return nil
	}))
	v := mustCreate(t, mustOpen(t, slow, Options{}), 4<<20)
	var wg sync.WaitGroup
	const writers, each = 16, 20
	for w := range writers {
		wg.Go(func() {
			p := bytes.Repeat([]byte{byte(w)}, Block)
			for i := range each {
				if err := v.Write(1, p, int64(w*each+i)*Block); err != nil {
					t.Error(err)
				}
				if err := v.Flush(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := v.Syncs(); n > writers*each/4 {
		t.Errorf("%d syncs for %d flushes", n, writers*each)
	}
}

// Readers and writers at once, with a settler that never rests, see whole blocks.
func TestConcurrent(t *testing.T) {
	v := mustCreate(t, mustOpen(t, vfs.NewMem(), small), 256<<10)
	blocks := int(v.Bytes() / Block)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for w := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			for range 3000 {
				n := 1 + r.IntN(8)
				off := r.IntN(blocks - n)
				if err := v.Write(1, bytes.Repeat([]byte{byte(r.Uint32())}, n*Block), int64(off)*Block); err != nil {
					t.Error(err)
					return
				}
			}
			stop.Store(true)
		})
	}
	for w := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 4))
			p := make([]byte, 8*Block)
			for !stop.Load() {
				n := 1 + r.IntN(8)
				off := r.IntN(blocks - n)
				if err := v.Read(p[:n*Block], int64(off)*Block); err != nil {
					t.Error(err)
					return
				}
				for i := range n {
					b := p[i*Block : (i+1)*Block]
					if !bytes.Equal(b, bytes.Repeat(b[:1], Block)) {
						t.Errorf("block %d is of two writes", off+i)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	v.mu.RLock()
	defer v.mu.RUnlock()
	if len(v.full) > small.Segments {
		t.Errorf("%d segments wait", len(v.full))
	}
}

func TestUpdateAndHoles(t *testing.T) {
	v := mustCreate(t, mustOpen(t, vfs.NewMem(), small), 8<<20)
	p := bytes.Repeat([]byte{9}, Sector)
	if err := v.Write(1, p, 5*Sector); err != nil {
		t.Fatal(err)
	}
	if err := v.Update(1, Sector, 5*Sector, func(old []byte) error {
		if !bytes.Equal(old, p) {
			t.Error("the old content is not what was written")
		}
		return ErrDiffers
	}); !errors.Is(err, ErrDiffers) {
		t.Errorf("%v", err)
	}
	if hole, n, err := v.Hole(0); hole || n != Block || err != nil {
		t.Errorf("the first block: hole %v, %d bytes, %v", hole, n, err)
	}
	if hole, n, err := v.Hole(Block); !hole || n < Block || err != nil {
		t.Errorf("the second: hole %v, %d bytes, %v", hole, n, err)
	}
	if err := v.Zero(1, 0, v.Bytes()); err != nil {
		t.Fatal(err)
	}
	if hole, _, err := v.Hole(0); !hole || err != nil {
		t.Errorf("after zeroing: hole %v, %v", hole, err)
	}
	for _, bad := range []struct{ off, n int64 }{{-1, 512}, {0, 8<<20 + 512}, {8 << 20, 512}, {1, 512}, {0, 100}, {1 << 62, 1 << 62}} {
		if err := v.Zero(1, bad.off, bad.n); !errors.Is(err, ErrRange) {
			t.Errorf("zero %v: %v", bad, err)
		}
	}
	if err := v.Read(make([]byte, 512), 8<<20); !errors.Is(err, ErrRange) {
		t.Errorf("read behind the end: %v", err)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(vfs.Default, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(vfs.Default, dir, Options{}); err == nil {
		t.Error("a directory was opened twice")
	}
	v := mustCreate(t, s, 1<<40)
	if err := v.Write(1, make([]byte, Block), 1<<39); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(vol, 1<<30, 1); !errors.Is(err, ErrExists) {
		t.Errorf("another size: %v", err)
	}
	for _, id := range []events.VolumeID{"", "..", "a/b", "vol-" + events.VolumeID(bytes.Repeat([]byte{'a'}, 99))} {
		if _, err := s.Create(id, 1<<20, 1); err == nil {
			t.Errorf("volume %q was made", id)
		}
		if err := s.Retire(id, time.Now()); err == nil {
			t.Errorf("volume %q was retired", id)
		}
	}
	at := time.Now()
	if err := s.Retire(vol, at); err != nil {
		t.Fatal(err)
	}
	if err := s.Retire(vol, at); err != nil {
		t.Errorf("retired again: %v", err)
	}
	if err := v.Write(1, make([]byte, Block), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("a write to a retired volume: %v", err)
	}
	if left, _ := s.Retired(); len(left) != 1 {
		t.Errorf("retired: %v", left)
	}
	if err := s.Tidy(at.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if left, _ := s.Retired(); len(left) != 1 {
		t.Error("it was unlinked too early")
	}
	if err := s.Tidy(at.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if left, _ := s.Retired(); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}
	uuid := s.UUID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(vfs.Default, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.UUID() != uuid || len(uuid) != 32 {
		t.Errorf("the uuid was %s and is %s", uuid, s.UUID())
	}
	if ids, _ := s.List(); len(ids) != 0 {
		t.Errorf("listed: %v", ids)
	}
}

// TestKilled writes in another process, kills it, and finds every write that it
// had been told of.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("SKERRY_VOLUME_WRITER"); dir != "" {
		writeForEver(dir)
	}
	dir := t.TempDir()
	last := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "SKERRY_VOLUME_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun := last
		for {
			var n int
			if _, err := fmt.Fscanln(out, &n); err != nil {
				break
			}
			last = n
			if last > begun+3000 && cmd.Process != nil {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if last <= begun {
			t.Fatalf("round %d: nothing was written", round)
		}
		s, err := Open(vfs.Default, dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Volume(vol)
		if err != nil {
			t.Fatal(err)
		}
		b := content(t, v)
		blocks := len(b) / Block
		for n := max(1, last-blocks+2); n <= last; n++ {
			var got int
			fmt.Sscan(string(bytes.TrimRight(b[n%blocks*Block:][:32], "\x00")), &got)
			if got != n && got != n+blocks {
				t.Fatalf("round %d: write %d of %d was acknowledged, and %d is there", round, n, last, got)
			}
		}
		s.Close()
	}
}

// writeForEver writes the numbers to blocks in turn and says each when it was
// acknowledged.
func writeForEver(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := Open(vfs.Default, dir, Options{SegmentBytes: 1 << 20, Segments: 2})
	fail(err)
	v, err := s.Create(vol, 4<<20, 1)
	fail(err)
	b := make([]byte, v.Bytes())
	fail(v.Read(b, 0))
	n := 0
	for i := range len(b) / Block {
		var got int
		fmt.Sscan(string(bytes.TrimRight(b[i*Block:][:32], "\x00")), &got)
		n = max(n, got)
	}
	for {
		n++
		p := make([]byte, Block)
		copy(p, fmt.Sprint(n))
		fail(v.Write(1, p, int64(n)%(v.Bytes()/Block)*Block))
		fmt.Println(n)
	}
}

func FuzzRecord(f *testing.F) {
	b := make([]byte, Block)
	header(b).put(record{nonce: 3, epoch: 1, seq: 2, lba: 4, count: 2, sums: []uint32{5, 6}})
	f.Add(bytes.Clone(b))
	f.Add(segHeader{1, 3, 2, 1, string(vol)}.block())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := header(in).parse(3, 100); err == nil {
			again := make([]byte, Block)
			header(again).put(r)
			if r2, err := header(again).parse(3, 100); err != nil || r2.String() != r.String() {
				t.Fatalf("%v became %v, %v", r, r2, err)
			}
		}
		if s, err := parseSegHeader(in); err == nil {
			if s2, err := parseSegHeader(s.block()); err != nil || s2 != s {
				t.Fatalf("%v became %v, %v", s, s2, err)
			}
		}
	})
}

// FuzzLog opens a volume whose log is anything at all.
func FuzzLog(f *testing.F) {
	mem := vfs.NewMem()
	s, err := Open(mem, "store", Options{})
	if err != nil {
		f.Fatal(err)
	}
	v, err := s.Create(vol, 1<<20, 1)
	if err != nil {
		f.Fatal(err)
	}
	v.Write(1, bytes.Repeat([]byte{1}, 2*Block), 0)
	v.Zero(1, Block, 5*Block)
	name := filepath.Join("store", "volumes", string(vol), v.active.name)
	s.Close()
	b, err := mem.UnsafeGetFileDataBuffer(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(b))
	f.Add(b[:2*Block])
	f.Add([]byte("SKVLOG01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		mem := vfs.NewMem()
		s, err := Open(mem, "store", Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		if _, err := s.Create(vol, 1<<20, 1); err != nil {
			t.Fatal(err)
		}
		s.Close()
		g, err := mem.Create(name, category)
		if err != nil {
			t.Fatal(err)
		}
		g.Write(bytes.Clone(in))
		g.Close()
		if s, err = Open(mem, "store", Options{}); err != nil {
			t.Fatal(err)
		}
		v, err := s.Volume(vol)
		if err != nil {
			return
		}
		if err := v.Write(1, make([]byte, Block), 0); err != nil {
			t.Fatal(err)
		}
	})
}
