//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The port to the host, where the QEMU guest agent's protocol is spoken (QEMU,
// "QEMU Guest Agent Protocol Reference"): the few commands with which a host
// asks what a disk is used for. Linux lets go of a disk that is mounted when it
// is unplugged, and what was not written yet is lost; so a host that wants to be
// kind asks first. Nothing here changes anything in the guest.
//
//	host ─ {"execute":"guest-get-fsinfo"} ─▶ port ─▶ answerHost ─▶ {"return":[…]}
const hostPort = "org.qemu.guest_agent.0"

const maxHostLine = 64 << 10

// findHostPort is the device of the port with that name, or "".
func findHostPort(sys string) string {
	files, _ := filepath.Glob(filepath.Join(sys, "class/virtio-ports/*/name"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == hostPort {
			return filepath.Join("/dev", filepath.Base(filepath.Dir(f)))
		}
	}
	return ""
}

// serveHost answers the host until ctx ends. A guest without the port has
// nothing to do.
func serveHost(ctx context.Context) {
	dev := ""
	for range 10 { // a port tells its name some time after its device is there
		if dev = findHostPort("/sys"); dev != "" {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
	if dev == "" {
		return
	}
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		console("SKERRY-WARN host port: %v", err)
		return
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	r := bufio.NewReaderSize(f, maxHostLine)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, bufio.ErrBufferFull):
			continue // the rest of it is no command either
		case errors.Is(err, io.EOF):
			// Nobody has the other end open.
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		case err != nil:
			console("SKERRY-WARN host port: %v", err)
			return
		}
		if out := answerHost(line, func() []fsInfo { return filesystems("/proc/self/mountinfo", "/sys") }); out != nil {
			f.Write(out)
		}
	}
}

// fsInfo is GuestFilesystemInfo.
type fsInfo struct {
	Name       string     `json:"name"`
	Mountpoint string     `json:"mountpoint"`
	Type       string     `json:"type"`
	UsedBytes  uint64     `json:"used-bytes"`
	TotalBytes uint64     `json:"total-bytes"`
	Disk       []diskInfo `json:"disk"`
}

// diskInfo is GuestDiskAddress.
type diskInfo struct {
	PCI     pciAddress `json:"pci-controller"`
	BusType string     `json:"bus-type"`
	Bus     int        `json:"bus"`
	Target  int        `json:"target"`
	Unit    int        `json:"unit"`
	Serial  string     `json:"serial,omitempty"`
	Dev     string     `json:"dev"`
}

type pciAddress struct {
	Domain   int `json:"domain"`
	Bus      int `json:"bus"`
	Slot     int `json:"slot"`
	Function int `json:"function"`
}

// answerHost is the protocol: one command, one answer, nil for none.
func answerHost(line []byte, mounted func() []fsInfo) []byte {
	// 0xff ends whatever came before it: a host begins anew with it.
	if i := bytes.LastIndexByte(line, 0xff); i >= 0 {
		line = line[i+1:]
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	reply := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // it is made of plain values
		}
		return append(b, '\n')
	}
	refused := func(class, text string) []byte {
		return reply(map[string]any{"error": map[string]string{"class": class, "desc": text}})
	}
	var c struct {
		Execute   string `json:"execute"`
		Arguments struct {
			ID *int64 `json:"id"`
		} `json:"arguments"`
	}
	if err := json.Unmarshal(line, &c); err != nil {
		return refused("GenericError", "not a command")
	}
	returns := func(v any) []byte { return reply(map[string]any{"return": v}) }
	switch c.Execute {
	case "guest-ping":
		return returns(struct{}{})
	case "guest-sync", "guest-sync-delimited":
		if c.Arguments.ID == nil {
			return refused("GenericError", "Parameter 'id' is missing")
		}
		out := returns(*c.Arguments.ID)
		if c.Execute == "guest-sync-delimited" {
			out = append([]byte{0xff}, out...)
		}
		return out
	case "guest-info":
		type command struct {
			Name    string `json:"name"`
			Enabled bool   `json:"enabled"`
			Success bool   `json:"success-response"`
		}
		var all []command
		for _, n := range []string{"guest-get-fsinfo", "guest-info", "guest-ping", "guest-sync", "guest-sync-delimited"} {
			all = append(all, command{n, true, true})
		}
		return returns(map[string]any{"version": "7.2.0", "supported_commands": all})
	case "guest-get-fsinfo":
		list := mounted()
		if list == nil {
			list = []fsInfo{}
		}
		return returns(list)
	}
	return refused("CommandNotFound", "The command "+strconv.Quote(c.Execute)+" has not been found")
}

// filesystems are the mounts that stand on a disk, from a mountinfo (proc(5)):
//
//	36 35 254:32 / /data rw,noatime shared:1 - ext4 /dev/xvdb rw
func filesystems(mountinfo, sys string) []fsInfo {
	b, _ := os.ReadFile(mountinfo)
	var out []fsInfo
	for l := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(l, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(g) < 2 {
			continue
		}
		disks := standsOn(filepath.Join(sys, "dev/block", f[2]), 0)
		if len(disks) == 0 {
			continue
		}
		i := fsInfo{Name: filepath.Base(g[1]), Mountpoint: unescape(f[4]), Type: g[0], Disk: disks}
		var st unix.Statfs_t
		if unix.Statfs(i.Mountpoint, &st) == nil {
			i.TotalBytes, i.UsedBytes = st.Blocks*uint64(st.Bsize), (st.Blocks-st.Bfree)*uint64(st.Bsize)
		}
		out = append(out, i)
	}
	return out
}

// virtioDisk is the end of a disk's path in /sys, or a partition's.
var virtioDisk = regexp.MustCompile(`/([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])/virtio[0-9]+/block/([a-z0-9]+)(?:/[a-z0-9]+)?$`)

// standsOn are the virtio disks under a block device: itself, the disk of a
// partition, or what a mapped device has below it.
func standsOn(dev string, depth int) []diskInfo {
	path, err := filepath.EvalSymlinks(dev)
	if err != nil || depth > 8 {
		return nil
	}
	if m := virtioDisk.FindStringSubmatch(path); m != nil {
		hex := func(s string) int { n, _ := strconv.ParseUint(s, 16, 16); return int(n) }
		disk := path[:strings.LastIndex(path, "/block/")+len("/block/")] + m[5]
		serial, _ := os.ReadFile(filepath.Join(disk, "serial"))
		return []diskInfo{{PCI: pciAddress{hex(m[1]), hex(m[2]), hex(m[3]), hex(m[4])}, BusType: "virtio",
			Serial: strings.TrimSpace(string(serial)), Dev: "/dev/" + filepath.Base(path)}}
	}
	below, _ := filepath.Glob(filepath.Join(path, "slaves", "*"))
	slices.Sort(below)
	var out []diskInfo
	for _, d := range below {
		out = append(out, standsOn(d, depth+1)...)
	}
	return out
}
