// Package trail answers CloudTrail's LookupEvents from the region's history.
//
//	LookupEvents ─▶ query ─▶ history.Calls ─▶ history.Act ─▶ Events
//	                parse     the account's    what each
//	                          calls, newest    of them did
//	                          first
//
// The history is the trail: each call of the API that led to events is one
// CloudTrail event, made from these when it is asked for. What changed nothing
// is not in the history, and so not in the trail: reads, calls that were refused,
// dry runs. Nothing expires.
//
// An answer costs a bounded part of the history. A look-up that finds little in
// much returns what it has, be it nothing, and a NextToken.
package trail
