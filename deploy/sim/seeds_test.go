package sim

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry/internal/planted"
)

// whole is one in how many seeds a whole region is drilled. The others drill
// its core, the voters and the bus, under more commands and for less.
const whole = 20

// seldom has the garbage of a process of seeds collected at five times what
// lives: a region of a seed is small and short.
const seldom = "GOGC=400"

// Every seed draws its own faults, one after the other, under writers. Seeds
// run in child processes, one per CPU: the NATS client keeps timers in a pool
// that two bubbles of one process must not share.
func TestSeeds(t *testing.T) {
	if *seed != 0 {
		for s := *seed; s < *seed+uint64(*seeds); s++ {
			t.Run(strconv.FormatUint(s, 10), func(t *testing.T) { oneSeed(t, s) })
		}
		return
	}
	if testing.Short() {
		*seeds = min(*seeds, 2)
	}
	all := play(t, os.Args[0], 1, *seeds, seldom)
	for first := 1; first+99 <= *seeds; first += 100 {
		if n := len(all.faults[(first-1)/100]); n < len(Faults) {
			t.Errorf("seeds %d to %d drew %d of %d kinds of faults", first, first+99, n, len(Faults))
		}
	}
}

// play runs seeds from one on in processes of a test program, one per CPU.
func play(t *testing.T, bin string, from, count int, env ...string) *tally {
	var all tally
	workers := max(runtime.NumCPU(), 1)
	share := (count + workers - 1) / workers
	t.Run("all", func(t *testing.T) {
		for w := range workers {
			first, n := from+w*share, min(share, count-w*share)
			if n <= 0 {
				break
			}
			t.Run(fmt.Sprintf("%d-%d", first, first+n-1), func(t *testing.T) {
				t.Parallel()
				shard := exec.CommandContext(t.Context(), bin, "-test.run", "^TestSeeds$", "-test.v", "-seed", fmt.Sprint(first), "-seeds", fmt.Sprint(n))
				shard.Env = append(os.Environ(), env...)
				out, err := shard.CombinedOutput()
				all.read(out)
				if err != nil {
					t.Errorf("%v\n%s", err, failures(out))
				}
			})
		}
	})
	t.Log(&all)
	return &all
}

// oneSeed drills a whole region or its core.
func oneSeed(t *testing.T, s uint64) {
	var story []string
	defer func() {
		t.Logf("faults: %s", strings.Join(story, "; "))
		if t.Failed() {
			t.Logf("again: go test ./deploy/sim -run TestSeeds -seed %d -seeds 1 -log", s)
		}
	}()
	weather := func(r *Region, length time.Duration, least int, draw func(i int) Fault) {
		end := time.Now().Add(length)
		for i := 0; i < least || time.Now().Before(end); i++ {
			f := draw(i)
			story = append(story, f.Name)
			r.log.Info("FAULT", "name", f.Name)
			f.Do(r)
			r.log.Info("HEALED", "name", f.Name)
			r.pause(0, 3)
		}
	}
	if s%whole == 0 {
		// Kinds take turns, so that a hundred seeds see all of them.
		const turns = 3
		first := int(s/whole) * turns
		run(t, Options{Seed: s}, func(r *Region, c *Clients) {
			weather(r, 20*time.Second, turns, func(i int) Fault {
				if i < turns {
					return HostFaults[(first+i)%len(HostFaults)]
				}
				return Faults[r.Rng.IntN(len(Faults))]
			})
		})
		return
	}
	inBubble(t, Options{Seed: s, Core: true}, func(r *Region) {
		watch, w := r.Watch(), r.StartWriters(*writers)
		weather(r, 30*time.Second, 0, func(int) Fault { return CoreFaults[r.Rng.IntN(len(CoreFaults))] })
		w.Stop()
		r.Judge(watch, w)
		r.JudgeRegisters(w)
		t.Log(r.Summary(w))
	})
}

// tally adds up what seeds said.
type tally struct {
	mu                   sync.Mutex
	seeds, acked, events int
	slowest              time.Duration
	faults               map[int]map[string]int // by hundred of seeds
}

var (
	summary = regexp.MustCompile(`: seed \d+: (\d+) acknowledged, (\d+) events, longest time without an acknowledgement (\S+)`)
	drawn   = regexp.MustCompile(`: faults: (.*)`)
	began   = regexp.MustCompile(`^=== RUN +TestSeeds/(\d+)`)
)

func (a *tally) read(out []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.faults == nil {
		a.faults = map[int]map[string]int{}
	}
	at := 0
	for line := range bytes.Lines(out) {
		if m := summary.FindSubmatch(line); m != nil {
			acked, _ := strconv.Atoi(string(m[1]))
			events, _ := strconv.Atoi(string(m[2]))
			worst, _ := time.ParseDuration(string(m[3]))
			a.seeds++
			a.acked, a.events, a.slowest = a.acked+acked, a.events+events, max(a.slowest, worst)
		}
		if m := began.FindSubmatch(line); m != nil {
			at, _ = strconv.Atoi(string(m[1]))
		}
		if m := drawn.FindSubmatch(line); m != nil {
			block := (at - 1) / 100
			if a.faults[block] == nil {
				a.faults[block] = map[string]int{}
			}
			for f := range strings.SplitSeq(string(m[1]), "; ") {
				a.faults[block][f]++
			}
		}
	}
}

func (a *tally) String() string {
	out := fmt.Sprintf("%d seeds: %d commands acknowledged, %d events, slowest recovery %v", a.seeds, a.acked, a.events, a.slowest)
	sum := map[string]int{}
	for _, faults := range a.faults {
		for f, n := range faults {
			sum[f] += n
		}
	}
	for _, f := range slices.Sorted(maps.Keys(sum)) {
		out += fmt.Sprintf("\n%6d × %s", sum[f], f)
	}
	return out
}

// failures are what the seeds said that failed, and the end of what was said
// when a seed did not come to its end.
func failures(out []byte) []byte {
	var failed []byte
	for _, seed := range bytes.SplitAfter(out, []byte("=== RUN   ")) {
		if bytes.Contains(seed, []byte("    seeds_test.go")) && bytes.Contains(seed, []byte(": again: ")) {
			failed = append(failed, tail(seed, 5_000)...)
		}
	}
	if len(failed) == 0 || bytes.Contains(out, []byte("\npanic: ")) {
		failed = append(failed, tail(out, 10_000)...)
	}
	return tail(failed, 30_000)
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// The judge is judged: each bug of what keeps and carries the decisions is found
// within 200 seeds. Package exact finds those of the decisions.
func TestJudgeFindsPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if planted.Possible {
		t.Skip("this program has its bugs itself")
	}
	const most = 200
	bin := program(t, "-tags", "libvirt_dlopen,planted")
	for _, bug := range planted.Keeping() {
		t.Run(string(bug), func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), bin, "-test.run", "^TestSeeds$", "-test.v", "-test.failfast", "-bug", string(bug), "-seed", "1", "-seeds", fmt.Sprint(most))
			child.Env = append(os.Environ(), seldom)
			out, err := child.CombinedOutput()
			clean := bytes.Count(out, []byte("--- PASS: TestSeeds/"))
			if err == nil || clean >= most {
				t.Fatalf("%d seeds found nothing", clean)
			}
			t.Logf("found by seed %d: %s", clean+1, reason(out))
		})
	}
}

// program builds this test in another way.
func program(t *testing.T, flags ...string) string {
	bin := t.TempDir() + "/sim.test"
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"test", "-c"}, flags...), "-o", bin, ".")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// Twenty more seeds run under the race detector, which makes them slow.
func TestSeedsUnderRaceDetector(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("the race detector needs a C compiler (package gcc)")
	}
	play(t, program(t, "-tags", "libvirt_dlopen", "-race"), *seeds+1, 20)
}

// reason is the first line that says what is wrong.
func reason(out []byte) string {
	for line := range bytes.Lines(out) {
		if s := strings.TrimSpace(string(line)); strings.HasPrefix(s, "panic:") || regexp.MustCompile(`_test\.go:\d+: seed|\w+\.go:\d+: seed \d+: [^0-9]`).MatchString(s) {
			return s[:min(len(s), 300)]
		}
	}
	return string(tail(out, 1000))
}
