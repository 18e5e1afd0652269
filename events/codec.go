package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Inside Raft, history and snapshots values are CBOR in its core deterministic
// form (RFC 8949 section 4.2.1), so equal values are equal bytes on every
// voter. On the bus they are JSON. Both use the json field names.
var (
	enc = func() cbor.UserBufferEncMode {
		o := cbor.CoreDetEncOptions()
		o.Time = cbor.TimeRFC3339Nano
		// Addresses are text here as well: their binary form can hold what has no
		// text, and could not be told on the bus.
		o.BinaryMarshaler = cbor.BinaryMarshalerNone
		o.TextMarshaler = cbor.TextMarshalerTextString
		m, err := o.UserBufferEncMode()
		if err != nil {
			panic(err)
		}
		return m
	}()
	dec = func() cbor.DecMode {
		m, err := cbor.DecOptions{
			DupMapKey:         cbor.DupMapKeyEnforcedAPF,
			MaxNestedLevels:   32,
			MaxArrayElements:  1 << 20,
			MaxMapPairs:       1 << 16,
			IndefLength:       cbor.IndefLengthForbidden,
			TextUnmarshaler:   cbor.TextUnmarshalerTextString,
			BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
		}.DecMode()
		if err != nil {
			panic(err)
		}
		return m
	}()
)

// Encode is the compact form of a value.
func Encode(v any) []byte {
	b, err := enc.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("events: %T cannot be encoded: %v", v, err)) // our own types always can
	}
	return b
}

// AppendEncoded appends the compact form of a value.
func AppendEncoded(to []byte, v any) []byte {
	b := bytes.NewBuffer(to)
	if err := enc.MarshalToBuffer(v, b); err != nil {
		panic(fmt.Sprintf("events: %T cannot be encoded: %v", v, err))
	}
	return b.Bytes()
}

// Decode reads the compact form.
func Decode(b []byte, v any) error { return dec.Unmarshal(b, v) }

// registry maps type names to types, for commands or events.
type registry struct {
	what  string
	types map[string]reflect.Type
}

func (r *registry) add(v any) {
	t := reflect.TypeOf(v)
	if r.types[t.Name()] != nil {
		panic("events: " + r.what + " " + t.Name() + " registered twice")
	}
	r.types[t.Name()] = t
}

// decode returns a value (not a pointer) of the named type.
func (r *registry) decode(name string, body []byte, unmarshal func([]byte, any) error) (any, error) {
	t, ok := r.types[name]
	if !ok {
		return nil, fmt.Errorf("events: unknown %s %q", r.what, name)
	}
	p := reflect.New(t)
	if len(body) > 0 {
		if err := unmarshal(body, p.Interface()); err != nil {
			return nil, fmt.Errorf("events: %s %s: %w", r.what, name, err)
		}
	}
	if !told(p.Elem()) {
		return nil, fmt.Errorf("events: %s %s: %w", r.what, name, errTime)
	}
	return p.Elem().Interface(), nil
}

// Name is the type's name: RunInstances, InstanceStarted.
func Name(v any) string { return reflect.TypeOf(v).Name() }

// strictJSON refuses unknown fields, so that a person's typing error is told.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the value")
	}
	return nil
}

// told says whether every time in a value has a year that JSON can tell. CBOR
// knows times as numbers too, and those reach further.
func told(v reflect.Value) bool {
	if !timed(v.Type()) {
		return true
	}
	switch v.Kind() {
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.Year() >= 0 && t.Year() <= 9999
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !told(v.Field(i)) {
				return false
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if !told(v.Index(i)) {
				return false
			}
		}
	case reflect.Pointer:
		return v.IsNil() || told(v.Elem())
	}
	return true
}

// timed says whether a value of a type can hold a time.
func timed(t reflect.Type) bool {
	if known, ok := timedTypes.Load(t); ok {
		return known.(bool)
	}
	holds := false
	switch t.Kind() {
	case reflect.Struct:
		holds = t == reflect.TypeFor[time.Time]()
		for i := range t.NumField() {
			holds = holds || t.Field(i).IsExported() && timed(t.Field(i).Type)
		}
	case reflect.Slice, reflect.Pointer:
		holds = timed(t.Elem())
	}
	timedTypes.Store(t, holds)
	return holds
}

var timedTypes sync.Map // of reflect.Type

var errTime = errors.New("a time is before the year 0 or after 9999")
