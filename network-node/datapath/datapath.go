// Package datapath is what carries the packets of VPCs on one node: taps of
// guests and, on a gateway, public addresses.
//
//	guest ─tap─▶ from_guest ──┬─▶ tap of a guest here
//	                          ├─▶ service veth ─▶ metadata, resolver ─▶ from_service ─▶ tap
//	                          └─▶ VXLAN ─▶ from_fabric of the other node ─▶ tap
//	                                  └──▶ igw_fabric of a gateway ─▶ uplink
//	outside ─uplink─▶ igw_uplink ─▶ VXLAN ─▶ from_fabric ─▶ tap
//
// Two lookups are the mapping service: (network, address) to MAC, and (network,
// MAC) to node. Whatever is not allowed is dropped and counted by reason.
//
// linux does it with eBPF, memory in Go; datapathtest holds both to the same
// behaviour. What a datapath was told stays in force after Close.
package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"

	"skerry/events"
)

// Datapath carries packets as it was told. Every method is idempotent. Ports
// and public addresses are there until they are deleted by name; Tables
// replace one another.
type Datapath interface {
	// PutPort holds the tap of an interface.
	PutPort(events.PortSpec) error
	// DeletePort removes a tap and forgets its flows.
	DeletePort(events.InterfaceID) error
	// PutPublic serves a public address on a gateway.
	PutPublic(events.PublicSpec) error
	// DeletePublic serves it no longer.
	DeletePublic(netip.Addr) error
	// Apply replaces the tables, by difference.
	Apply(Tables) error
	// Ports are the ports that it holds, those of earlier runs included.
	Ports() ([]Port, error)
	// Publics are the public addresses that it serves.
	Publics() ([]netip.Addr, error)
	// Counters count packets by port and by what became of them.
	Counters() ([]Counter, error)
	// Translates says why it serves no NAT gateways, if it does not.
	Translates() error
	// Close lets go of it; packets go on.
	Close() error
}

// Tables are what a node knows of the VPCs that it has to do with.
type Tables struct {
	Networks []events.NetworkSpec
	Mappings []events.MappingSpec
	Groups   []events.GroupSpec
	Nodes    []netip.Addr // who may send on the fabric
	NATs     []events.NATSpec
}

// Port is a tap that is held.
type Port struct {
	Interface events.InterfaceID
	Tap       string
	Index     int        // of the tap; 0 when it is gone
	ID        uint32     // of this node, not used again while flows may know it
	Service   netip.Addr // what the metadata and resolver services see as its address
}

// Counter counts what became of packets.
type Counter struct {
	Interface events.InterfaceID // "": of no port
	Reason    Reason
	Packets   uint64
	Bytes     uint64
}

// Reason is what became of a packet. The numbers are those of the eBPF program.
type Reason uint32

// Reasons.
const (
	Sent          Reason = iota // left the port, or the gateway for the outside
	Delivered                   // came to the port, or from the outside into a VPC
	UnknownPort                 // a tap that nobody described
	Malformed                   // cannot be read
	SourceMAC                   // not the MAC of the interface
	ARP                         // no question about an address of the subnet, or another gateway's to answer; neighbour discovery is the same in IPv6
	Broadcast                   // to everybody, to a group, or to no address of one host
	EtherType                   // neither ARP nor IP
	SourceAddress               // not an address of the interface
	Service                     // no service at that link-local address and port
	EgressRule                  // no rule of the sender's groups allows it
	NoRoute                     // the route table has no route
	Blackhole                   // the route leads nowhere
	NoMapping                   // nobody has that address, or that MAC on this link
	Destination                 // not an address of the interface it came to
	IngressRule                 // no rule of the receiver's groups allows it
	Fragment                    // the first fragment did not pass, or this would overwrite it
	Sender                      // the node it came from does not have the interface that it names
	SenderAddress               // the sending interface does not have the source address
	NotHere                     // the interface is not on this node
	NoGateway                   // the VPC has no gateway
	NoPublic                    // the interface has no public address
	TooBig                      // for the link outside
	TTL                         // too many hops
	Options                     // IP options
	Encap                       // the datapath is not ready
	ACLRule                     // a network ACL denies it, or has no rule for it
	reasons
)

var reasonNames = [reasons]string{"sent", "delivered", "unknown-port", "malformed", "source-mac", "arp", "broadcast", "ethertype",
	"source-address", "service", "egress-rule", "no-route", "blackhole", "no-mapping", "destination", "ingress-rule", "fragment",
	"sender", "sender-address", "not-here", "no-gateway", "no-public", "too-big", "ttl", "options", "encap", "acl-rule"}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason-%d", uint32(r))
}

// Dropped says whether the packet went no further.
func (r Reason) Dropped() bool { return r != Sent && r != Delivered }

// Limits of the tables.
const (
	MaxGroups = 16  // security groups of an interface
	MaxRules  = 128 // rules of a group in one direction
	MaxPorts  = 4096
)

// The addresses of the services, as guests see them and as they listen: what
// guests of every VPC send to the VPC's resolver arrives at VPCResolver.
var (
	MetadataAddr = netip.MustParseAddr("169.254.169.254")
	ResolverAddr = netip.MustParseAddr("169.254.169.253")
	VPCResolver  = netip.MustParseAddr("169.254.169.252")
	ServiceNet   = netip.MustParsePrefix("100.64.0.0/10")
)

// MaxID is the highest number of a port: its address must be in ServiceNet.
const MaxID = 1<<22 - 1

// ServiceAddr is what the services see as the address of a port.
func ServiceAddr(id uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 | byte(id>>16)&0x3f, byte(id >> 8), byte(id)})
}

// ErrNotGateway refuses a public address on a node without an uplink.
var ErrNotGateway = errors.New("datapath: this node is no gateway")

var tapName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)

// MAC reads an Ethernet address of one host.
func MAC(s string) (m [6]byte, err error) {
	h, err := net.ParseMAC(s)
	if err != nil || len(h) != 6 || h[0]&1 != 0 {
		return m, fmt.Errorf("datapath: %q is no MAC of an interface", s)
	}
	return [6]byte(h), nil
}

// CheckPort refuses a port that cannot be held.
func CheckPort(p events.PortSpec) error {
	_, e1 := MAC(p.MAC)
	_, e2 := MAC(p.RouterMAC)
	bad := func(ok bool, format string, a ...any) error {
		if ok {
			return nil
		}
		return fmt.Errorf(format, a...)
	}
	only6 := !p.PrivateIP.IsValid() && !p.Router.IsValid() && len(p.IPv6) > 0
	err := errors.Join(e1, e2,
		bad(p.Interface != "" && len(p.Interface) <= 24, "an interface id of %d bytes", len(p.Interface)),
		bad(tapName.MatchString(p.Tap) && p.Tap != "." && p.Tap != "..", "tap name %q", p.Tap),
		bad(p.VNI > 0 && p.VNI < 1<<24, "network identifier %d", p.VNI),
		bad(p.PrivateIP.Is4() || only6, "private address %v", p.PrivateIP),
		bad(p.Router.Is4() || only6, "router %v", p.Router),
		bad(p.Resolver.Is4() || !p.Resolver.IsValid() && len(p.IPv6) > 0, "resolver %v", p.Resolver),
		bad(p.MTU >= 576 && p.MTU <= 65535, "an MTU of %d", p.MTU),
		bad(len(p.Groups) <= MaxGroups, "%d security groups, at most %d", len(p.Groups), MaxGroups))
	if err != nil {
		return fmt.Errorf("datapath: port %s: %w", p.Interface, err)
	}
	return nil
}

// CheckPublic refuses a public address that cannot be served.
func CheckPublic(p events.PublicSpec) error {
	if _, err := MAC(p.MAC); err != nil {
		return fmt.Errorf("datapath: public address %v: %w", p.Address, err)
	}
	if !p.Address.Is4() || !p.Private.Is4() || !p.Host.Is4() || p.VNI == 0 || p.VNI >= 1<<24 || len(p.Interface) > 24 {
		return fmt.Errorf("datapath: public address %v of %v in network %d on host %v", p.Address, p.Private, p.VNI, p.Host)
	}
	return nil
}
