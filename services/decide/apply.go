package decide

import (
	"crypto/sha256"

	"skerry/events"
	"skerry/internal/planted"
	"skerry/services/state"
)

// Apply is what an entry of the log does: it decides the command, unless its id
// or its client token was answered before, and evolves the events. The reply of
// an entry is the same on every voter; only the first one to an id has events.
func Apply(tx *state.Tx, s events.Stamped, index uint64) events.Reply {
	if !s.Stamp.Time.After(tx.Meta.Time) {
		s.Stamp.Time = tx.Meta.Time.Add(1)
	}
	if a, ok := tx.Commands.Get(string(s.Stamp.ID)); ok && !planted.On(planted.ApplyTwice) {
		return events.Reply{First: a.First, Last: a.Last, N: a.N, Fault: a.Fault}
	}
	if e := s.Stamp.Expires; !e.IsZero() && s.Stamp.Time.After(e) {
		// Nobody waits for it any more. It is not remembered: a retry is a new question.
		return events.Reply{N: tx.Meta.N, Fault: events.Faultf("RequestExpired", "The region came to this command after its caller had given up; try again.")}
	}
	token, hash := "", events.Hash{}
	if s.Stamp.ClientToken != "" {
		token = string(s.Stamp.Account) + "/" + events.Name(s.Command) + "/" + s.Stamp.ClientToken
		hash = sha256.Sum256(events.CommandBytes(s.Command))
		if a, ok := tx.Tokens.Get(token); ok {
			answered := *a
			answered.At = s.Stamp.Time
			if a.Hash != hash {
				answered = state.Answered{N: tx.Meta.N, At: s.Stamp.Time, Fault: events.Faultf("IdempotentParameterMismatch", "The client token '%s' was used before with other parameters.", s.Stamp.ClientToken)}
			}
			tx.Answer(s, index, answered, "")
			return events.Reply{First: answered.First, Last: answered.Last, N: answered.N, Fault: answered.Fault}
		}
	}
	made, fault := Command(&tx.View, s)
	answered := state.Answered{N: tx.Meta.N, Fault: fault, Hash: hash, At: s.Stamp.Time}
	if fault != nil {
		tx.Answer(s, index, answered, "")
		return events.Reply{N: answered.N, Fault: fault}
	}
	call := s.Stamp.Call
	if tx.Meta.Level < events.LevelCalls {
		call = events.Call{}
	}
	records := make([]events.Record, 0, len(made))
	for _, e := range made {
		r := events.Record{N: tx.Meta.N + 1, Prev: tx.Meta.Last, Time: s.Stamp.Time, Cause: s.Stamp.ID,
			Request: s.Stamp.Request, Actor: s.Stamp.Actor, Account: s.Stamp.Account, Call: call, Event: e}
		call = events.Call{}
		r.Hash = sha256.Sum256(r.Encode())
		tx.Apply(r)
		records = append(records, r)
	}
	if len(records) > 0 {
		answered.First, answered.Last = records[0].N, records[len(records)-1].N
	}
	answered.N = tx.Meta.N
	tx.Answer(s, index, answered, token)
	return events.Reply{First: answered.First, Last: answered.Last, N: answered.N, Events: records}
}
