package ec2

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"skerry/events"
	"skerry/events/bus"
	"skerry/services/api"
	"skerry/services/api/ids"
	"skerry/services/api/model"
	"skerry/services/state"
)

// Limits of a console.
const (
	maxConsole     = 64 << 10        // bytes shown, the latest ("GetConsoleOutput")
	consoleTimeout = 5 * time.Second // for the host to answer
)

// consoles asks hosts over the bus.
type consoles struct{ bus *bus.Client }

// Console asks the compute node that holds an instance.
func (b consoles) Console(ctx context.Context, i state.Instance) (events.Console, error) {
	subject := events.NodeSubject(b.bus.Region, i.Zone, i.Host, "compute", "console")
	var out events.Console
	if err := b.bus.AskSubject(ctx, subject, events.InstanceQuery{Instance: i.ID}, &out); err != nil {
		return out, fmt.Errorf("ec2: console of %s: %w", i.ID, err)
	}
	return out, nil
}

// GetConsoleOutput shows what a guest wrote to its serial console. One that has
// not started has no output; of one that has ended the host keeps it for a while.
func (h *Handlers) GetConsoleOutput(ctx context.Context, c *api.Call, in *model.GetConsoleOutputInput) (*model.GetConsoleOutputOutput, error) {
	if err := ids.Instance.Check(value(in.InstanceId)); err != nil {
		return nil, err
	}
	v, err := h.read(ctx)
	if err != nil {
		return nil, err
	}
	i, err := v.one(c, in.InstanceId)
	if err != nil {
		return nil, err
	}
	out := &model.GetConsoleOutputOutput{InstanceId: in.InstanceId, Timestamp: new(i.At)}
	if i.Host == "" || i.State == state.Pending || c.DryRun {
		return out, nil
	}
	ask, cancel := context.WithTimeout(ctx, consoleTimeout)
	defer cancel()
	answer, err := h.region.Console(ask, *i)
	ends := i.State == state.ShuttingDown || i.State == state.Terminated
	switch {
	case ends && (err != nil || answer.Error != ""): // nothing may be left of it
		return out, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.Join(events.Faultf("Unavailable", "The host of the instance '%s' does not answer; its console cannot be read now. The instance itself may well be running.", i.ID), err)
	case err != nil:
		return nil, err
	case answer.Error != "":
		return nil, fmt.Errorf("ec2: console of %s on %s: %s", i.ID, i.Host, answer.Error)
	}
	if n := len(answer.Output); n > maxConsole {
		answer.Output = answer.Output[n-maxConsole:]
	}
	if !answer.Time.IsZero() {
		out.Timestamp = &answer.Time
	}
	if len(answer.Output) > 0 {
		out.Output = new(base64.StdEncoding.EncodeToString(answer.Output))
	}
	return out, nil
}
