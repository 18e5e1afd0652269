package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"skerry/internal/config"
)

// Ports that every control plane of a namespaced region listens on.
const (
	APIPort   = 4566
	BusPort   = 4222
	RoutePort = 6222
	RaftPort  = 7000
	BlockPort = 3260 // of storage nodes
)

// gatewayIndex is the index of a zone's gateway, beyond those of its hosts.
const gatewayIndex = 99

// Host is one machine of the region: a control plane, or a host with nodes.
type Host struct {
	Name  string     // isle-1a-cp, isle-1a-gw, isle-1a-1
	AZ    string     // isle-1a
	Zone  int        // 1 for the first zone
	Index int        // 0 for the control plane
	Addr  netip.Addr // on the wire; 127.0.0.1 with Memory
	Kinds []string   // programs, in the order they start
}

// Program is one process of the region.
type Program struct {
	Host   Host
	Kind   string // a kind of package config
	Binary string // skerry-compute-node
	Config string // path of its file
	Log    string // path of its log
}

// Name is what people call the program: isle-1a-1/compute.
func (p Program) Name() string { return p.Host.Name + "/" + p.Kind }

// Binaries names the program of each kind.
var Binaries = map[string]string{
	config.Services:  "skerry-services",
	config.Scheduler: "skerry-scheduler",
	config.Compute:   "skerry-compute-node",
	config.Network:   "skerry-network-node",
	config.Gateway:   "skerry-network-node",
	config.Storage:   "skerry-storage-node",
}

var (
	controlKinds = []string{config.Services, config.Scheduler}
	gatewayKinds = []string{config.Gateway}
	hostKinds    = []string{config.Network, config.Storage, config.Compute}
)

// Zones lists the availability zones: isle-1a, isle-1b, isle-1c.
func (r *Region) Zones() []string {
	var zs []string
	for i := range r.AZs {
		zs = append(zs, r.Name+string(rune('a'+i)))
	}
	return zs
}

// Plan lists all hosts: control planes first, then each zone's gateway and hosts.
func (r *Region) Plan() []Host {
	var cps, rest []Host
	for i, az := range r.Zones() {
		cps = append(cps, r.host(az, i+1, 0, "cp", controlKinds))
		rest = append(rest, r.host(az, i+1, gatewayIndex, "gw", gatewayKinds))
		for n := 1; n <= r.Hosts; n++ {
			rest = append(rest, r.host(az, i+1, n, fmt.Sprint(n), hostKinds))
		}
	}
	return append(cps, rest...)
}

func (r *Region) host(az string, zone, index int, suffix string, kinds []string) Host {
	h := Host{Name: az + "-" + suffix, AZ: az, Zone: zone, Index: index, Kinds: kinds}
	switch {
	case r.Hypervisor == Memory:
		h.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case index == 0:
		h.Addr = netip.AddrFrom4([4]byte{10, 77, byte(zone), 2})
	case index == gatewayIndex:
		h.Addr = netip.AddrFrom4([4]byte{10, 77, byte(zone), 3})
	default:
		h.Addr = netip.AddrFrom4([4]byte{10, 77, byte(zone), byte(10 + index)})
	}
	return h
}

// Programs lists all programs in the order they start.
func (r *Region) Programs() []Program {
	var ps []Program
	for _, h := range r.Plan() {
		for _, k := range h.Kinds {
			d := r.Path("nodes", h.Name, k)
			ps = append(ps, Program{Host: h, Kind: k, Binary: Binaries[k],
				Config: filepath.Join(d, "config.toml"), Log: filepath.Join(d, "log")})
		}
	}
	return ps
}

// Namespace is the name of a host's network namespace.
func (r *Region) Namespace(host string) string { return "sk" + r.Tag() + "-" + host }

// port answers where a control plane listens for one use.
func (r *Region) port(h Host, use string, fixed int) string {
	if r.Hypervisor == Memory {
		fixed = r.Ports[h.Name+"/"+use]
	}
	return netip.AddrPortFrom(h.Addr, uint16(fixed)).String()
}

// API is the host:port of a control plane's EC2 endpoint.
func (r *Region) API(h Host) string { return r.port(h, "api", APIPort) }

// Bus is the host:port of a control plane's bus server.
func (r *Region) Bus(h Host) string { return r.port(h, "bus", BusPort) }

// Gateway says whether the host is its zone's gateway.
func (h Host) Gateway() bool { return h.Index == gatewayIndex }

// Outside is the wire outside of the region: the block that public addresses are
// from, as an address of the machine itself, which is the router there.
func (r *Region) Outside() netip.Prefix { return r.outside(1) }

// OutsideOf is the address of a zone's gateway outside.
func (r *Region) OutsideOf(zone int) netip.Prefix { return r.outside(1 + zone) }

func (r *Region) outside(n int) netip.Prefix {
	if !r.Public.IsValid() {
		return netip.Prefix{}
	}
	a := r.Public.Masked().Addr().As4()
	a[3] += byte(n)
	return netip.PrefixFrom(netip.AddrFrom4(a), r.Public.Bits())
}

// Resolvers are the addresses outside that answer for the region's public names:
// its gateways.
func (r *Region) Resolvers() []netip.Addr {
	if r.Hypervisor != QEMU || !r.Public.IsValid() {
		return nil
	}
	var out []netip.Addr
	for i := range r.AZs {
		out = append(out, r.OutsideOf(i+1).Addr())
	}
	return out
}

// FindHost answers the host of that name, or an error that lists the names.
func (r *Region) FindHost(name string) (Host, error) {
	var names []string
	for _, h := range r.Plan() {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return Host{}, fmt.Errorf("there is no host %q; the hosts are %s", name, strings.Join(names, " "))
}

// FindProgram answers the program of a name like isle-1a-1/compute.
func (r *Region) FindProgram(name string) (Program, error) {
	host, kind, ok := strings.Cut(name, "/")
	if !ok {
		return Program{}, fmt.Errorf("%q is not a program: name it host/kind, like %s-1/compute", name, r.Zones()[0])
	}
	h, err := r.FindHost(host)
	if err != nil {
		return Program{}, err
	}
	for _, p := range r.Programs() {
		if p.Host.Name == host && p.Kind == kind {
			return p, nil
		}
	}
	return Program{}, fmt.Errorf("host %s runs no %q; it runs %s", host, kind, strings.Join(h.Kinds, " "))
}
