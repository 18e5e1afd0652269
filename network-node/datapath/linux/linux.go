// Package linux is the data plane in the kernel: TC programs on taps, on one
// VXLAN device and on the uplink of a gateway.
//
//	<run>/bpf        a bpffs of the node's own
//	  v1/<map>       tables, ports, flows, counters
//	  v1/link_<dev>  the program on a device
//
// Maps and links are pinned, so packets go on when the agent ends, and the next
// agent opens the pins and writes only what differs. Kernel 6.1 or later; on
// those without tcx (before 6.6) a clsact filter holds the program.
package linux

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/network-node/datapath"
)

// Options say where the data plane is.
type Options struct {
	Run           string       // short directory; the bpffs is mounted beneath it
	Fabric        string       // device of the fabric
	Address       netip.Addr   // of this node on the fabric
	Uplink        string       // gateway only: device to the outside
	UplinkAddress netip.Prefix // of this node there
	NextHop       netip.Addr   // there; none: as the node's own routes say
	Namespace     string       // name of the network namespace; "": the process's own
	Log           *slog.Logger
}

// Names of devices in the node's namespace, and the port of the fabric (RFC 7348).
const (
	vxlanName   = "sk-vxlan"
	serviceName = "sk-service"
	fabricPort  = 4789
	overhead    = 50 // outer IPv4, UDP, VXLAN, inner Ethernet
)

// Datapath is the data plane of one node.
type Datapath struct {
	o   Options
	dir string
	col *ebpf.Collection

	mu    sync.Mutex
	conf  bpfConfig
	held  image // what the table maps hold, as far as known
	read  time.Time
	ports map[events.InterfaceID]bpfPort
	pubs  map[netip.Addr]bpfPublic
	links []link.Link // kept: a link that nobody refers to is closed by the garbage collector
	close []func() error
}

var _ datapath.Datapath = (*Datapath)(nil)

// Open takes over what an earlier run left, or begins.
func Open(o Options) (*Datapath, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !o.Address.Is4() {
		return nil, fmt.Errorf("datapath: the address on the fabric is %v: it must be IPv4", o.Address)
	}
	d := &Datapath{o: o, dir: filepath.Join(o.Run, "bpf", "v1"), held: image{}, ports: map[events.InterfaceID]bpfPort{}, pubs: map[netip.Addr]bpfPublic{}}
	if err := d.open(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Datapath) open() error {
	if err := mountBPF(filepath.Dir(d.dir)); err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("datapath: memory limit: %w", err)
	}
	if err := d.load(); err != nil {
		return err
	}
	if err := d.remember(); err != nil {
		return err
	}
	return d.in(d.devices)
}

// mountBPF makes dir a bpffs of the node's own.
func mountBPF(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("datapath: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", dir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("datapath: mount bpffs at %s: %w", dir, err)
	}
	return nil
}

// Erase ends a data plane whose node is gone: it takes the pins away, and with
// them the programs. Taps and devices go with their namespace.
func Erase(run string) error {
	dir := filepath.Join(run, "bpf")
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.BPF_FS_MAGIC {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(dir, "v1")); err != nil {
		return fmt.Errorf("datapath: %w", err)
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("datapath: unmount %s: %w", dir, err)
	}
	return nil
}

func (d *Datapath) load() error {
	s, err := spec(false)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		if err := os.MkdirAll(d.dir, 0o700); err != nil {
			return fmt.Errorf("datapath: %w", err)
		}
		d.col, err = ebpf.NewCollectionWithOptions(s, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: d.dir}})
		if err == nil {
			return nil
		}
		if try > 0 || !errors.Is(err, ebpf.ErrMapIncompatible) {
			return fmt.Errorf("datapath: load: %w", err)
		}
		// Maps of another layout: the programs that run keep them until each is
		// replaced. What is in them comes again with the specs, flows do not.
		d.o.Log.Warn("datapath: the pinned maps are of another layout and begin anew", "err", err)
		for name := range s.Maps {
			if err := os.Remove(filepath.Join(d.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("datapath: %w", err)
			}
		}
	}
}

// remember reads what an earlier run left.
func (d *Datapath) remember() error {
	if err := d.reread(); err != nil {
		return err
	}
	err := each(d.col.Maps["ports"], func(_, v []byte) error {
		var p bpfPort
		if err := fill(v, &p); err != nil {
			return err
		}
		d.ports[events.InterfaceID(text(p.Interface[:]))] = p
		return nil
	})
	if err != nil {
		return err
	}
	return each(d.col.Maps["publics"], func(k, v []byte) error {
		var p bpfPublic
		if err := fill(v, &p); err != nil {
			return err
		}
		d.pubs[addrOf(addr16(k))] = p
		return nil
	})
}

func (d *Datapath) reread() error {
	for _, name := range tableMaps {
		d.held[name] = map[string]string{}
		err := each(d.col.Maps[name], func(k, v []byte) error {
			d.held[name][string(k)] = string(v)
			return nil
		})
		if err != nil {
			return err
		}
	}
	d.read = time.Now()
	return nil
}

func each(m *ebpf.Map, f func(k, v []byte) error) error {
	it := m.Iterate()
	var k, v []byte
	for it.Next(&k, &v) {
		if err := f(k, v); err != nil {
			return fmt.Errorf("datapath: %s: %w", m, err)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("datapath: read %s: %w", m, err)
	}
	return nil
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// in does something in the node's namespace.
func (d *Datapath) in(do func() error) error { return within(d.o.Namespace, do) }

func within(name string, do func() error) error {
	if name == "" {
		return do()
	}
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("datapath: namespace %s: %w", name, err)
	}
	defer ns.Close()
	return enter(ns, do)
}

// enter runs do on a thread in ns.
func enter(ns netns.NsHandle, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("datapath: namespace: %w", err)
			return
		}
		defer home.Close()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("datapath: namespace: %w", err)
			return
		}
		err = do()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread() // otherwise the thread ends with the goroutine
		}
		done <- err
	}()
	return <-done
}

// devices makes the VXLAN device and the firewall of the fabric, and puts the
// programs in their places.
func (d *Datapath) devices() error {
	fabric, err := netlink.LinkByName(d.o.Fabric)
	if err != nil {
		return fmt.Errorf("datapath: fabric %s: %w", d.o.Fabric, err)
	}
	if err := guardFabric(d.o.Fabric); err != nil {
		return err
	}
	want := &netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: vxlanName, MTU: fabric.Attrs().MTU - overhead}, FlowBased: true, Port: fabricPort}
	vx, err := netlink.LinkByName(vxlanName)
	if err != nil {
		if err := netlink.LinkAdd(want); err != nil {
			return fmt.Errorf("datapath: %s: %w", vxlanName, err)
		}
		if vx, err = netlink.LinkByName(vxlanName); err != nil {
			return fmt.Errorf("datapath: %s: %w", vxlanName, err)
		}
	}
	quiet(vxlanName)
	if vx.Attrs().MTU != want.MTU {
		if err := netlink.LinkSetMTU(vx, want.MTU); err != nil {
			return fmt.Errorf("datapath: %s: mtu %d: %w", vxlanName, want.MTU, err)
		}
	}
	d.conf = bpfConfig{Host: v4(d.o.Address), Vxlan: uint32(vx.Attrs().Index)}
	prog := "from_fabric"
	if d.o.Uplink != "" {
		prog = "igw_fabric"
		if err := d.uplink(); err != nil {
			return err
		}
	}
	if err := d.writeConfig(); err != nil {
		return err
	}
	if err := d.attach(vxlanName, vx.Attrs().Index, prog, true); err != nil {
		return err
	}
	if d.o.Uplink != "" {
		if err := d.attach(d.o.Uplink, int(d.conf.Uplink), "igw_uplink", true); err != nil {
			return err
		}
	}
	// A tap without its program would hand packets to the node itself.
	for _, p := range d.ports {
		if l, err := netlink.LinkByName(text(p.Tap[:])); err == nil && l.Attrs().Index == int(p.Index) {
			if err := d.attach(text(p.Tap[:]), int(p.Index), "from_guest", true); err != nil {
				return err
			}
		}
	}
	if err := netlink.LinkSetUp(vx); err != nil {
		return fmt.Errorf("datapath: %s: %w", vxlanName, err)
	}
	return nil
}

func (d *Datapath) uplink() error {
	up, err := netlink.LinkByName(d.o.Uplink)
	if err != nil {
		return fmt.Errorf("datapath: uplink %s: %w", d.o.Uplink, err)
	}
	if d.o.UplinkAddress.IsValid() {
		a := d.o.UplinkAddress
		ipn := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := netlink.AddrReplace(up, &netlink.Addr{IPNet: ipn}); err != nil {
			return fmt.Errorf("datapath: uplink %s: address %v: %w", d.o.Uplink, a, err)
		}
	}
	if err := netlink.LinkSetUp(up); err != nil {
		return fmt.Errorf("datapath: uplink %s: %w", d.o.Uplink, err)
	}
	d.conf.Uplink = uint32(up.Attrs().Index)
	d.conf.UplinkMTU = uint32(up.Attrs().MTU)
	d.conf.NextHop = v4(d.o.NextHop)
	d.conf.UplinkAddr = v4(d.o.UplinkAddress.Addr())
	copy(d.conf.UplinkMAC[:], up.Attrs().HardwareAddr)
	return nil
}

func (d *Datapath) writeConfig() error {
	if err := d.col.Maps["config"].Put(uint32(0), bytesOf(d.conf)); err != nil {
		return fmt.Errorf("datapath: config: %w", err)
	}
	return nil
}

// quiet keeps the kernel from speaking IPv6 on a device by itself.
func quiet(dev string) {
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+dev+"/disable_ipv6", []byte("1"), 0o644) // a kernel without IPv6 has no such file
}

// attach puts a program on a device, or in the place of the one that is there.
func (d *Datapath) attach(dev string, index int, prog string, pin bool) error {
	p := d.col.Programs[prog]
	path := filepath.Join(d.dir, "link_"+dev)
	if pin {
		if l, err := link.LoadPinnedLink(path, nil); err == nil {
			if info, err := l.Info(); err == nil && info.TCX() != nil && int(info.TCX().Ifindex) == index && l.Update(p) == nil {
				d.links = append(d.links, l)
				return nil
			}
			l.Close()
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("datapath: %s: %w", dev, err)
			}
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return clsact(index, p, prog)
	}
	if err != nil {
		return fmt.Errorf("datapath: %s on %s: %w", prog, dev, err)
	}
	if pin {
		if err := l.Pin(path); err != nil {
			l.Close()
			return fmt.Errorf("datapath: %s on %s: %w", prog, dev, err)
		}
	}
	d.links = append(d.links, l)
	return nil
}

// clsact holds a program on a kernel without tcx. The filter keeps it without a pin.
func clsact(index int, p *ebpf.Program, name string) error {
	q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(q); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("datapath: clsact: %w", err)
	}
	f := &netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
		Fd: p.FD(), Name: name, DirectAction: true}
	if err := netlink.FilterReplace(f); err != nil {
		return fmt.Errorf("datapath: %s: %w", name, err)
	}
	return nil
}

// PutPort implements datapath.Datapath.
func (d *Datapath) PutPort(s events.PortSpec) error {
	if err := datapath.CheckPort(s); err != nil {
		return err
	}
	if d.o.Uplink != "" {
		return fmt.Errorf("datapath: port %s: a gateway holds no ports", s.Interface)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.in(func() error { return d.putPort(s) }); err != nil {
		return fmt.Errorf("datapath: port %s: %w", s.Interface, err)
	}
	return nil
}

func (d *Datapath) putPort(s events.PortSpec) error {
	old, known := d.ports[s.Interface]
	if known && text(old.Tap[:]) != s.Tap {
		return fmt.Errorf("its tap is %s and cannot become %s", text(old.Tap[:]), s.Tap)
	}
	for id, p := range d.ports {
		if id != s.Interface && text(p.Tap[:]) == s.Tap {
			return fmt.Errorf("tap %s is that of %s", s.Tap, id)
		}
	}
	tap, err := netlink.LinkByName(s.Tap)
	if err != nil {
		var none netlink.LinkNotFoundError
		if !errors.As(err, &none) {
			return err
		}
		t := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: s.Tap}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR}
		if err := netlink.LinkAdd(t); err != nil {
			return fmt.Errorf("tap %s: %w", s.Tap, err)
		}
		for _, f := range t.Fds {
			f.Close()
		}
		if tap, err = netlink.LinkByName(s.Tap); err != nil {
			return err
		}
	}
	if t := tap.Type(); t != "tuntap" && t != "veth" { // a veth: the guest is a namespace
		return fmt.Errorf("%s is a device of type %s", s.Tap, tap.Type())
	}
	index := tap.Attrs().Index
	p := bpfPort{ID: old.ID, VNI: s.VNI, Subnet: s.Subnet, Flags: flags(s.SourceCheck), Index: uint32(index),
		Private: mapped(s.PrivateIP), Router: mapped(s.Router), Resolver: mapped(s.Resolver)}
	p.MAC, _ = datapath.MAC(s.MAC)
	p.RouterMAC, _ = datapath.MAC(s.RouterMAC)
	copy(p.Groups[:], s.Groups)
	copy(p.Interface[:], s.Interface)
	copy(p.Tap[:], s.Tap)
	if tap.Attrs().MTU != s.MTU {
		if err := netlink.LinkSetMTU(tap, s.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", s.MTU, err)
		}
	}
	m := d.col.Maps
	if !known {
		if p.ID, err = d.newID(); err != nil {
			return err
		}
		flows, err := ebpf.NewMap(flowMap())
		if err != nil {
			return fmt.Errorf("flows: %w", err)
		}
		err = m["flows"].Put(p.ID, flows)
		flows.Close() // the outer map holds it
		if err != nil {
			return fmt.Errorf("flows: %w", err)
		}
	}
	if !known || old.Index != p.Index {
		// The program comes before the first frame: without it the node itself
		// would see what a guest sends.
		quiet(s.Tap)
		if err := d.attach(s.Tap, index, "from_guest", true); err != nil {
			return err
		}
	}
	if known && (old.VNI != p.VNI || old.MAC != p.MAC) {
		if err := gone(m["local"].Delete(bytesOf(macKey{VNI: old.VNI, MAC: old.MAC}))); err != nil {
			return err
		}
	}
	if known && old.Index != p.Index {
		if err := gone(m["ports"].Delete(old.Index)); err != nil {
			return err
		}
	}
	if p != old {
		if err := errors.Join(m["ports"].Put(p.Index, bytesOf(p)), m["port_ids"].Put(p.ID, p.Index),
			m["local"].Put(bytesOf(macKey{VNI: p.VNI, MAC: p.MAC}), p.Index)); err != nil {
			return err
		}
	}
	d.ports[s.Interface] = p
	if tap.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(tap); err != nil {
			return fmt.Errorf("up: %w", err)
		}
	}
	return nil
}

func flowMap() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: "flow_map", Type: ebpf.LRUHash, KeySize: 40, ValueSize: 16, MaxEntries: 16384}
}

// newID is a number that no port has had for a long time: the numbers go round.
func (d *Datapath) newID() (uint32, error) {
	used := map[uint32]bool{}
	for _, p := range d.ports {
		used[p.ID] = true
	}
	if len(used) >= datapath.MaxPorts {
		return 0, fmt.Errorf("there are %d ports already", len(used))
	}
	var id uint32
	if err := d.col.Maps["last_id"].Lookup(uint32(0), &id); err != nil {
		return 0, err
	}
	for {
		if id++; id > datapath.MaxID {
			id = 1
		}
		if !used[id] {
			return id, d.col.Maps["last_id"].Put(uint32(0), id)
		}
	}
}

func gone(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// DeletePort implements datapath.Datapath.
func (d *Datapath) DeletePort(id events.InterfaceID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.ports[id]
	if !ok {
		return nil
	}
	tap := text(p.Tap[:])
	err := d.in(func() error {
		l, err := netlink.LinkByName(tap)
		if err != nil {
			var none netlink.LinkNotFoundError
			if errors.As(err, &none) {
				return nil
			}
			return err
		}
		if l.Attrs().Index != int(p.Index) {
			return nil // somebody else's by now
		}
		return netlink.LinkDel(l)
	})
	if err == nil {
		m := d.col.Maps
		err = errors.Join(gone(m["local"].Delete(bytesOf(macKey{VNI: p.VNI, MAC: p.MAC}))), gone(m["port_ids"].Delete(p.ID)),
			gone(m["flows"].Delete(p.ID)))
	}
	if err == nil {
		for r := datapath.Sent; r <= datapath.Encap; r++ {
			err = errors.Join(err, gone(d.col.Maps["counters"].Delete(bytesOf(counterKey{p.ID, uint32(r)}))))
		}
	}
	if err == nil {
		if e := os.Remove(filepath.Join(d.dir, "link_"+tap)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	if err == nil {
		err = gone(d.col.Maps["ports"].Delete(p.Index)) // last: until then a restart finds what is left
	}
	if err != nil {
		return fmt.Errorf("datapath: delete port %s: %w", id, err)
	}
	delete(d.ports, id)
	return nil
}

// rereadEvery is how long the copy of the tables is trusted.
const rereadEvery = time.Minute

// Apply implements datapath.Datapath.
func (d *Datapath) Apply(t datapath.Tables) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	want, bad := encode(t)
	if time.Since(d.read) > rereadEvery {
		if err := d.reread(); err != nil {
			return err
		}
	}
	for _, name := range tableMaps {
		m, held := d.col.Maps[name], d.held[name]
		for k, v := range want[name] {
			if held[k] == v {
				continue
			}
			if err := m.Put([]byte(k), []byte(v)); err != nil {
				return fmt.Errorf("datapath: %s: %w", name, err)
			}
			held[k] = v
		}
	}
	for _, name := range slices.Backward(tableMaps) {
		m, held := d.col.Maps[name], d.held[name]
		for k := range held {
			if _, ok := want[name][k]; ok {
				continue
			}
			if err := gone(m.Delete([]byte(k))); err != nil {
				return fmt.Errorf("datapath: %s: %w", name, err)
			}
			delete(held, k)
		}
	}
	return errors.Join(bad, d.in(func() error { return admitNodes(t.Nodes) }))
}

// PutPublic implements datapath.Datapath.
func (d *Datapath) PutPublic(s events.PublicSpec) error {
	if d.o.Uplink == "" {
		return datapath.ErrNotGateway
	}
	if err := datapath.CheckPublic(s); err != nil {
		return err
	}
	p := bpfPublic{Private: mapped(s.Private), VNI: s.VNI, Host: v4(s.Host), Epoch: s.Epoch}
	if s.Announce {
		p.Announce = 1
	}
	p.MAC, _ = datapath.MAC(s.MAC)
	copy(p.Iface[:], s.Interface)
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.pubs[s.Address]
	if known && old.Epoch > p.Epoch {
		return nil
	}
	if known && old == p {
		return nil
	}
	m := d.col.Maps
	err := m["outsides"].Put(bytesOf(addrKey{s.VNI, mapped(s.Private)}), bytesOf(bpfOutside{Public: v4(s.Address), Host: p.Host, MAC: p.MAC}))
	if err == nil {
		err = m["publics"].Put(bytesOf(mapped(s.Address)), bytesOf(p))
	}
	if err == nil && known && (old.VNI != p.VNI || old.Private != p.Private) {
		err = d.deleteOutside(s.Address, old)
	}
	if err != nil {
		return fmt.Errorf("datapath: public address %v: %w", s.Address, err)
	}
	d.pubs[s.Address] = p
	if s.Announce && old.Announce == 0 {
		if err := d.in(func() error { return d.announce(s.Address) }); err != nil {
			return fmt.Errorf("datapath: announce %v: %w", s.Address, err)
		}
	}
	return nil
}

// deleteOutside forgets that an interface goes out as a, unless it goes out as
// another address since.
func (d *Datapath) deleteOutside(a netip.Addr, p bpfPublic) error {
	k := bytesOf(addrKey{p.VNI, p.Private})
	b, err := d.col.Maps["outsides"].LookupBytes(k)
	if err != nil || b == nil {
		return gone(err)
	}
	var o bpfOutside
	if err := fill(b, &o); err != nil || o.Public != v4(a) {
		return err
	}
	return gone(d.col.Maps["outsides"].Delete(k))
}

// DeletePublic implements datapath.Datapath.
func (d *Datapath) DeletePublic(a netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.pubs[a]
	if !ok {
		return nil
	}
	if err := errors.Join(d.deleteOutside(a, p), gone(d.col.Maps["publics"].Delete(bytesOf(mapped(a))))); err != nil {
		return fmt.Errorf("datapath: public address %v: %w", a, err)
	}
	delete(d.pubs, a)
	return nil
}

// Ports implements datapath.Datapath.
func (d *Datapath) Ports() ([]datapath.Port, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []datapath.Port
	err := d.in(func() error {
		for id, p := range d.ports {
			q := datapath.Port{Interface: id, Tap: text(p.Tap[:]), ID: p.ID, Service: datapath.ServiceAddr(p.ID)}
			if l, err := netlink.LinkByName(q.Tap); err == nil && l.Attrs().Index == int(p.Index) {
				q.Index = l.Attrs().Index
			}
			out = append(out, q)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b datapath.Port) int { return cmp.Compare(a.Interface, b.Interface) })
	return out, err
}

// Publics implements datapath.Datapath.
func (d *Datapath) Publics() ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.pubs), netip.Addr.Compare), nil
}

// Counters implements datapath.Datapath.
func (d *Datapath) Counters() ([]datapath.Counter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[uint32]events.InterfaceID{}
	for id, p := range d.ports {
		names[p.ID] = id
	}
	var out []datapath.Counter
	it := d.col.Maps["counters"].Iterate()
	var k counterKey
	var v []counter
	for it.Next(&k, &v) {
		c := datapath.Counter{Interface: names[k.Port], Reason: datapath.Reason(k.Reason)}
		for _, one := range v {
			c.Packets += one.Packets
			c.Bytes += one.Bytes
		}
		out = append(out, c)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("datapath: counters: %w", err)
	}
	slices.SortFunc(out, func(a, b datapath.Counter) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// Translates implements datapath.Datapath: the programs do not, so far.
func (d *Datapath) Translates() error {
	return errors.New("the Linux data plane of this gateway does not translate addresses for NAT gateways yet")
}

// Close implements datapath.Datapath: what is pinned stays in force.
func (d *Datapath) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, f := range d.close {
		errs = append(errs, f())
	}
	for _, l := range d.links {
		errs = append(errs, l.Close())
	}
	d.links, d.close = nil, nil
	if d.col != nil {
		d.col.Close()
	}
	return errors.Join(errs...)
}
