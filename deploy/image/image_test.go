package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseDepends(t *testing.T) {
	out := `iproute2
 |Depends: debconf
  Depends: <debconf-2.0>
    cdebconf
    debconf
  Depends: libbpf1
  Depends: libc6
curl
  PreDepends: libc6
 |Depends: a
 |Depends: b
  Depends: c
  Depends: <virtual>
    provider-one
    provider-two
  Depends: zlib1g
`
	got := parseDepends([]byte(out))
	if want := []string{"debconf", "libbpf1", "libc6"}; !slices.Equal(got["iproute2"], want) {
		t.Errorf("iproute2 %v", got["iproute2"])
	}
	if want := []string{"libc6", "a", "provider-one", "zlib1g"}; !slices.Equal(got["curl"], want) {
		t.Errorf("curl %v", got["curl"])
	}
}

func TestParseURIs(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	good := "Reading package lists...\n'http://d/pool/b/bash_5.2%2bb13_amd64.deb' bash_5.2+b13_amd64.deb 1490652 SHA256:" + sum + "\n"
	ps, err := parseURIs([]byte(good))
	if err != nil || len(ps) != 1 || ps[0] != (pkg{"bash", "bash_5.2+b13_amd64.deb", sum}) {
		t.Fatalf("%+v %v", ps, err)
	}
	for _, bad := range []string{"'http://d/x' ../../x_1_amd64.deb 1 SHA256:" + sum, "'http://d/x' x_1_amd64.deb 1 MD5Sum:abc"} {
		if _, err := parseURIs([]byte(bad)); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

func FuzzApt(f *testing.F) {
	f.Add([]byte("a\n  Depends: b\n |Depends: <c>\n    d\n"))
	f.Add([]byte("'u' a_1_amd64.deb 1 SHA256:" + strings.Repeat("0", 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseDepends(b)
		ps, _ := parseURIs(b)
		for _, p := range ps {
			if filepath.Base(p.file) != p.file {
				t.Fatalf("file %q", p.file)
			}
		}
	})
}

// entries reads an archive back: name to bytes, in order of names seen.
func entries(t *testing.T, b []byte) (names []string, data map[string][]byte) {
	t.Helper()
	data = map[string][]byte{}
	for off := 0; ; {
		if string(b[off:off+6]) != "070701" {
			t.Fatalf("no magic at %d", off)
		}
		field := func(i int) int {
			v, err := strconv.ParseUint(string(b[off+6+8*i:off+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		size, nameLen := field(6), field(11)
		name := string(b[off+110 : off+110+nameLen-1])
		off = (off + 110 + nameLen + 3) &^ 3
		if name == "TRAILER!!!" {
			return names, data
		}
		names = append(names, name)
		data[name] = b[off : off+size]
		off = (off + size + 3) &^ 3
	}
}

func TestRamdisk(t *testing.T) {
	z, err := ramdisk([]byte("#!init"), []module{{"b.ko", []byte("bb")}, {"a.ko", []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := ramdisk([]byte("#!init"), []module{{"b.ko", []byte("bb")}, {"a.ko", []byte("a")}})
	if !bytes.Equal(z, again) {
		t.Fatal("two builds differ")
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	names, data := entries(t, raw)
	if want := []string{"dev", "m", "proc", "sys", "dev/console", "init", "m/b.ko", "m/a.ko", "m/order"}; !slices.Equal(names, want) {
		t.Fatalf("%q", names)
	}
	if string(data["init"]) != "#!init" || string(data["m/order"]) != "b.ko\na.ko\n" || string(data["m/b.ko"]) != "bb" {
		t.Fatalf("%q", data)
	}
}

// The first entry of every archive, byte for byte: a directory "dev".
const golden = "070701" + "00000001" + "000041ed" + "00000000" + "00000000" + "00000002" + "00000000" + "00000000" +
	"00000000" + "00000000" + "00000000" + "00000000" + "00000004" + "00000000"

func TestCpioGolden(t *testing.T) {
	var c cpio
	c.add("dev", modeDir|0o755, nil, 0, 0)
	if got := c.buf.String(); got != golden+"dev\x00\x00\x00" {
		t.Fatalf("%q", got)
	}
}

func TestLoadOrderNamesWhatIsMissing(t *testing.T) {
	if _, err := loadOrder([]string{"virtio_pci"}, nil); err == nil || !strings.Contains(err.Error(), "virtio_pci") {
		t.Fatalf("%v", err)
	}
	if _, err := loadOrder([]string{"x"}, map[string][]byte{"x": []byte("not a module")}); err == nil || !strings.Contains(err.Error(), "module x") {
		t.Fatalf("%v", err)
	}
}

func TestTree(t *testing.T) {
	tr := newTree()
	tr.put(merged("lib/x/libc.so"), &node{mode: modeFile | 0o644, data: []byte("lib")})
	tr.symlink("usr/bin/sh", "busybox")
	tr.write("usr/bin/busybox", 0o755, "bb")
	tr.symlink("usr/sbin/abs", "/bin/sh")
	tr.symlink("loop", "loop")
	for p, want := range map[string]string{"bin/sh": "bb", "sbin/abs": "bb", "usr/lib/x/libc.so": "lib", "lib/x/libc.so": "lib"} {
		if n := tr.resolve(p); n == nil || string(n.data) != want {
			t.Errorf("%s: %+v", p, n)
		}
	}
	if tr.resolve("loop") != nil || tr.resolve("none") != nil {
		t.Error("found what is not there")
	}
	if err := tr.prune(); err == nil || !strings.Contains(err.Error(), "usr/sbin/dropbear") {
		t.Errorf("an empty image passed: %v", err)
	}
}

func TestRootFileSystem(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	if err := needTools(); err != nil {
		t.Skip(err)
	}
	tr := newTree()
	tr.write("usr/bin/sudo", 0o4755, "setuid")
	tr.write("etc/motd", 0o644, "hello")
	tr.mkdir("home/ec2-user", 0o700)
	tr.files["home/ec2-user"].uid, tr.files["home/ec2-user"].gid = 1000, 1000
	tr.mkdir("tmp", 0o1777)
	ctx := context.Background()
	var sums []string
	for range 2 {
		dir := t.TempDir()
		out := filepath.Join(dir, "root")
		if err := writeRoot(ctx, tr, out, dir); err != nil {
			t.Fatal(err)
		}
		sum, err := digest(out)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		ask := func(req string) string {
			dbg, _ := tool("debugfs")
			b, err := exec.Command(dbg, "-R", req, out).Output()
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		for req, wants := range map[string][]string{
			"stat /usr/bin/sudo":  {"Mode:  04755", "User:     0 ", "Group:     0 "},
			"stat /home/ec2-user": {"Mode:  0700", "User:  1000", "Group:  1000"},
			"stat /tmp":           {"Mode:  01777"},
			"cat /etc/motd":       {"hello"},
			"stat /bin":           {"Type: symlink", `"usr/bin"`},
		} {
			got := ask(req)
			for _, w := range wants {
				if !strings.Contains(got, w) {
					t.Errorf("%s lacks %q:\n%s", req, w, got)
				}
			}
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: %s", sums)
	}
	tr.write("etc/a b", 0o644, "")
	if err := writeRoot(ctx, tr, filepath.Join(t.TempDir(), "root"), t.TempDir()); err == nil || !strings.Contains(err.Error(), "a b") {
		t.Errorf("a name with a blank: %v", err)
	}
}

func TestUpToDate(t *testing.T) {
	dir := t.TempDir()
	if upToDate(dir, "s") {
		t.Fatal("nothing is up to date")
	}
	os.WriteFile(filepath.Join(dir, "images.json"), []byte(`{"stamp":"s","images":[{"kernel":{"name":"k","bytes":1},"ramdisk":{"name":"k","bytes":1},"root":{"name":"k","bytes":1}}]}`), 0o644)
	if upToDate(dir, "s") {
		t.Fatal("files are missing")
	}
	os.WriteFile(filepath.Join(dir, "k"), []byte("x"), 0o644)
	if !upToDate(dir, "s") || upToDate(dir, "other") {
		t.Fatal("the stamp does not decide")
	}
}
