package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// SpecKind names what a spec describes.
type SpecKind string

// Kinds of specs.
const (
	SpecInstance SpecKind = "instance" // compute: a guest
	SpecPort     SpecKind = "port"     // network: the tap of an interface
	SpecNetwork  SpecKind = "network"  // network: a VPC with ports here
	SpecMapping  SpecKind = "mapping"  // network: where an interface of such a VPC is
	SpecGroup    SpecKind = "group"    // network: the rules of a security group of such a VPC
	SpecMetadata SpecKind = "metadata" // network: what the metadata service tells an instance
	SpecFabric   SpecKind = "fabric"   // network, gateway: who may send on the fabric
	SpecPublic   SpecKind = "public"   // gateway: a public address
	SpecVolume   SpecKind = "volume"   // storage: a volume
	SpecSnapshot SpecKind = "snapshot" // storage: a snapshot
	SpecNAT      SpecKind = "nat"      // gateway: a NAT gateway of a zone that it serves
)

// Spec is what a node must make true of one object. N orders the versions of
// an object: a lower N than one already held is dropped. A tombstone is the
// only order to destroy; absence never is.
type Spec struct {
	Kind      SpecKind        `json:"kind"`
	ID        string          `json:"id"`
	N         uint64          `json:"n"`
	Tombstone bool            `json:"tombstone,omitempty"`
	Request   string          `json:"request,omitempty"` // request id of the call that last changed it
	Body      json.RawMessage `json:"body,omitempty"`
}

// Manifest closes a complete set of specs: without it a node adopts what it
// has and touches nothing.
type Manifest struct {
	N      uint64 `json:"n"`      // event number of the state it was projected from
	Count  int    `json:"count"`  // specs in the set, tombstones included
	Digest string `json:"digest"` // Digest of the set
}

// SpecSet is everything one node must be.
type SpecSet struct {
	Manifest Manifest `json:"manifest"`
	Specs    []Spec   `json:"specs"` // ordered by kind, id

	Boot string `json:"boot,omitempty"` // start of the node that the region knows; another one has to join again
}

// Digest is the hex SHA-256 of a set in its order: kind, id, N and body of
// each. Region and node compare it to know that they agree.
func Digest(specs []Spec) string {
	h := sha256.New()
	for _, s := range specs {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err) // a Spec has no value that cannot be marshalled
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// InstanceSpec is a guest that a compute node must hold. It leaves nothing to
// choose. Generation counts the starts the region asked for and Reboots the
// reboots: a keeper that has done fewer owes one.
type InstanceSpec struct {
	Instance    InstanceID    `json:"instance"`
	Account     AccountID     `json:"account"`
	Reservation ReservationID `json:"reservation"`
	LaunchIndex int           `json:"launchIndex"`
	Zone        Zone          `json:"zone"`
	Host        HostID        `json:"host"`
	Shape       Shape         `json:"shape"`

	Run        bool   `json:"run"`        // false: shut down and keep
	Generation uint64 `json:"generation"` // starts asked for, 1 for the first
	Reboots    uint64 `json:"reboots"`    // reboots asked for

	Image      ImageID   `json:"image"`
	Kernel     ImageFile `json:"kernel"`
	Ramdisk    ImageFile `json:"ramdisk"`
	Root       ImageFile `json:"root"`
	Cmdline    string    `json:"cmdline"`
	RootDevice string    `json:"rootDevice"` // name in the API: /dev/sda1

	Interfaces []Interface `json:"interfaces"`
	Volumes    []DiskSpec  `json:"volumes,omitempty"`    // by volume
	RootVolume VolumeID    `json:"rootVolume,omitempty"` // the one of Volumes that the guest boots from; none: Root
	PublicKey  string      `json:"publicKey,omitempty"`  // one OpenSSH line
	UserData   []byte      `json:"userData,omitempty"`

	Known Phase `json:"known"` // what the region last learned from the node: reports repeat until it agrees
}

// Phase is what a compute node sees of a guest.
type Phase string

// Phases of a guest.
const (
	PhaseNone    Phase = ""        // not reported yet
	PhaseRunning Phase = "running" // the domain runs
	PhaseStopped Phase = "stopped" // the guest shut itself down, or was shut down as asked
	PhaseCrashed Phase = "crashed" // the domain ended and nobody asked for it
	PhaseFailed  Phase = "failed"  // it could not be started; Detail says why
	PhaseAbsent  Phase = "absent"  // destroyed, nothing of it is left
)

// PortSpec is an interface that the network node of a host must hold as a tap
// for a guest. It leaves nothing to choose. The guest behind it is the one that
// MetadataSpec tells about.
type PortSpec struct {
	Interface   InterfaceID  `json:"interface"`
	Instance    InstanceID   `json:"instance"`
	Account     AccountID    `json:"account"`
	VPC         VPCID        `json:"vpc"`
	VNI         uint32       `json:"vni"`
	Tap         string       `json:"tap"` // at most 15 bytes
	MAC         string       `json:"mac"`
	PrivateIP   netip.Addr   `json:"privateIp"`
	Subnet      uint32       `json:"subnet"` // number, see SubnetPart
	Groups      []uint32     `json:"groups"` // numbers, see GroupSpec
	SourceCheck bool         `json:"sourceCheck"`
	MTU         int          `json:"mtu"`
	Hostname    string       `json:"hostname"` // ip-172-31-0-4.isle-1.compute.internal
	CIDR        netip.Prefix `json:"cidr"`     // of the subnet
	Router      netip.Addr   `json:"router"`   // first address of the subnet
	RouterMAC   string       `json:"routerMac"`
	Resolver    netip.Addr   `json:"resolver"` // second address of the VPC
	Domain      string       `json:"domain"`   // isle-1.compute.internal

	IPv6  []netip.Addr `json:"ipv6,omitempty"` // addresses of the interface
	CIDR6 netip.Prefix `json:"cidr6,omitzero"` // of the subnet; its router is RouterLocal
	DNS64 bool         `json:"dns64,omitempty"`

	DHCP DHCPPart `json:"dhcp,omitzero"`
}

// DHCPPart is what DHCP tells a guest beside its address; nothing is told of
// what is absent.
type DHCPPart struct {
	Domain         string       `json:"domain,omitempty"`      // that completes its names
	NameServers    []netip.Addr `json:"nameServers,omitempty"` // of either family, as are the others
	TimeServers    []netip.Addr `json:"timeServers,omitempty"`
	NetBIOSServers []netip.Addr `json:"netbiosServers,omitempty"`
	NetBIOSNode    int          `json:"netbiosNode,omitempty"`   // RFC 2132 section 8.7
	PreferredIPv6  int          `json:"preferredIpv6,omitempty"` // seconds that an IPv6 address is preferred for
}

// NetworkSpec is a VPC in which a host has ports.
type NetworkSpec struct {
	VPC      VPCID          `json:"vpc"`
	Account  AccountID      `json:"account"`
	VNI      uint32         `json:"vni"`
	Blocks   []netip.Prefix `json:"blocks"`
	Subnets  []SubnetPart   `json:"subnets"`
	ACLs     []ACLPart      `json:"acls,omitempty"`
	Tables   []TablePart    `json:"tables"`
	Gateway  netip.Addr     `json:"gateway,omitzero"` // gateway node to send to: the one of this host's zone while it is up
	Gateways []netip.Addr   `json:"gateways"`         // gateway nodes to accept from

	Peers  []PeerPart `json:"peers,omitempty"`
	Inward bool       `json:"inward,omitempty"` // an internet gateway is attached: IPv6 comes in by it
}

// PeerPart is a VPC whose interfaces can be reached from this one, and may send
// to it. Packets between them keep the identifier of the sender's network.
type PeerPart struct {
	VPC VPCID  `json:"vpc"`
	VNI uint32 `json:"vni"`
}

// GatewayMAC is the source MAC of what comes from an internet gateway into a VPC,
// and the destination of what goes to it: 02:ff and the network identifier.
func GatewayMAC(vni uint32) string {
	return fmt.Sprintf("02:ff:%02x:%02x:%02x:%02x", byte(vni>>24), byte(vni>>16), byte(vni>>8), byte(vni))
}

// RouterMAC is the router's MAC in a subnet: 02:fe and the subnet's number.
func RouterMAC(subnet uint32) string {
	return fmt.Sprintf("02:fe:%02x:%02x:%02x:%02x", byte(subnet>>24), byte(subnet>>16), byte(subnet>>8), byte(subnet))
}

// RouterLocal is the router's link-local address in a subnet: fe80:: and its MAC
// (RFC 4291, appendix A).
func RouterLocal(subnet uint32) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 9: 0xfe, 11: 0xff, 12: 0xfe,
		10: byte(subnet >> 24), 13: byte(subnet >> 16), 14: byte(subnet >> 8), 15: byte(subnet)})
}

// TapName is the tap of an interface: "t" and the last 14 digits of its id.
func TapName(id InterfaceID) string { return "t" + string(id[max(0, len(id)-14):]) }

// SubnetPart is a subnet as the data plane sees it. Numbers are of the region
// and never reused.
type SubnetPart struct {
	Number uint32       `json:"number"`
	CIDR   netip.Prefix `json:"cidr"`
	Table  uint32       `json:"table"` // number of its route table
	CIDR6  netip.Prefix `json:"cidr6,omitzero"`
	ACL    NetworkACLID `json:"acl,omitempty"`
}

// ACLPart is a network ACL: what comes into a subnet and what leaves it asks the
// rules of its direction in their order, and the first that matches decides.
// What none matches is dropped. Nothing is remembered of an answer's question,
// and what stays within a subnet asks nobody.
type ACLPart struct {
	ACL     NetworkACLID `json:"acl"`
	Entries []ACLEntry   `json:"entries"`
}

// TablePart is a route table.
type TablePart struct {
	Number uint32      `json:"number"`
	Routes []RoutePart `json:"routes"`
}

// RouteKind says what becomes of a packet that a route matches.
type RouteKind string

// Kinds of routes.
const (
	RouteLocal     RouteKind = "local"     // to the interface that has the address
	RouteGateway   RouteKind = "gateway"   // to the internet gateway
	RouteInterface RouteKind = "interface" // to the interface with MAC
	RouteEgress    RouteKind = "egress"    // to the internet gateway, which lets in answers alone
	RoutePeer      RouteKind = "peer"      // to the interface of the peer VPC that has the address
	RouteBlackhole RouteKind = "blackhole" // dropped
)

// RoutePart is one route; the longest prefix wins.
type RoutePart struct {
	Destination netip.Prefix `json:"destination"`
	Kind        RouteKind    `json:"kind"`
	MAC         string       `json:"mac,omitempty"`
	VNI         uint32       `json:"vni,omitempty"` // of the peer
}

// MappingSpec is the mapping service's word about one interface of a VPC:
// (vpc, address) to MAC, and (vpc, MAC) to host.
type MappingSpec struct {
	Interface   InterfaceID  `json:"interface"`
	VPC         VPCID        `json:"vpc"`
	VNI         uint32       `json:"vni"`
	MAC         string       `json:"mac"`
	Addresses   []netip.Addr `json:"addresses"`
	Subnet      uint32       `json:"subnet"`
	Host        netip.Addr   `json:"host"`   // on the fabric
	Groups      []uint32     `json:"groups"` // numbers of its security groups
	SourceCheck bool         `json:"sourceCheck"`
	Public      netip.Addr   `json:"public,omitzero"` // what its public name means inside of the VPC is Addresses[0]

	Publics  []PublicPart   `json:"publics,omitempty"`  // public addresses of the others
	Prefixes []netip.Prefix `json:"prefixes,omitempty"` // of IPv6: all in them is as if it were in Addresses
}

// PublicPart is a public address, and the private one behind it.
type PublicPart struct {
	Public  netip.Addr `json:"public"`
	Private netip.Addr `json:"private"`
}

// GroupSpec is a security group whose rules a host enforces.
type GroupSpec struct {
	Group  GroupID    `json:"group"`
	VPC    VPCID      `json:"vpc"`
	Number uint32     `json:"number"` // of the region, never reused
	Rules  []RulePart `json:"rules"`
}

// RulePart is one rule. From and To are ports for TCP and UDP, type and code for
// ICMP with -1 for any, and mean nothing otherwise.
type RulePart struct {
	Egress   bool         `json:"egress,omitempty"`
	Protocol int          `json:"protocol"` // IP protocol number, -1 for all
	From     int          `json:"from"`
	To       int          `json:"to"`
	CIDR     netip.Prefix `json:"cidr,omitzero"`
	Group    uint32       `json:"group,omitempty"` // members of this group, by their private address
}

// MetadataSpec is what the metadata service tells the guest of an instance
// ("Instance metadata categories" in the EC2 user guide).
type MetadataSpec struct {
	Instance     InstanceID      `json:"instance"`
	Account      AccountID       `json:"account"`
	Reservation  ReservationID   `json:"reservation"`
	LaunchIndex  int             `json:"launchIndex"`
	Region       string          `json:"region"`
	Zone         Zone            `json:"zone"`
	ZoneID       string          `json:"zoneId"`
	Image        ImageID         `json:"image"`
	Location     string          `json:"location"` // ami-manifest-path
	Kernel       ImageID         `json:"kernel,omitempty"`
	Ramdisk      ImageID         `json:"ramdisk,omitempty"`
	Type         string          `json:"type"`
	Architecture string          `json:"architecture"`
	KeyName      string          `json:"keyName,omitempty"`
	PublicKey    string          `json:"publicKey,omitempty"` // one OpenSSH line
	UserData     []byte          `json:"userData,omitempty"`
	Pending      time.Time       `json:"pending"` // pendingTime of the identity document
	Devices      []DevicePart    `json:"devices"`
	Interfaces   []InterfacePart `json:"interfaces"` // by device index
	Options      MetadataOptions `json:"options"`
	Tags         []Tag           `json:"tags,omitempty"` // only when the options allow them
}

// DevicePart is a line of the block device mapping: ami, root, ephemeral0, ebs1.
type DevicePart struct {
	Virtual string `json:"virtual"`
	Device  string `json:"device"`           // as named at the API: /dev/sda1, sdb, xvdb
	Serial  string `json:"serial,omitempty"` // of the virtio disk, for a volume: its id without the dash
}

// InterfacePart is what the metadata service tells of one interface.
type InterfacePart struct {
	Interface  InterfaceID    `json:"interface"`
	Index      int            `json:"index"`
	MAC        string         `json:"mac"`
	PrivateIP  netip.Addr     `json:"privateIp"`
	LocalName  string         `json:"localName"` // ip-172-31-0-4.isle-1.compute.internal
	Public     netip.Addr     `json:"public,omitzero"`
	PublicName string         `json:"publicName,omitempty"`
	Groups     []GroupID      `json:"groups"`
	GroupNames []string       `json:"groupNames"`
	Subnet     SubnetID       `json:"subnet"`
	SubnetCIDR netip.Prefix   `json:"subnetCidr"`
	VPC        VPCID          `json:"vpc"`
	VPCBlocks  []netip.Prefix `json:"vpcBlocks"`

	Secondary []netip.Addr   `json:"secondary,omitempty"` // private addresses beside the primary
	Prefixes  []netip.Prefix `json:"prefixes,omitempty"`  // of IPv4
	IPv6      []netip.Addr   `json:"ipv6,omitempty"`

	SubnetCIDR6 netip.Prefix   `json:"subnetCidr6,omitzero"`
	VPCBlocks6  []netip.Prefix `json:"vpcBlocks6,omitempty"`
}

// PublicSpec is a public address as every gateway node must serve it: 1:1 with
// a private one. One of them announces it.
type PublicSpec struct {
	Address   netip.Addr  `json:"address"`
	Interface InterfaceID `json:"interface"`
	VPC       VPCID       `json:"vpc"`
	VNI       uint32      `json:"vni"`
	Private   netip.Addr  `json:"private"`
	MAC       string      `json:"mac"`           // of the interface
	Host      netip.Addr  `json:"host"`          // where it is, on the fabric
	Announce  bool        `json:"announce"`      // this gateway answers for the address outside
	Epoch     uint64      `json:"epoch"`         // rises with whose the address is and who announces it
	Name      string      `json:"name"`          // ec2-198-18-1-4.isle-1.compute.skerry.internal
	Via       *Hop        `json:"via,omitempty"` // what comes in goes here first; it may send for the address too
}

// Hop is an interface on the way of a packet: an appliance that a gateway's route
// table names.
type Hop struct {
	MAC  string     `json:"mac"`
	Host netip.Addr `json:"host"`
}

// NATSpec is a NAT gateway that a gateway node must serve. It is an interface of
// its subnet on that node: what is sent to its MAC goes on from its own address
// by the routes of its subnet, and what answers finds its way back. The gateway
// node's 1:1 translation gives a public one its public address.
type NATSpec struct {
	Gateway NATGatewayID `json:"gateway"`
	VPC     VPCID        `json:"vpc"`
	VNI     uint32       `json:"vni"`
	MAC     string       `json:"mac"`
	Address netip.Addr   `json:"address"` // private
	Subnet  uint32       `json:"subnet"`
	Known   bool         `json:"known"` // the region has heard that it is served
}

// FabricSpec lists the nodes of the region that may send on the fabric: a
// network or gateway node drops what comes to the fabric's port from anyone else.
type FabricSpec struct {
	Nodes []netip.Addr `json:"nodes"`
}

// VolumeSpec is a volume that a storage node must hold. The node serves it to
// the attachment named here and to nobody else; sessions and writes of a lower
// epoch are ended before anything of this one is answered.
type VolumeSpec struct {
	Volume       VolumeID         `json:"volume"`
	Account      AccountID        `json:"account"`
	Zone         Zone             `json:"zone"`
	Bytes        int64            `json:"bytes"`
	Epoch        uint64           `json:"epoch"`
	Primary      HostID           `json:"primary"`
	Members      []HostID         `json:"members"`
	Boot         string           `json:"boot"` // incarnation of the primary that this epoch is for
	WriteThrough bool             `json:"writeThrough,omitempty"`
	Target       string           `json:"target"` // iqn.2026-11.io.skerry:vol-…
	Attachment   *AttachmentGrant `json:"attachment,omitempty"`
	Known        VolumePhase      `json:"known"`      // what the region last learned
	KnownEpoch   uint64           `json:"knownEpoch"` // and of which epoch

	Source        *SnapshotSource `json:"source,omitempty"`        // of a volume that is to be made: what it starts with
	Revision      uint64          `json:"revision,omitempty"`      // rises with each change of Bytes or WriteThrough
	KnownRevision uint64          `json:"knownRevision,omitempty"` // that the node last held
}

// SnapshotSource is a snapshot and who holds it.
type SnapshotSource struct {
	Snapshot SnapshotID `json:"snapshot"`
	Host     HostID     `json:"host"`
}

// SnapshotSpec is a snapshot that a storage node must hold: the content that a
// volume of its own, or another snapshot, had when it was asked for.
type SnapshotSpec struct {
	Snapshot SnapshotID    `json:"snapshot"`
	Account  AccountID     `json:"account"`
	Zone     Zone          `json:"zone"`
	Volume   VolumeID      `json:"volume,omitempty"` // what it is of, or
	Source   SnapshotID    `json:"source,omitempty"` // what it is a copy of
	Bytes    int64         `json:"bytes"`
	Known    SnapshotPhase `json:"known"` // what the region last learned
}

// SnapshotPhase is what a storage node sees of a snapshot.
type SnapshotPhase string

// Phases of a snapshot on its node.
const (
	SnapshotNone   SnapshotPhase = ""       // not reported yet
	SnapshotReady  SnapshotPhase = "ready"  // held, whole and on stable storage
	SnapshotFailed SnapshotPhase = "failed" // cannot be held; Detail says why
	SnapshotAbsent SnapshotPhase = "absent" // nothing is left
)

// AttachmentGrant lets one relay in.
type AttachmentGrant struct {
	Attachment AttachmentID `json:"attachment"`
	Instance   InstanceID   `json:"instance"`
	Initiator  string       `json:"initiator"` // iqn.2026-11.io.skerry:attach-…
	Secret     []byte       `json:"secret,omitempty"`
}

// VolumePhase is what a storage node sees of a volume.
type VolumePhase string

// Phases of a volume on its node.
const (
	VolumeNone   VolumePhase = ""       // not reported yet
	VolumeReady  VolumePhase = "ready"  // held at this epoch; nothing of an older one can write any more
	VolumeFailed VolumePhase = "failed" // cannot be held; Detail says why
	VolumeAbsent VolumePhase = "absent" // nothing is left
)

// DiskSpec is a volume attached to an instance, as the compute node must hold it.
type DiskSpec struct {
	Volume       VolumeID       `json:"volume"`
	Attachment   AttachmentID   `json:"attachment"`
	Epoch        uint64         `json:"epoch"`
	Device       string         `json:"device"` // /dev/xvdb
	Serial       string         `json:"serial"` // vol0123456789abcdef0: 20 bytes
	Bytes        int64          `json:"bytes"`
	Portal       netip.AddrPort `json:"portal"` // of the primary's storage node
	Target       string         `json:"target"`
	Initiator    string         `json:"initiator"`
	Secret       []byte         `json:"secret,omitempty"`
	WriteThrough bool           `json:"writeThrough,omitempty"`
	Detach       bool           `json:"detach,omitempty"` // take it from the guest once the guest lets go
	Known        DiskPhase      `json:"known"`
}

// DiskPhase is what a compute node sees of an attached volume.
type DiskPhase string

// Phases of an attached volume.
const (
	DiskNone     DiskPhase = ""         // not reported yet
	DiskAttached DiskPhase = "attached" // the guest has it
	DiskBusy     DiskPhase = "busy"     // to be detached, and the guest does not let go
	DiskReleased DiskPhase = "released" // the guest let go and the session is closed
	DiskFailed   DiskPhase = "failed"   // could not be given to the guest; Detail says why
)
