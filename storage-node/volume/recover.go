package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

// open reads a volume's directory and replays its log.
func open(fs vfs.FS, dir string, id events.VolumeID, opt Options) (_ *Volume, err error) {
	m, err := readMeta(fs, dir)
	if err != nil {
		return nil, err
	}
	if m.Volume != id {
		return nil, fmt.Errorf("the directory is of %q: %w", m.Volume, ErrDamaged)
	}
	v := &Volume{id: id, fs: fs, dir: dir, opt: opt, log: opt.Log, bytes: m.Bytes, blocks: (m.Bytes + Block - 1) / Block,
		over: newOverlay(), poke: make(chan struct{}, 1), quit: make(chan struct{})}
	v.settled = sync.NewCond(&v.mu)
	v.epoch.Store(m.Epoch)
	if v.base, err = fs.OpenReadWrite(fs.PathJoin(dir, "data"), category); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.closeFiles()
		}
	}()
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, "sums"), category)
	if err != nil {
		return nil, err
	}
	v.sums = newSums(f)
	if err := v.replay(); err != nil {
		return nil, err
	}
	v.work.Go(v.settler)
	if len(v.full) > 0 {
		v.pokeSettler()
	}
	return v, nil
}

func readMeta(fs vfs.FS, dir string) (meta, error) {
	var m meta
	b, err := readFile(fs, fs.PathJoin(dir, "meta"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("meta: %w: %w", ErrDamaged, err)
	}
	if m.Format != formatVersion {
		return m, fmt.Errorf("meta: the format is %d, this program knows %d", m.Format, formatVersion)
	}
	if m.Bytes <= 0 || m.Bytes > MaxBytes || m.Bytes%Sector != 0 {
		return m, fmt.Errorf("meta: %d bytes: %w", m.Bytes, ErrDamaged)
	}
	return m, nil
}

// maxMeta bounds the small files.
const maxMeta = 64 << 10

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxMeta))
}

// replay finds every record that counts and shows it to readers.
//
// The log ends at the first record that is not whole. That may be a write that
// nobody was told of, or one that was acknowledged and never flushed before a
// power cut. If a later record says that more than this was on stable storage,
// the disk lost what it had promised, and the volume is damaged.
func (v *Volume) replay() error {
	names, err := v.fs.List(v.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	var segs []*segment // in order; a nil f was removed
	for _, name := range names {
		n, ok := strings.CutPrefix(name, "log-")
		if !ok {
			continue
		}
		index, err := strconv.ParseUint(n, 16, 64)
		if err != nil || segName(index) != name {
			continue
		}
		v.index = max(v.index, index)
		f, err := v.fs.OpenReadWrite(v.fs.PathJoin(v.dir, name), category)
		if err != nil {
			return err
		}
		s := newSegment(segHeader{index: index}, name, f)
		v.full = append(v.full, s) // closed by closeFiles
		b := make([]byte, Block)
		if err := readFull(f, b, 0); err != nil {
			return err
		}
		h, err := parseSegHeader(b)
		if err == nil && h.index == index && h.volume == string(v.id) {
			s.segHeader = h
		}
		segs = append(segs, s)
	}
	next := uint64(1) // seq of the record that is expected
	if len(segs) > 0 && segs[0].nonce != 0 {
		next = segs[0].first
	}
	broken, at := len(segs), int64(Block) // where the log ends: segment, position
	for i, s := range segs {
		if s.nonce == 0 || s.first != next {
			broken, at = i, Block
			break
		}
		limit := uint64(math.MaxUint64)
		if i+1 < len(segs) && segs[i+1].nonce != 0 && segs[i+1].first >= s.first {
			limit = segs[i+1].first // what is behind it in this segment was given up
		}
		end, err := v.scan(s, &next, limit)
		if err != nil {
			return err
		}
		s.size = end
		if next != limit || i+1 == len(segs) {
			broken, at = i, end
			break
		}
	}
	v.seq = next - 1
	if broken < len(segs) {
		if err := v.evidence(segs[broken:], at); err != nil {
			return err
		}
		keep := broken
		if at > Block {
			keep++
		}
		for _, s := range segs[keep:] {
			v.log.Info("volume: the log ends", "id", v.id, "segment", s.name, "seq", v.seq)
			if err := errors.Join(s.f.Close(), v.fs.Remove(v.fs.PathJoin(v.dir, s.name))); err != nil {
				return err
			}
		}
		v.full = v.full[:keep]
		if keep < len(segs) {
			if err := syncDir(v.fs, v.dir); err != nil {
				return err
			}
		}
	}
	// What was found counts as acknowledged: the next flush promises it too.
	for _, s := range v.full {
		if err := s.f.SyncData(); err != nil {
			return err
		}
	}
	v.flush.durable.Store(v.seq)
	return nil
}

// scan replays one segment's records from *next up to limit, and says where the
// last whole write ends.
func (v *Volume) scan(s *segment, next *uint64, limit uint64) (int64, error) {
	info, err := s.f.Stat()
	if err != nil {
		return 0, err
	}
	head := make([]byte, Block)
	var data []byte
	var write []extent // parts of a write that is not whole yet
	pos, end := int64(Block), int64(Block)
	seq := *next
	for seq < limit && pos+Block <= info.Size() {
		if err := readFull(s.f, head, pos); err != nil {
			return 0, err
		}
		r, err := header(head).parse(s.nonce, v.blocks)
		if err != nil || r.seq != seq {
			break
		}
		if r.epoch > v.epoch.Load() {
			return 0, fmt.Errorf("record %v is of an epoch that was never begun: %w", r, ErrDamaged)
		}
		n := int64(len(r.sums)) * Block
		if int64(cap(data)) < n {
			data = make([]byte, n)
		}
		data = data[:n]
		if err := readFull(s.f, data, pos+Block); err != nil {
			return 0, err
		}
		whole := true
		for i, want := range r.sums {
			if checksum(data[i*Block:(i+1)*Block]) != want {
				whole = false
				break
			}
		}
		if !whole {
			break
		}
		write = append(write, extent{start: r.lba, end: r.lba + r.count, seg: s, pos: pos + Block, sums: r.sums})
		pos += Block + n
		seq++
		if r.flags&flagMore == 0 {
			for _, x := range write {
				v.over.set(x)
			}
			write, end, *next = write[:0], pos, seq
		}
	}
	return end, nil
}

// evidence looks behind the end of the log for a record that was made when more
// than the log has was on stable storage.
func (v *Volume) evidence(segs []*segment, at int64) error {
	b := make([]byte, Block)
	for i, s := range segs {
		if s.nonce == 0 {
			continue
		}
		if i > 0 {
			at = Block
		}
		info, err := s.f.Stat()
		if err != nil {
			return err
		}
		for ; at+Block <= info.Size(); at += Block {
			if err := readFull(s.f, b, at); err != nil {
				return err
			}
			if r, err := header(b).parse(s.nonce, v.blocks); err == nil && r.durable > v.seq {
				return fmt.Errorf("the log ends at %d, and record %v was made when %d was stable: %w", v.seq, r, r.durable, ErrDamaged)
			}
		}
	}
	return nil
}

func (v *Volume) closeFiles() error {
	var errs []error
	for _, s := range v.full {
		if s.f != nil {
			errs = append(errs, s.f.Close())
		}
	}
	if v.active != nil {
		errs = append(errs, v.active.f.Close())
	}
	if v.sums != nil {
		errs = append(errs, v.sums.f.Close())
	}
	return errors.Join(append(errs, v.base.Close())...)
}

// close waits for what is under way and lets go of the files. It flushes, as a
// courtesy to the next opening; what was not flushed is in the log all the same.
func (v *Volume) close() error {
	err := v.Flush()
	close(v.quit)
	v.work.Wait() // a writer that waits for the settler has been told of its last try
	v.mu.Lock()
	if v.failed == nil {
		v.failed = ErrClosed
	}
	v.settled.Broadcast()
	v.mu.Unlock()
	v.life.Lock()
	defer v.life.Unlock()
	v.closed = true
	return errors.Join(err, v.closeFiles())
}
