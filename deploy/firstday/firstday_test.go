package firstday_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry/deploy/firstday"
	"skerry/deploy/lab"
	"skerry/deploy/lab/wire"
)

// log gives what the day prints to the test.
type log struct {
	t *testing.T
	b bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			l.b.WriteByte(b)
			continue
		}
		l.t.Log(l.b.String())
		l.b.Reset()
	}
	return len(p), nil
}

// machine is what a region could leave behind.
type machine struct{ links, namespaces, mounts, runs []string }

func look(t *testing.T) machine {
	t.Helper()
	var m machine
	out, err := exec.Command("ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 {
			m.links = append(m.links, strings.SplitN(f[1], "@", 2)[0])
		}
	}
	m.namespaces = wire.Names("")
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		m.mounts = append(m.mounts, strings.Fields(line)[1])
	}
	m.runs, _ = filepath.Glob("/run/skerry/*")
	return m
}

// The first day on EC2, each step with real guests, the stock AWS CLI and ssh;
// after it the machine is as it was.
func TestFirstDay(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	images, err := filepath.Abs("../../.build/image")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case os.Geteuid() != 0:
		t.Skip("namespaces need root")
	case !lab.HasImages(images):
		t.Skip("the image is not built (make image)")
	}
	for _, b := range lab.Binaries {
		if _, err := os.Stat(filepath.Join(bin, b)); err != nil {
			t.Skipf("%s is not built (make build)", b)
		}
	}
	for program, pkg := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "aws": "awscli", "ssh": "openssh-client", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (package %s)", program, pkg)
		}
	}
	before := look(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(home, "region")
	skerry := filepath.Join(bin, "skerry")
	run := func(args ...string) error {
		out, err := exec.Command(skerry, append([]string{"--dir", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("skerry %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return err
	}
	down := false
	t.Cleanup(func() {
		if !down {
			run("down", "--purge")
		}
	})
	if run("up", "--images", images) != nil {
		t.FailNow()
	}
	r, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	day := &firstday.Day{Region: r, Skerry: skerry}
	for _, s := range firstday.Steps() {
		ok := t.Run(s.Title, func(t *testing.T) {
			day.Out = &log{t: t}
			if err := day.Do(ctx, s); err != nil {
				t.Fatal(err)
			}
		})
		if !ok {
			for _, args := range [][]string{{"status"}, {"doctor"}} {
				out, _ := exec.Command(skerry, append([]string{"--dir", dir}, args...)...).CombinedOutput()
				t.Logf("skerry %s\n%s", args[0], out)
			}
			t.FailNow()
		}
	}
	t.Logf("first login %.1f s after run-instances, first volume in the guest %.2f s after attach-volume, API writes stopped for at most %.1f s",
		day.FirstSSH.Seconds(), day.Attach.Seconds(), day.Recovered.Seconds())
	t.Run("down", func(t *testing.T) {
		down = true
		if run("down", "--purge") != nil {
			return
		}
		after := look(t)
		for what, pair := range map[string][2][]string{"links": {before.links, after.links}, "namespaces": {before.namespaces, after.namespaces},
			"mounts": {before.mounts, after.mounts}, "run directories": {before.runs, after.runs}} {
			for _, x := range pair[1] {
				if !slices.Contains(pair[0], x) {
					t.Errorf("%s: %s is left", what, x)
				}
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	})
}
