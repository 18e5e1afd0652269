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
		unit := bin
		if kind == "gateway" {
			unit = "skerry-gateway-node" // the network node's program, with a file of another kind
		}
		b, err := os.ReadFile(unit + "@.service")
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
				t.Errorf("%s@.service lacks %q", unit, strings.TrimSpace(want))
			}
		}
		if has := strings.Contains(text, "\nKillMode=process\n"); has != (kind == "compute") {
			t.Errorf("%s@.service: KillMode=process is %v", unit, has)
		}
		// The pins of the data plane outlive the program only in the machine's own mounts.
		if strings.Contains(text, "skerry-network-node") && (strings.Contains(text, "PrivateTmp=") || strings.Contains(text, "Protect") || strings.Contains(text, "PrivateMounts=")) {
			t.Errorf("%s@.service has a mount namespace of its own", unit)
		}
		section := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '[':
				section = line
			case section == "" || !strings.Contains(line, "="):
				t.Errorf("%s@.service: %q is no setting", unit, line)
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
