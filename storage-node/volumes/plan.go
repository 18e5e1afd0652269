package volumes

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"skerry/events"
)

// The wait after a failed step, which doubles, and the tries before the region
// is told.
const (
	maxTries  = 3
	firstWait = 500 * time.Millisecond
	maxWait   = 15 * time.Second
)

// repeatReport is how often a report repeats that the region has not shown to
// have heard.
const repeatReport = time.Second

// want is what the region asks of one volume.
type want struct {
	Tombstone bool
	Spec      events.VolumeSpec // empty with a tombstone
	Request   string

	IsSnapshot bool
	Snapshot   events.SnapshotSpec // of a snapshot, in place of Spec
}

// have is what is known of one volume.
type have struct {
	Held     bool
	Bad      string // held, and cannot be used: why
	Bytes    int64
	Epoch    uint64
	Exported events.AttachmentID // open to this one; empty: to nobody
	Same     bool                // the export is what the spec says

	Failed   *failure
	Reported report
	At       time.Time // of that report, heard or not
}

// failure is a step that did not succeed.
type failure struct {
	Verb   verb
	Epoch  uint64
	Count  int
	Last   time.Time
	Detail string
}

func (f *failure) waits(at time.Time) bool {
	return f != nil && at.Before(f.Last.Add(min(firstWait<<min(f.Count-1, 10), maxWait)))
}

// report is what the region is told.
type report struct {
	Epoch  uint64
	Phase  events.VolumePhase
	Detail string

	Revision uint64
}

// verb is what a step does.
type verb string

const (
	doCreate verb = "create" // sparse, at an epoch
	doEnd    verb = "end"    // the attachment: its session is ended and drained
	doRaise  verb = "raise"  // the epoch: persisted, and no lower write is under way
	doExport verb = "export" // to an attachment, at an epoch
	doGrow   verb = "grow"   // to a larger size
	doCopy   verb = "copy"   // a snapshot, of a volume or of another one
	doRetire verb = "retire" // the files, aside
	doReport verb = "report"
)

// step is one idempotent act on one volume.
type step struct {
	verb   verb
	id     events.VolumeID
	epoch  uint64
	attach events.AttachmentID
	report report

	snapshot bool // the object is one
}

func (s step) String() string {
	switch s.verb {
	case doCreate, doRaise:
		return fmt.Sprintf("%s %s %d", s.verb, s.id, s.epoch)
	case doExport:
		return fmt.Sprintf("%s %s %d %s", s.verb, s.id, s.epoch, s.attach)
	case doReport:
		if s.snapshot {
			return fmt.Sprintf("%s %s %s", s.verb, s.id, s.report.Phase)
		}
		out := fmt.Sprintf("%s %s %d %s", s.verb, s.id, s.report.Epoch, s.report.Phase)
		if s.report.Detail != "" {
			out += ": " + s.report.Detail
		}
		return out
	}
	return fmt.Sprintf("%s %s", s.verb, s.id)
}

// plan says what to do next for every volume that the region asks something of,
// in the order of ids. boot is this process's own. What nobody asks for is left
// alone: absence is not an order.
func plan(boot string, wants map[events.VolumeID]want, haves map[events.VolumeID]have, at time.Time) []step {
	var out []step
	for _, id := range slices.Sorted(maps.Keys(wants)) {
		out = append(out, planOne(boot, id, wants[id], haves[id], at)...)
	}
	return out
}

func planOne(boot string, id events.VolumeID, w want, h have, at time.Time) []step {
	switch {
	case w.Tombstone:
		return bury(id, w, h, at)
	case w.IsSnapshot:
		return planSnapshot(id, w, h, at)
	}
	s := w.Spec
	if s.Boot != boot {
		// The spec is for another incarnation. What this one holds may not be
		// served before the region has given it an epoch of its own.
		if h.Exported != "" {
			return []step{{verb: doEnd, id: id}}
		}
		return nil
	}
	if h.Bad != "" {
		return tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeFailed, Detail: h.Bad})
	}
	if !h.Held && s.KnownEpoch > 0 {
		// It was here once. A new one would be zeros where data were.
		return tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeFailed, Detail: "its data are not on this node any more"})
	}
	if h.Held && h.Bytes > s.Bytes {
		return tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeFailed, Detail: fmt.Sprintf("it has %d bytes, and should have %d", h.Bytes, s.Bytes)})
	}
	if from := s.Source; !h.Held && from != nil && from.Host != s.Primary {
		return tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeFailed,
			Detail: fmt.Sprintf("its snapshot %s is on the storage node %s, and does not travel", from.Snapshot, from.Host)})
	}
	if f := h.Failed; f.waits(at) {
		if f.Count < maxTries {
			return nil
		}
		return tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeFailed, Detail: f.Detail})
	}
	var steps []step
	if !h.Held {
		steps = append(steps, step{verb: doCreate, id: id, epoch: s.Epoch})
		h.Epoch = s.Epoch
	} else if h.Bytes < s.Bytes {
		steps = append(steps, step{verb: doGrow, id: id})
	}
	a := s.Attachment
	if h.Exported != "" && (a == nil || a.Attachment != h.Exported) {
		steps = append(steps, step{verb: doEnd, id: id})
		h.Exported = ""
	}
	switch {
	case a != nil && (h.Exported == "" || !h.Same || h.Epoch < s.Epoch):
		steps = append(steps, step{verb: doExport, id: id, epoch: s.Epoch, attach: a.Attachment})
	case h.Epoch < s.Epoch:
		steps = append(steps, step{verb: doRaise, id: id, epoch: s.Epoch})
	}
	return append(steps, tell(id, w, h, at, report{Epoch: s.Epoch, Phase: events.VolumeReady, Revision: s.Revision})...)
}

// planSnapshot makes a snapshot once. It does not change, and is open to nobody.
func planSnapshot(id events.VolumeID, w want, h have, at time.Time) []step {
	say := func(phase events.SnapshotPhase, detail string) []step {
		r := report{Phase: events.VolumePhase(phase), Detail: detail}
		if w.Snapshot.Known == phase || h.Reported == r && at.Before(h.At.Add(repeatReport)) {
			return nil
		}
		return []step{{verb: doReport, id: id, report: r, snapshot: true}}
	}
	switch {
	case h.Bad != "":
		return say(events.SnapshotFailed, h.Bad)
	case h.Held:
		return say(events.SnapshotReady, "")
	case w.Snapshot.Known == events.SnapshotReady:
		return say(events.SnapshotFailed, "its data are not on this node any more")
	case h.Failed.waits(at) && h.Failed.Count >= maxTries:
		return say(events.SnapshotFailed, h.Failed.Detail)
	case h.Failed.waits(at):
		return nil
	}
	return []step{{verb: doCopy, id: id, snapshot: true}}
}

// bury removes what is left of a volume or a snapshot.
func bury(id events.VolumeID, w want, h have, at time.Time) []step {
	if h.Failed.waits(at) {
		return nil
	}
	var steps []step
	if h.Exported != "" {
		steps = append(steps, step{verb: doEnd, id: id})
	}
	if h.Held {
		steps = append(steps, step{verb: doRetire, id: id})
	}
	r := report{Phase: events.VolumeAbsent}
	if len(steps) > 0 || h.Reported != r || !at.Before(h.At.Add(repeatReport)) {
		steps = append(steps, step{verb: doReport, id: id, report: r, snapshot: w.IsSnapshot})
	}
	return steps
}

// tell reports what the region does not know.
func tell(id events.VolumeID, w want, h have, at time.Time, r report) []step {
	known := w.Spec.Known == r.Phase && (w.Spec.KnownEpoch == r.Epoch && w.Spec.KnownRevision == r.Revision || r.Phase == events.VolumeFailed)
	if known || h.Reported == r && at.Before(h.At.Add(repeatReport)) {
		return nil
	}
	return []step{{verb: doReport, id: id, report: r}}
}
