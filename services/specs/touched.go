package specs

import (
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
	case events.GuestUnexpected:
		t.bury(e.Host, "compute", events.SpecInstance, string(e.Instance))
	case events.ResourceTagged:
		t.tags(e.Resource)
	case events.ResourceUntagged:
		t.tags(e.Resource)

	case events.InterfaceDeleted:
		t.bury(e.Host, "network", events.SpecPort, string(e.ID))
		t.inVPC(e.VPC, events.SpecMapping, string(e.ID), true)
		if t.v.Routed(e.VPC, e.ID) {
			t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
		}
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
	case events.InternetGatewayDetached:
		t.outside(e.VPC)
	case events.SubnetDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteCreated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteReplaced:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteDeleted:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableAssociated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.RouteTableDisassociated:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.MainRouteTableReplaced:
		t.inVPC(e.VPC, events.SpecNetwork, string(e.VPC), false)
	case events.NodeJoined:
		if e.Kind == "network" || e.Kind == "gateway" {
			t.fabric()
		}
	case events.GatewayElected:
		t.fabric()

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

// outside pokes about the way outside of a VPC: its routes, and the public
// addresses that interfaces in it have already.
func (t *toucher) outside(vpc events.VPCID) {
	t.inVPC(vpc, events.SpecNetwork, string(vpc), false)
	for f := range t.v.InterfacesIn(vpc) {
		if a, ok := t.v.PublicOf(f.Interface.ID); ok {
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
	for _, f := range i.Interfaces {
		t.node(i.Host, "network", events.SpecPort, string(f.ID))
		t.inVPC(f.VPC, events.SpecMapping, string(f.ID), false)
		if a, ok := t.v.PublicOf(f.ID); ok {
			t.gateways(a.Address.String(), false)
		}
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
func (t *toucher) fabric() {
	for _, n := range t.v.Nodes.All() {
		if n.Kind == "network" || n.Kind == "gateway" {
			t.node(n.Host, n.Kind, events.SpecFabric, fabricID)
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
