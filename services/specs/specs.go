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

// Opener opens sealed values, at the last moment before they leave for a node.
type Opener interface {
	Open(sealed []byte) ([]byte, error)
}

// Set is the complete set of one node, or with only the part about some objects.
func Set(v *state.View, host events.HostID, kind string, only []string, open Opener) (events.SpecSet, error) {
	specs := []events.Spec{}
	left := func(id string) bool { return only != nil && !slices.Contains(only, id) }
	if kind == "compute" {
		for i := range v.InstancesOn(host) {
			if i.State == state.ShuttingDown || left(string(i.ID)) {
				continue // its tombstone speaks
			}
			s, err := instance(i, open)
			if err != nil {
				return events.SpecSet{}, err
			}
			specs = append(specs, s)
		}
		for t := range v.TombstonesOn(host) {
			if left(t.ID) {
				continue
			}
			specs = append(specs, tombstone(t))
		}
	}
	slices.SortFunc(specs, func(a, b events.Spec) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return events.SpecSet{Manifest: events.Manifest{N: v.Meta.N, Count: len(specs), Digest: events.Digest(specs)}, Specs: specs}, nil
}

// Target is the node a spec is for.
type Target struct {
	Host events.HostID
	Kind string
}

// Closed opens nothing: what was sealed is left out.
type Closed struct{}

// Open returns nothing.
func (Closed) Open([]byte) ([]byte, error) { return nil, nil }

// Touched says which node's spec a record changes, as a poke: the spec without
// anything sealed, for operators to read. The node asks for the whole.
func Touched(v *state.View, r events.Record) (Target, events.Spec, bool) {
	var id events.InstanceID
	switch e := r.Event.(type) {
	case events.InstancePlaced:
		id = e.Instance
	case events.InstanceStarted:
		id = e.Instance
	case events.InstanceRebootRequested:
		id = e.Instance
	case events.InstanceModified:
		id = e.Instance
	case events.InstanceTerminationRequested:
		return Target{e.Host, "compute"}, events.Spec{Kind: events.SpecInstance, ID: string(e.Instance), N: r.N, Tombstone: true, Request: r.Request}, e.Host != ""
	case events.GuestUnexpected:
		return Target{e.Host, "compute"}, events.Spec{Kind: events.SpecInstance, ID: string(e.Instance), N: r.N, Tombstone: true, Request: r.Request}, true
	default:
		return Target{}, events.Spec{}, false
	}
	i, ok := v.Instances.Get(string(id))
	if !ok || i.Host == "" || !i.Live() {
		return Target{}, events.Spec{}, false
	}
	s, err := instance(i, Closed{})
	if err != nil {
		panic(err) // nothing is opened, and our own types marshal
	}
	s.N = r.N
	return Target{i.Host, "compute"}, s, true
}

func tombstone(t *state.Tombstone) events.Spec {
	return events.Spec{Kind: t.Kind, ID: t.ID, N: t.N, Tombstone: true, Request: t.Request}
}

func instance(i *state.Instance, open Opener) (events.Spec, error) {
	userData, err := open.Open(i.UserData)
	if err != nil {
		return events.Spec{}, fmt.Errorf("specs: %s: user data: %w", i.ID, err)
	}
	known := events.PhaseNone
	if i.State == state.Running {
		known = events.PhaseRunning
	}
	body, err := json.Marshal(events.InstanceSpec{
		Instance: i.ID, Account: i.Account, Reservation: i.Reservation, LaunchIndex: i.LaunchIndex, Zone: i.Zone, Host: i.Host,
		Shape: i.Shape, Run: i.State == state.Pending || i.State == state.Running, Generation: i.Generation, Reboots: i.Reboots,
		Image: i.Image, Kernel: i.KernelFile, Ramdisk: i.RamdiskFile, Root: i.RootFile, Cmdline: i.Cmdline, RootDevice: i.RootDevice,
		Interfaces: i.Interfaces, PublicKey: i.PublicKey, UserData: userData, Known: known,
	})
	if err != nil {
		return events.Spec{}, fmt.Errorf("specs: %s: %w", i.ID, err)
	}
	return events.Spec{Kind: events.SpecInstance, ID: string(i.ID), N: i.N, Request: i.Request, Body: body}, nil
}
