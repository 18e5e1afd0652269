//go:build !cgo

package libvirtd

import (
	"context"
	"errors"

	"skerry/compute-node/hypervisor"
)

// Open says how to build a program that can.
func Open(context.Context, Config) (hypervisor.Driver, error) {
	return nil, errors.New("libvirtd: this program was built without cgo: install gcc and build with CGO_ENABLED=1 -tags libvirt_dlopen")
}
