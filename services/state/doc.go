// Package state is what the region knows: typed tables on copy-on-write
// B-trees, the evolve that turns events into rows, and their snapshot.
//
//	Tx  ── Apply(record) ──▶ Tx        one writer, the Raft state machine
//	 │
//	 └─ View() ──▶ View ──▶ readers    O(1), immutable, lock-free
//
// Apply holds no decisions and cannot fail: an event it does not understand is
// a fault of the program, and the voter stops rather than diverge. Rows are
// never changed in place; whoever holds a View may keep what it read.
package state
