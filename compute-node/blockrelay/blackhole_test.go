package blockrelay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A storage node that is black-holed, cable out and nobody says a word, is
// noticed in some two seconds, whether the relay has data on the way or waits
// for an answer.
func TestBlackHole(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Skip(err)
	}
	defer home.Close()
	defer netns.Set(home)
	far, err := netns.New()
	if err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	defer far.Close()
	near, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("skbr%d", os.Getpid()%100000)
	up := func(link, addr string) {
		t.Helper()
		l, err := netlink.LinkByName(link)
		must(err)
		a, err := netlink.ParseAddr(addr)
		must(err)
		must(netlink.AddrReplace(l, a))
		must(netlink.LinkSetUp(l))
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name + "a"}, PeerName: name + "b"}))
	peer, err := netlink.LinkByName(name + "b")
	must(err)
	must(netlink.LinkSetNsFd(peer, int(far)))
	up(name+"a", "10.255.0.1/24")
	must(netns.Set(far))
	up(name+"b", "10.255.0.2/24")
	s := newStorage(t, "10.255.0.2:0") // a socket stays where it was made
	for _, busy := range []bool{true, false} {
		must(netns.Set(far))
		up(name+"b", "10.255.0.2/24")
		must(netns.Set(near))
		var conn net.Conn
		for end := time.Now().Add(15 * time.Second); conn == nil; { // the link takes a moment to come back
			c, _, err := New(nil).hello(t.Context(), disk(s.l.Addr().String()), uint64(time.Now().UnixNano()))
			if err == nil {
				conn = c
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		var h [bhs]byte
		h[0], h[1] = 0x43, 0x87
		_, err = conn.Write(pdu(h, nil))
		must(err)
		_, _, err = readPDU(conn)
		must(err)
		must(netns.Set(far))
		l, err := netlink.LinkByName(name + "b")
		must(err)
		must(netlink.LinkSetDown(l))
		must(netns.Set(near))
		begin := time.Now()
		if busy {
			_, err = conn.Write(make([]byte, bhs))
			must(err)
		}
		defer listen(conn, silence)()
		conn.SetReadDeadline(begin.Add(15 * time.Second))
		_, err = conn.Read(make([]byte, 1))
		took := time.Since(begin)
		t.Logf("busy %v: noticed after %v: %v", busy, took, err)
		if errors.Is(err, os.ErrDeadlineExceeded) || took > 10*time.Second {
			t.Errorf("busy %v: noticed after %v: %v", busy, took, err)
		}
		conn.Close()
	}
}
