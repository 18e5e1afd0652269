package state

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"skerry/events"
)

// Apply turns one record into rows. It cannot fail; an unknown event panics.
func (tx *Tx) Apply(r events.Record) {
	tx.Meta.N, tx.Meta.Last = r.N, r.Hash
	tx.evolve(r)
}

func (tx *Tx) evolve(r events.Record) {
	switch e := r.Event.(type) {
	case events.RegionFormed:
		tx.Meta.Region, tx.Meta.ID, tx.Meta.Level, tx.Meta.NextVNI = e.Name, e.ID, e.Level, 1
		tx.Meta.Public, tx.Meta.Root = e.Public, e.Root
		for _, z := range e.Zones {
			tx.Zones.put(string(z), &ZoneRow{Zone: z})
		}
	case events.FeatureLevelRaised:
		tx.Meta.Level = e.Level
	case events.AccountCreated:
		tx.Accounts.put(string(e.ID), &Account{ID: e.ID, Name: e.Name, AccessKey: e.AccessKey, UserID: e.UserID, At: r.Time})
		tx.withAccount(e.ID)
	case events.AccountDeleted:
		tx.accountDeleted(e)
	case events.NodeJoined:
		tx.nodeJoined(e, r)
	case events.NodeLost:
		tx.Nodes.change(NodeKey(e.Host, e.Kind), func(n *Node) { n.Lost, n.Since = true, e.At })
	case events.NodeReturned:
		tx.Nodes.change(NodeKey(e.Host, e.Kind), func(n *Node) { n.Lost, n.Boot, n.Since = false, e.Boot, e.At })
	case events.ZoneImpaired:
		tx.Zones.change(string(e.Zone), func(z *ZoneRow) { z.Impaired = true })
	case events.ZoneRecovered:
		tx.Zones.change(string(e.Zone), func(z *ZoneRow) { z.Impaired = false })
	case events.HostDrained:
		tx.Hosts.change(string(e.Host), func(h *Host) { h.Drained = true })
	case events.HostResumed:
		tx.Hosts.change(string(e.Host), func(h *Host) { h.Drained = false })
	case events.ResourceTagged:
		tx.tagged(e)
		tx.touchTagged(e.Resource, r)
	case events.ResourceUntagged:
		tx.untagged(e)
		tx.touchTagged(e.Resource, r)
	case events.ImageRegistered:
		tx.Images.put(string(e.Image.ID), &e.Image)
	case events.ImageChanged:
		tx.Images.change(string(e.ID), func(i *events.Image) {
			i.Public, i.LaunchAccounts, i.Description = e.Public, e.LaunchAccounts, e.Description
		})
	case events.ImageDeregistered:
		tx.Images.del(string(e.ID))
		tx.Tags.del(string(e.ID))
	case events.KeyPairCreated:
		tx.Keys.put(string(e.Account)+"/"+e.Name, &KeyPair{e})
	case events.KeyPairDeleted:
		tx.Keys.del(string(e.Account) + "/" + e.Name)
		tx.Tags.del(string(e.ID))
	case events.InstanceRequested:
		e.Interfaces = nil // the table of interfaces tells what it has
		tx.Instances.put(string(e.ID), &Instance{InstanceRequested: e, State: Pending, Generation: 1, N: r.N, Request: r.Request})
	case events.InstancePlaced:
		if i, ok := tx.Instances.Get(string(e.Instance)); true {
			must(ok && i.Host == "" && i.Live(), r, "placed twice, or after its end")
		}
		tx.changeInstance(e.Instance, r, func(i *Instance) { i.Host, i.Why = e.Host, &e.Why })
		tx.touchInterfaces(e.Instance, r)
		i, _ := tx.Instances.Get(string(e.Instance))
		for _, f := range i.Interfaces(&tx.View) {
			tx.Tombstones.del(tombstoneKey(e.Host, events.SpecPort, string(f.Interface.ID))) // back where it was stopped
			tx.serve(f.Interface.ID)
		}
		tx.take(e.Host, i.Need, 1)
		h, _ := tx.Hosts.Get(string(e.Host))
		free, open := tx.Free(h)
		must(open && free.VCPUs >= 0 && free.MemoryMiB >= 0 && free.DiskGiB >= 0, r, "over the host's capacity")
	case events.InstanceStarted:
		tx.changeInstance(e.Instance, r, func(i *Instance) { i.State, i.Started = Running, e.At })
	case events.InstanceRebootRequested:
		tx.changeInstance(e.Instance, r, func(i *Instance) { i.Reboots = e.Reboots })
	case events.InstanceTerminationRequested:
		tx.terminationRequested(e, r)
	case events.InstanceTerminated:
		tx.terminated(e, r)
	case events.InstanceStopRequested:
		tx.changeInstance(e.Instance, r, func(i *Instance) { i.State, i.Reason, i.Transition = Stopping, e.Reason, e.Transition })
		tx.entomb(e.Host, events.SpecInstance, string(e.Instance), r)
	case events.InstanceStopped:
		tx.stopped(e, r)
	case events.InstanceStartRequested:
		tx.changeInstance(e.Instance, r, func(i *Instance) {
			i.State, i.Generation, i.Why, i.Reason, i.Transition = Pending, e.Generation, nil, events.Reason{}, ""
			i.Launched = e.At
		})
	case events.GuestRemoved:
		tx.Tombstones.del(tombstoneKey(e.Host, events.SpecInstance, string(e.Instance)))
	case events.GuestUnexpected:
		tx.Tombstones.put(tombstoneKey(e.Host, events.SpecInstance, string(e.Instance)),
			&Tombstone{e.Host, events.SpecInstance, string(e.Instance), r.N, r.Request})
	case events.InstanceForgotten:
		tx.Instances.del(string(e.Instance))
		tx.Tags.del(string(e.Instance))
	case events.InstanceModified:
		tx.instanceModified(e, r)
	default:
		if !tx.identities(r) && !tx.regions(r) && !tx.network(r) && !tx.paths(r) && !tx.storage(r) && !tx.templates(r) && !tx.gateways(r) && !tx.peerings(r) && !tx.vpns(r) && !tx.options(r) {
			panic(fmt.Sprintf("state: event %d has no evolve: %T", r.N, r.Event))
		}
	}
}

// must asserts what has to hold in every state. Where it does not, a decision is
// wrong, and the voter stops before the state is.
func must(ok bool, r events.Record, what string) {
	if !ok {
		panic(fmt.Sprintf("state: event %d breaks an invariant (%s): %s", r.N, what, events.Line(r.Event)))
	}
}

func (tx *Tx) accountDeleted(e events.AccountDeleted) {
	// What an account may still hold when it ends: keys, its network, tags.
	for _, k := range slices.Collect(tx.KeyPairsOf(e.ID)) {
		tx.Keys.del(string(k.Account) + "/" + k.Name)
	}
	for _, i := range slices.Collect(tx.ImagesOf(e.ID)) {
		tx.Images.del(string(i.ID))
	}
	for _, v := range slices.Collect(tx.VPCsOf(e.ID)) {
		for _, s := range slices.Collect(tx.SubnetsOf(v.ID)) {
			tx.Subnets.del(string(s.ID))
		}
		for _, g := range slices.Collect(tx.GroupsOf(v.ID)) {
			tx.Groups.del(string(g.ID))
		}
		for _, t := range slices.Collect(tx.RouteTablesOf(v.ID)) {
			tx.RouteTables.del(string(t.ID))
		}
		tx.withoutVPC(v.ID)
		tx.VPCs.del(string(v.ID))
	}
	for _, g := range slices.Collect(tx.EgressGatewaysOf(e.ID)) {
		tx.EgressGateways.del(string(g.ID))
	}
	for _, g := range slices.Collect(tx.NATGatewaysOf(e.ID)) {
		tx.NATGateways.del(string(g.ID))
	}
	for _, g := range slices.Collect(tx.InternetGatewaysOf(e.ID)) {
		tx.InternetGateways.del(string(g.ID))
	}
	tx.forgetUsers(e.ID)
	tx.withoutAccount(e.ID)
	tx.withoutVPNs(e.ID)
	for _, g := range slices.Collect(tx.PlacementGroupsOf(e.ID)) {
		tx.PlacementGroups.del(string(g.ID))
	}
	for _, t := range slices.Collect(tx.TemplatesOf(e.ID)) {
		tx.Templates.del(string(t.ID))
	}
	for _, t := range slices.Collect(tx.TaggedBy(e.ID)) {
		tx.Tags.del(t.Resource)
	}
	tx.Accounts.del(string(e.ID))
}

func (tx *Tx) nodeJoined(e events.NodeJoined, r events.Record) {
	n := &Node{Host: e.Host, Kind: e.Kind, Zone: e.Zone, Boot: e.Boot, Address: e.Address, Capacity: e.Capacity, Accel: e.Accel, Since: e.At}
	tx.Nodes.put(n.Key(), n)
	if _, ok := tx.Hosts.Get(string(e.Host)); !ok && e.Kind == "compute" {
		tx.Hosts.put(string(e.Host), &Host{Host: e.Host, Zone: e.Zone})
	}
	switch e.Kind {
	case "storage":
		if _, ok := tx.Stores.Get(string(e.Host)); !ok {
			tx.Stores.put(string(e.Host), &Store{Host: e.Host, Zone: e.Zone})
		}
	case "network", "gateway":
		tx.Meta.FabricN = r.N
	}
}

func (tx *Tx) take(h events.HostID, n events.Need, sign int) {
	tx.Hosts.change(string(h), func(h *Host) {
		h.Used.VCPUs += sign * n.VCPUs
		h.Used.MemoryMiB += sign * n.MemoryMiB
		h.Used.DiskGiB += sign * n.DiskGiB
		h.Count += sign
	})
}

func (tx *Tx) changeInstance(id events.InstanceID, r events.Record, f func(*Instance)) {
	tx.Instances.change(string(id), func(i *Instance) {
		f(i)
		i.N = r.N
		if r.Request != "" {
			i.Request = r.Request
		}
	})
}

func (tx *Tx) terminationRequested(e events.InstanceTerminationRequested, r events.Record) {
	tx.changeInstance(e.Instance, r, func(i *Instance) {
		i.State, i.Reason, i.Transition = ShuttingDown, e.Reason, e.Transition
	})
	if e.Host != "" {
		tx.Tombstones.put(tombstoneKey(e.Host, events.SpecInstance, string(e.Instance)),
			&Tombstone{e.Host, events.SpecInstance, string(e.Instance), r.N, r.Request})
	}
}

func (tx *Tx) terminated(e events.InstanceTerminated, r events.Record) {
	i, _ := tx.Instances.Get(string(e.Instance))
	if i.Host != "" {
		tx.take(i.Host, i.Need, -1)
	}
	tx.changeInstance(e.Instance, r, func(i *Instance) {
		i.State, i.Reason, i.Transition, i.Ended = Terminated, e.Reason, e.Transition, e.At
	})
}

// stopped takes an instance off its host: capacity goes back, and the nodes let go
// of its taps, and gateways of the addresses that led there, until it starts
// somewhere.
func (tx *Tx) stopped(e events.InstanceStopped, r events.Record) {
	i, _ := tx.Instances.Get(string(e.Instance))
	must(i.Host == e.Host && i.OnVolume(), r, "stopped where it was not, or for ever")
	if i.Host != "" {
		tx.take(i.Host, i.Need, -1)
	}
	for _, f := range i.Interfaces(&tx.View) {
		if _, ok := tx.Nodes.Get(NodeKey(e.Host, "network")); ok {
			tx.entomb(e.Host, events.SpecPort, string(f.Interface.ID), r)
		}
		for a := range tx.PublicsOf(f.Interface.ID) {
			tx.withdraw(a.Address.String(), r)
		}
	}
	tx.touchInterfaces(e.Instance, r)
	tx.changeInstance(e.Instance, r, func(i *Instance) {
		i.State, i.Host, i.Reason, i.Transition, i.Ended = Stopped, "", e.Reason, e.Transition, time.Time{}
	})
}

func (tx *Tx) instanceModified(e events.InstanceModified, r events.Record) {
	tx.changeInstance(e.Instance, r, func(i *Instance) {
		if e.DisableTermination != nil {
			i.DisableTermination = *e.DisableTermination
		}
		if e.Shutdown != nil {
			i.Shutdown = *e.Shutdown
		}
		if e.UserData != nil {
			i.UserData = *e.UserData
		}
		if e.Metadata != nil {
			i.Metadata = *e.Metadata
		}
		if e.DisableStop != nil {
			i.DisableStop = *e.DisableStop
		}
		if e.EBSOptimized != nil {
			i.EBSOptimized = *e.EBSOptimized
		}
		if e.Monitoring != nil {
			i.Monitoring = *e.Monitoring
		}
		if e.Credits != nil {
			i.Credits = *e.Credits
		}
		if e.Shape != nil {
			i.Shape, i.Need = *e.Shape, *e.Need
		}
		if e.Kernel != nil {
			i.Kernel, i.KernelFile = e.Kernel.Image, e.Kernel.File
		}
		if e.Ramdisk != nil {
			i.Ramdisk, i.RamdiskFile = e.Ramdisk.Image, e.Ramdisk.File
		}
	})
	if i, _ := tx.Instances.Get(string(e.Instance)); e.Groups != nil || e.SourceDestCheck != nil { // of the primary interface
		tx.Interfaces.change(string(i.Interfaces(&tx.View)[0].Interface.ID), func(f *Interface) {
			if e.Groups != nil {
				f.Interface.Groups = e.Groups
			}
			if e.SourceDestCheck != nil {
				f.NoSrcCheck = !*e.SourceDestCheck
			}
		})
	}
	tx.touchInterfaces(e.Instance, r)
}

func (tx *Tx) tagged(e events.ResourceTagged) {
	tags := slices.Clone(tx.TagsOf(e.Resource))
	for _, t := range e.Tags {
		at, found := slices.BinarySearchFunc(tags, t.Key, func(a events.Tag, k string) int { return cmp.Compare(a.Key, k) })
		if found {
			tags[at] = t
		} else {
			tags = slices.Insert(tags, at, t)
		}
	}
	tx.Tags.put(e.Resource, &Tags{e.Resource, e.Account, tags})
}

func (tx *Tx) untagged(e events.ResourceUntagged) {
	tags := slices.DeleteFunc(slices.Clone(tx.TagsOf(e.Resource)), func(t events.Tag) bool { return slices.Contains(e.Keys, t.Key) })
	if len(tags) == 0 {
		tx.Tags.del(e.Resource)
		return
	}
	tx.Tags.put(e.Resource, &Tags{e.Resource, e.Account, tags})
}

// touchTagged notes that the guest of an instance is told other tags.
func (tx *Tx) touchTagged(resource string, r events.Record) {
	if i, ok := tx.Instances.Get(resource); ok && i.Metadata.InstanceTags == "enabled" {
		tx.touchInstance(i.ID, r)
	}
}

func tombstoneKey(h events.HostID, k events.SpecKind, id string) string {
	return string(h) + "/" + string(k) + "/" + id
}

// Answer keeps the reply of a command, and drops those that are older than
// KeepCommands. It is the one change of state that no event tells: it belongs
// to the log, not to the region's life.
func (tx *Tx) Answer(s events.Stamped, index uint64, a Answered, token string) {
	tx.Meta.Time, tx.Meta.Index = s.Stamp.Time, index
	tx.Commands.put(string(s.Stamp.ID), &a)
	if token != "" {
		tx.Tokens.put(token, &a)
	}
	drop(tx.Commands, s.Stamp.Time.Add(-events.KeepCommands))
	drop(tx.Tokens, s.Stamp.Time.Add(-events.KeepCommands))
}

func drop(t *Table[Answered], before time.Time) {
	end := stampKey(before)
	for {
		p, ok := t.indexes[0].tree.Min()
		if !ok || p.value >= end {
			return
		}
		t.del(p.key)
	}
}
