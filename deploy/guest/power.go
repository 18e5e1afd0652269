//go:build linux

package main

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
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

func power(e ending) {
	unix.Sync()
	unix.Unmount("/mnt", 0)
	unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	unix.Sync()
	how := unix.LINUX_REBOOT_CMD_POWER_OFF
	if e == endReboot {
		how = unix.LINUX_REBOOT_CMD_RESTART
	}
	unix.Reboot(how)
	select {} // PID 1 must not return
}
