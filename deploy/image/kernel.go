package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// modules that a guest needs, each after those whose symbols it uses.
var modules = []string{
	"virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"virtio_blk", "failover", "net_failover", "virtio_net", "button", "evdev", "rng-core", "virtio-rng",
}

// optional modules are built into some kernels.
var optional = map[string]bool{"rng-core": true}

// kernelFiles is what the kernel package gives.
type kernelFiles struct {
	image   []byte
	modules []module // in load order
}

type module struct {
	name string
	data []byte
}

// readKernel takes the kernel and the modules of a guest out of a package.
func readKernel(ctx context.Context, deb string) (kernelFiles, error) {
	var k kernelFiles
	found := map[string][]byte{}
	err := readPackage(ctx, deb, func(h *tar.Header, r io.Reader) error {
		base := path.Base(h.Name)
		var err error
		switch {
		case strings.HasPrefix(base, "vmlinuz-"):
			k.image, err = io.ReadAll(r)
		case strings.HasSuffix(base, ".ko"):
			name := strings.TrimSuffix(base, ".ko")
			for _, m := range modules {
				if m == name {
					found[name], err = io.ReadAll(r)
				}
			}
		}
		return err
	})
	if err != nil {
		return k, err
	}
	if k.image == nil {
		return k, fmt.Errorf("%s holds no vmlinuz", deb)
	}
	var missing []error
	for _, m := range modules {
		if d, ok := found[m]; ok {
			k.modules = append(k.modules, module{m + ".ko", d})
		} else if !optional[m] {
			missing = append(missing, fmt.Errorf("%s holds no module %s", deb, m))
		}
	}
	return k, errors.Join(missing...)
}

// ramdisk is the init and the modules, as the guest expects them.
func ramdisk(init []byte, ms []module) ([]byte, error) {
	var c cpio
	var order strings.Builder
	for _, d := range []string{"dev", "m", "proc", "sys"} {
		c.add(d, modeDir|0o755, nil, 0, 0)
	}
	c.add("dev/console", modeChar|0o600, nil, 5, 1)
	c.add("init", modeFile|0o755, init, 0, 0)
	for _, m := range ms {
		c.add("m/"+m.name, modeFile|0o644, m.data, 0, 0)
		order.WriteString(m.name + "\n")
	}
	c.add("m/order", modeFile|0o644, []byte(order.String()), 0, 0)
	return c.gzip()
}
