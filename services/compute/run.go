package compute

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
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
	vpc, subnet, zone, err := where(v, s.Account, c)
	if err != nil {
		return nil, err
	}
	groups, err := groupsOf(v, s.Account, vpc, c)
	if err != nil {
		return nil, err
	}
	var ip netip.Addr
	if c.PrivateIP != "" {
		if ip, err = netip.ParseAddr(c.PrivateIP); err != nil || !ip.Is4() {
			return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter privateIpAddress is invalid.", c.PrivateIP)
		}
		if c.Max > 1 {
			return nil, events.Faultf("InvalidParameterCombination", "The parameter PrivateIpAddress cannot be used with more than one instance.")
		}
	}
	shutdown := c.Shutdown
	switch shutdown {
	case "", "terminate":
		shutdown = "terminate"
	case "stop":
		return nil, events.Faultf("InvalidParameterCombination", "The instance-initiated shutdown behavior 'stop' needs an EBS root device; image '%s' has an instance store one.", c.Image)
	default:
		return nil, events.Faultf("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid. Use stop or terminate.", shutdown)
	}
	metadata, err := completed(c.Metadata)
	if err != nil {
		return nil, err
	}

	zones := newRoom(v, s.Account, zone).spread(typ.Need(), c.Max)
	if len(zones) < c.Min {
		return nil, insufficient(typ.Name, zone, c.Min, len(zones))
	}
	slices.Sort(zones) // neighbours in the launch order share a zone

	tx := v.Fork()
	reservation := events.ReservationID("r-" + s.Seed.Hex("r", 0))
	var out []events.Event
	emit := func(e events.Event) {
		out = append(out, e)
		tx.Apply(events.Record{N: tx.Meta.N, Time: s.Time, Event: e})
	}
	for i, z := range zones {
		sub := subnet
		if sub == nil {
			if sub = subnetIn(tx, vpc, z); sub == nil {
				return nil, events.Faultf("MissingInput", "No default subnet for availability zone: '%s'.", z)
			}
		} else {
			sub, _ = tx.Subnets.Get(string(sub.ID))
		}
		addr, mac, err := network.Allocate(tx, s, sub, ip, i)
		if err != nil {
			if i >= c.Min {
				break // as many as there are addresses for
			}
			return nil, err
		}
		id := events.InstanceID("i-" + s.Seed.Hex("i", i))
		eni := events.Interface{ID: events.InterfaceID("eni-" + s.Seed.Hex("eni", i)), VPC: vpc.ID, Subnet: sub.ID, MAC: mac, PrivateIP: addr, Groups: groups}
		if c.PublicIP == nil {
			eni.Public = sub.GivesPublic(v)
		} else {
			eni.Public = *c.PublicIP
		}
		var public events.Event
		if eni.Public {
			if public, err = network.Assign(&tx.View, z, s.Account, id, eni); err != nil {
				if i >= c.Min {
					break
				}
				return nil, err
			}
		}
		emit(events.InterfaceCreated{Account: s.Account, Zone: z, Instance: id, Interface: eni, At: s.Time})
		if public != nil {
			emit(public)
		}
		emit(events.InstanceRequested{
			ID: id, Reservation: reservation, LaunchIndex: i, Account: s.Account, Zone: z,
			Image: c.Image, Kernel: boot.kernel.ID, Ramdisk: boot.ramdisk.ID,
			KernelFile: boot.kernel.File, RamdiskFile: boot.ramdisk.File, RootFile: boot.image.File,
			Cmdline: boot.image.Cmdline, RootDevice: boot.image.RootDevice, RootDeviceType: boot.image.RootDeviceType,
			Architecture: boot.image.Architecture, Virtualization: boot.image.Virtualization,
			Shape: typ.Shape(), Need: typ.Need(), KeyName: c.KeyName, PublicKey: key.PublicKey,
			Interfaces: []events.Interface{eni}, UserData: c.UserData, Shutdown: shutdown,
			DisableTermination: c.DisableTermination, Metadata: metadata, ClientToken: s.ClientToken, At: s.Time,
		})
		for _, e := range append(tagging.New(s, string(id), c.Tags), tagging.New(s, string(eni.ID), c.InterfaceTags)...) {
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
func where(v *state.View, a events.AccountID, c events.RunInstances) (*state.VPC, *state.Subnet, events.Zone, error) {
	if c.Zone != "" {
		if _, ok := v.Zones.Get(string(c.Zone)); !ok {
			return nil, nil, "", events.Faultf("InvalidParameterValue", "Invalid availability zone: [%s]", c.Zone)
		}
	}
	if c.Subnet != "" {
		sub, ok := v.Subnets.Get(string(c.Subnet))
		if !ok || sub.Account != a {
			return nil, nil, "", events.Faultf("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", c.Subnet)
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

func subnetIn(tx *state.Tx, vpc *state.VPC, z events.Zone) *state.Subnet {
	for s := range tx.SubnetsOf(vpc.ID) {
		if s.Zone == z && s.Default {
			return s
		}
	}
	return nil // its account has deleted it
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
