// Package guests is the keeper of a compute node: it makes the host hold exactly
// the guests that the region's specs name, and says what it sees.
//
//	specs ──▶ want ─┐
//	                ├─ plan ─▶ steps ─▶ hypervisor, store
//	domains ─▶ have ┤             └───▶ reports ──▶ region ──▶ specs …
//	records ─▶      ┘
//
//	one guest:  prepare, start ─▶ report running ─▶ press … destroy ─▶ start
//	            (reboot: same disks, one more in Reboots)    │
//	            tombstone: press … destroy, forget, retire, report absent
//
// The keeper is level-triggered: a poke, the clock and a restart lead to the same
// pass. It promises that a guest is destroyed only for a tombstone, that nothing
// is touched before a complete set of specs is held, that a guest that ended by
// itself is reported and not started again, that files are moved aside before
// they are unlinked, and that whatever cannot be done is reported in words. It
// expects the region to raise Generation or Reboots when it wants another boot,
// and to show in Known that it heard a report; until then the report repeats.
package guests
