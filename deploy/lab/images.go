package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"skerry/events"
)

// image is one entry of images.json, which `go run ./deploy/image` writes.
type image struct {
	Name         string           `json:"name"`
	Description  string           `json:"description"`
	Architecture string           `json:"architecture"`
	RootDevice   string           `json:"rootDevice"`
	Cmdline      string           `json:"cmdline"`
	Kernel       events.ImageFile `json:"kernel"`
	Ramdisk      events.ImageFile `json:"ramdisk"`
	Root         events.ImageFile `json:"root"`
}

// HasImages tells whether a directory offers images.
func HasImages(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "images.json"))
	return dir != "" && err == nil
}

// simulateImages gives a simulated region the catalogue of a real one: nothing
// ever reads the files that it names.
func (r *Region) simulateImages() error {
	dir := r.Path("images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	file := func(name, format string, bytes int64) events.ImageFile {
		return events.ImageFile{Name: name, SHA256: fmt.Sprintf("%064x", bytes), Bytes: bytes, Format: format}
	}
	b, err := json.MarshalIndent(map[string]any{"stamp": "simulated", "images": []image{{
		Name: "skerry-linux", Description: "Skerry Linux (simulated)", Architecture: "x86_64",
		RootDevice: "/dev/sda1", Cmdline: "console=ttyS0 root=/dev/vda ro quiet",
		Kernel: file("skerry-linux.vmlinuz", "", 1<<20), Ramdisk: file("skerry-linux.initrd", "", 2<<20),
		Root: file("skerry-linux.root", "raw", 1<<30),
	}}}, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	r.Images = dir
	return WriteFile(filepath.Join(dir, "images.json"), append(b, '\n'), 0o644)
}
