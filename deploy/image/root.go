package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// The root file system. The overlay of an instance is as large as its type
// says; the guest grows the file system to it, up to a thousandfold.
const (
	rootBytes = 512 << 20
	rootUUID  = "5ce44700-1d1e-4a00-8a6e-5ce44700001e"
	// fakeTime is the time of every inode, in seconds since 1970.
	fakeTime = "1700000000"
)

// plainPath is what debugfs takes without quoting.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_.,+@:=~\[/-]+$`)

// writeRoot makes the ext4 file system of a tree. tmp is for the files' bytes on
// their way.
func writeRoot(ctx context.Context, t *tree, out, tmp string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := f.Truncate(rootBytes); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := ext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-i", "16384", "-L", "root", "-U", rootUUID, "-J", "size=8",
		"-O", "^orphan_file", "-E", "hash_seed="+rootUUID+",root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,nodiscard", out); err != nil {
		// Older versions do not know the orphan_file feature and need not be
		// told to leave it out.
		if err := ext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-i", "16384", "-L", "root", "-U", rootUUID, "-J", "size=8",
			"-E", "hash_seed="+rootUUID+",root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,nodiscard", out); err != nil {
			return err
		}
	}
	script, err := debugfsScript(t, filepath.Join(tmp, "blobs"))
	if err != nil {
		return err
	}
	cmds := filepath.Join(tmp, "script")
	if err := os.WriteFile(cmds, script, 0o644); err != nil {
		return err
	}
	if err := ext(ctx, "debugfs", "-w", "-f", cmds, out); err != nil {
		return err
	}
	return ext(ctx, "e2fsck", "-f", "-n", out)
}

// debugfsScript writes every file's bytes into blobs and returns the commands
// that make the tree, parents first, in the order of paths.
func debugfsScript(t *tree, blobs string) ([]byte, error) {
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, err
	}
	var s bytes.Buffer
	set := func(p string, n *node) {
		fmt.Fprintf(&s, "sif %s mode 0%o\n", p, n.mode)
		fmt.Fprintf(&s, "sif %s uid %d\nsif %s gid %d\n", p, n.uid, p, n.gid)
	}
	cwd := ""
	for i, p := range t.paths() {
		n := t.files[p]
		if !plainPath.MatchString(p) {
			return nil, fmt.Errorf("the file name %q cannot be written", p)
		}
		if d := "/" + strings.TrimPrefix(path.Dir(p), "."); d != cwd {
			fmt.Fprintf(&s, "cd %s\n", d)
			cwd = d
		}
		base := path.Base(p)
		switch n.kind() {
		case modeDir:
			fmt.Fprintf(&s, "mkdir %s\n", base)
			set(base, n)
		case modeLink:
			if !plainPath.MatchString(n.link) {
				return nil, fmt.Errorf("the link %q to %q cannot be written", p, n.link)
			}
			fmt.Fprintf(&s, "symlink %s %s\n", base, n.link)
		case modeFile:
			blob := filepath.Join(blobs, fmt.Sprint(i))
			if err := os.WriteFile(blob, n.data, 0o644); err != nil {
				return nil, err
			}
			abs, err := filepath.Abs(blob)
			if err != nil {
				return nil, err
			}
			if strings.ContainsAny(abs, "\"\n") {
				return nil, fmt.Errorf("the output directory %q has a character that debugfs cannot take", abs)
			}
			fmt.Fprintf(&s, "write \"%s\" %s\n", abs, base)
			set(base, n)
		default:
			return nil, fmt.Errorf("%s has mode %o", p, n.mode)
		}
	}
	return s.Bytes(), nil
}

// ext runs a program of e2fsprogs at the fixed time. debugfs exits with 0
// whatever its commands did, but says on its standard error what went wrong.
func ext(ctx context.Context, name string, args ...string) error {
	file, err := tool(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "E2FSPROGS_FAKE_TIME="+fakeTime)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err == nil && name == "debugfs" {
		for l := range strings.Lines(errs.String()) {
			if strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "debugfs ") {
				return fmt.Errorf("debugfs: %s", strings.TrimSpace(l))
			}
		}
		for l := range strings.Lines(out.String()) {
			// Its own complaints about arguments go to standard output.
			if strings.Contains(l, "Usage:") || strings.Contains(l, ": File not found") || strings.Contains(l, "Unknown request") {
				return fmt.Errorf("debugfs: %s", strings.TrimSpace(l))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s%s", name, err, errs.Bytes(), tail(out.Bytes()))
	}
	return nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }
