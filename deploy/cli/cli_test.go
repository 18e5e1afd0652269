package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
)

// stage is one region directory and the programs to run it with.
type stage struct {
	*testing.T
	bin, dir string
}

// newStage isolates a test's home and run directory, and leaves nothing.
func newStage(t *testing.T) *stage {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	s := &stage{t, programs(t), filepath.Join(home, "region")}
	t.Cleanup(func() {
		r, err := lab.Open(s.dir)
		if err != nil {
			return
		}
		s.run("down")
		if ps := remains.Processes(r); len(ps) > 0 {
			t.Errorf("left: %v", ps)
		}
	})
	return s
}

// run runs one skerry command and answers its status and both outputs.
func (s *stage) run(args ...string) (int, string, string) {
	s.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "skerry"), slices.Concat(args[:1], []string{"--dir", s.dir}, args[1:])...)
	var out, errw bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errw
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		s.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errw.String()
}

// must runs a command that has to succeed.
func (s *stage) must(args ...string) string {
	s.Helper()
	code, out, errw := s.run(args...)
	if code != 0 {
		s.Fatalf("skerry %s: status %d\n%s%s", strings.Join(args, " "), code, out, errw)
	}
	return out
}

func (s *stage) region() *lab.Region {
	s.Helper()
	r, err := lab.Open(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// status is what `status -o json` says.
func (s *stage) status() overview {
	s.Helper()
	var o overview
	if err := json.Unmarshal([]byte(s.must("status", "-o", "json")), &o); err != nil {
		s.Fatal(err)
	}
	return o
}

// until waits for a condition.
func (s *stage) until(what string, there func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !there(); {
		if time.Now().After(end) {
			s.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *stage) state(o overview, name string) (state string, pid int) {
	for _, p := range o.Machine.Programs {
		if p.Name == name {
			return p.State, p.PID
		}
	}
	s.Fatalf("no program %s", name)
	return "", 0
}

func get(url string) string {
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

func TestUpAndDown(t *testing.T) {
	s := newStage(t)
	code, _, errw := s.run("up", "--hypervisor", "memory", "--hosts", "1")
	if code != 0 || !strings.Contains(errw, "SIMULATED") {
		t.Fatalf("status %d: %s", code, errw)
	}
	r := s.region()
	if !r.Formed {
		t.Error("the voters met, but the region does not say so")
	}

	// Up again changes nothing, and another shape is refused with a sentence.
	before := s.status()
	s.must("up")
	if _, pid := s.state(s.status(), "isle-1a-1/compute"); before.Machine == nil || pid == 0 {
		t.Error("a program is gone")
	} else if _, was := s.state(before, "isle-1a-1/compute"); was != pid {
		t.Error("a second up restarted a program")
	}
	code, _, errw = s.run("up", "--azs", "1")
	if code != 1 || !strings.Contains(errw, "cannot become one with 1") || !strings.Contains(errw, "next:") {
		t.Errorf("other zones: status %d, %s", code, errw)
	}

	// The environment is for sh, whole, and nothing else.
	env := s.must("env")
	out, err := exec.Command("sh", "-c", "set -eu\n"+env+`printf '%s|' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_DEFAULT_REGION" "$AWS_ENDPOINT_URL" "$SKERRY_ENDPOINT" "$SKERRY_DIR" "$NATS_URL" "$EC2_URL" "$EC2_ACCESS_KEY" "$EC2_SECRET_KEY" "$AWS_ACCESS_KEY" "$AWS_SECRET_KEY" "$EC2_ACCOUNT_NUMBER" "$EC2_USER_ID" "$AWS_CREDENTIAL_FILE"; cat "$AWS_CREDENTIAL_FILE"`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"AKIASTANDIN000000000|", "|isle-1|http://127.0.0.1:", "|123456789012|", "AWSAccessKeyId=AKIASTANDIN000000000\nAWSSecretKey="} {
		if !strings.Contains(string(out), want) {
			t.Errorf("env lacks %q: %s", want, out)
		}
	}
	for line := range strings.Lines(env) {
		if !strings.HasPrefix(line, "export ") {
			t.Errorf("env prints %q", line)
		}
	}
	path, _, _, err := contextFile(r)
	if err != nil || !exists(path) {
		t.Errorf("no NATS context %s: %v", path, err)
	}

	run := r.Run()
	s.must("down")
	if ps := remains.Processes(r); len(ps) > 0 || exists(run) {
		t.Errorf("down leaves %v, run directory %v", ps, exists(run))
	}
	if code, _, errw := s.run("status"); code != 1 || !strings.Contains(errw, "skerry up") {
		t.Errorf("status of a region that is down: %d, %s", code, errw)
	}
	if code, _, _ := s.run("doctor"); code != 1 {
		t.Errorf("doctor of a region that is down: %d", code)
	}
	s.must("up")
	s.must("down", "--purge")
	if exists(s.dir) || exists(path) {
		t.Errorf("purge leaves directory %v, context %v", exists(s.dir), exists(path))
	}
	s.must("down")
}

func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	s := newStage(t)
	s.must("up", "--hypervisor", "memory", "--hosts", "1")
	r := s.region()

	// The API port leads to a live zone, and to another when that one goes.
	if got := get(endpoint(r)); got != "served by isle-1a" {
		t.Fatalf("API: %s", got)
	}
	s.must("fail", "az", "isle-1a", "--for", "1h")
	s.until("another zone", func() bool { return get(endpoint(r)) == "served by isle-1b" })
	o := s.status()
	if st, _ := s.state(o, "isle-1a-cp/services"); st != "held" {
		t.Errorf("services of the failed zone are %s", st)
	}
	if st, _ := s.state(o, "isle-1a-1/compute"); st != "running" {
		t.Errorf("a node of the failed zone is %s", st)
	}
	if code, out, _ := s.run("doctor"); code != 1 || !strings.Contains(out, "az isle-1a") {
		t.Errorf("doctor: %d\n%s", code, out)
	}
	s.must("heal")
	s.until("the zone", func() bool { st, _ := s.state(s.status(), "isle-1a-cp/services"); return st == "running" })

	// A killed program starts again; one that fails for a while stays down and
	// then comes back by itself.
	_, was := s.state(s.status(), "isle-1b-1/compute")
	s.must("fail", "process", "isle-1b-1/compute")
	started := func() int { // as the program itself says
		return strings.Count(s.must("logs", "isle-1b-1", "compute"), "msg=started")
	}
	s.until("a restart", func() bool {
		st, pid := s.state(s.status(), "isle-1b-1/compute")
		return st == "running" && pid != was && started() == 2
	})
	s.must("fail", "process", "isle-1b-1/compute", "--for", "300ms")
	s.until("the end of the lease", func() bool {
		o := s.status()
		st, _ := s.state(o, "isle-1b-1/compute")
		return st == "running" && len(o.Machine.Faults) == 0
	})

	for _, c := range []struct{ args, want string }{
		{"fail az isle-9z", "the zones are isle-1a"},
		{"fail host isle-1a-7", "the hosts are"},
		{"fail process isle-1a-1/services", "it runs network storage compute"},
		{"fail process isle-1a-1", "name it host/kind"},
		{"fail link isle-1a isle-1b", "no wires"},
		{"fail az isle-1a --for 13h", "lasts up to 12h"},
		{"heal 99", "no fault 99"},
		{"heal x", "not the number"},
		{"logs nowhere", "the hosts are"},
		{"restart nowhere", "not a program"},
	} {
		code, _, errw := s.run(strings.Fields(c.args)...)
		if code != 1 || !strings.Contains(errw, c.want) {
			t.Errorf("%s: status %d, %s", c.args, code, errw)
		}
	}
	s.until("the third start in the log", func() bool { return started() == 3 })
}

// The supervisor is killed: the programs go on. The next up takes over, and a
// fault in force is still in force. Down works without any supervisor.
func TestSupervisorKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	s := newStage(t)
	s.must("up", "--hypervisor", "memory", "--azs", "1", "--hosts", "1")
	r := s.region()
	s.must("fail", "process", "isle-1a-1/storage", "--for", "1h")
	kill := func() {
		t.Helper()
		for _, p := range remains.Of(remains.Processes(r), remains.Supervisor) {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		s.until("the end of the supervisor", func() bool { return len(remains.Of(remains.Processes(r), remains.Supervisor)) == 0 })
	}
	kill()
	var left []remains.Process
	s.until("the end of the failed program, and of no other", func() bool { // it was killed; it ends a moment later
		left = remains.Of(remains.Processes(r), remains.Program)
		return len(left) == len(r.Programs())-1
	})
	s.must("up")
	o := s.status()
	if st, _ := s.state(o, "isle-1a-1/storage"); st != "held" || len(o.Machine.Faults) != 1 {
		t.Errorf("storage is %s, faults %v", st, o.Machine.Faults)
	}
	for _, p := range left {
		if _, pid := s.state(o, p.Name); pid == p.PID {
			t.Errorf("%s was not started anew", p.Name)
		}
	}
	kill()
	s.must("down")
	if ps := remains.Processes(r); len(ps) > 0 {
		t.Errorf("left %v", ps)
	}
}

func TestStrangersPort(t *testing.T) {
	s := newStage(t)
	s.must("up", "--hypervisor", "memory", "--azs", "1", "--hosts", "1")
	s.must("down")
	srv := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", s.region().Ports["api"])}
	go srv.ListenAndServe()
	defer srv.Close()
	s.until("the stranger", func() bool { return !strings.Contains(get("http://"+srv.Addr), "refused") })
	code, _, errw := s.run("up")
	if code != 1 || !strings.Contains(errw, "something else listens") {
		t.Errorf("status %d: %s", code, errw)
	}
}

// A program that cannot start is named, with its last words.
func TestBrokenProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("long: run by make test")
	}
	s := newStage(t)
	script := "#!/bin/sh\necho 'level=ERROR msg=\"no disk\"' >&2\nexit 3\n"
	bin := filepath.Join(s.bin, "skerry-storage-node")
	os.Remove(bin)
	if err := os.WriteFile(bin, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	code, _, errw := s.run("up", "--hypervisor", "memory", "--azs", "1", "--hosts", "1", "--timeout", "3s")
	if code != 1 || !strings.Contains(errw, "isle-1a-1/storage keeps ending (exit status 3)") || !strings.Contains(errw, "no disk") {
		t.Errorf("status %d: %s", code, errw)
	}
}

func TestAWSMissing(t *testing.T) {
	s := newStage(t)
	s.must("up", "--hypervisor", "memory", "--azs", "1", "--hosts", "1")
	t.Setenv("PATH", t.TempDir())
	code, _, errw := s.run("aws", "ec2", "describe-regions", "--output", "text")
	if code != 1 || !strings.Contains(errw, "apt-get install awscli") {
		t.Errorf("status %d: %s", code, errw)
	}
	tool := filepath.Join(os.Getenv("PATH"), "aws")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho \"$@ $AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID\"\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, out, _ := s.run("aws", "ec2", "describe-regions", "--output", "text")
	want := "ec2 describe-regions --output text " + endpoint(s.region()) + " AKIASTANDIN000000000\n"
	if code != 7 || out != want {
		t.Errorf("status %d: %q, want %q", code, out, want)
	}
}

func TestQuote(t *testing.T) {
	for _, v := range []string{"", "plain/value", "two words", "it's", "$(rm -rf /)", "a\nb", `"\`} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(v)).Output()
		if err != nil || string(out) != v {
			t.Errorf("%q became %q, %v", v, out, err)
		}
	}
}
