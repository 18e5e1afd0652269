// Command skerry-compute-node holds the guests of one host.
package main

import (
	"context"
	"log/slog"

	"skerry/compute-node/agent"
	"skerry/compute-node/hardware"
	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
)

func main() { config.Main(config.Compute, run) }

func run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	h, err := hardware.Open(ctx, c, log)
	if err != nil {
		return err
	}
	defer h.Hypervisor.Close()
	log.Info("hardware", "accel", h.Accel, "why", h.Why)
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()
	a := agent.New(node.Options{
		Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Data: c.Data, Bus: client, Log: log,
		Capacity: events.Capacity{VCPUs: c.Compute.VCPUs, MemoryMiB: c.Compute.MemoryMiB, DiskGiB: c.Compute.DiskGiB},
	}, h.Hypervisor, h.Store, h.Accel, h.Conditions...)
	return a.Run(ctx)
}
