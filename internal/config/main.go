package config

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Main is the main of every program: it reads the file that -config names, runs
// until SIGTERM or SIGINT, and exits with 2 for a bad file and 1 for a failure.
// A program may be of other kinds besides.
func Main(kind string, run func(context.Context, *Config, *slog.Logger) error, others ...string) {
	path := flag.String("config", "", "the program's TOML file")
	flag.Parse()
	c, err := Load(*path, append(others, kind)...)
	if err != nil {
		fmt.Fprintf(os.Stderr, "skerry %s: %v\n", kind, err)
		os.Exit(2)
	}
	log := c.Logger()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err = run(ctx, c, log)
	stop()
	if err != nil {
		log.Error("ended", "err", err)
		os.Exit(1)
	}
}
