package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
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
)

// TestGuestOnANetwork boots the built image in a network namespace of its own,
// where QEMU's user network gives DHCP and a metadata service listens, and logs
// in as a user would. It guards what a newcomer does first.
func TestGuestOnANetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	img, err := filepath.Abs("../../.build/image")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("a network namespace needs root")
	}
	for name, p := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "/usr/sbin/mke2fs": "e2fsprogs"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed (Debian package %s)", name, p)
		}
	}
	b, err := os.ReadFile(filepath.Join(img, "images.json"))
	if err != nil {
		t.Skip("the image is not built: go run ./deploy/image")
	}
	var list Catalogue
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}

	// Sockets and processes belong to the namespace of the thread that makes
	// them. The thread is not given back: it ends with the test.
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	defer ns.Close()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}

	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	tree := map[string]string{
		"meta-data/instance-id":                     "i-0ccccccccccccccc1",
		"meta-data/local-hostname":                  "ip-169-254-169-10.ec2.internal",
		"meta-data/public-keys/":                    "0=mine",
		"meta-data/public-keys/0/openssh-key":       string(ssh.MarshalAuthorizedKey(sshPub)),
		"meta-data/block-device-mapping/":           "ami\nephemeral0",
		"meta-data/block-device-mapping/ami":        "/dev/sda1",
		"meta-data/block-device-mapping/ephemeral0": "sdb",
		"user-data": "#!/bin/bash\necho user data as $(id -un) > /root/ran\n",
	}
	l, err := net.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/latest/")
		mu.Lock()
		asked = append(asked, r.Method+" "+path)
		mu.Unlock()
		switch v, ok := tree[path]; {
		case r.Method == http.MethodPut && path == "api/token":
			w.Write([]byte("tok"))
		case r.Header.Get("X-aws-ec2-metadata-token") != "tok":
			w.WriteHeader(401)
		case !ok:
			w.WriteHeader(404)
		default:
			w.Write([]byte(v))
		}
	})}
	go srv.Serve(l)
	defer srv.Close()

	dir := t.TempDir()
	root, eph, con := filepath.Join(dir, "root"), filepath.Join(dir, "eph"), filepath.Join(dir, "console")
	shell := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	shell("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(img, list.Images[0].Root.Name), root, "10G")
	shell("truncate", "-s", "4G", eph)
	shell("/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", eph)
	cmd := exec.Command("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "128", "-nodefaults", "-display", "none", "-serial", "file:"+con,
		"-kernel", filepath.Join(img, list.Images[0].Kernel.Name), "-initrd", filepath.Join(img, list.Images[0].Ramdisk.Name), "-append", list.Images[0].Cmdline,
		"-drive", "file="+root+",if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0,serial=root",
		"-drive", "file="+eph+",format=raw,if=none,id=d1,cache=unsafe", "-device", "virtio-blk-pci,drive=d1,serial=ephemeral0",
		"-netdev", "user,id=n0,net=169.254.169.0/24,host=169.254.169.254,dhcpstart=169.254.169.10,hostfwd=tcp:127.0.0.1:2222-:22",
		"-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	console := func() string { b, _ := os.ReadFile(con); return string(b) }
	defer func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("console:\n%s\n%s", console(), errs.String())
		}
	}()
	until := func(what string, cond func() bool) {
		t.Helper()
		for end := time.Now().Add(90 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s", what)
			}
			select {
			case <-ended:
				if !cond() {
					t.Fatalf("QEMU ended before: %s", what)
				}
			default:
			}
		}
	}
	until("ready", func() bool { return strings.Contains(console(), "SKERRY-READY") })
	until("user data", func() bool { return strings.Contains(console(), "SKERRY-USERDATA exit=0") })
	if !strings.Contains(console(), "SKERRY-NET eth0=169.254.169.10/24") {
		t.Error("no address on the console")
	}
	mu.Lock()
	if len(asked) == 0 || asked[0] != "PUT api/token" {
		t.Errorf("asked %q", asked)
	}
	mu.Unlock()

	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	login := func(user string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
		return ssh.Dial("tcp", "127.0.0.1:2222", &ssh.ClientConfig{User: user, Auth: auth, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second})
	}
	c, err := login("ec2-user", ssh.PublicKeys(signer))
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	defer c.Close()
	say := func(line string) string {
		t.Helper()
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.CombinedOutput(line)
		if err != nil {
			return fmt.Sprintf("%s(%v)", out, err)
		}
		return string(out)
	}
	for _, q := range []struct{ line, want string }{
		{"id -un", "ec2-user"},
		{"sudo -n id -u", "0\n"},
		{"sudo -n cat /root/ran", "user data as root"},
		{"hostname", "ip-169-254-169-10"},
		{"/sbin/ip -4 addr show eth0", "169.254.169.10/24"},
		{"/sbin/ifconfig eth0", "inet 169.254.169.10"},
		{"df -h / /mnt", "/mnt"},
		{"readlink /dev/sda1; readlink /dev/xvdb", "vda\nvdb"},
		{"wget -q -O - http://169.254.169.254/latest/x 2>&1; echo $?", "6"}, // 401 without a token: "authentication failure"
		{`curl -s -H "X-aws-ec2-metadata-token: $(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)" http://169.254.169.254/latest/meta-data/instance-id`, "i-0ccccccccccccccc1"},
		{"ping -c 1 -w 5 127.0.0.1", "1 received"},
		{"sudo -n ping -c 1 -w 5 169.254.169.254", "1 received"},
		{"truncate -s 64M /tmp/fs && /sbin/mkfs.ext4 -q -F /tmp/fs && /sbin/e2fsck -fn /tmp/fs | tail -1", "files"},
		{"sudo -n sh -c 'echo kept > /mnt/file; sync; cat /mnt/file'", "kept"},
		{"df -m / | tail -1 | awk '{print ($2 > 9000)}'", "1\n"},
	} {
		if got := say(q.line); !strings.Contains(got, q.want) {
			t.Errorf("%s: %q, want %q", q.line, got, q.want)
		}
	}
	for who, auth := range map[string]ssh.AuthMethod{"root": ssh.PublicKeys(signer), "ec2-user": ssh.Password("")} {
		if bad, err := login(who, auth); err == nil {
			bad.Close()
			t.Errorf("%s got in where nobody should", who)
		}
	}
	say("sudo -n poweroff")
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("poweroff did not end the guest")
	}
	if !strings.Contains(console(), "SKERRY-SHUTDOWN") {
		t.Error("no marker of the shutdown")
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", eph).CombinedOutput(); err != nil {
		t.Errorf("the ephemeral disk is not clean after an orderly end: %v %s", err, out)
	}
}
