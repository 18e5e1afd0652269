// Package iam decides about identities: users, access keys and policies.
package iam

import (
	"regexp"

	"skerry/events"
	"skerry/services/iam/policy"
	"skerry/services/state"
)

// Limits ("IAM and AWS STS quotas").
const (
	maxUsers    = 5000 // of an account
	maxKeys     = 2    // of a user
	maxPolicies = 10   // of a user
)

var (
	userName   = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	policyName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
)

// Here refuses what is decided where the accounts are from, when that is another
// region.
func Here(v *state.View) error {
	if v.Meta.Root != "" {
		return events.Faultf("UnsupportedOperation", "The accounts of the region '%s' are those of the region '%s': accounts, users, access keys and policies are changed there.", v.Meta.Region, v.Meta.Root)
	}
	return nil
}

func account(v *state.View, s events.Stamp) error {
	if err := Here(v); err != nil {
		return err
	}
	if _, ok := v.Accounts.Get(string(s.Account)); !ok {
		return events.Faultf("NoSuchEntity", "The account '%s' does not exist: name one in the stamp of the command.", s.Account)
	}
	return nil
}

func user(v *state.View, a events.AccountID, name string) (*state.User, error) {
	if err := Here(v); err != nil {
		return nil, err
	}
	u, ok := v.User(a, name)
	if !ok {
		return nil, events.Faultf("NoSuchEntity", "The user with name %s cannot be found.", name)
	}
	return u, nil
}

// CreateUser makes a user that may do nothing yet.
func CreateUser(v *state.View, s events.Stamp, c events.CreateUser) ([]events.Event, error) {
	if err := account(v, s); err != nil {
		return nil, err
	}
	if !userName.MatchString(c.Name) {
		return nil, events.Faultf("ValidationError", "The specified value for userName is invalid: use 1 to 64 letters, digits and +=,.@-_.")
	}
	if _, taken := v.User(s.Account, c.Name); taken {
		return nil, events.Faultf("EntityAlreadyExists", "User with name %s already exists.", c.Name)
	}
	count := 0
	for range v.UsersOf(s.Account) {
		count++
	}
	if count >= maxUsers {
		return nil, events.Faultf("LimitExceeded", "Cannot exceed quota for UsersPerAccount: %d.", maxUsers)
	}
	return []events.Event{events.UserCreated{Account: s.Account, Name: c.Name, ID: "AIDA" + s.Seed.Base32("user", 17), At: s.Time}}, nil
}

// DeleteUser ends a user without keys.
func DeleteUser(v *state.View, s events.Stamp, c events.DeleteUser) ([]events.Event, error) {
	u, err := user(v, s.Account, c.Name)
	if err != nil {
		return nil, err
	}
	for range v.AccessKeysOf(s.Account, c.Name) {
		return nil, events.Faultf("DeleteConflict", "Cannot delete entity, must delete access keys first.")
	}
	return []events.Event{events.UserDeleted{Account: u.Account, Name: u.Name, ID: u.ID}}, nil
}

// CreateAccessKey gives a user another key.
func CreateAccessKey(v *state.View, s events.Stamp, c events.CreateAccessKey) ([]events.Event, error) {
	if _, err := user(v, s.Account, c.User); err != nil {
		return nil, err
	}
	count := 0
	for range v.AccessKeysOf(s.Account, c.User) {
		count++
	}
	if count >= maxKeys {
		return nil, events.Faultf("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d.", maxKeys)
	}
	return []events.Event{events.AccessKeyCreated{Account: s.Account, User: c.User, AccessKey: "AKIA" + s.Seed.Base32("access key", 16), At: s.Time}}, nil
}

// DeleteAccessKey ends a key.
func DeleteAccessKey(v *state.View, s events.Stamp, c events.DeleteAccessKey) ([]events.Event, error) {
	if err := Here(v); err != nil {
		return nil, err
	}
	k, ok := v.AccessKeys.Get(c.AccessKey)
	if !ok || k.Account != s.Account || k.User != c.User {
		return nil, events.Faultf("NoSuchEntity", "The Access Key with id %s cannot be found.", c.AccessKey)
	}
	return []events.Event{events.AccessKeyDeleted{Account: k.Account, User: k.User, AccessKey: k.AccessKey}}, nil
}

// PutUserPolicy gives a user a policy, when it can be read.
func PutUserPolicy(v *state.View, s events.Stamp, c events.PutUserPolicy) ([]events.Event, error) {
	u, err := user(v, s.Account, c.User)
	if err != nil {
		return nil, err
	}
	if !policyName.MatchString(c.Name) {
		return nil, events.Faultf("ValidationError", "The specified value for policyName is invalid: use 1 to 128 letters, digits and +=,.@-_.")
	}
	if _, err := policy.Parse(c.Document); err != nil {
		return nil, events.Faultf("MalformedPolicyDocument", "The policy cannot be used: %v.", err)
	}
	if _, has := u.Policy(c.Name); !has && len(u.Policies) >= maxPolicies {
		return nil, events.Faultf("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: %d.", maxPolicies)
	}
	return []events.Event{events.UserPolicyPut{Account: s.Account, User: c.User, Name: c.Name, Document: c.Document}}, nil
}

// DeleteUserPolicy takes it away.
func DeleteUserPolicy(v *state.View, s events.Stamp, c events.DeleteUserPolicy) ([]events.Event, error) {
	u, err := user(v, s.Account, c.User)
	if err != nil {
		return nil, err
	}
	if _, has := u.Policy(c.Name); !has {
		return nil, events.Faultf("NoSuchEntity", "The user policy with name %s cannot be found.", c.Name)
	}
	return []events.Event{events.UserPolicyDeleted{Account: s.Account, User: c.User, Name: c.Name}}, nil
}
