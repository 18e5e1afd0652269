package trail

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/history"
	"skerry/services/seal"
	"skerry/services/state"
)

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

const vpc = "vpc-0123456789abcdef0"

// sample is a trail over n calls of account 1, one in each second from second 1000 on.
func sample(t testing.TB, n int) (*Trail, *history.Store) {
	t.Helper()
	key, err := seal.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.Open(vfs.NewMem(), "history", quiet{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var records []events.Record
	for i := range n {
		r := events.Record{N: uint64(i + 1), Time: time.Unix(1000+int64(i), 5e8).UTC(), Cause: events.CommandID(fmt.Sprint("c", i)), Request: "r", Actor: "arn:aws:iam::1:root", Account: "1",
			Call: events.Call{Action: "DeleteTags", Parameters: "not JSON"}, Event: events.ResourceUntagged{Account: "1", Resource: vpc}}
		r.Hash = sha256.Sum256(r.Encode())
		records = append(records, r)
	}
	if err := h.Append(records); err != nil {
		t.Fatal(err)
	}
	read := func(context.Context) (*state.View, error) {
		v := state.New().Publish()
		v.Meta.N, v.Meta.Region = h.Last(), "isle-1"
		return v, nil
	}
	return New(read, h, key), h
}

func ask(t testing.TB, trail *Trail, account, body string) (found, error) {
	t.Helper()
	out, err := trail.LookupEvents(t.Context(), &api.Call{Account: account}, []byte(body))
	if err != nil {
		return found{}, err
	}
	return out.(found), nil
}

// Pages follow each other without a gap or a repetition, whatever is added meanwhile.
func TestPages(t *testing.T) {
	trail, h := sample(t, 120)
	var times []int64
	for token, pages := "", 1; ; pages++ {
		out, err := ask(t, trail, "1", fmt.Sprintf(`{"MaxResults":40,"StartTime":1000,"NextToken":%q}`, token))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.Events {
			times = append(times, e.EventTime)
		}
		if out.NextToken == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		token = *out.NextToken
		for _, body := range []string{`{"NextToken":%q}`, `{"StartTime":1001,"NextToken":%q}`, `{"StartTime":1000,"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"root"}],"NextToken":%q}`} {
			if _, err := ask(t, trail, "1", fmt.Sprintf(body, token)); code(err) != "InvalidNextTokenException" {
				t.Errorf("a token of another query: %v", err)
			}
		}
		if _, err := ask(t, trail, "2", fmt.Sprintf(`{"StartTime":1000,"NextToken":%q}`, token)); code(err) != "InvalidNextTokenException" {
			t.Errorf("a token of another account: %v", err)
		}
		before, _ := h.Get(h.Last())
		r := events.Record{N: before.N + 1, Prev: before.Hash, Time: before.Time.Add(time.Second), Actor: "arn:aws:iam::1:root", Account: "1",
			Cause: events.CommandID(fmt.Sprint("later", pages)), Call: events.Call{Action: "DeleteTags"}, Event: events.HostDrained{}}
		r.Hash = sha256.Sum256(r.Encode())
		if err := h.Append([]events.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	want := make([]int64, 120)
	for i := range want {
		want[i] = 1119 - int64(i)
	}
	if !slices.Equal(times, want) {
		t.Errorf("%v", times)
	}
}

func code(err error) string {
	if f, ok := events.AsFault(err); ok {
		return f.Code()
	}
	return fmt.Sprint(err)
}

// Both ends of a range are within it, by whole seconds.
func TestTimes(t *testing.T) {
	trail, _ := sample(t, 10)
	for body, want := range map[string]int{
		`{"StartTime":1003,"EndTime":1005}`:     3,
		`{"StartTime":1003.2,"EndTime":1005.9}`: 2,
		`{"StartTime":1009}`:                    1,
		`{"StartTime":1010}`:                    0,
		`{"EndTime":1000}`:                      1,
		`{"EndTime":999.9}`:                     0,
		`{"StartTime":1003,"EndTime":1003}`:     1,
		`{"EventCategory":"insight"}`:           0,
	} {
		out, err := ask(t, trail, "1", body)
		if err != nil || len(out.Events) != want {
			t.Errorf("%s: %d events, %v", body, len(out.Events), err)
		}
	}
	out, err := ask(t, trail, "1", `{"StartTime":1003,"EndTime":1003}`)
	if err != nil {
		t.Fatal(err)
	}
	byID := fmt.Sprintf(`{"LookupAttributes":[{"AttributeKey":"EventId","AttributeValue":%q}],"StartTime":%%d,"EndTime":%%d}`, out.Events[0].EventId)
	for bounds, want := range map[[2]int]int{{1003, 1003}: 1, {1004, 1009}: 0, {1000, 1002}: 0} {
		if got, err := ask(t, trail, "1", fmt.Sprintf(byID, bounds[0], bounds[1])); err != nil || len(got.Events) != want {
			t.Errorf("by id between %v: %d events, %v", bounds, len(got.Events), err)
		}
	}
}

func TestRefused(t *testing.T) {
	trail, h := sample(t, 1)
	for body, want := range map[string]string{
		`[]`:                                "SerializationException",
		`{`:                                 "SerializationException",
		`{"Max":1}`:                         "SerializationException",
		`{"MaxResults":"1"}`:                "SerializationException",
		`{"MaxResults":1.5}`:                "SerializationException",
		`{"StartTime":"today"}`:             "SerializationException",
		`{} {}`:                             "SerializationException",
		`{}}`:                               "SerializationException",
		strings.Repeat("[", 70000):          "SerializationException",
		`{"MaxResults":0}`:                  "InvalidMaxResultsException",
		`{"MaxResults":51}`:                 "InvalidMaxResultsException",
		`{"MaxResults":-1}`:                 "InvalidMaxResultsException",
		`{"NextToken":"MTIz"}`:              "InvalidNextTokenException",
		`{"StartTime":2000,"EndTime":1000}`: "InvalidTimeRangeException",
		`{"StartTime":1e300}`:               "InvalidTimeRangeException",
		`{"EndTime":-1}`:                    "InvalidTimeRangeException",
		`{"EventCategory":"management"}`:    "InvalidEventCategoryException",
		`{"LookupAttributes":[{}]}`:         "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"EventName"}]}`:                                                                          "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"Colour","AttributeValue":"x"}]}`:                                                        "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"ReadOnly","AttributeValue":"yes"}]}`:                                                    "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"` + strings.Repeat("x", 2001) + `"}]}`:                     "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"x"},{"AttributeKey":"ReadOnly","AttributeValue":"true"}]}`: "InvalidLookupAttributesException",
	} {
		if _, err := ask(t, trail, "1", body); code(err) != want {
			t.Errorf("%.80s: %v, want %s", body, err, want)
		}
	}
	// A history with a hole does not answer as if it were whole.
	r := events.Record{N: 9, Time: time.Unix(2000, 0), Actor: "a", Event: events.HostDrained{}}
	r.Hash = sha256.Sum256(r.Encode())
	if err := h.Append([]events.Record{r}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, trail, "1", `{}`); code(err) != "Unavailable" {
		t.Error(err)
	}
}

// Whatever the body is, the answer is a clear refusal, or events that were asked for.
func FuzzLookupEvents(f *testing.F) {
	for _, s := range []string{
		`{}`, ``, `null`, `{"MaxResults":3,"StartTime":1002,"EndTime":1.007e3}`, `{"NextToken":"MTIz"}`, `{"EventCategory":"insight"}`,
		`{"LookupAttributes":[{"AttributeKey":"EventId","AttributeValue":"00000000-0000-8000-8000-000000000001"}]}`,
		`{"LookupAttributes":[{"AttributeKey":"ResourceName","AttributeValue":"` + vpc + `"}]}`,
		`{"LookupAttributes":[{"AttributeKey":"ResourceType","AttributeValue":"AWS::EC2::VPC"}],"MaxResults":1}`,
	} {
		f.Add([]byte(s))
	}
	trail, _ := sample(f, 20)
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := trail.LookupEvents(t.Context(), &api.Call{Account: "1"}, body)
		if err != nil {
			if c := code(err); !strings.HasSuffix(c, "Exception") {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		out, q := answer.(found), must(parse(body))
		if len(out.Events) > q.limit {
			t.Fatalf("%q: %d events", body, len(out.Events))
		}
		for _, e := range out.Events {
			at := time.Unix(e.EventTime, 0)
			if at.Before(q.since) || !q.until.IsZero() && at.After(q.until) || !json.Valid([]byte(e.CloudTrailEvent)) {
				t.Fatalf("%q: %s", body, text)
			}
		}
		// What is read as the same query goes on where this one ended.
		if out.NextToken != nil {
			q.token = out.NextToken
			if below, _, err := trail.position(&api.Call{Account: "1"}, q); err != nil || below == 0 {
				t.Fatalf("%q: %d %v", body, below, err)
			}
		}
	})
}

func must(q query, err error) query {
	if err != nil {
		panic(err)
	}
	return q
}
