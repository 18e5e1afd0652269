package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"skerry/events/bus"
)

// Dial connects the program to the bus as its file says.
func (c *Config) Dial(log *slog.Logger) (*bus.Client, error) {
	o := bus.Options{Region: c.Region, Name: c.Host + "/" + c.Kind, Servers: c.Bus.Servers, Inbox: bus.InboxPrefix(c.Host, c.Kind), Log: log}
	if c.Bus.Nkey != "" {
		seed, err := os.ReadFile(c.Bus.Nkey)
		if err != nil {
			return nil, fmt.Errorf("config: bus.nkey: %w", err)
		}
		o.Seed = bytes.TrimSpace(seed)
	}
	if c.Bus.CA != "" {
		pool, err := ReadCA(c.Bus.CA)
		if err != nil {
			return nil, err
		}
		o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	}
	return bus.Connect(o)
}

// ReadCA reads the region's CA.
func ReadCA(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: bus.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("config: bus.ca: %s holds no certificate", path)
	}
	return pool, nil
}

// Logger is a program's log: one line per fact on stderr, with who speaks.
func (c *Config) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).
		With("region", c.Region, "az", c.AZ, "node", c.Host, "kind", c.Kind)
}
