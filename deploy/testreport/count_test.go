package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	in := strings.Join([]string{
		`{"Action":"start","Package":"a"}`,
		`{"Action":"run","Package":"a","Test":"TestOne"}`,
		`{"Action":"pass","Package":"a","Test":"TestOne"}`,
		// A parent is counted by its two subtests, one of which fails.
		`{"Action":"run","Package":"a","Test":"TestTwo"}`,
		`{"Action":"run","Package":"a","Test":"TestTwo/x"}`,
		`{"Action":"pass","Package":"a","Test":"TestTwo/x"}`,
		`{"Action":"run","Package":"a","Test":"TestTwo/y"}`,
		`{"Action":"output","Package":"a","Test":"TestTwo/y","Output":"    a_test.go:9: bad\n"}`,
		`{"Action":"fail","Package":"a","Test":"TestTwo/y"}`,
		`{"Action":"fail","Package":"a","Test":"TestTwo"}`,
		// A parent that fails by itself counts.
		`{"Action":"run","Package":"a","Test":"TestThree"}`,
		`{"Action":"run","Package":"a","Test":"TestThree/x"}`,
		`{"Action":"pass","Package":"a","Test":"TestThree/x"}`,
		`{"Action":"fail","Package":"a","Test":"TestThree"}`,
		`{"Action":"run","Package":"a","Test":"TestFour"}`,
		`{"Action":"output","Package":"a","Test":"TestFour","Output":"=== RUN   TestFour\n"}`,
		`{"Action":"output","Package":"a","Test":"TestFour","Output":"    a_test.go:12: needs root: namespaces\n"}`,
		`{"Action":"skip","Package":"a","Test":"TestFour"}`,
		`{"Action":"fail","Package":"a"}`,
		// One does not build, one has no tests, one dies without a word.
		`{"ImportPath":"b","Action":"build-output","Output":"b.go:1: syntax error\n"}`,
		`{"ImportPath":"b","Action":"build-fail"}`,
		`{"Action":"start","Package":"b"}`,
		`{"Action":"fail","Package":"b","FailedBuild":"b"}`,
		`{"Action":"start","Package":"c"}`,
		`{"Action":"skip","Package":"c"}`,
		// One is ended from outside while a test runs.
		`{"Action":"start","Package":"e"}`,
		`{"Action":"run","Package":"e","Test":"TestHangs"}`,
		`{"Action":"output","Package":"e","Test":"TestHangs","Output":"goroutine 7 waits\n"}`,
		`{"Action":"fail","Package":"e"}`,
		`{"Action":"start","Package":"d"}`,
		`go: something odd`,
	}, "\n")
	var out strings.Builder
	r := &report{out: &out}
	if err := r.read(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	code := r.finish()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; code != 1 || last != "3 passed, 5 failed, 1 skipped" {
		t.Errorf("status %d, %q\n%s", code, last, out.String())
	}
	for _, want := range []string{"  a TestFour: needs root: namespaces\n", "a_test.go:9: bad", "b.go:1: syntax error", "  d\n", "  e\n", "goroutine 7 waits\n", "go: something odd"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

func TestAllWell(t *testing.T) {
	var out strings.Builder
	r := &report{out: &out}
	r.pass()
	if code := r.finish(); code != 0 || !strings.HasSuffix(out.String(), "\n1 passed, 0 failed, 0 skipped\n") {
		t.Errorf("status %d: %q", code, out.String())
	}
}

// A process that outlives its test is found, named and ended; so is a region's
// directory. The keeper around this test is a copy of the test itself.
func TestSweep(t *testing.T) {
	if len(os.Args) > 1 && os.Args[len(os.Args)-1] == "sweep" {
		dir := t.TempDir()
		os.MkdirAll(filepath.Join(dir, "a/region"), 0o755)
		os.WriteFile(filepath.Join(dir, "a/region/region.json"), nil, 0o644)
		if err := exec.Command("sh", "-c", "setsid sleep 987 & exit 0").Run(); err != nil {
			t.Fatal(err)
		}
		for named := false; !named; time.Sleep(time.Millisecond) { // it bears its name when it runs
			for _, command := range children(os.Getppid()) {
				named = named || strings.Contains(command, " sleep 987")
			}
		}
		r := &report{out: os.Stdout}
		r.sweep(dir)
		if left := children(os.Getppid()); len(left) != 1 { // this process
			t.Errorf("still there: %v", left)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the directory is still there")
		}
		if r.finish() != 1 {
			t.Error("what was left is no failure")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "keep", "-test.run=^TestSweep$", "sweep")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "left behind: process") || !strings.Contains(string(out), "sleep 987") || !strings.Contains(string(out), "left behind: region") ||
		!strings.Contains(string(out), "0 passed, 2 failed, 0 skipped") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "keep":
		code, err := keep(os.Args[2:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	case len(os.Args) > 1 && os.Args[1] == inner: // as keep starts it
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	os.Exit(m.Run())
}

func TestOnlyLate(t *testing.T) {
	late := "fuzz: elapsed: 10s, execs: 206431 (22995/sec), new interesting: 43 (total: 109)\n--- FAIL: FuzzA (10.10s)\n    context deadline exceeded\nFAIL\n"
	for out, want := range map[string]bool{
		late: true,
		"--- FAIL: FuzzA (0.10s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n": false,
		"--- FAIL: FuzzA (10.10s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n":               false,
		"FAIL\n": false,
	} {
		if onlyLate(out) != want {
			t.Errorf("%v for %q", !want, out)
		}
	}
}
