package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// whole names every key of a file.
const whole = `
region = "isle-1"
region_id = "8f9ae0a2-5ad1-4a5b-9b2e-d6c0c39c2f01"
az = "isle-1a"
host = "isle-1a-cp"
kind = "services"
data = "/var/lib/skerry"
run = "/run/skerry/x"

[bus]
servers = ["tls://10.0.1.2:4222"]
nkey = "/etc/skerry/nkey"
ca = "/etc/skerry/ca.pem"

[services]
api = "10.0.1.2:8080"
bus_listen = "10.0.1.2:4222"
cert = "/etc/skerry/cert.pem"
key = "/etc/skerry/key.pem"
region_key = "/etc/skerry/region.key"
heartbeat = "400ms"
bootstrap = true
images = "/var/lib/skerry/images"
public = ["198.18.0.0/20"]
accounts_key = "/etc/skerry/accounts.key"
endpoint = "ec2.isle-1.example"
at = ["http://10.0.1.2:8080"]

[services.root]
region = "isle-0"
at = ["http://10.0.0.2:8080"]

[[services.voters]]
az = "isle-1a"
raft = "10.0.1.2:7000"
route = "10.0.1.2:6222"
bus = "10.0.1.2:4222"

[[services.users]]
nkey = "UAAA"
kind = "compute"
az = "isle-1a"
host = "isle-1a-1"

[compute]
hypervisor = "qemu"
accel = "auto"
vcpus = 4
memory_mib = 4096
disk_gib = 100
images = "/i"
cache = "/c"

[network]
datapath = "linux"
fabric = "eth0"
address = "10.0.1.3"
upstream = ["10.0.0.53:53"]
uplink = "out"
uplink_address = "198.18.0.3/20"
next_hop = "198.18.0.1"

[storage]
engine = "file"
disk_gib = 10
listen = "10.0.1.3:3260"
`

func TestWholeFile(t *testing.T) {
	c, err := Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	if c.AZ != "isle-1a" || time.Duration(c.Services.Heartbeat) != 400*time.Millisecond || len(c.Services.Voters) != 1 || c.Services.Users[0].Host != "isle-1a-1" || c.Compute.VCPUs != 4 {
		t.Errorf("%+v", c)
	}
	for _, k := range keys(reflect.TypeFor[Config](), "") {
		last := k[strings.LastIndexByte(k, '.')+1:]
		if !strings.Contains(whole, last) {
			t.Errorf("this test's file does not name %s", k)
		}
	}
}

// What Write writes is what Parse reads, and only its owner can read it.
func TestWriteAndLoad(t *testing.T) {
	c, err := Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := c.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path, Services)
	if err != nil || !reflect.DeepEqual(c, back) {
		t.Errorf("%v\n%+v\n%+v", err, c, back)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", i.Mode(), err)
	}
	if _, err := Load(path, Compute); err == nil || !strings.Contains(err.Error(), `"services"`) || !strings.Contains(err.Error(), `"compute"`) {
		t.Errorf("another program's file: %v", err)
	}
	if _, err := Load(path+".none", Services); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Every error names the key, and what to do where it can.
func TestErrorsNameTheKey(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("%q is not in the file", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for _, test := range []struct {
		text string
		want []string
	}{
		{replace("bus_listen", "bus_listn"), []string{`"services.bus_listn"`, `"services.bus_listen"`}},
		{replace("hypervisor", "hypervizor"), []string{`"compute.hypervizor"`, `"compute.hypervisor"`}},
		{replace("region_id", "regoin_id"), []string{`"regoin_id"`, `"region_id"`}},
		{replace("raft =", "rafft ="), []string{"rafft", `"services.voters.raft"`}},
		{replace("[storage]", "[storrage]"), []string{"storrage"}},
		{whole + "\n[entirely]\nelse = 1\n", []string{`"entirely"`}},
		{replace(`region = "isle-1"`, ""), []string{`"region"`, "missing"}},
		{replace(`region_id = "8f9ae0a2-5ad1-4a5b-9b2e-d6c0c39c2f01"`, ""), []string{`"region_id"`}},
		{replace(`az = "isle-1a"`, ""), []string{`"az"`}},
		{replace(`host = "isle-1a-cp"`, ""), []string{`"host"`}},
		{replace(`kind = "services"`, ""), []string{`"kind"`}},
		{replace(`data = "/var/lib/skerry"`, ""), []string{`"data"`}},
		{replace(`servers = ["tls://10.0.1.2:4222"]`, ""), []string{`"bus.servers"`}},
		{replace(`api = "10.0.1.2:8080"`, ""), []string{`"services.api"`}},
		{replace(`bus_listen = "10.0.1.2:4222"`, ""), []string{`"services.bus_listen"`}},
		{replace(`region_key = "/etc/skerry/region.key"`, ""), []string{`"services.region_key"`}},
		{replace(`"isle-1a"`, `"isle-1b"`), []string{"services.voters", `"isle-1b"`}},
		{replace(`"services"`, `"compute"`) + "\n", nil},
		{replace(`"services"`, `"kitchen"`), []string{"kind", `"kitchen"`, "compute"}},
		{strings.Replace(replace(`"services"`, `"compute"`), `"qemu"`, `"xen"`, 1), []string{"compute.hypervisor", `"xen"`, `"qemu"`}},
		{replace(`vcpus = 4`, `vcpus = "four"`), []string{"vcpus", "line"}},
		{replace(`vcpus = 4`, `vcpus = 4.5`), []string{"vcpus"}},
		{replace(`vcpus = 4`, `vcpus = -4`), []string{"compute.vcpus", "-4"}},
		{replace(`memory_mib = 4096`, `memory_mib = -1`), []string{"compute.memory_mib"}},
		{replace(`disk_gib = 100`, `disk_gib = -1`), []string{"compute.disk_gib"}},
		{replace(`"400ms"`, `"soon"`), []string{"heartbeat", "soon"}},
		{replace(`"400ms"`, `"-1s"`), []string{"services.heartbeat", "-1s"}},
		{replace(`accounts_key = "/etc/skerry/accounts.key"`, ""), []string{`"services.accounts_key"`}},
		{replace(`region = "isle-0"`, `region = "isle-1"`), []string{"services.root"}},
		{replace(`at = ["http://10.0.0.2:8080"]`, ""), []string{`"services.root.at"`}},
		{replace(`bootstrap = true`, `bootstrap = "yes"`), []string{"bootstrap"}},
		{replace(`host = "isle-1a-cp"`, `host = "isle.1a"`), []string{`"host"`, "isle.1a"}},
		{replace(`host = "isle-1a-cp"`, `host = "*"`), []string{`"host"`, "*"}},
		{replace(`region = "isle-1"`, `region = "isle 1"`), []string{`"region"`, "isle 1"}},
		{replace(`host = "isle-1a-1"`, `host = ">"`), []string{"services.users.host", ">"}},
		{replace(`nkey = "UAAA"`, `nkey = ""`), []string{"services.users.nkey"}},
		{replace("[bus]", "[bus"), []string{"line"}},
	} {
		_, err := Parse(test.text)
		if err == nil && test.want != nil {
			t.Errorf("want an error that names %q", test.want)
			continue
		}
		if test.want == nil && err != nil {
			t.Errorf("want no error: %v", err)
		}
		for _, w := range test.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v\ndoes not name %q", err, w)
			}
		}
	}
}

// Each kind asks for its own section only.
func TestKinds(t *testing.T) {
	base := "region=\"r\"\nregion_id=\"i\"\naz=\"ra\"\nhost=\"h\"\ndata=\"/d\"\n[bus]\nservers=[\"x\"]\n"
	for kind, section := range map[string]string{Scheduler: "", Network: "", Storage: "", Services: "[services]", Compute: "[compute]"} {
		_, err := Parse("kind=\"" + kind + "\"\n" + base)
		if section == "" && err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if section != "" && (err == nil || !strings.Contains(err.Error(), section)) {
			t.Errorf("%s without its section: %v", kind, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("")
	f.Add("a.b.c = 1\n[[services.voters]]\n")
	f.Add("kind = \"compute\"\ncompute = 3")
	f.Add("services = {voters = [1]}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error that says nothing")
			}
			return
		}
		path := filepath.Join(t.TempDir(), "c")
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(string(b))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, b)
		}
		if back.Host != c.Host || back.Kind != c.Kind || len(back.Bus.Servers) != len(c.Bus.Servers) {
			t.Fatalf("it reads as another: %+v, %+v", c, back)
		}
	})
}
