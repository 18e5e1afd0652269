package drill

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry/compute-node/hypervisor/hypervisortest"
)

// BenchmarkRunInstances measures, in turns, the time from the accepted
// RunInstances of a region to the guest's READY marker, and the same of a bare
// QEMU with the same arguments on a fresh overlay of the same image. `skerry up`
// of the region is timed on the way.
//
//	make build image && go test -run - -bench RunInstances -benchtime 5x ./deploy/drill
func BenchmarkRunInstances(b *testing.B) {
	images := realGuests(b)
	began := time.Now()
	r, _ := stage(b, "--hypervisor", "qemu", "--hosts", "1")
	up := time.Since(began)
	a, err := newAPI(r)
	if err != nil {
		b.Fatal(err)
	}
	image, err := a.image(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var region, bare []float64
	for b.Loop() {
		var out struct {
			ID string `xml:"instancesSet>item>instanceId"`
		}
		form := url.Values{"Action": {"RunInstances"}, "ImageId": {image}, "InstanceType": {"sk1.tiny"}, "MinCount": {"1"}, "MaxCount": {"1"}}
		if err := a.call(b.Context(), form, &out); err != nil {
			b.Fatal(err)
		}
		accepted := time.Now()
		consoles := func() []string {
			found, err := filepath.Glob(r.Path("nodes", "*", "compute", "data", "guests", out.ID, "console"))
			if err != nil {
				b.Fatal(err)
			}
			return found
		}
		region = append(region, ready(b, accepted, consoles))
		argv := emulator(b, out.ID)
		console := consoles()[0]

		// The same machine without the region: its own console and overlay.
		dir := b.TempDir()
		argv, err := hypervisortest.Bare(argv, filepath.Join(dir, "console"))
		if err != nil {
			b.Fatal(err)
		}
		disk, fresh := filepath.Join(filepath.Dir(console), "root.qcow2"), filepath.Join(dir, "root.qcow2")
		if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Join(images, "skerry-linux.root"), fresh, "1G").CombinedOutput(); err != nil {
			b.Fatalf("qemu-img: %v %s", err, out)
		}
		swapped := false
		for i := range argv {
			swapped = swapped || strings.Contains(argv[i], disk)
			argv[i] = strings.ReplaceAll(argv[i], disk, fresh)
		}
		if !swapped {
			b.Fatalf("no argument names %s: %q", disk, argv)
		}
		end := url.Values{"Action": {"TerminateInstances"}, "InstanceId.1": {out.ID}}
		if err := a.call(b.Context(), end, &struct{}{}); err != nil {
			b.Fatal(err)
		}
		await(b, b.Context(), "the guest is gone", func() bool { return len(consoles()) == 0 })
		began := time.Now()
		cmd := exec.Command(argv[0], argv[1:]...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		bare = append(bare, ready(b, began, func() []string { return []string{filepath.Join(dir, "console")} }))
		cmd.Process.Kill()
		cmd.Wait()
	}
	median := func(d []float64) float64 { slices.Sort(d); return d[len(d)/2] }
	b.ReportMetric(median(region), "s-region")
	b.ReportMetric(median(bare), "s-bare")
	b.ReportMetric(median(region)/median(bare), "ratio")
	b.ReportMetric(up.Seconds(), "s-up")
}

// ready waits for the marker on a console and returns the seconds since began.
func ready(b *testing.B, began time.Time, consoles func() []string) float64 {
	b.Helper()
	for time.Since(began) < 2*time.Minute {
		for _, c := range consoles() {
			if out, _ := os.ReadFile(c); bytes.Contains(out, []byte("SKERRY-READY")) {
				return time.Since(began).Seconds()
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.Fatal("the guest was not ready within two minutes")
	return 0
}

// emulator returns the arguments of the QEMU that runs an instance.
func emulator(b *testing.B, id string) []string {
	b.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range all {
		line, err := os.ReadFile(path)
		if argv := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"); err == nil && strings.Contains(argv[0], "qemu-system") && strings.Contains(string(line), id) {
			return argv
		}
	}
	b.Fatalf("no QEMU runs %s", id)
	return nil
}
