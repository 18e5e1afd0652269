package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"skerry/deploy/operator"
	"skerry/events"
)

// A feature level waits as soon as the last voter understands it.
func TestLevel(t *testing.T) {
	region := func(level int, understand ...int) operator.Status {
		s := operator.Status{Status: events.Status{Region: "isle-1", Level: level}}
		for _, n := range understand {
			s.Members = append(s.Members, operator.Member{Understands: n})
		}
		return s
	}
	for _, c := range []struct {
		s     operator.Status
		waits bool
	}{
		{region(1, 3, 3, 3), true}, {region(2, 3, 3, 3), true}, {region(3, 3, 3, 3), false},
		{region(1, 3, 1, 3), false}, {region(1, 3, 3, 0), false}, {region(1), false},
	} {
		f := level(c.s)
		if !f.OK || (f.Next != "") != c.waits {
			t.Errorf("%+v: %+v", c.s, f)
		}
		if next := fmt.Sprintf(`{"level":%d}`, c.s.Level+1); c.waits && !strings.Contains(f.Next, next) {
			t.Errorf("%s does not send %s", f.Next, next)
		}
	}
}

func TestDifferences(t *testing.T) {
	want := []events.Object{
		{Kind: "instance", ID: "i-1", State: "running"},
		{Kind: "instance", ID: "i-2", State: "running"},
		{Kind: "instance", ID: "i-3", State: "running"},
		{Kind: "instance", ID: "i-4", State: "pending"},
		{Kind: "instance", ID: "i-5", State: "shutting-down"},
	}
	have := []events.Object{
		{Kind: "domain", ID: "i-1", State: "running 1.0"},
		{Kind: "domain", ID: "i-2", State: "crashed 1.0"},
		{Kind: "domain", ID: "i-9", State: "running 1.0"},
		{Kind: "files", ID: "i-1", State: "prepared 1"},
		{Kind: "files", ID: "i-8", State: "prepared 1"},
	}
	got := differences(want, have, []string{"domain i-9"})
	expect := []string{
		"i-2 should run and its domain is crashed 1.0",
		"i-3 should run and has no domain",
		"the domain of i-9 (running 1.0) should not be there",
		"the files of i-8 (prepared 1) should not be there",
		"domain i-9 is an orphan",
	}
	if !slices.Equal(got, expect) {
		t.Errorf("got %q", got)
	}
	if got := differences(want[:1], have[:1], nil); len(got) != 0 {
		t.Errorf("all is well, but %q", got)
	}
}

func TestLacking(t *testing.T) {
	want := []events.Object{
		{Kind: "volume", ID: "vol-1", State: "epoch 3 attach-1"},
		{Kind: "volume", ID: "vol-2", State: "epoch 3"},
		{Kind: "volume", ID: "vol-3", State: "epoch 1"},
		{Kind: "volume", ID: "vol-4", State: "gone"},
		{Kind: "volume", ID: "vol-5", State: "gone"},
		{Kind: "volume", ID: "vol-6", State: "creating"},
		{Kind: "snapshot", ID: "snap-1", State: "epoch 1"},
		{Kind: "snapshot", ID: "snap-2", State: "epoch 1"},
		{Kind: "snapshot", ID: "snap-3", State: "pending"},
		{Kind: "snapshot", ID: "snap-4", State: "pending"},
		{Kind: "snapshot", ID: "snap-5", State: "error"},
	}
	have := []events.Object{
		{Kind: "volume", ID: "vol-1", State: "epoch 3 attach-1"},
		{Kind: "volume", ID: "vol-2", State: "epoch 2 attach-2"},
		{Kind: "volume", ID: "vol-4", State: "held"},
		{Kind: "volume", ID: "vol-9", State: "held"},
		{Kind: "snapshot", ID: "snap-1", State: "epoch 1"},
		{Kind: "snapshot", ID: "snap-3", State: "epoch 1"},
	}
	expect := []string{
		`the volume vol-2 is "epoch 2 attach-2" and should be "epoch 3"`,
		"the volume vol-3 is missing",
		"the volume vol-4 should be gone and is held",
		"it has not said that the volume vol-5 is gone",
		"the snapshot snap-2 is missing",
		"the volume vol-9 (held) should not be there",
		"volume vol-9 is an orphan",
	}
	if got := lacking(want, have, []string{"volume vol-9"}); !slices.Equal(got, expect) {
		t.Errorf("got %q", got)
	}
	if got := lacking(want[:1], have[:1], nil); len(got) != 0 {
		t.Errorf("all is well, but %q", got)
	}
}
