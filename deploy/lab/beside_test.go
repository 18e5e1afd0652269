package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"skerry/internal/config"
)

// A region with the accounts of another one has its key of accounts and nothing
// else of it: no port, no public address, no name, no key that it seals with.
func TestBeside(t *testing.T) {
	for _, hypervisor := range []string{QEMU, Memory} {
		one := made(t, 3, 1, hypervisor)
		// Both begin to look for public addresses at the same place.
		two := &Region{}
		for dir, at := t.TempDir(), 0; two.Name == "" || two.firstPart() != one.firstPart(); at++ {
			var err error
			if two, err = New(filepath.Join(dir, strconv.Itoa(at)), "isle-2", 3, 1, hypervisor); err != nil {
				t.Fatal(err)
			}
		}
		if err := two.Trust(one); err != nil {
			t.Fatal(err)
		}
		two.Capacity = one.Capacity
		for range 2 { // a second up changes nothing
			if err := two.Write(); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { os.RemoveAll(two.Run()) })
		read := func(path string) string {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if read(one.AccountsKey()) != read(two.AccountsKey()) {
			t.Error("the regions differ in the accounts' key")
		}
		if read(one.Path("ca", "region.key")) == read(two.Path("ca", "region.key")) {
			t.Error("the regions have one key")
		}
		taken := map[int]string{}
		for use, p := range one.Ports {
			taken[p] = use
		}
		for use, p := range two.Ports {
			if taken[p] != "" {
				t.Errorf("%s: port %d is %s of one and %s of the other", hypervisor, p, taken[p], use)
			}
		}
		if one.Public.IsValid() && one.Public.Overlaps(two.Public) || one.Asked() == two.Asked() || one.Namespace("isle-1a-cp") == two.Namespace("isle-1a-cp") {
			t.Errorf("%s: %v %v, %s %s", hypervisor, one.Public, two.Public, one.Asked(), two.Asked())
		}
		back, err := Open(two.Dir())
		if err != nil || back.Root == nil || *back.Root != *two.Root {
			t.Errorf("%+v: %v", back, err)
		}
		ends := map[string]bool{}
		for _, p := range two.Programs() {
			if p.Kind != config.Services {
				continue
			}
			c, err := config.Load(p.Config, p.Kind)
			if err != nil {
				t.Fatal(err)
			}
			if s := c.Services; s.Root == nil || s.Root.Region != "isle-1" || s.Root.At[0] != "unix:"+one.Asked() || s.At[0] != "unix:"+two.Asked() || s.AccountsKey != two.AccountsKey() {
				t.Errorf("%+v", s)
			}
			ends[c.Services.Endpoint] = true
		}
		if len(ends) != 1 {
			t.Errorf("zones tell of %v", ends)
		}

		wants := func(want string, err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
		three, err := New(t.TempDir(), "isle-3", 1, 1, hypervisor)
		if err != nil {
			t.Fatal(err)
		}
		wants("has the accounts of isle-1", three.Trust(two))
		three.Name = "isle-1"
		wants("another name", three.Trust(one))
		three.Name = "isle-3"
		if err := os.Rename(one.AccountsKey(), filepath.Join(t.TempDir(), "key")); err != nil {
			t.Fatal(err)
		}
		wants("accounts.key", three.Trust(one))
	}
}
