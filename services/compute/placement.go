package compute

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/tagging"
)

// Limits of placement groups ("Placement group rules and limitations").
const (
	maxPlacementGroups = 500
	maxPartitions      = 7
	maxSpread          = 7 // instances of a spread group in each zone
)

// CreatePlacementGroup makes a group for instances to be launched into.
func CreatePlacementGroup(v *state.View, s events.Stamp, c events.CreatePlacementGroup) ([]events.Event, error) {
	if c.Name == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter groupName")
	}
	if len(c.Name) > 255 {
		return nil, events.Faultf("InvalidParameterValue", "The name of a placement group has up to 255 characters; there are %d.", len(c.Name))
	}
	strategy := c.Strategy
	if strategy == "" {
		strategy = events.Cluster
		if c.Partitions != 0 {
			strategy = events.Partition
		}
	}
	partitions := c.Partitions
	switch strategy {
	case events.Partition:
		if partitions == 0 {
			partitions = 2
		}
		if partitions < 1 || partitions > maxPartitions {
			return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter PartitionCount is invalid. Use 1 to %d.", partitions, maxPartitions)
		}
	case events.Cluster, events.Spread:
		if partitions != 0 {
			return nil, events.Faultf("InvalidParameterCombination", "The parameter PartitionCount is valid for the strategy 'partition' only.")
		}
	default:
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter strategy is invalid. Use cluster, spread or partition.", strategy)
	}
	if err := tagging.Check(c.Tags); err != nil {
		return nil, err
	}
	n := 0
	for g := range v.PlacementGroupsOf(s.Account) {
		if g.Name == c.Name {
			return nil, events.Faultf("InvalidPlacementGroup.Duplicate", "The placement group '%s' already exists.", c.Name)
		}
		n++
	}
	if n >= maxPlacementGroups {
		return nil, events.Faultf("PlacementGroupLimitExceeded", "The account has %d placement groups, which is the limit.", n)
	}
	id := events.PlacementID("pg-" + s.Seed.Hex("pg", 0))
	out := []events.Event{events.PlacementGroupCreated{ID: id, Account: s.Account, Name: c.Name, Strategy: strategy, Partitions: partitions, At: s.Time}}
	return append(out, tagging.New(s, string(id), c.Tags)...), nil
}

// DeletePlacementGroup ends a group that no instance is in.
func DeletePlacementGroup(v *state.View, s events.Stamp, c events.DeletePlacementGroup) ([]events.Event, error) {
	if c.Name == "" {
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter groupName")
	}
	g, ok := v.PlacementGroup(s.Account, c.Name)
	if !ok {
		return nil, NoPlacementGroup(c.Name)
	}
	for i := range v.InGroup(g.ID) {
		return nil, events.Faultf("InvalidPlacementGroup.InUse", "The placement group '%s' is in use and may not be deleted: %s is in it.", g.Name, i.ID)
	}
	return []events.Event{events.PlacementGroupDeleted{ID: g.ID, Account: s.Account, Name: g.Name}}, nil
}

// NoPlacementGroup is the fault for a group that is not there.
func NoPlacementGroup(name string) error {
	return events.Faultf("InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.", name)
}

// inGroup finds the group of a launch, and the one zone it has to be in, if it
// has to.
func inGroup(v *state.View, a events.AccountID, c events.RunInstances, zone events.Zone) (*state.PlacementGroup, events.Zone, error) {
	if c.Group == "" {
		if c.Partition != 0 {
			return nil, zone, events.Faultf("InvalidParameterCombination", "The parameter PartitionNumber is for launches into a partition placement group.")
		}
		return nil, zone, nil
	}
	g, ok := v.PlacementGroup(a, c.Group)
	if !ok {
		return nil, zone, NoPlacementGroup(c.Group)
	}
	if c.Partition < 0 || c.Partition > g.Partitions {
		return nil, zone, events.Faultf("InvalidParameterValue", "Value (%d) for parameter PartitionNumber is invalid: the placement group '%s' has %d partitions.", c.Partition, g.Name, g.Partitions)
	}
	if g.Strategy != events.Cluster {
		return g, zone, nil
	}
	for i := range v.InGroup(g.ID) {
		if zone != "" && zone != i.Zone {
			return nil, zone, events.Faultf("InvalidParameterValue", "The cluster placement group '%s' is in the Availability Zone %s, and cannot span %s too.", g.Name, i.Zone, zone)
		}
		return g, i.Zone, nil
	}
	return g, zone, nil
}
