package remains

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skerry/deploy/lab"
)

func TestClassify(t *testing.T) {
	reg := region{dir: "/d", nodes: "/d/nodes/", run: "/run/skerry/abcd/", hosts: map[uint64]string{7: "isle-1a-1"}}
	for _, c := range []struct {
		args  string
		inode uint64
		want  string
	}{
		{"bin/skerry supervise --dir /d", 1, "supervisor skerry"},
		{"bin/skerry supervise --dir /other", 1, ""},
		{"bin/skerry-compute-node -config /d/nodes/isle-1a-1/compute/config.toml", 7, "program isle-1a-1/compute"},
		{"bin/skerry-compute-node -config /other/nodes/isle-1a-1/compute/config.toml", 1, ""},
		{"tail -f /d/nodes/isle-1a-1/compute/log", 1, ""},
		{"vi -config /d/nodes/x", 1, ""},
		{"/usr/bin/qemu-system-x86_64 -name guest=i-1,debug-threads=on -monitor /run/skerry/abcd/isle-1a-1/compute/m", 1, "guest i-1"},
		{"/usr/bin/qemu-system-x86_64 -name guest=i-1 -monitor /run/skerry/other/m", 1, ""},
		{"qemu-system-x86_64 -nographic", 7, "guest qemu-system-x86_64"},
		{"sleep 5", 7, "inside sleep"},
		{"sleep 5", 8, ""},
	} {
		p, ok := classify(reg, strings.Fields(c.args), c.inode)
		got := p.Class + " " + p.Name
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.args, got, c.want)
		}
	}
}

// A process that does not answer SIGTERM is killed, and one that was listed
// but is somebody else's is left alone.
func TestEnd(t *testing.T) {
	r, err := lab.New(t.TempDir(), "isle-9", 1, 1, lab.Memory)
	if err != nil {
		t.Fatal(err)
	}
	config := r.Programs()[0].Config
	stubborn := exec.Command("sh", "-c", `trap "" TERM; echo ready; while :; do read x; done`, "-config", config)
	out, _ := stubborn.StdoutPipe()
	stubborn.StdinPipe()
	if err := stubborn.Start(); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1))
	ended := make(chan error, 1)
	go func() { ended <- stubborn.Wait() }()
	ps := Processes(r)
	if len(ps) != 1 || ps[0].Class != Program || ps[0].PID != stubborn.Process.Pid {
		t.Fatalf("found %v", ps)
	}
	ps = append(ps, Process{PID: os.Getppid(), Class: Program, Name: "not ours"})
	if err := End(context.Background(), r, ps, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("ended with %v", err)
	}
	if left := Processes(r); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
