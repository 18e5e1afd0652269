package skerry

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "skerry"

// doors says which rooms open onto which. The longest folder that matches
// rules; "x/..." means x and everything beneath it. A new door is a line here,
// with its reason in the commit.
var doors = map[string][]string{
	// What the programs say to each other. It knows nobody.
	"events":     {},
	"events/bus": {"events"},

	// What two houses share: never a house itself.
	"internal/config":    {"events/bus"}, // Dial: a file is enough to join the bus
	"internal/reconcile": {},
	"internal/node":      {"events", "events/bus", "internal/reconcile"},
	"internal/preamble":  {"events"}, // how a relay opens to a storage node
	"internal/planted":   {},         // wrong turns that deploy/sim must find; services take them

	// Deciding: pure, over state and nothing else.
	"services/state":      {"events", "internal/planted"},
	"services/tagging":    {"events", "internal/planted", "services/state"},
	"services/network":    {"events", "internal/planted", "services/state", "services/tagging"},
	"services/storage":    {"events", "services/state", "services/tagging"},
	"services/region":     {"events", "services/state", "services/iam", "services/network", "services/storage"},                         // an account starts with its default VPC; a node's return is theirs too; identities may be another region's
	"services/compute":    {"events", "internal/planted", "services/state", "services/network", "services/storage", "services/tagging"}, // addresses and volumes of an instance
	"services/iam":        {"events", "services/state", "services/iam/policy"},
	"services/iam/policy": {},
	"services/decide":     {"events", "internal/planted", "services/iam", "services/state", "services/tagging", "services/network", "services/storage", "services/region", "services/compute"},
	"services/specs":      {"events", "services/state", "services/network", "services/storage"}, // names of addresses, types of volumes

	// Agreeing and keeping.
	"services/raftlog": {"internal/planted"},
	"services/peers":   {},
	"services/seal":    {},
	"services/images":  {"events"},
	"services/history": {"events"},
	"services/voter":   {"events", "internal/planted", "services/decide", "services/history", "services/raftlog", "services/state"},

	// Speaking.
	"services/busd":    {"events/bus", "internal/config"}, // who may join is in the file
	"services/outbox":  {"events", "events/bus", "internal/planted", "services/specs", "services/voter"},
	"services/door":    {"events", "events/bus", "internal/planted", "services/outbox", "services/seal", "services/specs", "services/state", "services/voter"},
	"services/watch":   {"events", "events/bus", "services/door", "services/voter"}, // door names the region's own actor
	"services/regions": {"events", "events/bus", "services/seal", "services/state"}, // regions that share accounts; door and voter are given
	"services/server":  {"events", "events/bus", "services/door", "services/outbox", "services/regions", "services/seal", "services/voter", "services/watch"},

	// EC2's shapes live here and nowhere further in. The API reads state and
	// asks a door that it is given; it does not decide. compute knows the
	// catalogue of types, network how many addresses are free.
	"services/api": {"events", "events/bus", "services/api/...", "services/state", "services/seal",
		"services/iam/policy", "services/compute", "services/network", "services/storage", "services/tagging"},
	"services/api/trail": {"events", "services/api/...", "services/history", "services/seal", "services/state"}, // CloudTrail is the history, shown

	"services":     {"events", "internal/config", "services/..."}, // main.go: wiring
	"scheduler":    {"events", "events/bus", "internal/...", "scheduler/..."},
	"compute-node": {"events", "events/bus", "internal/...", "compute-node/..."},
	"storage-node": {"events", "events/bus", "internal/...", "storage-node/..."},
	"network-node": {"events", "events/bus", "internal/...", "network-node/..."},

	// deploy sets the stage: it alone sees everybody.
	"deploy": {"events/...", "internal/...", "services/...", "scheduler/...", "compute-node/...", "storage-node/...", "network-node/...", "deploy/..."},
}

// testDoors open for tests only.
var testDoors = map[string][]string{
	"services/api":    {"services/decide", "services/door", "services/history", "services/regions"}, // tests of the API decide for real, on a view and a history of their own; two regions ask each other
	"services/voter":  {"services/peers"},                                                           // three voters on loopback
	"services/server": {"services/busd", "services/peers"},                                          // three zones with real bus servers
	"services/watch":  {"services/state"},                                                           // states of instances
}

func TestRooms(t *testing.T) {
	seen := 0
	walk(t, func(file string) {
		from := path.Dir(file)
		if from == "." {
			return
		}
		seen++
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		rule := longest(doors, from)
		if rule == "" {
			t.Errorf("%s is in a room that has no line in doors", file)
			return
		}
		may := slices.Clone(doors[rule])
		if strings.HasSuffix(file, "_test.go") {
			may = append(may, testDoors[longest(testDoors, from)]...)
			may = append(may, from) // a package's outside tests
		}
		for _, spec := range f.Imports {
			to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			if ours && !opens(may, to) {
				t.Errorf("%s imports %s; %s opens onto %v only", file, to, rule, may)
			}
		}
	})
	if seen < 100 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// A hyphenated or program folder's root is package main, so that nobody ever
// imports a path whose last word is not its package's name; and every other
// package is named as its folder.
func TestPackageNames(t *testing.T) {
	mains := map[string]bool{"services": true, "scheduler": true, "compute-node": true, "storage-node": true, "network-node": true, "deploy": true}
	walk(t, func(file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err != nil {
			t.Error(err)
			return
		}
		dir := path.Dir(file)
		name := strings.TrimSuffix(f.Name.Name, "_test")
		switch {
		case dir == ".":
			if name != module {
				t.Errorf("%s: package %s, want %s", file, name, module)
			}
		case mains[dir]:
			if name != "main" {
				t.Errorf("%s: package %s, want main", file, name)
			}
		case name != "main" && name != path.Base(dir):
			t.Errorf("%s: package %s is not named as its folder", file, name)
		}
	})
}

// The doors themselves: the sentences of the design that must hold whatever
// lines are added above.
func TestWalls(t *testing.T) {
	houses := []string{"services", "scheduler", "compute-node", "storage-node", "network-node", "deploy"}
	for from, open := range doors {
		house, _, _ := strings.Cut(from, "/")
		for _, to := range append(slices.Clone(open), testDoors[from]...) {
			other, _, _ := strings.Cut(to, "/")
			if house != "deploy" && other != house && slices.Contains(houses, other) {
				t.Errorf("%s opens onto %s: houses meet in events, only deploy sees everybody", from, to)
			}
		}
	}
	if len(doors["events"]) > 0 {
		t.Errorf("events opens onto %v; it knows nobody", doors["events"])
	}
	for room := range doors {
		if _, err := os.Stat(filepath.FromSlash(room)); err != nil {
			t.Errorf("doors names a room that is not there: %v", err)
		}
	}
}

// What is pinned is pinned for a reason: raft 1.8.0 and pebble 2.1.7 are what
// the crash tests ran on, and the log store is our own.
func TestModules(t *testing.T) {
	b, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if m := regexp.MustCompile(`^\s*(?:require\s+)?(\S+/\S+)\s+(v\S+)`).FindStringSubmatch(line); m != nil {
			have[m[1]] = m[2]
		}
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod replaces a module: %s", line)
		}
	}
	for mod, version := range map[string]string{
		"github.com/hashicorp/raft":         "v1.8.0",
		"github.com/cockroachdb/pebble/v2":  "v2.1.7",
		"github.com/nats-io/nats.go":        "v1.55.0",
		"github.com/nats-io/nats-server/v2": "v2.15.2",
		"github.com/gostor/gotgt":           "v0.2.2",
		"libvirt.org/go/libvirt":            "v1.11010.0",
		"libvirt.org/go/libvirtxml":         "v1.11010.0",
		"github.com/tidwall/btree":          "v1.8.1",
	} {
		if have[mod] != version {
			t.Errorf("go.mod requires %s %q, want %s", mod, have[mod], version)
		}
	}
	for mod := range have {
		if strings.Contains(mod, "raft-boltdb") || strings.Contains(mod, "go.etcd.io/bbolt") {
			t.Errorf("go.mod requires %s: the Raft log is services/raftlog's", mod)
		}
	}
	if first, _, _ := strings.Cut(string(b), "\n"); first != "module "+module {
		t.Errorf("go.mod begins with %q", first)
	}
}

// The top of the repository is a table of contents. What is made (bin, .build)
// is ignored by git.
func TestTopLevel(t *testing.T) {
	want := []string{".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "compute-node", "deploy", "doc.go", "events",
		"go.mod", "go.sum", "house_test.go", "internal", "network-node", "scheduler", "services", "storage-node"}
	made := []string{".git", ".build", "bin"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		if name := e.Name(); !slices.Contains(made, name) && !strings.HasSuffix(name, ".test") && !strings.HasSuffix(name, ".out") {
			have = append(have, name)
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			t.Errorf("%s does not belong at the top", name)
		}
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// walk visits every Go file of the module.
func walk(t *testing.T, visit func(file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".go") {
			visit(filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// longest returns the folder of m nearest above dir, or "".
func longest(m map[string][]string, dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := m[dir]; ok {
			return dir
		}
	}
	return ""
}

func opens(doors []string, to string) bool {
	for _, d := range doors {
		tree, deep := strings.CutSuffix(d, "/...")
		if to == tree || deep && strings.HasPrefix(to, tree+"/") {
			return true
		}
	}
	return false
}
