package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaces is where ip-netns(8) keeps names, so that `ip netns exec` works.
const namespaces = "/run/netns"

// Do runs f on a thread that is in the named namespace. The thread is given
// back only if it could return to where it was.
func Do(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("wire: own namespace: %w", err)
			return
		}
		defer home.Close()
		ns, err := netns.GetFromName(name)
		if err != nil {
			done <- fmt.Errorf("wire: namespace %s: %w", name, err)
			return
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("wire: enter namespace %s: %w", name, err)
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// exists tells whether a name stands for a live namespace. A plain file of
// that name is what a reboot leaves behind where /run is on a disk.
func exists(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Join(namespaces, name), &st) == nil && st.Type == unix.NSFS_MAGIC
}

// make creates a named namespace. It says whether it had to.
func makeNamespace(name string) (bool, error) {
	if exists(name) {
		return false, nil
	}
	if err := os.Remove(filepath.Join(namespaces, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("wire: stale namespace %s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() {
		// The thread ends with the goroutine: it is left inside the namespace.
		runtime.LockOSThread()
		ns, err := netns.NewNamed(name)
		if err == nil {
			ns.Close()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return false, fmt.Errorf("wire: make namespace %s: %w", name, err)
	}
	return true, nil
}

// Remove takes away a namespace's name; the namespace ends with its last
// process.
func Remove(name string) error {
	path := filepath.Join(namespaces, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("wire: unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wire: remove %s: %w", path, err)
	}
	return nil
}

// Names lists the names of namespaces that begin with prefix.
func Names(prefix string) []string {
	es, _ := os.ReadDir(namespaces)
	var out []string
	for _, e := range es {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out
}

// Inode identifies a named namespace as /proc/<pid>/ns/net does.
func Inode(name string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(namespaces, name), &st); err != nil {
		return 0, fmt.Errorf("wire: namespace %s: %w", name, err)
	}
	return st.Ino, nil
}
