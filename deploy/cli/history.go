package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/operator"
	"skerry/events"
)

type historyCmd struct {
	Resource string `arg:"" help:"Id of a resource: i-…, vol-…, vpc-…"`
	At       string `help:"What it was after the event of this number, or at this time (RFC 3339)." placeholder:"N|TIME"`
}

// told is one event of a story, as JSON has it.
type told struct {
	N       uint64          `json:"n"`
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"`
	Account string          `json:"account,omitempty"`
	Request string          `json:"request,omitempty"` // request id of the API call
	Cause   string          `json:"cause"`             // id of the command
	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
}

// Run tells every event that names the resource: when, who, what, and by which
// request.
func (c *historyCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, _ *lab.Region, op *operator.Client) error {
		if c.At != "" {
			return c.moment(ctx, e, op)
		}
		records, err := op.Story(ctx, c.Resource)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return problem{fmt.Errorf("no event names %s", c.Resource), "skerry status" + e.dirFlag()}
		}
		list, rows := []told{}, [][]any{}
		for _, r := range records {
			data, err := json.Marshal(r.Event)
			if err != nil {
				return err
			}
			list = append(list, told{r.N, r.Time, r.Actor, string(r.Account), r.Request, string(r.Cause), events.Name(r.Event), data})
			rows = append(rows, []any{r.N, r.Time.Format(time.RFC3339), events.Name(r.Event), r.Actor, r.Request})
		}
		return e.answer(list, func() { e.table([]any{"n", "time", "event", "actor", "request"}, rows) })
	})
}

func (c *historyCmd) moment(ctx context.Context, e *env, op *operator.Client) error {
	q := events.MomentQuery{Resource: c.Resource}
	var err error
	if q.N, err = strconv.ParseUint(c.At, 10, 64); err != nil {
		if q.Time, err = time.Parse(time.RFC3339, c.At); err != nil {
			return problem{fmt.Errorf("--at %s is neither the number of an event nor a time", c.At), "skerry history " + quote(c.Resource) + " --at " + time.Now().UTC().Format(time.RFC3339) + e.dirFlag()}
		}
	}
	m, err := op.Moment(ctx, q)
	if err != nil {
		return err
	}
	if len(m.Rows) == 0 {
		return problem{fmt.Errorf("there was no %s after event %d", c.Resource, m.N), "skerry history " + quote(c.Resource) + e.dirFlag()}
	}
	return e.answer(m, func() {
		fmt.Fprintf(e.out, "%s after event %d, at %s\n", m.Resource, m.N, m.Time.Format(time.RFC3339))
		for _, kind := range slices.Sorted(maps.Keys(m.Rows)) {
			var b bytes.Buffer
			if json.Indent(&b, m.Rows[kind], "  ", "  ") == nil {
				fmt.Fprintf(e.out, "%s\n  %s\n", kind, &b)
			}
		}
	})
}
