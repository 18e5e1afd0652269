package network

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of prefix lists ("Amazon VPC quotas", "CreateManagedPrefixList").
const (
	maxPrefixLists   = 100  // of an account
	maxPrefixEntries = 1000 // of a list
	maxPrefixChanges = 100  // entries that come, or go, in one call
)

// CreatePrefixList makes a list that nothing refers to yet.
func CreatePrefixList(v *state.View, s events.Stamp, c events.CreatePrefixList) ([]events.Event, error) {
	if err := prefixName(c.Name); err != nil {
		return nil, err
	}
	switch c.Family {
	case events.FamilyIPv4, events.FamilyIPv6:
	case "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter AddressFamily")
	default:
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter AddressFamily is invalid. It is IPv4 or IPv6.", c.Family)
	}
	if err := prefixSize(c.Max, len(c.Entries)); err != nil {
		return nil, err
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	if err := prefixEntries(c.Family, nil, c.Entries); err != nil {
		return nil, err
	}
	count := 0
	for range v.PrefixListsOf(s.Account) {
		count++
	}
	if count >= maxPrefixLists {
		return nil, events.Faultf("ResourceLimitExceeded", "The maximum number of prefix lists has been reached: %d.", maxPrefixLists)
	}
	id := events.PrefixListID("pl-" + s.Seed.Hex("pl", 0))
	out := []events.Event{events.PrefixListCreated{ID: id, Account: s.Account, Name: c.Name, Family: c.Family, Max: c.Max, Entries: c.Entries}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

func prefixName(name string) error {
	switch {
	case name == "":
		return events.Faultf("MissingParameter", "The request must contain the parameter PrefixListName")
	case utf8.RuneCountInString(name) > 255, strings.HasPrefix(name, "com.amazonaws"):
		return events.Faultf("InvalidParameterValue", "Value (%.64s) for parameter PrefixListName is invalid. A name has up to 255 characters and cannot start with com.amazonaws.", name)
	}
	return nil
}

func prefixSize(most, entries int) error {
	switch {
	case most < 1 || most > maxPrefixEntries:
		return events.Faultf("InvalidParameterValue", "Value (%d) for parameter MaxEntries is invalid. It must be 1 to %d.", most, maxPrefixEntries)
	case entries > most:
		return events.Faultf("PrefixListMaxEntriesExceeded", "The prefix list would have %d entries, and can have %d.", entries, most)
	}
	return nil
}

// prefixEntries checks entries that come to those that a list has.
func prefixEntries(family string, have, add []events.PrefixEntry) error {
	if len(add) > maxPrefixChanges {
		return events.Faultf("InvalidParameterValue", "At most %d entries can be added at once.", maxPrefixChanges)
	}
	for i, e := range add {
		same := func(o events.PrefixEntry) bool { return o.CIDR == e.CIDR }
		switch {
		case !e.CIDR.IsValid() || e.CIDR.Addr().Is4() != (family == events.FamilyIPv4) || e.CIDR.Addr().Is4In6():
			return events.Faultf("InvalidParameterValue", "The CIDR %s is not valid for an %s prefix list.", e.CIDR, family)
		case e.CIDR != e.CIDR.Masked():
			return events.Faultf("InvalidParameterValue", "CIDR block %s is malformed: did you mean %s?", e.CIDR, e.CIDR.Masked())
		case utf8.RuneCountInString(e.Description) > 255:
			return events.Faultf("InvalidParameterValue", "A description has up to 255 characters.")
		case slices.ContainsFunc(add[:i], same), slices.ContainsFunc(have, same):
			return events.Faultf("InvalidRequest", "The prefix list has an entry for %s already, or it is given twice.", e.CIDR)
		}
	}
	return nil
}

func prefixList(v *state.View, a events.AccountID, id events.PrefixListID) (*state.PrefixList, error) {
	l, ok := v.PrefixLists.Get(string(id))
	if !ok || l.Account != a {
		return nil, events.Faultf("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", id)
	}
	return l, nil
}

// atVersion refuses a change of a version that the list no longer has.
func atVersion(l *state.PrefixList, version uint64) error {
	if version != l.Version() {
		return events.Faultf("PrefixListVersionMismatch", "The prefix list '%s' is at version %d, not %d.", l.ID, l.Version(), version)
	}
	return nil
}

// ModifyPrefixList changes the name, the size or the entries. What refers to the
// list follows at once, and a size that a group has no room for is refused.
func ModifyPrefixList(v *state.View, s events.Stamp, c events.ModifyPrefixList) ([]events.Event, error) {
	l, err := prefixList(v, s.Account, c.List)
	if err != nil {
		return nil, err
	}
	entries := len(c.Add)+len(c.Remove) > 0
	switch {
	case !entries && c.Name == nil && c.Max == nil:
		return nil, events.Faultf("MissingParameter", "The request must contain what to modify.")
	case entries && c.Max != nil:
		return nil, events.Faultf("InvalidParameterCombination", "The entries of a prefix list and its size cannot be modified at the same time.")
	case entries && c.Current == nil:
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter CurrentVersion")
	case len(c.Remove) > maxPrefixChanges:
		return nil, events.Faultf("InvalidParameterValue", "At most %d entries can be removed at once.", maxPrefixChanges)
	}
	if c.Current != nil {
		if err := atVersion(l, *c.Current); err != nil {
			return nil, err
		}
	}
	e := events.PrefixListModified{ID: l.ID, Account: l.Account, Name: c.Name, Max: c.Max, Added: c.Add, Removed: c.Remove}
	if c.Name != nil {
		if err := prefixName(*c.Name); err != nil {
			return nil, err
		}
	}
	if c.Max != nil {
		if err := prefixSize(*c.Max, len(l.Entries())); err != nil {
			return nil, err
		}
		if err := roomFor(v, l, *c.Max); err != nil {
			return nil, err
		}
	}
	if entries {
		if err := prefixEntries(l.Family, l.Entries(), c.Add); err != nil {
			// The same block on both sides has a fault of its own.
			for _, p := range c.Remove {
				if slices.ContainsFunc(c.Add, func(a events.PrefixEntry) bool { return a.CIDR == p }) {
					return nil, events.Faultf("InvalidParameterValue", "Request cannot contain Cidr %s in both AddPrefixListEntries and RemovePrefixListEntries", p)
				}
			}
			return nil, err
		}
		for i, p := range c.Remove {
			if slices.Contains(c.Remove[:i], p) || !slices.ContainsFunc(l.Entries(), func(o events.PrefixEntry) bool { return o.CIDR == p }) {
				return nil, events.Faultf("InvalidParameterValue", "The prefix list '%s' has no entry for %s, or it is given twice.", l.ID, p)
			}
		}
		if err := prefixSize(l.Max, len(l.Entries())+len(c.Add)-len(c.Remove)); err != nil {
			return nil, err
		}
		e.Version = l.Version() + 1
	}
	return []events.Event{e}, nil
}

// roomFor refuses a size of a list that a group or a table which refers to it has
// no room for.
func roomFor(v *state.View, l *state.PrefixList, most int) error {
	for t := range v.TablesWith(l.ID) {
		if count := routesOf(v, t, l.Family) - l.Max + most; count > maxRoutes {
			return events.Faultf("RouteLimitExceeded", "The route table '%s' refers to the prefix list and would have %d routes: it can have %d.", t.ID, count, maxRoutes)
		}
	}
	for g := range v.GroupsWith(l.ID) {
		for _, egress := range []bool{false, true} {
			count := 0
			for _, r := range g.Rules {
				if r.Egress != egress {
					continue
				}
				if r.PrefixList == l.ID {
					count += most
				} else {
					count += weight(v, r.PrefixList)
				}
			}
			if count > maxRules {
				return events.Faultf("RulesPerSecurityGroupLimitExceeded", "The security group '%s' refers to the prefix list and would have %d rules: it can have %d.", g.ID, count, maxRules)
			}
		}
	}
	return nil
}

// weight is how many rules or routes one counts for: one that refers to a prefix
// list, as many as the list may have entries ("Prefix list quotas").
func weight(v *state.View, list events.PrefixListID) int {
	if l, ok := v.PrefixLists.Get(string(list)); ok {
		return l.Max
	}
	return 1
}

// rulesFit refuses more rules in one direction than a group may have.
func rulesFit(v *state.View, rules []events.Rule, egress bool) error {
	count := 0
	for _, r := range rules {
		if r.Egress == egress {
			count += weight(v, r.PrefixList)
		}
	}
	if count > maxRules {
		return events.Faultf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached: %d.", maxRules)
	}
	return nil
}

// RestorePrefixList makes the entries of a version that is kept those of the
// next one.
func RestorePrefixList(v *state.View, s events.Stamp, c events.RestorePrefixList) ([]events.Event, error) {
	l, err := prefixList(v, s.Account, c.List)
	if err != nil {
		return nil, err
	}
	if err := atVersion(l, c.Current); err != nil {
		return nil, err
	}
	old, ok := l.At(c.From)
	if !ok {
		return nil, noVersion(l.ID, c.From)
	}
	if err := prefixSize(l.Max, len(old)); err != nil {
		return nil, err
	}
	return []events.Event{events.PrefixListRestored{ID: l.ID, Account: l.Account, Version: l.Version() + 1, From: c.From}}, nil
}

func noVersion(id events.PrefixListID, version uint64) error {
	return events.Faultf("InvalidParameterValue", "The prefix list '%s' has no version %d, or no longer.", id, version)
}

// PrefixEntries are the entries of an account's list at a version, 0 for the one
// that it has.
func PrefixEntries(v *state.View, a events.AccountID, id events.PrefixListID, version uint64) ([]events.PrefixEntry, error) {
	l, err := prefixList(v, a, id)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return l.Entries(), nil
	}
	old, ok := l.At(version)
	if !ok {
		return nil, noVersion(id, version)
	}
	return old, nil
}

// DeletePrefixList ends a list that nothing refers to.
func DeletePrefixList(v *state.View, s events.Stamp, c events.DeletePrefixList) ([]events.Event, error) {
	l, err := prefixList(v, s.Account, c.List)
	if err != nil {
		return nil, err
	}
	for g := range v.GroupsWith(l.ID) {
		return nil, events.Faultf("DependencyViolation", "The prefix list '%s' is referenced by %s and cannot be deleted.", l.ID, g.ID)
	}
	for t := range v.TablesWith(l.ID) {
		return nil, events.Faultf("DependencyViolation", "The prefix list '%s' is referenced by %s and cannot be deleted.", l.ID, t.ID)
	}
	return []events.Event{events.PrefixListDeleted{ID: l.ID, Account: l.Account}}, nil
}

// Blocks are what a rule's peer stands for, one by one: the block of an address
// range, those of a prefix list.
func Blocks(v *state.View, r events.Rule) []netip.Prefix {
	if r.PrefixList == "" {
		return []netip.Prefix{r.CIDR}
	}
	return listed(v, r.PrefixList)
}

// listed are the blocks of a list that something refers to: it stays meanwhile.
func listed(v *state.View, id events.PrefixListID) (out []netip.Prefix) {
	l, _ := v.PrefixLists.Get(string(id))
	for _, e := range l.Entries() {
		out = append(out, e.CIDR)
	}
	return out
}
