package firstday_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"skerry/deploy/firstday"
	"skerry/deploy/lab"
)

// BenchmarkFirstDay measures what a newcomer waits for, in seconds: from `skerry
// up` on an empty directory to the first login, and from attach-volume to the
// device in the guest, the AWS CLI's own start included.
func BenchmarkFirstDay(b *testing.B) {
	images, err := filepath.Abs("../../.build/image")
	if err != nil {
		b.Fatal(err)
	}
	skerry, err := filepath.Abs("../../bin/skerry")
	if err != nil {
		b.Fatal(err)
	}
	if os.Geteuid() != 0 || !lab.HasImages(images) {
		b.Skip("needs root and the image (make build image)")
	}
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "region")
		run := func(args ...string) {
			if out, err := exec.Command(skerry, append([]string{"--dir", dir}, args...)...).CombinedOutput(); err != nil {
				b.Fatalf("skerry %v: %v\n%s", args, err, out)
			}
		}
		began := time.Now()
		run("up", "--images", images)
		r, err := lab.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		day := &firstday.Day{Region: r, Skerry: skerry, Out: io.Discard}
		for _, s := range firstday.Steps()[:4] {
			if err := day.Do(b.Context(), s); err != nil {
				run("down", "--purge")
				b.Fatal(err)
			}
			if day.FirstSSH > 0 {
				b.ReportMetric(time.Since(began).Seconds(), "s-up-to-ssh")
			}
		}
		for _, s := range firstday.Steps()[4:7] {
			if err := day.Do(b.Context(), s); err != nil {
				run("down", "--purge")
				b.Fatal(err)
			}
		}
		b.ReportMetric(day.FirstSSH.Seconds(), "s-run-to-ssh")
		b.ReportMetric(day.Attach.Seconds(), "s-attach")
		run("down", "--purge")
	}
}
