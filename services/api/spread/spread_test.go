package spread

import (
	"fmt"
	"testing"
)

// A long list is worked on in shares, in any number of them, and told in order;
// what goes wrong in one of them is the caller's to see.
func TestSpread(t *testing.T) {
	for _, n := range []int{0, 1, alone - 1, alone, 2 * alone, 2*alone + 1, 1000, 1001} {
		list := make([]int, n)
		for i := range list {
			list[i] = i
		}
		for i, s := range Over(list, func(x int) string { return fmt.Sprint(x) }) {
			if s != fmt.Sprint(i) {
				t.Fatalf("of %d, place %d holds %q", n, i, s)
			}
		}
		if n == 0 {
			continue
		}
		for _, bad := range []int{0, n / 2, n - 1} {
			func() {
				defer func() {
					if p := recover(); p != bad {
						t.Errorf("of %d, %d fails: %v", n, bad, p)
					}
				}()
				Over(list, func(x int) int {
					if x == bad {
						panic(x)
					}
					return x
				})
			}()
		}
	}
}
