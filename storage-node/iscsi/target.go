// Package iscsi is the target side of iSCSI (RFC 7143) for the volumes of a
// storage node: a driver registered with gotgt that stands on its SCSI layer.
//
//	accept ─▶ preamble ─▶ the older session ends and is drained ─▶ answer ─▶ login ─▶ PDUs
//	             │                                                             │
//	             └ unknown, forged: closed without a word                      └ names must be the attachment's
//
// There is one listener on the storage address. Each connection opens with the
// preamble of internal/preamble. One session writes to a volume at a time: a
// newer connection ends the older one and waits until nothing of it is under
// way before it is answered, so that a late write never lands after a newer
// one. A connection number that is not higher than all before is refused, and
// so is an epoch below the volume's; a higher one is taken and persisted first.
//
// One connection to a session, error recovery level 0, no digests (TCP and the
// engine have checksums), immediate data up to 256 KiB, one R2T at a time.
// Every announced length is bounded. A bad PDU ends its session and nothing
// else.
package iscsi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gostor/gotgt/pkg/config"
	gotgt "github.com/gostor/gotgt/pkg/scsi"
	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/internal/preamble"
	"skerry/storage-node/scsi"
	"skerry/storage-node/volume"
)

// Name is what the driver is called in gotgt.
const Name = "skerry-iscsi"

func init() {
	gotgt.RegisterTargetDriver(Name, func(*gotgt.SCSITargetService) (gotgt.SCSITargetDriver, error) {
		return &Driver{New(nil), "127.0.0.1:0"}, nil
	})
}

// Limits of a target.
const (
	maxStrangers = 256              // connections that are not logged in
	helloFor     = 5 * time.Second  // for the preamble
	loginFor     = 10 * time.Second // for the login after it
	quiet        = 10 * time.Second // after which a session is asked whether it is there
	silence      = 30 * time.Second // after which it is not
	lookEvery    = 5 * time.Second
)

// Export lets one attachment use one volume.
type Export struct {
	Volume       *volume.Volume
	Epoch        uint64 // at least; the volume's own may be higher
	Attachment   events.AttachmentID
	Target       string // names that the login must give
	Initiator    string
	Secret       []byte
	WriteThrough bool
}

func (e Export) same(o Export) bool {
	return e.Volume == o.Volume && e.Attachment == o.Attachment && e.Target == o.Target && e.Initiator == o.Initiator &&
		string(e.Secret) == string(o.Secret) && e.WriteThrough == o.WriteThrough
}

// export is an Export in use.
type export struct {
	Export

	admit   sync.Mutex // one newcomer at a time
	ended   bool
	highest uint64 // connection number at the volume's epoch
	epoch   uint64 // that highest is of
	cur     *session
}

// end cuts the session, if there is one, and waits until nothing of it is under
// way; admit is held.
func (x *export) end() {
	if x.cur != nil {
		x.cur.kill()
		<-x.cur.done
		x.cur = nil
	}
}

// Target serves exports.
type Target struct {
	log *slog.Logger

	mu        sync.Mutex
	exports   map[events.AttachmentID]*export
	volumes   map[events.VolumeID]*export
	conns     map[net.Conn]bool // all that are open
	closed    bool
	strangers atomic.Int64
	work      sync.WaitGroup
}

// New makes a target that exports nothing.
func New(log *slog.Logger) *Target {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Target{log: log, exports: map[events.AttachmentID]*export{}, volumes: map[events.VolumeID]*export{}, conns: map[net.Conn]bool{}}
}

// Export opens a volume to an attachment, at an epoch that is persisted before
// it returns. When it does, no session of a lower epoch or of another
// attachment can write to the volume any more.
func (t *Target) Export(e Export) error {
	t.mu.Lock()
	old := t.volumes[e.Volume.ID()]
	t.mu.Unlock()
	if old != nil && old.same(e) {
		old.admit.Lock()
		defer old.admit.Unlock()
		if !old.ended {
			if e.Epoch <= e.Volume.Epoch() {
				return nil
			}
			old.end()
			return e.Volume.SetEpoch(e.Epoch)
		}
	}
	if err := t.End(e.Volume.ID()); err != nil {
		return err
	}
	if e.Epoch > e.Volume.Epoch() {
		if err := e.Volume.SetEpoch(e.Epoch); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errors.New("iscsi: the target is closed")
	}
	x := &export{Export: e}
	t.exports[e.Attachment], t.volumes[e.Volume.ID()] = x, x
	return nil
}

// End closes a volume to everybody. When it returns, nothing that came over
// the wire can write to it any more.
func (t *Target) End(v events.VolumeID) error {
	t.mu.Lock()
	x := t.volumes[v]
	if x != nil {
		delete(t.volumes, v)
		if t.exports[x.Attachment] == x {
			delete(t.exports, x.Attachment)
		}
	}
	t.mu.Unlock()
	if x != nil {
		x.admit.Lock()
		x.ended = true
		x.end()
		x.admit.Unlock()
	}
	return nil
}

// Exported says to which attachment a volume is open.
func (t *Target) Exported(v events.VolumeID) (events.AttachmentID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.volumes[v]
	if x == nil {
		return "", false
	}
	return x.Attachment, true
}

// Connected says whether a volume has a session.
func (t *Target) Connected(v events.VolumeID) bool {
	t.mu.Lock()
	x := t.volumes[v]
	t.mu.Unlock()
	if x == nil {
		return false
	}
	x.admit.Lock()
	defer x.admit.Unlock()
	if x.cur == nil {
		return false
	}
	select {
	case <-x.cur.done:
		return false
	default:
		return true
	}
}

// Serve accepts connections until ctx ends, and then ends all sessions.
func (t *Target) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer t.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ECONNABORTED) {
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			return fmt.Errorf("iscsi: %w", err)
		}
		if t.strangers.Add(1) > maxStrangers {
			t.strangers.Add(-1)
			c.Close()
			continue
		}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			c.Close()
			return nil
		}
		t.conns[c] = true
		t.mu.Unlock()
		t.work.Go(func() {
			t.serve(c)
			c.Close()
			t.mu.Lock()
			delete(t.conns, c)
			t.mu.Unlock()
		})
	}
}

// Close ends every session and waits for them.
func (t *Target) Close() error {
	t.mu.Lock()
	t.closed = true
	for c := range t.conns {
		c.Close()
	}
	t.mu.Unlock()
	t.work.Wait()
	return nil
}

// serve is the life of one connection.
func (t *Target) serve(c net.Conn) {
	known := false
	befriend := func() {
		if !known {
			known = true
			t.strangers.Add(-1)
		}
	}
	defer befriend()
	log := t.log.With("from", c.RemoteAddr().String())
	tune(c)
	c.SetDeadline(time.Now().Add(helloFor))
	hello, err := preamble.Read(c)
	if err != nil {
		log.Debug("iscsi: no preamble", "err", err)
		return
	}
	t.mu.Lock()
	x := t.exports[hello.Attachment]
	t.mu.Unlock()
	if x == nil {
		log.Debug("iscsi: nothing for this attachment", "attachment", hello.Attachment)
		return
	}
	if err := hello.Check(x.Secret); err != nil {
		log.Warn("iscsi: refused", "attachment", hello.Attachment, "err", err)
		return
	}
	s, answer := t.admit(x, c, hello.Preamble, log)
	c.SetDeadline(time.Now().Add(loginFor))
	if _, err := c.Write(answer.Append(nil)); err != nil && s != nil {
		log.Debug("iscsi: answer", "err", err)
		close(s.done)
		return
	}
	if s == nil {
		log.Info("iscsi: refused", "volume", x.Volume.ID(), "preamble", hello.String(), "why", answer.Status.String())
		return
	}
	defer close(s.done)
	s.run(befriend)
}

// admit decides on a newcomer whose preamble is true. It returns once nothing
// of an older session can write any more.
func (t *Target) admit(x *export, c net.Conn, p preamble.Preamble, log *slog.Logger) (*session, preamble.Answer) {
	x.admit.Lock()
	defer x.admit.Unlock()
	epoch := x.Volume.Epoch()
	if x.epoch != epoch {
		x.epoch, x.highest = epoch, 0
	}
	no := func(s preamble.Status) (*session, preamble.Answer) {
		return nil, preamble.Answer{Status: s, Epoch: epoch, Number: x.highest}
	}
	switch {
	case x.ended:
		return no(preamble.NotReady)
	case p.Epoch < epoch:
		return no(preamble.StaleEpoch)
	case p.Epoch == epoch && p.Number <= x.highest:
		return no(preamble.StaleNumber)
	}
	x.end()
	if p.Epoch > epoch {
		if err := x.Volume.SetEpoch(p.Epoch); err != nil {
			log.Warn("iscsi: epoch", "volume", x.Volume.ID(), "err", err)
			return no(preamble.NotReady)
		}
	}
	unit, err := scsi.NewUnit(scsi.Options{Volume: x.Volume, Epoch: p.Epoch, Target: x.Target, WriteThrough: x.WriteThrough})
	if err != nil {
		log.Warn("iscsi: unit", "volume", x.Volume.ID(), "err", err)
		return no(preamble.NotReady)
	}
	x.epoch, x.highest = p.Epoch, p.Number
	x.cur = &session{x: x, c: c, unit: unit, done: make(chan struct{}), log: log.With("volume", x.Volume.ID(), "attachment", x.Attachment),
		r: bufio.NewReaderSize(c, 64<<10), waiting: map[uint32]*task{}, running: map[uint32]*task{}}
	return x.cur, preamble.Answer{Status: preamble.OK, Epoch: p.Epoch, Number: p.Number}
}

// tune makes a connection one that does not wait to send, and that notices the
// end of the other side.
func tune(c net.Conn) {
	tc, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	tc.SetNoDelay(true)
	tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4})
	if raw, err := tc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
		})
	}
}

// Driver is a Target in gotgt's terms. What gotgt would do with its own maps
// (targets, units, sizes) is the keeper's, who calls Export and End.
type Driver struct {
	*Target
	Listen string // host:port
}

// Run listens on the driver's own address, whatever the port.
func (d *Driver) Run(int) error {
	l, err := net.Listen("tcp", d.Listen)
	if err != nil {
		return fmt.Errorf("iscsi: %w", err)
	}
	return d.Serve(context.Background(), l)
}

// NewTarget is refused: an export needs an attachment.
func (d *Driver) NewTarget(string, *config.Config) error {
	return errors.New("iscsi: a target is made by Export")
}

// RereadTargetLUNMap has nothing to read.
func (d *Driver) RereadTargetLUNMap() {}

// Resize is refused: it would be every volume's.
func (d *Driver) Resize(uint64) error { return errors.New("iscsi: a volume is resized by itself") }

// Stats counts sessions.
func (d *Driver) Stats() gotgt.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return gotgt.Stats{IsClientConnected: len(d.conns) > 0, SectorSize: volume.Sector}
}

// SetClusterIP has no meaning here.
func (d *Driver) SetClusterIP(string) {}

// EnableBlockMultipleHostLogin is always on.
func (d *Driver) EnableBlockMultipleHostLogin() {}
