package storage

import (
	"regexp"

	"skerry/events"
	"skerry/services/state"
)

// MaxAttached is how many volumes an instance can have: the ports of its machine
// that are kept for them.
const MaxAttached = 7

// deviceName is a name that a volume can have ("Device names on Linux
// instances"), with or without /dev/.
var deviceName = regexp.MustCompile(`^(/dev/)?(sd[a-z]([1-9]|1[0-5])?|xvd[a-z]|xvd[bc][a-z])$`)

// ValidDevice says whether a volume can have a name.
func ValidDevice(name string) bool { return deviceName.MatchString(name) }

// AttachVolume lets an instance of the volume's zone in.
func AttachVolume(v *state.View, s events.Stamp, c events.AttachVolume) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Instance == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter instanceId")
	case c.Device == "":
		return nil, events.Faultf("MissingParameter", "The request must contain the parameter device")
	case !deviceName.MatchString(c.Device):
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter device is invalid. %s is not a valid EBS device name.", c.Device, c.Device)
	}
	i, ok := v.Instance(s.Account, c.Instance)
	if !ok {
		return nil, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
	}
	switch {
	case i.Zone != r.Zone:
		return nil, events.Faultf("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", r.ID, i.ID)
	case r.Attachment != nil:
		return nil, events.Faultf("VolumeInUse", "%s is already attached to an instance", r.ID)
	case r.State != state.VolumeAvailable:
		return nil, events.Faultf("IncorrectState", "Volume '%s' is not in the 'available' state: it is '%s'.", r.ID, r.State)
	case i.State != state.Running && i.State != state.Stopped:
		return nil, events.Faultf("IncorrectState", "Instance '%s' is not 'running'.", i.ID)
	}
	count := 0
	for o := range v.VolumesAttached(i.ID) {
		if SameDevice(o.Attachment.Device, c.Device) {
			return nil, inUse(c.Device)
		}
		count++
	}
	most := MaxAttached
	if i.OnVolume() {
		most++ // its root is one of them
	} else if SameDevice(i.RootDevice, c.Device) || SameDevice(stem(i.RootDevice), c.Device) {
		return nil, inUse(c.Device)
	}
	for n := range i.Shape.EphemeralGiB {
		if SameDevice(EphemeralDevice(i.Shape.Type, n), c.Device) {
			return nil, inUse(c.Device)
		}
	}
	if count >= most {
		return nil, events.Faultf("AttachmentLimitExceeded", "Instance '%s' has %d volumes attached, which is the most it can have.", i.ID, count)
	}
	e := events.VolumeAttachRequested{Volume: r.ID, Zone: r.Zone, Instance: i.ID,
		Attachment: events.AttachmentID("attach-" + s.Seed.Hex("attach", 0)), Device: c.Device, Epoch: r.Epoch + 1, At: s.Time}
	out := []events.Event{e}
	if i.State == state.Stopped { // there is no guest to wait for
		out = append(out, events.VolumeAttached{Volume: r.ID, Zone: r.Zone, Instance: i.ID, Attachment: e.Attachment, At: s.Time})
	}
	return out, nil
}

// Launched makes a volume that an instance starts with, the n-th of a command.
func Launched(s events.Stamp, zone events.Zone, i events.InstanceID, b events.BlockDevice, k state.Kind, n int) []events.Event {
	made := requested(s, zone, b.Snapshot, k, n)
	return []events.Event{made, events.VolumeAttachRequested{Volume: made.ID, Zone: zone, Instance: i, Attachment: events.AttachmentID("attach-" + s.Seed.Hex("attach", n)),
		Device: b.Device, Epoch: 1, DeleteOnTermination: b.Keep == nil || !*b.Keep, At: s.Time}}
}

// Stopped frees the volumes that were to leave an instance of which no guest is
// left. The others stay its own.
func Stopped(v *state.View, i events.InstanceID) []events.Event {
	var out []events.Event
	for r := range v.VolumesAttached(i) {
		if r.Attachment.State == state.Detaching && !r.Attachment.Ended {
			out = append(out, ended(r, "released"))
		}
	}
	return out
}

// Starting raises the epochs of an instance's volumes: what its guest was on
// another host can write no more, whatever became of it.
func Starting(v *state.View, i events.InstanceID) []events.Event {
	var out []events.Event
	for r := range v.VolumesAttached(i) {
		if !r.Attachment.Ended {
			out = append(out, events.VolumeEpochRaised{Volume: r.ID, Zone: r.Zone, Host: r.Host, Boot: r.Boot, Epoch: r.Epoch + 1})
		}
	}
	return out
}

func inUse(device string) error {
	return events.Faultf("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", device, device)
}

// EphemeralDevice is the name under which the n-th instance-store disk of a type
// is known ("Add instance store volumes": sda2 for m1.small, sdb and on for
// others).
func EphemeralDevice(typ string, n int) string {
	if typ == "m1.small" {
		return "/dev/sda2"
	}
	return "/dev/sd" + string(rune('b'+n))
}

var deviceForm = regexp.MustCompile(`^(?:/dev/)?(?:sd|xvd)(.*)$`)

// SameDevice says whether two names are one place in a guest: /dev/sdf and xvdf
// are.
func SameDevice(a, b string) bool {
	x, y := deviceForm.FindStringSubmatch(a), deviceForm.FindStringSubmatch(b)
	return x != nil && y != nil && x[1] == y[1]
}

// stem is a disk's name without the number of a partition.
func stem(device string) string {
	for len(device) > 0 && device[len(device)-1] >= '0' && device[len(device)-1] <= '9' {
		device = device[:len(device)-1]
	}
	return device
}

// DetachVolume starts to free a volume. The guest lets go first, and the storage
// node confirms: only its report makes the volume available. Force cuts the
// guest off.
func DetachVolume(v *state.View, s events.Stamp, c events.DetachVolume) ([]events.Event, error) {
	r, err := find(v, s, c.Volume)
	if err != nil {
		return nil, err
	}
	a := r.Attachment
	switch {
	case a == nil:
		return nil, events.Faultf("IncorrectState", "Volume '%s' is in the '%s' state.", r.ID, r.State)
	case c.Instance != "" && c.Instance != a.Instance:
		if _, ok := v.Instance(s.Account, c.Instance); !ok {
			return nil, events.Faultf("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", c.Instance)
		}
		return nil, events.Faultf("InvalidAttachment.NotFound", "The volume '%s' is not attached to instance '%s'", r.ID, c.Instance)
	case c.Device != "" && !SameDevice(c.Device, a.Device):
		return nil, events.Faultf("InvalidAttachment.NotFound", "The volume '%s' is not attached to instance '%s' as device '%s'.", r.ID, a.Instance, c.Device)
	case a.Ended:
		return nil, nil
	}
	if i, ok := v.Instances.Get(string(a.Instance)); ok && i.State == state.Stopped {
		return []events.Event{ended(r, "released")}, nil // there is no guest to ask
	} else if ok && i.OnVolume() && a.Device == i.RootDevice {
		return nil, events.Faultf("OperationNotPermitted", "Unable to detach root volume '%s' from instance '%s'", r.ID, i.ID)
	}
	switch {
	case c.Force:
		return []events.Event{ended(r, "forced")}, nil
	case a.State == state.Detaching:
		return nil, nil
	}
	return []events.Event{events.VolumeDetachRequested{Volume: r.ID, Zone: r.Zone, Instance: a.Instance, Attachment: a.ID, At: s.Time}}, nil
}

func ended(r *state.Volume, why string) events.Event {
	return events.AttachmentEnded{Volume: r.ID, Zone: r.Zone, Instance: r.Attachment.Instance, Attachment: r.Attachment.ID, Epoch: r.Epoch + 1, Why: why}
}

// Terminating asks for the volumes of an instance that is to end: they are
// detaching while its guest shuts down.
func Terminating(v *state.View, s events.Stamp, i events.InstanceID) []events.Event {
	var out []events.Event
	for r := range v.VolumesAttached(i) {
		if a := r.Attachment; a.State != state.Detaching {
			out = append(out, events.VolumeDetachRequested{Volume: r.ID, Zone: r.Zone, Instance: i, Attachment: a.ID, At: s.Time})
		}
	}
	return out
}

// Terminated ends the attachments of an instance of which nothing is left.
func Terminated(v *state.View, i events.InstanceID) []events.Event {
	var out []events.Event
	for r := range v.VolumesAttached(i) {
		if !r.Attachment.Ended {
			out = append(out, ended(r, "terminated"))
		}
		if r.Host == "" && r.Attachment.DeleteOnTermination {
			out = append(out, events.VolumeDeleted{Volume: r.ID, Zone: r.Zone}) // no storage node has heard of it
		}
	}
	return out
}

// ReportDisk takes what a compute node sees of an attached volume.
func ReportDisk(v *state.View, s events.Stamp, c events.ReportDisk) ([]events.Event, error) {
	r, ok := v.Volumes.Get(string(c.Volume))
	if !ok || r.Attachment == nil || r.Attachment.ID != c.Attachment || r.Attachment.Ended {
		return nil, nil
	}
	if i, ok := v.Instances.Get(string(r.Attachment.Instance)); !ok || i.Host != c.Host {
		return nil, nil
	}
	switch c.Phase {
	case events.DiskAttached:
		if r.Attachment.State == state.Attaching {
			return []events.Event{events.VolumeAttached{Volume: r.ID, Zone: r.Zone, Instance: r.Attachment.Instance, Attachment: c.Attachment, At: s.Time}}, nil
		}
	case events.DiskReleased:
		if r.Attachment.State == state.Detaching {
			return []events.Event{ended(r, "released")}, nil
		}
	case events.DiskFailed:
		return []events.Event{ended(r, "failed: "+c.Detail)}, nil
	}
	return nil, nil
}
