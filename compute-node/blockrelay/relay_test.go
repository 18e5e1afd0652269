package blockrelay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry/events"
	"skerry/internal/preamble"
)

var secret = []byte("the attachment's secret")

func disk(portal string) events.DiskSpec {
	p, _ := netip.ParseAddrPort(portal)
	return events.DiskSpec{Volume: "vol-1", Attachment: "attach-1", Epoch: 3, Portal: p, Secret: secret,
		Target: "iqn.2026-11.io.skerry:vol-1", Initiator: "iqn.2026-11.io.skerry:attach-1"}
}

// storage is the near side of a storage node: it takes preambles and logins,
// and sends back what it gets after them.
type storage struct {
	t       *testing.T
	l       net.Listener
	mu      sync.Mutex
	seen    []preamble.Preamble
	conns   []net.Conn
	highest uint64
	mute    atomic.Bool // does not answer
	status  atomic.Uint32
}

func newStorage(t *testing.T, addr string) *storage {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &storage{t: t, l: l}
	t.Cleanup(s.close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	return s
}

func (s *storage) close() {
	s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *storage) serve(c net.Conn) {
	defer c.Close()
	p, err := preamble.Read(c)
	if err != nil || p.Check(secret) != nil || s.mute.Load() {
		if s.mute.Load() {
			io.Copy(io.Discard, c)
		}
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, p.Preamble)
	a := preamble.Answer{Status: preamble.Status(s.status.Load()), Epoch: p.Epoch, Number: s.highest}
	if a.Status == preamble.OK && p.Number <= s.highest {
		a.Status = preamble.StaleNumber
	}
	if a.Status == preamble.OK {
		s.highest = p.Number
	}
	s.mu.Unlock()
	c.Write(a.Append(nil))
	if a.Status != preamble.OK {
		return
	}
	h, _, err := readPDU(c)
	if err != nil || h[0]&0x3f != 3 {
		return
	}
	var o [bhs]byte
	o[0], o[1] = 0x23, 0x87
	c.Write(pdu(o, nil))
	first := make([]byte, bhs)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	if first[0]&0x3f == 6 {
		o[0] = 0x26
		c.Write(pdu(o, nil))
		return
	}
	c.Write(first)
	io.Copy(c, c)
}

func (s *storage) preambles() []preamble.Preamble {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]preamble.Preamble(nil), s.seen...)
}

func start(t *testing.T) (*Relay, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := New(nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r, l.Addr().String()
}

// knock connects to the relay and sends a login.
func knock(t *testing.T, addr string, d events.DiskSpec) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var h [bhs]byte
	h[0], h[1] = 0x43, 0x87
	c.Write(pdu(h, []byte("InitiatorName="+d.Initiator+"\x00TargetName="+d.Target+"\x00")))
	return c
}

// through says whether bytes go all the way.
func through(c net.Conn) error {
	h, _, err := readPDU(c)
	if err != nil {
		return err
	}
	if h[0] != 0x23 {
		return errors.New("not a login response")
	}
	p := bytes.Repeat([]byte{0x00}, bhs)
	p[20] = 9
	c.Write(p)
	got := make([]byte, bhs)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, p) {
		return errors.New("other bytes came back")
	}
	return nil
}

func TestThrough(t *testing.T) {
	s := newStorage(t, "127.0.0.1:0")
	r, addr := start(t)
	d := disk(s.l.Addr().String())
	// It is held until the disk is known.
	c := knock(t, addr, d)
	r.Set([]events.DiskSpec{d})
	if err := through(c); err != nil {
		t.Fatal(err)
	}
	if !r.Connected(d.Volume) {
		t.Error("it is not said to be connected")
	}
	// Another epoch cuts it, and the initiator comes again at that epoch.
	d.Epoch = 4
	r.Set([]events.DiskSpec{d})
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("after a change of epoch: %v", err)
	}
	c = knock(t, addr, d)
	if err := through(c); err != nil {
		t.Fatal(err)
	}
	// The same disks leave it alone.
	r.Set([]events.DiskSpec{d})
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("cut without a reason: %v", err)
	}
	// The disk is gone.
	r.Set(nil)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("after the disk is gone: %v", err)
	}
	seen := s.preambles()
	if len(seen) != 2 || seen[0].Epoch != 3 || seen[1].Epoch != 4 || seen[1].Number <= seen[0].Number {
		t.Errorf("preambles: %v", seen)
	}
	// Numbers rise over a restart.
	r2, addr2 := start(t)
	r2.Set([]events.DiskSpec{d})
	if err := through(knock(t, addr2, d)); err != nil {
		t.Fatal(err)
	}
	if seen = s.preambles(); seen[2].Number <= seen[1].Number {
		t.Errorf("preambles: %v", seen)
	}
}

func isReset(err error) bool {
	var ne *net.OpError
	return errors.As(err, &ne) && !ne.Timeout()
}

// While the storage node is away the initiator is held, and goes on when it is
// back, on the connection that it has.
func TestOutage(t *testing.T) {
	s := newStorage(t, "127.0.0.1:0")
	portal := s.l.Addr().String()
	r, addr := start(t)
	d := disk(portal)
	r.Set([]events.DiskSpec{d})
	if err := through(knock(t, addr, d)); err != nil {
		t.Fatal(err)
	}
	s.close()
	c := knock(t, addr, d)
	for end := time.Now().Add(5 * time.Second); len(r.Problems()) == 0; {
		if time.Now().After(end) {
			t.Fatal("the outage is not told")
		}
		time.Sleep(time.Millisecond)
	}
	newStorage(t, portal)
	if err := through(c); err != nil {
		t.Fatal(err)
	}
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems after it: %q", p)
	}
}

// A relay whose clock went back learns the numbers that were used.
func TestClockBack(t *testing.T) {
	s := newStorage(t, "127.0.0.1:0")
	s.highest = uint64(time.Now().Add(24 * time.Hour).UnixNano())
	r, addr := start(t)
	d := disk(s.l.Addr().String())
	r.Set([]events.DiskSpec{d})
	if err := through(knock(t, addr, d)); err != nil {
		t.Fatal(err)
	}
}

// With an impatient attach nothing is held.
func TestImpatient(t *testing.T) {
	s := newStorage(t, "127.0.0.1:0")
	s.status.Store(uint32(preamble.NotReady))
	r, addr := start(t)
	d := disk(s.l.Addr().String())
	r.Set([]events.DiskSpec{d})
	done := r.Impatient(d.Volume)
	c := knock(t, addr, d)
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it was held: %v", err)
	}
	done()
	c = knock(t, addr, d)
	s.status.Store(uint32(preamble.OK))
	if err := through(c); err != nil {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	s := newStorage(t, "127.0.0.1:0")
	r := New(nil)
	d := disk(s.l.Addr().String())
	if err := r.Probe(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	s.status.Store(uint32(preamble.StaleEpoch))
	if err := r.Probe(t.Context(), d); !errors.Is(err, errRefused) {
		t.Errorf("a refused probe: %v", err)
	}
	s.mute.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := r.Probe(ctx, d); err == nil {
		t.Error("a probe of a silent node succeeded")
	}
	if time.Since(begin) > 3*time.Second {
		t.Errorf("a probe took %v", time.Since(begin))
	}
	d.Portal = netip.AddrPort{}
	if err := r.Probe(t.Context(), d); err == nil {
		t.Error("a probe without a portal succeeded")
	}
}

// An initiator that is held and goes away leaves nothing behind.
func TestGivesUp(t *testing.T) {
	r, addr := start(t)
	c := knock(t, addr, disk("127.0.0.1:1"))
	count := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns)
	}
	wait := func(what string, n int) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); count() != n; {
			if time.Now().After(end) {
				t.Fatalf("%s: %d connections", what, count())
			}
			time.Sleep(time.Millisecond)
		}
	}
	wait("held", 1)
	c.Close()
	wait("gone", 0)
}

func FuzzLogin(f *testing.F) {
	var h [bhs]byte
	h[0] = 0x43
	f.Add(pdu(h, []byte("InitiatorName=a\x00TargetName=b\x00")))
	f.Add(pdu(h, nil))
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, initiator, target, err := readLogin(bytes.NewReader(in))
		if err != nil {
			return
		}
		if initiator == "" || target == "" || len(raw) > len(in) || binary.BigEndian.Uint16(raw) != binary.BigEndian.Uint16(in) {
			t.Fatalf("%q %q from %x", initiator, target, in)
		}
	})
}
