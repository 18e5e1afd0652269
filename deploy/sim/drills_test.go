package sim

import (
	"net/netip"
	"testing"
	"time"

	"skerry/compute-node/hypervisor/memory"
	"skerry/events"
	"skerry/services/state"
)

// held is a region at rest with one volume attached to a guest that runs.
type held struct {
	r    *Region
	vol  events.VolumeID
	inst events.InstanceID
	host *Host // of the guest
	at   *Host // of the volume
}

func (r *Region) attached(account events.AccountID) held {
	r.T.Helper()
	s := events.Stamp{Account: account}
	zone := events.Zone(r.Zones[0].Name)
	reply := r.Must(s, events.RunInstances{Image: Image, Type: "sk1.tiny", Min: 1, Max: 1, Zone: zone})
	d := held{r: r}
	for _, rec := range reply.Events {
		if e, ok := rec.Event.(events.InstanceRequested); ok {
			d.inst = e.ID
		}
	}
	d.vol = r.Must(s, events.CreateVolume{Zone: zone, SizeGiB: 1}).Events[0].Event.(events.VolumeRequested).ID
	r.Settle()
	r.Must(s, events.AttachVolume{Volume: d.vol, Instance: d.inst, Device: "/dev/xvdf"})
	r.Settle()
	i, _ := r.view().Instances.Get(string(d.inst))
	d.host, d.at = r.host(i.Host), r.host(d.volume().Host)
	return d
}

func (r *Region) view() *state.View { return r.WaitLeader(nil).Voter().View() }

func (r *Region) host(id events.HostID) *Host {
	for _, h := range append(r.Hosts, r.Gates...) {
		if h.ID == id {
			return h
		}
	}
	r.T.Fatalf("no host %q", id)
	return nil
}

func (d held) volume() *state.Volume {
	d.r.T.Helper()
	v, ok := d.r.view().Volumes.Get(string(d.vol))
	if !ok {
		d.r.T.Fatalf("%s is gone", d.vol)
	}
	return v
}

func (d held) has() bool {
	return len(d.r.domains(d.host)[string(d.inst)].Volumes) > 0
}

// A storage node restarts under an attached volume: the epoch rises, it is open
// to the same attachment again, and the guest has the same disk all the time.
func TestStorageNodeRestartsUnderAVolume(t *testing.T) {
	run(t, Options{Seed: 11}, func(r *Region, c *Clients) {
		c.Stop()
		for name, restart := range map[string]func(*Host){
			"restart": func(h *Host) { h.StopProgram(Storage); h.StartProgram(Storage) },
			"crash": func(h *Host) { // of the program: what it had in hand is lost
				h.disk = h.disk.CrashClone(lossy(r))
				h.StopProgram(Storage)
				h.StartProgram(Storage)
			},
		} {
			d := r.attached(c.Accounts[0])
			before, boot := d.volume(), r.domains(d.host)[string(d.inst)].Boot
			restart(d.at)
			r.Within(20*time.Second, name+": the volume has a higher epoch, confirmed", func() bool {
				v := d.volume()
				return v.Epoch > before.Epoch && v.Confirmed == v.Epoch
			})
			r.Settle()
			after := d.volume()
			if after.Boot == before.Boot || *after.Attachment != *before.Attachment || after.State != state.VolumeInUse {
				t.Errorf("%s: before %+v %+v, after %+v %+v", name, before, before.Attachment, after, after.Attachment)
			}
			if now := r.domains(d.host)[string(d.inst)]; now.Boot != boot || !d.has() {
				t.Errorf("%s: the guest was touched: %+v", name, now)
			}
		}
	})
}

// A guest that has its volume mounted, on a host whose agent is away, is cut
// off by force: the volume is free, and another instance has it, while nobody
// could ask the guest. When the agent is back the guest loses the dead disk.
func TestForceDetachFences(t *testing.T) {
	run(t, Options{Seed: 12}, func(r *Region, c *Clients) {
		c.Stop()
		d := r.attached(c.Accounts[0])
		s := events.Stamp{Account: c.Accounts[0]}
		d.host.HV.SetFaults(memory.Faults{Mounted: func(string, string) bool { return true }})
		r.Must(s, events.DetachVolume{Volume: d.vol})
		time.Sleep(10 * time.Second)
		if v := d.volume(); v.Attachment == nil || v.Attachment.State != state.Detaching || v.Attachment.Ended || !d.has() {
			t.Fatalf("with the volume mounted it became %+v %+v", v, v.Attachment)
		}
		d.host.StopProgram(Compute)
		was := d.volume().Attachment.ID
		r.Must(s, events.DetachVolume{Volume: d.vol, Force: true})
		r.Within(10*time.Second, "the volume is free", func() bool { return d.volume().State == state.VolumeAvailable })
		if err := (way{r}).Probe(t.Context(), events.DiskSpec{Volume: d.vol, Attachment: was}); err == nil {
			t.Error("the storage node still takes the attachment that was cut off")
		}
		if !d.has() {
			t.Fatal("the guest has let go: the drill shows nothing")
		}
		// Another host of the zone takes the volume while the guest still shows it.
		var other events.InstanceID
		r.Must(events.Stamp{}, events.DrainHost{Host: d.host.ID})
		for _, rec := range r.Must(s, events.RunInstances{Image: Image, Type: "sk1.tiny", Min: 1, Max: 1, Zone: d.volume().Zone}).Events {
			if e, ok := rec.Event.(events.InstanceRequested); ok {
				other = e.ID
			}
		}
		r.Within(20*time.Second, "the other instance runs", func() bool { i, _ := r.view().Instances.Get(string(other)); return i.State == state.Running })
		r.Must(s, events.AttachVolume{Volume: d.vol, Instance: other, Device: "/dev/xvdg"})
		r.Within(10*time.Second, "the other instance has the volume", func() bool {
			v := d.volume()
			return v.Attachment != nil && v.Attachment.State == state.Attached
		})
		d.host.StartProgram(Compute)
		r.Within(30*time.Second, "the dead disk leaves the guest", func() bool { return !d.has() })
		d.host.HV.SetFaults(memory.Faults{})
	})
}

// A gateway is lost: another one serves its zone, from outside and back, until
// it returns.
func TestGatewayLostAndBack(t *testing.T) {
	run(t, Options{Seed: 13}, func(r *Region, c *Clients) {
		c.Stop()
		d := r.attached(c.Accounts[0])
		v := r.view()
		i, _ := v.Instances.Get(string(d.inst))
		f := i.Interfaces(v)[0].Interface
		r.Must(events.Stamp{Account: i.Account}, events.AuthorizeRules{Group: f.Groups[0],
			Rules: []events.Rule{{Protocol: "udp", From: 4000, To: 4000, CIDR: netip.MustParsePrefix("0.0.0.0/0")}}})
		r.Settle()
		address, _ := v.PublicOf(f.ID)
		announcer := func() (out []*Host) {
			for _, g := range r.Gates {
				if g.Plane.announces(address.Address) {
					out = append(out, g)
				}
			}
			return out
		}
		reaches := func(g *Host) bool {
			r.port++
			out := r.Wire.Enter(g.Plane.Datapath, datagram("02:00:00:00:00:01", "02:00:00:00:00:02", outside, address.Address, 30000+r.port, 4000))
			return out.Interface == f.ID
		}
		own := r.Gates[0]
		if a := announcer(); len(a) != 1 || a[0] != own || !reaches(own) {
			t.Fatalf("%v is announced by %d gateways", address.Address, len(a))
		}
		own.StopProgram(Gateway)
		own.Port.Cut(true, true)
		r.Within(40*time.Second, "another gateway serves the zone", func() bool {
			g, _ := r.view().Gateways.Get(string(i.Zone))
			return g.Host != own.ID
		})
		g, _ := r.view().Gateways.Get(string(i.Zone))
		next := r.host(g.Host)
		r.Within(10*time.Second, "it announces the address, and packets pass", func() bool {
			return next.Plane.announces(address.Address) && reaches(next)
		})
		r.Within(10*time.Second, "what the guest sends goes out there", func() bool {
			r.port++
			subnet, _ := r.view().Subnets.Get(string(f.Subnet))
			r.Wire.Send(d.host.Plane.Datapath, f.ID, datagram(events.RouterMAC(subnet.Number), f.MAC, f.PrivateIP, outside, 5000, 30000+r.port))
			return d.host.Plane.gateway(f.VPC) == next.Address
		})
		own.Port.Cut(false, false)
		own.StartProgram(Gateway)
		r.Within(30*time.Second, "its own gateway serves the zone again, and nobody else", func() bool {
			a := announcer()
			return len(a) == 1 && a[0] == own && reaches(own) && d.host.Plane.gateway(f.VPC) == own.Address
		})
	})
}

// A public address that came back rests until every gateway has let go of it.
func TestPublicAddressRests(t *testing.T) {
	run(t, Options{Seed: 14}, func(r *Region, c *Clients) {
		c.Stop()
		r.Settle()
		s := events.Stamp{Account: r.NewAccount("resting")} // one that has no addresses yet
		reply := r.Must(s, events.RunInstances{Image: Image, Type: "sk1.tiny", Min: 1, Max: 1})
		var inst events.InstanceID
		for _, rec := range reply.Events {
			if e, ok := rec.Event.(events.InstanceRequested); ok {
				inst = e.ID
			}
		}
		r.Settle()
		e := r.Must(s, events.AllocateAddress{}).Events[0].Event.(events.AddressAllocated)
		r.Must(s, events.AssociateAddress{Allocation: e.Allocation, Instance: inst})
		r.Settle()
		away := r.Gates[1]
		away.StopProgram(Gateway)
		r.Must(s, events.ReleaseAddress{Allocation: e.Allocation})
		time.Sleep(15 * time.Second)
		if !away.Plane.serves(e.Address) {
			t.Fatal("the gateway let go by itself: the drill shows nothing")
		}
		for _, g := range r.Gates {
			if g != away && g.Plane.serves(e.Address) {
				t.Errorf("%s still serves %v", g.ID, e.Address)
			}
		}
		if !r.view().PublicTaken(e.Address) {
			t.Error("the address is free while a gateway serves it for who had it")
		}
		again := events.AllocateAddress{Address: e.Address.String()}
		if _, err := r.Do(s, again); err == nil {
			t.Error("the address was given out while it rested")
		}
		away.StartProgram(Gateway)
		r.Within(30*time.Second, "the address is free", func() bool { return !r.view().PublicTaken(e.Address) })
		if away.Plane.serves(e.Address) {
			t.Error("the address is free and still served")
		}
		r.Must(s, again)
	})
}

// The disk of a storage node is full when it starts anew: its volumes cannot be
// held at their new epoch, and the region says so. With room again they are what
// they were.
func TestVolumesDiskIsFull(t *testing.T) {
	run(t, Options{Seed: 15}, func(r *Region, c *Clients) {
		c.Stop()
		d := r.attached(c.Accounts[0])
		before := d.volume()
		d.at.SetFull(true)
		d.at.StopProgram(Storage)
		d.at.StartProgram(Storage)
		r.Within(30*time.Second, "the volume is in error", func() bool { return d.volume().State == state.VolumeError })
		if v := d.volume(); v.Detail == "" || v.Attachment == nil {
			t.Errorf("it became %+v", v)
		}
		d.at.SetFull(false)
		d.at.StopProgram(Storage) // a volume whose write failed is not written to by the same process again
		d.at.StartProgram(Storage)
		r.Within(60*time.Second, "the volume is what it was", func() bool { return d.volume().State == state.VolumeInUse })
		v := d.volume()
		if v.Detail != "" || *v.Attachment != *before.Attachment {
			t.Errorf("before %+v, after %+v", before, v)
		}
		r.Settle()
		index := r.view().Meta.Index
		time.Sleep(10 * time.Second)
		if now := r.view().Meta.Index; now > index+2 {
			t.Errorf("the region decided %d times while nothing happened", now-index)
		}
	})
}
