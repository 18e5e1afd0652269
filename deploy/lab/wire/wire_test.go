package wire

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// lay makes a wire of three zones with two hosts each, and takes it away.
func lay(t *testing.T) *Wire {
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	w := &Wire{Tag: fmt.Sprintf("%08x", os.Getpid()), Zones: 3}
	for z := 1; z <= 3; z++ {
		for i := range 2 {
			name := fmt.Sprintf("z%d-%d", z, i)
			w.Hosts = append(w.Hosts, Host{Name: name, Namespace: "sk" + w.Tag + "-" + name, Zone: z, Index: i,
				Addr: netip.AddrFrom4([4]byte{10, 77, byte(z), byte(10 + i)})})
		}
	}
	t.Cleanup(func() {
		for _, n := range Names("sk" + w.Tag) {
			if err := Remove(n); err != nil {
				t.Error(err)
			}
		}
	})
	if err := w.Ensure(); err != nil {
		t.Fatal(err)
	}
	return w
}

// A port that just came up carries nothing until the kernel has noticed, which
// it does at most once in a second.
const (
	patience = 5 * time.Second        // for a datagram that should arrive
	quiet    = 300 * time.Millisecond // for one that should not
)

// reaches sends datagrams from one host to another until one arrives or the
// time is over.
func reaches(t *testing.T, from, to Host, limit time.Duration) bool {
	t.Helper()
	var in, out net.PacketConn
	addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr, 9999))
	err := Do(to.Namespace, func() (err error) { in, err = net.ListenPacket("udp4", addr.String()); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	err = Do(from.Namespace, func() (err error) { out, err = net.ListenPacket("udp4", ":0"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		out.WriteTo([]byte("x"), addr)
		in.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if _, _, err := in.ReadFrom(make([]byte, 1)); err == nil {
			return true
		}
	}
	return false
}

func TestCuts(t *testing.T) {
	w := lay(t)
	a0, a1, b0, c0 := w.Hosts[0], w.Hosts[1], w.Hosts[2], w.Hosts[4]
	check := func(what string, from, to Host, want bool) {
		t.Helper()
		limit := quiet
		if want {
			limit = patience
		}
		if got := reaches(t, from, to, limit); got != want {
			t.Errorf("%s: %s to %s reaches %v, want %v", what, from.Name, to.Name, got, want)
		}
	}
	check("whole", a0, a1, true)
	check("whole", a0, b0, true)
	check("whole", b0, c0, true)

	if err := w.Cut(Cuts{Hosts: map[string]bool{a0.Name: true}}); err != nil {
		t.Fatal(err)
	}
	check("host cut", a0, a1, false)
	check("host cut", b0, a0, false)
	check("host cut", a1, b0, true)

	if err := w.Cut(Cuts{Pairs: map[[2]int]bool{{1, 2}: true}}); err != nil {
		t.Fatal(err)
	}
	check("one way", a0, b0, false)
	check("one way", b0, a0, true)
	check("one way", a0, c0, true)
	check("one way", b0, c0, true)

	// Making the wire again heals nothing that is not said to be healed.
	if err := w.Ensure(); err != nil {
		t.Fatal(err)
	}
	check("ensured again", a0, b0, false)

	if err := w.Cut(Cuts{}); err != nil {
		t.Fatal(err)
	}
	check("healed", a0, b0, true)
	check("healed", a0, a1, true)
	if s, err := w.Strays(); err != nil || len(s) != 0 {
		t.Errorf("strays %v, %v", s, err)
	}
}

// A name whose namespace is gone, as after a reboot, is made anew.
func TestStaleName(t *testing.T) {
	w := lay(t)
	n := w.Hosts[0].Namespace
	if err := Remove(n); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(namespaces+"/"+n, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Ensure(); err != nil {
		t.Fatal(err)
	}
	if !reaches(t, w.Hosts[0], w.Hosts[1], patience) {
		t.Error("the host is not on the wire again")
	}
	if !slices.Contains(Names("sk"+w.Tag), n) {
		t.Error("the name is gone")
	}
}

func TestDoUnknown(t *testing.T) {
	if err := Do("no-such-namespace", func() error { return nil }); err == nil {
		t.Error("no error")
	}
}
