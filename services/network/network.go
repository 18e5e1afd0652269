// Package network decides about VPCs, subnets, security groups and interfaces.
package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"skerry/events"
	"skerry/services/state"
)

// defaultCIDR is the block of every default VPC ("Default VPC components").
var defaultCIDR = netip.MustParsePrefix("172.31.0.0/16")

// maxVNI is the largest VXLAN network identifier (RFC 7348 section 5).
const maxVNI = 1<<24 - 1

var everywhere = netip.MustParsePrefix("0.0.0.0/0")

// DefaultVPC makes what an account's network starts with: the VPC, a /20 per
// zone, the way outside and the main route table that leads there, and the group "default" whose members reach each other and everything
// outside ("Default security groups").
func DefaultVPC(v *state.View, s events.Stamp, account events.AccountID) ([]events.Event, error) {
	if v.Meta.NextVNI > maxVNI {
		return nil, events.Faultf("VpcLimitExceeded", "The region has given out all %d network identifiers.", maxVNI)
	}
	vpc := events.VPCID("vpc-" + s.Seed.Hex("vpc", 0))
	out := []events.Event{events.VPCCreated{ID: vpc, Account: account, CIDR: defaultCIDR, VNI: v.Meta.NextVNI, Default: true}}
	block := defaultCIDR.Addr().As4()
	i := 0
	for _, z := range v.Zones.All() {
		base := binary.BigEndian.Uint32(block[:]) + uint32(i)<<12
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base))), 20)
		out = append(out, events.SubnetCreated{ID: events.SubnetID("subnet-" + s.Seed.Hex("subnet", i)), Account: account, VPC: vpc, Zone: z.Zone, CIDR: cidr, Default: true})
		i++
	}
	igw := events.GatewayID("igw-" + s.Seed.Hex("igw", 0))
	out = append(out,
		events.InternetGatewayCreated{ID: igw, Account: account, VPC: vpc},
		events.RouteTableCreated{ID: events.TableID("rtb-" + s.Seed.Hex("rtb", 0)), Account: account, VPC: vpc, Main: true,
			Association: events.AssociationID("rtbassoc-" + s.Seed.Hex("rtbassoc", 0)),
			Routes:      []events.Route{{Destination: defaultCIDR}, {Destination: everywhere, Gateway: igw}}})
	return append(out, defaultGroup(s, account, vpc)), nil
}

// Reserved are the addresses at the start of a subnet that nobody gets: the
// network, the router, the resolver and one for later ("Subnet sizing"). The
// last address is kept as well.
const Reserved = 4

// Allocate gives an interface of a subnet its address and MAC. With want unset
// the search goes on from the last address given, so that a returned one is not
// reused at once.
func Allocate(tx *state.Tx, s events.Stamp, subnet *state.Subnet, want netip.Addr, i int) (netip.Addr, string, error) {
	addr, err := address(tx, subnet, want)
	if err != nil {
		return netip.Addr{}, "", err
	}
	for try := 0; ; try++ {
		b := s.Seed.Bytes(fmt.Sprintf("mac %d", i), try)
		mac := fmt.Sprintf("06:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
		if !tx.MACTaken(mac) {
			return addr, mac, nil
		}
	}
}

func address(tx *state.Tx, subnet *state.Subnet, want netip.Addr) (netip.Addr, error) {
	first, last := usable(subnet.CIDR)
	if want.IsValid() {
		if !subnet.CIDR.Contains(want) {
			return want, events.Faultf("InvalidParameterValue", "Address %s does not fall within the subnet's address range %s.", want, subnet.CIDR)
		}
		if want.Less(first) || last.Less(want) {
			return want, events.Faultf("InvalidParameterValue", "Address %s is in the subnet's reserved address range.", want)
		}
		if tx.AddressTaken(subnet.ID, want.String()) {
			return want, events.Faultf("InvalidIPAddress.InUse", "Address %s is in use.", want)
		}
		return want, nil
	}
	from := subnet.Next
	if from.Less(first) || last.Less(from) {
		from = first
	}
	for a := from; ; {
		if !tx.AddressTaken(subnet.ID, a.String()) {
			return a, nil
		}
		if a = a.Next(); last.Less(a) {
			a = first
		}
		if a == from {
			return a, events.Faultf("InsufficientFreeAddressesInSubnet", "The subnet '%s' has no free addresses.", subnet.ID)
		}
	}
}

// Free is how many addresses a subnet has left.
func Free(s *state.Subnet) int { return 1<<(32-s.CIDR.Bits()) - Reserved - 1 - s.Used }

func usable(p netip.Prefix) (first, last netip.Addr) {
	b := p.Masked().Addr().As4()
	base := binary.BigEndian.Uint32(b[:])
	size := uint32(1) << (32 - p.Bits())
	return v4(base + Reserved), v4(base + size - 2)
}

func v4(n uint32) netip.Addr { return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))) }
