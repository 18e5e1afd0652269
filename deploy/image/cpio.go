package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
)

// cpio writes an archive in the "newc" format, which the kernel unpacks as its
// first file system (Documentation/driver-api/early-userspace/buffer-format.rst).
// Times are zero and inode numbers count up, so equal files give equal bytes.
type cpio struct {
	buf bytes.Buffer
	ino int
}

// File kinds, as in st_mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

// add appends one entry; rdev is for character devices.
func (c *cpio) add(name string, mode uint32, data []byte, major, minor int) {
	c.ino++
	links := 1
	if mode&0o170000 == modeDir {
		links = 2
	}
	c.header(name, mode, links, len(data), major, minor)
	c.buf.Write(data)
	c.pad()
}

func (c *cpio) header(name string, mode uint32, links, size, major, minor int) {
	fmt.Fprintf(&c.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.ino, mode, 0, 0, links, 0, size, 0, 0, major, minor, len(name)+1, 0, name)
	c.pad()
}

func (c *cpio) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

// gzip ends the archive and compresses it.
func (c *cpio) gzip() ([]byte, error) {
	c.ino = 0
	c.header("TRAILER!!!", 0, 1, 0, 0, 0)
	for c.buf.Len()%512 != 0 {
		c.buf.WriteByte(0)
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(c.buf.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
