package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
)

// snapshotStore is the snapshots of a data path, of which Raft sees the newest only. The library takes an
// older one in silence when the newest cannot be read (api.go, restoreSnapshot). With a log that begins
// after the newest it would then panic, or forget what it has acknowledged.
type snapshotStore struct {
	raft.SnapshotStore
	dir string // where the snapshots are

	mu   sync.Mutex
	last entryMark // of the newest that was whole
}

func newSnapshotStore(below raft.SnapshotStore, dir string, newest entryMark) *snapshotStore {
	return &snapshotStore{SnapshotStore: below, dir: dir, last: newest}
}

// newest returns the last entry that the newest snapshot covers.
func (s *snapshotStore) newest() entryMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// List implements raft.SnapshotStore: it returns the newest, or an error when that cannot be read any more.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	list, err := s.SnapshotStore.List()
	if err != nil {
		return nil, err
	}
	newest := s.newest()
	if len(list) == 0 {
		if newest.index > 0 {
			return nil, fmt.Errorf("the snapshot that ends at entry %d cannot be read", newest.index)
		}
		return nil, nil
	}
	if list[0].Index < newest.index {
		return nil, fmt.Errorf("the snapshot that ends at entry %d cannot be read", newest.index)
	}
	return list[:1], nil
}

// Create implements raft.SnapshotStore. A snapshot that is older than the newest is refused: a leader does
// not need to send one, because it finds the newest's last entry here. It was under way for long, and
// installing it would take the registry back behind the log's beginning.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if newest := s.newest(); index < newest.index {
		return nil, fmt.Errorf("the snapshot ends at entry %d, a newer one at %d", index, newest.index)
	}
	sink, err := s.SnapshotStore.Create(version, index, term, c, at, t)
	if err != nil {
		return nil, err
	}
	return &snapshotSink{SnapshotSink: sink, store: s, end: entryMark{index, term}}, nil
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	store  *snapshotStore
	end    entryMark
	closed bool
	err    error // of Close; the library's is nil the second time
}

// Close implements raft.SnapshotSink. When it returns nil the snapshot outlives a loss of power: entries
// are deleted on the strength of it. The library syncs the folder of the snapshots, but not the snapshot's own.
func (s *snapshotSink) Close() error {
	if !s.closed {
		s.closed = true
		s.err = s.finish()
	}
	return s.err
}

func (s *snapshotSink) finish() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	if err := syncFolder(filepath.Join(s.store.dir, s.ID())); err != nil {
		return fmt.Errorf("sync snapshot: %w", err)
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.end.index >= s.store.last.index {
		s.store.last = s.end
	}
	return nil
}

// Cancel implements raft.SnapshotSink.
func (s *snapshotSink) Cancel() error {
	s.closed = true
	return s.SnapshotSink.Cancel()
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sync makes the newest snapshot durable, which an older version may have written.
func (s *snapshotStore) sync() error {
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, meta := range list {
		if err := syncFolder(filepath.Join(s.dir, meta.ID)); err != nil {
			return err
		}
	}
	return syncFolder(s.dir)
}
