package lab

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Simulated hosts are large: thousands of instances fit on each.
var simulated = Capacity{VCPUs: 16384, MemoryMiB: 64 << 20, DiskGiB: 4 << 20}

// Measure says what each host of the region offers. Memory is truthful: the
// hosts together offer three quarters of what the machine has beyond the 2 GiB
// that the region itself may need, so guests never push it into swap.
// Processors are shared between guests, and disks are sparse files: both are
// offered several times over, as a lab may.
func (r *Region) Measure() error {
	if r.Hypervisor == Memory {
		r.Capacity = simulated
		return nil
	}
	total, err := memTotalMiB()
	if err != nil {
		return err
	}
	n := r.AZs * r.Hosts
	r.Capacity = Capacity{
		VCPUs:     max(8, 2*runtime.NumCPU()),
		MemoryMiB: max(512, (total-2048)*3/4/n),
		DiskGiB:   2048,
	}
	return nil
}

func memTotalMiB() (int, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("lab: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("lab: /proc/meminfo has no MemTotal")
}
