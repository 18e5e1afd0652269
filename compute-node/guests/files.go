package guests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skerry/compute-node/consoles"
	"skerry/compute-node/hypervisor"
	"skerry/events"
)

// Retired files are kept this long, unless their room is needed.
const keepRetired = 10 * time.Minute

// minFree is the room below which no guest is prepared and the store complains.
const minFree = 256 << 20

// Disk is a Store in a directory:
//
//	images/<sha256>             image files
//	guests/<id>/guest.json      the record
//	guests/<id>/root.qcow2      overlay on the image
//	guests/<id>/ephemeral0.raw  sparse, formatted
//	guests/<id>/console         what the guest wrote, console.old before it
//	retired/<id>.<unix ns>/     the same, on its way out
//	probe/                      the verdict on accelerators
type Disk struct {
	dir    string
	images *images

	mu      sync.Mutex
	records map[events.InstanceID]Record
	locks   map[events.InstanceID]*sync.Mutex // one writer per guest
}

var _ Store = (*Disk)(nil)

// OpenDisk opens the store in dir, whose image files come from source.
func OpenDisk(dir, source string) (*Disk, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("guests: %w", err)
	}
	d := &Disk{
		dir: dir, images: &images{dir: filepath.Join(dir, "images"), source: source},
		records: map[events.InstanceID]Record{}, locks: map[events.InstanceID]*sync.Mutex{},
	}
	for _, sub := range []string{"images", "guests", "retired"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("guests: %w", err)
		}
	}
	found, err := os.ReadDir(filepath.Join(dir, "guests"))
	if err != nil {
		return nil, fmt.Errorf("guests: %w", err)
	}
	for _, e := range found {
		id := events.InstanceID(e.Name())
		if _, err := hypervisor.UUID(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		r := Record{Instance: id} // a guest whose record was never written has been asked for all the same
		b, err := os.ReadFile(d.path(id, "guest.json"))
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("guests: record of %s: %w", id, err)
		}
		r.Instance = id
		d.records[id] = r
	}
	return d, nil
}

func (d *Disk) path(id events.InstanceID, name string) string {
	return filepath.Join(d.dir, "guests", string(id), name)
}

// lock holds a guest's files for one writer.
func (d *Disk) lock(id events.InstanceID) func() {
	d.mu.Lock()
	l := d.locks[id]
	if l == nil {
		l = &sync.Mutex{}
		d.locks[id] = l
	}
	d.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Records implements Store.
func (d *Disk) Records(context.Context) ([]Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Record
	for _, id := range slices.Sorted(maps.Keys(d.records)) {
		out = append(out, d.records[id])
	}
	return out, nil
}

func (d *Disk) record(id events.InstanceID) Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.records[id]
	r.Instance = id
	return r
}

// save writes a record so that a crash leaves the old or the new one.
func (d *Disk) save(r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := d.path(r.Instance, "guest.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[r.Instance] = r
	return nil
}

// Prepare implements Store.
func (d *Disk) Prepare(ctx context.Context, s events.InstanceSpec) (Files, error) {
	fail := func(err error) (Files, error) {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("the host's disk is full: %w", err)
		}
		return Files{}, err
	}
	if _, err := hypervisor.UUID(string(s.Instance)); err != nil {
		return fail(err)
	}
	onVolume := s.RootVolume != ""
	if !onVolume && (s.Shape.RootGiB < 1 || s.Root.Format != "raw" && s.Root.Format != "qcow2") {
		return fail(fmt.Errorf("root of %d GiB on an image in format %q", s.Shape.RootGiB, s.Root.Format))
	}
	var f Files
	for _, i := range []struct {
		file events.ImageFile
		to   *string
	}{{s.Kernel, &f.Kernel}, {s.Ramdisk, &f.Ramdisk}, {s.Root, &f.Root}} {
		if onVolume && i.to == &f.Root {
			continue
		}
		path, err := d.images.fetch(ctx, i.file)
		if err != nil {
			return fail(err)
		}
		*i.to = path
	}
	defer d.lock(s.Instance)()
	base, disks := f.Root, []string{}
	if !onVolume {
		f.Root = d.path(s.Instance, "root.qcow2")
		disks = append(disks, f.Root)
	}
	f.Console = d.path(s.Instance, "console")
	for i := range s.Shape.EphemeralGiB {
		f.Ephemeral = append(f.Ephemeral, d.path(s.Instance, fmt.Sprintf("ephemeral%d.raw", i)))
	}
	r := d.record(s.Instance)
	if r.Prepared == s.Generation {
		missing := slices.DeleteFunc(append(disks, f.Ephemeral...), func(p string) bool { _, err := os.Stat(p); return err == nil })
		if len(missing) > 0 {
			return fail(fmt.Errorf("disks of this guest are gone: %s", strings.Join(missing, ", ")))
		}
		return f, nil
	}
	if err := d.makeRoom(); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(f.Console), 0o755); err != nil {
		return fail(err)
	}
	if !onVolume {
		if err := run(ctx, "qemu-img", "qemu-utils", "create", "-q", "-f", "qcow2", "-F", s.Root.Format, "-b", base, f.Root+".new", strconv.Itoa(s.Shape.RootGiB)+"G"); err != nil {
			return fail(err)
		}
		if err := os.Rename(f.Root+".new", f.Root); err != nil {
			return fail(err)
		}
	}
	for i, gib := range s.Shape.EphemeralGiB {
		if err := makeEphemeral(ctx, f.Ephemeral[i], fmt.Sprintf("ephemeral%d", i), gib); err != nil {
			return fail(err)
		}
	}
	r.Prepared, r.Root, r.Ephemeral = s.Generation, s.Root.SHA256, len(f.Ephemeral)
	if err := d.save(r); err != nil {
		return fail(err)
	}
	return f, nil
}

// makeEphemeral makes a sparse file with an empty ext4 on it.
func makeEphemeral(ctx context.Context, path, label string, gib int) error {
	if gib < 1 || gib > 16<<10 {
		return fmt.Errorf("%s of %d GiB", label, gib)
	}
	tmp := path + ".new"
	os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(gib)<<30), f.Close()); err != nil {
		return err
	}
	// A small journal, few inodes and lazy tables keep a 160 GiB disk at a few
	// megabytes until the guest writes.
	if err := run(ctx, "mke2fs", "e2fsprogs", "-q", "-F", "-t", "ext4", "-L", label, "-m", "0", "-i", "65536", "-J", "size=16",
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// run runs a program of a Debian package.
func run(ctx context.Context, name, pkg string, args ...string) error {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		return fmt.Errorf("%s is missing on this host: install the Debian package %s", name, pkg)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		if strings.Contains(errs.String(), "No space left on device") {
			err = unix.ENOSPC
		}
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errs.String()))
	}
	return nil
}

// Started implements Store.
func (d *Disk) Started(_ context.Context, id events.InstanceID, generation, reboots uint64) error {
	defer d.lock(id)()
	r := d.record(id)
	if r.Generation == generation && r.Reboots == reboots {
		return nil
	}
	r.Generation, r.Reboots = generation, reboots
	return d.save(r)
}

// Console implements Store; a retired guest's is found until it is unlinked.
func (d *Disk) Console(id events.InstanceID, limit int) ([]byte, error) {
	if _, err := hypervisor.UUID(string(id)); err != nil {
		return nil, err
	}
	file := d.path(id, "console")
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		old, _ := filepath.Glob(filepath.Join(d.dir, "retired", string(id)+".*"))
		if len(old) == 0 {
			return nil, fmt.Errorf("console of %s: %w", id, hypervisor.ErrNoDomain)
		}
		file = filepath.Join(slices.Max(old), "console")
	}
	return consoles.Read(file, limit)
}

// Retire implements Store.
func (d *Disk) Retire(_ context.Context, id events.InstanceID) error {
	if _, err := hypervisor.UUID(string(id)); err != nil {
		return err
	}
	defer d.lock(id)()
	to := filepath.Join(d.dir, "retired", fmt.Sprintf("%s.%020d", id, time.Now().UnixNano()))
	if err := os.Rename(filepath.Join(d.dir, "guests", string(id)), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, id)
	delete(d.locks, id)
	return nil
}

// Tidy implements Store.
func (d *Disk) Tidy(ctx context.Context) error {
	errs := []error{d.unlinkRetired(time.Now().Add(-keepRetired))}
	records, _ := d.Records(ctx)
	for _, r := range records {
		errs = append(errs, consoles.Cut(d.path(r.Instance, "console")))
	}
	return errors.Join(errs...)
}

// unlinkRetired removes what was retired before a time.
func (d *Disk) unlinkRetired(before time.Time) error {
	found, err := os.ReadDir(filepath.Join(d.dir, "retired"))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range found {
		_, ns, _ := strings.Cut(e.Name(), ".")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil || !time.Unix(0, n).Before(before) {
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(d.dir, "retired", e.Name())))
	}
	return errors.Join(errs...)
}

// makeRoom says whether a guest may be prepared. Retired files give way first.
func (d *Disk) makeRoom() error {
	if free(d.dir) >= minFree {
		return nil
	}
	if err := d.unlinkRetired(time.Now()); err != nil {
		return err
	}
	if f := free(d.dir); f < minFree {
		return fmt.Errorf("the host's disk is full: %d MiB free below %s, %d are needed: %w", f>>20, d.dir, minFree>>20, unix.ENOSPC)
	}
	return nil
}

// free is the room on the file system of dir, in bytes.
func free(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// Problems implements Store.
func (d *Disk) Problems() []string {
	if f := free(d.dir); f < minFree {
		return []string{fmt.Sprintf("disk full: %d MiB free below %s", f>>20, d.dir)}
	}
	return nil
}
