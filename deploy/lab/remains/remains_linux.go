// Package remains finds what a region has on this machine without asking the
// region: processes, namespaces, links, mounts and run directories. The
// supervisor uses it to take over after a crash, `down` to leave nothing, and
// `doctor` to find what should not be there.
//
// A process belongs to a region when it runs from one of its config files, is
// its supervisor, is a QEMU whose command line names the region's run
// directory, or is in one of its network namespaces. Reading a log of the
// region makes nobody part of it.
//
// Killing goes through a pidfd taken before the process was looked at again,
// so a reused pid is never hit.
package remains

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skerry/deploy/lab"
	"skerry/deploy/lab/wire"
)

// Classes of processes.
const (
	Supervisor = "supervisor"
	Program    = "program"
	Guest      = "guest"
	Inside     = "inside" // of a namespace of the region, for whatever reason
)

// Process is a live process of a region.
type Process struct {
	PID   int    `json:"pid"`
	Class string `json:"class"`
	Host  string `json:"host,omitempty"`
	Name  string `json:"name"` // host/kind of a program, else the command
}

func (p Process) String() string { return fmt.Sprintf("%s %s (pid %d)", p.Class, p.Name, p.PID) }

// region is what processes are recognised by.
type region struct {
	dir, nodes, run string
	hosts           map[uint64]string // by inode of the network namespace
}

func describe(r *lab.Region) region {
	reg := region{dir: r.Dir(), nodes: r.Path("nodes") + "/", run: r.Run() + "/", hosts: map[uint64]string{}}
	if r.Hypervisor == lab.QEMU {
		prefix := "sk" + r.Tag() + "-"
		for _, n := range wire.Names(prefix) {
			if ino, err := wire.Inode(n); err == nil {
				reg.hosts[ino] = strings.TrimPrefix(n, prefix)
			}
		}
	}
	return reg
}

// Processes lists the live processes of a region, but never the caller.
func Processes(r *lab.Region) []Process {
	reg := describe(r)
	es, _ := os.ReadDir("/proc")
	var out []Process
	for _, e := range es {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := look(reg, pid); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return a.PID - b.PID })
	return out
}

func look(reg region, pid int) (Process, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) == 0 {
		return Process{}, false // gone, a kernel thread, or a zombie
	}
	var args []string
	for _, a := range bytes.Split(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		args = append(args, string(a))
	}
	var inode uint64
	if len(reg.hosts) > 0 {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) == nil {
			inode = st.Ino
		}
	}
	p, ok := classify(reg, args, inode)
	p.PID = pid
	return p, ok
}

// classify tells whose a process is by its arguments and network namespace.
func classify(reg region, args []string, inode uint64) (Process, bool) {
	command := filepath.Base(args[0])
	host, inside := reg.hosts[inode]
	if len(args) > 1 && args[1] == "supervise" {
		if i := slices.Index(args, "--dir"); i > 0 && i+1 < len(args) && args[i+1] == reg.dir {
			return Process{Class: Supervisor, Name: command}, true
		}
	}
	if i := slices.Index(args, "-config"); i > 0 && i+1 < len(args) {
		if rest, ok := strings.CutPrefix(args[i+1], reg.nodes); ok {
			if parts := strings.Split(rest, "/"); len(parts) == 3 {
				return Process{Class: Program, Host: parts[0], Name: parts[0] + "/" + parts[1]}, true
			}
		}
	}
	if strings.HasPrefix(command, "qemu-system") {
		for _, a := range args[1:] {
			if _, after, ok := strings.Cut(a, reg.run); ok {
				if host == "" {
					host, _, _ = strings.Cut(after, "/")
				}
				return Process{Class: Guest, Host: host, Name: guestName(args)}, true
			}
		}
		if inside {
			return Process{Class: Guest, Host: host, Name: guestName(args)}, true
		}
	}
	if inside {
		return Process{Class: Inside, Host: host, Name: command}, true
	}
	return Process{}, false
}

// guestName is what follows guest= in QEMU's -name.
func guestName(args []string) string {
	if i := slices.Index(args, "-name"); i > 0 && i+1 < len(args) {
		name, _, _ := strings.Cut(strings.TrimPrefix(args[i+1], "guest="), ",")
		return name
	}
	return filepath.Base(args[0])
}

// End stops processes and waits until they are gone: a polite signal first,
// and after the grace SIGKILL. With no grace SIGKILL comes at once.
func End(ctx context.Context, r *lab.Region, ps []Process, grace time.Duration) error {
	reg := describe(r)
	type target struct {
		Process
		fd int
	}
	var live []target
	for _, p := range ps {
		fd, err := unix.PidfdOpen(p.PID, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remains: %v: %w", p, err)
		}
		defer unix.Close(fd)
		// The pid may have changed hands since the list was made.
		if now, ok := look(reg, p.PID); ok && now.Class == p.Class {
			live = append(live, target{p, fd})
		}
	}
	signal := unix.SIGKILL
	if grace > 0 {
		signal = unix.SIGTERM
	}
	deadline := time.Now().Add(grace)
	for round := 0; round < 2 && len(live) > 0; round++ {
		for _, t := range live {
			if err := unix.PidfdSendSignal(t.fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("remains: end %v: %w", t.Process, err)
			}
		}
		if signal == unix.SIGKILL {
			deadline = time.Now().Add(5 * time.Second)
		}
		var left []target
		for _, t := range live {
			if !gone(ctx, t.fd, deadline) {
				left = append(left, t)
			}
		}
		if signal == unix.SIGKILL && len(left) > 0 {
			return fmt.Errorf("%v does not end; is it waiting for a disk?", left[0].Process)
		}
		live, signal = left, unix.SIGKILL
	}
	return nil
}

// gone waits until the process of a pidfd has ended.
func gone(ctx context.Context, fd int, deadline time.Time) bool {
	for {
		wait := max(0, time.Until(deadline))
		if ctx.Err() != nil {
			wait = 0
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(min(wait, 200*time.Millisecond).Milliseconds()))
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) || wait == 0 {
			return false
		}
	}
}

// Of lists the processes of some classes.
func Of(ps []Process, classes ...string) []Process {
	return slices.DeleteFunc(slices.Clone(ps), func(p Process) bool { return !slices.Contains(classes, p.Class) })
}

// Mounts lists mount points under the region's directories, deepest first.
func Mounts(r *lab.Region) []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := unescape(f[4])
		if strings.HasPrefix(at, r.Run()+"/") || strings.HasPrefix(at, r.Path("nodes")+"/") {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

// unescape reads a path as proc_pid_mountinfo(5) writes it.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Namespaces lists the names of the region's network namespaces.
func Namespaces(r *lab.Region) []string { return wire.Names("sk" + r.Tag() + "-") }

// Clear removes mounts, namespaces and the run directory. Processes must have
// ended before.
func Clear(r *lab.Region) error {
	var errs []error
	for _, m := range Mounts(r) {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m, err))
		}
	}
	if r.Hypervisor == lab.QEMU {
		errs = append(errs, (&wire.Wire{Tag: r.Tag()}).Unplug())
	}
	for _, n := range Namespaces(r) {
		errs = append(errs, wire.Remove(n))
	}
	if len(Mounts(r)) == 0 {
		errs = append(errs, os.RemoveAll(r.Run()))
		os.Remove(filepath.Dir(r.Run())) // only when no other region uses it
	}
	return errors.Join(errs...)
}
