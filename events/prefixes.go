package events

import "net/netip"

// Managed prefix lists: blocks of addresses under one name, for rules of security
// groups and for routes. What refers to a list follows it.

// Families of addresses of a prefix list.
const (
	FamilyIPv4 = "IPv4"
	FamilyIPv6 = "IPv6"
)

// PrefixEntry is a block of a prefix list.
type PrefixEntry struct {
	CIDR        netip.Prefix `json:"cidr"`
	Description string       `json:"description,omitempty"`
}

// CreatePrefixList makes a list that nothing refers to yet.
type CreatePrefixList struct {
	Name    string        `json:"name"`
	Family  string        `json:"family"`
	Max     int           `json:"max"` // entries that it may ever have
	Entries []PrefixEntry `json:"entries,omitempty"`
	Tags    []Tag         `json:"tags,omitempty"`
}

// ModifyPrefixList changes what is set. The version that the caller knows has to
// be named when entries come or go.
type ModifyPrefixList struct {
	List    PrefixListID   `json:"list"`
	Current *uint64        `json:"current,omitempty"`
	Name    *string        `json:"name,omitempty"`
	Max     *int           `json:"max,omitempty"`
	Add     []PrefixEntry  `json:"add,omitempty"`
	Remove  []netip.Prefix `json:"remove,omitempty"`
}

// RestorePrefixList makes a version's entries those of the next version.
type RestorePrefixList struct {
	List    PrefixListID `json:"list"`
	Current uint64       `json:"current"` // version that the list has
	From    uint64       `json:"from"`
}

// DeletePrefixList ends a list that nothing refers to.
type DeletePrefixList struct {
	List PrefixListID `json:"list"`
}

// PrefixListCreated is a list at its first version.
type PrefixListCreated struct {
	ID      PrefixListID  `json:"id"`
	Account AccountID     `json:"account"`
	Name    string        `json:"name"`
	Family  string        `json:"family"`
	Max     int           `json:"max"`
	Entries []PrefixEntry `json:"entries,omitempty"`
}

// PrefixListModified changes what is set. Version is the one that the entries
// are then of, and unset when they stay.
type PrefixListModified struct {
	ID      PrefixListID   `json:"id"`
	Account AccountID      `json:"account"`
	Version uint64         `json:"version,omitempty"`
	Name    *string        `json:"name,omitempty"`
	Max     *int           `json:"max,omitempty"`
	Added   []PrefixEntry  `json:"added,omitempty"`
	Removed []netip.Prefix `json:"removed,omitempty"`
}

// PrefixListRestored gives the list another version with the entries of an older
// one.
type PrefixListRestored struct {
	ID      PrefixListID `json:"id"`
	Account AccountID    `json:"account"`
	Version uint64       `json:"version"`
	From    uint64       `json:"from"`
}

// PrefixListDeleted ends a list.
type PrefixListDeleted struct {
	ID      PrefixListID `json:"id"`
	Account AccountID    `json:"account"`
}

// Service names the room that decides.
func (CreatePrefixList) Service() string  { return "network" }
func (ModifyPrefixList) Service() string  { return "network" }
func (RestorePrefixList) Service() string { return "network" }
func (DeletePrefixList) Service() string  { return "network" }

// About says of whom.
func (e PrefixListCreated) About() About  { return prefixAbout(e.ID, "created") }
func (e PrefixListModified) About() About { return prefixAbout(e.ID, "modified") }
func (e PrefixListRestored) About() About { return prefixAbout(e.ID, "restored") }
func (e PrefixListDeleted) About() About  { return prefixAbout(e.ID, "deleted") }

func prefixAbout(id PrefixListID, verb string) About {
	return About{"", "network", "prefix-list", string(id), verb}
}

func init() {
	for _, c := range []Command{CreatePrefixList{}, ModifyPrefixList{}, RestorePrefixList{}, DeletePrefixList{}} {
		commands.add(c)
	}
	for _, e := range []Event{PrefixListCreated{}, PrefixListModified{}, PrefixListRestored{}, PrefixListDeleted{}} {
		kinds.add(e)
	}
}
