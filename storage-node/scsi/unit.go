// Package scsi is a volume as a SCSI disk (SPC-4, SBC-3). It stands on gotgt's
// SCSI layer: its logical unit, its table of commands, its inquiry and mode
// pages. Commands that gotgt lacks or gets wrong are replaced in the unit's own
// table; gotgt's process-wide maps are never touched.
//
//	LUN 0   nothing, so that scanners find a target
//	LUN 1   the volume, at one epoch
//
//	Command ─▶ Unit.Do ─▶ gotgt's table ─┬─▶ gotgt (INQUIRY, MODE SENSE, …)
//	                                     └─▶ ours  ─▶ volume engine
//
// A Unit belongs to one session and writes at that session's epoch. Do may be
// called for several commands at once. A panic in gotgt becomes an internal
// failure of that command. What gotgt produces is cut to the allocation length
// here: its own arithmetic with short lengths panics.
package scsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gostor/gotgt/pkg/api"
	"github.com/gostor/gotgt/pkg/config"
	gotgt "github.com/gostor/gotgt/pkg/scsi"
	"github.com/sirupsen/logrus"

	"skerry/storage-node/volume"
)

// Name is what the backing store is called in gotgt.
const Name = "skerry"

func init() {
	gotgt.RegisterBackingStore(Name, func() (api.BackingStore, error) { return &store{}, nil })
	gotgt.RegisterBackingStore("null", func() (api.BackingStore, error) { return &store{}, nil }) // gotgt's LUN 0 asks for it
	gotgt.EnableMultipath = false                                                                 // one path to a volume
	logrus.SetLevel(logrus.FatalLevel)                                                            // gotgt logs each refused command
	logrus.SetOutput(io.Discard)
}

const (
	sector  = volume.Sector
	shift   = 9 // of a sector
	maxIO   = volume.MaxIO
	diskLUN = 1

	// What VPD page B0 says. More is accepted: initiators have been seen to
	// send 32 MiB where nothing was said.
	maxTransfer     = 1 << 20
	optimalTransfer = 512 << 10
	maxUnmap        = 1 << 20 // blocks of one UNMAP
	maxUnmapRanges  = 256
	maxCompare      = 255
	maxSame         = maxIO / sector // blocks of one WRITE SAME
)

// Options of a unit.
type Options struct {
	Volume       *volume.Volume
	Epoch        uint64
	Target       string // its iSCSI name
	WriteThrough bool   // every write is on stable storage before it is answered
}

// Command is one SCSI command and what became of it.
type Command struct {
	CDB    [16]byte
	LUN    [8]byte
	Out    []byte // data that came with it
	Expect int    // bytes that the initiator expects in or out

	Status byte
	Sense  []byte // with a status of check condition
	In     []byte // data to send; no longer than Expect
	Wanted int    // bytes that the command itself asked to move

	back func()
	unit *Unit
	err  error
}

// Free gives the command's buffers back; In is not valid any more.
func (c *Command) Free() {
	if c.back != nil {
		c.back()
		c.back = nil
	}
	c.In = nil
}

// SAM statuses.
const (
	Good           = 0x00
	CheckCondition = 0x02
)

// ErrGone says that the session must end without an answer: a higher epoch has
// begun, or the volume is no longer held.
var ErrGone = errors.New("scsi: the session's epoch is over")

// Unit is a session's logical units.
type Unit struct {
	opt     Options
	disk    *api.SCSILu
	none    *api.SCSILu
	devices api.LUNMap
}

// NewUnit builds the logical units of one session.
func NewUnit(o Options) (*Unit, error) {
	lu, err := gotgt.NewSCSILu(&config.BackendStorage{Path: Name + ":" + string(o.Volume.ID()), Online: true, ThinProvisioning: true, BlockShift: shift})
	if err != nil {
		return nil, fmt.Errorf("scsi: %w", err)
	}
	lu.Storage = &store{v: o.Volume, epoch: o.Epoch}
	lu.Size = uint64(o.Volume.Bytes())
	if err := lu.DeviceProtocol.InitLu(lu); err != nil { // again: it notes the size
		return nil, fmt.Errorf("scsi: %w", err)
	}
	lu.Attrs.ThinProvisioning, lu.Attrs.Online, lu.Attrs.Lbppbe = true, true, 3
	lu.Attrs.VendorID, lu.Attrs.ProductID, lu.Attrs.ProductRev = "SKERRY", "Volume", "0001"
	lu.Attrs.VersionDesction = [8]uint16{0x00a0, 0x0960, 0x0460, 0x04c0} // SAM-5, iSCSI, SPC-4, SBC-3
	lu.ModePages = modePages(!o.WriteThrough)
	u := &Unit{opt: o, disk: lu, none: gotgt.NewLUN0()}
	u.devices = api.LUNMap{0: u.none, diskLUN: lu}
	for _, x := range []*api.SCSILu{u.disk, u.none} {
		ops, ok := x.DeviceProtocol.(gotgt.SBCSCSIDeviceProtocol)
		if !ok {
			return nil, fmt.Errorf("scsi: gotgt's disk is a %T", x.DeviceProtocol)
		}
		replace(ops.SCSIDeviceOps)
	}
	return u, nil
}

// modePages are the current values followed by the changeable ones: none.
func modePages(cache bool) []api.ModePage {
	page := func(code, sub uint8, values ...byte) api.ModePage {
		return api.ModePage{PageCode: code, SubPageCode: sub, Size: uint8(len(values)), Data: append(values, make([]byte, len(values))...)}
	}
	wce := byte(0x10)
	if cache {
		wce |= 0x04
	}
	return []api.ModePage{
		page(0x02, 0, 0x80, 0x80, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),                             // disconnect-reconnect
		page(0x08, 0, wce, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 20, 0, 0, 0, 0, 0, 0), // caching
		page(0x0a, 0, 0x02, 0x10, 0, 0, 0, 0, 0, 0, 0x02, 0),                                        // control
		page(0x1c, 0, 0x08, 0, 0, 0, 0, 0, 0, 0),                                                    // informational exceptions
	}
}

// sense keys and additional codes (SPC-4, 4.5).
type fault struct {
	key  byte
	code uint16
}

var (
	invalidOpcode  = fault{0x5, 0x2000}
	outOfRange     = fault{0x5, 0x2100}
	invalidField   = fault{0x5, 0x2400}
	noUnit         = fault{0x5, 0x2500}
	invalidParam   = fault{0x5, 0x2600}
	paramLength    = fault{0x5, 0x1a00}
	miscompare     = fault{0xe, 0x1d00}
	readError      = fault{0x3, 0x1100}
	internal       = fault{0x4, 0x4400}
	noSpace        = fault{0x7, 0x2707} // space allocation failed write protect
	dataPhaseError = fault{0xb, 0x4b00}
)

func (f fault) sense() []byte {
	b := make([]byte, 18)
	b[0], b[2], b[7] = 0x70, f.key, 10
	binary.BigEndian.PutUint16(b[12:], f.code)
	return b
}

// Refuse makes a command one that failed in transport: its data did not come as
// they should.
func (c *Command) Refuse() { c.fail(dataPhaseError) }

func (c *Command) fail(f fault) { c.Status, c.Sense = CheckCondition, f.sense() }

// state is a command under way as gotgt sees it.
type state struct {
	cmd    api.SCSICommand
	target api.SCSITarget
	in     api.SCSIDataBuffer
	out    api.SCSIDataBuffer
	nexus  api.ITNexusLuInfo
}

var states = sync.Pool{New: func() any { return new(state) }}

// Do runs a command. An error means that the session must end unanswered.
func (u *Unit) Do(c *Command) (err error) {
	lu := u.disk
	switch lun := number(c.LUN); {
	case lun == diskLUN:
	case c.CDB[0] == byte(api.INQUIRY) || c.CDB[0] == byte(api.REPORT_LUNS):
		lu = u.none
	case c.CDB[0] == byte(api.REQUEST_SENSE):
		c.deliver(noUnit.sense(), int(c.CDB[4]))
		return nil
	default:
		c.fail(noUnit)
		return nil
	}
	c.unit = u
	s := states.Get().(*state)
	defer states.Put(s)
	s.out = api.SCSIDataBuffer{Buffer: c.Out, Length: uint32(len(c.Out))}
	s.in, s.nexus = api.SCSIDataBuffer{}, api.ITNexusLuInfo{}
	s.target.Name, s.target.Devices, s.target.LUN0 = u.opt.Target, u.devices, u.none
	s.target.SCSITargetDriver = c // ours finds its command here
	s.cmd = api.SCSICommand{OpCode: c.CDB[0], SCB: c.CDB[:], SCBLength: len(c.CDB), Device: lu, Target: &s.target,
		InSDBBuffer: &s.in, OutSDBBuffer: &s.out, ITNexusLuInfo: &s.nexus, Lun: [8]byte{diskLUN}}
	defer func() {
		if r := recover(); r != nil { // gotgt, or a fault of ours that must not take other volumes with it
			c.fail(internal)
			err = nil
		}
		s.target.SCSITargetDriver = nil
	}()
	lu.PerformCommand(0, &s.cmd)
	return c.err
}

// deliver makes data the answer, cut to the allocation length.
func (c *Command) deliver(b []byte, allocation int) {
	b = b[:min(len(b), allocation)]
	c.Wanted = len(b)
	c.In = b[:min(len(b), c.Expect)]
}

func number(lun [8]byte) uint64 {
	if lun[0]&0xc0 == 0 || lun[0]&0xc0 == 0x40 { // peripheral or flat addressing
		if binary.BigEndian.Uint32(lun[2:])|uint32(lun[6])|uint32(lun[7]) == 0 {
			return uint64(lun[0]&0x3f)<<8 | uint64(lun[1])
		}
	}
	return ^uint64(0)
}
