package compute

import (
	"skerry/events"
	"skerry/services/state"
	"skerry/services/storage"
)

// ModifyInstance changes attributes of an instance: some at any time, those that
// make its guest another one only while it is stopped.
func ModifyInstance(v *state.View, s events.Stamp, c events.ModifyInstance) ([]events.Event, error) {
	list, err := find(v, s.Account, []events.InstanceID{c.Instance})
	if err != nil {
		return nil, err
	}
	i := list[0]
	if !i.Live() || i.State == state.ShuttingDown {
		return nil, events.Faultf("IncorrectInstanceState", "The instance '%s' is %s; its attributes cannot be changed.", i.ID, i.State)
	}
	if i.State != state.Stopped && (c.Type != nil || c.UserData != nil || c.EBSOptimized != nil || c.Kernel != nil || c.Ramdisk != nil) {
		return nil, events.Faultf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	if c.Shutdown != nil {
		switch *c.Shutdown {
		case "terminate":
		case "stop":
			if !i.OnVolume() {
				return nil, noVolume(i, "stopped")
			}
		default:
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid. Use stop or terminate.", *c.Shutdown)
		}
	}
	if c.DisableStop != nil && *c.DisableStop && !i.OnVolume() {
		return nil, noVolume(i, "stopped")
	}
	if c.SourceDestCheck != nil && len(i.Interfaces(v)) > 1 {
		return nil, events.Faultf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
	}
	e := events.InstanceModified{Instance: i.ID, Zone: i.Zone, DisableTermination: c.DisableTermination, Shutdown: c.Shutdown, SourceDestCheck: c.SourceDestCheck,
		UserData: c.UserData, DisableStop: c.DisableStop, Monitoring: c.Monitoring, EBSOptimized: c.EBSOptimized}
	if c.UserData != nil && len(*c.UserData) > maxUserData {
		return nil, events.Faultf("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	typ, _ := FindType(i.Shape.Type)
	if c.Type != nil {
		var ok bool
		if typ, ok = FindType(*c.Type); !ok {
			return nil, events.Faultf("InvalidInstanceAttributeValue", "Invalid value '%s' for InstanceType.", *c.Type)
		}
		shape, need := typ.onVolume()
		e.Shape, e.Need = &shape, &need
		if len(i.Interfaces(v)) > typ.ENIs {
			return nil, events.Faultf("InvalidParameterCombination", "The instance '%s' has %d network interfaces, and the type '%s' can have %d.", i.ID, len(i.Interfaces(v)), typ.Name, typ.ENIs)
		}
		e.EBSOptimized, e.Credits = new(false), new("") // as the type has it
	}
	credits := ""
	if c.Credits != nil {
		credits = *c.Credits
	}
	if err := typ.options(c.EBSOptimized, credits); err != nil {
		return nil, err
	}
	if c.EBSOptimized != nil {
		e.EBSOptimized = c.EBSOptimized
	}
	if c.Credits != nil {
		e.Credits = c.Credits
	}
	if e.Kernel, err = boots(v, s.Account, i, c.Kernel, "kernel"); err != nil {
		return nil, err
	}
	if e.Ramdisk, err = boots(v, s.Account, i, c.Ramdisk, "ramdisk"); err != nil {
		return nil, err
	}
	if len(c.Groups) > 0 {
		vpc, _ := v.VPCs.Get(string(i.Interfaces(v)[0].Interface.VPC))
		if e.Groups, err = groupsOf(v, s.Account, vpc, events.RunInstances{Groups: c.Groups}); err != nil {
			return nil, err
		}
	}
	if c.Metadata != nil {
		m := i.Metadata
		for _, f := range []struct{ to, from *string }{{&m.HTTPTokens, &c.Metadata.HTTPTokens}, {&m.Endpoint, &c.Metadata.Endpoint}, {&m.InstanceTags, &c.Metadata.InstanceTags}} {
			if *f.from != "" {
				*f.to = *f.from
			}
		}
		if c.Metadata.HopLimit != 0 {
			m.HopLimit = c.Metadata.HopLimit
		}
		if m, err = completed(m); err != nil {
			return nil, err
		}
		e.Metadata = &m
	}
	if len(c.Devices) > 0 {
		return kept(v, i, c.Devices)
	}
	return []events.Event{e}, nil
}

// kept says of volumes, by device, whether they outlive the instance.
func kept(v *state.View, i *state.Instance, list []events.BlockDevice) ([]events.Event, error) {
	var out []events.Event
	for _, d := range list {
		found := false
		for r := range v.VolumesAttached(i.ID) {
			if a := r.Attachment; !a.Ended && storage.SameDevice(a.Device, d.Device) {
				found = true
				if d.Keep != nil && *d.Keep == a.DeleteOnTermination {
					out = append(out, events.VolumeKeepSet{Volume: r.ID, Zone: r.Zone, Attachment: a.ID, Keep: *d.Keep})
				}
			}
		}
		if !found {
			return nil, events.Faultf("InvalidInstanceAttributeValue", "No device is currently mapped at %s", d.Device)
		}
	}
	return out, nil
}

// boots finds the kernel or ramdisk that an instance is to boot from: the image's
// when none is named.
func boots(v *state.View, a events.AccountID, i *state.Instance, id *events.ImageID, typ string) (*events.BootFile, error) {
	if id == nil {
		return nil, nil
	}
	name := *id
	if name == "" {
		m, ok := v.Image(a, i.Image)
		switch {
		case !ok:
			return nil, events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", i.Image)
		case typ == "kernel":
			name = m.Kernel
		default:
			name = m.Ramdisk
		}
		if name == "" {
			return &events.BootFile{}, nil
		}
	}
	m, ok := v.Image(a, name)
	if !ok || m.Type != typ {
		return nil, events.Faultf("InvalidAMIID.NotFound", "The %s image id '%s' does not exist", typ, name)
	}
	return &events.BootFile{Image: m.ID, File: m.File}, nil
}

// ModifyInstances changes the same of several instances, all or none.
func ModifyInstances(v *state.View, s events.Stamp, c events.ModifyInstances) ([]events.Event, error) {
	if _, err := find(v, s.Account, c.Instances); err != nil {
		return nil, err
	}
	var out []events.Event
	for _, id := range c.Instances {
		one := c.Change
		one.Instance = id
		made, err := ModifyInstance(v, s, one)
		if err != nil {
			return nil, err
		}
		out = append(out, made...)
	}
	return out, nil
}
