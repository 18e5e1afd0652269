package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/busd"
	"skerry/services/peers"
	"skerry/services/seal"
	"skerry/services/voter"
)

// zone is one zone's control plane with a real bus server, on loopback.
type zone struct {
	name    string
	options busd.Options
	bus     *natsd.Server
	client  *bus.Client
	voter   *voter.Voter
	server  *Server
}

type region struct {
	t     *testing.T
	zones []*zone
	ops   *bus.Client
}

// free is a port that nobody has now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	return l.Addr().String()
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, d time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t}
	key, err := seal.New(make([]byte, 32))
	ok(t, err)
	form := events.FormRegion{Name: "isle-1", ID: "8f9ae0a2", Level: 1}
	var servers []raft.Server
	var urls, routes []string
	layers := map[*zone]*peers.Layer{}
	for i := range 3 {
		z := &zone{name: fmt.Sprintf("isle-1%c", 'a'+i)}
		z.options = busd.Options{Region: "isle-1", AZ: z.name, Listen: free(t), Route: free(t), Store: filepath.Join(t.TempDir(), "bus"), Log: discard}
		layer, err := peers.Listen("127.0.0.1:0", nil, nil)
		ok(t, err)
		layers[z] = layer
		servers = append(servers, raft.Server{ID: raft.ServerID(z.name), Address: raft.ServerAddress(layer.Addr().String())})
		urls, routes = append(urls, "nats://"+z.options.Listen), append(routes, z.options.Route)
		form.Zones = append(form.Zones, events.Zone(z.name))
		r.zones = append(r.zones, z)
	}
	var wg sync.WaitGroup
	for _, z := range r.zones {
		for _, route := range routes {
			if route != z.options.Route {
				z.options.Peers = append(z.options.Peers, route)
			}
		}
		wg.Go(func() { r.startBus(z) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i, z := range r.zones {
		z.client, err = bus.Connect(bus.Options{Region: "isle-1", Name: z.name, Servers: append([]string{urls[i]}, urls...), Log: discard})
		ok(t, err)
		wire := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layers[z], MaxPool: 2, Timeout: 2 * time.Second, Logger: hclog.New(&hclog.LoggerOptions{Output: io.Discard})})
		z.voter, err = voter.Open(voter.Options{AZ: z.name, Voters: servers, Bootstrap: true, FS: vfs.Default, Dir: filepath.Join(t.TempDir(), "voter"), Transport: wire, Now: time.Now, Log: discard})
		ok(t, err)
		z.server, err = New(Options{Region: "isle-1", Form: form, Replicas: 3, Voter: z.voter, Bus: z.client, Key: key, Log: discard})
		ok(t, err)
		running.Go(func() {
			if err := z.server.Run(ctx); err != nil {
				t.Errorf("%s: %v", z.name, err)
			}
		})
		t.Cleanup(func() { ok(t, errors.Join(z.voter.Close(), wire.Close())) })
	}
	r.ops, err = bus.Connect(bus.Options{Region: "isle-1", Name: "test", Servers: urls, Log: discard})
	ok(t, err)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		r.ops.Close()
		for _, z := range r.zones {
			z.client.Close()
			z.bus.Shutdown()
			z.bus.WaitForShutdown()
		}
	})
	return r
}

func (r *region) startBus(z *zone) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := busd.Start(ctx, z.options)
	if err != nil {
		r.t.Errorf("%s: %v", z.name, err)
		return
	}
	z.bus = s
}

// accounts makes n accounts through the bus and returns the last event's number.
func (r *region) accounts(word string, n int) uint64 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	last := uint64(0)
	for i := range n {
		reply, err := r.ops.Command(ctx, bus.NewStamp("operator"), events.CreateAccount{Name: fmt.Sprint(word, i)})
		ok(r.t, err)
		last = reply.Last
	}
	return last
}

// message is what must be the same in every copy of the stream.
type message struct {
	seq     uint64
	subject string
	data    string
}

// stream reads the whole stream, or says why it cannot now.
func (r *region) stream() ([]message, *jetstream.StreamInfo, error) {
	js, err := jetstream.New(r.ops.Conn())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, events.EventStream("isle-1"))
	if err != nil {
		return nil, nil, err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return nil, nil, err
	}
	var out []message
	for n := uint64(1); n <= info.State.LastSeq; n++ {
		m, err := s.GetMsg(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, message{m.Sequence, m.Subject, string(m.Data)})
	}
	return out, info, nil
}

// kept waits until the stream holds event n, and checks every message against
// the history of a voter: sequence, subject, payload.
func (r *region) kept(when string, n uint64) ([]message, *jetstream.StreamInfo) {
	r.t.Helper()
	var got []message
	var info *jetstream.StreamInfo
	within(r.t, 40*time.Second, fmt.Sprintf("%s the stream holds event %d", when, n), func() bool {
		var err error
		got, info, err = r.stream()
		return err == nil && uint64(len(got)) >= n && info.Cluster != nil && info.Cluster.Leader != ""
	})
	records, err := r.zones[0].voter.History().Range(1, len(got))
	ok(r.t, err)
	for i, m := range got {
		if i >= len(records) {
			break // zone 0 is a moment behind
		}
		want := message{records[i].N, records[i].Event.About().Subject("isle-1"), string(records[i].JSON("isle-1"))}
		if m != want {
			r.t.Fatalf("%s the stream holds\n%+v\nthe history\n%+v", when, m, want)
		}
	}
	return got, info
}

func (r *region) zone(name string) *zone {
	return r.zones[slices.IndexFunc(r.zones, func(z *zone) bool { return z.name == name })]
}

// The stream of three zones: one replica in each, numbers that outlive its
// leader, stale publishers refused, and the same stream again after it was
// destroyed.
func TestStreamOfThreeZones(t *testing.T) {
	if testing.Short() {
		t.Skip("three bus servers and an election")
	}
	r := newRegion(t)
	last := r.accounts("first", 5)
	_, info := r.kept("at first", last)
	in := []string{info.Cluster.Leader}
	for _, p := range info.Cluster.Replicas {
		in = append(in, p.Name)
	}
	slices.Sort(in)
	if !slices.Equal(in, []string{"isle-1a", "isle-1b", "isle-1c"}) || !info.Config.DenyDelete {
		t.Errorf("the replicas are in %v, deny delete %v", in, info.Config.DenyDelete)
	}

	// A stale leader says what it believes to be the next event.
	js, err := jetstream.New(r.ops.Conn())
	ok(t, err)
	stale := func(when string, n uint64) {
		t.Helper()
		within(t, 30*time.Second, when+" a stale publish is answered", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			m := nats.NewMsg("sk.log.isle-1.isle-1a.compute.instance.i-0.started")
			m.Data = []byte("{}")
			m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(n-1, 10))
			_, err := js.PublishMsg(ctx, m)
			var api *jetstream.APIError
			if err == nil {
				t.Fatalf("%s a stale publish of event %d was taken", when, n)
			}
			return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
		})
	}
	if jetstream.JSErrCodeStreamWrongLastSequence != 10071 {
		t.Errorf("the code is %d", jetstream.JSErrCodeStreamWrongLastSequence)
	}
	stale("at first", last)
	stale("at first", last+2)

	// The stream's leader goes. Commands go on; the numbers stay.
	lost := r.zone(info.Cluster.Leader)
	lost.bus.Shutdown()
	lost.bus.WaitForShutdown()
	last = r.accounts("second", 5)
	_, info = r.kept("without "+lost.name, last)
	if info.Cluster.Leader == lost.name {
		t.Errorf("%s is down and leads", lost.name)
	}
	stale("without "+lost.name, last)
	r.startBus(lost)
	within(t, 30*time.Second, "the replica is back and current", func() bool {
		_, info, err := r.stream()
		return err == nil && len(info.Cluster.Replicas) == 2 && !slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return p.Offline || !p.Current })
	})

	// It is destroyed, and comes back the same.
	before, _ := r.kept("before it is destroyed", last)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ok(t, js.DeleteStream(ctx, events.EventStream("isle-1")))
	after, info := r.kept("after it was destroyed", last)
	if !slices.Equal(before, after[:min(len(before), len(after))]) {
		t.Error("the stream came back as another")
	}
	if len(info.Cluster.Replicas) != 2 {
		t.Errorf("it came back with %d replicas beside its leader", len(info.Cluster.Replicas))
	}
	last = r.accounts("third", 2)
	r.kept("at last", last)
	stale("at last", last)
}
