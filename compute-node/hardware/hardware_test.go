//go:build cgo

package hardware_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skerry/compute-node/guests"
	"skerry/compute-node/hardware"
	"skerry/compute-node/orphans"
	"skerry/events"
	"skerry/internal/config"
)

// The test program plays two more parts: the parent that reaps, and an agent
// that reads sets of specs from its standard input and prints its reports.
const (
	reaped = "SKERRY_TEST_UNDER_REAPER"
	part   = "SKERRY_TEST_AGENT"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(part) != "":
		if err := agent(os.Getenv(part)); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case os.Getenv(reaped) == "":
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

// agent is a compute node without a bus.
func agent(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c config.Config
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hw, err := hardware.Open(ctx, &c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer hw.Hypervisor.Close()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	k := guests.New(hw.Hypervisor, hw.Store, guests.ReporterFunc(func(_ context.Context, r events.Command) error {
		mu.Lock()
		defer mu.Unlock()
		return out.Encode(r)
	}), guests.Options{Host: "h1", Accel: hw.Accel, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Conditions: hw.Conditions})
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	in := json.NewDecoder(os.Stdin)
	for {
		var s events.SpecSet
		if err := in.Decode(&s); err != nil {
			break
		}
		k.Want(s.Manifest.N, s.Specs, true)
	}
	cancel()
	return <-ended
}

// child is an agent in its own process.
type child struct {
	cmd     *exec.Cmd
	in      *json.Encoder
	stdin   io.Closer
	reports chan events.ReportInstance
}

func launch(t *testing.T, file string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0]), reports: make(chan events.ReportInstance, 1000)}
	c.cmd.Env = append(os.Environ(), part+"="+file)
	log, err := os.OpenFile(file+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = log
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	c.in, c.stdin = json.NewEncoder(in), in
	go func() {
		defer close(c.reports)
		for s := bufio.NewScanner(out); s.Scan(); {
			var r events.ReportInstance
			if json.Unmarshal(s.Bytes(), &r) == nil {
				c.reports <- r
			}
		}
	}()
	return c
}

func image(t testing.TB) (string, events.InstanceSpec) {
	t.Helper()
	dir, err := filepath.Abs("../../.build/image")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("libvirt's embedded QEMU driver needs root")
	}
	for _, f := range []struct{ glob, pkg string }{
		{"/usr/bin/qemu-system-x86_64", "qemu-system-x86"}, {"/usr/bin/qemu-img", "qemu-utils"},
		{"/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so", "libvirt-daemon-driver-qemu"},
	} {
		if found, _ := filepath.Glob(f.glob); len(found) == 0 {
			t.Skipf("%s is not installed (Debian package %s)", f.glob, f.pkg)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "images.json"))
	if err != nil {
		t.Skip("the image is not built: go run ./deploy/image")
	}
	var list struct {
		Images []struct {
			Cmdline               string
			Kernel, Ramdisk, Root events.ImageFile
		}
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	i := list.Images[0]
	return dir, events.InstanceSpec{
		Run: true, Generation: 1, Kernel: i.Kernel, Ramdisk: i.Ramdisk, Root: i.Root, Cmdline: i.Cmdline,
		Shape: events.Shape{Type: "sk1.tiny", VCPUs: 1, MemoryMiB: 128, RootGiB: 2, EphemeralGiB: []int{4}},
	}
}

// TestRealGuest boots the image through every layer below the bus, kills the
// agent, and goes on with another.
func TestRealGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	img, spec := image(t)
	run, err := os.MkdirTemp("/run", "skh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := config.Config{Host: "h1", Kind: "compute", Data: filepath.Join(dir, "data"), Run: run, Compute: &config.ComputeConfig{
		Hypervisor: "qemu", Accel: "auto", Images: img, Cache: filepath.Join(os.TempDir(), "skerry-test-capabilities"),
	}}
	file := filepath.Join(dir, "agent.json")
	b, _ := json.Marshal(cfg)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	const id = "i-0bbbbbbbbbbbbbbb1"
	spec.Instance = id
	pid := func() int {
		b, err := os.ReadFile(filepath.Join(run, "lv/run/qemu", id+".pid"))
		if err != nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return n
	}
	console := func() string {
		b, _ := os.ReadFile(filepath.Join(cfg.Data, "guests", id, "console"))
		return string(b)
	}
	var c *child
	t.Cleanup(func() {
		if c != nil {
			c.stdin.Close()
			c.cmd.Process.Kill()
			c.cmd.Wait()
		}
		if p := pid(); p > 1 {
			syscall.Kill(p, syscall.SIGKILL)
		}
		os.RemoveAll(run)
		if t.Failed() {
			log, _ := os.ReadFile(file + ".log")
			t.Logf("agent:\n%s\nconsole:\n%s", log, console())
		}
	})
	var n uint64
	send := func(tombstone bool) {
		t.Helper()
		n++
		s := events.Spec{Kind: events.SpecInstance, ID: id, N: n, Tombstone: tombstone}
		if !tombstone {
			s.Body, _ = json.Marshal(spec)
		}
		if err := c.in.Encode(events.SpecSet{Manifest: events.Manifest{N: n, Count: 1}, Specs: []events.Spec{s}}); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(phase events.Phase) {
		t.Helper()
		late := time.After(60 * time.Second)
		for {
			select {
			case r, ok := <-c.reports:
				if !ok {
					t.Fatalf("the agent ended before it reported %s", phase)
				}
				if r.Phase == phase {
					return
				}
				t.Fatalf("reported %+v, want %s", r, phase)
			case <-late:
				t.Fatalf("no report of %s", phase)
			}
		}
	}
	until := func(what string, cond func() bool) time.Duration {
		t.Helper()
		begun := time.Now()
		for !cond() {
			if time.Since(begun) > 60*time.Second {
				t.Fatalf("not within a minute: %s", what)
			}
			time.Sleep(20 * time.Millisecond)
		}
		return time.Since(begun)
	}
	ready := func(count int) func() bool {
		return func() bool { return strings.Count(console(), "SKERRY-READY") >= count }
	}

	c = launch(t, file)
	begun := time.Now()
	send(false)
	hear(events.PhaseRunning)
	t.Logf("running after %v", time.Since(begun))
	spec.Known = events.PhaseRunning
	send(false)
	until("ready", ready(1))
	t.Logf("ready after %v", time.Since(begun))
	for _, want := range []string{"SKERRY-INIT", "SKERRY-DISK vda=/ vdb=/mnt", "SKERRY-NET none"} {
		if !strings.Contains(console(), want) {
			t.Fatalf("the console lacks %q", want)
		}
	}
	first := pid()
	if first < 2 {
		t.Fatal("no QEMU process")
	}

	// The agent dies without a word.
	c.cmd.Process.Kill()
	c.cmd.Wait()
	if syscall.Kill(first, 0) != nil {
		t.Fatal("the guest died with its agent")
	}
	begun = time.Now()
	c = launch(t, file)
	spec.Known = events.PhaseNone
	send(false)
	hear(events.PhaseRunning)
	t.Logf("adopted after %v", time.Since(begun))
	if pid() != first {
		t.Fatalf("adopted process %d, had %d", pid(), first)
	}

	// A reboot keeps both disks: the guest's own mark on them would need a
	// network, so look at the record and the files.
	before, err := os.Stat(filepath.Join(cfg.Data, "guests", id, "ephemeral0.raw"))
	if err != nil {
		t.Fatal(err)
	}
	spec.Known, spec.Reboots = events.PhaseRunning, 1
	begun = time.Now()
	send(false)
	until("ready again", ready(2))
	t.Logf("rebooted in %v", time.Since(begun))
	if !strings.Contains(console(), "SKERRY-SHUTDOWN") {
		t.Fatal("the reboot was not orderly")
	}
	after, err := os.Stat(filepath.Join(cfg.Data, "guests", id, "ephemeral0.raw"))
	if err != nil || !os.SameFile(before, after) {
		t.Fatalf("the reboot made another ephemeral disk: %v", err)
	}
	second := pid()
	if second == first || second < 2 {
		t.Fatalf("process %d after the reboot, %d before", second, first)
	}

	begun = time.Now()
	send(true)
	hear(events.PhaseAbsent)
	t.Logf("gone after %v", time.Since(begun))
	if syscall.Kill(second, 0) == nil {
		t.Fatal("QEMU still runs")
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Data, "guests", "*")); len(left) != 0 {
		t.Fatalf("left %v", left)
	}
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the agent's end: %v", err)
	}
}

func TestMemoryHardware(t *testing.T) {
	hw, err := hardware.Open(t.Context(), &config.Config{Host: "h", Compute: &config.ComputeConfig{Hypervisor: "memory"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer hw.Hypervisor.Close()
	if len(hw.Conditions) != 1 || !strings.Contains(hw.Conditions[0], "not real") {
		t.Fatalf("memory does not say so: %q", hw.Conditions)
	}
	if _, err := hardware.Open(t.Context(), &config.Config{Host: "h"}, nil); err == nil || !strings.Contains(err.Error(), "[compute]") {
		t.Fatalf("got %v", err)
	}
}
