// Package agent is a storage node put together: the shared node, the engine, the
// iSCSI target and the keeper of volumes.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
	"skerry/internal/node"
	"skerry/storage-node/iscsi"
	"skerry/storage-node/volume"
	"skerry/storage-node/volumes"
)

// Options of an agent beyond a node's.
type Options struct {
	node.Options        // Address is set from the listener, if there is one
	Memory       bool   // volumes in memory, for regions without disks
	FS           vfs.FS // instead of the machine's; with Memory, what survives a restart of the agent; nil: none
	Dir          string // of the volumes
	Listen       string // host:port of the portal; port 0 takes any
}

// Agent is one storage node.
type Agent struct {
	node   *node.Node
	store  *volume.Store
	target *iscsi.Target
	keeper *volumes.Keeper
	listen net.Listener
}

// New opens the volumes' directory and the portal. Close or Run must follow.
func New(o Options) (*Agent, error) {
	o.Kind = "storage"
	fs := o.FS
	switch {
	case fs != nil:
	case o.Memory:
		fs = vfs.NewMem()
	default:
		fs = vfs.Default
	}
	store, err := volume.Open(fs, o.Dir, volume.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	var l net.Listener
	if o.Listen != "" {
		if l, err = net.Listen("tcp", o.Listen); err != nil {
			return nil, errors.Join(fmt.Errorf("agent: portal: %w", err), store.Close())
		}
		o.Address = l.Addr().String()
	}
	a := &Agent{node: node.New(o.Options), store: store, target: iscsi.New(o.Log), listen: l}
	a.keeper = volumes.New(store, a.target, func(ctx context.Context, r events.Command) error { return a.node.Report(ctx, r) },
		volumes.Options{Host: o.Host, Boot: a.node.Boot(), Log: o.Log})
	a.node.SetKeeper(a.keeper)
	return a, nil
}

// Keeper is the agent's keeper.
func (a *Agent) Keeper() *volumes.Keeper { return a.keeper }

// Portal is where the volumes are served.
func (a *Agent) Portal() string {
	if a.listen == nil {
		return ""
	}
	return a.listen.Addr().String()
}

// Run keeps the node until ctx ends: sessions first, then the files.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var served error
	if a.listen != nil {
		wg.Go(func() {
			if served = a.target.Serve(ctx, a.listen); served != nil {
				cancel() // a storage node that serves nothing is none
			}
		})
	}
	err := a.node.Run(ctx)
	cancel()
	wg.Wait()
	return errors.Join(err, served, a.store.Close())
}

// Close gives everything back of an agent that was not run.
func (a *Agent) Close() error {
	var err error
	if a.listen != nil {
		err = a.listen.Close()
	}
	return errors.Join(err, a.store.Close())
}
