package region

import (
	"regexp"
	"slices"

	"skerry/events"
	"skerry/services/iam"
	"skerry/services/network"
	"skerry/services/state"
)

// Limits of regions that share accounts.
const (
	maxRegions = 100
	maxImport  = 1000 // identities in one command
	maxAt      = 16   // places where a region is asked
)

// place is where a region's API is, or where the region is asked.
var place = regexp.MustCompile(`^[!-~]{1,255}$`)

// TellRegion tells the root of a region that shares its accounts, or of itself.
// Two regions of one name cannot be told apart: the second is refused.
func TellRegion(v *state.View, s events.Stamp, c events.TellRegion) ([]events.Event, error) {
	if err := iam.Here(v); err != nil {
		return nil, err
	}
	i := c.Region
	if !word.MatchString(i.Name) || i.ID == "" || len(i.ID) > 64 {
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not a region: it needs a name of up to 64 letters, digits, - and _, and an id.", i.Name)
	}
	for _, at := range append(slices.Clone(i.At), i.Endpoint) {
		if at != "" && !place.MatchString(at) || len(i.At) > maxAt {
			return nil, events.Faultf("InvalidParameterValue", "The region '%s' cannot be reached at '%.80s': that is not an address, or one of more than %d.", i.Name, at, maxAt)
		}
	}
	if i.Name == v.Meta.Region && i.ID != v.Meta.ID {
		return nil, events.Faultf("EntityAlreadyExists", "'%s' is the name of this region.", i.Name)
	}
	old, known := v.Regions.Get(i.Name)
	switch {
	case known && old.Region.ID != i.ID:
		return nil, events.Faultf("EntityAlreadyExists", "Another region named '%s' shares the accounts: forget it first, when it is no more.", i.Name)
	case known && same(old.Region, i):
		return nil, nil
	case !known && v.Regions.Len() >= maxRegions:
		return nil, events.Faultf("LimitExceeded", "%d regions share the accounts; there cannot be more.", maxRegions)
	}
	return []events.Event{events.RegionTold{Region: i, At: s.Time}}, nil
}

func same(a, b events.RegionInfo) bool {
	return a.Name == b.Name && a.ID == b.ID && a.Endpoint == b.Endpoint && slices.Equal(a.At, b.At)
}

// ForgetRegion takes a region off the list.
func ForgetRegion(v *state.View, _ events.Stamp, c events.ForgetRegion) ([]events.Event, error) {
	if err := iam.Here(v); err != nil {
		return nil, err
	}
	if _, ok := v.Regions.Get(c.Name); !ok || c.Name == v.Meta.Region {
		return nil, events.Faultf("NoSuchEntity", "No other region named '%s' shares the accounts.", c.Name)
	}
	return []events.Event{events.RegionForgotten{Name: c.Name}}, nil
}

// ImportIdentities takes what happened to identities at the root. What it brings
// must begin where the last import ended: so nothing is left out, and nothing
// happens twice.
func ImportIdentities(v *state.View, s events.Stamp, c events.ImportIdentities) ([]events.Event, error) {
	switch {
	case v.Meta.Root == "" || c.Root != v.Meta.Root:
		return nil, events.Faultf("InvalidParameterValue", "'%s' is not the root of this region's accounts.", c.Root)
	case c.After != v.Meta.RootAt:
		return nil, events.Faultf("IncorrectState", "The history of '%s' was imported up to event %d: what follows event %d as given leaves a gap, or is of another history.", c.Root, v.Meta.RootAt.N, c.After.N)
	case c.To.N <= c.After.N:
		return nil, events.Faultf("InvalidParameterValue", "The import ends at event %d, before it begins.", c.To.N)
	case len(c.Identities) > maxImport:
		return nil, events.Faultf("InvalidParameterValue", "%d identities are more than the %d of one import.", len(c.Identities), maxImport)
	}
	tx := v.Fork()
	var out []events.Event
	last := c.After.N
	for n, i := range c.Identities {
		if i.N <= last || i.N > c.To.N {
			return nil, events.Faultf("InvalidParameterValue", "Event %d is out of order.", i.N)
		}
		last = i.N
		made, err := imported(&tx.View, s, i, n)
		if err != nil {
			return nil, err
		}
		for _, e := range made {
			tx.Apply(events.Record{N: tx.Meta.N + 1, Time: s.Time, Event: e})
		}
		out = append(out, made...)
	}
	return append(out, events.IdentitiesImported{Root: c.Root, To: c.To}), nil
}

// imported is what one event of the root means here. An account gets the network
// that it starts with in each region.
func imported(v *state.View, s events.Stamp, i events.Identity, n int) ([]events.Event, error) {
	unknown := func() ([]events.Event, error) {
		return nil, events.Faultf("InvalidParameterValue", "Event %d of the root cannot have happened after those before it.", i.N)
	}
	account := func(a events.AccountID) bool {
		r, ok := v.Accounts.Get(string(a))
		return ok && r.Closed.IsZero()
	}
	user := func(a events.AccountID, name string) *state.User {
		u, _ := v.User(a, name)
		return u
	}
	switch {
	case i.AccountCreated != nil:
		e := *i.AccountCreated
		if _, taken := v.Accounts.Get(string(e.ID)); taken || !accountID.MatchString(string(e.ID)) || e.AccessKey == "" {
			return unknown()
		}
		drawn := s.Seed.Bytes("account "+string(e.ID), n)
		copy(s.Seed[:], drawn[:])
		vpc, err := network.DefaultVPC(v, s, e.ID)
		return append([]events.Event{e}, vpc...), err
	case i.AccountDeleted != nil:
		if !account(i.AccountDeleted.ID) {
			return unknown()
		}
		out, err := ended(v, i.AccountDeleted.ID)
		if err != nil { // something of it is left
			return []events.Event{events.AccountClosed{ID: i.AccountDeleted.ID, At: s.Time}}, nil
		}
		return out, nil
	case i.UserCreated != nil:
		if e := *i.UserCreated; account(e.Account) && user(e.Account, e.Name) == nil {
			return []events.Event{e}, nil
		}
	case i.UserDeleted != nil:
		if e := *i.UserDeleted; user(e.Account, e.Name) != nil {
			return []events.Event{e}, nil
		}
	case i.AccessKeyCreated != nil:
		e := *i.AccessKeyCreated
		_, taken := v.AccountByKey(e.AccessKey)
		_, twice := v.AccessKeys.Get(e.AccessKey)
		if user(e.Account, e.User) != nil && !taken && !twice && e.AccessKey != "" {
			return []events.Event{e}, nil
		}
	case i.AccessKeyDeleted != nil:
		e := *i.AccessKeyDeleted
		if k, ok := v.AccessKeys.Get(e.AccessKey); ok && k.Account == e.Account && k.User == e.User {
			return []events.Event{e}, nil
		}
	case i.UserPolicyPut != nil:
		if e := *i.UserPolicyPut; user(e.Account, e.User) != nil {
			return []events.Event{e}, nil
		}
	case i.UserPolicyDeleted != nil:
		e := *i.UserPolicyDeleted
		if u := user(e.Account, e.User); u != nil {
			if _, has := u.Policy(e.Name); has {
				return []events.Event{e}, nil
			}
		}
	case i.RegionTold != nil:
		if i.RegionTold.Region.Name != "" {
			return []events.Event{*i.RegionTold}, nil
		}
	case i.RegionForgotten != nil:
		if _, ok := v.Regions.Get(i.RegionForgotten.Name); ok {
			return []events.Event{*i.RegionForgotten}, nil
		}
	}
	return unknown()
}
