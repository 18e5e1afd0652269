package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/events"
)

var (
	digestA = strings.Repeat("a", 64)
	digestB = strings.Repeat("b", 64)
	digestC = strings.Repeat("c", 64)
)

func file(name, digest string) string {
	return `{"name":"` + name + `","sha256":"` + digest + `","bytes":10}`
}

func write(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "images.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := write(t, `{"stamp":"x","images":[{"name":"linux","description":"d","architecture":"x86_64","rootDevice":"/dev/sda1","cmdline":"quiet",
		"kernel":`+file("vmlinuz", digestA)+`,"ramdisk":`+file("initrd", digestB)+`,"root":`+file("root.img", digestC)+`},
		{"name":"bare","kernel":`+file("vmlinuz", digestA)+`,"root":`+file("root.img", digestC)+`}]}`)
	got, err := Read(dir, "isle-1")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]events.Image{}
	ids := map[events.ImageID]bool{}
	for _, i := range got {
		byName[i.Name] = i
		if len(i.ID) != 4+17 || ids[i.ID] {
			t.Errorf("%s has the id %q", i.Name, i.ID)
		}
		ids[i.ID] = true
	}
	m := byName["linux"]
	if len(got) != 5 || m.Type != "machine" || m.Location != "amazon/linux" || m.Kernel != byName["linux-kernel"].ID || m.Ramdisk != byName["linux-ramdisk"].ID ||
		m.RootDeviceType != "instance-store" || m.File.Name != "root.img" || m.Cmdline != "quiet" {
		t.Errorf("%d images, %+v", len(got), m)
	}
	if b := byName["bare"]; b.Ramdisk != "" || b.Kernel == "" || b.Kernel == m.Kernel {
		t.Errorf("%+v", b)
	}
	again, err := Read(dir, "isle-1")
	if err != nil || again[2].ID != got[2].ID {
		t.Errorf("read again the ids are others: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	good := `"kernel":` + file("k", digestA) + `,"root":` + file("r", digestB)
	for name, test := range map[string]struct{ text, want string }{
		"no json":           {`{`, "images.json"},
		"another type":      {`{"images":3}`, "images"},
		"no name":           {`{"images":[{` + good + `}]}`, "name"},
		"no kernel":         {`{"images":[{"name":"x","root":` + file("r", digestA) + `}]}`, "kernel"},
		"no root":           {`{"images":[{"name":"x","kernel":` + file("r", digestA) + `}]}`, "root"},
		"a short digest":    {`{"images":[{"name":"x","kernel":` + file("k", "abc") + `,"root":` + file("r", digestB) + `}]}`, "abc"},
		"a path":            {`{"images":[{"name":"x","kernel":` + file("../k", digestA) + `,"root":` + file("r", digestB) + `}]}`, "../k"},
		"the directory":     {`{"images":[{"name":"x","kernel":` + file("..", digestA) + `,"root":` + file("r", digestB) + `}]}`, "\"..\""},
		"a negative size":   {`{"images":[{"name":"x","kernel":{"name":"k","sha256":"` + digestA + `","bytes":-1},"root":` + file("r", digestB) + `}]}`, "-1"},
		"a name twice":      {`{"images":[{"name":"x",` + good + `},{"name":"x",` + good + `}]}`, "twice"},
		"something behind":  {`{"images":[]} more`, "images.json"},
		"a damaged ramdisk": {`{"images":[{"name":"x",` + good + `,"ramdisk":` + file("i", "zz") + `}]}`, "zz"},
	} {
		_, err := Read(write(t, test.text), "isle-1")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q named", name, err, test.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), "isle-1"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"images":[{"name":"x","kernel":` + file("k", digestA) + `,"ramdisk":` + file("i", digestB) + `,"root":` + file("r", digestC) + `}]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(b, "isle-1")
		if err != nil {
			return
		}
		seen := map[events.ImageID]bool{}
		for _, i := range got {
			if seen[i.ID] || i.Name == "" || i.File.SHA256 == "" {
				t.Fatalf("%+v", i)
			}
			seen[i.ID] = true
		}
	})
}
