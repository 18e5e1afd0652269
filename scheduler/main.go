// Command skerry-scheduler follows a region's events and proposes hosts for the
// instances that wait for one.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"skerry/internal/config"
	"skerry/scheduler/propose"
)

func main() {
	path := flag.String("config", "", "the program's TOML file")
	flag.Parse()
	c, err := config.Load(*path, config.Scheduler)
	if err != nil {
		fmt.Fprintln(os.Stderr, "skerry-scheduler:", err)
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
	s := &propose.Scheduler{Bus: client, Log: log}
	if err := s.Run(ctx); err != nil {
		log.Error("ended", "err", err)
		os.Exit(1)
	}
}
