package linux

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/network-node/datapath"
	"skerry/network-node/datapath/datapathtest"
)

// lab is a region whose guests are the test itself, at the other end of taps.
type lab struct {
	*region
	taps    map[uint32]*os.File // by number of the port: a tap that comes again is another
	arrived chan datapathtest.Outcome
	out     *packet.Conn
	outMAC  net.HardwareAddr
	gwMAC   net.HardwareAddr
}

func (l *lab) Node(i int) datapath.Datapath { return l.nodes[i] }
func (l *lab) Address(i int) netip.Addr     { return host(i) }

func openLab(t *testing.T) datapathtest.Lab {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip(err)
	}
	l := &lab{region: newRegion(t), taps: map[uint32]*os.File{}, arrived: make(chan datapathtest.Outcome, 64)}
	l.inside("gw", func() error {
		i, err := net.InterfaceByName("up0")
		l.gwMAC = i.HardwareAddr
		return err
	})
	l.inside("out", func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		l.outMAC = i.HardwareAddr
		l.out, err = packet.Listen(i, packet.Raw, unix.ETH_P_IP, nil)
		return err
	})
	t.Cleanup(func() { l.out.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := l.out.ReadFrom(b)
			if err != nil {
				return
			}
			// Not what the kernel outside answers.
			if !bytes.Equal(b[6:12], l.outMAC) {
				l.arrived <- datapathtest.Outcome{Outside: true, Frame: bytes.Clone(b[:n])}
			}
		}
	}()
	return l
}

const vnetHeader = 10 // struct virtio_net_hdr without merged buffers

// tap opens the guest's end, as QEMU would.
func (l *lab) tap(node int, id events.InterfaceID) *os.File {
	p, ok := l.nodes[node].ports[id]
	if !ok {
		l.t.Fatalf("%s has no tap on node %d", id, node)
	}
	if f := l.taps[p.ID<<1|uint32(node)]; f != nil {
		return f
	}
	name := text(p.Tap[:])
	var f *os.File
	l.inside([]string{"h1", "h2"}[node], func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), name)
		return nil
	})
	l.taps[p.ID<<1|uint32(node)] = f
	// The kernel begins to send on a device some time after it has a carrier.
	l.until(name+" is up", func() (up bool) {
		l.inside([]string{"h1", "h2"}[node], func() error {
			link, err := netlink.LinkByName(name)
			up = err == nil && link.Attrs().OperState == netlink.OperUp
			return err
		})
		return up
	})
	l.t.Cleanup(func() { f.Close() })
	go func() {
		b := make([]byte, 65536+vnetHeader)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			if g := bytes.Clone(b[vnetHeader:n]); len(g) >= 14 {
				l.arrived <- datapathtest.Outcome{Interface: id, Frame: g}
			}
		}
	}()
	return f
}

func (l *lab) Send(node int, id events.InterfaceID, f []byte) datapathtest.Outcome {
	l.t.Helper()
	for n, d := range l.nodes[:2] { // who may be reached listens
		for other := range d.ports {
			l.tap(n, other)
		}
	}
	tap := l.tap(node, id)
	return l.watch(func() error {
		_, err := tap.Write(append(make([]byte, vnetHeader), f...))
		return err
	})
}

func (l *lab) Enter(f []byte) datapathtest.Outcome {
	l.t.Helper()
	f = bytes.Clone(f)
	copy(f, l.gwMAC)
	copy(f[6:], l.outMAC)
	return l.watch(func() error {
		_, err := l.out.WriteTo(f, &packet.Addr{HardwareAddr: l.gwMAC})
		return err
	})
}

// watch waits until the frame has come out somewhere, or somebody has counted
// that it was dropped.
func (l *lab) watch(send func() error) datapathtest.Outcome {
	l.t.Helper()
	drops := func() (n uint64) {
		for _, d := range l.nodes {
			cs, err := d.Counters()
			if err != nil {
				l.t.Fatal(err)
			}
			for _, c := range cs {
				if c.Reason.Dropped() {
					n += c.Packets
				}
			}
		}
		return n
	}
	was := drops()
	if err := send(); err != nil {
		l.t.Fatal(err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for {
		select {
		case o := <-l.arrived:
			kind := binary.BigEndian.Uint16(o.Frame[12:])
			if kind == 0x0806 || kind == 0x0800 && o.Frame[23] != unix.IPPROTO_ICMP { // ICMP: the kernel outside, about a port
				return o
			}
		case <-tick.C:
			if drops() > was {
				return datapathtest.Outcome{}
			}
		case <-end:
			l.t.Fatalf("it neither arrived nor was dropped\n%s", l.counters())
		}
	}
}

func TestConformance(t *testing.T) { datapathtest.Run(t, openLab) }
