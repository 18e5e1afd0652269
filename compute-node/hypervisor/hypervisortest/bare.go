package hypervisortest

import (
	"fmt"
	"strconv"
	"strings"
)

// Bare is the yardstick of boot times: it takes from libvirt's arguments what ties them to libvirt: its
// monitor, secrets, inherited descriptors and the stop before the first
// instruction. The machine stays the same.
func Bare(argv []string, console string) ([]string, error) {
	var out []string
	for i := 0; i < len(argv); i++ {
		a := argv[i]
		value := ""
		if i+1 < len(argv) {
			value = argv[i+1]
		}
		switch {
		case a == "-S":
			continue
		case a == "-mon", a == "-sandbox", a == "-msg", a == "-add-fd",
			a == "-object" && strings.Contains(value, "secret"),
			a == "-chardev" && strings.Contains(value, "charmonitor"):
			i++
			continue
		case a == "-chardev" && strings.Contains(value, "charserial0"):
			out = append(out, a, "file,id=charserial0,path="+console+",append=on")
			i++
			continue
		}
		out = append(out, a)
	}
	for _, a := range out {
		if strings.Contains(a, "fdset") || strings.Contains(a, "fd=") {
			return nil, fmt.Errorf("the argument %s needs a descriptor of libvirt", strconv.Quote(a))
		}
	}
	return out, nil
}
