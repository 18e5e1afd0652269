package volume

import "github.com/tidwall/btree"

// extent says that blocks [start, end) are in a log segment, or are zeros.
type extent struct {
	start, end int64
	seg        *segment // whose record it is
	pos        int64    // of the first block's data in the segment; unused for zeros
	sums       []uint32 // of the blocks; nil for zeros
}

// cut is the part of an extent inside of [start, end), which must overlap it.
func (e extent) cut(start, end int64) extent {
	if start > e.start {
		if e.sums != nil {
			e.pos += (start - e.start) * Block
			e.sums = e.sums[start-e.start:]
		}
		e.start = start
	}
	if end < e.end {
		if e.sums != nil {
			e.sums = e.sums[:end-e.start]
		}
		e.end = end
	}
	return e
}

// overlay is where the blocks are that the log has and the base has not. Its
// extents do not overlap.
type overlay struct {
	tree *btree.BTreeG[extent]
}

func newOverlay() overlay {
	return overlay{btree.NewBTreeGOptions(func(a, b extent) bool { return a.start < b.start }, btree.Options{NoLocks: true})}
}

// set puts an extent over what was there.
func (o overlay) set(e extent) {
	var over []extent
	o.visit(e.start, e.end, func(x extent) bool {
		over = append(over, x)
		return true
	})
	for _, x := range over {
		o.tree.Delete(x)
		if x.start < e.start {
			o.tree.Set(x.cut(x.start, e.start))
		}
		if x.end > e.end {
			o.tree.Set(x.cut(e.end, x.end))
		}
	}
	o.tree.Set(e)
}

// visit calls f for each extent that overlaps [start, end), in order.
func (o overlay) visit(start, end int64, f func(extent) bool) {
	from := start
	o.tree.Descend(extent{start: start}, func(x extent) bool {
		if x.end > start {
			from = x.start
		}
		return false
	})
	o.tree.Ascend(extent{start: from}, func(x extent) bool {
		if x.start >= end {
			return false
		}
		return f(x)
	})
}

// pieces splits [start, end) into extents of the log and, with a nil segment,
// of the base.
func (o overlay) pieces(start, end int64, out []extent) []extent {
	at := start
	o.visit(start, end, func(x extent) bool {
		if x.start > at {
			out = append(out, extent{start: at, end: x.start})
		}
		x = x.cut(start, end)
		out = append(out, x)
		at = x.end
		return true
	})
	if at < end {
		out = append(out, extent{start: at, end: end})
	}
	return out
}

// of lists the extents of one segment, by block.
func (o overlay) of(s *segment) []extent {
	var out []extent
	o.tree.Scan(func(x extent) bool {
		if x.seg == s {
			out = append(out, x)
		}
		return true
	})
	return out
}
