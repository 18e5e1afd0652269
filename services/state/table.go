package state

import (
	"iter"

	"github.com/tidwall/btree"
)

// Table holds rows of one type by primary key, with any number of ordered
// secondary indexes. Copies are O(1) and share structure.
type Table[V any] struct {
	rows    *btree.BTreeG[row[V]]
	indexes []*index[V]
}

type row[V any] struct {
	key string
	val *V
}

type index[V any] struct {
	keys func(*V) []string // values a row stands under
	tree *btree.BTreeG[pair]
}

type pair struct{ value, key string }

var noLocks = btree.Options{NoLocks: true}

func newTable[V any](indexes ...func(*V) []string) *Table[V] {
	t := &Table[V]{rows: btree.NewBTreeGOptions(func(a, b row[V]) bool { return a.key < b.key }, noLocks)}
	for _, keys := range indexes {
		t.indexes = append(t.indexes, &index[V]{keys, btree.NewBTreeGOptions(func(a, b pair) bool {
			return a.value < b.value || a.value == b.value && a.key < b.key
		}, noLocks)})
	}
	return t
}

func (t *Table[V]) copy() *Table[V] {
	c := &Table[V]{rows: t.rows.Copy()}
	for _, x := range t.indexes {
		c.indexes = append(c.indexes, &index[V]{x.keys, x.tree.Copy()})
	}
	return c
}

// Get returns a row. The row must not be changed.
func (t *Table[V]) Get(key string) (*V, bool) {
	r, ok := t.rows.Get(row[V]{key: key})
	return r.val, ok
}

// Len is the number of rows.
func (t *Table[V]) Len() int { return t.rows.Len() }

// All walks the rows in key order.
func (t *Table[V]) All() iter.Seq2[string, *V] { return t.From("") }

// From walks the rows with key >= from, in key order.
func (t *Table[V]) From(from string) iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		t.rows.Ascend(row[V]{key: from}, func(r row[V]) bool { return yield(r.key, r.val) })
	}
}

// by walks the rows that stand under value in the i-th index, in key order.
func (t *Table[V]) by(i int, value string) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.indexes[i].tree.Ascend(pair{value: value}, func(p pair) bool {
			if p.value != value {
				return false
			}
			r, _ := t.rows.Get(row[V]{key: p.key})
			return yield(r.val)
		})
	}
}

// first returns the first (value, row) of the i-th index.
func (t *Table[V]) first(i int) (string, *V, bool) {
	p, ok := t.indexes[i].tree.Min()
	if !ok {
		return "", nil, false
	}
	r, _ := t.rows.Get(row[V]{key: p.key})
	return p.value, r.val, true
}

func (t *Table[V]) put(key string, v *V) {
	old, had := t.rows.Set(row[V]{key, v})
	for _, x := range t.indexes {
		if had {
			for _, k := range x.keys(old.val) {
				x.tree.Delete(pair{k, key})
			}
		}
		for _, k := range x.keys(v) {
			x.tree.Set(pair{k, key})
		}
	}
}

func (t *Table[V]) del(key string) {
	old, had := t.rows.Delete(row[V]{key: key})
	if !had {
		return
	}
	for _, x := range t.indexes {
		for _, k := range x.keys(old.val) {
			x.tree.Delete(pair{k, key})
		}
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
