package specs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
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

// Derive is a secret that shows what it is for.
func (plain) Derive(purpose string) []byte { return []byte("secret of " + purpose) }

type locked struct{}

func (locked) Open([]byte) ([]byte, error) { return nil, errors.New("wrong key") }
func (locked) Derive(string) []byte        { return nil }

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
	add(events.VPCCreated{ID: "vpc-1", Account: "111111111111", CIDR: netip.MustParsePrefix("172.31.0.0/16"), VNI: 7, Default: true})
	add(events.SubnetCreated{ID: "subnet-1", VPC: "vpc-1", Zone: "isle-1a", CIDR: netip.MustParsePrefix("172.31.0.0/20")})
	add(events.InternetGatewayCreated{ID: "igw-1", VPC: "vpc-1"})
	add(events.RouteTableCreated{ID: "rtb-1", VPC: "vpc-1", Main: true, Routes: []events.Route{{Destination: netip.MustParsePrefix("172.31.0.0/16")}, {Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: "igw-1"}}})
	add(events.GroupCreated{ID: "sg-1", Account: "111111111111", VPC: "vpc-1", Name: "default", Rules: []events.Rule{{ID: "sgr-1", Protocol: "-1", From: -1, To: -1, Group: "sg-1"}}})
	for i, h := range []events.HostID{"h1", "h2"} {
		add(events.NodeJoined{Host: h, Kind: "compute", Zone: "isle-1a", Capacity: events.Capacity{VCPUs: 100, MemoryMiB: 100_000, DiskGiB: 1000}})
		add(events.NodeJoined{Host: h, Kind: "network", Zone: "isle-1a", Address: fmt.Sprintf("10.0.0.%d", i+1)})
		add(events.NodeJoined{Host: h, Kind: "storage", Zone: "isle-1a", Boot: "b" + string(h), Address: fmt.Sprintf("10.0.0.%d:3260", i+1), Capacity: events.Capacity{DiskGiB: 100}})
	}
	for i, h := range []events.HostID{"gw1", "gw2"} {
		add(events.NodeJoined{Host: h, Kind: "gateway", Zone: "isle-1a", Address: fmt.Sprintf("10.0.0.%d", i+8)})
	}
	add(events.GatewayElected{Zone: "isle-1a", Host: "gw1", Epoch: 1})
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
	add(events.PublicAddressAssigned{Address: netip.MustParseAddr("198.18.0.16"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2", Instance: "i-2", Private: netip.MustParseAddr("172.31.0.5")})
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

	add(events.VolumeRequested{ID: "vol-1", Account: "111111111111", Zone: "isle-1a", SizeGiB: 4, Type: "io1"})
	add(events.VolumePlaced{Volume: "vol-1", Zone: "isle-1a", Host: "h2", Boot: "bh2", Epoch: 1})
	add(events.VolumeConfirmed{Volume: "vol-1", Zone: "isle-1a", Host: "h2", Epoch: 1})
	add(events.VolumeAvailable{Volume: "vol-1", Zone: "isle-1a"})
	add(events.VolumeAttachRequested{Volume: "vol-1", Zone: "isle-1a", Instance: "i-2", Attachment: "attach-1", Device: "/dev/xvdb", Epoch: 2})
	add(events.VolumeAttached{Volume: "vol-1", Zone: "isle-1a", Instance: "i-2", Attachment: "attach-1"})
	add(events.VolumeEpochRaised{Volume: "vol-1", Zone: "isle-1a", Host: "h2", Boot: "bh2+", Epoch: 3})
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

// later is what happens after the story.
func later() []events.Event {
	ip := netip.MustParseAddr
	return []events.Event{
		events.RulesAuthorized{Group: "sg-1", VPC: "vpc-1", Rules: []events.Rule{{ID: "sgr-2", Protocol: "tcp", From: 22, To: 22, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}},
		events.RulesRevoked{Group: "sg-1", VPC: "vpc-1", Rules: []events.RuleID{"sgr-2"}},
		events.GroupCreated{ID: "sg-2", Account: "111111111111", VPC: "vpc-1", Name: "web"},
		events.GroupDeleted{ID: "sg-2", Account: "111111111111", VPC: "vpc-1"},
		events.AddressAllocated{Allocation: "eipalloc-1", Address: ip("198.18.0.17"), Account: "111111111111"},
		events.PublicAddressReturned{Address: ip("198.18.0.16"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.AddressAssociated{Association: "eipassoc-1", Address: ip("198.18.0.17"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2", Instance: "i-2", Private: ip("172.31.0.5")},
		events.AddressDisassociated{Association: "eipassoc-1", Address: ip("198.18.0.17"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.SpecRemoved{Host: "gw1", Zone: "isle-1a", Kind: events.SpecPublic, ID: "198.18.0.17"},
		events.GatewayElected{Zone: "isle-1a", Host: "gw2", Epoch: 2},
		events.SubnetCreated{ID: "subnet-2", VPC: "vpc-1", Zone: "isle-1a", CIDR: netip.MustParsePrefix("172.31.16.0/20")},
		events.SubnetModified{ID: "subnet-2", VPC: "vpc-1", Zone: "isle-1a", MapPublic: new(bool)},
		events.VPCBlockAssociated{VPC: "vpc-1", Association: "vpc-cidr-assoc-1", CIDR: netip.MustParsePrefix("fd00:1::/56")},
		events.SubnetBlockAssociated{Subnet: "subnet-1", VPC: "vpc-1", Zone: "isle-1a", Association: "subnet-cidr-assoc-1", CIDR: netip.MustParsePrefix("fd00:1::/64")},
		events.SubnetModified{ID: "subnet-1", VPC: "vpc-1", Zone: "isle-1a", DNS64: new(true)},
		events.InterfaceAddressesAssigned{ID: "eni-2", VPC: "vpc-1", IPv6: []netip.Addr{ip("fd00:1::9")}, IPv6Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:1:0:0:1::/80")}},
		events.RouteCreated{Table: "rtb-1", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("fd00:1::/56")}},
		events.RouteDeleted{Table: "rtb-1", VPC: "vpc-1", Destination: netip.MustParsePrefix("fd00:1::/56")},
		events.InterfaceAddressesUnassigned{ID: "eni-2", VPC: "vpc-1", IPv6: []netip.Addr{ip("fd00:1::9")}, IPv6Prefixes: []netip.Prefix{netip.MustParsePrefix("fd00:1:0:0:1::/80")}},
		events.SubnetBlockDisassociated{Subnet: "subnet-1", VPC: "vpc-1", Zone: "isle-1a", Association: "subnet-cidr-assoc-1", CIDR: netip.MustParsePrefix("fd00:1::/64")},
		events.VPCBlockDisassociated{VPC: "vpc-1", Association: "vpc-cidr-assoc-1", CIDR: netip.MustParsePrefix("fd00:1::/56")},
		events.VPCModified{ID: "vpc-1", DNSSupport: new(bool)},
		events.RouteTableCreated{ID: "rtb-2", VPC: "vpc-1", Routes: []events.Route{{Destination: netip.MustParsePrefix("172.31.0.0/16")}}},
		events.RouteTableAssociated{Association: "rtbassoc-1", VPC: "vpc-1", Table: "rtb-2", Subnet: "subnet-2"},
		events.RouteCreated{Table: "rtb-2", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: "igw-1"}},
		events.RouteReplaced{Table: "rtb-2", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eni-1"}},
		events.RouteCreated{Table: "rtb-2", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("192.0.2.0/24"), Interface: "eni-6"}},
		events.InstanceTerminated{Instance: "i-6", Zone: "isle-1a", From: state.Pending, At: start},
		events.InterfaceDeleted{ID: "eni-6", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1"},
		events.RouteDeleted{Table: "rtb-2", VPC: "vpc-1", Destination: netip.MustParsePrefix("192.0.2.0/24")},
		events.PublicAddressAssigned{Address: ip("198.18.0.20"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2", Instance: "i-2", Private: ip("172.31.0.5")},
		events.PublicAddressReturned{Address: ip("198.18.0.20"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.InternetGatewayDetached{ID: "igw-1", VPC: "vpc-1"},
		events.InternetGatewayDeleted{ID: "igw-1"},
		events.PublicAddressAssigned{Address: ip("198.18.0.21"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2", Instance: "i-2", Private: ip("172.31.0.5")},
		events.InternetGatewayCreated{ID: "igw-2"},
		events.InternetGatewayAttached{ID: "igw-2", VPC: "vpc-1"},
		events.PublicAddressReturned{Address: ip("198.18.0.21"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-2"},
		events.MainRouteTableReplaced{Association: "rtbassoc-2", VPC: "vpc-1", Table: "rtb-2"},
		events.RouteTableDisassociated{Association: "rtbassoc-1", VPC: "vpc-1", Table: "rtb-2", Subnet: "subnet-2"},
		events.RouteTableDeleted{ID: "rtb-1", VPC: "vpc-1"},
		events.SubnetDeleted{ID: "subnet-2", VPC: "vpc-1", Zone: "isle-1a"},
		events.InstanceModified{Instance: "i-2", Zone: "isle-1a", SourceDestCheck: new(bool)},
		events.InterfaceCreated{Account: "111111111111", Zone: "isle-1a", Interface: events.Interface{ID: "eni-7", VPC: "vpc-1", Subnet: "subnet-1", MAC: "06:00:00:00:00:77",
			PrivateIP: ip("172.31.0.77"), Secondary: []netip.Addr{ip("172.31.0.78")}, Groups: []events.GroupID{"sg-1"}}},
		events.AddressAssociated{Association: "eipassoc-7", Address: ip("198.18.0.17"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-7", Private: ip("172.31.0.78")},
		events.RouteCreated{Table: "rtb-2", VPC: "vpc-1", Route: events.Route{Destination: netip.MustParsePrefix("192.0.2.0/24"), Interface: "eni-7"}},
		events.InterfaceAttached{ID: "eni-7", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Attachment: "eni-attach-7", Instance: "i-2", DeviceIndex: 1, At: start},
		events.InterfaceModified{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", SourceDestCheck: new(bool)},
		events.InterfaceAddressesAssigned{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.31.1.0/28")}},
		events.InterfaceAddressesUnassigned{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", Prefixes: []netip.Prefix{netip.MustParsePrefix("172.31.1.0/28")}},
		events.InterfaceDetachRequested{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", Attachment: "eni-attach-7", Instance: "i-2", Host: "h1"},
		events.SpecRemoved{Host: "h1", Zone: "isle-1a", Kind: events.SpecPort, ID: "eni-7"},
		events.InterfaceDetached{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", Attachment: "eni-attach-7", Instance: "i-2"},
		events.InterfaceAttached{ID: "eni-7", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Attachment: "eni-attach-8", Instance: "i-2", DeviceIndex: 1, At: start},
		events.InterfaceDetached{ID: "eni-7", Zone: "isle-1a", VPC: "vpc-1", Attachment: "eni-attach-8", Instance: "i-2", Host: "h1"},
		events.AddressDisassociated{Association: "eipassoc-7", Address: ip("198.18.0.17"), Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Interface: "eni-7"},
		events.InterfaceDeleted{ID: "eni-7", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1"},
		events.InstanceModified{Instance: "i-2", Zone: "isle-1a", Metadata: &events.MetadataOptions{InstanceTags: "enabled"}},
		events.ResourceTagged{Account: "111111111111", Resource: "i-2", Tags: []events.Tag{{Key: "Name", Value: "two"}}},
		events.VolumeDetachRequested{Volume: "vol-1", Zone: "isle-1a", Instance: "i-2", Attachment: "attach-1"},
		events.AttachmentEnded{Volume: "vol-1", Zone: "isle-1a", Instance: "i-2", Attachment: "attach-1", Epoch: 4},
		events.VolumeConfirmed{Volume: "vol-1", Zone: "isle-1a", Host: "h2", Epoch: 4},
		events.VolumeDetached{Volume: "vol-1", Zone: "isle-1a", Instance: "i-2", Attachment: "attach-1"},
		events.VolumeDeleteRequested{Volume: "vol-1", Zone: "isle-1a", Host: "h2"},
		events.VolumeDeleted{Volume: "vol-1", Zone: "isle-1a", Host: "h2"},
		events.InstanceTerminationRequested{Instance: "i-2", Zone: "isle-1a", Host: "h1", From: state.Running, At: start},
		events.InstanceTerminated{Instance: "i-2", Zone: "isle-1a", From: state.ShuttingDown, At: start},
		events.InterfaceDeleted{ID: "eni-2", Account: "111111111111", Zone: "isle-1a", VPC: "vpc-1", Host: "h1"},
		events.SpecRemoved{Host: "h1", Zone: "isle-1a", Kind: events.SpecPort, ID: "eni-2"},
		events.NodeJoined{Host: "h3", Kind: "network", Zone: "isle-1a", Address: "10.0.0.3"},
	}
}

// Whatever changes a node's set pokes that node, and names what changed. Only
// what a node said itself, that an object is gone, it need not be told.
func TestTouched(t *testing.T) {
	t.Run("later", func(t *testing.T) { touched(t, later()) })
	t.Run("ways", func(t *testing.T) { touched(t, ways()) })
	t.Run("gateways", func(t *testing.T) { touched(t, gateways()) })
}

func touched(t *testing.T, list []events.Event) {
	_, records := story()
	n := records[len(records)-1].N
	for _, e := range list {
		n++
		records = append(records, events.Record{N: n, Time: start, Request: "req-" + events.Name(e), Event: e})
	}
	tx := state.New()
	nodes := map[events.HostID][]string{"h1": {"compute", "network", "storage"}, "h2": {"compute", "network", "storage"}, "gw1": {"gateway"}, "gw2": {"gateway"}}
	before := map[string]events.SpecSet{}
	for _, r := range records {
		tx.Apply(r)
		pokes := specs.Touched(&tx.View, r)
		for h, kinds := range nodes {
			for _, kind := range kinds {
				now, err := specs.Set(&tx.View, h, kind, nil, plain{})
				if err != nil {
					t.Fatal(err)
				}
				was, known := before[string(h)+"/"+kind]
				rises(t, h, r, was, now)
				before[string(h)+"/"+kind] = now
				if !known || was.Manifest.Digest == now.Manifest.Digest {
					continue
				}
				switch r.Event.(type) {
				case events.SpecRemoved, events.VolumeDeleted:
					continue
				case events.InstanceTerminated: // told with the end of its interfaces, in the same decision
					continue
				}
				if _, joined := tx.Nodes.Get(state.NodeKey(h, kind)); !joined {
					continue
				}
				hears := func(p specs.Poke) bool {
					return p.Host == h && p.Kind == kind || p.VPC != "" && (kind == "network" || kind == "gateway") && slices.ContainsFunc(now.Specs, func(s events.Spec) bool { return s.Kind == events.SpecNetwork && s.ID == string(p.VPC) })
				}
				if !slices.ContainsFunc(pokes, hears) {
					t.Errorf("event %d (%s) changed the set of %s/%s; %d pokes", r.N, events.Name(r.Event), h, kind, len(pokes))
				}
				partial(t, &tx.View, h, kind, was, now, pokes)
			}
		}
		for _, p := range pokes {
			if p.Spec.N != r.N || p.Spec.Request != r.Request || p.Spec.ID == "" || p.Spec.Kind == "" {
				t.Errorf("event %d pokes with %+v", r.N, p)
			}
			if bytes.Contains(p.Spec.Body, []byte("userData")) || bytes.Contains(p.Spec.Body, []byte("secret")) {
				t.Errorf("event %d tells secrets to whoever listens: %s", r.N, p.Spec.Body)
			}
		}
	}
}

// partial checks that a node that asks only for what it was poked about ends up
// with the whole set, unless the poke is of a kind that makes it ask for all.
func partial(t *testing.T, v *state.View, h events.HostID, kind string, was, now events.SpecSet, pokes []specs.Poke) {
	t.Helper()
	held := map[string]events.Spec{}
	for _, s := range was.Specs {
		held[string(s.Kind)+"/"+s.ID] = s
	}
	var ids []string
	for _, p := range pokes {
		if p.Spec.Kind == events.SpecPort || p.Spec.Kind == events.SpecFabric || p.Spec.Kind == events.SpecNAT {
			return
		}
		ids = append(ids, p.Spec.ID)
	}
	part, err := specs.Set(v, h, kind, ids, plain{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range part.Specs {
		held[string(s.Kind)+"/"+s.ID] = s
		if s.Tombstone && (s.Kind == events.SpecMapping || s.Kind == events.SpecGroup) {
			delete(held, string(s.Kind)+"/"+s.ID)
		}
	}
	want := map[string]events.Spec{}
	for _, s := range now.Specs {
		want[string(s.Kind)+"/"+s.ID] = s
		if got, ok := held[string(s.Kind)+"/"+s.ID]; !ok || string(got.Body) != string(s.Body) || got.Tombstone != s.Tombstone || got.N != s.N {
			t.Errorf("%s/%s asked for %v and has %s %s at %d as %.200s, should have it at %d as %.200s", h, kind, ids, s.Kind, s.ID, got.N, got.Body, s.N, s.Body)
		}
	}
	for k, s := range was.Specs {
		_ = k
		if _, ok := want[string(s.Kind)+"/"+s.ID]; ok {
			continue
		}
		if _, still := held[string(s.Kind)+"/"+s.ID]; still && s.Kind != events.SpecVolume && s.Kind != events.SpecMetadata && s.Kind != events.SpecInstance {
			t.Errorf("%s/%s asked for %v and keeps %s %s, which is gone", h, kind, ids, s.Kind, s.ID)
		}
	}
}

// rises checks that a spec that changed has a higher number: a node drops a
// lower one.
func rises(t *testing.T, h events.HostID, r events.Record, was, now events.SpecSet) {
	t.Helper()
	old := map[string]events.Spec{}
	for _, s := range was.Specs {
		old[string(s.Kind)+"/"+s.ID] = s
	}
	for _, s := range now.Specs {
		o, ok := old[string(s.Kind)+"/"+s.ID]
		if ok && s.N < o.N || ok && (string(o.Body) != string(s.Body) || o.Tombstone != s.Tombstone) && s.N <= o.N {
			t.Errorf("event %d (%s) changes %s %s of %s, and its number goes from %d to %d", r.N, events.Name(r.Event), s.Kind, s.ID, h, o.N, s.N)
		}
	}
}
