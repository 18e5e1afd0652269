package scsi

import (
	"github.com/gostor/gotgt/pkg/api"
	gotgt "github.com/gostor/gotgt/pkg/scsi"
)

func requestSense(_ *Unit, c *Command) error {
	c.deliver(fault{}.sense(), int(c.CDB[4]))
	return nil
}

func modeSense(u *Unit, c *Command) error {
	cdb := c.CDB
	var allocation int
	if cdb[0] == byte(api.MODE_SENSE) {
		allocation, cdb[4] = int(cdb[4]), 0xff
	} else {
		allocation = int(be.Uint16(cdb[7:]))
		be.PutUint16(cdb[7:], 0xffff)
	}
	b, ok := u.produce(c, cdb, gotgt.SBCModeSense)
	if !ok {
		return nil
	}
	if cdb[0] == byte(api.MODE_SENSE) {
		b = b[:1+int(b[0])]
	} else {
		b = b[:2+int(be.Uint16(b))]
	}
	c.deliver(b, allocation)
	return nil
}

func reportLUNs(_ *Unit, c *Command) error {
	allocation := int(be.Uint32(c.CDB[6:]))
	if allocation < 16 || c.CDB[2] > 2 {
		c.fail(invalidField)
		return nil
	}
	b := make([]byte, 8+2*8)
	if c.CDB[2] == 1 { // well known units only: none
		b = b[:8]
	}
	be.PutUint32(b, uint32(len(b)-8))
	if len(b) > 8 {
		b[8+8+1] = diskLUN
	}
	c.deliver(b, allocation)
	return nil
}

// Vital product data pages (SPC-4, 7.8; SBC-3, 6.5).
const (
	pageSupported = 0x00
	pageSerial    = 0x80
	pageIdentify  = 0x83
	pageLimits    = 0xb0
	pageDevice    = 0xb1
	pageThin      = 0xb2
)

func inquiry(u *Unit, c *Command) error {
	allocation := int(be.Uint16(c.CDB[3:]))
	page := c.CDB[2]
	if c.CDB[1]&2 != 0 || c.CDB[1]&1 == 0 && page != 0 {
		c.fail(invalidField)
		return nil
	}
	kind := byte(0) // a disk, and it is there
	if lun := number(c.LUN); lun == 0 {
		kind = 0x3f // none, but there could be one
	} else if lun != diskLUN {
		kind = 0x7f // there cannot be one
	}
	if c.CDB[1]&1 == 0 {
		cdb := c.CDB
		be.PutUint16(cdb[3:], 0xffff)
		b, ok := u.produce(c, cdb, gotgt.SPCInquiry)
		if !ok {
			return nil
		}
		b = b[:5+int(b[4])]
		b[0] = kind
		b[2] = 0x06 // SPC-4
		c.deliver(b, allocation)
		return nil
	}
	b, ok := u.vital(page)
	if !ok || kind != 0 && page != pageSupported {
		c.fail(invalidField)
		return nil
	}
	if kind != 0 {
		b = []byte{0, 0, 0, 1, 0}
	}
	b[0] = kind
	c.deliver(b, allocation)
	return nil
}

func (u *Unit) vital(page byte) ([]byte, bool) {
	id := []byte(u.opt.Volume.ID())
	b := []byte{0, page, 0, 0}
	switch page {
	case pageSupported:
		b = append(b, pageSupported, pageSerial, pageIdentify, pageLimits, pageDevice, pageThin)
	case pageSerial:
		b = append(b, id...)
	case pageIdentify:
		// Of the unit: T10 vendor id and serial; a locally assigned NAA made of
		// the volume's id. Of the port: the relative identifier and the name.
		t10 := append([]byte("SKERRY  "), id...)
		b = append(append(b, 0x02, 0x01, 0, byte(len(t10))), t10...)
		naa := be.AppendUint64(nil, 3<<60|fold(id))
		b = append(append(b, 0x01, 0x03, 0, 8), naa...)
		b = append(b, 0x51, 0x94, 0, 4, 0, 0, 0, 1)
		name := append([]byte(u.opt.Target+",t,0x0001"), 0)
		for len(name)%4 != 0 {
			name = append(name, 0)
		}
		b = append(append(b, 0x53, 0x98, 0, byte(len(name))), name...)
	case pageLimits:
		b = append(b, make([]byte, 0x3c)...)
		b[4] = 1 // WSNZ: a WRITE SAME of zero blocks is refused
		b[5] = maxCompare
		be.PutUint16(b[6:], volumeBlock)
		be.PutUint32(b[8:], maxTransfer/sector)
		be.PutUint32(b[12:], optimalTransfer/sector)
		be.PutUint32(b[20:], maxUnmap)
		be.PutUint32(b[24:], maxUnmapRanges)
		be.PutUint32(b[28:], volumeBlock)
		be.PutUint32(b[32:], 1<<31) // the alignment, 0, is valid
		be.PutUint64(b[36:], maxSame)
	case pageDevice:
		b = append(b, make([]byte, 0x3c)...)
		be.PutUint16(b[4:], 1) // does not turn
	case pageThin:
		b = append(b, 0, 0xe4, 0x02, 0) // UNMAP, WRITE SAME 16 and 10; what is unmapped reads as zeros; thin
	default:
		return nil, false
	}
	be.PutUint16(b[2:], uint16(len(b)-4))
	return b, true
}

// volumeBlock is the engine's block in sectors.
const volumeBlock = 8

// fold makes 60 bits of a volume's id: its last 15 hex digits. The serial has
// all of it.
func fold(id []byte) uint64 {
	var n uint64
	for _, c := range id[max(0, len(id)-15):] {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			n = n<<4 | uint64(c&0xf)
		}
	}
	return n & (1<<60 - 1)
}

func readCapacity10(u *Unit, c *Command) error {
	if c.CDB[8]&1 == 0 && be.Uint32(c.CDB[2:]) != 0 {
		c.fail(invalidField)
		return nil
	}
	last := uint64(u.opt.Volume.Bytes())/sector - 1
	b := be.AppendUint32(nil, uint32(min(last, 0xffffffff)))
	c.deliver(be.AppendUint32(b, sector), 8)
	return nil
}

func serviceActionIn(u *Unit, c *Command) error {
	allocation := int(be.Uint32(c.CDB[10:]))
	switch c.CDB[1] & 0x1f {
	case opReadCapacity16:
		if c.CDB[14]&1 == 0 && be.Uint64(c.CDB[2:]) != 0 {
			c.fail(invalidField)
			return nil
		}
		b := be.AppendUint64(nil, uint64(u.opt.Volume.Bytes())/sector-1)
		b = be.AppendUint32(b, sector)
		b = append(b, 0, 3, 0xc0, 0) // 8 sectors to a physical block; thin, and unmapped reads as zeros
		c.deliver(append(b, make([]byte, 16)...), allocation)
	case opGetLBAStatus:
		return u.lbaStatus(c, allocation)
	default:
		c.fail(invalidField)
	}
	return nil
}

// lbaStatus tells of one run of blocks, with or without data.
func (u *Unit) lbaStatus(c *Command, allocation int) error {
	lba := be.Uint64(c.CDB[2:])
	if !u.within(c, lba, 1) {
		return nil
	}
	if allocation < 24 {
		c.fail(invalidField)
		return nil
	}
	hole, n, err := u.opt.Volume.Hole(int64(lba) * sector)
	if err != nil {
		return c.stored(err, readError)
	}
	b := make([]byte, 24)
	be.PutUint32(b, uint32(len(b)-4))
	be.PutUint64(b[8:], lba)
	be.PutUint32(b[16:], uint32(n/sector))
	if hole {
		b[20] = 1 // deallocated
	}
	c.deliver(b, allocation)
	return nil
}

// maintenanceIn reports the commands that are known.
func maintenanceIn(_ *Unit, c *Command) error {
	if c.CDB[1]&0x1f != opReportOpcodes {
		c.fail(invalidField)
		return nil
	}
	timeouts := c.CDB[2]&0x80 != 0
	allocation := int(be.Uint32(c.CDB[6:]))
	option, op, action := c.CDB[2]&7, c.CDB[3], int(be.Uint16(c.CDB[4:]))
	timeout := append([]byte{0, 0x0a}, make([]byte, 10)...)
	if option == 0 {
		b := make([]byte, 4)
		for _, k := range known {
			d := []byte{k.op, 0, 0, 0, 0, 0, 0, byte(k.size)}
			if k.action >= 0 {
				be.PutUint16(d[2:], uint16(k.action))
				d[5] |= 1
			}
			if timeouts {
				d[5] |= 2
				d = append(d, timeout...)
			}
			b = append(b, d...)
		}
		be.PutUint32(b, uint32(len(b)-4))
		c.deliver(b, allocation)
		return nil
	}
	if option > 3 {
		c.fail(invalidField)
		return nil
	}
	size, actions := 0, false
	for _, k := range known {
		if k.op == op {
			actions = k.action >= 0
			if !actions && (option != 3 || action == 0) || k.action == action {
				size = k.size
			}
		}
	}
	if option == 1 && actions || option == 2 && size > 0 && !actions {
		c.fail(invalidField)
		return nil
	}
	b := []byte{0, 1, 0, 0} // not supported
	if size > 0 {
		b[1] = 3
		b[3] = byte(size)
		b = append(b, op)
		for range size - 1 {
			b = append(b, 0xff)
		}
		if actions {
			b[5] = byte(action)
		}
	}
	if timeouts && size > 0 {
		b[1] |= 0x80
		b = append(b, timeout...)
	}
	c.deliver(b, allocation)
	return nil
}
