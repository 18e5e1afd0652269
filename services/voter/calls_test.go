package voter

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"skerry/events"
)

// The first event of a call tells the call, from the feature level on that has
// it: a voter that does not know of calls makes the same records until then.
func TestCallsAreTold(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	defer h.Close()
	f := newFSM(h)
	call := events.Call{Action: "CreateVpc", AccessKey: "AKIA", Source: "127.0.0.1", Agent: "aws-cli", Parameters: `{}`}
	index := uint64(0)
	apply := func(s events.Stamped) []events.Record {
		index++
		return f.ApplyBatch([]*raft.Log{{Index: index, Type: raft.LogCommand, Data: s.Encode()}})[0].(events.Reply).Events
	}
	made := func(id string) []events.Record {
		s := stamped(id, 0, events.CreateAccount{Name: id})
		s.Stamp.Call = call
		return apply(s)
	}
	apply(stamped("form", 0, form()))
	for _, r := range made("before") {
		if r.Call != (events.Call{}) {
			t.Errorf("level 1 tells %+v", r)
		}
	}
	apply(stamped("raise", 0, events.RaiseFeatureLevel{Level: events.LevelCalls}))
	after := made("after")
	if len(after) < 2 {
		t.Fatalf("%d events", len(after))
	}
	for i, r := range after {
		if told := r.Call == call; told != (i == 0) || !told && r.Call != (events.Call{}) {
			t.Errorf("event %d tells %+v", i, r.Call)
		}
	}
	if got, err := h.Get(after[0].N); err != nil || got.Call != call || got.Hash != after[0].Hash {
		t.Errorf("%+v, %v", got, err)
	}
}
