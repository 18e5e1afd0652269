// Package drill breaks a whole region of real processes on purpose and judges
// what clients saw. The drills are tests: a few runs in `make test`, as many as
// asked for in `make drill`.
//
//	go test ./deploy/drill -run Drill -v -args -runs=10 -seed=7
//
// Each run reports its pMax: the longest time in which no write at all was
// acknowledged.
package drill
