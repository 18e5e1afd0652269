package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernelMeta depends on the current kernel for virtual machines.
const kernelMeta = "linux-image-cloud-amd64"

// wanted are the packages whose programs the image promises; what they depend on
// follows.
var wanted = []string{
	"busybox-static", "bash", "ca-certificates", "curl", "dropbear-bin", "e2fsprogs",
	"iproute2", "iputils-ping", "net-tools", "openssh-sftp-server", "sudo", "util-linux", "wget",
}

// left are dependencies that only serve installation or bring nothing the image
// uses.
var left = []string{
	"adduser", "base-files", "base-passwd", "cdebconf", "debconf", "debianutils", "dpkg",
	"gcc-12-base", "gcc-14-base", "init-system-helpers", "install-info", "libcap2-bin", "libdb5.3",
	"libpam-modules-bin", "libpam-runtime", "logsave", "lsb-base", "openssl", "perl-base", "publicsuffix",
	"sysvinit-utils", "tar",
}

// pkg is one package as apt would download it.
type pkg struct {
	name   string
	file   string // name_version_arch.deb
	sha256 string
}

// resolve finds the kernel package and every package of the image, ordered by
// name.
func resolve(ctx context.Context) (kernel string, packages []pkg, err error) {
	deps, err := dependencies(ctx, []string{kernelMeta})
	if err != nil {
		return "", nil, err
	}
	for _, d := range deps[kernelMeta] {
		if strings.HasPrefix(d, "linux-image-") {
			kernel = d
		}
	}
	if kernel == "" {
		return "", nil, fmt.Errorf("the package %s names no kernel", kernelMeta)
	}
	seen := map[string]bool{}
	for _, l := range left {
		seen[l] = true
	}
	names := []string{kernel}
	for next := wanted; len(next) > 0; {
		names = append(names, next...)
		for _, n := range next {
			seen[n] = true
		}
		deps, err := dependencies(ctx, next)
		if err != nil {
			return "", nil, err
		}
		var more []string
		for _, n := range next {
			for _, d := range deps[n] {
				if !seen[d] {
					seen[d] = true
					more = append(more, d)
				}
			}
		}
		next = more
	}
	slices.Sort(names)
	out, err := apt(ctx, "", "apt-get", append([]string{"download", "--print-uris", "-q"}, names...)...)
	if err != nil {
		return "", nil, err
	}
	packages, err = parseURIs(out)
	if err != nil {
		return "", nil, err
	}
	if len(packages) != len(names) {
		return "", nil, fmt.Errorf("apt offers %d of %d packages: run apt-get update", len(packages), len(names))
	}
	return kernel, packages, nil
}

// uriLine is one line of apt-get --print-uris.
var uriLine = regexp.MustCompile(`^'[^']+' (([^_\s/]+)_[^_\s/]+_[^_\s/]+\.deb) [0-9]+ SHA256:([0-9a-f]{64})$`)

func parseURIs(out []byte) ([]pkg, error) {
	var ps []pkg
	for l := range strings.Lines(string(out)) {
		l = strings.TrimSpace(l)
		if !strings.HasPrefix(l, "'") {
			continue
		}
		m := uriLine.FindStringSubmatch(l)
		if m == nil {
			return nil, fmt.Errorf("apt-get --print-uris: cannot read %q", l)
		}
		ps = append(ps, pkg{name: m[2], file: m[1], sha256: m[3]})
	}
	slices.SortFunc(ps, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	return ps, nil
}

// dependencies returns what each package depends on directly; of alternatives
// the first real one.
func dependencies(ctx context.Context, names []string) (map[string][]string, error) {
	out, err := apt(ctx, "", "apt-cache", append([]string{"depends", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parseDepends(out), nil
}

// parseDepends reads apt-cache depends: a package at the margin, its
// dependencies indented by two, with | before each alternative that is followed
// by another, virtual names in <> and their providers indented by four.
func parseDepends(out []byte) map[string][]string {
	deps := map[string][]string{}
	var pkg string
	var settled, virtual bool // the current group of alternatives has its choice; its last name was virtual
	for l := range strings.Lines(string(out)) {
		l = strings.TrimRight(l, "\r\n")
		switch {
		case l == "":
		case l[0] != ' ':
			pkg, settled, virtual = l, false, false
		case strings.HasPrefix(l, "    "):
			if virtual && !settled {
				deps[pkg] = append(deps[pkg], strings.TrimSpace(l))
				settled = true
			}
		default:
			more := strings.HasPrefix(l, " |")
			_, name, ok := strings.Cut(l, ": ")
			if !ok {
				continue
			}
			if virtual { // the group before ended with a virtual name
				settled, virtual = false, false
			}
			if strings.HasPrefix(name, "<") {
				virtual = !more
				if virtual && settled {
					settled, virtual = false, false
				}
				continue
			}
			if !settled {
				deps[pkg] = append(deps[pkg], name)
			}
			settled = more
		}
	}
	return deps
}

// download puts every package into cache and returns the files by package name.
// What is there with the right digest is not fetched again.
func download(ctx context.Context, cache string, packages []pkg) (map[string]string, error) {
	files := map[string]string{}
	var missing []string
	for _, p := range packages {
		f := filepath.Join(cache, p.file)
		files[p.name] = f
		if sum, err := digest(f); err != nil || sum != p.sha256 {
			os.Remove(f)
			missing = append(missing, p.name)
		}
	}
	if len(missing) > 0 {
		// apt fetches into its working directory.
		if _, err := apt(ctx, cache, "apt-get", append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, missing...)...); err != nil {
			return nil, err
		}
	}
	for _, p := range packages {
		sum, err := digest(files[p.name])
		if err != nil {
			return nil, fmt.Errorf("apt-get download did not bring %s: %w", p.file, err)
		}
		if sum != p.sha256 {
			return nil, fmt.Errorf("%s has digest %s, apt announced %s", files[p.name], sum, p.sha256)
		}
	}
	return files, nil
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// apt runs a program of apt and returns what it printed.
func apt(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%s is missing: the image is built on Debian", name)
		}
		return nil, fmt.Errorf("%s %s: %w: %s(is the network up, and was apt-get update run?)", name, args[0], err, errs.Bytes())
	}
	return out.Bytes(), nil
}
