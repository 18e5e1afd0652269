//go:build linux

package main

import (
	"context"
	"os"
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
