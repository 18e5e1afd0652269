// Package tags turns the tags of requests and replies into the region's own and
// back: TagSpecification of the actions that create something, Tag of
// CreateTags, tagSet of every describe. The limits of a tag's key and value
// are the region's to check; what this package refuses is a specification that
// the action has no use for.
package tags

import (
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/api/model"
)

// Specs sorts tag specifications by resource type. The types are those that the
// action creates. Faults: InvalidParameterValue, MissingParameter.
func Specs(specs []model.TagSpecification, types ...string) (map[string][]events.Tag, error) {
	out := make(map[string][]events.Tag, len(specs))
	for i, s := range specs {
		switch {
		case s.ResourceType == nil || *s.ResourceType == "":
			return nil, events.Faultf("MissingParameter", "Tag specification resource type must have a value: send TagSpecification.%d.ResourceType", i+1)
		case !slices.Contains(types, *s.ResourceType):
			return nil, events.Faultf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation. Expected one of: %s.", *s.ResourceType, strings.Join(types, ", "))
		case len(s.Tags) == 0:
			return nil, events.Faultf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		if _, twice := out[*s.ResourceType]; twice {
			return nil, events.Faultf("InvalidParameterValue", "The same resource type may not be specified more than once in tag specifications: '%s'", *s.ResourceType)
		}
		tags, err := Read(s.Tags)
		if err != nil {
			return nil, err
		}
		out[*s.ResourceType] = tags
	}
	return out, nil
}

// Read takes the tags of a request, in its order. A tag without a value has the
// empty one. Faults: MissingParameter, InvalidParameterValue for a key twice.
func Read(in []model.Tag) ([]events.Tag, error) {
	out := make([]events.Tag, 0, len(in))
	seen := make(map[string]bool, len(in))
	for i, t := range in {
		if t.Key == nil {
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter Tag.%d.Key", i+1)
		}
		if seen[*t.Key] {
			return nil, events.Faultf("InvalidParameterValue", "Duplicate tag key '%s' specified.", *t.Key)
		}
		seen[*t.Key] = true
		e := events.Tag{Key: *t.Key}
		if t.Value != nil {
			e.Value = *t.Value
		}
		out = append(out, e)
	}
	return out, nil
}

// Write shows tags in a reply.
func Write(in []events.Tag) []model.Tag {
	out := make([]model.Tag, 0, len(in))
	for i := range in { // rows never change, and replies are read only
		out = append(out, model.Tag{Key: &in[i].Key, Value: &in[i].Value})
	}
	return out
}

// Map is tags by key, as filters want them.
func Map(in []events.Tag) map[string]string {
	out := make(map[string]string, len(in))
	for _, t := range in {
		out[t.Key] = t.Value
	}
	return out
}
