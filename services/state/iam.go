package state

import (
	"iter"
	"slices"

	"skerry/events"
)

// User is an identity of an account, with its policies by name.
type User struct {
	events.UserCreated
	Policies []UserPolicy `json:"policies,omitempty"`
}

// UserPolicy is a policy document under its name.
type UserPolicy struct {
	Name     string `json:"name"`
	Document string `json:"document"`
}

// Policy finds a user's policy by name.
func (u *User) Policy(name string) (int, bool) {
	return slices.BinarySearchFunc(u.Policies, name, func(p UserPolicy, n string) int {
		switch {
		case p.Name < n:
			return -1
		case p.Name > n:
			return 1
		}
		return 0
	})
}

// AccessKey is a key of a user. That of an account's root is in its account.
type AccessKey struct {
	events.AccessKeyCreated
}

func userKey(a events.AccountID, name string) string { return string(a) + "/" + name }

// User finds a user by name.
func (v *View) User(a events.AccountID, name string) (*User, bool) {
	return v.Users.Get(userKey(a, name))
}

// UsersOf walks an account's users by name.
func (v *View) UsersOf(a events.AccountID) iter.Seq[*User] {
	return func(yield func(*User) bool) {
		for _, u := range v.Users.From(string(a) + "/") {
			if u.Account != a || !yield(u) {
				return
			}
		}
	}
}

// AccessKeysOf walks a user's keys by id.
func (v *View) AccessKeysOf(a events.AccountID, user string) iter.Seq[*AccessKey] {
	return v.AccessKeys.by(0, userKey(a, user))
}

// identities evolves what happened to users.
func (tx *Tx) identities(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.UserCreated:
		tx.Users.put(userKey(e.Account, e.Name), &User{UserCreated: e})
	case events.UserDeleted:
		tx.Users.del(userKey(e.Account, e.Name))
	case events.AccessKeyCreated:
		_, taken := tx.AccountByKey(e.AccessKey)
		_, twice := tx.AccessKeys.Get(e.AccessKey)
		must(!taken && !twice, r, "an access key given twice")
		tx.AccessKeys.put(e.AccessKey, &AccessKey{e})
	case events.AccessKeyDeleted:
		tx.AccessKeys.del(e.AccessKey)
	case events.UserPolicyPut:
		tx.Users.change(userKey(e.Account, e.User), func(u *User) {
			at, has := u.Policy(e.Name)
			u.Policies = slices.Clone(u.Policies)
			if has {
				u.Policies[at].Document = e.Document
			} else {
				u.Policies = slices.Insert(u.Policies, at, UserPolicy{e.Name, e.Document})
			}
		})
	case events.UserPolicyDeleted:
		tx.Users.change(userKey(e.Account, e.User), func(u *User) {
			at, _ := u.Policy(e.Name)
			u.Policies = slices.Delete(slices.Clone(u.Policies), at, at+1)
		})
	default:
		return false
	}
	return true
}

// forgetUsers ends the users of an account that ends.
func (tx *Tx) forgetUsers(a events.AccountID) {
	for _, u := range slices.Collect(tx.UsersOf(a)) {
		for _, k := range slices.Collect(tx.AccessKeysOf(a, u.Name)) {
			tx.AccessKeys.del(k.AccessKey)
		}
		tx.Users.del(userKey(a, u.Name))
	}
}
