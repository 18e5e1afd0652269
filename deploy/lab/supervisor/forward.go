package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/wire"
)

// Bounds of the forwarders.
const (
	healthEvery   = time.Second
	healthAgain   = 100 * time.Millisecond // after a check that failed, until the zone counts as down
	healthTimeout = 500 * time.Millisecond // a zone that was cut off answers nothing at all
	dialTimeout   = 500 * time.Millisecond
	maxForwarded  = 1024 // connections at the same time, for each port
	downAfter     = 2    // failed checks in a row that end open connections
)

// zone is one control plane as seen from outside.
type zone struct {
	name, api, bus string
	namespace      string // where clients stand; empty: this machine's own
	poke           chan struct{}

	mu      sync.Mutex
	apiOK   bool
	busOK   bool
	problem string
	failed  int // checks in a row
	conns   map[net.Conn]bool
}

// dial opens a connection from where clients stand.
func (z *zone) dial(ctx context.Context, addr string) (net.Conn, error) {
	if z.namespace == "" {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	var c net.Conn
	err := wire.Do(z.namespace, func() (err error) {
		// With one literal address the socket is opened on this very thread.
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// forwarder leads loopback clients to a live zone.
type forwarder struct {
	zones []*zone
	log   *slog.Logger
}

func newForwarder(r *lab.Region, log *slog.Logger) *forwarder {
	f := &forwarder{log: log}
	for _, h := range r.Plan() {
		if h.Index != 0 {
			continue
		}
		z := &zone{name: h.AZ, api: r.API(h), bus: r.Bus(h), conns: map[net.Conn]bool{}, poke: make(chan struct{}, 1)}
		if r.Hypervisor == lab.QEMU {
			// Clients stand on the wire, not in the zone: a zone that is cut off is
			// cut off from them too.
			z.namespace = r.Namespace("wire")
		}
		f.zones = append(f.zones, z)
	}
	return f
}

// watch checks the zones until ctx ends.
func (f *forwarder) watch(ctx context.Context) {
	var wg sync.WaitGroup
	for _, z := range f.zones {
		wg.Go(func() {
			client := &http.Client{Timeout: healthTimeout, Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return z.dial(ctx, addr) },
			}}
			defer client.CloseIdleConnections()
			t := time.NewTimer(0)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-t.C:
				case <-z.poke:
				}
				answered, err := health(ctx, client, z.api)
				if ctx.Err() != nil {
					return
				}
				t.Reset(f.note(z, answered, err))
			}
		})
	}
	wg.Wait()
}

// health asks a zone whether it can serve. answered means that it is alive,
// err says why it cannot serve.
func health(ctx context.Context, client *http.Client, addr string) (answered bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/health", nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	if res.StatusCode != http.StatusOK {
		return true, fmt.Errorf("health says %s: %s", res.Status, b)
	}
	return true, nil
}

// suspect looks at a zone at once, because something happened to it. Until then
// it does not count as serving. All zones are meant when az is empty.
func (f *forwarder) suspect(az string) {
	for _, z := range f.zones {
		if az != "" && z.name != az {
			continue
		}
		z.mu.Lock()
		z.apiOK, z.busOK, z.problem = false, false, "being looked at"
		z.mu.Unlock()
		select {
		case z.poke <- struct{}{}:
		default: // it is about to be looked at
		}
	}
}

// note records a check and answers when the next one is due. Clients of a zone
// that stays silent are let go, so that they come back and reach a live one.
func (f *forwarder) note(z *zone, answered bool, err error) time.Duration {
	z.mu.Lock()
	defer z.mu.Unlock()
	if was := z.apiOK; was != (err == nil) {
		f.log.Info("zone", "az", z.name, "serves", err == nil, "problem", err)
	}
	z.apiOK, z.busOK, z.problem = err == nil, answered, ""
	if err != nil {
		z.problem = err.Error()
	}
	if answered {
		z.failed = 0
		return healthEvery
	}
	if z.failed++; z.failed < downAfter {
		return healthAgain
	}
	for c := range z.conns {
		c.Close()
	}
	return healthEvery
}

// serve accepts on one loopback port and forwards: the API port when api is
// true, else the bus port.
func (f *forwarder) serve(ctx context.Context, l net.Listener, api bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxForwarded)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f.forward(ctx, c, api)
		})
	}
}

// order lists the zones, the ones that serve first.
func (f *forwarder) order(api bool) []*zone {
	var good, bad []*zone
	for _, z := range f.zones {
		z.mu.Lock()
		ok := z.busOK && (z.apiOK || !api)
		z.mu.Unlock()
		if ok {
			good = append(good, z)
		} else {
			bad = append(bad, z)
		}
	}
	return append(good, bad...)
}

// forward joins a client to the first zone that takes the connection.
func (f *forwarder) forward(ctx context.Context, client net.Conn, api bool) {
	defer client.Close()
	for _, z := range f.order(api) {
		addr := z.bus
		if api {
			addr = z.api
		}
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		server, err := z.dial(dctx, addr)
		cancel()
		if err != nil {
			continue
		}
		z.join(ctx, client, server)
		return
	}
}

// join copies both ways until one side ends, or the zone is given up.
func (z *zone) join(ctx context.Context, client, server net.Conn) {
	z.mu.Lock()
	z.conns[server] = true
	z.mu.Unlock()
	defer func() {
		z.mu.Lock()
		delete(z.conns, server)
		z.mu.Unlock()
	}()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		io.Copy(to, from)
		if t, ok := to.(*net.TCPConn); ok {
			t.CloseWrite()
		}
	}
	wg.Go(func() { pipe(server, client) })
	pipe(client, server)
	// The server has said its last word: whatever the client still sends
	// nobody reads.
	server.Close()
	client.Close()
	wg.Wait()
}

// status is how the zones look.
func (f *forwarder) status() []Zone {
	var out []Zone
	for _, z := range f.zones {
		z.mu.Lock()
		out = append(out, Zone{Name: z.name, API: z.apiOK, Bus: z.busOK, Problem: z.problem, Conns: len(z.conns)})
		z.mu.Unlock()
	}
	return out
}
