package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"skerry/deploy/lab/wire"
	"skerry/internal/config"
)

// Write makes everything the programs run from: ports, authority, keys,
// directories and config files. What exists is kept; config files are written
// anew each time, because they follow from the region and the directory.
func (r *Region) Write() error {
	if err := os.MkdirAll(r.Path("ca"), 0o700); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := r.choosePorts(); err != nil {
		return err
	}
	if err := r.choosePublic(); err != nil {
		return err
	}
	if r.Hypervisor == Memory && !HasImages(r.Images) {
		if err := r.simulateImages(); err != nil {
			return err
		}
	}
	if err := r.Save(); err != nil {
		return err
	}
	ca, err := openAuthority(r.Path("ca"), r.Name)
	if err != nil {
		return err
	}
	if err := regionKey(r.Path("ca", "region.key")); err != nil {
		return err
	}
	if err := r.accountsKey(); err != nil {
		return err
	}
	users, err := r.users()
	if err != nil {
		return err
	}
	for _, h := range r.Plan() {
		if h.Index != 0 {
			continue
		}
		ips := []net.IP{net.IPv4(127, 0, 0, 1)}
		if r.Hypervisor != Memory {
			ips = append(ips, h.Addr.AsSlice())
		}
		if err := ca.issue(h.Name, ips); err != nil {
			return err
		}
	}
	if err := r.MakeRun(); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Path("cache"), 0o700); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for _, p := range r.Programs() {
		if err := os.MkdirAll(filepath.Join(filepath.Dir(p.Config), "data"), 0o700); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		c := r.Config(p, users)
		if err := os.MkdirAll(c.Run, 0o700); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if err := c.Write(p.Config); err != nil {
			return err
		}
	}
	return nil
}

// Config is the file of one program.
func (r *Region) Config(p Program, users []config.User) *config.Config {
	h := p.Host
	c := &config.Config{
		Region: r.Name, RegionID: r.ID, AZ: h.AZ, Host: h.Name, Kind: p.Kind,
		Data: filepath.Join(filepath.Dir(p.Config), "data"),
		Run:  filepath.Join(r.Run(), h.Name, p.Kind),
		Bus:  config.BusClient{Nkey: r.userSeed(h.Name, p.Kind), CA: r.Path("ca", "ca.pem")},
	}
	var voters []config.Voter
	for _, cp := range r.Plan() {
		if cp.Index != 0 {
			continue
		}
		// The own zone's server comes first: a node talks to its neighbour.
		url := "tls://" + r.Bus(cp)
		if cp.AZ == h.AZ {
			c.Bus.Servers = append([]string{url}, c.Bus.Servers...)
		} else {
			c.Bus.Servers = append(c.Bus.Servers, url)
		}
		voters = append(voters, config.Voter{AZ: cp.AZ, Bus: r.Bus(cp),
			Raft: r.port(cp, "raft", RaftPort), Route: r.port(cp, "route", RoutePort)})
	}
	qemu := r.Hypervisor == QEMU
	switch p.Kind {
	case config.Services:
		c.Services = &config.ServicesConfig{
			API: r.API(h), BusListen: r.Bus(h),
			Cert: r.Path("ca", h.Name+".pem"), Key: r.Path("ca", h.Name+".key"),
			RegionKey: r.Path("ca", "region.key"), Voters: voters, Users: users,
			Bootstrap: !r.Formed, Images: r.Images,
		}
		if r.Public.IsValid() {
			c.Services.Public = []string{r.Public.String()}
		}
		c.Services.Endpoint, c.Services.At = fmt.Sprintf("127.0.0.1:%d", r.Ports["api"]), []string{"unix:" + r.Asked()}
		if r.HasAccountsKey() {
			c.Services.AccountsKey = r.AccountsKey()
		}
		if r.Root != nil {
			c.Services.Root = &config.Root{Region: r.Root.Region, At: []string{r.Root.At}}
		}
	case config.Compute:
		c.Compute = &config.ComputeConfig{Hypervisor: r.Hypervisor,
			VCPUs: r.Capacity.VCPUs, MemoryMiB: r.Capacity.MemoryMiB, DiskGiB: r.Capacity.DiskGiB,
			Images: r.Images}
		if qemu {
			// All hosts are this machine: it is probed once, not by each of them.
			c.Compute.Accel, c.Compute.Cache = r.Accel, r.Path("cache")
		}
	case config.Network, config.Gateway:
		c.Network = &config.NetworkConfig{Datapath: "memory", Address: h.Addr.String()}
		if !qemu {
			break
		}
		c.Network.Datapath, c.Network.Fabric = "linux", wire.Inside
		if p.Kind == config.Gateway && r.Public.IsValid() {
			c.Network.Uplink, c.Network.UplinkAddress, c.Network.NextHop = wire.Outside, r.OutsideOf(h.Zone).String(), r.Outside().Addr().String()
		}
	case config.Storage:
		c.Storage = &config.StorageConfig{Engine: "file", DiskGiB: r.Capacity.DiskGiB, Listen: r.port(h, "block", BlockPort)}
	}
	return c
}

// OperatorBus is how a person or the skerry command joins the bus: through the
// supervisor's forwarder, which leads to a live zone.
func (r *Region) OperatorBus() config.BusClient {
	return config.BusClient{
		Servers: []string{fmt.Sprintf("tls://127.0.0.1:%d", r.Ports["bus"])},
		Nkey:    r.OperatorSeed(), CA: r.Path("ca", "ca.pem"),
	}
}
