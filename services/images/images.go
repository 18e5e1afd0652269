// Package images reads the images that a region offers from the start: the
// images.json that the image build writes beside its files.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skerry/events"
)

type entry struct {
	Name         string           `json:"name"`
	Description  string           `json:"description"`
	Architecture string           `json:"architecture"`
	RootDevice   string           `json:"rootDevice"`
	Cmdline      string           `json:"cmdline"`
	Kernel       events.ImageFile `json:"kernel"`
	Ramdisk      events.ImageFile `json:"ramdisk"`
	Root         events.ImageFile `json:"root"`
}

// Read returns each entry as three images of a region: kernel, ramdisk and
// machine. Ids follow from content and region, so every voter reads the same, and
// an id of one region means nothing in another.
func Read(dir, region string) ([]events.Image, error) {
	path := filepath.Join(dir, "images.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	out, err := parse(b, region)
	if err != nil {
		return nil, fmt.Errorf("images: %s: %w", path, err)
	}
	return out, nil
}

func parse(b []byte, region string) ([]events.Image, error) {
	var file struct {
		Images []entry `json:"images"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	var out []events.Image
	seen := map[string]bool{}
	for _, e := range file.Images {
		if e.Name == "" || e.Kernel.SHA256 == "" || e.Root.SHA256 == "" {
			return nil, errors.New("an image needs a name, a kernel and a root with their digests")
		}
		if seen[e.Name] {
			return nil, fmt.Errorf("the image %q is there twice", e.Name)
		}
		seen[e.Name] = true
		for _, f := range []events.ImageFile{e.Kernel, e.Ramdisk, e.Root} {
			if err := check(f); err != nil {
				return nil, fmt.Errorf("image %q: %w", e.Name, err)
			}
		}
		kernel := id("aki-", region, e.Name, e.Kernel.SHA256)
		ramdisk := events.ImageID("")
		out = append(out, events.Image{ID: kernel, Name: e.Name + "-kernel", Location: "amazon/" + e.Name + "-kernel", Type: "kernel", Architecture: e.Architecture, File: e.Kernel})
		if e.Ramdisk.SHA256 != "" {
			ramdisk = id("ari-", region, e.Name, e.Ramdisk.SHA256)
			out = append(out, events.Image{ID: ramdisk, Name: e.Name + "-ramdisk", Location: "amazon/" + e.Name + "-ramdisk", Type: "ramdisk", Architecture: e.Architecture, File: e.Ramdisk})
		}
		out = append(out, events.Image{
			ID: id("ami-", region, e.Name, e.Root.SHA256), Name: e.Name, Description: e.Description, Location: "amazon/" + e.Name, Type: "machine",
			Architecture: e.Architecture, Virtualization: "paravirtual", Kernel: kernel, Ramdisk: ramdisk,
			RootDevice: e.RootDevice, RootDeviceType: "instance-store", File: e.Root, Cmdline: e.Cmdline,
		})
	}
	return out, nil
}

// check refuses a file that no host could read by its name and digest.
func check(f events.ImageFile) error {
	switch {
	case f.SHA256 == "":
		return nil // no ramdisk
	case len(f.SHA256) != 64 || strings.Trim(f.SHA256, "0123456789abcdef") != "":
		return fmt.Errorf("the digest %q of file %q is not 64 hex digits", f.SHA256, f.Name)
	case f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsRune(f.Name, filepath.Separator):
		return fmt.Errorf("%q is not a file of this directory", f.Name)
	case f.Bytes < 0:
		return fmt.Errorf("file %q has %d bytes", f.Name, f.Bytes)
	}
	return nil
}

func id(prefix, region, name, digest string) events.ImageID {
	h := sha256.Sum256([]byte(prefix + region + "\x00" + name + "\x00" + digest))
	return events.ImageID(prefix + "0" + hex.EncodeToString(h[:8]))
}
