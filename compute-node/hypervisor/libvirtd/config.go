package libvirtd

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Config says where the driver lives.
type Config struct {
	Root     string       // short directory for libvirt's state
	Cache    string       // directory for capabilities shared between roots; empty: none
	Emulator string       // default /usr/bin/qemu-system-x86_64
	Log      *slog.Logger // default: none
}

// maxRoot leaves room for R/lib/qemu/domain-N-i-…/monitor.sock below 108 bytes.
const maxRoot = 48

// qemuConf is R/etc/qemu.conf. Without the first line a start fails for want of
// virtlogd.
const qemuConf = `stdio_handler = "file"
user = "root"
group = "root"
remember_owner = 0
security_driver = "none"
`

func (c *Config) prepare() error {
	if c.Emulator == "" {
		c.Emulator = "/usr/bin/qemu-system-x86_64"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !filepath.IsAbs(c.Root) || len(c.Root) > maxRoot || strings.ContainsAny(c.Root, "?&%# ") {
		return fmt.Errorf("libvirtd: the root %q must be an absolute path of at most %d plain characters", c.Root, maxRoot)
	}
	if _, err := os.Stat(c.Emulator); err != nil {
		return fmt.Errorf("libvirtd: %s is missing: install the Debian package qemu-system-x86", c.Emulator)
	}
	if err := os.MkdirAll(filepath.Join(c.Root, "etc"), 0o755); err != nil {
		return fmt.Errorf("libvirtd: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(c.Root, "ga"), 0o700); err != nil {
		return fmt.Errorf("libvirtd: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.Root, "etc/qemu.conf"), []byte(qemuConf), 0o644); err != nil {
		return fmt.Errorf("libvirtd: %w", err)
	}
	return nil
}

// capabilities is where libvirt keeps what it learned of QEMU, below R/cache.
const capabilities = "cache/qemu/capabilities"

// borrowCapabilities copies the shared ones into the root. Failing costs only
// time.
func (c *Config) borrowCapabilities() {
	if c.Cache != "" {
		copyMissing(c.Cache, filepath.Join(c.Root, capabilities))
	}
}

// lendCapabilities copies the root's into the shared directory.
func (c *Config) lendCapabilities() {
	if c.Cache != "" {
		copyMissing(filepath.Join(c.Root, capabilities), c.Cache)
	}
}

// copyMissing copies the XML files of from that to lacks, each by rename.
func copyMissing(from, to string) {
	files, _ := filepath.Glob(filepath.Join(from, "*.xml"))
	if len(files) == 0 || os.MkdirAll(to, 0o755) != nil {
		return
	}
	for _, f := range files {
		dst := filepath.Join(to, filepath.Base(f))
		if _, err := os.Stat(dst); err == nil {
			continue
		}
		copyFile(f, dst)
	}
}

func copyFile(from, to string) {
	src, err := os.Open(from)
	if err != nil {
		return
	}
	defer src.Close()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return
	}
	_, err = io.Copy(tmp, src)
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		// libvirt takes a file only when it is no older than QEMU's own times
		// inside it say, and readable by root.
		err = os.Rename(tmp.Name(), to)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
}
