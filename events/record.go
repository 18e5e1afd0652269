package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Event is something that happened. Its type name is the past-tense verb.
type Event interface {
	// About says of whom: the subject's words after the region.
	About() About
}

// About places an event in the subject tree:
// sk.ev.<region>.<zone|->.<service>.<kind>.<id>.<verb>.
type About struct {
	Zone    Zone
	Service string
	Kind    string
	ID      string
	Verb    string
}

// Hash is a SHA-256.
type Hash [32]byte

// MarshalText writes hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads hex.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash has %d hex digits, not %d", hex.EncodedLen(len(h)), len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Record is an event in its place in the region's history. Numbers have no
// gaps; Prev is the Hash of the record before, so that two histories that
// agree on one record agree on everything before it.
//
//	n-1            n              n+1
//	┌──────────┐   ┌──────────┐   ┌──────────┐
//	│ …        │◀──│ prev     │◀──│ prev     │
//	└──────────┘   │ cause …  │   └──────────┘
//	               │ event    │
//	               └──────────┘
type Record struct {
	N       uint64
	Prev    Hash
	Time    time.Time
	Cause   CommandID
	Request string
	Actor   string
	Account AccountID
	Call    Call // of the first event of a call
	Event   Event

	Hash Hash // of the encoded record without itself
}

// wireRecord is a record in history.
type wireRecord struct {
	N       uint64    `json:"n"`
	Prev    []byte    `json:"p"`
	Time    time.Time `json:"t"`
	Cause   CommandID `json:"c"`
	Request string    `json:"r,omitempty"`
	Actor   string    `json:"a"`
	Account AccountID `json:"o,omitempty"`
	Name    string    `json:"e"`
	Body    []byte    `json:"b"`
	Call    Call      `json:"k,omitzero"`
}

var kinds = registry{"event", map[string]reflect.Type{}}

// Encode is the history's form of a record. Its SHA-256 is the record's Hash.
func (r Record) Encode() []byte {
	return Encode(wireRecord{r.N, r.Prev[:], r.Time, r.Cause, r.Request, r.Actor, r.Account, Name(r.Event), Encode(r.Event), r.Call})
}

// DecodeRecord reads the history's form.
func DecodeRecord(b []byte) (Record, error) {
	var w wireRecord
	if err := Decode(b, &w); err != nil {
		return Record{}, fmt.Errorf("events: record: %w", err)
	}
	if !told(reflect.ValueOf(w.Time)) {
		return Record{}, fmt.Errorf("events: record: %w", errTime)
	}
	e, err := kinds.decode(w.Name, w.Body, Decode)
	if err != nil {
		return Record{}, err
	}
	r := Record{N: w.N, Time: w.Time, Cause: w.Cause, Request: w.Request, Actor: w.Actor, Account: w.Account, Call: w.Call, Event: e.(Event), Hash: sha256.Sum256(b)}
	if copy(r.Prev[:], w.Prev) != len(r.Prev) || len(w.Prev) != len(r.Prev) {
		return Record{}, fmt.Errorf("events: record %d: prev has %d bytes, not 32", w.N, len(w.Prev))
	}
	return r, nil
}

// Envelope is a record on the bus: CloudEvents 1.0 names (CloudEvents
// specification, "Context Attributes") plus ours.
type Envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`      // <region>.<n>
	Source          string          `json:"source"`  // /skerry/<region>
	Type            string          `json:"type"`    // InstanceStarted
	Subject         string          `json:"subject"` // instance/i-…
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Sequence        string          `json:"sequence"` // the event number, as the sequence extension wants it: a string
	CausationID     CommandID       `json:"causationid"`
	CorrelationID   string          `json:"correlationid,omitempty"`
	Actor           string          `json:"actor"`
	Account         AccountID       `json:"account,omitempty"`
	Schema          string          `json:"schema"` // v1
	Prev            Hash            `json:"prev"`
	Hash            Hash            `json:"hash"`
	Action          string          `json:"action,omitempty"` // of the call that the event is the first of, as the four below
	AccessKey       string          `json:"accesskey,omitempty"`
	SourceIP        string          `json:"sourceip,omitempty"`
	Agent           string          `json:"agent,omitempty"`
	Parameters      string          `json:"parameters,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// JSON is the record's payload on the bus: one line.
func (r Record) JSON(region string) []byte {
	a := r.Event.About()
	return jsonBody(Envelope{
		SpecVersion: "1.0", ID: region + "." + strconv.FormatUint(r.N, 10), Source: "/skerry/" + region,
		Type: Name(r.Event), Subject: a.Kind + "/" + a.ID, Time: r.Time, DataContentType: "application/json",
		Sequence: strconv.FormatUint(r.N, 10), CausationID: r.Cause, CorrelationID: r.Request, Actor: r.Actor,
		Account: r.Account, Schema: "v1", Prev: r.Prev, Hash: r.Hash,
		Action: r.Call.Action, AccessKey: r.Call.AccessKey, SourceIP: r.Call.Source, Agent: r.Call.Agent, Parameters: r.Call.Parameters, Data: jsonBody(r.Event),
	})
}

// MarshalJSON writes the envelope without a region's name, for replies.
func (r Record) MarshalJSON() ([]byte, error) { return r.JSON("-"), nil }

// UnmarshalJSON reads an envelope.
func (r *Record) UnmarshalJSON(b []byte) error {
	v, err := DecodeEnvelope(b)
	if err == nil {
		*r = v
	}
	return err
}

// DecodeEnvelope reads a payload of the bus. Unknown fields are skipped: an
// older consumer reads what it knows.
func DecodeEnvelope(b []byte) (Record, error) {
	var v Envelope
	if err := json.Unmarshal(b, &v); err != nil {
		return Record{}, fmt.Errorf("events: envelope: %w", err)
	}
	n, err := strconv.ParseUint(v.Sequence, 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("events: envelope: sequence %q is not a number", v.Sequence)
	}
	e, err := kinds.decode(v.Type, v.Data, json.Unmarshal)
	if err != nil {
		return Record{}, err
	}
	return Record{N: n, Prev: v.Prev, Time: v.Time, Cause: v.CausationID, Request: v.CorrelationID,
		Actor: v.Actor, Account: v.Account, Event: e.(Event), Hash: v.Hash,
		Call: Call{v.Action, v.AccessKey, v.SourceIP, v.Agent, v.Parameters}}, nil
}

// Line prints an event for people: its name, then its fields as compact JSON.
func Line(e Event) string {
	b := jsonBody(e)
	if bytes.Equal(b, []byte("{}")) {
		return Name(e)
	}
	return Name(e) + " " + string(b)
}

// Kinds lists a zero value of every event, by name.
func Kinds() []Event {
	var out []Event
	for _, t := range kinds.types {
		out = append(out, reflect.Zero(t).Interface().(Event))
	}
	slices.SortFunc(out, func(a, b Event) int {
		if Name(a) < Name(b) {
			return -1
		}
		return 1
	})
	return out
}
