package sim

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/state"
)

// Clients are API callers of two tenants that write without pause, from every
// zone, and keep a journal of what was acknowledged.
type Clients struct {
	Accounts [2]events.AccountID
	region   *Region
	part     *part

	mu    sync.Mutex
	acked []Ack
	asked map[events.CommandID]bool
	alive [2][]events.InstanceID
	last  time.Time     // of the last acknowledgement
	worst time.Duration // between two acknowledgements
}

// Ack is a command the region acknowledged.
type Ack struct {
	ID          events.CommandID
	Name        string
	First, Last uint64
}

// NewAccount makes an account through the leader.
func (r *Region) NewAccount(name string) events.AccountID {
	reply := r.Must(events.Stamp{}, events.CreateAccount{Name: name})
	return reply.Events[0].Event.(events.AccountCreated).ID
}

// Must has a command decided through a zone that is up, or fails the test.
func (r *Region) Must(s events.Stamp, c events.Command) events.Reply {
	r.T.Helper()
	reply, err := r.Do(s, c)
	if err != nil {
		r.dump()
		r.T.Fatalf("seed %d: %s: %v", r.o.Seed, events.Name(c), err)
	}
	return reply
}

// Do has a command decided through a zone that is up.
func (r *Region) Do(s events.Stamp, c events.Command) (events.Reply, error) {
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	full := bus.NewStamp("sim")
	full.Account, full.ClientToken = s.Account, s.ClientToken
	if s.ID != "" {
		full.ID = s.ID
	}
	for {
		for _, z := range r.Zones {
			if cp := z.Up(); cp != nil {
				reply, err := cp.server.Door.Do(ctx, full, c)
				if f, isFault := events.AsFault(err); err == nil || isFault && f.FaultCode != "Unavailable" || ctx.Err() != nil {
					return reply, err
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// StartClients starts n writers.
func (r *Region) StartClients(n int) *Clients {
	c := &Clients{Accounts: [2]events.AccountID{r.NewAccount("one"), r.NewAccount("two")}, region: r, asked: map[events.CommandID]bool{}, last: time.Now()}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = r.Rng.Uint64()
	}
	c.part = r.start(func(ctx context.Context) {
		var wg sync.WaitGroup
		for i, seed := range seeds {
			wg.Go(func() { c.write(ctx, i, rand.New(rand.NewPCG(seed, 3))) })
		}
		wg.Wait()
	})
	return c
}

// Stop stops the writers and waits for their last answers.
func (c *Clients) Stop() { c.part.stop() }

// Acked are the acknowledged commands so far, and the longest time between two.
func (c *Clients) Acked() ([]Ack, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.acked), c.worst
}

func (c *Clients) write(ctx context.Context, id int, rng *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		stamp := bus.NewStamp("client")
		stamp.Account = c.Accounts[id%2]
		cmd := c.next(id, n, rng)
		if rng.IntN(2) == 0 {
			stamp.ClientToken = fmt.Sprintf("%d-%d", id, n)
		}
		c.mu.Lock()
		c.asked[stamp.ID] = true
		c.mu.Unlock()
		c.ask(ctx, id%2, stamp, cmd, rng)
		time.Sleep(time.Duration(100+rng.IntN(500)) * time.Millisecond)
	}
}

// ask sends a command to some zone, and to another when it is not answered,
// always with the same id: as an SDK retries.
func (c *Clients) ask(ctx context.Context, who int, stamp events.Stamp, cmd events.Command, rng *rand.Rand) {
	for ctx.Err() == nil {
		z := c.region.Zones[rng.IntN(len(c.region.Zones))]
		cp := z.Up()
		if cp == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		reply, err := cp.server.Door.Do(try, stamp, cmd)
		cancel()
		if err == nil {
			c.ack(who, stamp, cmd, reply)
			return
		}
		if f, ok := events.AsFault(err); ok && f.FaultCode != "Unavailable" && f.FaultCode != "RequestExpired" {
			return // an answer as well
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *Clients) ack(who int, stamp events.Stamp, cmd events.Command, reply events.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.worst = max(c.worst, now.Sub(c.last))
	c.last = now
	c.acked = append(c.acked, Ack{stamp.ID, events.Name(cmd), reply.First, reply.Last})
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InstanceRequested); ok {
			c.alive[who] = append(c.alive[who], e.ID)
		}
	}
}

// next is the next command of a writer.
func (c *Clients) next(id, n int, rng *rand.Rand) events.Command {
	who := id % 2
	key := events.ImportKeyPair{Name: fmt.Sprintf("key-%d-%d", id, n), Type: "ed25519", PublicKey: "ssh-ed25519 AAAA", Fingerprint: "x"}
	c.mu.Lock()
	defer c.mu.Unlock()
	alive := &c.alive[who]
	switch k := rng.IntN(24); {
	case k < 2:
		return key
	case k < 6:
		return events.RunInstances{Image: Image, Type: "sk1.tiny", Min: 1, Max: 1 + rng.IntN(3), GroupNames: c.groupNames(who, rng)}
	case k >= 10:
		if cmd := c.resources(who, id, n, k-10, rng); cmd != nil {
			return cmd
		}
		return key
	case len(*alive) == 0:
		return events.DeleteKeyPair{Name: fmt.Sprintf("key-%d-%d", id, n-1)}
	case k < 8:
		i := rng.IntN(len(*alive))
		victim := (*alive)[i]
		*alive = slices.Delete(*alive, i, i+1)
		return events.TerminateInstances{Instances: []events.InstanceID{victim}}
	case k < 9:
		return events.RebootInstances{Instances: []events.InstanceID{(*alive)[rng.IntN(len(*alive))]}}
	}
	return events.TagResources{Resources: []string{string((*alive)[rng.IntN(len(*alive))])}, Tags: []events.Tag{{Key: "n", Value: fmt.Sprint(n)}}}
}

// view is what a caller learns by describing: what some zone knows.
func (c *Clients) view(rng *rand.Rand) *state.View {
	if cp := c.region.Zones[rng.IntN(len(c.region.Zones))].Up(); cp != nil {
		return cp.voter.View()
	}
	return nil
}

// one draws one of several that hold, or the zero value.
func one[T any](rng *rand.Rand, all iter.Seq[T], holds func(T) bool) (out T) {
	n := 0
	for x := range all {
		if holds(x) {
			if n++; rng.IntN(n) == 0 {
				out = x
			}
		}
	}
	return out
}

// ownGroup draws a group of an account, its default one too.
func ownGroup(v *state.View, a events.AccountID, rng *rand.Rand) *state.Group {
	vpc, ok := v.DefaultVPC(a)
	if !ok {
		return nil
	}
	return one(rng, v.GroupsOf(vpc.ID), func(*state.Group) bool { return true })
}

func (c *Clients) groupNames(who int, rng *rand.Rand) []string {
	v := c.view(rng)
	if v == nil || rng.IntN(3) == 0 {
		return nil
	}
	if g := ownGroup(v, c.Accounts[who], rng); g != nil {
		return []string{g.Name}
	}
	return nil
}

// resources is a command about volumes, security groups or public addresses, or
// nil when there is nothing to speak of.
func (c *Clients) resources(who, id, n, k int, rng *rand.Rand) events.Command {
	v, me := c.view(rng), c.Accounts[who]
	if v == nil {
		return nil
	}
	group := func() *state.Group { return ownGroup(v, me, rng) }
	address := func(bound bool) *state.Address {
		return one(rng, v.AddressesOf(me), func(a *state.Address) bool { return a.Allocation != "" && (a.Association != "") == bound })
	}
	switch k {
	case 0, 1:
		return events.CreateVolume{Zone: events.Zone(c.region.Zones[rng.IntN(len(c.region.Zones))].Name), SizeGiB: 1 + rng.IntN(3)}
	case 2, 3, 4:
		vol := one(rng, v.VolumesOf(me), func(x *state.Volume) bool { return x.State == state.VolumeAvailable })
		if vol == nil {
			return nil
		}
		i := one(rng, v.InstancesOf(me), func(i *state.Instance) bool { return i.State == state.Running && i.Zone == vol.Zone })
		if i == nil {
			return nil
		}
		return events.AttachVolume{Volume: vol.ID, Instance: i.ID, Device: "/dev/xvd" + string(rune('f'+rng.IntN(8)))}
	case 5, 6:
		if vol := one(rng, v.VolumesOf(me), func(x *state.Volume) bool { return x.Attachment != nil }); vol != nil {
			return events.DetachVolume{Volume: vol.ID, Force: rng.IntN(4) == 0}
		}
	case 7:
		if vol := one(rng, v.VolumesOf(me), func(x *state.Volume) bool { return x.Attachment == nil }); vol != nil {
			return events.DeleteVolume{Volume: vol.ID}
		}
	case 8:
		return events.CreateGroup{Name: fmt.Sprintf("group-%d-%d", id, n), Description: "of a drill"}
	case 9:
		if g := group(); g != nil {
			return events.DeleteGroup{Group: g.ID}
		}
	case 10:
		if g, peer := group(), group(); g != nil && peer != nil {
			port := []int{53, 7000, 8080}[rng.IntN(3)]
			rule := events.Rule{Protocol: "udp", From: port, To: port, CIDR: netip.MustParsePrefix("0.0.0.0/0")}
			if rng.IntN(2) == 0 {
				rule.CIDR, rule.Group = netip.Prefix{}, peer.ID
			}
			return events.AuthorizeRules{Group: g.ID, Rules: []events.Rule{rule}}
		}
	case 11:
		// More rules come than go, and few that let out: packets should pass.
		if g := group(); g != nil && len(g.Rules) > 0 && rng.IntN(2) == 0 {
			r := g.Rules[rng.IntN(len(g.Rules))]
			if r.Egress && rng.IntN(8) > 0 {
				return nil
			}
			return events.RevokeRules{Group: g.ID, Egress: r.Egress, IDs: []events.RuleID{r.ID}}
		}
	case 12:
		if a := address(false); a != nil {
			if i := one(rng, v.InstancesOf(me), func(i *state.Instance) bool { return i.State == state.Running }); i != nil && rng.IntN(3) > 0 {
				return events.AssociateAddress{Allocation: a.Allocation, Instance: i.ID}
			}
			return events.ReleaseAddress{Allocation: a.Allocation}
		}
		return events.AllocateAddress{}
	case 13:
		a := address(true)
		if a == nil {
			return events.AllocateAddress{}
		}
		switch rng.IntN(3) {
		case 0:
			return events.DisassociateAddress{Association: a.Association}
		case 1:
			return events.ReleaseAddress{Allocation: a.Allocation}
		}
		if i := one(rng, v.InstancesOf(me), func(i *state.Instance) bool { return i.State == state.Running }); i != nil {
			return events.AssociateAddress{Allocation: a.Allocation, Instance: i.ID} // it moves
		}
	}
	return nil
}
