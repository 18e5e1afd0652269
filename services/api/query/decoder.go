package query

import (
	"encoding/base64"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"skerry/events"
)

// Value is a structure that reads its members from a decoder; package model
// has the generated ones.
type Value interface {
	DecodeQuery(*Decoder)
}

// Decoder hands the parameters below one name to the members of a structure.
// Absent members are left alone, so that a nil pointer means absent. The first
// fault stops everything that follows.
type Decoder struct {
	node  *node
	path  string // with a final dot, or empty
	fault **events.Fault
}

// Decode fills in and then refuses what no member took. Faults:
// MissingParameter, InvalidParameterValue, UnknownParameter.
func (f *Form) Decode(in Value) error {
	var fault *events.Fault
	in.DecodeQuery(&Decoder{node: &f.root, fault: &fault})
	if fault != nil {
		return fault
	}
	if name, ok := f.root.leftover(""); ok {
		return events.Faultf("UnknownParameter", "The parameter %s is not recognized", shown(name))
	}
	return nil
}

func (d *Decoder) fail(code, format string, args ...any) {
	if *d.fault == nil {
		*d.fault = events.Faultf(code, format, args...)
	}
}

func (d *Decoder) invalid(name, value, want string) {
	d.fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", shown(value), d.path+name, want)
}

// leaf takes the value called name.
func (d *Decoder) leaf(name string) (string, bool) {
	n := d.node.kids[name]
	if n == nil || !n.leaf || *d.fault != nil {
		return "", false
	}
	n.taken = true
	return n.value, true
}

// branch finds the children of name. An empty value stands for an empty
// structure or list, as some clients send it.
func (d *Decoder) branch(name, kind string) *node {
	n := d.node.kids[name]
	if n == nil || *d.fault != nil {
		return nil
	}
	if n.leaf {
		n.taken = true
		if n.value != "" {
			example := name + ".1"
			if kind == "structure" {
				example = name + ".Member"
			}
			d.fail("UnknownParameter", "The parameter %s is not recognized: %s is a %s, send %s%s=…", d.path+name, d.path+name, kind, d.path, example)
		}
		return nil
	}
	return n
}

// Require refuses a structure that lacks one of the named members.
func (d *Decoder) Require(names ...string) {
	for _, name := range names {
		n := d.node.kids[name]
		if n == nil || n.leaf && n.value == "" {
			d.fail("MissingParameter", "The request must contain the parameter %s", d.path+name)
			return
		}
	}
}

// String reads text.
func (d *Decoder) String(name string, p **string) {
	if s, ok := d.leaf(name); ok {
		*p = &s
	}
}

// Enum reads text that is one of the allowed words.
func (d *Decoder) Enum(name string, p **string, allowed []string) {
	s, ok := d.leaf(name)
	if !ok {
		return
	}
	for _, a := range allowed {
		if s == a {
			*p = &s
			return
		}
	}
	d.invalid(name, s, oneOf(allowed))
}

func oneOf(allowed []string) string {
	const most = 16
	if len(allowed) > most {
		return "Expected one of: " + strings.Join(allowed[:most], ", ") + ", …"
	}
	return "Expected one of: " + strings.Join(allowed, ", ") + "."
}

// Bool reads true or false (or 1 or 0).
func (d *Decoder) Bool(name string, p **bool) {
	s, ok := d.leaf(name)
	if !ok {
		return
	}
	var b bool
	switch {
	case s == "1" || strings.EqualFold(s, "true"):
		b = true
	case s == "0" || strings.EqualFold(s, "false"):
	default:
		d.invalid(name, s, "Expected true or false.")
		return
	}
	*p = &b
}

// Int32 reads a decimal integer of 32 bits.
func (d *Decoder) Int32(name string, p **int32) {
	if i, ok := d.integer(name, 32); ok {
		v := int32(i)
		*p = &v
	}
}

// Int64 reads a decimal integer of 64 bits.
func (d *Decoder) Int64(name string, p **int64) {
	if i, ok := d.integer(name, 64); ok {
		*p = &i
	}
}

func (d *Decoder) integer(name string, bits int) (int64, bool) {
	s, ok := d.leaf(name)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(s, 10, bits)
	if err != nil || s[0] == '+' {
		d.invalid(name, s, "Expected a whole number of "+strconv.Itoa(bits)+" bits.")
		return 0, false
	}
	return i, true
}

// Float64 reads a decimal number.
func (d *Decoder) Float64(name string, p **float64) {
	s, ok := d.leaf(name)
	if !ok {
		return
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		d.invalid(name, s, "Expected a number.")
		return
	}
	*p = &v
}

// Time reads an ISO 8601 time such as 2026-01-02T15:04:05.000Z, kept in UTC.
func (d *Decoder) Time(name string, p **time.Time) {
	s, ok := d.leaf(name)
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		d.invalid(name, s, "Expected a time such as 2026-01-02T15:04:05.000Z.")
		return
	}
	t = t.UTC()
	*p = &t
}

// Blob reads base64 (RFC 4648 section 4; line ends are ignored).
func (d *Decoder) Blob(name string, p *[]byte) {
	s, ok := d.leaf(name)
	if !ok {
		return
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		d.invalid(name, s, "Expected base64.")
		return
	}
	*p = b
}

// Struct reads a nested structure.
func Struct[T any, P interface {
	*T
	Value
}](d *Decoder, name string, p **T) {
	n := d.branch(name, "structure")
	if n == nil {
		return
	}
	v := new(T)
	P(v).DecodeQuery(&Decoder{node: n, path: d.path + name + ".", fault: d.fault})
	*p = v
}

// List reads a list of structures, ordered by their numbers.
func List[T any, P interface {
	*T
	Value
}](d *Decoder, name string, p *[]T) {
	keys := d.items(name)
	if keys == nil {
		return
	}
	list := d.node.kids[name]
	out := make([]T, 0, min(len(keys), 64))
	for _, k := range keys {
		n := list.kids[k]
		if n.leaf {
			if n.value != "" {
				d.fail("UnknownParameter", "The parameter %s is not recognized: it is a structure, send its members", d.path+name+"."+k)
				return
			}
			n.taken = true
		}
		var v T
		P(&v).DecodeQuery(&Decoder{node: n, path: d.path + name + "." + k + ".", fault: d.fault})
		if *d.fault != nil {
			return
		}
		out = append(out, v)
	}
	*p = out
}

// Strings reads a list of text, ordered by the items' numbers.
func (d *Decoder) Strings(name string, p *[]string) {
	d.words(name, p, nil)
}

// Enums reads a list of words, each of which must be allowed.
func (d *Decoder) Enums(name string, p *[]string, allowed []string) {
	d.words(name, p, allowed)
}

func (d *Decoder) words(name string, p *[]string, allowed []string) {
	keys := d.items(name)
	if keys == nil {
		return
	}
	list := d.node.kids[name]
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		n := list.kids[k]
		if !n.leaf {
			continue // its leaves are left over, and answered as unknown
		}
		n.taken = true
		if allowed != nil && !contains(allowed, n.value) {
			d.invalid(name+"."+k, n.value, oneOf(allowed))
			return
		}
		out = append(out, n.value)
	}
	*p = out
}

// Int32s reads a list of decimal integers, ordered by the items' numbers.
func (d *Decoder) Int32s(name string, p *[]int32) {
	keys := d.items(name)
	if keys == nil {
		return
	}
	list := &Decoder{node: d.node.kids[name], path: d.path + name + ".", fault: d.fault}
	out := make([]int32, 0, len(keys))
	for _, k := range keys {
		if i, ok := list.integer(k, 32); ok {
			out = append(out, int32(i))
		}
	}
	*p = out
}

// items returns the numbers of a list's items, in order, or nil.
func (d *Decoder) items(name string) []string {
	n := d.branch(name, "list")
	if n == nil {
		return nil
	}
	if len(n.kids) > MaxItems {
		d.fail("InvalidParameterValue", "The list %s has %d items; a request may have %d.", d.path+name, len(n.kids), MaxItems)
		return nil
	}
	keys := make([]string, 0, len(n.kids))
	for k := range n.kids {
		if !number(k) {
			d.fail("UnknownParameter", "The parameter %s is not recognized: the items of %s are numbered from 1", shown(d.path+name+"."+k), d.path+name)
			return nil
		}
		keys = append(keys, k)
	}
	// Canonical decimals compare by length first.
	sort.Slice(keys, func(i, j int) bool {
		if len(keys[i]) != len(keys[j]) {
			return len(keys[i]) < len(keys[j])
		}
		return keys[i] < keys[j]
	})
	return keys
}

// number tells a positive decimal without leading zeros of at most 10 digits.
func number(s string) bool {
	if len(s) > 10 || s[0] == '0' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
