package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// SpecKind names what a spec describes.
type SpecKind string

// Kinds of specs.
const (
	SpecInstance SpecKind = "instance"
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
	PublicKey  string      `json:"publicKey,omitempty"` // one OpenSSH line
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
