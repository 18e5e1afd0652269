// Package filter is the Filter parameter of every describe action ("List and
// filter using the CLI and API" in the EC2 user guide).
//
//	Filter.1.Name=instance-state-name  Filter.1.Value.1=running   any value of a filter
//	Filter.2.Name=tag:Name             Filter.2.Value.1=web-*     every filter
//
// Values are case-sensitive; * stands for any text, ? for one character, and a
// backslash takes the meaning from the character after it. An action declares
// its filters as functions from a row to that row's values; tag:KEY, tag-key
// and tag-value come with any row that has tags. Matching is linear in the
// length of the text times the number of stars, and never recurses.
package filter

import (
	"strings"
	"unicode/utf8"

	"skerry/events"
	"skerry/services/api/model"
)

// Limits of one request ("FilterLimitExceeded").
const (
	MaxFilters = 50
	MaxValues  = 200 // of all filters together
	maxValue   = 1024
)

// Fields declares the filters of an action: for each name, the values a row
// has. A row matches a filter if one of its values matches one of the filter's.
type Fields[R any] map[string]func(R) []string

// Filter is a compiled list of filters.
type Filter[R any] struct {
	terms []term[R]
}

type term[R any] struct {
	values   func(R) []string
	patterns []pattern
}

// Compile checks filters against what an action declares. Tags returns a row's
// tags, or is nil when rows have none. Faults: InvalidParameterValue,
// FilterLimitExceeded.
func Compile[R any](filters []model.Filter, fields Fields[R], tags func(R) map[string]string) (Filter[R], error) {
	var out Filter[R]
	if len(filters) > MaxFilters {
		return out, events.Faultf("FilterLimitExceeded", "The request has %d filters; at most %d are allowed.", len(filters), MaxFilters)
	}
	values := 0
	for _, f := range filters {
		if f.Name == nil || *f.Name == "" {
			return out, events.Faultf("InvalidParameterValue", "A filter has no name: send Filter.N.Name")
		}
		name := *f.Name
		get := fields[name]
		if get == nil && tags != nil {
			get = tagField(name, tags)
		}
		if get == nil {
			return out, events.Faultf("InvalidParameterValue", "The filter '%s' is invalid", cut(name))
		}
		if len(f.Values) == 0 {
			return out, events.Faultf("InvalidParameterValue", "The filter '%s' has no values: send Filter.N.Value.M", cut(name))
		}
		if values += len(f.Values); values > MaxValues {
			return out, events.Faultf("FilterLimitExceeded", "The request has more than %d filter values.", MaxValues)
		}
		t := term[R]{values: get, patterns: make([]pattern, 0, len(f.Values))}
		for _, v := range f.Values {
			if len(v) > maxValue {
				return out, events.Faultf("InvalidParameterValue", "A value of the filter '%s' is longer than %d bytes", cut(name), maxValue)
			}
			t.patterns = append(t.patterns, parse(v))
		}
		out.terms = append(out.terms, t)
	}
	return out, nil
}

// OnTags tells whether a filter asks for tags alone.
func OnTags(name string) bool {
	return tagField(name, func(struct{}) map[string]string { return nil }) != nil
}

// Tagged reads a filter that asks for a tag by its key and whole values.
func Tagged(f model.Filter) (key string, values []string, ok bool) {
	if f.Name == nil {
		return "", nil, false
	}
	if key, ok = tagNamed(*f.Name); !ok {
		return "", nil, false
	}
	for _, v := range f.Values {
		p := parse(v)
		if !p.simple {
			return "", nil, false
		}
		values = append(values, p.plain)
	}
	return key, values, true
}

// tagNamed is the key of a filter named tag:KEY.
func tagNamed(filter string) (key string, ok bool) {
	key, ok = strings.CutPrefix(filter, "tag:")
	return key, ok && key != ""
}

// tagField is the filter on a tag, or nil.
func tagField[R any](name string, tags func(R) map[string]string) func(R) []string {
	switch {
	case name == "tag-key":
		return func(r R) (keys []string) {
			for k := range tags(r) {
				keys = append(keys, k)
			}
			return keys
		}
	case name == "tag-value":
		return func(r R) (values []string) {
			for _, v := range tags(r) {
				values = append(values, v)
			}
			return values
		}
	}
	if key, ok := tagNamed(name); ok {
		return func(r R) []string {
			if v, ok := tags(r)[key]; ok {
				return []string{v}
			}
			return nil
		}
	}
	return nil
}

// Match tells whether a row passes every filter.
func (f Filter[R]) Match(row R) bool {
	for _, t := range f.terms {
		if !t.match(row) {
			return false
		}
	}
	return true
}

func (t term[R]) match(row R) bool {
	for _, v := range t.values(row) {
		for _, p := range t.patterns {
			if p.match(v) {
				return true
			}
		}
	}
	return false
}

func cut(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
