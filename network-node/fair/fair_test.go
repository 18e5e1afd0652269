package fair

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestCounts(t *testing.T) {
	c := Counts{Limit: 2}
	a, b := netip.MustParseAddr("100.100.0.1"), netip.MustParseAddr("100.100.0.2")
	if !c.Take(a) || !c.Take(a) || c.Take(a) {
		t.Error("a does not hold two")
	}
	if !c.Take(b) {
		t.Error("b pays for a")
	}
	c.Done(a)
	if !c.Take(a) || c.Take(a) {
		t.Error("what a gave back is not one")
	}
	c.Done(a)
	c.Done(a)
	c.Done(b)
	if len(c.held) != 0 {
		t.Errorf("remembered: %v", c.held)
	}
}

func TestListener(t *testing.T) {
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(plain, 2)
	defer l.Close()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp4", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial("127.0.0.1")
	dial("127.0.0.1")
	first := <-accepted
	<-accepted
	third, err := net.Dial("tcp4", plain.Addr().String()) // from 127.0.0.1; the reset may come at once
	if err == nil {
		defer third.Close()
		third.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := third.Read(make([]byte, 1)); err == nil {
			t.Error("a third connection of one source was let in")
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error("a third connection was left hanging")
		}
	}
	dial("127.0.0.2") // another source is not affected
	<-accepted
	first.Close()
	first.Close() // twice is once
	dial("127.0.0.1")
	<-accepted
}
