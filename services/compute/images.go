package compute

import (
	"cmp"
	"errors"
	"slices"

	"skerry/events"
	"skerry/services/state"
	"skerry/services/storage"
	"skerry/services/tagging"
)

// imageName refuses a name that an image of the account cannot have.
func imageName(v *state.View, a events.AccountID, name string) error {
	if len(name) < 3 || len(name) > 128 {
		return events.Faultf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for o := range v.ImagesOf(a) {
		if o.Name == name {
			return events.Faultf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, o.ID)
		}
	}
	return nil
}

func imageID(s events.Stamp) events.ImageID { return events.ImageID("ami-" + s.Seed.Hex("ami", 0)) }

// RegisterImage adds an image: of files that an image visible to the caller
// already names, since content enters the region's store through its operators,
// or of a snapshot that becomes the root volume.
func RegisterImage(v *state.View, s events.Stamp, c events.RegisterImage) ([]events.Event, error) {
	i := c.Image
	if err := imageName(v, s.Account, i.Name); err != nil {
		return nil, err
	}
	made := events.Image{Location: string(s.Account) + "/" + i.Name, Type: "machine", Architecture: "x86_64", Virtualization: "hvm",
		RootDevice: "/dev/sda1", RootDeviceType: "ebs", Kernel: defaultOf(v, "kernel"), Ramdisk: defaultOf(v, "ramdisk")}
	if i.Location != "" {
		source, err := files(v, s.Account, i)
		if err != nil {
			return nil, err
		}
		made = *source
	} else if i.Virtualization != "" {
		made.Virtualization = i.Virtualization
	}
	made.ID, made.Account, made.OwnerAlias = imageID(s), s.Account, ""
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
	if i.Architecture != "" && i.Architecture != made.Architecture {
		return nil, events.Faultf("InvalidParameterValue", "The architecture '%s' does not match the files', which is '%s'.", i.Architecture, made.Architecture)
	}
	if i.RootDevice != "" {
		made.RootDevice = i.RootDevice
	}
	var err error
	if made.Mappings, err = overlaid(made.Mappings, i.Mappings); err != nil {
		return nil, err
	}
	for n, m := range made.Mappings {
		if storage.SameDevice(m.Device, made.RootDevice) && made.RootDeviceType == "ebs" {
			made.Mappings[n].Device = made.RootDevice
			if m.Snapshot == "" {
				return nil, events.Faultf("InvalidBlockDeviceMapping", "The root device '%s' of an image needs a snapshot.", made.RootDevice)
			}
		}
	}
	if _, err := disks(v, s.Account, &made, nil); err != nil {
		return nil, err
	}
	return []events.Event{events.ImageRegistered{Image: made}}, nil
}

// files finds the image whose files another one is registered of.
func files(v *state.View, a events.AccountID, i events.Image) (*events.Image, error) {
	var source *events.Image
	for _, o := range v.Images.All() {
		if o.Location == i.Location && o.Type == "machine" && !o.Absent && state.Visible(o, a) {
			source = o
		}
	}
	if source == nil {
		return nil, events.Faultf("InvalidParameterValue", "The image location '%s' is not one that this account can read.", i.Location)
	}
	return source, nil
}

// defaultOf is the region's own kernel or ramdisk, the first by id: what a guest
// boots from whose image names none.
func defaultOf(v *state.View, typ string) events.ImageID {
	for _, o := range v.Images.All() {
		if o.Type == typ && o.Public && o.OwnerAlias != "" {
			return o.ID
		}
	}
	return ""
}

// CreateImage makes an image of an instance whose root is a volume, of snapshots
// of the volumes it has.
func CreateImage(v *state.View, s events.Stamp, c events.CreateImage) ([]events.Event, error) {
	list, err := find(v, s.Account, []events.InstanceID{c.Instance})
	if err != nil {
		return nil, err
	}
	i := list[0]
	switch {
	case i.State != state.Running && i.State != state.Stopped:
		return nil, events.Faultf("IncorrectState", "The instance '%s' is %s: an image is made of one that is 'running' or 'stopped'.", i.ID, i.State)
	case !i.OnVolume():
		return nil, events.Faultf("InvalidParameterValue", "The instance '%s' does not have an 'ebs' root device type: an image cannot be made of it.", i.ID)
	}
	if err := imageName(v, s.Account, c.Name); err != nil {
		return nil, err
	}
	if err := errors.Join(tagging.Check(c.Tags), tagging.Check(c.SnapshotTags)); err != nil {
		return nil, err
	}
	if _, ok := v.RootOf(i); !ok {
		return nil, events.Faultf("IncorrectState", "The instance '%s' has no volume attached at root (%s).", i.ID, i.RootDevice)
	}
	made := events.Image{ID: imageID(s), Account: s.Account, Name: c.Name, Description: c.Description, Location: string(s.Account) + "/" + c.Name, Type: "machine",
		Architecture: i.Architecture, Virtualization: i.Virtualization, Kernel: i.Kernel, Ramdisk: i.Ramdisk, RootDevice: i.RootDevice, RootDeviceType: "ebs",
		Cmdline: i.Cmdline, At: s.Time}
	var out []events.Event
	if !c.NoReboot && i.State == state.Running {
		out = append(out, events.InstanceRebootRequested{Instance: i.ID, Zone: i.Zone, Reboots: i.Reboots + 1})
	}
	n := 0
	for r := range v.VolumesAttached(i.ID) {
		a := r.Attachment
		without := slices.ContainsFunc(c.Mappings, func(b events.BlockDevice) bool {
			return storage.SameDevice(b.Device, a.Device) && (b.NoDevice || b.Virtual != "" || b.Snapshot != "")
		})
		if a.Ended || without && a.Device != i.RootDevice {
			continue
		}
		e, err := storage.Snap(v, s, r, "Created by CreateImage("+string(i.ID)+") for "+string(made.ID), n)
		if err != nil {
			return nil, err
		}
		n++
		out = append(append(out, e), tagging.New(s, string(e.ID), c.SnapshotTags)...)
		made.Mappings = append(made.Mappings, events.BlockDevice{Device: a.Device, Snapshot: e.ID, SizeGiB: r.SizeGiB, Type: r.Type, IOPS: iops(r),
			Throughput: throughput(r), Keep: new(!a.DeleteOnTermination)})
	}
	if made.Mappings, err = overlaid(made.Mappings, c.Mappings); err != nil {
		return nil, err
	}
	tx := v.Fork()
	for _, e := range out {
		tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
		if r, ok := e.(events.SnapshotRequested); ok { // as it will be, for what is checked of a mapping
			tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: events.SnapshotCompleted{ID: r.ID, Zone: r.Zone, At: s.Time}})
		}
	}
	if _, err := disks(&tx.View, s.Account, &made, nil); err != nil {
		return nil, err
	}
	out = append(out, events.ImageRegistered{Image: made})
	return append(out, tagging.New(s, string(made.ID), c.Tags)...), nil
}

// iops and throughput are what a volume was given, where its type can be given
// any.
func iops(r *state.Volume) int {
	if t, ok := storage.FindType(r.Type); ok && t.MinIOPS > 0 {
		return r.IOPS
	}
	return 0
}

func throughput(r *state.Volume) int {
	if t, ok := storage.FindType(r.Type); ok && t.MaxThroughput > 0 {
		return r.Throughput
	}
	return 0
}

// absent refuses an image whose files are still in another region.
func absent(i *events.Image) error {
	if i.Absent {
		return events.Faultf("InvalidAMIID.Unavailable", "The image id '[%s]' is not yet available: it waits for its files from the region '%s'", i.ID, i.SourceRegion)
	}
	return nil
}

// arrived is an image of another region as it is here. Files are what they are by
// their digest: an image is launched at once when the region's own images have
// the same, and waits for its files when they have not.
func arrived(v *state.View, far *events.FarImage) events.Image {
	i := far.Image
	i.Source, i.SourceRegion, i.Absent = i.ID, far.Region, false
	i.Kernel, i.Ramdisk = "", ""
	offered := func(typ string, f events.ImageFile) *events.Image {
		for _, o := range v.Images.All() {
			if o.Type == typ && o.Public && o.OwnerAlias != "" && o.File.SHA256 == f.SHA256 {
				return o
			}
		}
		i.Absent = true
		return new(events.Image)
	}
	if i.File.SHA256 != "" {
		i.File = offered("machine", i.File).File
	}
	if far.Kernel.SHA256 != "" {
		i.Kernel = offered("kernel", far.Kernel).ID
	}
	if far.Ramdisk.SHA256 != "" {
		i.Ramdisk = offered("ramdisk", far.Ramdisk).ID
	}
	if i.Absent {
		i.File = far.Image.File // by which it will be known
	}
	return i
}

// CopyImage makes an image of one that the caller may launch, with snapshots of
// its own. The image is of this region or of another.
func CopyImage(v *state.View, s events.Stamp, c events.CopyImage) ([]events.Event, error) {
	var from *events.Image
	switch far := c.Far; {
	case far == nil:
		var ok bool
		if from, ok = v.Image(s.Account, c.Image); !ok {
			return nil, events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", c.Image)
		}
		if err := absent(from); err != nil {
			return nil, err
		}
	case far.State != "available":
		return nil, events.Faultf("InvalidAMIID.Unavailable", "The image id '[%s]' of the region '%s' is not available: it is '%s'", c.Image, far.Region, far.State)
	default:
		if _, known := v.Regions.Get(far.Region); !known || far.Region == v.Meta.Region {
			return nil, events.Faultf("InvalidParameterValue", "No other region named '%s' shares the accounts of this one.", far.Region)
		}
		from = new(arrived(v, far))
	}
	if from.Type != "machine" {
		return nil, events.Faultf("InvalidRequest", "The image '%s' is a %s image, and only machine images are copied.", from.ID, from.Type)
	}
	if err := imageName(v, s.Account, c.Name); err != nil {
		return nil, err
	}
	if err := errors.Join(tagging.Check(c.Tags), tagging.Check(c.SnapshotTags)); err != nil {
		return nil, err
	}
	made := *from
	made.ID, made.Account, made.OwnerAlias = imageID(s), s.Account, ""
	made.Name, made.Description, made.Public, made.LaunchAccounts, made.At = c.Name, c.Description, false, nil, s.Time
	made.Mappings = slices.Clone(from.Mappings)
	var out []events.Event
	seen := 0
	for n, m := range made.Mappings {
		if m.Snapshot == "" {
			continue
		}
		e, err := copied(v, s, c.Far, m.Snapshot, seen, "Copied for "+string(made.ID)+" from "+string(from.ID), n)
		if err != nil {
			return nil, err
		}
		seen++
		out = append(append(out, e), tagging.New(s, string(e.ID), c.SnapshotTags)...)
		made.Mappings[n].Snapshot = e.ID
	}
	tags := c.Tags
	if c.CopyTags && from.Account == s.Account {
		had := v.TagsOf(string(from.ID))
		if c.Far != nil {
			had = c.Far.Tags
		}
		for _, t := range had {
			if !slices.ContainsFunc(tags, func(o events.Tag) bool { return o.Key == t.Key }) {
				tags = append(slices.Clip(tags), t)
			}
		}
	}
	out = append(out, events.ImageRegistered{Image: made})
	return append(out, tagging.New(s, string(made.ID), tags)...), nil
}

// copied asks for the n-th snapshot of a command: of a snapshot of this region, or
// of the one that the other region told at its place.
func copied(v *state.View, s events.Stamp, far *events.FarImage, id events.SnapshotID, place int, description string, n int) (events.SnapshotRequested, error) {
	if far == nil {
		snap, ok := v.Snapshots.Get(string(id)) // an image keeps its snapshots
		if !ok {
			return events.SnapshotRequested{}, storage.NoSnapshot(string(id))
		}
		return storage.Copy(s, snap, description, n)
	}
	if place >= len(far.Snapshots) {
		return events.SnapshotRequested{}, storage.NoSnapshot(string(id))
	}
	snap := far.Snapshots[place]
	snap.Region = far.Region
	return storage.CopyFar(v, s, id, snap, description, n)
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
