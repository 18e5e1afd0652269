// Command skerry-scheduler follows a region's events and proposes hosts for the
// instances that wait for one.
package main

import (
	"context"
	"log/slog"

	"skerry/internal/config"
	"skerry/scheduler/propose"
)

func main() { config.Main(config.Scheduler, run) }

func run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()
	s := &propose.Scheduler{Bus: client, Log: log}
	return s.Run(ctx)
}
