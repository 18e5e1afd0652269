package lab

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry/internal/config"
)

func made(t *testing.T, azs, hosts int, hypervisor string) *Region {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	r, err := New(t.TempDir(), "isle-1", azs, hosts, hypervisor)
	if err != nil {
		t.Fatal(err)
	}
	r.Capacity = Capacity{8, 512, 100}
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(r.Run())
		os.Remove(filepath.Dir(r.Run()))
	})
	return r
}

// Every program can load the file written for it, and no two of them share a
// host and kind, an address, a directory or a key.
func TestConfigs(t *testing.T) {
	for _, hypervisor := range []string{QEMU, Memory} {
		r := made(t, 3, 2, hypervisor)
		if n := len(r.Programs()); n != 3*3+6*3 {
			t.Errorf("%d programs", n)
		}
		seen := map[string]string{}
		unique := func(p Program, v string) {
			if other, ok := seen[v]; ok {
				t.Errorf("%s: %s and %s share %q", hypervisor, p.Name(), other, v)
			}
			seen[v] = p.Name()
		}
		for _, p := range r.Programs() {
			c, err := config.Load(p.Config, p.Kind)
			if err != nil {
				t.Fatal(err)
			}
			unique(p, p.Name())
			unique(p, c.Data)
			unique(p, c.Run)
			seed, err := os.ReadFile(c.Bus.Nkey)
			if err != nil {
				t.Fatal(err)
			}
			unique(p, string(seed))
			if len(c.Bus.Servers) != 3 {
				t.Errorf("%s knows %v", p.Name(), c.Bus.Servers)
			}
			if s := c.Services; s != nil {
				unique(p, s.API)
				unique(p, s.BusListen)
				i := slices.IndexFunc(s.Voters, func(v config.Voter) bool { return v.AZ == c.AZ })
				unique(p, s.Voters[i].Raft)
				unique(p, s.Voters[i].Route)
				if s.Voters[i].Bus != s.BusListen || !s.Bootstrap || len(s.Users) != 1+len(r.Programs()) {
					t.Errorf("%s: %+v", p.Name(), s)
				}
			}
			// The longest socket of a guest is libvirt's monitor.
			if n := len(c.Run + "/lib/domain-99-i-0123456789abcdef0/monitor.sock"); os.Getuid() == 0 && n >= 108 {
				t.Errorf("%s: a socket path would have %d bytes", p.Name(), n)
			}
		}
	}
}

// Writing again keeps keys, certificates and ports.
func TestWriteTwice(t *testing.T) {
	r := made(t, 1, 1, Memory)
	sum := func() map[string]string {
		m := map[string]string{}
		filepath.WalkDir(r.Dir(), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				b, _ := os.ReadFile(path)
				m[path] = string(b)
			}
			return err
		})
		return m
	}
	before := sum()
	again, err := Open(r.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(); err != nil {
		t.Fatal(err)
	}
	after := sum()
	for path, b := range before {
		if after[path] != b {
			t.Errorf("%s changed", path)
		}
	}
	for path := range after {
		fi, _ := os.Stat(path)
		secret := strings.HasSuffix(path, ".key") || strings.HasSuffix(path, ".nk")
		if secret && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
	}
}

// A control plane proves itself to a peer that trusts only the region's
// authority, and another region's certificate does not.
func TestCertificates(t *testing.T) {
	a, b := made(t, 1, 1, QEMU), made(t, 1, 1, QEMU)
	ca, err := os.ReadFile(a.Path("ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	shake := func(r *Region, name string) error {
		pair, err := tls.LoadX509KeyPair(r.Path("ca", "isle-1a-cp.pem"), r.Path("ca", "isle-1a-cp.key"))
		if err != nil {
			t.Fatal(err)
		}
		one, two := net.Pipe()
		defer one.Close()
		defer two.Close()
		go tls.Server(two, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}).Handshake()
		return tls.Client(one, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: name}).Handshake()
	}
	for _, name := range []string{"isle-1a-cp", "10.77.1.2", "127.0.0.1", "localhost"} {
		if err := shake(a, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := shake(a, "isle-1b-cp"); err == nil {
		t.Error("a certificate passes for another host")
	}
	if err := shake(b, "isle-1a-cp"); err == nil {
		t.Error("another region's certificate is trusted")
	}
}

func TestDamage(t *testing.T) {
	r := made(t, 1, 1, Memory)
	if err := os.WriteFile(r.Path("ca", "region.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("damaged region key: %v", err)
	}
	if err := os.WriteFile(r.Path("region.json"), []byte(`{"format": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(r.Dir()); err == nil || !strings.Contains(err.Error(), "newer skerry") {
		t.Errorf("newer format: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoRegion) {
		t.Errorf("empty directory: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name       string
		azs, hosts int
		hypervisor string
		want       string
	}{
		{"Isle", 3, 2, QEMU, "lower-case"},
		{"isle.1", 3, 2, QEMU, "lower-case"},
		{"isle-1", 2, 2, QEMU, "odd"},
		{"isle-1", 0, 2, QEMU, "odd"},
		{"isle-1", 3, 0, QEMU, "1 to"},
		{"isle-1", 3, 2, "xen", "use qemu or memory"},
	} {
		if _, err := New(t.TempDir(), c.name, c.azs, c.hosts, c.hypervisor); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Two directories, or two regions, never share a name on the machine.
func TestTags(t *testing.T) {
	tag := func(dir, name string) string {
		r, err := New(dir, name, 1, 1, Memory)
		if err != nil {
			t.Fatal(err)
		}
		return r.Tag()
	}
	if tag("/a", "isle-1") == tag("/b", "isle-1") || tag("/a", "isle-1") == tag("/a", "isle-2") || tag("/a", "isle-1") != tag("/a/", "isle-1") {
		t.Error("tags do not follow directory and name")
	}
}

func FuzzRegion(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"isle-1","id":"00000000-0000-4000-8000-000000000000","azs":3,"hosts":2,"hypervisor":"qemu"}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parse(b)
		if err != nil {
			return
		}
		// What is accepted can be laid out.
		if len(r.Programs()) != r.AZs*(3+3*r.Hosts) || bytes.ContainsAny([]byte(r.Name), "/. ") {
			t.Errorf("%+v", r)
		}
	})
}

// A name that is no program's is answered with one that is.
func TestFindProgram(t *testing.T) {
	r := made(t, 1, 1, Memory)
	if p, err := r.FindProgram("isle-1a-1/compute"); err != nil || p.Name() != "isle-1a-1/compute" {
		t.Errorf("%v %v", p.Name(), err)
	}
	_, err := r.FindProgram("compute")
	if err == nil {
		t.Fatal("compute is a program")
	}
	_, like, _ := strings.Cut(err.Error(), "like ")
	if _, err := r.FindProgram(like); err != nil {
		t.Errorf("the hint misleads: %v", err)
	}
}
