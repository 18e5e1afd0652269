// Package planted holds wrong turns that the program can be built to take, so
// that the simulation's judge can be judged: a judge that finds none of them
// proves nothing. Only a build with the tag "planted" has them; in every other
// one On is the constant false and its branch is not there.
//
//	if planted.On(planted.SkipSync) { … }
//
// services and the nodes ask, deploy/sim and deploy/sim/exact plant.
package planted

// Bug is one wrong turn.
type Bug string

// The bugs, each with what a judge must notice.
const (
	SkipSync          Bug = "skip-sync"          // the log is not synced before it is acknowledged
	ApplyTwice        Bug = "apply-twice"        // a command id that was answered acts again
	ReadLocal         Bug = "read-local"         // a read does not ask the leader
	PublishSwapped    Bug = "publish-swapped"    // two events change places on their way to the stream
	UnflushedHistory  Bug = "unflushed-history"  // the log is truncated before the history is durable
	SnapshotForgets   Bug = "snapshot-forgets"   // a snapshot leaves out the command ids
	AddressTwice      Bug = "address-twice"      // a private address is given without a look at who has it
	RestlessAddress   Bug = "restless-address"   // a public address is given while a gateway still serves it
	CapacityUnchecked Bug = "capacity-unchecked" // a placement is not checked against what a host has left
	UnevenDecision    Bug = "uneven-decision"    // a decision looks at something that voters do not share
)

// Deciding lists the bugs of decisions and state: deploy/sim/exact finds them.
func Deciding() []Bug {
	return []Bug{ApplyTwice, SnapshotForgets, AddressTwice, RestlessAddress, CapacityUnchecked, UnevenDecision}
}

// Keeping lists the bugs of what keeps and carries them: deploy/sim finds them.
func Keeping() []Bug {
	return []Bug{SkipSync, ReadLocal, PublishSwapped, UnflushedHistory}
}
