package operator

import (
	"context"
	"sync"
	"time"

	"skerry/events"
	"skerry/events/bus"
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

	Understands int `json:"understands,omitempty"` // newest feature level of its program
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
			s.Members[i] = Member{AZ: az, Alive: err == nil, Leader: az == s.Leader, N: v.N, Kept: v.Kept, Understands: v.Understands}
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

// Story asks for the events that name a resource, oldest first, all of them.
func (c *Client) Story(ctx context.Context, resource string) ([]events.Record, error) {
	var out []events.Record
	for {
		q := events.StoryQuery{Resource: resource}
		if len(out) > 0 {
			q.First = out[len(out)-1].N + 1
		}
		var page bus.HistoryAnswer
		if err := c.Query(ctx, "story", q, &page); err != nil || len(page.Records) == 0 {
			return out, err
		}
		out = append(out, page.Records...)
	}
}

// Moment asks what a resource was after an event or at a time.
func (c *Client) Moment(ctx context.Context, q events.MomentQuery) (events.Moment, error) {
	var m events.Moment
	return m, c.Query(ctx, "moment", q, &m)
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
