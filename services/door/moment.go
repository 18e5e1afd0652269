package door

import (
	"sync"

	"github.com/nats-io/nats.go/micro"

	"skerry/events"
	"skerry/services/state"
)

// maxMoments is how many states of the past a voter makes at a time: each is as
// large as the region, and costs a walk through its history.
const maxMoments = 2

// past makes states of the past.
type past struct {
	*Door
	mu    sync.Mutex
	under map[string]bool // way, by the inbox of who asked
}

func newPast(d *Door) *past { return &past{Door: d, under: make(map[string]bool)} }

// moment answers what a resource was. A question that its asker sends once more
// is the same question: the answer to the first is as good.
func (p *past) moment(r micro.Request) {
	inbox := r.Reply()
	p.mu.Lock()
	switch {
	case p.under[inbox]:
		p.mu.Unlock()
		return
	case len(p.under) == maxMoments:
		p.mu.Unlock()
		answer(r, nil, events.Faultf("RequestLimitExceeded", "This voter is busy: it makes at most %d states of the past at a time. Please ask again shortly.", maxMoments))
		return
	}
	p.under[inbox] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.under, inbox)
		p.mu.Unlock()
	}()
	var q events.MomentQuery
	if err := decode(r, &q); err != nil {
		answer(r, nil, err)
		return
	}
	out, err := p.at(q)
	answer(r, out, err)
}

// at makes the state of a moment anew: from the newest snapshot before it, or
// from the first event on.
func (d *Door) at(q events.MomentQuery) (out events.Moment, err error) {
	if (q.N == 0) == q.Time.IsZero() {
		return out, events.Faultf("InvalidParameterCombination", "Give either the number of an event or a time.")
	}
	v := d.present()
	if q.N > v.Meta.N {
		return out, events.Faultf("InvalidParameterValue", "The region's last event is %d; there is no event %d yet.", v.Meta.N, q.N)
	}
	after := func(r events.Record) bool {
		return q.N > 0 && r.N > q.N || !q.Time.IsZero() && r.Time.After(q.Time)
	}
	hist := d.Voter.History()
	tx, err := d.Voter.Past(func(m state.Meta) bool {
		r, err := hist.Get(m.N)
		return err == nil && !after(r)
	})
	if err != nil {
		return out, err
	}
	out.Resource, out.N = q.Resource, tx.Meta.N
	if out.N > 0 {
		last, err := hist.Get(out.N)
		if err != nil {
			return out, err
		}
		out.Time = last.Time
	}
	for more := true; more; {
		page, err := hist.Range(out.N+1, maxHistory)
		if err != nil {
			return out, err
		}
		more = len(page) == maxHistory
		for _, r := range page {
			if after(r) {
				more = false
				break
			}
			tx.Apply(r)
			out.N, out.Time = r.N, r.Time
		}
	}
	if q.N > out.N {
		return out, events.Faultf("Unavailable", "This voter's history ends at event %d for now; ask again.", out.N)
	}
	out.Rows, err = tx.Rows(q.Resource)
	return out, err
}
