package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// storesWith are stores with a log from first to last, all of one term, and a snapshot that ends there.
func storesWith(t *testing.T, first, last, term uint64, snapshot entryMark, dir string) *stores {
	t.Helper()
	log := raft.NewInmemStore()
	for i := first; i <= last; i++ {
		if err := log.StoreLog(&raft.Log{Index: i, Term: term}); err != nil {
			t.Fatal(err)
		}
	}
	return &stores{log: log, written: log, snapshots: newSnapshotStore(raft.NewInmemSnapshotStore(), dir, snapshot)}
}

func (s *stores) keeps(t *testing.T, name string, first, last uint64) {
	t.Helper()
	from, e1 := s.log.FirstIndex()
	to, e2 := s.log.LastIndex()
	if err := errors.Join(e1, e2); err != nil || from != first || to != last {
		t.Errorf("%s: the log is from %d to %d, want %d to %d, error %v", name, from, to, first, last, err)
	}
}

// While Raft runs, what a snapshot has made obsolete is removed, and nothing above it.
func TestFollowSnapshot(t *testing.T) {
	at := entryMark{7, 3}
	for name, c := range map[string]struct {
		first, last, term uint64
		snapshot          entryMark
		left, leftTo      uint64
	}{
		"all is older":               {1, 5, 2, at, 0, 0},
		"up to its end":              {1, 7, 3, at, 1, 7},
		"goes on after it":           {5, 9, 3, at, 5, 9},
		"contradicts it":             {5, 9, 2, at, 8, 9}, // the library removes the rest
		"contradicts it at its end":  {5, 7, 2, at, 0, 0},
		"follows it":                 {8, 9, 3, at, 8, 9},
		"no snapshot":                {1, 5, 2, entryMark{}, 1, 5},
		"an empty log, and snapshot": {1, 0, 0, at, 0, 0},
	} {
		s := storesWith(t, c.first, c.last, c.term, c.snapshot, t.TempDir())
		if err := s.follow(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.keeps(t, name, c.left, c.leftTo)
	}
	s := storesWith(t, 1, 5, 2, at, t.TempDir())
	s.written = nil // Raft does not run
	if err := s.follow(); err != nil {
		t.Error(err)
	}
	s.keeps(t, "before Raft runs", 1, 5)
}

// At a start nothing is removed on the strength of a snapshot that may not be on disk.
func TestNoGapIsClosedBeforeTheSnapshotIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := storesWith(t, 1, 5, 2, entryMark{7, 3}, dir)
	sink, err := s.snapshots.SnapshotStore.Create(1, 7, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	s.found = logState{spans: []span{{1, 5, 2}}, snapshot: entryMark{7, 3}}
	if upTo, err := s.closeGap(); err == nil || upTo != 0 {
		t.Errorf("closed up to %d, though the snapshot's folder cannot be synced", upTo)
	}
	s.keeps(t, "the folder cannot be synced", 1, 5)
	if err := os.Mkdir(filepath.Join(dir, sink.ID()), 0o755); err != nil {
		t.Fatal(err)
	}
	if upTo, err := s.closeGap(); err != nil || upTo != 5 {
		t.Errorf("closed up to %d, error %v", upTo, err)
	}
	s.keeps(t, "on disk", 0, 0)
}

// A replica that has caught up by a snapshot keeps nothing of what was before.
func TestNothingIsLeftBeforeAnInstalledSnapshot(t *testing.T) {
	c := newGapTrio(t)
	r := c.start(2)
	waitReady(t, r)
	if r.stores.written == nil {
		t.Error("the log is not followed while Raft runs")
	}
	eventually.True(t, soon, "the log begins after the snapshot", func() error {
		first, err := r.stores.log.FirstIndex()
		if end := r.stores.snapshots.newest().index; err != nil || end == 0 || first > 0 && first <= end {
			return fmt.Errorf("it begins at %d, the snapshot ends at %d, error %v", first, end, err)
		}
		return nil
	})
}
