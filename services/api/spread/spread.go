// Package spread works on a long list on all processors. Most of the time of a
// long describe is spent waiting for memory, row after row, and one row does not
// need another.
package spread

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// alone is how much one processor does before another one helps.
const alone = 64

// Workers is how many shares a list of n is worked on in.
func Workers(n int) int { return max(1, min(runtime.GOMAXPROCS(0), n/alone)) }

// Shares does the shares from..to of a list of n at once, and returns what each
// made, in order. Should one panic, it panics with the same.
func Shares[R any](n int, do func(from, to int) R) []R {
	workers := Workers(n)
	out := make([]R, workers)
	if workers == 1 {
		out[0] = do(0, n)
		return out
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[any]
	for w := range workers {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					failed.Store(&p)
				}
			}()
			out[w] = do(w*n/workers, (w+1)*n/workers)
		})
	}
	wg.Wait()
	if p := failed.Load(); p != nil {
		panic(*p)
	}
	return out
}

// Over does the same for each of a list.
func Over[T, R any](list []T, do func(T) R) []R {
	out := make([]R, len(list))
	Shares(len(list), func(from, to int) struct{} {
		for i := from; i < to; i++ {
			out[i] = do(list[i])
		}
		return struct{}{}
	})
	return out
}
