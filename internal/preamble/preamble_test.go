package preamble

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

var (
	sample = Preamble{Attachment: "attach-0123456789abcdef0", Epoch: 7, Number: 42}
	secret = []byte("the attachment's secret")
)

// The bytes are what nodes of other versions say.
func TestGolden(t *testing.T) {
	b, err := Seal(sample, secret)
	if err != nil {
		t.Fatal(err)
	}
	const head = "736b62720001000000000000000000070000000000" + "00002a6174746163682d303132333435363738396162636465663000000000" + "00000000"
	if got := hex.EncodeToString(b[:macOffset]); got != head {
		t.Errorf("got  %s\nwant %s", got, head)
	}
	a := Answer{StaleNumber, 7, 43}.Append(nil)
	if got := hex.EncodeToString(a); got != "736b6261000100020000000000000007000000000000002b" {
		t.Errorf("answer %s", got)
	}
	back, err := ReadAnswer(bytes.NewReader(a))
	if err != nil || back != (Answer{StaleNumber, 7, 43}) {
		t.Errorf("%v %v", back, err)
	}
}

func TestForged(t *testing.T) {
	b, _ := Seal(sample, secret)
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		s, err := Read(bytes.NewReader(bad))
		if err == nil {
			err = s.Check(secret)
		}
		if err == nil {
			t.Errorf("byte %d changed and nobody noticed", i)
		}
	}
	s, err := Read(bytes.NewReader(b))
	if err != nil || s.Preamble != sample {
		t.Fatalf("%v %v", s.Preamble, err)
	}
	if err := s.Check([]byte("another")); !errors.Is(err, ErrForged) {
		t.Errorf("another secret: %v", err)
	}
	if err := s.Check(secret); err != nil {
		t.Error(err)
	}
	if _, err := Seal(Preamble{Attachment: "attach-0123456789abcdef0-and-much-more"}, secret); err == nil {
		t.Error("a long id was sealed")
	}
}

func FuzzRead(f *testing.F) {
	b, _ := Seal(sample, secret)
	f.Add(b)
	f.Add(b[:40])
	f.Add(bytes.Repeat([]byte{0xff}, Size))
	f.Add(Answer{OK, 1, 2}.Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		if s, err := Read(bytes.NewReader(in)); err == nil {
			again, err := Seal(s.Preamble, secret)
			if err != nil {
				t.Fatalf("%v was read and cannot be sealed: %v", s.Preamble, err)
			}
			if !bytes.Equal(again[:macOffset], in[:macOffset]) {
				t.Fatalf("%x became %x", in[:macOffset], again[:macOffset])
			}
		}
		if a, err := ReadAnswer(bytes.NewReader(in)); err == nil && !bytes.Equal(a.Append(nil), in[:AnswerSize]) {
			t.Fatalf("answer %x became %v", in[:AnswerSize], a)
		}
	})
}
