package guests

import (
	"context"
	"maps"
	"slices"
	"sync"

	"skerry/events"
)

// Memory is a Store without files, for hosts whose hypervisor is in memory.
type Memory struct {
	mu      sync.Mutex
	records map[events.InstanceID]Record
	refuse  error
}

var _ Store = (*Memory)(nil)

// NewMemory is an empty store.
func NewMemory() *Memory { return &Memory{records: map[events.InstanceID]Record{}} }

// Refuse makes Prepare fail with err until it is called with nil.
func (m *Memory) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Records implements Store.
func (m *Memory) Records(context.Context) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Record
	for _, id := range slices.Sorted(maps.Keys(m.records)) {
		out = append(out, m.records[id])
	}
	return out, nil
}

// Prepare implements Store.
func (m *Memory) Prepare(_ context.Context, s events.InstanceSpec) (Files, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return Files{}, m.refuse
	}
	r := m.records[s.Instance]
	r.Instance, r.Prepared, r.Root, r.Ephemeral = s.Instance, s.Generation, s.Root.SHA256, len(s.Shape.EphemeralGiB)
	m.records[s.Instance] = r
	dir := "/memory/" + string(s.Instance)
	f := Files{Kernel: dir + "/kernel", Ramdisk: dir + "/ramdisk", Root: dir + "/root", Console: dir + "/console"}
	for range s.Shape.EphemeralGiB {
		f.Ephemeral = append(f.Ephemeral, dir+"/ephemeral")
	}
	return f, nil
}

// Started implements Store.
func (m *Memory) Started(_ context.Context, id events.InstanceID, generation, reboots uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[id]
	r.Instance, r.Generation, r.Reboots = id, generation, reboots
	m.records[id] = r
	return nil
}

// Console implements Store: nothing is kept.
func (m *Memory) Console(events.InstanceID, int) ([]byte, error) { return nil, nil }

// Retire implements Store.
func (m *Memory) Retire(_ context.Context, id events.InstanceID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, id)
	return nil
}

// Tidy implements Store.
func (m *Memory) Tidy(context.Context) error { return nil }

// Problems implements Store.
func (m *Memory) Problems() []string { return nil }
