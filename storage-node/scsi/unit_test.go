package scsi

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"skerry/events"
	"skerry/storage-node/volume"
)

const volID = events.VolumeID("vol-0123456789abcdef0")

func newUnit(t testing.TB, through bool) (*Unit, *volume.Volume) {
	t.Helper()
	st, err := volume.Open(vfs.NewMem(), "s", volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	v, err := st.Create(volID, 8<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	u, err := NewUnit(Options{Volume: v, Epoch: 1, Target: "iqn.2026-11.io.skerry:vol-0123456789abcdef0", WriteThrough: through})
	if err != nil {
		t.Fatal(err)
	}
	return u, v
}

// do runs a command for LUN 1.
func do(t testing.TB, u *Unit, expect int, out []byte, cdb []byte) *Command {
	t.Helper()
	c := &Command{LUN: [8]byte{0, 1}, Expect: expect, Out: out}
	copy(c.CDB[:], cdb)
	if err := u.Do(c); err != nil {
		t.Fatalf("%x: %v", cdb, err)
	}
	return c
}

// What a disk says of itself must not change over failover: guests know it by
// its serial.
func TestIdentity(t *testing.T) {
	u, _ := newUnit(t, false)
	if c := do(t, u, 255, nil, []byte{0x12, 1, 0x80, 0, 255}); string(c.In[4:]) != string(volID) {
		t.Errorf("serial %q", c.In)
	}
	c := do(t, u, 255, nil, []byte{0x12, 1, 0x83, 0, 255})
	if !bytes.Contains(c.In, []byte("SKERRY  "+volID)) || !bytes.Contains(c.In, []byte{0x32, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}) {
		t.Errorf("identification %x", c.In)
	}
	c = do(t, u, 255, nil, []byte{0x12, 0, 0, 0, 255})
	if c.In[0] != 0 || string(c.In[8:16]) != "SKERRY  " || string(c.In[16:22]) != "Volume" {
		t.Errorf("inquiry %q", c.In)
	}
	if c = do(t, u, 5, nil, []byte{0x12, 0, 0, 0, 255}); len(c.In) != 5 || c.Wanted < 36 {
		t.Errorf("a short inquiry has %d bytes of %d", len(c.In), c.Wanted)
	}
	if c = do(t, u, 64, nil, []byte{0x12, 1, 0xb0, 0, 64}); be.Uint32(c.In[8:]) != maxTransfer/sector || be.Uint16(c.In[6:]) != 8 {
		t.Errorf("limits %x", c.In)
	}
	if c = do(t, u, 32, nil, []byte{0x9e, 0x10, 13: 32}); be.Uint64(c.In) != 8<<20/512-1 || be.Uint32(c.In[8:]) != 512 || c.In[14]&0xc0 != 0xc0 {
		t.Errorf("capacity %x", c.In)
	}
}

// The write cache is what it is said to be.
func TestCacheIsHonest(t *testing.T) {
	p := bytes.Repeat([]byte{7}, 4096)
	for _, through := range []bool{false, true} {
		u, v := newUnit(t, through)
		c := do(t, u, 255, nil, []byte{0x1a, 8, 8, 0, 255})
		if wce := c.In[4+2]&0x04 != 0; wce == through {
			t.Errorf("write-through %v: WCE %v", through, wce)
		}
		if c.In[2]&0x10 == 0 {
			t.Error("FUA is not offered")
		}
		for _, w := range []struct {
			cdb   []byte
			flush bool
		}{
			{[]byte{0x2a, 0, 8: 8}, through},
			{[]byte{0x2a, 0x08, 8: 8}, true}, // FUA
			{[]byte{0x35, 0, 8: 8}, !through},
		} {
			before := v.Syncs()
			var out []byte
			if w.cdb[0] == 0x2a {
				out = p
			}
			if w.cdb[0] == 0x35 && !through {
				do(t, u, 4096, p, []byte{0x2a, 0, 8: 8})
			}
			if c := do(t, u, len(out), out, w.cdb); c.Status != Good {
				t.Fatalf("%x: %x", w.cdb, c.Sense)
			}
			if flushed := v.Syncs() > before; flushed != w.flush {
				t.Errorf("write-through %v, %x: flushed %v", through, w.cdb, flushed)
			}
		}
	}
}

func TestCommands(t *testing.T) {
	u, v := newUnit(t, false)
	a, z := bytes.Repeat([]byte{0xaa}, 512), make([]byte, 512)
	sense := func(c *Command) fault {
		if c.Status != CheckCondition {
			return fault{}
		}
		return fault{c.Sense[2] & 0xf, be.Uint16(c.Sense[12:])}
	}
	for _, x := range []struct {
		what   string
		expect int
		out    []byte
		cdb    []byte
		want   fault
	}{
		{"write", 512, a, []byte{0x2a, 5: 3, 8: 1}, fault{}},
		{"compare and write, differs", 1024, append(bytes.Clone(z), a...), []byte{0x89, 9: 3, 13: 1}, miscompare},
		{"compare and write", 1024, append(bytes.Clone(a), z...), []byte{0x89, 9: 3, 13: 1}, fault{}},
		{"verify zeros", 512, z, []byte{0x2f, 2, 5: 3, 8: 1}, fault{}},
		{"or", 512, a, []byte{0x8b, 9: 3, 13: 1}, fault{}},
		{"verify", 512, a, []byte{0x2f, 2, 5: 3, 8: 1}, fault{}},
		{"verify, differs", 512, z, []byte{0x2f, 2, 5: 3, 8: 1}, miscompare},
		{"write same", 512, a, []byte{0x93, 9: 16, 13: 16}, fault{}},
		{"write same of nothing", 512, a, []byte{0x93, 9: 16}, invalidField},
		{"unmap", 24, append([]byte{0, 22, 0, 16, 0, 0, 0, 0}, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 0, 0), []byte{0x42, 8: 24}, fault{}},
		{"unmap behind the end", 24, append([]byte{0, 22, 0, 16, 0, 0, 0, 0}, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 0, 0), []byte{0x42, 8: 24}, outOfRange},
		{"a short list", 4, z[:4], []byte{0x42, 8: 4}, paramLength},
		{"behind the end", 512, a, []byte{0x2a, 3: 0xff, 8: 1}, outOfRange},
		{"protection information", 512, nil, []byte{0x28, 0x20, 8: 1}, invalidField},
		{"reservations", 0, nil, []byte{0x5f}, invalidOpcode},
		{"format", 0, nil, []byte{0x04}, invalidOpcode},
	} {
		c := do(t, u, x.expect, x.out, x.cdb)
		if got := sense(c); got != x.want {
			t.Errorf("%s: %x, want %x", x.what, got, x.want)
		}
		c.Free()
	}
	got := make([]byte, 512)
	for lba, want := range map[int64]byte{3: 0xaa, 16: 0, 23: 0, 24: 0xaa, 31: 0xaa, 32: 0} {
		if err := v.Read(got, lba*512); err != nil || got[0] != want {
			t.Errorf("sector %d: %v, %#x, want %#x", lba, err, got[0], want)
		}
	}
	// Another LUN.
	c := &Command{LUN: [8]byte{0, 7}, Expect: 64}
	c.CDB[0] = 0x28
	if err := u.Do(c); err != nil || sense(c) != noUnit {
		t.Errorf("LUN 7: %v %x", err, c.Sense)
	}
	// A higher epoch ends the session without an answer.
	if err := v.SetEpoch(2); err != nil {
		t.Fatal(err)
	}
	c = &Command{LUN: [8]byte{0, 1}, Expect: 512, Out: a}
	copy(c.CDB[:], []byte{0x2a, 8: 1})
	if err := u.Do(c); !errors.Is(err, ErrGone) {
		t.Errorf("a write of a lower epoch: %v", err)
	}
}

// FuzzDo runs any command with any data; a panic in gotgt is one command's
// failure, and no answer is longer than was expected.
func FuzzDo(f *testing.F) {
	u, _ := newUnit(f, false)
	for _, k := range known {
		cdb := make([]byte, 16)
		cdb[0] = k.op
		if k.action > 0 {
			cdb[1] = byte(k.action)
		}
		f.Add(cdb, []byte(nil), uint16(0), byte(1))
		cdb = bytes.Clone(cdb)
		cdb[4], cdb[8], cdb[13] = 255, 8, 8
		f.Add(cdb, make([]byte, 4096), uint16(4096), byte(1))
		f.Add(cdb, make([]byte, 100), uint16(7), byte(0))
	}
	f.Fuzz(func(t *testing.T, cdb, out []byte, expect uint16, lun byte) {
		c := &Command{LUN: [8]byte{0, lun}, Expect: int(expect), Out: out}
		copy(c.CDB[:], cdb)
		if err := u.Do(c); err != nil {
			t.Fatal(err)
		}
		if len(c.In) > c.Expect {
			t.Fatalf("%d bytes for %d", len(c.In), c.Expect)
		}
		if c.Status == CheckCondition && len(c.Sense) != 18 {
			t.Fatalf("%d bytes of sense", len(c.Sense))
		}
		c.Free()
	})
}
