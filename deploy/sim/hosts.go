package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/compute-node/agent"
	"skerry/compute-node/guests"
	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/memory"
	"skerry/events"
	"skerry/events/bus"
	"skerry/internal/node"
	"skerry/network-node/datapath"
	plane "skerry/network-node/datapath/memory"
	"skerry/network-node/ports"
	storage "skerry/storage-node/agent"
)

// Kinds of programs on a host.
const (
	Compute = "compute"
	Network = "network"
	Storage = "storage"
	Gateway = "gateway" // on a host of its own
)

// Host is a machine with its programs: three on a host for guests, one on a
// gateway. Guests, packets and blocks outlive the programs.
type Host struct {
	ID      events.HostID
	Zone    events.Zone
	Kinds   []string
	Port    *Port // its cable: of all its programs
	HV      *memory.Host
	Files   *guests.Memory
	Data    string // directory of the compute agent's specs
	Address netip.Addr
	Plane   *Plane
	region  *Region
	disk    *vfs.MemFS // of the volumes; the driver's
	full    atomic.Bool

	mu    sync.Mutex
	parts map[string]*part
	store *storage.Agent // while it runs
}

func (r *Region) newHost(zone, i int, gateway bool) *Host {
	z := r.Zones[zone]
	h := &Host{ID: events.HostID(fmt.Sprintf("%s-%d", z.Name, i+1)), Zone: events.Zone(z.Name), Kinds: []string{Compute, Network, Storage},
		Port: r.Bus.Port(), region: r, parts: map[string]*part{}, Address: netip.AddrFrom4([4]byte{10, 77, byte(zone + 1), byte(i + 10)})}
	if gateway {
		h.ID, h.Kinds = events.HostID(z.Name+"-gw"), []string{Gateway}
	} else {
		h.HV = &memory.Host{BootTime: 2 * time.Second, ShutdownTime: 500 * time.Millisecond}
		h.Files, h.Data, h.disk = guests.NewMemory(), r.T.TempDir(), vfs.NewCrashableMem()
	}
	h.Plane = newPlane(plane.Options{Address: h.Address, Gateway: gateway, UplinkAddr: uplink(zone)})
	r.Wire.Join(h.Plane.Datapath)
	return h
}

func uplink(zone int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(zone + 2)}) }

// Start starts the host's programs.
func (h *Host) Start() {
	for _, k := range h.Kinds {
		h.StartProgram(k)
	}
}

// Stop ends the host's programs; what they keep goes on.
func (h *Host) Stop() {
	for _, k := range h.Kinds {
		h.StopProgram(k)
	}
}

// StopProgram ends one program, if it runs.
func (h *Host) StopProgram(kind string) {
	h.mu.Lock()
	p := h.parts[kind]
	delete(h.parts, kind)
	if kind == Storage {
		h.store = nil
	}
	h.mu.Unlock()
	if p != nil {
		p.stop()
	}
}

// PowerCut takes the host's power away: programs and guests end, flows are
// forgotten, and of the volumes' disk what was synced is left.
func (h *Host) PowerCut() {
	h.Port.Cut(true, true) // nobody hears of what is done after the cut
	after := h.disk.CrashClone(lossy(h.region))
	h.Stop()
	h.HV.PowerCut()
	h.disk = after
	h.Plane.forget()
}

// lossy loses a part of what was not synced.
func lossy(r *Region) vfs.CrashCloneCfg {
	rng := rand.New(rand.NewPCG(r.Rng.Uint64(), 4))
	return vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}
}

// PowerOn starts a host whose power was cut.
func (h *Host) PowerOn() {
	h.Port.Cut(false, false)
	h.Start()
}

// SetFull makes the volumes' disk full, or gives it room again.
func (h *Host) SetFull(full bool) { h.full.Store(full) }

// StartProgram starts one program. It adopts what is there.
func (h *Host) StartProgram(kind string) {
	r := h.region
	log := r.log.With("node", h.ID, "kind", kind)
	client, err := bus.Connect(bus.Options{Region: Name, Name: string(h.ID) + "/" + kind, Server: h.Port, Log: log})
	if err != nil {
		r.T.Fatalf("%s/%s: %v", h.ID, kind, err)
	}
	o := node.Options{Region: Name, Zone: h.Zone, Host: h.ID, Kind: kind, Capacity: Capacity, Bus: client, Log: log}
	var run func(context.Context) error
	switch kind {
	case Compute:
		o.Data = h.Data
		run = agent.New(o, h.HV.Open(), h.Files, guests.Options{Accel: hypervisor.TCG, Blocks: way{r}}).Run
	case Storage:
		a, err := storage.New(storage.Options{Options: o, FS: gauge{h.disk, &h.full}, Dir: "/volumes"})
		if err != nil {
			r.T.Fatalf("%s/%s: %v", h.ID, kind, err)
		}
		h.mu.Lock()
		h.store = a
		h.mu.Unlock()
		run = a.Run
	default:
		o.Address, o.Capacity = h.Address.String(), events.Capacity{}
		n := node.New(o)
		n.SetKeeper(ports.New(h.Plane, ports.Options{Host: h.ID, Kind: kind, Log: log,
			Report: func(ctx context.Context, c events.ReportRemoved) error { return n.Report(ctx, c) },
			Serves: func(ctx context.Context, c events.ReportNATGateway) error { return n.Report(ctx, c) }}))
		run = n.Run
	}
	p := r.start(func(ctx context.Context) {
		defer client.Close()
		if err := run(ctx); err != nil {
			r.T.Errorf("%s/%s: %v", h.ID, kind, err)
		}
	})
	h.mu.Lock()
	h.parts[kind] = p
	h.mu.Unlock()
}

// blocks is what the host's storage node holds: the epoch of each volume and
// the attachment it is open to. False while the program does not run.
func (h *Host) blocks() (map[events.VolumeID]string, []string, bool) {
	h.mu.Lock()
	a := h.store
	h.mu.Unlock()
	if a == nil {
		return nil, nil, false
	}
	have, err := a.Keeper().Have(h.region.ctx)
	if err != nil {
		return nil, nil, false // it ends just now
	}
	out := map[events.VolumeID]string{}
	for _, o := range have.Objects {
		if o.Kind == "volume" {
			out[events.VolumeID(o.ID)] = o.State
		}
	}
	return out, have.Orphans, true
}

// way is the way from a guest to a volume: the storage node takes the
// attachment that it is open to, and no other.
type way struct{ region *Region }

func (way) Set([]events.DiskSpec)                {}
func (way) Impatient(events.VolumeID) (_ func()) { return func() {} }
func (way) Problems() []string                   { return nil }

func (w way) Probe(_ context.Context, d events.DiskSpec) error {
	for _, h := range w.region.Hosts {
		held, _, ok := h.blocks()
		state, has := held[d.Volume]
		if !ok || !has {
			continue
		}
		if _, open, _ := strings.Cut(state, " attach"); "attach"+open != string(d.Attachment) {
			return fmt.Errorf("sim: %s is %s and not open to %s", d.Volume, state, d.Attachment)
		}
		return nil
	}
	return fmt.Errorf("sim: nobody answers for %s", d.Volume)
}

// Plane is a data plane that remembers what it was told.
type Plane struct {
	*plane.Datapath

	mu      sync.Mutex
	ports   map[events.InterfaceID]string // specs
	publics map[netip.Addr]string
	epochs  map[netip.Addr]uint64
	tables  datapath.Tables
}

func newPlane(o plane.Options) *Plane {
	p := &Plane{Datapath: plane.New(o)}
	p.ports, p.publics, p.epochs = map[events.InterfaceID]string{}, map[netip.Addr]string{}, map[netip.Addr]uint64{}
	return p
}

// forget is what a power cut does to a kernel.
func (p *Plane) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, err := p.Datapath.Ports()
	if err != nil {
		panic(err) // memory does not fail
	}
	for _, x := range held {
		p.Datapath.DeletePort(x.Interface)
	}
	p.Datapath.Apply(datapath.Tables{})
	p.ports, p.tables = map[events.InterfaceID]string{}, datapath.Tables{}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	return string(b)
}

// PutPort implements datapath.Datapath.
func (p *Plane) PutPort(s events.PortSpec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.Datapath.PutPort(s)
	if err == nil {
		p.ports[s.Interface] = text(s)
	}
	return err
}

// DeletePort implements datapath.Datapath.
func (p *Plane) DeletePort(id events.InterfaceID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ports, id)
	return p.Datapath.DeletePort(id)
}

// PutPublic implements datapath.Datapath. A lower epoch is not taken, as the
// data plane does it.
func (p *Plane) PutPublic(s events.PublicSpec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.Datapath.PutPublic(s)
	if err == nil && s.Epoch >= p.epochs[s.Address] {
		p.publics[s.Address], p.epochs[s.Address] = text(s), s.Epoch
	}
	return err
}

// DeletePublic implements datapath.Datapath.
func (p *Plane) DeletePublic(a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.publics, a)
	delete(p.epochs, a)
	return p.Datapath.DeletePublic(a)
}

// Apply implements datapath.Datapath.
func (p *Plane) Apply(t datapath.Tables) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.Datapath.Apply(t)
	if err == nil {
		p.tables = t
	}
	return err
}

// serves says whether a gateway serves a public address, and announces whether
// it answers for it outside.
func (p *Plane) serves(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.publics[a]
	return ok
}

func (p *Plane) announces(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var s events.PublicSpec
	return json.Unmarshal([]byte(p.publics[a]), &s) == nil && s.Announce
}

// gateway is where packets of a VPC leave.
func (p *Plane) gateway(id events.VPCID) netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.tables.Networks {
		if n.VPC == id {
			return n.Gateway
		}
	}
	return netip.Addr{}
}

// differs says what of a set the data plane does not hold, or holds too much.
func (p *Plane) differs(set events.SpecSet) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, publics := maps.Clone(p.ports), maps.Clone(p.publics)
	var t datapath.Tables
	for _, s := range set.Specs {
		if s.Tombstone {
			return "a tombstone for " + s.ID + " is left"
		}
		read := func(v any) {
			if err := json.Unmarshal(s.Body, v); err != nil {
				panic(err) // our own types
			}
		}
		switch s.Kind {
		case events.SpecPort:
			var w events.PortSpec
			read(&w)
			if held[w.Interface] != text(w) {
				return fmt.Sprintf("port %s is %q", s.ID, held[w.Interface])
			}
			delete(held, w.Interface)
		case events.SpecPublic:
			var w events.PublicSpec
			read(&w)
			if publics[w.Address] != text(w) {
				return fmt.Sprintf("public address %s is %q, not %s", s.ID, publics[w.Address], text(w))
			}
			delete(publics, w.Address)
		case events.SpecNetwork:
			var w events.NetworkSpec
			read(&w)
			t.Networks = append(t.Networks, w)
		case events.SpecMapping:
			var w events.MappingSpec
			read(&w)
			t.Mappings = append(t.Mappings, w)
		case events.SpecGroup:
			var w events.GroupSpec
			read(&w)
			t.Groups = append(t.Groups, w)
		case events.SpecFabric:
			var w events.FabricSpec
			read(&w)
			t.Nodes = append(t.Nodes, w.Nodes...)
		case events.SpecNAT:
			var w events.NATSpec
			read(&w)
			t.NATs = append(t.NATs, w)
		}
	}
	switch {
	case len(held) > 0:
		return fmt.Sprintf("ports %v are too many", slices.Sorted(maps.Keys(held)))
	case len(publics) > 0:
		return fmt.Sprintf("public addresses %v are too many", slices.Collect(maps.Keys(publics)))
	case text(p.tables) != text(t):
		return "the tables are not those of the set"
	}
	return ""
}

// gauge is a disk that can be full.
type gauge struct {
	vfs.FS
	full *atomic.Bool
}

func (g gauge) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if g.full.Load() {
		return nil, errFull
	}
	return g.FS.Create(name, c)
}

func (r *Region) domains(h *Host) map[string]hypervisor.Status {
	list, err := h.HV.Open().Domains(context.Background())
	if err != nil {
		r.T.Fatal(err)
	}
	out := map[string]hypervisor.Status{}
	for _, d := range list {
		out[d.ID] = d
	}
	return out
}
