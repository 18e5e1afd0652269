package operator

import (
	"context"
	"sync"
	"time"

	"skerry/events"
)

// Status is the region at a glance, beside what each voter says of itself.
type Status struct {
	events.Status
	Members []Member `json:"members"`
}

// Member is one voter. A voter that does not answer is not alive.
type Member struct {
	AZ     string `json:"az"`
	Alive  bool   `json:"alive"`
	Leader bool   `json:"leader"`
	N      uint64 `json:"n"`              // newest event it has applied
	Kept   uint64 `json:"kept,omitempty"` // newest event in the stream, as the leader knows
}

// memberTimeout is how long a voter may take to say how it is.
const memberTimeout = 700 * time.Millisecond

// Status asks how the region fares, and then each voter.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	if err := c.Query(ctx, "status", nil, &s.Status); err != nil {
		return s, err
	}
	s.Members = make([]Member, len(s.Voters))
	var wg sync.WaitGroup
	for i, az := range s.Voters {
		wg.Go(func() {
			short, cancel := context.WithTimeout(ctx, memberTimeout)
			defer cancel()
			var v events.VoterStatus
			err := c.Query(short, "voter."+az, nil, &v)
			s.Members[i] = Member{AZ: az, Alive: err == nil, Leader: az == s.Leader, N: v.N, Kept: v.Kept}
		})
	}
	wg.Wait()
	return s, nil
}

// Instance asks for one instance and the reasons of its placement.
func (c *Client) Instance(ctx context.Context, id string) (events.InstanceStatus, error) {
	var i events.InstanceStatus
	return i, c.Query(ctx, "instance", events.InstanceQuery{Instance: events.InstanceID(id)}, &i)
}

// Volume asks for one volume, and what it waits for.
func (c *Client) Volume(ctx context.Context, id string) (events.VolumeStatus, error) {
	var v events.VolumeStatus
	return v, c.Query(ctx, "volume", events.VolumeQuery{Volume: events.VolumeID(id)}, &v)
}

// Accounts lists the accounts with their keys.
func (c *Client) Accounts(ctx context.Context) ([]events.AccountKeys, error) {
	var as []events.AccountKeys
	return as, c.Query(ctx, "accounts", nil, &as)
}

// Wanted lists what a node should hold.
func (c *Client) Wanted(ctx context.Context, host, kind string) (events.Want, error) {
	var w events.Want
	return w, c.Query(ctx, "specs", events.NodeKey{Host: events.HostID(host), Kind: kind}, &w)
}
