package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/state"
	"skerry/services/voter"
)

func TestMain(m *testing.M) {
	ats.Register() // the server's coarse clock must be made outside of the bubble
	os.Exit(m.Run())
}

// stage is a region of one voter in virtual time, whose nodes speak while they
// are in speaking.
type stage struct {
	t      *testing.T
	voter  *voter.Voter
	client *bus.Client

	mu       sync.Mutex
	speaking map[events.NodeKey]bool
	zones    map[events.NodeKey]events.Zone
}

func (s *stage) do(c events.Command, account events.AccountID) []events.Record {
	s.t.Helper()
	stamp := bus.NewStamp("test")
	stamp.Account = account
	r, err := s.voter.Propose(events.Stamped{Stamp: stamp, Command: c})
	if err != nil || r.Fault != nil {
		s.t.Fatalf("%s: %v %v", events.Name(c), err, r.Fault)
	}
	return r.Events
}

func (s *stage) join(host events.HostID, kind string, zone events.Zone) events.NodeKey {
	s.t.Helper()
	s.do(events.JoinNode{Host: host, Kind: kind, Zone: zone, Boot: "boot-1", Capacity: events.Capacity{VCPUs: 8, MemoryMiB: 8192, DiskGiB: 1000}}, "")
	k := events.NodeKey{Host: host, Kind: kind}
	s.mu.Lock()
	s.zones[k] = zone
	s.mu.Unlock()
	return k
}

func (s *stage) speak(yes bool, nodes ...events.NodeKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range nodes {
		s.speaking[k] = yes
	}
}

func (s *stage) beat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s.mu.Lock()
		for k, yes := range s.speaking {
			if !yes {
				continue
			}
			b, err := json.Marshal(events.Heartbeat{Host: k.Host, Kind: k.Kind, Zone: s.zones[k], Boot: "boot-1"})
			if err == nil {
				err = s.client.Conn().Publish(events.NodeSubject("isle-1", s.zones[k], k.Host, k.Kind, "heartbeat"), b)
			}
			if err != nil {
				s.t.Errorf("heartbeat: %v", err)
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lost tells which nodes are lost and which zones impaired.
func (s *stage) lost() string {
	var out []string
	for _, n := range s.voter.View().Nodes.All() {
		if n.Lost {
			out = append(out, string(n.Host))
		}
	}
	for _, z := range s.voter.View().Zones.All() {
		if z.Impaired {
			out = append(out, "zone "+string(z.Zone))
		}
	}
	return fmt.Sprint(out)
}

func (s *stage) expect(after time.Duration, what, want string) {
	s.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if got := s.lost(); got != want {
		s.t.Errorf("%s: lost are %s, want %s", what, got, want)
	}
}

// Silence, its length and its extent decide who is lost; time that is due is
// let pass. One story, since two bubbles may not share a process's NATS timers.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		srv, err := server.NewServer(&server.Options{ServerName: "test", DontListen: true, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		go srv.Start()
		if !srv.ReadyForConnections(10 * time.Second) {
			t.Fatal("the bus did not start")
		}
		client, err := bus.Connect(bus.Options{Region: "isle-1", Name: "watch", Server: srv, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		addr, wire := raft.NewInmemTransport("isle-1a")
		v, err := voter.Open(voter.Options{AZ: "isle-1a", Voters: []raft.Server{{ID: "isle-1a", Address: addr}}, Bootstrap: true, FS: vfs.NewMem(), Dir: "/voter", Transport: wire, Now: time.Now, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, voter: v, client: client, speaking: map[events.NodeKey]bool{}, zones: map[events.NodeKey]events.Zone{}}
		w := &Watch{Region: "isle-1", Voter: v, Bus: client, Log: log}
		ctx, cancel := context.WithCancel(t.Context())
		began := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { v.Lead(ctx, func(term context.Context) { close(began); <-term.Done() }) })
		<-began
		s.do(events.FormRegion{Name: "isle-1", ID: "8f9ae0a2", Zones: []events.Zone{"isle-1a", "isle-1b"}, Level: 1,
			Images: []events.Image{{ID: "aki-1", Name: "kernel", Type: "kernel"}, {ID: "ami-1", Name: "linux", Type: "machine", Kernel: "aki-1", RootDeviceType: "instance-store"}}}, "")
		a1, a2 := s.join("a1", "compute", "isle-1a"), s.join("a2", "compute", "isle-1a")
		b1, b2 := s.join("b1", "compute", "isle-1b"), s.join("b2", "compute", "isle-1b")
		s.speak(true, a1, a2, b1)
		wg.Go(func() { s.beat(ctx) })
		wg.Go(func() { w.Run(ctx) })

		// One says nothing from the start: it has the grace of a new term, and a
		// while of silence, like everybody.
		s.expect(11*time.Second, "within the grace", "[]")
		s.expect(4*time.Second, "after the grace", "[b2]")
		s.speak(true, b2)
		s.expect(3*time.Second, "it speaks", "[]")

		// A short silence is none.
		s.speak(false, a1)
		s.expect(6*time.Second, "silent for 6 s", "[]")
		s.speak(true, a1)
		s.expect(20*time.Second, "speaking again", "[]")

		// A zone that is silent as a whole is impaired, until one of it speaks.
		s.speak(false, b1, b2)
		s.expect(12*time.Second, "a zone is silent", "[b1 b2 zone isle-1b]")
		s.speak(true, b2)
		s.expect(3*time.Second, "one of it speaks", "[b1]")
		s.speak(true, b1)
		s.expect(3*time.Second, "all of it speaks", "[]")

		// A zone that falls silent node by node ends the same way.
		s.speak(false, b1)
		s.expect(12*time.Second, "one is silent", "[b1]")
		s.speak(false, b2)
		s.expect(12*time.Second, "then the other", "[b1 b2 zone isle-1b]")
		s.speak(true, b1, b2)
		s.expect(3*time.Second, "both speak", "[]")

		// When nobody at all is heard it is this voter that is deaf.
		s.speak(false, a1, a2, b1, b2)
		s.expect(time.Minute, "nobody is heard", "[]")
		s.speak(true, a1, a2, b1, b2)
		s.expect(3*time.Second, "everybody is heard", "[]")

		// A node that joins anew, without a heartbeat yet, has spoken.
		s.speak(false, b2)
		s.expect(12*time.Second, "silent", "[b2]")
		s.do(events.JoinNode{Host: "b2", Kind: "compute", Zone: "isle-1b", Boot: "boot-2", Capacity: events.Capacity{VCPUs: 8, MemoryMiB: 8192, DiskGiB: 1000}}, "")
		s.expect(6*time.Second, "joined anew", "[]")
		s.expect(6*time.Second, "and silent again", "[b2]")
		s.speak(true, b2)

		// A heartbeat that cannot be read is nobody's.
		if err := client.Conn().Publish("sk.node.isle-1.isle-1a.a1.compute.heartbeat", []byte("nonsense")); err != nil {
			t.Error(err)
		}

		// A terminated instance leaves after its hour, by a Tick that nobody sent.
		account := s.do(events.CreateAccount{Name: "alice"}, "")[0].Event.(events.AccountCreated).ID
		made := s.do(events.RunInstances{Image: "ami-1", Type: "sk1.tiny", Min: 1, Max: 1}, account)
		var id events.InstanceID
		for _, r := range made {
			if e, ok := r.Event.(events.InstanceRequested); ok {
				id = e.ID
			}
		}
		s.do(events.TerminateInstances{Instances: []events.InstanceID{id}}, account)
		listed := func() bool { _, ok := v.View().Instances.Get(string(id)); return ok }
		before := v.View().Meta.N
		time.Sleep(events.KeepTerminated - time.Minute)
		if i, ok := v.View().Instances.Get(string(id)); !ok || i.State != state.Terminated {
			t.Error("it left before its hour")
		}
		time.Sleep(2 * time.Minute)
		if listed() {
			t.Error("it is listed after its hour")
		}
		if n := v.View().Meta.N; n > before+3 { // b2 returned, the instance was forgotten
			t.Errorf("an idle hour took %d events", n-before)
		}

		// A bus that is gone makes nobody lost, and nothing hangs.
		srv.Shutdown()
		srv.WaitForShutdown()
		s.mu.Lock()
		clear(s.speaking)
		s.mu.Unlock()
		s.expect(time.Minute, "the bus is gone", "[]")

		cancel()
		wg.Wait()
		client.Close()
		if err := errors.Join(v.Close(), wire.Close()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // timers of libraries end
	})
}
