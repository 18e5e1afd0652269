package exact

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry/events"
	"skerry/internal/planted"
)

var (
	seed  = flag.Uint64("seed", 1, "first seed")
	seeds = flag.Int("seeds", 200, "seeds to play")
	logs  = flag.Bool("log", false, "print every event and fault on stderr")
)

// Every seed holds, and every hundred of them have seen all faults.
func TestSeeds(t *testing.T) {
	if testing.Short() {
		*seeds = min(*seeds, 4)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a region is small and short
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		next    = *seed
		last    = *seed + uint64(*seeds)
		all     Result
		drawn   = map[string]int{}
		hundred = map[uint64]map[string]bool{}
		failed  int
	)
	all.Kinds = map[string]int{}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				s := next
				next++
				stop := s >= last || failed > 3
				mu.Unlock()
				if stop {
					return
				}
				o := Options{Seed: s}
				if *logs {
					o.Log = os.Stderr
				}
				r, err := Run(o)
				mu.Lock()
				if err != nil {
					failed++
					t.Errorf("%v\nagain: go test ./deploy/sim/exact -run TestSeeds -args -seed %d -seeds 1 -log", err, s)
				}
				all.Acked, all.Refused, all.Events, all.Slowest = all.Acked+r.Acked, all.Refused+r.Refused, all.Events+r.Events, max(all.Slowest, r.Slowest)
				for k, n := range r.Kinds {
					all.Kinds[k] += n
				}
				block := (s - *seed) / 100
				if hundred[block] == nil {
					hundred[block] = map[string]bool{}
				}
				for _, f := range r.Faults {
					drawn[f]++
					hundred[block][f] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds: %d commands acknowledged, %d refused, %d events of %d kinds, slowest recovery %v", *seeds, all.Acked, all.Refused, all.Events, len(all.Kinds), all.Slowest)
	var never []string
	for _, e := range events.Kinds() {
		if all.Kinds[events.Name(e)] == 0 {
			never = append(never, events.Name(e))
		}
	}
	t.Logf("never seen: %s", strings.Join(never, ", "))
	for _, f := range slices.Sorted(maps.Keys(drawn)) {
		t.Logf("%6d × %s", drawn[f], f)
	}
	for block := range uint64(*seeds / 100) {
		if n := len(hundred[block]); n < len(Faults()) && failed == 0 {
			t.Errorf("seeds from %d on drew %d of %d kinds of faults", *seed+100*block, n, len(Faults()))
		}
	}
}

// A seed is one history.
func TestReplay(t *testing.T) {
	histories := map[string]uint64{}
	for s := uint64(1); s <= 3; s++ {
		var first, second bytes.Buffer
		a, err := Run(Options{Seed: s, Beats: 400, Log: &first})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(Options{Seed: s, Beats: 400, Log: &second})
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash != b.Hash || a.Acked != b.Acked || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("seed %d: %d events %x, then %d events %x", s, a.Events, a.Hash[:4], b.Events, b.Hash[:4])
		}
		if o, same := histories[fmt.Sprint(a.Hash)]; same || a.Acked < 200 {
			t.Errorf("seeds %d and %d are one, or %d acknowledgements are few", o, s, a.Acked)
		}
		histories[fmt.Sprint(a.Hash)] = s
	}
}

// The judge is judged: each bug of the decisions that the program can be built
// with is found within 200 seeds.
func TestJudgeFindsPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if planted.Possible {
		t.Skip("this program has its bugs itself")
	}
	const most = 200
	bin := t.TempDir() + "/exact.test"
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "libvirt_dlopen,planted", "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, bug := range planted.Deciding() {
		t.Run(string(bug), func(t *testing.T) {
			for s := 1; s <= most; s++ {
				out, err := exec.CommandContext(t.Context(), bin, "-test.run", "^TestSeeds$", "-bug", string(bug), "-seed", fmt.Sprint(s), "-seeds", "1").CombinedOutput()
				if err == nil {
					continue
				}
				for line := range bytes.Lines(out) {
					if l := strings.TrimSpace(string(line)); strings.Contains(l, fmt.Sprintf(": seed %d: ", s)) {
						t.Logf("found by seed %d: %.300s", s, l)
						return
					}
				}
				t.Fatalf("seed %d: %s", s, out)
			}
			t.Fatalf("%d seeds found nothing", most)
		})
	}
}

// BenchmarkSeed tells how many commands a second of one CPU decides, evolves and
// judges, three times over.
func BenchmarkSeed(b *testing.B) {
	acked, began := 0, time.Now()
	for i := range b.N {
		r, err := Run(Options{Seed: uint64(i) + 1})
		if err != nil {
			b.Fatal(err)
		}
		acked += r.Acked
	}
	b.ReportMetric(float64(acked)/time.Since(began).Seconds(), "commands/s")
}
