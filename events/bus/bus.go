// Package bus is the client side of the region's NATS bus: commands to the
// leader, questions to voters, and the events in order.
//
//	Command ─▶ sk.cmd.…  the leader answers; NotLeader, silence and lost
//	                      connections are tried again with the same command id
//	Query   ─▶ sk.query.… any voter answers
//	Ask     ─▶ any subject, once
//	Follow  ◀─ sk.ev.…   live, gaps filled from a voter's history
package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"skerry/events"
)

// Options say how to reach the bus.
type Options struct {
	Region  string
	Name    string                     // shown by `nats server report connections`
	Servers []string                   // all servers of the region
	Seed    []byte                     // user nkey seed; nil for no authentication
	TLS     *tls.Config                // nil for plain TCP
	Server  nats.InProcessConnProvider // set instead of Servers to connect within a process
	Inbox   string                     // private inbox prefix, as the bus's permissions want it
	Dialer  nats.CustomDialer          // nil for the default
	Log     *slog.Logger
}

// Client is one program's connection.
type Client struct {
	Region string
	conn   *nats.Conn
	log    *slog.Logger
}

// InboxPrefix is the private inbox of a process: nobody else may read it.
func InboxPrefix(host, kind string) string { return "_INBOX_" + host + "_" + kind }

const (
	pingEvery     = time.Second
	reconnectWait = 200 * time.Millisecond
	// One request, before it is sent once more with the same id. What went to a
	// leader that is lost is never answered, so this bounds how long a new leader
	// waits for its first work; a slow answer to an earlier attempt still counts.
	firstAttempt = 300 * time.Millisecond
	lastAttempt  = 500 * time.Millisecond
)

// Connect opens the connection. It does not wait for a server: the client
// connects as soon as one is there, and for ever after.
func Connect(o Options) (*Client, error) {
	opts := []nats.Option{
		nats.Name(o.Name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2), nats.Timeout(time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn("bus lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { o.Log.Info("bus back", "server", c.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			o.Log.Warn("bus error", "subject", subject, "err", err)
		}),
	}
	if o.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.Inbox))
	}
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	if o.Dialer != nil {
		opts = append(opts, nats.SetCustomDialer(o.Dialer))
	}
	if o.Server != nil {
		opts = append(opts, nats.InProcessServer(o.Server))
	}
	if o.Seed != nil {
		kp, err := nkeys.FromSeed(o.Seed)
		if err != nil {
			return nil, fmt.Errorf("bus: nkey seed: %w", err)
		}
		pub, err := kp.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("bus: nkey seed: %w", err)
		}
		opts = append(opts, nats.Nkey(pub, kp.Sign))
	}
	url := ""
	for i, s := range o.Servers {
		if i > 0 {
			url += ","
		}
		url += s
	}
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Client{o.Region, conn, o.Log}, nil
}

// Conn is the connection itself.
func (c *Client) Conn() *nats.Conn { return c.conn }

// Close ends the connection.
func (c *Client) Close() { c.conn.Close() }

// NewStamp draws id and seed for a command of an actor.
func NewStamp(actor string) events.Stamp {
	var b [32]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	s := events.Stamp{ID: events.CommandID(hex.EncodeToString(b[:16])), Actor: actor, Version: 1}
	copy(s.Seed[:], b[16:])
	return s
}

// Headers of a command on the bus. The stamp travels whole: a retry is the
// same command.
const (
	HeaderStamp = "Skerry-Stamp" // JSON of events.Stamp
	HeaderRetry = "Skerry-Retry" // set on an answer that says: not me, ask again
)

// Command sends a command to the leader and waits for its answer until ctx
// ends. A fault is returned as the error.
func (c *Client) Command(ctx context.Context, s events.Stamp, cmd events.Command) (events.Reply, error) {
	return c.command(ctx, events.CommandSubject(c.Region, cmd), s, cmd)
}

// NodeCommand sends a node's own command.
func (c *Client) NodeCommand(ctx context.Context, host events.HostID, s events.Stamp, cmd events.Command) (events.Reply, error) {
	return c.command(ctx, events.NodeCommandSubject(c.Region, cmd, host), s, cmd)
}

func (c *Client) command(ctx context.Context, subject string, s events.Stamp, cmd events.Command) (events.Reply, error) {
	body, err := json.Marshal(cmd)
	if err != nil {
		return events.Reply{}, fmt.Errorf("bus: %w", err)
	}
	stamp, err := json.Marshal(s)
	if err != nil {
		return events.Reply{}, fmt.Errorf("bus: %w", err)
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	msg.Header.Set(HeaderStamp, string(stamp))
	var reply events.Reply
	if err := c.retry(ctx, msg, &reply); err != nil {
		return reply, err
	}
	if reply.Fault != nil {
		return reply, reply.Fault
	}
	return reply, nil
}

// Query asks any voter.
func (c *Client) Query(ctx context.Context, what string, in, out any) error {
	return c.ask(ctx, events.QuerySubject(c.Region, what), in, out)
}

// AskLeader asks the leader.
func (c *Client) AskLeader(ctx context.Context, what string, in, out any) error {
	return c.ask(ctx, events.LeaderSubject(c.Region, what), in, out)
}

// AskSubject asks whoever answers a subject, again and again until ctx ends.
func (c *Client) AskSubject(ctx context.Context, subject string, in, out any) error {
	return c.ask(ctx, subject, in, out)
}

func (c *Client) ask(ctx context.Context, subject string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	return c.retry(ctx, msg, out)
}

// errRetry marks an answer that says: not me, ask again.
var errRetry = errors.New("the one asked cannot answer now")

// maxAnswers is how many answers to one request are held; the first that says
// something is taken.
const maxAnswers = 16

// retry sends a request until it is answered or ctx ends. All attempts share one
// inbox: an answer to an earlier one is as good.
func (c *Client) retry(ctx context.Context, msg *nats.Msg, out any) error {
	msg.Reply = c.conn.NewInbox()
	answers := make(chan *nats.Msg, maxAnswers)
	sub, err := c.conn.ChanSubscribe(msg.Reply, answers)
	if err != nil {
		return fmt.Errorf("bus: %s: %w", msg.Subject, err)
	}
	defer sub.Unsubscribe()
	wait, attempt := 10*time.Millisecond, firstAttempt
	for {
		err := c.once(ctx, attempt, answers, msg, out)
		if err == nil {
			return nil
		}
		var answered *AnswerError
		if errors.As(err, &answered) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("bus: %s: %w (last: %w)", msg.Subject, context.Cause(ctx), err)
		}
		wait, attempt = min(2*wait, 200*time.Millisecond), min(attempt*3/2, lastAttempt)
	}
}

// AnswerError is an answer that says what is wrong with the question.
type AnswerError struct{ Code, Message string }

func (e *AnswerError) Error() string { return e.Code + ": " + e.Message }

// statusNoResponders is the server's word that nobody listens to a subject
// (NATS ADR-4, status 503).
const statusNoResponders = "503"

func (c *Client) once(ctx context.Context, attempt time.Duration, answers <-chan *nats.Msg, msg *nats.Msg, out any) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if err := c.conn.PublishMsg(msg); err != nil {
		return err
	}
	var m *nats.Msg
	select {
	case m = <-answers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == statusNoResponders {
		return nats.ErrNoResponders
	}
	if m.Header.Get(HeaderRetry) != "" {
		return errRetry
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return &AnswerError{code, m.Header.Get("Nats-Service-Error")}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, out); err != nil {
		return &AnswerError{"500", fmt.Sprintf("the answer of %s cannot be read: %v", msg.Subject, err)}
	}
	return nil
}
