package compute

import (
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/storage"
)

// disk is a volume that each instance of a launch gets.
type disk struct {
	events.BlockDevice
	kind state.Kind
}

// overlaid lays the mappings of a call over those of an image, device by device:
// what the call leaves out of a volume is as the image has it.
func overlaid(image, call []events.BlockDevice) ([]events.BlockDevice, error) {
	out := slices.Clone(image)
	for n, b := range call {
		if slices.ContainsFunc(call[:n], func(o events.BlockDevice) bool { return storage.SameDevice(o.Device, b.Device) }) {
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", b.Device)
		}
		at := slices.IndexFunc(out, func(o events.BlockDevice) bool { return storage.SameDevice(o.Device, b.Device) })
		switch {
		case at < 0:
			out = append(out, b)
		case b.NoDevice || b.Virtual != "" || out[at].Virtual != "" || out[at].NoDevice:
			out[at] = b
		default:
			o := &out[at]
			if b.Snapshot != "" {
				o.Snapshot = b.Snapshot
			}
			if b.SizeGiB != 0 {
				o.SizeGiB = b.SizeGiB
			}
			if b.Type != "" && b.Type != o.Type {
				o.Type, o.IOPS, o.Throughput = b.Type, 0, 0
			}
			if b.IOPS != 0 {
				o.IOPS = b.IOPS
			}
			if b.Throughput != 0 {
				o.Throughput = b.Throughput
			}
			if b.Keep != nil {
				o.Keep = b.Keep
			}
			o.Encrypted = o.Encrypted || b.Encrypted
		}
	}
	return out, nil
}

// disks settles the volumes that an instance of an image starts with. Disks of
// the instance store come with the type.
func disks(v *state.View, a events.AccountID, image *events.Image, call []events.BlockDevice) ([]disk, error) {
	list, err := overlaid(image.Mappings, call)
	if err != nil {
		return nil, err
	}
	var out []disk
	root := image.RootDeviceType != "ebs"
	for _, b := range list {
		onRoot := storage.SameDevice(b.Device, image.RootDevice)
		if onRoot && image.RootDeviceType == "ebs" {
			from := slices.IndexFunc(image.Mappings, func(o events.BlockDevice) bool { return storage.SameDevice(o.Device, b.Device) })
			if b.NoDevice || b.Virtual != "" || from < 0 || b.Snapshot != image.Mappings[from].Snapshot {
				return nil, events.Faultf("InvalidBlockDeviceMapping", "The root device '%s' is a volume of the image's snapshot: only its size, type and deletion can be changed.", b.Device)
			}
			root, b.Device = true, image.RootDevice
		}
		switch {
		case b.NoDevice || b.Virtual != "":
			continue
		case onRoot && image.RootDeviceType != "ebs":
			return nil, events.Faultf("InvalidBlockDeviceMapping", "The root device '%s' of image '%s' is not a volume.", b.Device, image.ID)
		case !storage.ValidDevice(b.Device):
			return nil, events.Faultf("InvalidBlockDeviceMapping", "Invalid device name %s", b.Device)
		case b.Snapshot == "" && b.SizeGiB == 0:
			return nil, events.Faultf("MissingParameter", "The request must contain the parameter size or snapshotId")
		}
		// Whoever may launch an image may have volumes of its snapshots.
		reader := a
		if slices.ContainsFunc(image.Mappings, func(o events.BlockDevice) bool { return o.Snapshot == b.Snapshot }) {
			reader = image.Account
		}
		kind, err := storage.Settle(v, reader, b)
		if err != nil {
			return nil, err
		}
		out = append(out, disk{b, kind})
	}
	if !root {
		return nil, events.Faultf("InvalidBlockDeviceMapping", "The image '%s' has no volume for its root device '%s'.", image.ID, image.RootDevice)
	}
	most := storage.MaxAttached
	if image.RootDeviceType == "ebs" {
		most++
	}
	if len(out) > most {
		return nil, events.Faultf("AttachmentLimitExceeded", "The launch has %d volumes for each instance, which can have %d.", len(out), most)
	}
	return out, nil
}

func kinds(list []disk) []state.Kind {
	var out []state.Kind
	for _, d := range list {
		out = append(out, d.kind)
	}
	return out
}

// onVolume is what a guest of the type gets, and takes from its host, when its
// root is a volume.
func (t Type) onVolume() (events.Shape, events.Need) {
	s, n := t.Shape(), t.Need()
	n.DiskGiB -= s.RootGiB
	s.RootGiB = 0
	return s, n
}
