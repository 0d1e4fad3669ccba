package cluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	retainSnapshots = 2
	// logCacheSize is how many of the newest entries stay in memory: four times what one
	// AppendEntries may carry.
	logCacheSize = 4 * maxAppendEntries
)

// stores are what Raft keeps on disk.
type stores struct {
	bolt      *raftboltdb.BoltStore
	log       raft.LogStore
	stable    *voteStore
	snapshots *snapshotStore
	found     logState      // when the data path was opened
	written   raft.LogStore // the log as Raft writes it, nil before Raft is started
}

// openStores verifies the data path's log and snapshots and opens them.
func openStores(d *dataPath, logger hclog.Logger) (*stores, error) {
	_, missing := os.Stat(d.file(snapshotDir))
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(d.dir, retainSnapshots, logger)
	if err != nil {
		return nil, dataError(d.dir, "cannot keep snapshots: %w: %s", err, checkDisk)
	}
	found, err := d.verify(snapshots)
	if err != nil {
		if missing != nil {
			_ = os.Remove(d.file(snapshotDir)) // the library has made it just now
		}
		return nil, err
	}
	s := &stores{found: found, snapshots: newSnapshotStore(snapshots, d.file(snapshotDir), found.snapshot)}
	if err := s.openLog(d); err != nil {
		return nil, err
	}
	if err := s.discardHalfBootstrap(d); err != nil {
		return nil, errors.Join(err, s.bolt.Close())
	}
	return s, nil
}

func (s *stores) openLog(d *dataPath) (err error) {
	defer func() {
		if p := recover(); p != nil { // bbolt's way to say that its free list is corrupt
			err = dataError(d.dir, "cannot open %s: %v: %s", logFile, p, moveAway)
		}
	}()
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: d.file(logFile),
		BoltOptions: &bbolt.Options{
			Timeout: lockTimeout,
			// The free list is rebuilt at a start instead of written with each commit: that is
			// what keeps a commit cheap once a burst has been compacted.
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
	})
	if err != nil {
		advice := moveAway
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			advice = checkDisk // what is there may be sound
		}
		return dataError(d.dir, "cannot open %s: %w: %s", logFile, err, advice)
	}
	cache, err := raft.NewLogCache(logCacheSize, bolt)
	if err != nil {
		return errors.Join(fmt.Errorf("make log cache: %w", err), bolt.Close())
	}
	s.bolt, s.log, s.stable = bolt, &anchoredLog{cache, s.snapshots.newest}, newVoteStore(bolt)
	return nil
}

// discardHalfBootstrap starts the log anew when a bootstrap was cut short between writing the term
// and the first entry: with a term but no entry a replica can neither bootstrap nor be elected.
func (s *stores) discardHalfBootstrap(d *dataPath) error {
	if d.is.Bootstrapped || s.found.snapshot.index > 0 {
		return nil
	}
	last, err := s.log.LastIndex()
	if err != nil {
		return fmt.Errorf("read the log's last index: %w", err)
	}
	term, err := s.bolt.GetUint64([]byte(termKey))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the term: %w", err)
	}
	_, err = s.bolt.Get(voteKey)
	if last > 0 || term > 1 || !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return nil // a vote must not be forgotten
	}
	if err := s.bolt.Close(); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	if err := os.Remove(d.file(logFile)); err != nil {
		return dataError(d.dir, "cannot remove the unfinished %s: %w: %s", logFile, err, checkDisk)
	}
	return s.openLog(d)
}
