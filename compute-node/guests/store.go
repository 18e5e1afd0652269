package guests

import (
	"context"

	"skerry/events"
)

// Record is what the host remembers of a guest across restarts of its agent.
type Record struct {
	Instance   events.InstanceID `json:"instance"`
	Prepared   uint64            `json:"prepared"`   // generation that the disks were made for
	Generation uint64            `json:"generation"` // last boot that was started
	Reboots    uint64            `json:"reboots"`
	Root       string            `json:"root,omitempty"` // digest of the image under the overlay
	Ephemeral  int               `json:"ephemeral,omitempty"`
}

// Files are a guest's files, ready to boot from.
type Files struct {
	Kernel, Ramdisk, Root string
	Ephemeral             []string
	Console               string
}

// Store keeps the guests' files and records. Asking twice is asking once.
type Store interface {
	// Records lists what is remembered, by id.
	Records(ctx context.Context) ([]Record, error)
	// Prepare makes a guest's files. A generation that is prepared keeps its
	// disks; another begins with fresh ones.
	Prepare(ctx context.Context, s events.InstanceSpec) (Files, error)
	// Started remembers the last boot.
	Started(ctx context.Context, id events.InstanceID, generation, reboots uint64) error
	// Console returns what a guest without a domain wrote last.
	Console(id events.InstanceID, limit int) ([]byte, error)
	// Retire moves a guest's files aside and forgets it.
	Retire(ctx context.Context, id events.InstanceID) error
	// Tidy unlinks what was set aside long enough ago and cuts consoles.
	Tidy(ctx context.Context) error
	// Problems are conditions of the store worth telling, such as a disk
	// almost full.
	Problems() []string
}
