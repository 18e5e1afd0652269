package volume

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
)

// Store is the volumes of one directory.
type Store struct {
	fs   vfs.FS
	dir  string
	opt  Options
	uuid string
	lock io.Closer

	mu   sync.Mutex
	open map[events.VolumeID]*Volume
}

type nodeFile struct {
	Format int    `json:"format"`
	UUID   string `json:"uuid"`
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Open takes a directory for this process alone, and makes it if need be.
func Open(fs vfs.FS, dir string, opt Options) (*Store, error) {
	s := &Store{fs: fs, dir: dir, opt: opt.filled(), open: map[events.VolumeID]*Volume{}}
	for _, d := range []string{"", "volumes", "new", "retired"} {
		if err := fs.MkdirAll(s.path(d), 0o700); err != nil {
			return nil, fmt.Errorf("volume: %w", err)
		}
	}
	// Its name must outlive a power cut as its volumes do.
	if err := errors.Join(syncDir(fs, fs.PathDir(dir)), syncDir(fs, dir)); err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	lock, err := fs.Lock(s.path("LOCK"))
	if err != nil {
		return nil, fmt.Errorf("volume: %s is in use by another process: %w", dir, err)
	}
	s.lock = lock
	if err := s.identify(); err != nil {
		return nil, errors.Join(fmt.Errorf("volume: %s: %w", dir, err), lock.Close())
	}
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return s.fs.PathJoin(append([]string{s.dir}, elem...)...)
}

// identify reads the directory's uuid, or gives it one.
func (s *Store) identify() error {
	b, err := readFile(s.fs, s.path("node.json"))
	if err == nil {
		var n nodeFile
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf("node.json: %w: %w", ErrDamaged, err)
		}
		if n.Format != formatVersion {
			return fmt.Errorf("node.json: the format is %d, this program knows %d", n.Format, formatVersion)
		}
		s.uuid = n.UUID
		return nil
	}
	if !notExist(err) {
		return err
	}
	var u [16]byte
	rand.Read(u[:]) // never fails, see crypto/rand
	s.uuid = hex.EncodeToString(u[:])
	b, err = json.Marshal(nodeFile{formatVersion, s.uuid})
	if err != nil {
		return err
	}
	f, err := s.fs.Create(s.path("node.tmp"), category)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(s.path("node.tmp"), s.path("node.json")); err != nil {
		return err
	}
	return syncDir(s.fs, s.dir)
}

// UUID names the directory for ever.
func (s *Store) UUID() string { return s.uuid }

var idForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,60}$`)

// Create makes a volume of zeros, or opens the one that is there if it has the
// same size. It takes no space before it is written to.
func (s *Store) Create(id events.VolumeID, bytes int64, epoch uint64) (*Volume, error) {
	if !idForm.MatchString(string(id)) {
		return nil, fmt.Errorf("volume: %q cannot be a volume's name", id)
	}
	if bytes <= 0 || bytes > MaxBytes || bytes%Sector != 0 {
		return nil, fmt.Errorf("volume: %s: %d bytes cannot be a volume's size", id, bytes)
	}
	v, err := s.Volume(id)
	if err == nil {
		if v.bytes != bytes {
			return nil, fmt.Errorf("volume: %s: %d bytes wanted, %d there: %w", id, bytes, v.bytes, ErrExists)
		}
		return v, nil
	}
	if !errors.Is(err, ErrAbsent) {
		return nil, err
	}
	s.mu.Lock()
	err = s.make(id, meta{formatVersion, id, bytes, epoch})
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("volume: create %s: %w", id, space(err))
	}
	return s.Volume(id)
}

// make builds the directory aside and puts it in its place in one step.
func (s *Store) make(id events.VolumeID, m meta) error {
	if err := s.aside(id, m); err != nil {
		return err
	}
	return s.place(id)
}

func (s *Store) aside(id events.VolumeID, m meta) error {
	tmp := s.path("new", string(id))
	if err := s.fs.RemoveAll(tmp); err != nil && !notExist(err) {
		return err
	}
	if err := s.fs.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"data", "sums"} {
		f, err := s.fs.Create(s.fs.PathJoin(tmp, name), category)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return writeMeta(s.fs, tmp, m)
}

func (s *Store) place(id events.VolumeID) error {
	if err := s.fs.Rename(s.path("new", string(id)), s.path("volumes", string(id))); err != nil {
		return err
	}
	// The directories up to the root as well: the first volume of a new store
	// must outlive a power cut too.
	return errors.Join(syncDir(s.fs, s.path("volumes")), syncDir(s.fs, s.dir))
}

// Copy makes a volume with the content of another one, which is not larger, as
// it is between two writes: writers wait. One that is there is left as it is.
func (s *Store) Copy(from, to events.VolumeID, bytes int64, epoch uint64) error {
	if !idForm.MatchString(string(to)) {
		return fmt.Errorf("volume: %q cannot be a volume's name", to)
	}
	if _, err := s.Volume(to); err == nil || !errors.Is(err, ErrAbsent) {
		return err
	}
	source, err := s.Volume(from)
	if err != nil {
		return err
	}
	if bytes < source.Bytes() || bytes > MaxBytes || bytes%Sector != 0 {
		return fmt.Errorf("volume: copy %s to %s: %d bytes do not fit into %d", from, to, source.Bytes(), bytes)
	}
	if err := s.aside(to, meta{formatVersion, to, bytes, epoch}); err != nil {
		return fmt.Errorf("volume: copy %s to %s: %w", from, to, space(err))
	}
	v, err := open(s.fs, s.path("new", string(to)), to, s.opt)
	if err != nil {
		return fmt.Errorf("volume: copy %s to %s: %w", from, to, err)
	}
	err = source.pour(v, epoch)
	if err == nil {
		err = v.Flush()
	}
	if err = errors.Join(err, v.close()); err != nil {
		return fmt.Errorf("volume: copy %s to %s: %w", from, to, space(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.place(to)
}

// pour writes what a volume holds into another one.
func (v *Volume) pour(to *Volume, epoch uint64) error {
	v.wmu.Lock()
	defer v.wmu.Unlock()
	const piece = 1 << 20
	b := make([]byte, piece)
	for off := int64(0); off < v.Bytes(); {
		hole, n, err := v.Hole(off)
		if err != nil {
			return err
		}
		if !hole {
			n = min(n, piece)
			if err := v.Read(b[:n], off); err != nil {
				return err
			}
			if err := to.Write(epoch, b[:n], off); err != nil {
				return err
			}
		}
		off += n
	}
	return nil
}

// Volume is a volume of the store, opened if need be.
func (s *Store) Volume(id events.VolumeID) (*Volume, error) {
	if !idForm.MatchString(string(id)) {
		return nil, fmt.Errorf("volume: %q: %w", id, ErrAbsent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil, fmt.Errorf("volume: %s: %w", id, ErrClosed)
	}
	if v := s.open[id]; v != nil {
		return v, nil
	}
	dir := s.path("volumes", string(id))
	if _, err := s.fs.Stat(dir); notExist(err) {
		return nil, fmt.Errorf("volume: %s: %w", id, ErrAbsent)
	}
	v, err := open(s.fs, dir, id, s.opt)
	if err != nil {
		return nil, fmt.Errorf("volume: open %s: %w", id, err)
	}
	s.open[id] = v
	return v, nil
}

// List names the volumes, open or not.
func (s *Store) List() ([]events.VolumeID, error) {
	names, err := s.fs.List(s.path("volumes"))
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	slices.Sort(names)
	out := make([]events.VolumeID, 0, len(names))
	for _, n := range names {
		if idForm.MatchString(n) {
			out = append(out, events.VolumeID(n))
		}
	}
	return out, nil
}

// Retire takes a volume out of service and puts its files aside, where Tidy
// finds them. A volume that is not there is retired already.
func (s *Store) Retire(id events.VolumeID, at time.Time) error {
	if !idForm.MatchString(string(id)) {
		return fmt.Errorf("volume: %q cannot be a volume's name", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.open[id]; v != nil {
		delete(s.open, id)
		if err := v.close(); err != nil {
			s.opt.Log.Warn("volume: close", "id", id, "err", err)
		}
	}
	old := s.path("volumes", string(id))
	if _, err := s.fs.Stat(old); notExist(err) {
		return nil
	}
	to := s.path("retired", string(id)+"."+strconv.FormatInt(at.UnixNano(), 10))
	if err := s.fs.Rename(old, to); err != nil {
		return fmt.Errorf("volume: retire %s: %w", id, err)
	}
	if err := errors.Join(syncDir(s.fs, s.path("retired")), syncDir(s.fs, s.path("volumes"))); err != nil {
		return fmt.Errorf("volume: retire %s: %w", id, err)
	}
	return nil
}

// Retired lists what was put aside, with the time of it.
func (s *Store) Retired() (map[string]time.Time, error) {
	names, err := s.fs.List(s.path("retired"))
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	out := map[string]time.Time{}
	for _, n := range names {
		_, at, ok := strings.Cut(n, ".")
		ns, err := strconv.ParseInt(at, 10, 64)
		if ok && err == nil {
			out[n] = time.Unix(0, ns)
		}
	}
	return out, nil
}

// Tidy unlinks what was put aside before a time, and what a creation left.
func (s *Store) Tidy(before time.Time) error {
	retired, err := s.Retired()
	if err != nil {
		return err
	}
	var errs []error
	for name, at := range retired {
		if at.Before(before) {
			errs = append(errs, s.fs.RemoveAll(s.path("retired", name)))
		}
	}
	return errors.Join(errs...)
}

// Free is how many bytes the file system has left.
func (s *Store) Free() (uint64, error) {
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return 0, fmt.Errorf("volume: %w", err)
	}
	return u.AvailBytes, nil
}

// Close closes every volume and gives the directory back.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	var errs []error
	for id, v := range s.open {
		errs = append(errs, v.close())
		delete(s.open, id)
	}
	errs = append(errs, s.lock.Close())
	s.lock = nil
	return errors.Join(errs...)
}
