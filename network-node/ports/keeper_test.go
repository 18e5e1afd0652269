package ports

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/memory"
)

var host = netip.MustParseAddr("172.16.0.1")

func spec(t *testing.T, kind events.SpecKind, id string, n uint64, body any) events.Spec {
	t.Helper()
	if body == nil {
		return events.Spec{Kind: kind, ID: id, N: n, Tombstone: true}
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return events.Spec{Kind: kind, ID: id, N: n, Body: b}
}

func port(id string) events.PortSpec {
	return events.PortSpec{Interface: events.InterfaceID(id), Instance: "i-1", VPC: "vpc-1", VNI: 7, Tap: "t" + id, MAC: "0a:00:00:00:00:01", PrivateIP: netip.MustParseAddr("10.0.0.4"),
		Subnet: 71, Groups: []uint32{1}, SourceCheck: true, MTU: 9001, Router: netip.MustParseAddr("10.0.0.1"), RouterMAC: events.RouterMAC(71), Resolver: netip.MustParseAddr("10.0.0.2")}
}

type bench struct {
	*Keeper
	dp      *memory.Datapath
	removed []events.ReportRemoved
	refuse  error
}

func newBench(gateway bool) *bench {
	b := &bench{dp: memory.New(memory.Options{Address: host, Gateway: gateway})}
	b.Keeper = New(b.dp, Options{Host: "h1", Kind: "network", Report: func(_ context.Context, r events.ReportRemoved) error {
		b.removed = append(b.removed, r)
		return b.refuse
	}})
	return b
}

func (b *bench) give(t *testing.T, complete bool, specs ...events.Spec) {
	t.Helper()
	b.Want(events.SpecSet{Specs: specs}, complete)
	if err := b.Pass(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) ids(t *testing.T) (ids []string) {
	t.Helper()
	ps, err := b.dp.Ports()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		ids = append(ids, string(p.Interface))
	}
	return ids
}

func TestAbsenceIsNoOrder(t *testing.T) {
	b := newBench(false)
	b.give(t, false, spec(t, events.SpecPort, "e1", 1, port("e1")))
	if got := b.ids(t); len(got) != 0 {
		t.Fatalf("before a complete set: %v", got)
	}
	b.give(t, true, spec(t, events.SpecPort, "e1", 1, port("e1")))
	if got := b.ids(t); !slices.Equal(got, []string{"e1"}) {
		t.Fatal(got)
	}
	b.give(t, true)
	if got := b.ids(t); !slices.Equal(got, []string{"e1"}) {
		t.Fatalf("absence destroyed it: %v", got)
	}
	h, err := b.Have(context.Background())
	if err != nil || !slices.Equal(h.Orphans, []string{"tap e1"}) {
		t.Errorf("%v %v", h, err)
	}
	b.give(t, false, spec(t, events.SpecPort, "e1", 9, nil))
	if got := b.ids(t); len(got) != 0 || len(b.removed) != 1 || b.removed[0] != (events.ReportRemoved{Host: "h1", Kind: events.SpecPort, ID: "e1", Order: 9}) {
		t.Errorf("%v %v", got, b.removed)
	}
	// An older word does not bring it back.
	b.give(t, false, spec(t, events.SpecPort, "e1", 5, port("e1")))
	if got := b.ids(t); len(got) != 0 {
		t.Error(got)
	}
}

func TestReportsRepeat(t *testing.T) {
	b := newBench(false)
	b.refuse = errors.New("no leader")
	b.Want(events.SpecSet{Specs: []events.Spec{spec(t, events.SpecPort, "e1", 1, nil)}}, true)
	if err := b.Pass(context.Background()); err == nil || len(b.removed) != 1 {
		t.Fatalf("%v %v", err, b.removed)
	}
}

// Tables: a complete set replaces them, a part adds and its tombstones remove.
func TestTables(t *testing.T) {
	b := newBench(false)
	tables := func() datapath.Tables { return b.read.tables }
	m := func(id string) events.MappingSpec {
		return events.MappingSpec{Interface: events.InterfaceID(id), VPC: "vpc-1", VNI: 7, MAC: "0a:00:00:00:00:0" + id[1:], Addresses: []netip.Addr{netip.MustParseAddr("10.0.0." + id[1:])}, Host: host,
			Public: netip.MustParseAddr("198.18.0." + id[1:])}
	}
	b.give(t, true, spec(t, events.SpecMapping, "e1", 1, m("e1")), spec(t, events.SpecFabric, "fabric", 1, events.FabricSpec{Nodes: []netip.Addr{host}}))
	b.give(t, false, spec(t, events.SpecMapping, "e2", 2, m("e2")))
	if n := len(tables().Mappings); n != 2 || len(tables().Nodes) != 1 {
		t.Fatal(tables())
	}
	if a, ok := b.Private("vpc-1", netip.MustParseAddr("198.18.0.2")); !ok || a.String() != "10.0.0.2" {
		t.Error(a, ok)
	}
	b.give(t, false, spec(t, events.SpecMapping, "e1", 3, nil))
	if ms := tables().Mappings; len(ms) != 1 || ms[0].Interface != "e2" {
		t.Fatal(ms)
	}
	b.give(t, true)
	if ms := tables().Mappings; len(ms) != 0 {
		t.Fatal(ms)
	}
}

func TestLookup(t *testing.T) {
	b := newBench(false)
	b.give(t, true, spec(t, events.SpecPort, "e1", 1, port("e1")))
	ps, _ := b.dp.Ports()
	if _, _, ok := b.Lookup(ps[0].Service); ok {
		t.Error("an instance that nobody described")
	}
	b.give(t, false, spec(t, events.SpecMetadata, "i-1", 1, events.MetadataSpec{Instance: "i-1", Type: "m1.small"}))
	if p, m, ok := b.Lookup(ps[0].Service); !ok || p.Interface != "e1" || m.Type != "m1.small" {
		t.Error(p, m, ok)
	}
	if _, _, ok := b.Lookup(netip.MustParseAddr("100.64.9.9")); ok {
		t.Error("a stranger")
	}
}

// What cannot be read or held is told, and does not stop the rest.
func TestFaults(t *testing.T) {
	b := newBench(false)
	bad := port("e2")
	bad.MAC = "ff:ff:ff:ff:ff:ff"
	b.Want(events.SpecSet{Specs: []events.Spec{{Kind: events.SpecPort, ID: "e0", N: 1, Body: []byte(`{`)}, spec(t, events.SpecPort, "e1", 1, port("e1")), spec(t, events.SpecPort, "e2", 1, bad),
		spec(t, events.SpecPort, "e3", 1, port("e1"))}}, true)
	if err := b.Pass(context.Background()); err == nil {
		t.Error("no word about e2")
	}
	if got := b.ids(t); !slices.Equal(got, []string{"e1"}) {
		t.Error(got)
	}
	c := strings.Join(b.Conditions(), "\n")
	for _, id := range []string{"e0", "e2", "e3"} {
		if !strings.Contains(c, id) {
			t.Errorf("conditions say nothing of %s:\n%s", id, c)
		}
	}
}

func TestPublic(t *testing.T) {
	b := newBench(true)
	p := events.PublicSpec{Address: netip.MustParseAddr("198.18.0.4"), VNI: 7, Private: netip.MustParseAddr("10.0.0.4"), MAC: "0a:00:00:00:00:01", Host: host, Announce: true}
	b.give(t, true, spec(t, events.SpecPublic, "198.18.0.4", 1, p))
	if as, _ := b.dp.Publics(); len(as) != 1 || !b.Public(p.Address) {
		t.Fatal(as)
	}
	b.give(t, false, spec(t, events.SpecPublic, "198.18.0.4", 2, nil))
	if as, _ := b.dp.Publics(); len(as) != 0 || len(b.removed) != 1 || b.Public(p.Address) {
		t.Fatal(as, b.removed)
	}
}
