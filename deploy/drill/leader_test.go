package drill

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/supervisor"
	"skerry/deploy/operator"
)

var (
	runs = flag.Int("runs", 3, "runs of each drill")
	seed = flag.Uint64("seed", 1, "seed of the first run")
)

// worst is the pMax beyond which a drill fails. The goal is 2 s; the bound
// leaves room for a machine that is busy with other things.
const worst = 10 * time.Second

// stage brings up a simulated region of real processes.
func stage(t testing.TB, args ...string) (*lab.Region, func(args ...string)) {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range lab.Binaries {
		if _, err := os.Stat(filepath.Join(bin, b)); err != nil {
			t.Skipf("%s is not built (make build)", b)
		}
	}
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(home, "region")
	skerry := func(args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "skerry"), args...)
		cmd.Env = append(os.Environ(), "SKERRY_DIR="+dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Errorf("skerry %v: %v\n%s", args, err, out.Bytes())
		}
	}
	t.Cleanup(func() { skerry("down", "--purge") })
	skerry(append([]string{"up"}, args...)...)
	if t.Failed() {
		t.FailNow()
	}
	r, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, skerry
}

// A zone's control plane is pulled while writers write and instances boot: the
// leader's zone, each time. Writes resume, nothing that was acknowledged is
// missing or there twice, every instance comes to run, and guests of the zone
// are untouched.
func TestDrillLeaderZone(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	r, skerry := stage(t, "--hypervisor", "memory")
	a, err := newAPI(r)
	if err != nil {
		t.Fatal(err)
	}
	image, err := a.image(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	op, err := operator.Connect(r)
	if err != nil {
		t.Fatal(err)
	}
	defer op.Close()
	var all journal
	var pMax []time.Duration
	for i := range *runs {
		rng := rand.New(rand.NewPCG(*seed+uint64(i), 0))
		j := pull(t, r, a, op, image, fmt.Sprintf("drill-%d-%d", *seed, i), rng)
		pMax = append(pMax, j.longest())
		all.accounts, all.instances = append(all.accounts, j.accounts...), append(all.instances, j.instances...)
		skerry("up")
		if t.Failed() {
			t.FailNow()
		}
	}
	judge(t, a, op, &all)
	skerry("doctor")
	slices.Sort(pMax)
	t.Logf("%d runs, %d accounts and %d instances acknowledged; pMax median %v, worst %v", *runs, len(all.accounts), len(all.instances),
		pMax[len(pMax)/2].Round(time.Millisecond), pMax[len(pMax)-1].Round(time.Millisecond))
	if pMax[len(pMax)-1] > worst {
		t.Errorf("no write was acknowledged for %v", pMax[len(pMax)-1])
	}
}

// pull is one run: traffic, the leader's zone fails, traffic resumes, heal.
func pull(t *testing.T, r *lab.Region, a *api, op *operator.Client, image, name string, rng *rand.Rand) *journal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var j journal
	var wg sync.WaitGroup
	traffic, stop := context.WithCancel(ctx)
	defer wg.Wait()
	defer stop()
	for w := range 4 {
		wg.Go(func() {
			if err := writeAccounts(traffic, r, fmt.Sprintf("%s-w%d", name, w), &j); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := writeInstances(traffic, a, image, name, 10, &j); err != nil {
			t.Error(err)
		}
	})
	await(t, ctx, "traffic", func() bool { return j.count() >= 40+rng.IntN(40) })
	s, err := op.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.Leader == "" {
		t.Fatal("there is no leader to lose")
	}
	rep, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbFail, For: 10 * time.Minute,
		Fault: &supervisor.Fault{Kind: supervisor.FaultAZ, Names: []string{s.Leader}}})
	if err != nil {
		t.Fatal(err)
	}
	before := j.count()
	await(t, ctx, "writes to resume", func() bool { return j.count() >= before+40 })
	if _, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbHeal, ID: rep.Fault.ID}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: pulled %s, pMax %v, %d acknowledged", name, s.Leader, j.longest().Round(time.Millisecond), j.count())
	return &j
}

// judge compares the region with what clients were promised.
func judge(t *testing.T, a *api, op *operator.Client, j *journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	as, err := op.Accounts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, a := range as {
		times[a.Name]++
	}
	for _, name := range j.accounts {
		if times[name] != 1 {
			t.Errorf("account %s was acknowledged and is there %d times", name, times[name])
		}
	}
	var last map[string]instance
	await(t, ctx, "all instances to run", func() bool {
		if last, err = a.instances(ctx); err != nil {
			return false
		}
		for _, id := range j.instances {
			if last[id].State != "running" {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	for _, id := range j.instances {
		if i, ok := last[id]; !ok || i.State != "running" {
			t.Errorf("instance %s was acknowledged and is %q %s", id, i.State, i.Why)
		}
	}
	if len(last) != len(j.instances) {
		t.Errorf("%d instances were acknowledged, %d are there", len(j.instances), len(last))
	}
}

// await waits for a condition until ctx ends.
func await(t testing.TB, ctx context.Context, what string, there func() bool) {
	t.Helper()
	for !there() {
		if t.Failed() {
			t.FailNow()
		}
		select {
		case <-ctx.Done():
			t.Errorf("waited in vain for %s", what)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
