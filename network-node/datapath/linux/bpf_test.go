package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// The committed object is that of the committed source.
func TestObjectOfSource(t *testing.T) {
	h := sha256.Sum256(source)
	if got := hex.EncodeToString(h[:]); got != strings.TrimSpace(sum) {
		t.Fatalf("bpf/vpc.o was made from another vpc.bpf.c: run bpf/generate.sh (%s, not %s)", strings.TrimSpace(sum), got)
	}
}

func TestLoads(t *testing.T) {
	s, err := spec(true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollection(s)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer c.Close()
	for n, p := range c.Programs {
		if i, err := p.Info(); err == nil {
			v, _ := i.VerifiedInstructions()
			t.Log(n, v)
		}
	}
}
