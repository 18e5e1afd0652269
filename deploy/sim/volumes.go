package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"skerry/events"
	"skerry/services/specs"
	"skerry/services/state"
)

// Fences watches that what the region calls ended stays ended: once a volume is
// said to be free, no storage node may be open to the attachment it had.
type Fences struct {
	region *Region
	part   *part

	mu    sync.Mutex
	ended map[events.AttachmentID]events.VolumeID
	looks int
}

// watchFences looks several times a second until the region is closed.
func (r *Region) watchFences(w *Witness) *Fences {
	f := &Fences{region: r, ended: map[events.AttachmentID]events.VolumeID{}}
	w.each = func(rec events.Record) {
		if e, ok := rec.Event.(events.VolumeDetached); ok {
			f.mu.Lock()
			f.ended[e.Attachment] = e.Volume
			f.mu.Unlock()
		}
	}
	f.part = r.start(func(ctx context.Context) {
		for ctx.Err() == nil {
			f.look()
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	return f
}

func (f *Fences) look() {
	f.mu.Lock()
	ended := maps.Clone(f.ended) // before the nodes are asked: they may end one more
	f.mu.Unlock()
	for _, h := range f.region.Hosts {
		held, _, _ := h.blocks()
		for v, s := range held {
			if _, a, open := strings.Cut(s, " attach"); open && ended[events.AttachmentID("attach"+a)] != "" {
				f.region.T.Errorf("seed %d: %s is open to %s, which has ended: %s", f.region.o.Seed, v, a, s)
			}
		}
	}
	f.mu.Lock()
	f.looks++
	f.mu.Unlock()
}

// unsettledVolumes names a volume that is on its way, or nothing.
func (r *Region) unsettledVolumes(v *state.View) string {
	for _, x := range v.Volumes.All() {
		switch {
		case x.State == state.VolumeCreating, x.State == state.VolumeDeleting, x.State == state.VolumeError:
			return string(x.ID) + " is " + x.State + " " + x.Detail
		case x.Attachment != nil && x.Attachment.State != state.Attached:
			return fmt.Sprintf("%s is %s", x.ID, x.Attachment.State)
		case x.Confirmed != x.Epoch:
			return fmt.Sprintf("%s is at epoch %d, and its storage node at %d", x.ID, x.Epoch, x.Confirmed)
		}
	}
	for _, h := range r.Hosts {
		held, orphans, ok := h.blocks()
		if !ok || len(orphans) > 0 {
			return fmt.Sprintf("%s: storage: running %v, orphans %v", h.ID, ok, orphans)
		}
		for x := range v.VolumesOn(h.ID) {
			want := fmt.Sprintf("epoch %d", x.Epoch)
			if x.Attachment != nil {
				want += " " + string(x.Attachment.ID)
			}
			if held[x.ID] != want {
				return fmt.Sprintf("%s on %s is %q, and should be %q", x.ID, h.ID, held[x.ID], want)
			}
			delete(held, x.ID)
		}
		if len(held) > 0 {
			return fmt.Sprintf("%s holds %v", h.ID, held)
		}
	}
	return ""
}

// serials are the disks that an instance's guest should have.
func serials(v *state.View, id events.InstanceID) []string {
	var out []string
	for x := range v.VolumesAttached(id) {
		out = append(out, specs.Serial(x.ID))
	}
	slices.Sort(out)
	return out
}

// judgeVolumes checks that the guests of one instance, and of no other, has each
// volume, and that the space taken is that of the volumes.
func (r *Region) judgeVolumes(v *state.View) {
	in := map[string][]string{}
	for _, h := range r.Hosts {
		for id, d := range r.domains(h) {
			for _, s := range d.Volumes {
				in[s] = append(in[s], id)
			}
		}
	}
	used := map[events.HostID]int{}
	for _, x := range v.Volumes.All() {
		used[x.Host] += x.SizeGiB
		var want []string
		if x.Attachment != nil {
			want = []string{string(x.Attachment.Instance)}
			i, ok := v.Instances.Get(string(x.Attachment.Instance))
			if !ok || i.Zone != x.Zone || i.Account != x.Account {
				r.T.Errorf("seed %d: %s of %s in %s is attached to %+v", r.o.Seed, x.ID, x.Account, x.Zone, i)
			}
		}
		s := specs.Serial(x.ID)
		if !slices.Equal(in[s], want) {
			r.T.Errorf("seed %d: the guests of %q have %s, and those of %q should", r.o.Seed, in[s], x.ID, want)
		}
		delete(in, s)
		if n, ok := v.Nodes.Get(state.NodeKey(x.Host, Storage)); !ok || n.Zone != x.Zone || x.Boot != n.Boot {
			r.T.Errorf("seed %d: %s is for start %s of %s, which is %+v", r.o.Seed, x.ID, x.Boot, x.Host, n)
		}
	}
	for s, ids := range in {
		r.T.Errorf("seed %d: %q have %s, which is nobody's", r.o.Seed, ids, s)
	}
	for _, s := range v.Stores.All() {
		if s.UsedGiB != used[s.Host] {
			r.T.Errorf("seed %d: %s: %d GiB are said to be used, and %d are", r.o.Seed, s.Host, s.UsedGiB, used[s.Host])
		}
	}
}
