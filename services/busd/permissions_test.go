package busd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"skerry/events/bus"
	"skerry/internal/config"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// someone is a process that may join.
type someone struct {
	user config.User
	key  nkeys.KeyPair
}

func invite(t *testing.T, kind, az, host string) someone {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return someone{config.User{Nkey: pub, Kind: kind, AZ: az, Host: host}, kp}
}

func (s someone) join(t *testing.T, url string) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(url, nats.Nkey(s.user.Nkey, s.key.Sign), nats.CustomInboxPrefix(bus.InboxPrefix(s.user.Host, s.user.Kind)),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s: %v", s.user.Kind, err)
	}
	t.Cleanup(c.Close)
	return c
}

// refused asks the server: it names the subject in its refusal, before it
// answers the flush.
func refused(t *testing.T, c *nats.Conn, subject string) bool {
	t.Helper()
	if err := c.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	err := c.LastError()
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "permissions violation") && strings.Contains(err.Error(), `"`+subject+`"`)
}

func serve(t *testing.T, users ...config.User) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Start(ctx, Options{Region: "isle-1", AZ: "isle-1a", Listen: "127.0.0.1:-1", Store: t.TempDir(), Users: users, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// What each process may say (pub) and hear (sub), and what it may not.
func TestPermissions(t *testing.T) {
	everybody := map[string]someone{
		"services":  invite(t, config.Services, "isle-1a", "isle-1a-cp"),
		"operator":  invite(t, config.Operator, "", config.Operator),
		"scheduler": invite(t, config.Scheduler, "isle-1a", "isle-1a-cp"),
		"compute":   invite(t, config.Compute, "isle-1a", "isle-1a-1"),
		"network":   invite(t, config.Network, "isle-1a", "isle-1a-1"),
		"storage":   invite(t, config.Storage, "isle-1a", "isle-1a-1"),
		"gateway":   invite(t, config.Gateway, "isle-1a", "isle-1a-1"),
		"stranger":  invite(t, "kitchen", "isle-1a", "isle-1a-1"),
	}
	var users []config.User
	for _, s := range everybody {
		users = append(users, s.user)
	}
	url := serve(t, users...)
	conns := map[string]*nats.Conn{}
	for name, s := range everybody {
		conns[name] = s.join(t, url)
	}
	const may, mayNot = true, false
	for _, test := range []struct {
		who, what, subject string
		want               bool
	}{
		// A node joins, reports and asks in its own host's name only.
		{"compute", "pub", "sk.cmd.isle-1.region.JoinNode.isle-1a-1", may},
		{"compute", "pub", "sk.cmd.isle-1.region.JoinNode.isle-1a-2", mayNot},
		{"compute", "pub", "sk.cmd.isle-1.region.JoinNode", mayNot},
		{"compute", "pub", "sk.cmd.isle-1.compute.ReportInstance.isle-1a-1", may},
		{"compute", "pub", "sk.cmd.isle-1.compute.ReportInstance.isle-1a-2", mayNot},
		{"network", "pub", "sk.cmd.isle-1.compute.ReportInstance.isle-1a-1", mayNot},
		{"storage", "pub", "sk.cmd.isle-1.compute.ReportInstance.isle-1a-1", mayNot},
		{"storage", "pub", "sk.cmd.isle-1.region.JoinNode.isle-1a-1", may},
		{"storage", "pub", "sk.cmd.isle-1.storage.ReportSnapshot.isle-1a-1", may},
		{"storage", "pub", "sk.cmd.isle-1.storage.ReportSnapshot.isle-1a-2", mayNot},
		{"gateway", "pub", "sk.cmd.isle-1.network.ReportNATGateway.isle-1a-1", may},
		{"network", "pub", "sk.cmd.isle-1.network.ReportNATGateway.isle-1a-1", mayNot},
		{"gateway", "sub", "sk.spec.isle-1.vpc.vpc-1.>", may},
		{"compute", "pub", "sk.cmd.isle-1.compute.RunInstances", mayNot},
		{"compute", "pub", "sk.cmd.isle-1.accounts.CreateAccount", mayNot},
		{"compute", "pub", "sk.cmd.isle-1.compute.PlaceInstances", mayNot},
		{"compute", "pub", "sk.cmd.isle-2.region.JoinNode.isle-1a-1", mayNot},
		{"compute", "pub", "sk.spec.isle-1.get.isle-1a-1.compute", may},
		{"compute", "pub", "sk.spec.isle-1.get.isle-1a-1.storage", mayNot},
		{"compute", "pub", "sk.spec.isle-1.get.isle-1a-2.compute", mayNot},
		{"compute", "pub", "sk.node.isle-1.isle-1a.isle-1a-1.compute.heartbeat", may},
		{"compute", "pub", "sk.node.isle-1.isle-1a.isle-1a-2.compute.heartbeat", mayNot},
		{"compute", "pub", "sk.node.isle-1.isle-1b.isle-1a-1.compute.heartbeat", mayNot},
		{"network", "pub", "sk.node.isle-1.isle-1a.isle-1a-1.compute.heartbeat", mayNot},
		// It orders nobody, tells no events, answers no questions of voters.
		{"compute", "pub", "sk.spec.isle-1.node.isle-1a-1.compute.instance-i-1", mayNot},
		{"compute", "pub", "sk.spec.isle-1.node.isle-1a-2.compute.instance-i-1", mayNot},
		{"compute", "pub", "sk.ev.isle-1.isle-1a.compute.instance.i-1.started", mayNot},
		{"compute", "pub", "sk.log.isle-1.isle-1a.compute.instance.i-1.started", mayNot},
		{"compute", "pub", "sk.query.isle-1.accounts", mayNot},
		{"compute", "pub", "sk.lead.isle-1.scheduling", mayNot},
		{"compute", "pub", "sk.live.isle-1", mayNot},
		{"compute", "pub", "_INBOX_isle-1a-2_compute.x", mayNot},
		{"compute", "pub", "_INBOX_operator_operator.x", mayNot},
		// It has no way to change streams, nor to look into them.
		{"compute", "pub", "$JS.API.STREAM.DELETE.SK_EV_ISLE_1", mayNot},
		{"compute", "pub", "$JS.API.INFO", mayNot},
		{"storage", "pub", "$JS.API.STREAM.MSG.GET.SK_EV_ISLE_1", mayNot},
		{"compute", "pub", "$SYS.REQ.SERVER.PING", mayNot},
		// It hears its own specs and questions, and nobody else's.
		{"compute", "sub", "sk.spec.isle-1.node.isle-1a-1.compute.>", may},
		{"compute", "sub", "sk.spec.isle-1.node.isle-1a-1.storage.>", mayNot},
		{"compute", "sub", "sk.spec.isle-1.node.isle-1a-2.compute.>", mayNot},
		{"compute", "sub", "sk.spec.isle-1.node.*.compute.>", mayNot},
		{"compute", "sub", "sk.spec.isle-1.get.isle-1a-2.compute", mayNot},
		{"compute", "sub", "sk.spec.>", mayNot},
		{"compute", "sub", "sk.>", mayNot},
		{"compute", "sub", ">", mayNot},
		{"compute", "sub", "*", mayNot},
		{"compute", "sub", "sk.ev.isle-1.>", mayNot},
		{"compute", "sub", "sk.cmd.isle-1.>", mayNot},
		{"compute", "sub", "sk.node.isle-1.isle-1a.isle-1a-1.compute.have", may},
		{"compute", "sub", "sk.node.isle-1.isle-1a.isle-1a-2.compute.have", mayNot},
		{"compute", "sub", "_INBOX_isle-1a-1_compute.abc", may},
		{"compute", "sub", "_INBOX_isle-1a-1_storage.abc", mayNot},
		{"compute", "sub", "_INBOX_isle-1a-2_compute.>", mayNot},
		{"compute", "sub", "_INBOX_operator_operator.>", mayNot},
		{"compute", "sub", "_INBOX.>", mayNot},
		{"compute", "sub", "$SRV.PING", may},
		// The scheduler proposes and follows.
		{"scheduler", "pub", "sk.cmd.isle-1.compute.PlaceInstances", may},
		{"scheduler", "pub", "sk.cmd.isle-1.compute.TerminateInstances", mayNot},
		{"scheduler", "pub", "sk.cmd.isle-1.region.JoinNode.isle-1a-1", mayNot},
		{"scheduler", "pub", "sk.lead.isle-1.scheduling", may},
		{"scheduler", "pub", "sk.query.isle-1.status", may},
		{"scheduler", "pub", "sk.query.isle-1.history", may},
		{"scheduler", "pub", "sk.query.isle-1.accounts", mayNot},
		{"scheduler", "pub", "sk.log.isle-1.isle-1a.compute.instance.i-1.started", mayNot},
		{"scheduler", "pub", "$JS.API.STREAM.DELETE.SK_EV_ISLE_1", mayNot},
		{"scheduler", "sub", "sk.ev.isle-1.>", may},
		{"scheduler", "sub", "sk.live.isle-1", may},
		{"scheduler", "sub", "sk.spec.isle-1.node.isle-1a-1.compute.>", mayNot},
		{"scheduler", "sub", "sk.cmd.>", mayNot},
		// An operator commands, asks and hears; it does not speak for the region or its nodes.
		{"operator", "pub", "sk.cmd.isle-1.accounts.CreateAccount", may},
		{"operator", "pub", "sk.query.isle-1.accounts", may},
		{"operator", "pub", "sk.lead.isle-1.readindex", may},
		{"operator", "pub", "sk.node.isle-1.isle-1a.isle-1a-1.compute.have", may},
		{"operator", "pub", "sk.node.isle-1.isle-1a.isle-1a-1.compute.heartbeat", mayNot},
		{"operator", "pub", "$JS.API.STREAM.DELETE.SK_EV_ISLE_1", may},
		{"operator", "pub", "$SRV.PING", may},
		{"operator", "pub", "sk.ev.isle-1.isle-1a.compute.instance.i-1.started", mayNot},
		{"operator", "pub", "sk.log.isle-1.isle-1a.compute.instance.i-1.started", mayNot},
		{"operator", "pub", "sk.spec.isle-1.node.isle-1a-1.compute.instance-i-1", mayNot},
		{"operator", "sub", "sk.ev.>", may},
		{"operator", "sub", ">", may},
		// The control plane does everything; a kind that is not known nothing.
		{"services", "pub", "sk.log.isle-1.isle-1a.compute.instance.i-1.started", may},
		{"services", "pub", "$JS.API.STREAM.CREATE.SK_EV_ISLE_1", may},
		{"services", "sub", "sk.cmd.isle-1.>", may},
		{"stranger", "pub", "sk.cmd.isle-1.region.JoinNode.isle-1a-1", mayNot},
		{"stranger", "sub", "sk.ev.isle-1.>", mayNot},
	} {
		c := conns[test.who]
		var err error
		if test.what == "pub" {
			err = c.Publish(test.subject, []byte("{}"))
		} else {
			var sub *nats.Subscription
			if sub, err = c.SubscribeSync(test.subject); err == nil {
				defer sub.Unsubscribe()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := !refused(t, c, test.subject); got != test.want {
			t.Errorf("%s %s %s: allowed %v, want %v", test.who, test.what, test.subject, got, test.want)
		}
	}
}

// A node answers whoever asked it, and only them.
func TestAnswersToQuestions(t *testing.T) {
	node, operator := invite(t, config.Compute, "isle-1a", "isle-1a-1"), invite(t, config.Operator, "", config.Operator)
	url := serve(t, node.user, operator.user)
	n, o := node.join(t, url), operator.join(t, url)
	if _, err := n.Subscribe("sk.node.isle-1.isle-1a.isle-1a-1.compute.have", func(m *nats.Msg) { m.Respond([]byte("this")) }); err != nil {
		t.Fatal(err)
	}
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := o.Request("sk.node.isle-1.isle-1a.isle-1a-1.compute.have", nil, 5*time.Second)
	if err != nil || string(m.Data) != "this" {
		t.Errorf("%v, %v", m, err)
	}
}

// Whoever is not invited does not come in.
func TestStrangersStayOutside(t *testing.T) {
	known, unknown := invite(t, config.Operator, "", config.Operator), invite(t, config.Operator, "", config.Operator)
	url := serve(t, known.user)
	known.join(t, url)
	for name, opts := range map[string][]nats.Option{
		"no key":                        nil,
		"another key":                   {nats.Nkey(unknown.user.Nkey, unknown.key.Sign)},
		"a known name with another key": {nats.Nkey(known.user.Nkey, unknown.key.Sign)},
		"a password":                    {nats.UserInfo("operator", "operator")},
	} {
		if c, err := nats.Connect(url, opts...); err == nil {
			c.Close()
			t.Errorf("%s: came in", name)
		}
	}
}

// A server that cannot listen says so, and names the address.
func TestStartRefusals(t *testing.T) {
	for _, listen := range []string{"nonsense", "127.0.0.1:http-ish", "256.0.0.1:4222"} {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		s, err := Start(ctx, Options{Region: "isle-1", AZ: "isle-1a", Listen: listen, Store: t.TempDir(), Log: discard})
		cancel()
		if err == nil {
			s.Shutdown()
			t.Errorf("%s was listened on", listen)
			continue
		}
		if !strings.Contains(err.Error(), "busd") {
			t.Errorf("%s: %v", listen, err)
		}
	}
	url := serve(t)
	taken := strings.TrimPrefix(url, "nats://")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if s, err := Start(ctx, Options{Region: "isle-1", AZ: "isle-1b", Listen: taken, Store: t.TempDir(), Log: discard}); err == nil {
		s.Shutdown()
		t.Errorf("%s was taken twice", taken)
	} else if !strings.Contains(fmt.Sprint(err), taken) {
		t.Errorf("the error does not name %s: %v", taken, err)
	}
}
