package filter

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"skerry/events"
	"skerry/services/api/model"
)

type row struct {
	id    string
	state []string
	tags  map[string]string
}

var fields = Fields[row]{
	"instance-id":         func(r row) []string { return []string{r.id} },
	"instance-state-name": func(r row) []string { return r.state },
}

func named(name string, values ...string) model.Filter {
	return model.Filter{Name: &name, Values: values}
}

func TestMatch(t *testing.T) {
	web := row{"i-1", []string{"running"}, map[string]string{"Name": "web-1", "Stack": "", `a*b`: `x\y`}}
	for _, c := range []struct {
		filters []model.Filter
		want    bool
	}{
		{nil, true},
		{[]model.Filter{named("instance-id", "i-1")}, true},
		{[]model.Filter{named("instance-id", "I-1")}, false},
		{[]model.Filter{named("instance-id", "i-2", "i-?")}, true},
		{[]model.Filter{named("instance-id", "i-1"), named("instance-state-name", "stopped")}, false},
		{[]model.Filter{named("instance-id", "i-1"), named("instance-state-name", "stopped", "run*")}, true},
		{[]model.Filter{named("tag:Name", "web-*")}, true},
		{[]model.Filter{named("tag:Name", "*-1", "x")}, true},
		{[]model.Filter{named("tag:Name", "web")}, false},
		{[]model.Filter{named("tag:name", "web-1")}, false},
		{[]model.Filter{named("tag:Stack", "")}, true},
		{[]model.Filter{named("tag:Stack", "?")}, false},
		{[]model.Filter{named("tag:Gone", "*")}, false},
		{[]model.Filter{named("tag-key", "Stack")}, true},
		{[]model.Filter{named("tag-key", `a\*b`)}, true},
		{[]model.Filter{named("tag-key", `a\*c`)}, false},
		{[]model.Filter{named("tag-value", `x\\y`)}, true},
		{[]model.Filter{named("tag-value", `x\y`)}, false},
	} {
		f, err := Compile(c.filters, fields, func(r row) map[string]string { return r.tags })
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(web); got != c.want {
			t.Errorf("%v: %v", c.filters, got)
		}
	}
}

// Only a tag with whole values is looked up.
func TestTagged(t *testing.T) {
	if key, values, ok := Tagged(named("tag:Name", "web", `a\*`)); !ok || key != "Name" || !slices.Equal(values, []string{"web", "a*"}) {
		t.Error(key, values, ok)
	}
	for _, f := range []model.Filter{{}, named("tag:", "web"), named("tag-key", "Name"), named("instance-id", "i-1"), named("tag:Name", "web", "web-*")} {
		if key, values, ok := Tagged(f); ok {
			t.Errorf("%v is looked up as %s=%q", f.Name, key, values)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		filters []model.Filter
		code    string
		text    string
	}{
		{[]model.Filter{named("colour", "red")}, "InvalidParameterValue", "The filter 'colour' is invalid"},
		{[]model.Filter{named("tag:", "red")}, "InvalidParameterValue", "The filter 'tag:' is invalid"},
		{[]model.Filter{{Values: []string{"a"}}}, "InvalidParameterValue", "A filter has no name: send Filter.N.Name"},
		{[]model.Filter{named("instance-id")}, "InvalidParameterValue", "The filter 'instance-id' has no values: send Filter.N.Value.M"},
		{[]model.Filter{named("instance-id", make([]string, MaxValues)...), named("instance-id", "")}, "FilterLimitExceeded", "The request has more than 200 filter values."},
		{make([]model.Filter, MaxFilters+1), "FilterLimitExceeded", "The request has 51 filters; at most 50 are allowed."},
	} {
		_, err := Compile(c.filters, fields, func(r row) map[string]string { return r.tags })
		f, ok := events.AsFault(err)
		if !ok || f.Code() != c.code || f.Message != c.text {
			t.Errorf("%v: got %v", c.filters, err)
		}
	}
	if _, err := Compile[row]([]model.Filter{named("tag:a", "b")}, fields, nil); err == nil {
		t.Error("tags without tags")
	}
}

// A hostile pattern takes no exponential time.
func TestManyStars(t *testing.T) {
	if parse(strings.Repeat("*a", 500) + "b").match(strings.Repeat("a", 5000)) {
		t.Fatal("matched")
	}
}

// Patterns agree with the regular expressions that say the same.
func FuzzPattern(f *testing.F) {
	f.Add("web-*", "web-1")
	f.Add("*a*b?c", "aXbXc")
	f.Add(`\*\?\\\`, `*?\\`)
	f.Add("é?", "éü")
	f.Fuzz(func(t *testing.T, p, s string) {
		if !utf8.ValidString(p) || !utf8.ValidString(s) || len(p) > 100 {
			return // the decoder of requests refuses them
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		for runes := []rune(p); len(runes) > 0; runes = runes[1:] {
			switch {
			case runes[0] == '\\' && len(runes) > 1:
				runes = runes[1:]
				re.WriteString(regexp.QuoteMeta(string(runes[0])))
			case runes[0] == '*':
				re.WriteString(".*")
			case runes[0] == '?':
				re.WriteString(".")
			default:
				re.WriteString(regexp.QuoteMeta(string(runes[0])))
			}
		}
		re.WriteString(`\z`)
		want := regexp.MustCompile(re.String()).MatchString(s)
		if got := parse(p).match(s); got != want {
			t.Fatalf("%q on %q: %v, the expression %s says %v", p, s, got, re.String(), want)
		}
		// A whole value is looked up, and so has to be what it matches.
		if key, values, whole := Tagged(named("tag:Name", p)); whole && (key != "Name" || slices.Contains(values, s) != want) {
			t.Errorf("%q is looked up as %s=%q; %q matches: %v", p, key, values, s, want)
		}
	})
}
