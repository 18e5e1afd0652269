package events

import "time"

// Commands and events of identities: an account's users, their access keys and
// their policies. The root of an account may do everything in it; a user may do
// what policies allow and none denies.

// CreateUser makes a user of the stamp's account. It may do nothing yet.
type CreateUser struct {
	Name string `json:"name"` // 1 to 64 letters, digits and +=,.@-_
}

// DeleteUser ends a user with its policies. Its access keys must be deleted before.
type DeleteUser struct {
	Name string `json:"name"`
}

// CreateAccessKey gives a user another access key: two at most.
type CreateAccessKey struct {
	User string `json:"user"`
}

// DeleteAccessKey ends a key; a request that it signed is refused from then on.
type DeleteAccessKey struct {
	User      string `json:"user"`
	AccessKey string `json:"accessKey"`
}

// PutUserPolicy gives a user a policy under a name, in place of one that has it
// ("IAM JSON policy elements reference").
type PutUserPolicy struct {
	User     string `json:"user"`
	Name     string `json:"name"`
	Document string `json:"document"` // JSON
}

// DeleteUserPolicy takes it away.
type DeleteUserPolicy struct {
	User string `json:"user"`
	Name string `json:"name"`
}

// UserCreated is a user of an account.
type UserCreated struct {
	Account AccountID `json:"account"`
	Name    string    `json:"name"`
	ID      string    `json:"id"` // AIDA…
	At      time.Time `json:"at"`
}

// UserDeleted ends a user and its policies.
type UserDeleted struct {
	Account AccountID `json:"account"`
	Name    string    `json:"name"`
	ID      string    `json:"id"`
}

// AccessKeyCreated carries no secret: it is derived from the region's key and
// the key's id.
type AccessKeyCreated struct {
	Account   AccountID `json:"account"`
	User      string    `json:"user"`
	AccessKey string    `json:"accessKey"` // AKIA…
	At        time.Time `json:"at"`
}

// AccessKeyDeleted ends an access key.
type AccessKeyDeleted struct {
	Account   AccountID `json:"account"`
	User      string    `json:"user"`
	AccessKey string    `json:"accessKey"`
}

// UserPolicyPut gives a user a policy.
type UserPolicyPut struct {
	Account  AccountID `json:"account"`
	User     string    `json:"user"`
	Name     string    `json:"name"`
	Document string    `json:"document"`
}

// UserPolicyDeleted takes it away.
type UserPolicyDeleted struct {
	Account AccountID `json:"account"`
	User    string    `json:"user"`
	Name    string    `json:"name"`
}

// Service names the room that decides.
func (CreateUser) Service() string       { return "iam" }
func (DeleteUser) Service() string       { return "iam" }
func (CreateAccessKey) Service() string  { return "iam" }
func (DeleteAccessKey) Service() string  { return "iam" }
func (PutUserPolicy) Service() string    { return "iam" }
func (DeleteUserPolicy) Service() string { return "iam" }

// About says of whom.
func (e UserCreated) About() About       { return userAbout(e.Account, e.Name, "created") }
func (e UserDeleted) About() About       { return userAbout(e.Account, e.Name, "deleted") }
func (e UserPolicyPut) About() About     { return userAbout(e.Account, e.User, "policy-put") }
func (e UserPolicyDeleted) About() About { return userAbout(e.Account, e.User, "policy-deleted") }
func (e AccessKeyCreated) About() About {
	return About{"", "iam", "access-key", e.AccessKey, "created"}
}
func (e AccessKeyDeleted) About() About {
	return About{"", "iam", "access-key", e.AccessKey, "deleted"}
}

func userAbout(a AccountID, name, verb string) About {
	return About{"", "iam", "user", string(a) + "-" + word(name), verb}
}

func init() {
	for _, c := range []Command{CreateUser{}, DeleteUser{}, CreateAccessKey{}, DeleteAccessKey{}, PutUserPolicy{}, DeleteUserPolicy{}} {
		commands.add(c)
	}
	for _, e := range []Event{UserCreated{}, UserDeleted{}, AccessKeyCreated{}, AccessKeyDeleted{}, UserPolicyPut{}, UserPolicyDeleted{}} {
		kinds.add(e)
	}
}
