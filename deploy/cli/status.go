package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
	"skerry/events"
	"skerry/internal/config"
)

type statusCmd struct {
	What string `arg:"" optional:"" help:"instance or volume: show one, why it is where it is and what it waits for." enum:"instance,volume," default:""`
	ID   string `arg:"" optional:"" help:"Id of the instance or volume."`
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
	switch c.What {
	case "instance":
		return c.instance(e)
	case "volume":
		return c.volume(e)
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
		role, n, gateway := "", "", ""
		if o.State != nil {
			for _, x := range o.State.Zones {
				if string(x.Zone) == z.Name {
					gateway = string(x.Gateway)
				}
			}
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
		rows = append(rows, []any{z.Name, yes(z.API), role, n, gateway, z.Problem})
	}
	fmt.Fprintln(e.out)
	e.table([]any{"zone", "serves", "role", "event", "gateway", "problem"}, rows)

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

	if o.State != nil {
		fmt.Fprintln(e.out)
		fmt.Fprintf(e.out, "instances: %s\nvolumes:   %s\npublic addresses: %d\n", counts(o.State.Counts), counts(o.State.Volumes), o.State.Addresses)
		if o.State.Root != "" {
			fmt.Fprintf(e.out, "accounts:  those of %s, up to its event %d\n", o.State.Root, o.State.RootN)
		}
		for _, r := range o.State.Beside {
			if r.Name != o.Region {
				fmt.Fprintf(e.out, "beside:    %s, API %s\n", r.Name, r.Endpoint)
			}
		}
		if o.State.Owed > 0 {
			fmt.Fprintf(e.out, "nodes still owe the end of %d objects\n", o.State.Owed)
		}
	}

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
	showWhy(e, i.Why)
}

// counts are the numbers of things by their state, in words.
func counts(by map[string]int) string {
	var out []string
	for _, s := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%d %s", by[s], s))
	}
	return or(strings.Join(out, ", "), "none")
}

// volumeView is a volume with what its nodes say of it.
type volumeView struct {
	events.VolumeStatus
	Conditions []string `json:"conditions,omitempty"`
}

// volume shows one volume, who may write to it, and what it waits for: also what
// the nodes concerned complain of, such as a guest that has it mounted.
func (c *statusCmd) volume(e *env) error {
	if c.ID == "" {
		return problem{errors.New("status volume needs an id"), "skerry status volume vol-0123456789abcdef0"}
	}
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		s, err := op.Volume(ctx, c.ID)
		if err != nil {
			return err
		}
		v := volumeView{VolumeStatus: s}
		ask := func(host events.HostID, kind string) {
			if host == "" {
				return
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			have, err := op.Have(short, string(s.Zone), string(host), kind)
			if err != nil {
				v.Conditions = append(v.Conditions, fmt.Sprintf("%s/%s does not answer", host, kind))
				return
			}
			v.Conditions = append(v.Conditions, concerning(have, c.ID)...)
		}
		ask(s.Host, config.Storage)
		if a := s.Attachment; a != nil {
			ask(a.Host, config.Compute)
		}
		return e.answer(v, func() { showVolume(e, v) })
	})
}

// concerning are the conditions of a node that name an object.
func concerning(h events.Have, id string) []string {
	var out []string
	for _, c := range h.Conditions {
		if strings.Contains(c, id) {
			out = append(out, fmt.Sprintf("%s/%s: %s", h.Host, h.Kind, c))
		}
	}
	return out
}

func showVolume(e *env, v volumeView) {
	line := func(name string, x any) { fmt.Fprintf(e.out, "%-10s %v\n", name, x) }
	line("volume", v.Volume)
	line("account", v.Account)
	line("size", fmt.Sprintf("%d GiB %s", v.SizeGiB, v.Type))
	line("state", v.State)
	if v.Detail != "" {
		line("reason", v.Detail)
	}
	line("zone", v.Zone)
	host := or(string(v.Host), "none yet")
	if v.Impaired {
		host += " (impaired: its storage node does not speak)"
	}
	line("host", host)
	epoch := fmt.Sprintf("%d, confirmed", v.Epoch)
	if v.Confirmed != v.Epoch {
		epoch = fmt.Sprintf("%d, confirmed %d", v.Epoch, v.Confirmed)
	}
	line("epoch", epoch)
	line("created", v.Created.Format(time.RFC3339))
	if a := v.Attachment; a != nil {
		state := a.State
		if a.Ended {
			state += ", shut out"
		}
		line("attachment", fmt.Sprintf("%s as %s to %s on %s, %s since %s", a.Attachment, a.Device, a.Instance, a.Host, state, a.Since.Format(time.RFC3339)))
	}
	for _, t := range v.Tags {
		line("tag", t.Key+"="+t.Value)
	}
	if v.Waits != "" {
		line("waits", v.Waits)
	}
	for _, c := range v.Conditions {
		line("problem", c)
	}
	showWhy(e, v.Why)
}

// showWhy explains a placement.
func showWhy(e *env, why *events.Why) {
	if why == nil {
		return
	}
	fmt.Fprintf(e.out, "\nWhy there: %s, on the state after event %d.\n", why.Policy, why.Basis)
	var rows [][]any
	for _, c := range why.Candidates {
		rows = append(rows, []any{c.Host, "could take it", fmt.Sprintf("score %d", c.Score)})
	}
	for _, r := range why.Rejected {
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
