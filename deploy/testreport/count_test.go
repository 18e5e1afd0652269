package main

import (
	"strings"
	"testing"
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
	if last := lines[len(lines)-1]; code != 1 || last != "3 passed, 4 failed, 1 skipped" {
		t.Errorf("status %d, %q\n%s", code, last, out.String())
	}
	for _, want := range []string{"  a TestFour: needs root: namespaces\n", "a_test.go:9: bad", "b.go:1: syntax error", "  d\n", "go: something odd"} {
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
