package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/miekg/dns"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/vishvananda/netns"

	"skerry/events"
	"skerry/internal/config"
	"skerry/internal/node"
	"skerry/network-node/datapath/linux"
)

const fileOf = "SKERRY_TEST_AGENT"

// TestMain is the agent itself when the test starts it as one.
func TestMain(m *testing.M) {
	path := os.Getenv(fileOf)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := child(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(path string) error {
	c, err := config.Load(path, config.Network)
	if err != nil {
		return err
	}
	log := c.Logger()
	client, err := c.Dial(log)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := New(node.Options{Region: c.Region, Zone: events.Zone(c.AZ), Host: events.HostID(c.Host), Kind: c.Kind, Data: c.Data, Bus: client, Log: log}, *c.Network, c.Run)
	if err != nil {
		return err
	}
	defer a.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return a.Run(ctx)
}

// in does something on a thread in a namespace.
func in(t *testing.T, name string, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromName(name)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// stage is a host with two guests, and a region that the test speaks for.
type stage struct {
	*testing.T
	prefix string
	dir    string
	conn   *nats.Conn
	cmd    *exec.Cmd

	mu      sync.Mutex
	specs   map[string]events.Spec
	n       uint64
	removed []events.ReportRemoved
}

func (s *stage) ip(line string) {
	s.Helper()
	line = strings.ReplaceAll(line, "@", s.prefix)
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		s.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

func newStage(t *testing.T) *stage {
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip(err)
	}
	s := &stage{T: t, prefix: fmt.Sprintf("ska%d-", os.Getpid()), dir: t.TempDir(), specs: map[string]events.Spec{}, n: 10}
	for _, n := range []string{"h", "a", "b"} {
		s.ip("netns add @" + n)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", s.prefix+n).Run() })
		s.ip("-n @" + n + " link set lo up")
	}
	t.Cleanup(func() {
		if err := linux.Erase(filepath.Join(s.dir, "run")); err != nil {
			t.Error(err)
		}
	})
	s.ip("-n @h link add eth0 type bridge")
	s.ip("-n @h addr add 172.16.8.1/24 dev eth0")
	s.ip("-n @h link set eth0 mtu 9216 up")
	srv, err := server.NewServer(&server.Options{ServerName: "test", DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the bus did not start")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	// The bus lives here and listens there.
	var l net.Listener
	in(t, s.prefix+"h", func() (err error) { l, err = net.Listen("tcp4", "127.0.0.1:4222"); return err })
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			bus, err := srv.InProcessConn()
			if err != nil {
				c.Close()
				continue
			}
			go func() { io.Copy(bus, c); bus.Close() }()
			go func() { io.Copy(c, bus); c.Close() }()
		}
	}()
	if s.conn, err = nats.Connect("", nats.InProcessServer(srv)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.conn.Close)
	s.answer("sk.cmd.isle-1.*.JoinNode.h1", func([]byte) any { return events.Reply{N: s.n} })
	s.answer("sk.cmd.isle-1.*.ReportRemoved.h1", func(b []byte) any {
		var r events.ReportRemoved
		if err := json.Unmarshal(b, &r); err != nil {
			t.Error(err)
		}
		s.removed = append(s.removed, r)
		return events.Reply{N: s.n}
	})
	s.answer("sk.spec.isle-1.get.h1.network", func([]byte) any {
		set := events.SpecSet{}
		for _, spec := range s.specs {
			set.Specs = append(set.Specs, spec)
		}
		set.Manifest = events.Manifest{N: s.n, Count: len(set.Specs), Digest: events.Digest(set.Specs)}
		return set
	})
	return s
}

func (s *stage) answer(subject string, f func([]byte) any) {
	_, err := s.conn.Subscribe(subject, func(m *nats.Msg) {
		s.mu.Lock()
		v := f(m.Data)
		s.mu.Unlock()
		b, err := json.Marshal(v)
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil {
			s.Errorf("%s: %v", subject, err)
		}
	})
	if err != nil {
		s.Fatal(err)
	}
}

// say puts a spec; without a body it is a tombstone.
func (s *stage) say(kind events.SpecKind, id string, body any) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	spec := events.Spec{Kind: kind, ID: id, N: s.n, Tombstone: body == nil}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.Fatal(err)
		}
		spec.Body = b
	}
	s.specs[string(kind)+id] = spec
	b, err := json.Marshal(events.Spec{Kind: kind, ID: id, N: s.n})
	if err == nil {
		err = s.conn.Publish("sk.spec.isle-1.node.h1.network."+string(kind)+"-"+id, b)
	}
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) start() {
	s.Helper()
	c := &config.Config{Region: "isle-1", RegionID: "x", AZ: "isle-1a", Host: "h1", Kind: config.Network, Data: filepath.Join(s.dir, "data"), Run: filepath.Join(s.dir, "run"),
		Bus: config.BusClient{Servers: []string{"nats://127.0.0.1:4222"}}, Network: &config.NetworkConfig{Datapath: "linux", Fabric: "eth0", Address: "172.16.8.1"}}
	path := filepath.Join(s.dir, "config.toml")
	if err := c.Write(path); err != nil {
		s.Fatal(err)
	}
	s.cmd = exec.Command("/proc/self/exe")
	s.cmd.Env = append(os.Environ(), fileOf+"="+path)
	logs, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.Fatal(err)
	}
	defer logs.Close()
	s.cmd.Stderr = logs
	in(s.T, s.prefix+"h", s.cmd.Start) // a child is in the namespace of the thread that starts it
	cmd := s.cmd
	s.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

func (s *stage) guest(name, tap string, p events.PortSpec) {
	s.ip("link add eth0 netns @" + name + " type veth peer name " + tap + " netns @h")
	s.ip("-n @" + name + " link set eth0 address " + p.MAC + " mtu 9001 up")
	s.ip("-n @" + name + " addr add " + p.PrivateIP.String() + "/20 dev eth0")
	s.ip("-n @" + name + " route add default via " + p.Router.String())
}

func (s *stage) until(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if ok() {
			return
		}
	}
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.Fatalf("not in 20 s: %s\n%s", what, b)
}

func (s *stage) web(ns, path string) (body string) {
	in(s.T, s.prefix+ns, func() error {
		c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address) // on this thread
		}}}
		// The transport dials on a goroutine of its own, so dial here.
		conn, err := net.DialTimeout("tcp4", "169.254.169.254:80", time.Second)
		if err != nil {
			return nil
		}
		defer conn.Close()
		c.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
		r, err := c.Get("http://169.254.169.254" + path)
		if err != nil {
			return nil
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if r.StatusCode == 200 {
			body = string(b)
		}
		return err
	})
	return body
}

// A host's agent from its first spec to the last tombstone, killed in between.
func TestHost(t *testing.T) {
	s := newStage(t)
	port := func(n byte) events.PortSpec {
		return events.PortSpec{Interface: events.InterfaceID(fmt.Sprintf("eni-%d", n)), Instance: events.InstanceID(fmt.Sprintf("i-%d", n)), VPC: "vpc-1", VNI: 9, Tap: fmt.Sprintf("t%d", n),
			MAC: fmt.Sprintf("0a:00:00:00:00:%02x", n), PrivateIP: netip.AddrFrom4([4]byte{172, 31, 0, n}), Subnet: 5, Groups: []uint32{1}, SourceCheck: true, MTU: 9001,
			CIDR: netip.MustParsePrefix("172.31.0.0/20"), Router: netip.MustParseAddr("172.31.0.1"), RouterMAC: events.RouterMAC(5), Resolver: netip.MustParseAddr("172.31.0.2"),
			Hostname: fmt.Sprintf("ip-172-31-0-%d.isle-1.compute.internal", n), Domain: "isle-1.compute.internal"}
	}
	a, b := port(4), port(5)
	s.guest("a", a.Tap, a)
	s.guest("b", b.Tap, b)
	home := netip.MustParseAddr("172.16.8.1")
	s.say(events.SpecFabric, "fabric", events.FabricSpec{Nodes: []netip.Addr{home}})
	s.say(events.SpecNetwork, "vpc-1", events.NetworkSpec{VPC: "vpc-1", VNI: 9, Blocks: []netip.Prefix{netip.MustParsePrefix("172.31.0.0/16")}})
	s.say(events.SpecGroup, "sg-1", events.GroupSpec{Group: "sg-1", VPC: "vpc-1", Number: 1, Rules: []events.RulePart{{Egress: true, Protocol: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0")}, {Protocol: -1, Group: 1}}})
	for _, p := range []events.PortSpec{a, b} {
		s.say(events.SpecPort, string(p.Interface), p)
		s.say(events.SpecMapping, string(p.Interface), events.MappingSpec{Interface: p.Interface, VPC: "vpc-1", VNI: 9, MAC: p.MAC, Addresses: []netip.Addr{p.PrivateIP}, Subnet: 5, Host: home, Groups: []uint32{1}, SourceCheck: true})
		s.say(events.SpecMetadata, string(p.Instance), events.MetadataSpec{Instance: p.Instance, Region: "isle-1", Interfaces: []events.InterfacePart{{Interface: p.Interface, MAC: p.MAC, PrivateIP: p.PrivateIP}}})
	}
	s.start()
	s.until("b knows itself", func() bool { return s.web("b", "/latest/meta-data/instance-id") == "i-5" })
	s.until("a knows itself", func() bool { return s.web("a", "/latest/meta-data/instance-id") == "i-4" })
	s.until("a resolves b", func() (ok bool) {
		for _, at := range []string{"172.31.0.2:53", "169.254.169.253:53"} {
			in(t, s.prefix+"a", func() error {
				conn, err := net.Dial("udp4", at)
				if err != nil {
					return err
				}
				m := new(dns.Msg).SetQuestion(b.Hostname+".", dns.TypeA)
				c := &dns.Conn{Conn: conn}
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Second))
				if c.WriteMsg(m) != nil {
					return nil
				}
				r, err := c.ReadMsg()
				ok = err == nil && len(r.Answer) == 1 && strings.Contains(r.Answer[0].String(), "172.31.0.5")
				return nil
			})
			if !ok {
				return false
			}
		}
		return true
	})
	s.until("a gets its address", func() (ok bool) {
		in(t, s.prefix+"a", func() error {
			c, err := nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(1))
			if err != nil {
				return err
			}
			defer c.Close()
			lease, err := c.Request(context.Background())
			ok = err == nil && lease.ACK.YourIPAddr.String() == "172.31.0.4"
			return nil
		})
		return ok
	})

	var l net.Listener
	in(t, s.prefix+"b", func() (err error) { l, err = net.Listen("tcp4", "172.31.0.5:700"); return err })
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
		}
	}()
	var conn net.Conn
	in(t, s.prefix+"a", func() (err error) { conn, err = net.DialTimeout("tcp4", "172.31.0.5:700", 5*time.Second); return err })
	defer conn.Close()
	talk := func(word string) {
		t.Helper()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		got := make([]byte, len(word))
		if _, err := io.WriteString(conn, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
			t.Fatalf("%q came back as %q: %v", word, got, err)
		}
	}
	talk("with an agent")
	for range 2 {
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.cmd.Wait()
		talk("without one")
		if got := s.web("a", "/latest/meta-data/instance-id"); got != "" {
			t.Errorf("somebody answered for the metadata service: %q", got)
		}
		s.start()
		s.until("a knows itself again", func() bool { return s.web("a", "/latest/meta-data/instance-id") == "i-4" })
		talk("with the next")
	}
	s.say(events.SpecPort, string(b.Interface), nil)
	s.until("the region hears that b's port is gone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.removed) > 0 && s.removed[0] == events.ReportRemoved{Host: "h1", Kind: events.SpecPort, ID: string(b.Interface), Order: s.removed[0].Order} && s.removed[0].Order > 0
	})
	reply, err := s.conn.Request("sk.node.isle-1.isle-1a.h1.network.counters", nil, 5*time.Second)
	if err != nil || !strings.Contains(string(reply.Data), `"reason":"delivered"`) {
		t.Errorf("counters: %v %s", err, reply.Data)
	}
}

// The memory data plane needs no root and no devices; what cannot be is refused.
func TestConfig(t *testing.T) {
	o := node.Options{Region: "isle-1", Host: "h1", Kind: config.Network, Log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]config.NetworkConfig{
		"kind":    {Datapath: "paper"},
		"address": {Datapath: "linux", Address: "here"},
		"none":    {Datapath: "linux", Fabric: "eth0"},
	} {
		if a, err := New(o, c, t.TempDir()); err == nil {
			a.Close()
			t.Errorf("%s was taken", name)
		}
	}
	o.Kind = config.Gateway
	if _, err := New(o, config.NetworkConfig{Datapath: "linux", Address: "172.16.8.1"}, t.TempDir()); err == nil {
		t.Error("a gateway without an uplink was taken")
	}
	a, err := New(o, config.NetworkConfig{Datapath: "memory", Address: "172.16.8.1"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
