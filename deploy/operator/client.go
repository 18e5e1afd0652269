package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"skerry/deploy/lab"
	"skerry/events"
	"skerry/events/bus"
	"skerry/services/seal"
)

// askTimeout bounds one question when the caller's context does not.
const askTimeout = 5 * time.Second

// Client is one person's connection to a region.
type Client struct {
	region string
	bus    *bus.Client
}

// Connect joins the region's bus, and fails at once when no supervisor is there
// to forward to it.
func Connect(r *lab.Region) (*Client, error) {
	b := r.OperatorBus()
	probe, err := net.DialTimeout("unix", r.Control(), time.Second)
	if err != nil {
		return nil, fmt.Errorf("the bus does not answer: nothing forwards to it: %w", err)
	}
	probe.Close()
	seed, err := os.ReadFile(b.Nkey)
	if err != nil {
		return nil, fmt.Errorf("operator: key: %w", err)
	}
	ca, err := os.ReadFile(b.CA)
	if err != nil {
		return nil, fmt.Errorf("operator: authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("operator: %s holds no certificate", b.CA)
	}
	c, err := bus.Connect(bus.Options{Region: r.Name, Name: "operator", Servers: b.Servers, Seed: bytes.TrimSpace(seed),
		TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	return &Client{r.Name, c}, nil
}

// Close leaves the bus.
func (c *Client) Close() { c.bus.Close() }

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, askTimeout)
}

// Query asks any voter.
func (c *Client) Query(ctx context.Context, what string, in, out any) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return c.bus.Query(ctx, what, in, out)
}

// Command lets the region decide something. A refusal is an *events.Fault.
func (c *Client) Command(ctx context.Context, cmd events.Command) (events.Reply, error) {
	return c.CommandFor(ctx, "", cmd)
}

// CommandFor is Command in an account's name.
func (c *Client) CommandFor(ctx context.Context, account events.AccountID, cmd events.Command) (events.Reply, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s := bus.NewStamp("operator")
	s.Account = account
	rep, err := c.bus.Command(ctx, s, cmd)
	if err == nil {
		c.settle(ctx, rep.N)
	}
	return rep, err
}

// Send is Command for callers that ask nothing afterwards: it does not wait
// until every voter knows.
func (c *Client) Send(ctx context.Context, cmd events.Command) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := c.bus.Command(ctx, bus.NewStamp("operator"), cmd)
	return err
}

// settleFor bounds the wait for voters to hear of a command.
const settleFor = 500 * time.Millisecond

// settle waits until every voter that answers has applied event n, so that the
// next question, whoever answers it, knows what this command did.
func (c *Client) settle(ctx context.Context, n uint64) {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	for ctx.Err() == nil {
		s, err := c.Status(ctx)
		behind := slices.ContainsFunc(s.Members, func(m Member) bool { return m.Alive && m.N < n })
		if err == nil && !behind {
			return
		}
	}
}

// Have asks a node what it holds.
func (c *Client) Have(ctx context.Context, zone, host, kind string) (events.Have, error) {
	var h events.Have
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := c.bus.AskSubject(ctx, events.NodeSubject(c.region, events.Zone(zone), events.HostID(host), kind, "have"), nil, &h)
	return h, err
}

// Find answers the first event of a type in a reply.
func Find[E events.Event](rep events.Reply) (E, bool) {
	for _, rec := range rep.Events {
		if e, ok := rec.Event.(E); ok {
			return e, true
		}
	}
	var none E
	return none, false
}

// Secret derives the secret of an access key from the accounts' key, as the
// control planes do, so that no secret ever travels.
func Secret(r *lab.Region, accessKey string) (string, error) {
	path := r.Path("ca", "region.key")
	if r.HasAccountsKey() {
		path = r.AccountsKey()
	}
	k, err := seal.Read(path)
	if err != nil {
		return "", fmt.Errorf("operator: %w", err)
	}
	return k.Secret(accessKey), nil
}
