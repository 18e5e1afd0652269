package sim

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"skerry/compute-node/hypervisor/memory"
)

// Fault is something that goes wrong for a while, and its repair. It returns
// when the region may be judged again.
type Fault struct {
	Name string
	Do   func(*Region)
}

// Faults are the kinds that a seed of a whole region draws from.
var Faults = slices.Concat(CoreFaults, HostFaults)

// CoreFaults befall voters, their disks, wires and clocks, and the bus.
var CoreFaults = []Fault{
	{"leader isolated", func(r *Region) {
		z := r.WaitLeader(nil)
		z.Isolate()
		r.pause(2, 6)
		z.Heal()
	}},
	{"leader isolated, its bus too", func(r *Region) {
		z := r.WaitLeader(nil)
		z.Isolate()
		z.Port.Cut(true, true)
		r.pause(2, 6)
		z.Heal()
	}},
	{"voter hears nothing", func(r *Region) {
		z := r.anyZone()
		z.Deafen()
		r.pause(2, 5)
		z.Heal()
	}},
	{"voter loses power at some sync", func(r *Region) {
		z := r.anyZone()
		z.Crash(1 + r.Rng.IntN(40))
		r.pause(1, 6)
		z.Restart()
	}},
	{"leader loses power at some sync", func(r *Region) {
		z := r.WaitLeader(nil)
		z.Crash(1 + r.Rng.IntN(40))
		r.pause(1, 6)
		z.Restart()
	}},
	{"zone is away until its log is truncated elsewhere", func(r *Region) {
		z := r.anyZone()
		z.Crash(1 + r.Rng.IntN(10))
		r.pause(10, 15)
		z.Restart()
	}},
	{"bus destroyed", func(r *Region) {
		r.Bus.Stop()
		r.pause(1, 5)
		if err := r.Bus.Start(); err != nil {
			r.T.Fatal(err)
		}
	}},
	{"clock of a voter jumps", func(r *Region) {
		z := r.anyZone()
		z.setSkew(time.Duration(r.Rng.IntN(1200)-600) * time.Second)
		r.pause(3, 6)
		z.setSkew(0)
	}},
	{"messages between voters are lost", func(r *Region) {
		for _, z := range r.Zones {
			z.wire.set(Weather{Loss: r.Rng.IntN(20), Deaf: r.Rng.IntN(20)})
		}
		r.pause(2, 6)
		r.fine()
	}},
	{"messages between voters come twice, late and out of order", func(r *Region) {
		for _, z := range r.Zones {
			z.wire.set(Weather{Duplicate: 30, Delay: time.Duration(1+r.Rng.IntN(60)) * time.Millisecond})
		}
		r.pause(2, 6)
		r.fine()
	}},
	{"a voter is slow", func(r *Region) {
		z := r.anyZone()
		z.wire.set(Weather{Delay: time.Duration(100+r.Rng.IntN(200)) * time.Millisecond})
		r.pause(2, 6)
		r.fine()
	}},
	{"every voter loses power", func(r *Region) {
		for _, z := range r.Zones {
			z.Disk.Cut(rand.New(rand.NewPCG(r.Rng.Uint64(), 2)))
		}
		for _, z := range r.Zones {
			z.fell()
		}
		r.pause(0, 3)
		for _, z := range r.Zones {
			z.Restart()
		}
		r.WaitLeader(nil)
	}},
}

// HostFaults befall hosts, their programs, guests and volumes.
var HostFaults = []Fault{
	{"host's replies are lost", func(r *Region) {
		h := r.anyHost()
		h.Port.Cut(false, true)
		r.pause(2, 20)
		h.Port.Cut(false, false)
	}},
	{"host hears nothing", func(r *Region) {
		h := r.anyHost()
		h.Port.Cut(true, false)
		r.pause(2, 20)
		h.Port.Cut(false, false)
	}},
	{"agent restarts", func(r *Region) {
		h := r.anyHost()
		h.StopProgram(Compute)
		r.pause(0, 15)
		h.StartProgram(Compute)
	}},
	{"storage node restarts", func(r *Region) {
		h := r.anyHost()
		h.StopProgram(Storage)
		r.pause(0, 15)
		h.StartProgram(Storage)
	}},
	{"network agent restarts", func(r *Region) {
		h := r.anyHost()
		h.StopProgram(Network)
		r.pause(0, 15)
		h.StartProgram(Network)
	}},
	{"gateway restarts", func(r *Region) {
		h := r.Gates[r.Rng.IntN(len(r.Gates))]
		h.StopProgram(Gateway)
		r.pause(0, 20)
		h.StartProgram(Gateway)
	}},
	{"host loses power", func(r *Region) {
		h := r.anyHost()
		h.PowerCut()
		r.pause(1, 15)
		h.PowerOn()
	}},
	{"volumes' disk is full", func(r *Region) {
		h := r.anyHost()
		h.SetFull(true)
		r.pause(2, 10)
		h.SetFull(false)
		h.StopProgram(Storage) // a volume whose write failed waits for another process
		h.StartProgram(Storage)
	}},
	{"guests hold their volumes", func(r *Region) {
		h := r.anyHost()
		h.HV.SetFaults(memory.Faults{Mounted: func(string, string) bool { return true }})
		r.pause(3, 10)
		h.HV.SetFaults(memory.Faults{})
	}},
	{"scheduler restarts", func(r *Region) {
		r.sched.stop()
		r.pause(0, 4)
		r.StartScheduler()
	}},
	{"guests end by themselves", func(r *Region) {
		z := r.WaitLeader(nil)
		n := 0
		for _, i := range z.Voter().View().Instances.All() {
			for _, h := range r.Hosts {
				if h.ID == i.Host && r.Rng.IntN(3) == 0 && n < 5 {
					h.HV.PowerOff(string(i.ID))
					n++
				}
			}
		}
	}},
	{"starts fail after the work is done", func(r *Region) {
		h := r.anyHost()
		h.HV.SetFaults(memory.Faults{AfterStart: errAfter, LostEvents: true})
		r.pause(2, 6)
		h.HV.SetFaults(memory.Faults{})
	}},
}

func (z *Zone) setSkew(d time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.Skew = d
}

// pause lets from to to seconds pass.
func (r *Region) pause(from, to int) {
	time.Sleep(time.Duration(from*1000+r.Rng.IntN((to-from)*1000+1)) * time.Millisecond)
}

// fine ends all weather.
func (r *Region) fine() {
	for _, z := range r.Zones {
		z.wire.set(Weather{})
	}
}

func (r *Region) anyZone() *Zone {
	up := slices.DeleteFunc(slices.Clone(r.Zones), func(z *Zone) bool { return z.Up() == nil })
	return up[r.Rng.IntN(len(up))]
}

func (r *Region) anyHost() *Host { return r.Hosts[r.Rng.IntN(len(r.Hosts))] }

var (
	errAfter = errors.New("the answer was lost")
	errFull  = &fs.PathError{Op: "create", Path: "volume", Err: syscall.ENOSPC}
)
