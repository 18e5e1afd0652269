//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is a block device that the hypervisor gave.
type disk struct {
	Dev    string // vda
	Serial string // root, ephemeral0, vol0123…
}

// listDisks reads the virtio disks of a /sys/block, in order of name.
func listDisks(sys string) []disk {
	dirs, _ := filepath.Glob(filepath.Join(sys, "vd*"))
	slices.Sort(dirs)
	var out []disk
	for _, d := range dirs {
		serial, _ := os.ReadFile(filepath.Join(d, "serial"))
		out = append(out, disk{filepath.Base(d), strings.TrimSpace(string(serial))})
	}
	return out
}

// mountDisks mounts the first ephemeral disk at /mnt, as EC2's images do
// ("Instance store volumes"), and says where each disk is.
func mountDisks(disks []disk) []string {
	var said []string
	for _, d := range disks {
		where := "-"
		switch d.Serial {
		case "root":
			where = "/"
		case "ephemeral0":
			where = "/mnt"
			os.MkdirAll(where, 0o755)
			if err := unix.Mount("/dev/"+d.Dev, where, "ext4", unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV, "noinit_itable"); err != nil {
				console("SKERRY-WARN mount /dev/%s: %v", d.Dev, err)
				where = "failed"
			}
		}
		said = append(said, d.Dev+"="+where)
	}
	if len(said) == 0 {
		return []string{"none"}
	}
	return said
}

// linkDisks makes the names that users know from the API: /dev/sda1 and
// /dev/xvda1 for the root, and the same pair for what the block-device mapping
// of the metadata service names.
func linkDisks(disks []disk, mapping map[string]string) {
	for name, dev := range deviceLinks(disks, mapping) {
		p := filepath.Join("/dev", name)
		os.Remove(p)
		if err := os.Symlink(dev, p); err != nil {
			console("SKERRY-WARN link %s: %v", p, err)
		}
	}
}

// deviceLinks says which name in /dev leads to which disk. The mapping has keys
// such as ami, ephemeral0, ebs1 and values such as sda1, sdb, /dev/sdf. A name
// that a real disk has is never taken.
func deviceLinks(disks []disk, mapping map[string]string) map[string]string {
	out := map[string]string{}
	taken := map[string]bool{}
	for _, d := range disks {
		taken[d.Dev] = true
	}
	link := func(name, dev string) {
		name = strings.TrimPrefix(name, "/dev/")
		if name == "" || strings.ContainsAny(name, "/.") || taken[name] {
			return
		}
		out[name] = dev
		rest, ok := strings.CutPrefix(name, "sd")
		if ok && !taken["xvd"+rest] {
			out["xvd"+rest] = dev
		}
	}
	var volumes []disk
	for _, d := range disks {
		n, ephemeral := strings.CutPrefix(d.Serial, "ephemeral")
		switch {
		case d.Serial == "root":
			link("sda1", d.Dev)
			link(mapping["ami"], d.Dev)
		case ephemeral && len(n) == 1 && n[0] >= '0' && n[0] <= '9':
			link(fmt.Sprintf("sd%c", 'b'+n[0]-'0'), d.Dev)
			link(mapping[d.Serial], d.Dev)
		case strings.HasPrefix(d.Serial, "vol"):
			volumes = append(volumes, d)
		}
	}
	// The metadata names volumes ebs1, ebs2 … in the order of attachment, which
	// is the order in which the devices appeared.
	var ebs []string
	for k := range mapping {
		if strings.HasPrefix(k, "ebs") {
			ebs = append(ebs, k)
		}
	}
	slices.SortFunc(ebs, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for i, d := range volumes {
		if i < len(ebs) {
			link(mapping[ebs[i]], d.Dev)
		}
	}
	return out
}
