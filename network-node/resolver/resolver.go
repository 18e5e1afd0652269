// Package resolver answers names: Inside for guests, at the second address of
// their VPC, and Outside on a gateway node's uplink.
//
//	                         inside, asked by a guest      outside
//	ip-172-31-0-4.<private>  172.31.0.4, if in the VPC     refused
//	ec2-198-18-1-4.<public>  private address of the        198.18.1.4, if the
//	                         interface that has it in      region gave it to
//	                         this VPC, else 198.18.1.4     an interface
//	4.0.31.172.in-addr.arpa  ip-172-31-0-4.<private>       refused
//	other .internal, private NXDOMAIN                      refused
//	anything else            forwarded                     refused
//
// A guest is known by the source address, which the data plane writes. The same
// public name means two addresses, so that traffic between instances of a VPC
// stays inside of it. What is refused, a stub asks its next server.
//
// Both promise an answer or an error for every question that parses, a bound on
// what one guest can keep open, and that nothing which is only meant for one
// network is ever sent on to another's servers.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"skerry/events"
	"skerry/network-node/fair"
)

// Limits of one guest.
const (
	queries     = 64 // being answered at once
	connections = 16 // open at once over TCP
	perSession  = 128
	idleTime    = 10 * time.Second
	forwardTime = 5 * time.Second
)

// ttl is how long an answer may be kept: a public address moves in seconds.
const ttl = 30

// Inside answers the guests of a host.
type Inside struct {
	// Port is the interface that a source address names.
	Port func(src netip.Addr) (events.PortSpec, bool)
	// Network is a VPC of this host: its blocks say which private names exist.
	Network func(events.VPCID) (events.NetworkSpec, bool)
	// Private is the private address of the interface of a VPC that has a public
	// one (MappingSpec.Public).
	Private      func(vpc events.VPCID, public netip.Addr) (netip.Addr, bool)
	PublicDomain string // <region>.compute.skerry.internal
	// Upstream are asked in this order for all other names. Without any, they
	// are refused.
	Upstream []netip.AddrPort

	counts fair.Counts
	once   sync.Once
	stats
}

// Counters is what became of questions.
type Counters struct {
	Answered, Forwarded, Refused, Limited, Failed uint64
}

type stats struct{ answered, forwarded, refused, limited, failed atomic.Uint64 }

// Counters reads the counters.
func (s *stats) Counters() Counters {
	return Counters{Answered: s.answered.Load(), Forwarded: s.forwarded.Load(), Refused: s.refused.Load(), Limited: s.limited.Load(), Failed: s.failed.Load()}
}

// Handler is an *Inside or an *Outside.
type Handler interface {
	// Answer answers one question; it gives up when ctx ends.
	Answer(ctx context.Context, w dns.ResponseWriter, r *dns.Msg)
}

// Answer answers one question of a guest.
func (s *Inside) Answer(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) {
	s.once.Do(func() { s.counts.Limit = queries })
	src := fair.Source(w.RemoteAddr())
	if !s.counts.Take(src) {
		s.limited.Add(1)
		return // silence: an answer would only feed the flood
	}
	defer s.counts.Done(src)
	port, ok := s.Port(src)
	if !ok {
		s.refused.Add(1)
		write(w, r, fail(r, dns.RcodeRefused))
		return
	}
	if m := odd(r); m != nil {
		s.refused.Add(1)
		write(w, r, m)
		return
	}
	name := canonical(r.Question[0].Name)
	if m := s.own(r, name, port); m != nil {
		s.answered.Add(1)
		write(w, r, m)
		return
	}
	if isLocal(name) {
		s.answered.Add(1)
		write(w, r, fail(r, dns.RcodeNameError))
		return
	}
	if len(s.Upstream) == 0 || !r.RecursionDesired {
		s.refused.Add(1)
		write(w, r, fail(r, dns.RcodeRefused))
		return
	}
	m, err := forward(ctx, r, s.Upstream)
	if err != nil {
		s.failed.Add(1)
		write(w, r, fail(r, dns.RcodeServerFailure))
		return
	}
	s.forwarded.Add(1)
	write(w, r, m)
}

// own answers what the region knows itself; nil for other names.
func (s *Inside) own(r *dns.Msg, name string, port events.PortSpec) *dns.Msg {
	within := func(a netip.Addr) bool {
		n, ok := s.Network(port.VPC)
		if !ok {
			return port.CIDR.Contains(a)
		}
		for _, b := range n.Blocks {
			if b.Contains(a) {
				return true
			}
		}
		return false
	}
	if a, whole, ok := reversed(name); ok {
		if !whole || !within(a) {
			if whole && s.PublicDomain != "" {
				if _, ok := s.Private(port.VPC, a); ok {
					return pointer(r, events.PublicName(a, s.PublicDomain))
				}
			}
			return nil
		}
		return pointer(r, events.PrivateName(a, port.Domain))
	}
	if l, ok := under(name, canonical(port.Domain)); ok {
		if a, ok := address(l, "ip"); ok && within(a) {
			return host(r, port.Domain, a)
		}
		return apex(r, l, canonical(port.Domain), port.Resolver)
	}
	if l, ok := under(name, canonical(s.PublicDomain)); ok {
		if a, ok := address(l, "ec2"); ok && routable(a) {
			if private, ok := s.Private(port.VPC, a); ok {
				a = private
			}
			return host(r, s.PublicDomain, a)
		}
		return apex(r, l, canonical(s.PublicDomain), port.Resolver)
	}
	return nil
}

// Outside answers for the public names of a region, and for nothing else.
type Outside struct {
	Domain string // <region>.compute.skerry.internal
	// Known says whether a public address is an interface's (PublicSpec).
	Known func(netip.Addr) bool
	// Self is the address that it listens on, for the name of the zone's server.
	Self netip.Addr

	stats
}

// Answer answers one question from outside.
func (s *Outside) Answer(_ context.Context, w dns.ResponseWriter, r *dns.Msg) {
	m := s.answer(r)
	if m.Rcode == dns.RcodeRefused {
		s.refused.Add(1)
	} else {
		s.answered.Add(1)
	}
	write(w, r, m)
}

func (s *Outside) answer(r *dns.Msg) *dns.Msg {
	if m := odd(r); m != nil {
		return m
	}
	name, domain := canonical(r.Question[0].Name), canonical(s.Domain)
	if a, whole, ok := reversed(name); ok && whole && s.Known(a) {
		return authoritative(pointer(r, events.PublicName(a, domain)))
	}
	l, ok := under(name, domain)
	if !ok {
		return fail(r, dns.RcodeRefused)
	}
	if a, ok := address(l, "ec2"); ok && s.Known(a) {
		return authoritative(host(r, domain, a))
	}
	return authoritative(apex(r, l, domain, s.Self))
}

func authoritative(m *dns.Msg) *dns.Msg {
	m.Authoritative, m.RecursionAvailable = true, false
	return m
}

// Serve answers on both sockets until ctx ends, which is no error, and closes
// them.
func Serve(ctx context.Context, handler Handler, udp net.PacketConn, tcp net.Listener) error {
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { handler.Answer(ctx, w, r) })
	servers := []*dns.Server{
		{PacketConn: udp, Handler: h, UDPSize: dns.DefaultMsgSize},
		{Listener: fair.Listener(tcp, connections), Handler: h, MaxTCPQueries: perSession, ReadTimeout: idleTime, WriteTimeout: idleTime,
			IdleTimeout: func() time.Duration { return idleTime }},
	}
	ended := make(chan error, len(servers))
	for _, s := range servers {
		go func() { ended <- s.ActivateAndServe() }()
	}
	stop := func() {
		// A server that has not begun yet ends by its socket.
		for _, s := range servers {
			now, cancel := context.WithTimeout(context.WithoutCancel(ctx), 100*time.Millisecond)
			s.ShutdownContext(now)
			cancel()
		}
		udp.Close()
		tcp.Close()
	}
	var err error
	left := len(servers)
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
		err = fmt.Errorf("resolver: a server ended: %w", cmp.Or(err, net.ErrClosed))
	}
	stop()
	for range left {
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// forward asks the servers in turn, over TCP when an answer does not fit. The
// question goes on under an id of its own.
func forward(ctx context.Context, r *dns.Msg, servers []netip.AddrPort) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(r.Question[0].Name, r.Question[0].Qtype)
	q.CheckingDisabled, q.AuthenticatedData = r.CheckingDisabled, r.AuthenticatedData
	o := r.IsEdns0()
	q.SetEdns0(1232, o != nil && o.Do())
	var last error = errors.New("no server")
	for _, at := range servers {
		c := dns.Client{Net: "udp", Timeout: forwardTime / time.Duration(len(servers)), UDPSize: 1232}
		m, err := exchange(ctx, &c, q, at)
		if err == nil && m.Truncated {
			c.Net = "tcp"
			m, err = exchange(ctx, &c, q, at)
		}
		if err != nil {
			last = err
			continue
		}
		if m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeFormatError {
			if last = fmt.Errorf("%s answers %s", at, dns.RcodeToString[m.Rcode]); at != servers[len(servers)-1] {
				continue
			}
		}
		m.Id, m.Question, m.RecursionAvailable, m.Authoritative = r.Id, r.Question, true, false
		if o == nil {
			m.Extra = without(m.Extra)
		}
		return m, nil
	}
	return nil, last
}

// exchange asks one server; the end of ctx closes the socket.
func exchange(ctx context.Context, c *dns.Client, q *dns.Msg, at netip.AddrPort) (*dns.Msg, error) {
	conn, err := c.DialContext(ctx, at.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, _, err := c.ExchangeWithConn(q, conn)
	return m, err
}

// without drops the OPT record for a client that sent none.
func without(rrs []dns.RR) []dns.RR {
	var out []dns.RR
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, rr)
		}
	}
	return out
}
