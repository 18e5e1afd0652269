package trail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"skerry/events"
)

// Limits of a request ("LookupEvents" in the AWS CloudTrail API Reference).
const (
	maxBody    = 64 << 10 // bytes
	maxResults = 50
	maxValue   = 2000 // bytes of an attribute's value
)

// query is what LookupEvents was asked for. An empty attribute selects all.
type query struct {
	attribute, value string
	since, until     time.Time // in whole seconds, both included; zero for no bound
	limit            int
	token            *string
	insight          bool // asks for a category that has no events here
}

var attributes = []string{"EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"}

// members are those of the request. Times are seconds since 1970.
type members struct {
	LookupAttributes []struct {
		AttributeKey, AttributeValue *string
	}
	StartTime, EndTime *float64
	MaxResults         *int32
	NextToken          *string
	EventCategory      *string
}

// parse reads a request. Faults: SerializationException,
// InvalidLookupAttributesException, InvalidMaxResultsException,
// InvalidTimeRangeException, InvalidEventCategoryException.
func parse(body []byte) (q query, err error) {
	if len(body) > maxBody {
		return q, malformed("it has %d bytes; at most %d are accepted", len(body), maxBody)
	}
	var in members
	if len(body) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return q, malformed("%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		if _, err := d.Token(); err != io.EOF {
			return q, malformed("there is something behind the object")
		}
	}
	switch n := len(in.LookupAttributes); {
	case n > 1:
		return q, attribute("LookupAttributes has %d items; at most one is accepted.", n)
	case n == 1:
		a := in.LookupAttributes[0]
		if a.AttributeKey == nil || a.AttributeValue == nil || *a.AttributeValue == "" {
			return q, attribute("A lookup attribute needs an AttributeKey and an AttributeValue.")
		}
		q.attribute, q.value = *a.AttributeKey, *a.AttributeValue
		switch {
		case !slices.Contains(attributes, q.attribute):
			return q, attribute("'%s' is not an attribute to look up by: use one of %s.", cut(q.attribute), strings.Join(attributes, ", "))
		case len(q.value) > maxValue:
			return q, attribute("The value of %s has %d bytes; at most %d are accepted.", q.attribute, len(q.value), maxValue)
		case q.attribute == "ReadOnly" && q.value != "true" && q.value != "false":
			return q, attribute("ReadOnly is 'true' or 'false', not '%s'.", cut(q.value))
		}
	}
	if q.since, err = second("StartTime", in.StartTime, math.Ceil); err != nil {
		return q, err
	}
	if q.until, err = second("EndTime", in.EndTime, math.Floor); err != nil {
		return q, err
	}
	if in.StartTime != nil && in.EndTime != nil && *in.StartTime > *in.EndTime {
		return q, events.Faultf("InvalidTimeRangeException", "The start time is after the end time.")
	}
	q.limit = maxResults
	if in.MaxResults != nil {
		if q.limit = int(*in.MaxResults); q.limit < 1 || q.limit > maxResults {
			return q, events.Faultf("InvalidMaxResultsException", "MaxResults is %d; it must be between 1 and %d.", q.limit, maxResults)
		}
	}
	if in.NextToken != nil && *in.NextToken != "" {
		q.token = in.NextToken
	}
	if in.EventCategory != nil {
		if *in.EventCategory != "insight" {
			return q, events.Faultf("InvalidEventCategoryException", "'%s' is not a category of events: use 'insight', or leave it out for management events.", cut(*in.EventCategory))
		}
		q.insight = true
	}
	return q, nil
}

// key tells queries apart: a token is good for the query that it continues.
func (q query) key() string {
	return fmt.Sprintf("%s %q %d %d", q.attribute, q.value, q.since.Unix(), q.until.Unix())
}

// second is a time in whole seconds, as events are told.
func second(name string, v *float64, round func(float64) float64) (time.Time, error) {
	if v == nil {
		return time.Time{}, nil
	}
	const last = 253402300799 // the end of the year 9999
	if *v < 0 || *v > last {
		return time.Time{}, events.Faultf("InvalidTimeRangeException", "%s is not a time between the years 1970 and 9999, in seconds since 1970.", name)
	}
	return time.Unix(int64(round(*v)), 0).UTC(), nil
}

func malformed(format string, a ...any) error {
	return events.Faultf("SerializationException", "The request is not one of LookupEvents: %s.", fmt.Sprintf(format, a...))
}

func attribute(format string, a ...any) error {
	return events.Faultf("InvalidLookupAttributesException", format, a...)
}

// cut is what an error repeats of a refused text.
func cut(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
