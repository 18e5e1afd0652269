// Package busd runs one zone's server of the region's bus: an embedded NATS
// server with JetStream. Every process has its own nkey and may say and hear
// only what its part needs; see Permissions.
package busd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skerry/internal/config"
)

// MaxPayload is the largest message, bytes: the spec set of a host with
// thousands of instances is one.
const MaxPayload = 32 << 20

// Options start a server.
type Options struct {
	Region, AZ string
	Listen     string        // host:port for clients
	Route      string        // host:port for the other servers; empty for a region of one
	Peers      []string      // host:port of the other servers' routes
	Store      string        // directory of JetStream
	Users      []config.User // who may join; none means everybody, for tests on loopback
	TLS        *tls.Config   // nil for plain TCP
	Log        *slog.Logger
}

// Start starts the server and waits until it takes connections.
func Start(ctx context.Context, o Options) (*server.Server, error) {
	so := &server.Options{
		ServerName: o.AZ, JetStream: true, StoreDir: o.Store, NoSigs: true, MaxPayload: MaxPayload, MaxPending: 4 * MaxPayload,
		Tags: []string{"az:" + o.AZ}, JetStreamUniqueTag: "az:", PingInterval: 2 * time.Second, MaxPingsOut: 2,
		WriteDeadline: 2 * time.Second, JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 8 << 30,
	}
	var err error
	if so.Host, so.Port, err = split(o.Listen); err != nil {
		return nil, fmt.Errorf("busd: listen: %w", err)
	}
	if o.TLS != nil {
		so.TLSConfig, so.TLSTimeout, so.TLS = o.TLS, 2, true
	}
	if len(o.Peers) > 0 {
		so.SyncAlways = true                                     // with replicas the sync is shared by a group of messages; alone it is one each
		so.Cluster.Name, so.Cluster.NoAdvertise = o.Region, true // clients know all servers; some come through a forwarder
		if so.Cluster.Host, so.Cluster.Port, err = split(o.Route); err != nil {
			return nil, fmt.Errorf("busd: route: %w", err)
		}
		so.Cluster.PingInterval = 2 * time.Second
		if o.TLS != nil {
			so.Cluster.TLSConfig, so.Cluster.TLSTimeout = o.TLS.Clone(), 2
			so.Cluster.TLSConfig.ClientAuth = tls.RequireAndVerifyClientCert
		}
		for _, p := range o.Peers {
			so.Routes = append(so.Routes, &url.URL{Scheme: "nats-route", Host: p})
		}
	}
	for _, u := range o.Users {
		so.Nkeys = append(so.Nkeys, &server.NkeyUser{Nkey: u.Nkey, Permissions: Permissions(o.Region, u)})
	}
	s, err := server.NewServer(so)
	if err != nil {
		return nil, fmt.Errorf("busd: %w", err)
	}
	log := serverLog{o.Log, new(atomic.Pointer[string])}
	s.SetLoggerV2(log, false, false, false)
	go s.Start()
	for !s.ReadyForConnections(100 * time.Millisecond) {
		if ctx.Err() != nil {
			s.Shutdown()
			return nil, errors.Join(errors.New("busd: the server did not come up"), context.Cause(ctx))
		}
		if why := log.fatal.Load(); why != nil {
			s.Shutdown()
			return nil, fmt.Errorf("busd: the server cannot run on %s: %s", o.Listen, *why)
		}
		if !s.Running() {
			return nil, fmt.Errorf("busd: the server ended: is %s free?", o.Listen)
		}
	}
	return s, nil
}

func split(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}

// serverLog writes the server's lines to slog, and keeps what is fatal: the
// server expects its logger to end the program then.
type serverLog struct {
	log   *slog.Logger
	fatal *atomic.Pointer[string]
}

func (l serverLog) Noticef(f string, a ...any) { l.log.Debug("bus: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Warnf(f string, a ...any)   { l.log.Warn("bus: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Fatalf(f string, a ...any) {
	line := fmt.Sprintf(f, a...)
	l.fatal.Store(&line)
	l.log.Error("bus: " + line)
}
func (l serverLog) Errorf(f string, a ...any) { l.log.Error("bus: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Debugf(string, ...any)     {}
func (l serverLog) Tracef(string, ...any)     {}
