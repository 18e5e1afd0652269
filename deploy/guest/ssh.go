//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startSSH runs the SSH server and starts it again when it dies. Keys only, no
// root, host keys made on first use and kept on the root disk.
func startSSH(ctx context.Context, procs *children) error {
	const path = "/usr/sbin/dropbear"
	if err := os.MkdirAll("/etc/dropbear", 0o700); err != nil {
		return err
	}
	argv := []string{"dropbear", "-F", "-R", "-s", "-w", "-E", "-P", "/run/dropbear.pid"}
	done, err := procs.start(path, argv, "/")
	if err != nil {
		return err
	}
	// Ready means that a login works. Whoever asked too early would be reset.
	for end := time.Now().Add(5 * time.Second); !listens("/proc/net", 22) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case code := <-done:
				console("SKERRY-WARN ssh server ended with %d", code)
			}
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(2 * time.Second):
				}
				if done, err = procs.start(path, argv, "/"); err == nil {
					break
				}
			}
		}
	}()
	return nil
}

// listens says whether anything accepts connections on a port, from the tables
// of a /proc/net: "  0: 00000000:0016 00000000:0000 0A …", where 0A is LISTEN.
func listens(proc string, port uint16) bool {
	want := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"tcp", "tcp6"} {
		b, _ := os.ReadFile(filepath.Join(proc, table))
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) > 3 && strings.HasSuffix(f[1], want) && f[3] == "0A" {
				return true
			}
		}
	}
	return false
}
