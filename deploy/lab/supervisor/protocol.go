package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"skerry/deploy/lab"
)

// Verbs of the control socket.
const (
	VerbStatus  = "status"
	VerbFail    = "fail"    // Fault, For
	VerbKill    = "kill"    // Name of a program: killed once, restarted
	VerbRestart = "restart" // Name of a program: ended politely, restarted
	VerbHeal    = "heal"    // ID of a fault, or 0 for all
	VerbFormed  = "formed"  // the voters have met
	VerbDown    = "down"
)

// Request is one question to the supervisor.
type Request struct {
	Verb  string        `json:"verb"`
	Name  string        `json:"name,omitempty"`
	ID    int           `json:"id,omitempty"`
	Fault *Fault        `json:"fault,omitempty"`
	For   time.Duration `json:"for,omitempty"` // nanoseconds
}

// Reply is the answer. Error is a sentence for the person who asked.
type Reply struct {
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"`
	Fault  *Fault  `json:"fault,omitempty"`
	Healed []Fault `json:"healed,omitempty"`
}

// Status is everything the supervisor knows.
type Status struct {
	PID      int       `json:"pid"`
	Since    time.Time `json:"since"`
	Stopping bool      `json:"stopping,omitempty"`
	Programs []Program `json:"programs"`
	Faults   []Fault   `json:"faults"`
	Zones    []Zone    `json:"zones"`
}

// States of a program.
const (
	Running = "running"
	Waiting = "waiting" // for its next start
	Held    = "held"    // down because of a fault
)

// Program is one process and how it fares.
type Program struct {
	Name     string    `json:"name"` // isle-1a-1/compute
	State    string    `json:"state"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"last_exit,omitempty"`
	Next     time.Time `json:"next,omitzero"` // when it starts again
}

// Zone is how the forwarders see a zone's control plane.
type Zone struct {
	Name    string `json:"name"`
	API     bool   `json:"api"` // answers 200 to /health
	Bus     bool   `json:"bus"` // answers at all
	Problem string `json:"problem,omitempty"`
	Conns   int    `json:"conns"`
}

// ErrNotRunning means that no supervisor holds the control socket.
var ErrNotRunning = errors.New("the region is not running")

// Call asks the supervisor of a region.
func Call(ctx context.Context, r *lab.Region, req Request) (Reply, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", r.Control())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return Reply{}, ErrNotRunning
	}
	if err != nil {
		return Reply{}, fmt.Errorf("supervisor: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var rep Reply
	err = json.NewEncoder(c).Encode(req)
	if err == nil {
		err = json.NewDecoder(io.LimitReader(c, maxMessage)).Decode(&rep)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
		}
		return Reply{}, fmt.Errorf("supervisor: %s: %w", req.Verb, err)
	}
	if rep.Error != "" {
		return rep, errors.New(rep.Error)
	}
	return rep, nil
}

// maxMessage bounds one message of the control socket.
const maxMessage = 4 << 20
