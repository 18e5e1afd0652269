// Command skerry-compute-node holds the guests of one host.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"skerry/compute-node/agent"
	"skerry/compute-node/blockrelay"
	"skerry/compute-node/guests"
	"skerry/compute-node/hardware"
	"skerry/compute-node/taps"
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
	g := guests.Options{Accel: h.Accel, Conditions: h.Conditions}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if c.Compute.Hypervisor == "qemu" {
		links := taps.New()
		g.Taps = links
		wg.Go(func() {
			if err := links.Run(ctx); err != nil {
				log.Warn("links", "err", err) // passes look by themselves
			}
		})
		relay := blockrelay.New(log)
		listener, err := net.Listen("tcp", guests.DefaultPortal.String())
		if err != nil {
			return fmt.Errorf("block relay: %w", err)
		}
		g.Blocks = relay
		wg.Go(func() {
			if err := relay.Run(ctx, listener); err != nil {
				log.Error("block relay", "err", err)
				end()
			}
		})
	}
	a := agent.New(node.Options{
		Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Data: c.Data, Bus: client, Log: log,
		Capacity: events.Capacity{VCPUs: c.Compute.VCPUs, MemoryMiB: c.Compute.MemoryMiB, DiskGiB: c.Compute.DiskGiB},
	}, h.Hypervisor, h.Store, g)
	return a.Run(ctx)
}
