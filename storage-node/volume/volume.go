// Package volume is the engine of a storage node: volumes of blocks on a file
// system, one copy each.
//
//	write ─▶ log ─▶ acknowledged            read ─▶ overlay ─▶ log segment
//	          │ (segment full)                          └─────▶ base, with sums
//	          ▼
//	       settler ─▶ data, sums ─▶ stable ─▶ the segment is removed
//
//	<dir>/LOCK                    one process at a time
//	<dir>/node.json               uuid of the directory, format
//	<dir>/volumes/<id>/meta       size, epoch
//	<dir>/volumes/<id>/data       base: sparse, one block after the other
//	<dir>/volumes/<id>/sums       base: CRC-32C of each block
//	<dir>/volumes/<id>/log-…      segments: what the base does not have yet
//	<dir>/new/<id>                a volume that is being made
//	<dir>/retired/<id>.<time>     a volume that was deleted, until it is unlinked
//
// It promises: a write that was acknowledged outlives the process; one that was
// flushed outlives a power cut; a write is there whole or not at all; what is
// read is what was written, or an error that says it is not; a write of a lower
// epoch than the volume's is refused, and once SetEpoch has returned none is
// under way. The log is bounded: writers wait for the settler.
//
// It expects that nobody else writes to the directory. DESIGN.md says why it is
// so.
package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

const (
	// Block is the unit of checksums and of the log.
	Block = 4096
	// Sector is the unit of reads and writes.
	Sector = 512
	// MaxIO is the most that one read or write may have.
	MaxIO = 16 << 20
	// MaxBytes is the size of the largest volume: 64 TiB, as io2's.
	MaxBytes = 64 << 40

	formatVersion = 1
	category      = "volume"
)

// Errors that a caller tells apart.
var (
	ErrEpoch   = errors.New("a higher epoch has begun")
	ErrFull    = errors.New("no space is left")
	ErrRange   = errors.New("outside of the volume")
	ErrDamaged = errors.New("the stored data are damaged")
	ErrFailed  = errors.New("the disk failed")
	ErrClosed  = errors.New("the volume is closed")
	ErrAbsent  = errors.New("there is no such volume")
	ErrExists  = errors.New("the volume exists with another size")
	ErrDiffers = errors.New("the stored data differ") // of Update's caller: COMPARE AND WRITE
)

// Options of a store.
type Options struct {
	SegmentBytes int64 // of the log; 0 means 64 MiB
	Segments     int   // full ones that wait for the settler; 0 means 4
	Log          *slog.Logger
}

func (o Options) filled() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.Segments == 0 {
		o.Segments = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// meta is the file of the same name.
type meta struct {
	Format int             `json:"format"`
	Volume events.VolumeID `json:"volume"`
	Bytes  int64           `json:"bytes"`
	Epoch  uint64          `json:"epoch"`
}

// segment is a file of the log.
type segment struct {
	segHeader
	name string
	f    vfs.File
	size int64 // where the next record goes; fixed once it is full
	refs atomic.Int32
	idle chan struct{} // closed when nobody refers to it any more

	dirty bool // has records that are not known to be stable; Volume.mu
}

func newSegment(h segHeader, name string, f vfs.File) *segment {
	s := &segment{segHeader: h, name: name, f: f, size: Block, idle: make(chan struct{})}
	s.refs.Store(1)
	return s
}

func (s *segment) release() {
	if s.refs.Add(-1) == 0 {
		close(s.idle)
	}
}

// Volume is an open volume. All of its methods may be called at once.
type Volume struct {
	id  events.VolumeID
	fs  vfs.FS
	dir string
	opt Options
	log *slog.Logger

	blocks int64 // capacity; the last one may be cut short by bytes
	bytes  int64
	base   vfs.File
	sums   *sums

	life   sync.RWMutex // held for reading by every call, for writing by Close and Grow
	closed bool

	wmu    sync.Mutex // one write at a time, and epochs
	epoch  atomic.Uint64
	broken bool // the active segment ends in half a write: begin another one

	mu      sync.RWMutex // what follows
	settled *sync.Cond   // on mu
	over    overlay
	active  *segment   // nil: none yet
	full    []*segment // oldest first
	index   uint64     // of the newest segment
	seq     uint64     // of the newest record
	tries   uint64     // of the settler
	last    error      // of its last try
	failed  error      // what was lost cannot be known: no write any more

	flush flusher

	poke chan struct{}
	quit chan struct{}
	work sync.WaitGroup
	left *segment // settled, and its file could not be removed; settler only

	syncs atomic.Uint64 // of the log, for flushes
}

// ID is the volume's name.
func (v *Volume) ID() events.VolumeID { return v.id }

// Bytes is its size.
func (v *Volume) Bytes() int64 {
	v.life.RLock()
	defer v.life.RUnlock()
	return v.bytes
}

// Grow makes a volume larger: what is behind its old end is zeros.
func (v *Volume) Grow(bytes int64) error {
	v.life.Lock() // no call is under way
	defer v.life.Unlock()
	switch {
	case v.closed:
		return ErrClosed
	case bytes < v.bytes || bytes > MaxBytes || bytes%Block != 0 || v.bytes%Block != 0:
		return fmt.Errorf("volume: %s: %d bytes cannot become %d", v.id, v.bytes, bytes)
	case bytes == v.bytes:
		return nil
	}
	if err := writeMeta(v.fs, v.dir, meta{formatVersion, v.id, bytes, v.epoch.Load()}); err != nil {
		return fmt.Errorf("volume: %s: grow to %d: %w", v.id, bytes, err)
	}
	v.bytes, v.blocks = bytes, bytes/Block
	return nil
}

// Epoch is the highest epoch that was accepted.
func (v *Volume) Epoch() uint64 { return v.epoch.Load() }

// Err says what keeps the volume from taking writes, if anything does.
func (v *Volume) Err() error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.failed
}

func (v *Volume) enter() error {
	v.life.RLock()
	if v.closed {
		v.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (v *Volume) check(off int64, n int) error {
	if off < 0 || n < 0 || off > v.bytes || int64(n) > v.bytes-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, v.bytes)
	}
	if off%Sector != 0 || n%Sector != 0 || n > MaxIO {
		return fmt.Errorf("%w: %d bytes at %d: use sectors of %d, %d at most", ErrRange, n, off, Sector, MaxIO)
	}
	return nil
}

// Read fills p from an offset. Both are in whole sectors.
func (v *Volume) Read(p []byte, off int64) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	if err := v.check(off, len(p)); err != nil {
		return err
	}
	return v.read(p, off)
}

// pool has buffers for unaligned reads and small records.
var pool = sync.Pool{New: func() any { b := make([]byte, pooled); return &b }}

const pooled = 64<<10 + 2*Block

func buffer(n int) (b []byte, back func()) {
	if n > pooled {
		return make([]byte, n), func() {}
	}
	x := pool.Get().(*[]byte)
	return (*x)[:n], func() { pool.Put(x) }
}

func (v *Volume) read(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	first := off / Block
	end := (off + int64(len(p)) + Block - 1) / Block
	if off%Block == 0 && len(p)%Block == 0 {
		return v.readBlocks(p, first)
	}
	b, back := buffer(int(end-first) * Block)
	defer back()
	if err := v.readBlocks(b, first); err != nil {
		return err
	}
	copy(p, b[off-first*Block:])
	return nil
}

// readBlocks reads whole blocks. The settler may move a block from the log to
// the base between the look at the overlay and the read of the base; such a
// read does not match its checksum, and the next look finds the block where it
// is.
func (v *Volume) readBlocks(p []byte, first int64) error {
	for try := 0; ; try++ {
		err := v.readOnce(p, first)
		if !errors.Is(err, ErrDamaged) || try == 2 {
			return err
		}
	}
}

func (v *Volume) readOnce(p []byte, first int64) error {
	var few [8]extent
	v.mu.RLock()
	pieces := v.over.pieces(first, first+int64(len(p)/Block), few[:0])
	for _, x := range pieces {
		if x.seg != nil {
			x.seg.refs.Add(1)
		}
	}
	v.mu.RUnlock()
	defer func() {
		for _, x := range pieces {
			if x.seg != nil {
				x.seg.release()
			}
		}
	}()
	for _, x := range pieces {
		part := p[(x.start-first)*Block : (x.end-first)*Block]
		switch {
		case x.seg == nil:
			if err := readFull(v.base, part, x.start*Block); err != nil {
				return fmt.Errorf("volume: read %s: %w", v.id, err)
			}
			for i := range x.end - x.start {
				ok, err := v.sums.match(x.start+i, part[i*Block:(i+1)*Block])
				if err != nil {
					return fmt.Errorf("volume: read %s: sums: %w", v.id, err)
				}
				if !ok {
					return fmt.Errorf("volume: read %s: block %d: %w", v.id, x.start+i, ErrDamaged)
				}
			}
		case x.sums == nil:
			clear(part)
		default:
			if err := readLog(x, part); err != nil {
				return fmt.Errorf("volume: read %s: %w", v.id, err)
			}
		}
	}
	return nil
}

// readLog reads an extent from its segment.
func readLog(x extent, p []byte) error {
	if err := readFull(x.seg.f, p, x.pos); err != nil {
		return err
	}
	for i, want := range x.sums {
		if checksum(p[i*Block:(i+1)*Block]) != want {
			return fmt.Errorf("block %d in %s: %w", x.start+int64(i), x.seg.name, ErrDamaged)
		}
	}
	return nil
}

// Write stores p at an offset, for a writer of the given epoch. When it returns
// without error the data outlive the process; Flush makes them outlive a power
// cut.
func (v *Volume) Write(epoch uint64, p []byte, off int64) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	if err := v.check(off, len(p)); err != nil {
		return err
	}
	if len(p) == 0 {
		return nil
	}
	if off%Block == 0 && len(p)%Block == 0 {
		parts := dataParts(p, off/Block)
		v.wmu.Lock()
		defer v.wmu.Unlock()
		return v.append(epoch, parts)
	}
	v.wmu.Lock()
	defer v.wmu.Unlock()
	return v.merge(epoch, len(p), off, func(old []byte) error { copy(old, p); return nil })
}

// Update changes n bytes at an offset as change says, with no write between
// reading and writing. An error of change is returned and nothing is written.
func (v *Volume) Update(epoch uint64, n int, off int64, change func(old []byte) error) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	if err := v.check(off, n); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	v.wmu.Lock()
	defer v.wmu.Unlock()
	return v.merge(epoch, n, off, change)
}

// merge reads the blocks around a range, changes it and writes them; wmu is held.
func (v *Volume) merge(epoch uint64, n int, off int64, change func([]byte) error) error {
	first := off / Block
	end := (off + int64(n) + Block - 1) / Block
	b := make([]byte, (end-first)*Block)
	if err := v.readBlocks(b, first); err != nil {
		return err
	}
	at := off - first*Block
	if err := change(b[at : at+int64(n)]); err != nil {
		return err
	}
	return v.append(epoch, dataParts(b, first))
}

// Zero makes a range zeros and gives its space back where whole blocks are
// concerned. Unlike a write it may be as large as the volume.
func (v *Volume) Zero(epoch uint64, off, n int64) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	if off < 0 || n < 0 || off > v.bytes || n > v.bytes-off || off%Sector != 0 || n%Sector != 0 {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, v.bytes)
	}
	if n == 0 {
		return nil
	}
	v.wmu.Lock()
	defer v.wmu.Unlock()
	end := off + n
	first, last := (off+Block-1)/Block, end/Block
	if end == v.bytes {
		last = v.blocks // what is behind the end is nobody's
	}
	var parts []part
	edge := func(from, to int64) error {
		if from >= to {
			return nil
		}
		b := make([]byte, Block)
		k := from / Block
		if err := v.readBlocks(b, k); err != nil {
			return err
		}
		clear(b[from-k*Block : to-k*Block])
		parts = append(parts, dataParts(b, k)...)
		return nil
	}
	if err := edge(off, min(first*Block, end)); err != nil {
		return err
	}
	for at := first; at < last; at += maxZero {
		parts = append(parts, part{lba: at, count: min(maxZero, last-at)})
	}
	if last >= first {
		if err := edge(max(last*Block, off), end); err != nil {
			return err
		}
	}
	return v.append(epoch, parts)
}

// maxZero is how many blocks one zeroing record has: a count is 32 bits.
const maxZero = 1 << 30

// part becomes one record.
type part struct {
	lba, count int64
	data       []byte // nil: zeros
	sums       []uint32
}

func dataParts(p []byte, lba int64) []part {
	parts := make([]part, 0, 1+len(p)/(maxCount*Block))
	for len(p) > 0 {
		n := min(len(p), maxCount*Block)
		x := part{lba: lba, count: int64(n / Block), data: p[:n], sums: make([]uint32, n/Block)}
		for i := range x.sums {
			x.sums[i] = checksum(p[i*Block : (i+1)*Block])
		}
		parts = append(parts, x)
		lba, p = lba+x.count, p[n:]
	}
	return parts
}

// append writes one write's records to the log and shows them to readers; wmu
// is held.
func (v *Volume) append(epoch uint64, parts []part) error {
	if have := v.epoch.Load(); epoch != have {
		return fmt.Errorf("volume: write %s: epoch %d, the volume's is %d: %w", v.id, epoch, have, ErrEpoch)
	}
	total := int64(0)
	for _, x := range parts {
		total += Block + int64(len(x.data))
	}
	if err := v.room(total); err != nil {
		return fmt.Errorf("volume: write %s: %w", v.id, err)
	}
	s, pos, seq := v.active, v.active.size, v.seq
	exts := make([]extent, len(parts))
	for i, x := range parts {
		seq++
		r := record{nonce: s.nonce, epoch: epoch, seq: seq, lba: x.lba, count: x.count, durable: v.flush.durable.Load(), sums: x.sums}
		if x.data == nil {
			r.flags |= flagZero
		}
		if i < len(parts)-1 {
			r.flags |= flagMore
		}
		if err := s.put(r, x.data, pos); err != nil {
			v.broken = true
			return fmt.Errorf("volume: write %s: %w", v.id, space(err))
		}
		exts[i] = extent{start: x.lba, end: x.lba + x.count, seg: s, pos: pos + Block, sums: x.sums}
		pos += Block + int64(len(x.data))
	}
	v.mu.Lock()
	s.size, s.dirty, v.seq = pos, true, seq
	for _, x := range exts {
		v.over.set(x)
	}
	v.mu.Unlock()
	return nil
}

// put writes a record at a position.
func (s *segment) put(r record, data []byte, pos int64) error {
	if Block+len(data) <= pooled {
		b, back := buffer(Block + len(data))
		defer back()
		header(b).put(r)
		copy(b[Block:], data)
		_, err := s.f.WriteAt(b, pos)
		return err
	}
	b, back := buffer(Block)
	defer back()
	header(b).put(r)
	if _, err := s.f.WriteAt(b, pos); err != nil {
		return err
	}
	_, err := s.f.WriteAt(data, pos+Block)
	return err
}

// space tells a full disk from a broken one.
func space(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// room makes the active segment one with room; wmu is held.
func (v *Volume) room(n int64) error {
	v.mu.Lock()
	if v.failed != nil {
		defer v.mu.Unlock()
		return v.failed
	}
	if s := v.active; s != nil && !v.broken && (s.size == Block || s.size+n <= v.opt.SegmentBytes) {
		v.mu.Unlock()
		return nil
	}
	for len(v.full) >= v.opt.Segments {
		tries := v.tries
		v.pokeSettler()
		for v.tries == tries && v.failed == nil {
			v.settled.Wait()
		}
		if v.failed != nil {
			defer v.mu.Unlock()
			return v.failed
		}
		if v.last != nil {
			defer v.mu.Unlock()
			return v.last
		}
	}
	v.index++
	h := segHeader{index: v.index, nonce: rand.Uint64() | 1, first: v.seq + 1, epoch: v.epoch.Load(), volume: string(v.id)}
	v.mu.Unlock()
	s, err := v.create(h)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.active != nil {
		v.full = append(v.full, v.active)
		v.pokeSettler()
	}
	v.active, v.broken = s, false
	return nil
}

func segName(index uint64) string { return fmt.Sprintf("log-%016x", index) }

// create makes a segment whose name outlives a power cut.
func (v *Volume) create(h segHeader) (*segment, error) {
	name := segName(h.index)
	path := v.fs.PathJoin(v.dir, name)
	f, err := v.fs.Create(path, category)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", space(err))
	}
	if _, err = f.WriteAt(h.block(), 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(v.fs, v.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("segment: %w", errors.Join(space(err), f.Close(), v.fs.Remove(path)))
	}
	return newSegment(h, name, f), nil
}

func (v *Volume) pokeSettler() {
	select {
	case v.poke <- struct{}{}:
	default:
	}
}

// fail stops all writes for good: what is on stable storage is not known any
// more (a failed fsync may have marked lost pages clean).
func (v *Volume) fail(err error) error {
	v.mu.Lock()
	if v.failed == nil {
		v.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		v.log.Error("volume failed", "id", v.id, "err", err)
	}
	err = v.failed
	v.settled.Broadcast()
	v.mu.Unlock()
	return err
}

// SetEpoch begins a higher epoch: once it returns, it is on stable storage and
// no write of a lower one is under way or will be taken.
func (v *Volume) SetEpoch(e uint64) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.life.RUnlock()
	v.wmu.Lock()
	defer v.wmu.Unlock()
	have := v.epoch.Load()
	if e < have {
		return fmt.Errorf("volume: %s: epoch %d, the volume's is %d: %w", v.id, e, have, ErrEpoch)
	}
	if e == have {
		return nil
	}
	if err := writeMeta(v.fs, v.dir, meta{formatVersion, v.id, v.bytes, e}); err != nil {
		return fmt.Errorf("volume: %s: epoch %d: %w", v.id, e, err)
	}
	v.epoch.Store(e)
	return nil
}

// Hole says whether the blocks at an offset are without data, and how many
// bytes after it are the same, up to a limit of its own.
func (v *Volume) Hole(off int64) (bool, int64, error) {
	if err := v.enter(); err != nil {
		return false, 0, err
	}
	defer v.life.RUnlock()
	if off < 0 || off >= v.bytes {
		return false, 0, fmt.Errorf("%w: %d of %d", ErrRange, off, v.bytes)
	}
	const look = sumsPerPage // blocks of one look
	first := off / Block
	end := min(first+look, v.blocks)
	v.mu.RLock()
	pieces := v.over.pieces(first, end, nil)
	v.mu.RUnlock()
	var hole, known bool
	at := first
scan:
	for _, x := range pieces {
		for at < x.end {
			h, next := x.sums == nil, x.end
			if x.seg == nil {
				var err error
				if h, err = v.sums.hole(at); err != nil {
					return false, 0, fmt.Errorf("volume: %s: sums: %w", v.id, err)
				}
				next = at + 1
			}
			if known && h != hole {
				break scan
			}
			hole, known, at = h, true, next
		}
	}
	return hole, min(at*Block, v.bytes) - off, nil
}

// writeMeta replaces the file of the same name.
func writeMeta(fs vfs.FS, dir string, m meta) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tmp := fs.PathJoin(dir, "meta.tmp")
	f, err := fs.Create(tmp, category)
	if err != nil {
		return space(err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return space(err)
	}
	if err := fs.Rename(tmp, fs.PathJoin(dir, "meta")); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
