// Package voter is one voter of a region: the Raft member whose log is the
// truth, and the state machine that turns commands into history.
//
//	Propose ─▶ batch ─▶ stamp ─▶ raft.Apply ─▶ log on a majority ─▶ ApplyBatch
//	            ▲                                     │              │ decide (pure)
//	            └── the next goes when one has landed ┘              │ evolve (cannot fail)
//	                                                                 ├▶ history (pebble)
//	                                                                 └▶ View (atomic root)
//
// Everything after the log is a function of the log. A voter that makes another
// history than the one it holds stops: a wrong answer is worse than none.
package voter
