package lab

import (
	"fmt"
	"net"
	"slices"

	"skerry/internal/config"
)

// Loopback ports are taken below the range that the kernel hands out to
// outgoing connections, so that a port kept in region.json is still free when
// the region comes up again.
const (
	firstPort = 20000
	lastPort  = 31999
)

// choosePorts gives every loopback listener that has no port yet a free one.
// The API prefers 4566 and up, the bus 4222 and up.
func (r *Region) choosePorts() error {
	taken := map[int]bool{}
	for _, p := range r.Ports {
		taken[p] = true
	}
	if r.beside != nil {
		for _, p := range r.beside.Ports {
			taken[p] = true
		}
	}
	choose := func(key string, from int) error {
		if r.Ports[key] != 0 {
			return nil
		}
		for p := from; p <= lastPort; p++ {
			if !taken[p] && free(p) {
				r.Ports[key], taken[p] = p, true
				return nil
			}
		}
		return fmt.Errorf("no free port between %d and %d on 127.0.0.1 for %s: end something that listens there", from, lastPort, key)
	}
	if err := choose("api", APIPort); err != nil {
		return err
	}
	if err := choose("bus", BusPort); err != nil {
		return err
	}
	if r.Hypervisor != Memory {
		return nil
	}
	// Regions start at different places, so that one which is down keeps its
	// ports from the next one that is made.
	var seed int
	fmt.Sscanf(r.Tag(), "%x", &seed)
	from := firstPort + seed%(lastPort-firstPort-1000)
	for _, h := range r.Plan() {
		if slices.Contains(h.Kinds, config.Storage) {
			if err := choose(h.Name+"/block", from); err != nil {
				return err
			}
		}
		if !slices.Equal(h.Kinds, controlKinds) {
			continue
		}
		for _, use := range []string{"api", "bus", "route", "raft"} {
			if err := choose(h.Name+"/"+use, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// free tells whether nothing listens on a loopback port.
func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// BusyPorts lists the loopback ports of the region that cannot be bound, as
// sentences. Asked before anything of the region runs, each one belongs to a
// stranger.
func (r *Region) BusyPorts() []string {
	var busy []string
	for key, p := range r.Ports {
		if !free(p) {
			busy = append(busy, fmt.Sprintf("port %d (%s)", p, key))
		}
	}
	slices.Sort(busy)
	return busy
}
