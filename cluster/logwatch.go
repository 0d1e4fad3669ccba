package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// writeLimit is how long a write of the log may take.
	writeLimit = 10 * time.Second
	// failureLimit is how many writes in a row may fail.
	failureLimit = 3
)

// watchedLog ends the replica when its log cannot be written. hashicorp/raft issues 503, 614 and
// 666: a leader whose disk hangs goes on sending heartbeats from other goroutines, so that nobody
// else is elected; one whose disk fails steps down and is elected again. The write is not turned
// into an error while it still goes on: it might land in a later term.
type watchedLog struct {
	raft.LogStore
	failed func(error)
	limit  time.Duration // for one write

	mu       sync.Mutex
	failures int
}

// StoreLog implements raft.LogStore.
func (w *watchedLog) StoreLog(l *raft.Log) error { return w.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (w *watchedLog) StoreLogs(logs []*raft.Log) error {
	return w.watch("write entries", func() error { return w.LogStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (w *watchedLog) DeleteRange(first, last uint64) error {
	return w.watch("delete entries", func() error { return w.LogStore.DeleteRange(first, last) })
}

func (w *watchedLog) watch(what string, write func() error) error {
	hung := time.AfterFunc(w.limit, func() {
		w.failed(fmt.Errorf("log store: to %s takes longer than %s: the disk hangs; this replica ends so that others can lead",
			what, w.limit))
	})
	defer hung.Stop()
	err := write()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.failures = 0
		return nil
	}
	if w.failures++; w.failures >= failureLimit {
		w.failed(fmt.Errorf("log store: cannot %s %d times in a row (%w): make room or replace the disk, then start again",
			what, w.failures, err))
	}
	return err
}
