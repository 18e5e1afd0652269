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
	"skerry/events"
	"skerry/internal/config"
)

type statusCmd struct {
	What string `arg:"" optional:"" help:"instance: show one instance and why it is where it is." enum:"instance," default:""`
	ID   string `arg:"" optional:"" help:"Id of the instance."`
}

// overview is what `status` shows: the supervisor's view beside the region's.
type overview struct {
	Region     string             `json:"region"`
	Dir        string             `json:"dir"`
	Hypervisor string             `json:"hypervisor"`
	Endpoint   string             `json:"endpoint"`
	Running    bool               `json:"running"`
	Machine    *supervisor.Status `json:"machine,omitempty"` // processes of this machine
	State      *operator.Status   `json:"state,omitempty"`   // what the voters agree on
	Problem    string             `json:"problem,omitempty"`
}

// Run shows the region, and fails when it is not running.
func (c *statusCmd) Run(e *env) error {
	if c.What == "instance" {
		return c.instance(e)
	}
	r, err := e.region()
	if err != nil {
		return err
	}
	o := overview{Region: r.Name, Dir: r.Dir(), Hypervisor: r.Hypervisor, Endpoint: endpoint(r)}
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	rep, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbStatus})
	if err != nil {
		o.Problem = err.Error()
		if err := e.answer(o, func() { fmt.Fprintf(e.out, "Region %s in %s: %v.\n", r.Name, r.Dir(), o.Problem) }); err != nil {
			return err
		}
		e.say("  next: skerry up%s", e.dirFlag())
		return silent(exitWrong)
	}
	o.Running, o.Machine = true, rep.Status
	if op, err := operator.Connect(r); err != nil {
		o.Problem = err.Error()
	} else {
		defer op.Close()
		if s, err := op.Status(ctx); err != nil {
			o.Problem = err.Error()
		} else {
			o.State = &s
		}
	}
	simulated(e, r)
	return e.answer(o, func() { o.show(e) })
}

func (o overview) show(e *env) {
	fmt.Fprintf(e.out, "Region %s  %s  API %s\n", o.Region, o.Hypervisor, o.Endpoint)
	if o.Problem != "" {
		fmt.Fprintf(e.out, "The region does not answer: %s\n", o.Problem)
	}
	var rows [][]any
	for _, z := range o.Machine.Zones {
		role, n := "", ""
		if o.State != nil {
			for _, m := range o.State.Members {
				if m.AZ != z.Name {
					continue
				}
				switch role, n = "voter", fmt.Sprint(m.N); {
				case !m.Alive:
					role, n = "silent", ""
				case m.Leader:
					role = "leader"
				}
			}
		}
		rows = append(rows, []any{z.Name, yes(z.API), role, n, z.Problem})
	}
	fmt.Fprintln(e.out)
	e.table([]any{"zone", "serves", "role", "event", "problem"}, rows)

	nodes := map[string]events.NodeStatus{}
	if o.State != nil {
		for _, n := range o.State.Nodes {
			nodes[string(n.Host)+"/"+n.Kind] = n
		}
	}
	rows = nil
	for _, p := range o.Machine.Programs {
		ready, guests := "", ""
		var notes []string
		if n, ok := nodes[p.Name]; ok {
			ready = yes(n.Ready)
			if n.Kind == config.Compute {
				guests = fmt.Sprint(n.Guests)
			}
			if n.Accel != "" {
				notes = append(notes, n.Accel)
			}
			if n.Drained {
				notes = append(notes, "drained")
			}
		}
		if p.State != supervisor.Running {
			notes = append(notes, p.LastExit)
		}
		rows = append(rows, []any{p.Name, p.State, blank(p.PID), ready, guests, p.Restarts, strings.Join(notes, ", ")})
	}
	fmt.Fprintln(e.out)
	e.table([]any{"program", "state", "pid", "ready", "guests", "restarts", "note"}, rows)

	if len(o.Machine.Faults) > 0 {
		rows = nil
		for _, f := range o.Machine.Faults {
			rows = append(rows, []any{f.ID, f.String(), time.Until(f.Until).Round(time.Second)})
		}
		fmt.Fprintln(e.out)
		e.table([]any{"fault", "what", "heals in"}, rows)
	}
}

// instance shows one instance, and why it is where it is.
func (c *statusCmd) instance(e *env) error {
	if c.ID == "" {
		return problem{errors.New("status instance needs an id"), "skerry status instance i-0123456789abcdef0"}
	}
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		i, err := op.Instance(ctx, c.ID)
		if err != nil {
			return err
		}
		return e.answer(i, func() { showInstance(e, i) })
	})
}

func showInstance(e *env, i events.InstanceStatus) {
	line := func(name string, v any) { fmt.Fprintf(e.out, "%-10s %v\n", name, v) }
	line("instance", i.Instance)
	line("account", i.Account)
	line("type", i.Type)
	state := i.State
	if i.Impaired {
		state += " (impaired: its host does not answer)"
	}
	line("state", state)
	if i.Reason.Message != "" {
		line("reason", i.Reason.Message)
	}
	line("zone", i.Zone)
	line("host", or(string(i.Host), "none yet"))
	line("launched", i.Launched.Format(time.RFC3339))
	for _, t := range i.Tags {
		line("tag", t.Key+"="+t.Value)
	}
	if i.Why == nil {
		return
	}
	fmt.Fprintf(e.out, "\nWhy there: %s, on the state after event %d.\n", i.Why.Policy, i.Why.Basis)
	var rows [][]any
	for _, c := range i.Why.Candidates {
		rows = append(rows, []any{c.Host, "could take it", fmt.Sprintf("score %d", c.Score)})
	}
	for _, r := range i.Why.Rejected {
		rows = append(rows, []any{r.Host, "could not", r.Reason})
	}
	e.table([]any{"host", "", "why"}, rows)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func blank(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
