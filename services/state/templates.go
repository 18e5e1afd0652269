package state

import (
	"iter"
	"slices"

	"skerry/events"
)

// PlacementGroup is a placement group.
type PlacementGroup struct {
	events.PlacementGroupCreated
}

// Member is an instance as one of the group.
func (g *PlacementGroup) Member(partition int) *events.GroupMember {
	if g == nil {
		return nil
	}
	return &events.GroupMember{Group: g.ID, Strategy: g.Strategy, Partition: partition}
}

// Template is a launch template with its versions by number.
type Template struct {
	ID       events.TemplateID        `json:"id"`
	Account  events.AccountID         `json:"account"`
	Name     string                   `json:"name"`
	Default  uint64                   `json:"default"`
	Latest   uint64                   `json:"latest"` // highest number ever given
	Versions []events.TemplateVersion `json:"versions"`
}

// Version finds a version by number.
func (t *Template) Version(n uint64) (events.TemplateVersion, bool) {
	at := slices.IndexFunc(t.Versions, func(x events.TemplateVersion) bool { return x.Number == n })
	if at < 0 {
		return events.TemplateVersion{}, false
	}
	return t.Versions[at], true
}

// Newest is the version with the highest number.
func (t *Template) Newest() events.TemplateVersion { return t.Versions[len(t.Versions)-1] }

// templates evolves placement groups and launch templates.
func (tx *Tx) templates(r events.Record) bool {
	switch e := r.Event.(type) {
	case events.PlacementGroupCreated:
		tx.PlacementGroups.put(string(e.ID), &PlacementGroup{e})
	case events.PlacementGroupDeleted:
		tx.PlacementGroups.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.TemplateCreated:
		tx.Templates.put(string(e.ID), &Template{ID: e.ID, Account: e.Account, Name: e.Name, Default: e.First.Number, Latest: e.First.Number,
			Versions: []events.TemplateVersion{e.First}})
	case events.TemplateVersionCreated:
		tx.Templates.change(string(e.ID), func(t *Template) {
			t.Latest, t.Versions = e.Version.Number, append(slices.Clip(t.Versions), e.Version)
		})
	case events.TemplateModified:
		tx.Templates.change(string(e.ID), func(t *Template) { t.Default = e.Default })
	case events.TemplateVersionsDeleted:
		tx.Templates.change(string(e.ID), func(t *Template) {
			t.Versions = slices.DeleteFunc(slices.Clone(t.Versions), func(x events.TemplateVersion) bool { return slices.Contains(e.Versions, x.Number) })
		})
	case events.TemplateDeleted:
		tx.Templates.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	default:
		return false
	}
	return true
}

// PlacementGroupsOf walks an account's placement groups.
func (v *View) PlacementGroupsOf(a events.AccountID) iter.Seq[*PlacementGroup] {
	return v.PlacementGroups.by(0, string(a))
}

// PlacementGroup finds an account's placement group by name or by id.
func (v *View) PlacementGroup(a events.AccountID, name string) (*PlacementGroup, bool) {
	for g := range v.PlacementGroupsOf(a) {
		if g.Name == name || string(g.ID) == name {
			return g, true
		}
	}
	return nil, false
}

// InGroup walks the instances of a placement group that have not ended.
func (v *View) InGroup(id events.PlacementID) iter.Seq[*Instance] {
	return v.Instances.by(byPlacement, string(id))
}

// MemberOf is an instance as one of its placement group, or nothing.
func (v *View) MemberOf(i *Instance) *events.GroupMember {
	if i.Group == "" {
		return nil
	}
	g, _ := v.PlacementGroups.Get(string(i.Group)) // it stays while it has instances
	return g.Member(i.Partition)
}

// MembersOn are the members of placement groups that a host has.
func (v *View) MembersOn(h events.HostID) []events.GroupMember {
	if v.PlacementGroups.Len() == 0 {
		return nil
	}
	var out []events.GroupMember
	for i := range v.InstancesOn(h) {
		if m := v.MemberOf(i); m != nil {
			out = append(out, *m)
		}
	}
	return out
}

// TemplatesOf walks an account's launch templates.
func (v *View) TemplatesOf(a events.AccountID) iter.Seq[*Template] {
	return v.Templates.by(0, string(a))
}

// Template finds an account's launch template by id, or by name.
func (v *View) Template(a events.AccountID, id events.TemplateID, name string) (*Template, bool) {
	if id != "" {
		t, ok := v.Templates.Get(string(id))
		return t, ok && t.Account == a
	}
	for t := range v.TemplatesOf(a) {
		if t.Name == name {
			return t, true
		}
	}
	return nil, false
}
