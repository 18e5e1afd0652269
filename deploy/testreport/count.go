package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// outcome is what became of one check.
type outcome struct{ name, reason string }

// report counts outcomes.
type report struct {
	out     io.Writer
	passed  int
	failed  []outcome
	skipped []outcome
}

func (r *report) pass()              { r.passed++ }
func (r *report) fail(name string)   { r.failed = append(r.failed, outcome{name: name}) }
func (r *report) skip(n, why string) { r.skipped = append(r.skipped, outcome{n, why}) }

// add takes over what another report counted and said.
func (r *report) add(o *report, said []byte) {
	r.out.Write(said)
	r.passed += o.passed
	r.failed = append(r.failed, o.failed...)
	r.skipped = append(r.skipped, o.skipped...)
}

// maxOutput bounds what is kept of one test's output.
const maxOutput = 256 << 10

// suite reads one run of `go test -json`.
type suite struct {
	*report
	output  map[string]*strings.Builder // by package and test
	parents map[string]bool             // tests with subtests
	sick    map[string]bool             // packages with a failed test
	open    map[string]bool             // packages that have not ended
}

// read consumes the events of one run until its end.
func (r *report) read(in io.Reader) error {
	s := &suite{r, map[string]*strings.Builder{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			// What is not an event is a word of the go command itself.
			fmt.Fprintln(r.out, sc.Text())
			continue
		}
		s.take(e)
	}
	for _, p := range slices.Sorted(maps.Keys(s.open)) {
		fmt.Fprintf(r.out, "FAIL  %s ended without a word\n", p)
		r.fail(p)
	}
	return sc.Err()
}

func (s *suite) take(e event) {
	key := e.Package + " " + e.Test
	if e.ImportPath != "" {
		if e.Action == "build-output" {
			fmt.Fprint(s.out, e.Output)
		}
		return
	}
	switch e.Action {
	case "start":
		s.open[e.Package] = true
	case "run":
		if i := strings.LastIndex(e.Test, "/"); i > 0 {
			s.parents[e.Package+" "+e.Test[:i]] = true
		}
	case "output":
		b := s.output[key]
		if b == nil {
			b = &strings.Builder{}
			s.output[key] = b
		}
		if b.Len() < maxOutput {
			b.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packageEnded(e)
			return
		}
		s.testEnded(e, key)
	}
}

func (s *suite) testEnded(e event, key string) {
	text := ""
	if b := s.output[key]; b != nil {
		text = b.String()
	}
	delete(s.output, key)
	name := e.Package + " " + e.Test
	switch e.Action {
	case "fail":
		fmt.Fprintf(s.out, "FAIL  %s\n%s", name, text)
		// A parent fails with its subtests, which are counted already.
		if !s.parents[key] || !s.childFailed(name) {
			s.fail(name)
		}
		s.sick[e.Package] = true
	case "skip":
		s.skip(name, reason(text))
	case "pass":
		if !s.parents[key] {
			s.pass()
		}
	}
}

func (s *suite) childFailed(name string) bool {
	return slices.ContainsFunc(s.failed, func(o outcome) bool { return strings.HasPrefix(o.name, name+"/") })
}

func (s *suite) packageEnded(e event) {
	delete(s.open, e.Package)
	key := e.Package + " "
	text := ""
	if b := s.output[key]; b != nil {
		text = b.String()
	}
	delete(s.output, key)
	switch {
	case e.Action == "pass":
		fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	case e.Action == "fail" && !s.sick[e.Package]:
		// It did not build, panicked outside a test, or ran out of time: what the
		// tests said that had not ended tells where.
		fmt.Fprintf(s.out, "FAIL  %s\n%s", e.Package, text)
		for _, k := range slices.Sorted(maps.Keys(s.output)) {
			if strings.HasPrefix(k, key) {
				fmt.Fprint(s.out, s.output[k])
				delete(s.output, k)
			}
		}
		s.fail(e.Package)
	case e.Action == "fail":
		fmt.Fprintf(s.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	}
}

var where = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: (.*)$`)

// reason is what a test said when it skipped.
func reason(output string) string {
	for line := range strings.Lines(output) {
		if m := where.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}

// finish prints failures, skips and the one line, and answers the exit status.
func (r *report) finish() int {
	if len(r.failed) > 0 {
		fmt.Fprintln(r.out, "\nfailed:")
		for _, f := range r.failed {
			fmt.Fprintf(r.out, "  %s\n", f.name)
		}
	}
	if len(r.skipped) > 0 {
		fmt.Fprintln(r.out, "\nskipped:")
		for _, s := range r.skipped {
			fmt.Fprintf(r.out, "  %s: %s\n", s.name, s.reason)
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	if len(r.failed) > 0 {
		return 1
	}
	return 0
}
