package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"skerry/deploy/lab"
	"skerry/events"
	"skerry/internal/config"
)

// TestMain lets the test binary play every program, by the name it is called
// with: skerry itself for the supervisor, and stand-ins for the region's
// programs that keep the promises the stage relies on: a config file, log lines
// on stderr, /health, a bus with the region's users, exit 0 on SIGTERM.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	switch {
	case name == "skerry":
		os.Exit(Main(os.Args, os.Stdout, os.Stderr))
	case name == "qemu-system-x86_64":
		select {} // a guest, as far as anybody can see
	case strings.HasPrefix(name, "skerry-"):
		var kinds []string
		for kind, bin := range lab.Binaries {
			if bin == name {
				kinds = append(kinds, kind)
			}
		}
		if err := standIn(kinds, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "level=ERROR msg=end error="+strconv.Quote(err.Error()))
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// programs makes a directory of names for the test binary.
func programs(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"skerry", "qemu-system-x86_64"}
	for _, b := range lab.Binaries {
		names = append(names, b)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) { // one program may be of two kinds
		if err := os.Symlink(self, filepath.Join(bin, n)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func standIn(kinds []string, path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := config.Load(path, kinds...)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "level=INFO msg=started node=%s kind=%s\n", c.Host, c.Kind)
	if c.Kind == config.Services {
		if err := standInServices(ctx, c); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func standInServices(ctx context.Context, c *config.Config) error {
	cert, err := tls.LoadX509KeyPair(c.Services.Cert, c.Services.Key)
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(c.Services.BusListen, ":")
	n, _ := strconv.Atoi(port)
	o := &server.Options{Host: host, Port: n, NoSigs: true, NoLog: true,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, TLSTimeout: 2}
	nodes := []events.NodeStatus{}
	var own string
	for _, u := range c.Services.Users {
		o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: u.Nkey})
		switch u.Kind {
		case config.Compute, config.Network, config.Gateway, config.Storage:
			nodes = append(nodes, events.NodeStatus{Host: events.HostID(u.Host), Kind: u.Kind, Zone: events.Zone(u.AZ), Ready: true})
		}
		if u.Kind == config.Services && u.Host == c.Host {
			own = u.Nkey
		}
	}
	if own == "" {
		return fmt.Errorf("no user for %s", c.Host)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		return fmt.Errorf("the bus does not start")
	}
	key, err := nats.NkeyOptionFromSeed(c.Bus.Nkey)
	if err != nil {
		return err
	}
	nc, err := nats.Connect("tls://"+c.Services.BusListen, key, nats.RootCAs(c.Bus.CA))
	if err != nil {
		return err
	}
	answer := func(what string, v any) {
		b, _ := json.Marshal(v)
		nc.Subscribe("sk.query."+c.Region+"."+what, func(m *nats.Msg) { m.Respond(b) })
	}
	answer("status", events.Status{Region: c.Region, N: 7, Leader: c.AZ, Nodes: nodes, Voters: []string{c.AZ}})
	answer("voter."+c.AZ, events.VoterStatus{AZ: c.AZ, Leader: c.AZ, N: 7, Kept: 7})
	answer("accounts", []events.AccountKeys{{AccountID: "123456789012", Name: adminName, AccessKeyID: "AKIASTANDIN000000000", SecretAccessKey: "s3cr3t/+='$x"}})
	l, err := net.Listen("tcp", c.Services.API)
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "served by %s", c.AZ)
	}))
	return nil
}
