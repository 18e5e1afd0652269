// Package ports makes the data plane of a node what its specs say.
//
//	specs ──▶ want ─┐
//	                ├─ plan ─▶ put ports and public addresses ─▶ apply tables ─▶ delete what a tombstone names, report
//	data plane ▶ have ─┘
//
// Ports and public addresses go only by a tombstone. Networks, mappings, groups
// and the list of nodes are tables: a complete set replaces them. Before the
// first complete set nothing is touched.
package ports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skerry/events"
	"skerry/internal/node"
	"skerry/network-node/datapath"
)

// period is the time between passes when nobody pokes.
const period = 2 * time.Second

// reportFor bounds one report: what did not get through is reported again.
const reportFor = 5 * time.Second

// Options of a keeper.
type Options struct {
	Host   events.HostID
	Kind   string // network or gateway
	Log    *slog.Logger
	Report func(context.Context, events.ReportRemoved) error
	Serves func(context.Context, events.ReportNATGateway) error
	Held   func([]datapath.Port) // called after each pass; may be nil
}

// Keeper keeps one data plane.
type Keeper struct {
	dp    datapath.Datapath
	o     Options
	pokes chan struct{}

	mu       sync.Mutex
	specs    map[object]events.Spec
	n        uint64
	complete bool
	done     map[object]held
	tables   string
	faults   map[string]string // by what is wrong
	byAddr   map[netip.Addr]events.InterfaceID
	read     known
}

// known is what the specs say, for those who answer guests.
type known struct {
	ports    map[events.InterfaceID]events.PortSpec
	metadata map[events.InstanceID]events.MetadataSpec
	networks map[events.VPCID]events.NetworkSpec
	private  map[publicKey]netip.Addr
	publics  map[netip.Addr]events.PublicSpec
	tables   datapath.Tables
	bad      map[string]string
	parsed   map[object]parsed
}

// parsed is a spec that was read, and need not be again while it is the same.
type parsed struct {
	body  []byte
	value any
}

type publicKey struct {
	vpc    events.VPCID
	public netip.Addr
}

// New is a keeper that knows no specs.
func New(dp datapath.Datapath, o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{dp: dp, o: o, pokes: make(chan struct{}, 1), specs: map[object]events.Spec{}, done: map[object]held{},
		faults: map[string]string{}, byAddr: map[netip.Addr]events.InterfaceID{}}
}

// Want implements node.Keeper.
func (k *Keeper) Want(set events.SpecSet, complete bool) {
	k.mu.Lock()
	k.specs = node.Merge(k.specs, set.Specs, complete, func(s events.Spec) (object, bool) { return object{s.Kind, s.ID}, true })
	k.n = max(k.n, set.Manifest.N)
	k.complete = k.complete || complete
	k.read = read(k.specs, k.read.parsed)
	k.mu.Unlock()
	select {
	case k.pokes <- struct{}{}:
	default:
	}
}

// read makes of specs what they say. One that cannot be read is a fault and
// leaves what is there as it is.
func read(specs map[object]events.Spec, before map[object]parsed) known {
	n := known{ports: map[events.InterfaceID]events.PortSpec{}, metadata: map[events.InstanceID]events.MetadataSpec{},
		networks: map[events.VPCID]events.NetworkSpec{}, private: map[publicKey]netip.Addr{}, publics: map[netip.Addr]events.PublicSpec{}, bad: map[string]string{},
		parsed: make(map[object]parsed, len(specs))}
	for _, o := range slices.SortedFunc(maps.Keys(specs), compare) { // in order, so that the tables of equal sets are equal
		s := specs[o]
		if s.Tombstone {
			continue
		}
		p, same := before[o]
		if !same || !bytes.Equal(p.body, s.Body) {
			p = parse(s)
		}
		n.parsed[o] = p
		var err error
		switch v := p.value.(type) {
		case error:
			err = v
		case *events.PortSpec:
			if v.Interface != events.InterfaceID(s.ID) {
				err = fmt.Errorf("it is of interface %q", v.Interface)
			} else {
				n.ports[v.Interface] = *v
			}
		case *events.PublicSpec:
			if v.Address.String() != s.ID {
				err = fmt.Errorf("it is of address %v", v.Address)
			} else {
				n.publics[v.Address] = *v
			}
		case *events.MetadataSpec:
			n.metadata[v.Instance] = *v
		case *events.NetworkSpec:
			n.networks[v.VPC] = *v
			n.tables.Networks = append(n.tables.Networks, *v)
		case *events.MappingSpec:
			n.tables.Mappings = append(n.tables.Mappings, *v)
			if v.Public.IsValid() && len(v.Addresses) > 0 {
				n.private[publicKey{v.VPC, v.Public}] = v.Addresses[0]
			}
		case *events.GroupSpec:
			n.tables.Groups = append(n.tables.Groups, *v)
		case *events.FabricSpec:
			n.tables.Nodes = append(n.tables.Nodes, v.Nodes...)
		case *events.NATSpec:
			n.tables.NATs = append(n.tables.NATs, *v)
		}
		if err != nil {
			n.bad[o.String()] = fmt.Sprintf("spec unreadable: %v: %v", o, err)
		}
	}
	return n
}

// parse makes of a spec what its kind says, or the error that it makes.
func parse(s events.Spec) parsed {
	p := parsed{body: s.Body}
	switch s.Kind {
	case events.SpecPort:
		p.value = new(events.PortSpec)
	case events.SpecPublic:
		p.value = new(events.PublicSpec)
	case events.SpecMetadata:
		p.value = new(events.MetadataSpec)
	case events.SpecNetwork:
		p.value = new(events.NetworkSpec)
	case events.SpecMapping:
		p.value = new(events.MappingSpec)
	case events.SpecGroup:
		p.value = new(events.GroupSpec)
	case events.SpecFabric:
		p.value = new(events.FabricSpec)
	case events.SpecNAT:
		p.value = new(events.NATSpec)
	default:
		return p
	}
	if err := json.Unmarshal(s.Body, p.value); err != nil {
		p.value = err
	}
	return p
}

// Run implements node.Keeper.
func (k *Keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-k.pokes:
		}
		if err := k.Pass(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Warn("pass", "err", err)
		}
		timer.Reset(period)
	}
}

// Pass makes the data plane what the specs say. It is told nothing about what
// changed.
func (k *Keeper) Pass(ctx context.Context) error {
	w, specs, now, ready := k.want()
	var errs []error
	if ready {
		h, err := k.have()
		if err != nil {
			return err
		}
		failed := map[object]bool{}
		for _, s := range plan(w, h, time.Now()) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failed[s.object] {
				continue // its report waits for its end
			}
			err := k.do(ctx, s, w, specs, now)
			k.note(s, w, err)
			if err != nil {
				failed[s.object] = s.verb != doApply
				errs = append(errs, fmt.Errorf("ports: %v: %w", s, err))
			}
		}
	}
	errs = append(errs, k.tell(ctx, w.Tables, now))
	ports, err := k.dp.Ports()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	k.mu.Lock()
	clear(k.byAddr)
	for _, p := range ports {
		k.byAddr[p.Service] = p.Interface
	}
	k.mu.Unlock()
	if k.o.Held != nil {
		k.o.Held(ports)
	}
	return errors.Join(errs...)
}

// tell reports the NAT gateways that the data plane serves and the region has not
// heard of, or that it cannot serve them.
func (k *Keeper) tell(ctx context.Context, tables string, n known) error {
	k.mu.Lock()
	applied := k.tables == tables
	k.mu.Unlock()
	if !applied {
		return nil
	}
	no := k.dp.Translates()
	for _, g := range n.tables.NATs {
		if g.Known {
			continue
		}
		r := events.ReportNATGateway{Gateway: g.Gateway, Host: k.o.Host, Ready: no == nil}
		if no != nil {
			r.Detail = no.Error()
		}
		ctx, cancel := context.WithTimeout(ctx, reportFor)
		err := k.o.Serves(ctx, r)
		cancel()
		if err != nil {
			return fmt.Errorf("ports: report %s: %w", g.Gateway, err)
		}
	}
	return nil
}

func (k *Keeper) want() (w want, specs map[object]events.Spec, n known, ready bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.Objects = map[object]asked{}
	for o, s := range k.specs {
		if o.Kind != events.SpecPort && o.Kind != events.SpecPublic || k.read.bad[o.String()] != "" {
			continue
		}
		w.Objects[o] = asked{s.Tombstone, string(s.Body)}
	}
	b, err := json.Marshal(k.read.tables)
	if err != nil {
		panic(err) // our own types
	}
	w.Tables = string(b)
	for o := range k.done { // forgotten by the region
		if _, ok := k.specs[o]; !ok && k.complete {
			delete(k.done, o)
			delete(k.faults, o.String())
		}
	}
	return w, k.specs, k.read, k.complete
}

// have looks at the data plane.
func (k *Keeper) have() (have, error) {
	ports, err := k.dp.Ports()
	if err != nil {
		return have{}, err
	}
	publics, err := k.dp.Publics()
	if err != nil {
		return have{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h := have{Objects: maps.Clone(k.done), Tables: k.tables}
	for o, d := range h.Objects {
		d.There = false
		h.Objects[o] = d
	}
	there := func(o object, whole bool) {
		d := h.Objects[o]
		d.There = true
		if !whole {
			d.Digest = ""
		}
		h.Objects[o] = d
	}
	for _, p := range ports {
		there(object{events.SpecPort, string(p.Interface)}, p.Index != 0)
	}
	for _, a := range publics {
		there(object{events.SpecPublic, a.String()}, true)
	}
	return h, nil
}

func (k *Keeper) do(ctx context.Context, s step, w want, specs map[object]events.Spec, n known) error {
	switch s.verb {
	case doApply:
		return k.dp.Apply(n.tables)
	case doReport:
		ctx, cancel := context.WithTimeout(ctx, reportFor)
		defer cancel()
		return k.o.Report(ctx, events.ReportRemoved{Host: k.o.Host, Kind: s.Kind, ID: s.ID, Order: specs[s.object].N})
	}
	port := s.Kind == events.SpecPort
	if s.verb == doPut {
		k.o.Log.Info("put", "what", s.object, "n", specs[s.object].N, "request", specs[s.object].Request)
		if port {
			return k.dp.PutPort(n.ports[events.InterfaceID(s.ID)])
		}
		return k.dp.PutPublic(n.publics[netip.MustParseAddr(s.ID)]) // read has parsed it
	}
	k.o.Log.Info("delete", "what", s.object, "n", specs[s.object].N, "request", specs[s.object].Request)
	if port {
		return k.dp.DeletePort(events.InterfaceID(s.ID))
	}
	a, err := netip.ParseAddr(s.ID)
	if err != nil {
		return err
	}
	return k.dp.DeletePublic(a)
}

func (k *Keeper) note(s step, w want, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.verb == doApply {
		delete(k.faults, "tables")
		if err != nil {
			k.faults["tables"] = err.Error()
			return
		}
		k.tables = w.Tables
		return
	}
	d := k.done[s.object]
	if s.verb == doReport {
		d.Reported = time.Now() // heard or not: it repeats until the tombstone goes
		k.done[s.object] = d
		return
	}
	delete(k.faults, s.object.String())
	d.Failed, d.Tries = time.Time{}, 0
	switch {
	case err != nil:
		d.Failed, d.Tries = time.Now(), k.done[s.object].Tries+1
		k.faults[s.object.String()] = err.Error()
	case s.verb == doPut:
		d.Digest = w.Objects[s.object].Digest
	default:
		d.Digest = ""
	}
	k.done[s.object] = d
}

// Have implements node.Keeper.
func (k *Keeper) Have(context.Context) (events.Have, error) {
	h, err := k.have()
	if err != nil {
		return events.Have{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := events.Have{Host: k.o.Host, Kind: k.o.Kind, N: k.n}
	for _, o := range slices.SortedFunc(maps.Keys(h.Objects), compare) {
		if !h.Objects[o].There {
			continue
		}
		state := "held"
		if k.faults[o.String()] != "" {
			state = "failed"
		}
		name := map[events.SpecKind]string{events.SpecPort: "tap", events.SpecPublic: "address"}[o.Kind]
		out.Objects = append(out.Objects, events.Object{Kind: name, ID: o.ID, State: state})
		if _, ok := k.specs[o]; !ok && k.complete {
			out.Orphans = append(out.Orphans, name+" "+o.ID)
		}
	}
	return out, nil
}

// Conditions implements node.Keeper.
func (k *Keeper) Conditions() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, m := range []map[string]string{k.faults, k.read.bad} {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			out = append(out, m[key])
		}
	}
	return out
}

// Port is the port whose guest the services see at an address.
func (k *Keeper) Port(service netip.Addr) (events.PortSpec, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.read.ports[k.byAddr[service.Unmap()]]
	return p, ok
}

// PortOf is the spec of a port; one that is not asked for has no address.
func (k *Keeper) PortOf(id events.InterfaceID) events.PortSpec {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read.ports[id]
}

// Lookup is the port and the instance behind an address of the services.
func (k *Keeper) Lookup(service netip.Addr) (events.PortSpec, events.MetadataSpec, bool) {
	p, ok := k.Port(service)
	if !ok {
		return p, events.MetadataSpec{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	m, ok := k.read.metadata[p.Instance]
	return p, m, ok
}

// Network is a VPC that has ports here.
func (k *Keeper) Network(id events.VPCID) (events.NetworkSpec, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.read.networks[id]
	return n, ok
}

// Private is the private address of the interface that has a public one, inside
// of its VPC.
func (k *Keeper) Private(vpc events.VPCID, public netip.Addr) (netip.Addr, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.read.private[publicKey{vpc, public}]
	return a, ok
}

// Public says whether an interface has a public address.
func (k *Keeper) Public(a netip.Addr) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.read.publics[a]
	return ok
}
