package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"skerry/events"
	"skerry/events/bus"
)

// Clients are API callers that write without pause, from every zone, and keep a
// journal of what was acknowledged.
type Clients struct {
	Account events.AccountID
	region  *Region
	part    *part

	mu    sync.Mutex
	acked []Ack
	asked map[events.CommandID]bool
	alive []events.InstanceID
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

// StartClients starts n writers for an account.
func (r *Region) StartClients(account events.AccountID, n int) *Clients {
	c := &Clients{Account: account, region: r, asked: map[events.CommandID]bool{}, last: time.Now()}
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
		stamp.Account = c.Account
		cmd := c.next(id, n, rng)
		if rng.IntN(2) == 0 {
			stamp.ClientToken = fmt.Sprintf("%d-%d", id, n)
		}
		c.mu.Lock()
		c.asked[stamp.ID] = true
		c.mu.Unlock()
		c.ask(ctx, stamp, cmd, rng)
		time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
	}
}

// ask sends a command to some zone, and to another when it is not answered,
// always with the same id: as an SDK retries.
func (c *Clients) ask(ctx context.Context, stamp events.Stamp, cmd events.Command, rng *rand.Rand) {
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
			c.ack(stamp, cmd, reply)
			return
		}
		if f, ok := events.AsFault(err); ok && f.FaultCode != "Unavailable" && f.FaultCode != "RequestExpired" {
			return // an answer as well
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *Clients) ack(stamp events.Stamp, cmd events.Command, reply events.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.worst = max(c.worst, now.Sub(c.last))
	c.last = now
	c.acked = append(c.acked, Ack{stamp.ID, events.Name(cmd), reply.First, reply.Last})
	for _, r := range reply.Events {
		if e, ok := r.Event.(events.InstanceRequested); ok {
			c.alive = append(c.alive, e.ID)
		}
	}
}

func (c *Clients) next(id, n int, rng *rand.Rand) events.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch k := rng.IntN(10); {
	case k < 3:
		return events.ImportKeyPair{Name: fmt.Sprintf("key-%d-%d", id, n), Type: "ed25519", PublicKey: "ssh-ed25519 AAAA", Fingerprint: "x"}
	case k < 6:
		return events.RunInstances{Image: Image, Type: "sk1.tiny", Min: 1, Max: 1 + rng.IntN(3)}
	case len(c.alive) == 0:
		return events.DeleteKeyPair{Name: fmt.Sprintf("key-%d-%d", id, n-1)}
	case k < 8:
		i := rng.IntN(len(c.alive))
		victim := c.alive[i]
		c.alive = slices.Delete(c.alive, i, i+1)
		return events.TerminateInstances{Instances: []events.InstanceID{victim}}
	case k < 9:
		return events.RebootInstances{Instances: []events.InstanceID{c.alive[rng.IntN(len(c.alive))]}}
	}
	return events.TagResources{Resources: []string{string(c.alive[rng.IntN(len(c.alive))])}, Tags: []events.Tag{{Key: "n", Value: fmt.Sprint(n)}}}
}
