package voter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/services/peers"
)

// member is one voter on real disk and loopback TCP, with a clock of its own.
type member struct {
	*Voter
	dir  string
	addr string
	skew atomic.Int64 // of its clock
	stop func()
}

// trio is a region's Raft group.
type trio struct {
	t       *testing.T
	members []*member
	servers []raft.Server
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t}
	layers := map[*member]*peers.Layer{}
	for i := range 3 {
		m := &member{dir: filepath.Join(t.TempDir(), "voter")}
		layer, err := peers.Listen("127.0.0.1:0", nil, nil)
		ok(t, err)
		m.addr = layer.Addr().String()
		layers[m] = layer
		c.members = append(c.members, m)
		c.servers = append(c.servers, raft.Server{ID: raft.ServerID(fmt.Sprintf("isle-1%c", 'a'+i)), Address: raft.ServerAddress(m.addr)})
	}
	for i, m := range c.members {
		c.open(i, layers[m])
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			if m.stop != nil {
				m.stop()
			}
		}
	})
	return c
}

func (c *trio) open(i int, layer *peers.Layer) {
	c.t.Helper()
	m := c.members[i]
	if layer == nil {
		var err error
		c.within(5*time.Second, "the port is free again", func() bool {
			layer, err = peers.Listen(m.addr, nil, nil)
			return err == nil
		})
	}
	wire := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: 2, Timeout: 2 * time.Second,
		Logger: hclog.New(&hclog.LoggerOptions{Output: io.Discard})})
	v, err := Open(Options{AZ: string(c.servers[i].ID), Voters: c.servers, Bootstrap: true, FS: vfs.Default, Dir: m.dir, Transport: wire,
		Now: func() time.Time { return time.Now().Add(time.Duration(m.skew.Load())) }, Log: discard})
	ok(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { v.Lead(ctx, func(ctx context.Context) { <-ctx.Done() }) })
	m.Voter = v
	m.stop = func() {
		cancel()
		wg.Wait()
		if err := errors.Join(v.Close(), wire.Close()); err != nil {
			c.t.Errorf("%s: %v", v.AZ(), err)
		}
		m.stop = nil
	}
}

func (c *trio) within(d time.Duration, what string, f func() bool) {
	c.t.Helper()
	for end := time.Now().Add(d); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// leader waits for one that leads, other than not.
func (c *trio) leader(not *member) *member {
	c.t.Helper()
	var found *member
	c.within(20*time.Second, "a voter leads", func() bool {
		for _, m := range c.members {
			if m != not && m.stop != nil && m.Leading() {
				found = m
			}
		}
		return found != nil
	})
	return found
}

// settled does thirty commands, waits until all have them, and returns the
// leader and the place of one that is not.
func (c *trio) settled() (lead *member, other int) {
	c.t.Helper()
	for i := range 30 {
		c.do(account(fmt.Sprint("early", i)))
	}
	c.agree()
	lead = c.leader(nil)
	for c.members[other] == lead {
		other++
	}
	return lead, other
}

// stepDown makes a voter that leads, or may have lost that meanwhile, not lead.
func (c *trio) stepDown(m *member) {
	c.t.Helper()
	c.within(20*time.Second, "the leader steps down", func() bool {
		if !m.Leading() {
			return true
		}
		if err := m.StepDown(); err != nil {
			c.t.Log(err) // asked again while it leads
		}
		return false
	})
}

// do proposes until somebody answers, as callers do.
func (c *trio) do(s events.Stamped) events.Reply {
	c.t.Helper()
	var reply events.Reply
	c.within(20*time.Second, "the command is answered", func() bool {
		r, err := c.leader(nil).Propose(s)
		if err != nil && !errors.Is(err, ErrNotLeader) {
			c.t.Fatal(err)
		}
		reply = r
		return err == nil
	})
	return reply
}

// agree waits until all running voters have the same event number and state.
func (c *trio) agree() {
	c.t.Helper()
	n := c.leader(nil).View().Meta.Index
	c.within(20*time.Second, "all voters have the same state", func() bool {
		digest := ""
		for _, m := range c.members {
			if m.stop == nil {
				continue
			}
			v := m.View()
			if v.Meta.Index < n || digest != "" && v.Digest() != digest {
				return false
			}
			digest = v.Digest()
		}
		return true
	})
}

func account(name string) events.Stamped {
	return stamped("make-"+name, 0, events.CreateAccount{Name: name})
}

// Three voters, their leader changing and all of them restarting: a command
// acts once, its answer stays, and time goes forward.
func TestThreeVoters(t *testing.T) {
	if testing.Short() {
		t.Skip("elections on a real network")
	}
	c := newTrio(t)
	c.do(stamped("form", 0, form()))
	first := c.do(account("alice"))
	if first.Fault != nil || first.First == 0 || len(first.Events) == 0 {
		t.Fatalf("%+v", first)
	}
	lead := c.leader(nil)
	for _, m := range c.members {
		if m == lead {
			continue
		}
		if _, err := m.Propose(account("nobody")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a follower took a proposal: %v", err)
		}
		if _, err := m.ReadIndex(); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a follower gave a read index: %v", err)
		}
	}
	if n, err := lead.ReadIndex(); err != nil || n < first.Last {
		t.Errorf("the read index is %d after event %d was acknowledged: %v", n, first.Last, err)
	}
	fault := c.do(stamped("dup", 0, events.CreateAccount{Name: "alice"}))
	if fault.Fault == nil {
		t.Fatalf("%+v", fault)
	}
	id := first.Events[0].Event.(events.AccountCreated).ID

	// The same answer from the same leader, from another one, and after everybody
	// has been restarted; without acting again.
	same := func(when string) {
		t.Helper()
		before := c.leader(nil).View().Meta.N
		again := c.do(account("alice"))
		if again.First != first.First || again.Last != first.Last || len(again.Events) != len(first.Events) || again.Events[0].Hash != first.Events[0].Hash {
			t.Errorf("%s the same command was answered %+v, first %+v", when, again, first)
		}
		if got := c.do(stamped("dup", 0, events.CreateAccount{Name: "alice"})); got.Fault == nil || got.Fault.FaultCode != fault.Fault.FaultCode {
			t.Errorf("%s the fault is %+v", when, got.Fault)
		}
		if n := c.leader(nil).View().Meta.N; n != before {
			t.Errorf("%s the region went on from event %d to %d", when, before, n)
		}
	}
	same("at once")
	c.stepDown(lead)
	if next := c.leader(lead); next == lead {
		t.Fatal("nobody else leads")
	}
	same("after a change of leader")
	c.do(stamped("del", 0, events.DeleteAccount{ID: id})) // the fault would not happen any more
	for _, m := range c.members {
		m.stop()
	}
	for i := range c.members {
		c.open(i, nil)
	}
	same("after a restart of all")
	c.agree()

	// A leader whose clock is ten minutes behind, then one an hour ahead.
	for i, skew := range []time.Duration{-10 * time.Minute, time.Hour, 0} {
		lead := c.leader(nil)
		lead.skew.Store(int64(skew))
		c.do(account(fmt.Sprint("skewed", i)))
		c.do(account(fmt.Sprint("skewed again", i))) // refused for its name: time passes all the same
		c.do(account(fmt.Sprint("skewed-too", i)))
		c.stepDown(lead)
		c.leader(lead)
	}
	c.agree()
	var last time.Time
	cause := events.CommandID("")
	records, err := c.leader(nil).History().Range(1, 10_000)
	ok(t, err)
	for _, r := range records {
		if r.Time.Before(last) || r.Cause != cause && !r.Time.After(last) {
			t.Errorf("event %d is stamped %v, the one before %v", r.N, r.Time, last)
		}
		last, cause = r.Time, r.Cause
	}

	// What could not be read from the log again is refused before it is there.
	poison := stamped("poison", 0, events.CreateAccount{Name: "caf\xe9"})
	if r := c.do(poison); r.Fault == nil || !strings.Contains(r.Fault.Message, "kept in the log") {
		t.Errorf("a name that is not UTF-8: %+v", r)
	}
	poison.Command = events.TerminateInstances{Instances: make([]events.InstanceID, 1<<20+1)}
	if r := c.do(poison); r.Fault == nil || !strings.Contains(r.Fault.Message, "kept in the log") {
		t.Errorf("a list over the codec's bounds: %+v", r)
	}
	c.do(account("after-poison"))
	c.agree()
}

// A voter that lost its disk gets a snapshot from the leader, and the events
// before it from its peers, each checked against the chain.
func TestVoterFedBySnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("elections on a real network")
	}
	c := newTrio(t)
	c.do(stamped("form", 0, form()))
	_, at := c.settled()
	away := c.members[at]
	away.stop()
	ok(t, os.RemoveAll(away.dir))
	for i := range 30 {
		c.do(account(fmt.Sprint("meanwhile", i)))
	}
	for _, m := range c.members {
		if m == away {
			continue
		}
		rc := m.Raft().ReloadableConfig()
		rc.TrailingLogs = 5
		ok(t, m.Raft().ReloadConfig(rc))
		ok(t, m.Raft().Snapshot().Error())
	}
	for i := range 10 {
		c.do(account(fmt.Sprint("behind", i)))
	}
	c.open(at, nil)
	c.agree()
	hist := away.History()
	n := away.View().Meta.N
	hole, missing, err := hist.Missing(n + 1)
	if err != nil || !missing || hole != 1 {
		t.Fatalf("it came by its state without a snapshot: missing %v from %d, %v", missing, hole, err)
	}
	for missing {
		page, err := c.leader(nil).History().Range(hole, 50)
		ok(t, err)
		ok(t, hist.Fill(page))
		hole, missing, err = hist.Missing(n + 1)
		ok(t, err)
	}
	mine, err := hist.Range(1, 10_000)
	ok(t, err)
	theirs, err := c.leader(nil).History().Range(1, 10_000)
	ok(t, err)
	if len(mine) != len(theirs) || uint64(len(mine)) < n {
		t.Fatalf("%d events here, %d there", len(mine), len(theirs))
	}
	for i := range mine {
		if mine[i].Hash != theirs[i].Hash || i > 0 && mine[i].Prev != mine[i-1].Hash {
			t.Fatalf("event %d differs", mine[i].N)
		}
	}
	// And it starts again from what it now has.
	away.stop()
	c.open(at, nil)
	c.do(account("last"))
	c.agree()
}

// A snapshot of what is here already changes nothing, whoever sends it and
// however late; one of an earlier term is refused.
func TestSnapshotThatComesLate(t *testing.T) {
	c := newTrio(t)
	lead, at := c.settled()
	behind := c.members[at]
	layer, err := peers.Listen("127.0.0.1:0", nil, nil)
	ok(t, err)
	wire := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, Timeout: 10 * time.Second, Logger: hclog.NewNullLogger()})
	defer wire.Close()
	before := behind.View()
	first, err := behind.store.FirstIndex()
	ok(t, err)
	last, err := behind.store.LastIndex()
	ok(t, err)
	for _, index := range []uint64{first, last - 5, last} {
		var l raft.Log
		ok(t, behind.store.GetLog(index, &l))
		for _, late := range []uint64{0, 1} {
			const body = "not even a snapshot"
			var resp raft.InstallSnapshotResponse
			c.within(20*time.Second, "an answer within one term", func() bool {
				resp = raft.InstallSnapshotResponse{}
				term := behind.Raft().CurrentTerm()
				req := raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(lead.AZ()), Addr: []byte(lead.addr)}, SnapshotVersion: 1,
					Term: term - late, LastLogIndex: index, LastLogTerm: l.Term, Configuration: raft.EncodeConfiguration(raft.Configuration{Servers: c.servers}), ConfigurationIndex: 1, Size: int64(len(body))}
				ok(t, wire.InstallSnapshot(raft.ServerID(behind.AZ()), raft.ServerAddress(behind.addr), &req, &resp, strings.NewReader(body)))
				return behind.Raft().CurrentTerm() == term
			})
			if resp.Success != (late == 0) {
				t.Errorf("entry %d, %d terms late: %+v", index, late, resp)
			}
		}
	}
	if now, _ := behind.store.LastIndex(); now < last || behind.View().Meta.N < before.Meta.N {
		t.Fatalf("the log ends at %d after %d, the state is at event %d after %d", now, last, behind.View().Meta.N, before.Meta.N)
	}
	for i := first; i <= last; i++ {
		var l raft.Log
		ok(t, behind.store.GetLog(i, &l))
	}
	c.do(account("last"))
	c.agree()
}

// Proposals that share batches are each answered, through a change of leader,
// and nothing waits after them.
func TestBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("elections on a real network")
	}
	c := newTrio(t)
	c.do(stamped("form", 0, form()))
	const callers, each = 32, 8
	var wg sync.WaitGroup
	var answered atomic.Int64
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				s := account(fmt.Sprintf("caller-%d-%d", i, n))
				for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Errorf("%s is not answered", s.Stamp.ID)
						return
					}
					lead := c.members[i%3]
					for _, m := range c.members {
						if m.Leading() {
							lead = m
						}
					}
					r, err := lead.Propose(s)
					if err == nil && r.Fault != nil {
						t.Errorf("%s: %v", s.Stamp.ID, r.Fault)
					}
					if err == nil {
						answered.Add(1)
						break
					}
					if !errors.Is(err, ErrNotLeader) {
						t.Error(err)
					}
				}
			}
		})
	}
	c.within(20*time.Second, "half are answered", func() bool { return answered.Load() > callers*each/2 })
	c.stepDown(c.leader(nil))
	wg.Wait()
	c.agree()
	var at time.Time
	lead := c.leader(nil)
	if n := lead.View().Accounts.Len(); n < callers*each {
		t.Errorf("%d accounts of %d", n, callers*each)
	}
	records, err := lead.History().Range(1, int(lead.View().Meta.N))
	ok(t, err)
	for _, r := range records {
		if r.Time.Before(at) {
			t.Errorf("event %d is of %v, after %v", r.N, r.Time, at)
		}
		at = r.Time
	}
	for _, m := range c.members {
		m.mu.Lock()
		if m.flying != 0 || len(m.waiting) != 0 {
			t.Errorf("%s: %d batches and %d proposals are left over", m.AZ(), m.flying, len(m.waiting))
		}
		m.mu.Unlock()
	}
}

// Beyond the bound a proposal is refused at once.
func TestProposalsAreBounded(t *testing.T) {
	v := &Voter{queue: make(chan struct{}, 1)}
	v.queue <- struct{}{}
	r, err := v.Propose(account("x"))
	if err != nil || r.Fault == nil || r.Fault.FaultCode != "RequestLimitExceeded" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Waiting for an event ends with it, or with the caller's patience.
func TestWaitFor(t *testing.T) {
	h := openHistory(t, vfs.NewMem())
	defer h.Close()
	v := &Voter{fsm: newFSM(h), hist: h}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() {
		view, err := v.WaitFor(ctx, 3)
		if err == nil && view.Meta.N < 3 {
			err = fmt.Errorf("a view at %d", view.Meta.N)
		}
		done <- err
	}()
	v.fsm.ApplyBatch(story(3))
	ok(t, <-done)
	cancel(errors.New("gone"))
	if _, err := v.WaitFor(ctx, 1<<40); err == nil {
		t.Error("it waited for nothing and was content")
	}
}
