//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxUserData bounds user data after decompression; the API takes 16 KiB.
const maxUserData = 1 << 20

// script returns the script in user data, or nil when there is none to run:
// only text that begins with #! is run ("Run commands on your Linux instance at
// launch"). Gzip is undone first.
func script(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		plain, err := io.ReadAll(io.LimitReader(z, maxUserData+1))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		if len(plain) > maxUserData {
			return nil, fmt.Errorf("larger than %d bytes", maxUserData)
		}
		data = plain
	}
	if !bytes.HasPrefix(data, []byte("#!")) {
		return nil, nil
	}
	return data, nil
}

// claim marks the user data of an instance as run; false means that it was.
// The mark comes first, so that a script that reboots runs once.
func claim(dir, id string) (bool, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") || id == "." || id == ".." {
		return false, fmt.Errorf("instance id %q", id)
	}
	d := filepath.Join(dir, id)
	if err := os.MkdirAll(d, 0o755); err != nil {
		return false, err
	}
	f, err := os.OpenFile(filepath.Join(d, "user-data-ran"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(f.Sync(), f.Close())
}

// runUserData runs the script once per instance as root; its output goes to the
// console and so to the console output of the API.
func runUserData(ctx context.Context, procs *children, dir, id string, data []byte) (ran bool, code int, err error) {
	s, err := script(data)
	if err != nil || s == nil {
		return false, 0, err
	}
	ours, err := claim(dir, id)
	if err != nil || !ours {
		return false, 0, err
	}
	file := filepath.Join(dir, id, "user-data.sh")
	if err := os.WriteFile(file, s, 0o700); err != nil {
		return false, 0, err
	}
	done, err := procs.start(file, []string{file}, "/")
	if err != nil {
		return false, 0, err
	}
	select {
	case code = <-done:
		return true, code, nil
	case <-ctx.Done():
		return true, -1, nil
	}
}
