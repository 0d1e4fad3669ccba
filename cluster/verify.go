package cluster

import (
	"bytes"
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
	case !d.is.Bootstrapped:
	case last == 0 && snapshot == 0:
		return dataError(d.dir, "%s has lost all entries: %s", logFile, moveAway)
	case first > snapshot+1:
		return dataError(d.dir, "%s begins at entry %d, but the newest snapshot ends at %d: %s", logFile, first, snapshot, moveAway)
	}
	return nil
}

// verifySnapshots checks the newest snapshot's checksum and content and returns its index, 0 for
// none.
func (d *dataPath) verifySnapshots(store raft.SnapshotStore) (uint64, error) {
	damaged := func(id string, err error) error {
		return dataError(d.dir, "snapshot %s is truncated or corrupt (%w): %s", id, err, moveAway)
	}
	list, err := store.List()
	if err != nil {
		return 0, dataError(d.dir, "cannot list snapshots: %w: %s", err, checkDisk)
	}
	known := make(map[string]bool)
	for _, meta := range list {
		known[meta.ID] = true
	}
	entries, err := os.ReadDir(d.file(snapshotDir))
	if err != nil {
		return 0, dataError(d.dir, "cannot read %s: %w: %s", snapshotDir, err, checkDisk)
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
	err = errors.Join(fsm.New().Restore(source), source.Close())
	switch {
	case errors.Is(err, fsm.ErrTooNew):
		return 0, dataError(d.dir, "snapshot %s: %w", list[0].ID, err)
	case err != nil:
		return 0, damaged(list[0].ID, err)
	}
	return list[0].Index, nil
}

// verifyLog reads every entry. The file is mapped into memory: a page that is missing from it is a
// fault, which is turned into an error here.
func (d *dataPath) verifyLog() (first, last uint64, err error) {
	path := d.file(logFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !d.is.Bootstrapped {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if info.Size() == 0 && !d.is.Bootstrapped {
		return 0, 0, nil // the first start was cut short
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable: %v", r)
		}
	}()
	buckets, err := verifyPages(path, info.Size())
	if err != nil || buckets == 0 && !d.is.Bootstrapped { // likewise
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

// verifyPages compares the file's length with what its meta page says, and touches every page:
// what is wrong with one is an error here, but later would end the process, in a goroutine of the
// library's.
func verifyPages(path string, size int64) (buckets int, err error) {
	db, err := bbolt.Open(path, 0o600, readOnly())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("%d bytes are missing at its end", tx.Size()-size)
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			buckets++
			return verifyKeys(b)
		})
	})
	return buckets, err
}

func verifyKeys(b *bbolt.Bucket) error {
	var last []byte
	return b.ForEach(func(k, _ []byte) error {
		if last != nil && bytes.Compare(k, last) <= 0 {
			return errors.New("keys are out of order")
		}
		last = k
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
	var term uint64
	for i := first; i <= last; i++ {
		var entry raft.Log
		if err := store.GetLog(i, &entry); err != nil {
			return 0, 0, fmt.Errorf("entry %d: %w", i, err)
		}
		if entry.Index != i {
			return 0, 0, fmt.Errorf("entry %d: claims to be %d", i, entry.Index)
		}
		if entry.Term < term {
			return 0, 0, fmt.Errorf("entry %d: its term is %d, after %d", i, entry.Term, term)
		}
		term = entry.Term
		if err := verifyEntry(&entry); err != nil {
			return 0, 0, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return first, last, nil
}

func verifyEntry(entry *raft.Log) error {
	switch {
	case entry.Type == raft.LogCommand:
		return fsm.CheckEntry(entry.Data)
	case entry.Type != raft.LogConfiguration && len(entry.Data) > 0:
		return fmt.Errorf("%d bytes in an entry of type %s, which has none", len(entry.Data), entry.Type)
	}
	return nil
}
