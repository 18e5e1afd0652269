//go:build linux

package main

import (
	"cmp"
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

// names is what the metadata service calls the disks.
type names struct {
	mapping map[string]string // block-device-mapping: ami, ephemeral0, ebs1 to sda1, sdb, /dev/sdf
	serials map[string]string // dynamic/skerry/block-devices: serial to device; nil where the service has no such list
}

// deviceLinks says which name in /dev leads to which disk. A name that a real
// disk has is never taken. What the API calls a volume comes before the names
// that other disks have by custom: a volume at /dev/xvdb has that name even
// where /dev/sdb is the ephemeral disk.
func deviceLinks(disks []disk, n names) map[string]string {
	taken := map[string]bool{}
	for _, d := range disks {
		taken[d.Dev] = true
	}
	out := map[string]string{}
	var customs [][2]string
	link := func(name, dev string) {
		name = strings.TrimPrefix(name, "/dev/")
		if name == "" || len(name) > 32 || strings.ContainsAny(name, "/.\x00") || taken[name] {
			return
		}
		if _, ok := out[name]; ok {
			return
		}
		out[name] = dev
		if rest, ok := strings.CutPrefix(name, "sd"); ok {
			customs = append(customs, [2]string{"xvd" + rest, dev})
		}
	}
	var volumes []disk
	for _, d := range disks {
		if strings.HasPrefix(d.Serial, "vol") {
			link(n.serials[d.Serial], d.Dev)
			volumes = append(volumes, d)
		}
	}
	if n.serials == nil {
		// Another cloud's service names volumes ebs1, ebs2 … in the order of
		// attachment, which is the order in which the devices appeared.
		for i, name := range ebsNames(n.mapping) {
			if i < len(volumes) {
				link(name, volumes[i].Dev)
			}
		}
	}
	for _, d := range disks {
		i, ephemeral := strings.CutPrefix(d.Serial, "ephemeral")
		switch {
		case d.Serial == "root":
			link(n.mapping["ami"], d.Dev)
			link("sda1", d.Dev)
		case ephemeral && len(i) == 1 && i[0] >= '0' && i[0] <= '9':
			link(n.mapping[d.Serial], d.Dev)
			if n.mapping[d.Serial] == "" {
				link(fmt.Sprintf("sd%c", 'b'+i[0]-'0'), d.Dev)
			}
		}
	}
	for _, c := range customs {
		if _, ok := out[c[0]]; !ok && !taken[c[0]] {
			out[c[0]] = c[1]
		}
	}
	return out
}

// ebsNames are the devices of ebs1, ebs2 … in that order.
func ebsNames(mapping map[string]string) []string {
	var keys []string
	for k := range mapping {
		if strings.HasPrefix(k, "ebs") {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = mapping[k]
	}
	return out
}
