package cluster

import (
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// truncationWatch ends the replica when entries that another leader has overruled are removed, but those in
// their place cannot be written. hashicorp/raft then still counts the removed ones (raft.go, appendEntries,
// says so in a TODO): it refuses every leader from then on, or, as leader, would leave a hole in the log,
// after which it could never start again. What it has in memory is right again after a start.
type truncationWatch struct {
	raft.LogStore
	dir       string // the data path
	failed    func(error)
	truncated atomic.Bool // the end of the log was removed, and nothing was written since
}

// DeleteRange implements raft.LogStore. A deletion that has failed may have happened.
func (w *truncationWatch) DeleteRange(first, last uint64) error {
	if end, err := w.LastIndex(); err == nil && last < end {
		return w.LogStore.DeleteRange(first, last) // a compaction
	}
	w.truncated.Store(true)
	return w.check(w.LogStore.DeleteRange(first, last))
}

// StoreLog implements raft.LogStore.
func (w *truncationWatch) StoreLog(entry *raft.Log) error { return w.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (w *truncationWatch) StoreLogs(logs []*raft.Log) error {
	if err := w.check(w.LogStore.StoreLogs(logs)); err != nil {
		return err
	}
	w.truncated.Store(false)
	return nil
}

// check returns the error of a write. The replica ends if the log's end was removed before.
func (w *truncationWatch) check(err error) error {
	if err != nil && w.truncated.Load() {
		w.failed(fmt.Errorf("data path %s: log store: cannot replace entries that were overruled (%w); this replica ends, because "+
			"only a start reads what its log has now: %s", w.dir, err, makeRoom))
	}
	return err
}
