package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/operator"
	"skerry/events"
)

type forgetCmd struct {
	Region string `arg:"" help:"Name of a region that is no more."`
}

// Run takes a region off the list of those that share the accounts.
func (c *forgetCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		if _, err := op.Command(ctx, events.ForgetRegion{Name: c.Region}); err != nil {
			return err
		}
		return e.answer(map[string]any{"Region": c.Region, "Forgotten": true}, func() {
			fmt.Fprintf(e.out, "Region %s is no longer listed.\n", c.Region)
		})
	})
}

// leave takes a region that is about to go off the list of the one whose accounts
// it has. It goes all the same when that one cannot be told.
func leave(e *env, r *lab.Region) {
	if r.Root == nil || !r.Formed {
		return
	}
	root, err := lab.Open(r.Root.Dir)
	if errors.Is(err, lab.ErrNoRegion) {
		return
	}
	if err == nil {
		err = forget(e.ctx, root, r.Name)
	}
	if f, ok := events.AsFault(err); err != nil && (!ok || f.Code() != "NoSuchEntity") {
		e.say("Region %s still lists %s: %v\n  next: skerry forget %s --dir %s, when it is up", r.Root.Region, r.Name, err, r.Name, quote(r.Root.Dir))
	}
}

func forget(ctx context.Context, root *lab.Region, name string) error {
	op, err := operator.Connect(root)
	if err != nil {
		return err
	}
	defer op.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = op.Command(ctx, events.ForgetRegion{Name: name})
	return err
}
