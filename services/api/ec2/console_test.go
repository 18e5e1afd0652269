package ec2

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/state"
)

// The question reaches the host that holds the instance, and nobody else; a
// host that does not answer ends with the caller's patience.
func TestConsoleOverTheBus(t *testing.T) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the bus does not start")
	}
	c, err := bus.Connect(bus.Options{Region: "isle-1", Name: "test", Server: s, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Conn().Subscribe("sk.node.isle-1.isle-1b.isle-1b-2.compute.console", func(m *nats.Msg) {
		var q events.InstanceQuery
		if err := json.Unmarshal(m.Data, &q); err != nil {
			t.Error(err)
		}
		b, _ := json.Marshal(events.Console{Instance: q.Instance, Output: []byte("READY\n")})
		_ = m.Respond(b)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	r := Over(nil, c)
	i := state.Instance{Host: "isle-1b-2", InstanceRequested: events.InstanceRequested{ID: "i-1", Zone: "isle-1b"}}
	got, err := r.Console(t.Context(), i)
	if err != nil || string(got.Output) != "READY\n" || got.Instance != "i-1" {
		t.Error(got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	i.Host = "isle-1b-9"
	if _, err := r.Console(ctx, i); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
