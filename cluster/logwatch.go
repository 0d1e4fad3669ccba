package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// writeLimit is how long a write of the log may take.
	writeLimit = 10 * time.Second
	// stallLimit is how long a leader's write of entries may take before it stops telling the others that
	// it leads.
	stallLimit = 3 * time.Second
	// failureLimit is how many writes in a row may fail.
	failureLimit = 3
)

// diskWatch ends the replica when its disk cannot be written. hashicorp/raft issues 503, 614 and
// 666: a leader whose disk hangs goes on sending heartbeats from other goroutines, so that nobody
// else is elected; one whose disk fails steps down and is elected again. The write is not turned
// into an error while it still goes on: it might land in a later term.
//
// Long before that a leader whose write of entries hangs falls silent, as if its process were paused:
// the others elect a leader then. When the write ends, it goes on as any leader after a pause, and
// steps down once it hears of the newer term.
type diskWatch struct {
	dir    string // the data path
	failed func(error)
	limit  time.Duration             // for one write
	began  atomic.Pointer[time.Time] // of the write of entries that goes on; nil for none

	mu       sync.Mutex
	failures int
	gone     error // why the replica ends
}

func (w *diskWatch) watch(what string, write func() error) error {
	hung := time.AfterFunc(w.limit, func() {
		w.giveUp(fmt.Errorf("to %s takes longer than %s: the disk hangs; this replica ends so that others can lead: "+
			"check or replace the disk, then start again", what, w.limit))
	})
	defer hung.Stop()
	err := write()
	if n := w.count(err); n >= failureLimit {
		w.giveUp(fmt.Errorf("cannot %s %d times in a row (%w): %s", what, n, err, makeRoom))
	}
	return err
}

// errStalled is what a leader's heartbeats fail with while its disk hangs.
var errStalled = errors.New("not sent: a write of this replica's log hangs, so another is to lead")

// stalled returns an error while a write of entries takes longer than stallLimit.
func (w *diskWatch) stalled() error {
	if w == nil {
		return nil
	}
	if began := w.began.Load(); began != nil && time.Since(*began) > stallLimit {
		return errStalled
	}
	return nil
}

// makeRoom is what to do when a write has failed.
const makeRoom = "make room or replace the disk, then start again"

// count returns how many writes in a row have failed.
func (w *diskWatch) count(err error) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	if err == nil {
		w.failures = 0
	}
	return w.failures
}

// giveUp ends the replica, the first time.
func (w *diskWatch) giveUp(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone == nil {
		w.gone = fmt.Errorf("data path %s: log store: %w", w.dir, err)
		w.failed(w.gone)
	}
}

func (w *diskWatch) gaveUp() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// watchedLog is a log whose writes are watched.
type watchedLog struct {
	raft.LogStore
	*diskWatch
	// failedAt is where a write began that has failed, 0 for none. It may have landed all the same:
	// Raft does not know of those entries, and what it writes in their place may be fewer.
	failedAt uint64
}

// StoreLog implements raft.LogStore.
func (w *watchedLog) StoreLog(l *raft.Log) error { return w.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. Raft calls it from one goroutine.
func (w *watchedLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	now := time.Now()
	w.began.Store(&now)
	defer w.began.Store(nil)
	err := w.watch("write entries", func() error {
		if err := w.removeLanded(); err != nil {
			return err
		}
		return w.LogStore.StoreLogs(logs)
	})
	if err != nil && w.failedAt == 0 {
		w.failedAt = logs[0].Index
	}
	if err != nil && logs[0].Index == 1 {
		// A bootstrap has written its term before: it would be taken for done when it is tried again.
		w.giveUp(fmt.Errorf("cannot write the first entry (%w): %s", err, makeRoom))
	}
	return err
}

// removeLanded deletes what a write has left behind that failed.
func (w *watchedLog) removeLanded() error {
	if w.failedAt == 0 {
		return nil
	}
	last, err := w.LastIndex()
	if err == nil && last >= w.failedAt {
		err = w.LogStore.DeleteRange(w.failedAt, last)
	}
	if err == nil {
		w.failedAt = 0
	}
	return err
}

// DeleteRange implements raft.LogStore.
func (w *watchedLog) DeleteRange(first, last uint64) error {
	return w.watch("delete entries", func() error { return w.LogStore.DeleteRange(first, last) })
}

// watchedStable watches the writes of the term and of votes. The library panics when it cannot save
// a term (raft.go, setCurrentTerm), as every replica must whose disk has just failed and that hears
// of the next election.
type watchedStable struct {
	raft.StableStore
	*diskWatch
}

// termKey is the library's (raft.go).
const termKey = "CurrentTerm"

// bootstrapTerm is written by a bootstrap only, which hands an error on.
const bootstrapTerm = 1

// Set implements raft.StableStore.
func (w *watchedStable) Set(key, value []byte) error {
	return w.watch("write a vote", func() error { return w.StableStore.Set(key, value) })
}

// GetUint64 implements raft.StableStore. A replica that ends neither votes nor tries a bootstrap again:
// the library reads first for both.
func (w *watchedStable) GetUint64(key []byte) (uint64, error) {
	if err := w.gaveUp(); err != nil {
		return 0, err
	}
	return w.StableStore.GetUint64(key)
}

// SetUint64 implements raft.StableStore. A term that cannot be written after some attempts ends the
// goroutine, which is Raft's main one, instead of the process: so the replica can close, and nothing
// is answered in a term that the disk does not know. A term that is there already is not written: a
// start saves the one that it has read, and that goroutine is not Raft's.
func (w *watchedStable) SetUint64(key []byte, n uint64) error {
	if string(key) != termKey { // a vote's, which voteStore only holds back
		return w.StableStore.SetUint64(key, n)
	}
	if known, _ := w.StableStore.GetUint64(key); known == n {
		return nil
	}
	for range failureLimit {
		err := w.watch("write the term", func() error { return w.StableStore.SetUint64(key, n) })
		if err == nil || n == bootstrapTerm {
			return err
		}
	}
	runtime.Goexit()
	return nil
}
