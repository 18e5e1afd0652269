package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// zeroSum is the checksum of a block of zeros. Sums are kept combined with it,
// so that a hole in the file of sums is right for a hole in the file of data.
var zeroSum = checksum(make([]byte, Block))

const (
	sumsPerPage = Block / 4
	maxPages    = 1024 // clean pages held: checksums of 4 GiB
	maxDirty    = 2048 // dirty pages held before they are written
)

// sums are the checksums of the base, 4 bytes for each block, in a file of
// their own. The log covers both files: until both are on stable storage the
// segment stays.
type sums struct {
	f vfs.File

	mu    sync.Mutex
	pages map[int64]*[sumsPerPage]uint32
	dirty map[int64]bool
}

func newSums(f vfs.File) *sums {
	return &sums{f: f, pages: map[int64]*[sumsPerPage]uint32{}, dirty: map[int64]bool{}}
}

// page finds or loads a page; mu is held.
func (s *sums) page(n int64) (*[sumsPerPage]uint32, error) {
	if p := s.pages[n]; p != nil {
		return p, nil
	}
	if len(s.pages) >= maxPages+len(s.dirty) {
		for k := range s.pages {
			if !s.dirty[k] {
				delete(s.pages, k)
				break
			}
		}
	}
	var b [Block]byte
	if err := readFull(s.f, b[:], n*Block); err != nil {
		return nil, err
	}
	p := new([sumsPerPage]uint32)
	for i := range p {
		p[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	s.pages[n] = p
	return p, nil
}

// match says whether a block's data is what was stored.
func (s *sums) match(block int64, data []byte) (bool, error) {
	s.mu.Lock()
	p, err := s.page(block / sumsPerPage)
	if err != nil {
		s.mu.Unlock()
		return false, err
	}
	want := p[block%sumsPerPage] ^ zeroSum
	s.mu.Unlock()
	return checksum(data) == want, nil
}

// hole says whether a block holds nothing but zeros.
func (s *sums) hole(block int64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.page(block / sumsPerPage)
	if err != nil {
		return false, err
	}
	return p[block%sumsPerPage] == 0, nil
}

func (s *sums) set(block int64, values []uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range values {
		if err := s.put(block+int64(i), v^zeroSum); err != nil {
			return err
		}
	}
	return nil
}

func (s *sums) put(block int64, stored uint32) error {
	n := block / sumsPerPage
	p, err := s.page(n)
	if err != nil {
		return err
	}
	if p[block%sumsPerPage] == stored {
		return nil
	}
	p[block%sumsPerPage] = stored
	s.dirty[n] = true
	if len(s.dirty) > maxDirty {
		return s.write()
	}
	return nil
}

// zero makes the sums of [start, end) those of zeros.
func (s *sums) zero(start, end int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for start < end && start%sumsPerPage != 0 {
		if err := s.put(start, 0); err != nil {
			return err
		}
		start++
	}
	for start < end && end%sumsPerPage != 0 {
		end--
		if err := s.put(end, 0); err != nil {
			return err
		}
	}
	if start >= end {
		return nil
	}
	from, to := start/sumsPerPage, end/sumsPerPage
	for k := range s.pages {
		if k >= from && k < to {
			delete(s.pages, k)
			delete(s.dirty, k)
		}
	}
	return punch(s.f, from*Block, (to-from)*Block)
}

// write writes the dirty pages; mu is held.
func (s *sums) write() error {
	var b [Block]byte
	for n := range s.dirty {
		for i, v := range s.pages[n] {
			binary.BigEndian.PutUint32(b[4*i:], v)
		}
		if _, err := s.f.WriteAt(b[:], n*Block); err != nil {
			return err
		}
		delete(s.dirty, n)
	}
	return nil
}

func (s *sums) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write()
}

// readFull reads at an offset; what is behind the end of the file is zeros.
func readFull(f vfs.File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(p[n:])
	return nil
}

// punch makes a range of a file zeros and gives its space back where it can.
func punch(f vfs.File, off, n int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n = min(n, info.Size()-off)
	if n <= 0 {
		return nil
	}
	if fd := f.Fd(); fd != vfs.InvalidFd {
		err := unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("punch: %w", err)
		}
	}
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		m := min(n, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:m], off); err != nil {
			return err
		}
		off, n = off+m, n-m
	}
	return nil
}
