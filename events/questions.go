package events

import (
	"encoding/json"
	"time"
)

// Questions that voters answer, and their answers.

// VoterStatus is what one voter says of itself.
type VoterStatus struct {
	AZ        string    `json:"az"`
	Leader    string    `json:"leader"` // az of the voter it follows
	State     string    `json:"state"`  // Leader, Follower, Candidate
	N         uint64    `json:"n"`
	Index     uint64    `json:"index"`
	Digest    string    `json:"digest"` // of the state at index
	Kept      uint64    `json:"kept"`   // last event in the stream, while leading
	LastEvent time.Time `json:"lastEvent"`
	Clock     time.Time `json:"clock"`
	Voters    []string  `json:"voters"`

	Understands int `json:"understands"` // newest feature level of its program
}

// Status is the region at a glance.
type Status struct {
	Region   string         `json:"region"`
	ID       string         `json:"id"`
	Level    int            `json:"level"`
	N        uint64         `json:"n"`
	Leader   string         `json:"leader"`
	AnswerBy string         `json:"answerBy"` // voter that answers
	Voters   []string       `json:"voters"`
	Zones    []ZoneStatus   `json:"zones"`
	Nodes    []NodeStatus   `json:"nodes"`
	Counts   map[string]int `json:"counts"` // instances by state

	Volumes   map[string]int `json:"volumes,omitempty"` // by state
	Addresses int            `json:"addresses"`         // public ones that somebody has
	Owed      int            `json:"owed"`              // orders to destroy that nodes have not acknowledged

	Root   string       `json:"root,omitempty"`    // region whose accounts this one has
	RootN  uint64       `json:"rootN,omitempty"`   // its event up to which they are imported
	Beside []RegionInfo `json:"regions,omitempty"` // that share the accounts
}

// ZoneStatus is one zone.
type ZoneStatus struct {
	Zone     Zone   `json:"zone"`
	Impaired bool   `json:"impaired"`
	Gateway  HostID `json:"gateway,omitempty"` // that serves it
}

// NodeStatus is one node.
type NodeStatus struct {
	Host     HostID    `json:"host"`
	Kind     string    `json:"kind"`
	Zone     Zone      `json:"zone"`
	Ready    bool      `json:"ready"`
	Drained  bool      `json:"drained,omitempty"`
	Accel    string    `json:"accel,omitempty"`
	Capacity Capacity  `json:"capacity,omitzero"`
	Used     Need      `json:"used,omitzero"`
	Guests   int       `json:"guests,omitempty"`
	Since    time.Time `json:"since"`
}

// StoryQuery asks for the events that name a resource, from number First on.
type StoryQuery struct {
	Resource string `json:"resource"` // id: i-…, vol-…
	First    uint64 `json:"first,omitempty"`
	Limit    int    `json:"limit,omitempty"`
}

// MomentQuery asks what the region knew of a resource after event N, or at a
// time.
type MomentQuery struct {
	Resource string    `json:"resource"`
	N        uint64    `json:"n,omitempty"`
	Time     time.Time `json:"time,omitzero"`
}

// Moment is a resource as it was. Rows are by kind: Instance, Tags.
type Moment struct {
	Resource string                     `json:"resource"`
	N        uint64                     `json:"n"`    // the last event by then
	Time     time.Time                  `json:"time"` // its stamp
	Rows     map[string]json.RawMessage `json:"rows"`
}

// InstanceQuery names an instance.
type InstanceQuery struct {
	Instance InstanceID `json:"instance"`
}

// VolumeQuery names a volume.
type VolumeQuery struct {
	Volume VolumeID `json:"volume"`
}

// VolumeStatus is one volume with the reasons for its state and place.
type VolumeStatus struct {
	Volume    VolumeID  `json:"volume"`
	Account   AccountID `json:"account"`
	Zone      Zone      `json:"zone"`
	SizeGiB   int       `json:"sizeGiB"`
	Type      string    `json:"type"`
	State     string    `json:"state"`
	Detail    string    `json:"detail,omitempty"`
	Host      HostID    `json:"host,omitempty"`
	Impaired  bool      `json:"impaired"`  // its storage node does not speak
	Epoch     uint64    `json:"epoch"`     // who may write
	Confirmed uint64    `json:"confirmed"` // by its storage node
	Created   time.Time `json:"created"`

	Attachment *AttachmentStatus `json:"attachment,omitempty"`
	Waits      string            `json:"waits,omitempty"` // for what, in words; empty when nothing is under way
	Why        *Why              `json:"why,omitempty"`
	Tags       []Tag             `json:"tags,omitempty"`
}

// AttachmentStatus is a volume's bond to an instance.
type AttachmentStatus struct {
	Attachment AttachmentID `json:"attachment"`
	Instance   InstanceID   `json:"instance"`
	Host       HostID       `json:"host"` // of the instance
	Device     string       `json:"device"`
	State      string       `json:"state"`
	Ended      bool         `json:"ended"` // the instance is shut out
	Impaired   bool         `json:"impaired"`
	Since      time.Time    `json:"since"`
}

// AccountKeys is an account with its keys, for operators.
type AccountKeys struct {
	AccountID       AccountID `json:"AccountId"`
	Name            string    `json:"Name"`
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey,omitempty"`
	Created         time.Time `json:"Created"`
}

// Want is what a node should hold, for doctor.
type Want struct {
	N       uint64   `json:"n"`
	Objects []Object `json:"objects"`
}

// Scheduling is what the scheduler needs: hosts and storage nodes with what is
// free on them, and the instances and volumes that wait.
type Scheduling struct {
	N        uint64          `json:"n"`
	Hosts    []HostFree      `json:"hosts"`
	Unplaced []Waiting       `json:"unplaced"`
	Stores   []StoreFree     `json:"stores"`
	Volumes  []WaitingVolume `json:"volumes"`
}

// StoreFree is a storage node; Closed says why it takes nothing.
type StoreFree struct {
	Host        HostID `json:"host"`
	Zone        Zone   `json:"zone"`
	FreeGiB     int    `json:"freeGiB"`
	CapacityGiB int    `json:"capacityGiB"`
	Closed      string `json:"closed,omitempty"`
}

// WaitingVolume is a volume without a storage node.
type WaitingVolume struct {
	Volume  VolumeID `json:"volume"`
	Zone    Zone     `json:"zone"`
	SizeGiB int      `json:"sizeGiB"`
	Near    HostID   `json:"near,omitempty"` // that holds the snapshot it starts with
}

// HostFree is a host; Closed says why it takes nothing.
type HostFree struct {
	Host     HostID   `json:"host"`
	Zone     Zone     `json:"zone"`
	Free     Need     `json:"free"`
	Capacity Capacity `json:"capacity"`
	Closed   string   `json:"closed,omitempty"`

	Members []GroupMember `json:"members,omitempty"` // what it has of placement groups
}

// GroupMember is an instance of a placement group.
type GroupMember struct {
	Group     PlacementID `json:"group"`
	Strategy  string      `json:"strategy"`            // cluster, spread or partition
	Partition int         `json:"partition,omitempty"` // of a partition group, from 1
}

// Waiting is an instance without a host.
type Waiting struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Need     Need       `json:"need"`

	Member *GroupMember `json:"member,omitempty"` // of a placement group
}

// ReadIndex is an event number that contains every acknowledged write.
type ReadIndex struct {
	N uint64 `json:"n"`
}

// SpecGet asks for a node's complete set at AtLeast or later, or with Only for
// the specs of these objects: an answer to a poke that need not carry the rest.
type SpecGet struct {
	AtLeast uint64   `json:"atLeast"`
	Only    []string `json:"only,omitempty"`
}

// InstanceStatus is one instance with the reasons for its state and place.
type InstanceStatus struct {
	Instance InstanceID `json:"instance"`
	Account  AccountID  `json:"account"`
	Type     string     `json:"type"`
	State    string     `json:"state"`
	Reason   Reason     `json:"reason,omitzero"`
	Zone     Zone       `json:"zone"`
	Host     HostID     `json:"host,omitempty"`
	Impaired bool       `json:"impaired"` // its host does not answer
	Launched time.Time  `json:"launched"`
	Why      *Why       `json:"why,omitempty"`
	Tags     []Tag      `json:"tags,omitempty"`
}

// VoterQuery asks one voter of itself. The digest of a large state costs time:
// a question about the clock leaves it out.
type VoterQuery struct {
	ClockOnly bool `json:"clockOnly,omitempty"`
}
