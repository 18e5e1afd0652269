package state

import (
	"iter"

	"skerry/events"
)

// FlowLog is a flow log. It outlives the resource that it is of.
type FlowLog struct {
	events.FlowLogCreated
}

const (
	flowLogAccount  = 0 // FlowLogs
	flowLogResource = 1
)

// FlowLogsOf walks an account's flow logs.
func (v *View) FlowLogsOf(a events.AccountID) iter.Seq[*FlowLog] {
	return v.FlowLogs.by(flowLogAccount, string(a))
}

// FlowLogsOn walks the flow logs of a resource.
func (v *View) FlowLogsOn(resource string) iter.Seq[*FlowLog] {
	return v.FlowLogs.by(flowLogResource, resource)
}

// flowLogs evolves flow logs.
func (tx *Tx) flowLogs(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.FlowLogCreated:
		tx.FlowLogs.put(string(e.ID), &FlowLog{e})
	case events.FlowLogDeleted:
		tx.FlowLogs.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	default:
		return false
	}
	return true
}
