// Package agent is a compute node put together: the shared node, the keeper of
// guests, and the answers to questions about consoles.
package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"skerry/compute-node/guests"
	"skerry/compute-node/hypervisor"
	"skerry/events"
	"skerry/internal/node"
)

// Agent is one compute node.
type Agent struct {
	node   *node.Node
	keeper *guests.Keeper
	o      node.Options
}

// New makes an agent on a hypervisor and a store of files. The guests' options
// that are not given follow from the node's.
func New(o node.Options, hv hypervisor.Driver, store guests.Store, g guests.Options) *Agent {
	o.Kind = "compute"
	o.Accel = string(g.Accel)
	n := node.New(o)
	g.Host, g.Log = o.Host, o.Log
	k := guests.New(hv, store, guests.ReporterFunc(n.Report), g)
	n.SetKeeper(keeper{k})
	return &Agent{n, k, o}
}

// maxConsole is what GetConsoleOutput answers with ("GetConsoleOutput" in the
// EC2 API reference: the most recent 64 KB).
const maxConsole = 64 << 10

// consoleFor bounds one look at a console.
const consoleFor = 5 * time.Second

// Run keeps the node until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	sub, err := a.o.Bus.Conn().Subscribe(a.node.Subject("console"), func(m *nats.Msg) { go a.console(m) })
	if err != nil {
		return fmt.Errorf("agent: console: %w", err)
	}
	defer sub.Unsubscribe()
	return a.node.Run(ctx)
}

func (a *Agent) console(m *nats.Msg) {
	var q events.InstanceQuery
	out := events.Console{Time: time.Now().UTC()}
	if err := json.Unmarshal(m.Data, &q); err != nil {
		out.Error = "the question cannot be read: " + err.Error()
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), consoleFor)
		defer cancel()
		out.Instance = q.Instance
		if out.Output, err = a.keeper.Console(ctx, q.Instance, maxConsole); err != nil {
			out.Error = err.Error()
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // our own type
	}
	if err := m.Respond(b); err != nil {
		a.o.Log.Warn("console", "id", q.Instance, "err", err)
	}
}

// keeper is the keeper of guests as a node knows keepers.
type keeper struct{ *guests.Keeper }

func (k keeper) Want(s events.SpecSet, complete bool) {
	k.Keeper.Want(s.Manifest.N, s.Specs, complete)
}
