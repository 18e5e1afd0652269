package state

import (
	"iter"
	"slices"

	"github.com/tidwall/btree"
)

// Table holds rows of one type by primary key, with any number of ordered
// secondary indexes. Copies are O(1) and share structure.
//
// Its trees are in a store that knows no type: a tree by type of row would be
// compiled again in each package that reads one.
type Table[V any] struct{ store }

type store struct {
	rows    *btree.BTreeG[row]
	indexes []*index
	tallies []*tally
	empty   func() any // new(V)
}

type row struct {
	key string
	val any // *V
}

type index struct {
	keys  func(any) []string                          // values a row stands under
	moved func(old, new any) (left, entered []string) // the same of a changed row, for rows that stand under many
	tree  *btree.BTreeG[pair]
}

type pair struct{ value, key string }

// tally keeps what the rows under a value weigh together, so that a quota is
// asked for without a walk.
type tally struct {
	of   func(any) (value string, weight int) // "": under none
	tree *btree.BTreeG[sum]
}

type sum struct {
	value string
	Sum
}

// Sum is how many rows there are, and what they weigh together.
type Sum struct{ Rows, Weight int }

var noLocks = btree.Options{NoLocks: true}

func newTable[V any](indexes ...func(*V) []string) *Table[V] {
	t := &Table[V]{store{
		rows:  btree.NewBTreeGOptions(func(a, b row) bool { return a.key < b.key }, noLocks),
		empty: func() any { return new(V) },
	}}
	for _, keys := range indexes {
		t.index(func(v any) []string { return keys(v.(*V)) })
	}
	return t
}

// moving tells how the i-th index sees a row change.
func (t *Table[V]) moving(i int, moved func(old, new *V) (left, entered []string)) *Table[V] {
	t.indexes[i].moved = func(old, new any) ([]string, []string) { return moved(old.(*V), new.(*V)) }
	return t
}

// tallied has a table keep a tally.
func (t *Table[V]) tallied(of func(*V) (value string, weight int)) *Table[V] {
	t.tallies = append(t.tallies, &tally{func(v any) (string, int) { return of(v.(*V)) },
		btree.NewBTreeGOptions(func(a, b sum) bool { return a.value < b.value }, noLocks)})
	return t
}

func (t *Table[V]) copy() *Table[V] { return &Table[V]{t.store.copy()} }

// Get returns a row. The row must not be changed.
func (t *Table[V]) Get(key string) (*V, bool) {
	v, ok := t.get(key)
	if !ok {
		return nil, false
	}
	return v.(*V), true
}

// All walks the rows in key order.
func (t *Table[V]) All() iter.Seq2[string, *V] { return t.From("") }

// From walks the rows with key >= from, in key order.
func (t *Table[V]) From(from string) iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		t.ascend(from, func(key string, v any) bool { return yield(key, v.(*V)) })
	}
}

// by walks the rows that stand under value in the i-th index, in key order.
func (t *Table[V]) by(i int, value string) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.under(i, value, func(v any) bool { return yield(v.(*V)) })
	}
}

// first returns the first (value, row) of the i-th index.
func (t *Table[V]) first(i int) (string, *V, bool) {
	p, ok := t.indexes[i].tree.Min()
	if !ok {
		return "", nil, false
	}
	v, _ := t.Get(p.key)
	return p.value, v, true
}

func (t *Table[V]) put(key string, v *V) { t.set(key, v) }

func (s *store) index(keys func(any) []string) {
	s.indexes = append(s.indexes, &index{keys: keys, tree: btree.NewBTreeGOptions(func(a, b pair) bool {
		return a.value < b.value || a.value == b.value && a.key < b.key
	}, noLocks)})
}

func (s *store) copy() store {
	c := store{rows: s.rows.Copy(), empty: s.empty}
	for _, x := range s.indexes {
		c.indexes = append(c.indexes, &index{x.keys, x.moved, x.tree.Copy()})
	}
	for _, y := range s.tallies {
		c.tallies = append(c.tallies, &tally{y.of, y.tree.Copy()})
	}
	return c
}

// Len is the number of rows.
func (s *store) Len() int { return s.rows.Len() }

func (s *store) get(key string) (any, bool) {
	r, ok := s.rows.Get(row{key: key})
	return r.val, ok
}

func (s *store) ascend(from string, yield func(string, any) bool) {
	s.rows.Ascend(row{key: from}, func(r row) bool { return yield(r.key, r.val) })
}

func (s *store) under(i int, value string, yield func(any) bool) {
	s.indexes[i].tree.Ascend(pair{value: value}, func(p pair) bool {
		if p.value != value {
			return false
		}
		v, _ := s.get(p.key)
		return yield(v)
	})
}

// total is the i-th tally of a value.
func (s *store) total(i int, value string) Sum {
	t, _ := s.tallies[i].tree.Get(sum{value: value})
	return t.Sum
}

// weigh tells the tallies of a row that came, or with a sign of -1 went.
func (s *store) weigh(v any, sign int) {
	for i, y := range s.tallies {
		value, weight := y.of(v)
		if value == "" {
			continue
		}
		t := s.total(i, value)
		t.Rows += sign
		t.Weight += sign * weight
		if t == (Sum{}) {
			y.tree.Delete(sum{value: value})
		} else {
			y.tree.Set(sum{value, t})
		}
	}
}

func (s *store) set(key string, v any) {
	old, had := s.rows.Set(row{key, v})
	s.stand(key, v, old, had)
}

// load sets a row, quickest in key order.
func (s *store) load(key string, v any) {
	old, had := s.rows.Load(row{key, v})
	s.stand(key, v, old, had)
}

// stand brings tallies and indexes after a row that is new, or in the place of
// another one.
func (s *store) stand(key string, v any, old row, had bool) {
	if had {
		s.weigh(old.val, -1)
	}
	s.weigh(v, 1)
	for _, x := range s.indexes {
		var left, entered []string
		switch {
		case had && x.moved != nil:
			left, entered = x.moved(old.val, v)
		case had:
			left, entered = x.keys(old.val), x.keys(v)
			if slices.Equal(left, entered) {
				continue // most changes move a row in few indexes
			}
		default:
			entered = x.keys(v)
		}
		for _, k := range left {
			x.tree.Delete(pair{k, key})
		}
		for _, k := range entered {
			x.tree.Set(pair{k, key})
		}
	}
}

func (s *store) del(key string) {
	old, had := s.rows.Delete(row{key: key})
	if !had {
		return
	}
	s.weigh(old.val, -1)
	for _, x := range s.indexes {
		for _, k := range x.keys(old.val) {
			x.tree.Delete(pair{k, key})
		}
	}
}

// keys are those of the rows that stand under value in the i-th index, in order.
func (s *store) keys(i int, value string) (keys []string) {
	s.indexes[i].tree.Ascend(pair{value: value}, func(p pair) bool {
		if p.value == value {
			keys = append(keys, p.key)
		}
		return p.value == value
	})
	return keys
}

// delAll deletes the rows that stand under value in the i-th index.
func (s *store) delAll(i int, value string) {
	for _, k := range s.keys(i, value) {
		s.del(k)
	}
}

// change replaces a row by a changed copy. A row that is missing is a fault of
// the program: decide only names what is there.
func (t *Table[V]) change(key string, f func(*V)) {
	old, ok := t.Get(key)
	if !ok {
		panic("state: no row " + key)
	}
	v := *old
	f(&v)
	t.put(key, &v)
}
