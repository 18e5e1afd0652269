// Command skerry-services is the control plane of one availability zone: one
// Raft voter, one bus server, one EC2 endpoint.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"skerry/events"
	"skerry/internal/config"
	"skerry/services/api"
	"skerry/services/api/ec2"
	"skerry/services/api/trail"
	"skerry/services/busd"
	"skerry/services/images"
	"skerry/services/peers"
	"skerry/services/regions"
	"skerry/services/seal"
	"skerry/services/server"
	"skerry/services/voter"
)

func main() { config.Main(config.Services, run) }

func run(ctx context.Context, c *config.Config, log *slog.Logger) error {
	if err := guard(c); err != nil {
		return err
	}
	key, err := seal.Read(c.Services.RegionKey)
	if err != nil {
		return err
	}
	if path := c.Services.AccountsKey; path != "" {
		accounts, err := seal.Read(path)
		if err != nil {
			return err
		}
		key = key.Sharing(accounts)
	}
	cert, ca, err := identity(c)
	if err != nil {
		return err
	}
	form := events.FormRegion{Name: c.Region, ID: c.RegionID, Level: events.LevelNewest}
	self := events.RegionInfo{Name: c.Region, ID: c.RegionID, Endpoint: c.Services.Endpoint, At: c.Services.At}
	var root events.RegionInfo
	if o := c.Services.Root; o != nil {
		form.Root, root = o.Region, events.RegionInfo{Name: o.Region, At: o.At}
	}
	beside := regions.NewPeers(c.Region, key)
	defer beside.Close()
	busOptions := busd.Options{Region: c.Region, AZ: c.AZ, Listen: c.Services.BusListen, Store: filepath.Join(c.Data, "bus"), Users: c.Services.Users, Log: log}
	if cert != nil {
		busOptions.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, RootCAs: ca, ClientCAs: ca, MinVersion: tls.VersionTLS13}
	}
	var servers []raft.Server
	raftAddr := ""
	for _, v := range c.Services.Voters {
		form.Zones = append(form.Zones, events.Zone(v.AZ))
		servers = append(servers, raft.Server{ID: raft.ServerID(v.AZ), Address: raft.ServerAddress(v.Raft)})
		if v.AZ == c.AZ {
			raftAddr, busOptions.Route = v.Raft, v.Route
		} else {
			busOptions.Peers = append(busOptions.Peers, v.Route)
		}
	}
	for _, b := range c.Services.Public {
		block, err := netip.ParsePrefix(b)
		if err != nil {
			return fmt.Errorf("services.public: %w", err)
		}
		form.Public = append(form.Public, block)
	}
	if c.Services.Images != "" {
		if form.Images, err = images.Read(c.Services.Images, c.Region); err != nil {
			return err
		}
	}

	up, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	bus, err := busd.Start(up, busOptions)
	if err != nil {
		return err
	}
	defer bus.Shutdown()
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()

	layer, err := peers.Listen(raftAddr, cert, ca)
	if err != nil {
		return err
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: 3, Timeout: 2 * time.Second,
		Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Error})})
	defer transport.Close()
	v, err := voter.Open(voter.Options{AZ: c.AZ, Voters: servers, Bootstrap: c.Services.Bootstrap, FS: vfs.Default, Dir: filepath.Join(c.Data, "voter"),
		Transport: transport, Heartbeat: time.Duration(c.Services.Heartbeat), Now: time.Now, Log: log})
	if err != nil {
		return err
	}
	defer v.Close()
	srv, err := server.New(server.Options{Region: c.Region, Form: form, Replicas: min(len(servers), 3), Voter: v, Bus: client, Key: key,
		Self: self, Root: root, Beside: beside, Log: log})
	if err != nil {
		return err
	}

	keys := ec2.Keys{Region: c.Region, View: v.View, Present: srv.Door.Read, Key: key}
	handlers := ec2.New(ec2.Over(srv.Door, client), key, "").Beside(beside)
	table := handlers.Table()
	trail.New(srv.Door.Read, v.History(), key).Handle(table)
	listener, err := net.Listen("tcp", c.Services.API)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	wg.Go(func() {
		defer end()
		errs <- srv.Run(ctx)
	})
	wg.Go(func() {
		defer end()
		errs <- api.Serve(ctx, listener, api.New(api.Config{Region: c.Region, Keys: keys, May: keys.May,
			Limit: &api.Limiter{Factor: 1}, Table: table, Log: log, Health: srv.Healthy,
			Regions: regions.NewDesk(self, key, srv.Door, v, v.History(), log)}), log)
	})
	wg.Wait()
	return errors.Join(<-errs, <-errs)
}

// guard refuses the data of another region.
func guard(c *config.Config) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	path := filepath.Join(c.Data, "region")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(path, []byte(c.RegionID+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	if have := strings.TrimSpace(string(b)); have != c.RegionID {
		return fmt.Errorf("%s holds the data of region %s, not of %s (%s): use another data directory", c.Data, have, c.RegionID, c.Region)
	}
	return nil
}

// identity reads this process's certificate and the region's CA.
func identity(c *config.Config) (*tls.Certificate, *x509.CertPool, error) {
	if c.Services.Cert == "" {
		return nil, nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.Services.Cert, c.Services.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("services.cert: %w", err)
	}
	ca, err := config.ReadCA(c.Bus.CA)
	return &cert, ca, err
}
