package accel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry/compute-node/hypervisor"
)

// host is a machine with files for devices and modules, and a shell script for
// QEMU that notes each run.
func host(t *testing.T, script string, modules ...string) (Host, func() int) {
	d := t.TempDir()
	runs := filepath.Join(d, "runs")
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(d, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	h := Host{
		Emulator: write("qemu", "#!/bin/sh\n[ \"$1\" = --version ] && { echo QEMU 7; exit; }\necho run >> "+runs+"\n"+script+"\n", 0o755),
		Kernel:   write("kernel", "", 0o644), Ramdisk: write("ramdisk", "", 0o644),
		Keep: filepath.Join(d, "keep/verdict.json"), kvm: write("kvm", "", 0o644), sysModule: filepath.Join(d, "module"),
	}
	for _, m := range modules {
		write("module/"+m+"/x", "", 0o644)
	}
	return h, func() int { b, _ := os.ReadFile(runs); return strings.Count(string(b), "run") }
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name, script, wish string
		modules            []string
		want               hypervisor.Accel
		why                string
		runs               int
	}{
		{"works", "echo; echo SKERRY-INIT 0.3; exec sleep 60", "auto", []string{"kvm", "kvm_intel"}, hypervisor.KVM, "boots under KVM", 1},
		{"paravirtual", "echo SKERRY-INIT", "auto", []string{"kvm", "kvm_pvm"}, hypervisor.TCG, "kvm_pvm", 0},
		{"ends", "echo Booting from ROM; echo broken >&2; exit 1", "auto", []string{"kvm_amd"}, hypervisor.TCG, "broken", 1},
		{"told", "exit 1", "kvm", nil, hypervisor.KVM, "config", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, runs := host(t, c.script, c.modules...)
			for range 2 { // the second answer is the kept one
				v, err := h.Choose(t.Context(), c.wish)
				if err != nil || v.Accel != c.want || !strings.Contains(v.Why, c.why) {
					t.Fatalf("%+v %v", v, err)
				}
			}
			if n := runs(); n != c.runs {
				t.Fatalf("QEMU ran %d times, want %d", n, c.runs)
			}
			if c.wish == "auto" {
				os.MkdirAll(filepath.Join(h.sysModule, "kvm_other"), 0o755)
				h.Choose(t.Context(), c.wish)
				if n := runs(); n != 2*c.runs {
					t.Fatalf("modules changed and QEMU ran %d times", n)
				}
			}
		})
	}
	if _, err := (Host{}).Choose(t.Context(), "xen"); err == nil || !strings.Contains(err.Error(), "xen") {
		t.Fatalf("got %v", err)
	}
}

func TestAHangingKernelIsGivenUp(t *testing.T) {
	h, _ := host(t, "echo Booting from ROM; exec sleep 60", "kvm_intel")
	begun := time.Now()
	_, out, err := Boot(t.Context(), h.Emulator, hypervisor.KVM, h.Kernel, h.Ramdisk, 300*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "no SKERRY-INIT within") || !strings.Contains(out, "Booting") {
		t.Fatalf("%q %v", out, err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Fatalf("took %v", d)
	}
}

// TestRealBoot is the control: the image does boot with TCG.
func TestRealBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	img, _ := filepath.Abs("../../.build/image")
	const qemu = "/usr/bin/qemu-system-x86_64"
	if _, err := os.Stat(qemu); err != nil {
		t.Skip(qemu + " is not installed (Debian package qemu-system-x86)")
	}
	if _, err := os.Stat(filepath.Join(img, "images.json")); err != nil {
		t.Skip("the image is not built: go run ./deploy/image")
	}
	k, r := filepath.Join(img, "skerry-linux.vmlinuz"), filepath.Join(img, "skerry-linux.initrd")
	took, out, err := Boot(t.Context(), qemu, hypervisor.TCG, k, r, time.Minute)
	if err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	v, err := Host{Kernel: k, Ramdisk: r}.Choose(t.Context(), "auto")
	t.Logf("init under TCG after %v; this machine: %+v %v", took, v, err)
	if err != nil {
		t.Fatal(err)
	}
}
