package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record's header is one block:
//
//	 0       4       8        16      24     32     40      44      48        56     60     64
//	┌───────┬───────┬────────┬───────┬──────┬──────┬───────┬───────┬─────────┬──────┬──────┬───────────┐
//	│ magic │ flags │ nonce  │ epoch │ seq  │ lba  │ count │ zero  │ durable │ zero │ crc  │ sums …    │
//	└───────┴───────┴────────┴───────┴──────┴──────┴───────┴───────┴─────────┴──────┴──────┴───────────┘
//
// lba and count are in blocks. The nonce is the segment's: a guest cannot write
// data that passes for a record. durable is the highest seq that was on stable
// storage when the record was made. crc covers the header without itself; sums
// are the checksums of the count blocks that follow, none for a zeroing record.
const (
	magicOffset   = 0
	flagsOffset   = 4
	nonceOffset   = 8
	epochOffset   = 16
	seqOffset     = 24
	lbaOffset     = 32
	countOffset   = 40
	durableOffset = 48
	crcOffset     = 60
	sumsOffset    = 64

	recordMagic = 0x534b5652 // SKVR

	// maxCount is how many blocks one record can have with data.
	maxCount = (Block - sumsOffset) / 4
)

// Flags of a record.
const (
	flagZero = 1 << iota // the blocks read as zeros; no data follows
	flagMore             // the write goes on in the next record, and counts only with it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// header is a view of a record's first block.
type header []byte

func (h header) magic() uint32   { return binary.BigEndian.Uint32(h[magicOffset:]) }
func (h header) flags() uint32   { return binary.BigEndian.Uint32(h[flagsOffset:]) }
func (h header) nonce() uint64   { return binary.BigEndian.Uint64(h[nonceOffset:]) }
func (h header) epoch() uint64   { return binary.BigEndian.Uint64(h[epochOffset:]) }
func (h header) seq() uint64     { return binary.BigEndian.Uint64(h[seqOffset:]) }
func (h header) lba() uint64     { return binary.BigEndian.Uint64(h[lbaOffset:]) }
func (h header) count() uint32   { return binary.BigEndian.Uint32(h[countOffset:]) }
func (h header) durable() uint64 { return binary.BigEndian.Uint64(h[durableOffset:]) }
func (h header) crc() uint32     { return binary.BigEndian.Uint32(h[crcOffset:]) }
func (h header) sum(i int) uint32 {
	return binary.BigEndian.Uint32(h[sumsOffset+4*i:])
}

// dataBlocks is how many blocks of data follow.
func (h header) dataBlocks() int64 {
	if h.flags()&flagZero != 0 {
		return 0
	}
	return int64(h.count())
}

func (h header) computed() uint32 {
	return crc32.Update(checksum(h[:crcOffset]), castagnoli, h[sumsOffset:Block])
}

// record is what a header says.
type record struct {
	flags   uint32
	nonce   uint64
	epoch   uint64
	seq     uint64
	lba     int64 // in blocks
	count   int64 // blocks
	durable uint64
	sums    []uint32
}

func (r record) String() string {
	kind := "data"
	if r.flags&flagZero != 0 {
		kind = "zero"
	}
	if r.flags&flagMore != 0 {
		kind += "+"
	}
	return fmt.Sprintf("%d.%d %s %d+%d", r.epoch, r.seq, kind, r.lba, r.count)
}

// put writes the record's header into its first block.
func (h header) put(r record) {
	clear(h[:Block])
	binary.BigEndian.PutUint32(h[magicOffset:], recordMagic)
	binary.BigEndian.PutUint32(h[flagsOffset:], r.flags)
	binary.BigEndian.PutUint64(h[nonceOffset:], r.nonce)
	binary.BigEndian.PutUint64(h[epochOffset:], r.epoch)
	binary.BigEndian.PutUint64(h[seqOffset:], r.seq)
	binary.BigEndian.PutUint64(h[lbaOffset:], uint64(r.lba))
	binary.BigEndian.PutUint32(h[countOffset:], uint32(r.count))
	binary.BigEndian.PutUint64(h[durableOffset:], r.durable)
	for i, s := range r.sums {
		binary.BigEndian.PutUint32(h[sumsOffset+4*i:], s)
	}
	binary.BigEndian.PutUint32(h[crcOffset:], h.computed())
}

var errNoRecord = errors.New("no record")

// parse reads a header of a segment with the given nonce, of a volume with so
// many blocks.
func (h header) parse(nonce uint64, blocks int64) (record, error) {
	if len(h) < Block || h.magic() != recordMagic || h.nonce() != nonce || h.crc() != h.computed() {
		return record{}, errNoRecord
	}
	r := record{h.flags(), h.nonce(), h.epoch(), h.seq(), int64(h.lba()), int64(h.count()), h.durable(), nil}
	if r.flags&^(flagZero|flagMore) != 0 || r.lba < 0 || r.count <= 0 || r.lba > blocks || r.count > blocks-r.lba {
		return record{}, errNoRecord
	}
	if n := h.dataBlocks(); n > 0 {
		if n > maxCount {
			return record{}, errNoRecord
		}
		r.sums = make([]uint32, n)
		for i := range r.sums {
			r.sums[i] = h.sum(i)
		}
	}
	return r, nil
}

// A segment's file begins with one block that says whose it is:
//
//	 0            8       16      24           32      40            104   108
//	┌────────────┬───────┬───────┬────────────┬───────┬─────────────┬─────┐
//	│ "SKVLOG01" │ index │ nonce │ first seq  │ epoch │ volume      │ crc │
//	└────────────┴───────┴───────┴────────────┴───────┴─────────────┴─────┘
const (
	segMagic        = "SKVLOG01"
	segIndexOffset  = 8
	segNonceOffset  = 16
	segFirstOffset  = 24
	segEpochOffset  = 32
	segVolumeOffset = 40
	segVolumeEnd    = 104
	segCRCOffset    = 104
)

type segHeader struct {
	index, nonce, first, epoch uint64
	volume                     string
}

func (s segHeader) block() []byte {
	b := make([]byte, Block)
	copy(b, segMagic)
	binary.BigEndian.PutUint64(b[segIndexOffset:], s.index)
	binary.BigEndian.PutUint64(b[segNonceOffset:], s.nonce)
	binary.BigEndian.PutUint64(b[segFirstOffset:], s.first)
	binary.BigEndian.PutUint64(b[segEpochOffset:], s.epoch)
	copy(b[segVolumeOffset:segVolumeEnd], s.volume)
	binary.BigEndian.PutUint32(b[segCRCOffset:], checksum(b[:segCRCOffset]))
	return b
}

func parseSegHeader(b []byte) (segHeader, error) {
	if len(b) < Block || string(b[:segIndexOffset]) != segMagic || binary.BigEndian.Uint32(b[segCRCOffset:]) != checksum(b[:segCRCOffset]) {
		return segHeader{}, errors.New("not the head of a log segment")
	}
	name := b[segVolumeOffset:segVolumeEnd]
	n := 0
	for n < len(name) && name[n] != 0 {
		n++
	}
	return segHeader{binary.BigEndian.Uint64(b[segIndexOffset:]), binary.BigEndian.Uint64(b[segNonceOffset:]),
		binary.BigEndian.Uint64(b[segFirstOffset:]), binary.BigEndian.Uint64(b[segEpochOffset:]), string(name[:n])}, nil
}
