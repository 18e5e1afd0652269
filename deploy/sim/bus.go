package sim

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Bus is the one server that stands for the region's bus, and can be lost.
type Bus struct {
	dir func() string

	mu     sync.Mutex
	server *server.Server
}

// StartBus starts a server with an empty store.
func StartBus(dir func() string) (*Bus, error) {
	b := &Bus{dir: dir}
	return b, b.Start()
}

// Start starts a server where there is none, with an empty store.
func (b *Bus) Start() error {
	s, err := server.NewServer(&server.Options{ServerName: "sim", DontListen: true, NoSigs: true, NoLog: true, JetStream: true,
		StoreDir: b.dir(), MaxPayload: 32 << 20, MaxPending: 128 << 20})
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("sim: the bus did not start")
	}
	b.mu.Lock()
	b.server = s
	b.mu.Unlock()
	return nil
}

// Stop loses the bus and all that it held.
func (b *Bus) Stop() {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Port is one client's way to the bus. It can be cut in either direction: what
// is sent into a cut is lost, as on a wire, and nobody is told.
type Port struct {
	bus *Bus

	mu      sync.Mutex
	in, out bool // cut
	conns   map[*portConn]bool
}

// Port makes a way to the bus.
func (b *Bus) Port() *Port { return &Port{bus: b, conns: map[*portConn]bool{}} }

// Cut cuts directions, seen from the client. Healing a cut breaks the
// connections that lost bytes, as a stream that lost bytes would.
func (p *Port) Cut(in, out bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in, p.out = in, out
	for c := range p.conns {
		if c.lost && !in && !out {
			c.Conn.Close()
		}
	}
}

// InProcessConn connects to the server that is up, implementing
// nats.InProcessConnProvider.
func (p *Port) InProcessConn() (net.Conn, error) {
	p.bus.mu.Lock()
	s := p.bus.server
	p.bus.mu.Unlock()
	p.mu.Lock()
	cut := p.in || p.out
	p.mu.Unlock()
	if s == nil || cut {
		return nil, errors.New("sim: the bus cannot be reached")
	}
	c, err := s.InProcessConn()
	if err != nil {
		return nil, err
	}
	pc := &portConn{Conn: c, port: p}
	p.mu.Lock()
	p.conns[pc] = true
	p.mu.Unlock()
	return pc, nil
}

type portConn struct {
	net.Conn
	port *Port
	lost bool // bytes were lost; port.mu
}

func (c *portConn) Write(b []byte) (int, error) {
	c.port.mu.Lock()
	if c.port.out {
		c.lost = true
		c.port.mu.Unlock()
		return len(b), nil
	}
	c.port.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *portConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		c.port.mu.Lock()
		cut := c.port.in
		if cut && n > 0 {
			c.lost = true
		}
		c.port.mu.Unlock()
		if !cut || err != nil {
			return n, err
		}
	}
}

func (c *portConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.conns, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}
