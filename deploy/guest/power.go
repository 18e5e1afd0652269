//go:build linux

package main

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Layout of struct input_event on 64-bit Linux (linux/input.h): two 8-byte
// times, then type, code and value.
const (
	inputEventSize = 24
	evKey          = 1
	keyPower       = 116
)

// powerPressed says whether an input event is a press of the power key.
func powerPressed(e []byte) bool {
	return len(e) >= inputEventSize &&
		binary.LittleEndian.Uint16(e[16:]) == evKey &&
		binary.LittleEndian.Uint16(e[18:]) == keyPower &&
		binary.LittleEndian.Uint32(e[20:]) == 1
}

// watchPowerButton reads every input device; the ACPI button is one of them.
func watchPowerButton(stop chan<- ending) {
	files, _ := filepath.Glob("/dev/input/event*")
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			console("SKERRY-WARN power button: %v", err)
			continue
		}
		go func() {
			defer f.Close()
			var e [inputEventSize]byte
			for {
				if _, err := io.ReadFull(f, e[:]); err != nil {
					return
				}
				if powerPressed(e[:]) {
					request(stop, endPoweroff)
				}
			}
		}()
	}
}

// shutdown ends every process, gently first, writes everything down and turns
// the machine off. Each part has a bound.
func shutdown(e ending, jobs *sync.WaitGroup) {
	unix.Kill(-1, unix.SIGTERM)
	unix.Kill(-1, unix.SIGHUP) // interactive shells
	gone := func() bool {
		// Only kernel threads and this process are left when no process but
		// PID 1 has an executable.
		exes, _ := filepath.Glob("/proc/[0-9]*/exe")
		n := 0
		for _, x := range exes {
			if _, err := os.Readlink(x); err == nil {
				n++
			}
		}
		return n <= 1
	}
	for deadline := time.Now().Add(8 * time.Second); !gone() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	unix.Kill(-1, unix.SIGKILL)
	finished := make(chan struct{})
	go func() { jobs.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(time.Second):
	}
	power(e)
}

// onDisks are the directories below / where disks are mounted, the last mounted
// first, from a /proc/self/mounts.
func onDisks(mounts string) []string {
	var out []string
	for l := range strings.Lines(mounts) {
		f := strings.Fields(l)
		if len(f) > 2 && strings.HasPrefix(f[0], "/dev/") && f[1] != "/" {
			out = append(out, unescape(f[1]))
		}
	}
	slices.Reverse(out)
	return out
}

// unescape undoes \040 and the like of /proc/self/mounts.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func power(e ending) {
	unix.Sync()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for _, dir := range onDisks(string(mounts)) {
		// What cannot be unmounted can still be made whole.
		if unix.Unmount(dir, 0) != nil {
			unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
	unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	unix.Sync()
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if e == endReboot {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	unix.Reboot(how)
	select {} // PID 1 must not return
}
