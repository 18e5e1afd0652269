package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
	"skerry/events"
	"skerry/internal/config"
)

type doctorCmd struct{}

// finding is one thing that was looked at.
type finding struct {
	OK   bool   `json:"ok"`
	What string `json:"what"`
	Why  string `json:"why,omitempty"`
	Next string `json:"next,omitempty"`
}

// maxBehind is how many events a voter or the stream may lag while all is well.
const maxBehind = 256

// lowDiskBytes is the free space below which the doctor warns.
const lowDiskBytes = 1 << 30

// Run looks at everything and fails when something is wrong.
func (doctorCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	fs := examine(e, r)
	sick := 0
	for _, f := range fs {
		if !f.OK {
			sick++
		}
	}
	err = e.answer(fs, func() {
		for _, f := range fs {
			mark := "ok   "
			if !f.OK {
				mark = "WRONG"
			}
			fmt.Fprintf(e.out, "%s  %s\n", mark, f.What)
			if f.Why != "" {
				fmt.Fprintf(e.out, "       %s\n", f.Why)
			}
			if f.Next != "" {
				fmt.Fprintf(e.out, "       next: %s\n", f.Next)
			}
		}
	})
	if err == nil && sick > 0 {
		e.say("skerry: %d of %d findings are wrong", sick, len(fs))
		return silent(exitWrong)
	}
	return err
}

func examine(e *env, r *lab.Region) []finding {
	ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
	defer cancel()
	var out []finding
	add := func(ok bool, what, why, next string) {
		if ok {
			why, next = "", ""
		}
		out = append(out, finding{ok, what, why, next})
	}
	rep, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbStatus})
	running := err == nil
	add(running, "the supervisor runs", fmt.Sprint(err), "skerry up"+e.dirFlag())
	if running {
		out = append(out, examinePrograms(e, rep.Status)...)
	}
	out = append(out, examineMachine(e, r, rep.Status)...)
	if running {
		out = append(out, examineRegion(ctx, e, r, rep.Status)...)
	}
	return out
}

func examinePrograms(e *env, st *supervisor.Status) []finding {
	var down []string
	for _, p := range st.Programs {
		switch {
		case p.State == supervisor.Held:
			down = append(down, p.Name+" is held down by a fault")
		case p.State != supervisor.Running:
			down = append(down, p.Name+" is not running: "+p.LastExit)
		}
	}
	out := []finding{{OK: len(down) == 0, What: "every program runs", Why: strings.Join(down, "; ")}}
	if len(down) > 0 {
		out[0].Next = "skerry logs NODE" + e.dirFlag()
	}
	var broken []string
	for _, f := range st.Faults {
		broken = append(broken, f.String())
	}
	f := finding{OK: len(broken) == 0, What: "nothing is broken on purpose", Why: strings.Join(broken, "; ")}
	if !f.OK {
		f.Next = "skerry heal" + e.dirFlag()
	}
	out = append(out, f)
	var silent []string
	for _, z := range st.Zones {
		if !z.API {
			silent = append(silent, z.Name+": "+z.Problem)
		}
	}
	return append(out, finding{OK: len(silent) == 0, What: "every zone serves", Why: strings.Join(silent, "; ")})
}

// examineMachine looks for what should not be on this machine.
func examineMachine(e *env, r *lab.Region, st *supervisor.Status) []finding {
	var out []finding
	known := map[int]bool{}
	names := map[string]bool{r.Namespace("wire"): true}
	for _, h := range r.Plan() {
		names[r.Namespace(h.Name)] = true
	}
	if st != nil {
		known[st.PID] = true
		for _, p := range st.Programs {
			known[p.PID] = true
		}
	}
	var strays []string
	for _, p := range remains.Processes(r) {
		// Guests and what an agent started belong to a running region; whether
		// each guest should be there is the region's to say.
		if known[p.PID] || st != nil && (p.Class == remains.Guest || p.Class == remains.Inside) {
			continue
		}
		strays = append(strays, p.String())
	}
	if st == nil || r.Hypervisor != lab.QEMU {
		names = map[string]bool{}
	}
	for _, n := range remains.Namespaces(r) {
		if !names[n] {
			strays = append(strays, "namespace "+n)
		}
		delete(names, n)
	}
	for n := range names {
		strays = append(strays, "namespace "+n+" is missing")
	}
	if st != nil && r.Hypervisor == lab.QEMU {
		links, err := supervisor.Wire(r).Strays()
		if err != nil {
			strays = append(strays, err.Error())
		}
		for _, l := range links {
			strays = append(strays, "link "+l)
		}
	}
	if st == nil {
		for _, m := range remains.Mounts(r) {
			strays = append(strays, "mount "+m)
		}
		if exists(r.Run()) {
			strays = append(strays, "run directory "+r.Run())
		}
	}
	f := finding{OK: len(strays) == 0, What: "nothing of the region is on this machine that should not be", Why: strings.Join(strays, "; ")}
	if !f.OK {
		f.Next = "skerry down" + e.dirFlag()
	}
	out = append(out, f)

	var sf unix.Statfs_t
	if err := unix.Statfs(r.Dir(), &sf); err == nil {
		left := uint64(sf.Bavail) * uint64(sf.Bsize)
		f := finding{OK: left >= lowDiskBytes, What: fmt.Sprintf("the disk of %s has room", r.Dir())}
		if !f.OK {
			f.Why, f.Next = fmt.Sprintf("%d MiB are free", left>>20), "make room on the disk, or terminate instances"
		}
		out = append(out, f)
	}
	return out
}

// examineRegion compares what the region wants with what its nodes hold.
func examineRegion(ctx context.Context, e *env, r *lab.Region, st *supervisor.Status) []finding {
	op, err := operator.Connect(r)
	if err != nil {
		return []finding{{What: "the bus takes the operator", Why: err.Error(), Next: "skerry status" + e.dirFlag()}}
	}
	defer op.Close()
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	state, err := op.Status(short)
	cancel()
	if err != nil {
		return []finding{{What: "a voter answers", Why: err.Error(), Next: "skerry status" + e.dirFlag()}}
	}
	out := []finding{
		{OK: state.Leader != "", What: "the region has a leader", Why: unless(state.Leader != "", "no majority of voters can meet")},
	}
	late, behind := silentNodes(state), lagging(state)
	for try := 0; len(late)+len(behind) > 0 && try < 5 && ctx.Err() == nil; try++ {
		// What lags may be on its way, and voters answer from what they know.
		time.Sleep(time.Second)
		if s, err := op.Status(ctx); err == nil {
			late, behind = silentNodes(s), lagging(s)
		}
	}
	out = append(out, finding{OK: len(late) == 0, What: "every node is ready", Why: strings.Join(late, "; ")},
		finding{OK: len(behind) == 0, What: "every voter and the stream keep up", Why: strings.Join(behind, "; ")}, level(state))
	var mu sync.Mutex
	var wg sync.WaitGroup
	wrong, complaints := map[string][]string{}, []string{}
	for _, p := range r.Programs() {
		if !slices.Contains(nodeKinds, p.Kind) || held(st, p.Name()) {
			continue
		}
		wg.Go(func() {
			ds, conditions, err := compare(ctx, op, p)
			if err != nil {
				ds = []string{err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, d := range ds {
				wrong[p.Kind] = append(wrong[p.Kind], p.Name()+": "+d)
			}
			for _, c := range complaining(conditions) {
				complaints = append(complaints, p.Name()+": "+c)
			}
		})
	}
	wg.Wait()
	for _, kind := range nodeKinds {
		slices.Sort(wrong[kind])
		out = append(out, finding{OK: len(wrong[kind]) == 0, What: "every " + kind + " node holds what the region wants and nothing else", Why: strings.Join(wrong[kind], "; ")})
	}
	slices.Sort(complaints)
	return append(out, finding{OK: len(complaints) == 0, What: "no node complains", Why: strings.Join(complaints, "; ")})
}

// nodeKinds are the kinds of programs that hold something for the region.
var nodeKinds = []string{config.Compute, config.Storage, config.Network, config.Gateway}

// silentNodes are sentences about nodes that the region counts as lost.
func silentNodes(s operator.Status) []string {
	var out []string
	for _, n := range s.Nodes {
		if !n.Ready {
			out = append(out, fmt.Sprintf("%s/%s does not speak since %s", n.Host, n.Kind, n.Since.Format(time.TimeOnly)))
		}
	}
	return out
}

// lagging are sentences about voters, the stream and zones that do not keep up.
func lagging(s operator.Status) []string {
	var out []string
	for _, m := range s.Members {
		switch {
		case !m.Alive:
			out = append(out, m.AZ+" does not answer")
		case m.N+maxBehind < s.N:
			out = append(out, fmt.Sprintf("%s has event %d of %d", m.AZ, m.N, s.N))
		case m.Leader && m.Kept+maxBehind < s.N:
			out = append(out, fmt.Sprintf("the stream has event %d of %d", m.Kept, s.N))
		}
	}
	for _, z := range s.Zones {
		if z.Impaired {
			out = append(out, string(z.Zone)+" is impaired: none of its nodes speaks")
		}
	}
	return out
}

// level says at which feature level the region decides, and what to do when every
// voter understands a newer one. That is a choice, and nothing wrong: a voter of
// the older program could not come back.
func level(s operator.Status) finding {
	newest := 0
	for i, m := range s.Members {
		if i == 0 || m.Understands < newest {
			newest = m.Understands // zero for a voter that does not answer
		}
	}
	f := finding{OK: true, What: fmt.Sprintf("the region decides at feature level %d", s.Level)}
	if newest > s.Level {
		f.Why = fmt.Sprintf("every voter understands level %d: it can be raised when no older program will be put back", newest)
		f.Next = fmt.Sprintf(`nats --context skerry-%s req sk.cmd.%[1]s.region.RaiseFeatureLevel '{"level":%d}'`, s.Region, s.Level+1)
	}
	return f
}

// compare lists what one node holds and should not, and the other way round, and
// what it complains of. Both are looked at again before they count: work may be
// under way.
func compare(ctx context.Context, op *operator.Client, p lab.Program) (last, conditions []string, _ error) {
	for try := 0; ; try++ {
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		want, err := op.Wanted(short, p.Host.Name, p.Kind)
		if err != nil {
			cancel()
			return nil, nil, fmt.Errorf("what it should hold is not known: %w", err)
		}
		have, err := op.Have(short, p.Host.AZ, p.Host.Name, p.Kind)
		cancel()
		if err != nil {
			return nil, nil, fmt.Errorf("it does not say what it holds: %w", err)
		}
		if p.Kind == config.Compute {
			last = differences(want.Objects, have.Objects, have.Orphans)
		} else {
			last = lacking(want.Objects, have.Objects, have.Orphans)
		}
		conditions = have.Conditions
		if len(last)+len(complaining(conditions)) == 0 || try == 4 {
			return last, conditions, nil
		}
		select {
		case <-ctx.Done():
			return last, conditions, nil
		case <-time.After(time.Second):
		}
	}
}

// differences are sentences about what a compute node lacks and what it has too
// much of. An instance that runs needs a running domain; one on its way in or
// out may have one; anything else of an instance must go.
func differences(want, have []events.Object, orphans []string) []string {
	wanted, domains := map[string]bool{}, map[string]string{}
	for _, o := range want {
		wanted[o.ID] = true
	}
	for _, o := range have {
		if o.Kind == "domain" {
			domains[o.ID] = o.State
		}
	}
	var out []string
	for _, o := range want {
		switch state, ok := domains[o.ID]; {
		case o.State != "running":
		case !ok:
			out = append(out, o.ID+" should run and has no domain")
		case !strings.HasPrefix(state, "running"):
			out = append(out, o.ID+" should run and its domain is "+state)
		}
	}
	for _, o := range have {
		if !wanted[o.ID] {
			out = append(out, fmt.Sprintf("the %s of %s (%s) should not be there", o.Kind, o.ID, o.State))
		}
	}
	for _, o := range orphans {
		out = append(out, o+" is an orphan")
	}
	return out
}

// complaining are the conditions that somebody should do something about, and not
// what a machine is by nature, which a compute node tells as well.
func complaining(conditions []string) []string {
	return slices.DeleteFunc(slices.Clone(conditions), func(c string) bool {
		return strings.HasPrefix(c, "hypervisor in memory") || strings.HasPrefix(c, "slow reaping")
	})
}

// lacking are sentences about what a storage, network or gateway node lacks,
// holds otherwise, or has too much of: volumes, ports, public addresses.
func lacking(want, have []events.Object, orphans []string) []string {
	held := map[string]events.Object{}
	for _, o := range have {
		held[o.ID] = o
	}
	var out []string
	for _, w := range want {
		h, there := held[w.ID]
		delete(held, w.ID)
		switch {
		case w.State == "gone" && there:
			out = append(out, fmt.Sprintf("the %s %s should be gone and is %s", w.Kind, w.ID, h.State))
		case w.State == "gone":
			out = append(out, fmt.Sprintf("it has not said that the %s %s is gone", w.Kind, w.ID))
		case w.State == "creating", w.State == "pending", w.State == "error": // it may be there or not
		case !there:
			out = append(out, fmt.Sprintf("the %s %s is missing", w.Kind, w.ID))
		case h.State != w.State:
			out = append(out, fmt.Sprintf("the %s %s is %q and should be %q", w.Kind, w.ID, h.State, w.State))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		out = append(out, fmt.Sprintf("the %s %s (%s) should not be there", held[id].Kind, id, held[id].State))
	}
	for _, o := range orphans {
		out = append(out, o+" is an orphan")
	}
	return out
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}
