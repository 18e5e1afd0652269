package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
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
			for _, v := range o.State.Voters {
				if v.Zone == z.Name {
					n = fmt.Sprint(v.N)
					if v.Leader {
						role = "leader"
					} else {
						role = "voter"
					}
				}
			}
		}
		rows = append(rows, []any{z.Name, yes(z.API), role, n, z.Problem})
	}
	fmt.Fprintln(e.out)
	e.table([]any{"zone", "serves", "role", "event", "problem"}, rows)

	nodes := map[string]operator.Node{}
	if o.State != nil {
		for _, n := range o.State.Nodes {
			nodes[n.Host+"/"+n.Kind] = n
		}
	}
	rows = nil
	for _, p := range o.Machine.Programs {
		ready, lag, note := "", "", strings.Join(nodes[p.Name].Conditions, ", ")
		if n, ok := nodes[p.Name]; ok {
			ready, lag = yes(n.Ready), fmt.Sprint(n.Lag)
			if n.Drained {
				note = strings.TrimPrefix(note+", drained", ", ")
			}
		}
		if p.State != supervisor.Running {
			note = strings.TrimPrefix(note+", "+p.LastExit, ", ")
		}
		rows = append(rows, []any{p.Name, p.State, blank(p.PID), ready, lag, p.Restarts, note})
	}
	fmt.Fprintln(e.out)
	e.table([]any{"program", "state", "pid", "ready", "lag", "restarts", "note"}, rows)

	if len(o.Machine.Faults) > 0 {
		rows = nil
		for _, f := range o.Machine.Faults {
			rows = append(rows, []any{f.ID, f.String(), time.Until(f.Until).Round(time.Second)})
		}
		fmt.Fprintln(e.out)
		e.table([]any{"fault", "what", "heals in"}, rows)
	}
}

// instance shows what the region tells of one instance, as it tells it.
func (c *statusCmd) instance(e *env) error {
	if c.ID == "" {
		return problem{fmt.Errorf("status instance needs an id"), "skerry status instance i-0123456789abcdef0"}
	}
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		raw, err := op.Instance(ctx, c.ID)
		if err != nil {
			return err
		}
		return e.answer(raw, func() {
			var v any
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if d.Decode(&v) != nil {
				fmt.Fprintf(e.out, "%s\n", raw)
				return
			}
			outline(e, v, 0)
		})
	})
}

// outline prints a JSON value as indented lines.
func outline(e *env, v any, depth int) {
	in := strings.Repeat("  ", depth)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			switch x := v[k].(type) {
			case map[string]any, []any:
				fmt.Fprintf(e.out, "%s%s\n", in, k)
				outline(e, x, depth+1)
			case nil:
			default:
				fmt.Fprintf(e.out, "%s%-14s %v\n", in, k, x)
			}
		}
	case []any:
		for i, x := range v {
			switch x.(type) {
			case map[string]any, []any:
				if i > 0 {
					fmt.Fprintf(e.out, "%s-\n", in)
				}
				outline(e, x, depth)
			default:
				fmt.Fprintf(e.out, "%s%v\n", in, x)
			}
		}
	default:
		fmt.Fprintf(e.out, "%s%v\n", in, v)
	}
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
