package state

import (
	"strconv"
	"time"
)

// ByTime is the place of a row in a listing by the time of its making, then by
// its id.
func ByTime(at time.Time, id string) string { return string(byTime(at, id)) }

// LaunchOrder is the place of an instance in a listing: launches in their
// order, then the instances of each.
func (i *Instance) LaunchOrder() string {
	return string(padded(append(byTime(i.At, string(i.Reservation)), '/'), int64(i.LaunchIndex), 6))
}

func byTime(at time.Time, id string) []byte {
	return append(append(padded(make([]byte, 0, 64), at.UnixNano(), 20), '/'), id...)
}

// padded appends a number that is not negative with at least so many digits.
func padded(to []byte, n int64, digits int) []byte {
	var b [20]byte
	s := strconv.AppendInt(b[:0], n, 10)
	for range digits - len(s) {
		to = append(to, '0')
	}
	return append(to, s...)
}
