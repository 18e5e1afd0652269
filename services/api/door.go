package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"skerry/events"
	"skerry/services/api/model"
	"skerry/services/api/query"
	"skerry/services/api/reply"
	"skerry/services/api/sigv4"
)

// Limits of the door.
const (
	MaxInFlight    = 512              // requests that are read or handled at a time
	HandlerTimeout = 30 * time.Second // of one action; then Unavailable
	maxUnsigned    = 64 << 10         // bytes read of a body that nobody signed
	keptBuffer     = 1 << 20          // bytes of a reply's buffer that are kept for the next
)

// Config says what a door stands before.
type Config struct {
	Region string
	Keys   sigv4.Keys
	// May refuses what the caller's policies do not allow: a call, and all values
	// of its parameters. Nil allows everything to everybody.
	May   func(c *Call, values iter.Seq[string]) error
	Limit *Limiter // nil: no limit
	Table *Table
	Log   *slog.Logger
	// Health is asked by GET /health; nil means always well.
	Health func(context.Context) error
	// Regions answers what other regions ask, by POST /regions; nil: nothing does.
	Regions http.Handler
}

// Door is the http.Handler of the EC2 endpoint.
type Door struct {
	Config
	verifier sigv4.Verifier
	inFlight chan struct{}
	buffers  sync.Pool
}

// New returns a door. The table must not change any more.
func New(c Config) *Door {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{
		Config:   c,
		verifier: sigv4.Verifier{Keys: c.Keys, Region: c.Region, Services: []string{string(reply.EC2), string(reply.STS), string(reply.CloudTrail)}},
		inFlight: make(chan struct{}, MaxInFlight),
		buffers:  sync.Pool{New: func() any { return new([]byte) }},
	}
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/health" {
		d.health(w, r)
		return
	}
	if r.Method == http.MethodPost && r.URL.Path == "/regions" && d.Regions != nil {
		d.Regions.ServeHTTP(w, r)
		return
	}
	began := time.Now()
	c := &Call{
		RequestID: requestID(),
		Region:    d.Region,
		Service:   reply.EC2,
		UserAgent: strings.ToValidUTF8(cut(r.UserAgent(), maxUserAgent), "\uFFFD"),
		Host:      r.Host,
	}
	switch scope := sigv4.ScopeService(r); {
	case scope == string(reply.STS):
		c.Service = reply.STS
	case scope == string(reply.CloudTrail) || scope == "" && r.Header.Get(targetHeader) != "":
		c.Service = reply.CloudTrail
	}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.SourceIP = a.Addr().Unmap()
	}

	text, err := d.admit(w, r, c)
	buffer := d.buffers.Get().(*[]byte)
	out := (*buffer)[:0]
	status, code := http.StatusOK, ""
	if err == nil {
		out = text(out)
	} else {
		var message string
		code, message = d.explain(c, err)
		status = reply.Status(c.Service, code)
		out = reply.Fault(out, c.Service, code, message, c.RequestID)
	}
	h := w.Header()
	h.Set("Content-Type", reply.ContentType(c.Service))
	h.Set("Content-Length", strconv.Itoa(len(out)))
	h.Set("X-Amzn-Requestid", c.RequestID)
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Server", "Skerry")
	w.WriteHeader(status)
	_, _ = w.Write(out) // a caller that went away reads nothing
	if cap(out) <= keptBuffer {
		*buffer = out
		d.buffers.Put(buffer)
	}
	d.log(r.Context(), c, status, code, time.Since(began))
}

// result appends the document that answers a call.
type result func(b []byte) []byte

// work is a call that was read: the values that policies look at, and what to do.
type work struct {
	values iter.Seq[string]
	do     func(context.Context) (result, error)
}

// admit refuses what the door has no room for.
func (d *Door) admit(w http.ResponseWriter, r *http.Request, c *Call) (result, error) {
	select {
	case d.inFlight <- struct{}{}:
		defer func() { <-d.inFlight }()
		return d.answer(w, r, c)
	default:
		return nil, events.Faultf("RequestLimitExceeded", "Request limit exceeded: %d requests are being handled; retry with a growing delay.", MaxInFlight)
	}
}

// answer is the one path of every signed request.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, c *Call) (out result, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.Log.Error("handler panicked", "region", d.Region, "request", c.RequestID, "action", c.Action, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out, err = nil, errPanic
		}
	}()
	pending, err := d.verifier.Open(r)
	if err != nil {
		return nil, d.refuse(r, err)
	}
	text, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	who, err := pending.Verify(text)
	if err != nil {
		return nil, err
	}
	c.Account, c.User, c.AccessKey, c.Session, c.Service = who.Account, who.User, who.AccessKey, who.Session, reply.Service(who.Service)

	if r.URL.Path != "/" && r.URL.Path != "" {
		return nil, events.Faultf("InvalidRequest", "There is nothing at the path '%s'; the API is at /.", shown(r.URL.Path))
	}
	var todo work
	if c.Service == reply.CloudTrail {
		todo, err = d.target(r, c, text)
	} else {
		todo, err = d.form(r, c, pending.Presigned(), text)
	}
	if err != nil {
		return nil, err
	}
	if d.May != nil {
		if err := d.May(c, todo.values); err != nil {
			return nil, err
		}
	}
	if err := d.Limit.Take(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), HandlerTimeout)
	defer cancel()
	return todo.do(ctx)
}

// form reads a call of the query protocol.
func (d *Door) form(r *http.Request, c *Call, presigned bool, text []byte) (none work, err error) {
	switch {
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		return none, events.Faultf("InvalidRequest", "The method %s is not part of the Query API; use POST or GET.", shown(r.Method))
	case len(text) > 0:
		if err := checkMedia(r, formMedia); err != nil {
			return none, err
		}
	}
	form, err := query.Parse(r.URL.RawQuery, string(text))
	if err != nil {
		return none, err
	}
	if presigned {
		for _, name := range sigv4.QueryParameters {
			form.Take(name)
		}
	}
	c.Version, _ = form.Take("Version")
	action, _ := form.Take("Action")
	if action == "" {
		return none, events.Faultf("MissingAction", "The request is missing the parameter Action.")
	}
	run := d.Table.routes[key{c.Service, action}]
	switch {
	case run != nil:
		c.Action = action
	case model.Known(c.Service, action):
		c.Action = action
		return none, events.Faultf("UnsupportedOperation", "The action %s is known but not implemented in this region.", action)
	default:
		return none, events.Faultf("InvalidAction", "The action %s is not valid for this web service.", shown(action))
	}
	if err := checkVersion(c.Service, c.Version); err != nil {
		return none, err
	}
	if !reads(action) {
		c.Parameters = parameters(form)
	}
	return work{form.Values(), func(ctx context.Context) (result, error) {
		body, err := run(ctx, c, form)
		if err != nil {
			return nil, err
		}
		return func(b []byte) []byte {
			return reply.Result(b, c.Service, c.Action, c.Version, c.RequestID, body)
		}, nil
	}}, nil
}

// targetHeader names the action of a call of the JSON protocol:
// com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents, or the
// last two words of it.
const targetHeader = "X-Amz-Target"

const trailTarget = "CloudTrail_20131101"

// target reads a call of the JSON protocol. Its actions have no resources that
// policies could speak of.
func (d *Door) target(r *http.Request, c *Call, text []byte) (none work, err error) {
	if r.Method != http.MethodPost {
		return none, events.Faultf("InvalidRequest", "The method %s is not part of the JSON protocol; use POST.", shown(r.Method))
	}
	if err := checkMedia(r, jsonMedia); err != nil {
		return none, err
	}
	target := r.Header.Get(targetHeader)
	dot := strings.LastIndexByte(target, '.')
	service, action := target[:max(dot, 0)], target[dot+1:]
	run := d.Table.json[key{c.Service, action}]
	if run == nil || service[strings.LastIndexByte(service, '.')+1:] != trailTarget {
		return none, events.Faultf("UnknownOperationException", "The action '%s' is not one of this service.", shown(target))
	}
	c.Action = action
	return work{func(func(string) bool) {}, func(ctx context.Context) (result, error) {
		answer, err := run(ctx, c, text)
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(answer)
		if err != nil {
			return nil, err
		}
		return func(b []byte) []byte { return append(b, body...) }, nil
	}}, nil
}

var errPanic = errors.New("panic")

// refuse looks into the body of a request that carries no signature where V4
// has it, to tell the client of an old tool what is wrong.
func (d *Door) refuse(r *http.Request, err error) error {
	if f, ok := events.AsFault(err); !ok || f.Code() != "MissingAuthenticationToken" || r.Method != http.MethodPost {
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(r.Body, maxUnsigned))
	if params, bad := url.ParseQuery(string(text)); bad == nil {
		if old := sigv4.RefuseV2(params); old != nil {
			return old
		}
	}
	return err
}

// readBody reads a body to its end. Room is made as bytes arrive, not as they
// are announced.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > query.MaxBody {
		return nil, events.Faultf("InvalidRequest", "The body has %d bytes; at most %d are accepted.", r.ContentLength, query.MaxBody)
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, query.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, events.Faultf("InvalidRequest", "The body is larger than %d bytes.", query.MaxBody)
	case err != nil:
		return nil, events.Faultf("InvalidRequest", "The body could not be read to its end.")
	}
	return text, nil
}

// explain turns an error into what the caller is told, and logs what it is not.
func (d *Door) explain(c *Call, err error) (code, message string) {
	if f, ok := events.AsFault(err); ok {
		return f.Code(), f.Message
	}
	var coded interface {
		error
		Code() string
	}
	switch {
	case errors.As(err, &coded):
		return coded.Code(), strings.TrimPrefix(coded.Error(), coded.Code()+": ")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "Unavailable", "The region did not answer in time; the request may still take effect. Retry it with the same ClientToken."
	case err != errPanic:
		d.Log.Error("request failed", "region", d.Region, "request", c.RequestID, "action", c.Action, "account", c.Account, "err", err)
	}
	return "InternalError", "An internal error has occurred. The operator finds it in the log under request " + c.RequestID + "."
}

// log writes one line per request: reads are quiet.
func (d *Door) log(ctx context.Context, c *Call, status int, code string, took time.Duration) {
	level := slog.LevelInfo
	if reads(c.Action) {
		level = slog.LevelDebug
	}
	d.Log.LogAttrs(ctx, level, "request",
		slog.String("region", d.Region), slog.String("request", c.RequestID),
		slog.String("action", c.Action), slog.String("account", c.Account), slog.String("key", c.AccessKey),
		slog.String("from", c.SourceIP.String()), slog.Int("status", status), slog.String("code", code),
		slog.Bool("dryrun", c.DryRun), slog.Duration("took", took))
}

func (d *Door) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if d.Health != nil {
		if err := d.Health(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// requestID is a random UUID (RFC 9562 section 5.4).
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// shown cuts a refused text to what an error may repeat.
func shown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return cut(s, maxShown) + "…"
}
