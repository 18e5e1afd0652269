package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/gostor/gotgt/pkg/api"
	gotgt "github.com/gostor/gotgt/pkg/scsi"

	"skerry/storage-node/volume"
)

var be = binary.BigEndian

// Service actions and operation codes that gotgt does not name.
const (
	opReadCapacity16  = 0x10
	opGetLBAStatus    = 0x12
	opReportOpcodes   = 0x0c
	opCompareAndWrite = 0x89
)

// known are the commands that a unit takes, as REPORT SUPPORTED OPERATION CODES
// tells them. What is not here is refused, whatever gotgt has in its table: its
// reservations and FORMAT UNIT do not do what they say.
var known []knownCommand

type knownCommand struct {
	op     byte
	action int // service action, -1: none
	size   int // of the CDB
	run    func(*Unit, *Command) error
}

func init() { // maintenanceIn reads the list that it is in
	known = []knownCommand{
		{0x00, -1, 6, nil}, // TEST UNIT READY: gotgt's
		{0x03, -1, 6, requestSense},
		{0x08, -1, 6, read},
		{0x0a, -1, 6, write},
		{0x12, -1, 6, inquiry},
		{0x1a, -1, 6, modeSense},
		{0x1b, -1, 6, nothing}, // START STOP UNIT: not removable
		{0x1d, -1, 6, nil},     // SEND DIAGNOSTIC: gotgt's
		{0x1e, -1, 6, nothing}, // PREVENT ALLOW MEDIUM REMOVAL
		{0x25, -1, 10, readCapacity10},
		{0x28, -1, 10, read},
		{0x2a, -1, 10, write},
		{0x2e, -1, 10, write},
		{0x2f, -1, 10, verify},
		{0x34, -1, 10, prefetch},
		{0x35, -1, 10, syncCache},
		{0x41, -1, 10, writeSame},
		{0x42, -1, 10, unmap},
		{0x5a, -1, 10, modeSense},
		{0x88, -1, 16, read},
		{0x89, -1, 16, compareAndWrite},
		{0x8a, -1, 16, write},
		{0x8b, -1, 16, orWrite},
		{0x8e, -1, 16, write},
		{0x8f, -1, 16, verify},
		{0x90, -1, 16, prefetch},
		{0x91, -1, 16, syncCache},
		{0x93, -1, 16, writeSame},
		{0x9e, opReadCapacity16, 16, serviceActionIn},
		{0x9e, opGetLBAStatus, 16, serviceActionIn},
		{0xa0, -1, 12, reportLUNs},
		{0xa3, opReportOpcodes, 12, maintenanceIn},
		{0xa8, -1, 12, read},
		{0xaa, -1, 12, write},
		{0xae, -1, 12, write},
		{0xaf, -1, 12, verify},
	}
}

// replace makes a table one of known commands.
func replace(table []gotgt.SCSIDeviceOperation) {
	own := map[byte]gotgt.SCSIDeviceOperation{}
	for _, k := range known {
		if k.run == nil {
			own[k.op] = theirs(table[k.op].CommandPerformFunc)
		} else {
			own[k.op] = ours(k.run)
		}
	}
	refuse := ours(func(_ *Unit, c *Command) error { c.fail(invalidOpcode); return nil })
	for op := range table {
		if o, ok := own[byte(op)]; ok {
			table[op] = o
		} else {
			table[op] = refuse
		}
	}
}

func command(cmd *api.SCSICommand) *Command { return cmd.Target.SCSITargetDriver.(*Command) }

// ours is a command of this package in gotgt's table.
func ours(run func(*Unit, *Command) error) gotgt.SCSIDeviceOperation {
	return gotgt.NewSCSIDeviceOperation(func(_ int, cmd *api.SCSICommand) api.SAMStat {
		c := command(cmd)
		c.err = run(c.unit, c)
		return api.SAMStat{Stat: c.Status}
	}, nil, 0)
}

// theirs is a command of gotgt's that moves no data.
func theirs(f api.CommandFunc) gotgt.SCSIDeviceOperation {
	return gotgt.NewSCSIDeviceOperation(func(host int, cmd *api.SCSICommand) api.SAMStat {
		st := f(host, cmd)
		if st.Stat != Good {
			command(cmd).fail(invalidField)
		}
		return st
	}, nil, 0)
}

// produce runs one of gotgt's commands that answer with data, with room for all
// of it. Its length is in the answer.
func (u *Unit) produce(c *Command, cdb [16]byte, f api.CommandFunc) ([]byte, bool) {
	buf := make([]byte, 64<<10+64)
	in := api.SCSIDataBuffer{Buffer: buf, Length: uint32(len(buf))}
	cmd := api.SCSICommand{OpCode: cdb[0], SCB: cdb[:], SCBLength: len(cdb), Device: u.disk,
		Target: &api.SCSITarget{Name: u.opt.Target, Devices: u.devices, LUN0: u.none}, InSDBBuffer: &in,
		OutSDBBuffer: &api.SCSIDataBuffer{}, ITNexusLuInfo: &api.ITNexusLuInfo{}, Lun: [8]byte{diskLUN}}
	if st := f(0, &cmd); st.Stat != Good {
		c.fail(invalidField)
		return nil, false
	}
	return buf, true
}

func nothing(*Unit, *Command) error { return nil }

// stored turns what the engine says into what SCSI says.
func (c *Command) stored(err error, other fault) error {
	switch {
	case err == nil:
	case errors.Is(err, volume.ErrEpoch), errors.Is(err, volume.ErrClosed):
		return ErrGone
	case errors.Is(err, volume.ErrRange):
		c.fail(outOfRange)
	case errors.Is(err, volume.ErrFull):
		c.fail(noSpace)
	case errors.Is(err, volume.ErrDamaged):
		c.fail(readError)
	default:
		c.fail(other)
	}
	return nil
}

// span is where a command works: first sector and how many.
func (c *Command) span() (lba, count uint64) {
	b := c.CDB[:]
	switch b[0] >> 5 {
	case 0:
		if count = uint64(b[4]); count == 0 {
			count = 256
		}
		return uint64(b[1]&0x1f)<<16 | uint64(b[2])<<8 | uint64(b[3]), count
	case 1, 2:
		return uint64(be.Uint32(b[2:])), uint64(be.Uint16(b[7:]))
	case 5:
		return uint64(be.Uint32(b[2:])), uint64(be.Uint32(b[6:]))
	}
	if b[0] == opCompareAndWrite {
		return be.Uint64(b[2:]), uint64(b[13])
	}
	return be.Uint64(b[2:]), uint64(be.Uint32(b[10:]))
}

// within says whether a span is inside of the volume, and refuses it if not.
func (u *Unit) within(c *Command, lba, count uint64) bool {
	total := uint64(u.opt.Volume.Bytes()) / sector
	if lba >= total || count > total-lba {
		c.fail(outOfRange)
		return false
	}
	return true
}

// protected refuses protection information, which no volume has.
func (c *Command) protected() bool {
	if c.CDB[0]>>5 != 0 && c.CDB[1]&0xe0 != 0 {
		c.fail(invalidField)
		return true
	}
	return false
}

const pooled = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, pooled); return &b }}

func read(u *Unit, c *Command) error {
	if c.protected() {
		return nil
	}
	lba, count := c.span()
	if !u.within(c, lba, count) {
		return nil
	}
	if count > maxIO/sector {
		c.fail(invalidField)
		return nil
	}
	c.Wanted = int(count) * sector
	n := min(c.Wanted, (c.Expect+sector-1)/sector*sector)
	if n == 0 {
		return nil
	}
	var b []byte
	if n <= pooled {
		x := buffers.Get().(*[]byte)
		b, c.back = (*x)[:n], func() { buffers.Put(x) }
	} else {
		b = make([]byte, n)
	}
	if err := u.opt.Volume.Read(b, int64(lba)*sector); err != nil {
		c.Wanted = 0
		return c.stored(err, readError)
	}
	c.In = b[:min(n, c.Expect)]
	return nil
}

// data is what came with a command that asked for n bytes: whole sectors, no
// more than both sides meant.
func (c *Command) data(n int) []byte {
	c.Wanted = n
	return c.Out[:min(n, len(c.Out))/sector*sector]
}

// stable brings a write to stable storage if it, or the volume, asks for it.
func (u *Unit) stable(c *Command) error {
	if !u.opt.WriteThrough && (c.CDB[0]>>5 == 0 || c.CDB[1]&0x08 == 0) {
		return nil
	}
	return c.stored(u.opt.Volume.Flush(), internal)
}

func write(u *Unit, c *Command) error {
	if c.protected() {
		return nil
	}
	lba, count := c.span()
	if !u.within(c, lba, count) {
		return nil
	}
	if count > maxIO/sector {
		c.fail(invalidField)
		return nil
	}
	p := c.data(int(count) * sector)
	if err := c.stored(u.opt.Volume.Write(u.opt.Epoch, p, int64(lba)*sector), internal); err != nil || c.Status != Good {
		return err
	}
	verified := c.CDB[0] == byte(api.WRITE_VERIFY) || c.CDB[0] == byte(api.WRITE_VERIFY_12) || c.CDB[0] == byte(api.WRITE_VERIFY_16)
	if verified { // the engine checks what it reads
		b := make([]byte, len(p))
		if err := c.stored(u.opt.Volume.Read(b, int64(lba)*sector), readError); err != nil || c.Status != Good {
			return err
		}
		return c.stored(u.opt.Volume.Flush(), internal)
	}
	return u.stable(c)
}

func verify(u *Unit, c *Command) error {
	if c.protected() {
		return nil
	}
	lba, count := c.span()
	if !u.within(c, lba, count) {
		return nil
	}
	if count > maxIO/sector {
		c.fail(invalidField)
		return nil
	}
	var want []byte
	n := int(count) * sector
	switch c.CDB[1] >> 1 & 3 {
	case 0:
	case 1:
		want = c.data(n)
		n = len(want)
	case 3:
		one := c.data(sector)
		if len(one) == sector {
			want = bytes.Repeat(one, int(count))
		}
		c.Wanted = sector
	default:
		c.fail(invalidField)
		return nil
	}
	b := make([]byte, n)
	if err := u.opt.Volume.Read(b, int64(lba)*sector); err != nil {
		return c.stored(err, readError)
	}
	if want != nil && !bytes.Equal(b[:len(want)], want) {
		c.fail(miscompare)
	}
	return nil
}

func orWrite(u *Unit, c *Command) error {
	if c.protected() {
		return nil
	}
	lba, count := c.span()
	if !u.within(c, lba, count) {
		return nil
	}
	if count > maxIO/sector {
		c.fail(invalidField)
		return nil
	}
	p := c.data(int(count) * sector)
	err := u.opt.Volume.Update(u.opt.Epoch, len(p), int64(lba)*sector, func(old []byte) error {
		for i := range old {
			old[i] |= p[i]
		}
		return nil
	})
	if err := c.stored(err, internal); err != nil || c.Status != Good {
		return err
	}
	return u.stable(c)
}

func compareAndWrite(u *Unit, c *Command) error {
	if c.protected() {
		return nil
	}
	lba, count := c.span()
	n := int(count) * sector
	if len(c.Out) == 2*n {
		c.Wanted = 2 * n
	} else {
		c.fail(invalidField)
		return nil
	}
	if count == 0 || !u.within(c, lba, count) {
		return nil
	}
	differs := 0
	err := u.opt.Volume.Update(u.opt.Epoch, n, int64(lba)*sector, func(old []byte) error {
		for i := range old {
			if old[i] != c.Out[i] {
				differs = i
				return volume.ErrDiffers
			}
		}
		copy(old, c.Out[n:])
		return nil
	})
	if errors.Is(err, volume.ErrDiffers) {
		c.fail(miscompare)
		c.Sense[0] |= 0x80 // the information field is valid: the first byte that differs
		be.PutUint32(c.Sense[3:], uint32(differs))
		return nil
	}
	if err := c.stored(err, internal); err != nil || c.Status != Good {
		return err
	}
	return u.stable(c)
}

func writeSame(u *Unit, c *Command) error {
	lba, count := c.span()
	f := c.CDB[1]
	wide := c.CDB[0] == byte(api.WRITE_SAME_16)
	noData := wide && f&0x01 != 0
	// No protection information, no anchors, no LBDATA or PBDATA.
	if f&0xe0 != 0 || f&0x10 != 0 || f&0x06 != 0 || count == 0 || count > maxSame {
		c.fail(invalidField)
		return nil
	}
	if !u.within(c, lba, count) {
		return nil
	}
	var one []byte
	if !noData {
		if one = c.data(sector); len(c.Out) != sector {
			c.fail(invalidField)
			return nil
		}
	}
	off, n := int64(lba)*sector, int64(count)*sector
	var err error
	if noData || allZero(one) {
		err = u.opt.Volume.Zero(u.opt.Epoch, off, n)
	} else {
		p := bytes.Repeat(one, int(min(n, maxTransfer))/sector)
		for n > 0 && err == nil {
			m := min(n, int64(len(p)))
			err = u.opt.Volume.Write(u.opt.Epoch, p[:m], off)
			off, n = off+m, n-m
		}
	}
	if err := c.stored(err, internal); err != nil || c.Status != Good {
		return err
	}
	if u.opt.WriteThrough {
		return c.stored(u.opt.Volume.Flush(), internal)
	}
	return nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func unmap(u *Unit, c *Command) error {
	if c.CDB[1]&1 != 0 { // ANCHOR
		c.fail(invalidField)
		return nil
	}
	n := int(be.Uint16(c.CDB[7:]))
	c.Wanted = n
	if n == 0 {
		return nil
	}
	p := c.Out[:min(n, len(c.Out))]
	if n < 8 || len(p) < 8 {
		c.fail(paramLength)
		return nil
	}
	all := int(be.Uint16(p[2:])) / 16
	ranges := p[8:]
	if all*16 < len(ranges) {
		ranges = ranges[:all*16]
	}
	ranges = ranges[:len(ranges)/16*16] // a range that was cut off is not one
	if len(ranges)/16 > maxUnmapRanges {
		c.fail(invalidParam)
		return nil
	}
	sum := uint64(0)
	for r := ranges; len(r) > 0; r = r[16:] {
		lba, count := be.Uint64(r), uint64(be.Uint32(r[8:]))
		if sum += count; sum > maxUnmap {
			c.fail(invalidParam)
			return nil
		}
		total := uint64(u.opt.Volume.Bytes()) / sector
		if lba > total || count > total-lba {
			c.fail(outOfRange)
			return nil
		}
	}
	for r := ranges; len(r) > 0; r = r[16:] {
		err := u.opt.Volume.Zero(u.opt.Epoch, int64(be.Uint64(r))*sector, int64(be.Uint32(r[8:]))*sector)
		if err := c.stored(err, internal); err != nil || c.Status != Good {
			return err
		}
	}
	if u.opt.WriteThrough {
		return c.stored(u.opt.Volume.Flush(), internal)
	}
	return nil
}

func syncCache(u *Unit, c *Command) error {
	lba, count := c.span()
	if !u.within(c, lba, count) {
		return nil
	}
	return c.stored(u.opt.Volume.Flush(), internal)
}

func prefetch(u *Unit, c *Command) error {
	lba, count := c.span()
	u.within(c, lba, count)
	return nil
}
