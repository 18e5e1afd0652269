// Package taps tells whether the taps of a host's guests are there. The network
// node of the host makes them, ready to carry, before a guest may use one.
package taps

import (
	"context"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// Links watches the links of the namespace that it runs in.
type Links struct {
	pokes chan struct{}
}

// New watches nothing until Run.
func New() *Links { return &Links{pokes: make(chan struct{}, 1)} }

// Exists says whether a tap is there and carries: it is raised last.
func (l *Links) Exists(name string) bool {
	i, err := net.InterfaceByName(name)
	return err == nil && i.Flags&net.FlagUp != 0
}

// Pokes says that some link may have changed.
func (l *Links) Pokes() <-chan struct{} { return l.pokes }

// Run pokes until ctx ends.
func (l *Links) Run(ctx context.Context) error {
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("taps: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-updates:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("taps: the kernel stopped telling of links")
			}
			select {
			case l.pokes <- struct{}{}:
			default:
			}
		}
	}
}
