// Package idle is the keeper of a node whose kind has no specs in this release:
// it joins, beats and answers, and holds nothing.
//
// The storage node and the network node use it.
package idle

import (
	"context"
	"log/slog"

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
	config.Main(kind, func(ctx context.Context, c *config.Config, log *slog.Logger) error {
		client, err := c.Dial(log)
		if err != nil {
			return err
		}
		defer client.Close()
		n := node.New(node.Options{Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Kind: kind, Data: c.Data, Bus: client, Log: log})
		n.SetKeeper(Keeper{})
		return n.Run(ctx)
	})
}
