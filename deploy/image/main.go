package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"skerry/events"
)

// recipe changes when the same packages and init must give another image.
const recipe = "4"

// release is one image of the catalogue. They have kernel, ramdisk and programs
// in common: what is shown with one is to hold with another as well.
type release struct{ name, title, version string }

var releases = []release{
	{"skerry-linux", "Skerry Linux", "1"},
	{"skerry-linux-2", "Skerry Linux 2", "2"},
}

// Image is one entry of images.json.
type Image struct {
	Name         string           `json:"name"`
	Description  string           `json:"description"`
	Architecture string           `json:"architecture"`
	RootDevice   string           `json:"rootDevice"`
	Cmdline      string           `json:"cmdline"`
	Kernel       events.ImageFile `json:"kernel"`
	Ramdisk      events.ImageFile `json:"ramdisk"`
	Root         events.ImageFile `json:"root"`
}

// Catalogue is the file images.json.
type Catalogue struct {
	Stamp  string  `json:"stamp"` // digest of what the images were made from
	Images []Image `json:"images"`
}

func main() {
	out := flag.String("o", ".build/image", "directory for the image files")
	cache := flag.String("cache", "", "directory for downloaded packages (default: OUT/packages)")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if *cache == "" {
		*cache = filepath.Join(*out, "packages")
	}
	if err := build(ctx, *out, *cache, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// build makes the image in dir unless what is there was made from the same
// packages, init and recipe.
func build(ctx context.Context, dir, cache string, log io.Writer) error {
	start := time.Now()
	if err := needTools(); err != nil {
		return err
	}
	for _, d := range []string{dir, cache} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	guest := filepath.Join(tmp, "init")
	if err := buildGuest(ctx, guest); err != nil {
		return err
	}
	kernel, packages, err := resolve(ctx)
	if err != nil {
		return err
	}
	stamp, err := stampOf(packages, guest)
	if err != nil {
		return err
	}
	if upToDate(dir, stamp) {
		fmt.Fprintf(log, "image: %s is up to date\n", filepath.Join(dir, "images.json"))
		return nil
	}
	fmt.Fprintf(log, "image: %d packages\n", len(packages))
	debs, err := download(ctx, cache, packages)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "image: kernel and ramdisk from %s\n", kernel)
	k, err := readKernel(ctx, debs[kernel])
	if err != nil {
		return err
	}
	init, err := os.ReadFile(guest)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "vmlinuz"), k.image, 0o644); err != nil {
		return err
	}
	rd, err := ramdisk(init, k.modules)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "initrd"), rd, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(log, "image: root file system\n")
	t := newTree()
	for _, p := range packages {
		if p.name == kernel {
			continue
		}
		if err := t.addPackage(ctx, debs[p.name]); err != nil {
			return err
		}
	}
	if err := t.furnish(ctx, tmp); err != nil {
		return err
	}
	kernelFile, err := publish(filepath.Join(tmp, "vmlinuz"), dir, "skerry-linux.vmlinuz", "")
	if err != nil {
		return err
	}
	ramdiskFile, err := publish(filepath.Join(tmp, "initrd"), dir, "skerry-linux.initrd", "")
	if err != nil {
		return err
	}
	c := Catalogue{Stamp: stamp}
	for _, r := range releases {
		t.release(r)
		made := filepath.Join(tmp, "root")
		if err := writeRoot(ctx, t, made, tmp); err != nil {
			return err
		}
		root, err := publish(made, dir, r.name+".root", "raw")
		if err != nil {
			return err
		}
		c.Images = append(c.Images, Image{
			Name:         r.name,
			Description:  r.title + " (Debian packages, kernel " + strings.TrimPrefix(kernel, "linux-image-") + ")",
			Architecture: "x86_64",
			RootDevice:   "/dev/sda1",
			Cmdline:      "console=ttyS0 root=/dev/vda quiet loglevel=4 random.trust_cpu=on",
			Kernel:       kernelFile, Ramdisk: ramdiskFile, Root: root,
		})
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "images.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(tmp, "images.json"), filepath.Join(dir, "images.json")); err != nil {
		return err
	}
	fmt.Fprintf(log, "image: %s made in %.1fs\n", filepath.Join(dir, "images.json"), time.Since(start).Seconds())
	return nil
}

// publish moves a made file to its name, read-only, and describes it.
func publish(made, dir, name, format string) (events.ImageFile, error) {
	f, err := os.Open(made)
	if err != nil {
		return events.ImageFile{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return events.ImageFile{}, err
	}
	if err := os.Chmod(made, 0o444); err != nil {
		return events.ImageFile{}, err
	}
	if err := os.Rename(made, filepath.Join(dir, name)); err != nil {
		return events.ImageFile{}, err
	}
	return events.ImageFile{Name: name, SHA256: hex.EncodeToString(h.Sum(nil)), Bytes: n, Format: format}, nil
}

// buildGuest compiles the init. The go command names what is wrong itself.
func buildGuest(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "skerry/deploy/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest's init: %w\n%s(run this inside the source tree)", err, b)
	}
	return nil
}

// stampOf digests everything that the image is made from.
func stampOf(packages []pkg, guest string) (string, error) {
	b, err := os.ReadFile(guest)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "recipe %s\ninit %x\n", recipe, sha256.Sum256(b))
	for _, p := range packages {
		fmt.Fprintf(h, "%s %s\n", p.file, p.sha256)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// upToDate says whether dir holds a whole image with this stamp.
func upToDate(dir, stamp string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "images.json"))
	if err != nil {
		return false
	}
	var c Catalogue
	if json.Unmarshal(b, &c) != nil || c.Stamp != stamp || len(c.Images) == 0 {
		return false
	}
	for _, i := range c.Images {
		for _, f := range []events.ImageFile{i.Kernel, i.Ramdisk, i.Root} {
			st, err := os.Stat(filepath.Join(dir, f.Name))
			if err != nil || st.Size() != f.Bytes {
				return false
			}
		}
	}
	return true
}

// tools are the programs that the build runs, and their Debian packages.
var tools = []struct{ name, pkg string }{
	{"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg-deb", "dpkg"},
	{"mke2fs", "e2fsprogs"}, {"debugfs", "e2fsprogs"}, {"e2fsck", "e2fsprogs"},
}

// needTools names every missing program at once.
func needTools() error {
	var missing []error
	for _, t := range tools {
		if _, err := tool(t.name); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing: install the Debian package %s", t.name, t.pkg))
		}
	}
	return errors.Join(missing...)
}

// tool finds a program; those of e2fsprogs lie in sbin, which a user's PATH may
// lack.
func tool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, d := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(d, name)); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}
