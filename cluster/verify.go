package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

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
		return logState{}, d.damaged(logFile, err)
	}
	return state, nil
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

// damaged returns the error about a part of the data path that is not as it was written, or that cannot be
// got at.
func (d *dataPath) damaged(what string, err error) error {
	if unreachable(err) {
		return dataError(d.dir, "%s cannot be read (%w): %s", what, err, checkDisk)
	}
	return dataError(d.dir, "%s is truncated or corrupt (%w): %s", what, err, moveAway)
}

// unreachable reports whether an error is about the way to the data: the data may be sound.
func unreachable(err error) bool {
	for _, reason := range []error{unix.EACCES, unix.EPERM, unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, bolterrors.ErrTimeout} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
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
