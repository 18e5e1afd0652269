package iscsi

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A PDU begins with a header of 48 bytes (RFC 7143, 11.2):
//
//	 0    1       4    5        8     16    20      24     28       32
//	┌────┬───────┬────┬────────┬─────┬─────┬───────┬──────┬────────┬─────────┐
//	│ op │ flags │ahs │ length │ LUN │ ITT │ EDTL… │CmdSN │ ExpStat│ …       │
//	└────┴───────┴────┴────────┴─────┴─────┴───────┴──────┴────────┴─────────┘
const headerSize = 48

type header [headerSize]byte

var be = binary.BigEndian

// Operation codes.
const (
	opNopOut   = 0x00
	opCommand  = 0x01
	opTask     = 0x02
	opLogin    = 0x03
	opText     = 0x04
	opDataOut  = 0x05
	opLogout   = 0x06
	opNopIn    = 0x20
	opResponse = 0x21
	opTaskDone = 0x22
	opLoggedIn = 0x23
	opTextDone = 0x24
	opDataIn   = 0x25
	opLoggedOu = 0x26
	opR2T      = 0x31
	opReject   = 0x3f

	noTag = 0xffffffff
)

func (h *header) op() byte         { return h[0] & 0x3f }
func (h *header) immediate() bool  { return h[0]&0x40 != 0 }
func (h *header) final() bool      { return h[1]&0x80 != 0 }
func (h *header) ahs() int         { return 4 * int(h[4]) }
func (h *header) length() int      { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }
func (h *header) itt() uint32      { return be.Uint32(h[16:]) }
func (h *header) ttt() uint32      { return be.Uint32(h[20:]) }
func (h *header) expect() uint32   { return be.Uint32(h[20:]) }
func (h *header) cmdSN() uint32    { return be.Uint32(h[24:]) }
func (h *header) refTag() uint32   { return be.Uint32(h[20:]) }
func (h *header) dataSN() uint32   { return be.Uint32(h[36:]) }
func (h *header) offset() uint32   { return be.Uint32(h[40:]) }
func (h *header) lun() (l [8]byte) { copy(l[:], h[8:16]); return l }

func (h *header) setLength(n int) { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }

var errLength = errors.New("iscsi: a length beyond what was agreed")

// maxHeaders bounds additional header segments: we use none of them.
const maxHeaders = 64

// readHeader reads a header and passes over additional ones.
func readHeader(r *bufio.Reader, h *header, maxData int) error {
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	if h.length() > maxData {
		return fmt.Errorf("%w: %d bytes of data", errLength, h.length())
	}
	if n := h.ahs(); n > maxHeaders {
		return fmt.Errorf("%w: %d bytes of headers", errLength, n)
	} else if n > 0 {
		if _, err := r.Discard(n); err != nil {
			return err
		}
	}
	return nil
}

// readData reads a data segment and its padding.
func readData(r *bufio.Reader, p []byte) error {
	if _, err := io.ReadFull(r, p); err != nil {
		return err
	}
	_, err := r.Discard(-len(p) & 3)
	return err
}

// maxKeys bounds what a login or text request may say.
const maxKeys = 64

// parseKeys reads key=value pairs (RFC 7143, 6.1).
func parseKeys(b []byte) (map[string]string, []string, error) {
	kv := map[string]string{}
	var order []string
	for len(b) > 0 {
		n := 0
		for n < len(b) && b[n] != 0 {
			n++
		}
		pair := string(b[:n])
		b = b[min(n+1, len(b)):]
		if pair == "" {
			continue
		}
		eq := -1
		for i := range len(pair) {
			if pair[i] == '=' {
				eq = i
				break
			}
		}
		if eq <= 0 || eq > 63 {
			return nil, nil, errors.New("iscsi: text that is not key=value")
		}
		key := pair[:eq]
		if _, twice := kv[key]; twice {
			return nil, nil, fmt.Errorf("iscsi: key %q is there twice", key)
		}
		if len(kv) == maxKeys {
			return nil, nil, errors.New("iscsi: too many keys")
		}
		kv[key] = pair[eq+1:]
		order = append(order, key)
	}
	return kv, order, nil
}
