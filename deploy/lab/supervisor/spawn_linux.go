package supervisor

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"skerry/deploy/lab/wire"
)

// maxLog is the size at which a log becomes log.1 when its program starts, or
// is cut while it runs.
const maxLog = 32 << 20

// becomeSubreaper makes orphans of our children our own.
func becomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("supervisor: become subreaper: %w", err)
	}
	return nil
}

// spawn starts a program in a namespace (none: the own one) and answers its
// pid. Nothing waits for it but reap: os/exec would fight over the exit status.
func spawn(namespace, path string, args []string, log string) (int, error) {
	if fi, err := os.Stat(log); err == nil && fi.Size() > maxLog {
		os.Rename(log, log+".1")
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(),
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		// A session of its own keeps a terminal's signals away.
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	var pid int
	fork := func() (err error) {
		pid, err = syscall.ForkExec(path, args, attr)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
	if namespace == "" {
		err = fork()
	} else {
		err = wire.Do(namespace, fork)
	}
	return pid, err
}

// reap collects every child that has ended, ours or adopted.
func reap(ended func(pid int, ws syscall.WaitStatus)) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		ended(pid, ws)
	}
}

// exitWords says how a process ended.
func exitWords(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return "killed by " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("exit status %d", ws.ExitStatus())
}

// cutLog keeps a long log of a running program within bounds: the program
// appends, so a truncated file simply starts again.
func cutLog(path string) error {
	fi, err := os.Stat(path)
	if err != nil || fi.Size() <= maxLog {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".1", b, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}

// lock takes the region for one supervisor. The kernel lets go of it when the
// process ends, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("supervisor: another one already runs this region (%s is locked)", path)
	}
	return f, nil
}
