package events

import "time"

// Flow logs: records that somebody wants a log of what passes an interface. The
// region keeps them and delivers nothing.

// Kinds of what is logged ("FlowLogsResourceType").
const (
	FlowVPC       = "VPC"
	FlowSubnet    = "Subnet"
	FlowInterface = "NetworkInterface"
)

// FlowLogSetting is what a flow log is asked to do.
type FlowLogSetting struct {
	Traffic     string `json:"traffic"` // ACCEPT, REJECT or ALL
	Kind        string `json:"kind"`    // of its destination
	Group       string `json:"group,omitempty"`
	Destination string `json:"destination,omitempty"`
	Role        string `json:"role,omitempty"`      // that may write there
	CrossRole   string `json:"crossRole,omitempty"` // that may across accounts
	Format      string `json:"format,omitempty"`
	Interval    int    `json:"interval,omitempty"` // seconds that one line sums up
	File        string `json:"file,omitempty"`
	Hive        bool   `json:"hive,omitempty"`
	Hourly      bool   `json:"hourly,omitempty"`
}

// CreateFlowLogs makes one flow log for each resource, all or none.
type CreateFlowLogs struct {
	Resources []string       `json:"resources"`
	Type      string         `json:"type"`
	Setting   FlowLogSetting `json:"setting"`
	Tags      []Tag          `json:"tags,omitempty"`
}

// DeleteFlowLogs ends flow logs, all or none.
type DeleteFlowLogs struct {
	Logs []FlowLogID `json:"logs"`
}

// FlowLogCreated is a flow log of a resource.
type FlowLogCreated struct {
	ID       FlowLogID      `json:"id"`
	Account  AccountID      `json:"account"`
	Resource string         `json:"resource"`
	Setting  FlowLogSetting `json:"setting"`
	At       time.Time      `json:"at"`
}

// FlowLogDeleted ends it.
type FlowLogDeleted struct {
	ID      FlowLogID `json:"id"`
	Account AccountID `json:"account"`
}

// Service names the room that decides.
func (CreateFlowLogs) Service() string { return "network" }
func (DeleteFlowLogs) Service() string { return "network" }

// About says of whom.
func (e FlowLogCreated) About() About {
	return About{"", "network", "flow-log", string(e.ID), "created"}
}
func (e FlowLogDeleted) About() About {
	return About{"", "network", "flow-log", string(e.ID), "deleted"}
}

func init() {
	for _, c := range []Command{CreateFlowLogs{}, DeleteFlowLogs{}} {
		commands.add(c)
	}
	for _, e := range []Event{FlowLogCreated{}, FlowLogDeleted{}} {
		kinds.add(e)
	}
}
