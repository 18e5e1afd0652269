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

// VPC is an account's network.
type VPC struct {
	events.VPCCreated
}

// Subnet is a part of a VPC. Next is where the search for a free address starts.
type Subnet struct {
	events.SubnetCreated
	Next netip.Addr `json:"next"`
	Used int        `json:"used"` // addresses given out
}

// Group is a security group.
type Group struct {
	events.GroupCreated
}

// Interface is an elastic network interface.
type Interface struct {
	events.InterfaceCreated
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
