//go:build cgo

package libvirtd

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry/compute-node/hypervisor"
	"skerry/compute-node/hypervisor/hypervisortest"
)

// BenchmarkReady measures, in turns, a guest's start through the driver and a
// bare QEMU with the arguments that libvirt gave to it, each to the guest's
// READY marker. The ratio of the medians is what the driver costs.
//
//	go test -tags libvirt_dlopen -run - -bench Ready -benchtime 5x ./compute-node/hypervisor/libvirtd
func BenchmarkReady(b *testing.B) {
	img := image(b)
	root, err := os.MkdirTemp("/run", "skb")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(root)
	drv, err := Open(b.Context(), Config{Root: root, Cache: filepath.Join(os.TempDir(), "skerry-test-capabilities")})
	if err != nil {
		b.Fatal(err)
	}
	defer drv.Close()
	dir := b.TempDir()
	const id = "i-0ddddddddddddddd1"
	disk, console := filepath.Join(dir, "root.qcow2"), filepath.Join(dir, "console")
	fresh := func() {
		b.Helper()
		os.Remove(console)
		out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(img, "skerry-linux.root"), disk, "10G").CombinedOutput()
		if err != nil {
			b.Fatalf("qemu-img: %v %s", err, out)
		}
	}
	ready := func(begun time.Time) time.Duration {
		b.Helper()
		for time.Since(begun) < time.Minute {
			if out, _ := os.ReadFile(console); bytes.Contains(out, []byte("SKERRY-READY")) {
				return time.Since(begun)
			}
			time.Sleep(2 * time.Millisecond)
		}
		b.Fatal("the guest was not ready within a minute")
		return 0
	}
	var through, bare []time.Duration
	var argv []string
	for i := 0; b.Loop(); i++ {
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
		fresh()
		begun := time.Now()
		if err := drv.Start(ctx, hypervisor.Domain{
			ID: id, Generation: uint64(i + 1), Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, TBCache: 32, RootPorts: 12, Accel: hypervisor.TCG,
			Kernel: filepath.Join(img, "skerry-linux.vmlinuz"), Initrd: filepath.Join(img, "skerry-linux.initrd"),
			Cmdline: "console=ttyS0 root=/dev/vda quiet loglevel=4 random.trust_cpu=on", Console: console,
			Disks: []hypervisor.Disk{{Path: disk, Format: "qcow2", Serial: "root"}},
		}); err != nil {
			b.Fatal(err)
		}
		through = append(through, ready(begun))
		if argv == nil {
			pid, _ := os.ReadFile(filepath.Join(root, "run/qemu", id+".pid"))
			line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cmdline")
			if err != nil {
				b.Fatal(err)
			}
			if argv, err = hypervisortest.Bare(strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"), console); err != nil {
				b.Fatal(err)
			}
		}
		if err := drv.Destroy(ctx, id); err != nil {
			b.Fatal(err)
		}
		cancel()

		fresh()
		begun = time.Now()
		cmd := exec.Command(argv[0], argv[1:]...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
			b.Fatalf("bare QEMU ended: %s\n%q", errs.String(), argv)
		case <-time.After(50 * time.Millisecond):
		}
		bare = append(bare, ready(begun))
		cmd.Process.Signal(syscall.SIGKILL)
		<-ended
	}
	if err := drv.Remove(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return d[len(d)/2].Seconds()
	}
	b.ReportMetric(median(through), "s-libvirt")
	b.ReportMetric(median(bare), "s-bare")
	b.ReportMetric(median(through)/median(bare), "ratio")
}
