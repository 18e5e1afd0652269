package query

import (
	"iter"
	"sort"
	"strings"
	"unicode/utf8"

	"skerry/events"
)

// Limits of one request. All of them are far above what a stock client sends.
const (
	MaxBody       = 10 << 20 // bytes of a request's body
	MaxParameters = 20_000   // name=value pairs
	MaxDepth      = 12       // dots in a parameter's name, plus one
	MaxName       = 512      // bytes of a parameter's name
	MaxItems      = 10_000   // items of one list
	shownValue    = 64       // bytes of a refused value that an error repeats
)

// Form is the tree of one request's parameters.
type Form struct {
	root node
}

// node is one name between dots: a leaf with a value, or a branch with
// children. It is taken once some member has read it.
type node struct {
	value string
	leaf  bool
	taken bool
	kids  map[string]*node
}

// Parse reads one or more application/x-www-form-urlencoded texts (the query of
// the URL and the body) into one form. A name may appear only once in all of
// them together. Faults: MalformedQueryString, InvalidCharacter.
func Parse(texts ...string) (*Form, error) {
	f := &Form{}
	count := 0
	for _, text := range texts {
		for text != "" {
			var pair string
			pair, text, _ = strings.Cut(text, "&")
			if pair == "" {
				continue
			}
			if count++; count > MaxParameters {
				return nil, events.Faultf("MalformedQueryString", "The request has more than %d parameters.", MaxParameters)
			}
			if err := f.add(pair); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// Values walks the values of all parameters, in no order.
func (f *Form) Values() iter.Seq[string] {
	return func(yield func(string) bool) { f.root.values(yield) }
}

func (n *node) values(yield func(string) bool) bool {
	if n.leaf && !yield(n.value) {
		return false
	}
	for _, kid := range n.kids {
		if !kid.values(yield) {
			return false
		}
	}
	return true
}

// Left walks the parameters that nothing has taken yet, in no order.
func (f *Form) Left() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) { f.root.left("", yield) }
}

func (n *node) left(name string, yield func(name, value string) bool) bool {
	if n.leaf && !n.taken && !yield(name, n.value) {
		return false
	}
	for step, kid := range n.kids {
		full := step
		if name != "" {
			full = name + "." + step
		}
		if !kid.left(full, yield) {
			return false
		}
	}
	return true
}

func (f *Form) add(pair string) error {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	if len(rawName) > 3*MaxName {
		return events.Faultf("MalformedQueryString", "A parameter name is longer than %d bytes: it begins with %q.", MaxName, shown(rawName))
	}
	name, ok := unescape(rawName)
	if !ok {
		return events.Faultf("MalformedQueryString", "The parameter name %q has a bad percent escape.", shown(rawName))
	}
	value, ok := unescape(rawValue)
	if !ok {
		return events.Faultf("MalformedQueryString", "The value of parameter %q has a bad percent escape.", shown(name))
	}
	switch {
	case name == "":
		return events.Faultf("MalformedQueryString", "The request has a parameter without a name (value %q).", shown(value))
	case len(name) > MaxName:
		return events.Faultf("MalformedQueryString", "A parameter name is longer than %d bytes: it begins with %q.", MaxName, shown(name))
	case !utf8.ValidString(name):
		return events.Faultf("MalformedQueryString", "The parameter name %q is not valid UTF-8.", shown(name))
	case !utf8.ValidString(value):
		return events.Faultf("MalformedQueryString", "The value of parameter %q is not valid UTF-8.", name)
	}
	if r, bad := unprintable(name); bad {
		return events.Faultf("InvalidCharacter", "The parameter name %q has the character %U, which no reply can carry.", shown(name), r)
	}
	if r, bad := unprintable(value); bad {
		return events.Faultf("InvalidCharacter", "The value of parameter %q has the character %U, which no reply can carry.", name, r)
	}

	n := &f.root
	for depth, rest := 1, name; ; depth++ {
		if depth > MaxDepth {
			return events.Faultf("MalformedQueryString", "The parameter %q is nested deeper than %d levels.", shown(name), MaxDepth)
		}
		step, more, branch := strings.Cut(rest, ".")
		if step == "" {
			return events.Faultf("MalformedQueryString", "The parameter name %q has an empty part.", shown(name))
		}
		kid := n.kids[step]
		if kid == nil {
			if n.kids == nil {
				n.kids = make(map[string]*node)
			}
			kid = &node{}
			n.kids[step] = kid
		}
		if !branch {
			if kid.leaf {
				return events.Faultf("MalformedQueryString", "The parameter %q is given more than once.", name)
			}
			if kid.kids != nil {
				return events.Faultf("MalformedQueryString", "The parameter %q is given both as a value and as a structure.", name)
			}
			kid.value, kid.leaf = value, true
			return nil
		}
		if kid.leaf {
			return events.Faultf("MalformedQueryString", "The parameter %q is given both as a value and as a structure.", strings.TrimSuffix(name, "."+more))
		}
		n, rest = kid, more
	}
}

// Take returns the value of a top-level parameter that belongs to the protocol
// rather than to the action, such as Action or Version, and marks it as known.
func (f *Form) Take(name string) (value string, ok bool) {
	n := f.root.kids[name]
	if n == nil || !n.leaf {
		return "", false
	}
	n.taken = true
	return n.value, true
}

// unescape undoes percent escapes and turns + into a space.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unprintable finds a character that XML 1.0 cannot carry (section 2.2, Char).
func unprintable(s string) (rune, bool) {
	for _, r := range s {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return r, true
		}
	}
	return 0, false
}

// shown cuts a refused text to what an error may repeat.
func shown(s string) string {
	if len(s) <= shownValue {
		return s
	}
	cut := shownValue
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// leftover returns the first name, in order, that nothing took.
func (n *node) leftover(prefix string) (string, bool) {
	if n.leaf {
		return prefix, !n.taken
	}
	names := make([]string, 0, len(n.kids))
	for name := range n.kids {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		full := name
		if prefix != "" {
			full = prefix + "." + name
		}
		if left, ok := n.kids[name].leftover(full); ok {
			return left, true
		}
	}
	return "", false
}
