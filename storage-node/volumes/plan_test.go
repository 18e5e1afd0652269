package volumes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"skerry/events"
)

// TestPlan reads testdata/plan.txt. Each case is one volume or several:
//
//	want ID [tombstone] [epoch=1] [boot=old] [attach=a1] [known=ready@1]
//	have ID [epoch=1] [bytes=1024] [exported=a1] [other] [bad=…] [failed=export:2:3:500ms] [reported=ready@1:300ms]
//
// A have line means that the node holds the volume, unless it says nothing=.
// Times are how long ago. This process is boot "me".
func TestPlan(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	datadriven.RunTest(t, "testdata/plan.txt", func(t *testing.T, d *datadriven.TestData) string {
		ago := func(s string) time.Time {
			x, err := time.ParseDuration(s)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return at.Add(-x)
		}
		phase := func(s string) (p events.VolumePhase, e uint64) {
			name, epoch, _ := strings.Cut(s, "@")
			fmt.Sscan(epoch, &e)
			return events.VolumePhase(name), e
		}
		wants := map[events.VolumeID]want{}
		haves := map[events.VolumeID]have{}
		for line := range strings.Lines(d.Input) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			id := events.VolumeID(f[1])
			w := want{Spec: events.VolumeSpec{Volume: id, Bytes: 1024, Epoch: 1, Boot: "me"}}
			h := have{Held: true, Bytes: 1024, Epoch: 1, Same: true}
			for _, a := range f[2:] {
				key, v, _ := strings.Cut(a, "=")
				switch f[0] + " " + key {
				case "want tombstone":
					w = want{Tombstone: true}
				case "want epoch":
					fmt.Sscan(v, &w.Spec.Epoch)
				case "want boot":
					w.Spec.Boot = v
				case "want attach":
					w.Spec.Attachment = &events.AttachmentGrant{Attachment: events.AttachmentID(v)}
				case "want known":
					w.Spec.Known, w.Spec.KnownEpoch = phase(v)
				case "have nothing":
					h = have{}
				case "have epoch":
					fmt.Sscan(v, &h.Epoch)
				case "have bytes":
					fmt.Sscan(v, &h.Bytes)
				case "have exported":
					h.Exported = events.AttachmentID(v)
				case "have other":
					h.Same = false
				case "have bad":
					h.Bad = v
				case "have failed":
					p := strings.Split(v, ":")
					h.Failed = &failure{Verb: verb(p[0]), Last: ago(p[3]), Detail: "no"}
					fmt.Sscan(p[1], &h.Failed.Epoch)
					fmt.Sscan(p[2], &h.Failed.Count)
				case "have reported":
					p, when, _ := strings.Cut(v, ":")
					h.Reported.Phase, h.Reported.Epoch = phase(p)
					h.At = ago(when)
				default:
					d.Fatalf(t, "unknown word %q", a)
				}
			}
			if f[0] == "want" {
				wants[id] = w
			} else {
				haves[id] = h
			}
		}
		steps := plan("me", wants, haves, at)
		if len(steps) == 0 {
			return "nothing\n"
		}
		var b strings.Builder
		for _, s := range steps {
			fmt.Fprintln(&b, s)
		}
		return b.String()
	})
}
