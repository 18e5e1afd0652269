package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"

	"skerry/events"
	"skerry/network-node/metadata"
)

// qmp is a monitor of QEMU: one JSON object per line each way.
type qmp struct {
	t       *testing.T
	conn    net.Conn
	replies chan map[string]json.RawMessage
	events  chan string // name and device
}

func dialMonitor(t *testing.T, path string) *qmp {
	t.Helper()
	var conn net.Conn
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if conn, err = net.Dial("unix", path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	q := &qmp{t: t, conn: conn, replies: make(chan map[string]json.RawMessage, 16), events: make(chan string, 256)}
	go func() {
		defer close(q.replies)
		for s := bufio.NewScanner(conn); s.Scan(); {
			m := map[string]json.RawMessage{}
			if json.Unmarshal(s.Bytes(), &m) != nil || m["QMP"] != nil {
				continue
			}
			if m["event"] == nil {
				q.replies <- m
				continue
			}
			var e struct {
				Event string
				Data  struct{ Device string }
			}
			json.Unmarshal(s.Bytes(), &e)
			select {
			case q.events <- e.Event + " " + e.Data.Device:
			default:
			}
		}
	}()
	q.do("qmp_capabilities", nil)
	return q
}

func (q *qmp) do(command string, args map[string]any) {
	q.t.Helper()
	b, err := json.Marshal(map[string]any{"execute": command, "arguments": args})
	if args == nil {
		b, err = json.Marshal(map[string]any{"execute": command})
	}
	if err != nil {
		q.t.Fatal(err)
	}
	q.conn.Write(append(b, '\n'))
	select {
	case m := <-q.replies:
		if m["return"] == nil {
			q.t.Fatalf("%s: %s", command, m["error"])
		}
	case <-time.After(20 * time.Second):
		q.t.Fatalf("%s: no reply", command)
	}
}

// guest is a booted image: its console, its monitor and a session in it.
type guest struct {
	t       *testing.T
	console string
	port    string // to the guest's own answers
	monitor *qmp
	ended   chan struct{}
	ssh     *ssh.Client
}

// userNet is QEMU's own network, with the metadata service at its host.
func userNet(port int) []string {
	return []string{"-netdev", fmt.Sprintf("user,id=n0,net=169.254.169.0/24,host=169.254.169.254,dhcpstart=169.254.169.10,hostfwd=tcp:127.0.0.1:%d-:22", port),
		"-device", "virtio-net-pci,netdev=n0"}
}

// boot starts an image and logs in at the address.
func boot(t *testing.T, dir string, img Image, key ssh.Signer, network []string, at string) *guest {
	t.Helper()
	tmp := t.TempDir()
	root, monitor := filepath.Join(tmp, "root"), filepath.Join(tmp, "qmp")
	g := &guest{t: t, console: filepath.Join(tmp, "console"), port: filepath.Join(tmp, "port"), ended: make(chan struct{})}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(dir, img.Root.Name), root, "2G").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	eph := filepath.Join(tmp, "eph")
	for _, args := range [][]string{{"truncate", "-s", "256M", eph}, {"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", eph}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	args := []string{"-machine", "q35,accel=tcg", "-m", "192", "-nodefaults", "-display", "none", "-serial", "file:" + g.console,
		"-qmp", "unix:" + monitor + ",server=on,wait=off",
		"-kernel", filepath.Join(dir, img.Kernel.Name), "-initrd", filepath.Join(dir, img.Ramdisk.Name), "-append", img.Cmdline,
		"-drive", "file=" + root + ",if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0,serial=root",
		"-drive", "file=" + eph + ",format=raw,if=none,id=d1,cache=unsafe", "-device", "virtio-blk-pci,drive=d1,serial=ephemeral0",
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=c0,server=on,wait=off,path=" + g.port,
		"-device", "virtserialport,chardev=c0,name=org.qemu.guest_agent.0"}
	args = append(args, network...)
	for i := range 4 {
		args = append(args, "-device", fmt.Sprintf("pcie-root-port,id=p%d,chassis=%d,slot=%d", i, i+1, i+1))
	}
	begun := time.Now()
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(g.ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-g.ended
		if t.Failed() {
			t.Logf("console:\n%s", g.said())
		}
	})
	g.monitor = dialMonitor(t, monitor)
	g.until("ready", 90*time.Second, func() bool { return strings.Contains(g.said(), "SKERRY-READY") })
	t.Logf("%s is ready after %.1f s", img.Name, time.Since(begun).Seconds())
	var err error
	if g.ssh, err = ssh.Dial("tcp", at, &ssh.ClientConfig{User: "ec2-user", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second}); err != nil {
		t.Fatalf("login: %v", err)
	}
	t.Cleanup(func() { g.ssh.Close() })
	return g
}

func (g *guest) said() string { b, _ := os.ReadFile(g.console); return string(b) }

func (g *guest) until(what string, within time.Duration, cond func() bool) time.Duration {
	g.t.Helper()
	begun := time.Now()
	for !cond() {
		if time.Since(begun) > within {
			g.t.Fatalf("never: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(begun)
}

// run runs a line in the guest; what it says and how it ended.
func (g *guest) run(line string) string {
	g.t.Helper()
	s, err := g.ssh.NewSession()
	if err != nil {
		g.t.Fatal(err)
	}
	defer s.Close()
	out, err := s.CombinedOutput(line)
	if err != nil {
		return fmt.Sprintf("%s(%v)", out, err)
	}
	return string(out)
}

// must runs a line that has to succeed and to say want.
func (g *guest) must(line, want string) {
	g.t.Helper()
	if got := g.run(line); !strings.Contains(got, want) || strings.Contains(got, "(Process exited") {
		g.t.Fatalf("%s: %q, want %q", line, got, want)
	}
}

func (g *guest) plug(file, serial string) {
	g.t.Helper()
	g.monitor.do("blockdev-add", map[string]any{"driver": "raw", "node-name": "n-" + serial, "file": map[string]any{"driver": "file", "filename": file}})
	g.monitor.do("device_add", map[string]any{"driver": "virtio-blk-pci", "id": serial, "bus": "p0", "drive": "n-" + serial, "serial": serial})
}

func (g *guest) unplug(serial string, within time.Duration) bool {
	g.t.Helper()
	g.monitor.do("device_del", map[string]any{"id": serial})
	limit := time.After(within)
	for {
		select {
		case e := <-g.monitor.events:
			if e == "DEVICE_DELETED "+serial {
				g.monitor.do("blockdev-del", map[string]any{"node-name": "n-" + serial})
				return true
			}
		case <-limit:
			return false
		}
	}
}

// stage is what a test with guests needs: the images, and a network namespace of
// its own for the thread that the test runs on. It skips where that cannot be.
func stage(t *testing.T) (dir string, list Catalogue, key ssh.Signer) {
	t.Helper()
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	for name, p := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "/usr/sbin/mke2fs": "e2fsprogs"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed (Debian package %s)", name, p)
		}
	}
	var err error
	dir, err = filepath.Abs("../../.build/image")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "images.json"))
	if err != nil {
		t.Skip("the image is not built: go run ./deploy/image")
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Images) < 2 {
		t.Fatalf("the catalogue has %d images; build it again", len(list.Images))
	}
	runtime.LockOSThread() // the thread ends with the test, and the namespace with it
	ns, err := netns.New()
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err = ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return dir, list, key
}

// inUse asks the guest whether anything is mounted from a disk, as a host does
// before it takes the disk away.
func (g *guest) inUse(serial string) bool {
	g.t.Helper()
	c, err := net.Dial("unix", g.port)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(c, `{"execute":"guest-sync","arguments":{"id":11}}`)
	fmt.Fprintln(c, `{"execute":"guest-get-fsinfo"}`)
	r := bufio.NewScanner(c)
	r.Scan()
	if r.Text() != `{"return":11}` || !r.Scan() {
		g.t.Fatalf("the guest answers %q: %v", r.Text(), r.Err())
	}
	var list struct {
		Return []struct {
			Mountpoint string
			Disk       []struct{ Serial string }
		}
	}
	if err := json.Unmarshal(r.Bytes(), &list); err != nil || len(list.Return) < 2 {
		g.t.Fatalf("%s: %v", r.Bytes(), err) // / and /mnt are there
	}
	for _, f := range list.Return {
		for _, d := range f.Disk {
			if d.Serial == serial {
				return true
			}
		}
	}
	return false
}

// TestVolumesComeAndGo hot-plugs a volume into a guest, under the name that the
// API gave it, takes it away and gives it to a guest of the other image: its data
// must be there, and after a press of the power button its file system is clean.
// The metadata comes from the server that network nodes run.
func TestVolumesComeAndGo(t *testing.T) {
	dir, list, key := stage(t)
	var mu sync.Mutex
	spec := events.MetadataSpec{
		Instance: "i-0ccccccccccccccc1", KeyName: "mine", PublicKey: string(ssh.MarshalAuthorizedKey(key.PublicKey())),
		Devices: []events.DevicePart{{Virtual: "ami", Device: "/dev/sda1"}, {Virtual: "ephemeral0", Device: "sdb"}},
		Interfaces: []events.InterfacePart{{MAC: "52:54:00:12:34:56", PrivateIP: netip.MustParseAddr("169.254.169.10"), LocalName: "ip-169-254-169-10.isle-1.compute.internal",
			Public: netip.MustParseAddr("198.18.1.4")}},
		Options: events.MetadataOptions{HTTPTokens: "optional", HopLimit: 2, Endpoint: "enabled"},
	}
	change := func(do func()) { mu.Lock(); defer mu.Unlock(); do() }
	srv, err := metadata.New(func(netip.Addr) (events.PortSpec, events.MetadataSpec, bool) {
		mu.Lock()
		defer mu.Unlock()
		return events.PortSpec{}, spec, true
	}, make([]byte, 32), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()

	const serial = "vol0123456789abcdef0"
	volume := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(volume, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(volume, 64<<20); err != nil {
		t.Fatal(err)
	}
	attached := events.DevicePart{Virtual: "ebs1", Device: "/dev/xvdb", Serial: serial}

	g := boot(t, dir, list.Images[0], key, userNet(2222), "127.0.0.1:2222")
	g.must("hostname", "ip-169-254-169-10\n")
	g.must("wget -q -O - http://169.254.169.254/latest/meta-data/public-ipv4", "198.18.1.4")
	g.must("readlink /dev/xvdb", "vdb") // the ephemeral disk has the name until a volume does
	change(func() { spec.Devices = append(spec.Devices, attached) })
	begun := time.Now()
	g.plug(volume, serial)
	g.until("the volume's name", 10*time.Second, func() bool { return g.run("readlink /dev/xvdb") == "vdc\n" })
	t.Logf("/dev/xvdb is there %.2f s after device_add", time.Since(begun).Seconds())
	g.must("cat /sys/block/vdc/serial", serial)
	g.must("lsblk -n -o NAME /dev/vdc", "vdc")
	g.must("sudo -n /sbin/mkfs.ext4 -q /dev/xvdb && sudo -n mkdir /data && sudo -n mount /dev/xvdb /data && sudo -n sh -c 'echo kept > /data/file' && df /data", "/data")
	if !g.inUse(serial) {
		t.Error("the guest says that its mounted volume is free")
	}
	g.must("sudo -n umount /data && sudo -n blkid /dev/xvdb", "ext4")
	if g.inUse(serial) {
		t.Error("the guest says that its volume is in use after umount")
	}
	change(func() { spec.Devices = spec.Devices[:2] })
	if !g.unplug(serial, 10*time.Second) {
		t.Fatal("the guest does not let go")
	}
	g.until("the name to go back", 10*time.Second, func() bool { return g.run("readlink /dev/xvdb") == "vdb\n" })

	// To the other image. The service hears of it later than the guest.
	h := boot(t, dir, list.Images[1], key, userNet(2223), "127.0.0.1:2223")
	h.must("cat /etc/os-release", "Skerry Linux 2")
	attached.Device = "/dev/sdf"
	h.plug(volume, serial)
	h.until("the disk", 10*time.Second, func() bool { return strings.Contains(h.run("ls /sys/block"), "vdc") })
	change(func() { spec.Devices = append(spec.Devices, attached) })
	h.until("the volume's names", 10*time.Second, func() bool { return h.run("readlink /dev/sdf; readlink /dev/xvdf") == "vdc\nvdc\n" })
	h.must("sudo -n mkdir /data && sudo -n mount /dev/xvdf /data && cat /data/file", "kept")
	h.must("sudo -n sh -c 'echo more > /data/more'", "")
	h.monitor.do("system_powerdown", nil)
	select {
	case <-h.ended:
	case <-time.After(60 * time.Second):
		t.Fatal("the power button did not end the guest")
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", volume).CombinedOutput(); err != nil {
		t.Errorf("the volume is not clean after an orderly end: %v %s", err, out)
	}
	if out, err := exec.Command("/usr/sbin/debugfs", "-R", "cat /more", volume).Output(); err != nil || string(out) != "more\n" {
		t.Errorf("what was written last: %q %v", out, err)
	}
}
