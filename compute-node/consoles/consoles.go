// Package consoles keeps what guests write to their serial consoles from filling
// the host's disk, and reads it back.
//
//	FILE       QEMU appends here
//	FILE.old   the last 64 KiB of what was cut off
package consoles

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Keep is how much of a console is kept when it is cut.
const Keep = 64 << 10

// cutAt is the size at which a console file is cut: a guest that prints
// without end must not fill the host's disk.
const cutAt = 4 * Keep

// Cut moves the last Keep bytes of a console file beside it, to
// FILE.old, when the file has grown large, and empties the file. QEMU appends,
// so its next write begins at the start.
func Cut(file string) error {
	st, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) || err == nil && st.Size() < cutAt {
		return nil
	}
	if err != nil {
		return err
	}
	tail, err := readTail(file, Keep)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".old.new", tail, 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".old.new", file+".old"); err != nil {
		return err
	}
	return os.Truncate(file, 0)
}

// Read returns the last limit bytes of a console file and what was cut
// off it. A guest that has written nothing has an empty console.
func Read(file string, limit int) ([]byte, error) {
	limit = max(0, min(limit, Keep))
	b, err := readTail(file, limit)
	if err != nil {
		return nil, fmt.Errorf("consoles: %w", err)
	}
	if len(b) < limit {
		old, err := readTail(file+".old", limit-len(b))
		if err != nil {
			return nil, fmt.Errorf("consoles: %w", err)
		}
		b = append(old, b...)
	}
	return b, nil
}

func readTail(file string, limit int) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	off := max(0, st.Size()-int64(limit))
	b, err := io.ReadAll(io.NewSectionReader(f, off, int64(limit)))
	if err != nil {
		return nil, err
	}
	return b, nil
}
