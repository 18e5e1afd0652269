//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// console writes one line; the kernel's own messages go to the same place, so
// a marker always begins a line.
func console(format string, a ...any) {
	fmt.Fprintf(os.Stdout, "\n"+format+"\n", a...)
}

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the first process of a guest and only runs as PID 1")
		os.Exit(2)
	}
	mountKernelFilesystems()
	console("SKERRY-INIT %s", uptime())
	// A stop can be asked for as soon as the guest exists.
	stop := make(chan ending, 1)
	go watchSignals(stop)

	line, _ := os.ReadFile("/proc/cmdline")
	args := parseCmdline(string(line))
	for _, err := range loadModules("/m") {
		console("SKERRY-WARN %v", err)
	}
	go watchPowerButton(stop)
	if args["skerry.probe"] != "" { // the accelerator probe only asks whether a kernel comes this far
		console("SKERRY-READY %s", uptime())
		power(endPoweroff)
	}
	if err := enterRoot(args); err != nil {
		console("SKERRY-FAILED %v", err)
		power(endPoweroff)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var procs children
	go procs.reap()
	var jobs sync.WaitGroup
	jobs.Go(func() { run(ctx, &procs) })
	end := <-stop
	console("SKERRY-SHUTDOWN")
	cancel()
	shutdown(end, &jobs)
}

// run brings the guest from a mounted root to ready.
func run(ctx context.Context, procs *children) {
	id := firmwareInstanceID("/sys/class/dmi/id")
	mountRuntime()
	changes, err := uevents(ctx) // before the disks are looked at
	if err != nil {
		console("SKERRY-WARN uevents: %v", err)
	}
	disks := listDisks("/sys/block")
	l := links{dev: "/dev", sys: "/sys/block"}
	console("SKERRY-DISK %s", strings.Join(mountDisks(disks), " "))
	setHostname(id)

	leases, renew := configureNetwork(ctx, 12*time.Second)
	var data []byte
	if len(leases) == 0 {
		console("SKERRY-NET none")
	} else {
		console("SKERRY-NET %s", strings.Join(leases, " "))
		data = learn(ctx, &l, &id)
	}
	l.pass(disks)
	if err := startSSH(ctx, procs); err != nil {
		console("SKERRY-WARN ssh: %v", err)
	}
	console("SKERRY-READY %s", uptime())

	var wg sync.WaitGroup
	wg.Go(func() { renew(ctx) })
	wg.Go(func() { serveHost(ctx) })
	wg.Go(func() {
		// A client of its own each time: tokens end, and a service that was
		// away comes back.
		l.follow(ctx, changes, func(ctx context.Context) map[string]string {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			return (&imds{base: metadataService}).serials(ctx)
		})
	})
	if len(data) > 0 {
		wg.Go(func() {
			ran, code, err := runUserData(ctx, procs, "/var/lib/skerry/instances", id, data)
			switch {
			case err != nil:
				console("SKERRY-WARN user-data: %v", err)
			case ran:
				console("SKERRY-USERDATA exit=%d", code)
			}
		})
	}
	wg.Wait()
}

const metadataService = "http://169.254.169.254"

// learn asks the metadata service for what only it knows and puts it in place.
// It returns the user data.
func learn(ctx context.Context, l *links, id *string) []byte {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	md := &imds{base: metadataService}
	if v, ok := md.get(ctx, "meta-data/instance-id"); ok {
		*id = v
	}
	if v, ok := md.get(ctx, "meta-data/local-hostname"); ok {
		setHostname(v)
	}
	if keys := md.keys(ctx); len(keys) > 0 {
		if err := writeKeys("/home/ec2-user", keys, 1000, 1000); err != nil {
			console("SKERRY-WARN keys: %v", err)
		}
	}
	l.names = names{mapping: md.mapping(ctx), serials: md.serials(ctx)}
	data, _ := md.get(ctx, "user-data")
	return []byte(data)
}

// ending is how a guest stops.
type ending int

const (
	endPoweroff ending = iota
	endReboot
)

// watchSignals takes what poweroff (SIGUSR2), halt (SIGUSR1) and reboot
// (SIGTERM) send to PID 1, and control-alt-delete (SIGINT).
func watchSignals(stop chan<- ending) {
	unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT)
	for s := range c {
		if s == syscall.SIGTERM || s == syscall.SIGINT {
			request(stop, endReboot)
		} else {
			request(stop, endPoweroff)
		}
	}
}

func request(stop chan<- ending, e ending) {
	select {
	case stop <- e:
	default: // one is on its way already
	}
}

// uptime is the kernel's, in seconds.
func uptime() string {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	s, _, _ := strings.Cut(string(b), " ")
	return s
}

// parseCmdline splits the kernel's command line; a word without = is "1".
func parseCmdline(line string) map[string]string {
	out := map[string]string{}
	for _, w := range strings.Fields(line) {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			v = "1"
		}
		out[k] = v
	}
	return out
}
