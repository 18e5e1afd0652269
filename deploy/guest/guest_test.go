//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// service is a metadata service; with tokens it refuses requests without one.
func service(t *testing.T, tokens bool, tree map[string]string) (*imds, *atomic.Int64) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		path := strings.TrimPrefix(r.URL.Path, "/latest/")
		switch {
		case r.Method == http.MethodPut && path == "api/token" && tokens:
			if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
				w.WriteHeader(400)
				return
			}
			w.Write([]byte("secret"))
		case r.Method != http.MethodGet:
			w.WriteHeader(405)
		case tokens && r.Header.Get("X-aws-ec2-metadata-token") != "secret":
			w.WriteHeader(401)
		default:
			v, ok := tree[path]
			if !ok {
				w.WriteHeader(404)
				return
			}
			w.Write([]byte(v))
		}
	}))
	t.Cleanup(s.Close)
	return &imds{base: s.URL}, &asked
}

func TestMetadata(t *testing.T) {
	tree := map[string]string{
		"meta-data/instance-id":                         "i-1",
		"meta-data/public-keys/":                        "0=mine\n1=yours",
		"meta-data/public-keys/0/openssh-key":           "ssh-rsa AAAA mine\n",
		"meta-data/public-keys/1/openssh-key":           "ssh-ed25519 BBBB",
		"meta-data/block-device-mapping/":               "ami\nephemeral0\nebs1",
		"meta-data/block-device-mapping/ami":            "sda1",
		"meta-data/block-device-mapping/ephemeral0":     "sdb",
		"meta-data/block-device-mapping/ebs1":           "/dev/sdf",
		"user-data":                                     "#!/bin/sh\n",
		"meta-data/public-keys/unlisted/openssh-key":    "no",
		"meta-data/block-device-mapping/ebs-not-listed": "no",
	}
	for _, tokens := range []bool{true, false} {
		m, _ := service(t, tokens, tree)
		ctx := t.Context()
		if v, ok := m.get(ctx, "meta-data/instance-id"); !ok || v != "i-1" {
			t.Fatalf("tokens %v: instance-id %q %v", tokens, v, ok)
		}
		if (m.token == "secret") != tokens {
			t.Fatalf("tokens %v: token %q", tokens, m.token)
		}
		if k := m.keys(ctx); !slices.Equal(k, []string{"ssh-rsa AAAA mine", "ssh-ed25519 BBBB"}) {
			t.Fatalf("keys %q", k)
		}
		if got := m.mapping(ctx); !maps.Equal(got, map[string]string{"ami": "sda1", "ephemeral0": "sdb", "ebs1": "/dev/sdf"}) {
			t.Fatalf("mapping %v", got)
		}
		if _, ok := m.get(ctx, "meta-data/none"); ok {
			t.Fatal("a 404 was a value")
		}
	}
}

func TestASilentServiceIsAskedOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody answers there
	m := &imds{base: "http://" + l.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	m.get(ctx, "a")
	begun := time.Now()
	for range 100 {
		if _, ok := m.get(ctx, "b"); ok {
			t.Fatal("a value from nowhere")
		}
	}
	if d := time.Since(begun); d > 100*time.Millisecond {
		t.Fatalf("it was asked again: %v", d)
	}
}

func TestUserData(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte("#!/bin/sh\necho hello\n"))
	w.Close()
	var bomb bytes.Buffer
	w = gzip.NewWriter(&bomb)
	w.Write(make([]byte, maxUserData+1))
	w.Close()
	for _, c := range []struct {
		in, want string
		fails    bool
	}{
		{"#!/bin/sh\necho", "#!/bin/sh\necho", false},
		{"plain text", "", false},
		{"", "", false},
		{z.String(), "#!/bin/sh\necho hello\n", false},
		{z.String()[:12], "", true},
		{bomb.String(), "", true},
	} {
		got, err := script([]byte(c.in))
		if string(got) != c.want || (err != nil) != c.fails {
			t.Errorf("script(%.20q) = %q, %v", c.in, got, err)
		}
	}
}

func TestUserDataRunsOncePerInstance(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	var procs children
	go procs.reap()
	data := []byte("#!/bin/sh\necho run >> " + out + "\nexit 3\n")
	ran, code, err := runUserData(t.Context(), &procs, dir, "i-1", data)
	if err != nil || !ran || code != 3 {
		t.Fatalf("first: %v %d %v", ran, code, err)
	}
	if ran, _, err = runUserData(t.Context(), &procs, dir, "i-1", data); ran || err != nil {
		t.Fatalf("again: %v %v", ran, err)
	}
	if ran, _, err = runUserData(t.Context(), &procs, dir, "i-2", data); !ran || err != nil {
		t.Fatalf("another instance of the image: %v %v", ran, err)
	}
	if b, _ := os.ReadFile(out); string(b) != "run\nrun\n" {
		t.Fatalf("it ran %q", b)
	}
	for _, id := range []string{"", "..", "a/b"} {
		if ran, _, err := runUserData(t.Context(), &procs, dir, id, data); ran || err == nil {
			t.Errorf("instance id %q was taken", id)
		}
	}
}

func TestKeys(t *testing.T) {
	home := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	for _, bad := range []string{"ssh-rsa", "command=\"x\" ssh-rsa AAAA", "ssh-rsa AAAA\nssh-rsa BBBB", "", "hello world"} {
		if err := writeKeys(home, []string{bad}, uid, gid); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
	if err := writeKeys(home, []string{"ssh-rsa AAAA me", "ecdsa-sha2-nistp256 BBBB"}, uid, gid); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, ".ssh/authorized_keys")
	if b, _ := os.ReadFile(file); string(b) != "ssh-rsa AAAA me\necdsa-sha2-nistp256 BBBB\n" {
		t.Fatalf("%q", b)
	}
	for p, perm := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != perm {
			t.Errorf("%s: %v %v", p, st.Mode(), err)
		}
	}
}

func TestDisks(t *testing.T) {
	sys := t.TempDir()
	for dev, serial := range map[string]string{"vda": "root\n", "vdb": "ephemeral0\n", "vdc": "vol0123456789abcdef0", "vdd": "vol0123456789abcdef1", "sr0": "x"} {
		os.MkdirAll(filepath.Join(sys, dev), 0o755)
		os.WriteFile(filepath.Join(sys, dev, "serial"), []byte(serial), 0o644)
	}
	disks := listDisks(sys)
	if len(disks) != 4 || disks[0] != (disk{"vda", "root"}) || disks[3] != (disk{"vdd", "vol0123456789abcdef1"}) {
		t.Fatalf("%+v", disks)
	}
	got := deviceLinks(disks, names{})
	if want := map[string]string{"sda1": "vda", "xvda1": "vda", "sdb": "vdb", "xvdb": "vdb"}; !maps.Equal(got, want) {
		t.Fatalf("without metadata: %v", got)
	}
	got = deviceLinks(disks, names{mapping: map[string]string{"ami": "/dev/xvda", "ephemeral0": "sdc", "ebs2": "sdg", "ebs10": "sdh", "ebs1": "/dev/sdf", "root": "/dev/vdb"}})
	for name, dev := range map[string]string{"xvda": "vda", "sdc": "vdb", "xvdc": "vdb", "sdf": "vdc", "xvdf": "vdc", "sdg": "vdd", "xvdg": "vdd"} {
		if got[name] != dev {
			t.Errorf("%s leads to %q, want %s (%v)", name, got[name], dev, got)
		}
	}
	if got["sdb"] != "" || got["xvdb"] != "" {
		t.Errorf("the ephemeral disk is called sdc, and takes a volume's name: %v", got)
	}
	if got := deviceLinks(disks, names{mapping: map[string]string{"ami": "../../etc/passwd", "ephemeral0": "vdc"}}); got["../../etc/passwd"] != "" || got["vdc"] != "" {
		t.Fatalf("a name from outside was taken: %v", got)
	}
}

// A volume's own name comes before another disk's custom one, and goes with it.
func TestLinksFollowDisks(t *testing.T) {
	dev, sys := t.TempDir(), t.TempDir()
	plug := func(name, serial string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(sys, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, name, "serial"), []byte(serial), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plug("vda", "root")
	plug("vdb", "ephemeral0")
	var mu sync.Mutex
	told := map[string]string{}
	tell := func(m map[string]string) { mu.Lock(); defer mu.Unlock(); told = m }
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan struct{}, 1)
	poke := func() { events <- struct{}{} }
	ended := make(chan struct{})
	l := links{dev: dev, sys: sys}
	go func() {
		defer close(ended)
		l.follow(ctx, events, func(context.Context) map[string]string { mu.Lock(); defer mu.Unlock(); return told })
	}()
	defer func() { cancel(); <-ended }()
	until := func(name, want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			got, _ := os.Readlink(filepath.Join(dev, name))
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s leads to %q, want %q", name, got, want)
			}
		}
	}
	until("sda1", "vda")
	until("xvdb", "vdb")
	plug("vdc", "vol0123456789abcdef0")
	poke()
	until("xvdb", "vdb") // nobody knows yet what it is called
	tell(map[string]string{"vol0123456789abcdef0": "/dev/xvdb"})
	until("xvdb", "vdc") // asked again, without another event
	until("sdb", "vdb")
	os.RemoveAll(filepath.Join(sys, "vdc"))
	poke()
	until("xvdb", "vdb")
	// The same place, another volume.
	tell(map[string]string{"vol0123456789abcdef1": "/dev/sdf"})
	plug("vdc", "vol0123456789abcdef1")
	poke()
	until("sdf", "vdc")
	until("xvdf", "vdc")
	os.RemoveAll(filepath.Join(sys, "vdc"))
	poke()
	until("sdf", "")
	until("xvdf", "")
}

func TestWhatIsUnmounted(t *testing.T) {
	mounts := "/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/vdb /mnt ext4 rw 0 0\n/dev/vdc /mnt/my\\040disk ext4 rw 0 0\nshort\n"
	if got := onDisks(mounts); !slices.Equal(got, []string{"/mnt/my disk", "/mnt"}) {
		t.Errorf("%q", got)
	}
	if !isBlock([]byte("add@/x\x00ACTION=add\x00SUBSYSTEM=block\x00SEQNUM=1\x00")) || isBlock([]byte("add@/x\x00SUBSYSTEM=blocks\x00")) {
		t.Error("which uevent is a block device's")
	}
}

func TestHostAsks(t *testing.T) {
	sys := t.TempDir()
	real := filepath.Join(sys, "devices/pci0000:00/0000:00:02.0/0000:01:00.0/virtio3/block/vdc")
	for _, d := range []string{real + "/vdc1", filepath.Join(sys, "dev/block"), filepath.Join(sys, "devices/virtual/block/dm-0/slaves")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(real+"/serial", []byte("vol0123456789abcdef0"), 0o644)
	for link, to := range map[string]string{"254:32": real, "254:33": real + "/vdc1", "253:0": filepath.Join(sys, "devices/virtual/block/dm-0")} {
		if err := os.Symlink(to, filepath.Join(sys, "dev/block", link)); err != nil {
			t.Fatal(err)
		}
	}
	os.Symlink(real, filepath.Join(sys, "devices/virtual/block/dm-0/slaves/vdc"))
	info := filepath.Join(sys, "mountinfo")
	for n, want := range map[string]string{
		"36 35 254:32 / /my\\040data rw shared:1 - ext4 /dev/xvdb rw\n":        "/my data /dev/vdc",
		"36 35 254:33 / /part rw - ext4 /dev/vdc1 rw\n":                        "/part /dev/vdc1",
		"36 35 253:0 / /lv rw - xfs /dev/mapper/a rw\n":                        "/lv /dev/vdc",
		"36 35 0:5 / /proc rw - proc proc rw\nbroken\n36 35 254:32 / - ext4\n": "",
	} {
		os.WriteFile(info, []byte(n), 0o644)
		out := answerHost([]byte("junk\xff{\"execute\":\"guest-get-fsinfo\"}\n"), func() []fsInfo { return filesystems(info, sys) })
		var r struct{ Return []fsInfo }
		if err := json.Unmarshal(out, &r); err != nil || r.Return == nil {
			t.Fatalf("%s: %v", out, err)
		}
		got := ""
		for _, f := range r.Return {
			got = f.Mountpoint + " " + f.Disk[0].Dev
			if f.Disk[0].Serial != "vol0123456789abcdef0" || f.Disk[0].PCI != (pciAddress{Bus: 1}) {
				t.Errorf("%+v", f)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", n, got, want)
		}
	}
	for in, want := range map[string]string{
		`{"execute":"guest-ping"}`:                                 "{\"return\":{}}\n",
		`{"execute":"guest-sync","arguments":{"id":7}}`:            "{\"return\":7}\n",
		`{"execute":"guest-sync-delimited","arguments":{"id":-1}}`: "\xff{\"return\":-1}\n",
		"": "",
	} {
		if got := string(answerHost([]byte(in), nil)); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{`{"execute":"guest-exec"}`, `{"execute":"guest-sync"}`, `[]`, `{`, `{"execute":1}`} {
		if got := string(answerHost([]byte(in), nil)); !strings.HasPrefix(got, `{"error":`) {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func FuzzHostAsks(f *testing.F) {
	f.Add([]byte(`{"execute":"guest-sync","arguments":{"id":7}}`))
	f.Add([]byte("\xff{\"execute\":\"guest-get-fsinfo\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := answerHost(b, func() []fsInfo { return nil })
		if out == nil {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(bytes.TrimPrefix(out, []byte{0xff}), &m); err != nil || (m["return"] == nil) == (m["error"] == nil) {
			t.Fatalf("%q: %v", out, err)
		}
	})
}

func TestListens(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "tcp6"), []byte("  sl  local_address remote_address st\n   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0\n   1: 0100007F:0050 0100007F:1111 01 0\n"), 0o644)
	if !listens(dir, 22) || listens(dir, 80) || listens(t.TempDir(), 22) {
		t.Error("which port is listened on")
	}
}

func TestSmallThings(t *testing.T) {
	args := parseCmdline("console=ttyS0 root=/dev/vda quiet a=b=c\n")
	if args["root"] != "/dev/vda" || args["quiet"] != "1" || args["a"] != "b=c" {
		t.Errorf("%v", args)
	}
	for name, ok := range map[string]bool{"ip-10-0-0-5": true, "": false, "-a": false, "a_b": false, "a\n": false, strings.Repeat("a", 64): false} {
		if validHostname(name) != ok {
			t.Errorf("hostname %q: %v", name, !ok)
		}
	}
	e := make([]byte, inputEventSize)
	binary.LittleEndian.PutUint16(e[16:], evKey)
	binary.LittleEndian.PutUint16(e[18:], keyPower)
	if powerPressed(e) {
		t.Error("a release is a press")
	}
	binary.LittleEndian.PutUint32(e[20:], 1)
	if !powerPressed(e) || powerPressed(e[:20]) {
		t.Error("a press is none")
	}
	if got := string(resolvConf([]net.IP{net.IPv4(10, 0, 0, 2)}, "ec2.internal")); got != "search ec2.internal\nnameserver 10.0.0.2\n" {
		t.Errorf("%q", got)
	}
	if got := string(resolvConf(nil, "a\nnameserver 6.6.6.6")); got != "" {
		t.Errorf("%q", got)
	}
	dmi := t.TempDir()
	os.WriteFile(filepath.Join(dmi, "board_asset_tag"), []byte("i-0123\n"), 0o644)
	if id := firmwareInstanceID(dmi); id != "i-0123" {
		t.Errorf("%q", id)
	}
	if id := firmwareInstanceID(t.TempDir()); id != "" {
		t.Errorf("%q", id)
	}
}

func FuzzUserData(f *testing.F) {
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := script(b)
		if s != nil && (err != nil || !bytes.HasPrefix(s, []byte("#!"))) {
			t.Fatalf("%q %v", s, err)
		}
	})
}

func FuzzMapping(f *testing.F) {
	f.Add("ami", "sda1", "ephemeral0", "/dev/sdb")
	f.Add("ebs1", "../x", "root", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		disks := []disk{{"vda", "root"}, {"vdb", "ephemeral0"}, {"vdc", "vol1"}}
		for name := range deviceLinks(disks, names{mapping: map[string]string{k1: v1, k2: v2}, serials: parseSerials("vol1 " + v1 + "\n" + v2)}) {
			if filepath.Base(name) != name || name == ".." {
				t.Fatalf("the link %q leaves /dev", name)
			}
		}
		parseCmdline(v1)
		plainKey(v2)
	})
}
