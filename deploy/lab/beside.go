package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// AccountsKey is the file that regions with the same accounts have in common.
func (r *Region) AccountsKey() string { return r.Path("ca", "accounts.key") }

// HasAccountsKey says whether the region has that file. A region that was formed
// without one derives the secrets of access keys from its own key.
func (r *Region) HasAccountsKey() bool {
	_, err := os.Stat(r.AccountsKey())
	return err == nil
}

// Trust gives a region that is not made yet the accounts of another one.
func (r *Region) Trust(root *Region) error {
	switch {
	case root.Name == r.Name:
		return fmt.Errorf("the region in %s is called %s too: give this one another name", root.Dir(), root.Name)
	case root.Root != nil:
		return fmt.Errorf("the region %s has the accounts of %s: name that one, in %s", root.Name, root.Root.Region, root.Root.Dir)
	case !root.HasAccountsKey():
		return fmt.Errorf("the region %s has no %s: it was made when its accounts could not be shared, or never came up", root.Name, root.AccountsKey())
	}
	r.Root = &Root{Region: root.Name, Dir: root.Dir(), At: "unix:" + root.Asked()}
	r.beside = root
	return nil
}

// accountsKey keeps the key that secrets of access keys follow from: the root's,
// or one of its own when the region is new.
func (r *Region) accountsKey() error {
	if r.HasAccountsKey() {
		return regionKey(r.AccountsKey())
	}
	if r.Root == nil {
		if r.Formed {
			return nil
		}
		return regionKey(r.AccountsKey())
	}
	root, err := Open(r.Root.Dir)
	if errors.Is(err, ErrNoRegion) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("lab: the accounts' key of %s: %s: %w", r.Root.Region, r.Root.Dir, err)
	}
	b, err := os.ReadFile(root.AccountsKey())
	if err != nil {
		return fmt.Errorf("lab: the accounts' key of %s: %w", r.Root.Region, err)
	}
	if err := WriteFile(r.AccountsKey(), b, 0o600); err != nil {
		return err
	}
	return regionKey(r.AccountsKey())
}
