package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"skerry/network-node/fair"
)

// limitHops makes everything that the connection sends from here on live for at
// most this many hops (HttpPutResponseHopLimit). It is not undone: a segment
// that carries the token may be sent again much later.
func limitHops(ctx context.Context, hops int) error {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	if f, ok := c.(*fair.Conn); ok {
		c = f.Conn
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return errors.New("metadata: the hop limit needs the connection")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("metadata: hop limit: %w", err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		v4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, hops)
		v6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
		if v4 != nil && v6 != nil { // one is of the other family
			set = v4
		}
	}); err != nil {
		return fmt.Errorf("metadata: hop limit: %w", err)
	}
	if set != nil {
		return fmt.Errorf("metadata: hop limit: %w", set)
	}
	return nil
}
