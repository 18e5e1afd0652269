package events

import "time"

// Heartbeat is what a node says every second on sk.node.….heartbeat. Loss is
// harmless; silence is not.
type Heartbeat struct {
	Host       HostID    `json:"host"`
	Kind       string    `json:"kind"`
	Zone       Zone      `json:"zone"`
	Boot       string    `json:"boot"`   // changes with every start of the process
	N          uint64    `json:"n"`      // spec set the node holds
	Digest     string    `json:"digest"` // of that set
	Synced     bool      `json:"synced"` // the node holds a complete set
	Conditions []string  `json:"conditions,omitempty"`
	Sent       time.Time `json:"sent"`
}

// Have is what a node holds, for doctor.
type Have struct {
	Host    HostID   `json:"host"`
	Kind    string   `json:"kind"`
	N       uint64   `json:"n"`
	Objects []Object `json:"objects"`
	Orphans []string `json:"orphans,omitempty"` // things found that no spec or tombstone explains

	Conditions []string `json:"conditions,omitempty"` // what is wrong, as the heartbeat says it
}

// Object is one thing a node holds, as it sees it.
type Object struct {
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	State string `json:"state"`
}

// Console is the answer to a console query.
type Console struct {
	Instance InstanceID `json:"instance"`
	Output   []byte     `json:"output"`
	Time     time.Time  `json:"time"`
	Error    string     `json:"error,omitempty"`
}
