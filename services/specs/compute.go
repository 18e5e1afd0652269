package specs

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"skerry/events"
	"skerry/services/state"
)

// compute gathers the guests of a host.
func (c *collector) compute() {
	guest := func(i *state.Instance) {
		switch i.State {
		case state.ShuttingDown, state.Stopping: // its tombstone speaks
		case state.Pending:
			if bootable(c.v, i) {
				c.instance(i)
			}
		default:
			c.instance(i)
		}
	}
	if c.only == nil {
		for i := range c.v.InstancesOn(c.host) {
			guest(i)
		}
	}
	for _, id := range c.only {
		if i, ok := c.v.Instances.Get(id); ok && i.Live() && i.Host == c.host {
			guest(i)
		}
	}
	before := len(c.specs)
	c.tombstones(events.SpecInstance)
	for n := before; n < len(c.specs); n++ {
		c.ending(&c.specs[n])
	}
}

// bootable says that a guest can start: the volume it boots from, if it does, is
// held at its epoch, and nobody else can write to it.
func bootable(v *state.View, i *state.Instance) bool {
	if !i.OnVolume() {
		return true
	}
	r, ok := v.RootOf(i)
	return ok && r.State == state.VolumeInUse && r.Confirmed == r.Epoch
}

// ending adds to the order to destroy a guest the volumes that it may reach
// until it is gone.
func (c *collector) ending(s *events.Spec) {
	i, ok := c.v.Instances.Get(s.ID)
	if !ok || i.Host != c.host || i.State != state.ShuttingDown && i.State != state.Stopping {
		return
	}
	body := events.InstanceSpec{Instance: i.ID}
	for r := range c.v.VolumesAttached(i.ID) {
		if !r.Attachment.Ended && r.State != state.VolumeCreating {
			body.Volumes = append(body.Volumes, c.disk(r))
			s.N = max(s.N, r.N)
		}
	}
	if body.Volumes == nil {
		return
	}
	b, err := json.Marshal(body)
	if err != nil {
		c.err = fmt.Errorf("specs: %s: %w", s.ID, err)
		return
	}
	s.Body = b
}

func (c *collector) instance(i *state.Instance) {
	userData, err := c.secrets.Open(i.UserData)
	if err != nil {
		c.err = fmt.Errorf("specs: %s: user data: %w", i.ID, err)
		return
	}
	known := events.PhaseNone
	if i.State == state.Running {
		known = events.PhaseRunning
	}
	n := i.N
	var disks []events.DiskSpec
	for r := range c.v.VolumesAttached(i.ID) {
		n = max(n, r.N)
		if !r.Attachment.Ended && r.State != state.VolumeCreating {
			disks = append(disks, c.disk(r))
		}
	}
	interfaces := []events.Interface{}
	for _, f := range i.Interfaces(c.v) {
		if !f.Detaching {
			interfaces = append(interfaces, f.Interface)
		}
	}
	root := events.VolumeID("")
	if r, ok := c.v.RootOf(i); ok {
		root = r.ID
	}
	c.add(events.SpecInstance, string(i.ID), n, i.Request, events.InstanceSpec{
		Instance: i.ID, Account: i.Account, Reservation: i.Reservation, LaunchIndex: i.LaunchIndex, Zone: i.Zone, Host: i.Host,
		Shape: i.Shape, Run: i.State == state.Pending || i.State == state.Running, Generation: i.Generation, Reboots: i.Reboots,
		Image: i.Image, Kernel: i.KernelFile, Ramdisk: i.RamdiskFile, Root: i.RootFile, Cmdline: i.Cmdline, RootDevice: i.RootDevice,
		Interfaces: interfaces, Volumes: disks, RootVolume: root, PublicKey: i.PublicKey, UserData: userData, Known: known,
	})
}

func (c *collector) disk(r *state.Volume) events.DiskSpec {
	known := events.DiskNone
	if r.Attachment.State == state.Attached {
		known = events.DiskAttached
	}
	var portal netip.AddrPort
	if n, ok := c.v.Nodes.Get(state.NodeKey(r.Host, "storage")); ok {
		portal, _ = netip.ParseAddrPort(n.Address) // checked when the node joined
	}
	return events.DiskSpec{Volume: r.ID, Attachment: r.Attachment.ID, Epoch: r.Epoch, Device: r.Attachment.Device, Serial: Serial(r.ID),
		Bytes: bytesOf(r), Portal: portal, Target: target(r.ID), Initiator: initiator(r.Attachment.ID), Secret: c.secret(r.Attachment.ID),
		WriteThrough: writeThrough(r), Detach: r.Attachment.State == state.Detaching, Known: known}
}
