//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeKeys replaces authorized_keys of the user whose home it is. Lines that
// are not one OpenSSH key are refused, so that metadata cannot add options.
func writeKeys(home string, keys []string, uid, gid int) error {
	var b strings.Builder
	for _, k := range keys {
		if !plainKey(k) {
			return fmt.Errorf("not an OpenSSH public key: %.40q", k)
		}
		b.WriteString(k + "\n")
	}
	dir := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(file+".new", []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	for _, p := range []string{dir, file} {
		if err := os.Chown(p, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// plainKey says whether k is "type base64 [comment]" on one line.
func plainKey(k string) bool {
	if strings.ContainsAny(k, "\r\n\x00") {
		return false
	}
	f := strings.Fields(k)
	if len(f) < 2 {
		return false
	}
	return strings.HasPrefix(f[0], "ssh-") || strings.HasPrefix(f[0], "ecdsa-") || strings.HasPrefix(f[0], "sk-")
}
