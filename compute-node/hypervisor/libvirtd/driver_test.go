//go:build cgo

package libvirtd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/hypervisortest"
	"skerry/compute-node/orphans"
)

const reaped = "SKERRY_TEST_UNDER_REAPER"

// TestMain runs the tests under a parent that reaps, as every agent runs.
func TestMain(m *testing.M) {
	if os.Getenv(reaped) == "" {
		os.Setenv(reaped, "1")
		code, err := orphans.Reap(os.Args)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// image finds the built image or skips.
func image(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../../.build/image")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("libvirt's embedded QEMU driver needs root")
	}
	if _, err := os.Stat("/usr/bin/qemu-system-x86_64"); err != nil {
		t.Skip("/usr/bin/qemu-system-x86_64 is not installed (Debian package qemu-system-x86)")
	}
	if libs, _ := filepath.Glob("/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so"); len(libs) == 0 {
		t.Skip("libvirt's QEMU driver is not installed (Debian package libvirt-daemon-driver-qemu)")
	}
	if _, err := os.Stat(filepath.Join(dir, "images.json")); err != nil {
		t.Skip("the image is not built: go run ./deploy/image")
	}
	return dir
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	img := image(t)
	root, err := os.MkdirTemp("/run", "skt")
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(os.TempDir(), "skerry-test-capabilities")
	dir := t.TempDir()
	pid := func(id string) int {
		b, err := os.ReadFile(filepath.Join(root, "run/qemu", id+".pid"))
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return n
	}
	t.Cleanup(func() {
		files, _ := filepath.Glob(filepath.Join(root, "run/qemu/i-*.pid"))
		for _, f := range files {
			if p := pid(strings.TrimSuffix(filepath.Base(f), ".pid")); p > 1 {
				syscall.Kill(p, syscall.SIGKILL)
			}
		}
		os.RemoveAll(root)
	})
	bench := hypervisortest.Bench{
		Open: func(t *testing.T) hypervisor.Driver {
			d, err := Open(t.Context(), Config{Root: root, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Domain: func(t *testing.T, id string) hypervisor.Domain {
			disk := filepath.Join(dir, id+".qcow2")
			out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(img, "skerry-linux.root"), disk, "1G").CombinedOutput()
			if err != nil {
				t.Fatalf("qemu-img: %v %s", err, out)
			}
			return hypervisor.Domain{
				ID: id, Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, TBCache: 32, RootPorts: 12, Accel: hypervisor.TCG,
				Kernel: filepath.Join(img, "skerry-linux.vmlinuz"), Initrd: filepath.Join(img, "skerry-linux.initrd"),
				Cmdline: "console=ttyS0 root=/dev/vda quiet", Console: filepath.Join(dir, id+".console"),
				Disks: []hypervisor.Disk{{Path: disk, Format: "qcow2", Serial: "root"}},
			}
		},
		Kill: func(t *testing.T, id string) {
			p := pid(id)
			if p < 2 {
				t.Fatalf("no process of %s", id)
			}
			syscall.Kill(p, syscall.SIGKILL)
		},
		Patience: 60 * time.Second,
		Reopens:  true,
	}
	hypervisortest.Run(t, bench)
	t.Run("a QEMU that never answers", func(t *testing.T) {
		hangs := filepath.Join(dir, "qemu-hangs")
		marker := filepath.Join(dir, "hang")
		script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *guest=*) [ -e %s ] && exec sleep 600;; esac\nexec /usr/bin/qemu-system-x86_64 \"$@\"\n", marker)
		if err := os.WriteFile(hangs, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		drv, err := Open(t.Context(), Config{Root: root, Emulator: hangs})
		if err != nil {
			t.Fatal(err)
		}
		defer drv.Close()
		const id = "i-0aaaaaaaaaaaaaaa9"
		def := bench.Domain(t, id)
		runs := func() {
			t.Helper()
			def.Generation++
			for _, err := range []error{drv.Start(t.Context(), def), drv.Destroy(t.Context(), id), drv.Remove(t.Context(), id)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		runs() // libvirt now knows this QEMU
		if err := os.WriteFile(marker, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		drv.(*driver).startFor = 5 * time.Second
		err = drv.Start(t.Context(), def)
		if err == nil || !strings.Contains(err.Error(), "and is killed") {
			t.Fatalf("a start that hangs: %v", err)
		}
		t.Log(err)
		if err := os.Remove(marker); err != nil {
			t.Fatal(err)
		}
		drv.(*driver).startFor = startFor
		runs()
	})
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "skt") // t.TempDir may be too long a path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Root: "run"}, `"run"`},
		{Config{Root: "/run/" + strings.Repeat("x", 60)}, "at most"},
		{Config{Root: root, Emulator: "/no/qemu"}, "qemu-system-x86"},
	} {
		if _, err := Open(context.Background(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%+v) = %v, want %q", c.cfg, err, c.want)
		}
	}
}
