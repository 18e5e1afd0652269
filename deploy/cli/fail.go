package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
	"skerry/events"
)

type failCmd struct {
	Kind      string        `arg:"" help:"az, host, link or process." enum:"az,host,link,process"`
	Names     []string      `arg:"" help:"A zone; a host; two zones or a host; a program like isle-1a-1/compute."`
	For       time.Duration `help:"How long until it heals by itself (default 1m). A process without --for is killed once." placeholder:"1m"`
	DataPlane bool          `help:"az: cut the zone's hosts off too."`
	OneWay    bool          `help:"link: drop only what goes from the first zone to the second."`
}

// Run breaks something.
func (c *failCmd) Run(e *env) error {
	if c.Kind == supervisor.FaultProcess && c.For == 0 && len(c.Names) == 1 {
		_, err := e.ask(supervisor.Request{Verb: supervisor.VerbKill, Name: c.Names[0]})
		if err != nil {
			return err
		}
		return e.answer(map[string]string{"killed": c.Names[0]}, func() { fmt.Fprintf(e.out, "%s is killed and will start again.\n", c.Names[0]) })
	}
	if c.For < 0 {
		return fmt.Errorf("--for %v: a fault lasts at least a moment", c.For)
	}
	rep, err := e.ask(supervisor.Request{Verb: supervisor.VerbFail, For: c.For,
		Fault: &supervisor.Fault{Kind: c.Kind, Names: c.Names, DataPlane: c.DataPlane, OneWay: c.OneWay}})
	if err != nil {
		return err
	}
	return e.answer(rep.Fault, func() {
		fmt.Fprintf(e.out, "Fault %d: %s, heals at %s. Sooner: skerry heal %d%s\n", rep.Fault.ID, rep.Fault, rep.Fault.Until.Format(time.TimeOnly), rep.Fault.ID, e.dirFlag())
	})
}

type healCmd struct {
	ID string `arg:"" optional:"" help:"Number of the fault; all when left out."`
}

// Run heals one fault or all.
func (c *healCmd) Run(e *env) error {
	id := 0
	if c.ID != "" {
		n, err := strconv.Atoi(c.ID)
		if err != nil || n < 1 {
			return problem{fmt.Errorf("%q is not the number of a fault", c.ID), "skerry status" + e.dirFlag()}
		}
		id = n
	}
	rep, err := e.ask(supervisor.Request{Verb: supervisor.VerbHeal, ID: id})
	if err != nil {
		return err
	}
	healed := append([]supervisor.Fault{}, rep.Healed...)
	return e.answer(healed, func() {
		if len(healed) == 0 {
			fmt.Fprintln(e.out, "Nothing was broken.")
		}
		for _, f := range healed {
			fmt.Fprintf(e.out, "Healed %s.\n", f)
		}
	})
}

type restartCmd struct {
	Name string `arg:"" help:"A program, like isle-1a-1/compute."`
}

// restartFor bounds a polite restart.
const restartFor = 20 * time.Second

// Run ends a program politely and waits until it runs again.
func (c *restartCmd) Run(e *env) error {
	before, err := e.ask(supervisor.Request{Verb: supervisor.VerbStatus})
	if err != nil {
		return err
	}
	if _, err := e.ask(supervisor.Request{Verb: supervisor.VerbRestart, Name: c.Name}); err != nil {
		return err
	}
	pid := func(st *supervisor.Status) int {
		for _, p := range st.Programs {
			if p.Name == c.Name && p.State == supervisor.Running {
				return p.PID
			}
		}
		return 0
	}
	was := pid(before.Status)
	for end := time.Now().Add(restartFor); ; {
		rep, err := e.ask(supervisor.Request{Verb: supervisor.VerbStatus})
		if err != nil {
			return err
		}
		if now := pid(rep.Status); now != 0 && now != was {
			return e.answer(map[string]any{"restarted": c.Name, "pid": now}, func() { fmt.Fprintf(e.out, "%s runs again (pid %d).\n", c.Name, now) })
		}
		if time.Now().After(end) {
			return problem{fmt.Errorf("%s does not run again", c.Name), "skerry logs " + c.Name + e.dirFlag()}
		}
		select {
		case <-e.ctx.Done():
			return e.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask sends one request to the region's supervisor.
func (e *env) ask(req supervisor.Request) (supervisor.Reply, error) {
	r, err := e.region()
	if err != nil {
		return supervisor.Reply{}, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, 15*time.Second)
	defer cancel()
	rep, err := supervisor.Call(ctx, r, req)
	if errors.Is(err, supervisor.ErrNotRunning) {
		return rep, problem{fmt.Errorf("region %s is not running", r.Name), "skerry up" + e.dirFlag()}
	}
	return rep, err
}

type drainCmd struct {
	Host   string `arg:"" help:"A host, like isle-1a-1."`
	Resume bool   `help:"Let new instances back."`
}

// Run asks the region to keep new instances off a host.
func (c *drainCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		h, err := r.FindHost(c.Host)
		if err != nil {
			return err
		}
		if h.Index == 0 || h.Gateway() {
			return fmt.Errorf("%s is a control plane or a gateway and holds no instances", c.Host)
		}
		if _, err := op.Command(ctx, events.DrainHost{Host: events.HostID(c.Host), Resume: c.Resume}); err != nil {
			return err
		}
		word := "drained: no new instances go there"
		if c.Resume {
			word = "open for new instances"
		}
		return e.answer(map[string]any{"host": c.Host, "drained": !c.Resume}, func() {
			fmt.Fprintln(e.out, strings.TrimSpace(fmt.Sprintf("Host %s is %s.", c.Host, word)))
		})
	})
}
