package events

import (
	"fmt"
	"time"
)

// Commands and events of placement groups and launch templates.

// Strategies of a placement group ("Placement groups").
const (
	Cluster   = "cluster"   // near each other: in one zone
	Spread    = "spread"    // each on a host of its own
	Partition = "partition" // no host has instances of two partitions
)

// CreatePlacementGroup makes a group for instances to be launched into.
type CreatePlacementGroup struct {
	Name       string `json:"name"`
	Strategy   string `json:"strategy,omitempty"`   // cluster when empty
	Partitions int    `json:"partitions,omitempty"` // of a partition group
	Tags       []Tag  `json:"tags,omitempty"`
}

// DeletePlacementGroup ends a group that has no instances.
type DeletePlacementGroup struct {
	Name string `json:"name"`
}

// PlacementGroupCreated is the group.
type PlacementGroupCreated struct {
	ID         PlacementID `json:"id"`
	Account    AccountID   `json:"account"`
	Name       string      `json:"name"`
	Strategy   string      `json:"strategy"`
	Partitions int         `json:"partitions,omitempty"`
	At         time.Time   `json:"at"`
}

// PlacementGroupDeleted ends it.
type PlacementGroupDeleted struct {
	ID      PlacementID `json:"id"`
	Account AccountID   `json:"account"`
	Name    string      `json:"name"`
}

// Apart says in words why a host that has some members may not take one more, or
// nothing.
func (m *GroupMember) Apart(members []GroupMember) string {
	if m == nil {
		return ""
	}
	for _, o := range members {
		switch {
		case o.Group != m.Group:
		case m.Strategy == Spread:
			return fmt.Sprintf("has an instance of the spread group %s", m.Group)
		case m.Strategy == Partition && o.Partition != m.Partition:
			return fmt.Sprintf("has partition %d of %s, and partition %d may not be with it", o.Partition, m.Group, m.Partition)
		}
	}
	return ""
}

// Together says that a host has instances that m should be near to.
func (m *GroupMember) Together(members []GroupMember) bool {
	if m == nil || m.Strategy != Cluster {
		return false
	}
	for _, o := range members {
		if o.Group == m.Group {
			return true
		}
	}
	return false
}

// TemplateVersion is one version of a launch template. What it says is the door's
// own: parameters of RunInstances as the caller gave them. The region keeps it,
// and decides about names, numbers and quotas alone. User data is apart, since it
// is sealed.
type TemplateVersion struct {
	Number      uint64    `json:"number"`
	Description string    `json:"description,omitempty"`
	Data        []byte    `json:"data"` // JSON
	UserData    []byte    `json:"userData,omitempty"`
	By          string    `json:"by"` // arn of who made it
	At          time.Time `json:"at"`
}

// CreateTemplate makes a launch template with its first version.
type CreateTemplate struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"` // of the version
	Data        []byte `json:"data"`
	UserData    []byte `json:"userData,omitempty"` // sealed
	Tags        []Tag  `json:"tags,omitempty"`
}

// CreateTemplateVersion adds a version. What it is based on is in it already.
type CreateTemplateVersion struct {
	Template    TemplateID `json:"template"`
	Description string     `json:"description,omitempty"`
	Data        []byte     `json:"data"`
	UserData    []byte     `json:"userData,omitempty"` // sealed
}

// ModifyTemplate chooses the default version.
type ModifyTemplate struct {
	Template TemplateID `json:"template"`
	Default  uint64     `json:"default"`
}

// DeleteTemplate ends a template with all of its versions.
type DeleteTemplate struct {
	Template TemplateID `json:"template"`
}

// DeleteTemplateVersions ends versions. The default one stays, and what is not
// there is left out.
type DeleteTemplateVersions struct {
	Template TemplateID `json:"template"`
	Versions []uint64   `json:"versions"`
}

// TemplateCreated is a launch template and its first version.
type TemplateCreated struct {
	ID      TemplateID      `json:"id"`
	Account AccountID       `json:"account"`
	Name    string          `json:"name"`
	First   TemplateVersion `json:"first"`
}

// TemplateVersionCreated adds a version.
type TemplateVersionCreated struct {
	ID      TemplateID      `json:"id"`
	Account AccountID       `json:"account"`
	Version TemplateVersion `json:"version"`
}

// TemplateModified carries the default version.
type TemplateModified struct {
	ID      TemplateID `json:"id"`
	Account AccountID  `json:"account"`
	Default uint64     `json:"default"`
}

// TemplateVersionsDeleted ends versions.
type TemplateVersionsDeleted struct {
	ID       TemplateID `json:"id"`
	Account  AccountID  `json:"account"`
	Versions []uint64   `json:"versions"`
}

// TemplateDeleted ends a template.
type TemplateDeleted struct {
	ID      TemplateID `json:"id"`
	Account AccountID  `json:"account"`
	Name    string     `json:"name"`
}

// Service names the room that decides.
func (CreatePlacementGroup) Service() string   { return "compute" }
func (DeletePlacementGroup) Service() string   { return "compute" }
func (CreateTemplate) Service() string         { return "compute" }
func (CreateTemplateVersion) Service() string  { return "compute" }
func (ModifyTemplate) Service() string         { return "compute" }
func (DeleteTemplate) Service() string         { return "compute" }
func (DeleteTemplateVersions) Service() string { return "compute" }

func templateAbout(id TemplateID, verb string) About {
	return About{"", "compute", "launch-template", string(id), verb}
}

// About says of whom.
func (e PlacementGroupCreated) About() About {
	return About{"", "compute", "placement-group", string(e.ID), "created"}
}
func (e PlacementGroupDeleted) About() About {
	return About{"", "compute", "placement-group", string(e.ID), "deleted"}
}
func (e TemplateCreated) About() About         { return templateAbout(e.ID, "created") }
func (e TemplateVersionCreated) About() About  { return templateAbout(e.ID, "version-created") }
func (e TemplateModified) About() About        { return templateAbout(e.ID, "modified") }
func (e TemplateVersionsDeleted) About() About { return templateAbout(e.ID, "versions-deleted") }
func (e TemplateDeleted) About() About         { return templateAbout(e.ID, "deleted") }

func init() {
	for _, c := range []Command{CreatePlacementGroup{}, DeletePlacementGroup{}, CreateTemplate{}, CreateTemplateVersion{}, ModifyTemplate{},
		DeleteTemplate{}, DeleteTemplateVersions{}} {
		commands.add(c)
	}
	for _, e := range []Event{PlacementGroupCreated{}, PlacementGroupDeleted{}, TemplateCreated{}, TemplateVersionCreated{}, TemplateModified{},
		TemplateVersionsDeleted{}, TemplateDeleted{}} {
		kinds.add(e)
	}
}
