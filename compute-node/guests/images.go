package guests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"

	"skerry/events"
)

// images is the host's cache of image files: read-only, named by digest, each
// fetched once. Overlays stand on them, so a file here never changes.
type images struct {
	dir    string // the cache
	source string // where the region's image files lie
	once   singleflight.Group
}

// fetch returns the cached file, bringing it first when it is not there. A hard
// link serves where source and cache share a file system.
func (c *images) fetch(ctx context.Context, f events.ImageFile) (string, error) {
	if len(f.SHA256) != 64 || strings.Trim(f.SHA256, "0123456789abcdef") != "" {
		return "", fmt.Errorf("image file %q: digest %q is not 64 hex digits", f.Name, f.SHA256)
	}
	path := filepath.Join(c.dir, f.SHA256)
	if st, err := os.Stat(path); err == nil && st.Size() == f.Bytes {
		return path, nil
	}
	// The work goes on for whoever else waits when one caller's time is over.
	done := c.once.DoChan(f.SHA256, func() (any, error) {
		return nil, c.bring(context.WithoutCancel(ctx), f, path)
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return "", r.Err
		}
		return path, nil
	case <-ctx.Done():
		return "", fmt.Errorf("image file %s: %w", f.Name, ctx.Err())
	}
}

func (c *images) bring(ctx context.Context, f events.ImageFile, path string) error {
	if f.Name == "" || f.Name != filepath.Base(f.Name) || f.Name == ".." {
		return fmt.Errorf("image file name %q is not a plain name", f.Name)
	}
	src := filepath.Join(c.source, f.Name)
	st, err := os.Stat(src)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("image file %s is not on this host (looked in %s)", f.Name, c.source)
	}
	if err != nil {
		return fmt.Errorf("image file %s: %w", f.Name, err)
	}
	if st.Size() != f.Bytes {
		return fmt.Errorf("image file %s has %d bytes here, %d in the region: it is another version", f.Name, st.Size(), f.Bytes)
	}
	tmp := filepath.Join(c.dir, ".new-"+f.SHA256)
	os.Remove(tmp)
	defer os.Remove(tmp)
	var sum string
	if os.Link(src, tmp) == nil {
		sum, err = digest(ctx, tmp)
	} else {
		sum, err = copySparse(ctx, src, tmp)
	}
	if err != nil {
		return fmt.Errorf("image file %s: %w", f.Name, err)
	}
	if sum != f.SHA256 {
		return fmt.Errorf("image file %s has digest %s here, %s in the region: it is damaged or another version", f.Name, sum, f.SHA256)
	}
	if err := os.Chmod(tmp, 0o444); err != nil {
		return fmt.Errorf("image file %s: %w", f.Name, err)
	}
	return os.Rename(tmp, path)
}

// warm fetches what the source offers before a guest asks for it. The region
// may ask for other files; those that fail here fail again, and in words, there.
func (c *images) warm(ctx context.Context) {
	b, err := os.ReadFile(filepath.Join(c.source, "images.json"))
	if err != nil {
		return
	}
	var list struct {
		Images []struct {
			Kernel, Ramdisk, Root events.ImageFile
		}
	}
	if json.Unmarshal(b, &list) != nil {
		return
	}
	for _, i := range list.Images {
		for _, f := range []events.ImageFile{i.Kernel, i.Ramdisk, i.Root} {
			if ctx.Err() != nil {
				return
			}
			c.fetch(ctx, f)
		}
	}
}

// chunk is how much is read between looks at the context.
const chunk = 1 << 20

func digest(ctx context.Context, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// copySparse copies a file without filling its holes and returns its digest.
func copySparse(ctx context.Context, from, to string) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer dst.Close()
	st, err := src.Stat()
	if err != nil {
		return "", err
	}
	if err := dst.Truncate(st.Size()); err != nil {
		return "", err
	}
	h := sha256.New()
	buf := make([]byte, chunk)
	zero := make([]byte, chunk)
	hole := func(n int64) {
		for n > 0 {
			m := min(n, chunk)
			h.Write(zero[:m])
			n -= m
		}
	}
	var at int64
	for at < st.Size() {
		data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			data = st.Size() // only a hole is left
		} else if err != nil {
			data = at // no holes on this file system
		}
		hole(data - at)
		at = data
		if at >= st.Size() {
			break
		}
		end, err := unix.Seek(int(src.Fd()), at, unix.SEEK_HOLE)
		if err != nil {
			end = st.Size()
		}
		for at < end {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			n, err := src.ReadAt(buf[:min(chunk, end-at)], at)
			if n == 0 && err != nil {
				return "", err
			}
			h.Write(buf[:n])
			if _, err := dst.WriteAt(buf[:n], at); err != nil {
				return "", err
			}
			at += int64(n)
		}
	}
	if err := dst.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
