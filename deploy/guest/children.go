//go:build linux

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps everything that PID 1 inherits. All
// waiting is done in one place, so an orphan's exit and a child's never race.
type children struct {
	mu    sync.Mutex
	waits map[int]chan int // exit code by pid
}

// start runs a program whose output goes to the console. The channel receives
// its exit code, 128 and the signal when one killed it.
func (c *children) start(path string, argv []string, dir string) (<-chan int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	c.mu.Lock() // before reap may look for the pid
	defer c.mu.Unlock()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{
		Dir:   dir,
		Env:   []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"},
		Files: []*os.File{null, os.Stdout, os.Stdout},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	done := make(chan int, 1)
	if c.waits == nil {
		c.waits = map[int]chan int{}
	}
	c.waits[p.Pid] = done
	p.Release()
	return done, nil
}

// reap waits for every child, ours or inherited, forever.
func (c *children) reap() {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGCHLD)
	for {
		for {
			var ws unix.WaitStatus
			pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			c.exited(pid, ws)
		}
		<-sig
	}
}

func (c *children) exited(pid int, ws unix.WaitStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done, ok := c.waits[pid]
	if !ok {
		return
	}
	delete(c.waits, pid)
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	done <- code
}
