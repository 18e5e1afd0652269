// Package runbooks holds what to do when something is wrong, one page for each
// case. Every command in them is executed, in order, by the test beside them on
// a simulated region: a page whose commands do not work is a failed test.
//
// A page's ```sh blocks run with sh -eu, one after another, with the programs
// of bin/ and the NATS command line on the path and the variables of
// `skerry env` set. A page leaves the region as whole as it found it.
package runbooks
