package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"skerry/compute-node/accel"
	"skerry/deploy/lab"
	"skerry/deploy/lab/remains"
	"skerry/deploy/lab/supervisor"
)

// upCmd brings a region up.
type upCmd struct {
	Region     string        `help:"Name of the region." placeholder:"isle-1"`
	AZs        int           `name:"azs" help:"Availability zones: 3, or 1 for a laptop." placeholder:"3"`
	Hosts      int           `help:"Hosts in each zone." placeholder:"2"`
	Hypervisor string        `help:"auto, qemu (real guests, needs root) or memory (simulated)." enum:"auto,qemu,memory" default:"auto"`
	Images     string        `help:"Directory of images.json and the image files." placeholder:"DIR"`
	Accounts   string        `help:"Directory of another region, whose accounts this one has too." placeholder:"DIR"`
	Timeout    time.Duration `help:"How long to wait until everything is ready." default:"2m"`
}

// Run makes the region when there is none, starts it when it is not running,
// and waits until the API answers and all nodes are ready.
func (c *upCmd) Run(e *env) error {
	began := time.Now()
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	free, err := lockUp(e)
	if err != nil {
		return err
	}
	defer free()
	r, err := c.open(e)
	if err != nil {
		return err
	}
	if r.Hypervisor == lab.QEMU {
		if why := missing(r); len(why) > 0 {
			return problem{fmt.Errorf("region %s runs real guests and this cannot: %s", r.Name, strings.Join(why, "; ")), "put that right, or make another region: skerry up --hypervisor memory --dir DIR"}
		}
	}
	for _, bin := range lab.Binaries {
		if _, err := os.Stat(filepath.Join(filepath.Dir(e.binary), bin)); err != nil {
			return problem{fmt.Errorf("the program %s is not beside %s", bin, e.binary), "make build"}
		}
	}
	simulated(e, r)
	if err := start(e, r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	if err := ready(ctx, e, r, began); err != nil {
		return err
	}
	if _, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbFormed}); err != nil {
		return err
	}
	keys, err := firstAccount(ctx, r)
	if err != nil {
		return err
	}
	if err := writeClientFiles(r, keys); err != nil {
		return err
	}
	return e.answer(map[string]any{
		"Region": r.Name, "Zones": r.Zones(), "Hypervisor": r.Hypervisor, "Endpoint": endpoint(r),
		"Bus": busURL(r), "Seconds": time.Since(began).Round(10 * time.Millisecond).Seconds(),
	}, func() {
		fmt.Fprintf(e.out, "Region %s is up in %.1f s: zones %s, API %s\n", r.Name, time.Since(began).Seconds(), strings.Join(r.Zones(), " "), endpoint(r))
		if r.Root != nil {
			fmt.Fprintf(e.out, "  its accounts are those of the region %s\n", r.Root.Region)
		}
		fmt.Fprintf(e.out, "  eval \"$(%s env%s)\"\n", e.called(), e.dirFlag())
		if names := r.Resolvers(); len(names) > 0 {
			fmt.Fprintf(e.out, "  public addresses %s, names from the resolver %s\n", r.Public, names[0])
		}
	})
}

// called is this program as a person would type it.
func (e *env) called() string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, e.binary); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	if found, err := exec.LookPath(filepath.Base(e.binary)); err == nil && found == e.binary {
		return filepath.Base(e.binary)
	}
	return e.binary
}

// simulated says loudly that nothing boots.
func simulated(e *env, r *lab.Region) {
	if r.Hypervisor == lab.Memory {
		e.say("*** SIMULATED: instances, disks and networks of this region exist in memory only; nothing boots. ***")
	}
}

// open reads the region, or describes a new one. What was fixed when a region
// was made cannot be asked for differently later.
func (c *upCmd) open(e *env) (*lab.Region, error) {
	r, err := lab.Open(e.dir)
	if err == nil {
		if err := c.same(e, r); err != nil {
			return nil, err
		}
		if c.Images != "" {
			if r.Images, err = filepath.Abs(c.Images); err != nil {
				return nil, err
			}
		}
		return r, nil
	}
	if !errors.Is(err, lab.ErrNoRegion) {
		return nil, err
	}
	images := c.Images
	if images == "" {
		images = filepath.Join(filepath.Dir(filepath.Dir(e.binary)), ".build", "image")
	}
	if images, err = filepath.Abs(images); err != nil {
		return nil, err
	}
	if c.Images != "" && !lab.HasImages(images) {
		return nil, problem{fmt.Errorf("%s has no images.json", images), "make image"}
	}
	draft := &lab.Region{Images: images}
	hypervisor := c.Hypervisor
	if hypervisor == "auto" {
		hypervisor = lab.QEMU
		if why := missing(draft); len(why) > 0 {
			hypervisor = lab.Memory
			e.say("Real guests are not possible here: %s.", strings.Join(why, "; "))
		}
	}
	r, err = lab.New(e.dir, or(c.Region, "isle-1"), orInt(c.AZs, 3), orInt(c.Hosts, 2), hypervisor)
	if err != nil {
		return nil, err
	}
	if lab.HasImages(images) {
		r.Images = images
	}
	if err := c.trust(r); err != nil {
		return nil, err
	}
	return r, r.Measure()
}

// trust gives a new region the accounts of the one that is named.
func (c *upCmd) trust(r *lab.Region) error {
	if c.Accounts == "" {
		return nil
	}
	root, err := lab.Open(c.Accounts)
	if errors.Is(err, lab.ErrNoRegion) {
		return problem{fmt.Errorf("there is no region in %s", c.Accounts), "skerry up --dir " + quote(c.Accounts)}
	}
	if err != nil {
		return err
	}
	return r.Trust(root)
}

// same refuses a request for another region than the directory holds.
func (c *upCmd) same(e *env, r *lab.Region) error {
	differ := func(what string, have, want any) error {
		return problem{fmt.Errorf("%s holds region %s with %s %v; it cannot become one with %v", e.dir, r.Name, what, have, want),
			fmt.Sprintf("skerry up%s, or another directory: skerry up --dir DIR", e.dirFlag())}
	}
	switch {
	case c.Region != "" && c.Region != r.Name:
		return differ("the name", r.Name, c.Region)
	case c.AZs != 0 && c.AZs != r.AZs:
		return differ("zones:", r.AZs, c.AZs)
	case c.Hosts != 0 && c.Hosts != r.Hosts:
		return differ("hosts in each zone:", r.Hosts, c.Hosts)
	case c.Hypervisor != "auto" && c.Hypervisor != r.Hypervisor:
		return differ("hypervisor", r.Hypervisor, c.Hypervisor)
	case c.Accounts == "":
		return nil
	}
	dir, err := filepath.Abs(c.Accounts)
	switch {
	case err != nil:
		return err
	case r.Root == nil:
		return differ("accounts of", r.Name, "those of the region in "+dir)
	case r.Root.Dir != dir:
		return differ("the accounts of the region in", r.Root.Dir, dir)
	}
	return nil
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func orInt(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// missing lists what real guests need and this machine lacks.
func missing(r *lab.Region) []string {
	var why []string
	if os.Getuid() != 0 {
		why = append(why, "network namespaces need root (try sudo)")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		why = append(why, "qemu-system-x86_64 is not installed (package qemu-system-x86)")
	}
	if found, _ := filepath.Glob("/usr/lib*/*/libvirt/connection-driver/libvirt_driver_qemu.so"); len(found) == 0 {
		if found, _ := filepath.Glob("/usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so"); len(found) == 0 {
			why = append(why, "libvirt's QEMU driver is not installed (package libvirt-daemon-driver-qemu)")
		}
	}
	if !lab.HasImages(r.Images) {
		why = append(why, fmt.Sprintf("there is no image in %s (make image)", r.Images))
	}
	return why
}

// lockUp keeps two of up and down from working on one directory.
func lockUp(e *env) (func(), error) {
	f, err := os.OpenFile(filepath.Join(e.dir, "up.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return func() { f.Close() }, nil
	}
	e.say("Another skerry is at work on %s; waiting for it.", e.dir)
	done := make(chan error, 1)
	go func() { done <- unix.Flock(int(f.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-done:
		return func() { f.Close() }, err
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
}

// start makes sure that a supervisor runs.
func start(e *env, r *lab.Region) error {
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	_, err := supervisor.Call(ctx, r, supervisor.Request{Verb: supervisor.VerbStatus})
	if err == nil {
		e.say("Region %s is already running.", r.Name)
		return nil
	}
	ps := remains.Processes(r)
	if hung := remains.Of(ps, remains.Supervisor); len(hung) > 0 {
		e.say("The supervisor does not answer (%v): ending it.", err)
		if err := remains.End(e.ctx, r, hung, time.Second); err != nil {
			return err
		}
	}
	// Programs that an earlier supervisor left still hold their ports: the next
	// one ends them.
	if len(remains.Of(ps, remains.Program)) == 0 {
		if busy := r.BusyPorts(); len(busy) > 0 {
			return problem{fmt.Errorf("something else listens on 127.0.0.1 %s, which this region uses", strings.Join(busy, ", ")), "end it (`ss -ltnp` shows it), then skerry up" + e.dirFlag()}
		}
	}
	if err := probe(e, r); err != nil {
		return err
	}
	if err := r.Write(); err != nil {
		return err
	}
	return daemon(e, r)
}

// probe finds out once for all hosts whether KVM really boots a kernel here.
// The verdict is kept for as long as kernel and QEMU stay the same.
func probe(e *env, r *lab.Region) error {
	if r.Hypervisor != lab.QEMU {
		return nil
	}
	if err := os.MkdirAll(r.Path("cache"), 0o700); err != nil {
		return err
	}
	h := accel.Host{Kernel: filepath.Join(r.Images, "skerry-linux.vmlinuz"), Ramdisk: filepath.Join(r.Images, "skerry-linux.initrd"), Keep: r.Path("cache", "accel.json")}
	v, err := h.Choose(e.ctx, "auto")
	if err != nil {
		return fmt.Errorf("accelerator: %w", err)
	}
	r.Accel = string(v.Accel)
	e.say("Guests run with %s: %s.", v.Accel, v.Why)
	return nil
}

// daemon starts the supervisor in a session of its own and waits until it can
// be asked.
func daemon(e *env, r *lab.Region) error {
	path := r.Path("supervisor.log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(e.binary, "supervise", "--dir", r.Dir())
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case <-e.ctx.Done():
			return e.ctx.Err()
		case err := <-ended:
			return problem{fmt.Errorf("the supervisor ended at once (%v):\n%s", err, tail(path, 5)), "the whole log is " + path}
		case <-deadline:
			return problem{errors.New("the supervisor does not answer"), "its log is " + path}
		case <-t.C:
			if _, err := supervisor.Call(e.ctx, r, supervisor.Request{Verb: supervisor.VerbStatus}); err == nil {
				return nil
			}
		}
	}
}

// tail is the last lines of a file, indented.
func tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return "  " + err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, end-64<<10), io.SeekStart)
	}
	b, _ := io.ReadAll(f)
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
