package node

import (
	"testing"

	"skerry/events"
)

func TestMerge(t *testing.T) {
	key := func(s events.Spec) (string, bool) { return s.ID, s.Kind == events.SpecVolume }
	spec := func(id string, n uint64) events.Spec { return events.Spec{Kind: events.SpecVolume, ID: id, N: n} }
	held := Merge(nil, []events.Spec{spec("a", 5), spec("b", 6), {Kind: events.SpecInstance, ID: "i", N: 7}}, true, key)
	if len(held) != 2 {
		t.Fatalf("%v", held)
	}
	part := Merge(held, []events.Spec{spec("a", 4), spec("c", 8)}, false, key)
	if len(part) != 3 || part["a"].N != 5 || part["b"].N != 6 || part["c"].N != 8 {
		t.Errorf("a part: %v", part)
	}
	whole := Merge(part, []events.Spec{spec("a", 9), spec("c", 7)}, true, key)
	if len(whole) != 2 || whole["a"].N != 9 || whole["c"].N != 8 {
		t.Errorf("a whole set: %v", whole)
	}
	if len(held) != 2 || held["a"].N != 5 {
		t.Errorf("what was held has changed: %v", held)
	}
}
