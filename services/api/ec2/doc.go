// Package ec2 is what each EC2 action does: it turns the parameters of a call
// into a command of the region, or a view of the region into what EC2 shows.
//
//	XInput ─▶ shape checks ─▶ events.Command ─▶ Region.Do ─▶ events ─┐
//	XInput ─▶ Region.Read ─▶ state.View ─▶ rows ─▶ filter ─▶ page ──┴▶ XOutput
//
// A write is one command whose id is the request's, so that however often it is
// tried on the way it acts once. A read contains every write acknowledged
// before it. What a call asks for and the region cannot do is refused by the
// name of its parameter: nothing is ignored silently.
//
// Every row that a describe shows belongs to the caller or is open to all. A
// resource of another account is answered like one that does not exist.
package ec2
