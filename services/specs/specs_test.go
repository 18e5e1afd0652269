package specs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"

	"skerry/events"
	"skerry/services/specs"
	"skerry/services/state"
)

var update = flag.Bool("update", false, "write the golden file anew")

// plain opens what was never sealed.
type plain struct{}

func (plain) Open(b []byte) ([]byte, error) { return b, nil }

type locked struct{}

func (locked) Open([]byte) ([]byte, error) { return nil, errors.New("wrong key") }

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// story is a host with an instance that waits to start, one that runs and was
// rebooted, one that is to be destroyed, and a guest that nobody knows; and
// instances that are none of its business.
func story() (*state.Tx, []events.Record) {
	tx := state.New()
	var records []events.Record
	add := func(e events.Event) {
		r := events.Record{N: tx.Meta.N + 1, Time: start, Request: "req-" + events.Name(e), Event: e}
		records = append(records, r)
		tx.Apply(r)
	}
	add(events.RegionFormed{Name: "isle-1", Zones: []events.Zone{"isle-1a"}, Level: 1})
	add(events.SubnetCreated{ID: "subnet-1", VPC: "vpc-1", Zone: "isle-1a", CIDR: netip.MustParsePrefix("172.31.0.0/20")})
	for _, h := range []events.HostID{"h1", "h2"} {
		add(events.NodeJoined{Host: h, Kind: "compute", Zone: "isle-1a", Capacity: events.Capacity{VCPUs: 100, MemoryMiB: 100_000, DiskGiB: 1000}})
	}
	addr := netip.MustParseAddr("172.31.0.4")
	for i, id := range []events.InstanceID{"i-1", "i-2", "i-3", "i-4", "i-5", "i-6"} {
		eni := events.Interface{ID: events.InterfaceID("en" + id), VPC: "vpc-1", Subnet: "subnet-1", MAC: "06:00:00:00:00:0" + string(rune('0'+i)), PrivateIP: addr, Groups: []events.GroupID{"sg-1"}}
		addr = addr.Next()
		add(events.InterfaceCreated{Account: "111111111111", Zone: "isle-1a", Instance: id, Interface: eni})
		add(events.InstanceRequested{ID: id, Reservation: "r-1", LaunchIndex: i, Account: "111111111111", Zone: "isle-1a", Image: "ami-1",
			KernelFile: events.ImageFile{Name: "vmlinuz", SHA256: "aa", Bytes: 1}, RootFile: events.ImageFile{Name: "root", SHA256: "bb", Bytes: 2, Format: "raw"}, Cmdline: "quiet",
			RootDevice: "/dev/sda1", Shape: events.Shape{Type: "t2.nano", VCPUs: 1, MemoryMiB: 512, RootGiB: 8, EphemeralGiB: []int{4}},
			Need: events.Need{VCPUs: 1, MemoryMiB: 700, DiskGiB: 8}, PublicKey: "ssh-ed25519 AAAA <alice> & \u2028", UserData: []byte("#!/bin/sh\necho <hi> & \u2029\n"), Interfaces: []events.Interface{eni}, At: start})
	}
	for _, id := range []events.InstanceID{"i-1", "i-2", "i-3"} {
		add(events.InstancePlaced{Instance: id, Zone: "isle-1a", Host: "h1", Why: events.Why{Policy: "test"}})
	}
	add(events.InstancePlaced{Instance: "i-4", Zone: "isle-1a", Host: "h2"})
	add(events.InstanceStarted{Instance: "i-2", Zone: "isle-1a", Host: "h1", At: start})
	add(events.InstanceRebootRequested{Instance: "i-2", Zone: "isle-1a", Reboots: 2})
	add(events.InstanceStarted{Instance: "i-3", Zone: "isle-1a", Host: "h1", At: start})
	add(events.InstanceTerminationRequested{Instance: "i-3", Zone: "isle-1a", Host: "h1", From: state.Running, At: start})
	add(events.InstanceTerminated{Instance: "i-5", Zone: "isle-1a", From: state.Pending, At: start})
	add(events.GuestUnexpected{Instance: "i-9", Zone: "isle-1a", Host: "h1"})
	return tx, records
}

func set(t *testing.T, v *state.View, host events.HostID, only []string) events.SpecSet {
	t.Helper()
	s, err := specs.Set(v, host, "compute", only, plain{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Manifest.Count != len(s.Specs) || s.Manifest.Digest != events.Digest(s.Specs) || s.Manifest.N != v.Meta.N {
		t.Errorf("the manifest %+v is not of its %d specs at event %d", s.Manifest, len(s.Specs), v.Meta.N)
	}
	return s
}

// The set of a host, whole, as it goes over the bus. It leaves nothing to choose.
func TestGoldenSet(t *testing.T) {
	tx, _ := story()
	got, err := json.MarshalIndent(set(t, &tx.View, "h1", nil), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/h1.json"
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("the set is another:\n%s", got)
	}
}

// A set that was sent has the digest that it was sent with, whatever characters
// are in it; and any voter makes the same.
func TestDigestSurvivesTheBus(t *testing.T) {
	tx, _ := story()
	s := set(t, &tx.View, "h1", nil)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back events.SpecSet
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if events.Digest(back.Specs) != s.Manifest.Digest {
		t.Error("the digest changes on the way")
	}
	if len(back.Specs) > 0 {
		back.Specs[0].N++
		if events.Digest(back.Specs) == s.Manifest.Digest {
			t.Error("a changed spec has the same digest")
		}
	}
	var buf bytes.Buffer
	if err := tx.View.Save(&buf); err != nil {
		t.Fatal(err)
	}
	other, err := state.Load(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(set(t, &other.View, "h1", nil), s) {
		t.Error("a voter that loaded a snapshot makes another set")
	}
}

func TestParts(t *testing.T) {
	tx, _ := story()
	ids := func(s events.SpecSet) (out []string) {
		for _, x := range s.Specs {
			id := x.ID
			if x.Tombstone {
				id = "-" + id
			}
			out = append(out, id)
		}
		return out
	}
	for _, test := range []struct {
		host events.HostID
		kind string
		only []string
		want []string
	}{
		{"h1", "compute", nil, []string{"i-1", "i-2", "-i-3", "-i-9"}},
		{"h1", "compute", []string{"i-2", "i-9"}, []string{"i-2", "-i-9"}},
		{"h1", "compute", []string{"i-4", "i-77"}, nil}, // of another host, and of nobody
		{"h1", "compute", []string{}, nil},
		{"h2", "compute", nil, []string{"i-4"}},
		{"h3", "compute", nil, nil},
		{"h1", "storage", nil, nil},
	} {
		s, err := specs.Set(&tx.View, test.host, test.kind, test.only, plain{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(s); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s/%s only %v: %v, want %v", test.host, test.kind, test.only, got, test.want)
		}
		if s.Specs == nil {
			t.Errorf("%s/%s: an empty set is null on the wire", test.host, test.kind)
		}
	}
	if _, err := specs.Set(&tx.View, "h1", "compute", nil, locked{}); err == nil {
		t.Error("a set was made of user data that cannot be opened")
	}
}

// The tombstone stays in the set until the node has said that nothing is left.
func TestTombstoneGoes(t *testing.T) {
	tx, _ := story()
	before := len(set(t, &tx.View, "h1", nil).Specs)
	tx.Apply(events.Record{N: tx.Meta.N + 1, Event: events.InstanceTerminated{Instance: "i-3", Zone: "isle-1a", From: state.ShuttingDown, At: start}})
	if n := len(set(t, &tx.View, "h1", nil).Specs); n != before {
		t.Errorf("%d specs after the end of i-3, %d before: its tombstone went too early", n, before)
	}
	tx.Apply(events.Record{N: tx.Meta.N + 1, Event: events.GuestRemoved{Instance: "i-3", Zone: "isle-1a", Host: "h1"}})
	if n := len(set(t, &tx.View, "h1", nil).Specs); n != before-1 {
		t.Errorf("%d specs after the guest was removed, want %d", n, before-1)
	}
}

// Whatever changes a node's set pokes that node, and names what changed.
func TestTouched(t *testing.T) {
	_, records := story()
	tx := state.New()
	hosts := []events.HostID{"h1", "h2"}
	before := map[events.HostID]string{}
	for _, r := range records {
		tx.Apply(r)
		to, spec, poked := specs.Touched(&tx.View, r)
		for _, h := range hosts {
			now := set(t, &tx.View, h, nil).Manifest.Digest
			if changed := before[h] != "" && before[h] != now; changed && (!poked || to.Host != h || to.Kind != "compute") {
				t.Errorf("event %d (%s) changed the set of %s; poked: %v %+v", r.N, events.Name(r.Event), h, poked, to)
			}
			before[h] = now
		}
		if poked && (spec.N != r.N || spec.Request != r.Request || spec.ID == "" || spec.Kind != events.SpecInstance) {
			t.Errorf("event %d pokes with %+v", r.N, spec)
		}
		if bytes.Contains(spec.Body, []byte("userData")) {
			t.Errorf("event %d tells user data to whoever listens: %s", r.N, spec.Body)
		}
	}
}
