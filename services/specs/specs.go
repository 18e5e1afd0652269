// Package specs projects what each node must be from what the region knows.
//
// A spec is a pure function of the state at an event number: any voter answers
// a node with the same set. Tombstones are part of the set until the node says
// that nothing is left.
package specs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

// Secrets are what is not in the state: sealed values are opened, and secrets of
// the region's own made, at the last moment before they leave for a node.
type Secrets interface {
	Open(sealed []byte) ([]byte, error)
	Derive(purpose string) []byte
}

// Set is the complete set of one node, or with only the part about some objects.
func Set(v *state.View, host events.HostID, kind string, only []string, secrets Secrets) (events.SpecSet, error) {
	if only != nil {
		only = slices.Clone(only) // stays empty where it is: nothing is asked for, not all
		slices.Sort(only)
		only = slices.Compact(only)
	}
	c := &collector{v: v, host: host, only: only, secrets: secrets, specs: []events.Spec{}}
	switch kind {
	case "compute":
		c.compute()
	case "network":
		c.network()
	case "gateway":
		c.gateway()
	case "storage":
		c.storage()
	}
	if c.err != nil {
		return events.SpecSet{}, c.err
	}
	slices.SortFunc(c.specs, func(a, b events.Spec) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	set := events.SpecSet{Manifest: events.Manifest{N: v.Meta.N, Count: len(c.specs), Digest: events.Digest(c.specs)}, Specs: c.specs}
	if n, ok := v.Nodes.Get(state.NodeKey(host, kind)); ok {
		set.Boot = n.Boot
	}
	return set, nil
}

// collector gathers the set of one node.
type collector struct {
	v       *state.View
	host    events.HostID
	only    []string
	secrets Secrets
	specs   []events.Spec
	err     error
}

// left says that an object is not asked for.
func (c *collector) left(id string) bool { return c.only != nil && !slices.Contains(c.only, id) }

// add marshals a body. Our own types marshal.
func (c *collector) add(kind events.SpecKind, id string, n uint64, request string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		c.err = fmt.Errorf("specs: %s: %w", id, err)
		return
	}
	c.specs = append(c.specs, events.Spec{Kind: kind, ID: id, N: n, Request: request, Body: b})
}

// tombstones adds the orders to destroy objects of some kinds.
func (c *collector) tombstones(kinds ...events.SpecKind) {
	for t := range c.v.TombstonesOn(c.host) {
		if slices.Contains(kinds, t.Kind) && !c.left(t.ID) {
			c.specs = append(c.specs, tombstone(t))
		}
	}
}

// Closed opens nothing: what was sealed or is secret is left out.
type Closed struct{}

// Open returns nothing.
func (Closed) Open([]byte) ([]byte, error) { return nil, nil }

// Derive returns nothing.
func (Closed) Derive(string) []byte { return nil }

func tombstone(t *state.Tombstone) events.Spec {
	return events.Spec{Kind: t.Kind, ID: t.ID, N: t.N, Tombstone: true, Request: t.Request}
}
