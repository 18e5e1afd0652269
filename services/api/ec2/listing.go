package ec2

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/filter"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/api/page"
	"skerry/services/api/reply"
	"skerry/services/api/spread"
	"skerry/services/api/tags"
)

// row is one line of a listing: the shape that is shown, and what finds it.
type row[S any] struct {
	key   string // place in the listing
	shown S
	tags  []events.Tag
}

// ask is what every describe asks: which rows, and which page of them.
type ask struct {
	filters    []model.Filter
	maxResults *int32
	nextToken  *string
}

// listing describes what one action lists.
type listing[S any] struct {
	fields   filter.Fields[row[S]]
	tagless  bool // rows have no tags, and no filters on them
	min, max int32
}

// choose picks the rows that pass the filters, in the order of their keys, and
// cuts a page from them.
func (l listing[S]) choose(h *Handlers, c *api.Call, q ask, rows []row[S]) ([]S, *string, error) {
	return chooseFrom(l, h, c, q, rows, func(r row[S]) string { return r.key }, func(r row[S]) row[S] { return r })
}

// chooseFrom is choose for rows that are dear to show: only those that may be
// on the page are built.
func chooseFrom[T, S any](l listing[S], h *Handlers, c *api.Call, q ask, items []T, key func(T) string, show func(T) row[S]) ([]S, *string, error) {
	return chooseAfter(l, h, c, q, func(after string) iter.Seq2[string, T] {
		type entry struct {
			key  string
			item T
		}
		list := make([]entry, 0, len(items))
		for i, k := range spread.Over(items, key) {
			if after == "" || k > after {
				list = append(list, entry{k, items[i]})
			}
		}
		slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
		return func(yield func(string, T) bool) {
			for _, e := range list {
				if !yield(e.key, e.item) {
					return
				}
			}
		}
	}, show)
}

// chooseAfter is chooseFrom for rows that stand in the order of their keys
// already, of which it is told those that come after one.
func chooseAfter[T, S any](l listing[S], h *Handlers, c *api.Call, q ask, after func(key string) iter.Seq2[string, T], show func(T) row[S]) ([]S, *string, error) {
	f, err := l.compile(q.filters)
	if err != nil {
		return nil, nil, err
	}
	p, err := h.tokens.Open(page.Listing{Account: c.Account, Action: c.Action, Min: l.min, Max: l.max}, q.maxResults, q.nextToken)
	if err != nil {
		return nil, nil, err
	}
	out, next := page.Cut(p, func(yield func(string, S) bool) {
		var keys []string
		var items []T
		shown := func() bool {
			for i, r := range spread.Over(items, show) {
				if f.Match(r) && !yield(keys[i], r.shown) {
					return false
				}
			}
			keys, items = keys[:0], items[:0]
			return true
		}
		// As many at once as the page may hold, and more where few of them match.
		n := p.Limit + 1
		for k, x := range after(p.After) {
			keys, items = append(keys, k), append(items, x)
			if p.Limit > 0 && len(items) == n {
				if !shown() {
					return
				}
				n *= 2
			}
		}
		shown()
	})
	return out, next, nil
}

// onTags tells whether one of the filters asks for tags alone.
func onTags(filters []model.Filter) bool {
	return slices.ContainsFunc(filters, func(f model.Filter) bool { return filter.OnTags(value(f.Name)) })
}

// withTags leaves of a list what passes the filters that are on tags, for rows that
// are dear to show.
func withTags[T any](list []T, filters []model.Filter, of func(T) []events.Tag) ([]T, error) {
	if !onTags(filters) {
		return list, nil
	}
	asked := slices.DeleteFunc(slices.Clone(filters), func(f model.Filter) bool { return !filter.OnTags(value(f.Name)) })
	f, err := filter.Compile(asked, nil, func(x T) map[string]string { return tags.Map(of(x)) })
	if err != nil {
		return nil, err
	}
	out := list[:0]
	for i, match := range spread.Over(list, f.Match) {
		if match {
			out = append(out, list[i])
		}
	}
	return out, nil
}

func (l listing[S]) compile(filters []model.Filter) (filter.Filter[row[S]], error) {
	var t func(row[S]) map[string]string
	if !l.tagless {
		t = func(r row[S]) map[string]string { return tags.Map(r.tags) }
	}
	return filter.Compile(filters, l.fields, t)
}

// byID looks up the rows that a call names, or all of them when it names none.
// Ids that are not there are answered together.
func byID[R any](names []string, get func(string) (R, bool), all func(func(R)), missing func(names []string) error) ([]R, error) {
	var out []R
	if len(names) == 0 {
		all(func(r R) { out = append(out, r) })
		return out, nil
	}
	var lost []string
	names = slices.Clone(names)
	seen := make(map[string]bool, len(names))
	names = slices.DeleteFunc(names, func(n string) bool {
		again := seen[n]
		seen[n] = true
		return again
	})
	type found struct {
		row R
		ok  bool
	}
	for i, f := range spread.Over(names, func(n string) (f found) { f.row, f.ok = get(n); return f }) {
		if f.ok {
			out = append(out, f.row)
		} else {
			lost = append(lost, names[i])
		}
	}
	if len(lost) > 0 {
		return nil, missing(lost)
	}
	return out, nil
}

// listed finds the rows that a describe is about: the account's, or those of them
// that are named.
func listed[R any](h *Handlers, ctx context.Context, c *api.Call, k ids.Kind, what string, named []string,
	get func(v view, account events.AccountID, id string) (R, bool), all func(v view, account events.AccountID, yield func(R))) (view, []R, error) {
	if err := k.CheckAll(named); err != nil {
		return view{}, nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return view{}, nil, err
	}
	account := events.AccountID(c.Account)
	list, err := byID(named, func(id string) (R, bool) { return get(v, account, id) }, func(yield func(R)) { all(v, account, yield) }, notFound(k, what))
	return v, list, err
}

// notFound answers ids of a kind that are not there, in EC2's words:
// "The vpc ID 'vpc-1' does not exist".
func notFound(k ids.Kind, what string) func([]string) error {
	return func(names []string) error {
		if len(names) == 1 {
			return events.Faultf(k.NotFound, "The %s ID '%s' does not exist", what, names[0])
		}
		return events.Faultf(k.NotFound, "The %s IDs '%s' do not exist", what, strings.Join(names, ", "))
	}
}

// notTogether refuses two parameters of which a call may have one.
func notTogether(a string, hasA bool, b string, hasB bool) error {
	if hasA && hasB {
		return events.Faultf("InvalidParameterCombination", "The parameter %s cannot be used with the parameter %s", a, b)
	}
	return nil
}

// unsupported refuses what EC2 has and this region has not.
func unsupported(parameter, why string, args ...any) error {
	return events.Faultf("UnsupportedOperation", "The parameter %s is not supported in this region: %s", parameter, fmt.Sprintf(why, args...))
}

// The values of a filter, as EC2 writes them in its replies. What is absent has
// none.

func word(p *string) []string {
	if p == nil {
		return nil
	}
	return []string{*p}
}

func flag(p *bool) []string {
	if p == nil {
		return nil
	}
	return []string{strconv.FormatBool(*p)}
}

func number[N int32 | int64](p *N) []string {
	if p == nil {
		return nil
	}
	return []string{strconv.FormatInt(int64(*p), 10)}
}

func decimal(p *float64) []string {
	if p == nil {
		return nil
	}
	return []string{strconv.FormatFloat(*p, 'f', -1, 64)}
}

func moment(p *time.Time) []string {
	if p == nil {
		return nil
	}
	return []string{p.UTC().Format(reply.TimeFormat)}
}

// each gathers the values of a list's items.
func each[T any](list []T, values func(T) []string) (out []string) {
	for _, x := range list {
		out = append(out, values(x)...)
	}
	return out
}

// never is a filter on something that no row here has: nothing matches it.
func never[R any](R) []string { return nil }

// shownTags are the tags of a reply; a resource without tags shows none.
func shownTags(t []events.Tag) []model.Tag {
	if len(t) == 0 {
		return nil
	}
	return tags.Write(t)
}

// some is a pointer to a text, or nil for none.
func some[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	return new(string(s))
}

// at is a text of a row, or nil for none. Rows never change, and replies are
// read only: what is shown of many costs no copies.
func at(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}

// value is what a pointer points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// typed turns the ids of a call into the region's.
func typed[T ~string](in []string) []T {
	out := make([]T, 0, len(in))
	for _, s := range in {
		out = append(out, T(s))
	}
	return out
}

// param is a parameter that EC2 has, and whether a call asks for something by
// it.
type param struct {
	name string
	set  bool
}

// refuse answers the first parameter of a call that this region cannot honour.
func refuse(list ...param) error {
	for _, p := range list {
		if p.set {
			return unsupported(p.name, "send the request without it.")
		}
	}
	return nil
}
