// Package regions is how regions that share accounts speak to each other.
//
//	POST /regions   question ─▶ Desk of any voter ─▶ answer
//
// Both are sealed with keys that follow from the accounts' key: who has that key
// is one of them, and nobody else can ask, answer or listen. What is sealed is
// CBOR: a question names who asks and whom, an answer repeats the question's
// nonce, so that neither is good for anything else.
//
// A region asks another one for three things: what happened to identities, which
// a Follower imports from the root; and what a snapshot or an image is, for an
// account that wants a copy. None of it is on the way of anything else: while a
// region is away, the others go on with what they know.
package regions

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"skerry/events"
	"skerry/services/seal"
)

// Path is where a region's API takes questions of other regions.
const Path = "/regions"

// Questions.
const (
	askIdentities = "identities"
	askSnapshot   = "snapshot"
	askImage      = "image"
)

// Limits of a message, bytes. An answer holds up to maxIdentities policies.
const (
	maxQuestion = 64 << 10
	maxAnswer   = 16 << 20
)

// maxAge is how far the clocks of two regions may be apart.
const maxAge = 15 * time.Minute

// question is what one region asks another.
type question struct {
	From  string    `json:"from"`
	To    string    `json:"to"`
	Nonce []byte    `json:"nonce"`
	Time  time.Time `json:"time"`
	What  string    `json:"what"`
	Body  []byte    `json:"body"`
}

// answer is what that one says.
type answer struct {
	From  string        `json:"from"`
	Nonce []byte        `json:"nonce"` // of the question
	Fault *events.Fault `json:"fault,omitempty"`
	Body  []byte        `json:"body,omitempty"`
}

// Identities asks the root for what happened to identities after a point. Region
// is who asks.
type Identities struct {
	Region events.RegionInfo `json:"region"`
	After  events.Point      `json:"after"`
}

// Happened is what happened to identities up to a point.
type Happened struct {
	To         events.Point      `json:"to"`
	Identities []events.Identity `json:"identities,omitempty"`
}

// snapshotOf asks for a snapshot, and imageOf for an image, that an account may
// use.
type snapshotOf struct {
	Account  events.AccountID  `json:"account"`
	Snapshot events.SnapshotID `json:"snapshot"`
}

type imageOf struct {
	Account events.AccountID `json:"account"`
	Image   events.ImageID   `json:"image"`
}

// envelopes seal messages: questions with one key, answers with another.
type envelopes struct{ questions, answers *seal.Key }

func envelopesOf(key *seal.Key) envelopes {
	derived := func(purpose string) *seal.Key {
		k, err := seal.New(key.Accounts().Derive(purpose))
		if err != nil {
			panic(err) // a derived key has 32 bytes
		}
		return k
	}
	return envelopes{derived("questions between regions"), derived("answers between regions")}
}

// openQuestion reads what came for a region.
func (e envelopes) openQuestion(b []byte, to string, now time.Time) (question, error) {
	var q question
	plain, err := e.questions.Open(b)
	switch {
	case err != nil || len(plain) == 0:
		return q, errors.New("the question is not of a region that shares this one's accounts")
	case events.Decode(plain, &q) != nil:
		return q, errors.New("the question cannot be read")
	case q.To != to:
		return q, fmt.Errorf("the question is for the region '%.64s', not for '%s'", q.To, to)
	case q.Time.Before(now.Add(-maxAge)) || q.Time.After(now.Add(maxAge)):
		return q, fmt.Errorf("the question was asked at %s: the clocks of the regions are too far apart", q.Time.UTC().Format(time.RFC3339))
	}
	return q, nil
}

// openAnswer reads the answer to a question.
func (e envelopes) openAnswer(b []byte, q question) (answer, error) {
	var a answer
	plain, err := e.answers.Open(b)
	switch {
	case err != nil || len(plain) == 0:
		return a, errors.New("what answers is not a region that shares this one's accounts")
	case events.Decode(plain, &a) != nil:
		return a, errors.New("the answer cannot be read")
	case a.From != q.To || !bytes.Equal(a.Nonce, q.Nonce):
		return a, errors.New("the answer is to another question")
	}
	return a, nil
}

// Peers asks other regions.
type Peers struct {
	self    string
	seals   envelopes
	mu      sync.Mutex
	clients map[string]*http.Client
}

// NewPeers returns what the region of a name asks others with.
func NewPeers(self string, key *seal.Key) *Peers {
	return &Peers{self: self, seals: envelopesOf(key), clients: map[string]*http.Client{}}
}

// Limits of asking.
const (
	dialFor = time.Second
	askFor  = 5 * time.Second // one question that is answered at once
)

// Snapshot asks a region what a snapshot is.
func (p *Peers) Snapshot(ctx context.Context, of events.RegionInfo, a events.AccountID, id events.SnapshotID) (events.FarSnapshot, error) {
	var out events.FarSnapshot
	err := p.once(ctx, of, askSnapshot, snapshotOf{a, id}, &out)
	return out, err
}

// Image asks a region what an image is.
func (p *Peers) Image(ctx context.Context, of events.RegionInfo, a events.AccountID, id events.ImageID) (events.FarImage, error) {
	var out events.FarImage
	err := p.once(ctx, of, askImage, imageOf{a, id}, &out)
	return out, err
}

func (p *Peers) once(ctx context.Context, of events.RegionInfo, what string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	err := p.ask(ctx, of.Name, of.At, what, in, out)
	if _, isFault := events.AsFault(err); err != nil && !isFault {
		return fmt.Errorf("%w (%w)", events.Faultf("Unavailable", "The region '%s' cannot be asked now, and nothing was done. Please try again shortly.", of.Name), err)
	}
	return err
}

// ask has one of a region's voters answer, the first that can.
func (p *Peers) ask(ctx context.Context, to string, at []string, what string, in, out any) error {
	if len(at) == 0 {
		return fmt.Errorf("regions: nobody said where %s is asked", to)
	}
	var errs []error
	for _, place := range at {
		a, err := p.askAt(ctx, place, question{From: p.self, To: to, Nonce: nonce(), Time: time.Now().UTC(), What: what, Body: events.Encode(in)})
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", place, err))
			continue
		case a.Fault != nil && a.Fault.FaultCode == "Unavailable":
			errs = append(errs, fmt.Errorf("%s: %s", place, a.Fault.Message))
			continue
		case a.Fault != nil:
			return a.Fault
		}
		if err := events.Decode(a.Body, out); err != nil {
			return fmt.Errorf("regions: %s: the answer of %s to %s cannot be read: %w", place, to, what, err)
		}
		return nil
	}
	return fmt.Errorf("regions: %s: %w", to, errors.Join(errs...))
}

func nonce() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return b
}

func (p *Peers) askAt(ctx context.Context, place string, q question) (answer, error) {
	url := place
	if strings.HasPrefix(place, "unix:") {
		url = "http://region"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+Path, bytes.NewReader(p.seals.questions.Seal(events.Encode(q))))
	if err != nil {
		return answer{}, err
	}
	res, err := p.client(place).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s: %.200s", res.Status, b)
	}
	return p.seals.openAnswer(b, q)
}

// client is the one for a place: http://host:port, or unix:path.
func (p *Peers) client(place string) *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clients[place]; c != nil {
		return c
	}
	dialer := &net.Dialer{Timeout: dialFor}
	t := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
	if path, ok := strings.CutPrefix(place, "unix:"); ok {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	}
	c := &http.Client{Transport: t}
	p.clients[place] = c
	return c
}

// Close ends connections that nobody uses.
func (p *Peers) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.CloseIdleConnections()
	}
}
