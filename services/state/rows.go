package state

import (
	"net/netip"
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

// VPC is an account's network. Rows that are part of what network nodes must do
// have N, the event that last changed that part, and a number that is never
// reused.
type VPC struct {
	events.VPCCreated
	N         uint64 `json:"n"`
	NoDNS     bool   `json:"noDns,omitempty"`
	Hostnames *bool  `json:"hostnames,omitempty"` // unset until somebody sets it
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
}

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

// Interface is an elastic network interface.
type Interface struct {
	events.InterfaceCreated
	N       uint64 `json:"n"`
	Request string `json:"request,omitempty"`
}

// InternetGateway is a VPC's way outside, or attached to none.
type InternetGateway struct {
	events.InternetGatewayCreated
}

// RouteTable is a table of a VPC.
type RouteTable struct {
	events.RouteTableCreated
	Number uint32 `json:"number"`
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
	Started    time.Time     `json:"started,omitzero"`
	Ended      time.Time     `json:"ended,omitzero"`
	Reason     events.Reason `json:"reason,omitzero"`
	Transition string        `json:"transition,omitempty"`
	NoSrcCheck bool          `json:"noSrcCheck,omitempty"`
	N          uint64        `json:"n"` // event that last changed what its node must do
	Request    string        `json:"request,omitempty"`
}

// Live says that the instance takes capacity.
func (i *Instance) Live() bool { return i.State != Terminated }

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
