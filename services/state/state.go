package state

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"skerry/events"
	"skerry/internal/planted"
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

	Root   string       `json:"root,omitempty"`  // region whose accounts this one trusts; empty: its own
	RootAt events.Point `json:"rootAt,omitzero"` // how far its history was imported
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
	Users            *Table[User]            // by account/name
	AccessKeys       *Table[AccessKey]       // of users, by id
	NetworkACLs      *Table[NetworkACL]      // by id
	Snapshots        *Table[Snapshot]        // by id
	PlacementGroups  *Table[PlacementGroup]  // by id
	Templates        *Table[Template]        // by id
	NATGateways      *Table[NATGateway]      // by id
	EgressGateways   *Table[EgressGateway]   // by id
	Peerings         *Table[Peering]         // by id

	DHCPOptions *Table[DHCPOptions] // by id
	PrefixLists *Table[PrefixList]  // by id
	Ranges      *Table[Range]       // that accounts bring, by pool
	FlowLogs    *Table[FlowLog]     // by id

	Regions *Table[Region] // that share the accounts, by name

	CustomerGateways *Table[CustomerGateway] // by id
	VPNGateways      *Table[VPNGateway]      // by id
	VPNs             *Table[VPN]             // by id
}

// Tx is the one writable state. Its View is what decide sees.
type Tx struct{ View }

// New is the state before the first event.
func New() *Tx {
	return &Tx{View{
		Zones:    newTable[ZoneRow](),
		Accounts: newTable(accountKey),
		Nodes:    newTable(func(n *Node) []string { return []string{string(n.Zone)} }),
		Hosts:    newTable(func(h *Host) []string { return []string{string(h.Zone)} }),
		Images:   newTable(func(i *events.Image) []string { return []string{string(i.Account)} }),
		Keys:     newTable(func(k *KeyPair) []string { return []string{string(k.ID)} }),
		VPCs:     newTable(func(v *VPC) []string { return []string{string(v.Account)} }, vpcBlocks),
		Subnets: newTable(func(s *Subnet) []string { return []string{string(s.VPC)} },
			func(s *Subnet) []string { return some(string(s.Table)) }, func(s *Subnet) []string { return some(string(s.Association)) },
			func(s *Subnet) []string { return some(string(s.ACL)) }, func(s *Subnet) []string { return some(string(s.ACLAssociation)) },
			func(s *Subnet) []string { return some(string(s.IPv6.Association)) }),
		Groups: newTable(func(g *Group) []string { return []string{string(g.VPC)} }, groupPrefixLists),
		Interfaces: newTable(interfaceAddress, interfaceMAC, func(i *Interface) []string { return []string{string(i.Account)} },
			func(i *Interface) []string { return []string{string(i.Interface.VPC)} }, interfaceGroups,
			func(i *Interface) []string { return some(string(i.Instance)) },
			func(i *Interface) []string { return some(string(i.AttachmentID())) },
			func(i *Interface) []string { return []string{string(i.Interface.Subnet)} }).
			tallied(func(i *Interface) (string, int) { return string(i.Account), 1 }),
		Instances: newTable(instanceAccount, instanceHost, instanceUnplaced, instanceEnded, instancePlacement, instanceLaunch).moving(byLaunch, relaunched).tallied(instanceRuns),
		Tombstones: newTable(func(t *Tombstone) []string { return []string{string(t.Host)} },
			func(t *Tombstone) []string { return []string{string(t.Kind) + "/" + t.ID} }),
		Tags:     newTable(func(t *Tags) []string { return []string{string(t.Account)} }, tagged).moving(byTag, retagged),
		Commands: newTable(answeredAt),
		Tokens:   newTable(answeredAt),

		InternetGateways: newTable(func(g *InternetGateway) []string { return some(string(g.VPC)) },
			func(g *InternetGateway) []string { return []string{string(g.Account)} },
			func(g *InternetGateway) []string { return some(string(g.Association)) },
			func(g *InternetGateway) []string { return some(string(g.Table)) }),
		RouteTables: newTable(func(t *RouteTable) []string { return []string{string(t.VPC)} }, mainAssociation, tablePrefixLists),
		Addresses: newTable(func(a *Address) []string { return []string{string(a.Account)} },
			func(a *Address) []string { return some(string(a.Interface)) },
			func(a *Address) []string { return some(string(a.Allocation)) },
			func(a *Address) []string { return some(string(a.Association)) }),
		Gateways: newTable[Gateway](),
		Volumes: newTable(func(v *Volume) []string { return []string{string(v.Account)} },
			func(v *Volume) []string { return some(string(v.Host)) }, volumeUnplaced, volumeInstance).tallied(volumeHeld),
		NetworkACLs: newTable(func(a *NetworkACL) []string { return []string{string(a.VPC)} }),
		Stores:      newTable(func(s *Store) []string { return []string{string(s.Zone)} }),
		Users:       newTable[User](),
		AccessKeys:  newTable(func(k *AccessKey) []string { return []string{userKey(k.Account, k.User)} }),
		Snapshots: newTable(func(s *Snapshot) []string { return []string{string(s.Account)} },
			func(s *Snapshot) []string { return some(string(s.Host)) }),
		PlacementGroups: newTable(func(g *PlacementGroup) []string { return []string{string(g.Account)} }),
		Templates:       newTable(func(t *Template) []string { return []string{string(t.Account)} }),
		NATGateways:     newTable(func(g *NATGateway) []string { return []string{string(g.Account)} }, natLive, natEnd),
		EgressGateways: newTable(func(g *EgressGateway) []string { return []string{string(g.Account)} },
			func(g *EgressGateway) []string { return []string{string(g.VPC)} }),
		Peerings: newTable(peeringOwners, (*Peering).sides, peeringDue),

		DHCPOptions: newTable(func(o *DHCPOptions) []string { return []string{string(o.Account)} }),
		PrefixLists: newTable(func(l *PrefixList) []string { return []string{string(l.Account)} }),
		FlowLogs:    newTable(func(l *FlowLog) []string { return []string{string(l.Account)} }, func(l *FlowLog) []string { return []string{l.Resource} }),
		Ranges:      newTable(func(r *Range) []string { return []string{string(r.Account)} }, func(r *Range) []string { return []string{r.CIDR.String()} }),

		Regions: newTable[Region](),

		CustomerGateways: newTable(func(g *CustomerGateway) []string { return []string{string(g.Account)} }, func(g *CustomerGateway) []string { return vpnEnded(g.Ended) }),
		VPNGateways: newTable(func(g *VPNGateway) []string { return []string{string(g.Account)} }, func(g *VPNGateway) []string { return vpnEnded(g.Ended) },
			func(g *VPNGateway) []string { return some(string(g.VPC)) }),
		VPNs: newTable(func(c *VPN) []string { return []string{string(c.Account)} }, func(c *VPN) []string { return vpnEnded(c.Ended) },
			func(c *VPN) []string { return c.ends(string(c.Customer)) }, func(c *VPN) []string { return c.ends(string(c.Gateway)) }, vpnAddresses),
	}}
}

// Indexes of the tables that have several.
const (
	byAddress    = 0 // Interfaces: subnet/address and subnet/prefix
	byMAC        = 1 // Interfaces
	byOwner      = 2 // Interfaces
	byVPC        = 3 // Interfaces
	byGroup      = 4 // Interfaces
	byInstance   = 5 // Interfaces
	byAttachment = 6 // Interfaces
	bySubnet     = 7 // Interfaces

	addressAccount     = 0 // Addresses
	addressInterface   = 1
	addressAllocation  = 2
	addressAssociation = 3

	groupPrefixList = 1 // Groups
	tablePrefixList = 2 // RouteTables

	subnetACL            = 3 // Subnets
	subnetACLAssociation = 4

	volumeAccount  = 0 // Volumes
	volumeHost     = 1
	volumeWaiting  = 2 // without a host: zone
	volumeAttached = 3 // instance

	byAccount  = 0 // Instances
	byHost     = 1 // Instances, while live
	byUnplaced = 2 // Instances without a host: zone
	byEnd      = 3 // Instances: time of termination

	byPlacement = 4 // Instances, while live: placement group
	byLaunch    = 5 // Instances: account and launch

	byTag = 1 // Tags: account, key and value
)

func vpcBlocks(v *VPC) []string {
	var out []string
	for _, b := range v.Blocks {
		out = append(out, string(b.Association))
	}
	return out
}

func interfaceAddress(i *Interface) []string {
	var out []string
	f := i.Interface
	if f.PrivateIP.IsValid() {
		out = append(out, addressKey(f.Subnet, f.PrivateIP))
	}
	for _, list := range [][]netip.Addr{f.Secondary, f.IPv6} {
		for _, a := range list {
			out = append(out, addressKey(f.Subnet, a))
		}
	}
	for _, list := range [][]netip.Prefix{f.Prefixes, f.IPv6Prefixes} {
		for _, p := range list {
			out = append(out, prefixKey(f.Subnet, p))
		}
	}
	return out
}

// addressKey writes every digit, so that what is in a prefix of IPv6 stands
// together.
func addressKey(s events.SubnetID, a netip.Addr) string { return string(s) + "/" + a.StringExpanded() }

func prefixKey(s events.SubnetID, p netip.Prefix) string {
	return addressKey(s, p.Addr()) + "/" + strconv.Itoa(p.Bits())
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
	if i.Host != "" || i.State != Pending {
		return nil
	}
	return []string{string(i.Zone)}
}
func instancePlacement(i *Instance) []string {
	if !i.Live() {
		return nil
	}
	return some(string(i.Group))
}
func instanceLaunch(i *Instance) []string { return []string{launchKey(i.Account, i.LaunchOrder())} }

// relaunched moves nothing while an instance is of the same launch.
func relaunched(old, new *Instance) (left, entered []string) {
	if old.At.Equal(new.At) && old.Account == new.Account && old.Reservation == new.Reservation && old.LaunchIndex == new.LaunchIndex {
		return nil, nil
	}
	return instanceLaunch(old), instanceLaunch(new)
}
func instanceEnded(i *Instance) []string {
	if i.State != Terminated {
		return nil
	}
	return []string{stampKey(i.Ended)}
}

// instanceRuns tallies what an account runs, in vCPUs.
func instanceRuns(i *Instance) (string, int) {
	if !i.Live() || i.State == Stopped {
		return "", 0
	}
	return string(i.Account), i.Shape.VCPUs
}

// Runs is how many instances of an account run or are about to, and their vCPUs.
func (v *View) Runs(a events.AccountID) Sum { return v.Instances.total(0, string(a)) }

// volumeHeld tallies the volumes of an account, in GiB.
func volumeHeld(v *Volume) (string, int) { return string(v.Account), v.SizeGiB }

// Held is how many volumes an account has, and their GiB.
func (v *View) Held(a events.AccountID) Sum { return v.Volumes.total(0, string(a)) }

// InterfaceCount is how many interfaces an account has.
func (v *View) InterfaceCount(a events.AccountID) int { return v.Interfaces.total(0, string(a)).Rows }

// stampKey orders times as text.
// stampKey orders as times do.
func stampKey(t time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())^1<<63))
}

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
		v.Gateways.copy(), v.Volumes.copy(), v.Stores.copy(), v.Users.copy(), v.AccessKeys.copy(),
		v.NetworkACLs.copy(), v.Snapshots.copy(), v.PlacementGroups.copy(), v.Templates.copy(),
		v.NATGateways.copy(), v.EgressGateways.copy(), v.Peerings.copy(),
		v.DHCPOptions.copy(), v.PrefixLists.copy(), v.Ranges.copy(), v.FlowLogs.copy(),
		v.Regions.copy(),
		v.CustomerGateways.copy(), v.VPNGateways.copy(), v.VPNs.copy()}
}

// AccountByKey finds the account of an access key. A closed account has none.
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

// The sizes of the prefixes that interfaces have ("Prefix delegation").
const (
	Prefix4 = 28
	Prefix6 = 80
)

// Holder is the interface of a subnet that has an address of its own, or one of
// the prefixes that interfaces have; or an address in it, or a prefix around it.
func (v *View) Holder(s events.SubnetID, p netip.Prefix) (*Interface, bool) {
	size := Prefix4
	if p.Addr().Is6() {
		size = Prefix6
	}
	around, err := p.Addr().Prefix(size)
	if err != nil {
		return nil, false
	}
	for f := range v.Interfaces.by(byAddress, prefixKey(s, around)) {
		return f, true
	}
	if p.IsSingleIP() {
		for f := range v.Interfaces.by(byAddress, addressKey(s, p.Addr())) {
			return f, true
		}
		return nil, false
	}
	if p.Addr().Is4() {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			for f := range v.Interfaces.by(byAddress, addressKey(s, a)) {
				return f, true
			}
		}
		return nil, false
	}
	const groups = len("2001:0db8:0000:0000:0000:") // the digits of a /80
	inside := addressKey(s, p.Addr())[:len(s)+1+groups]
	var found *Interface
	v.Interfaces.indexes[byAddress].tree.Ascend(pair{value: inside}, func(at pair) bool {
		if strings.HasPrefix(at.value, inside) {
			found, _ = v.Interfaces.Get(at.key)
		}
		return false
	})
	return found, found != nil
}

// AddressTaken says whether an address of a subnet is given out.
func (v *View) AddressTaken(s events.SubnetID, a netip.Addr) bool {
	_, taken := v.Holder(s, netip.PrefixFrom(a, a.BitLen()))
	return taken
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

// LaunchedAfter walks the places and ids of an account's instances in the order
// of their launch, from the first one after a place; "" is before them all.
func (v *View) LaunchedAfter(a events.AccountID, place string) iter.Seq2[string, events.InstanceID] {
	return func(yield func(string, events.InstanceID) bool) {
		from := launchKey(a, place)
		v.Instances.indexes[byLaunch].tree.Ascend(pair{value: from}, func(p pair) bool {
			place, mine := strings.CutPrefix(p.value, launchKey(a, ""))
			return mine && (p.value == from || yield(place, events.InstanceID(p.key)))
		})
	}
}

func launchKey(a events.AccountID, place string) string { return string(a) + "/" + place }

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

// InterfacesOn walks a subnet's interfaces.
func (v *View) InterfacesOn(id events.SubnetID) iter.Seq[*Interface] {
	return v.Interfaces.by(bySubnet, string(id))
}

// Attachment finds an account's interface by its bond to an instance.
func (v *View) Attachment(a events.AccountID, id events.AttachmentID) (*Interface, bool) {
	for f := range v.Interfaces.by(byAttachment, string(id)) {
		return f, f.Account == a
	}
	return nil, false
}

// Members walks the interfaces that are in a security group.
func (v *View) Members(id events.GroupID) iter.Seq[*Interface] {
	return v.Interfaces.by(byGroup, string(id))
}

// HostOf is where an interface is: the network node beside its guest, or the
// gateway node that serves its NAT gateway.
func (v *View) HostOf(i *Interface) (*Node, bool) {
	if i.Interface.NAT != "" {
		g, ok := v.Gateways.Get(string(i.Zone))
		if !ok {
			return nil, false
		}
		return v.Nodes.Get(NodeKey(g.Host, "gateway"))
	}
	inst, ok := v.Instances.Get(string(i.Instance))
	if !ok || inst.Host == "" || !inst.Live() || i.Detaching {
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

// SubnetOfBlock finds the subnet of a block's association.
func (v *View) SubnetOfBlock(a events.AccountID, id events.AssociationID) (*Subnet, bool) {
	for s := range v.Subnets.by(5, string(id)) {
		return s, s.Account == a
	}
	return nil, false
}

// VPCOfBlock finds the VPC of a block's association, that of the first block
// too.
func (v *View) VPCOfBlock(a events.AccountID, id events.AssociationID) (*VPC, bool) {
	for n := range v.VPCs.by(1, string(id)) {
		return n, n.Account == a
	}
	if rest, ok := strings.CutPrefix(string(id), "vpc-cidr-assoc-"); ok {
		n, ok := v.VPCs.Get("vpc-" + rest)
		return n, ok && n.Account == a && n.CIDR.IsValid()
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

// PublicOf is the public address of an interface's primary one.
func (v *View) PublicOf(id events.InterfaceID) (*Address, bool) {
	f, ok := v.Interfaces.Get(string(id))
	if !ok {
		return nil, false
	}
	return v.PublicFor(id, f.Interface.PrivateIP)
}

// PublicFor is the public address of one of an interface's private ones.
func (v *View) PublicFor(id events.InterfaceID, private netip.Addr) (*Address, bool) {
	for a := range v.PublicsOf(id) {
		if a.Private == private {
			return a, true
		}
	}
	return nil, false
}

// PublicsOf walks the public addresses of an interface.
func (v *View) PublicsOf(id events.InterfaceID) iter.Seq[*Address] {
	return v.Addresses.by(addressInterface, string(id))
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
	for range v.VPNs.by(vpnOutside, a.String()) {
		return true
	}
	return v.Owed(events.SpecPublic, a.String()) && !planted.On(planted.RestlessAddress)
}

// Owed says that some node still has to destroy an object.
func (v *View) Owed(k events.SpecKind, id string) bool {
	for range v.Tombstones.by(1, string(k)+"/"+id) {
		return true
	}
	return false
}

// OwedBy says that a node still has to destroy an object.
func (v *View) OwedBy(h events.HostID, k events.SpecKind, id string) bool {
	_, owed := v.Tombstones.Get(tombstoneKey(h, k, id))
	return owed
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

// Snapshot finds a snapshot that the account may make volumes of: its own, a
// public one, or one it was given.
func (v *View) Snapshot(a events.AccountID, id events.SnapshotID) (*Snapshot, bool) {
	s, ok := v.Snapshots.Get(string(id))
	if !ok || !s.Readable(a) {
		return nil, false
	}
	return s, true
}

// SnapshotsOf walks the snapshots an account owns, those that are being deleted
// too.
func (v *View) SnapshotsOf(a events.AccountID) iter.Seq[*Snapshot] {
	return v.Snapshots.by(0, string(a))
}

// SnapshotsOn walks the snapshots that a storage node holds or has to make.
func (v *View) SnapshotsOn(h events.HostID) iter.Seq[*Snapshot] {
	return v.Snapshots.by(1, string(h))
}

// RootOf is the volume that an instance boots from, while it has one.
func (v *View) RootOf(i *Instance) (*Volume, bool) {
	if !i.OnVolume() {
		return nil, false
	}
	for r := range v.VolumesAttached(i.ID) {
		if r.Attachment.Device == i.RootDevice && !r.Attachment.Ended {
			return r, true
		}
	}
	return nil, false
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

// Tagged are the ids of an account's resources that have a tag of this key and
// value, in order.
func (v *View) Tagged(a events.AccountID, t events.Tag) []string {
	return v.Tags.keys(byTag, tagKey(a, t))
}

func tagged(t *Tags) []string {
	out := make([]string, len(t.Tags))
	for i, g := range t.Tags {
		out[i] = tagKey(t.Account, g)
	}
	return out
}

// retagged are the tags that went and those that came. Both lists are ordered.
func retagged(old, new *Tags) (left, entered []string) {
	if old.Account != new.Account {
		return tagged(old), tagged(new)
	}
	a, b := old.Tags, new.Tags
	for len(a)+len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && a[0].Key <= b[0].Key:
			left, a = append(left, tagKey(old.Account, a[0])), a[1:]
		default:
			entered, b = append(entered, tagKey(new.Account, b[0])), b[1:]
		}
	}
	return left, entered
}

func tagKey(a events.AccountID, t events.Tag) string {
	return string(a) + "\x00" + t.Key + "\x00" + t.Value
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
	var first time.Time
	sooner := func(at time.Time) {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if _, i, ok := v.Instances.first(byEnd); ok {
		sooner(i.Ended.Add(events.KeepTerminated))
	}
	if _, g, ok := v.NATGateways.first(2); ok {
		sooner(g.Ended.Add(events.KeepTerminated))
	}
	if _, p, ok := v.Peerings.first(2); ok {
		at, _ := p.Due()
		sooner(at)
	}
	if _, g, ok := v.CustomerGateways.first(vpnEnd); ok {
		sooner(g.Ended.Add(events.KeepTerminated))
	}
	if _, g, ok := v.VPNGateways.first(vpnEnd); ok {
		sooner(g.Ended.Add(events.KeepTerminated))
	}
	if _, c, ok := v.VPNs.first(vpnEnd); ok {
		sooner(c.Ended.Add(events.KeepTerminated))
	}
	return first, !first.IsZero()
}

// EndedBefore walks terminated instances by the time of their end, oldest first.
func (v *View) EndedBefore(t time.Time) iter.Seq[*Instance] {
	return before(v.Instances, byEnd, func(i *Instance) time.Time { return i.Ended }, t)
}

// before walks rows by an index of times, while theirs is before t.
func before[V any](rows *Table[V], index int, at func(*V) time.Time, t time.Time) iter.Seq[*V] {
	return func(yield func(*V) bool) {
		rows.indexes[index].tree.Scan(func(p pair) bool {
			r, _ := rows.Get(p.key)
			return at(r).Before(t) && yield(r)
		})
	}
}
