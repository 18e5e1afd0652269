// Package fair keeps one guest from using up what a server has for all of them.
//
//	guest a ─ 1 2 3 … n │ refused        a source address is one interface:
//	guest b ─ 1         │                the data plane writes it
//
// A source has its own count, so one that floods is refused and no other
// notices. Nothing is remembered of a source that holds nothing.
package fair

import (
	"net"
	"net/netip"
	"sync"
)

// Counts is how much each source holds, up to a limit for each.
type Counts struct {
	Limit int

	mu   sync.Mutex
	held map[netip.Addr]int
}

// Take counts one more for a source; false when it holds its limit already.
// Each true is to be followed by one Done.
func (c *Counts) Take(src netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[src] >= c.Limit {
		return false
	}
	if c.held == nil {
		c.held = map[netip.Addr]int{}
	}
	c.held[src]++
	return true
}

// Done gives one back.
func (c *Counts) Done(src netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[src]--; c.held[src] <= 0 {
		delete(c.held, src)
	}
}

// Listener is l with at most limit connections open for each source address;
// further ones are reset.
func Listener(l net.Listener, limit int) net.Listener {
	return &listener{Listener: l, counts: Counts{Limit: limit}}
}

type listener struct {
	net.Listener
	counts Counts
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		src := Source(c.RemoteAddr())
		if l.counts.Take(src) {
			return &Conn{Conn: c, done: sync.OnceFunc(func() { l.counts.Done(src) })}, nil
		}
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
}

// Conn is a counted connection.
type Conn struct {
	net.Conn
	done func()
}

// Close closes the connection and counts it no longer.
func (c *Conn) Close() error {
	defer c.done()
	return c.Conn.Close()
}

// Source is the address that a packet or connection came from; the zero Addr
// when it has none.
func Source(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
