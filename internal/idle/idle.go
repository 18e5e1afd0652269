// Package idle is the keeper of a node whose kind has no specs in this release:
// it joins, beats and answers, and holds nothing.
//
// The storage node and the network node use it.
package idle

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
)

// Keeper holds nothing.
type Keeper struct{}

// Want is given sets that are empty.
func (Keeper) Want(events.SpecSet, bool) {}

// Run waits for the end.
func (Keeper) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Have holds nothing.
func (Keeper) Have(context.Context) (events.Have, error) { return events.Have{}, nil }

// Conditions are none.
func (Keeper) Conditions() []string { return nil }

// Main is the whole program of such a node.
func Main(kind string) {
	path := flag.String("config", "", "the program's TOML file")
	flag.Parse()
	c, err := config.Load(*path, kind)
	if err != nil {
		fmt.Fprintf(os.Stderr, "skerry-%s-node: %v\n", kind, err)
		os.Exit(2)
	}
	log := c.Logger()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	client, err := c.Dial(log)
	if err != nil {
		log.Error("bus", "err", err)
		os.Exit(1)
	}
	defer client.Close()
	n := node.New(node.Options{Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Kind: kind, Data: c.Data, Bus: client, Log: log})
	n.SetKeeper(Keeper{})
	if err := n.Run(ctx); err != nil {
		log.Error("ended", "err", err)
		os.Exit(1)
	}
}
