package libvirtd

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"skerry/compute-node/hypervisor"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func TestDomainXML(t *testing.T) {
	small := hypervisor.Domain{
		ID: "i-0123456789abcdef0", Generation: 1, Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, TBCache: 32, RootPorts: 3, Accel: hypervisor.TCG,
		Kernel: "/c/kernel", Initrd: "/c/initrd", Cmdline: "console=ttyS0 root=/dev/vda a<b", Console: "/g/console",
		Disks: []hypervisor.Disk{{Path: "/g/root.qcow2", Format: "qcow2", Serial: "root"}, {Path: "/g/ephemeral0.raw", Format: "raw", Serial: "ephemeral0"}},
	}
	large := small
	large.Accel, large.VCPUs, large.MemoryMiB, large.Type = hypervisor.KVM, 2, 4096, "m5.large"
	large.Generation, large.Reboots = 2, 7
	large.NICs = []hypervisor.NIC{{Tap: "tap0", MAC: "02:00:00:00:00:01"}}
	for name, d := range map[string]hypervisor.Domain{"tcg": small, "kvm": large} {
		got, err := domainXML(d, "/usr/bin/qemu-system-x86_64", "/run/ga")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".xml")
		if *rewrite {
			if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got+"\n" != string(want) {
			t.Errorf("%s differs (run with -rewrite to accept):\n%s", file, got)
		}
		// What is dropped silently by the marshaller is the usual fault.
		for _, must := range []string{`managed="no"`, `<tb-cache unit="MiB">32`, `append="on"`, `generation="1"`, `<smbios mode="sysinfo"`, `asset">i-0123456789abcdef0<`, `<serial>ephemeral0<`, "a&lt;b", `model="none"`} {
			kvmOnly, tcgOnly := must == `managed="no"`, strings.Contains(must, "tb-cache") || must == `generation="1"`
			if (kvmOnly && name != "kvm") || (tcgOnly && name != "tcg") {
				continue
			}
			if !strings.Contains(got, must) {
				t.Errorf("%s lacks %s", name, must)
			}
		}
		if c, err := consoleOf(got); err != nil || c != "/g/console" {
			t.Errorf("console %q %v", c, err)
		}
		var back libvirtxml.Domain
		if err := back.Unmarshal(got); err != nil {
			t.Fatal(err)
		}
		b, err := parseBoot(back.Metadata.XML)
		if err != nil || b.Instance != d.ID || b.Generation != d.Generation || b.Reboots != d.Reboots {
			t.Errorf("metadata %+v %v", b, err)
		}
	}
}

func TestBadDomainsAreNamed(t *testing.T) {
	d := hypervisor.Domain{ID: "i-1", Accel: "xen", VCPUs: 0, MemoryMiB: 1, Kernel: "k"}
	_, err := domainXML(d, "/q", "/ga")
	for _, want := range []string{`"i-1"`, "0 vcpus", "1 MiB", `"xen"`, `"k"`, "0 disks"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(`<sk:boot xmlns:sk="https://skerry.invalid/domain/1" instance="i-0123456789abcdef0" generation="1" reboots="0"/>`)
	f.Add(`<boot generation="-1"/>`)
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := parseBoot(s); err == nil && b.Instance == "" {
			t.Fatalf("%q: no instance and no error", s)
		}
		consoleOf(s)
		startTime(s)
	})
}

// A volume's disk, and what is read back of a domain that has one.
func TestVolumeXML(t *testing.T) {
	v := hypervisor.Volume{Serial: "vol0123456789abcdef0", Portal: netip.MustParseAddrPort("127.0.0.1:3261"), Target: "iqn.2026-11.io.skerry:vol-1", Initiator: "iqn.2026-11.io.skerry:attach-1"}
	got, err := volumeXML(v, "vdc")
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{`protocol="iscsi"`, `name="iqn.2026-11.io.skerry:vol-1/1"`, `port="3261"`, `<iqn name="iqn.2026-11.io.skerry:attach-1"`, `dev="vdc"`, `<serial>vol0123456789abcdef0<`, `cache="none"`, `error_policy="report"`} {
		if !strings.Contains(got, must) {
			t.Errorf("%s is missing:\n%s", must, got)
		}
	}
	v.WriteThrough = true
	if got, _ := volumeXML(v, "vdc"); !strings.Contains(got, `cache="directsync"`) {
		t.Errorf("a write-through volume has a cache:\n%s", got)
	}
	live := `<domain><devices><disk type="file" device="disk"><target dev="vda" bus="virtio"/><serial>root</serial></disk>` + strings.Replace(got, "<disk", "<disk", 1) + `</devices></domain>`
	have, dev, err := volumesOf(live)
	if err != nil || len(have) != 1 || dev != "vdb" || have["vol0123456789abcdef0"].Target.Dev != "vdc" {
		t.Errorf("%v %s %v", have, dev, err)
	}
	const answer = `{"return":[{"name":"vda","mountpoint":"/","disk":[{"serial":"root"}]},{"name":"vdc","mountpoint":"/data","disk":[{"serial":"vol0123456789abcdef0"}]}]}`
	if at, err := mountOf(answer, "vol0123456789abcdef0"); err != nil || at != "/data" {
		t.Errorf("mounted on %q, %v", at, err)
	}
	if at, err := mountOf(answer, "vol1"); err != nil || at != "" {
		t.Errorf("mounted on %q, %v", at, err)
	}
	if _, err := mountOf("nonsense", "vol1"); err == nil {
		t.Error("nonsense was read")
	}
}

func FuzzGuestAnswer(f *testing.F) {
	f.Add(`{"return":[{"mountpoint":"/","disk":[{"serial":"a"}]}]}`, "a")
	f.Fuzz(func(t *testing.T, answer, serial string) {
		if at, err := mountOf(answer, serial); err != nil && at != "" {
			t.Error("an answer that cannot be read says where")
		}
	})
}
