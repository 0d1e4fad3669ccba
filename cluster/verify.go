package cluster

import (
	"bytes"
	"encoding/binary"
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
func (d *dataPath) verify(snapshots raft.SnapshotStore) (logState, error) {
	newest, err := d.verifySnapshots(snapshots)
	if err != nil {
		return logState{}, err
	}
	state, err := d.verifyLog()
	if errors.Is(err, fsm.ErrTooNew) {
		return logState{}, dataError(d.dir, "%s: %w", logFile, err)
	}
	if err == nil {
		state.snapshot, state.bootstrapped = newest, d.is.Bootstrapped
		err = state.check()
	}
	if err != nil {
		return logState{}, dataError(d.dir, "%s is truncated or corrupt (%w): %s", logFile, err, moveAway)
	}
	return state, nil
}

// verifySnapshots checks the newest snapshot's checksum and content and returns where it ends.
func (d *dataPath) verifySnapshots(store raft.SnapshotStore) (entryMark, error) {
	damaged := func(id string, err error) error {
		return dataError(d.dir, "snapshot %s is truncated or corrupt (%w): %s", id, err, moveAway)
	}
	list, err := store.List()
	if err != nil {
		return entryMark{}, dataError(d.dir, "cannot list snapshots: %w: %s", err, checkDisk)
	}
	known := make(map[string]bool)
	for _, meta := range list {
		known[meta.ID] = true
		if !strings.HasPrefix(meta.ID, fmt.Sprintf("%d-%d-", meta.Term, meta.Index)) { // of meta.json nothing has a checksum
			return entryMark{}, damaged(meta.ID, errors.New("its meta.json does not fit its name"))
		}
	}
	entries, err := os.ReadDir(d.file(snapshotDir))
	if err != nil {
		return entryMark{}, dataError(d.dir, "cannot read %s: %w: %s", snapshotDir, err, checkDisk)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && !known[e.Name()] && len(list) < retainSnapshots {
			return entryMark{}, damaged(e.Name(), errors.New("its meta.json cannot be read"))
		}
	}
	if len(list) == 0 {
		return entryMark{}, nil
	}
	_, source, err := store.Open(list[0].ID) // reads all of it
	if err != nil {
		return entryMark{}, damaged(list[0].ID, err)
	}
	registry := fsm.New()
	err = errors.Join(registry.Restore(source), source.Close())
	if covers := registry.State().Index(); err == nil && covers > list[0].Index {
		err = fmt.Errorf("it holds entry %d", covers)
	}
	switch {
	case errors.Is(err, fsm.ErrTooNew):
		return entryMark{}, dataError(d.dir, "snapshot %s: %w", list[0].ID, err)
	case err != nil:
		return entryMark{}, damaged(list[0].ID, err)
	}
	return entryMark{list[0].Index, list[0].Term}, nil
}

// verifyLog reads every entry and the term. The file is mapped into memory: a page that is missing from it
// is a fault, which is turned into an error here.
func (d *dataPath) verifyLog() (state logState, err error) {
	path := d.file(logFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !d.is.Bootstrapped {
		return logState{}, nil
	}
	if err != nil {
		return logState{}, err
	}
	if info.Size() == 0 && !d.is.Bootstrapped {
		return logState{}, nil // the first start was cut short
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable: %v", r)
		}
	}()
	pages, err := verifyPages(path, info.Size())
	if err != nil || pages.buckets == 0 && !d.is.Bootstrapped { // likewise
		return logState{}, err
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: readOnly()})
	if err != nil {
		return logState{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if state.spans, err = verifyEntries(store, pages.entries); err != nil {
		return logState{}, err
	}
	if state.term, err = store.GetUint64([]byte(termKey)); err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return logState{}, fmt.Errorf("read the term: %w", err)
	}
	return state, nil
}

func readOnly() *bbolt.Options { return &bbolt.Options{ReadOnly: true, Timeout: lockTimeout} }

// lockTimeout bounds the wait for bbolt's own file lock; the data path's lock is held already.
const lockTimeout = time.Second

// verifyPages compares the file's length with what its meta page says, and touches every page:
// what is wrong with one is an error here, but later would end the process, in a goroutine of the
// library's.
func verifyPages(path string, size int64) (found pages, err error) {
	db, err := bbolt.Open(path, 0o600, readOnly())
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("%d bytes are missing at its end", tx.Size()-size)
		}
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			found.buckets++
			return verifyKeys(b, func(key []byte) error {
				if string(name) != logsBucket {
					return nil
				}
				return found.add(key)
			})
		})
	})
	return found, err
}

// logsBucket is raft-boltdb's: its keys are the indexes of the entries.
const logsBucket = "logs"

// pages is what verifyPages has found.
type pages struct {
	buckets int
	entries []span // consecutive indexes; their terms are not known yet
}

// add takes note of the next entry's key.
func (p *pages) add(key []byte) error {
	if len(key) != 8 {
		return fmt.Errorf("the key of an entry has %d bytes", len(key))
	}
	index := binary.BigEndian.Uint64(key)
	if n := len(p.entries); n > 0 && p.entries[n-1].last+1 == index {
		p.entries[n-1].last = index
		return nil
	}
	p.entries = append(p.entries, span{first: index, last: index})
	return nil
}

func verifyKeys(b *bbolt.Bucket, each func(key []byte) error) error {
	var last []byte
	return b.ForEach(func(k, _ []byte) error {
		if last != nil && bytes.Compare(k, last) <= 0 {
			return errors.New("keys are out of order")
		}
		last = k
		return each(k)
	})
}

// verifyEntries reads the entries of all those indexes and returns them by term.
func verifyEntries(store *raftboltdb.BoltStore, indexes []span) ([]span, error) {
	var spans []span
	for _, found := range indexes {
		for i := found.first; i <= found.last; i++ {
			var entry raft.Log
			if err := store.GetLog(i, &entry); err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			if entry.Index != i {
				return nil, fmt.Errorf("entry %d: claims to be %d", i, entry.Index)
			}
			if err := verifyEntry(&entry); err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			spans = appendEntry(spans, entryMark{i, entry.Term})
		}
	}
	return spans, nil
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
