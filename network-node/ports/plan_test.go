package ports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"skerry/events"
)

// TestPlan reads testdata/plan.txt. Lines:
//
//	want port|public ID [tombstone] [digest=X]
//	have port|public ID [there] [digest=X] [reported=300ms] [failed=2:500ms]
//	want|have tables X
//
// Times are how long ago.
func TestPlan(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	datadriven.RunTest(t, "testdata/plan.txt", func(t *testing.T, d *datadriven.TestData) string {
		w, h := want{Objects: map[object]asked{}}, have{Objects: map[object]held{}}
		for line := range strings.Lines(d.Input) {
			f := strings.Fields(line)
			if len(f) < 3 {
				continue
			}
			if f[1] == "tables" {
				*map[string]*string{"want": &w.Tables, "have": &h.Tables}[f[0]] = f[2]
				continue
			}
			o := object{events.SpecKind(f[1]), f[2]}
			var a asked
			var is held
			for _, word := range f[3:] {
				key, v, _ := strings.Cut(word, "=")
				ago := func(s string) time.Time {
					d, err := time.ParseDuration(s)
					if err != nil {
						t.Fatal(err)
					}
					return at.Add(-d)
				}
				switch key {
				case "tombstone":
					a.Tombstone = true
				case "digest":
					a.Digest, is.Digest = v, v
				case "there":
					is.There = true
				case "reported":
					is.Reported = ago(v)
				case "failed":
					n, when, _ := strings.Cut(v, ":")
					fmt.Sscan(n, &is.Tries)
					is.Failed = ago(when)
				default:
					t.Fatalf("%s: unknown word %q", d.Pos, word)
				}
			}
			if f[0] == "want" {
				w.Objects[o] = a
			} else {
				h.Objects[o] = is
			}
		}
		var b strings.Builder
		for _, s := range plan(w, h, at) {
			fmt.Fprintln(&b, s)
		}
		if b.Len() == 0 {
			return "nothing\n"
		}
		return b.String()
	})
}
