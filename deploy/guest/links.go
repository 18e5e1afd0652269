//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How often the metadata service is asked for the names of disks: the network
// node may hear of an attachment or of its end after the disk came or went. A
// volume without a name is asked about forever, a named one only while its name
// may still be that of an earlier attachment.
const (
	askSoon  = 200 * time.Millisecond
	askLater = 5 * time.Second
	soon     = 30 // tries before it is later
)

// links keeps the names that users know from the API in /dev: /dev/sda1 for the
// root, /dev/xvdb for the volume that was attached under that name. They follow
// the disks as they come and go.
//
//	kernel ─ uevent ─▶ pass: disks of /sys/block, names of the metadata ─▶ /dev
type links struct {
	dev, sys string // /dev, /sys/block
	names    names
	made     map[string]string // what this process linked: name to disk
}

// pass makes the links what they have to be, and says whether every volume has
// a name.
func (l *links) pass(disks []disk) (complete bool) {
	want := deviceLinks(disks, l.names)
	for name := range l.made {
		if want[name] == "" {
			os.Remove(filepath.Join(l.dev, name))
			delete(l.made, name)
		}
	}
	for name, dev := range want {
		if l.made[name] == dev {
			continue
		}
		p := filepath.Join(l.dev, name)
		if st, err := os.Lstat(p); err == nil && st.Mode()&os.ModeSymlink == 0 {
			continue // a device of its own
		}
		os.Remove(p + ".new")
		if err := os.Symlink(dev, p+".new"); err != nil {
			console("SKERRY-WARN link %s: %v", p, err)
			continue
		}
		if err := os.Rename(p+".new", p); err != nil {
			console("SKERRY-WARN link %s: %v", p, err)
			continue
		}
		if l.made == nil {
			l.made = map[string]string{}
		}
		l.made[name] = dev
	}
	named := map[string]bool{}
	for _, dev := range want {
		named[dev] = true
	}
	for _, d := range disks {
		if strings.HasPrefix(d.Serial, "vol") && !named[d.Dev] {
			return false
		}
	}
	return true
}

// follow keeps the links until ctx ends. ask returns the names of disks by
// serial, nil when it cannot be known.
func (l *links) follow(ctx context.Context, events <-chan struct{}, ask func(context.Context) map[string]string) {
	var seen []disk
	tries := 0
	for {
		disks := listDisks(l.sys)
		if !slices.Equal(disks, seen) {
			seen, tries = disks, 0
		}
		// What went leaves no link behind, whatever the service says.
		complete := l.pass(disks)
		volumes := slices.ContainsFunc(disks, func(d disk) bool { return strings.HasPrefix(d.Serial, "vol") })
		if volumes && (!complete || tries < soon) {
			if s := ask(ctx); s != nil {
				l.names.serials = s
				complete = l.pass(disks)
			}
			tries++
		}
		var again <-chan time.Time
		switch {
		case !volumes, complete && tries >= soon:
		case tries < soon:
			again = time.After(askSoon)
		default:
			again = time.After(askLater)
		}
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-again:
		}
	}
}

// uevents pokes the channel whenever a block device comes or goes. The socket
// is open when it returns, so no change after that is missed.
func uevents(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	poke := make(chan struct{}, 1)
	go func() {
		defer unix.Close(fd)
		b := make([]byte, 16<<10)
		for ctx.Err() == nil {
			n, err := unix.Read(fd, b)
			if err == unix.EINTR {
				continue
			}
			// ENOBUFS says that some were lost: then something changed.
			if err != nil && err != unix.ENOBUFS {
				console("SKERRY-WARN uevents: %v", err)
				return
			}
			if err == nil && !isBlock(b[:n]) {
				continue
			}
			select {
			case poke <- struct{}{}:
			default:
			}
		}
	}()
	return poke, nil
}

// isBlock says whether a uevent is about a block device: its fields end with a
// zero byte.
func isBlock(b []byte) bool { return bytes.Contains(b, []byte("\x00SUBSYSTEM=block\x00")) }
