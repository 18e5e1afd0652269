// Command skerry-network-node is the VPC data plane of one host, or of a zone's
// gateway: the kind in its file says which.
package main

import (
	"context"
	"errors"
	"log/slog"

	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
	"skerry/network-node/agent"
)

func main() { config.Main(config.Network, run, config.Gateway) }

func run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	if c.Network == nil {
		return errors.New("config: section [network] is missing")
	}
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := agent.New(node.Options{
		Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Kind: c.Kind, Data: c.Data, Bus: client, Log: log,
	}, *c.Network, c.Run)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Run(ctx)
}
