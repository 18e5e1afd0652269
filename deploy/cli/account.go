package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/operator"
	"skerry/events"
)

// keys are an account and its first access key, as the AWS CLI names them.
type keys struct {
	AccountID string `json:"AccountId"`
	AccessKey string `json:"AccessKeyId"`
	Secret    string `json:"SecretAccessKey"`
	Name      string `json:"Name,omitempty"`
}

func keysOf(a events.AccountKeys) keys {
	return keys{string(a.AccountID), a.AccessKeyID, a.SecretAccessKey, a.Name}
}

// adminName is the account that `up` makes and `env` uses.
const adminName = "admin"

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Make an account with an access key and a default VPC."`
	List   accountListCmd   `cmd:"" help:"List accounts."`
	Delete accountDeleteCmd `cmd:"" help:"Delete an account that runs nothing."`
}

type accountCreateCmd struct {
	Name string `arg:"" help:"Name of the account."`
}

// Run prints the keys of the new account.
func (c *accountCreateCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		k, err := createAccount(ctx, r, op, c.Name)
		if err != nil {
			return err
		}
		return e.answer(k, func() {
			e.table([]any{"account", "name", "access key", "secret"}, [][]any{{k.AccountID, k.Name, k.AccessKey, k.Secret}})
		})
	})
}

type accountListCmd struct{}

// Run lists the accounts; their secrets are in the JSON only.
func (accountListCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		as, err := op.Accounts(ctx)
		if err != nil {
			return err
		}
		list, rows := []keys{}, [][]any{}
		for _, a := range as {
			list = append(list, keysOf(a))
			rows = append(rows, []any{a.AccountID, a.Name, a.AccessKeyID})
		}
		return e.answer(list, func() { e.table([]any{"account", "name", "access key"}, rows) })
	})
}

type accountDeleteCmd struct {
	ID string `arg:"" help:"Account id: 12 digits."`
}

// Run deletes one account.
func (c *accountDeleteCmd) Run(e *env) error {
	return e.operate(func(ctx context.Context, r *lab.Region, op *operator.Client) error {
		if k, err := readKeys(r); err == nil && k.AccountID == c.ID {
			return problem{fmt.Errorf("account %s is the one that `skerry env` uses", c.ID), "skerry account list" + e.dirFlag()}
		}
		if _, err := op.Command(ctx, events.DeleteAccount{ID: events.AccountID(c.ID)}); err != nil {
			return err
		}
		return e.answer(map[string]string{"AccountId": c.ID}, func() { fmt.Fprintf(e.out, "Account %s is deleted.\n", c.ID) })
	})
}

// operate connects to the region's bus for one command.
func (e *env) operate(f func(context.Context, *lab.Region, *operator.Client) error) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	op, err := operator.Connect(r)
	if err != nil {
		return problem{fmt.Errorf("region %s: %w", r.Name, err), "skerry up" + e.dirFlag()}
	}
	defer op.Close()
	ctx, cancel := context.WithTimeout(e.ctx, 15*time.Second)
	defer cancel()
	return f(ctx, r, op)
}

// createAccount makes an account and derives its secret from the region's key,
// which never travels.
func createAccount(ctx context.Context, r *lab.Region, op *operator.Client, name string) (keys, error) {
	rep, err := op.Command(ctx, events.CreateAccount{Name: name})
	if err != nil {
		return keys{}, err
	}
	made, ok := operator.Find[events.AccountCreated](rep)
	if !ok {
		return keys{}, errors.New("the region said yes, but its answer names no account")
	}
	secret, err := operator.Secret(r, made.AccessKey)
	return keys{string(made.ID), made.AccessKey, secret, made.Name}, err
}

// firstAccount answers the keys of the account that `env` uses, and makes it
// when there is none. A voter that has just started may not know of it yet: the
// region refuses a second one, and then the list is asked again. Where the
// accounts are another region's, it waits until that one has told of it.
func firstAccount(ctx context.Context, r *lab.Region) (keys, error) {
	if k, err := readKeys(r); err == nil {
		return k, nil
	}
	op, err := operator.Connect(r)
	if err != nil {
		return keys{}, err
	}
	defer op.Close()
	for {
		as, err := op.Accounts(ctx)
		if err != nil {
			return keys{}, err
		}
		for _, a := range as {
			if a.Name == adminName {
				return keysOf(a), nil
			}
		}
		if r.Root != nil {
			select {
			case <-ctx.Done():
				return keys{}, problem{fmt.Errorf("the accounts of the region %s are not known here: it has to be up once", r.Root.Region), "skerry up --dir " + quote(r.Root.Dir)}
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		k, err := createAccount(ctx, r, op, adminName)
		var f *events.Fault
		if !errors.As(err, &f) || f.FaultCode != "EntityAlreadyExists" || ctx.Err() != nil {
			return k, err
		}
	}
}

func readKeys(r *lab.Region) (keys, error) {
	var k keys
	b, err := os.ReadFile(r.Path("credentials.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return k, errors.New("the region has no keys yet: it never came up wholly")
	}
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fmt.Errorf("%s: %w", r.Path("credentials.json"), err)
	}
	return k, nil
}
