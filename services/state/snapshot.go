package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"skerry/events"
)

// A snapshot is one zstd stream:
//
//	"skerry-state\x02"
//	length u32, Meta as CBOR
//	for each table, in a fixed order:
//	    count u32
//	    count × (length u32, key) (length u32, row as CBOR), by key
//	SHA-256 of everything before
//
// All numbers are big-endian. Rows in key order make equal states equal bytes:
// the hash is also the state's digest.

const magic = "skerry-state\x02"

// maxRow bounds one key or row, so that a damaged length cannot ask for all memory.
const maxRow = 16 << 20

// saved is a table's side of a snapshot.
type saved interface {
	write(w *hashWriter) error
	read(r *hashReader) error
}

// tables lists them in snapshot order. New tables go to the end.
func (v *View) tables() []saved {
	return []saved{v.Zones, v.Accounts, v.Nodes, v.Hosts, v.Images, v.Keys, v.VPCs, v.Subnets, v.Groups, v.Interfaces,
		v.Instances, v.Tombstones, v.Tags, v.Commands, v.Tokens, v.InternetGateways, v.RouteTables, v.Addresses, v.Gateways,
		v.Volumes, v.Stores}
}

// Save writes the view.
func (v *View) Save(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	b := bufio.NewWriterSize(z, 64<<10)
	sum, err := v.canonical(b)
	if err == nil {
		_, err = b.Write(sum)
	}
	if err == nil {
		err = b.Flush()
	}
	if err := errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("state: save: %w", err)
	}
	return nil
}

// Digest is the hex SHA-256 of the canonical form, without what only one voter
// knows. Voters at the same event number and log index have the same.
func (v *View) Digest() string {
	sum, err := v.canonical(io.Discard)
	if err != nil {
		panic(err) // io.Discard does not fail
	}
	return hex.EncodeToString(sum)
}

func (v *View) canonical(w io.Writer) ([]byte, error) {
	hw := &hashWriter{w: w, sum: sha256.New()}
	hw.bytes([]byte(magic))
	hw.field(events.Encode(v.Meta))
	for _, t := range v.tables() {
		if err := t.write(hw); err != nil {
			return nil, err
		}
	}
	return hw.sum.Sum(nil), hw.err
}

// Load reads a snapshot.
func Load(r io.Reader) (*Tx, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("state: load: %w", err)
	}
	defer z.Close()
	return read(bufio.NewReaderSize(z, 64<<10))
}

// read reads what is inside of the stream.
func read(r io.Reader) (*Tx, error) {
	hr := &hashReader{r: r, sum: sha256.New()}
	head := hr.bytes(len(magic))
	if hr.err == nil && string(head) != magic {
		return nil, fmt.Errorf("state: load: not a snapshot of this format (it begins %q)", head)
	}
	tx := New()
	meta := hr.field()
	if hr.err == nil {
		hr.err = events.Decode(meta, &tx.Meta)
	}
	for _, t := range tx.tables() {
		if hr.err == nil {
			hr.err = t.read(hr)
		}
	}
	if hr.err != nil {
		return nil, fmt.Errorf("state: load: %w", hr.err)
	}
	want := hr.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(hr.r, got); err != nil {
		return nil, fmt.Errorf("state: load: checksum: %w", err)
	}
	if !bytes.Equal(got, want) {
		return nil, errors.New("state: load: checksum mismatch: the snapshot is damaged")
	}
	return tx, nil
}

func (t *Table[V]) write(w *hashWriter) error {
	w.u32(t.Len())
	for k, v := range t.All() {
		w.field([]byte(k))
		w.field(events.Encode(v))
		if w.err != nil {
			return w.err
		}
	}
	return w.err
}

func (t *Table[V]) read(r *hashReader) error {
	n := r.u32()
	for range n {
		k := r.field()
		b := r.field()
		if r.err != nil {
			return r.err
		}
		v := new(V)
		if err := events.Decode(b, v); err != nil {
			return fmt.Errorf("row %q: %w", k, err)
		}
		t.put(string(k), v)
	}
	return r.err
}

type hashWriter struct {
	w   io.Writer
	sum hash.Hash
	err error
}

func (w *hashWriter) bytes(b []byte) {
	if w.err != nil {
		return
	}
	w.sum.Write(b)
	_, w.err = w.w.Write(b)
}

func (w *hashWriter) u32(n int) { w.bytes(binary.BigEndian.AppendUint32(nil, uint32(n))) }

func (w *hashWriter) field(b []byte) {
	w.u32(len(b))
	w.bytes(b)
}

type hashReader struct {
	r   io.Reader
	sum hash.Hash
	err error
}

func (r *hashReader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, r.err = io.ReadFull(r.r, b); r.err != nil {
		return nil
	}
	r.sum.Write(b)
	return b
}

func (r *hashReader) u32() int {
	b := r.bytes(4)
	if r.err != nil {
		return 0
	}
	return int(binary.BigEndian.Uint32(b))
}

func (r *hashReader) field() []byte {
	n := r.u32()
	if n > maxRow {
		r.err = fmt.Errorf("a row of %d bytes is over the limit of %d", n, maxRow)
		return nil
	}
	return r.bytes(n)
}
