package ports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"skerry/events"
)

// object is something that a tombstone alone takes away: a port or a public
// address.
type object struct {
	Kind events.SpecKind
	ID   string
}

func (o object) String() string { return string(o.Kind) + " " + o.ID }

func compare(a, b object) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) }

// want is what the region asks.
type want struct {
	Objects map[object]asked
	Tables  string // digest of the tables
}

type asked struct {
	Tombstone bool
	Digest    string // of the spec
}

// have is what the data plane holds, and what this keeper did since it started.
type have struct {
	Objects map[object]held
	Tables  string // digest of those applied last; "": none by this keeper
}

type held struct {
	There    bool
	Digest   string // of the spec put last; "": none by this keeper, or it is damaged
	Reported time.Time
	Failed   time.Time // last attempt, when it did not succeed
	Tries    int
}

// How often a report repeats that the region has not shown to have heard, and
// the wait after a failure, which doubles.
const (
	repeatReport = time.Second
	firstWait    = time.Second
	maxWait      = 30 * time.Second
)

func (h held) waits(at time.Time) bool {
	return h.Tries > 0 && at.Before(h.Failed.Add(min(firstWait<<min(h.Tries-1, 10), maxWait)))
}

type verb string

const (
	doPut    verb = "put"
	doApply  verb = "apply" // tables
	doDelete verb = "delete"
	doReport verb = "report" // that it is gone
)

// step is one idempotent act.
type step struct {
	verb verb
	object
}

func (s step) String() string {
	if s.verb == doApply {
		return "apply tables"
	}
	return fmt.Sprintf("%s %v", s.verb, s.object)
}

// plan says what to do: hold what is asked for, then the tables that let
// packets find it, and at last take away what a tombstone names. What nobody
// speaks of stays.
func plan(w want, h have, at time.Time) []step {
	var puts, ends []step
	for _, o := range slices.SortedFunc(maps.Keys(w.Objects), compare) {
		a, is := w.Objects[o], h.Objects[o]
		switch {
		case is.waits(at):
		case a.Tombstone && is.There:
			ends = append(ends, step{doDelete, o}, step{doReport, o})
		case a.Tombstone:
			if !at.Before(is.Reported.Add(repeatReport)) {
				ends = append(ends, step{doReport, o})
			}
		case !is.There || is.Digest != a.Digest:
			puts = append(puts, step{doPut, o})
		}
	}
	if w.Tables != h.Tables {
		puts = append(puts, step{verb: doApply})
	}
	return append(puts, ends...)
}
