package state

import (
	"fmt"
	"iter"
	"net/netip"
	"time"

	"skerry/events"
)

// Meta is the region's own row.
type Meta struct {
	Region  string      `json:"region"`
	ID      string      `json:"id"`
	Level   int         `json:"level"`
	N       uint64      `json:"n"`    // number of the last event
	Last    events.Hash `json:"last"` // its hash
	Time    time.Time   `json:"time"` // stamp of the last command
	NextVNI uint32      `json:"nextVni"`
	Index   uint64      `json:"index"` // Raft index of the last command

	Public     []netip.Prefix `json:"public,omitempty"`     // blocks of public addresses
	NextPublic netip.Addr     `json:"nextPublic,omitzero"`  // where the search for a free one starts
	NextNumber uint32         `json:"nextNumber,omitempty"` // last number given to a subnet, group or route table
	FabricN    uint64         `json:"fabricN,omitempty"`    // event that last changed who is on the fabric
}

// View is the region at one event number. It is immutable.
type View struct {
	Meta Meta

	Zones      *Table[ZoneRow] // by name
	Accounts   *Table[Account] // by id
	Nodes      *Table[Node]    // by host/kind
	Hosts      *Table[Host]    // by name
	Images     *Table[events.Image]
	Keys       *Table[KeyPair]   // by account/name
	VPCs       *Table[VPC]       // by id
	Subnets    *Table[Subnet]    // by id
	Groups     *Table[Group]     // by id
	Interfaces *Table[Interface] // by id
	Instances  *Table[Instance]  // by id
	Tombstones *Table[Tombstone] // by host/kind/id
	Tags       *Table[Tags]      // by resource id
	Commands   *Table[Answered]  // by command id
	Tokens     *Table[Answered]  // by account/action/token

	InternetGateways *Table[InternetGateway] // by id
	RouteTables      *Table[RouteTable]      // by id
	Addresses        *Table[Address]         // by address
	Gateways         *Table[Gateway]         // by zone
	Volumes          *Table[Volume]          // by id
	Stores           *Table[Store]           // by host
}

// Tx is the one writable state. Its View is what decide sees.
type Tx struct{ View }

// New is the state before the first event.
func New() *Tx {
	return &Tx{View{
		Zones:    newTable[ZoneRow](),
		Accounts: newTable(func(a *Account) []string { return []string{a.AccessKey} }),
		Nodes:    newTable(func(n *Node) []string { return []string{string(n.Zone)} }),
		Hosts:    newTable(func(h *Host) []string { return []string{string(h.Zone)} }),
		Images:   newTable(func(i *events.Image) []string { return []string{string(i.Account)} }),
		Keys:     newTable(func(k *KeyPair) []string { return []string{string(k.ID)} }),
		VPCs:     newTable(func(v *VPC) []string { return []string{string(v.Account)} }),
		Subnets: newTable(func(s *Subnet) []string { return []string{string(s.VPC)} },
			func(s *Subnet) []string { return some(string(s.Table)) }, func(s *Subnet) []string { return some(string(s.Association)) }),
		Groups: newTable(func(g *Group) []string { return []string{string(g.VPC)} }),
		Interfaces: newTable(interfaceAddress, interfaceMAC, func(i *Interface) []string { return []string{string(i.Account)} },
			func(i *Interface) []string { return []string{string(i.Interface.VPC)} }, interfaceGroups),
		Instances: newTable(instanceAccount, instanceHost, instanceUnplaced, instanceEnded),
		Tombstones: newTable(func(t *Tombstone) []string { return []string{string(t.Host)} },
			func(t *Tombstone) []string { return []string{string(t.Kind) + "/" + t.ID} }),
		Tags:     newTable(func(t *Tags) []string { return []string{string(t.Account)} }),
		Commands: newTable(answeredAt),
		Tokens:   newTable(answeredAt),

		InternetGateways: newTable(func(g *InternetGateway) []string { return some(string(g.VPC)) },
			func(g *InternetGateway) []string { return []string{string(g.Account)} }),
		RouteTables: newTable(func(t *RouteTable) []string { return []string{string(t.VPC)} }, mainAssociation),
		Addresses: newTable(func(a *Address) []string { return []string{string(a.Account)} },
			func(a *Address) []string { return some(string(a.Interface)) },
			func(a *Address) []string { return some(string(a.Allocation)) },
			func(a *Address) []string { return some(string(a.Association)) }),
		Gateways: newTable[Gateway](),
		Volumes: newTable(func(v *Volume) []string { return []string{string(v.Account)} },
			func(v *Volume) []string { return some(string(v.Host)) }, volumeUnplaced, volumeInstance),
		Stores: newTable(func(s *Store) []string { return []string{string(s.Zone)} }),
	}}
}

// Indexes of the tables that have several.
const (
	byAddress = 0 // Interfaces: subnet/address
	byMAC     = 1 // Interfaces
	byOwner   = 2 // Interfaces
	byVPC     = 3 // Interfaces
	byGroup   = 4 // Interfaces

	addressAccount     = 0 // Addresses
	addressInterface   = 1
	addressAllocation  = 2
	addressAssociation = 3

	volumeAccount  = 0 // Volumes
	volumeHost     = 1
	volumeWaiting  = 2 // without a host: zone
	volumeAttached = 3 // instance

	byAccount  = 0 // Instances
	byHost     = 1 // Instances, while live
	byUnplaced = 2 // Instances without a host: zone
	byEnd      = 3 // Instances: time of termination
)

func interfaceAddress(i *Interface) []string {
	return []string{string(i.Interface.Subnet) + "/" + i.Interface.PrivateIP.String()}
}

// some is a value to stand under, or none.
func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func interfaceGroups(i *Interface) []string {
	var out []string
	for _, g := range i.Interface.Groups {
		out = append(out, string(g))
	}
	return out
}

func volumeUnplaced(v *Volume) []string {
	if v.Host != "" || v.State != VolumeCreating {
		return nil
	}
	return []string{string(v.Zone)}
}

func volumeInstance(v *Volume) []string {
	if v.Attachment == nil {
		return nil
	}
	return []string{string(v.Attachment.Instance)}
}

func mainAssociation(t *RouteTable) []string {
	if !t.Main {
		return nil
	}
	return some(string(t.Association))
}

func interfaceMAC(i *Interface) []string   { return []string{i.Interface.MAC} }
func instanceAccount(i *Instance) []string { return []string{string(i.Account)} }
func answeredAt(a *Answered) []string      { return []string{stampKey(a.At)} }
func instanceHost(i *Instance) []string {
	if i.Host == "" || !i.Live() {
		return nil
	}
	return []string{string(i.Host)}
}
func instanceUnplaced(i *Instance) []string {
	if i.Host != "" || !i.Live() {
		return nil
	}
	return []string{string(i.Zone)}
}
func instanceEnded(i *Instance) []string {
	if i.State != Terminated {
		return nil
	}
	return []string{stampKey(i.Ended)}
}

// stampKey orders times as text.
func stampKey(t time.Time) string { return fmt.Sprintf("%020d", t.UnixNano()) }

// Publish returns the state as an immutable view.
func (tx *Tx) Publish() *View {
	v := tx.copy()
	return &v
}

// Fork returns a writable copy of a view: what-if, for a decision whose events
// build on each other.
func (v *View) Fork() *Tx { return &Tx{v.copy()} }

func (v *View) copy() View {
	return View{v.Meta, v.Zones.copy(), v.Accounts.copy(), v.Nodes.copy(), v.Hosts.copy(), v.Images.copy(), v.Keys.copy(),
		v.VPCs.copy(), v.Subnets.copy(), v.Groups.copy(), v.Interfaces.copy(), v.Instances.copy(), v.Tombstones.copy(),
		v.Tags.copy(), v.Commands.copy(), v.Tokens.copy(), v.InternetGateways.copy(), v.RouteTables.copy(), v.Addresses.copy(),
		v.Gateways.copy(), v.Volumes.copy(), v.Stores.copy()}
}

// AccountByKey finds the account of an access key.
func (v *View) AccountByKey(accessKey string) (*Account, bool) {
	for a := range v.Accounts.by(0, accessKey) {
		return a, true
	}
	return nil, false
}

// NodesOf walks the nodes of a zone.
func (v *View) NodesOf(z events.Zone) iter.Seq[*Node] { return v.Nodes.by(0, string(z)) }

// HostsOf walks the compute hosts of a zone.
func (v *View) HostsOf(z events.Zone) iter.Seq[*Host] { return v.Hosts.by(0, string(z)) }

// ImagesOf walks the images an account owns.
func (v *View) ImagesOf(a events.AccountID) iter.Seq[*events.Image] { return v.Images.by(0, string(a)) }

// Image finds an image that the account may see: its own, a public one, or one
// it was given.
func (v *View) Image(a events.AccountID, id events.ImageID) (*events.Image, bool) {
	i, ok := v.Images.Get(string(id))
	if !ok || !Visible(i, a) {
		return nil, false
	}
	return i, true
}

// Visible says whether an account may see and launch an image.
func Visible(i *events.Image, a events.AccountID) bool {
	if i.Account == a || i.Public {
		return true
	}
	for _, l := range i.LaunchAccounts {
		if l == a {
			return true
		}
	}
	return false
}

// KeyPair finds a key by name.
func (v *View) KeyPair(a events.AccountID, name string) (*KeyPair, bool) {
	return v.Keys.Get(string(a) + "/" + name)
}

// KeyPairByID finds a key by id.
func (v *View) KeyPairByID(a events.AccountID, id events.KeyPairID) (*KeyPair, bool) {
	for k := range v.Keys.by(0, string(id)) {
		if k.Account == a {
			return k, true
		}
	}
	return nil, false
}

// KeyPairsOf walks an account's keys by name.
func (v *View) KeyPairsOf(a events.AccountID) iter.Seq[*KeyPair] {
	return func(yield func(*KeyPair) bool) {
		for _, k := range v.Keys.From(string(a) + "/") {
			if k.Account != a || !yield(k) {
				return
			}
		}
	}
}

// VPCsOf walks an account's networks.
func (v *View) VPCsOf(a events.AccountID) iter.Seq[*VPC] { return v.VPCs.by(0, string(a)) }

// DefaultVPC is the network an account starts with.
func (v *View) DefaultVPC(a events.AccountID) (*VPC, bool) {
	for n := range v.VPCsOf(a) {
		if n.Default {
			return n, true
		}
	}
	return nil, false
}

// SubnetsOf walks a VPC's subnets.
func (v *View) SubnetsOf(id events.VPCID) iter.Seq[*Subnet] { return v.Subnets.by(0, string(id)) }

// GroupsOf walks a VPC's security groups.
func (v *View) GroupsOf(id events.VPCID) iter.Seq[*Group] { return v.Groups.by(0, string(id)) }

// AddressTaken says whether an address of a subnet is given out.
func (v *View) AddressTaken(s events.SubnetID, addr string) bool {
	for range v.Interfaces.by(byAddress, string(s)+"/"+addr) {
		return true
	}
	return false
}

// MACTaken says whether a MAC is given out.
func (v *View) MACTaken(mac string) bool {
	for range v.Interfaces.by(byMAC, mac) {
		return true
	}
	return false
}

// InterfacesOf walks an account's interfaces.
func (v *View) InterfacesOf(a events.AccountID) iter.Seq[*Interface] {
	return v.Interfaces.by(byOwner, string(a))
}

// Instance finds an account's instance. Another tenant's is not there.
func (v *View) Instance(a events.AccountID, id events.InstanceID) (*Instance, bool) {
	i, ok := v.Instances.Get(string(id))
	if !ok || i.Account != a {
		return nil, false
	}
	return i, true
}

// InstancesOf walks an account's instances by id.
func (v *View) InstancesOf(a events.AccountID) iter.Seq[*Instance] {
	return v.Instances.by(byAccount, string(a))
}

// InstancesFrom walks an account's instances with id >= from.
func (v *View) InstancesFrom(a events.AccountID, from string) iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		v.Instances.indexes[byAccount].tree.Ascend(pair{string(a), from}, func(p pair) bool {
			if p.value != string(a) {
				return false
			}
			i, _ := v.Instances.Get(p.key)
			return yield(i)
		})
	}
}

// InstancesOn walks the live instances placed on a host.
func (v *View) InstancesOn(h events.HostID) iter.Seq[*Instance] {
	return v.Instances.by(byHost, string(h))
}

// Unplaced walks a zone's instances that wait for a host.
func (v *View) Unplaced(z events.Zone) iter.Seq[*Instance] {
	return v.Instances.by(byUnplaced, string(z))
}

// TombstonesOn walks the orders to destroy that a host still owes.
func (v *View) TombstonesOn(h events.HostID) iter.Seq[*Tombstone] {
	return v.Tombstones.by(0, string(h))
}

// InterfacesIn walks a VPC's interfaces.
func (v *View) InterfacesIn(id events.VPCID) iter.Seq[*Interface] {
	return v.Interfaces.by(byVPC, string(id))
}

// Members walks the interfaces that are in a security group.
func (v *View) Members(id events.GroupID) iter.Seq[*Interface] {
	return v.Interfaces.by(byGroup, string(id))
}

// HostOf is where an interface's guest is, and its network node there.
func (v *View) HostOf(i *Interface) (*Node, bool) {
	inst, ok := v.Instances.Get(string(i.Instance))
	if !ok || inst.Host == "" || !inst.Live() {
		return nil, false
	}
	return v.Nodes.Get(NodeKey(inst.Host, "network"))
}

// InternetGatewayOf is a VPC's gateway.
func (v *View) InternetGatewayOf(id events.VPCID) (*InternetGateway, bool) {
	for g := range v.InternetGateways.by(0, string(id)) {
		return g, true
	}
	return nil, false
}

// InternetGatewaysOf walks an account's gateways.
func (v *View) InternetGatewaysOf(a events.AccountID) iter.Seq[*InternetGateway] {
	return v.InternetGateways.by(1, string(a))
}

// SubnetsOn walks the subnets that are associated with a route table.
func (v *View) SubnetsOn(id events.TableID) iter.Seq[*Subnet] { return v.Subnets.by(1, string(id)) }

// SubnetOf finds the subnet of an association with a route table.
func (v *View) SubnetOf(a events.AccountID, id events.AssociationID) (*Subnet, bool) {
	for s := range v.Subnets.by(2, string(id)) {
		return s, s.Account == a
	}
	return nil, false
}

// MainTableOf finds the main route table by its association with its VPC.
func (v *View) MainTableOf(a events.AccountID, id events.AssociationID) (*RouteTable, bool) {
	for t := range v.RouteTables.by(1, string(id)) {
		return t, t.Account == a
	}
	return nil, false
}

// Routed says that a route of a VPC leads to an interface.
func (v *View) Routed(vpc events.VPCID, id events.InterfaceID) bool {
	for t := range v.RouteTablesOf(vpc) {
		for _, r := range t.Routes {
			if r.Interface == id {
				return true
			}
		}
	}
	return false
}

// RouteTablesOf walks a VPC's route tables.
func (v *View) RouteTablesOf(id events.VPCID) iter.Seq[*RouteTable] {
	return v.RouteTables.by(0, string(id))
}

// AddressesOf walks an account's public addresses, Elastic or not.
func (v *View) AddressesOf(a events.AccountID) iter.Seq[*Address] {
	return v.Addresses.by(addressAccount, string(a))
}

// PublicOf is the public address of an interface.
func (v *View) PublicOf(id events.InterfaceID) (*Address, bool) {
	for a := range v.Addresses.by(addressInterface, string(id)) {
		return a, true
	}
	return nil, false
}

// Allocation finds an Elastic IP address of an account.
func (v *View) Allocation(a events.AccountID, id events.AllocationID) (*Address, bool) {
	for r := range v.Addresses.by(addressAllocation, string(id)) {
		return r, r.Account == a
	}
	return nil, false
}

// Association finds an associated Elastic IP address of an account.
func (v *View) Association(a events.AccountID, id events.AssociationID) (*Address, bool) {
	for r := range v.Addresses.by(addressAssociation, string(id)) {
		return r, r.Account == a
	}
	return nil, false
}

// PublicTaken says that somebody has a public address, or that a gateway may
// still serve it for who had it.
func (v *View) PublicTaken(a netip.Addr) bool {
	if _, ok := v.Addresses.Get(a.String()); ok {
		return true
	}
	return v.Owed(events.SpecPublic, a.String())
}

// Owed says that some node still has to destroy an object.
func (v *View) Owed(k events.SpecKind, id string) bool {
	for range v.Tombstones.by(1, string(k)+"/"+id) {
		return true
	}
	return false
}

// GatewayNodes walks the gateway nodes of the region, lost ones too.
func (v *View) GatewayNodes() iter.Seq[*Node] { return v.nodesOfKind("gateway") }

// NetworkNodes walks the network nodes of the region, lost ones too.
func (v *View) NetworkNodes() iter.Seq[*Node] { return v.nodesOfKind("network") }

func (v *View) nodesOfKind(kind string) iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for _, n := range v.Nodes.All() {
			if n.Kind == kind && !yield(n) {
				return
			}
		}
	}
}

// Volume finds an account's volume. Another tenant's is not there.
func (v *View) Volume(a events.AccountID, id events.VolumeID) (*Volume, bool) {
	r, ok := v.Volumes.Get(string(id))
	if !ok || r.Account != a {
		return nil, false
	}
	return r, true
}

// VolumesOf walks an account's volumes by id.
func (v *View) VolumesOf(a events.AccountID) iter.Seq[*Volume] {
	return v.Volumes.by(volumeAccount, string(a))
}

// VolumesOn walks the volumes that a storage node holds.
func (v *View) VolumesOn(h events.HostID) iter.Seq[*Volume] {
	return v.Volumes.by(volumeHost, string(h))
}

// VolumesWaiting walks a zone's volumes that wait for a storage node.
func (v *View) VolumesWaiting(z events.Zone) iter.Seq[*Volume] {
	return v.Volumes.by(volumeWaiting, string(z))
}

// VolumesAttached walks the volumes attached to an instance, those whose
// attachment is ending too.
func (v *View) VolumesAttached(i events.InstanceID) iter.Seq[*Volume] {
	return v.Volumes.by(volumeAttached, string(i))
}

// StoresOf walks the storage nodes of a zone.
func (v *View) StoresOf(z events.Zone) iter.Seq[*Store] { return v.Stores.by(0, string(z)) }

// FreeGiB is what a storage node can still give: nothing when it is lost.
func (v *View) FreeGiB(s *Store) (int, bool) {
	n, ok := v.Nodes.Get(NodeKey(s.Host, "storage"))
	if !ok || n.Lost {
		return 0, false
	}
	return n.Capacity.DiskGiB - s.UsedGiB, true
}

// TagsOf are a resource's tags, ordered by key.
func (v *View) TagsOf(resource string) []events.Tag {
	t, ok := v.Tags.Get(resource)
	if !ok {
		return nil
	}
	return t.Tags
}

// TaggedBy walks the tag rows of an account by resource.
func (v *View) TaggedBy(a events.AccountID) iter.Seq[*Tags] { return v.Tags.by(0, string(a)) }

// Compute is the compute node of a host.
func (v *View) Compute(h events.HostID) (*Node, bool) { return v.Nodes.Get(NodeKey(h, "compute")) }

// Free is what a host can still give: nothing when it is lost, drained or its
// zone impaired.
func (v *View) Free(h *Host) (events.Need, bool) {
	n, ok := v.Compute(h.Host)
	if !ok || n.Lost || h.Drained {
		return events.Need{}, false
	}
	return events.Need{
		VCPUs:     n.Capacity.VCPUs - h.Used.VCPUs,
		MemoryMiB: n.Capacity.MemoryMiB - h.Used.MemoryMiB,
		DiskGiB:   n.Capacity.DiskGiB - h.Used.DiskGiB,
	}, true
}

// NextDeadline is the earliest stored time at which a Tick has something to do.
func (v *View) NextDeadline() (time.Time, bool) {
	_, i, ok := v.Instances.first(byEnd)
	if !ok {
		return time.Time{}, false
	}
	return i.Ended.Add(events.KeepTerminated), true
}

// EndedBefore walks terminated instances by the time of their end, oldest first.
func (v *View) EndedBefore(t time.Time) iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		v.Instances.indexes[byEnd].tree.Scan(func(p pair) bool {
			i, _ := v.Instances.Get(p.key)
			return i.Ended.Before(t) && yield(i)
		})
	}
}
