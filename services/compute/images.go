package compute

import (
	"cmp"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

// RegisterImage adds an image made of files that an image visible to the caller
// already names: content enters the region's store through its operators.
func RegisterImage(v *state.View, s events.Stamp, c events.RegisterImage) ([]events.Event, error) {
	i := c.Image
	if len(i.Name) < 3 || len(i.Name) > 128 {
		return nil, events.Faultf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for o := range v.ImagesOf(s.Account) {
		if o.Name == i.Name {
			return nil, events.Faultf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", i.Name, o.ID)
		}
	}
	var source *events.Image
	for _, o := range v.Images.All() {
		if o.Location == i.Location && o.Type == "machine" && state.Visible(o, s.Account) {
			source = o
		}
	}
	if source == nil {
		return nil, events.Faultf("InvalidParameterValue", "The image location '%s' is not one that this account can read.", i.Location)
	}
	made := *source
	made.ID, made.Account, made.OwnerAlias = events.ImageID("ami-"+s.Seed.Hex("ami", 0)), s.Account, ""
	made.Name, made.Description, made.Public, made.LaunchAccounts, made.At = i.Name, i.Description, false, nil, s.Time
	for _, part := range []struct {
		id   events.ImageID
		typ  string
		into *events.ImageID
	}{{i.Kernel, "kernel", &made.Kernel}, {i.Ramdisk, "ramdisk", &made.Ramdisk}} {
		if part.id == "" {
			continue
		}
		o, ok := v.Image(s.Account, part.id)
		if !ok || o.Type != part.typ {
			return nil, events.Faultf("InvalidAMIID.NotFound", "The %s image id '%s' does not exist", part.typ, part.id)
		}
		*part.into = part.id
	}
	if i.Architecture != "" && i.Architecture != source.Architecture {
		return nil, events.Faultf("InvalidParameterValue", "The architecture '%s' does not match the files', which is '%s'.", i.Architecture, source.Architecture)
	}
	if i.RootDevice != "" {
		made.RootDevice = i.RootDevice
	}
	return []events.Event{events.ImageRegistered{Image: made}}, nil
}

// owned finds an image that the caller may change.
func owned(v *state.View, a events.AccountID, id events.ImageID) (*events.Image, error) {
	i, ok := v.Image(a, id)
	if !ok {
		return nil, events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	if i.Account != a {
		return nil, events.Faultf("AuthFailure", "Not authorized for image: %s", id)
	}
	return i, nil
}

// DeregisterImage takes an image off the catalogue.
func DeregisterImage(v *state.View, s events.Stamp, c events.DeregisterImage) ([]events.Event, error) {
	i, err := owned(v, s.Account, c.Image)
	if err != nil {
		return nil, err
	}
	return []events.Event{events.ImageDeregistered{ID: i.ID}}, nil
}

// ModifyImage changes launch permissions and description.
func ModifyImage(v *state.View, s events.Stamp, c events.ModifyImage) ([]events.Event, error) {
	i, err := owned(v, s.Account, c.Image)
	if err != nil {
		return nil, err
	}
	e := events.ImageChanged{ID: i.ID, Public: i.Public, LaunchAccounts: slices.Clone(i.LaunchAccounts), Description: i.Description}
	if c.Reset {
		e.Public, e.LaunchAccounts = false, nil
	}
	if c.Public != nil {
		e.Public = *c.Public
	}
	for _, a := range c.Add {
		if _, ok := v.Accounts.Get(string(a)); !ok {
			return nil, events.Faultf("InvalidAMIAttributeItemValue", "Invalid attribute item value \"%s\" for userId item type.", a)
		}
		e.LaunchAccounts = append(e.LaunchAccounts, a)
	}
	e.LaunchAccounts = slices.DeleteFunc(e.LaunchAccounts, func(a events.AccountID) bool { return slices.Contains(c.Remove, a) })
	slices.SortFunc(e.LaunchAccounts, cmp.Compare)
	e.LaunchAccounts = slices.Compact(e.LaunchAccounts)
	if c.Description != nil {
		e.Description = *c.Description
	}
	return []events.Event{e}, nil
}
