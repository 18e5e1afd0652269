package exact

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"

	"skerry/events"
	"skerry/services/state"
)

// client is a caller of one account with one command in hand. It learns of
// things by describing them, from a view that may be old.
type client struct {
	w    *world
	id   int
	who  int
	n    int
	hand *call
	rest int // beats before the next command
}

func newClient(w *world, id int) *client { return &client{w: w, id: id, who: id % len(w.accounts)} }

func (c *client) step() {
	w := c.w
	if c.hand != nil {
		w.again(c.hand)
		return
	}
	if w.calm {
		return
	}
	if c.rest > 0 {
		c.rest--
		return
	}
	v := w.view()
	if v == nil || v.Accounts.Len() < len(w.accounts) {
		return
	}
	c.n++
	d := draw{v: v, rng: w.rng, me: w.accounts[c.who], other: w.accounts[(c.who+1)%len(w.accounts)], name: fmt.Sprintf("%d-%d", c.id, c.n), alive: &w.judge.alive[c.who]}
	cmd := d.tags()
	if c.id < callers {
		cmd = d.command()
	}
	s := w.expires(w.stamp("client", d.me))
	if w.rng.IntN(4) == 0 {
		s.ClientToken = string(s.ID)
	}
	k := &call{stamped: events.Stamped{Stamp: s, Command: cmd}}
	k.answer = func(r events.Reply) {
		c.hand, c.rest = nil, w.rng.IntN(4)
		if r.Fault != nil {
			w.refused++
			return
		}
		w.acked++
		w.slowest = max(w.slowest, w.beat-w.last)
		w.last = w.beat
	}
	c.hand = k
	w.ask(k)
	if w.rng.IntN(16) == 0 { // what was lost on the way arrives after all
		w.ask(k)
	}
}

// draw chooses a command for what an account has.
type draw struct {
	v         *state.View
	rng       *rand.Rand
	me, other events.AccountID
	name      string
	alive     *[]events.InstanceID
}

// one draws one of several that hold, or the zero value.
func one[T any](rng *rand.Rand, all iter.Seq[T], holds func(T) bool) (out T) {
	n := 0
	for x := range all {
		if holds == nil || holds(x) {
			if n++; rng.IntN(n) == 0 {
				out = x
			}
		}
	}
	return out
}

func (d *draw) instance(states ...string) *state.Instance {
	for range 6 {
		if len(*d.alive) == 0 {
			return nil
		}
		i, ok := d.v.Instance(d.me, (*d.alive)[d.rng.IntN(len(*d.alive))])
		if !ok {
			continue
		}
		for _, s := range states {
			if i.State == s {
				return i
			}
		}
		if len(states) == 0 {
			return i
		}
	}
	return nil
}

func (d *draw) vpc() *state.VPC { return one(d.rng, d.v.VPCsOf(d.me), nil) }
func (d *draw) subnet() *state.Subnet {
	if v := d.vpc(); v != nil {
		return one(d.rng, d.v.SubnetsOf(v.ID), nil)
	}
	return nil
}
func (d *draw) group() *state.Group {
	if v := d.vpc(); v != nil {
		return one(d.rng, d.v.GroupsOf(v.ID), nil)
	}
	return nil
}
func (d *draw) table() *state.RouteTable {
	if v := d.vpc(); v != nil {
		return one(d.rng, d.v.RouteTablesOf(v.ID), nil)
	}
	return nil
}
func (d *draw) acl() *state.NetworkACL {
	if v := d.vpc(); v != nil {
		return one(d.rng, d.v.ACLsOf(v.ID), nil)
	}
	return nil
}
func (d *draw) volume(holds func(*state.Volume) bool) *state.Volume {
	return one(d.rng, d.v.VolumesOf(d.me), holds)
}
func (d *draw) snapshot() *state.Snapshot {
	return one(d.rng, d.v.SnapshotsOf(d.me), func(s *state.Snapshot) bool { return s.State == state.SnapshotCompleted })
}
func (d *draw) nic(holds func(*state.Interface) bool) *state.Interface {
	return one(d.rng, d.v.InterfacesOf(d.me), holds)
}
func (d *draw) address(bound bool) *state.Address {
	return one(d.rng, d.v.AddressesOf(d.me), func(a *state.Address) bool { return a.Allocation != "" && (a.Association != "") == bound })
}
func (d *draw) zone() events.Zone { return zone(d.rng.IntN(zones)) }

// command draws until there is something that the command can be about. What is
// drawn may still be refused: others act as well, and views are old.
func (d *draw) command() events.Command {
	for {
		k := d.rng.IntN(total)
		for _, m := range makers {
			if k -= m.weight; k < 0 {
				if c := m.make(d); c != nil {
					return c
				}
				break
			}
		}
	}
}

// tags sets a tag or removes it.
func (d *draw) tags() events.Command {
	var on string
	switch d.rng.IntN(4) {
	case 0:
		if i := d.instance(); i != nil {
			on = string(i.ID)
		}
	case 1:
		if s := d.subnet(); s != nil {
			on = string(s.ID)
		}
	case 2:
		if x := d.volume(nil); x != nil {
			on = string(x.ID)
		}
	}
	if on == "" {
		on = string(d.vpc().ID)
	}
	key := fmt.Sprintf("k%d", d.rng.IntN(8))
	if d.rng.IntN(4) == 0 {
		return events.UntagResources{Resources: []string{on}, Tags: []events.UntagTag{{Key: key}}}
	}
	return events.TagResources{Resources: []string{on}, Tags: []events.Tag{{Key: key, Value: d.name}}}
}

// maker makes commands of one kind, or nil when there is nothing to speak of.
type maker struct {
	weight int
	make   func(*draw) events.Command
}

var total = func() (sum int) {
	for _, m := range makers {
		sum += m.weight
	}
	return
}()

var makers = []maker{
	// Tags, and names.
	{16, (*draw).tags},
	{4, func(d *draw) events.Command {
		name := fmt.Sprintf("key-%d", d.rng.IntN(12))
		if _, ok := d.v.KeyPair(d.me, name); ok {
			return events.DeleteKeyPair{Name: name}
		}
		return events.ImportKeyPair{Name: name, Type: "ed25519", PublicKey: "ssh-ed25519 AAAA", Fingerprint: d.name}
	}},

	// Instances.
	{7, func(d *draw) events.Command {
		c := events.RunInstances{Image: image, Type: "sk1.tiny", Min: 1, Max: 1 + d.rng.IntN(2)}
		if i := one(d.rng, d.v.ImagesOf(d.me), nil); i != nil && d.rng.IntN(2) == 0 {
			c.Image = i.ID
		}
		switch d.rng.IntN(6) {
		case 0:
			c.Zone = d.zone()
		case 1, 2:
			if s := d.subnet(); s != nil {
				c.Subnet = s.ID
				c.Addresses.SecondaryCount = d.rng.IntN(3)
			}
		case 3:
			c.Mappings = []events.BlockDevice{{Device: "/dev/sdg", SizeGiB: 1}}
		case 4:
			if g := one(d.rng, d.v.PlacementGroupsOf(d.me), nil); g != nil {
				c.Group = g.Name
			}
		}
		return c
	}},
	{6, func(d *draw) events.Command {
		if i := d.instance(); i != nil {
			return events.TerminateInstances{Instances: []events.InstanceID{i.ID}}
		}
		return nil
	}},
	{2, func(d *draw) events.Command {
		if i := d.instance(state.Running); i != nil {
			return events.RebootInstances{Instances: []events.InstanceID{i.ID}}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		if i := d.instance(state.Running); i != nil && i.OnVolume() {
			return events.StopInstances{Instances: []events.InstanceID{i.ID}, Force: d.rng.IntN(3) == 0}
		}
		return nil
	}},
	{6, func(d *draw) events.Command {
		if i := d.instance(state.Stopped); i != nil {
			if d.rng.IntN(4) == 0 {
				to := []string{"sk1.tiny", "t3.nano"}[d.rng.IntN(2)]
				return events.ModifyInstance{Instance: i.ID, Type: &to}
			}
			return events.StartInstances{Instances: []events.InstanceID{i.ID}}
		}
		return nil
	}},
	{2, func(d *draw) events.Command {
		i, g := d.instance(state.Running, state.Pending), d.group()
		if i == nil || g == nil {
			return nil
		}
		if yes := d.rng.IntN(2) == 0; d.rng.IntN(2) == 0 {
			return events.ModifyInstance{Instance: i.ID, SourceDestCheck: &yes}
		}
		return events.ModifyInstance{Instance: i.ID, Groups: []events.GroupID{g.ID}}
	}},

	// Volumes, snapshots and images.
	{5, func(d *draw) events.Command {
		c := events.CreateVolume{Zone: d.zone(), SizeGiB: 1 + d.rng.IntN(3)}
		if s := d.snapshot(); s != nil && d.rng.IntN(2) == 0 {
			c.Snapshot, c.SizeGiB = string(s.ID), s.SizeGiB+d.rng.IntN(2)
		}
		return c
	}},
	{6, func(d *draw) events.Command {
		x := d.volume(func(x *state.Volume) bool { return x.State == state.VolumeAvailable })
		i := d.instance(state.Running, state.Stopped)
		if x == nil || i == nil || i.Zone != x.Zone {
			return nil
		}
		return events.AttachVolume{Volume: x.ID, Instance: i.ID, Device: "/dev/sd" + string(rune('f'+d.rng.IntN(6)))}
	}},
	{5, func(d *draw) events.Command {
		if x := d.volume(func(x *state.Volume) bool { return x.Attachment != nil }); x != nil {
			return events.DetachVolume{Volume: x.ID, Force: d.rng.IntN(3) == 0}
		}
		return nil
	}},
	{4, func(d *draw) events.Command {
		if x := d.volume(func(x *state.Volume) bool { return x.Attachment == nil && x.State != state.VolumeDeleting }); x != nil {
			if d.rng.IntN(5) == 0 {
				return events.ModifyVolume{Volume: x.ID, SizeGiB: x.SizeGiB + 1}
			}
			return events.DeleteVolume{Volume: x.ID}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		if s := d.snapshot(); s != nil && d.rng.IntN(3) == 0 {
			return events.CopySnapshot{Snapshot: s.ID}
		}
		if x := d.volume(func(x *state.Volume) bool { return x.State == state.VolumeAvailable || x.State == state.VolumeInUse }); x != nil {
			return events.CreateSnapshot{Volume: x.ID}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		if s := d.snapshot(); s != nil {
			return events.DeleteSnapshot{Snapshot: s.ID}
		}
		return nil
	}},
	{2, func(d *draw) events.Command {
		if i := d.instance(state.Running, state.Stopped); i != nil && i.OnVolume() && d.rng.IntN(3) == 0 {
			return events.CreateImage{Instance: i.ID, Name: d.name, NoReboot: true}
		}
		s := d.snapshot()
		if s == nil {
			return nil
		}
		return events.RegisterImage{Image: events.Image{Name: d.name, Mappings: []events.BlockDevice{{Device: "/dev/sda1", Snapshot: s.ID}}}}
	}},
	{1, func(d *draw) events.Command {
		i := one(d.rng, d.v.ImagesOf(d.me), nil)
		if i == nil {
			return nil
		}
		if d.rng.IntN(3) == 0 {
			return events.DeregisterImage{Image: i.ID}
		}
		yes := d.rng.IntN(2) == 0
		return events.ModifyImage{Image: i.ID, Public: &yes}
	}},
	{1, func(d *draw) events.Command {
		if s := d.snapshot(); s != nil && d.rng.IntN(2) == 0 {
			return events.ModifySnapshot{Snapshot: s.ID, Add: []events.AccountID{d.other}}
		}
		x := d.volume(nil)
		if x == nil {
			return nil
		}
		keep := d.rng.IntN(2) == 0
		if a := x.Attachment; a != nil && d.rng.IntN(2) == 0 {
			return events.ModifyInstance{Instance: a.Instance, Devices: []events.BlockDevice{{Device: a.Device, Keep: &keep}}}
		}
		return events.SetVolumeAutoIO{Volume: x.ID, AutoIO: keep}
	}},

	// Interfaces.
	{3, func(d *draw) events.Command {
		if s := d.subnet(); s != nil {
			return events.CreateInterface{Subnet: s.ID, Addresses: events.Wanted{SecondaryCount: d.rng.IntN(2)}}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		f := d.nic((*state.Interface).Idle)
		i := d.instance(state.Running, state.Stopped)
		if f == nil || i == nil || i.Zone != f.Zone {
			return nil
		}
		return events.AttachInterface{Interface: f.Interface.ID, Instance: i.ID, DeviceIndex: 1}
	}},
	{3, func(d *draw) events.Command {
		if f := d.nic(func(f *state.Interface) bool { return f.Instance != "" && f.Interface.DeviceIndex > 0 && !f.Detaching }); f != nil {
			return events.DetachInterface{Attachment: f.AttachmentID(), Force: d.rng.IntN(4) == 0}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		if f := d.nic((*state.Interface).Idle); f != nil {
			return events.DeleteInterface{Interface: f.Interface.ID}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		f := d.nic(nil)
		if f == nil {
			return nil
		}
		if len(f.Interface.Secondary) > 0 && d.rng.IntN(2) == 0 {
			return events.UnassignAddresses{Interface: f.Interface.ID, Addresses: []string{f.Interface.Secondary[0].String()}}
		}
		if len(f.Interface.Prefixes) > 0 && d.rng.IntN(2) == 0 {
			return events.UnassignAddresses{Interface: f.Interface.ID, Prefixes: []string{f.Interface.Prefixes[0].String()}}
		}
		if o := d.nic(func(o *state.Interface) bool {
			return len(o.Interface.Secondary) > 0 && o.Interface.Subnet == f.Interface.Subnet
		}); o != nil && d.rng.IntN(3) == 0 {
			return events.AssignAddresses{Interface: f.Interface.ID, Addresses: events.Wanted{Secondary: []string{o.Interface.Secondary[0].String()}}, Move: true}
		}
		if d.rng.IntN(6) == 0 {
			return events.AssignAddresses{Interface: f.Interface.ID, Addresses: events.Wanted{PrefixCount: 1}}
		}
		return events.AssignAddresses{Interface: f.Interface.ID, Addresses: events.Wanted{SecondaryCount: 1 + d.rng.IntN(2)}}
	}},
	{1, func(d *draw) events.Command {
		if f, g := d.nic(nil), d.group(); f != nil && g != nil {
			return events.ModifyInterface{Interface: f.Interface.ID, Groups: []events.GroupID{g.ID}}
		}
		return nil
	}},

	// Public addresses.
	{6, func(d *draw) events.Command {
		a := d.address(false)
		if a == nil {
			return events.AllocateAddress{}
		}
		switch d.rng.IntN(3) {
		case 0:
			return events.ReleaseAddress{Allocation: a.Allocation}
		case 1:
			if f := d.nic(func(f *state.Interface) bool { return f.Interface.NAT == "" }); f != nil {
				return events.AssociateAddress{Allocation: a.Allocation, Interface: f.Interface.ID}
			}
		}
		if i := d.instance(state.Running, state.Stopped); i != nil {
			return events.AssociateAddress{Allocation: a.Allocation, Instance: i.ID}
		}
		return nil
	}},
	{5, func(d *draw) events.Command {
		a := d.address(true)
		if a == nil {
			return nil
		}
		switch d.rng.IntN(3) {
		case 0:
			return events.ReleaseAddress{Allocation: a.Allocation}
		case 1:
			if i := d.instance(state.Running); i != nil {
				return events.AssociateAddress{Allocation: a.Allocation, Instance: i.ID} // it moves
			}
		}
		return events.DisassociateAddress{Association: a.Association}
	}},

	// Security groups.
	{3, func(d *draw) events.Command {
		if g := d.group(); g != nil && g.Name != "default" && d.rng.IntN(2) == 0 {
			return events.DeleteGroup{Group: g.ID}
		}
		return events.CreateGroup{Name: "group-" + d.name, Description: "of a drill", VPC: d.vpc().ID}
	}},
	{5, func(d *draw) events.Command {
		g, peer := d.group(), d.group()
		if g == nil {
			return nil
		}
		if len(g.Rules) > 0 && d.rng.IntN(3) == 0 {
			r := g.Rules[d.rng.IntN(len(g.Rules))]
			if d.rng.IntN(2) == 0 && r.CIDR.IsValid() && r.Protocol != "-1" {
				r.Description = d.name
				return events.ModifyRules{Group: g.ID, Rules: []events.Rule{r}}
			}
			return events.RevokeRules{Group: g.ID, Egress: r.Egress, IDs: []events.RuleID{r.ID}}
		}
		port := 1 + d.rng.IntN(9000)
		r := events.Rule{Protocol: "tcp", From: port, To: port, CIDR: netip.MustParsePrefix("0.0.0.0/0")}
		switch d.rng.IntN(4) {
		case 0:
			r.CIDR, r.Group = netip.Prefix{}, peer.ID
		case 1:
			if l := one(d.rng, d.v.PrefixListsOf(d.me), nil); l != nil {
				r.CIDR, r.PrefixList = netip.Prefix{}, l.ID
			}
		}
		return events.AuthorizeRules{Group: g.ID, Rules: []events.Rule{r}}
	}},

	// Networks.
	{1, func(d *draw) events.Command {
		if x := d.vpc(); !x.Default && d.rng.IntN(2) == 0 {
			if yes := d.rng.IntN(2) == 0; d.rng.IntN(3) == 0 {
				return events.ModifyVPC{VPC: x.ID, DNSSupport: &yes}
			}
			return events.DeleteVPC{VPC: x.ID}
		}
		return events.CreateVPC{CIDR: fmt.Sprintf("10.%d.0.0/20", d.rng.IntN(8)), AmazonIPv6: d.rng.IntN(2) == 0}
	}},
	{2, func(d *draw) events.Command {
		x := d.vpc()
		if x.Default {
			return nil
		}
		if s := one(d.rng, d.v.SubnetsOf(x.ID), nil); s != nil && d.rng.IntN(3) == 0 {
			return events.DeleteSubnet{Subnet: s.ID}
		}
		cidr, err := x.CIDR.Addr().Prefix(20)
		if err != nil || !x.CIDR.IsValid() {
			return nil
		}
		a := cidr.Addr().As4()
		a[2] += byte(d.rng.IntN(16))
		return events.CreateSubnet{VPC: x.ID, CIDR: netip.PrefixFrom(netip.AddrFrom4(a), 26).String(), Zone: d.zone()}
	}},
	{1, func(d *draw) events.Command {
		x := d.vpc()
		if len(x.Blocks) > 0 && d.rng.IntN(2) == 0 {
			return events.DisassociateVPCBlock{Association: x.Blocks[d.rng.IntN(len(x.Blocks))].Association}
		}
		if d.rng.IntN(2) == 0 {
			return events.AssociateVPCBlock{VPC: x.ID, AmazonIPv6: true}
		}
		return events.AssociateVPCBlock{VPC: x.ID, CIDR: fmt.Sprintf("10.%d.64.0/20", d.rng.IntN(8))}
	}},
	{1, func(d *draw) events.Command {
		s := d.subnet()
		if s == nil {
			return nil
		}
		if s.IPv6.Association != "" && d.rng.IntN(2) == 0 {
			return events.DisassociateSubnetBlock{Association: s.IPv6.Association}
		}
		if x, ok := d.v.VPCs.Get(string(s.VPC)); ok {
			for _, b := range x.Blocks {
				if a := b.CIDR.Addr(); a.Is6() {
					raw := a.As16()
					raw[7] = byte(d.rng.IntN(256))
					return events.AssociateSubnetBlock{Subnet: s.ID, IPv6: netip.PrefixFrom(netip.AddrFrom16(raw), 64).String()}
				}
			}
		}
		yes := d.rng.IntN(2) == 0
		return events.ModifySubnet{Subnet: s.ID, MapPublic: &yes}
	}},
	{2, func(d *draw) events.Command {
		g, x := one(d.rng, d.v.InternetGatewaysOf(d.me), nil), d.vpc()
		switch {
		case g == nil || d.rng.IntN(6) == 0:
			return events.CreateInternetGateway{}
		case g.VPC == "" && d.rng.IntN(3) == 0:
			return events.DeleteInternetGateway{Gateway: g.ID}
		case g.VPC == "":
			return events.AttachInternetGateway{Gateway: g.ID, VPC: x.ID}
		}
		if x.Default && g.VPC == x.ID && d.rng.IntN(4) > 0 {
			return nil
		}
		return events.DetachInternetGateway{Gateway: g.ID, VPC: g.VPC}
	}},
	{4, func(d *draw) events.Command {
		t := d.table()
		if t == nil {
			return nil
		}
		to := fmt.Sprintf("10.200.%d.0/24", d.rng.IntN(6))
		switch d.rng.IntN(9) {
		case 0:
			return events.CreateRouteTable{VPC: t.VPC}
		case 1:
			return events.DeleteRouteTable{Table: t.ID}
		case 2:
			return events.DeleteRoute{Table: t.ID, Destination: to}
		case 3:
			if s := one(d.rng, d.v.SubnetsOf(t.VPC), nil); s != nil {
				if s.Association != "" && d.rng.IntN(2) == 0 {
					if d.rng.IntN(2) == 0 {
						return events.ReplaceRouteTableAssociation{Association: s.Association, Table: t.ID}
					}
					return events.DisassociateRouteTable{Association: s.Association}
				}
				if g, ok := d.v.InternetGatewayOf(t.VPC); ok && d.rng.IntN(3) == 0 {
					if g.Association != "" {
						return events.DisassociateRouteTable{Association: g.Association}
					}
					return events.AssociateRouteTable{Table: t.ID, Gateway: g.ID}
				}
				if main := one(d.rng, d.v.RouteTablesOf(t.VPC), func(o *state.RouteTable) bool { return o.Main && o.Association != "" }); main != nil && d.rng.IntN(4) == 0 {
					return events.ReplaceRouteTableAssociation{Association: main.Association, Table: t.ID}
				}
				return events.AssociateRouteTable{Table: t.ID, Subnet: s.ID}
			}
		case 4:
			if g := one(d.rng, d.v.NATGatewaysOf(d.me), func(g *state.NATGateway) bool { return g.VPC == t.VPC }); g != nil {
				return events.CreateRoute{Table: t.ID, Destination: to, NAT: g.ID}
			}
		case 5:
			if p := one(d.rng, d.v.PeersOf(t.VPC), nil); p != nil {
				return events.CreateRoute{Table: t.ID, Destination: to, Peering: p.ID}
			}
		case 6:
			g, ok := d.v.InternetGatewayOf(t.VPC)
			if l := one(d.rng, d.v.PrefixListsOf(d.me), nil); ok && l != nil && d.rng.IntN(2) == 0 {
				if d.rng.IntN(2) == 0 {
					return events.DeleteRoute{Table: t.ID, PrefixList: l.ID}
				}
				return events.CreateRoute{Table: t.ID, PrefixList: l.ID, Gateway: g.ID}
			}
			if ok {
				return events.CreateRoute{Table: t.ID, Destination: to, Gateway: g.ID}
			}
		case 7:
			if g, ok := d.v.VPNGatewayOf(t.VPC); ok {
				switch {
				case d.rng.IntN(2) == 0:
					return events.CreateRoute{Table: t.ID, Destination: to, VPN: g.ID}
				case t.Propagating != "":
					return events.DisableRoutePropagation{Table: t.ID, Gateway: g.ID}
				}
				return events.EnableRoutePropagation{Table: t.ID, Gateway: g.ID}
			}
		}
		if f := d.nic(func(f *state.Interface) bool { return f.Interface.VPC == t.VPC }); f != nil {
			if d.rng.IntN(2) == 0 {
				return events.ReplaceRoute{Table: t.ID, Destination: to, Interface: f.Interface.ID}
			}
			return events.CreateRoute{Table: t.ID, Destination: to, Interface: f.Interface.ID}
		}
		return nil
	}},
	{3, func(d *draw) events.Command {
		a := d.acl()
		if a == nil {
			return nil
		}
		entry := events.ACLEntry{Number: 1 + d.rng.IntN(20), Egress: d.rng.IntN(2) == 0, Deny: d.rng.IntN(3) == 0, Protocol: 6, From: 80, To: 90, CIDR: netip.MustParsePrefix("10.0.0.0/8")}
		switch d.rng.IntN(6) {
		case 0:
			return events.CreateNetworkACL{VPC: a.VPC}
		case 1:
			return events.DeleteNetworkACL{ACL: a.ID}
		case 2:
			return events.DeleteACLEntry{ACL: a.ID, Number: entry.Number, Egress: entry.Egress}
		case 3:
			return events.ReplaceACLEntry{ACL: a.ID, Entry: entry}
		case 4:
			if s := one(d.rng, d.v.SubnetsOf(a.VPC), nil); s != nil {
				return events.ReplaceACLAssociation{Association: s.ACLAssociation, ACL: a.ID}
			}
		}
		return events.CreateACLEntry{ACL: a.ID, Entry: entry}
	}},
	{2, func(d *draw) events.Command {
		if g := one(d.rng, d.v.NATGatewaysOf(d.me), (*state.NATGateway).Live); g != nil && d.rng.IntN(2) == 0 {
			return events.DeleteNATGateway{Gateway: g.ID}
		}
		s, a := d.subnet(), d.address(false)
		if s == nil {
			return nil
		}
		if a == nil {
			return events.CreateNATGateway{Subnet: s.ID, Private: true}
		}
		return events.CreateNATGateway{Subnet: s.ID, Allocation: a.Allocation}
	}},
	{1, func(d *draw) events.Command {
		if g := one(d.rng, d.v.EgressGatewaysOf(d.me), nil); g != nil && d.rng.IntN(2) == 0 {
			return events.DeleteEgressGateway{Gateway: g.ID}
		}
		return events.CreateEgressGateway{VPC: d.vpc().ID}
	}},
	{3, func(d *draw) events.Command {
		if p := one(d.rng, d.v.PeeringsOf(d.me), (*state.Peering).Live); p != nil && d.rng.IntN(4) > 0 {
			switch d.rng.IntN(4) {
			case 0, 1:
				return events.AcceptPeering{Peering: p.ID}
			case 2:
				return events.RejectPeering{Peering: p.ID}
			}
			return events.DeletePeering{Peering: p.ID}
		}
		peer := one(d.rng, d.v.VPCsOf(d.other), nil)
		if peer == nil {
			return nil
		}
		return events.CreatePeering{VPC: d.vpc().ID, Peer: peer.ID, PeerAccount: d.other}
	}},
	{2, func(d *draw) events.Command {
		g := one(d.rng, d.v.VPNGatewaysOf(d.me), (*state.VPNGateway).Live)
		c := one(d.rng, d.v.CustomerGatewaysOf(d.me), (*state.CustomerGateway).Live)
		x := one(d.rng, d.v.VPNsOf(d.me), (*state.VPN).Live)
		switch k := d.rng.IntN(8); {
		case g == nil:
			return events.CreateVPNGateway{ASN: 64512}
		case c == nil:
			return events.CreateCustomerGateway{Address: "192.0.2.9", ASN: 65000}
		case k < 2 && g.VPC == "":
			return events.AttachVPNGateway{Gateway: g.ID, VPC: d.vpc().ID}
		case k == 2 && g.VPC != "":
			return events.DetachVPNGateway{Gateway: g.ID, VPC: g.VPC}
		case x == nil:
			return events.CreateVPN{Customer: c.ID, Gateway: g.ID, Static: d.rng.IntN(3) > 0}
		case k == 3:
			return events.DeleteVPNGateway{Gateway: g.ID}
		case k == 4:
			return events.DeleteCustomerGateway{Gateway: c.ID}
		case k == 5:
			return events.DeleteVPN{VPN: x.ID}
		case len(x.Routes) > 0 && k == 6:
			return events.DeleteVPNRoute{VPN: x.ID, Destination: x.Routes[0].String()}
		}
		return events.CreateVPNRoute{VPN: x.ID, Destination: fmt.Sprintf("10.200.%d.0/24", d.rng.IntN(6))}
	}},
	{1, func(d *draw) events.Command {
		o := one(d.rng, d.v.DHCPOptionsOf(d.me), nil)
		switch {
		case o == nil || d.rng.IntN(3) == 0:
			return events.CreateDHCPOptions{Options: []events.DHCPOption{{Key: "domain-name", Values: []string{"example.internal"}}}}
		case d.rng.IntN(2) == 0:
			return events.AssociateDHCPOptions{VPC: d.vpc().ID, Options: o.ID}
		}
		return events.DeleteDHCPOptions{Options: o.ID}
	}},
	{2, func(d *draw) events.Command {
		l := one(d.rng, d.v.PrefixListsOf(d.me), nil)
		version := uint64(0)
		if l != nil {
			version = l.Version()
		}
		entry := events.PrefixEntry{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(d.rng.IntN(6)), 0}), 24)}
		switch {
		case l == nil:
			return events.CreatePrefixList{Name: "list-" + d.name, Family: "IPv4", Max: 5, Entries: []events.PrefixEntry{entry}}
		case d.rng.IntN(6) == 0:
			return events.DeletePrefixList{List: l.ID}
		case version > 1 && d.rng.IntN(6) == 0:
			return events.RestorePrefixList{List: l.ID, Current: version, From: version - 1}
		case d.rng.IntN(3) == 0:
			return events.ModifyPrefixList{List: l.ID, Current: &version, Remove: []netip.Prefix{entry.CIDR}}
		}
		return events.ModifyPrefixList{List: l.ID, Current: &version, Add: []events.PrefixEntry{entry}}
	}},
	{1, func(d *draw) events.Command {
		if g := one(d.rng, d.v.PlacementGroupsOf(d.me), nil); g != nil && d.rng.IntN(2) == 0 {
			return events.DeletePlacementGroup{Name: g.Name}
		}
		return events.CreatePlacementGroup{Name: "pg-" + d.name, Strategy: "spread"}
	}},
	{1, func(d *draw) events.Command {
		if t := one(d.rng, d.v.TemplatesOf(d.me), nil); t != nil {
			switch d.rng.IntN(5) {
			case 0:
				return events.DeleteTemplate{Template: t.ID}
			case 1:
				return events.ModifyTemplate{Template: t.ID, Default: t.Latest}
			case 2:
				return events.DeleteTemplateVersions{Template: t.ID, Versions: []uint64{t.Versions[0].Number}}
			}
			return events.CreateTemplateVersion{Template: t.ID, Data: []byte(`{"InstanceType":"sk1.tiny"}`)}
		}
		return events.CreateTemplate{Name: "lt-" + d.name, Data: []byte(`{"InstanceType":"t3.nano"}`)}
	}},
	{1, func(d *draw) events.Command {
		r := one(d.rng, d.v.RangesOf(d.me), nil)
		if r == nil || d.rng.IntN(8) == 0 {
			cidr := fmt.Sprintf("203.0.%d.0/24", 113+d.rng.IntN(4))
			return events.ProvisionRange{CIDR: cidr, Message: fmt.Sprintf("1|aws|%s|%s|20991231|SHA256|RSAPSS", d.me, cidr), Signature: "c2lnbmF0dXJlIG9mIGl0"}
		}
		switch d.rng.IntN(5) {
		case 0:
			return events.DeprovisionRange{CIDR: r.CIDR.String()}
		case 1:
			return events.WithdrawRange{CIDR: r.CIDR.String()}
		case 2:
			return events.AdvertiseRange{CIDR: r.CIDR.String()}
		}
		return events.AllocateAddress{Pool: r.Pool}
	}},
	{1, func(d *draw) events.Command {
		u := one(d.rng, d.v.UsersOf(d.me), nil)
		if u == nil {
			return events.CreateUser{Name: "user"}
		}
		switch d.rng.IntN(5) {
		case 0:
			if k := one(d.rng, d.v.AccessKeysOf(d.me, u.Name), nil); k != nil {
				return events.DeleteAccessKey{User: u.Name, AccessKey: k.AccessKey}
			}
			return events.CreateAccessKey{User: u.Name}
		case 1:
			return events.DeleteUserPolicy{User: u.Name, Name: "p"}
		case 2:
			return events.DeleteUser{Name: u.Name}
		case 3:
			return events.CreateAccessKey{User: u.Name}
		}
		return events.PutUserPolicy{User: u.Name, Name: "p", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}`}
	}},
	{1, func(d *draw) events.Command {
		if l := one(d.rng, d.v.FlowLogsOf(d.me), nil); l != nil && d.rng.IntN(2) == 0 {
			return events.DeleteFlowLogs{Logs: []events.FlowLogID{l.ID}}
		}
		return events.CreateFlowLogs{Resources: []string{string(d.vpc().ID)}, Type: "VPC", Setting: events.FlowLogSetting{Traffic: "ALL", Kind: "cloud-watch-logs", Group: d.name, Role: "arn:aws:iam::000000000000:role/x"}}
	}},
}
