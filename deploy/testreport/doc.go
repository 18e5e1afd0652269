// Command testreport runs every check of the repository and ends in one line
// that counts them: vet, the tests of every package, and each fuzz target for a
// few seconds.
//
//	go vet ./...                     one check
//	go test -json  (all but deploy)  packages side by side
//	go test -json  (deploy)          one package after another: they run whole
//	                                 regions and need the processors, …
//	go test -json  (deploy/sim)      … and these, in virtual time, take what is
//	                                 left of them
//	fuzz targets                     two at a time, within a budget
//	what is left                     processes and regions that outlived their
//	                                 tests are ended; each is a failure
//
// With -short all packages run side by side, as none of them runs for long.
//
// A test that has subtests is counted by its subtests. A package that does not
// build, or ends without a word, is one failure. Every skip is listed with its
// reason above the last line, which stands alone:
//
//	N passed, N failed, N skipped
//
// The exit status is 0 only when nothing failed.
//
// The command is two processes: the outer one is only the subreaper, so that
// whatever a test leaves behind becomes its child and can be seen; the inner
// one does the work. Tests get a TMPDIR of their own, which is removed.
package main
