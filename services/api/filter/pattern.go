package filter

import "unicode/utf8"

// pattern is one value of a filter, with its escapes undone.
type pattern struct {
	plain  string // when there is no wildcard
	steps  []step // otherwise
	simple bool
}

// step is one character, or a wildcard.
type step struct {
	kind stepKind
	r    rune
}

type stepKind uint8

const (
	char stepKind = iota
	one           // ?
	many          // *
)

// parse reads a value. A backslash at the end stands for itself.
func parse(s string) pattern {
	var steps []step
	var plain []rune
	simple := true
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		kind := char
		switch {
		case r == '\\' && i < len(s):
			r, size = utf8.DecodeRuneInString(s[i:])
			i += size
		case r == '*':
			kind = many
		case r == '?':
			kind = one
		}
		if kind == many && len(steps) > 0 && steps[len(steps)-1].kind == many {
			continue
		}
		simple = simple && kind == char
		steps = append(steps, step{kind, r})
		plain = append(plain, r)
	}
	if simple {
		return pattern{plain: string(plain), simple: true}
	}
	return pattern{steps: steps}
}

// match holds a text against the pattern. On a mismatch only the latest star
// takes one character more: going further back can never help.
func (p pattern) match(s string) bool {
	if p.simple {
		return p.plain == s
	}
	at, i := 0, 0         // in the steps, in the text
	star, resume := -1, 0 // the latest star, and where its rest was tried
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case at < len(p.steps) && p.steps[at].kind == many:
			star, resume = at, i
			at++
		case at < len(p.steps) && (p.steps[at].kind == one || p.steps[at].r == r):
			at++
			i += size
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(s[resume:])
			resume += skip
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(p.steps) && p.steps[at].kind == many {
		at++
	}
	return at == len(p.steps)
}
