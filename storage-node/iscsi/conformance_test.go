package iscsi

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestConformance runs libiscsi's test suite. It counts what passed; what is
// skipped says that the target does not offer something.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	tool, err := exec.LookPath("iscsi-test-cu")
	if err != nil {
		t.Skip("iscsi-test-cu (libiscsi-bin) is not installed")
	}
	b := newBench(t, vfs.Default, t.TempDir(), 256<<20)
	url := "iscsi://" + b.gate() + "/" + targetIQN + "/1"
	list, err := exec.Command(tool, "-l").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	families := map[string]bool{}
	var order []string
	for _, m := range regexp.MustCompile(`(?m)\b(ALL|SCSI|iSCSI)\.(\w+)\.(\w+)`).FindAllStringSubmatch(string(list), -1) {
		if name := m[1] + "." + m[2]; m[1] != "ALL" && !families[name] {
			families[name] = true
			order = append(order, name)
		}
	}
	if len(order) < 10 {
		t.Fatalf("the suite lists %d families:\n%s", len(order), list)
	}
	counts := map[string]int{}
	var failures []string
	for _, name := range order {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		cmd := exec.CommandContext(ctx, tool, "-i", initIQN, "-I", initIQN, "-d", "-v", "-t", name, url)
		out, err := cmd.CombinedOutput()
		late := ctx.Err() != nil
		cancel()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if p := os.Getenv("SKERRY_TEST_CU"); p != "" {
			os.WriteFile(p+"/"+name, out, 0o644)
		}
		s := string(out)
		ran, failed, skipped := tally(s)
		counts["ran"] += ran
		counts["failed"] += failed
		counts["skipped"] += skipped
		if late {
			counts["late"]++
		}
		if failed > 0 || late || ran == 0 {
			failures = append(failures, name+" ran "+strconv.Itoa(ran)+" failed "+strconv.Itoa(failed))
		}
		if _, ok := b.tgt.Exported(volID); !ok {
			t.Fatalf("%s: the export is gone", name)
		}
	}
	b.open(1).read10(0, 512)
	passed := counts["ran"] - counts["failed"] - counts["skipped"]
	t.Logf("passed %d, failed %d, skipped %d, families over time %d\n%s", passed, counts["failed"], counts["skipped"], counts["late"], strings.Join(failures, "\n"))
	const bar = 150
	if passed < bar {
		t.Errorf("%d tests passed; the bar is %d", passed, bar)
	}
}

// atTheEnd is said after the last test of each family, whatever it is about.
const atTheEnd = "[SKIPPED] PERSISTENT RESERVE IN is not implemented."

// tally reads CUnit's summary ("tests 5 5 4 1 0" is total, ran, passed, failed,
// inactive) and counts the tests that say that they were skipped and did not
// fail: CUnit counts those as passed.
func tally(s string) (ran, failed, skipped int) {
	m := regexp.MustCompile(`(?m)^\s*tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)`).FindStringSubmatch(s)
	if m == nil {
		return 0, 0, 0
	}
	ran, _ = strconv.Atoi(m[2])
	failed, _ = strconv.Atoi(m[4])
	tests := regexp.MustCompile(`(?m)^\s*Test: `).Split(s, -1)
	for _, one := range tests[1:] {
		if strings.Contains(strings.ReplaceAll(one, atTheEnd, ""), "[SKIPPED]") && !strings.Contains(one, "FAILED") {
			skipped++
		}
	}
	return ran, failed, skipped
}
