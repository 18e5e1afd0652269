package guests

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/events"
)

// Blocks is the way to the volumes of the host's guests.
type Blocks interface {
	// Set names the disks that may be reached.
	Set(disks []events.DiskSpec)
	// Probe goes the way once: a guest must not be given a disk that does not
	// answer.
	Probe(ctx context.Context, d events.DiskSpec) error
	// Impatient lets a connection of a disk fail at once rather than wait, until
	// done is called.
	Impatient(v events.VolumeID) (done func())
	// Problems are what keeps disks waiting.
	Problems() []string
}

// detachEvery is how often a guest that does not let go is asked again.
const detachEvery = 2 * time.Second

// disk is what this keeper did about one volume of a guest.
type disk struct {
	Failed   *failure
	Asked    time.Time // to let go
	Busy     bool      // it had the volume mounted then
	Reported events.DiskPhase
	At       time.Time // of that report
}

// planDisks gives a guest that runs the volumes it should have and takes those
// it should not, and reports what the region does not know. A guest that does
// not run has none.
func planDisks(id events.InstanceID, w want, h have, at time.Time) []step {
	var steps []step
	alive := h.Domain != nil && h.Domain.Alive()
	named := map[string]bool{}
	for _, d := range w.Spec.Volumes {
		named[d.Serial] = true
		k := h.Disks[d.Volume]
		has := alive && slices.Contains(h.Domain.Volumes, d.Serial)
		switch {
		case d.Detach && has:
			if !at.Before(k.Asked.Add(detachEvery)) && !k.waits(at) {
				steps = append(steps, step{verb: doDetach, id: id, disk: d.Volume})
			}
		case d.Detach:
			steps = append(steps, tellDisk(id, d, k, at, events.DiskReleased, "")...)
		case has:
			steps = append(steps, tellDisk(id, d, k, at, events.DiskAttached, "")...)
		case !alive:
		case k.Failed != nil && k.Failed.Verb == doAttach && k.Failed.Count >= maxTries:
			steps = append(steps, tellDisk(id, d, k, at, events.DiskFailed, k.Failed.Detail)...)
		case !k.waits(at):
			steps = append(steps, step{verb: doProbe, id: id, disk: d.Volume}, step{verb: doAttach, id: id, disk: d.Volume},
				step{verb: doTellDisk, id: id, disk: d.Volume, diskPhase: events.DiskAttached})
		}
	}
	if alive {
		for _, serial := range h.Domain.Volumes {
			v := volumeOf(serial)
			if k := h.Disks[v]; !named[serial] && !k.waits(at) && !at.Before(k.Asked.Add(detachEvery)) {
				// Its attachment has ended: the storage node answers no more.
				steps = append(steps, step{verb: doDetach, id: id, disk: v, force: true})
			}
		}
	}
	return steps
}

// probeWait is the wait after the first probe that fails: the storage node may
// just not have heard yet. It doubles.
const probeWait = 100 * time.Millisecond

func (k disk) waits(at time.Time) bool {
	return k.Failed != nil && at.Before(k.Failed.Last.Add(k.wait()))
}

// wait is how long a step about the volume rests after it failed.
func (k disk) wait() time.Duration {
	if k.Failed.Verb == doProbe {
		return min(probeWait<<min(k.Failed.Count-1, 10), maxWait)
	}
	return k.Failed.wait()
}

// volumeOf is the volume of a serial: its id without the dash.
func volumeOf(serial string) events.VolumeID {
	return events.VolumeID("vol-" + strings.TrimPrefix(serial, "vol"))
}

func tellDisk(id events.InstanceID, d events.DiskSpec, k disk, at time.Time, p events.DiskPhase, detail string) []step {
	if d.Known == p || k.Reported == p && at.Before(k.At.Add(repeatReport)) {
		return nil
	}
	return []step{{verb: doTellDisk, id: id, disk: d.Volume, diskPhase: p, detail: detail}}
}

// diskOf finds a volume in a spec.
func diskOf(w want, v events.VolumeID) (events.DiskSpec, bool) {
	for _, d := range w.Spec.Volumes {
		if d.Volume == v {
			return d, true
		}
	}
	return events.DiskSpec{}, false
}

// doDisk makes one step about a volume true.
func (k *Keeper) doDisk(ctx context.Context, s step, w want) error {
	serial := strings.ReplaceAll(string(s.disk), "-", "")
	d, _ := diskOf(w, s.disk)
	switch s.verb {
	case doProbe:
		if k.opt.Blocks == nil {
			return nil
		}
		return k.opt.Blocks.Probe(ctx, d)
	case doAttach:
		if k.opt.Blocks != nil {
			// The way may have broken since the probe: the guest must not hang for it.
			defer k.opt.Blocks.Impatient(s.disk)()
		}
		return k.hv.Attach(ctx, string(s.id), k.volume(d))
	case doDetach:
		return k.hv.Detach(ctx, string(s.id), serial, s.force)
	}
	return k.say.Report(ctx, events.ReportDisk{Host: k.opt.Host, Instance: s.id, Volume: s.disk, Attachment: d.Attachment, Phase: s.diskPhase, Detail: s.detail})
}

// volume is a disk as a domain reaches it.
func (k *Keeper) volume(d events.DiskSpec) hypervisor.Volume {
	return hypervisor.Volume{Serial: d.Serial, Portal: k.opt.Portal, Target: d.Target, Initiator: d.Initiator, WriteThrough: d.WriteThrough}
}

// noteDisk remembers how a step about a volume went; mu is held.
func (k *Keeper) noteDisk(s step, err error) {
	now := time.Now()
	h := k.done[s.id]
	next := map[events.VolumeID]disk{}
	for v, d := range h.Disks {
		next[v] = d
	}
	d := next[s.disk]
	switch {
	case s.verb == doTellDisk:
		d.Reported, d.At = s.diskPhase, now
	case s.verb == doDetach && isInUse(err):
		d.Asked, d.Busy, d.Failed = now, true, nil
	case err != nil:
		count := 1
		if d.Failed != nil && d.Failed.Verb == s.verb {
			count = d.Failed.Count + 1
		}
		d.Failed = &failure{Verb: s.verb, Count: count, Last: now, Detail: detail(err)}
		time.AfterFunc(d.wait(), k.Poke)
	default:
		if d.Failed != nil && d.Failed.Verb == s.verb {
			d.Failed = nil
		}
		if s.verb == doDetach {
			d.Asked, d.Busy = now, false
		}
		if s.verb == doAttach {
			d.Asked = time.Time{}
		}
	}
	next[s.disk] = d
	h.Disks = next
	k.done[s.id] = h
}

// serve names the disks of all guests to the relay; mu is held.
func (k *Keeper) serve(wants map[events.InstanceID]want) {
	if k.opt.Blocks == nil {
		return
	}
	var disks []events.DiskSpec
	for _, w := range wants {
		disks = append(disks, w.Spec.Volumes...)
	}
	slices.SortFunc(disks, func(a, b events.DiskSpec) int { return strings.Compare(string(a.Volume), string(b.Volume)) })
	if slices.EqualFunc(disks, k.served, sameDisk) {
		return
	}
	k.served = disks
	k.opt.Blocks.Set(disks)
}

// sameDisk says that two specs lead the same way.
func sameDisk(a, b events.DiskSpec) bool {
	return a.Volume == b.Volume && a.Attachment == b.Attachment && a.Epoch == b.Epoch && a.Portal == b.Portal &&
		a.Target == b.Target && a.Initiator == b.Initiator && string(a.Secret) == string(b.Secret)
}

// Taps tells of the taps on the host.
type Taps interface {
	Exists(name string) bool
	Pokes() <-chan struct{}
}

// plugged says whether the taps of a guest are there.
func (k *Keeper) plugged(w want) bool {
	if k.opt.Taps == nil {
		return true
	}
	for _, f := range w.Spec.Interfaces {
		if !k.opt.Taps.Exists(events.TapName(f.ID)) {
			return false
		}
	}
	return true
}

// DefaultPortal is where the relay of a host listens.
var DefaultPortal = netip.MustParseAddrPort("127.0.0.1:3261")
