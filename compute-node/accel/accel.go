// Package accel decides what executes guests' instructions on a host.
//
// /dev/kvm opening proves little: there are machines on which it opens, runs a
// trivial guest, and hangs a real kernel. So KVM is used only when
//
//	/dev/kvm opens for reading and writing,
//	kvm_intel or kvm_amd is loaded, and
//	a real kernel boots to our init's first marker within seconds.
//
// The verdict is kept beside what it depends on: kernel release, QEMU, modules.
package accel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skerry/compute-node/hypervisor"
)

// bootLimit is how long a kernel may take to the marker under KVM; it takes
// well under a second where KVM works.
const bootLimit = 5 * time.Second

// marker is what the guest's init prints first.
const marker = "SKERRY-INIT"

// Verdict says what to use and why.
type Verdict struct {
	Accel hypervisor.Accel `json:"accel"`
	Why   string           `json:"why"`
	On    string           `json:"on"` // digest of what it depends on
}

// Host is where the answer is looked for.
type Host struct {
	Emulator string // default /usr/bin/qemu-system-x86_64
	Kernel   string // kernel and ramdisk of the region's image; none: no probe, no KVM
	Ramdisk  string
	Keep     string // file that the verdict is kept in

	kvm, sysModule string // for tests
}

// Choose gives the accelerator for a wish: auto, kvm or tcg. A wish for kvm is
// taken at its word.
func (h Host) Choose(ctx context.Context, wish string) (Verdict, error) {
	switch wish {
	case "kvm", "tcg":
		return Verdict{Accel: hypervisor.Accel(wish), Why: "the config says so"}, nil
	case "auto", "":
	default:
		return Verdict{}, fmt.Errorf("accel: %q: use auto, kvm or tcg", wish)
	}
	if h.Emulator == "" {
		h.Emulator = "/usr/bin/qemu-system-x86_64"
	}
	if h.kvm == "" {
		h.kvm, h.sysModule = "/dev/kvm", "/sys/module"
	}
	on := h.dependsOn(ctx)
	if v, ok := h.kept(on); ok {
		return v, nil
	}
	v := h.probe(ctx)
	if err := ctx.Err(); err != nil {
		return Verdict{}, fmt.Errorf("accel: %w", err)
	}
	v.On = on
	return v, h.keep(v)
}

func (h Host) kept(on string) (Verdict, bool) {
	var v Verdict
	b, err := os.ReadFile(h.Keep)
	if err != nil || json.Unmarshal(b, &v) != nil {
		return v, false
	}
	return v, v.On == on && (v.Accel == hypervisor.KVM || v.Accel == hypervisor.TCG)
}

func (h Host) keep(v Verdict) error {
	if h.Keep == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.Keep), 0o755); err != nil {
		return fmt.Errorf("accel: %w", err)
	}
	if err := os.WriteFile(h.Keep+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("accel: %w", err)
	}
	return os.Rename(h.Keep+".new", h.Keep)
}

// dependsOn digests the kernel's release, QEMU's version, the kvm modules and
// whether there is a kernel to probe with.
func (h Host) dependsOn(ctx context.Context) string {
	var u unix.Utsname
	unix.Uname(&u)
	version, _ := exec.CommandContext(ctx, h.Emulator, "--version").Output()
	s := sha256.New()
	fmt.Fprintf(s, "%s\n%s\n%v\n", bytes.TrimRight(u.Release[:], "\x00"), version, h.modules())
	for _, f := range []string{h.kvm, h.Kernel, h.Ramdisk} {
		_, err := os.Stat(f)
		fmt.Fprintln(s, err == nil)
	}
	return hex.EncodeToString(s.Sum(nil))
}

func (h Host) modules() []string {
	found, _ := filepath.Glob(filepath.Join(h.sysModule, "kvm*"))
	for i, f := range found {
		found[i] = filepath.Base(f)
	}
	return found
}

func (h Host) probe(ctx context.Context) Verdict {
	no := func(format string, a ...any) Verdict {
		return Verdict{Accel: hypervisor.TCG, Why: fmt.Sprintf(format, a...)}
	}
	f, err := os.OpenFile(h.kvm, os.O_RDWR, 0)
	if err != nil {
		return no("no KVM: %v", err)
	}
	f.Close()
	if m := h.modules(); !slices.Contains(m, "kvm_intel") && !slices.Contains(m, "kvm_amd") {
		return no("%s opens, but neither kvm_intel nor kvm_amd is loaded (%s)", h.kvm, strings.Join(m, " "))
	}
	for _, f := range []string{h.Kernel, h.Ramdisk} {
		if _, err := os.Stat(f); err != nil {
			return no("no kernel to probe KVM with: %v", err)
		}
	}
	took, out, err := Boot(ctx, h.Emulator, hypervisor.KVM, h.Kernel, h.Ramdisk, bootLimit)
	if err != nil {
		return no("a kernel does not boot under KVM: %v, console %q", err, out)
	}
	return Verdict{Accel: hypervisor.KVM, Why: fmt.Sprintf("a kernel boots under KVM in %d ms", took.Milliseconds())}
}

// maxConsole bounds what is kept of the probe's console.
const maxConsole = 64 << 10

// Boot starts a bare QEMU with kernel and ramdisk and waits for the init's first
// marker. It returns how long that took and the end of what the console showed.
func Boot(ctx context.Context, emulator string, a hypervisor.Accel, kernel, ramdisk string, limit time.Duration) (time.Duration, string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, emulator, "-machine", "q35,accel="+string(a), "-m", "128", "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", kernel, "-initrd", ramdisk, "-append", "console=ttyS0 quiet panic=-1 skerry.probe=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.WaitDelay = time.Second // a child of QEMU may hold its error stream
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		seen = append(seen, buf[:n]...)
		seen = seen[max(0, len(seen)-maxConsole):]
		if bytes.Contains(seen, []byte(marker)) {
			return time.Since(begun), string(seen), nil
		}
		if err != nil {
			end := string(seen[max(0, len(seen)-200):])
			if ctx.Err() != nil {
				return 0, end, fmt.Errorf("no %s within %v", marker, limit)
			}
			cmd.Process.Kill()
			cmd.Wait() // what QEMU complained of is complete only afterwards
			return 0, end, fmt.Errorf("QEMU ended before %s: %s", marker, strings.TrimSpace(errs.String()))
		}
	}
}
