package operator

import (
	"context"
	"encoding/json"
	"time"

	"skerry/events"
)

// Status is the region's view of itself.
type Status struct {
	Region string  `json:"region"`
	N      uint64  `json:"n"`      // number of the newest event
	Leader string  `json:"leader"` // zone of the leading voter, empty while there is none
	Zones  []Zone  `json:"zones"`
	Voters []Voter `json:"voters"`
	Nodes  []Node  `json:"nodes"`
}

// Zone is one availability zone.
type Zone struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// Voter is one member of the Raft group.
type Voter struct {
	Zone   string `json:"zone"`
	Leader bool   `json:"leader"`
	Alive  bool   `json:"alive"`
	N      uint64 `json:"n"`
}

// Node is one program on a host.
type Node struct {
	Host       string    `json:"host"`
	Kind       string    `json:"kind"`
	Zone       string    `json:"zone"`
	Ready      bool      `json:"ready"`
	Lag        uint64    `json:"lag"` // events behind
	Drained    bool      `json:"drained,omitempty"`
	Conditions []string  `json:"conditions,omitempty"`
	Seen       time.Time `json:"seen,omitzero"`
}

// Status asks how the region fares.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.Query(ctx, "status", nil, &s)
}

// Instance asks for one instance and the reasons of its placement, as the
// region tells them.
func (c *Client) Instance(ctx context.Context, id string) (json.RawMessage, error) {
	var raw json.RawMessage
	return raw, c.Query(ctx, "instance", map[string]string{"id": id}, &raw)
}

// Account is one customer of the region.
type Account struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	AccessKey string `json:"accessKey"`
	UserID    string `json:"userId"`
}

// Accounts lists the accounts.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var as []Account
	return as, c.Query(ctx, "accounts", nil, &as)
}

// Wanted lists what a node should hold, as "kind id": its specs without the
// tombstones.
func (c *Client) Wanted(ctx context.Context, host, kind string) (map[string]bool, error) {
	var set events.SpecSet
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := c.bus.AskSubject(ctx, events.SpecGetSubject(c.region, events.HostID(host), kind), nil, &set); err != nil {
		return nil, err
	}
	want := map[string]bool{}
	for _, s := range set.Specs {
		if !s.Tombstone {
			want[string(s.Kind)+" "+s.ID] = true
		}
	}
	return want, nil
}
