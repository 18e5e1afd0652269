package reply

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"skerry/services/api/spread"
)

// TimeFormat is how EC2 writes times, always in UTC.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Body is a structure that appends its members, without an element of its own.
type Body interface {
	AppendXML(b []byte) []byte
}

func open(b []byte, name string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	return append(b, '>')
}

func shut(b []byte, name string) []byte {
	b = append(b, '<', '/')
	b = append(b, name...)
	return append(b, '>')
}

func empty(b []byte, name string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	return append(b, '/', '>')
}

// String appends an element of text.
func String(b []byte, name string, v *string) []byte {
	if v == nil {
		return b
	}
	return shut(Text(open(b, name), *v), name)
}

// Bool appends true or false.
func Bool(b []byte, name string, v *bool) []byte {
	if v == nil {
		return b
	}
	return shut(strconv.AppendBool(open(b, name), *v), name)
}

// Int32 appends a decimal.
func Int32(b []byte, name string, v *int32) []byte {
	if v == nil {
		return b
	}
	return shut(strconv.AppendInt(open(b, name), int64(*v), 10), name)
}

// Int64 appends a decimal.
func Int64(b []byte, name string, v *int64) []byte {
	if v == nil {
		return b
	}
	return shut(strconv.AppendInt(open(b, name), *v, 10), name)
}

// Float64 appends the shortest decimal without an exponent.
func Float64(b []byte, name string, v *float64) []byte {
	if v == nil {
		return b
	}
	return shut(strconv.AppendFloat(open(b, name), *v, 'f', -1, 64), name)
}

// Time appends a time as TimeFormat.
func Time(b []byte, name string, v *time.Time) []byte {
	if v == nil {
		return b
	}
	return shut(v.UTC().AppendFormat(open(b, name), TimeFormat), name)
}

// Struct appends a nested structure.
func Struct[T any, P interface {
	*T
	Body
}](b []byte, name string, v *T) []byte {
	if v == nil {
		return b
	}
	return shut(P(v).AppendXML(open(b, name)), name)
}

// List appends a list of structures, each in an element called item.
func List[T any, P interface {
	*T
	Body
}](b []byte, name, item string, v []T) []byte {
	if v == nil {
		return b
	}
	if len(v) == 0 {
		return empty(b, name)
	}
	b = open(b, name)
	if spread.Workers(len(v)) == 1 {
		for i := range v {
			b = shut(P(&v[i]).AppendXML(open(b, item)), item)
		}
		return shut(b, name)
	}
	for _, part := range spread.Shares(len(v), func(from, to int) *[]byte {
		part := parts.Get().(*[]byte)
		b := (*part)[:0]
		for i := from; i < to; i++ {
			b = shut(P(&v[i]).AppendXML(open(b, item)), item)
		}
		*part = b
		return part
	}) {
		b = append(b, *part...)
		parts.Put(part)
	}
	return shut(b, name)
}

// parts are what shares of a long list were written into.
var parts = sync.Pool{New: func() any { return new([]byte) }}

// Strings appends a list of text.
func Strings(b []byte, name, item string, v []string) []byte {
	if v == nil {
		return b
	}
	if len(v) == 0 {
		return empty(b, name)
	}
	b = open(b, name)
	for _, s := range v {
		b = shut(Text(open(b, item), s), item)
	}
	return shut(b, name)
}

// Int32s appends a list of decimals.
func Int32s(b []byte, name, item string, v []int32) []byte {
	if v == nil {
		return b
	}
	if len(v) == 0 {
		return empty(b, name)
	}
	b = open(b, name)
	for i := range v {
		b = Int32(b, item, &v[i])
	}
	return shut(b, name)
}

// Empty appends an empty list in place of an absent one: the lists at the top
// of a describe are always there.
func Empty(b []byte, name string, absent bool) []byte {
	if absent {
		return empty(b, name)
	}
	return b
}

// special marks the bytes that Text cannot copy as they are.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = c != '\t' && c != '\n'
	}
	for _, c := range "&<>" {
		t[c] = true
	}
	for c := 0x80; c < 0x100; c++ {
		t[c] = true
	}
	return t
}()

// Text appends character data (XML 1.0 section 2.4). A carriage return is
// escaped, since a reader would turn it into a line feed.
func Text(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if !special[c] {
			i++
			continue
		}
		size, with := 1, "\uFFFD"
		switch {
		case c == '&':
			with = "&amp;"
		case c == '<':
			with = "&lt;"
		case c == '>':
			with = "&gt;"
		case c == '\r':
			with = "&#xD;"
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || size > 1) && r != 0xFFFE && r != 0xFFFF {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = append(b, with...)
		i += size
		start = i
	}
	return append(b, s[start:]...)
}
