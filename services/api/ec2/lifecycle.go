package ec2

import (
	"context"

	"skerry/events"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

// StartInstances starts stopped instances.
func (h *Handlers) StartInstances(ctx context.Context, c *api.Call, in *model.StartInstancesInput) (*model.StartInstancesOutput, error) {
	if err := refuse(param{"AdditionalInfo", in.AdditionalInfo != nil}); err != nil {
		return nil, err
	}
	changes, err := h.change(ctx, c, in.InstanceIds, events.StartInstances{Instances: typed[events.InstanceID](in.InstanceIds)})
	return &model.StartInstancesOutput{StartingInstances: changes}, err
}

// StopInstances stops instances whose root is a volume.
func (h *Handlers) StopInstances(ctx context.Context, c *api.Call, in *model.StopInstancesInput) (*model.StopInstancesOutput, error) {
	if value(in.Hibernate) {
		if err := ids.Instance.CheckAll(in.InstanceIds); err != nil {
			return nil, err
		}
		return nil, events.Faultf("UnsupportedHibernationConfiguration", "The instances cannot be hibernated: none was launched with hibernation, which is not supported in this region.")
	}
	changes, err := h.change(ctx, c, in.InstanceIds, events.StopInstances{Instances: typed[events.InstanceID](in.InstanceIds), Force: value(in.Force)})
	return &model.StopInstancesOutput{StoppingInstances: changes}, err
}

// TerminateInstances ends instances, all or none.
func (h *Handlers) TerminateInstances(ctx context.Context, c *api.Call, in *model.TerminateInstancesInput) (*model.TerminateInstancesOutput, error) {
	changes, err := h.change(ctx, c, in.InstanceIds, events.TerminateInstances{Instances: typed[events.InstanceID](in.InstanceIds)})
	return &model.TerminateInstancesOutput{TerminatingInstances: changes}, err
}

// RebootInstances presses the button of each.
func (h *Handlers) RebootInstances(ctx context.Context, c *api.Call, in *model.RebootInstancesInput) (*model.RebootInstancesOutput, error) {
	if err := ids.Instance.CheckAll(in.InstanceIds); err != nil {
		return nil, err
	}
	_, err := h.do(ctx, c, 0, events.RebootInstances{Instances: typed[events.InstanceID](in.InstanceIds)})
	return new(model.RebootInstancesOutput), err
}

// change has a command decided about instances, and tells the states before and
// after of each. One that the command left alone keeps its state.
func (h *Handlers) change(ctx context.Context, c *api.Call, names []string, cmd events.Command) ([]model.InstanceStateChange, error) {
	if err := ids.Instance.CheckAll(names); err != nil {
		return nil, err
	}
	reply, err := h.do(ctx, c, 0, cmd)
	if err != nil || c.DryRun {
		return nil, err
	}
	type move struct{ from, to string }
	moves := map[string]move{}
	for _, r := range reply.Events {
		switch e := r.Event.(type) {
		case events.InstanceTerminationRequested:
			moves[string(e.Instance)] = move{e.From, state.ShuttingDown}
		case events.InstanceStopRequested:
			moves[string(e.Instance)] = move{e.From, state.Stopping}
		case events.InstanceStopped:
			moves[string(e.Instance)] = move{state.Stopping, state.Stopped}
		case events.InstanceStartRequested:
			moves[string(e.Instance)] = move{e.From, state.Pending}
		case events.InstanceTerminated:
			moves[string(e.Instance)] = move{e.From, state.Terminated}
		}
	}
	v := h.after(ctx, c)
	out := []model.InstanceStateChange{}
	seen := map[string]bool{}
	for _, id := range names {
		m, moved := moves[id]
		if !moved {
			// Only what is where it is to be already is left alone.
			m = move{state.Terminated, state.Terminated}
			if i, ok := v.Instances.Get(id); ok {
				m = move{i.State, i.State}
			}
		}
		if !seen[id] {
			out = append(out, model.InstanceStateChange{InstanceId: &id, PreviousState: showState(m.from), CurrentState: showState(m.to)})
		}
		seen[id] = true
	}
	return out, nil
}
