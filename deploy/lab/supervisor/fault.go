package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/wire"
	"skerry/internal/config"
)

// Kinds of faults.
const (
	FaultAZ      = "az"      // a zone's control plane is off the wire and its programs are killed
	FaultHost    = "host"    // a host loses power: off the wire, programs and guests killed
	FaultLink    = "link"    // two zones cannot reach each other, or one host's cable is pulled
	FaultProcess = "process" // a program is killed and kept down
)

// Leases of faults.
const (
	DefaultLease = time.Minute
	MaxLease     = 12 * time.Hour
)

// Fault is something broken on purpose. It ends by itself.
type Fault struct {
	ID        int       `json:"id"`
	Kind      string    `json:"kind"`
	Names     []string  `json:"names"`
	DataPlane bool      `json:"data_plane,omitempty"` // of az: its hosts are cut too
	OneWay    bool      `json:"one_way,omitempty"`    // of link: only packets from the first zone to the second
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
}

func (f Fault) String() string { return f.Kind + " " + strings.Join(f.Names, " ") }

// check refuses a fault that names nothing of the region.
func (f Fault) check(r *lab.Region) error {
	need := func(n int, what string) error {
		if len(f.Names) != n {
			return fmt.Errorf("fail %s takes %s", f.Kind, what)
		}
		return nil
	}
	zone := func(name string) error {
		if !slices.Contains(r.Zones(), name) {
			return fmt.Errorf("there is no zone %q; the zones are %s", name, strings.Join(r.Zones(), " "))
		}
		return nil
	}
	switch f.Kind {
	case FaultAZ:
		if err := need(1, "the name of a zone"); err != nil {
			return err
		}
		return zone(f.Names[0])
	case FaultHost:
		if err := need(1, "the name of a host"); err != nil {
			return err
		}
		_, err := r.FindHost(f.Names[0])
		return err
	case FaultProcess:
		if err := need(1, "the name of a program, like "+r.Plan()[0].Name+"/services"); err != nil {
			return err
		}
		_, err := r.FindProgram(f.Names[0])
		return err
	case FaultLink:
		if r.Hypervisor == lab.Memory {
			return errors.New("a simulated region has no wires to cut: everything is on 127.0.0.1; use `skerry fail process`, or a region made with --hypervisor qemu")
		}
		if len(f.Names) == 1 {
			_, err := r.FindHost(f.Names[0])
			return err
		}
		if err := need(2, "two zones, or one host"); err != nil {
			return err
		}
		if f.Names[0] == f.Names[1] {
			return errors.New("fail link takes two different zones")
		}
		return errors.Join(zone(f.Names[0]), zone(f.Names[1]))
	}
	return fmt.Errorf("there is no fault %q; the faults are az, host, link, process", f.Kind)
}

// effects is what all faults in force mean together.
type effects struct {
	cuts wire.Cuts
	held map[string]bool // programs that must not run, by name
	dark map[string]bool // hosts without power
}

// plan adds the faults up. It knows nothing of what holds at the moment, so
// healing is planning again without the fault.
func plan(r *lab.Region, faults []Fault) effects {
	e := effects{
		cuts: wire.Cuts{Hosts: map[string]bool{}, Pairs: map[[2]int]bool{}},
		held: map[string]bool{}, dark: map[string]bool{},
	}
	zone := func(name string) int { return slices.Index(r.Zones(), name) + 1 }
	for _, f := range faults {
		switch f.Kind {
		case FaultAZ:
			for _, h := range r.Plan() {
				if h.AZ != f.Names[0] || h.Index != 0 && !f.DataPlane {
					continue
				}
				e.cuts.Hosts[h.Name] = true
				for _, k := range h.Kinds {
					// Hosts of a cut zone go on in the dark; without wires, being
					// cut off can only be played by not running.
					if k == config.Services || k == config.Scheduler || r.Hypervisor == lab.Memory {
						e.held[h.Name+"/"+k] = true
					}
				}
			}
		case FaultHost:
			h, err := r.FindHost(f.Names[0])
			if err != nil {
				continue
			}
			e.cuts.Hosts[h.Name], e.dark[h.Name] = true, true
			for _, k := range h.Kinds {
				e.held[h.Name+"/"+k] = true
			}
		case FaultProcess:
			e.held[f.Names[0]] = true
		case FaultLink:
			if len(f.Names) == 1 {
				e.cuts.Hosts[f.Names[0]] = true
				continue
			}
			a, b := zone(f.Names[0]), zone(f.Names[1])
			e.cuts.Pairs[[2]int{a, b}] = true
			if !f.OneWay {
				e.cuts.Pairs[[2]int{b, a}] = true
			}
		}
	}
	return e
}

// loadFaults reads the faults that were in force.
func loadFaults(r *lab.Region) ([]Fault, error) {
	b, err := os.ReadFile(r.Path("faults.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	return parseFaults(r, b)
}

// parseFaults keeps what it can read and still names something of the region.
func parseFaults(r *lab.Region, b []byte) ([]Fault, error) {
	var fs []Fault
	if err := json.Unmarshal(b, &fs); err != nil {
		return nil, fmt.Errorf("supervisor: faults.json: %w", err)
	}
	return slices.DeleteFunc(fs, func(f Fault) bool { return f.check(r) != nil }), nil
}

func saveFaults(r *lab.Region, faults []Fault) error {
	if len(faults) == 0 {
		err := os.Remove(r.Path("faults.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b, err := json.MarshalIndent(faults, "", "  ")
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	return lab.WriteFile(r.Path("faults.json"), append(b, '\n'), 0o644)
}
