package sim

import (
	"context"
	"errors"
	"flag"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go/jetstream"

	"skerry/compute-node/hypervisor"
	"skerry/events"
	"skerry/services/state"
)

var (
	seeds = flag.Int("seeds", 780, "seeded drills to run")
	seed  = flag.Uint64("seed", 0, "run seeds from this one on, in this process")
	logs  = flag.Bool("log", false, "print the regions' logs on stderr")

	writers = flag.Int("writers", 8, "writers of a seed of the core")
)

func TestMain(m *testing.M) {
	ats.Register() // the server's coarse clock must be made outside of any bubble
	os.Exit(m.Run())
}

// run runs a drill on a fresh region in a bubble and judges it.
func run(t *testing.T, o Options, drill func(*Region, *Clients)) {
	inBubble(t, o, func(r *Region) {
		w := r.Watch()
		c := r.StartClients(5)
		drill(r, c)
		c.Stop()
		r.Judge(w, c)
		r.T.Log(r.Summary(c))
	})
}

// inBubble runs a drill on a fresh region in virtual time.
func inBubble(t *testing.T, o Options, drill func(*Region)) {
	if *logs {
		o.Log = os.Stderr
	}
	// Timers that an earlier bubble left in the client's pool must be gone: a
	// pool is empty after two collections.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		r := New(t, o)
		defer r.Close()
		drill(r)
	})
}

func TestQuietRegion(t *testing.T) {
	run(t, Options{Seed: 1}, func(r *Region, c *Clients) {
		time.Sleep(10 * time.Second)
		acked, worst := c.Acked()
		if len(acked) < 100 || worst > time.Second {
			t.Errorf("%d commands acknowledged in 10 s, once none for %v", len(acked), worst)
		}
	})
}

// A leader is cut off under load: writes resume within 2 s, and a second more
// where the first election has no winner.
func TestLeaderLostUnderLoad(t *testing.T) {
	run(t, Options{Seed: 2}, func(r *Region, c *Clients) {
		for range 5 {
			time.Sleep(3 * time.Second)
			z := r.WaitLeader(nil)
			z.Isolate()
			z.Port.Cut(true, true)
			time.Sleep(4 * time.Second)
			z.Heal()
		}
		if _, worst := c.Acked(); worst > 3*time.Second {
			t.Errorf("no command was acknowledged for %v", worst)
		}
	})
}

// Each voter loses its power at one of its syncs, again and again.
func TestVoterCrashAtAnySync(t *testing.T) {
	run(t, Options{Seed: 3}, func(r *Region, c *Clients) {
		for i := range 12 {
			z := r.Zones[i%3]
			z.Crash(1 + r.Rng.IntN(30))
			time.Sleep(time.Second)
			z.Restart()
			r.WaitLeader(nil)
		}
	})
}

// A host that hears the bus but is not heard becomes lost and comes back; its
// guests never stop, and nobody else gets their place.
func TestOneWayCutOfANode(t *testing.T) {
	run(t, Options{Seed: 4}, func(r *Region, c *Clients) {
		time.Sleep(15 * time.Second)
		h := r.Hosts[0]
		before := r.domains(h)
		h.Port.Cut(false, true)
		r.Within(30*time.Second, "the host is lost", func() bool {
			n, _ := r.WaitLeader(nil).Voter().View().Compute(h.ID)
			return n.Lost
		})
		if v := r.WaitLeader(nil).Voter().View(); true {
			for i := range v.InstancesOn(h.ID) {
				if i.State == state.Terminated {
					t.Errorf("%s ended with its host unreachable", i.ID)
				}
			}
		}
		after := r.domains(h)
		for id := range before {
			if _, runs := after[id]; !runs {
				if i, ok := r.WaitLeader(nil).Voter().View().Instances.Get(id); !ok || i.Live() && i.State != state.ShuttingDown {
					t.Errorf("guest %s stopped without being told to", id)
				}
			}
		}
		h.Port.Cut(false, false)
		r.Within(30*time.Second, "the host is back", func() bool {
			n, _ := r.WaitLeader(nil).Voter().View().Compute(h.ID)
			return !n.Lost
		})
	})
}

// The bus is destroyed with everything in it; the stream comes back identical,
// which the judge compares message by message.
func TestBusDestroyedAndRebuilt(t *testing.T) {
	run(t, Options{Seed: 5}, func(r *Region, c *Clients) {
		time.Sleep(5 * time.Second)
		acked, _ := c.Acked()
		r.Bus.Stop()
		time.Sleep(3 * time.Second)
		if err := r.Bus.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if after, _ := c.Acked(); len(after) <= len(acked) {
			t.Error("no command was acknowledged after the bus came back")
		}
	})
}

// Every host loses what it knows: agents start with empty spec stores while no
// voter answers. They adopt what runs and destroy nothing.
func TestEmptySpecStoreAtStart(t *testing.T) {
	run(t, Options{Seed: 6}, func(r *Region, c *Clients) {
		time.Sleep(10 * time.Second)
		c.Stop()
		r.Settle()
		before := map[*Host]map[string]hypervisor.Status{}
		total := 0
		for _, h := range r.Hosts {
			h.Stop()
			before[h] = r.domains(h)
			total += len(before[h])
			h.Data = t.TempDir()
			h.Port.Cut(true, true)
			h.Start()
		}
		if total == 0 {
			t.Fatal("no guest runs: the drill shows nothing")
		}
		time.Sleep(20 * time.Second)
		for _, h := range r.Hosts {
			for id, d := range r.domains(h) {
				if d.State != hypervisor.Running || d.Boot != before[h][id].Boot {
					t.Errorf("%s: guest %s was touched: %+v, before %+v", h.ID, id, d, before[h][id])
				}
				delete(before[h], id)
			}
			for id := range before[h] {
				t.Errorf("%s: guest %s is gone", h.ID, id)
			}
			h.Port.Cut(false, false)
		}
	})
}

// A leader that was deposed publishes an event number that is taken: the stream
// refuses it.
func TestStaleLeaderPublishing(t *testing.T) {
	run(t, Options{Seed: 7}, func(r *Region, c *Clients) {
		time.Sleep(3 * time.Second)
		old := r.WaitLeader(nil)
		r.Within(10*time.Second, "the stream has begun", func() bool { return old.Up().server.Door.Outbox.Kept() > 10 })
		old.Isolate()
		r.WaitLeader(old)
		js, err := jetstream.New(old.Up().client.Conn())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = js.Publish(ctx, "sk.log."+Name+".-.stale.stale.stale.stale", []byte("{}"), jetstream.WithExpectLastSequence(5))
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
			t.Errorf("a stale event was answered with %v", err)
		}
		old.Heal()
	})
}

// The leader's clock is 10 minutes ahead: it hands over, and region time never
// goes back.
func TestLeaderClockAhead(t *testing.T) {
	run(t, Options{Seed: 8}, func(r *Region, c *Clients) {
		time.Sleep(2 * time.Second)
		z := r.WaitLeader(nil)
		z.setSkew(10 * time.Minute)
		r.Within(20*time.Second, "another leader", func() bool {
			l := r.Leader()
			return l != nil && l != z
		})
		time.Sleep(3 * time.Second)
		z.setSkew(0)
		leader := r.WaitLeader(nil)
		var last time.Time
		for _, rec := range r.history(leader, leader.Voter().View().Meta.N) {
			if rec.Time.Before(last) {
				t.Fatalf("event %d is stamped %v, after %v", rec.N, rec.Time, last)
			}
			last = rec.Time
		}
	})
}

// A host goes dark for good measure and returns; what was terminated meanwhile
// is destroyed only then, by its tombstone.
func TestNodeLostAndBack(t *testing.T) {
	run(t, Options{Seed: 9}, func(r *Region, c *Clients) {
		time.Sleep(8 * time.Second)
		c.Stop()
		r.Settle()
		v := r.WaitLeader(nil).Voter().View()
		var h *Host
		var victim events.InstanceID
		for _, x := range r.Hosts {
			for i := range v.InstancesOn(x.ID) {
				h, victim = x, i.ID
			}
		}
		if h == nil {
			t.Fatal("no guest runs: the drill shows nothing")
		}
		h.Stop()
		h.Port.Cut(true, true)
		r.Within(40*time.Second, "the host is lost", func() bool {
			n, _ := r.WaitLeader(nil).Voter().View().Compute(h.ID)
			return n.Lost
		})
		i, _ := v.Instances.Get(string(victim))
		r.Must(events.Stamp{Account: i.Account}, events.TerminateInstances{Instances: []events.InstanceID{victim}})
		time.Sleep(5 * time.Second)
		if i, _ := r.WaitLeader(nil).Voter().View().Instances.Get(string(victim)); i.State != state.ShuttingDown {
			t.Errorf("%s is %s while its host is away", victim, i.State)
		}
		if d := r.domains(h)[string(victim)]; !d.Alive() {
			t.Errorf("%s does not run any more: %+v", victim, d)
		}
		h.Port.Cut(false, false)
		h.Start()
		r.Within(40*time.Second, "the instance is terminated", func() bool {
			i, _ := r.WaitLeader(nil).Voter().View().Instances.Get(string(victim))
			return i.State == state.Terminated
		})
	})
}

// An hour after its end an instance leaves the list, by region time.
func TestTerminatedInstancesLeaveAfterAnHour(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	run(t, Options{Seed: 10, Hosts: 1}, func(r *Region, c *Clients) {
		time.Sleep(5 * time.Second)
		c.Stop()
		r.Settle()
		count := func() int {
			n := 0
			for _, i := range r.WaitLeader(nil).Voter().View().Instances.All() {
				if i.State == state.Terminated {
					n++
				}
			}
			return n
		}
		if count() == 0 {
			t.Fatal("nothing was terminated: the drill shows nothing")
		}
		time.Sleep(50 * time.Minute)
		if count() == 0 {
			t.Error("terminated instances left early")
		}
		r.Within(15*time.Minute, "they left", func() bool { return count() == 0 })
	})
}
