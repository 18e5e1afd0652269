// Package events is what Skerry's programs say to each other: ids, commands
// (imperative), events (past tense), specs (what a node must be), faults
// (answers to a caller), subjects and the codec.
//
//	a caller            the region                      a node
//	───────── Command ─────▶ decide ──▶ Event ──▶ evolve
//	◀──── Reply or Fault ──┘               │
//	                                       ├──▶ Record on sk.ev.… (JSON, numbered, chained)
//	                                       └──▶ Spec ───────────────▶ Keeper
//	                        decide ◀── Command (a report) ◀───────────┘
//
// The package imports nothing of ours and holds no logic beyond names and
// bytes. An event is forever: fields are added, never changed in meaning.
package events
