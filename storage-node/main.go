// Command skerry-storage-node holds the volumes of one host.
package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
	"skerry/storage-node/agent"
)

func main() { config.Main(config.Storage, run) }

func run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	s := c.Storage
	if s == nil {
		s = &config.StorageConfig{Engine: "file"}
	}
	listen := s.Listen
	if listen == "" {
		listen = "127.0.0.1:0" // never on all addresses by omission
	}
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := agent.New(agent.Options{
		Options: node.Options{Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Data: c.Data, Bus: client, Log: log,
			Capacity: events.Capacity{DiskGiB: s.DiskGiB}},
		Memory: s.Engine == "memory",
		Dir:    filepath.Join(c.Data, "volumes"),
		Listen: listen,
	})
	if err != nil {
		return err
	}
	log.Info("portal", "address", a.Portal())
	return a.Run(ctx)
}
