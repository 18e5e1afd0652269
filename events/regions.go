package events

import "time"

// Commands and events of regions that share accounts. One of them is the root:
// accounts, users, keys and policies are decided there. Another one is formed
// with trust in it, follows its history and imports what concerns identities.
//
//	root     AccountCreated … UserPolicyPut …        n = 17 … 23 …
//	             │  asked for, from a point on
//	trusting ImportIdentities{after 12, to 23} ─▶ the same events, IdentitiesImported{23}
//
// Each region is a truth of its own: nothing else of one means anything in
// another.

// RegionInfo is what regions that share accounts know of each other.
type RegionInfo struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`                 // uuid
	Endpoint string   `json:"endpoint,omitempty"` // host[:port] of its API, as users reach it
	At       []string `json:"at,omitempty"`       // where other regions ask it: http://host:port, or unix:path within one machine
}

// Point is a place in the history of a region: an event and its hash. Zero is
// before the first event.
type Point struct {
	N    uint64 `json:"n"`
	Hash Hash   `json:"hash"`
}

// Identity is one event of the root, as another region imports it. One of its
// events is set.
type Identity struct {
	N                 uint64             `json:"n"` // at the root
	AccountCreated    *AccountCreated    `json:"accountCreated,omitempty"`
	AccountDeleted    *AccountDeleted    `json:"accountDeleted,omitempty"`
	UserCreated       *UserCreated       `json:"userCreated,omitempty"`
	UserDeleted       *UserDeleted       `json:"userDeleted,omitempty"`
	AccessKeyCreated  *AccessKeyCreated  `json:"accessKeyCreated,omitempty"`
	AccessKeyDeleted  *AccessKeyDeleted  `json:"accessKeyDeleted,omitempty"`
	UserPolicyPut     *UserPolicyPut     `json:"userPolicyPut,omitempty"`
	UserPolicyDeleted *UserPolicyDeleted `json:"userPolicyDeleted,omitempty"`
	RegionTold        *RegionTold        `json:"regionTold,omitempty"`
	RegionForgotten   *RegionForgotten   `json:"regionForgotten,omitempty"`
}

// IdentityOf is an event as other regions import it; not ok when it is none of
// their business.
func IdentityOf(r Record) (i Identity, ok bool) {
	i.N = r.N
	switch e := r.Event.(type) {
	case AccountCreated:
		i.AccountCreated = &e
	case AccountDeleted:
		i.AccountDeleted = &e
	case UserCreated:
		i.UserCreated = &e
	case UserDeleted:
		i.UserDeleted = &e
	case AccessKeyCreated:
		i.AccessKeyCreated = &e
	case AccessKeyDeleted:
		i.AccessKeyDeleted = &e
	case UserPolicyPut:
		i.UserPolicyPut = &e
	case UserPolicyDeleted:
		i.UserPolicyDeleted = &e
	case RegionTold:
		i.RegionTold = &e
	case RegionForgotten:
		i.RegionForgotten = &e
	default:
		return i, false
	}
	return i, true
}

// TellRegion tells the root of a region that trusts it, or of itself.
type TellRegion struct {
	Region RegionInfo `json:"region"`
}

// ForgetRegion tells the root that a region is no more.
type ForgetRegion struct {
	Name string `json:"name"`
}

// ImportIdentities brings what happened to identities at the root after one
// point and up to another: all of it, in order.
type ImportIdentities struct {
	Root       string     `json:"root"`
	After      Point      `json:"after"`
	To         Point      `json:"to"`
	Identities []Identity `json:"identities,omitempty"`
}

// RegionTold is a region that shares the accounts.
type RegionTold struct {
	Region RegionInfo `json:"region"`
	At     time.Time  `json:"at"`
}

// RegionForgotten ends it.
type RegionForgotten struct {
	Name string `json:"name"`
}

// IdentitiesImported says how far a region has followed its root.
type IdentitiesImported struct {
	Root string `json:"root"`
	To   Point  `json:"to"`
}

// AccountClosed ends the keys of an account that the root deleted while this
// region still holds something of it. DeleteAccount ends the rest.
type AccountClosed struct {
	ID AccountID `json:"id"`
	At time.Time `json:"at"`
}

// FarSnapshot is a snapshot of another region, as that one told it to a caller
// who may read it.
type FarSnapshot struct {
	Region  string `json:"region"`
	SizeGiB int    `json:"sizeGiB"`
	State   string `json:"state"`
}

// FarImage is an image of another region, as that one told it to a caller who
// may launch it.
type FarImage struct {
	Region    string        `json:"region"`
	Image     Image         `json:"image"`
	State     string        `json:"state"`
	Kernel    ImageFile     `json:"kernel,omitzero"` // that it boots with
	Ramdisk   ImageFile     `json:"ramdisk,omitzero"`
	Snapshots []FarSnapshot `json:"snapshots,omitempty"` // of the mappings that have one, in their order
	Tags      []Tag         `json:"tags,omitempty"`      // the caller's own
}

// Service names the room that decides.
func (TellRegion) Service() string       { return "accounts" }
func (ForgetRegion) Service() string     { return "accounts" }
func (ImportIdentities) Service() string { return "accounts" }

// About says of whom.
func (e RegionTold) About() About      { return About{"", "accounts", "region", e.Region.Name, "told"} }
func (e RegionForgotten) About() About { return About{"", "accounts", "region", e.Name, "forgotten"} }
func (e IdentitiesImported) About() About {
	return About{"", "accounts", "region", e.Root, "imported"}
}
func (e AccountClosed) About() About {
	return About{"", "accounts", "account", string(e.ID), "closed"}
}

func init() {
	for _, c := range []Command{TellRegion{}, ForgetRegion{}, ImportIdentities{}} {
		commands.add(c)
	}
	for _, e := range []Event{RegionTold{}, RegionForgotten{}, IdentitiesImported{}, AccountClosed{}} {
		kinds.add(e)
	}
}
