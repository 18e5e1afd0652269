package sim

import (
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disk is a voter's disk. Armed, it dies at a chosen sync: what was not synced
// is lost, in part or whole, and no later sync of the dying process returns
// before the process is gone.
type Disk struct {
	vfs.FS // of the running process

	mu       sync.Mutex
	mem      *vfs.MemFS
	arm      int // syncs until death, 0 when not armed
	rng      *rand.Rand
	died     chan struct{}
	released chan struct{}
	after    *vfs.MemFS // what is left
}

// NewDisk makes an empty disk.
func NewDisk() *Disk {
	d := &Disk{}
	d.use(vfs.NewCrashableMem())
	return d
}

func (d *Disk) use(mem *vfs.MemFS) {
	d.mem, d.arm, d.after = mem, 0, nil
	d.died, d.released = make(chan struct{}), make(chan struct{})
	d.FS = &gateFS{FS: mem, disk: d}
}

// Arm makes the n-th sync from here the last. The channel closes at the death.
func (d *Disk) Arm(n int, rng *rand.Rand) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arm, d.rng = n, rng
	return d.died
}

// sync counts a sync and does it, unless the disk has died. A sync that has
// passed is on the disk before another one can be the last.
func (d *Disk) sync(do func() error) error {
	d.mu.Lock()
	if d.arm > 0 {
		if d.arm--; d.arm == 0 {
			d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(101), RNG: d.rng})
			close(d.died)
		}
	}
	dead, released := d.after != nil, d.released
	if !dead {
		defer d.mu.Unlock()
		return do()
	}
	d.mu.Unlock()
	<-released
	return do()
}

// Cut takes the power away now, if the disk has not died already.
func (d *Disk) Cut(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arm = 0
	if d.after == nil {
		d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		close(d.died)
	}
}

// Release lets the syncs of the dead process return, into nothing: what they
// write is not what the next process finds.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.released)
}

// Reborn makes what was left the disk of the next process.
func (d *Disk) Reborn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.use(d.after)
}

// gateFS passes every sync through the disk's gate first: a sync that the gate
// holds was never done.
type gateFS struct {
	vfs.FS
	disk *Disk
}

type gateFile struct {
	vfs.File
	disk *Disk
}

func (f gateFile) Sync() error     { return f.disk.sync(f.File.Sync) }
func (f gateFile) SyncData() error { return f.disk.sync(f.File.SyncData) }
func (f gateFile) SyncTo(length int64) (full bool, err error) {
	err = f.disk.sync(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

func (g *gateFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return gateFile{f, g.disk}, nil
}

func (g *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(g.FS.Create(name, c))
}
func (g *gateFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return g.wrap(g.FS.Open(name, o...))
}
func (g *gateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.wrap(g.FS.OpenReadWrite(name, c, o...))
}
func (g *gateFS) OpenDir(name string) (vfs.File, error) { return g.wrap(g.FS.OpenDir(name)) }
func (g *gateFS) ReuseForWrite(o, n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(g.FS.ReuseForWrite(o, n, c))
}
