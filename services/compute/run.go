package compute

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
	"skerry/services/storage"
	"skerry/services/tagging"
)

// maxRun bounds the instances of one call.
const maxRun = 1000

// maxUserData is the size of user data before encoding ("Instance user data"),
// and what sealing adds to it.
const maxUserData = 16<<10 + 64

// RunInstances counts: it reserves capacity, addresses and ids for at least Min
// instances, or refuses. Naming the hosts is the scheduler's.
func RunInstances(v *state.View, s events.Stamp, c events.RunInstances) ([]events.Event, error) {
	if c.Min < 1 || c.Max < 1 {
		return nil, events.Faultf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. MinCount and MaxCount must be at least 1.", min(c.Min, c.Max))
	}
	if c.Min > c.Max {
		return nil, events.Faultf("InvalidParameterCombination", "MinCount %d must not be larger than MaxCount %d.", c.Min, c.Max)
	}
	if c.Max > maxRun {
		return nil, events.Faultf("InstanceLimitExceeded", "You asked for up to %d instances; one call may ask for %d.", c.Max, maxRun)
	}
	if len(c.UserData) > maxUserData {
		return nil, events.Faultf("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	name := c.Type
	if name == "" {
		name = DefaultType
	}
	typ, ok := FindType(name)
	if !ok {
		return nil, events.Faultf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	boot, err := bootable(v, s.Account, c)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tagging.Check(c.Tags), tagging.Check(c.InterfaceTags)); err != nil {
		return nil, err
	}
	key := &state.KeyPair{}
	if c.KeyName != "" {
		if key, ok = v.KeyPair(s.Account, c.KeyName); !ok {
			return nil, events.Faultf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", c.KeyName)
		}
	}
	wanted, err := interfaces(v, s.Account, c, typ)
	if err != nil {
		return nil, err
	}
	first := wanted[0]
	vpc, subnet, zone, err := where(v, s.Account, c, first)
	if err != nil {
		return nil, err
	}
	for n := range wanted {
		if err := wanted[n].settle(v, s.Account, c, vpc, subnet, zone); err != nil {
			return nil, err
		}
	}
	if c.Hostname != "" && c.Hostname != network.IPName && c.Hostname != network.ResourceName {
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter hostnameType is invalid. Use ip-name or resource-name.", c.Hostname)
	}
	onVolume := boot.image.RootDeviceType == "ebs"
	shutdown := c.Shutdown
	switch {
	case shutdown == "" && onVolume:
		shutdown = "stop"
	case shutdown == "":
		shutdown = "terminate"
	case shutdown == "stop" && !onVolume:
		return nil, events.Faultf("InvalidParameterCombination", "The instance-initiated shutdown behavior 'stop' needs an EBS root device; image '%s' has an instance store one.", c.Image)
	case shutdown != "stop" && shutdown != "terminate":
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid. Use stop or terminate.", shutdown)
	}
	if c.DisableStop && !onVolume {
		return nil, events.Faultf("UnsupportedOperation", "Stop protection needs an EBS root device; image '%s' has an instance store one.", c.Image)
	}
	volumes, err := disks(v, s.Account, boot.image, c.Mappings)
	if err != nil {
		return nil, err
	}
	if err := tagging.Check(c.VolumeTags); err != nil {
		return nil, err
	}
	group, zone, err := inGroup(v, s.Account, c, zone)
	if err != nil {
		return nil, err
	}
	if err := typ.options(c.EBSOptimized, c.Credits); err != nil {
		return nil, err
	}
	if err := vcpus(v, s.Account, typ.VCPUs*c.Min); err != nil {
		return nil, err
	}
	shape, need := typ.Shape(), typ.Need()
	if onVolume {
		shape, need = typ.onVolume()
	}
	if v.Meta.Level < events.LevelCalls {
		shape.Interfaces, shape.Addresses, shape.IPv6 = 0, 0, 0
	}
	metadata, err := completed(c.Metadata)
	if err != nil {
		return nil, err
	}

	slots := newRoom(v, s.Account, zone, group).spread(need, c.Max, group, c.Partition)
	if len(slots) < c.Min {
		return nil, insufficient(typ.Name, zone, c.Min, len(slots))
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Compare(a.zone, b.zone) }) // neighbours in the launch order share a zone

	tx := v.Fork()
	reservation := events.ReservationID("r-" + s.Seed.Hex("r", 0))
	var out []events.Event
	emit := func(e events.Event) {
		out = append(out, e)
		tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
	}
	for i, slot := range slots {
		z := slot.zone
		if i >= c.Min && vcpus(&tx.View, s.Account, typ.VCPUs) != nil {
			break
		}
		if len(volumes) > 0 {
			if err := storage.Room(&tx.View, s.Account, z, kinds(volumes)); err != nil {
				if i >= c.Min {
					break
				}
				return nil, err
			}
		}
		id := events.InstanceID("i-" + s.Seed.Hex("i", i))
		made, err := given(tx, s, vpc, z, id, wanted, typ, i)
		if err != nil {
			if i >= c.Min {
				break // as many as there are addresses for
			}
			return nil, err
		}
		hostname := c.Hostname
		if f, ok := tx.Subnets.Get(string(primarySubnet(made, wanted[0]))); ok && hostname == "" {
			hostname = network.HostnameType(f)
		}
		if hostname == network.IPName {
			hostname = ""
		}
		var list []events.Interface
		for _, e := range made {
			emit(e)
			if e, ok := e.(events.InterfaceCreated); ok {
				list = append(list, e.Interface)
			}
		}
		emit(events.InstanceRequested{
			ID: id, Reservation: reservation, LaunchIndex: i, Account: s.Account, Zone: z,
			Image: c.Image, Kernel: boot.kernel.ID, Ramdisk: boot.ramdisk.ID,
			KernelFile: boot.kernel.File, RamdiskFile: boot.ramdisk.File, RootFile: boot.image.File,
			Cmdline: boot.image.Cmdline, RootDevice: boot.image.RootDevice, RootDeviceType: boot.image.RootDeviceType,
			Architecture: boot.image.Architecture, Virtualization: boot.image.Virtualization,
			Shape: shape, Need: need, KeyName: c.KeyName, PublicKey: key.PublicKey,
			Interfaces: list, UserData: c.UserData, Shutdown: shutdown,
			DisableTermination: c.DisableTermination, Metadata: metadata, ClientToken: s.ClientToken, At: s.Time,
			Hostname:    hostname,
			DisableStop: c.DisableStop, EBSOptimized: c.EBSOptimized != nil && *c.EBSOptimized, Monitoring: c.Monitoring, Credits: c.Credits, Group: idOf(group), Partition: slot.partition,
		})
		for k, d := range volumes {
			made := storage.Launched(s, z, id, d.BlockDevice, d.kind, i*len(volumes)+k)
			for _, e := range append(made, tagging.New(s, string(made[0].(events.VolumeRequested).ID), c.VolumeTags)...) {
				emit(e)
			}
		}
		tags := tagging.New(s, string(id), append(slices.Clip(c.Tags), launchTags(c)...))
		for _, f := range list {
			tags = append(tags, tagging.New(s, string(f.ID), c.InterfaceTags)...)
		}
		for _, e := range tags {
			emit(e)
		}
	}
	return out, nil
}

func insufficient(typ string, zone events.Zone, want, have int) error {
	where := "in any Availability Zone of the region"
	if zone != "" {
		where = fmt.Sprintf("in the Availability Zone you requested (%s)", zone)
	}
	return events.Faultf("InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity %s: you asked for at least %d, and %d fit.", typ, where, want, have)
}

// maxVCPUs bounds what runs of an account. AWS starts with few and raises on
// request; here nobody is asked.
const maxVCPUs = 5000

// vcpus refuses more than an account may run.
func vcpus(v *state.View, a events.AccountID, more int) error {
	if more+v.Runs(a).Weight > maxVCPUs {
		return events.Faultf("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to.", maxVCPUs)
	}
	return nil
}

// launchTags say on an instance which launch template it was made of.
func launchTags(c events.RunInstances) []events.Tag {
	if c.Template == "" {
		return nil
	}
	return []events.Tag{{Key: "aws:ec2launchtemplate:id", Value: string(c.Template)}, {Key: "aws:ec2launchtemplate:version", Value: strconv.FormatUint(c.Version, 10)}}
}

func idOf(g *state.PlacementGroup) events.PlacementID {
	if g == nil {
		return ""
	}
	return g.ID
}

// options checks what a call chooses of what its type has. What it leaves to the
// type is not recorded.
func (t Type) options(optimized *bool, credits string) error {
	switch {
	case optimized != nil && *optimized && t.EBSOptimize == "unsupported":
		return events.Faultf("InvalidParameterCombination", "EBS-optimized instances are not supported for the instance type '%s'.", t.Name)
	case credits == "":
		return nil
	case !t.Burstable:
		return events.Faultf("InvalidParameterCombination", "The parameter CreditSpecification is not supported for the instance type '%s'.", t.Name)
	case credits != "standard" && credits != "unlimited":
		return events.Faultf("InvalidParameterValue", "Value (%s) for parameter CpuCredits is invalid. Use standard or unlimited.", credits)
	}
	return nil
}

// Credits is how bursts of an instance are charged, where its type has any: t2 is
// standard unless asked, later ones unlimited ("Burstable performance instances").
func (t Type) Credits(asked string) string {
	switch {
	case asked != "" || !t.Burstable:
		return asked
	case strings.HasPrefix(t.Name, "t2."):
		return "standard"
	}
	return "unlimited"
}

type bootFiles struct{ image, kernel, ramdisk *events.Image }

// bootable finds an image and what it boots from.
func bootable(v *state.View, a events.AccountID, c events.RunInstances) (bootFiles, error) {
	var b bootFiles
	find := func(id events.ImageID, typ string) (*events.Image, error) {
		i, ok := v.Image(a, id)
		if !ok {
			return nil, events.Faultf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
		if i.Type != typ {
			return nil, events.Faultf("InvalidParameterValue", "The image '%s' is a %s image, not a %s image.", id, i.Type, typ)
		}
		return i, nil
	}
	if c.Image == "" {
		return b, events.Faultf("MissingParameter", "The request must contain the parameter ImageId")
	}
	var err error
	if b.image, err = find(c.Image, "machine"); err != nil {
		return b, err
	}
	if err := absent(b.image); err != nil {
		return b, err
	}
	kernel, ramdisk := b.image.Kernel, b.image.Ramdisk
	if c.Kernel != "" {
		kernel = c.Kernel
	}
	if c.Ramdisk != "" {
		ramdisk = c.Ramdisk
	}
	if kernel == "" {
		return b, events.Faultf("InvalidParameterCombination", "The image '%s' names no kernel: give KernelId.", c.Image)
	}
	if b.kernel, err = find(kernel, "kernel"); err != nil {
		return b, err
	}
	b.ramdisk = &events.Image{}
	if ramdisk != "" {
		b.ramdisk, err = find(ramdisk, "ramdisk")
	}
	return b, err
}

// where settles VPC, subnet and zone; no subnet and no zone means spread.
func where(v *state.View, a events.AccountID, c events.RunInstances, first nic) (*state.VPC, *state.Subnet, events.Zone, error) {
	if c.Zone != "" {
		if _, ok := v.Zones.Get(string(c.Zone)); !ok {
			return nil, nil, "", events.Faultf("InvalidParameterValue", "Invalid availability zone: [%s]", c.Zone)
		}
	}
	name := first.Subnet
	if first.row != nil {
		name = first.row.Interface.Subnet
	}
	if name != "" {
		sub, ok := v.Subnets.Get(string(name))
		if !ok || sub.Account != a {
			return nil, nil, "", events.Faultf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", name)
		}
		if c.Zone != "" && c.Zone != sub.Zone {
			return nil, nil, "", events.Faultf("InvalidParameterValue", "The availability zone '%s' does not match the zone '%s' of subnet '%s'.", c.Zone, sub.Zone, sub.ID)
		}
		vpc, _ := v.VPCs.Get(string(sub.VPC))
		return vpc, sub, sub.Zone, nil
	}
	vpc, ok := v.DefaultVPC(a)
	if !ok {
		return nil, nil, "", events.Faultf("VPCIdNotSpecified", "No default VPC for this user")
	}
	return vpc, nil, c.Zone, nil
}

// groupsOf resolves groups by id or by name; none means the VPC's default.
func groupsOf(v *state.View, a events.AccountID, vpc *state.VPC, c events.RunInstances) ([]events.GroupID, error) {
	names := c.GroupNames
	if len(c.Groups) == 0 && len(names) == 0 {
		names = []string{"default"}
	}
	out := slices.Clone(c.Groups)
	for _, id := range c.Groups {
		g, ok := v.Groups.Get(string(id))
		if !ok || g.Account != a || g.VPC != vpc.ID {
			return nil, events.Faultf("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, vpc.ID)
		}
	}
	for _, name := range names {
		found := false
		for g := range v.GroupsOf(vpc.ID) {
			if g.Name == name {
				out, found = append(out, g.ID), true
			}
		}
		if !found {
			return nil, events.Faultf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, vpc.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// completed fills in the metadata defaults: tokens are optional, as a plain
// wget of the first articles needs.
func completed(m events.MetadataOptions) (events.MetadataOptions, error) {
	def := func(v *string, d string, allowed ...string) error {
		if *v == "" {
			*v = d
		}
		if !slices.Contains(allowed, *v) {
			return events.Faultf("InvalidParameterValue", "The metadata option '%s' is not one of %s.", *v, strings.Join(allowed, ", "))
		}
		return nil
	}
	if m.HopLimit == 0 {
		m.HopLimit = 1
	}
	if m.HopLimit < 1 || m.HopLimit > 64 {
		return m, events.Faultf("InvalidParameterValue", "HttpPutResponseHopLimit %d is not between 1 and 64.", m.HopLimit)
	}
	return m, errors.Join(
		def(&m.HTTPTokens, "optional", "optional", "required"),
		def(&m.Endpoint, "enabled", "enabled", "disabled"),
		def(&m.InstanceTags, "disabled", "enabled", "disabled"))
}
