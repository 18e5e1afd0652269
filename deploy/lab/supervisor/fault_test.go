package supervisor

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"skerry/deploy/lab"
)

// TestPlan runs testdata/faults.txt: faults in force, and what they mean.
func TestPlan(t *testing.T) {
	datadriven.RunTest(t, "testdata/faults.txt", func(t *testing.T, d *datadriven.TestData) string {
		r, err := lab.New("/d", "isle-1", 3, 1, d.Cmd)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		var faults []Fault
		for line := range strings.Lines(d.Input) {
			w := strings.Fields(line)
			f := Fault{Kind: w[0]}
			for _, x := range w[1:] {
				switch x {
				case "--data-plane":
					f.DataPlane = true
				case "--one-way":
					f.OneWay = true
				default:
					f.Names = append(f.Names, x)
				}
			}
			if err := f.check(r); err != nil {
				return err.Error() + "\n"
			}
			faults = append(faults, f)
		}
		e := plan(r, faults)
		var out strings.Builder
		for _, h := range slices.Sorted(maps.Keys(e.cuts.Hosts)) {
			fmt.Fprintln(&out, "cut ", h)
		}
		var pairs []string
		for p := range e.cuts.Pairs {
			pairs = append(pairs, fmt.Sprintf("drop zone %d to zone %d", p[0], p[1]))
		}
		slices.Sort(pairs)
		for _, p := range pairs {
			fmt.Fprintln(&out, p)
		}
		for _, p := range slices.Sorted(maps.Keys(e.held)) {
			fmt.Fprintln(&out, "hold", p)
		}
		for _, h := range slices.Sorted(maps.Keys(e.dark)) {
			fmt.Fprintln(&out, "dark", h)
		}
		return out.String()
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"verb":"fail","fault":{"id":0,"kind":"az","names":["isle-1a"],"since":"0001-01-01T00:00:00Z","until":"0001-01-01T00:00:00Z"},"for":60000000000}`))
	f.Add([]byte(`{"verb":"down"}`))
	f.Add([]byte(`{"verb":1}`))
	r, err := lab.New("/d", "isle-1", 3, 1, lab.QEMU)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := readRequest(bytes.NewReader(b))
		if err == nil && req.Fault != nil && req.Fault.check(r) == nil {
			plan(r, []Fault{*req.Fault})
		}
		if fs, err := parseFaults(r, b); err == nil {
			plan(r, fs)
		}
	})
}
