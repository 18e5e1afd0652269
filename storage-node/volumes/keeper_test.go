package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
	"skerry/storage-node/iscsi"
	"skerry/storage-node/volume"
)

const vol = events.VolumeID("vol-0123456789abcdef0")

// region is the little of a region that a keeper sees.
type region struct {
	mu    sync.Mutex
	n     uint64
	specs map[events.VolumeID]events.Spec
	last  map[events.VolumeID]events.VolumeSpec
	heard []events.ReportVolume
	deaf  bool
	k     *Keeper
}

func (r *region) put(s events.VolumeSpec) {
	r.mu.Lock()
	r.n++
	b, _ := json.Marshal(s)
	r.last[s.Volume] = s
	r.specs[s.Volume] = events.Spec{Kind: events.SpecVolume, ID: string(s.Volume), N: r.n, Body: b}
	r.mu.Unlock()
	r.send()
}

func (r *region) bury(id events.VolumeID) {
	r.mu.Lock()
	r.n++
	r.specs[id] = events.Spec{Kind: events.SpecVolume, ID: string(id), N: r.n, Tombstone: true}
	r.mu.Unlock()
	r.send()
}

func (r *region) send() {
	r.mu.Lock()
	set := events.SpecSet{Manifest: events.Manifest{N: r.n}}
	for _, s := range r.specs {
		set.Specs = append(set.Specs, s)
	}
	k := r.k
	r.mu.Unlock()
	k.Want(set, true)
}

func (r *region) say(_ context.Context, said events.Command) error {
	c := said.(events.ReportVolume)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf {
		return errors.New("no leader")
	}
	r.heard = append(r.heard, c)
	if s, ok := r.last[c.Volume]; ok && c.Phase == events.VolumeReady && c.Epoch == s.Epoch && c.Boot == s.Boot {
		s.Known, s.KnownEpoch = c.Phase, c.Epoch
		r.last[c.Volume] = s
		r.n++
		b, _ := json.Marshal(s)
		r.specs[c.Volume] = events.Spec{Kind: events.SpecVolume, ID: string(c.Volume), N: r.n, Body: b}
		go r.send()
	}
	return nil
}

func (r *region) said(p events.VolumePhase, epoch uint64, boot string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.heard, func(c events.ReportVolume) bool {
		return c.Phase == p && c.Epoch == epoch && (boot == "" || c.Boot == boot)
	})
}

// start runs a keeper on a file system until stop.
func start(t *testing.T, fs vfs.FS, r *region, boot string) (*Keeper, *volume.Store, *iscsi.Target, func()) {
	store, err := volume.Open(fs, "s", volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target := iscsi.New(nil)
	k := New(store, target, r.say, Options{Host: "h1", Boot: boot})
	r.mu.Lock()
	r.k = k
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	return k, store, target, func() {
		cancel()
		<-done
		target.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// settle lets the keeper come to rest.
func settle() { time.Sleep(20 * time.Second); synctest.Wait() }

func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		r := &region{specs: map[events.VolumeID]events.Spec{}, last: map[events.VolumeID]events.VolumeSpec{}}
		k, store, target, stop := start(t, fs, r, "b1")
		spec := events.VolumeSpec{Volume: vol, Bytes: 1 << 20, Epoch: 1, Boot: "b1", Target: "iqn.x:v"}
		r.deaf = true
		r.put(spec)
		settle()
		r.mu.Lock()
		r.deaf = false
		r.mu.Unlock()
		settle()
		if !r.said(events.VolumeReady, 1, "b1") {
			t.Fatalf("ready was not said: %v", r.heard)
		}
		heard := len(r.heard)
		settle()
		if len(r.heard) != heard {
			t.Errorf("what the region knows was said again")
		}
		v, err := store.Volume(vol)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Write(1, make([]byte, 4096), 0); err != nil {
			t.Fatal(err)
		}
		// Attached.
		spec.Epoch, spec.Known, spec.KnownEpoch = 2, events.VolumeReady, 1
		spec.Attachment = &events.AttachmentGrant{Attachment: "attach-1", Initiator: "iqn.x:a", Secret: []byte("s")}
		r.put(spec)
		settle()
		if a, ok := target.Exported(vol); !ok || a != "attach-1" || !r.said(events.VolumeReady, 2, "b1") {
			t.Fatalf("exported to %q; heard %v", a, r.heard)
		}
		if err := v.Write(1, make([]byte, 4096), 0); !errors.Is(err, volume.ErrEpoch) {
			t.Errorf("a write of the old epoch: %v", err)
		}
		// Another process of this node: nothing before its own epoch.
		stop()
		k, store, target, stop = start(t, fs, r, "b2")
		r.send()
		settle()
		if _, ok := target.Exported(vol); ok {
			t.Error("served at another incarnation's epoch")
		}
		spec = r.last[vol]
		spec.Boot, spec.Epoch = "b2", 3
		r.put(spec)
		settle()
		if _, ok := target.Exported(vol); !ok || !r.said(events.VolumeReady, 3, "b2") {
			t.Errorf("not served at its own epoch: %v", r.heard)
		}
		// Specs that lack it do not destroy it; it is an orphan.
		k.Want(events.SpecSet{Manifest: events.Manifest{N: 1000}}, true)
		settle()
		have, err := k.Have(t.Context())
		if err != nil || len(have.Orphans) != 1 || len(have.Objects) != 1 {
			t.Errorf("have %+v, %v", have, err)
		}
		// A tombstone does.
		r.n = 2000
		r.bury(vol)
		settle()
		if ids, _ := store.List(); len(ids) != 0 || !r.said(events.VolumeAbsent, 0, "b2") {
			t.Errorf("after the tombstone: %v, heard %v", ids, r.heard)
		}
		if left, _ := store.Retired(); len(left) != 1 {
			t.Errorf("retired: %v", left)
		}
		time.Sleep(keepFor + time.Minute)
		synctest.Wait()
		if left, _ := store.Retired(); len(left) != 0 {
			t.Errorf("still there: %v", left)
		}
		stop()
	})
}

// Data that are gone are said to be gone.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &region{specs: map[events.VolumeID]events.Spec{}, last: map[events.VolumeID]events.VolumeSpec{}}
		k, store, _, stop := start(t, vfs.NewMem(), r, "b1")
		r.put(events.VolumeSpec{Volume: vol, Bytes: 1 << 20, Epoch: 2, Boot: "b1", Known: events.VolumeReady, KnownEpoch: 1})
		settle()
		if ids, _ := store.List(); len(ids) != 0 || !r.said(events.VolumeFailed, 2, "b1") {
			t.Errorf("%v, heard %v", ids, r.heard)
		}
		if c := k.Conditions(); len(c) != 1 {
			t.Errorf("conditions: %q", c)
		}
		k.Want(events.SpecSet{Specs: []events.Spec{{Kind: events.SpecVolume, ID: "vol-x", N: 5, Body: []byte("{")}}}, false)
		settle()
		if c := k.Conditions(); len(c) != 2 {
			t.Errorf("conditions: %q", c)
		}
		stop()
	})
}
