package compute

import (
	"slices"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
	"skerry/services/storage"
)

// An instance whose root is a volume can be stopped and started:
//
//	running ─▶ stopping ─▶ stopped ─▶ pending ─▶ running
//	     tombstone on its host  │        │ placed, on any host of its zone
//	                            │        │ its volumes at higher epochs
//	   nothing is left there ───┘        └── capacity is reserved
//
// Stopping is as good as ending on the host: everything that is kept is in the
// volumes, and they stay attached.

// StopInstances stops instances, all or none.
func StopInstances(v *state.View, s events.Stamp, c events.StopInstances) ([]events.Event, error) {
	list, err := find(v, s.Account, c.Instances)
	if err != nil {
		return nil, err
	}
	var out []events.Event
	for _, i := range list {
		switch {
		case !slices.Contains([]string{state.Running, state.Stopping, state.Stopped}, i.State):
			return nil, badState(i, "stopped")
		case !i.OnVolume():
			return nil, noVolume(i, "stopped")
		case i.DisableStop:
			return nil, events.Faultf("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.ID)
		}
		out = append(out, stop(v, i, s, events.Reason{Code: "Client.UserInitiatedShutdown", Message: "Client.UserInitiatedShutdown: User initiated shutdown"}, userInitiated(s.Time))...)
	}
	return out, nil
}

func badState(i *state.Instance, verb string) error {
	return events.Faultf("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", i.ID, verb)
}

func noVolume(i *state.Instance, verb string) error {
	return events.Faultf("UnsupportedOperation", "The instance '%s' does not have an 'ebs' root device type and cannot be %s.", i.ID, verb)
}

// stop moves an instance towards its rest.
func stop(v *state.View, i *state.Instance, s events.Stamp, why events.Reason, transition string) []events.Event {
	switch {
	case i.State == state.Stopping || i.State == state.Stopped:
		return nil
	case i.Host == "":
		return stopped(v, i, s, why, transition)
	}
	return []events.Event{events.InstanceStopRequested{Instance: i.ID, Zone: i.Zone, Host: i.Host, From: i.State, Reason: why, Transition: transition, At: s.Time}}
}

// stopped is the rest of an instance of which no guest is left. Public addresses
// that are not Elastic go back, and volumes that were on their way out.
func stopped(v *state.View, i *state.Instance, s events.Stamp, why events.Reason, transition string) []events.Event {
	out := []events.Event{events.InstanceStopped{Instance: i.ID, Zone: i.Zone, Host: i.Host, Reason: why, Transition: transition, At: s.Time}}
	out = append(out, storage.Stopped(v, i.ID)...)
	return append(out, network.Stopped(v, i)...)
}

// StartInstances starts instances, all or none, wherever their zones have room.
func StartInstances(v *state.View, s events.Stamp, c events.StartInstances) ([]events.Event, error) {
	list, err := find(v, s.Account, c.Instances)
	if err != nil {
		return nil, err
	}
	more := 0
	for _, i := range list {
		switch {
		case !slices.Contains([]string{state.Pending, state.Running, state.Stopped}, i.State):
			return nil, badState(i, "started")
		case !i.OnVolume():
			return nil, noVolume(i, "started")
		}
		if i.State == state.Stopped {
			more += i.Shape.VCPUs
		}
	}
	if err := vcpus(v, s.Account, more); err != nil {
		return nil, err
	}
	tx := v.Fork()
	var out []events.Event
	for _, row := range list {
		i, _ := tx.Instances.Get(string(row.ID))
		if i.State != state.Stopped {
			continue
		}
		made, err := start(&tx.View, s, i)
		if err != nil {
			return nil, err
		}
		for _, e := range made {
			out = append(out, e)
			tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
		}
	}
	return out, nil
}

func start(v *state.View, s events.Stamp, i *state.Instance) ([]events.Event, error) {
	if _, ok := v.RootOf(i); !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid value '%s' for instanceId. Instance does not have a volume attached at root (%s)", i.ID, i.RootDevice)
	}
	fits := false
	for _, z := range newRoom(v, i.Account, i.Zone, nil).zones {
		fits = z.take(i.Need, v.MemberOf(i))
	}
	if !fits {
		return nil, insufficient(i.Shape.Type, i.Zone, 1, 0)
	}
	out := []events.Event{events.InstanceStartRequested{Instance: i.ID, Zone: i.Zone, Generation: i.Generation + 1, From: i.State, At: s.Time}}
	out = append(out, storage.Starting(v, i.ID)...)
	public, err := network.Starting(v, i)
	return append(out, public...), err
}
