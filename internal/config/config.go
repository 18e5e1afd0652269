// Package config reads the one TOML file that a Skerry program runs from. The
// file answers three questions: who am I, where are the bus and my peers, what
// hardware may I use. Everything else is region state, changed by commands.
//
// Every program reads it; deploy writes it. Unknown keys are errors that name
// the nearest known key.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/agnivade/levenshtein"
)

// Kinds of programs. A host runs at most one of each.
const (
	Services  = "services"
	Scheduler = "scheduler"
	Compute   = "compute"
	Network   = "network" // the data plane beside a compute node
	Gateway   = "gateway" // the data plane between a zone and the outside; the same program as Network
	Storage   = "storage"
	Operator  = "operator" // a person's NATS CLI or the skerry command
)

// Config is a program's file.
type Config struct {
	Region   string `toml:"region"`    // region name: isle-1
	RegionID string `toml:"region_id"` // uuid of the region: a data directory of another region is refused
	AZ       string `toml:"az"`        // isle-1a
	Host     string `toml:"host"`      // name of the machine, unique in the region: isle-1a-1; a control plane's is isle-1a-cp
	Kind     string `toml:"kind"`      // one of the kinds above
	Data     string `toml:"data"`      // directory that survives a restart
	Run      string `toml:"run"`       // short directory for sockets (108-byte limit)

	Bus BusClient `toml:"bus"`

	Services *ServicesConfig `toml:"services,omitempty"`
	Compute  *ComputeConfig  `toml:"compute,omitempty"`
	Network  *NetworkConfig  `toml:"network,omitempty"` // of kinds network and gateway
	Storage  *StorageConfig  `toml:"storage,omitempty"`
}

// BusClient says how a program joins the bus.
type BusClient struct {
	Servers []string `toml:"servers"`      // every server of the region: tls://10.0.1.2:4222
	Nkey    string   `toml:"nkey"`         // file with the user seed of this process
	CA      string   `toml:"ca,omitempty"` // PEM of the region's CA; empty: plain TCP
}

// ServicesConfig is the control plane of one AZ: one Raft voter, one bus
// server, one API endpoint.
type ServicesConfig struct {
	API       string   `toml:"api"`            // host:port of the EC2 endpoint
	BusListen string   `toml:"bus_listen"`     // host:port where clients of the bus connect
	Cert      string   `toml:"cert,omitempty"` // PEM certificate of this process; empty: plain TCP
	Key       string   `toml:"key,omitempty"`
	RegionKey string   `toml:"region_key"`          // file with 32 bytes in hex; access-key secrets are derived from it
	Voters    []Voter  `toml:"voters"`              // all voters, this one included
	Users     []User   `toml:"users"`               // every process that may join the bus
	Heartbeat Duration `toml:"heartbeat,omitempty"` // Raft heartbeat and election timeout, default 400ms
	Bootstrap bool     `toml:"bootstrap"`           // form the first configuration from Voters when there is no state
	Images    string   `toml:"images,omitempty"`    // directory with the images this region offers at start (images.json)
	Public    []string `toml:"public,omitempty"`    // blocks of public addresses that a new region gives out

	// Of regions that share accounts.
	AccountsKey string   `toml:"accounts_key,omitempty"` // file with 32 bytes in hex that all of them have; empty: the region's key
	Endpoint    string   `toml:"endpoint,omitempty"`     // host[:port] of this region's API, as users reach it
	At          []string `toml:"at,omitempty"`           // where other regions ask this one: http://host:port of a zone's API, or unix:path
	Root        *Root    `toml:"root,omitempty"`         // the region whose accounts a new region trusts; none: it has its own
}

// Root is the region whose accounts another one trusts.
type Root struct {
	Region string   `toml:"region"`
	At     []string `toml:"at"` // where it is asked, as above
}

// Voter is one member of the region's Raft group, and its bus server's route.
type Voter struct {
	AZ    string `toml:"az"`
	Raft  string `toml:"raft"`  // host:port
	Route string `toml:"route"` // host:port of the bus server's cluster port
	Bus   string `toml:"bus"`   // host:port of its client port
}

// User is a process allowed on the bus; its subject allow lists follow from
// its kind, az and host.
type User struct {
	Nkey string `toml:"nkey"` // public key, U…
	Kind string `toml:"kind"`
	AZ   string `toml:"az"`
	Host string `toml:"host"`
}

// ComputeConfig is the hardware a compute node may use.
type ComputeConfig struct {
	Hypervisor string `toml:"hypervisor"`      // qemu or memory
	Accel      string `toml:"accel,omitempty"` // auto, kvm or tcg; default auto
	VCPUs      int    `toml:"vcpus"`
	MemoryMiB  int    `toml:"memory_mib"`
	DiskGiB    int    `toml:"disk_gib"`
	Images     string `toml:"images,omitempty"` // directory of image files that this host may read
	Cache      string `toml:"cache,omitempty"`  // directory for the libvirt capability cache shared by hosts of one machine
}

// NetworkConfig is the data plane of one host, or of a zone's gateway.
type NetworkConfig struct {
	Datapath string `toml:"datapath"`          // linux or memory
	Fabric   string `toml:"fabric,omitempty"`  // interface that leads to the other nodes: eth0
	Address  string `toml:"address,omitempty"` // of this node on the fabric

	// Of hosts.
	Upstream []string `toml:"upstream,omitempty"` // host:port of resolvers for names that are not the region's

	// Of gateways.
	Uplink        string `toml:"uplink,omitempty"`         // interface that leads outside
	UplinkAddress string `toml:"uplink_address,omitempty"` // of this node there, with its prefix: 198.18.0.3/20
	NextHop       string `toml:"next_hop,omitempty"`       // router outside
}

// StorageConfig is the disk space a storage node may use.
type StorageConfig struct {
	Engine  string `toml:"engine"` // file or memory
	DiskGiB int    `toml:"disk_gib"`
	Listen  string `toml:"listen,omitempty"` // host:port of the iSCSI portal
}

// Duration is a time.Duration written as "400ms".
type Duration time.Duration

// UnmarshalText parses a Go duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// MarshalText writes a Go duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

var subjectWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Load reads and checks the file of a program of one of the given kinds.
func Load(path string, kinds ...string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c, err := Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, err)
	}
	if !slices.Contains(kinds, c.Kind) {
		return nil, fmt.Errorf("config: %s is for a %q program, this one is %q", path, c.Kind, strings.Join(kinds, " or "))
	}
	return c, nil
}

// Parse reads one file's text.
func Parse(text string) (*Config, error) {
	var c Config
	md, err := toml.Decode(text, &c)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			if pe.LastKey != "" {
				return nil, fmt.Errorf("line %d: key %q: %s", pe.Position.Line, pe.LastKey, pe.Message)
			}
			return nil, fmt.Errorf("line %d: %s", pe.Position.Line, pe.Message)
		}
		return nil, err
	}
	var unknown []error
	for _, k := range md.Undecoded() {
		e := fmt.Errorf("unknown key %q", k.String())
		if near := nearest(k.String()); near != "" {
			e = fmt.Errorf("unknown key %q; did you mean %q?", k.String(), near)
		}
		unknown = append(unknown, e)
	}
	if len(unknown) > 0 {
		return nil, errors.Join(unknown...)
	}
	return &c, c.check()
}

// Write stores the file, readable by its owner only.
func (c *Config) Write(path string) error {
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(c); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

func (c *Config) check() error {
	var bad []error
	need := func(key, v string) {
		if v == "" {
			bad = append(bad, fmt.Errorf("key %q is missing", key))
		}
	}
	need("region", c.Region)
	need("region_id", c.RegionID)
	need("az", c.AZ)
	need("host", c.Host)
	need("kind", c.Kind)
	need("data", c.Data)
	// These become words of subjects, and of the allow lists of the bus: a
	// wildcard would allow what nobody meant.
	word := func(key, v string) {
		if v != "" && !subjectWord.MatchString(v) {
			bad = append(bad, fmt.Errorf("key %q is %q: use letters, digits, - and _", key, v))
		}
	}
	word("region", c.Region)
	word("az", c.AZ)
	word("host", c.Host)
	natural := func(key string, n int) {
		if n < 0 {
			bad = append(bad, fmt.Errorf("key %q is %d: it cannot be negative", key, n))
		}
	}
	if o := c.Compute; o != nil {
		natural("compute.vcpus", o.VCPUs)
		natural("compute.memory_mib", o.MemoryMiB)
		natural("compute.disk_gib", o.DiskGiB)
	}
	if o := c.Storage; o != nil {
		natural("storage.disk_gib", o.DiskGiB)
	}
	if len(c.Bus.Servers) == 0 {
		bad = append(bad, errors.New(`key "bus.servers" is missing`))
	}
	switch c.Kind {
	case Services:
		if c.Services == nil {
			bad = append(bad, errors.New("section [services] is missing"))
			break
		}
		need("services.api", c.Services.API)
		need("services.bus_listen", c.Services.BusListen)
		need("services.region_key", c.Services.RegionKey)
		if !slices.ContainsFunc(c.Services.Voters, func(v Voter) bool { return v.AZ == c.AZ }) {
			bad = append(bad, fmt.Errorf("services.voters has no entry for az %q", c.AZ))
		}
		if d := time.Duration(c.Services.Heartbeat); d < 0 {
			bad = append(bad, fmt.Errorf("key %q is %v: it cannot be negative", "services.heartbeat", d))
		}
		if o := c.Services.Root; o != nil {
			need("services.root.region", o.Region)
			need("services.accounts_key", c.Services.AccountsKey)
			word("services.root.region", o.Region)
			if o.Region == c.Region || len(o.At) == 0 {
				bad = append(bad, errors.New("services.root is another region, and key \"services.root.at\" says where it is asked"))
			}
		}
		for _, u := range c.Services.Users {
			need("services.users.nkey", u.Nkey)
			word("services.users.az", u.AZ)
			word("services.users.host", u.Host)
		}
	case Compute:
		if c.Compute == nil {
			bad = append(bad, errors.New("section [compute] is missing"))
			break
		}
		if h := c.Compute.Hypervisor; h != "qemu" && h != "memory" {
			bad = append(bad, fmt.Errorf(`compute.hypervisor is %q: use "qemu" or "memory"`, h))
		}
	case Network, Gateway, Storage, Scheduler, "":
	default:
		bad = append(bad, fmt.Errorf("kind %q is not one of services, scheduler, compute, network, gateway, storage", c.Kind))
	}
	return errors.Join(bad...)
}

// nearest returns the known key closest to k, or "" when nothing is close.
func nearest(k string) string {
	best, dist := "", len(k)/2+1
	for _, known := range keys(reflect.TypeFor[Config](), "") {
		if d := levenshtein.ComputeDistance(k, known); d < dist {
			best, dist = known, d
		}
	}
	return best
}

func keys(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		out = append(out, prefix+name)
		out = append(out, keys(f.Type, prefix+name+".")...)
	}
	return out
}
