package guests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"skerry/compute-node/hypervisor"
	"skerry/events"
)

// TestPlan reads testdata/plan.txt. Each case is one guest or several:
//
//	want ID [tombstone] [stop] [boot=1.0] [known=running]
//	have ID [domain=running@1.0] [record=1.0] [reason=…] [pressed=5s] [last=1s]
//	        [failed=start:1.0:2:500ms] [reported=running:300ms]
//
// Times are how long ago. A guest is written as a short word.
func TestPlan(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(t *testing.T, s string) time.Time {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return at.Add(-d)
	}
	parseBoot := func(t *testing.T, s string) (b boot) {
		if _, err := fmt.Sscanf(s, "%d.%d", &b.Generation, &b.Reboots); err != nil {
			t.Fatalf("boot %q: %v", s, err)
		}
		return b
	}
	datadriven.RunTest(t, "testdata/plan.txt", func(t *testing.T, d *datadriven.TestData) string {
		wants := map[events.InstanceID]want{}
		haves := map[events.InstanceID]have{}
		for line := range strings.Lines(d.Input) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			id := events.InstanceID(f[1])
			w := want{Spec: events.InstanceSpec{Instance: id, Run: true, Generation: 1}}
			var h have
			for _, a := range f[2:] {
				key, v, _ := strings.Cut(a, "=")
				switch key {
				case "tombstone":
					w = want{Tombstone: true}
				case "stop":
					w.Spec.Run = false
				case "boot":
					b := parseBoot(t, v)
					w.Spec.Generation, w.Spec.Reboots = b.Generation, b.Reboots
				case "known":
					w.Spec.Known = events.Phase(v)
				case "domain":
					state, b, _ := strings.Cut(v, "@")
					bb := parseBoot(t, b)
					h.Domain = &hypervisor.Status{ID: string(id), State: hypervisor.State(state), Generation: bb.Generation, Reboots: bb.Reboots}
				case "reason":
					h.Domain.Reason = v
				case "record":
					b := parseBoot(t, v)
					h.Record = &Record{Instance: id, Prepared: b.Generation, Generation: b.Generation, Reboots: b.Reboots}
				case "vol": // of the spec: id[,detach][,known=…]
					p := strings.Split(v, ",")
					d := events.DiskSpec{Volume: events.VolumeID(p[0]), Serial: strings.ReplaceAll(p[0], "-", "")}
					for _, x := range p[1:] {
						if x == "detach" {
							d.Detach = true
						} else {
							d.Known = events.DiskPhase(x)
						}
					}
					w.Spec.Volumes = append(w.Spec.Volumes, d)
				case "has": // of the domain
					for _, x := range strings.Split(v, ",") {
						h.Domain.Volumes = append(h.Domain.Volumes, strings.ReplaceAll(x, "-", ""))
					}
				case "disk": // of the keeper: id,failed:verb:count:ago id,asked:ago id,told:phase:ago
					p := strings.Split(v, ",")
					k := disk{}
					for _, x := range p[1:] {
						q := strings.Split(x, ":")
						switch q[0] {
						case "failed":
							k.Failed = &failure{Verb: verb(q[1]), Last: ago(t, q[3]), Detail: "no port"}
							fmt.Sscan(q[2], &k.Failed.Count)
						case "asked":
							k.Asked = ago(t, q[1])
						case "told":
							k.Reported, k.At = events.DiskPhase(q[1]), ago(t, q[2])
						}
					}
					if h.Disks == nil {
						h.Disks = map[events.VolumeID]disk{}
					}
					h.Disks[events.VolumeID(p[0])] = k
				case "unplugged":
					h.Unplugged = true
				case "pressed":
					h.Pressed = ago(t, v)
				case "last":
					h.LastPress = ago(t, v)
				case "failed":
					p := strings.Split(v, ":")
					h.Failed = &failure{Verb: verb(p[0]), Boot: parseBoot(t, p[1]), Last: ago(t, p[3]), Detail: "no room"}
					fmt.Sscan(p[2], &h.Failed.Count)
				case "reported":
					phase, when, _ := strings.Cut(v, ":")
					h.Reported, h.At = events.Phase(phase), ago(t, when)
				default:
					t.Fatalf("%s: unknown word %q", d.Pos, a)
				}
			}
			switch f[0] {
			case "want":
				wants[id] = w
			case "have":
				haves[id] = h
			default:
				t.Fatalf("%s: unknown line %q", d.Pos, line)
			}
		}
		steps := plan(wants, haves, at)
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
