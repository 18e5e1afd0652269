// Package images reads the images that a region offers from the start: the
// images.json that the image build writes beside its files.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

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

// Read returns each entry as three images: kernel, ramdisk and machine. Ids
// follow from content, so every voter reads the same.
func Read(dir string) ([]events.Image, error) {
	path := filepath.Join(dir, "images.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	var file struct {
		Images []entry `json:"images"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("images: %s: %w", path, err)
	}
	var out []events.Image
	for _, e := range file.Images {
		if e.Name == "" || e.Kernel.SHA256 == "" || e.Root.SHA256 == "" {
			return nil, fmt.Errorf("images: %s: an image needs a name, a kernel and a root with their digests", path)
		}
		kernel := id("aki-", e.Name, e.Kernel.SHA256)
		ramdisk := events.ImageID("")
		out = append(out, events.Image{ID: kernel, Name: e.Name + "-kernel", Location: "amazon/" + e.Name + "-kernel", Type: "kernel", Architecture: e.Architecture, File: e.Kernel})
		if e.Ramdisk.SHA256 != "" {
			ramdisk = id("ari-", e.Name, e.Ramdisk.SHA256)
			out = append(out, events.Image{ID: ramdisk, Name: e.Name + "-ramdisk", Location: "amazon/" + e.Name + "-ramdisk", Type: "ramdisk", Architecture: e.Architecture, File: e.Ramdisk})
		}
		out = append(out, events.Image{
			ID: id("ami-", e.Name, e.Root.SHA256), Name: e.Name, Description: e.Description, Location: "amazon/" + e.Name, Type: "machine",
			Architecture: e.Architecture, Virtualization: "paravirtual", Kernel: kernel, Ramdisk: ramdisk,
			RootDevice: e.RootDevice, RootDeviceType: "instance-store", File: e.Root, Cmdline: e.Cmdline,
		})
	}
	return out, nil
}

func id(prefix, name, digest string) events.ImageID {
	h := sha256.Sum256([]byte(prefix + name + "\x00" + digest))
	return events.ImageID(prefix + "0" + hex.EncodeToString(h[:8]))
}
