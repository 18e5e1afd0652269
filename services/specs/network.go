package specs

import (
	"maps"
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
		for _, f := range i.Interfaces(c.v) {
			if !f.Detaching {
				c.port(i, f)
				vpcs[f.Interface.VPC] = true
			}
		}
		c.metadata(i)
	}
	for vpc := range maps.Clone(vpcs) {
		for p := range c.v.PeersOf(vpc) {
			vpcs[p.Other(vpc)] = true
		}
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
			if i, ok := c.v.Instances.Get(string(f.Instance)); ok && i.Live() && i.Host == c.host && !f.Detaching {
				c.port(i, f)
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

// follows says whether the host has a port in a VPC, or in a peer of it.
func (c *collector) follows(vpc events.VPCID) bool {
	if c.holds(vpc) {
		return true
	}
	for p := range c.v.PeersOf(vpc) {
		if c.holds(p.Other(vpc)) {
			return true
		}
	}
	return false
}

// holds says whether the host has a port in a VPC.
func (c *collector) holds(vpc events.VPCID) bool {
	for i := range c.v.InstancesOn(c.host) {
		for _, f := range i.Interfaces(c.v) {
			if f.Interface.VPC == vpc && !f.Detaching {
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

func (c *collector) port(i *state.Instance, row *state.Interface) {
	f := row.Interface
	subnet, ok := c.v.Subnets.Get(string(f.Subnet))
	vpc, ok2 := c.v.VPCs.Get(string(f.VPC))
	if !ok || !ok2 {
		return
	}
	region := c.v.Meta.Region
	var router, resolver netip.Addr
	if !subnet.Native() {
		router = subnet.CIDR.Masked().Addr().Next()
	}
	if vpc.CIDR.IsValid() {
		resolver = vpc.CIDR.Masked().Addr().Next().Next()
	}
	c.add(events.SpecPort, string(f.ID), row.N, row.Request, events.PortSpec{
		Interface: f.ID, Instance: i.ID, Account: i.Account, VPC: f.VPC, VNI: vpc.VNI, Tap: events.TapName(f.ID), MAC: f.MAC, PrivateIP: f.PrivateIP,
		Subnet: subnet.Number, Groups: c.numbers(f.Groups), SourceCheck: !row.NoSrcCheck, MTU: mtu,
		Hostname: network.Hostname(region, i, f.PrivateIP), CIDR: subnet.CIDR, Router: router, RouterMAC: events.RouterMAC(subnet.Number),
		Resolver: resolver, Domain: events.PrivateDomain(region),
		IPv6: f.IPv6, CIDR6: subnet.IPv6.CIDR, DNS64: subnet.DNS64,
		DHCP: network.Leased(c.v, vpc, resolver),
	})
}

func (c *collector) vpc(id events.VPCID) {
	vpc, ok := c.v.VPCs.Get(string(id))
	if !ok {
		return
	}
	s := events.NetworkSpec{VPC: id, Account: vpc.Account, VNI: vpc.VNI, Blocks: vpc.CIDRs(), Gateways: []netip.Addr{}}
	n := vpc.N
	var main uint32
	for t := range c.v.RouteTablesOf(id) {
		part := events.TablePart{Number: t.Number}
		for _, r := range t.Routes {
			for _, to := range network.Along(c.v, t, r) {
				p := c.route(id, r)
				p.Destination = to
				part.Routes = append(part.Routes, p)
			}
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
		s.Subnets = append(s.Subnets, events.SubnetPart{Number: sub.Number, CIDR: sub.CIDR, Table: table, CIDR6: sub.IPv6.CIDR, ACL: sub.ACL})
	}
	for a := range c.v.ACLsOf(id) {
		s.ACLs = append(s.ACLs, events.ACLPart{ACL: a.ID, Entries: a.Entries})
	}
	for p := range c.v.PeersOf(id) {
		if o, ok := c.v.VPCs.Get(string(p.Other(id))); ok {
			s.Peers = append(s.Peers, events.PeerPart{VPC: o.ID, VNI: o.VNI})
		}
	}
	_, inward := c.v.InternetGatewayOf(id)
	s.Inward = inward && speaks6(vpc)
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
	case r.NAT != "":
		g, _ := c.v.NATGateways.Get(string(r.NAT))
		if f, ok := c.v.Interfaces.Get(string(g.Interface)); ok {
			out.Kind, out.MAC = events.RouteInterface, f.Interface.MAC
		}
	case r.Egress != "":
		out.Kind = events.RouteEgress
	case r.Peering != "":
		p, _ := c.v.Peerings.Get(string(r.Peering))
		if o, ok := c.v.VPCs.Get(string(p.Other(vpc))); ok {
			out.Kind, out.VNI = events.RoutePeer, o.VNI
		}
	case r.VPN != "":
		// No node carries what goes there.
	default:
		out.Kind = events.RouteLocal
	}
	return out
}

func (c *collector) mapping(f *state.Interface) {
	host, ok := c.at(f)
	if !ok {
		return // its guest has no place yet, or no more
	}
	vpc, ok := c.v.VPCs.Get(string(f.Interface.VPC))
	subnet, ok2 := c.v.Subnets.Get(string(f.Interface.Subnet))
	if !ok || !ok2 {
		return
	}
	s := events.MappingSpec{Interface: f.Interface.ID, VPC: vpc.ID, VNI: vpc.VNI, MAC: f.Interface.MAC, Addresses: f.Addresses(), Prefixes: f.Interface.IPv6Prefixes,
		Subnet: subnet.Number, Host: host, Groups: c.numbers(f.Interface.Groups), SourceCheck: !f.NoSrcCheck && f.Interface.NAT == ""}
	for a := range c.v.PublicsOf(f.Interface.ID) {
		if a.Private == f.Interface.PrivateIP {
			s.Public = a.Address
		} else {
			s.Publics = append(s.Publics, events.PublicPart{Public: a.Address, Private: a.Private})
		}
	}
	c.add(events.SpecMapping, string(f.Interface.ID), f.N, f.Request, s)
}

func (c *collector) group(g *state.Group) {
	s := events.GroupSpec{Group: g.ID, VPC: g.VPC, Number: g.Number, Rules: []events.RulePart{}}
	for _, r := range g.Rules {
		part := events.RulePart{Egress: r.Egress, Protocol: network.ProtocolNumber(r), From: r.From, To: r.To}
		if r.Group != "" {
			if o, ok := c.v.Groups.Get(string(r.Group)); ok {
				part.Group = o.Number
				s.Rules = append(s.Rules, part)
			}
			continue
		}
		for _, part.CIDR = range network.Blocks(c.v, r) {
			s.Rules = append(s.Rules, part)
		}
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
	for _, row := range i.Interfaces(c.v) {
		n = max(n, row.N)
		f := row.Interface
		subnet, ok := c.v.Subnets.Get(string(f.Subnet))
		vpc, ok2 := c.v.VPCs.Get(string(f.VPC))
		if !ok || !ok2 || row.Detaching {
			continue
		}
		part := events.InterfacePart{Interface: f.ID, Index: f.DeviceIndex, MAC: f.MAC, PrivateIP: f.PrivateIP, LocalName: network.Hostname(region, i, f.PrivateIP),
			Groups: f.Groups, GroupNames: []string{}, Subnet: f.Subnet, SubnetCIDR: subnet.CIDR, VPC: f.VPC, VPCBlocks: []netip.Prefix{},
			Secondary: f.Secondary, Prefixes: f.Prefixes, IPv6: f.IPv6, SubnetCIDR6: subnet.IPv6.CIDR}
		for _, b := range vpc.CIDRs() {
			if b.Addr().Is4() {
				part.VPCBlocks = append(part.VPCBlocks, b)
			} else {
				part.VPCBlocks6 = append(part.VPCBlocks6, b)
			}
		}
		for _, id := range f.Groups {
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
