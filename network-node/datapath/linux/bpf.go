package linux

import (
	"bytes"
	_ "embed"
	"fmt"

	"github.com/cilium/ebpf"
)

// object is bpf/vpc.bpf.c compiled by bpf/generate.sh; bpf/vpc.sum holds the
// SHA-256 of the source that it was made from, so that no build needs clang.
//
//go:generate bpf/generate.sh
//go:embed bpf/vpc.o
var object []byte

//go:embed bpf/vpc.bpf.c
var source []byte

//go:embed bpf/vpc.sum
var sum string

func spec(testing bool) (*ebpf.CollectionSpec, error) {
	s, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("datapath: the eBPF object: %w", err)
	}
	if testing {
		if err := s.Variables["testing"].Set(uint32(1)); err != nil {
			return nil, fmt.Errorf("datapath: the eBPF object: %w", err)
		}
		for _, m := range s.Maps {
			m.Pinning = ebpf.PinNone
		}
	}
	return s, nil
}
