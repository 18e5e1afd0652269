package compute

import (
	"fmt"
	"strings"
	"time"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
	"skerry/services/storage"
)

// find looks up instances, all or none.
func find(v *state.View, a events.AccountID, ids []events.InstanceID) ([]*state.Instance, error) {
	if len(ids) == 0 {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter InstanceId")
	}
	var out []*state.Instance
	var missing []string
	seen := map[events.InstanceID]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		i, ok := v.Instance(a, id)
		if !ok {
			missing = append(missing, string(id))
			continue
		}
		out = append(out, i)
	}
	if len(missing) > 0 {
		return nil, NotFound(missing...)
	}
	return out, nil
}

// NotFound is the fault for instances that are not there.
func NotFound(ids ...string) error {
	what := fmt.Sprintf("The instance ID '%s' does not exist", ids[0])
	if len(ids) > 1 {
		what = fmt.Sprintf("The instance IDs '%s' do not exist", strings.Join(ids, ", "))
	}
	return events.Faultf("InvalidInstanceID.NotFound", "%s", what)
}

// TerminateInstances ends instances, all or none. One that has no host yet ends
// at once; the others when their node says that nothing is left.
func TerminateInstances(v *state.View, s events.Stamp, c events.TerminateInstances) ([]events.Event, error) {
	list, err := find(v, s.Account, c.Instances)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.DisableTermination && i.Live() {
			return nil, events.Faultf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
	}
	var out []events.Event
	for _, i := range list {
		out = append(out, end(v, i, s, events.Reason{Code: "Client.UserInitiatedShutdown", Message: "Client.UserInitiatedShutdown: User initiated shutdown"}, userInitiated(s.Time))...)
	}
	return out, nil
}

// end moves an instance to its end, whatever its state.
func end(v *state.View, i *state.Instance, s events.Stamp, why events.Reason, transition string) []events.Event {
	switch {
	case i.State == state.Terminated || i.State == state.ShuttingDown:
		return nil
	case i.Host == "":
		return terminated(v, i, s, why, transition)
	}
	out := []events.Event{events.InstanceTerminationRequested{Instance: i.ID, Zone: i.Zone, Host: i.Host, From: i.State,
		Reason: why, Transition: transition, At: s.Time}}
	return append(out, storage.Terminating(v, s, i.ID)...)
}

// terminated ends an instance of which nothing is left: its volumes are shut to
// it, and its addresses go back.
func terminated(v *state.View, i *state.Instance, s events.Stamp, why events.Reason, transition string) []events.Event {
	out := []events.Event{events.InstanceTerminated{Instance: i.ID, Zone: i.Zone, From: i.State, Reason: why, Transition: transition, At: s.Time}}
	out = append(out, storage.Terminated(v, i.ID)...)
	return append(out, network.Terminated(v, i)...)
}

func userInitiated(t time.Time) string {
	return "User initiated (" + t.UTC().Format("2006-01-02 15:04:05") + " GMT)"
}

// RebootInstances asks each running instance's node for one more reboot.
func RebootInstances(v *state.View, s events.Stamp, c events.RebootInstances) ([]events.Event, error) {
	list, err := find(v, s.Account, c.Instances)
	if err != nil {
		return nil, err
	}
	var out []events.Event
	for _, i := range list {
		switch i.State {
		case state.Running:
			out = append(out, events.InstanceRebootRequested{Instance: i.ID, Zone: i.Zone, Reboots: i.Reboots + 1})
		case state.Pending: // boots anyway
		default:
			return nil, events.Faultf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be rebooted: it is %s.", i.ID, i.State)
		}
	}
	return out, nil
}

// ReportInstance is a node's word about a guest; the region decides what it
// means. A report of an older start, or one that answers an older order to
// destroy, means nothing; one about a guest that should not be there gets it a
// tombstone.
func ReportInstance(v *state.View, s events.Stamp, c events.ReportInstance) ([]events.Event, error) {
	var out []events.Event
	t, owed := v.Tombstones.Get(string(c.Host) + "/" + string(events.SpecInstance) + "/" + string(c.Instance))
	i, known := v.Instances.Get(string(c.Instance))
	if c.Phase == events.PhaseAbsent {
		if c.Order != 0 && (!owed || c.Order < t.N) {
			return nil, nil
		}
		if known && i.Host == c.Host && i.State == state.ShuttingDown {
			out = terminated(v, i, s, i.Reason, i.Transition)
		}
		if known && i.Host == c.Host && i.State == state.Stopping {
			out = stopped(v, i, s, i.Reason, i.Transition)
		}
		if owed {
			zone := events.Zone("")
			if h, ok := v.Hosts.Get(string(c.Host)); ok {
				zone = h.Zone
			}
			out = append(out, events.GuestRemoved{Instance: c.Instance, Zone: zone, Host: c.Host})
		}
		return out, nil
	}
	if !known || i.Host != c.Host || !i.Live() {
		// Nothing of this instance should be on that host.
		if h, ok := v.Hosts.Get(string(c.Host)); ok && !owed {
			return []events.Event{events.GuestUnexpected{Instance: c.Instance, Zone: h.Zone, Host: c.Host}}, nil
		}
		return nil, nil
	}
	if c.Generation != i.Generation {
		return nil, nil
	}
	switch {
	case c.Phase == events.PhaseRunning && i.State == state.Pending:
		return []events.Event{events.InstanceStarted{Instance: i.ID, Zone: i.Zone, Host: i.Host, At: s.Time}}, nil
	case c.Phase == events.PhaseStopped && (i.State == state.Running || i.State == state.Pending):
		// The guest shut itself down: an instance store ends with it.
		ends := end
		if i.OnVolume() && i.Shutdown == "stop" {
			ends = stop
		}
		return ends(v, i, s, events.Reason{Code: "Client.InstanceInitiatedShutdown", Message: "Client.InstanceInitiatedShutdown: Instance initiated shutdown"}, ""), nil
	case c.Phase == events.PhaseCrashed || c.Phase == events.PhaseFailed:
		message := "Server.InternalError: Internal error on launch"
		if i.State == state.Running {
			message = "Server.InternalError: The instance ended unexpectedly"
		}
		if c.Detail != "" {
			message += ": " + c.Detail
		}
		ends := end
		if i.OnVolume() && (i.State == state.Running || i.Generation > 1) {
			ends = stop // what it has written is worth keeping
		}
		return ends(v, i, s, events.Reason{Code: "Server.InternalError", Message: message}, ""), nil
	}
	return nil, nil
}
