package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"skerry/deploy/lab"
	"skerry/deploy/operator"
	"skerry/events"
)

type userCmd struct {
	Create userCreateCmd `cmd:"" help:"Make a user with an access key. It may do what its policies allow."`
	Policy userPolicyCmd `cmd:"" help:"Give a user a policy, in place of one of the same name."`
	Delete userDeleteCmd `cmd:"" help:"Delete a user, and the access keys that are named."`
}

// who names a user.
type who struct {
	Account string `arg:"" help:"Account id: 12 digits."`
	Name    string `arg:"" help:"Name of the user."`
}

type userCreateCmd struct {
	who
	Policy string `help:"File with the first policy (JSON, IAM's language)." type:"existingfile"`
}

// Run prints the key of the new user. Its secret is shown here and nowhere else.
func (c *userCreateCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		account := events.AccountID(c.Account)
		if _, err := op.CommandFor(ctx, account, events.CreateUser{Name: c.Name}); err != nil {
			return err
		}
		if c.Policy != "" {
			if err := put(ctx, op, c.who, "first", c.Policy); err != nil {
				return err
			}
		}
		rep, err := op.CommandFor(ctx, account, events.CreateAccessKey{User: c.Name})
		if err != nil {
			return err
		}
		made, ok := operator.Find[events.AccessKeyCreated](rep)
		if !ok {
			return errors.New("the region said yes, but its answer names no key")
		}
		secret, err := operator.Secret(r, made.AccessKey)
		if err != nil {
			return err
		}
		k := keys{c.Account, made.AccessKey, secret, c.Name}
		return e.answer(k, func() {
			e.table([]any{"account", "user", "access key", "secret"}, [][]any{{k.AccountID, k.Name, k.AccessKey, k.Secret}})
		})
	})
}

type userPolicyCmd struct {
	who
	File string `arg:"" help:"File with the policy (JSON, IAM's language)." type:"existingfile"`
	As   string `help:"Name of the policy." default:"first"`
}

// Run puts the policy, when the region understands it.
func (c *userPolicyCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, _ *lab.Region, op *operator.Client) error {
		if err := put(ctx, op, c.who, c.As, c.File); err != nil {
			return err
		}
		return e.answer(map[string]string{"UserName": c.Name, "PolicyName": c.As}, func() { fmt.Fprintf(e.out, "%s has the policy %s.\n", c.Name, c.As) })
	})
}

func put(ctx context.Context, op *operator.Client, w who, name, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = op.CommandFor(ctx, events.AccountID(w.Account), events.PutUserPolicy{User: w.Name, Name: name, Document: string(b)})
	return err
}

type userDeleteCmd struct {
	who
	Key []string `help:"Access keys of the user, which end with it." placeholder:"AKIA…"`
}

// Run deletes the keys that are named, then the user.
func (c *userDeleteCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, _ *lab.Region, op *operator.Client) error {
		account := events.AccountID(c.Account)
		for _, k := range c.Key {
			if _, err := op.CommandFor(ctx, account, events.DeleteAccessKey{User: c.Name, AccessKey: k}); err != nil {
				return err
			}
		}
		if _, err := op.CommandFor(ctx, account, events.DeleteUser{Name: c.Name}); err != nil {
			return err
		}
		return e.answer(map[string]string{"UserName": c.Name}, func() { fmt.Fprintf(e.out, "User %s is deleted.\n", c.Name) })
	})
}
