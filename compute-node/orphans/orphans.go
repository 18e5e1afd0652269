// Package orphans is about processes whose parent is gone. QEMU is one by
// design: libvirt starts it as a daemon and, to destroy it, waits until its
// process is gone from the table. Somebody above the agent must reap it at
// once; where that is slow each destroy takes seconds and the first probe of
// QEMU's abilities minutes.
//
//	Reap(argv)  the parent that reaps: every node program runs under one
//	Measure     how long it takes on this machine, asked once at start
package orphans

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Slow is the time above which reaping is a condition worth telling.
const Slow = 300 * time.Millisecond

// Reap runs argv as a child, passes SIGTERM and SIGINT on to it, reaps every
// descendant that loses its parent, and returns the child's exit code when the
// child ends. Descendants that still run then go to the next reaper above.
func Reap(argv []string) (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("orphans: become the reaper: %w", err)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, fmt.Errorf("orphans: %w", err)
	}
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(c)
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, fmt.Errorf("orphans: %w", err)
	}
	child := p.Pid
	p.Release() // waited for below, with all others
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case s := <-c:
				syscall.Kill(child, s.(syscall.Signal))
			case <-ended:
				return
			}
		}
	}()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("orphans: wait: %w", err)
		}
		if pid == child {
			if ws.Signaled() {
				return 128 + int(ws.Signal()), nil
			}
			return ws.ExitStatus(), nil
		}
	}
}

// Measure makes an orphan that ends at once and returns how long it stays in
// the process table.
func Measure(ctx context.Context) (time.Duration, error) {
	// The shell ends without waiting; its child says its own pid, waits for the
	// shell to be gone and ends.
	out, err := exec.CommandContext(ctx, "/bin/sh", "-c", `sh -c 'sleep 0.02' >/dev/null 2>&1 & echo $!`).Output()
	if err != nil {
		return 0, fmt.Errorf("orphans: make an orphan: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0, fmt.Errorf("orphans: pid %q: %w", out, err)
	}
	var ended time.Time
	for {
		state := State(pid)
		now := time.Now()
		switch {
		case state == 0:
			if ended.IsZero() {
				return 0, nil
			}
			return now.Sub(ended), nil
		case state == 'Z' && ended.IsZero():
			ended = now
		}
		select {
		case <-ctx.Done():
			if ended.IsZero() {
				return 0, ctx.Err()
			}
			return now.Sub(ended), nil // at least so long
		case <-time.After(time.Millisecond):
		}
	}
}

// State is the letter of a process in /proc/pid/stat (proc(5)), 0 when there is
// no process.
func State(pid int) byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	if !ok || rest == "" {
		return 0
	}
	return rest[0]
}
