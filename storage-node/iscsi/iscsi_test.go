package iscsi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	gotgt "github.com/gostor/gotgt/pkg/scsi"

	"skerry/events"
	"skerry/internal/preamble"
	"skerry/storage-node/volume"
)

const (
	volID     = events.VolumeID("vol-0123456789abcdef0")
	attachID  = events.AttachmentID("attach-0123456789abcdef0")
	targetIQN = "iqn.2026-11.io.skerry:vol-0123456789abcdef0"
	initIQN   = "iqn.2026-11.io.skerry:attach-0123456789abcdef0"
)

var secret = []byte("a secret of thirty-two bytes....")

// bench is a target with one volume on loopback.
type bench struct {
	t    testing.TB
	tgt  *Target
	vol  *volume.Volume
	addr string
	x    Export
	last atomic.Uint64 // connection number
}

func newBench(t testing.TB, fs vfs.FS, dir string, size int64) *bench {
	t.Helper()
	st, err := volume.Open(fs, dir, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := st.Create(volID, size, 1)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("SKERRY_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	b := &bench{t: t, tgt: New(log), vol: v}
	b.x = Export{Volume: v, Epoch: 1, Attachment: attachID, Target: targetIQN, Initiator: initIQN, Secret: secret}
	if err := b.tgt.Export(b.x); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.tgt.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// dial opens a connection up to the answer to its preamble.
func (b *bench) dial(p preamble.Preamble) (net.Conn, preamble.Answer, error) {
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	s, err := preamble.Seal(p, secret)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.Write(s); err != nil {
		b.t.Fatal(err)
	}
	a, err := preamble.ReadAnswer(c)
	return c, a, err
}

func (b *bench) next(epoch uint64) preamble.Preamble {
	return preamble.Preamble{Attachment: attachID, Epoch: epoch, Number: b.last.Add(1)}
}

// gate gives ordinary initiators a way in: it puts a preamble before each
// connection.
func (b *bench) gate() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				d, err := net.Dial("tcp", b.addr)
				if err != nil {
					return
				}
				defer d.Close()
				s, _ := preamble.Seal(b.next(b.vol.Epoch()), secret)
				d.Write(s)
				if a, err := preamble.ReadAnswer(d); err != nil || a.Status != preamble.OK {
					return
				}
				splice(c, d)
			}()
		}
	}()
	return l.Addr().String()
}

// splice copies both ways until one end closes.
func splice(a, b net.Conn) {
	go func() { io.Copy(b, a); b.Close() }()
	io.Copy(a, b)
	a.Close()
}

// initiator speaks just enough to be precise, or wrong.
type initiator struct {
	t     testing.TB
	c     net.Conn
	r     *bufio.Reader
	cmdSN uint32
	itt   uint32
}

func (i *initiator) put(h header, data []byte) {
	h.setLength(len(data))
	b := append(h[:], data...)
	b = append(b, padding[:-len(data)&3]...)
	if _, err := i.c.Write(b); err != nil {
		i.t.Logf("write: %v", err)
	}
}

func (i *initiator) get() (header, []byte, error) {
	var h header
	if err := readHeader(i.r, &h, 1<<24); err != nil {
		return h, nil, err
	}
	b := make([]byte, h.length())
	return h, b, readData(i.r, b)
}

func loginHeader(csg, nsg byte, transit bool) header {
	var h header
	h[0], h[1] = 0x40|opLogin, csg<<2|nsg
	if transit {
		h[1] |= 0x80
	}
	h[8] = 0x80
	be.PutUint32(h[24:], 1)
	return h
}

func loginText2(initiator, target string) []byte {
	return []byte("InitiatorName=" + initiator + "\x00TargetName=" + target + "\x00SessionType=Normal\x00HeaderDigest=None\x00" +
		"InitialR2T=Yes\x00ImmediateData=Yes\x00MaxBurstLength=262144\x00FirstBurstLength=65536\x00MaxRecvDataSegmentLength=65536\x00")
}

// open logs in.
func (b *bench) open(epoch uint64) *initiator {
	b.t.Helper()
	c, a, err := b.dial(b.next(epoch))
	if err != nil || a.Status != preamble.OK {
		b.t.Fatalf("preamble: %v %v", a.Status, err)
	}
	i := &initiator{t: b.t, c: c, r: bufio.NewReader(c), cmdSN: 1}
	i.put(loginHeader(1, 3, true), loginText2(initIQN, targetIQN))
	h, _, err := i.get()
	if err != nil || be.Uint16(h[36:]) != 0 || h[1]&0x83 != 0x83 {
		b.t.Fatalf("login: %v, status %#x", err, be.Uint16(h[36:]))
	}
	return i
}

func (i *initiator) cdb(b ...byte) header {
	var h header
	h[0], h[1] = opCommand, 0x80
	h[9] = 1
	i.itt++
	be.PutUint32(h[16:], i.itt)
	be.PutUint32(h[24:], i.cmdSN)
	i.cmdSN++
	copy(h[32:], b)
	return h
}

// write10 sends a write with immediate data and does not wait.
func (i *initiator) write10(lba uint32, data []byte) {
	h := i.cdb(0x2a)
	h[1] |= 0x20
	be.PutUint32(h[20:], uint32(len(data)))
	be.PutUint32(h[34:], lba)
	be.PutUint16(h[39:], uint16(len(data)/512))
	i.put(h, data)
}

func (i *initiator) read10(lba uint32, n int) []byte {
	i.t.Helper()
	h := i.cdb(0x28)
	h[1] |= 0x40
	be.PutUint32(h[20:], uint32(n))
	be.PutUint32(h[34:], lba)
	be.PutUint16(h[39:], uint16(n/512))
	i.put(h, nil)
	out := make([]byte, n)
	for {
		h, data, err := i.get()
		if err != nil || h.op() != opDataIn {
			i.t.Fatalf("read: %v, operation %#x status %#x", err, h.op(), h[3])
		}
		copy(out[h.offset():], data)
		if h[1]&1 != 0 {
			return out
		}
	}
}

func TestReadWrite(t *testing.T) {
	b := newBench(t, vfs.NewMem(), "s", 16<<20)
	i := b.open(1)
	p := bytes.Repeat([]byte("skerry! "), 8192) // 64 KiB: immediate
	i.write10(8, p)
	if h, _, err := i.get(); err != nil || h.op() != opResponse || h[3] != 0 {
		t.Fatalf("write: %v %#x %#x", err, h.op(), h[3])
	}
	if got := i.read10(8, len(p)); !bytes.Equal(got, p) {
		t.Error("what was read is not what was written")
	}
	// A write of 512 KiB: R2T in two bursts.
	big := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
	h := i.cdb(0x2a)
	h[1] |= 0x20
	be.PutUint32(h[20:], uint32(len(big)))
	be.PutUint32(h[34:], 4096)
	be.PutUint16(h[39:], uint16(len(big)/512))
	i.put(h, big[:65536])
	itt := i.itt
	for {
		r, _, err := i.get()
		if err != nil {
			t.Fatal(err)
		}
		if r.op() == opResponse {
			if r[3] != 0 || r.itt() != itt {
				t.Fatalf("status %#x", r[3])
			}
			break
		}
		off, n := int(r.offset()), int(be.Uint32(r[44:]))
		for sn := uint32(0); n > 0; sn++ {
			m := min(n, 65536)
			var d header
			d[0] = opDataOut
			if m == n {
				d[1] = 0x80
			}
			be.PutUint32(d[16:], itt)
			be.PutUint32(d[20:], r.ttt())
			be.PutUint32(d[36:], sn)
			be.PutUint32(d[40:], uint32(off))
			i.put(d, big[off:off+m])
			off, n = off+m, n-m
		}
	}
	if got := i.read10(4096, len(big)); !bytes.Equal(got, big) {
		t.Error("what was read is not what was written in bursts")
	}
	// A NOP-Out that is not immediate takes a CmdSN (RFC 7143, 11.18).
	var nop header
	nop[0], nop[1] = opNopOut, 0x80
	be.PutUint32(nop[16:], 77)
	be.PutUint32(nop[20:], noTag)
	be.PutUint32(nop[24:], i.cmdSN)
	i.cmdSN++
	i.put(nop, []byte("ping"))
	if h, data, err := i.get(); err != nil || h.op() != opNopIn || string(data) != "ping" || be.Uint32(h[28:]) != i.cmdSN {
		t.Fatalf("nop: %v %#x %q, ExpCmdSN %d want %d", err, h.op(), data, be.Uint32(h[28:]), i.cmdSN)
	}
	i.read10(0, 512)
}

// Who may come in, and in which order.
func TestAdmission(t *testing.T) {
	b := newBench(t, vfs.NewMem(), "s", 1<<20)
	b.x.Epoch = 5
	if err := b.tgt.Export(b.x); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		p    preamble.Preamble
		want preamble.Status
	}{
		{"a first connection", preamble.Preamble{Attachment: attachID, Epoch: 5, Number: 10}, preamble.OK},
		{"the same number", preamble.Preamble{Attachment: attachID, Epoch: 5, Number: 10}, preamble.StaleNumber},
		{"a lower number", preamble.Preamble{Attachment: attachID, Epoch: 5, Number: 9}, preamble.StaleNumber},
		{"a lower epoch", preamble.Preamble{Attachment: attachID, Epoch: 4, Number: 99}, preamble.StaleEpoch},
		{"a higher number", preamble.Preamble{Attachment: attachID, Epoch: 5, Number: 11}, preamble.OK},
		{"a higher epoch", preamble.Preamble{Attachment: attachID, Epoch: 7, Number: 1}, preamble.OK},
		{"the epoch before", preamble.Preamble{Attachment: attachID, Epoch: 5, Number: 100}, preamble.StaleEpoch},
	} {
		if _, a, err := b.dial(c.p); err != nil || a.Status != c.want {
			t.Errorf("%s: %v %v, want %v", c.what, a.Status, err, c.want)
		}
	}
	if e := b.vol.Epoch(); e != 7 {
		t.Errorf("the volume's epoch is %d", e)
	}
	if _, _, err := b.dial(preamble.Preamble{Attachment: "attach-unknown", Epoch: 9, Number: 1}); !errors.Is(err, io.EOF) && err == nil {
		t.Error("an unknown attachment was answered")
	}
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	forged, _ := preamble.Seal(preamble.Preamble{Attachment: attachID, Epoch: 99, Number: 99}, []byte("another secret"))
	c.Write(forged)
	if n, _ := io.Copy(io.Discard, c); n != 0 {
		t.Error("a forged preamble was answered")
	}
	if e := b.vol.Epoch(); e != 7 {
		t.Errorf("a forged preamble moved the epoch to %d", e)
	}
	if err := b.tgt.End(volID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.dial(preamble.Preamble{Attachment: attachID, Epoch: 7, Number: 1000}); err == nil {
		t.Error("an ended attachment was answered")
	}
}

func TestLoginRefusals(t *testing.T) {
	b := newBench(t, vfs.NewMem(), "s", 1<<20)
	h := loginHeader(1, 3, true)
	tsih := h
	be.PutUint16(tsih[14:], 1)
	version := h
	version[3] = 1
	for _, c := range []struct {
		what string
		h    header
		text []byte
		want uint16
	}{
		{"another initiator", h, loginText2("iqn.x", targetIQN), loginForbidden},
		{"another target", h, loginText2(initIQN, "iqn.y"), loginNotFound},
		{"no names", h, nil, loginMissing},
		{"a session to join", tsih, loginText2(initIQN, targetIQN), loginNoSession},
		{"another version", version, loginText2(initIQN, targetIQN), loginVersion},
		{"no text", h, []byte("nonsense\x00"), loginBad},
		{"digests only", h, append(loginText2(initIQN, targetIQN), "DataDigest=CRC32C\x00"...), loginBad},
		{"a burst of nothing", h, append(loginText2(initIQN, targetIQN)[:0:0], "InitiatorName="+initIQN+"\x00TargetName="+targetIQN+"\x00MaxBurstLength=0\x00"...), loginBad},
	} {
		conn, a, err := b.dial(b.next(1))
		if err != nil || a.Status != preamble.OK {
			t.Fatal(a, err)
		}
		i := &initiator{t: t, c: conn, r: bufio.NewReader(conn)}
		i.put(c.h, c.text)
		r, _, err := i.get()
		if got := be.Uint16(r[36:]); err != nil || got != c.want {
			t.Errorf("%s: %v, status %#x, want %#x", c.what, err, got, c.want)
		}
		if _, _, err := i.get(); err == nil {
			t.Errorf("%s: the session goes on", c.what)
		}
	}
	b.open(1).read10(0, 512)
}

// Bad PDUs end one session; the next one finds everything as it was.
func TestHostile(t *testing.T) {
	b := newBench(t, vfs.NewMem(), "s", 4<<20)
	set := func(h header, at int, v ...byte) header { copy(h[at:], v); return h }
	type c struct {
		what string
		send func(i *initiator)
	}
	cases := []c{
		{"a length of 16 MiB", func(i *initiator) { h := i.cdb(0x2a); h.setLength(1<<24 - 1); i.c.Write(h[:]) }},
		{"headers of 1 KiB", func(i *initiator) { i.put(set(i.cdb(0x28), 4, 255), nil) }},
		{"an unknown operation", func(i *initiator) { i.put(set(header{}, 0, 0x1f), nil) }},
		{"a login in the middle", func(i *initiator) { i.put(loginHeader(1, 3, true), loginText2(initIQN, targetIQN)) }},
		{"a target's operation", func(i *initiator) { i.put(set(header{}, 0, 0x25), nil) }},
		{"immediate data of a read", func(i *initiator) { i.put(set(i.cdb(0x28), 1, 0xc0), make([]byte, 512)) }},
		{"more immediate data than expected", func(i *initiator) { i.put(set(set(i.cdb(0x2a), 1, 0xa0), 20, 0, 0, 1, 0), make([]byte, 512)) }},
		{"unsolicited data", func(i *initiator) { i.put(set(i.cdb(0x2a), 1, 0x20), nil) }},
		{"a tag that is in use", func(i *initiator) {
			h := set(set(i.cdb(0x2a, 0, 0, 0, 0, 0, 0, 0, 8), 1, 0xa0), 20, 0, 0, 0x10, 0)
			i.put(h, nil)
			be.PutUint32(h[24:], i.cmdSN)
			i.cmdSN++
			i.put(h, nil)
		}},
		{"a gap in the numbers", func(i *initiator) { i.cmdSN += 3; i.put(i.cdb(0x00), nil) }},
		{"text that is not pairs", func(i *initiator) { i.put(set(set(i.cdb(), 0, opText), 16, 0, 0, 0, 9), []byte("=\x00")) }},
		{"half a header", func(i *initiator) { i.c.Write(make([]byte, 20)); i.c.(*net.TCPConn).CloseWrite() }},
	}
	for _, c := range cases {
		i := b.open(1)
		c.send(i)
		for {
			if _, _, err := i.get(); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: the session goes on", c.what)
				}
				break
			}
		}
	}
	// These are refused, and the session goes on.
	i := b.open(1)
	for _, cdb := range [][]byte{
		{0x42}, {0x42, 0, 0, 0, 0, 0, 0, 0, 4}, // UNMAP without data, with too short a list
		{0x1e, 0, 0, 0, 1},                        // PREVENT ALLOW
		{0x9e, 0x10, 9: 0, 13: 1},                 // READ CAPACITY(16) with a short length
		{0x1a, 0, 0x3f, 0, 0}, {0x1a, 0, 8, 0, 1}, // MODE SENSE of nothing
		{0x8b, 13: 8}, {0x89, 13: 255}, // ORWRITE, COMPARE AND WRITE without data
		{0x93, 13: 8}, {0x41, 8: 8}, // WRITE SAME without data
		{0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1}, // behind the end
		{0x88, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff},
		{0x5e, 0}, {0x5f, 0}, {0x04}, {0xff}, {0x7f}, // not supported
		{0x12, 1, 0x77}, {0xa0}, {0xa3, 0x0c}, {0x9e, 0x12},
	} {
		for _, flags := range []byte{0x80, 0xc0, 0xa0} {
			if flags == 0xa0 {
				continue // would wait for data
			}
			h := i.cdb(cdb...)
			h[1] = flags
			if flags == 0xc0 {
				be.PutUint32(h[20:], 4)
			}
			i.put(h, nil)
			if r, _, err := i.get(); err != nil || r.itt() != i.itt {
				t.Fatalf("command %x flags %x: %v, operation %#x", cdb, flags, err, r.op())
			}
		}
	}
	// A write for which more is expected than may be.
	h := i.cdb(0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff)
	h[1] = 0xa0
	be.PutUint32(h[20:], 0xffffffff)
	i.put(h, nil)
	if r, _, err := i.get(); err != nil || r.op() != opResponse || r[3] != 2 {
		t.Fatalf("4 GiB at once: %v %#x status %#x", err, r.op(), r[3])
	}
	// Numbers outside of the window are ignored.
	i.cmdSN += 100000
	i.put(i.cdb(0x00), nil)
	i.cmdSN -= 100001
	i.read10(0, 512)
	if _, ok := b.tgt.Exported(volID); !ok {
		t.Error("the export is gone")
	}
}

// slow is a disk whose writes to the log can be held.
type slow struct {
	vfs.FS
	hold    atomic.Pointer[chan struct{}]
	waiting atomic.Int64
}

type slowFile struct {
	vfs.File
	s *slow
}

func (s *slow) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return slowFile{f, s}, err
}

func (f slowFile) WriteAt(p []byte, off int64) (int, error) {
	if ch := f.s.hold.Load(); ch != nil {
		f.s.waiting.Add(1)
		<-*ch
	}
	return f.File.WriteAt(p, off)
}

// A write that an old connection has under way is done, or never will be, when
// a newer connection is answered.
func TestFence(t *testing.T) {
	for _, how := range []string{"number", "epoch", "export", "end"} {
		t.Run(how, func(t *testing.T) {
			disk := &slow{FS: vfs.NewMem()}
			b := newBench(t, disk, "s", 1<<20)
			old := b.open(1)
			old.write10(0, bytes.Repeat([]byte{1}, 4096))
			if h, _, err := old.get(); err != nil || h[3] != 0 {
				t.Fatal(err, h[3])
			}
			gate := make(chan struct{})
			disk.hold.Store(&gate)
			old.write10(0, bytes.Repeat([]byte{2}, 4096))
			old.write10(8, bytes.Repeat([]byte{2}, 4096))
			eventually(t, "the write is under way", func() bool { return disk.waiting.Load() > 0 })
			answered := make(chan *initiator, 1)
			go func() {
				defer close(answered)
				switch how {
				case "number":
					answered <- b.open(1)
				case "epoch":
					answered <- b.open(2)
				case "export":
					b.x.Epoch = 2
					if err := b.tgt.Export(b.x); err != nil {
						t.Error(err)
					}
					answered <- b.open(2)
				case "end":
					if err := b.tgt.End(volID); err != nil {
						t.Error(err)
					}
				}
			}()
			// The old one is cut at once, and the newcomer is not answered while
			// a write of the old one hangs in the disk.
			eventually(t, "the old connection is cut", func() bool { _, _, err := old.get(); return err != nil })
			select {
			case <-answered:
				t.Fatal("the newcomer was answered while a write of the old one was under way")
			default:
			}
			disk.hold.Store(nil)
			close(gate)
			young := <-answered
			before := make([]byte, 8192)
			if err := b.vol.Read(before, 0); err != nil {
				t.Fatal(err)
			}
			if how == "end" {
				return
			}
			young.write10(0, bytes.Repeat([]byte{3}, 8192))
			if h, _, err := young.get(); err != nil || h[3] != 0 {
				t.Fatal(err)
			}
			old.write10(0, bytes.Repeat([]byte{4}, 4096)) // into a cut connection
			if got := young.read10(0, 8192); !bytes.Equal(got, bytes.Repeat([]byte{3}, 8192)) {
				t.Error("something of the old connection landed after the newer one's write")
			}
		})
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDriverIsRegistered(t *testing.T) {
	d, err := gotgt.NewTargetDriver(Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.(*Driver); !ok {
		t.Errorf("gotgt's driver is a %T", d)
	}
}

func FuzzLogin(f *testing.F) {
	h := loginHeader(1, 3, true)
	text := loginText2(initIQN, targetIQN)
	h.setLength(len(text))
	f.Add(append(append([]byte{}, h[:]...), append(text, padding[:-len(text)&3]...)...))
	h = loginHeader(0, 1, true)
	h.setLength(len(text))
	f.Add(append(append([]byte{}, h[:]...), text...))
	f.Add(bytes.Repeat([]byte{0x43}, 200))
	f.Fuzz(func(t *testing.T, in []byte) {
		var said int
		p, err := login(bufio.NewReader(bytes.NewReader(in)), func(h *header, b []byte) error {
			if said++; said > loginRounds {
				return errors.New("too much is said")
			}
			return nil
		}, targetIQN, initIQN)
		if err == nil && (p.segment < 512 || p.segment > ourSegment || p.burst < 512 || p.burst > ourBurst || p.first > p.burst) {
			t.Fatalf("agreed on %+v", p)
		}
	})
}

// FuzzSession is a logged-in initiator that says anything.
func FuzzSession(f *testing.F) {
	i := &initiator{cmdSN: 1}
	h := i.cdb(0x28, 0, 0, 0, 0, 0, 0, 0, 1)
	h[1] |= 0x40
	be.PutUint32(h[20:], 512)
	f.Add(h[:])
	h[0] = opNopOut
	f.Add(h[:])
	h[0], h[1] = opTask, 0x81
	f.Add(h[:])
	for _, k := range []byte{0x12, 0x1a, 0x41, 0x42, 0x5a, 0x89, 0x8b, 0x93, 0x9e, 0xa0, 0xa3} {
		h := (&initiator{cmdSN: 1}).cdb(k, 1, 2, 3, 4, 5, 6, 7, 8)
		h[1] = 0xa0
		be.PutUint32(h[20:], 512)
		h.setLength(512)
		f.Add(append(append([]byte{}, h[:]...), make([]byte, 512)...))
	}
	whole := newBench(f, vfs.NewMem(), "s", 1<<20)
	f.Fuzz(func(t *testing.T, in []byte) {
		b := &bench{t: t, tgt: whole.tgt, vol: whole.vol, addr: whole.addr, x: whole.x}
		b.last.Store(whole.last.Add(2) - 2)
		i := b.open(1)
		go io.Copy(io.Discard, i.r)
		i.c.Write(in)
		i.c.(*net.TCPConn).CloseWrite()
		j := b.open(1) // the older one ends and is drained
		j.c.Close()
	})
}
