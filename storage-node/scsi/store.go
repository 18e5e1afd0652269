package scsi

import (
	"github.com/gostor/gotgt/pkg/api"

	"skerry/storage-node/volume"
)

// store is a volume at one epoch as gotgt's backing store. gotgt's own commands
// that read and write are replaced; what is left of them lands here.
type store struct {
	v     *volume.Volume
	epoch uint64
}

func (s *store) Open(*api.SCSILu, string) error { return nil }
func (s *store) Close(*api.SCSILu) error        { return nil }
func (s *store) Init(*api.SCSILu, string) error { return nil }
func (s *store) Exit(*api.SCSILu) error         { return nil }

func (s *store) Size(*api.SCSILu) uint64 {
	if s.v == nil {
		return 0
	}
	return uint64(s.v.Bytes())
}

func (s *store) Read(off, n int64) ([]byte, error) {
	if s.v == nil || n < 0 || n > maxIO {
		return nil, volume.ErrRange
	}
	p := make([]byte, n)
	return p, s.v.Read(p, off)
}

func (s *store) Write(p []byte, off int64) error {
	if s.v == nil {
		return volume.ErrRange
	}
	return s.v.Write(s.epoch, p, off)
}

func (s *store) DataSync(int64, int64) error {
	if s.v == nil {
		return nil
	}
	return s.v.Flush()
}

func (s *store) DataAdvise(int64, int64, uint32) error { return nil }

func (s *store) Unmap(ranges []api.UnmapBlockDescriptor) error {
	if s.v == nil {
		return volume.ErrRange
	}
	for _, r := range ranges {
		if err := s.v.Zero(s.epoch, int64(r.Offset), int64(r.TL)); err != nil {
			return err
		}
	}
	return nil
}
