//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func mountKernelFilesystems() {
	for _, m := range []struct{ dir, kind, opts string }{
		{"/proc", "proc", ""}, {"/sys", "sysfs", ""}, {"/dev", "devtmpfs", "mode=0755"},
	} {
		os.MkdirAll(m.dir, 0o755)
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, m.opts); err != nil && !errors.Is(err, unix.EBUSY) {
			console("SKERRY-WARN mount %s: %v", m.dir, err)
		}
	}
}

func mountRuntime() {
	for _, m := range []struct{ dir, kind, opts string }{
		{"/dev/pts", "devpts", "mode=0620,gid=5,ptmxmode=0666"},
		{"/dev/shm", "tmpfs", "mode=1777"},
		{"/run", "tmpfs", "mode=0755,size=16m"},
		{"/tmp", "tmpfs", "mode=1777"},
	} {
		flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
		if m.kind == "devpts" {
			flags = unix.MS_NOSUID
		}
		os.MkdirAll(m.dir, 0o755)
		if err := unix.Mount(m.kind, m.dir, m.kind, flags, m.opts); err != nil {
			console("SKERRY-WARN mount %s: %v", m.dir, err)
		}
	}
	os.Symlink("/proc/self/fd", "/dev/fd")
	os.Symlink("/proc/self/fd/0", "/dev/stdin")
	os.Symlink("/proc/self/fd/1", "/dev/stdout")
	os.Symlink("/proc/self/fd/2", "/dev/stderr")
}

// loadModules inserts the modules of dir in the order that its file "order"
// gives: a module needs the symbols of those before it.
func loadModules(dir string) []error {
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		return []error{fmt.Errorf("modules: %w", err)}
	}
	var errs []error
	for _, name := range strings.Fields(string(order)) {
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("module %s: %w", name, err))
		}
	}
	os.RemoveAll(dir) // it is memory
	return errs
}

// enterRoot mounts the disk that root= names, makes it / and grows its file
// system to the size of its disk.
func enterRoot(args map[string]string) error {
	dev := args["root"]
	if dev == "" {
		return errors.New("the kernel command line names no root=")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(dev); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("root device %s did not appear", dev)
		}
		time.Sleep(20 * time.Millisecond)
	}
	os.Mkdir("/newroot", 0o755)
	// noinit_itable: inode tables of a fresh disk are zero already.
	if err := unix.Mount(dev, "/newroot", "ext4", unix.MS_NOATIME, "noinit_itable"); err != nil {
		return fmt.Errorf("mount %s: %w", dev, err)
	}
	for _, d := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(d, "/newroot"+d, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", d, err)
		}
	}
	os.Remove("/init")
	if err := unix.Chdir("/newroot"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := grow("/", dev); err != nil {
		console("SKERRY-WARN grow root: %v", err)
	}
	return nil
}

// ext4Resize is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64) in fs/ext4/ext4.h: the
// kernel itself grows a mounted file system.
const ext4Resize = 0x40086610

// grow makes the ext4 mounted at dir as large as its device.
func grow(dir, dev string) error {
	f, err := os.Open(dev)
	if err != nil {
		return err
	}
	defer f.Close()
	var bytes uint64
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&bytes))); e != 0 {
		return e
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	blocks := bytes / uint64(st.Bsize)
	// Blocks in use by the file system's own tables do not count in Statfs, so
	// a full-size file system looks a few percent smaller than its device.
	if uint64(st.Blocks)+uint64(st.Blocks)/8 >= blocks {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, d.Fd(), ext4Resize, uintptr(unsafe.Pointer(&blocks))); e != 0 {
		return e
	}
	return nil
}

// firmwareInstanceID is the instance id that the hypervisor wrote into the base
// board's asset tag, or "".
func firmwareInstanceID(dmi string) string {
	b, err := os.ReadFile(filepath.Join(dmi, "board_asset_tag"))
	if err != nil {
		return ""
	}
	id := strings.TrimSpace(string(b))
	if !strings.HasPrefix(id, "i-") {
		return ""
	}
	return id
}

func setHostname(name string) {
	name, _, _ = strings.Cut(name, ".")
	if !validHostname(name) {
		return
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		console("SKERRY-WARN hostname: %v", err)
		return
	}
	os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644)
	os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n127.0.1.1 "+name+"\n::1 localhost\n"), 0o644)
}

// validHostname is a label of RFC 1123 section 2.1.
func validHostname(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}
