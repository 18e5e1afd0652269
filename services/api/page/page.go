// Package page cuts an ordered listing into pages: MaxResults and NextToken
// ("Pagination" in the EC2 API Reference).
//
//	token = base64url( 1 | last key | first 16 bytes of HMAC-SHA256(key, 1 | account 0 action 0 last key) )
//
// A token is a position, the key of the last row shown, and not a cursor that
// somebody must keep: rows that come and go between two pages neither break it
// nor repeat. It cannot be made up, changed, or used by another account or for
// another action. Every door of a region gets the same key, so a token is good
// at all of them.
package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"iter"

	"skerry/events"
)

const (
	version  = 1
	macSize  = 16
	maxToken = 2048 // characters of a token
	keySize  = 16   // least bytes of the HMAC key
)

// Tokens makes and reads the tokens of a region.
type Tokens struct {
	key []byte
}

// New takes the region's token key, of at least 16 bytes.
func New(key []byte) Tokens {
	if len(key) < keySize {
		panic("page: the token key is too short")
	}
	return Tokens{key: append([]byte(nil), key...)}
}

// Listing says what is listed, and how long a page may be.
type Listing struct {
	Account, Action string
	Min, Max        int32 // of MaxResults; zero stands for 5 and 1000
	Default         int   // rows without MaxResults; zero for all of them
}

// Page is the part of a listing that a request asks for.
type Page struct {
	After string // rows with greater keys only
	Limit int    // at most so many; zero for all

	tokens  Tokens
	listing Listing
}

// Open reads MaxResults and NextToken. Faults: InvalidParameterValue,
// InvalidNextToken.
func (t Tokens) Open(l Listing, maxResults *int32, nextToken *string) (Page, error) {
	if l.Min == 0 {
		l.Min = 5
	}
	if l.Max == 0 {
		l.Max = 1000
	}
	p := Page{Limit: l.Default, tokens: t, listing: l}
	if maxResults != nil {
		n := *maxResults
		if n < l.Min || n > l.Max {
			return Page{}, events.Faultf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", n, l.Min, l.Max)
		}
		p.Limit = int(n)
	}
	if nextToken != nil && *nextToken != "" {
		after, ok := t.open(l, *nextToken)
		if !ok {
			return Page{}, events.Faultf("InvalidNextToken", "The NextToken is not one that %s returned to this account: list from the start.", l.Action)
		}
		p.After = after
	}
	return p, nil
}

// Next is the token for what comes after a row.
func (p Page) Next(lastKey string) *string {
	s := p.tokens.seal(p.listing, lastKey)
	return &s
}

// Cut takes a page from rows in the order of their keys. It skips keys up to
// After, which a caller who can seek has left out already, and returns a token
// only if another row follows.
func Cut[T any](p Page, rows iter.Seq2[string, T]) (out []T, next *string) {
	out = []T{}
	last := ""
	for key, row := range rows {
		if p.After != "" && key <= p.After {
			continue
		}
		if p.Limit > 0 && len(out) == p.Limit {
			return out, p.Next(last)
		}
		out = append(out, row)
		last = key
	}
	return out, nil
}

func (t Tokens) mac(l Listing, key string) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte{version})
	for _, s := range []string{l.Account, l.Action} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write([]byte(key))
	return h.Sum(nil)[:macSize]
}

func (t Tokens) seal(l Listing, key string) string {
	b := append([]byte{version}, key...)
	return base64.RawURLEncoding.EncodeToString(append(b, t.mac(l, key)...))
}

func (t Tokens) open(l Listing, token string) (key string, ok bool) {
	if len(token) > maxToken {
		return "", false
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= 1+macSize || b[0] != version {
		return "", false
	}
	// Sealing again is the whole check: decoders of base64 pass over line ends
	// and spare bits, and a token is good only as it was sealed.
	key = string(b[1 : len(b)-macSize])
	return key, hmac.Equal([]byte(t.seal(l, key)), []byte(token))
}
