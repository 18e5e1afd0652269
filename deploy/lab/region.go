package lab

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Format is the version of the data directory that this program writes. A
// directory with a higher one is refused.
const Format = 1

// Hypervisors that a region can run on.
const (
	QEMU   = "qemu"   // real guests in network namespaces; needs root
	Memory = "memory" // simulated guests on loopback; needs nothing
)

// Limits of a region on one machine.
const (
	MaxAZs   = 5
	MaxHosts = 50 // in one zone
)

// Region is region.json: all that is fixed when a region is made.
type Region struct {
	Format     int            `json:"format"`
	Name       string         `json:"name"`            // isle-1
	ID         string         `json:"id"`              // uuid
	AZs        int            `json:"azs"`             // zones are the name plus a, b, c
	Hosts      int            `json:"hosts"`           // in each zone
	Hypervisor string         `json:"hypervisor"`      // QEMU or Memory
	Accel      string         `json:"accel,omitempty"` // of guests, as the last up found it: kvm or tcg
	Images     string         `json:"images"`          // directory of images.json and the image files
	Capacity   Capacity       `json:"capacity"`        // of each host
	Public     netip.Prefix   `json:"public,omitzero"` // block of public addresses, a part of 198.18.0.0/15
	Ports      map[string]int `json:"ports"`           // loopback ports: api, bus, and <host>/<use> with Memory
	Formed     bool           `json:"formed"`          // the voters have met: none may form a group of its own again
	Created    time.Time      `json:"created"`
	Root       *Root          `json:"root,omitempty"` // the region whose accounts this one trusts

	dir    string
	beside *Region // whose ports and public addresses this one leaves alone when it is made
}

// Root is a region of this machine whose accounts another one trusts.
type Root struct {
	Region string `json:"region"`
	Dir    string `json:"dir"`
	At     string `json:"at"` // where it is asked
}

// Capacity is what one host offers.
type Capacity struct {
	VCPUs     int `json:"vcpus"`
	MemoryMiB int `json:"memory_mib"`
	DiskGiB   int `json:"disk_gib"`
}

// ErrNoRegion is returned by Open for a directory without a region.
var ErrNoRegion = errors.New("no region here")

var regionName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// New describes a region of dir. Nothing is written before Save.
func New(dir, name string, azs, hosts int, hypervisor string) (*Region, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if !regionName.MatchString(name) || len(name) > 20 {
		return nil, fmt.Errorf("region name %q: use up to 20 lower-case letters, digits and single dashes, like isle-1", name)
	}
	if azs < 1 || azs > MaxAZs || azs%2 == 0 {
		return nil, fmt.Errorf("%d zones: use 1 (a laptop) or 3; a majority needs an odd number, at most %d", azs, MaxAZs)
	}
	if hosts < 1 || hosts > MaxHosts {
		return nil, fmt.Errorf("%d hosts: each zone has 1 to %d", hosts, MaxHosts)
	}
	if hypervisor != QEMU && hypervisor != Memory {
		return nil, fmt.Errorf("hypervisor %q: use %s or %s", hypervisor, QEMU, Memory)
	}
	return &Region{
		Format: Format, Name: name, ID: uuid(), AZs: azs, Hosts: hosts, Hypervisor: hypervisor,
		Ports: map[string]int{}, Created: time.Now().UTC().Truncate(time.Second), dir: abs,
	}, nil
}

// Open reads the region of dir: ErrNoRegion when there is none.
func Open(dir string) (*Region, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	path := filepath.Join(abs, "region.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoRegion
	}
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	r, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.dir = abs
	return r, nil
}

// parse reads the text of region.json.
func parse(b []byte) (*Region, error) {
	var r Region
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("not a region file: %w", err)
	}
	if r.Format > Format {
		return nil, fmt.Errorf("the directory has format %d, this skerry knows up to %d: use the newer skerry", r.Format, Format)
	}
	if r.Format < 1 {
		return nil, fmt.Errorf("format %d is not a format", r.Format)
	}
	if !regionName.MatchString(r.Name) || r.AZs < 1 || r.AZs > MaxAZs || r.Hosts < 1 || r.Hosts > MaxHosts || len(r.ID) != 36 {
		return nil, errors.New("the file is damaged: name, id, azs or hosts are missing or out of range")
	}
	if r.Hypervisor != QEMU && r.Hypervisor != Memory {
		return nil, fmt.Errorf("the file is damaged: hypervisor %q", r.Hypervisor)
	}
	if r.Ports == nil {
		r.Ports = map[string]int{}
	}
	return &r, nil
}

// Save writes region.json, whole or not at all.
func (r *Region) Save() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return WriteFile(filepath.Join(r.dir, "region.json"), append(b, '\n'), 0o644)
}

// Dir is the absolute data directory.
func (r *Region) Dir() string { return r.dir }

// Path joins names to the data directory.
func (r *Region) Path(names ...string) string {
	return filepath.Join(append([]string{r.dir}, names...)...)
}

// Tag is the short name of the region on this machine: 8 hex digits.
func (r *Region) Tag() string {
	sum := sha256.Sum256([]byte(r.dir + "\x00" + r.Name))
	return hex.EncodeToString(sum[:4])
}

// Run is the region's directory for sockets.
func (r *Region) Run() string { return filepath.Join(runRoot(os.Getuid()), r.Tag()) }

func runRoot(uid int) string {
	if uid == 0 {
		return "/run/skerry"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "skerry")
	}
	return fmt.Sprintf("/tmp/skerry-%d", uid)
}

// MakeRun creates the run directory for its owner only. A directory that
// belongs to somebody else, as could wait in /tmp, is refused.
func (r *Region) MakeRun() error {
	for _, d := range []string{filepath.Dir(r.Run()), r.Run()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if err := owned(d); err != nil {
			return err
		}
	}
	return nil
}

// Asked is where other regions ask this one: a socket, because the control planes
// of a region with namespaces see no port of another one.
func (r *Region) Asked() string { return filepath.Join(r.Run(), "regions") }

// Control is the socket of the region's supervisor.
func (r *Region) Control() string { return filepath.Join(r.Run(), "control") }

// WriteFile replaces a file atomically and durably.
func WriteFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("lab: write %s: %w", path, err)
	}
	return nil
}

// uuid is a random version 4 UUID (RFC 9562 section 5.4).
func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
