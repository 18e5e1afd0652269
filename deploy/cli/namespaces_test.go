package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
	"skerry/deploy/lab/wire"
)

// A region in namespaces: its control planes can be cut off the wire, guests
// survive everything but a lost host and `down`, and nothing is left.
func TestNamespaces(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	images := t.TempDir()
	if err := os.WriteFile(filepath.Join(images, "images.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if why := missing(&lab.Region{Images: images}); len(why) > 0 {
		t.Skipf("real guests are not possible here: %s", strings.Join(why, "; "))
	}
	s := newStage(t)
	s.must("up", "--hypervisor", "qemu", "--hosts", "1", "--images", images)
	r := s.region()
	if got := len(remains.Namespaces(r)); got != 10 {
		t.Errorf("%d namespaces: %v", got, remains.Namespaces(r))
	}
	if got := get(endpoint(r)); got != "served by isle-1a" {
		t.Fatalf("API: %s", got)
	}

	guest := func(host string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command(filepath.Join(s.bin, "qemu-system-x86_64"), "-name", "guest=i-1", "-chardev", "path="+r.Run()+"/"+host+"/compute/m")
		if err := wire.Do(r.Namespace(host), cmd.Start); err != nil {
			t.Fatal(err)
		}
		go cmd.Wait()
		return cmd
	}
	alive := func(cmd *exec.Cmd) bool { return cmd.Process.Signal(syscall.Signal(0)) == nil }
	a, b := guest("isle-1a-1"), guest("isle-1b-1")

	s.must("fail", "az", "isle-1a", "--for", "1h")
	s.until("another zone", func() bool { return get(endpoint(r)) == "served by isle-1b" })
	s.must("heal")
	s.until("the zone", func() bool { o := s.status(); return len(o.Machine.Zones) == 3 && o.Machine.Zones[0].API })

	// A cable is pulled: the program lives, nobody reaches it.
	_, pid := s.state(s.status(), "isle-1a-cp/services")
	s.must("fail", "link", "isle-1a-cp", "--for", "1h")
	s.must("fail", "link", "isle-1b", "isle-1c", "--for", "1h")
	s.until("silence", func() bool { return !s.status().Machine.Zones[0].API })
	if _, now := s.state(s.status(), "isle-1a-cp/services"); now != pid {
		t.Error("a cut cable ended a program")
	}

	for _, p := range remains.Of(remains.Processes(r), remains.Supervisor) {
		syscall.Kill(p.PID, syscall.SIGKILL)
	}
	s.must("up")
	if !alive(a) || !alive(b) {
		t.Error("a guest died with the supervisor")
	}
	if n := len(s.status().Machine.Faults); n != 2 {
		t.Errorf("%d faults after the takeover", n)
	}
	s.must("heal")

	s.must("fail", "host", "isle-1b-1", "--for", "1h")
	s.until("the lost host's guest", func() bool { return !alive(b) })
	if !alive(a) {
		t.Error("another host's guest died")
	}
	s.must("down")
	if alive(a) {
		t.Error("a guest outlived down")
	}
	if ns := remains.Namespaces(r); len(ns) > 0 || exists(r.Run()) {
		t.Errorf("left namespaces %v, run directory %v", ns, exists(r.Run()))
	}
}
