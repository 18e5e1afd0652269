package page

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"skerry/events"
)

var (
	tokens  = New([]byte("0123456789abcdef"))
	listing = Listing{Account: "123456789012", Action: "DescribeInstances"}
)

func rows(from, to int) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for i := from; i < to; i++ {
			if !yield(fmt.Sprintf("i-%03d", i), i) {
				return
			}
		}
	}
}

func TestPages(t *testing.T) {
	var got []int
	var token *string
	n := int32(7)
	for pages := 1; ; pages++ {
		p, err := tokens.Open(listing, &n, token)
		if err != nil {
			t.Fatal(err)
		}
		part, next := Cut(p, rows(0, 21))
		got = append(got, part...)
		if token = next; token == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(got) != 21 || got[0] != 0 || got[20] != 20 {
		t.Error(got)
	}
}

// Rows that vanish or appear between pages neither break nor repeat.
func TestMovingRows(t *testing.T) {
	n := int32(5)
	p, _ := tokens.Open(listing, &n, nil)
	_, next := Cut(p, rows(10, 30)) // 10 to 14
	p, err := tokens.Open(listing, &n, next)
	if err != nil {
		t.Fatal(err)
	}
	part, _ := Cut(p, rows(0, 14))
	if len(part) != 0 {
		t.Error(part)
	}
	part, next = Cut(p, rows(5, 18))
	if fmt.Sprint(part) != "[15 16 17]" || next != nil {
		t.Error(part, next)
	}
}

func TestWholeListing(t *testing.T) {
	p, _ := tokens.Open(listing, nil, nil)
	if part, next := Cut(p, rows(0, 2000)); len(part) != 2000 || next != nil {
		t.Error(len(part), next)
	}
	l := listing
	l.Default = 100
	p, _ = tokens.Open(l, nil, nil)
	if part, next := Cut(p, rows(0, 2000)); len(part) != 100 || next == nil {
		t.Error(len(part), next)
	}
}

func TestRefuses(t *testing.T) {
	code := func(what string, err error, want string) {
		t.Helper()
		if f, ok := events.AsFault(err); !ok || f.Code() != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int32{-1, 0, 4, 1001} {
		_, err := tokens.Open(listing, &n, nil)
		code("size", err, "InvalidParameterValue")
	}
	p, _ := tokens.Open(listing, nil, nil)
	good := *p.Next("i-001")
	if _, err := tokens.Open(listing, nil, &good); err != nil {
		t.Fatal(err)
	}
	for what, l := range map[string]Listing{
		"account": {Account: "210987654321", Action: listing.Action},
		"action":  {Account: listing.Account, Action: "DescribeTags"},
	} {
		_, err := tokens.Open(l, nil, &good)
		code(what, err, "InvalidNextToken")
	}
	_, err := New([]byte("another key of 16")).Open(listing, nil, &good)
	code("key", err, "InvalidNextToken")
	for i := range good {
		bad := good[:i] + string(rune('A'+(good[i]+1)%26)) + good[i+1:]
		if bad == good {
			continue
		}
		_, err := tokens.Open(listing, nil, &bad)
		code("changed at "+fmt.Sprint(i), err, "InvalidNextToken")
	}
	for what, bad := range map[string]string{
		"a line end":   good[:9] + "\r\n" + good[9:],
		"a line after": good + "\n",
		"padding":      good + "=",
	} {
		_, err := tokens.Open(listing, nil, &bad)
		code(what, err, "InvalidNextToken")
	}
	long := strings.Repeat("A", maxToken+4)
	_, err = tokens.Open(listing, nil, &long)
	code("long", err, "InvalidNextToken")
}

// Only what was sealed opens, and only as it was sealed.
func FuzzToken(f *testing.F) {
	p, _ := tokens.Open(listing, nil, nil)
	f.Add(*p.Next("i-001"), "i-001")
	f.Add("", "")
	f.Add("AQ", "\x00")
	f.Fuzz(func(t *testing.T, token, key string) {
		if after, ok := tokens.open(listing, token); ok && tokens.seal(listing, after) != token {
			t.Fatalf("%q opens as %q", token, after)
		}
		if key == "" || len(key) > 1000 {
			return
		}
		if after, ok := tokens.open(listing, tokens.seal(listing, key)); !ok || after != key {
			t.Fatalf("%q came back as %q, %v", key, after, ok)
		}
	})
}
