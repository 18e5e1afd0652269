// Package node is what the three kinds of nodes share: joining the region,
// heartbeats, and holding the specs that say what the node must be.
//
//	start ─▶ JoinNode ─▶ sk.spec.get ─▶ set with manifest ─▶ disk ─▶ Keeper.Want
//	                        ▲                                          │
//	                        └── poke (sk.spec.…node.…), or a period    └▶ its own passes
//
// Without a complete set a node adopts what it has and touches nothing. A set
// older than the one held is dropped.
package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"skerry/events"
	"skerry/events/bus"
	"skerry/internal/reconcile"
)

// Keeper makes a node what its specs say.
type Keeper interface {
	// Want gives the keeper specs: the newest complete set, or a part that
	// changed since, which takes nothing away.
	Want(set events.SpecSet, complete bool)
	// Run makes it so, again and again, until ctx ends.
	Run(context.Context) error
	// Have is what the node holds, and what nothing explains.
	Have(context.Context) (events.Have, error)
	// Conditions are faults of the machine that operators should know.
	Conditions() []string
}

// Options say who a node is.
type Options struct {
	Region   string
	Zone     events.Zone
	Host     events.HostID
	Kind     string
	Address  string
	Capacity events.Capacity
	Accel    string
	Data     string // directory where the set is kept; empty keeps it in memory only
	Bus      *bus.Client
	Log      *slog.Logger
	Period   time.Duration // between looks at the specs without a poke; 0 means 5s
}

// Node is one node of a region.
type Node struct {
	o    Options
	boot string
	keep Keeper
	sync *reconcile.Loop

	mu     sync.Mutex
	set    events.SpecSet
	synced bool
	floor  uint64                              // event number that the next set must have reached
	poke   map[string]bool                     // objects that changed since the last look; nil means look at all
	vpcs   map[events.VPCID]*nats.Subscription // VPCs whose changes are heard: those in the set
	whole  time.Time                           // when the next complete set is due
	joined atomic.Bool
}

// New makes a node; SetKeeper must be called before Run.
func New(o Options) *Node {
	if o.Period == 0 {
		o.Period = 5 * time.Second
	}
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	n := &Node{o: o, boot: hex.EncodeToString(b[:])}
	n.sync = reconcile.New("specs", o.Period, o.Log, n.fetch)
	return n
}

// SetKeeper gives the node its keeper.
func (n *Node) SetKeeper(k Keeper) { n.keep = k }

// Boot is the id of this start of the process, as the join says it.
func (n *Node) Boot() string { return n.boot }

// reportFor bounds one report: what did not get through is reported again.
const reportFor = 5 * time.Second

// Report sends a command of this node.
func (n *Node) Report(ctx context.Context, c events.Command) error {
	ctx, cancel := context.WithTimeout(ctx, reportFor)
	defer cancel()
	_, err := n.o.Bus.NodeCommand(ctx, n.o.Host, bus.NewStamp("node:"+string(n.o.Host)+"/"+n.o.Kind), c)
	return err
}

// Run keeps the node until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	if err := n.load(); err != nil {
		return err
	}
	conn := n.o.Bus.Conn()
	poked, err := conn.Subscribe(fmt.Sprintf("sk.spec.%s.node.%s.%s.>", n.o.Region, n.o.Host, n.o.Kind), n.poked)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	defer poked.Unsubscribe()
	svc, err := n.serve(conn)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	defer svc.Stop()
	var wg sync.WaitGroup
	wg.Go(func() { n.heartbeats(ctx) })
	wg.Go(func() { n.sync.Run(ctx) })
	err = n.keep.Run(ctx)
	wg.Wait()
	return err
}

func (n *Node) serve(conn *nats.Conn) (micro.Service, error) {
	s, err := micro.AddService(conn, micro.Config{Name: "skerry-" + n.o.Kind + "-node", Version: "0.1.0",
		Description: "The " + n.o.Kind + " node of host " + string(n.o.Host) + ".", Metadata: map[string]string{"az": string(n.o.Zone), "host": string(n.o.Host)}})
	if err != nil {
		return nil, err
	}
	return s, s.AddEndpoint("have", micro.HandlerFunc(func(r micro.Request) {
		ctx, cancel := context.WithTimeout(context.Background(), reportFor)
		defer cancel()
		have, err := n.keep.Have(ctx)
		if err != nil {
			r.Error("500", err.Error(), nil)
			return
		}
		have.Conditions = n.keep.Conditions()
		n.mu.Lock()
		have.Host, have.Kind, have.N = n.o.Host, n.o.Kind, n.set.Manifest.N
		n.mu.Unlock()
		r.RespondJSON(have)
	}), micro.WithEndpointSubject(n.Subject("have")), micro.WithEndpointQueueGroupDisabled())
}

// Subject is one of the node's own subjects.
func (n *Node) Subject(what string) string {
	return events.NodeSubject(n.o.Region, n.o.Zone, n.o.Host, n.o.Kind, what)
}

func (n *Node) poked(m *nats.Msg) {
	var s events.Spec
	if err := json.Unmarshal(m.Data, &s); err != nil {
		n.o.Log.Warn("node: a poke cannot be read", "subject", m.Subject, "err", err)
		return
	}
	n.o.Log.Debug("poke", "kind", s.Kind, "id", s.ID, "n", s.N, "request", s.Request)
	n.mu.Lock()
	n.floor = max(n.floor, s.N)
	if n.poke != nil && len(n.poke) < maxPoked && !wide[s.Kind] {
		n.poke[s.ID] = true
	} else {
		n.poke = nil
	}
	n.mu.Unlock()
	n.sync.Poke()
}

// wide are the kinds whose change may bring other objects into the set, such as
// the first port or NAT gateway in a VPC: the whole set is asked for.
var wide = map[events.SpecKind]bool{events.SpecPort: true, events.SpecFabric: true, events.SpecNAT: true}

// maxPoked is how many changed objects are asked for by name; with more the
// whole set is.
const maxPoked = 64

// fetchFor bounds one attempt to get the set; the loop tries again.
const fetchFor = 10 * time.Second

// fetch joins the region if need be and gets the complete set.
func (n *Node) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	if !n.joined.Load() {
		reply, err := n.o.Bus.NodeCommand(ctx, n.o.Host, bus.NewStamp("node:"+string(n.o.Host)+"/"+n.o.Kind), events.JoinNode{
			Host: n.o.Host, Kind: n.o.Kind, Zone: n.o.Zone, Boot: n.boot, Address: n.o.Address, Capacity: n.o.Capacity, Accel: n.o.Accel})
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		// The join is an event of its own: a set from before it may name guests
		// that this node has destroyed since.
		n.mu.Lock()
		n.floor = max(n.floor, reply.N)
		n.mu.Unlock()
		n.joined.Store(true)
		n.o.Log.Info("joined", "boot", n.boot, "vcpus", n.o.Capacity.VCPUs, "memoryMiB", n.o.Capacity.MemoryMiB, "accel", n.o.Accel)
	}
	n.mu.Lock()
	q := events.SpecGet{AtLeast: max(n.floor, n.set.Manifest.N)}
	if n.synced && n.poke != nil && time.Now().Before(n.whole) {
		q.Only = slices.Sorted(maps.Keys(n.poke))
	}
	n.poke = map[string]bool{}
	n.mu.Unlock()
	if q.Only != nil && len(q.Only) == 0 {
		return nil
	}
	set, err := n.ask(ctx, q)
	if err != nil {
		n.mu.Lock()
		n.poke = nil // what was asked for is not known: ask for all
		n.mu.Unlock()
		return err
	}
	if set.Boot != "" && set.Boot != n.boot {
		// The join of another start came late, and after this one's.
		n.joined.Store(false)
		n.mu.Lock()
		n.poke = nil
		n.mu.Unlock()
		return fmt.Errorf("the region knows the start %s of this node, not %s: it joins again", set.Boot, n.boot)
	}
	if q.Only != nil {
		n.mu.Lock()
		n.floor = max(n.floor, set.Manifest.N)
		n.mu.Unlock()
		n.keep.Want(set, false)
		return nil
	}
	return n.take(set)
}

// ask gets specs from a voter, and refuses what did not arrive whole.
func (n *Node) ask(ctx context.Context, q events.SpecGet) (events.SpecSet, error) {
	var set events.SpecSet
	if err := n.o.Bus.AskSubject(ctx, events.SpecGetSubject(n.o.Region, n.o.Host, n.o.Kind), q, &set); err != nil {
		return set, err
	}
	if set.Manifest.Count != len(set.Specs) || set.Manifest.Digest != events.Digest(set.Specs) {
		return set, fmt.Errorf("the specs at event %d are not whole: %d of %d", set.Manifest.N, len(set.Specs), set.Manifest.Count)
	}
	return set, nil
}

// take holds a complete set that is not older than the one held.
func (n *Node) take(set events.SpecSet) error {
	n.mu.Lock()
	if set.Manifest.N < n.set.Manifest.N {
		n.mu.Unlock()
		return nil
	}
	same := n.synced && set.Manifest.Digest == n.set.Manifest.Digest
	n.mu.Unlock()
	if !same {
		if err := n.store(set); err != nil {
			return err
		}
	}
	n.mu.Lock()
	n.set, n.synced = set, true
	n.whole = time.Now().Add(n.o.Period)
	n.mu.Unlock()
	if err := n.follow(set); err != nil {
		return err
	}
	n.keep.Want(set, true) // also when it is the same: it takes away what a part had added
	return nil
}

// follow hears of changes in the VPCs of the set, and no longer of others. What
// changed between the making of the set and the hearing is in the next whole
// one.
func (n *Node) follow(set events.SpecSet) error {
	want := map[events.VPCID]bool{}
	for _, s := range set.Specs {
		if s.Kind == events.SpecNetwork {
			want[events.VPCID(s.ID)] = true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, sub := range n.vpcs {
		if !want[id] {
			sub.Unsubscribe()
			delete(n.vpcs, id)
		}
	}
	for id := range want {
		if n.vpcs[id] != nil {
			continue
		}
		sub, err := n.o.Bus.Conn().Subscribe(fmt.Sprintf("sk.spec.%s.vpc.%s.>", n.o.Region, id), n.poked)
		if err != nil {
			return fmt.Errorf("node: %s: %w", id, err)
		}
		if n.vpcs == nil {
			n.vpcs = map[events.VPCID]*nats.Subscription{}
		}
		n.vpcs[id] = sub
		n.poke = nil // look again, now that changes are heard
		n.sync.Poke()
	}
	return nil
}

func (n *Node) path() string { return filepath.Join(n.o.Data, "specs.json") }

// store writes the set beside the old one and renames it.
func (n *Node) store(set events.SpecSet) error {
	if n.o.Data == "" {
		return nil
	}
	b, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("node: specs: %w", err)
	}
	tmp := n.path() + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("node: specs: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, n.path())
	}
	if err != nil {
		return fmt.Errorf("node: specs: %w", err)
	}
	return nil
}

// load reads the set held before a restart, for its number only: it says what
// was wanted then, and acting on it could bring back what the region has ended
// since. A set that cannot be read counts as none.
func (n *Node) load() error {
	if n.o.Data == "" {
		return nil
	}
	if err := os.MkdirAll(n.o.Data, 0o700); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	b, err := os.ReadFile(n.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("node: specs: %w", err)
	}
	var set events.SpecSet
	if err := json.Unmarshal(b, &set); err != nil || set.Manifest.Digest != events.Digest(set.Specs) {
		n.o.Log.Warn("node: the stored specs are damaged and not used", "path", n.path(), "err", err)
		return nil
	}
	n.floor = set.Manifest.N
	return nil
}

// beat is the time between heartbeats.
const beat = time.Second

func (n *Node) heartbeats(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		if n.joined.Load() {
			n.mu.Lock()
			h := events.Heartbeat{Host: n.o.Host, Kind: n.o.Kind, Zone: n.o.Zone, Boot: n.boot, N: n.set.Manifest.N,
				Digest: n.set.Manifest.Digest, Synced: n.synced, Conditions: n.keep.Conditions(), Sent: time.Now().UTC()}
			n.mu.Unlock()
			if b, err := json.Marshal(h); err == nil && n.o.Bus.Conn().IsConnected() {
				if err := n.o.Bus.Conn().Publish(n.Subject("heartbeat"), b); err != nil {
					n.o.Log.Debug("node: heartbeat", "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
