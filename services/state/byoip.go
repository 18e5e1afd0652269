package state

import (
	"iter"
	"net/netip"

	"skerry/events"
)

// The sizes of ranges of IPv4 that accounts bring.
const (
	LargestRange  = 16
	SmallestRange = 24
)

// Range is a range of addresses that an account brought, and its pool.
type Range struct {
	events.RangeProvisioned
	Advertised bool   `json:"advertised,omitempty"`
	N          uint64 `json:"n"` // event that last changed what gateways must do
}

const (
	rangeAccount = 0 // Ranges
	rangeCIDR    = 1
)

// RangesOf walks the ranges that an account brought.
func (v *View) RangesOf(a events.AccountID) iter.Seq[*Range] {
	return v.Ranges.by(rangeAccount, string(a))
}

// Range finds a range.
func (v *View) Range(p netip.Prefix) (*Range, bool) {
	for r := range v.Ranges.by(rangeCIDR, p.String()) {
		return r, true
	}
	return nil, false
}

// RangeOf finds the range that an IPv4 address is of; the region's own are of
// none.
func (v *View) RangeOf(a netip.Addr) (*Range, bool) {
	for bits := LargestRange; bits <= SmallestRange && a.Is4() && v.Ranges.Len() > 0; bits++ {
		p, _ := a.Prefix(bits) // of this family
		if r, ok := v.Range(p); ok {
			return r, true
		}
	}
	return nil, false
}

// Owing walks the ids of objects of a kind that some node still has to destroy.
func (v *View) Owing(k events.SpecKind) iter.Seq[string] {
	return func(yield func(string) bool) {
		from := string(k) + "/"
		v.Tombstones.indexes[1].tree.Ascend(pair{value: from}, func(p pair) bool {
			return len(p.value) > len(from) && p.value[:len(from)] == from && yield(p.value[len(from):])
		})
	}
}

// ranges evolves the ranges that accounts bring.
func (tx *Tx) ranges(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.RangeProvisioned:
		for _, o := range tx.Ranges.All() {
			must(!o.CIDR.Overlaps(e.CIDR), r, "two ranges of addresses overlap")
		}
		tx.Ranges.put(string(e.Pool), &Range{RangeProvisioned: e, N: r.N})
	case events.RangeAdvertised:
		tx.Ranges.change(string(e.Pool), func(x *Range) { x.Advertised, x.N = true, r.N })
	case events.RangeWithdrawn:
		tx.Ranges.change(string(e.Pool), func(x *Range) { x.Advertised, x.N = false, r.N })
	case events.RangeDeprovisioned:
		for a := range tx.AddressesOf(e.Account) {
			must(!e.CIDR.Contains(a.Address), r, "a range went with an address that somebody has")
		}
		tx.Ranges.del(string(e.Pool))
		tx.Tags.del(string(e.Pool))
	default:
		return false
	}
	return true
}
