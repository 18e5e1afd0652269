package decide_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"skerry/events"
	"skerry/services/decide"
	"skerry/services/network"
	"skerry/services/state"
)

// Scenarios read like the rules an operator would state. State carries over
// from one step to the next inside a file.
//
//	region zones=3 hosts=2 …   form a region, join its hosts, make the accounts alice and bob;
//	                           public=26 is a block of addresses of that size, gateways=1
//	                           and stores=1 are such nodes in each zone, networks=1 those of
//	                           that many hosts; with root=isle-0 it has that region's accounts,
//	                           and none from the start
//	when                       one command a line: [@account] Command key=value …
//	----                       the events, or the fault
//	clock 1h                   let time pass; nothing happens by itself
//	place                      give every waiting instance the first host that fits, as a scheduler would
//	boot                       report every placed instance as running
//	show hosts|instances|…     what the region knows
//
// Keys are the commands' JSON names, with dots for what is inside. Drawn ids
// are shown, and may be named, by the order in which they appeared: i-1, eni-1.
// Beside the keys of the command: token (client token), version, expires.
//
// Every command is decided twice, on two copies of the state, one of them
// saved and loaded: events and digests must agree, and deciding must leave the
// state as it was.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	verbs, kinds := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			r := newRegion(t)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				r.t = t
				return r.step(d)
			})
			maps.Copy(verbs, r.verbs)
			maps.Copy(kinds, r.kinds)
		})
	}
	if t.Failed() {
		return
	}
	for _, c := range events.Commands() {
		if !verbs[events.Name(c)] {
			t.Errorf("no scenario gives the command %s", events.Name(c))
		}
	}
	for _, e := range events.Kinds() {
		if !kinds[events.Name(e)] {
			t.Errorf("no scenario shows the event %s", events.Name(e))
		}
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// region is what carries over inside a file.
type region struct {
	t            *testing.T
	tx           *state.Tx
	now          time.Time
	commands     int
	names        *names
	verbs, kinds map[string]bool
}

func newRegion(t *testing.T) *region {
	return &region{t: t, tx: state.New(), now: start, names: newNames(), verbs: map[string]bool{}, kinds: map[string]bool{}}
}

func (r *region) step(d *datadriven.TestData) string {
	switch d.Cmd {
	case "region":
		return r.form(d)
	case "when":
		var out []string
		for line := range strings.Lines(d.Input) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, r.when(line)...)
			}
		}
		return said(out)
	case "clock":
		pass, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(r.t, "%v", err)
		}
		r.now = r.now.Add(pass)
		return ""
	case "place":
		return said(r.place())
	case "boot":
		return said(r.boot())
	case "show":
		return said(r.show(d.CmdArgs[0].Key))
	}
	d.Fatalf(r.t, "%q is not a step: use region, when, clock, place, boot or show", d.Cmd)
	return ""
}

func said(lines []string) string {
	if len(lines) == 0 {
		return "nothing\n"
	}
	return strings.Join(lines, "\n") + "\n"
}

// form makes a region to tell stories in.
func (r *region) form(d *datadriven.TestData) string {
	zones, hosts, vcpus, memory, disk := 3, 2, 16, 16384, 2000
	public, gateways, stores, networks, root := 0, 0, 0, 0, ""
	for _, a := range d.CmdArgs {
		if a.Key == "root" {
			root = a.Vals[0]
			continue
		}
		into := map[string]*int{"zones": &zones, "hosts": &hosts, "vcpus": &vcpus, "memory": &memory, "disk": &disk,
			"public": &public, "gateways": &gateways, "stores": &stores, "networks": &networks}[a.Key]
		if into == nil {
			d.Fatalf(r.t, "region has no %s", a.Key)
		}
		n, err := strconv.Atoi(a.Vals[0])
		if err != nil {
			d.Fatalf(r.t, "%v", err)
		}
		*into = n
	}
	f := events.FormRegion{Name: "isle-1", ID: "8f9ae0a2-5ad1-4a5b-9b2e-d6c0c39c2f01", Level: 1, Images: []events.Image{
		{ID: "aki-linux", Name: "linux-kernel", Location: "amazon/linux-kernel", Type: "kernel", Architecture: "x86_64", File: events.ImageFile{Name: "vmlinuz", SHA256: "d2"}},
		{ID: "ari-linux", Name: "linux-ramdisk", Location: "amazon/linux-ramdisk", Type: "ramdisk", Architecture: "x86_64", File: events.ImageFile{Name: "initrd", SHA256: "d3"}},
		{ID: "ami-linux", Name: "linux", Location: "amazon/linux", Type: "machine", Architecture: "x86_64", Virtualization: "paravirtual",
			Kernel: "aki-linux", Ramdisk: "ari-linux", RootDevice: "/dev/sda1", RootDeviceType: "instance-store", File: events.ImageFile{Name: "root.img", SHA256: "d1"}},
		{ID: "ami-bare", Name: "bare", Location: "amazon/bare", Type: "machine", Architecture: "x86_64", RootDeviceType: "instance-store", File: events.ImageFile{Name: "bare.img"}},
	}}
	for i := range zones {
		f.Zones = append(f.Zones, events.Zone("isle-1"+string(rune('a'+i))))
	}
	if public > 0 {
		f.Public = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("198.18.0.0"), public)}
	}
	f.Root = root
	r.must(events.Stamp{}, f)
	for _, z := range f.Zones {
		for i := range gateways {
			r.must(events.Stamp{}, events.JoinNode{Host: events.HostID(fmt.Sprintf("%s-gw%d", z, i+1)), Kind: "gateway", Zone: z, Boot: "boot-1"})
		}
		for i := range stores {
			r.must(events.Stamp{}, events.JoinNode{Host: events.HostID(fmt.Sprintf("%s-%d", z, i+1)), Kind: "storage", Zone: z, Boot: "boot-1",
				Capacity: events.Capacity{DiskGiB: 100}})
		}
		for i := range networks {
			r.must(events.Stamp{}, events.JoinNode{Host: events.HostID(fmt.Sprintf("%s-%d", z, i+1)), Kind: "network", Zone: z, Boot: "boot-1"})
		}
		for i := range hosts {
			r.must(events.Stamp{}, events.JoinNode{Host: events.HostID(fmt.Sprintf("%s-%d", z, i+1)), Kind: "compute", Zone: z, Boot: "boot-1",
				Capacity: events.Capacity{VCPUs: vcpus, MemoryMiB: memory, DiskGiB: disk}})
		}
	}
	if root != "" {
		return ""
	}
	r.must(events.Stamp{}, events.CreateAccount{Name: "alice", ID: "111111111111"})
	r.must(events.Stamp{}, events.CreateAccount{Name: "bob", ID: "222222222222"})
	return ""
}

// must gives a command that a story stands on.
func (r *region) must(s events.Stamp, c events.Command) []events.Event {
	r.t.Helper()
	made, fault := r.do(s, c)
	if fault != nil {
		r.t.Fatalf("%s: %v", events.Line(asEvent{c}), fault)
	}
	for _, e := range made {
		r.names.short(line(e)) // alice's network is vpc-1, subnet-1 and so on, bob's is vpc-2
	}
	return made
}

// asEvent prints a command like an event.
type asEvent struct{ events.Command }

func (asEvent) About() events.About { return events.About{} }

// when gives one command and tells what came of it.
func (r *region) when(line string) []string {
	s, c, err := r.parse(line)
	if err != nil {
		r.t.Fatalf("%s: %v", line, err)
	}
	r.verbs[events.Name(c)] = true
	made, fault := r.do(s, c)
	if fault != nil {
		return []string{r.names.short("fault " + fault.Error())}
	}
	return r.told(made)
}

func (r *region) told(made []events.Event) []string {
	var out []string
	for _, e := range made {
		r.kinds[events.Name(e)] = true
		out = append(out, r.names.short(line(e)))
	}
	return out
}

// do decides a command on two copies of the state, compares them, and keeps one.
func (r *region) do(s events.Stamp, c events.Command) ([]events.Event, *events.Fault) {
	r.t.Helper()
	r.commands++
	s.ID = events.CommandID(fmt.Sprint("command-", r.commands))
	copy(s.Seed[:], s.ID)
	if s.Version == 0 {
		s.Version = 1
	}
	if !r.now.After(r.tx.Meta.Time) {
		r.now = r.tx.Meta.Time.Add(1)
	}
	s.Time = r.now
	before := r.tx.View.Digest()
	a, b := r.tx.View.Fork(), reloaded(r.t, &r.tx.View)
	madeA, faultA := decide.Command(&a.View, events.Stamped{Stamp: s, Command: c})
	madeB, faultB := decide.Command(&b.View, events.Stamped{Stamp: s, Command: c})
	if !bytes.Equal(events.Encode([]any{madeA, faultA}), events.Encode([]any{madeB, faultB})) {
		r.t.Fatalf("%s was decided in two ways:\n%v %v\n%v %v", events.Name(c), madeA, faultA, madeB, faultB)
	}
	if a.View.Digest() != before || b.View.Digest() != before {
		r.t.Fatalf("deciding %s changed the state", events.Name(c))
	}
	r.apply(a, s, madeA, faultA)
	r.apply(b, s, madeB, faultB)
	if a.View.Digest() != b.View.Digest() {
		r.t.Fatalf("the events of %s made two states", events.Name(c))
	}
	if r.tx.View.Digest() != before {
		r.t.Fatalf("applying the events of %s to a copy changed the original", events.Name(c))
	}
	r.tx = a
	return madeA, faultA
}

func (r *region) apply(tx *state.Tx, s events.Stamp, made []events.Event, fault *events.Fault) {
	for _, e := range made {
		rec := events.Record{N: tx.Meta.N + 1, Prev: tx.Meta.Last, Time: s.Time, Cause: s.ID, Actor: s.Actor, Account: s.Account, Event: e}
		rec.Hash = sha256.Sum256(rec.Encode())
		tx.Apply(rec)
	}
	tx.Answer(events.Stamped{Stamp: s}, uint64(r.commands), state.Answered{N: tx.Meta.N, Fault: fault, At: s.Time}, "")
}

func reloaded(t *testing.T, v *state.View) *state.Tx {
	t.Helper()
	var b bytes.Buffer
	if err := v.Save(&b); err != nil {
		t.Fatal(err)
	}
	tx, err := state.Load(&b)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// place is the simplest scheduler: the first host that fits.
func (r *region) place() []string {
	var p events.PlaceInstances
	what := r.tx.View.Fork()
	for _, z := range what.Zones.All() {
		for _, i := range slices.Collect(what.Unplaced(z.Zone)) {
			for h := range what.HostsOf(z.Zone) {
				free, usable := what.Free(h)
				if !usable || free.VCPUs < i.Need.VCPUs || free.MemoryMiB < i.Need.MemoryMiB || free.DiskGiB < i.Need.DiskGiB {
					continue
				}
				p.Placements = append(p.Placements, events.Placement{Instance: i.ID, Host: h.Host})
				what.Apply(events.Record{Event: events.InstancePlaced{Instance: i.ID, Zone: z.Zone, Host: h.Host}})
				break
			}
		}
	}
	return r.told(r.must(events.Stamp{Actor: "scheduler"}, p))
}

// boot is what nodes report when all goes well.
func (r *region) boot() []string {
	var out []string
	for _, i := range r.tx.Instances.All() {
		if i.State == state.Pending && i.Host != "" {
			out = append(out, r.told(r.must(events.Stamp{}, events.ReportInstance{Host: i.Host, Instance: i.ID, Generation: i.Generation, Phase: events.PhaseRunning}))...)
		}
	}
	return out
}

// show tells what the region knows, a row a line.
func (r *region) show(what string) []string {
	v := &r.tx.View
	var out []string
	add := func(f string, a ...any) {
		out = append(out, r.names.short(strings.TrimRight(fmt.Sprintf(f, a...), " ")))
	}
	switch what {
	case "hosts":
		for _, h := range v.Hosts.All() {
			free, usable := v.Free(h)
			note := ""
			if h.Drained {
				note = "drained"
			}
			if n, ok := v.Compute(h.Host); !ok || n.Lost {
				note += " lost"
			}
			if usable {
				note += fmt.Sprintf("free %d vcpus %d MiB %d GiB", free.VCPUs, free.MemoryMiB, free.DiskGiB)
			}
			add("%s: %d instances, %s", h.Host, h.Count, strings.TrimSpace(note))
		}
	case "instances":
		for _, i := range v.Instances.All() {
			add("%s %s %s host=%s reboots=%d reason=%q", i.ID, i.Zone, i.State, i.Host, i.Reboots, i.Reason.Message)
		}
	case "zones":
		count := map[events.Zone]int{}
		for _, i := range v.Instances.All() {
			if i.Live() {
				count[i.Zone]++
			}
		}
		for _, z := range v.Zones.All() {
			note := ""
			if z.Impaired {
				note = "impaired"
			}
			add("%s: %d instances %s", z.Zone, count[z.Zone], note)
		}
	case "groups":
		for _, g := range v.Groups.All() {
			add("%s %s %q", g.ID, g.Name, g.Description)
			for _, r := range g.Rules {
				dir, peer := "in ", string(r.Group)+string(r.PrefixList)
				if r.Egress {
					dir = "out"
				}
				if peer == "" {
					peer = r.CIDR.String()
				}
				add("  %s %s %s %d..%d %s", r.ID, dir, r.Protocol, r.From, r.To, peer)
			}
		}
	case "acls":
		for _, a := range v.NetworkACLs.All() {
			add("%s %s", a.ID, a.VPC)
			for s := range v.SubnetsUnder(a.ID) {
				add("  %s %s", s.ACLAssociation, s.ID)
			}
			for _, e := range a.Entries {
				add("  %s", value(e))
			}
		}
	case "prefixes":
		for _, l := range v.PrefixLists.All() {
			add("%s %s %q %s max=%d version=%d %s", l.ID, l.Account, l.Name, l.State, l.Max, l.Version(), value(l.Entries()))
		}
	case "ranges":
		for _, r := range v.Ranges.All() {
			add("%s %s %s advertised=%v", r.Pool, r.Account, r.CIDR, r.Advertised)
		}
	case "flowlogs":
		for _, l := range v.FlowLogs.All() {
			add("%s %s %s", l.ID, l.Resource, value(l.Setting))
		}
	case "dhcp":
		for _, o := range v.DHCPOptions.All() {
			add("%s %s %s", o.ID, o.Account, value(o.Options))
		}
		for _, n := range v.VPCs.All() {
			add("%s uses %s", n.ID, n.DHCPOptions())
		}
	case "addresses":
		for _, a := range v.Addresses.All() {
			add("%s %s allocation=%s association=%s %s %s %s", a.Address, a.Account, a.Allocation, a.Association, a.Interface, a.Instance, strings.TrimPrefix(a.Private.String(), "invalid IP"))
		}
	case "interfaces":
		for _, f := range v.Interfaces.All() {
			note := ""
			if f.Detaching {
				note = "detaching"
			}
			add("%s %s at %d of %s %v %s", f.Interface.ID, f.AttachmentID(), f.Interface.DeviceIndex, f.Instance, f.Addresses(), note)
		}
	case "vpcs":
		for _, n := range v.VPCs.All() {
			add("%s %v", n.ID, n.CIDRs())
		}
	case "nat":
		for _, g := range v.NATGateways.All() {
			add("%s %s %s %s %s %s", g.ID, g.State, g.Interface, g.Address, g.Code, g.Detail)
		}
	case "peerings":
		for _, p := range v.Peerings.All() {
			add("%s %s %s %s", p.ID, p.VPC, p.Peer, p.State)
		}
	case "vpn":
		for _, g := range v.CustomerGateways.All() {
			add("%s %s %d live=%v", g.ID, g.Address, g.ASN, g.Live())
		}
		for _, g := range v.VPNGateways.All() {
			add("%s %s live=%v", g.ID, g.VPC, g.Live())
		}
		for _, c := range v.VPNs.All() {
			add("%s %s %s %v live=%v", c.ID, c.Customer, c.Gateway, c.Routes, c.Live())
		}
	case "routes":
		for _, t := range v.RouteTables.All() {
			for _, o := range t.Routes {
				add("%s %s leads=%v", t.ID, value(o), network.Leads(v, t.VPC, o))
			}
			for _, o := range t.Routes {
				if o.PrefixList != "" {
					add("%s %s is %v", t.ID, o.PrefixList, network.Along(v, t, o))
				}
			}
			for _, o := range network.Propagated(v, t) {
				add("%s %s propagated", t.ID, value(o))
			}
		}
	case "gateways":
		for _, g := range v.Gateways.All() {
			add("%s %s epoch=%d", g.Zone, g.Host, g.Epoch)
		}
	case "volumes":
		for _, r := range v.Volumes.All() {
			add("%s %s %s %d GiB %s host=%s epoch=%d confirmed=%d %s", r.ID, r.Zone, r.State, r.SizeGiB, r.Type, r.Host, r.Epoch, r.Confirmed, r.Detail)
		}
	case "snapshots":
		for _, x := range v.Snapshots.All() {
			add("%s %s %s of=%s%s %d GiB host=%s public=%v accounts=%v %s", x.ID, x.Account, x.State, x.Volume, x.Source, x.SizeGiB, x.Host, x.Public, x.Accounts, x.Detail)
		}
	case "templates":
		for _, t := range v.Templates.All() {
			add("%s %s default=%d latest=%d versions=%d", t.ID, t.Name, t.Default, t.Latest, len(t.Versions))
		}
	case "tombstones":
		for _, t := range v.Tombstones.All() {
			add("%s %s %s", t.Host, t.Kind, t.ID)
		}
	case "tags":
		for _, t := range v.Tags.All() {
			add("%s %s", t.Resource, value(t.Tags))
		}
	case "subnets":
		for _, s := range v.Subnets.All() {
			if s.Used > 0 {
				add("%s %s used=%d", s.ID, s.CIDR, s.Used)
			}
		}
	case "images":
		for _, i := range v.Images.All() {
			add("%s %s owner=%s public=%v launch=%v", i.ID, i.Name, i.Account, i.Public, i.LaunchAccounts)
		}
	case "keys":
		for k := range v.Keys.All() {
			add("%s", k)
		}
	case "accounts":
		for _, a := range v.Accounts.All() {
			note := ""
			if !a.Closed.IsZero() {
				note = "closed"
			}
			add("%s %s %s", a.ID, a.Name, note)
		}
	case "users":
		for _, u := range v.Users.All() {
			add("%s %s policies=%d", u.Account, u.Name, len(u.Policies))
			for k := range v.AccessKeysOf(u.Account, u.Name) {
				add("  %s", k.AccessKey)
			}
		}
	case "regions":
		for _, r := range v.Regions.All() {
			add("%s %s %s %v", r.Region.Name, r.Region.ID, r.Region.Endpoint, r.Region.At)
		}
		if v.Meta.Root != "" {
			add("root %s imported up to %d", v.Meta.Root, v.Meta.RootAt.N)
		}
	case "deadline":
		if at, ok := v.NextDeadline(); ok {
			add("%s", value(at))
		}
	default:
		r.t.Fatalf("there is nothing called %s to show", what)
	}
	return out
}
