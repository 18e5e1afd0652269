package specs

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"skerry/events"
	"skerry/services/network"
	"skerry/services/state"
	"skerry/services/storage"
)

// mtu is what a guest may send in one frame ("Network MTU for your EC2
// instance").
const mtu = 9001

// network gathers what the network node of a host must be: the ports of its
// guests, and of each VPC that has a port here the network itself, the mapping
// of every interface, and every security group.
func (c *collector) network() {
	if c.only != nil {
		c.networkOf(c.only)
		c.tombstones(events.SpecPort)
		return
	}
	vpcs := map[events.VPCID]bool{}
	for i := range c.v.InstancesOn(c.host) {
		for _, f := range i.Interfaces {
			c.port(i, f)
			vpcs[f.VPC] = true
		}
		c.metadata(i)
	}
	for vpc := range vpcs { // the set is sorted at the end
		c.vpc(vpc)
		for f := range c.v.InterfacesIn(vpc) {
			c.mapping(f)
		}
		for g := range c.v.GroupsOf(vpc) {
			c.group(g)
		}
	}
	c.fabric()
	c.tombstones(events.SpecPort)
}

// networkOf gathers some objects by id. Mappings and groups that are no more are
// told as tombstones: a part of a set takes nothing away unless it says so.
func (c *collector) networkOf(ids []string) {
	for _, id := range ids {
		prefix, _, _ := strings.Cut(id, "-")
		switch prefix {
		case "i":
			if i, ok := c.v.Instances.Get(id); ok && i.Live() && i.Host == c.host {
				c.metadata(i)
			}
		case "eni":
			f, ok := c.v.Interfaces.Get(id)
			if !ok {
				c.specs = append(c.specs, events.Spec{Kind: events.SpecMapping, ID: id, N: c.v.Meta.N, Tombstone: true})
				continue
			}
			if i, ok := c.v.Instances.Get(string(f.Instance)); ok && i.Live() && i.Host == c.host {
				c.port(i, f.Interface)
			}
			if c.follows(f.Interface.VPC) {
				c.mapping(f)
			}
		case "vpc":
			if c.follows(events.VPCID(id)) {
				c.vpc(events.VPCID(id))
			}
		case "sg":
			g, ok := c.v.Groups.Get(id)
			if !ok {
				c.specs = append(c.specs, events.Spec{Kind: events.SpecGroup, ID: id, N: c.v.Meta.N, Tombstone: true})
			} else if c.follows(g.VPC) {
				c.group(g)
			}
		case fabricID:
			c.fabric()
		}
	}
}

// follows says whether the host has a port in a VPC.
func (c *collector) follows(vpc events.VPCID) bool {
	for i := range c.v.InstancesOn(c.host) {
		for _, f := range i.Interfaces {
			if f.VPC == vpc {
				return true
			}
		}
	}
	return false
}

func (c *collector) numbers(groups []events.GroupID) []uint32 {
	out := []uint32{}
	for _, id := range groups {
		if g, ok := c.v.Groups.Get(string(id)); ok {
			out = append(out, g.Number)
		}
	}
	return out
}

func (c *collector) port(i *state.Instance, f events.Interface) {
	row, ok := c.v.Interfaces.Get(string(f.ID))
	subnet, ok2 := c.v.Subnets.Get(string(f.Subnet))
	vpc, ok3 := c.v.VPCs.Get(string(f.VPC))
	if !ok || !ok2 || !ok3 {
		return
	}
	region := c.v.Meta.Region
	router := subnet.CIDR.Masked().Addr().Next()
	c.add(events.SpecPort, string(f.ID), row.N, row.Request, events.PortSpec{
		Interface: f.ID, Instance: i.ID, Account: i.Account, VPC: f.VPC, VNI: vpc.VNI, Tap: events.TapName(f.ID), MAC: f.MAC, PrivateIP: f.PrivateIP,
		Subnet: subnet.Number, Groups: c.numbers(row.Interface.Groups), SourceCheck: !i.NoSrcCheck, MTU: mtu,
		Hostname: network.PrivateName(region, f.PrivateIP), CIDR: subnet.CIDR, Router: router, RouterMAC: events.RouterMAC(subnet.Number),
		Resolver: vpc.CIDR.Masked().Addr().Next().Next(), Domain: events.PrivateDomain(region),
	})
}

func (c *collector) vpc(id events.VPCID) {
	vpc, ok := c.v.VPCs.Get(string(id))
	if !ok {
		return
	}
	s := events.NetworkSpec{VPC: id, Account: vpc.Account, VNI: vpc.VNI, Blocks: []netip.Prefix{vpc.CIDR}, Gateways: []netip.Addr{}}
	n := vpc.N
	var main uint32
	for t := range c.v.RouteTablesOf(id) {
		part := events.TablePart{Number: t.Number}
		for _, r := range t.Routes {
			part.Routes = append(part.Routes, c.route(id, r))
		}
		s.Tables = append(s.Tables, part)
		if t.Main {
			main = t.Number
		}
	}
	for sub := range c.v.SubnetsOf(id) {
		table := main
		if t, ok := c.v.RouteTables.Get(string(sub.Table)); ok {
			table = t.Number
		}
		s.Subnets = append(s.Subnets, events.SubnetPart{Number: sub.Number, CIDR: sub.CIDR, Table: table})
	}
	if me, ok := c.v.Nodes.Get(state.NodeKey(c.host, "network")); ok {
		if g, ok := c.v.Gateways.Get(string(me.Zone)); ok {
			n = max(n, g.N)
			if node, ok := c.v.Nodes.Get(state.NodeKey(g.Host, "gateway")); ok {
				s.Gateway, _ = netip.ParseAddr(node.Address) // checked when the node joined
			}
		}
	}
	for g := range c.v.GatewayNodes() {
		if a, err := netip.ParseAddr(g.Address); err == nil {
			s.Gateways = append(s.Gateways, a)
		}
	}
	c.add(events.SpecNetwork, string(id), max(n, c.v.Meta.FabricN), "", s)
}

// route settles a route's target. One that is no more, or no longer the VPC's,
// leads nowhere.
func (c *collector) route(vpc events.VPCID, r events.Route) events.RoutePart {
	out := events.RoutePart{Destination: r.Destination, Kind: events.RouteBlackhole}
	if !network.Leads(c.v, vpc, r) {
		return out
	}
	switch {
	case r.Gateway != "":
		out.Kind = events.RouteGateway
	case r.Interface != "":
		f, _ := c.v.Interfaces.Get(string(r.Interface))
		out.Kind, out.MAC = events.RouteInterface, f.Interface.MAC
	default:
		out.Kind = events.RouteLocal
	}
	return out
}

func (c *collector) mapping(f *state.Interface) {
	node, ok := c.v.HostOf(f)
	if !ok {
		return // its guest has no place yet, or no more
	}
	host, err := netip.ParseAddr(node.Address)
	if err != nil {
		return
	}
	vpc, ok := c.v.VPCs.Get(string(f.Interface.VPC))
	subnet, ok2 := c.v.Subnets.Get(string(f.Interface.Subnet))
	i, ok3 := c.v.Instances.Get(string(f.Instance))
	if !ok || !ok2 || !ok3 {
		return
	}
	s := events.MappingSpec{Interface: f.Interface.ID, VPC: vpc.ID, VNI: vpc.VNI, MAC: f.Interface.MAC, Addresses: []netip.Addr{f.Interface.PrivateIP},
		Subnet: subnet.Number, Host: host, Groups: c.numbers(f.Interface.Groups), SourceCheck: !i.NoSrcCheck}
	if a, ok := c.v.PublicOf(f.Interface.ID); ok {
		s.Public = a.Address
	}
	c.add(events.SpecMapping, string(f.Interface.ID), f.N, f.Request, s)
}

func (c *collector) group(g *state.Group) {
	s := events.GroupSpec{Group: g.ID, VPC: g.VPC, Number: g.Number, Rules: []events.RulePart{}}
	for _, r := range g.Rules {
		part := events.RulePart{Egress: r.Egress, Protocol: network.ProtocolNumber(r), From: r.From, To: r.To, CIDR: r.CIDR}
		if r.Group != "" {
			o, ok := c.v.Groups.Get(string(r.Group))
			if !ok {
				continue
			}
			part.Group = o.Number
		}
		s.Rules = append(s.Rules, part)
	}
	c.add(events.SpecGroup, string(g.ID), g.N, "", s)
}

// fabricID is the id of the one spec of its kind.
const fabricID = "region"

func (c *collector) fabric() {
	s := events.FabricSpec{Nodes: []netip.Addr{}}
	for _, n := range c.v.Nodes.All() {
		if a, err := netip.ParseAddr(n.Address); err == nil && (n.Kind == "network" || n.Kind == "gateway") {
			s.Nodes = append(s.Nodes, a)
		}
	}
	slices.SortFunc(s.Nodes, netip.Addr.Compare)
	c.add(events.SpecFabric, fabricID, c.v.Meta.FabricN, "", s)
}

// gateway gathers the public addresses of the region, as one gateway node must
// serve them.
func (c *collector) gateway() {
	defer c.tombstones(events.SpecPublic)
	if c.only != nil {
		for _, id := range c.only {
			if a, ok := c.v.Addresses.Get(id); ok {
				c.public(a)
			}
			if id == fabricID {
				c.fabric()
			}
		}
		return
	}
	for _, a := range c.v.Addresses.All() {
		c.public(a)
	}
	c.fabric()
}

func (c *collector) public(a *state.Address) {
	f, ok := c.v.Interfaces.Get(string(a.Interface))
	if !ok {
		return // an Elastic IP address that is bound to nothing
	}
	node, ok := c.v.HostOf(f)
	if !ok {
		return // its guest has no place yet
	}
	host, err := netip.ParseAddr(node.Address)
	vpc, ok := c.v.VPCs.Get(string(f.Interface.VPC))
	if err != nil || !ok {
		return
	}
	if _, ok := c.v.InternetGatewayOf(vpc.ID); !ok {
		return // there is no way in
	}
	s := events.PublicSpec{Address: a.Address, Interface: a.Interface, VPC: vpc.ID, VNI: vpc.VNI, Private: a.Private, MAC: f.Interface.MAC,
		Host: host, Name: network.PublicName(c.v.Meta.Region, a.Address)}
	n := max(a.N, f.N)
	s.Epoch = a.N
	if g, ok := c.v.Gateways.Get(string(a.Zone)); ok {
		// Not the gateway's own epoch: each zone counts its own, and an Elastic
		// IP address moves between them.
		s.Announce, s.Epoch = g.Host == c.host, max(a.N, g.N)
		n = max(n, g.N)
	}
	c.add(events.SpecPublic, a.Address.String(), n, a.Request, s)
}

func (c *collector) metadata(i *state.Instance) {
	userData, err := c.secrets.Open(i.UserData)
	if err != nil {
		return // the compute node's set says so
	}
	region := c.v.Meta.Region
	n := i.N
	s := events.MetadataSpec{Instance: i.ID, Account: i.Account, Reservation: i.Reservation, LaunchIndex: i.LaunchIndex, Region: region, Zone: i.Zone,
		ZoneID: network.ZoneID(c.v, i.Zone), Image: i.Image, Kernel: i.Kernel, Ramdisk: i.Ramdisk, Type: i.Shape.Type, Architecture: i.Architecture,
		KeyName: i.KeyName, PublicKey: i.PublicKey, UserData: userData, Pending: i.At, Options: i.Metadata}
	if m, ok := c.v.Images.Get(string(i.Image)); ok {
		s.Location = m.Location
	}
	s.Devices = []events.DevicePart{{Virtual: "ami", Device: short(i.RootDevice)}}
	for k := range i.Shape.EphemeralGiB {
		s.Devices = append(s.Devices, events.DevicePart{Virtual: "ephemeral" + strconv.Itoa(k), Device: short(storage.EphemeralDevice(i.Shape.Type, k))})
	}
	s.Devices = append(s.Devices, events.DevicePart{Virtual: "root", Device: i.RootDevice})
	volume := 0
	for r := range c.v.VolumesAttached(i.ID) {
		n = max(n, r.N)
		if r.Attachment.Ended {
			continue
		}
		volume++
		s.Devices = append(s.Devices, events.DevicePart{Virtual: "ebs" + strconv.Itoa(volume), Device: short(r.Attachment.Device), Serial: Serial(r.ID)})
	}
	for _, f := range i.Interfaces {
		row, ok := c.v.Interfaces.Get(string(f.ID))
		subnet, ok2 := c.v.Subnets.Get(string(f.Subnet))
		vpc, ok3 := c.v.VPCs.Get(string(f.VPC))
		if !ok || !ok2 || !ok3 {
			continue
		}
		n = max(n, row.N)
		part := events.InterfacePart{Interface: f.ID, Index: f.DeviceIndex, MAC: f.MAC, PrivateIP: f.PrivateIP, LocalName: network.PrivateName(region, f.PrivateIP),
			Groups: row.Interface.Groups, GroupNames: []string{}, Subnet: f.Subnet, SubnetCIDR: subnet.CIDR, VPC: f.VPC, VPCBlocks: []netip.Prefix{vpc.CIDR}}
		for _, id := range row.Interface.Groups {
			if g, ok := c.v.Groups.Get(string(id)); ok {
				part.GroupNames = append(part.GroupNames, g.Name)
			}
		}
		if a, ok := c.v.PublicOf(f.ID); ok {
			part.Public, part.PublicName = a.Address, network.PublicName(region, a.Address)
		}
		s.Interfaces = append(s.Interfaces, part)
	}
	if i.Metadata.InstanceTags == "enabled" {
		s.Tags = c.v.TagsOf(string(i.ID))
	}
	c.add(events.SpecMetadata, string(i.ID), n, i.Request, s)
}

// short is a device as the metadata service lists it: sda1, without /dev/.
func short(device string) string {
	if len(device) > 5 && device[:5] == "/dev/" {
		return device[5:]
	}
	return device
}
