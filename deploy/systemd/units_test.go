package systemd

import (
	"os"
	"strings"
	"testing"

	"skerry/deploy/lab"
)

// Every program has a unit that starts it with its own file, and only a compute
// node leaves its children alone.
func TestUnits(t *testing.T) {
	for kind, bin := range lab.Binaries {
		b, err := os.ReadFile(bin + "@.service")
		if err != nil {
			t.Error(err)
			continue
		}
		text := string(b)
		for _, want := range []string{
			"\nExecStart=/usr/bin/" + bin + " -config /etc/skerry/%i/" + kind + ".toml\n",
			"\nRestart=always\n", "\nRestrictSUIDSGID=yes\n", "\nWantedBy=multi-user.target\n",
		} {
			if kind == "compute" && strings.Contains(want, "SUID") {
				continue // guests' disks hold files of every mode
			}
			if !strings.Contains(text, want) {
				t.Errorf("%s@.service lacks %q", bin, strings.TrimSpace(want))
			}
		}
		if has := strings.Contains(text, "\nKillMode=process\n"); has != (kind == "compute") {
			t.Errorf("%s@.service: KillMode=process is %v", bin, has)
		}
		section := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '[':
				section = line
			case section == "" || !strings.Contains(line, "="):
				t.Errorf("%s@.service: %q is no setting", bin, line)
			}
		}
	}
	es, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	units := 0
	for _, e := range es {
		if strings.HasSuffix(e.Name(), ".service") {
			units++
		}
	}
	if units != len(lab.Binaries) {
		t.Errorf("%d units for %d programs", units, len(lab.Binaries))
	}
}
