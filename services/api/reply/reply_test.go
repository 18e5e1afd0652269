package reply

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

type sayYes struct{}

func (sayYes) AppendXML(b []byte) []byte { return append(b, "<Yes>1</Yes>"...) }

func TestEnvelopes(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{Result(nil, EC2, "DescribeX", "2014-10-01", "r", sayYes{}),
			`<DescribeXResponse xmlns="http://ec2.amazonaws.com/doc/2014-10-01/"><requestId>r</requestId><Yes>1</Yes></DescribeXResponse>`},
		{Result(nil, STS, "GetX", "2011-06-15", "r", sayYes{}),
			`<GetXResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetXResult><Yes>1</Yes></GetXResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetXResponse>`},
		{Fault(nil, EC2, "InvalidX", "a < b", "r"),
			`<Response><Errors><Error><Code>InvalidX</Code><Message>a &lt; b</Message></Error></Errors><RequestID>r</RequestID></Response>`},
		{Fault(nil, STS, "InvalidX", "no", "r"),
			`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>InvalidX</Code><Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>`},
		{Fault(nil, STS, "InternalError", "no", "r"),
			`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Receiver</Type><Code>InternalError</Code><Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>`},
	} {
		if got, want := string(c.got), `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+c.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[string]int{
		"AuthFailure":                       http.StatusUnauthorized,
		"UnauthorizedOperation":             http.StatusForbidden,
		"DryRunOperation":                   http.StatusPreconditionFailed,
		"InternalError":                     http.StatusInternalServerError,
		"InsufficientInstanceCapacity":      http.StatusInternalServerError,
		"RequestLimitExceeded":              http.StatusServiceUnavailable,
		"Unavailable":                       http.StatusServiceUnavailable,
		"InvalidInstanceID.NotFound":        http.StatusBadRequest,
		"InsufficientFreeAddressesInSubnet": http.StatusBadRequest,
	} {
		if got := Status(EC2, code); got != want {
			t.Errorf("%s: %d", code, got)
		}
	}
}

// Any text is well-formed XML, and comes back as it was, but for what XML
// cannot carry.
func FuzzText(f *testing.F) {
	f.Add("a<b>&c\r\n\t\"'")
	f.Add("\x00\xff\ufffe漢")
	f.Fuzz(func(t *testing.T, s string) {
		text := Text(nil, s)
		var got string
		if err := xml.Unmarshal([]byte("<a>"+string(text)+"</a>"), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var wide strings.Builder
		for _, r := range s { // one replacement for each bad byte, as Map does
			if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
				r = utf8.RuneError
			}
			wide.WriteRune(r)
		}
		if got != wide.String() {
			t.Fatalf("%q came back as %q, want %q", s, got, wide.String())
		}
	})
}

type numbered struct{ n int }

func (x *numbered) AppendXML(b []byte) []byte { return String(b, "n", new(strconv.Itoa(x.n))) }

// A long list is written in shares, and reads as if it had not been.
func TestLongList(t *testing.T) {
	for _, n := range []int{1, 100, 1000, 1001} {
		list, want := make([]numbered, n), "before<set>"
		for i := range list {
			list[i].n = i
			want += fmt.Sprintf("<item><n>%d</n></item>", i)
		}
		for range 2 { // what shares were written into is used again
			if got := string(List([]byte("before"), "set", "item", list)); got != want+"</set>" {
				t.Fatalf("%d items: %q", n, got)
			}
		}
	}
}
