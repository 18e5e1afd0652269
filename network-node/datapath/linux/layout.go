package linux

import (
	"encoding/binary"
	"net/netip"

	"skerry/network-node/datapath"
)

// The structs of bpf/vpc.bpf.c, field by field. Addresses and hosts are in
// network order, numbers in the machine's.
type (
	addr16    [16]byte
	bpfConfig struct {
		Host                   [4]byte
		Vxlan, Service, Uplink uint32
		NextHop, UplinkAddr    [4]byte
		UplinkMTU              uint32
		ServiceMAC, UplinkMAC  [6]byte
	}
	bpfPort struct {
		ID, VNI, Subnet, Flags, Index uint32
		Private, Router, Resolver     addr16
		Groups                        [datapath.MaxGroups]uint32
		MAC, RouterMAC                [6]byte
		Interface                     [24]byte
		Tap                           [16]byte
	}
	macKey struct {
		VNI  uint32
		MAC  [6]byte
		Zero uint16
	}
	addrKey struct {
		VNI  uint32
		Addr addr16
	}
	bpfMapping struct {
		Host          [4]byte
		Subnet, Flags uint32
	}
	bpfOwner struct {
		Subnet uint32
		Groups [datapath.MaxGroups]uint32
		MAC    [6]byte
		Zero   uint16
	}
	prefixKey struct {
		Bits, Table uint32
		Addr        addr16
	}
	bpfRoute struct {
		Kind uint32
		MAC  [6]byte
		Zero uint16
	}
	rulesKey struct{ Group, Direction uint32 }
	bpfRule  struct {
		Net         addr16
		Group       uint32
		From, To    uint16
		Bits, Proto uint8
		Flags, Zero uint8
	}
	bpfRules struct {
		Count, Zero uint32
		Rule        [datapath.MaxRules]bpfRule
	}
	hostKey struct {
		VNI  uint32
		Host [4]byte
	}
	bpfPublic struct {
		Private  addr16
		VNI      uint32
		Host     [4]byte
		Announce uint32
		None     uint32
		MAC      [6]byte
		Zero     uint16
		Epoch    uint64
		Iface    [24]byte
	}
	bpfOutside struct {
		Public, Host [4]byte
		MAC          [6]byte
		Zero         uint16
	}
	counterKey struct{ Port, Reason uint32 }
	counter    struct{ Packets, Bytes uint64 }
)

// Flags and kinds of the C source.
const (
	noSourceCheck = 1
	anyProtocol   = 1
	members       = 2

	routeLocal     = 1
	routeGateway   = 2
	routeInterface = 3
	routeBlackhole = 4
)

func mapped(a netip.Addr) addr16 { return a.As16() }

func v4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

// bytesOf is a struct as the kernel reads it.
func bytesOf(v any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		panic(err) // our own structs are of fixed size
	}
	return b
}

func fill(b []byte, v any) error {
	_, err := binary.Decode(b, binary.NativeEndian, v)
	return err
}
