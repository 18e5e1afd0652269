package guests

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/events"
)

// How long a guest has to end by itself once its power button is pressed, and
// how often it is pressed. Of a terminated guest only its volumes outlive it.
const (
	graceStop      = 60 * time.Second
	graceReboot    = 30 * time.Second
	graceTerminate = 2 * time.Second
	graceVolumes   = 20 * time.Second // of a guest with volumes: it has to write back
	pressEvery     = 3 * time.Second
)

// Tries of a start before the region is told that it failed, and the wait after
// the first, which doubles. Steps that only end things are tried for ever.
const (
	maxTries  = 3
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// repeatReport is how often a report repeats that the region has not shown to
// have heard.
const repeatReport = time.Second

// boot counts the starts that the region asked for.
type boot struct{ Generation, Reboots uint64 }

func (b boot) compare(o boot) int {
	return cmp.Or(cmp.Compare(b.Generation, o.Generation), cmp.Compare(b.Reboots, o.Reboots))
}

func (b boot) String() string { return fmt.Sprintf("%d.%d", b.Generation, b.Reboots) }

// want is what the region asks of one guest.
type want struct {
	Tombstone bool
	Spec      events.InstanceSpec // empty with a tombstone
	Request   string              // request id of the call that last changed it
	N         uint64              // of the spec, or of the tombstone
}

func (w want) boot() boot { return boot{w.Spec.Generation, w.Spec.Reboots} }

// have is what is known of one guest: what the hypervisor and the store show,
// and what this keeper did since it started.
type have struct {
	Domain *hypervisor.Status // nil: none
	Record *Record            // nil: no files

	Pressed   time.Time // first press of the button in this stop; zero: none
	LastPress time.Time
	Failed    *failure
	Reported  events.Phase
	Detail    string
	At        time.Time // of that report, heard or not

	Unplugged bool // its taps are not there yet
	Disks     map[events.VolumeID]disk
}

// failure is a step that did not succeed.
type failure struct {
	Verb   verb
	Boot   boot // that it was for
	Count  int
	Last   time.Time
	Detail string
}

func (f *failure) wait() time.Duration {
	return min(firstWait<<min(f.Count-1, 10), maxWait)
}

func (h have) started() boot {
	if h.Record == nil {
		return boot{}
	}
	return boot{h.Record.Generation, h.Record.Reboots}
}

// verb is what a step does.
type verb string

const (
	doPrepare verb = "prepare" // image files, overlay, ephemeral disks
	doStart   verb = "start"
	doAdopt   verb = "adopt" // remember the boot of a domain that runs
	doPress   verb = "press"
	doDestroy verb = "destroy"
	doForget  verb = "forget" // the domain
	doRetire  verb = "retire" // the files
	doReport  verb = "report"

	doProbe    verb = "probe" // the way to a volume
	doAttach   verb = "attach"
	doDetach   verb = "detach"
	doTellDisk verb = "report disk"
)

// step is one idempotent act on one guest.
type step struct {
	verb   verb
	id     events.InstanceID
	boot   boot
	phase  events.Phase
	detail string
	order  uint64 // tombstone that PhaseAbsent answers

	disk      events.VolumeID // of steps about a volume
	diskPhase events.DiskPhase
	force     bool
}

// aboutDisk says that a step concerns one volume of the guest.
func (s step) aboutDisk() bool { return s.disk != "" }

func (s step) String() string {
	switch s.verb {
	case doReport:
		if s.detail != "" {
			return fmt.Sprintf("%s %s %s %s: %s", s.verb, s.id, s.boot, s.phase, s.detail)
		}
		return fmt.Sprintf("%s %s %s %s", s.verb, s.id, s.boot, s.phase)
	case doTellDisk:
		if s.detail != "" {
			return fmt.Sprintf("%s %s %s %s: %s", s.verb, s.id, s.disk, s.diskPhase, s.detail)
		}
		return fmt.Sprintf("%s %s %s %s", s.verb, s.id, s.disk, s.diskPhase)
	case doProbe, doAttach, doDetach:
		if s.force {
			return fmt.Sprintf("%s %s %s by force", s.verb, s.id, s.disk)
		}
		return fmt.Sprintf("%s %s %s", s.verb, s.id, s.disk)
	case doPrepare, doStart, doAdopt:
		return fmt.Sprintf("%s %s %s", s.verb, s.id, s.boot)
	}
	return fmt.Sprintf("%s %s", s.verb, s.id)
}

// plan says what to do next for every guest that the region asks something of,
// in the order of ids. What nobody asks for is left alone: absence is not an
// order.
func plan(wants map[events.InstanceID]want, haves map[events.InstanceID]have, at time.Time) []step {
	var out []step
	for _, id := range slices.Sorted(maps.Keys(wants)) {
		out = append(out, planOne(id, wants[id], haves[id], at)...)
	}
	return out
}

func planOne(id events.InstanceID, w want, h have, at time.Time) []step {
	alive := h.Domain != nil && h.Domain.Alive()
	runs := boot{}
	if alive {
		runs = boot{h.Domain.Generation, h.Domain.Reboots}
	}
	switch {
	case w.Tombstone:
		if alive {
			grace := graceTerminate
			if len(h.Domain.Volumes) > 0 {
				grace = graceVolumes
			}
			return stop(id, w, h, at, grace)
		}
		return bury(id, w.N, h, at)
	case !w.Spec.Run:
		if alive {
			return stop(id, w, h, at, graceStop)
		}
		return report(id, w, h, at, w.boot(), events.PhaseStopped, "")
	case alive && runs.compare(w.boot()) >= 0:
		var steps []step
		f := h.Failed
		if h.started() != runs && !(f != nil && f.Verb == doAdopt && at.Before(f.Last.Add(f.wait()))) {
			steps = append(steps, step{verb: doAdopt, id: id, boot: runs})
		}
		steps = append(steps, report(id, w, h, at, runs, events.PhaseRunning, "")...)
		return append(steps, planDisks(id, w, h, at)...)
	case alive:
		return stop(id, w, h, at, graceReboot)
	case h.started().compare(w.boot()) < 0:
		return start(id, w, h, at)
	case h.Domain == nil:
		return report(id, w, h, at, h.started(), events.PhaseCrashed, "the guest is gone")
	case h.Domain.State == hypervisor.Stopped:
		return report(id, w, h, at, h.started(), events.PhaseStopped, h.Domain.Reason)
	default:
		return report(id, w, h, at, h.started(), events.PhaseCrashed, h.Domain.Reason)
	}
}

// start brings up the boot that is owed, or says that it cannot be.
func start(id events.InstanceID, w want, h have, at time.Time) []step {
	if f := h.Failed; f != nil && f.Boot == w.boot() && (f.Verb == doPrepare || f.Verb == doStart) {
		if f.Count >= maxTries {
			return report(id, w, h, at, f.Boot, events.PhaseFailed, f.Detail)
		}
		if at.Before(f.Last.Add(f.wait())) {
			return nil
		}
	}
	steps := []step{{verb: doPrepare, id: id, boot: w.boot()}}
	if h.Unplugged {
		if h.Record != nil && h.Record.Prepared == w.Spec.Generation {
			return nil // its network is on the way
		}
		return steps
	}
	if root := w.Spec.RootVolume; root != "" {
		if h.Disks[root].waits(at) {
			return nil
		}
		steps = append(steps, step{verb: doProbe, id: id, disk: root})
	}
	return append(steps, step{verb: doStart, id: id, boot: w.boot()})
}

// stop ends a domain: the button first, again while it is not heard, and by
// force when the grace is over.
func stop(id events.InstanceID, w want, h have, at time.Time, grace time.Duration) []step {
	if f := h.Failed; f != nil && f.Verb == doDestroy && at.Before(f.Last.Add(f.wait())) {
		return nil
	}
	switch {
	case h.Domain.State == hypervisor.Paused, // it cannot hear
		!h.Pressed.IsZero() && !at.Before(h.Pressed.Add(grace)):
		steps := []step{{verb: doDestroy, id: id}}
		if w.Tombstone {
			steps = append(steps, bury(id, w.N, h, at)...)
		}
		return steps
	case h.Pressed.IsZero(), !at.Before(h.LastPress.Add(pressEvery)):
		return []step{{verb: doPress, id: id}}
	}
	return nil
}

// bury removes what is left of a guest whose domain does not run, and answers
// the order to do so.
func bury(id events.InstanceID, order uint64, h have, at time.Time) []step {
	if f := h.Failed; f != nil && (f.Verb == doForget || f.Verb == doRetire) && at.Before(f.Last.Add(f.wait())) {
		return nil
	}
	var steps []step
	if h.Domain != nil {
		steps = append(steps, step{verb: doForget, id: id})
	}
	if h.Record != nil {
		steps = append(steps, step{verb: doRetire, id: id})
	}
	if len(steps) > 0 || h.Reported != events.PhaseAbsent || !at.Before(h.At.Add(repeatReport)) {
		steps = append(steps, step{verb: doReport, id: id, boot: h.started(), phase: events.PhaseAbsent, order: order})
	}
	return steps
}

// strays reports guests that no spec explains, so that the region can say what
// should become of them: an order, or nothing.
func strays(wants map[events.InstanceID]want, haves map[events.InstanceID]have) []step {
	var out []step
	for _, id := range slices.Sorted(maps.Keys(haves)) {
		h := haves[id]
		if _, wanted := wants[id]; wanted || h.Domain == nil && h.Record == nil {
			continue
		}
		p := events.PhaseStopped
		if h.Domain != nil && h.Domain.Alive() {
			p = events.PhaseRunning
		}
		out = append(out, step{verb: doReport, id: id, boot: h.started(), phase: p, detail: "no spec explains it"})
	}
	return out
}

// report tells the region what it does not know.
func report(id events.InstanceID, w want, h have, at time.Time, b boot, p events.Phase, detail string) []step {
	if w.Spec.Known == p {
		return nil
	}
	if h.Reported == p && h.Detail == detail && at.Before(h.At.Add(repeatReport)) {
		return nil
	}
	return []step{{verb: doReport, id: id, boot: b, phase: p, detail: detail}}
}
