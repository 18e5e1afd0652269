package sim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"skerry/events"
	"skerry/network-node/datapath"
	plane "skerry/network-node/datapath/memory"
	"skerry/services/specs"
	"skerry/services/state"
)

// unsettledNetwork names something that a data plane does not hold yet, or
// still does.
func (r *Region) unsettledNetwork(v *state.View) string {
	check := func(h *Host, kind string) string {
		set, err := specs.Set(v, h.ID, kind, nil, r.Key)
		if err != nil {
			return err.Error()
		}
		if d := h.Plane.differs(set); d != "" {
			return string(h.ID) + ": " + d
		}
		return ""
	}
	for _, h := range r.Hosts {
		if d := check(h, Network); d != "" {
			return d
		}
	}
	for _, h := range r.Gates {
		if d := check(h, Gateway); d != "" {
			return d
		}
	}
	for _, z := range v.Zones.All() {
		if len(r.Gates) == 0 {
			break
		}
		if g, ok := v.Gateways.Get(string(z.Zone)); !ok || string(g.Host) != string(z.Zone)+"-gw" {
			return fmt.Sprintf("%s is not served by its own gateway: %+v", z.Zone, g)
		}
	}
	return ""
}

// guest is an interface with what is behind it.
type guest struct {
	row    *state.Interface
	host   *Host
	vni    uint32
	subnet *state.Subnet
	public netip.Addr
}

func (r *Region) guests(v *state.View) []guest {
	var out []guest
	for _, h := range r.Hosts {
		for i := range v.InstancesOn(h.ID) {
			for _, row := range i.Interfaces(v) {
				if row.Detaching {
					continue
				}
				g, f := guest{row: row, host: h}, row.Interface
				vpc, _ := v.VPCs.Get(string(f.VPC))
				g.subnet, _ = v.Subnets.Get(string(f.Subnet))
				g.vni = vpc.VNI
				if a, ok := v.PublicOf(f.ID); ok {
					g.public = a.Address
				}
				out = append(out, g)
			}
		}
	}
	return out
}

// allows reads the rules of the groups as a user does: may UDP to port pass
// between these interfaces, in this direction of the first one.
func allows(v *state.View, f events.Interface, egress bool, port int, peer netip.Addr, peers []events.GroupID) bool {
	for _, id := range f.Groups {
		g, _ := v.Groups.Get(string(id))
		for _, rule := range g.Rules {
			switch {
			case rule.Egress != egress:
			case rule.Protocol != "-1" && (rule.Protocol != "udp" || port < rule.From || port > rule.To):
			case rule.Group != "" && slices.Contains(peers, rule.Group), rule.CIDR.IsValid() && rule.CIDR.Contains(peer):
				return true
			}
		}
	}
	return false
}

// crosses reads the network ACL of a subnet as a user does: may UDP to a port, to or
// from that peer, cross its edge.
func crosses(v *state.View, subnet events.SubnetID, egress bool, dport int, peer netip.Addr) bool {
	s, _ := v.Subnets.Get(string(subnet))
	acl, ok := v.NetworkACLs.Get(string(s.ACL))
	if !ok {
		return true
	}
	for _, e := range acl.Entries {
		if e.Egress == egress && e.CIDR.Contains(peer) && (e.Protocol == -1 || e.Protocol == 17 && dport >= e.From && dport <= e.To) {
			return !e.Deny
		}
	}
	return false
}

// maxPairs bounds the packets of one judgement.
const maxPairs = 400

// outside is somebody beyond the gateways.
var outside = netip.MustParseAddr("203.0.113.9")

// judgePackets sends datagrams between guests, and from outside and back, and
// compares what becomes of them with the rules of their groups. It answers how
// many came through and how many did not.
func (r *Region) judgePackets(v *state.View) (through, stopped int) {
	gs := r.guests(v)
	wrong := func(format string, a ...any) { r.T.Errorf("seed %d: "+format, append([]any{r.o.Seed}, a...)...) }
	udp := []int{53, 7000, 7001, 8080}
	count := func(came bool) {
		if came {
			through++
		} else {
			stopped++
		}
	}
	r.port++ // a port of this judgement: no flow of an earlier one lets it through
	pairs := 0
	for len(gs) > 1 && pairs < min(maxPairs, len(gs)*(len(gs)-1)) {
		pairs++
		a, b := gs[r.Rng.IntN(len(gs))], gs[r.Rng.IntN(len(gs))]
		if a.row == b.row || a.vni != b.vni && pairs%4 > 0 {
			continue
		}
		from, to := a.row.Interface, b.row.Interface
		sport, dport := 20000+(r.port*maxPairs+pairs)%40000, udp[r.Rng.IntN(len(udp))]
		dst := events.RouterMAC(a.subnet.Number)
		if a.vni != b.vni && r.Rng.IntN(2) == 0 || from.Subnet == to.Subnet {
			dst = to.MAC // a foreign guest's too: nobody may be reached by knowing it
		}
		out := r.Wire.Send(a.host.Plane.Datapath, from.ID, datagram(dst, from.MAC, from.PrivateIP, to.PrivateIP, sport, dport))
		if out.Way == plane.ToTap && out.Interface != "" {
			if at, _ := v.Interfaces.Get(string(out.Interface)); at.Account != a.row.Account {
				wrong("a packet of %s (%s) came out at %s (%s)", from.ID, a.row.Account, out.Interface, at.Account)
			}
		}
		if a.vni != b.vni {
			stopped++
			continue
		}
		want := allows(v, from, true, dport, to.PrivateIP, to.Groups) && allows(v, to, false, dport, from.PrivateIP, from.Groups)
		far := from.Subnet != to.Subnet
		if far {
			want = want && crosses(v, from.Subnet, true, dport, to.PrivateIP) && crosses(v, to.Subnet, false, dport, from.PrivateIP)
		}
		came := out.Way == plane.ToTap && out.Interface == to.ID
		count(came)
		if came != want {
			wrong("UDP to port %d from %s on %s to %s on %s: came through %v, should %v: %+v", dport, from.ID, a.host.ID, to.ID, b.host.ID, came, want, out)
			continue
		}
		if came { // and its answer, whatever the rules of the groups say
			dst := events.RouterMAC(b.subnet.Number)
			if from.Subnet == to.Subnet {
				dst = from.MAC
			}
			out := r.Wire.Send(b.host.Plane.Datapath, to.ID, datagram(dst, to.MAC, to.PrivateIP, from.PrivateIP, dport, sport))
			back := out.Way == plane.ToTap && out.Interface == from.ID
			if want := !far || crosses(v, to.Subnet, true, sport, from.PrivateIP) && crosses(v, from.Subnet, false, sport, to.PrivateIP); back != want {
				wrong("the answer of %s to %s came back %v, should %v: %+v", to.ID, from.ID, back, want, out)
			}
		}
	}
	for n, g := range gs {
		if !g.public.IsValid() || n >= maxPairs/4 {
			continue
		}
		f := g.row.Interface
		sport, dport := 20000+(r.port*maxPairs+n)%40000, udp[r.Rng.IntN(len(udp))]
		gate := r.Gates[r.Rng.IntN(len(r.Gates))] // each may carry, one announces
		out := r.Wire.Enter(gate.Plane.Datapath, datagram("02:00:00:00:00:01", "02:00:00:00:00:02", outside, g.public, sport, dport))
		came, want := out.Way == plane.ToTap && out.Interface == f.ID, allows(v, f, false, dport, outside, nil) && crosses(v, f.Subnet, false, dport, outside)
		count(came)
		if came != want {
			wrong("UDP to port %d from outside to %s of %s through %s: came through %v, should %v: %+v", dport, g.public, f.ID, gate.ID, came, want, out)
			continue
		}
		if !came {
			continue
		}
		out = r.Wire.Send(g.host.Plane.Datapath, f.ID, datagram(events.RouterMAC(g.subnet.Number), f.MAC, f.PrivateIP, outside, dport, sport))
		if !crosses(v, f.Subnet, true, sport, outside) {
			if out.Way != plane.Dropped {
				wrong("the answer of %s went out against its network ACL: %+v", f.ID, out)
			}
			continue
		}
		if out.Way != plane.ToUplink || netip.AddrFrom4([4]byte(out.Frame[26:30])) != g.public {
			wrong("the answer of %s did not go out as %s: %+v", f.ID, g.public, out)
		}
	}
	return through, stopped
}

// judgeNetwork checks that nothing is given twice.
func (r *Region) judgeNetwork(v *state.View) {
	bound := map[string]netip.Addr{}
	for _, a := range v.Addresses.All() {
		if !Public.Contains(a.Address) {
			r.T.Errorf("seed %d: %v is none of the region's addresses", r.o.Seed, a.Address)
		}
		if a.Interface == "" {
			continue
		}
		private := string(a.Interface) + " " + a.Private.String()
		if b, twice := bound[private]; twice {
			r.T.Errorf("seed %d: %s has the public addresses %v and %v", r.o.Seed, private, a.Address, b)
		}
		bound[private] = a.Address
		if f, ok := v.Interfaces.Get(string(a.Interface)); !ok || f.Account != a.Account {
			r.T.Errorf("seed %d: %v of %s is bound to %+v", r.o.Seed, a.Address, a.Account, f)
		}
	}
	macs := map[string]events.InterfaceID{}
	for _, f := range v.Interfaces.All() {
		i, ok := v.Instances.Get(string(f.Instance))
		if f.Instance != "" && (!ok || !i.Live()) {
			r.T.Errorf("seed %d: %s is left of %s", r.o.Seed, f.Interface.ID, f.Instance)
		}
		for _, key := range []string{f.Interface.MAC, string(f.Interface.Subnet) + "/" + f.Interface.PrivateIP.String()} {
			if o, twice := macs[key]; twice {
				r.T.Errorf("seed %d: %s and %s both have %s", r.o.Seed, f.Interface.ID, o, key)
			}
			macs[key] = f.Interface.ID
		}
	}
}

// datagram is a frame with an empty UDP datagram.
func datagram(dst, src string, from, to netip.Addr, sport, dport int) []byte {
	f := make([]byte, 14+20+8)
	for i, m := range []string{dst, src} {
		a, err := datapath.MAC(m)
		if err != nil {
			panic(err)
		}
		copy(f[6*i:], a[:])
	}
	f[12] = 8
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	a, b := from.As4(), to.As4()
	copy(ip[12:], a[:])
	copy(ip[16:], b[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(ip[20:], uint16(sport))
	binary.BigEndian.PutUint16(ip[22:], uint16(dport))
	binary.BigEndian.PutUint16(ip[24:], 8)
	return f
}
