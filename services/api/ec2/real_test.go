package ec2

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	natsserver "github.com/nats-io/nats-server/v2/server"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/api"
	"skerry/services/seal"
	"skerry/services/server"
	"skerry/services/voter"
)

// The actions on a real voter behind a real bus: a write is read at once, and a
// client token holds in the log.
func TestRealVoter(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	ns, err := natsserver.NewServer(&natsserver.Options{DontListen: true, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the bus does not start")
	}
	client, err := bus.Connect(bus.Options{Region: "isle-1", Name: "test", Server: ns, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	key, err := seal.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	address, transport := raft.NewInmemTransport("isle-1a")
	v, err := voter.Open(voter.Options{AZ: "isle-1a", Voters: []raft.Server{{ID: "isle-1a", Address: address}}, Bootstrap: true, FS: vfs.NewMem(), Dir: "voter",
		Transport: transport, Heartbeat: 50 * time.Millisecond, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	file := events.ImageFile{Name: "f", SHA256: "00", Bytes: 1}
	srv, err := server.New(server.Options{Region: "isle-1", Replicas: 1, Memory: true, Voter: v, Bus: client, Key: key, Log: log,
		Form: events.FormRegion{Name: "isle-1", ID: "5f0c", Zones: []events.Zone{"isle-1a"}, Level: 1, Images: []events.Image{
			{ID: aki, Name: "kernel", Location: "amazon/kernel", Type: "kernel", Architecture: "x86_64", File: file},
			{ID: ami, Name: "skerry-linux", Location: "amazon/skerry-linux", Type: "machine", Architecture: "x86_64", Virtualization: "paravirtual",
				Kernel: aki, RootDevice: "/dev/sda1", RootDeviceType: "instance-store", File: file}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	do := func(c events.Command) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if _, err := client.Command(ctx, bus.NewStamp("test"), c); err != nil {
			t.Fatal(err)
		}
	}
	formed, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := v.WaitFor(formed, 3); err != nil {
		t.Fatal(err)
	}
	do(events.CreateAccount{Name: "alice", ID: alice})
	do(events.JoinNode{Host: "isle-1a-1", Kind: "compute", Zone: "isle-1a", Boot: "b", Capacity: events.Capacity{VCPUs: 8, MemoryMiB: 16 << 10, DiskGiB: 1000}})
	a, _ := v.View().Accounts.Get(alice)
	h := New(Over(srv.Door, client), key, "ec2.isle-1.example")
	s := httptest.NewServer(api.New(api.Config{Region: "isle-1", Keys: Keys{View: v.View, Key: key}, Table: h.Table(), Log: log}))
	t.Cleanup(s.Close)
	w := &world{t: t, url: s.URL, key: key, keys: map[string]string{alice: a.AccessKey}}

	if got := w.ok(alice, "DescribeRegions").text("regionInfo/item/regionEndpoint"); got != "ec2.isle-1.example" {
		t.Error(got)
	}
	w.fails("DryRunOperation", alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "1", "DryRun", "true")
	id := w.run(alice, "InstanceType", "sk1.tiny", "ClientToken", "tok", "UserData", encode("hello"))[0]
	if again := w.run(alice, "InstanceType", "sk1.tiny", "ClientToken", "tok", "UserData", encode("hello")); again[0] != id {
		t.Error("the token launched again")
	}
	w.fails("IdempotentParameterMismatch", alice, "RunInstances", "ImageId", ami, "MinCount", "1", "MaxCount", "1", "InstanceType", "sk1.tiny", "ClientToken", "tok", "UserData", encode("other"))
	n := w.ok(alice, "DescribeInstances")
	if got := n.texts("reservationSet/item/instancesSet/item/instanceId"); len(got) != 1 || got[0] != id {
		t.Error(got)
	}
	if got := w.ok(alice, "DescribeInstanceAttribute", "InstanceId", id, "Attribute", "userData").text("userData/value"); got != encode("hello") {
		t.Error(got)
	}
	do(events.PlaceInstances{Placements: []events.Placement{{Instance: events.InstanceID(id), Host: "isle-1a-1"}}})
	do(events.ReportInstance{Host: "isle-1a-1", Instance: events.InstanceID(id), Generation: 1, Phase: events.PhaseRunning})
	if got := w.ok(alice, "TerminateInstances", "InstanceId.1", id); got.text("instancesSet/item/previousState/name") != "running" || got.text("instancesSet/item/currentState/name") != "shutting-down" {
		t.Errorf("%+v", got)
	}
}
