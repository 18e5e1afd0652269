package state

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"
	"slices"

	"github.com/klauspost/compress/zstd"

	"skerry/events"
	"skerry/internal/planted"
)

// A snapshot is one zstd stream:
//
//	"skerry-state\x03"
//	length u32, Meta as CBOR
//	count of tables u32
//	for each table, in a fixed order:
//	    count u32
//	    count × (length u32, key) (length u32, row as CBOR), by key
//	SHA-256 of everything before
//
// All numbers are big-endian. Rows in key order make equal states equal bytes:
// the hash is also the state's digest. A program reads the snapshots of those
// before it, which had fewer tables.

const magic = "skerry-state\x03"

// maxRow bounds one key or row, so that a damaged length cannot ask for all memory.
const maxRow = 16 << 20

// saved is a table's side of a snapshot.
type saved interface {
	write(w *hashWriter) error
	read(r *hashReader) error
	row(key string) (any, bool)
}

// Rows are the rows that stand under a resource's id, as JSON by the name of
// their type: a volume's are Volume and Tags.
func (v *View) Rows(id string) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, t := range v.tables() {
		if r, ok := t.row(id); ok {
			b, err := json.Marshal(r)
			if err != nil {
				return nil, fmt.Errorf("state: %s: %w", id, err)
			}
			out[reflect.TypeOf(r).Elem().Name()] = b
		}
	}
	return out, nil
}

func (s *store) row(key string) (any, bool) { return s.get(key) }

// tables lists them in snapshot order. New tables go to the end.
func (v *View) tables() []saved {
	return []saved{v.Zones, v.Accounts, v.Nodes, v.Hosts, v.Images, v.Keys, v.VPCs, v.Subnets, v.Groups, v.Interfaces,
		v.Instances, v.Tombstones, v.Tags, v.Commands, v.Tokens, v.InternetGateways, v.RouteTables, v.Addresses, v.Gateways,
		v.Volumes, v.Stores,
		v.NetworkACLs, v.Users, v.AccessKeys, v.Snapshots, v.PlacementGroups, v.Templates,
		v.NATGateways, v.EgressGateways, v.Peerings,
		v.DHCPOptions, v.PrefixLists, v.Ranges, v.FlowLogs,
		v.Regions,
		v.CustomerGateways, v.VPNGateways, v.VPNs}
}

// Save writes the view.
func (v *View) Save(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
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
	tables := v.tables()
	hw.u32(len(tables))
	for _, t := range tables {
		if planted.On(planted.SnapshotForgets) && t == saved(v.Commands) {
			t = newTable[Answered]()
		}
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

// Peek reads of a snapshot only what it is of.
func Peek(r io.Reader) (Meta, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return Meta{}, fmt.Errorf("state: peek: %w", err)
	}
	defer z.Close()
	hr := &hashReader{r: z, sum: sha256.New()}
	tx := New()
	if err := hr.meta(tx); err != nil {
		return Meta{}, err
	}
	return tx.Meta, nil
}

// meta reads the beginning of a stream.
func (r *hashReader) meta(tx *Tx) error {
	head := r.bytes(len(magic))
	if r.err == nil && string(head) != magic {
		return fmt.Errorf("state: load: not a snapshot of this format (it begins %q)", head)
	}
	meta := r.field()
	if r.err == nil {
		r.err = events.Decode(meta, &tx.Meta)
	}
	if r.err != nil {
		return fmt.Errorf("state: load: %w", r.err)
	}
	return nil
}

// read reads what is inside of the stream.
func read(r io.Reader) (*Tx, error) {
	hr := &hashReader{r: r, sum: sha256.New()}
	tx := New()
	if err := hr.meta(tx); err != nil {
		return nil, err
	}
	tables, n := tx.tables(), hr.u32()
	if n > len(tables) {
		return nil, fmt.Errorf("state: load: the snapshot has %d tables, this program knows %d: a newer program wrote it", n, len(tables))
	}
	for _, t := range tables[:n] {
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

func (s *store) write(w *hashWriter) error {
	w.u32(s.Len())
	var row []byte // one for all: a snapshot is taken beside commands, which wait for who collects garbage
	s.ascend("", func(k string, v any) bool {
		row = append(binary.BigEndian.AppendUint32(row[:0], uint32(len(k))), k...)
		at := len(row)
		row = events.AppendEncoded(append(row, 0, 0, 0, 0), v)
		binary.BigEndian.PutUint32(row[at:], uint32(len(row)-at-4))
		w.bytes(row)
		return w.err == nil
	})
	return w.err
}

func (s *store) read(r *hashReader) error {
	n := r.u32()
	for range n {
		k := string(r.field())
		b := r.field()
		if r.err != nil {
			return r.err
		}
		v := s.empty()
		if err := events.Decode(b, v); err != nil {
			return fmt.Errorf("row %q: %w", k, err)
		}
		s.load(k, v)
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
	r    io.Reader
	sum  hash.Hash
	err  error
	last []byte // what was read last, and is overwritten by what is read next
}

func (r *hashReader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	r.last = slices.Grow(r.last[:0], n)[:n]
	b := r.last
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
