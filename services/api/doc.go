// Package api is the door of a region's EC2 endpoint: the one path that every
// request takes, whatever its action.
//
//	request ─▶ signature ─▶ body ─▶ form ─▶ Table[action] ─▶ XInput ─▶ handler
//	           package       at most  package  unknown:         package   │
//	           sigv4         10 MiB   query    InvalidAction    model     │
//	reply ◀─── XML, status ◀── DryRun, faults, panics ◀── XOutput or error ┘
//	           package reply
//
// A call signed for CloudTrail takes the same path with the JSON protocol: its
// action stands in X-Amz-Target, its handler reads the body.
//
// Every route but GET /health needs a valid signature; what regions ask each
// other, by POST /regions, is sealed instead. Whatever happens, the
// caller gets an EC2 (or STS) document with a request id: an error with a code
// is rendered with it, any other becomes InternalError and its text goes only
// to the log. Requests beyond MaxInFlight are refused at once with
// RequestLimitExceeded, so that a flood does not queue.
//
// The package knows the wire and nothing of the domain. Handlers get the shapes
// of package model and a Call, and use the rooms beside: filter, page, ids and
// tags.
package api
