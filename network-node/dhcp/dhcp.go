// Package dhcp tells the guest behind one tap its address, and nobody else.
//
//	guest ── frame ──▶ tap ──▶ packet socket ──▶ answer(frame, PortSpec) ─┐
//	  ▲                 └──▶ the data plane drops the frame               │
//	  └──────────────── frame ◀── packet socket ◀─────────────────────────┘
//
//	frame:  Ethernet 14 │ IPv4 20 + options │ UDP 8 │ DHCP (RFC 2131)
//
// The address of an interface never changes, so there is no pool, no state and
// nothing to release: a lease is the interface's own PortSpec, told again for
// every request. Who asks is known by the tap; the frame's source and chaddr
// must both be the interface's MAC. The client identifier (option 61) is ignored:
// another system on the same interface has the same address.
//
// A packet socket sees a frame before the data plane's program on the tap does,
// so this server needs no rule there, and a guest that answers requests itself
// reaches nobody.
package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"skerry/events"
)

// answersPerSecond bounds what one guest can make its node do; a burst of a
// booting guest is far below it.
const answersPerSecond = 50

// ErrGone says that the tap is no longer there.
var ErrGone = errors.New("the tap is gone")

// Server answers the guest behind one tap.
type Server struct {
	Tap  string                 // name in the network namespace that Run starts in
	Port func() events.PortSpec // asked for every frame; one without an address is answered by nothing

	counters
}

// Counters is what became of the frames that came from the guest.
type Counters struct {
	Offers, Acks, Naks uint64
	Releases, Declines uint64 // told us something that changes nothing
	Ignored            uint64 // for another server, or not a client's message
	Foreign            uint64 // not from this interface's MAC, or through a relay
	Malformed          uint64
	Limited            uint64 // beyond answersPerSecond
}

type counters [outcomes]atomic.Uint64

// Counters reads the counters.
func (s *Server) Counters() Counters {
	n := func(o outcome) uint64 { return s.counters[o].Load() }
	return Counters{
		Offers: n(offered), Acks: n(acked), Naks: n(naked), Releases: n(released), Declines: n(declined),
		Ignored: n(ignored), Foreign: n(foreign), Malformed: n(malformed), Limited: n(limited),
	}
}

// Serve is Run of a Server that nobody reads the counters of.
func Serve(ctx context.Context, tap string, port func() events.PortSpec) error {
	return (&Server{Tap: tap, Port: port}).Run(ctx)
}

// Run answers until ctx ends, which is no error, or the tap is gone, which is
// ErrGone. The tap may be down; it is served as soon as it is up.
func (s *Server) Run(ctx context.Context) error {
	ifi, err := net.InterfaceByName(s.Tap)
	if err != nil {
		return fmt.Errorf("dhcp: %s: %w", s.Tap, err)
	}
	filter, err := bpf.Assemble(onlyRequests)
	if err != nil {
		return fmt.Errorf("dhcp: %w", err)
	}
	// Sockets of one protocol see a frame only after the data plane has dropped
	// it; sockets of all protocols see it before.
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter})
	if err != nil {
		return fmt.Errorf("dhcp: %s: %w", s.Tap, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	limit := rate.NewLimiter(answersPerSecond, answersPerSecond)
	buf := make([]byte, 4096)
	for {
		n, _, err := conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.ENETDOWN), errors.Is(err, os.ErrDeadlineExceeded):
			// The socket is told once when the device goes down and not again
			// when it is removed after that: look from time to time.
			if now, err := net.InterfaceByName(s.Tap); err != nil || now.Index != ifi.Index {
				return fmt.Errorf("dhcp: %s: %w", s.Tap, ErrGone)
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				return fmt.Errorf("dhcp: %s: %w", s.Tap, err)
			}
			continue
		case err != nil:
			return fmt.Errorf("dhcp: %s: %w", s.Tap, err)
		}
		if !limit.Allow() {
			s.counters[limited].Add(1)
			continue
		}
		reply, what := answer(buf[:n], s.Port())
		s.counters[what].Add(1)
		if reply == nil {
			continue
		}
		to := &packet.Addr{HardwareAddr: net.HardwareAddr(reply[:6])}
		if _, err := conn.WriteTo(reply, to); err != nil && ctx.Err() == nil &&
			!errors.Is(err, syscall.ENETDOWN) && !errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.ENXIO) {
			return fmt.Errorf("dhcp: %s: %w", s.Tap, err)
		}
	}
}

// onlyRequests lets through what comes from the guest for UDP port 67, so that
// the guest's other traffic never wakes this process. Fragments have no ports:
// the first one is let through and then dropped as malformed.
var onlyRequests = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 10},
	bpf.LoadAbsolute{Off: 12, Size: 2}, // EtherType
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 8},
	bpf.LoadAbsolute{Off: etherSize + 9, Size: 1}, // protocol
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: etherSize + 6, Size: 2}, // fragment offset
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: etherSize},
	bpf.LoadIndirect{Off: etherSize + 2, Size: 2}, // destination port
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: serverPort, SkipTrue: 1},
	bpf.RetConstant{Val: 4096},
	bpf.RetConstant{Val: 0},
}

// usable says whether a spec tells enough to answer with.
func usable(p events.PortSpec) bool {
	return p.PrivateIP.Is4() && p.CIDR.IsValid() && p.CIDR.Addr().Is4() && p.Router.Is4()
}

func ip(a netip.Addr) net.IP { return net.IP(a.AsSlice()) }
