package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// modules that a guest needs. What they depend on is added, and the order of
// loading follows from what each says of itself.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "button", "evdev", "virtio_rng", "virtio_console"}

// kernelFiles is what the kernel package gives.
type kernelFiles struct {
	image   []byte
	modules []module // in the order of loading
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
			found[moduleName(base)], err = io.ReadAll(r)
		}
		return err
	})
	if err != nil {
		return k, err
	}
	if k.image == nil {
		return k, fmt.Errorf("%s holds no vmlinuz", deb)
	}
	if k.modules, err = loadOrder(modules, found); err != nil {
		return k, fmt.Errorf("%s: %w", deb, err)
	}
	return k, nil
}

// moduleName is a module's name in symbols and dependencies: virtio_rng for
// virtio-rng.ko.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(file, ".ko"), "-", "_")
}

// loadOrder returns the wanted modules and all they depend on, each after those
// whose symbols it uses.
func loadOrder(want []string, found map[string][]byte) ([]module, error) {
	var out []module
	state := map[string]int{} // 1: being visited, 2: in out
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case 1:
			return fmt.Errorf("module %s depends on itself", name)
		case 2:
			return nil
		}
		data, ok := found[name]
		if !ok {
			return fmt.Errorf("no module %s", name)
		}
		state[name] = 1
		deps, err := dependsOn(data)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, d := range deps {
			if err := visit(moduleName(d)); err != nil {
				return err
			}
		}
		state[name] = 2
		out = append(out, module{name + ".ko", data})
		return nil
	}
	for _, w := range want {
		if err := visit(w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dependsOn reads "depends=a,b" from the section .modinfo, whose entries end
// with a zero byte.
func dependsOn(ko []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(ko))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no section .modinfo")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for e := range bytes.SplitSeq(info, []byte{0}) {
		if v, ok := strings.CutPrefix(string(e), "depends="); ok && v != "" {
			return strings.Split(v, ","), nil
		}
	}
	return nil, nil
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
