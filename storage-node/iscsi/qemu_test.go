package iscsi

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func tool(t testing.TB, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return p
}

// QEMU is the initiator that matters. It sends a NOP-Out every five seconds
// that takes a command number: a target that miscounts it hangs at the first
// command after a gap.
func TestQEMU(t *testing.T) {
	qio := tool(t, "qemu-io")
	gap := 13 * time.Second
	if testing.Short() {
		gap = 100 * time.Millisecond
	}
	b := newBench(t, vfs.Default, t.TempDir(), 64<<20)
	file := "json:" + fmt.Sprintf(`{"driver":"raw","file":{"driver":"iscsi","transport":"tcp","portal":%q,"target":%q,"lun":1,"initiator-name":%q}}`,
		b.gate(), targetIQN, initIQN)
	cmd := exec.Command(qio, "-c", "write -P 0x5a 0 1M", "-c", "write -P 0x11 3M 4k", "-c", "flush",
		"-c", fmt.Sprintf("sleep %d", gap.Milliseconds()),
		"-c", "read -P 0x5a 0 1M", "-c", "write -f -P 0x77 8M 512", "-c", "read -P 0x77 8M 512", "-c", "write -z -u 0 512k", "-c", "read -P 0 0 512k",
		"-c", "discard 3M 4k", "-c", "read -P 0 3M 4k", "-c", "aio_write -P 0x21 16M 8M", "-c", "aio_flush", "-c", "read -P 0x21 16M 8M", file)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") || strings.Contains(string(out), "error") {
		t.Fatalf("%v\n%s", err, out)
	}
	got := make([]byte, 4096)
	if err := b.vol.Read(got, 20<<20); err != nil || got[0] != 0x21 {
		t.Errorf("%v, %#x", err, got[0])
	}
}

// BenchmarkQEMU compares this driver, on the engine, with tgtd on a file, in the
// same run. The metric that counts is the ratio.
func BenchmarkQEMU(b *testing.B) {
	img, tgtd, admin := tool(b, "qemu-img"), tool(b, "tgtd"), tool(b, "tgtadm")
	const size = 256 << 20
	own := newBench(b, vfs.Default, b.TempDir(), size)
	zeros := make([]byte, 1<<20)
	for i := range zeros {
		zeros[i] = byte(i * 7)
	}
	path := filepath.Join(b.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for off := int64(0); off < size; off += int64(len(zeros)) { // a hole would read faster than it is
		if err := own.vol.Write(1, zeros, off); err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteAt(zeros, off); err != nil {
			b.Fatal(err)
		}
	}
	f.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	portal := l.Addr().String()
	l.Close()
	control := strconv.Itoa(10000 + os.Getpid()%20000)
	daemon := exec.Command(tgtd, "-f", "-C", control, "--iscsi", "portal="+portal)
	if err := daemon.Start(); err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { daemon.Process.Kill(); daemon.Wait() })
	adm := func(args ...string) error {
		out, err := exec.Command(admin, append([]string{"-C", control, "--lld", "iscsi"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("tgtadm %v: %w: %s", args, err, out)
		}
		return nil
	}
	eventually(b, "tgtd answers", func() bool { return adm("--op", "show", "--mode", "target") == nil })
	for _, args := range [][]string{
		{"--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2026-11.io.skerry:tgt"},
		{"--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", path},
		{"--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"},
	} {
		if err := adm(args...); err != nil {
			b.Skip(err)
		}
	}
	// The gate copies bytes; tgtd gets one too, so that both have it.
	theirs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { theirs.Close() })
	go forward(theirs, portal)
	ours := own.gate()
	file := func(addr, target string) string {
		return fmt.Sprintf(`json:{"driver":"raw","file":{"driver":"iscsi","transport":"tcp","portal":%q,"target":%q,"lun":1,"initiator-name":%q}}`, addr, target, initIQN)
	}
	run := func(b *testing.B, url string, write bool, bs, depth, count int) time.Duration {
		args := []string{"bench", "-t", "none", "-c", strconv.Itoa(count), "-d", strconv.Itoa(depth), "-s", strconv.Itoa(bs), "-S", strconv.Itoa(bs * 7)}
		if write {
			args = append(args, "-w")
		}
		begin := time.Now()
		if out, err := exec.Command(img, append(args, url)...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return time.Since(begin)
	}
	for _, c := range []struct {
		name      string
		write     bool
		bs, depth int
		count     int
	}{
		{"read/4k/qd1", false, 4096, 1, 8000},
		{"read/4k/qd32", false, 4096, 32, 40000},
		{"write/4k/qd1", true, 4096, 1, 8000},
		{"write/4k/qd32", true, 4096, 32, 40000},
		{"read/128k/qd1", false, 128 << 10, 1, 2000},
		{"read/128k/qd32", false, 128 << 10, 32, 6000},
		{"write/128k/qd1", true, 128 << 10, 1, 2000},
		{"write/128k/qd32", true, 128 << 10, 32, 4000},
	} {
		b.Run(c.name, func(b *testing.B) {
			var us, them time.Duration
			n := 0
			for b.Loop() {
				us += run(b, file(ours, targetIQN), c.write, c.bs, c.depth, c.count)
				them += run(b, file(theirs.Addr().String(), "iqn.2026-11.io.skerry:tgt"), c.write, c.bs, c.depth, c.count)
				n += c.count
			}
			b.ReportMetric(float64(n)/us.Seconds(), "ops/s")
			b.ReportMetric(float64(n)/them.Seconds(), "tgtd-ops/s")
			b.ReportMetric(them.Seconds()/us.Seconds(), "x-tgtd")
		})
	}
}

func forward(l net.Listener, to string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d, err := net.Dial("tcp", to)
		if err != nil {
			c.Close()
			continue
		}
		go splice(c, d)
	}
}
