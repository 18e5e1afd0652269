package sim

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"

	"skerry/events"
)

func TestMain(m *testing.M) {
	ats.Register() // the server's coarse clock must be made outside of any bubble
	os.Exit(m.Run())
}

// run runs a drill on a fresh region in a bubble and judges it.
func run(t *testing.T, o Options, drill func(*Region, *Clients)) {
	if testing.Verbose() && os.Getenv("SKERRY_SIM_LOG") != "" {
		o.Log = os.Stderr
	}
	synctest.Test(t, func(t *testing.T) {
		r := New(t, o)
		defer r.Close()
		w := r.Watch()
		c := r.StartClients(r.NewAccount("drill"), 4)
		drill(r, c)
		c.Stop()
		r.Judge(w, c)
		t.Log(r.Summary(c))
	})
}

func TestQuietRegion(t *testing.T) {
	run(t, Options{Seed: 1}, func(r *Region, c *Clients) {
		time.Sleep(10 * time.Second)
		acked, _ := c.Acked()
		if len(acked) < 100 {
			t.Errorf("only %d commands were acknowledged in 10 s", len(acked))
		}
	})
}

var _ = events.Name
