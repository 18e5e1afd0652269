package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"skerry/deploy/lab"
)

type execCmd struct {
	Args []string `arg:"" help:"A program and its arguments."`
}

// Run becomes a program that has the region's variables and, as root, resolves
// the region's names: in a mount namespace of its own, where /etc/resolv.conf
// names the region's gateways first. Nobody else sees a difference.
func (c *execCmd) Run(e *env) error {
	r, err := e.region()
	if err != nil {
		return err
	}
	args := c.Args
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("exec: which program?")
	}
	vars, err := e.environ()
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if len(r.Resolvers()) > 0 && os.Getuid() == 0 {
		runtime.LockOSThread()
		if err := resolveNames(r); err != nil {
			return fmt.Errorf("exec: names: %w", err)
		}
	}
	return syscall.Exec(path, args, vars)
}

// resolveNames gives the calling thread a mount namespace in which the region's
// names resolve. The files are in the region's run directory.
func resolveNames(r *lab.Region) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	was, _ := os.ReadFile("/etc/resolv.conf")
	if err := shadow(r, "resolv.conf", resolvConf(r, was)); err != nil {
		return err
	}
	was, err := os.ReadFile("/etc/nsswitch.conf")
	if err != nil {
		return nil // the C library's own order is files, then DNS
	}
	return shadow(r, "nsswitch.conf", switchToDNS(was))
}

// shadow lays a file of ours over one in /etc.
func shadow(r *lab.Region, name string, text []byte) error {
	file := filepath.Join(r.Run(), name)
	if err := lab.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	over, err := filepath.EvalSymlinks(filepath.Join("/etc", name))
	if err != nil {
		return err
	}
	return unix.Mount(file, over, "", unix.MS_BIND, "")
}

// maxNameservers is how many the C library asks (resolv.conf(5)).
const maxNameservers = 3

// resolvConf asks the region's gateways first. They refuse names that are not
// the region's, and the machine's own server is asked next.
func resolvConf(r *lab.Region, was []byte) []byte {
	var servers, rest []string
	for line := range strings.Lines(string(was)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "nameserver" {
			servers = append(servers, f[1])
		} else {
			rest = append(rest, strings.TrimSpace(line))
		}
	}
	var out bytes.Buffer
	ours := r.Resolvers()
	if n := maxNameservers - min(1, len(servers)); len(ours) > n {
		ours = ours[:n]
	}
	for _, a := range ours {
		fmt.Fprintf(&out, "nameserver %s\n", a)
	}
	for _, s := range servers[:min(len(servers), maxNameservers-len(ours))] {
		fmt.Fprintf(&out, "nameserver %s\n", s)
	}
	for _, l := range rest {
		fmt.Fprintln(&out, l)
	}
	fmt.Fprintln(&out, "options timeout:1")
	return out.Bytes()
}

// switchToDNS makes host names come from files and DNS alone: services such as
// systemd-resolved do not read the file that names our servers.
func switchToDNS(was []byte) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(was)) {
		if strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			line = "hosts: files dns\n"
		}
		out.WriteString(line)
	}
	return out.Bytes()
}
