// Package blockrelay is the way of a guest's blocks to their storage node: one
// relay on each compute node, to which QEMU's initiators connect.
//
//	QEMU ─▶ relay (loopback) ─ login names ─▶ disk ─▶ dial portal ─▶ preamble ─▶ login passed on
//	          │                    │                      │
//	          │                    └ no such disk: hold   └ refused or silent: hold, try again
//	          └── bytes both ways until an end, or until the disk's epoch or portal changes
//
// The relay always accepts, reads the login's names and holds the connection
// until there is a way: a refused connection would cost the initiator a second
// and more, a held one costs the outage itself. While an initiator must not be
// kept waiting (a hot attach stops the whole guest), Impatient makes the relay
// close instead.
//
// It promises that connection numbers rise, over its own restarts too, and that
// a far end that falls silent is noticed in some two seconds. It expects the
// same listening port after a restart, since guests know it.
package blockrelay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skerry/events"
	"skerry/internal/preamble"
)

// Limits of a relay.
const (
	maxConns  = 1024                   // initiators at once
	helloFor  = 10 * time.Second       // until the login has come
	dialFor   = 2 * time.Second        // to the portal
	answerFor = 5 * time.Second        // to the preamble: the older session may have to be drained
	again     = 100 * time.Millisecond // between tries while a connection is held
	silence   = 2 * time.Second        // of a far end that has data to acknowledge, or was asked
	maxLogin  = 8192                   // data of the login PDU
)

// Relay carries block connections.
type Relay struct {
	log *slog.Logger

	mu        sync.Mutex
	disks     map[string]events.DiskSpec // by initiator and target
	changed   chan struct{}              // closed when disks, or who is impatient, change
	conns     map[*conn]bool
	impatient map[events.VolumeID]int
	refused   map[events.VolumeID]string
	number    uint64
	work      sync.WaitGroup
}

// New makes a relay that knows no disks.
func New(log *slog.Logger) *Relay {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Relay{log: log, disks: map[string]events.DiskSpec{}, changed: make(chan struct{}), conns: map[*conn]bool{},
		impatient: map[events.VolumeID]int{}, refused: map[events.VolumeID]string{}}
}

func key(initiator, target string) string { return initiator + "\x00" + target }

// path is what a connection depends on: when it changes, the connection is cut
// and the initiator comes again.
func path(d events.DiskSpec) string {
	return fmt.Sprintf("%s %d %v %s", d.Attachment, d.Epoch, d.Portal, d.Secret)
}

// Set replaces the disks of the node. Connections of disks that are gone, or
// have another epoch or portal, are cut.
func (r *Relay) Set(disks []events.DiskSpec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]events.DiskSpec, len(disks))
	for _, d := range disks {
		next[key(d.Initiator, d.Target)] = d
	}
	for c := range r.conns {
		if d, ok := next[c.key]; c.through && (!ok || path(d) != c.path) {
			c.cut()
		}
	}
	r.disks = next
	clear(r.refused)
	r.wake()
}

// wake lets those who hold look again; mu is held.
func (r *Relay) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Impatient makes the relay close connections of a volume that cannot go on at
// once, instead of holding them, until done is called.
func (r *Relay) Impatient(v events.VolumeID) (done func()) {
	r.mu.Lock()
	r.impatient[v]++
	r.wake()
	r.mu.Unlock()
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.impatient[v]--; r.impatient[v] <= 0 {
			delete(r.impatient, v)
		}
	})
}

// Connected says whether a volume has a connection that goes all the way.
func (r *Relay) Connected(v events.VolumeID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if c.volume == v && c.through {
			return true
		}
	}
	return false
}

// Cut ends the connections of a volume; the initiator comes again unless it
// has let go.
func (r *Relay) Cut(v events.VolumeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if c.volume == v {
			c.cut()
		}
	}
}

// Problems are what keeps connections waiting, for operators.
func (r *Relay) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for v, why := range r.refused {
		out = append(out, fmt.Sprintf("volume %s: %s", v, why))
	}
	slices.Sort(out)
	return out
}

// next is a connection number: the time, so that it rises over restarts, and
// always above the last one and what a storage node has seen.
func (r *Relay) next(seen uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number = max(r.number+1, seen+1, uint64(max(time.Now().UnixNano(), 0)))
	return r.number
}

// Run serves connections until ctx ends.
func (r *Relay) Run(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer func() {
		r.mu.Lock()
		for c := range r.conns {
			c.cut()
		}
		r.mu.Unlock()
		r.work.Wait()
	}()
	for {
		near, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ECONNABORTED) {
				select {
				case <-ctx.Done():
				case <-time.After(again):
				}
				continue
			}
			return fmt.Errorf("blockrelay: %w", err)
		}
		cctx, cancel := context.WithCancel(ctx)
		c := &conn{r: r, near: near, cancel: cancel}
		r.mu.Lock()
		if len(r.conns) >= maxConns {
			r.mu.Unlock()
			c.cut()
			continue
		}
		r.conns[c] = true
		r.mu.Unlock()
		r.work.Go(func() {
			c.serve(cctx)
			r.mu.Lock()
			c.cut()
			delete(r.conns, c)
			r.mu.Unlock()
		})
	}
}

// conn is one initiator's connection.
type conn struct {
	r      *Relay
	near   net.Conn
	cancel context.CancelFunc

	// Of the relay's mu.
	far     net.Conn
	key     string
	path    string // what it depends on
	volume  events.VolumeID
	through bool
}

// cut ends both ends; mu is held, or nobody else knows the connection.
func (c *conn) cut() {
	c.cancel()
	c.near.Close()
	if c.far != nil {
		c.far.Close()
	}
}

func (c *conn) serve(ctx context.Context) {
	tune(c.near, 30*time.Second)
	c.near.SetDeadline(time.Now().Add(helloFor))
	hello, initiator, target, err := readLogin(c.near)
	if err != nil {
		c.r.log.Debug("blockrelay: login", "err", err)
		return
	}
	c.near.SetDeadline(time.Time{})
	gone := c.watch(ctx) // while it is held, the initiator may lose its patience
	far, err := c.connect(ctx, key(initiator, target))
	if err != nil {
		c.r.log.Info("blockrelay: no way", "initiator", initiator, "target", target, "err", err)
		return
	}
	early, err := gone()
	if err != nil {
		return
	}
	if _, err := far.Write(append(hello, early...)); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	pipe := func(to, from net.Conn) {
		io.Copy(to, from)
		done <- struct{}{}
	}
	go pipe(far, c.near)
	go pipe(c.near, far)
	deaf := listen(far, silence)
	<-done
	c.near.Close()
	far.Close()
	<-done
	deaf()
}

// listen closes a connection whose other end has not acknowledged for so long
// what it was sent. The kernel's own limit does not count while it cannot send
// at all, as when the carrier is lost. The returned function ends the listening.
func listen(c net.Conn, limit time.Duration) (end func()) {
	tc, ok := c.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return func() {}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(limit / 4)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			var info *unix.TCPInfo
			var err error
			if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
				return
			}
			waiting := info.Unacked > 0 || info.Notsent_bytes > 0
			quiet := time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
			if waiting && quiet > limit && time.Duration(info.Last_data_sent)*time.Millisecond > limit/2 {
				c.Close()
				return
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
	}
}

// watch reads from the initiator while it is held, to learn that it is gone.
// The returned function stops that and gives what it has said meanwhile.
func (c *conn) watch(ctx context.Context) func() ([]byte, error) {
	type said struct {
		b   []byte
		err error
	}
	ch := make(chan said, 1)
	go func() {
		b := make([]byte, maxLogin)
		n, err := c.near.Read(b)
		var ne net.Error
		if err != nil && !(errors.As(err, &ne) && ne.Timeout()) {
			c.cancel() // it is gone
		} else {
			err = nil
		}
		ch <- said{b[:n], err}
	}()
	return func() ([]byte, error) {
		c.near.SetReadDeadline(time.Now())
		s := <-ch
		c.near.SetReadDeadline(time.Time{})
		return s.b, errors.Join(s.err, ctx.Err())
	}
}

var (
	errHeld    = errors.New("blockrelay: it cannot go on, and must not be held")
	errRefused = errors.New("blockrelay: refused by the storage node")
)

// connect finds the disk and a way to its storage node, and waits for both.
func (c *conn) connect(ctx context.Context, k string) (net.Conn, error) {
	r := c.r
	for {
		r.mu.Lock()
		d, ok := r.disks[k]
		changed := r.changed
		c.key = k
		if ok {
			c.volume = d.Volume
			c.path = path(d)
		}
		hasty := r.impatient[d.Volume] > 0
		r.mu.Unlock()
		var why error
		if ok {
			far, err := r.dial(ctx, d)
			if err == nil {
				r.mu.Lock()
				if now, still := r.disks[k]; !still || path(now) != path(d) || ctx.Err() != nil {
					r.mu.Unlock()
					far.Close()
					if ctx.Err() != nil {
						return nil, ctx.Err()
					}
					continue
				}
				c.far, c.through = far, true
				delete(r.refused, d.Volume)
				r.mu.Unlock()
				return far, nil
			}
			why = err
			r.mu.Lock()
			r.refused[d.Volume] = err.Error()
			r.mu.Unlock()
		} else {
			why = errors.New("blockrelay: no such disk")
		}
		if hasty {
			return nil, fmt.Errorf("%w: %w", errHeld, why)
		}
		var pause <-chan time.Time
		if ok {
			pause = time.After(again)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-pause:
		}
	}
}

// dial connects to the disk's storage node up to its answer to the preamble.
func (r *Relay) dial(ctx context.Context, d events.DiskSpec) (net.Conn, error) {
	if !d.Portal.IsValid() {
		return nil, errors.New("blockrelay: the volume has no portal")
	}
	seen := uint64(0)
	for try := 0; ; try++ {
		far, answer, err := r.hello(ctx, d, r.next(seen))
		if err != nil {
			return nil, err
		}
		if answer.Status == preamble.OK {
			return far, nil
		}
		far.Close()
		if answer.Status == preamble.StaleNumber && try == 0 {
			seen = answer.Number // our clock went back
			continue
		}
		return nil, fmt.Errorf("%w: %v", errRefused, answer.Status)
	}
}

func (r *Relay) hello(ctx context.Context, d events.DiskSpec, number uint64) (net.Conn, preamble.Answer, error) {
	hello, err := preamble.Seal(preamble.Preamble{Attachment: d.Attachment, Epoch: d.Epoch, Number: number}, d.Secret)
	if err != nil {
		return nil, preamble.Answer{}, err
	}
	dialer := net.Dialer{Timeout: dialFor}
	far, err := dialer.DialContext(ctx, "tcp", d.Portal.String())
	if err != nil {
		return nil, preamble.Answer{}, fmt.Errorf("blockrelay: %w", err)
	}
	tune(far, silence)
	stop := context.AfterFunc(ctx, func() { far.Close() })
	defer stop()
	far.SetDeadline(time.Now().Add(answerFor))
	if _, err = far.Write(hello); err == nil {
		var a preamble.Answer
		if a, err = preamble.ReadAnswer(far); err == nil {
			far.SetDeadline(time.Time{})
			return far, a, nil
		}
	}
	far.Close()
	return nil, preamble.Answer{}, fmt.Errorf("blockrelay: %w", err)
}

// Probe logs in as the disk's initiator and out again, so that a hot attach
// finds a target that answers. It ends any session of the attachment: it is
// for disks that no guest has yet.
func (r *Relay) Probe(ctx context.Context, d events.DiskSpec) error {
	far, err := r.dial(ctx, d)
	if err != nil {
		return err
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { far.Close() })
	defer stop()
	far.SetDeadline(time.Now().Add(answerFor))
	text := []byte("InitiatorName=" + d.Initiator + "\x00TargetName=" + d.Target + "\x00SessionType=Normal\x00")
	var h [bhs]byte
	h[0], h[1], h[8] = 0x43, 0x87, 0x80 // login, immediate: from operational to full feature
	if _, err := far.Write(pdu(h, text)); err != nil {
		return fmt.Errorf("blockrelay: probe: %w", err)
	}
	answer, _, err := readPDU(far)
	if err != nil {
		return fmt.Errorf("blockrelay: probe: %w", err)
	}
	if status := binary.BigEndian.Uint16(answer[36:]); answer[0]&0x3f != 0x23 || status != 0 || answer[1]&0x83 != 0x83 {
		return fmt.Errorf("blockrelay: probe: the login was answered with %#x", status)
	}
	var bye [bhs]byte
	bye[0], bye[1] = 0x46, 0x80 // logout, immediate: close the session
	binary.BigEndian.PutUint32(bye[16:], 1)
	copy(bye[24:28], answer[28:32])
	if _, err := far.Write(pdu(bye, nil)); err != nil {
		return fmt.Errorf("blockrelay: probe: %w", err)
	}
	if answer, _, err = readPDU(far); err != nil || answer[0]&0x3f != 0x26 {
		return fmt.Errorf("blockrelay: probe: logout: operation %#x, %w", answer[0], err)
	}
	return nil
}

// bhs is the length of a PDU's header (RFC 7143, 11.2.1).
const bhs = 48

func pdu(h [bhs]byte, data []byte) []byte {
	n := len(data)
	h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n)
	return append(append(h[:], data...), make([]byte, -n&3)...)
}

func readPDU(r io.Reader) (h [bhs]byte, data []byte, err error) {
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return h, nil, err
	}
	n := int(h[5])<<16 | int(h[6])<<8 | int(h[7])
	if n > maxLogin || h[4] != 0 {
		return h, nil, fmt.Errorf("a PDU of %d bytes and %d words of headers", n, h[4])
	}
	data = make([]byte, (n+3)&^3)
	if _, err = io.ReadFull(r, data); err != nil {
		return h, nil, err
	}
	return h, data[:n], nil
}

// readLogin takes the first PDU from an initiator and the names in it.
func readLogin(r io.Reader) (raw []byte, initiator, target string, err error) {
	h, data, err := readPDU(r)
	if err != nil {
		return nil, "", "", err
	}
	if h[0]&0x3f != 0x03 {
		return nil, "", "", fmt.Errorf("operation %#x where a login is due", h[0]&0x3f)
	}
	for pair := range bytes.SplitSeq(data, []byte{0}) {
		if k, v, ok := bytes.Cut(pair, []byte{'='}); ok {
			switch string(k) {
			case "InitiatorName":
				initiator = string(v)
			case "TargetName":
				target = string(v)
			}
		}
	}
	if initiator == "" || target == "" {
		return nil, "", "", errors.New("a login without names")
	}
	return pdu(h, data), initiator, target, nil
}

// tune makes a connection one that sends at once, and fails when the other end
// is silent for so long.
func tune(c net.Conn, limit time.Duration) {
	tc, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	tc.SetNoDelay(true)
	tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: max(limit/2, time.Second), Interval: max(limit/4, time.Second), Count: 2})
	if raw, err := tc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
		})
	}
}
