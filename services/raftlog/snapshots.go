package raftlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// Snapshots is a raft.SnapshotStore on a vfs.FS, so that power cuts can be
// tested. A snapshot is two files, <id>.state and <id>.meta; the meta file is
// written last and renamed into place, so what has both is whole. No file is
// written twice: the leader may send a snapshot that is here already, and a
// power cut meanwhile must not cost the one that was whole.
type Snapshots struct {
	fs  vfs.FS
	dir string

	mu          sync.Mutex
	index, term uint64 // last entry of the newest whole snapshot, 0 without one
}

// retain is how many snapshots are kept.
const retain = 2

// OpenSnapshots makes the directory if needed and removes what a crash left half done.
func OpenSnapshots(fs vfs.FS, dir string) (*Snapshots, error) {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("raftlog: snapshots: %w", err)
	}
	s := &Snapshots{fs: fs, dir: dir}
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshots: %w", err)
	}
	for _, n := range names {
		state, isState := strings.CutSuffix(n, ".state")
		meta, isMeta := strings.CutSuffix(n, ".meta")
		if isState && !slices.Contains(names, state+".meta") || isMeta && !slices.Contains(names, meta+".state") || strings.HasSuffix(n, ".tmp") {
			if err := fs.Remove(fs.PathJoin(dir, n)); err != nil {
				return nil, fmt.Errorf("raftlog: snapshots: %w", err)
			}
		}
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		s.has(all[0].Index, all[0].Term)
	}
	return s, nil
}

// Newest is the last entry of the newest whole snapshot, 0 without one.
func (s *Snapshots) Newest() (index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index, s.term
}

// has tells of a snapshot that is whole. Two may come to be at once.
func (s *Snapshots) has(index, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.index || index == s.index && term > s.term {
		s.index, s.term = index, term
	}
}

// Create begins a snapshot.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("raftlog: snapshot version %d is not known", version)
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshot: %w", err)
	}
	// The number after the highest of those that are here: of two of one entry
	// the later one stays.
	of, n := fmt.Sprintf("%020d-%010d-", index, term), 1
	for _, name := range names {
		if number, ok := strings.CutPrefix(name, of); ok {
			number, _, _ = strings.Cut(number, ".")
			if have, err := strconv.Atoi(number); err == nil {
				n = max(n, have+1)
			}
		}
	}
	id := fmt.Sprintf("%s%03d", of, n)
	meta := raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex}
	f, err := s.fs.Create(s.path(meta.ID+".state"), "raft-snapshot")
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshot: %w", err)
	}
	return &sink{store: s, meta: meta, f: f}, nil
}

// List returns whole snapshots, newest first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshots: %w", err)
	}
	var out []*raft.SnapshotMeta
	for _, n := range names {
		id, ok := strings.CutSuffix(n, ".meta")
		if !ok {
			continue
		}
		m, err := s.meta(id)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *raft.SnapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(b.Term, a.Term), cmp.Compare(len(b.ID), len(a.ID)), cmp.Compare(b.ID, a.ID))
	})
	return out, nil
}

// Open reads a snapshot.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, err := s.meta(id)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.fs.Open(s.path(id + ".state"))
	if err != nil {
		return nil, nil, fmt.Errorf("raftlog: snapshot %s: %w", id, err)
	}
	return m, f, nil
}

func (s *Snapshots) meta(id string) (*raft.SnapshotMeta, error) {
	f, err := s.fs.Open(s.path(id + ".meta"))
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshot %s: %w", id, err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("raftlog: snapshot %s: %w", id, err)
	}
	var m raft.SnapshotMeta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("raftlog: snapshot %s: %w", id, err)
	}
	return &m, nil
}

func (s *Snapshots) path(name string) string { return s.fs.PathJoin(s.dir, name) }

func (s *Snapshots) reap() error {
	all, err := s.List()
	if err != nil {
		return err
	}
	kept := 0
	for i, m := range all {
		if twice := i > 0 && m.Index == all[i-1].Index && m.Term == all[i-1].Term; !twice && kept < retain {
			kept++
			continue
		}
		err = errors.Join(err, s.fs.Remove(s.path(m.ID+".meta")), s.fs.Remove(s.path(m.ID+".state")))
	}
	return err
}

type sink struct {
	store *Snapshots
	meta  raft.SnapshotMeta
	f     vfs.File
	done  bool
}

func (k *sink) ID() string { return k.meta.ID }

func (k *sink) Write(b []byte) (int, error) {
	n, err := k.f.Write(b)
	k.meta.Size += int64(n)
	return n, err
}

// Close makes the snapshot whole and durable.
func (k *sink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if err := errors.Join(k.f.Sync(), k.f.Close()); err != nil {
		return fmt.Errorf("raftlog: snapshot %s: %w", k.meta.ID, err)
	}
	b, err := json.Marshal(k.meta)
	if err != nil {
		return fmt.Errorf("raftlog: snapshot %s: %w", k.meta.ID, err)
	}
	fs, tmp := k.store.fs, k.store.path(k.meta.ID+".tmp")
	f, err := fs.Create(tmp, "raft-snapshot")
	if err != nil {
		return fmt.Errorf("raftlog: snapshot %s: %w", k.meta.ID, err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = fs.Rename(tmp, k.store.path(k.meta.ID+".meta"))
	}
	if err == nil {
		err = syncDir(fs, k.store.dir)
	}
	if err == nil {
		k.store.has(k.meta.Index, k.meta.Term)
		err = k.store.reap()
	}
	if err != nil {
		return fmt.Errorf("raftlog: snapshot %s: %w", k.meta.ID, err)
	}
	return nil
}

// Cancel drops the snapshot.
func (k *sink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	return errors.Join(k.f.Close(), k.store.fs.Remove(k.store.path(k.meta.ID+".state")))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
