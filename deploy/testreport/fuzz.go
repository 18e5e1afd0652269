package main

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// building is what the fuzzing programs may take to be built, beside the budget.
const building = 4 * time.Minute

// abreast is how many fuzz targets run at a time, each on one processor.
const abreast = 2

func fuzzTargets(path string) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
			out = append(out, f.Name.Name)
		}
	}
	return out, nil
}

// target is one fuzz target in its package's test program.
type target struct{ check, name, dir, program, cache string }

// fuzz shares the budget between all targets. Each package is built once. A
// target for which no time is left is skipped and says so; its seeds ran with
// the tests.
func (r *report) fuzz(ctx context.Context, s settings, packages []pack) {
	n := 0
	for _, p := range packages {
		n += len(p.fuzzs)
	}
	if n == 0 {
		return
	}
	each := max(time.Second, min(s.each, abreast*s.budget/time.Duration(n)))
	fmt.Fprintf(r.out, "fuzzing %d targets, %v each, %d at a time\n", n, each.Round(100*time.Millisecond), abreast)
	cache, err := command(ctx, "env", "GOCACHE").Output()
	if err != nil {
		r.fail("go env GOCACHE")
		return
	}
	programs, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		fmt.Fprintln(r.out, err)
		r.fail("fuzz")
		return
	}
	defer os.RemoveAll(programs)
	queue := make(chan target)
	var mu sync.Mutex // of the report
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(queue)
	end := time.Now().Add(s.budget + building)
	for range abreast {
		wg.Go(func() {
			for t := range queue {
				r.fuzzOne(ctx, t, each, end, &mu)
			}
		})
	}
	for i, p := range packages {
		if len(p.fuzzs) == 0 || ctx.Err() != nil {
			continue
		}
		program := filepath.Join(programs, fmt.Sprint(i))
		// -fuzz would compile every dependency once more, so that the fuzzer sees
		// which inputs lead to new code in them too. Ours are enough.
		module, _, _ := strings.Cut(p.path, "/")
		cmd := command(ctx, "test", "-c", "-vet=off", "-tags", s.tags, "-gcflags="+module+"/...=-d=libfuzzer", "-o", program, p.path)
		if err := cmd.Run(); err != nil {
			mu.Lock()
			fmt.Fprintf(r.out, "FAIL  %s (fuzzing): %v\n", p.path, err)
			r.fail(p.path + " (fuzzing)")
			mu.Unlock()
			continue
		}
		for _, name := range p.fuzzs {
			queue <- target{p.path + " " + name + " (fuzzing)", name, p.dir, program, filepath.Join(strings.TrimSpace(string(cache)), "fuzz", p.path)}
		}
	}
}

func (r *report) fuzzOne(ctx context.Context, t target, each time.Duration, end time.Time, mu *sync.Mutex) {
	why := ""
	var out bytes.Buffer
	var err error
	if time.Now().After(end) {
		why = "no time was left for fuzzing"
	} else {
		// A target that hangs is a finding: it gets its time once more and a bit.
		own, cancel := context.WithTimeout(ctx, 2*each+time.Minute)
		cmd := exec.CommandContext(own, t.program, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", each.String(),
			"-test.parallel", "1", "-test.fuzzcachedir", t.cache)
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, &out, &out
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 5 * time.Second
		err = cmd.Run()
		if err == nil && own.Err() != nil {
			err = own.Err()
		}
		cancel()
	}
	if ctx.Err() != nil {
		why = "the time for everything was over"
	}
	if err != nil && onlyLate(out.String()) {
		err = nil
	}
	mu.Lock()
	defer mu.Unlock()
	switch {
	case why != "":
		r.skip(t.check, why)
	case err != nil:
		fmt.Fprintf(r.out, "FAIL  %s: %v\n%s", t.check, err, out.Bytes())
		r.fail(t.check)
	default:
		fmt.Fprintf(r.out, "ok    %s\n", t.check)
		r.pass()
	}
}

// onlyLate tells whether fuzzing found nothing and merely met the end of its
// time at a bad moment: then package testing reports the deadline itself as the
// failure. An input that fails or hangs is written down and named instead.
func onlyLate(out string) bool {
	return strings.Contains(out, "\n    context deadline exceeded\nFAIL\n") && !strings.Contains(out, "Failing input") && !strings.Contains(out, "panic:")
}
