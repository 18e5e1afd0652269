package guests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skerry/events"
)

// imageDir makes a source of image files: content by name.
func imageDir(t *testing.T, files map[string][]byte) (string, func(name string) events.ImageFile) {
	t.Helper()
	dir := t.TempDir()
	for n, b := range files {
		if err := os.WriteFile(filepath.Join(dir, n), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func(name string) events.ImageFile {
		sum := sha256.Sum256(files[name])
		return events.ImageFile{Name: name, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(files[name])), Format: "raw"}
	}
}

func tools(t *testing.T) {
	t.Helper()
	for _, n := range []string{"qemu-img", "/usr/sbin/mke2fs"} {
		if _, err := exec.LookPath(n); err != nil {
			t.Skipf("%s is not installed", n)
		}
	}
}

func TestDiskStore(t *testing.T) {
	tools(t)
	root := make([]byte, 3<<20)
	copy(root[1<<20:], "root file system")
	src, file := imageDir(t, map[string][]byte{"k": []byte("kernel"), "r": []byte("ramdisk"), "root": root})
	dir := t.TempDir()
	d, err := OpenDisk(dir, src)
	if err != nil {
		t.Fatal(err)
	}
	s := spec(one)
	s.Kernel, s.Ramdisk, s.Root = file("k"), file("r"), file("root")
	s.Shape.RootGiB, s.Shape.EphemeralGiB = 10, []int{160, 2}
	ctx := t.Context()

	// Eight at once make one set of files.
	var wg sync.WaitGroup
	files := make([]Files, 8)
	for i := range files {
		wg.Go(func() {
			var err error
			if files[i], err = d.Prepare(ctx, s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f := files[0]
	if b, err := os.ReadFile(f.Kernel); err != nil || string(b) != "kernel" {
		t.Fatalf("kernel %q %v", b, err)
	}
	out, err := exec.Command("qemu-img", "info", "--output=json", f.Root).Output()
	var info struct {
		VirtualSize int64  `json:"virtual-size"`
		Backing     string `json:"full-backing-filename"`
		Format      string `json:"format"`
	}
	if err != nil || json.Unmarshal(out, &info) != nil || info.VirtualSize != 10<<30 || info.Format != "qcow2" || filepath.Base(info.Backing) != s.Root.SHA256 {
		t.Fatalf("overlay %s %v", out, err)
	}
	for i, gib := range s.Shape.EphemeralGiB {
		st, err := os.Stat(f.Ephemeral[i])
		if err != nil || st.Size() != int64(gib)<<30 {
			t.Fatalf("ephemeral %d: %v %v", i, st, err)
		}
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", f.Ephemeral[0]).CombinedOutput(); err != nil {
		t.Fatalf("the ephemeral disk is not clean: %v %s", err, out)
	}
	var st unix.Stat_t
	if err := unix.Stat(f.Ephemeral[0], &st); err != nil || st.Blocks*512 > 64<<20 {
		t.Fatalf("an empty 160 GiB disk takes %d MiB: %v", st.Blocks*512>>20, err)
	}

	// The same generation keeps its disks, over a restart too; another has fresh ones.
	mark := func(p string) {
		h, err := os.OpenFile(p, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		h.WriteAt([]byte("written by the guest"), 1<<20)
		h.Close()
	}
	marked := func(p string) bool {
		b := make([]byte, 20)
		h, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		h.ReadAt(b, 1<<20)
		return string(b) == "written by the guest"
	}
	mark(f.Ephemeral[1])
	if err := d.Started(ctx, one, 1, 0); err != nil {
		t.Fatal(err)
	}
	if d, err = OpenDisk(dir, src); err != nil {
		t.Fatal(err)
	}
	rs, _ := d.Records(ctx)
	if len(rs) != 1 || rs[0].Prepared != 1 || rs[0].Generation != 1 || rs[0].Instance != one || rs[0].Root != s.Root.SHA256 {
		t.Fatalf("records after a restart: %+v", rs)
	}
	s.Reboots = 1
	if _, err := d.Prepare(ctx, s); err != nil || !marked(f.Ephemeral[1]) {
		t.Fatalf("a reboot lost the ephemeral disk: %v", err)
	}
	s.Generation = 2
	if _, err := d.Prepare(ctx, s); err != nil || marked(f.Ephemeral[1]) {
		t.Fatalf("a new start kept the ephemeral disk: %v", err)
	}

	// Retired, found for its console, unlinked later.
	if err := os.WriteFile(f.Console, []byte("last words"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Retire(ctx, one); err != nil {
		t.Fatal(err)
	}
	if err := d.Retire(ctx, one); err != nil {
		t.Fatalf("again: %v", err)
	}
	if b, err := d.Console(one, 100); err != nil || string(b) != "last words" {
		t.Fatalf("console of a retired guest %q %v", b, err)
	}
	left := func() int { e, _ := os.ReadDir(filepath.Join(dir, "retired")); return len(e) }
	if err := d.Tidy(ctx); err != nil || left() != 1 {
		t.Fatalf("unlinked too early: %v", err)
	}
	if err := d.unlinkRetired(time.Now().Add(time.Second)); err != nil || left() != 0 {
		t.Fatalf("not unlinked: %v", err)
	}
	if rs, _ := d.Records(ctx); len(rs) != 0 {
		t.Fatalf("still remembered: %+v", rs)
	}
}

func TestPrepareNamesWhatIsWrong(t *testing.T) {
	tools(t)
	src, file := imageDir(t, map[string][]byte{"k": []byte("kernel"), "r": []byte("ramdisk"), "root": make([]byte, 1<<20)})
	good := spec(one)
	good.Kernel, good.Ramdisk, good.Root = file("k"), file("r"), file("root")
	for name, c := range map[string]struct {
		spoil func(*events.InstanceSpec)
		want  string
	}{
		"missing":   {func(s *events.InstanceSpec) { s.Kernel.Name = "gone"; s.Kernel.SHA256 = strings.Repeat("a", 64) }, "gone is not on this host"},
		"damaged":   {func(s *events.InstanceSpec) { s.Root.SHA256 = strings.Repeat("b", 64) }, "digest"},
		"size":      {func(s *events.InstanceSpec) { s.Root.Bytes++; s.Root.SHA256 = strings.Repeat("c", 64) }, "another version"},
		"path":      {func(s *events.InstanceSpec) { s.Kernel.Name = "../k"; s.Kernel.SHA256 = strings.Repeat("d", 64) }, "plain name"},
		"digest":    {func(s *events.InstanceSpec) { s.Kernel.SHA256 = "../../x" }, "64 hex digits"},
		"root":      {func(s *events.InstanceSpec) { s.Shape.RootGiB = 0 }, "0 GiB"},
		"ephemeral": {func(s *events.InstanceSpec) { s.Shape.EphemeralGiB = []int{1 << 30} }, "ephemeral0"},
		"id":        {func(s *events.InstanceSpec) { s.Instance = "../../etc" }, "instance id"},
	} {
		dir := t.TempDir()
		d, err := OpenDisk(dir, src)
		if err != nil {
			t.Fatal(err)
		}
		s := good
		c.spoil(&s)
		if _, err := d.Prepare(t.Context(), s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if rs, _ := d.Records(t.Context()); len(rs) > 0 && rs[0].Prepared != 0 {
			t.Errorf("%s: recorded as prepared", name)
		}
	}
	d, _ := OpenDisk(t.TempDir(), src)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Prepare(gone, good); err == nil {
		t.Error("prepared after its deadline")
	}
}

// TestFullDisk needs a file system of its own.
func TestFullDisk(t *testing.T) {
	tools(t)
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	src, file := imageDir(t, map[string][]byte{"k": []byte("kernel"), "r": []byte("ramdisk"), "root": bytes.Repeat([]byte("x"), 16<<20)})
	d, err := OpenDisk(dir, src)
	if err != nil {
		t.Fatal(err)
	}
	s := spec(one)
	s.Kernel, s.Ramdisk, s.Root = file("k"), file("r"), file("root")
	if _, err := d.Prepare(t.Context(), s); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("image larger than the disk: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "images", ".new-*")); len(left) != 0 {
		t.Fatalf("left behind %v", left)
	}
	s.Root = file("k")
	s.Root.Format = "raw"
	if _, err := d.Prepare(t.Context(), s); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("less than the reserve: %v", err)
	}
	if p := d.Problems(); len(p) != 1 || !strings.Contains(p[0], "disk full") {
		t.Fatalf("problems %q", p)
	}
}

func TestCopyKeepsHolesAndDigest(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(64 << 20)
	f.WriteAt([]byte("head"), 0)
	f.WriteAt([]byte("middle"), 33<<20+7)
	f.Close()
	want, err := digest(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	got, err := copySparse(t.Context(), from, filepath.Join(dir, "to"))
	if err != nil || got != want {
		t.Fatalf("%s, want %s: %v", got, want, err)
	}
	if again, err := digest(t.Context(), filepath.Join(dir, "to")); err != nil || again != want {
		t.Fatalf("the copy has %s: %v", again, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "to"), &st); err != nil || st.Blocks*512 > 4<<20 {
		t.Fatalf("the copy takes %d KiB", st.Blocks/2)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"instance":"i-00000000000000001","prepared":1}`))
	f.Add([]byte(`{"prepared":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		g := filepath.Join(dir, "guests", one)
		os.MkdirAll(g, 0o755)
		os.WriteFile(filepath.Join(g, "guest.json"), b, 0o644)
		d, err := OpenDisk(dir, dir)
		if err != nil {
			return
		}
		if rs, _ := d.Records(t.Context()); len(rs) != 1 || rs[0].Instance != one {
			t.Fatalf("%q gave %+v", b, rs)
		}
	})
}
