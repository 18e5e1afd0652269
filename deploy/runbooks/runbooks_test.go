package runbooks

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// patience bounds one block of commands.
const patience = 90 * time.Second

// region brings up a simulated region and answers the environment for its
// commands.
func region(t *testing.T) []string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"skerry", "skerry-services", "skerry-scheduler", "skerry-compute-node", "skerry-network-node", "skerry-storage-node"} {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			t.Skipf("%s is not built (make build)", p)
		}
	}
	home := t.TempDir()
	dir := filepath.Join(home, "region")
	tools := filepath.Join(filepath.Dir(bin), ".build")
	env := append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "SKERRY_DIR="+dir, "TMPDIR="+home, "AWS_PAGER=",
		"PATH="+bin+":"+tools+":"+os.Getenv("PATH"))
	skerry := func(args ...string) ([]byte, error) {
		cmd := exec.Command(filepath.Join(bin, "skerry"), args...)
		cmd.Env = env
		return cmd.Output()
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := skerry("status")
			t.Logf("%s", out)
			log, _ := os.ReadFile(filepath.Join(dir, "supervisor.log"))
			t.Logf("%s", tail(string(log), 30))
		}
		if out, err := skerry("down", "--purge"); err != nil {
			t.Errorf("down: %v: %s", err, words(err, out))
		}
	})
	if out, err := skerry("up", "--hypervisor", "memory", "--timeout", "60s"); err != nil {
		t.Fatalf("up: %v: %s", err, words(err, out))
	}
	out, err := skerry("env")
	if err != nil {
		t.Fatalf("env: %v: %s", err, words(err, out))
	}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			t.Fatalf("env prints %q", line)
		}
		env = append(env, name+"="+strings.Trim(value, "'"))
	}
	return env
}

func words(err error, out []byte) string {
	if e, ok := err.(*exec.ExitError); ok {
		return string(out) + string(e.Stderr)
	}
	return string(out)
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// blocks are the ```sh blocks of a page.
func blocks(text string) ([]string, error) {
	var out []string
	var cur []string
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !in && line == "```sh":
			in, cur = true, nil
		case in && line == "```":
			in = false
			out = append(out, strings.Join(cur, "\n"))
		case in:
			cur = append(cur, line)
		case strings.HasPrefix(line, "```"):
			return nil, fmt.Errorf("a block that is not sh: %q", line)
		}
	}
	if in {
		return nil, fmt.Errorf("the last block has no end")
	}
	return out, nil
}

func TestRunbooks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d runbooks, %v", len(pages), err)
	}
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	env := region(t)
	for _, page := range pages {
		t.Run(strings.TrimSuffix(page, ".md"), func(t *testing.T) {
			b, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			bs, err := blocks(string(b))
			if err != nil || len(bs) == 0 {
				t.Fatalf("%d blocks, %v", len(bs), err)
			}
			text := strings.Join(bs, "\n")
			if strings.Contains(text, "\nmount ") && os.Getuid() != 0 {
				t.Skip("needs root: it mounts a small file system")
			}
			if strings.Contains(text, "skerry aws ") && !installed("aws", env) {
				t.Skip("the AWS CLI is not installed (package awscli)")
			}
			if strings.Contains(text, "nats ") && !installed("nats", env) {
				t.Skip("the NATS command line is not built (make nats)")
			}
			for i, block := range bs {
				if !run(t, i+1, block, env) {
					// The next page begins with a whole region all the same.
					run(t, i+1, "skerry heal && skerry up", env)
					return
				}
			}
		})
	}
}

func installed(name string, env []string) bool {
	cmd := exec.Command("sh", "-c", "command -v "+name)
	cmd.Env = env
	return cmd.Run() == nil
}

func run(t *testing.T, n int, block string, env []string) bool {
	t.Helper()
	cmd := exec.Command("timeout", fmt.Sprint(int(patience.Seconds())), "sh", "-eux", "-c", block)
	cmd.Env = env
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("block %d: %v\n%s", n, err, out)
		return false
	}
	t.Logf("block %d: %.1f s", n, time.Since(began).Seconds())
	return true
}

func TestBlocks(t *testing.T) {
	bs, err := blocks("a\n```sh\nx\ny\n```\nb\n```sh\nz\n```\n")
	if err != nil || len(bs) != 2 || bs[0] != "x\ny" || bs[1] != "z" {
		t.Errorf("%q, %v", bs, err)
	}
	for _, bad := range []string{"```go\n```\n", "```sh\nx\n"} {
		if _, err := blocks(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
