package state

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"skerry/events"
)

// Account is a tenant. It holds no secret: secrets of access keys are derived.
type Account struct {
	ID        events.AccountID `json:"id"`
	Name      string           `json:"name"`
	AccessKey string           `json:"accessKey"`
	UserID    string           `json:"userId"`
	At        time.Time        `json:"at"`
	Closed    time.Time        `json:"closed,omitzero"` // the root deleted it, and something of it is left here
}

// Node is one program on one host.
type Node struct {
	Host     events.HostID   `json:"host"`
	Kind     string          `json:"kind"`
	Zone     events.Zone     `json:"zone"`
	Boot     string          `json:"boot"`
	Address  string          `json:"address,omitempty"`
	Capacity events.Capacity `json:"capacity"`
	Accel    string          `json:"accel,omitempty"`
	Lost     bool            `json:"lost,omitempty"`
	Since    time.Time       `json:"since"` // joined, lost or returned
}

// Key is the node's row key.
func (n *Node) Key() string { return NodeKey(n.Host, n.Kind) }

// NodeKey is a node's row key.
func NodeKey(h events.HostID, kind string) string { return string(h) + "/" + kind }

// Host is the compute side of a host: what it offers and what is taken.
type Host struct {
	Host    events.HostID `json:"host"`
	Zone    events.Zone   `json:"zone"`
	Drained bool          `json:"drained,omitempty"`
	Used    events.Need   `json:"used"`  // by instances placed here and not yet gone
	Count   int           `json:"count"` // such instances
}

// ZoneRow is an availability zone.
type ZoneRow struct {
	Zone     events.Zone `json:"zone"`
	Impaired bool        `json:"impaired,omitempty"`
}

// KeyPair is a public key under a name.
type KeyPair struct {
	events.KeyPairCreated
}

// Block is a block of addresses that a VPC or a subnet has beside its first one.
type Block struct {
	Association events.AssociationID `json:"association"`
	CIDR        netip.Prefix         `json:"cidr"`
	Pool        string               `json:"pool,omitempty"` // where it is from
}

// VPC is an account's network. Rows that are part of what network nodes must do
// have N, the event that last changed that part, and a number that is never
// reused.
type VPC struct {
	events.VPCCreated
	N         uint64 `json:"n"`
	NoDNS     bool   `json:"noDns,omitempty"`
	Hostnames *bool  `json:"hostnames,omitempty"` // unset until somebody sets it

	Blocks []Block `json:"blocks,omitempty"` // beside CIDR, IPv6 too

	DHCP events.DHCPOptionsID `json:"dhcp,omitempty"` // unset until somebody sets it
}

// Association names the bond of a VPC to its first block.
func (v *VPC) Association() events.AssociationID {
	return events.AssociationID("vpc-cidr-assoc-" + strings.TrimPrefix(string(v.ID), "vpc-"))
}

// CIDRs are all blocks of a VPC, the first one before the others.
func (v *VPC) CIDRs() []netip.Prefix {
	var out []netip.Prefix
	if v.CIDR.IsValid() {
		out = append(out, v.CIDR)
	}
	for _, b := range v.Blocks {
		out = append(out, b.CIDR)
	}
	return out
}

// DNSHostnames says that instances with public addresses have public names. A
// default VPC starts so, another one does not.
func (v *VPC) DNSHostnames() bool {
	if v.Hostnames != nil {
		return *v.Hostnames
	}
	return v.Default
}

// Subnet is a part of a VPC. Next is where the search for a free address starts.
type Subnet struct {
	events.SubnetCreated
	Number      uint32               `json:"number"`
	Next        netip.Addr           `json:"next"`
	Used        int                  `json:"used"`                // addresses given out
	MapPublic   *bool                `json:"mapPublic,omitempty"` // unset until somebody sets it
	Table       events.TableID       `json:"table,omitempty"`     // unset for the main one
	Association events.AssociationID `json:"association,omitempty"`

	IPv6           Block                `json:"ipv6,omitzero"`
	AssignIPv6     bool                 `json:"assignIpv6,omitempty"` // to each interface that is made here
	DNS64          bool                 `json:"dns64,omitempty"`
	Hostname       string               `json:"hostname,omitempty"` // of instances: resource-name, or by address
	ACL            events.NetworkACLID  `json:"acl,omitempty"`
	ACLAssociation events.AssociationID `json:"aclAssociation,omitempty"`
}

// Native says that a subnet has IPv6 alone.
func (s *Subnet) Native() bool { return !s.CIDR.IsValid() }

// GivesPublic says that instances launched here get a public address unless they
// ask for none. A default subnet starts so, while the region has any.
func (s *Subnet) GivesPublic(v *View) bool {
	if s.MapPublic != nil {
		return *s.MapPublic
	}
	return s.Default && len(v.Meta.Public) > 0
}

// Group is a security group.
type Group struct {
	events.GroupCreated
	Number uint32 `json:"number"`
	N      uint64 `json:"n"`
}

// Interface is an elastic network interface. What an instance has is told here
// alone: Instance, the index in Interface, and what follows.
type Interface struct {
	events.InterfaceCreated
	N          uint64              `json:"n"`
	Request    string              `json:"request,omitempty"`
	Attachment events.AttachmentID `json:"attachment,omitempty"`
	Attached   time.Time           `json:"attached,omitzero"`
	Detaching  bool                `json:"detaching,omitempty"` // its host has to let go of it
	NoSrcCheck bool                `json:"noSrcCheck,omitempty"`
}

// AttachmentID names the bond of an interface to its instance. One that a launch
// made follows from the interface.
func (f *Interface) AttachmentID() events.AttachmentID {
	if f.Attachment != "" || f.Instance == "" {
		return f.Attachment
	}
	return events.AttachmentID("eni-attach-" + strings.TrimPrefix(string(f.Interface.ID), "eni-"))
}

// Idle says that nobody has the interface.
func (f *Interface) Idle() bool { return f.Instance == "" && f.Interface.NAT == "" }

// Addresses are all that an interface has of its own, the primary first. Those of
// an IPv4 prefix are listed one by one: whoever answers for an address needs no
// other table.
func (f *Interface) Addresses() []netip.Addr {
	var out []netip.Addr
	if f.Interface.PrivateIP.IsValid() {
		out = append(out, f.Interface.PrivateIP)
	}
	out = append(out, f.Interface.Secondary...)
	for _, p := range f.Interface.Prefixes {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			out = append(out, a)
		}
	}
	return append(out, f.Interface.IPv6...)
}

// taken is how many IPv4 addresses of its subnet an interface has.
func (f *Interface) taken() int {
	n := len(f.Interface.Secondary)
	if f.Interface.PrivateIP.IsValid() {
		n++
	}
	for _, p := range f.Interface.Prefixes {
		n += 1 << (32 - p.Bits())
	}
	return n
}

// InternetGateway is a VPC's way outside, or attached to none.
type InternetGateway struct {
	events.InternetGatewayCreated
	Table       events.TableID       `json:"table,omitempty"` // of what comes in
	Association events.AssociationID `json:"association,omitempty"`
	TableN      uint64               `json:"tableN,omitempty"` // event that last changed that
}

// RouteTable is a table of a VPC.
type RouteTable struct {
	events.RouteTableCreated
	Number      uint32              `json:"number"`
	Propagating events.VPNGatewayID `json:"propagating,omitempty"` // whose routes it takes up
}

// Address is a public address that somebody has: an Elastic IP address when it
// has an allocation, one of an interface's own otherwise.
type Address struct {
	Address     netip.Addr           `json:"address"`
	Account     events.AccountID     `json:"account"`
	Allocation  events.AllocationID  `json:"allocation,omitempty"`
	Association events.AssociationID `json:"association,omitempty"`
	Zone        events.Zone          `json:"zone,omitempty"` // of the interface
	Interface   events.InterfaceID   `json:"interface,omitempty"`
	Instance    events.InstanceID    `json:"instance,omitempty"`
	Private     netip.Addr           `json:"private,omitzero"`
	At          time.Time            `json:"at,omitzero"`
	N           uint64               `json:"n"`
	Request     string               `json:"request,omitempty"`
}

// Gateway is the gateway node that serves a zone.
type Gateway struct {
	events.GatewayElected
	N uint64 `json:"n"`
}

// States of a volume ("VolumeState" in the EC2 API reference).
const (
	VolumeCreating  = "creating"
	VolumeAvailable = "available"
	VolumeInUse     = "in-use"
	VolumeDeleting  = "deleting"
	VolumeError     = "error"
)

// States of an attachment ("VolumeAttachment" in the EC2 API reference).
const (
	Attaching = "attaching"
	Attached  = "attached"
	Detaching = "detaching"
)

// Volume is a volume from request to deletion.
type Volume struct {
	events.VolumeRequested
	State      string        `json:"state"`
	Detail     string        `json:"detail,omitempty"`
	Host       events.HostID `json:"host,omitempty"`
	Boot       string        `json:"boot,omitempty"` // incarnation of its storage node that may serve it
	Why        *events.Why   `json:"why,omitempty"`
	Epoch      uint64        `json:"epoch"`
	Confirmed  uint64        `json:"confirmed"` // epoch that the storage node was last ready at
	Attachment *Attachment   `json:"attachment,omitempty"`
	N          uint64        `json:"n"`
	Request    string        `json:"request,omitempty"`

	Revision     uint64        `json:"revision,omitempty"` // of its size and kind
	Held         uint64        `json:"held,omitempty"`     // revision that the storage node last reported
	Modification *Modification `json:"modification,omitempty"`
	AutoIO       bool          `json:"autoIO,omitempty"`
}

// Modification is the last change of what a volume is.
type Modification struct {
	From, To Kind
	At       time.Time `json:"at"`
	Done     time.Time `json:"done,omitzero"`
}

// Kind is what a volume is.
type Kind struct {
	SizeGiB    int    `json:"sizeGiB"`
	Type       string `json:"type"`
	IOPS       int    `json:"iops,omitempty"`
	Throughput int    `json:"throughput,omitempty"`
}

// Kind is what the volume is, or is to be.
func (v *Volume) Kind() Kind { return Kind{v.SizeGiB, v.Type, v.IOPS, v.Throughput} }

// States of a snapshot ("SnapshotState" in the EC2 API reference).
const (
	SnapshotPending   = "pending"
	SnapshotCompleted = "completed"
	SnapshotError     = "error"
	SnapshotDeleting  = "deleting" // nobody sees it any more
)

// Snapshot is what a volume held at one time.
type Snapshot struct {
	events.SnapshotRequested
	State    string             `json:"state"`
	Detail   string             `json:"detail,omitempty"`
	Done     time.Time          `json:"done,omitzero"`
	Public   bool               `json:"public,omitempty"`
	Accounts []events.AccountID `json:"accounts,omitempty"` // that may make volumes of it
	N        uint64             `json:"n"`
	Request  string             `json:"request,omitempty"`
}

// Readable says whether an account may see a snapshot and make volumes of it.
func (s *Snapshot) Readable(a events.AccountID) bool {
	return s.State != SnapshotDeleting && (s.Account == a || s.Public || slices.Contains(s.Accounts, a))
}

// Attachment is a volume's bond to an instance. Ended means that the instance
// has let go, or was cut off, and the storage node has not confirmed it yet.
type Attachment struct {
	ID                  events.AttachmentID `json:"id"`
	Instance            events.InstanceID   `json:"instance"`
	Device              string              `json:"device"`
	State               string              `json:"state"`
	Ended               bool                `json:"ended,omitempty"`
	DeleteOnTermination bool                `json:"deleteOnTermination,omitempty"`
	At                  time.Time           `json:"at"`
}

// Store is the space of a storage node: what is taken of it.
type Store struct {
	Host    events.HostID `json:"host"`
	Zone    events.Zone   `json:"zone"`
	UsedGiB int           `json:"usedGiB"`
	Count   int           `json:"count"`
}

// States of an instance ("Instance lifecycle").
const (
	Pending      = "pending"
	Running      = "running"
	ShuttingDown = "shutting-down"
	Terminated   = "terminated"
	Stopping     = "stopping"
	Stopped      = "stopped"
)

// Instance is a guest from request to the hour after its end.
type Instance struct {
	events.InstanceRequested
	State      string        `json:"state"`
	Host       events.HostID `json:"host,omitempty"`
	Why        *events.Why   `json:"why,omitempty"`
	Generation uint64        `json:"generation"`
	Reboots    uint64        `json:"reboots"`
	Launched   time.Time     `json:"launched,omitzero"` // when it was last asked to start, unset for the first time
	Started    time.Time     `json:"started,omitzero"`
	Ended      time.Time     `json:"ended,omitzero"`
	Reason     events.Reason `json:"reason,omitzero"`
	Transition string        `json:"transition,omitempty"`
	N          uint64        `json:"n"` // event that last changed what its node must do
	Request    string        `json:"request,omitempty"`
}

// Interfaces are what the instance has, by device index; those that its host has
// to let go of too.
func (i *Instance) Interfaces(v *View) []*Interface {
	out := slices.Collect(v.Interfaces.by(byInstance, string(i.ID)))
	slices.SortStableFunc(out, func(a, b *Interface) int { return cmp.Compare(a.Interface.DeviceIndex, b.Interface.DeviceIndex) })
	return out
}

// Live says that the instance has not ended.
func (i *Instance) Live() bool { return i.State != Terminated }

// LaunchTime is when the instance was last asked to start.
func (i *Instance) LaunchTime() time.Time {
	if i.Launched.IsZero() {
		return i.At
	}
	return i.Launched
}

// OnVolume says that the instance has a volume for its root, and can be stopped.
func (i *Instance) OnVolume() bool { return i.RootDeviceType == "ebs" }

// Tombstone orders a node to destroy an object. It leaves when the node says
// that nothing is left.
type Tombstone struct {
	Host    events.HostID   `json:"host"`
	Kind    events.SpecKind `json:"kind"`
	ID      string          `json:"id"`
	N       uint64          `json:"n"`
	Request string          `json:"request,omitempty"`
}

// Tags of one resource, ordered by key.
type Tags struct {
	Resource string           `json:"resource"`
	Account  events.AccountID `json:"account"`
	Tags     []events.Tag     `json:"tags"`
}

// Answered is the reply to a command id, or to a client token.
type Answered struct {
	First uint64        `json:"first,omitempty"`
	Last  uint64        `json:"last,omitempty"`
	N     uint64        `json:"n"`
	Fault *events.Fault `json:"fault,omitempty"`
	Hash  events.Hash   `json:"hash,omitzero"` // of the parameters, for client tokens
	At    time.Time     `json:"at"`
}
