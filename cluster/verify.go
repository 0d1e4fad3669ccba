package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// verify reads the whole log and the newest snapshot before anything is opened for writing: the
// libraries would panic, or go on with less than there was. It changes nothing.
func (d *dataPath) verify(snapshots raft.SnapshotStore) error {
	snapshot, err := d.verifySnapshots(snapshots)
	if err != nil {
		return err
	}
	first, last, err := d.verifyLog()
	if err != nil {
		if errors.Is(err, fsm.ErrTooNew) {
			return dataError(d.dir, "%s: %w", logFile, err)
		}
		return dataError(d.dir, "%s is truncated or corrupt (%w): %s", logFile, err, moveAway)
	}
	switch {
	case !d.Bootstrapped:
	case last == 0 && snapshot == 0:
		return dataError(d.dir, "%s has lost all entries: %s", logFile, moveAway)
	case first > snapshot+1:
		return dataError(d.dir, "%s begins at entry %d, but the newest snapshot ends at %d: %s", logFile, first, snapshot, moveAway)
	}
	return nil
}

// verifySnapshots checks the newest snapshot's checksum and returns its index, 0 for none.
func (d *dataPath) verifySnapshots(store raft.SnapshotStore) (uint64, error) {
	damaged := func(id string, err error) error {
		return dataError(d.dir, "snapshot %s is truncated or corrupt (%w): %s", id, err, moveAway)
	}
	list, err := store.List()
	if err != nil {
		return 0, dataError(d.dir, "cannot list snapshots: %w", err)
	}
	known := make(map[string]bool)
	for _, meta := range list {
		known[meta.ID] = true
	}
	entries, err := os.ReadDir(d.file(snapshotDir))
	if err != nil {
		return 0, dataError(d.dir, "cannot read %s: %w", snapshotDir, err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] && len(list) < retainSnapshots {
			return 0, damaged(e.Name(), errors.New("its meta.json cannot be read"))
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	_, source, err := store.Open(list[0].ID) // reads all of it
	if err != nil {
		return 0, damaged(list[0].ID, err)
	}
	return list[0].Index, source.Close()
}

// verifyLog reads every entry. The file is mapped into memory: a page that is missing from it is a
// fault, which is turned into an error here.
func (d *dataPath) verifyLog() (first, last uint64, err error) {
	path := d.file(logFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !d.Bootstrapped {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable: %v", r)
		}
	}()
	if err := verifySize(path, info.Size()); err != nil {
		return 0, 0, err
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: readOnly()})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return verifyEntries(store)
}

func readOnly() *bbolt.Options { return &bbolt.Options{ReadOnly: true, Timeout: lockTimeout} }

// lockTimeout bounds the wait for bbolt's own file lock; the data path's lock is held already.
const lockTimeout = time.Second

// verifySize compares the file's length with what its meta page says.
func verifySize(path string, size int64) (err error) {
	db, err := bbolt.Open(path, 0o600, readOnly())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("%d bytes are missing at its end", tx.Size()-size)
		}
		return nil
	})
}

func verifyEntries(store *raftboltdb.BoltStore) (first, last uint64, err error) {
	if first, err = store.FirstIndex(); err != nil {
		return 0, 0, err
	}
	if last, err = store.LastIndex(); err != nil || last == 0 {
		return 0, 0, err
	}
	for i := first; i <= last; i++ {
		var entry raft.Log
		if err := store.GetLog(i, &entry); err != nil {
			return 0, 0, fmt.Errorf("entry %d: %w", i, err)
		}
		if entry.Index != i {
			return 0, 0, fmt.Errorf("entry %d: claims to be %d", i, entry.Index)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if err := fsm.CheckEntry(entry.Data); err != nil {
			return 0, 0, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return first, last, nil
}
