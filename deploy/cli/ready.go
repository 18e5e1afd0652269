package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
)

// steady is how long a program that ended by itself must run to count again.
const steady = time.Second

// ready waits until the region can be used, and tells each step once.
func ready(ctx context.Context, e *env, r *lab.Region, began time.Time) error {
	said := ""
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	var op *operator.Client
	defer func() {
		if op != nil {
			op.Close()
		}
	}()
	for {
		now, done := progress(ctx, r, &op)
		if now != said {
			said = now
			e.say("%5.1fs  %s", time.Since(began).Seconds(), now)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return problem{fmt.Errorf("the region is not ready: %s%s", said, culprits(e, r)), "skerry up" + e.dirFlag() + " goes on waiting; skerry status and skerry logs NODE show more"}
			}
			return ctx.Err()
		case <-t.C:
		}
	}
}

// progress is one line about how far the region is, and whether it is there.
func progress(ctx context.Context, r *lab.Region, op **operator.Client) (string, bool) {
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	rep, err := supervisor.Call(short, r, supervisor.Request{Verb: supervisor.VerbStatus})
	if err != nil {
		return "supervisor: " + err.Error(), false
	}
	st := rep.Status
	running, wanted := 0, 0
	for _, p := range st.Programs {
		if p.State != supervisor.Held {
			wanted++
		}
		// One that ended by itself and has only just started may end again.
		if p.State == supervisor.Running && (p.Restarts == 0 || time.Since(p.Since) >= steady) {
			running++
		}
	}
	line := []string{fmt.Sprintf("programs %d/%d", running, wanted)}
	serving := 0
	for _, z := range st.Zones {
		if z.API {
			serving++
		}
	}
	line = append(line, fmt.Sprintf("zones serving %d/%d", serving, len(st.Zones)))
	if serving == 0 {
		return strings.Join(line, ", "), false
	}
	if *op == nil {
		if *op, err = operator.Connect(r); err != nil {
			*op = nil
			return strings.Join(append(line, "the bus does not take us yet"), ", "), false
		}
	}
	rs, err := (*op).Status(short)
	if err != nil {
		return strings.Join(append(line, "no voter answers yet"), ", "), false
	}
	nodes := 0
	ready := map[string]bool{}
	for _, n := range rs.Nodes {
		if n.Ready {
			ready[string(n.Host)+"/"+n.Kind] = true
		}
	}
	want := 0
	for _, p := range r.Programs() {
		if p.Host.Index == 0 || held(st, p.Name()) {
			continue
		}
		want++
		if ready[p.Name()] {
			nodes++
		}
	}
	leader := or(rs.Leader, "none yet")
	line = append(line, "leader "+leader, fmt.Sprintf("nodes ready %d/%d", nodes, want))
	alive := serving == len(st.Zones) || len(st.Faults) > 0
	return strings.Join(line, ", "), rs.Leader != "" && nodes == want && running == wanted && alive
}

func held(st *supervisor.Status, name string) bool {
	for _, p := range st.Programs {
		if p.Name == name {
			return p.State == supervisor.Held
		}
	}
	return false
}

// culprits names the programs that keep dying, with their last words.
func culprits(e *env, r *lab.Region) string {
	ctx, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	rep, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbStatus})
	if err != nil {
		return ""
	}
	var out strings.Builder
	for i, p := range rep.Status.Programs {
		if p.Restarts > 1 || p.State == supervisor.Waiting {
			fmt.Fprintf(&out, "\n%s keeps ending (%s):\n%s", p.Name, p.LastExit, tail(r.Programs()[i].Log, 3))
		}
	}
	return out.String()
}
