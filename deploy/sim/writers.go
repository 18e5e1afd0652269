package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/state"
)

// Writers are many callers that write and read the same few registers: tags of
// resources. What they did and saw is checked for linearizability, one register
// at a time; and like all callers they keep a journal.
//
//	beat ─▶ every writer does one thing, all at once ─▶ … ─▶ beat
//
// They act on a common beat, so that the region has many commands in hand at a
// time, as a busy one has.
type Writers struct {
	region  *Region
	account events.AccountID
	on      []string // resources that carry the registers
	part    *part
	clock   atomic.Int64 // orders calls and returns

	mu    sync.Mutex
	acked []Ack
	ops   map[string][]porcupine.Operation
	last  time.Time
	worst time.Duration
}

// Of a writer's day.
const (
	beat      = 250 * time.Millisecond
	registers = 24 // of each resource; EC2 allows 50 tags
)

// access is one operation on a register.
type access struct {
	write bool
	value string // written, "" to remove the tag
}

// register is what one tag must be like: a read tells the last write.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(st, in, out any) (bool, any) {
		if a := in.(access); a.write {
			return true, a.value
		}
		return out.(string) == st.(string), st
	},
	DescribeOperation: func(in, out any) string {
		if a := in.(access); a.write {
			return fmt.Sprintf("write %q", a.value)
		}
		return fmt.Sprintf("read %q", out)
	},
}

// StartWriters starts n of them.
func (r *Region) StartWriters(n int) *Writers {
	w := &Writers{region: r, account: r.NewAccount("writers"), ops: map[string][]porcupine.Operation{}, last: time.Now()}
	v := r.WaitLeader(nil).Voter().View()
	vpc, _ := v.DefaultVPC(w.account)
	w.on = append(w.on, string(vpc.ID))
	for s := range v.SubnetsOf(vpc.ID) {
		w.on = append(w.on, string(s.ID))
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = r.Rng.Uint64()
	}
	w.part = r.start(func(ctx context.Context) {
		var wg sync.WaitGroup
		for i, seed := range seeds {
			wg.Go(func() { w.write(ctx, i, rand.New(rand.NewPCG(seed, 5))) })
		}
		wg.Wait()
	})
	return w
}

// Stop stops the writers and waits for their last answers.
func (w *Writers) Stop() { w.part.stop() }

// Acked implements Journal.
func (w *Writers) Acked() ([]Ack, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked, w.worst
}

func (w *Writers) write(ctx context.Context, id int, rng *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		w.one(ctx, id, n, rng)
		now := time.Now()
		time.Sleep(now.Truncate(beat).Add(beat).Sub(now))
	}
}

// one does one thing.
func (w *Writers) one(ctx context.Context, id, n int, rng *rand.Rand) {
	resource, key := w.on[rng.IntN(len(w.on))], fmt.Sprintf("r%d", rng.IntN(registers))
	switch k := rng.IntN(32); {
	case k < 2:
		w.read(ctx, id, resource, key, rng)
	case k < 3:
		w.do(ctx, id, resource+"/"+key, access{write: true},
			events.UntagResources{Resources: []string{resource}, Tags: []events.UntagTag{{Key: key}}}, rng)
	case k < 6:
		w.do(ctx, id, "", access{}, w.other(id, n, rng), rng)
	default:
		value := fmt.Sprintf("%d-%d", id, n)
		w.do(ctx, id, resource+"/"+key, access{true, value},
			events.TagResources{Resources: []string{resource}, Tags: []events.Tag{{Key: key, Value: value}}}, rng)
	}
}

// other is a command that makes or ends something.
func (w *Writers) other(id, n int, rng *rand.Rand) events.Command {
	if z := w.region.Leader(); z != nil {
		if cp := z.Up(); cp != nil {
			v := cp.voter.View()
			if a := one(rng, v.AddressesOf(w.account), func(a *state.Address) bool { return a.Allocation != "" }); a != nil && rng.IntN(2) == 0 {
				return events.ReleaseAddress{Allocation: a.Allocation}
			}
			if g := ownGroup(v, w.account, rng); g != nil && g.Name != "default" && rng.IntN(2) == 0 {
				return events.DeleteGroup{Group: g.ID}
			}
		}
	}
	if rng.IntN(2) == 0 {
		return events.AllocateAddress{}
	}
	return events.CreateGroup{Name: fmt.Sprintf("group-%d-%d", id, n), Description: "of a drill"}
}

// call waits for the beat's answers and notes when it began and ended.
func (w *Writers) note(key string, op porcupine.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops[key] = append(w.ops[key], op)
}

// do sends a command, with the same id until it is answered; now and then a
// copy of it goes another way. A write whose answer never came may take effect
// at any later time.
func (w *Writers) do(ctx context.Context, id int, key string, in access, cmd events.Command, rng *rand.Rand) {
	stamp := bus.NewStamp("writer")
	stamp.Account = w.account
	if rng.IntN(4) == 0 {
		stamp.ClientToken = string(stamp.ID)
	}
	op := porcupine.Operation{ClientId: id, Input: in, Call: w.clock.Add(1), Return: math.MaxInt64}
	reply, answered := w.ask(ctx, stamp, cmd, rng)
	if answered {
		op.Return = w.clock.Add(1)
	}
	if rng.IntN(16) == 0 { // what was lost on the way arrives after all
		if cp := w.region.Zones[rng.IntN(len(w.region.Zones))].Up(); cp != nil {
			late, cancel := context.WithTimeout(ctx, time.Second)
			cp.server.Door.Do(late, stamp, cmd) //nolint: its answer is the one that came, or none
			cancel()
		}
	}
	if key != "" && (reply != nil || !answered) {
		w.note(key, op)
	}
	if reply == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.worst = max(w.worst, now.Sub(w.last))
	w.last = now
	w.acked = append(w.acked, Ack{stamp.ID, events.Name(cmd), reply.First, reply.Last})
}

// ask has a command decided through some zone, mostly the leader's, and tells
// the reply; nil and true is a refusal.
func (w *Writers) ask(ctx context.Context, stamp events.Stamp, cmd events.Command, rng *rand.Rand) (*events.Reply, bool) {
	for ctx.Err() == nil {
		z := w.region.Zones[rng.IntN(len(w.region.Zones))]
		if l := w.region.Leader(); l != nil && rng.IntN(16) > 0 {
			z = l
		}
		cp := z.Up()
		if cp == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		reply, err := cp.server.Door.Do(try, stamp, cmd)
		cancel()
		if err == nil {
			return &reply, true
		}
		if f, ok := events.AsFault(err); ok && f.FaultCode != "Unavailable" && f.FaultCode != "RequestExpired" && f.FaultCode != "RequestLimitExceeded" {
			return nil, true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, false
}

func (w *Writers) read(ctx context.Context, id int, resource, key string, rng *rand.Rand) {
	cp := w.region.Zones[rng.IntN(len(w.region.Zones))].Up()
	if cp == nil {
		return
	}
	op := porcupine.Operation{ClientId: id, Input: access{}, Call: w.clock.Add(1), Output: ""}
	try, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	v, err := cp.server.Door.Read(try)
	if err != nil {
		return // it says that it cannot tell, which is no lie
	}
	for _, t := range v.TagsOf(resource) {
		if t.Key == key {
			op.Output = t.Value
		}
	}
	op.Return = w.clock.Add(1)
	w.note(resource+"/"+key, op)
}

// JudgeRegisters checks that every register's story has an order in which it
// makes sense.
func (r *Region) JudgeRegisters(w *Writers) {
	r.T.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	reads := 0
	for key, ops := range w.ops {
		for _, op := range ops {
			if !op.Input.(access).write {
				reads++
			}
		}
		if !porcupine.CheckOperations(register, ops) {
			r.T.Errorf("seed %d: the %d operations on %s have no order in which each read tells the last write", r.o.Seed, len(ops), key)
		}
	}
	if reads == 0 {
		r.T.Errorf("seed %d: nothing was read: the judge of registers saw nothing", r.o.Seed)
	}
}
