// Package preamble is what a block relay says first on each connection to a
// storage node, and what it is answered: who comes, at which epoch of the
// volume, and that no later connection has come since.
//
//	 0        4      6      8          16          24             56          88
//	┌────────┬──────┬──────┬──────────┬───────────┬──────────────┬───────────┐
//	│ "skbr" │ vers │ zero │ epoch    │ number    │ attachment   │ HMAC      │
//	└────────┴──────┴──────┴──────────┴───────────┴──────────────┴───────────┘
//	 0        4      6        8          16          24
//	┌────────┬──────┬────────┬──────────┬───────────┐
//	│ "skba" │ vers │ status │ epoch    │ number    │
//	└────────┴──────┴────────┴──────────┴───────────┘
//
// Integers are big endian; the attachment is ASCII, filled up with zeros. The
// HMAC is SHA-256 over everything before it, with the attachment's secret. A
// preamble that was overheard is of no use: its number was used.
//
// The storage node answers only those whose HMAC is right. After an answer of
// OK the bytes are iSCSI (RFC 7143).
package preamble

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"skerry/events"
)

const (
	magicOffset      = 0
	versionOffset    = 4
	zeroOffset       = 6
	epochOffset      = 8
	numberOffset     = 16
	attachmentOffset = 24
	macOffset        = 56

	// Size is how long a preamble is.
	Size = 88
	// AnswerSize is how long its answer is.
	AnswerSize = 24
	// MaxAttachment is how long an attachment's id may be.
	MaxAttachment = macOffset - attachmentOffset

	version     = 1
	magic       = "skbr"
	answerMagic = "skba"
)

// Preamble says who comes.
type Preamble struct {
	Attachment events.AttachmentID
	Epoch      uint64
	Number     uint64 // of the connection: each is higher than the one before
}

func (p Preamble) String() string {
	return fmt.Sprintf("%s epoch=%d number=%d", p.Attachment, p.Epoch, p.Number)
}

// Errors of reading.
var (
	ErrMalformed = errors.New("preamble: not one of ours")
	ErrVersion   = errors.New("preamble: of another version")
	ErrForged    = errors.New("preamble: the secret is not the attachment's")
)

// Seal writes a preamble for the one who knows the secret.
func Seal(p Preamble, secret []byte) ([]byte, error) {
	if p.Attachment == "" || len(p.Attachment) > MaxAttachment || strings.ContainsRune(string(p.Attachment), 0) {
		return nil, fmt.Errorf("preamble: attachment %q: use 1 to %d characters", p.Attachment, MaxAttachment)
	}
	b := make([]byte, Size)
	copy(b[magicOffset:], magic)
	binary.BigEndian.PutUint16(b[versionOffset:], version)
	binary.BigEndian.PutUint64(b[epochOffset:], p.Epoch)
	binary.BigEndian.PutUint64(b[numberOffset:], p.Number)
	copy(b[attachmentOffset:macOffset], p.Attachment)
	copy(b[macOffset:], sign(b, secret))
	return b, nil
}

// Sealed is a preamble as it came, not believed yet.
type Sealed struct {
	Preamble
	bytes [Size]byte
}

// Read takes a preamble from a connection and nothing after it.
func Read(r io.Reader) (Sealed, error) {
	var s Sealed
	if _, err := io.ReadFull(r, s.bytes[:]); err != nil {
		return s, fmt.Errorf("preamble: %w", err)
	}
	b := s.bytes[:]
	if string(b[:versionOffset]) != magic || binary.BigEndian.Uint16(b[zeroOffset:]) != 0 {
		return s, ErrMalformed
	}
	if binary.BigEndian.Uint16(b[versionOffset:]) != version {
		return s, ErrVersion
	}
	name := string(b[attachmentOffset:macOffset])
	id, rest, _ := strings.Cut(name, "\x00")
	if id == "" || strings.Trim(rest, "\x00") != "" {
		return s, ErrMalformed
	}
	s.Preamble = Preamble{events.AttachmentID(id), binary.BigEndian.Uint64(b[epochOffset:]), binary.BigEndian.Uint64(b[numberOffset:])}
	return s, nil
}

// Check says whether who wrote it knows the secret.
func (s *Sealed) Check(secret []byte) error {
	if !hmac.Equal(s.bytes[macOffset:], sign(s.bytes[:], secret)) {
		return ErrForged
	}
	return nil
}

func sign(b, secret []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write(b[:macOffset])
	return m.Sum(nil)
}

// Status is what a storage node says to a preamble.
type Status uint16

// Statuses.
const (
	OK          Status = iota // come in
	StaleEpoch                // the volume is at a higher epoch
	StaleNumber               // a later connection of the attachment has come
	NotReady                  // the volume cannot be served at that epoch
)

func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case StaleEpoch:
		return "the volume is at a higher epoch"
	case StaleNumber:
		return "a later connection has come"
	case NotReady:
		return "the volume is not ready"
	}
	return fmt.Sprintf("status %d", uint16(s))
}

// Answer is what a storage node says to a preamble, with what it knows: the
// volume's epoch and the highest connection number of it.
type Answer struct {
	Status Status
	Epoch  uint64
	Number uint64
}

// Append writes an answer.
func (a Answer) Append(b []byte) []byte {
	b = append(b, answerMagic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(a.Status))
	b = binary.BigEndian.AppendUint64(b, a.Epoch)
	return binary.BigEndian.AppendUint64(b, a.Number)
}

// ReadAnswer takes an answer from a connection and nothing after it.
func ReadAnswer(r io.Reader) (Answer, error) {
	var b [AnswerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Answer{}, fmt.Errorf("preamble: answer: %w", err)
	}
	if string(b[:versionOffset]) != answerMagic {
		return Answer{}, ErrMalformed
	}
	if binary.BigEndian.Uint16(b[versionOffset:]) != version {
		return Answer{}, ErrVersion
	}
	return Answer{Status(binary.BigEndian.Uint16(b[zeroOffset:])), binary.BigEndian.Uint64(b[epochOffset:]), binary.BigEndian.Uint64(b[numberOffset:])}, nil
}
