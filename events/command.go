package events

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Command asks the region to decide something. Its type name is the verb.
type Command interface {
	// Service is the room of the control plane that decides it: it is the
	// third word of the command's subject.
	Service() string
}

// Stamp says who asked, when, and what a decision may use instead of clock and
// dice. The door writes all but Time; the leader writes Time.
type Stamp struct {
	ID          CommandID `json:"id"`
	Actor       string    `json:"actor"`                 // arn of a user, node:<host>/<kind>, or operator
	Account     AccountID `json:"account,omitempty"`     // empty for the region's own
	ClientToken string    `json:"clientToken,omitempty"` // "Ensuring idempotency" in the EC2 API reference
	Request     string    `json:"request,omitempty"`     // request id of the API call, travels to node logs
	Seed        Seed      `json:"seed"`
	Version     int       `json:"version"`          // of the command's schema, 1 unless raised with a feature level
	Expires     time.Time `json:"expires,omitzero"` // region time after which it must not act
	Time        time.Time `json:"time"`             // region time, strictly increasing along the log
	Call        Call      `json:"call,omitzero"`    // the call of the API that it comes from
}

// Call is a call of the API as an audit tells it.
type Call struct {
	Action     string `json:"action"`               // RunInstances
	AccessKey  string `json:"accessKey,omitempty"`  // id of the key that signed
	Source     string `json:"source,omitempty"`     // address of the caller
	Agent      string `json:"agent,omitempty"`      // program of the caller, as it says
	Parameters string `json:"parameters,omitempty"` // a JSON object, without secrets; empty when they are too long
}

// Stamped is a command as the log holds it.
type Stamped struct {
	Stamp   Stamp
	Command Command
}

// Reply is the region's answer: the events that the command made, or a fault.
// The same command id gets the same reply for KeepCommands.
type Reply struct {
	First  uint64   `json:"first,omitempty"` // number of the first event, 0 when there is none
	Last   uint64   `json:"last,omitempty"`  // number of the last event
	N      uint64   `json:"n"`               // event number of the state after the command
	Fault  *Fault   `json:"fault,omitempty"`
	Events []Record `json:"events,omitempty"`
}

var commands = registry{"command", map[string]reflect.Type{}}

// Commands lists a zero value of every command, by name.
func Commands() []Command {
	var out []Command
	for _, t := range commands.types {
		out = append(out, reflect.Zero(t).Interface().(Command))
	}
	slices.SortFunc(out, func(a, b Command) int {
		if Name(a) < Name(b) {
			return -1
		}
		return 1
	})
	return out
}

// wireStamped is a command in the log.
type wireStamped struct {
	Stamp Stamp  `json:"s"`
	Name  string `json:"c"`
	Body  []byte `json:"b"`
}

// Encode is the log's form of a command.
func (s Stamped) Encode() []byte {
	return Encode(wireStamped{s.Stamp, Name(s.Command), Encode(s.Command)})
}

// DecodeStamped reads the log's form.
func DecodeStamped(b []byte) (Stamped, error) {
	var w wireStamped
	if err := Decode(b, &w); err != nil {
		return Stamped{}, fmt.Errorf("events: command: %w", err)
	}
	if !told(reflect.ValueOf(w.Stamp)) {
		return Stamped{}, fmt.Errorf("events: command: %w", errTime)
	}
	c, err := commands.decode(w.Name, w.Body, Decode)
	if err != nil {
		return Stamped{}, err
	}
	return Stamped{w.Stamp, c.(Command)}, nil
}

// DecodeCommandJSON reads a command as it comes over the bus: its name from the
// subject, its body strict JSON.
func DecodeCommandJSON(name string, body []byte) (Command, error) {
	c, err := commands.decode(name, body, strictJSON)
	if err != nil {
		return nil, err
	}
	return c.(Command), nil
}

// CommandBytes is a canonical form of a command's parameters, for comparing
// two calls that carry the same client token.
func CommandBytes(c Command) []byte { return append([]byte(Name(c)+"\x00"), Encode(c)...) }

// jsonBody marshals a value of ours.
func jsonBody(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("events: %T cannot be marshalled: %v", v, err))
	}
	return b
}
