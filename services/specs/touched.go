package specs

import (
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/services/state"
)

// Poke announces that a spec of a node has changed, or one that all nodes with a
// port in a VPC hold. It carries the spec without anything secret, for operators
// to read; the node asks for the whole.
type Poke struct {
	Host events.HostID // node that holds it, or
	Kind string
	VPC  events.VPCID // VPC whose nodes hold it
	Spec events.Spec
}

// Subject is where the poke goes.
func (p Poke) Subject(region string) string {
	if p.VPC != "" {
		return events.VPCSubject(region, p.VPC, p.Spec)
	}
	return events.SpecSubject(region, p.Host, p.Kind, p.Spec)
}

// Touched says whose specs a record changes. The view is that after the record,
// or a later one.
func Touched(v *state.View, r events.Record) []Poke {
	t := &toucher{v: v, r: r}
	switch e := r.Event.(type) {
	case events.InstancePlaced:
		t.instance(e.Instance)
		t.interfaces(e.Instance)
	case events.InstanceStarted:
		t.instance(e.Instance)
	case events.InstanceRebootRequested:
		t.instance(e.Instance)
	case events.InstanceModified:
		t.instance(e.Instance)
		t.interfaces(e.Instance)
	case events.InstanceTerminationRequested:
		t.bury(e.Host, "compute", events.SpecInstance, string(e.Instance))
		t.node(e.Host, "network", events.SpecMetadata, string(e.Instance))
	case events.InstanceStopRequested:
		t.bury(e.Host, "compute", events.SpecInstance, string(e.Instance))
	case events.InstanceStopped:
		t.node(e.Host, "network", events.SpecMetadata, string(e.Instance))
		t.stopped(e)
	case events.GuestUnexpected:
		t.bury(e.Host, "compute", events.SpecInstance, string(e.Instance))
	case events.ResourceTagged:
		t.tags(e.Resource)
	case events.ResourceUntagged:
		t.tags(e.Resource)

	case events.InterfaceDeleted:
		t.bury(e.Host, "network", events.SpecPort, string(e.ID))
		t.inVPC(e.VPC, events.SpecMapping, string(e.ID), true)
		t.routed(e.VPC, e.ID)
	case events.InterfaceCreated:
		if e.Interface.NAT != "" {
			t.inVPC(e.Interface.VPC, events.SpecMapping, string(e.Interface.ID), false)
		}
	case events.InterfaceAttached:
		t.attached(e.ID)
	case events.InterfaceModified:
		t.attached(e.ID)
	case events.InterfaceAddressesAssigned:
		t.attached(e.ID)
	case events.InterfaceAddressesUnassigned:
		t.attached(e.ID)
	case events.InterfaceDetachRequested:
		t.detached(e.ID, e.VPC, e.Instance, e.Host)
	case events.InterfaceDetached:
		t.detached(e.ID, e.VPC, e.Instance, e.Host)
	case events.PublicAddressAssigned:
		t.address(e.Address.String(), e.VPC, e.Interface, false)
	case events.PublicAddressReturned:
		t.address(e.Address.String(), e.VPC, e.Interface, true)
	case events.AddressAssociated:
		t.address(e.Address.String(), e.VPC, e.Interface, false)
	case events.AddressDisassociated:
		t.address(e.Address.String(), e.VPC, e.Interface, true)
	case events.GroupCreated:
		t.inVPC(e.VPC, events.SpecGroup, string(e.ID), false)
	case events.RulesAuthorized:
		t.inVPC(e.VPC, events.SpecGroup, string(e.Group), false)
	case events.RulesRevoked:
		t.inVPC(e.VPC, events.SpecGroup, string(e.Group), false)
	case events.RulesModified:
		t.inVPC(e.VPC, events.SpecGroup, string(e.Group), false)
	case events.RangeAdvertised:
		t.within(e.Account, e.CIDR)
	case events.RangeWithdrawn:
		t.within(e.Account, e.CIDR)
	case events.PrefixListModified:
		if e.Version != 0 {
			t.referring(e.ID)
		}
	case events.PrefixListRestored:
		t.referring(e.ID)
	case events.GroupDeleted:
		t.inVPC(e.VPC, events.SpecGroup, string(e.ID), true)
	case events.SubnetCreated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableCreated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.InternetGatewayCreated:
		t.outside(e.VPC)
	case events.InternetGatewayAttached:
		t.outside(e.VPC)
		if vpc, ok := t.v.VPCs.Get(string(e.VPC)); ok && speaks6(vpc) {
			t.fabricOf("gateway")
		}
	case events.InternetGatewayDetached:
		t.outside(e.VPC)
	case events.VPCBlockAssociated:
		t.network(e.VPC)
		if e.CIDR.Addr().Is6() {
			t.fabricOf("gateway")
		}
	case events.VPCBlockDisassociated:
		t.network(e.VPC)
		if e.CIDR.Addr().Is6() {
			t.fabricOf("gateway")
		}
	case events.SubnetBlockAssociated:
		t.network(e.VPC)
	case events.SubnetBlockDisassociated:
		t.network(e.VPC)
	case events.DHCPOptionsAssociated:
		t.network(e.VPC)
	case events.SubnetModified:
		if e.DNS64 != nil {
			t.network(e.VPC)
		}
	case events.SubnetDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteCreated:
		t.route(e.VPC, e.Table)
	case events.RouteReplaced:
		t.route(e.VPC, e.Table)
	case events.RouteDeleted:
		t.route(e.VPC, e.Table)
	case events.RouteTableAssociated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableDisassociated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.NetworkACLCreated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.NetworkACLDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.ACLEntryPut:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.ACLEntryDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.NetworkACLAssociated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.MainRouteTableReplaced:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.NATGatewayCreated:
		t.nat(e.ID, e.Zone, e.VPC, e.Interface)
	case events.NATGatewayAvailable:
		t.nat(e.ID, e.Zone, e.VPC, "")
	case events.NATGatewayFailed:
		t.nat(e.ID, e.Zone, e.VPC, "")
	case events.NATGatewayDeleted:
		t.nat(e.ID, e.Zone, e.VPC, "")
	case events.EgressGatewayCreated:
		t.outside(e.VPC)
		t.fabricOf("gateway")
	case events.EgressGatewayDeleted:
		t.outside(e.VPC)
	case events.GatewayTableAssociated:
		t.outside(e.VPC)
	case events.GatewayTableDisassociated:
		t.outside(e.VPC)
	case events.PeeringAccepted:
		t.peered(e.VPC, e.Peer)
	case events.PeeringDeleted:
		t.peered(e.VPC, e.Peer)
	case events.NodeJoined:
		if e.Kind == "network" || e.Kind == "gateway" {
			t.fabric()
		}
	case events.GatewayElected:
		t.fabric() // where the zone's NAT gateways are, too

	case events.VolumePlaced:
		t.volume(e.Volume, "")
	case events.VolumeConfirmed:
		t.volume(e.Volume, "")
	case events.VolumeAvailable:
		t.volume(e.Volume, "")
	case events.VolumeErred:
		t.volume(e.Volume, "")
	case events.VolumeEpochRaised:
		t.volume(e.Volume, "")
	case events.VolumeAttachRequested:
		t.volume(e.Volume, e.Instance)
	case events.VolumeAttached:
		t.volume(e.Volume, e.Instance)
	case events.VolumeDetachRequested:
		t.volume(e.Volume, e.Instance)
	case events.AttachmentEnded:
		t.volume(e.Volume, e.Instance)
	case events.VolumeDetached:
		t.volume(e.Volume, e.Instance)
	case events.VolumeDeleteRequested:
		t.bury(e.Host, "storage", events.SpecVolume, string(e.Volume))
	case events.VolumeModificationRequested:
		t.volume(e.Volume, "")
	case events.VolumeModified:
		t.volume(e.Volume, "")
	case events.SnapshotRequested:
		t.node(e.Host, "storage", events.SpecSnapshot, string(e.ID))
	case events.SnapshotCompleted:
		t.snapshot(e.ID)
	case events.SnapshotErred:
		t.snapshot(e.ID)
	case events.SnapshotDeleteRequested:
		t.bury(e.Host, "storage", events.SpecSnapshot, string(e.ID))
	}
	return t.pokes
}

type toucher struct {
	v     *state.View
	r     events.Record
	pokes []Poke
}

func (t *toucher) spec(kind events.SpecKind, id string, gone bool) events.Spec {
	return events.Spec{Kind: kind, ID: id, N: t.r.N, Tombstone: gone, Request: t.r.Request}
}

// node pokes a node about an object, with what its spec says where the node
// holds one.
func (t *toucher) node(h events.HostID, kind string, k events.SpecKind, id string) {
	if h == "" {
		return
	}
	spec := t.spec(k, id, false)
	set, err := Set(t.v, h, kind, []string{id}, Closed{})
	if err != nil {
		panic(err) // nothing is opened, and our own types marshal
	}
	for _, s := range set.Specs {
		if s.Kind == k && s.ID == id {
			spec.Body, spec.Tombstone = s.Body, s.Tombstone
		}
	}
	t.pokes = append(t.pokes, Poke{Host: h, Kind: kind, Spec: spec})
}

func (t *toucher) bury(h events.HostID, kind string, k events.SpecKind, id string) {
	if h != "" {
		t.pokes = append(t.pokes, Poke{Host: h, Kind: kind, Spec: t.spec(k, id, true)})
	}
}

func (t *toucher) inVPC(vpc events.VPCID, k events.SpecKind, id string, gone bool) {
	if vpc != "" {
		t.pokes = append(t.pokes, Poke{VPC: vpc, Spec: t.spec(k, id, gone)})
	}
}

// network pokes about a VPC, and the hosts about what is in it: their ports and
// what instances are told name its blocks.
func (t *toucher) network(vpc events.VPCID) {
	t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
	for f := range t.v.InterfacesIn(vpc) {
		if i, ok := t.v.Instances.Get(string(f.Instance)); ok && i.Live() {
			t.instance(i.ID)
			t.one(i, f)
		}
	}
}

// referring pokes about the groups with rules that refer to a prefix list, and
// the networks with routes that do.
func (t *toucher) referring(id events.PrefixListID) {
	var told []events.VPCID
	for r := range t.v.TablesWith(id) {
		if !slices.Contains(told, r.VPC) {
			told = append(told, r.VPC)
			t.network(r.VPC)
		}
	}
	for g := range t.v.GroupsWith(id) {
		t.inVPC(g.VPC, events.SpecGroup, string(g.ID), false)
	}
}

// within pokes about the addresses of a range that interfaces have.
func (t *toucher) within(account events.AccountID, of netip.Prefix) {
	for a := range t.v.AddressesOf(account) {
		if of.Contains(a.Address) && a.Interface != "" {
			t.gateways(a.Address.String(), false)
		}
	}
}

// outside pokes about the way outside of a VPC: its routes, and the public
// addresses that interfaces in it have already.
func (t *toucher) outside(vpc events.VPCID) {
	t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
	for f := range t.v.InterfacesIn(vpc) {
		for a := range t.v.PublicsOf(f.Interface.ID) {
			t.gateways(a.Address.String(), false)
		}
	}
}

// instance pokes the compute node, and the network node for what the metadata
// service tells.
func (t *toucher) instance(id events.InstanceID) {
	i, ok := t.v.Instances.Get(string(id))
	if !ok || i.Host == "" || !i.Live() {
		return
	}
	t.node(i.Host, "compute", events.SpecInstance, string(id))
	t.node(i.Host, "network", events.SpecMetadata, string(id))
}

// interfaces pokes whoever holds a port or a mapping of an instance's interfaces.
func (t *toucher) interfaces(id events.InstanceID) {
	i, ok := t.v.Instances.Get(string(id))
	if !ok {
		return
	}
	for _, f := range i.Interfaces(t.v) {
		t.one(i, f)
	}
}

// one pokes whoever holds something of an interface.
func (t *toucher) one(i *state.Instance, f *state.Interface) {
	t.node(i.Host, "network", events.SpecPort, string(f.Interface.ID))
	t.inVPC(f.Interface.VPC, events.SpecMapping, string(f.Interface.ID), false)
	for a := range t.v.PublicsOf(f.Interface.ID) {
		t.gateways(a.Address.String(), false)
	}
}

// attached pokes about an interface that its instance has, or has in another way.
func (t *toucher) attached(id events.InterfaceID) {
	f, ok := t.v.Interfaces.Get(string(id))
	if !ok {
		return
	}
	if i, ok := t.v.Instances.Get(string(f.Instance)); ok {
		t.instance(i.ID)
		t.one(i, f)
	}
	t.routed(f.Interface.VPC, id)
}

// detached pokes about an interface that its instance had.
func (t *toucher) detached(id events.InterfaceID, vpc events.VPCID, instance events.InstanceID, host events.HostID) {
	t.bury(host, "network", events.SpecPort, string(id))
	t.inVPC(vpc, events.SpecMapping, string(id), true)
	t.instance(instance)
	for a := range t.v.PublicsOf(id) {
		t.gateways(a.Address.String(), true)
	}
	t.routed(vpc, id)
}

// routed pokes about a VPC whose routes lead to an interface.
func (t *toucher) routed(vpc events.VPCID, id events.InterfaceID) {
	if t.v.Routed(vpc, id) {
		t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
	}
}

func (t *toucher) gateways(address string, gone bool) {
	for _, n := range slices.Collect(t.v.GatewayNodes()) {
		if gone {
			t.bury(n.Host, "gateway", events.SpecPublic, address)
		} else {
			t.node(n.Host, "gateway", events.SpecPublic, address)
		}
	}
}

func (t *toucher) address(address string, vpc events.VPCID, id events.InterfaceID, gone bool) {
	t.gateways(address, gone)
	t.inVPC(vpc, events.SpecMapping, string(id), false)
	if f, ok := t.v.Interfaces.Get(string(id)); ok {
		if i, ok := t.v.Instances.Get(string(f.Instance)); ok && i.Live() {
			t.node(i.Host, "network", events.SpecMetadata, string(i.ID))
		}
	}
}

func (t *toucher) tags(resource string) {
	if i, ok := t.v.Instances.Get(resource); ok && i.Metadata.InstanceTags == "enabled" {
		t.instance(i.ID)
	}
}

// fabric pokes every network and gateway node.
func (t *toucher) fabric() { t.fabricOf("network", "gateway") }

// fabricOf has every node of some kinds ask for its whole set.
func (t *toucher) fabricOf(kinds ...string) {
	for _, n := range t.v.Nodes.All() {
		if slices.Contains(kinds, n.Kind) {
			t.node(n.Host, n.Kind, events.SpecFabric, fabricID)
		}
	}
}

// route pokes about the routes of a VPC, and about what comes in by a gateway
// that follows them.
func (t *toucher) route(vpc events.VPCID, table events.TableID) {
	for range t.v.EdgesOn(table) {
		t.outside(vpc)
		return
	}
	t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
}

// nat pokes about a NAT gateway: its node, and those that send to it.
func (t *toucher) nat(id events.NATGatewayID, z events.Zone, vpc events.VPCID, f events.InterfaceID) {
	if g, ok := t.v.Gateways.Get(string(z)); ok {
		t.node(g.Host, "gateway", events.SpecNAT, string(id))
	}
	if f != "" {
		t.inVPC(vpc, events.SpecMapping, string(f), false)
	}
	t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
}

// peered pokes every network node: who had to do with one of two VPCs has to do
// with both now, or no longer.
func (t *toucher) peered(a, b events.VPCID) {
	t.inVPC(a, events.SpecNetwork, string(a), false)
	t.inVPC(b, events.SpecNetwork, string(b), false)
	t.fabricOf("network")
}

func (t *toucher) snapshot(id events.SnapshotID) {
	if r, ok := t.v.Snapshots.Get(string(id)); ok {
		t.node(r.Host, "storage", events.SpecSnapshot, string(id))
	}
}

// stopped pokes whoever held something of an instance that has no host any more.
func (t *toucher) stopped(e events.InstanceStopped) {
	i, ok := t.v.Instances.Get(string(e.Instance))
	if !ok {
		return
	}
	for _, f := range i.Interfaces(t.v) {
		t.bury(e.Host, "network", events.SpecPort, string(f.Interface.ID))
		t.inVPC(f.Interface.VPC, events.SpecMapping, string(f.Interface.ID), true)
		for a := range t.v.PublicsOf(f.Interface.ID) {
			t.gateways(a.Address.String(), true)
		}
	}
}

// volume pokes the storage node, and the nodes of the instance that has it or
// had it.
func (t *toucher) volume(id events.VolumeID, instance events.InstanceID) {
	r, ok := t.v.Volumes.Get(string(id))
	if !ok {
		return
	}
	t.node(r.Host, "storage", events.SpecVolume, string(id))
	if instance == "" && r.Attachment != nil {
		instance = r.Attachment.Instance
	}
	t.instance(instance)
}
