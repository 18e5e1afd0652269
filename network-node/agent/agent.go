// Package agent is a network node put together: the shared node, the keeper of
// the data plane, and the servers that guests talk to.
//
//	kind network   data plane of one host ─ metadata and resolver in a namespace
//	               of the agent's own, one DHCP server on each tap
//	kind gateway   data plane between a zone and the outside ─ public names on
//	               the uplink
//
// Packets between guests need none of it: they go on while no agent runs.
package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/linux"
	"skerry/network-node/datapath/memory"
	"skerry/network-node/dhcp"
	"skerry/network-node/metadata"
	"skerry/network-node/ports"
	"skerry/network-node/resolver"
)

// Agent is one network node.
type Agent struct {
	o      node.Options
	c      config.NetworkConfig
	node   *node.Node
	dp     datapath.Datapath
	keeper *ports.Keeper
	dhcp   *leases // nil: no taps to serve
}

// New makes an agent. o.Kind is config.Network or config.Gateway; run is a
// short directory for what outlives the agent.
func New(o node.Options, c config.NetworkConfig, run string) (*Agent, error) {
	dp, err := open(o, c, run)
	if err != nil {
		return nil, err
	}
	o.Address = c.Address
	a := &Agent{o: o, c: c, node: node.New(o), dp: dp}
	if o.Kind == config.Network && c.Datapath == "linux" {
		a.dhcp = &leases{log: o.Log, running: map[string]bool{}}
	}
	a.keeper = ports.New(dp, ports.Options{Host: o.Host, Kind: o.Kind, Log: o.Log, Held: a.held,
		Report: func(ctx context.Context, r events.ReportRemoved) error { return a.node.Report(ctx, r) },
		Serves: func(ctx context.Context, r events.ReportNATGateway) error { return a.node.Report(ctx, r) }})
	a.node.SetKeeper(a.keeper)
	return a, nil
}

// Close lets go of the data plane, which goes on.
func (a *Agent) Close() error { return a.dp.Close() }

func open(o node.Options, c config.NetworkConfig, run string) (datapath.Datapath, error) {
	var bad []error
	parse := func(key, v string) (p netip.Addr) {
		if v == "" {
			return p
		}
		p, err := netip.ParseAddr(v)
		if err != nil {
			bad = append(bad, fmt.Errorf("config: network.%s: %w", key, err))
		}
		return p
	}
	address, hop := parse("address", c.Address), parse("next_hop", c.NextHop)
	var uplink netip.Prefix
	if c.UplinkAddress != "" {
		var err error
		if uplink, err = netip.ParsePrefix(c.UplinkAddress); err != nil {
			bad = append(bad, fmt.Errorf("config: network.uplink_address: %w", err))
		}
	}
	gateway := o.Kind == config.Gateway
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	switch c.Datapath {
	case "memory":
		return memory.New(memory.Options{Address: address, Gateway: gateway, UplinkAddr: uplink.Addr(), Service: true}), nil
	case "linux":
	default:
		return nil, fmt.Errorf(`config: network.datapath is %q: use "linux" or "memory"`, c.Datapath)
	}
	lo := linux.Options{Run: run, Fabric: c.Fabric, Address: address, Log: o.Log}
	if gateway {
		if c.Uplink == "" || !uplink.IsValid() {
			return nil, errors.New("config: a gateway needs network.uplink and network.uplink_address")
		}
		lo.Uplink, lo.UplinkAddress, lo.NextHop = c.Uplink, uplink, hop
	}
	return linux.Open(lo)
}

// Run keeps the node until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sub, err := a.o.Bus.Conn().Subscribe(a.node.Subject("counters"), a.counters)
	if err != nil {
		return fmt.Errorf("agent: counters: %w", err)
	}
	defer sub.Unsubscribe()
	if a.dhcp != nil {
		a.dhcp.start(ctx)
		defer a.dhcp.wait()
	}
	if l, ok := a.dp.(*linux.Datapath); ok {
		serve := func(ctx context.Context) error { return a.inside(ctx, l) }
		if a.o.Kind == config.Gateway {
			serve = a.outside
		}
		wg.Go(func() { again(ctx, a.o.Log, "services", serve) })
	}
	return a.node.Run(ctx)
}

// pause is between attempts of a server that ended.
const pause = time.Second

// again runs a server until ctx ends, and again when it fails.
func again(ctx context.Context, log *slog.Logger, what string, serve func(context.Context) error) {
	for {
		err := serve(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Warn(what, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// inside serves the guests of this host.
func (a *Agent) inside(ctx context.Context, l *linux.Datapath) error {
	key, err := tokenKey(a.o.Data)
	if err != nil {
		return err
	}
	web, err := metadata.New(a.keeper.Lookup, key, a.o.Log)
	if err != nil {
		return err
	}
	var upstream []netip.AddrPort
	for _, u := range a.c.Upstream {
		p, err := netip.ParseAddrPort(u)
		if err != nil {
			return fmt.Errorf("config: network.upstream: %w", err)
		}
		upstream = append(upstream, p)
	}
	names := &resolver.Inside{Port: a.keeper.Port, Network: a.keeper.Network, Private: a.keeper.Private, PublicDomain: events.PublicDomain(a.o.Region), Upstream: upstream}
	s, err := l.Services()
	if err != nil {
		return err
	}
	defer s.Close()
	listener, err := s.Listen("tcp4", net.JoinHostPort(datapath.MetadataAddr.String(), "80"))
	if err != nil {
		return fmt.Errorf("agent: metadata: %w", err)
	}
	servers := []func(context.Context) error{func(ctx context.Context) error { return web.Serve(ctx, listener) }}
	closers := []func() error{listener.Close}
	for _, at := range []netip.Addr{datapath.ResolverAddr, datapath.VPCResolver} {
		where := net.JoinHostPort(at.String(), "53")
		udp, err := s.ListenPacket("udp4", where)
		if err == nil {
			closers = append(closers, udp.Close)
			var tcp net.Listener
			if tcp, err = s.Listen("tcp4", where); err == nil {
				closers = append(closers, tcp.Close)
				servers = append(servers, func(ctx context.Context) error { return resolver.Serve(ctx, names, udp, tcp) })
			}
		}
		if err != nil {
			for _, c := range closers {
				c()
			}
			return fmt.Errorf("agent: resolver: %w", err)
		}
	}
	a.o.Log.Info("serving guests", "metadata", datapath.MetadataAddr, "resolver", datapath.ResolverAddr)
	return together(ctx, servers...)
}

// outside serves the names of public addresses on the uplink.
func (a *Agent) outside(ctx context.Context) error {
	p, err := netip.ParsePrefix(a.c.UplinkAddress)
	if err != nil {
		return fmt.Errorf("config: network.uplink_address: %w", err)
	}
	where := net.JoinHostPort(p.Addr().String(), "53")
	udp, err := net.ListenPacket("udp4", where)
	if err != nil {
		return fmt.Errorf("agent: resolver: %w", err)
	}
	tcp, err := net.Listen("tcp4", where)
	if err != nil {
		udp.Close()
		return fmt.Errorf("agent: resolver: %w", err)
	}
	return resolver.Serve(ctx, &resolver.Outside{Domain: events.PublicDomain(a.o.Region), Known: a.keeper.Public, Self: p.Addr()}, udp, tcp)
}

// together runs servers until one ends, and then ends the others.
func together(ctx context.Context, servers ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(servers))
	for _, s := range servers {
		go func() { ended <- s(ctx) }()
	}
	err := <-ended
	stop()
	for range len(servers) - 1 {
		err = cmp.Or(err, <-ended)
	}
	return err
}

// tokenKey is the key that signs metadata tokens: kept, so that a restart
// invalidates none.
func tokenKey(data string) ([]byte, error) {
	path := filepath.Join(data, "metadata.key")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("agent: %w", err)
	}
	b = make([]byte, 32)
	rand.Read(b) // never fails, see crypto/rand
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	return b, nil
}

// Counter is a line of the answer to a question for counters.
type Counter struct {
	Interface events.InterfaceID `json:"interface,omitempty"`
	Reason    string             `json:"reason"`
	Packets   uint64             `json:"packets"`
	Bytes     uint64             `json:"bytes"`
}

// counters answers who dropped what, which is an operator's first question.
func (a *Agent) counters(m *nats.Msg) {
	cs, err := a.dp.Counters()
	if err != nil {
		a.o.Log.Warn("counters", "err", err)
		return
	}
	out := []Counter{}
	for _, c := range cs {
		out = append(out, Counter{c.Interface, c.Reason.String(), c.Packets, c.Bytes})
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // our own type
	}
	if err := m.Respond(b); err != nil {
		a.o.Log.Debug("counters", "err", err)
	}
}

// held sees to it that every tap has a DHCP server.
func (a *Agent) held(ps []datapath.Port) {
	if a.dhcp == nil {
		return
	}
	for _, p := range ps {
		if p.Index != 0 {
			a.dhcp.serve(p.Tap, func() events.PortSpec { return a.keeper.PortOf(p.Interface) })
		}
	}
}

// leases runs one DHCP server for each tap. One that ends is begun again by the
// next pass of the keeper, if the tap is still there.
type leases struct {
	log *slog.Logger

	mu      sync.Mutex
	ctx     context.Context
	running map[string]bool
	work    sync.WaitGroup
}

func (l *leases) start(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctx = ctx
}

func (l *leases) wait() { l.work.Wait() }

func (l *leases) serve(tap string, port func() events.PortSpec) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil || l.running[tap] {
		return
	}
	l.running[tap] = true
	l.work.Go(func() {
		err := dhcp.Serve(l.ctx, tap, port)
		if err != nil && !errors.Is(err, dhcp.ErrGone) {
			l.log.Warn("dhcp", "id", tap, "err", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, tap)
	})
}
