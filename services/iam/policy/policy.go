// Package policy reads and evaluates the policies of users: the part of IAM's
// policy language that identity policies for EC2 need ("IAM JSON policy elements
// reference" and "Policy evaluation logic" in the IAM user guide).
//
//	Deny that matches ─▶ denied
//	else Allow that matches ─▶ allowed
//	else ─▶ denied
//
// What the language has and this package has not is refused when a policy is
// put, by name: a condition that is not understood must not be taken for true.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MaxBytes is how long a document may be ("IAM and AWS STS quotas").
const MaxBytes = 2048

// maxStatements bounds the work of an evaluation.
const maxStatements = 64

// Policy is a document that was read.
type Policy struct{ statements []statement }

type statement struct {
	deny       bool
	actions    []string
	notActions bool
	resources  []string
	notRes     bool
	conditions []condition
}

type condition struct {
	op       operator
	ifExists bool
	key      string // lower case
	values   []string
}

// Request is what is asked: one action on one resource. The names of keys are
// lower case.
type Request struct {
	Action   string // ec2:RunInstances
	Resource string // an ARN, or * when the action names none
	Keys     map[string][]string
}

// Verdict is what policies say.
type Verdict int

// Verdicts.
const (
	Unsaid Verdict = iota // no statement matches: it is denied
	Allowed
	Denied
)

// Evaluate holds a request against policies, deny first.
func Evaluate(policies []*Policy, r Request) Verdict {
	v := Unsaid
	for _, p := range policies {
		for _, s := range p.statements {
			if !s.matches(r) {
				continue
			}
			if s.deny {
				return Denied
			}
			v = Allowed
		}
	}
	return v
}

func (s *statement) matches(r Request) bool {
	action := slices.ContainsFunc(s.actions, func(p string) bool { return glob(strings.ToLower(p), strings.ToLower(r.Action)) })
	resource := slices.ContainsFunc(s.resources, func(p string) bool { return glob(p, r.Resource) })
	if action == s.notActions || resource == s.notRes {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(r.Keys[c.key]) {
			return false
		}
	}
	return true
}

// operator compares a key's value with a condition's.
type operator struct {
	match   func(have, want string) bool
	negated bool // holds when no value matches, and when the key is absent
}

var operators = map[string]operator{
	"StringEquals":              {func(a, b string) bool { return a == b }, false},
	"StringNotEquals":           {func(a, b string) bool { return a == b }, true},
	"StringEqualsIgnoreCase":    {strings.EqualFold, false},
	"StringNotEqualsIgnoreCase": {strings.EqualFold, true},
	"StringLike":                {func(a, b string) bool { return glob(b, a) }, false},
	"StringNotLike":             {func(a, b string) bool { return glob(b, a) }, true},
	"ArnEquals":                 {func(a, b string) bool { return glob(b, a) }, false},
	"ArnNotEquals":              {func(a, b string) bool { return glob(b, a) }, true},
	"ArnLike":                   {func(a, b string) bool { return glob(b, a) }, false},
	"ArnNotLike":                {func(a, b string) bool { return glob(b, a) }, true},
	"Bool":                      {strings.EqualFold, false},
	"IpAddress":                 {inside, false},
	"NotIpAddress":              {inside, true},
	"Null":                      {nil, false},
}

// inside says that an address is in a range.
func inside(have, want string) bool {
	a, err := netip.ParseAddr(have)
	if err != nil {
		return false
	}
	p, err := block(want)
	return err == nil && p.Contains(a.Unmap())
}

func block(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

func (c *condition) holds(have []string) bool {
	if c.op.match == nil { // Null: true when the key is absent
		return slices.Contains(c.values, strconv.FormatBool(len(have) == 0))
	}
	if len(have) == 0 {
		return c.ifExists || c.op.negated
	}
	for _, h := range have {
		for _, w := range c.values {
			if c.op.match(h, w) {
				return !c.op.negated
			}
		}
	}
	return c.op.negated
}

// glob matches * to any text and ? to one byte.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// list is one text or several.
type list []string

// UnmarshalJSON takes both forms.
func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = list{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("it must be a text or a list of texts")
	}
	*l = many
	return nil
}

// scalar is a condition's value: numbers and truth values are taken as text.
type scalars []string

// UnmarshalJSON takes one value or several.
func (l *scalars) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	many, ok := v.([]any)
	if !ok {
		many = []any{v}
	}
	for _, x := range many {
		switch x := x.(type) {
		case string:
			*l = append(*l, x)
		case bool:
			*l = append(*l, strconv.FormatBool(x))
		default:
			return fmt.Errorf("a condition's value must be text, true or false")
		}
	}
	return nil
}

// Parse reads a document. The error says what is wrong with it.
func Parse(document string) (*Policy, error) {
	if len(document) > MaxBytes {
		return nil, fmt.Errorf("it has %d bytes; at most %d are allowed", len(document), MaxBytes)
	}
	var doc struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	if err := strict([]byte(document), &doc); err != nil {
		return nil, err
	}
	if doc.Version != "2012-10-17" && doc.Version != "2008-10-17" && doc.Version != "" {
		return nil, fmt.Errorf("the Version %q is not known; use 2012-10-17", doc.Version)
	}
	raw := []json.RawMessage{doc.Statement}
	if t := bytes.TrimSpace(doc.Statement); len(t) == 0 {
		return nil, errors.New("it has no Statement")
	} else if t[0] == '[' {
		raw = nil
		if err := json.Unmarshal(t, &raw); err != nil {
			return nil, err
		}
	}
	if len(raw) == 0 || len(raw) > maxStatements {
		return nil, fmt.Errorf("it has %d statements; 1 to %d are allowed", len(raw), maxStatements)
	}
	p := &Policy{}
	for i, r := range raw {
		s, err := parseStatement(r)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func parseStatement(raw []byte) (statement, error) {
	var doc struct {
		Sid         string
		Effect      string
		Action      list
		NotAction   list
		Resource    list
		NotResource list
		Condition   map[string]map[string]scalars
	}
	var s statement
	if err := strict(raw, &doc); err != nil {
		return s, err
	}
	switch doc.Effect {
	case "Allow", "Deny":
		s.deny = doc.Effect == "Deny"
	default:
		return s, fmt.Errorf("the Effect is %q; it must be Allow or Deny", doc.Effect)
	}
	var err error
	if s.actions, s.notActions, err = either("Action", doc.Action, doc.NotAction); err != nil {
		return s, err
	}
	if s.resources, s.notRes, err = either("Resource", doc.Resource, doc.NotResource); err != nil {
		return s, err
	}
	for _, a := range s.actions {
		if service, _, ok := strings.Cut(a, ":"); a != "*" && (!ok || service == "") {
			return s, fmt.Errorf("the action %q must be * or SERVICE:ACTION", a)
		}
	}
	for _, name := range sorted(doc.Condition) {
		base, ifExists := strings.CutSuffix(name, "IfExists")
		op, ok := operators[base]
		if !ok || ifExists && base == "Null" {
			return s, fmt.Errorf("the condition operator %q is not known here", name)
		}
		for _, key := range sorted(doc.Condition[name]) {
			c := condition{op, ifExists, strings.ToLower(key), doc.Condition[name][key]}
			if !known(c.key) {
				return s, fmt.Errorf("the condition key %q is not known here", key)
			}
			for _, v := range c.values {
				if strings.HasSuffix(base, "IpAddress") {
					if _, err := block(v); err != nil {
						return s, fmt.Errorf("%q is not an address or a range of them", v)
					}
				}
				if strings.Contains(v, "${") {
					return s, fmt.Errorf("%q: policy variables are not known here", v)
				}
			}
			s.conditions = append(s.conditions, c)
		}
	}
	for _, r := range s.resources {
		if strings.Contains(r, "${") {
			return s, fmt.Errorf("%q: policy variables are not known here", r)
		}
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return s, fmt.Errorf("the resource %q must be * or an ARN", r)
		}
	}
	return s, nil
}

// known are the keys that a request has, or may have.
func known(key string) bool {
	switch key {
	case "ec2:region", "aws:requestedregion", "aws:sourceip", "aws:username", "aws:userid", "aws:principalaccount", "aws:securetransport":
		return true
	}
	return strings.HasPrefix(key, "ec2:resourcetag/") || strings.HasPrefix(key, "aws:resourcetag/")
}

func either(name string, is, not list) (list, bool, error) {
	switch {
	case len(is) > 0 && len(not) > 0:
		return nil, false, fmt.Errorf("it has both %s and Not%s", name, name)
	case len(is) > 0:
		return is, false, nil
	case len(not) > 0:
		return not, true, nil
	}
	return nil, false, fmt.Errorf("it has no %s", name)
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// strict refuses what is not understood.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the document")
	}
	return nil
}
