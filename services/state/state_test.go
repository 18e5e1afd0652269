package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"skerry/events"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// populated is a state with rows in every table: n instances of two accounts,
// a third of them placed, a third running, a third terminated.
func populated(n int) *Tx {
	tx := New()
	number := uint64(0)
	add := func(e events.Event) {
		number++
		tx.Apply(events.Record{N: number, Hash: events.Hash{byte(number), byte(number >> 8)}, Time: start, Event: e})
	}
	add(events.RegionFormed{Name: "isle-1", ID: "8f9ae0a2", Zones: []events.Zone{"isle-1a", "isle-1b"}, Level: 1})
	add(events.FeatureLevelRaised{Level: 2})
	add(events.ImageRegistered{Image: events.Image{ID: "ami-1", Account: "000000000000", Name: "linux", Public: true}})
	for i, a := range []events.AccountID{"111111111111", "222222222222"} {
		add(events.AccountCreated{ID: a, Name: fmt.Sprint("account", i), AccessKey: fmt.Sprint("AKIA", i)})
		vpc := events.VPCID(fmt.Sprint("vpc-", i))
		add(events.VPCCreated{ID: vpc, Account: a, CIDR: netip.MustParsePrefix("172.16.0.0/12"), VNI: uint32(i + 1), Default: true})
		add(events.SubnetCreated{ID: events.SubnetID(fmt.Sprint("subnet-", i)), Account: a, VPC: vpc, Zone: "isle-1a", CIDR: netip.MustParsePrefix("172.16.0.0/12")})
		add(events.GroupCreated{ID: events.GroupID(fmt.Sprint("sg-", i)), Account: a, VPC: vpc, Name: "default"})
		add(events.KeyPairCreated{ID: events.KeyPairID(fmt.Sprint("key-", i)), Account: a, Name: "laptop"})
	}
	for i := range 4 {
		add(events.NodeJoined{Host: events.HostID(fmt.Sprint("host-", i)), Kind: "compute", Zone: "isle-1a", Boot: "b", Capacity: events.Capacity{VCPUs: 1 << 20, MemoryMiB: 1 << 30, DiskGiB: 1 << 20}})
	}
	add(events.HostDrained{Host: "host-3", Zone: "isle-1a"})
	add(events.NodeLost{Host: "host-3", Kind: "compute", Zone: "isle-1a", At: start})
	add(events.ZoneImpaired{Zone: "isle-1b", At: start})
	addr := netip.MustParseAddr("172.16.0.4")
	for i := range n {
		id, a := events.InstanceID(fmt.Sprintf("i-%05d", i)), i%2
		account := []events.AccountID{"111111111111", "222222222222"}[a]
		eni := events.Interface{ID: events.InterfaceID(fmt.Sprintf("eni-%05d", i)), Subnet: events.SubnetID(fmt.Sprint("subnet-", a)), MAC: fmt.Sprintf("06:00:00:00:%02x:%02x", i>>8, i&255), PrivateIP: addr}
		addr = addr.Next()
		add(events.InterfaceCreated{Account: account, Zone: "isle-1a", Instance: id, Interface: eni, At: start})
		add(events.InstanceRequested{ID: id, LaunchIndex: i, Account: account, Zone: "isle-1a", Need: events.Need{VCPUs: 1, MemoryMiB: 128, DiskGiB: 1}, Interfaces: []events.Interface{eni}, At: start})
		add(events.ResourceTagged{Account: account, Resource: string(id), Tags: []events.Tag{{Key: "Name", Value: fmt.Sprint("web", i)}}})
		host := events.HostID(fmt.Sprint("host-", i%3))
		switch i % 3 {
		case 0:
			add(events.InstancePlaced{Instance: id, Zone: "isle-1a", Host: host, Why: events.Why{Policy: "test", Candidates: []events.Candidate{{Host: host}}}})
		case 1:
			add(events.InstancePlaced{Instance: id, Zone: "isle-1a", Host: host})
			add(events.InstanceStarted{Instance: id, Zone: "isle-1a", Host: host, At: start})
			add(events.InstanceTerminationRequested{Instance: id, Zone: "isle-1a", Host: host, From: Running, At: start})
		case 2:
			add(events.InstanceTerminated{Instance: id, Zone: "isle-1a", From: Pending, At: start.Add(time.Duration(i) * time.Second)})
			add(events.InterfaceDeleted{ID: eni.ID, Account: account, Zone: "isle-1a"})
		}
	}
	for i := range 3 {
		at := start.Add(time.Duration(i) * time.Minute)
		tx.Answer(events.Stamped{Stamp: events.Stamp{ID: events.CommandID(fmt.Sprint("command-", i)), Time: at}}, uint64(i),
			Answered{First: 1, Last: 2, N: 2, Fault: events.Faultf("Code", "why"), At: at}, fmt.Sprint("token-", i))
	}
	return tx
}

func save(t testing.TB, v *View) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was saved is loaded: the same rows, indexes and digest; and evolving
// goes on from it alike.
func TestSnapshotRoundTrip(t *testing.T) {
	tx := populated(300)
	for _, table := range []int{tx.Zones.Len(), tx.Accounts.Len(), tx.Nodes.Len(), tx.Hosts.Len(), tx.Images.Len(), tx.Keys.Len(), tx.VPCs.Len(),
		tx.Subnets.Len(), tx.Groups.Len(), tx.Interfaces.Len(), tx.Instances.Len(), tx.Tombstones.Len(), tx.Tags.Len(), tx.Commands.Len(), tx.Tokens.Len()} {
		if table == 0 {
			t.Fatal("a table of the populated state is empty")
		}
	}
	back, err := Load(bytes.NewReader(save(t, &tx.View)))
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != tx.Digest() || !reflect.DeepEqual(back.Meta, tx.Meta) {
		t.Fatalf("the loaded state is another: %+v, %+v", back.Meta, tx.Meta)
	}
	ids := func(v *View) (out []string) {
		for i := range v.InstancesOf("111111111111") {
			out = append(out, string(i.ID))
		}
		for i := range v.InstancesOn("host-1") {
			out = append(out, string(i.ID))
		}
		for i := range v.Unplaced("isle-1a") {
			out = append(out, string(i.ID))
		}
		for i := range v.EndedBefore(start.Add(time.Hour)) {
			out = append(out, string(i.ID))
		}
		for s := range v.TombstonesOn("host-1") {
			out = append(out, s.ID)
		}
		if a, ok := v.AccountByKey("AKIA1"); ok {
			out = append(out, string(a.ID))
		}
		return out
	}
	if a, b := ids(&tx.View), ids(&back.View); !slices.Equal(a, b) || len(a) < 100 {
		t.Errorf("the indexes of the loaded state are others: %d and %d entries", len(a), len(b))
	}
	for _, x := range []*Tx{tx, back} {
		x.Apply(events.Record{N: 5000, Event: events.AccountDeleted{ID: "111111111111"}})
	}
	if back.Digest() != tx.Digest() {
		t.Error("the states part after the load")
	}
}

// A damaged byte is noticed, wherever it is; so is a snapshot that ends early.
func TestSnapshotDamage(t *testing.T) {
	tx := populated(3)
	whole := save(t, &tx.View)
	step := 1
	if testing.Short() {
		step = 11
	}
	for i := 0; i < len(whole); i += step {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		// A bit of the frame's header may mean nothing: then the state must be the same.
		if got, err := Load(bytes.NewReader(bad)); err == nil && got.Digest() != tx.Digest() {
			t.Fatalf("byte %d of %d was damaged and nobody noticed", i, len(whole))
		}
	}
	for n := 0; n < len(whole); n += step {
		if _, err := Load(bytes.NewReader(whole[:n])); err == nil && n < len(whole)-4 { // the last 4 are zstd's own checksum
			t.Fatalf("%d of %d bytes are a snapshot", n, len(whole))
		}
	}
	// Damage that the compression's own checksum cannot see.
	plain := unpack(t, whole)
	for i := range plain {
		bad := bytes.Clone(plain)
		bad[i] ^= 0x10
		if _, err := read(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d of %d was damaged before packing and nobody noticed", i, len(plain))
		}
	}
}

func unpack(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// Nothing that is loaded makes the program fall.
func FuzzLoad(f *testing.F) {
	tx := populated(3)
	for _, v := range []*View{&tx.View, &New().View} {
		plain := unpack(f, save(f, v))
		f.Add(plain[:len(plain)-sha256.Size])
	}
	f.Add([]byte(magic + "\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		sum := sha256.Sum256(plain) // damage is told by the sum; here it comes with a true one
		got, err := read(io.MultiReader(bytes.NewReader(plain), bytes.NewReader(sum[:])))
		if err != nil {
			return
		}
		var b bytes.Buffer
		end, err := got.View.canonical(&b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := read(io.MultiReader(&b, bytes.NewReader(end)))
		if err != nil || again.Digest() != got.Digest() {
			t.Fatalf("saved again it is another state: %v", err)
		}
	})
}

// Ten thousand rows and more are saved and loaded in a moment.
func TestSnapshotOfManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	tx := populated(10_000)
	began := time.Now()
	b := save(t, &tx.View)
	saved := time.Since(began)
	back, err := Load(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if back.Instances.Len() != 10_000 || back.Digest() != tx.Digest() {
		t.Errorf("%d instances came back", back.Instances.Len())
	}
	t.Logf("%d bytes, saved in %v, loaded in %v", len(b), saved, time.Since(began)-saved)
}

// A view stays as it was, whatever is evolved from it.
func TestViewsDoNotChange(t *testing.T) {
	tx := populated(30)
	view, digest := tx.Publish(), tx.Digest()
	fork := view.Fork()
	for _, x := range []*Tx{tx, fork} {
		x.Apply(events.Record{N: 900, Event: events.ResourceTagged{Account: "111111111111", Resource: "i-00000", Tags: []events.Tag{{Key: "Name", Value: "other"}, {Key: "env"}}}})
		x.Apply(events.Record{N: 901, Event: events.InstanceModified{Instance: "i-00000", Groups: []events.GroupID{"sg-9"}}})
		x.Apply(events.Record{N: 902, Event: events.AccountDeleted{ID: "222222222222"}})
	}
	if view.Digest() != digest {
		t.Error("a published view changed")
	}
	if tx.Digest() == digest || tx.Digest() != fork.Digest() {
		t.Error("the original and the fork parted")
	}
}

// Replies are kept for a day of region time, and no longer.
func TestAnswersAreKeptForADay(t *testing.T) {
	tx := New()
	answer := func(id string, at time.Duration) {
		s := events.Stamped{Stamp: events.Stamp{ID: events.CommandID(id), Time: start.Add(at)}}
		tx.Answer(s, 1, Answered{At: s.Stamp.Time}, "token-"+id)
	}
	has := func(id string) bool {
		_, a := tx.Commands.Get(id)
		_, b := tx.Tokens.Get("token-" + id)
		if a != b {
			t.Errorf("%s: command kept %v, token kept %v", id, a, b)
		}
		return a
	}
	answer("first", 0)
	answer("second", time.Hour)
	answer("third", 24*time.Hour)
	if !has("first") || !has("second") || !has("third") {
		t.Error("an answer was dropped within its day")
	}
	answer("fourth", 24*time.Hour+1)
	if has("first") || !has("second") {
		t.Errorf("after a day: first %v, second %v", has("first"), has("second"))
	}
	answer("fifth", 100*time.Hour)
	if has("second") || has("third") || has("fourth") || !has("fifth") {
		t.Error("old answers stay")
	}
}

// What must hold in every state stops the program where it does not.
func TestInvariants(t *testing.T) {
	falls := func(name string, e events.Event) {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was evolved", events.Line(e))
				}
			}()
			populated(6).Apply(events.Record{N: 900, Event: e})
		})
	}
	falls("an event of nobody", unknown{})
	falls("an address given twice", events.InterfaceCreated{Account: "1", Interface: events.Interface{ID: "eni-x", Subnet: "subnet-0", MAC: "06:ff", PrivateIP: netip.MustParseAddr("172.16.0.4")}})
	falls("a MAC given twice", events.InterfaceCreated{Account: "1", Interface: events.Interface{ID: "eni-x", Subnet: "subnet-0", MAC: "06:00:00:00:00:00", PrivateIP: netip.MustParseAddr("172.16.9.9")}})
	falls("placed twice", events.InstancePlaced{Instance: "i-00000", Host: "host-1"})
	falls("placed after its end", events.InstancePlaced{Instance: "i-00002", Host: "host-1"})
	falls("an instance that is not there", events.InstanceStarted{Instance: "i-99999"})
}

type unknown struct{}

func (unknown) About() events.About { return events.About{} }

// A tag is found under its value as long as it has that value, and only by its
// account.
func TestTagged(t *testing.T) {
	tx := populated(4)
	n := tx.Meta.N
	add := func(e events.Event) {
		n++
		tx.Apply(events.Record{N: n, Time: start, Event: e})
	}
	tag := func(key, value string) events.Tag { return events.Tag{Key: key, Value: value} }
	is := func(a events.AccountID, g events.Tag, want ...string) {
		t.Helper()
		if got := tx.Tagged(a, g); !slices.Equal(got, want) {
			t.Errorf("%s has %s=%s on %v, not %v", a, g.Key, g.Value, got, want)
		}
	}
	is("111111111111", tag("Name", "web0"), "i-00000")
	is("222222222222", tag("Name", "web0"))
	add(events.ResourceTagged{Account: "111111111111", Resource: "i-00002", Tags: []events.Tag{tag("Name", "web0"), tag("Env", "")}})
	is("111111111111", tag("Name", "web0"), "i-00000", "i-00002")
	is("111111111111", tag("Name", "web2"))
	is("111111111111", tag("Env", ""), "i-00002")
	add(events.ResourceUntagged{Account: "111111111111", Resource: "i-00002", Keys: []string{"Name"}})
	is("111111111111", tag("Name", "web0"), "i-00000")
	is("111111111111", tag("Env", ""), "i-00002")
}

// Whatever tags a resource gets and loses, it is found under those that it has.
func TestRetagged(t *testing.T) {
	tx, rng := New(), rand.New(rand.NewPCG(1, 2))
	is := map[events.Tag]bool{}
	for range 2000 {
		g := events.Tag{Key: fmt.Sprint(rng.IntN(8)), Value: fmt.Sprint(rng.IntN(3))}
		row := &Tags{Resource: "vpc-1", Account: "111111111111"}
		for v := range 3 {
			delete(is, events.Tag{Key: g.Key, Value: fmt.Sprint(v)})
		}
		if rng.IntN(3) > 0 {
			is[g] = true
		}
		for _, g := range slices.SortedFunc(maps.Keys(is), func(a, b events.Tag) int { return strings.Compare(a.Key, b.Key) }) {
			row.Tags = append(row.Tags, g)
		}
		tx.Tags.put(row.Resource, row)
		for k := range 8 {
			for v := range 3 {
				g := events.Tag{Key: fmt.Sprint(k), Value: fmt.Sprint(v)}
				if found := len(tx.Tagged(row.Account, g)) == 1; found != is[g] {
					t.Fatalf("%v is there: %v, and found: %v", g, is[g], found)
				}
			}
		}
	}
}

// A page of instances begins after the place where the last one ended, and stays
// with its account.
func TestLaunchedAfter(t *testing.T) {
	tx := populated(20)
	var all, paged []events.InstanceID
	places := map[events.InstanceID]string{}
	for place, id := range tx.LaunchedAfter("111111111111", "") {
		all, places[id] = append(all, id), place
	}
	for i := range tx.InstancesOf("111111111111") {
		if places[i.ID] != i.LaunchOrder() {
			t.Errorf("%s stands at %q, not %q", i.ID, places[i.ID], i.LaunchOrder())
		}
	}
	for last := ""; ; {
		page := 0
		for place, id := range tx.LaunchedAfter("111111111111", last) {
			if page == 3 {
				break
			}
			page++
			paged, last = append(paged, id), place
		}
		if page == 0 {
			break
		}
	}
	if !slices.Equal(all, paged) || len(all) != 10 {
		t.Errorf("paged: %v\nwhole: %v", paged, all)
	}
}
