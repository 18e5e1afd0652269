package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweep ends what tests left: first the regions under dir, with all that they
// have on the machine, then every process that outlived its parent. Each is a
// failure, because a test cleans up also when it fails. Without a dir only
// processes are looked for.
func (r *report) sweep(dir string) {
	var found []string
	if dir != "" {
		found = regions(dir)
	}
	for _, region := range found {
		r.left("region " + region)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		out, err := exec.CommandContext(ctx, filepath.Join("bin", "skerry"), "down", "--purge", "--dir", region).CombinedOutput()
		cancel()
		if err != nil {
			fmt.Fprintf(r.out, "skerry down --purge --dir %s: %v\n%s", region, err, out)
		}
	}
	told := map[int]bool{}
	// A process that ends gives its children to the same keeper.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		orphans := children(os.Getppid())
		delete(orphans, os.Getpid())
		if len(orphans) == 0 {
			break
		}
		for pid, command := range orphans {
			if !told[pid] {
				told[pid] = true
				r.left("process " + command)
			}
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if dir == "" {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		r.left(err.Error())
	}
}

func (r *report) left(what string) {
	fmt.Fprintf(r.out, "FAIL  left behind: %s\n", what)
	r.fail("left behind: " + what)
}

// regions finds the directories of regions under dir.
func regions(dir string) []string {
	var out []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == "region.json" {
			out = append(out, filepath.Dir(path))
		}
		return nil // what cannot be read holds no region of ours
	})
	return out
}

// children lists the live children of a process with their command lines.
func children(parent int) map[int]string {
	out := map[int]string{}
	es, _ := os.ReadDir("/proc")
	for _, e := range es {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		// pid (name) state ppid …; the name may hold anything.
		i := bytes.LastIndexByte(b, ')')
		if err != nil || i < 0 {
			continue
		}
		f := strings.Fields(string(b[i+1:]))
		if len(f) < 2 || f[0] == "Z" || f[1] != strconv.Itoa(parent) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		out[pid] = fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(bytes.TrimSuffix(line, []byte{0}), []byte{0}, []byte{' '}))
	}
	return out
}
