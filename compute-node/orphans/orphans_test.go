package orphans

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program play the parts of a reaper and of its child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "reaper" {
		code, err := Reap(append([]string{os.Args[0]}, os.Args[2:]...))
		if err != nil {
			fmt.Println(err)
			os.Exit(99)
		}
		os.Exit(code)
	}
	if len(os.Args) > 1 && os.Args[1] == "measure" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d, err := Measure(ctx)
		if err != nil {
			fmt.Println(err)
			os.Exit(98)
		}
		fmt.Printf("%d\n", d.Milliseconds())
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func TestOrphansOfTheChildAreReapedAtOnce(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), os.Args[0], "reaper", "measure").CombinedOutput()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 7 {
		t.Fatalf("the child's exit code did not come through: %v, %s", err, out)
	}
	var ms int
	if _, err := fmt.Sscan(strings.TrimSpace(string(out)), &ms); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if d := time.Duration(ms) * time.Millisecond; d > Slow {
		t.Fatalf("reaping took %v", d)
	}
}

func TestReapOfNothing(t *testing.T) {
	if _, err := Reap([]string{"no-such-program-anywhere"}); err == nil || !strings.Contains(err.Error(), "no-such-program-anywhere") {
		t.Fatalf("got %v", err)
	}
}
