package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// anchoredLog is a log without holes that knows which entry it follows: the last one of a snapshot.
//
// hashicorp/raft keeps no entry at the end of a snapshot that was installed. When entries were appended
// after it that a new leader does not have, the leader asks for the entry before them, which is the
// snapshot's last. The library knows that entry's term only while nothing follows it (raft.go,
// appendEntries), so the leader is refused, sends the snapshot again, and is refused again, for ever
// (issue 697). Here that entry is answered for.
type anchoredLog struct {
	raft.LogStore
	newest func() entryMark // of the snapshots, on disk and whole
}

// GetLog implements raft.LogStore. The entry that stands for a snapshot's last has no content. It is never
// sent to another replica, because a leader sends an entry only with the one before it, which is not there.
func (l *anchoredLog) GetLog(index uint64, entry *raft.Log) error {
	err := l.LogStore.GetLog(index, entry)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	anchor := l.newest()
	if anchor.index != index || index <= 1 { // the first entry is sent without one before it
		return err
	}
	if first, e := l.FirstIndex(); e != nil || first > 0 && first <= index {
		return err
	}
	*entry = raft.Log{Index: index, Term: anchor.term, Type: raft.LogNoop}
	return nil
}

// LastIndex implements raft.LogStore: the snapshot's end while the log is empty. The library subtracts the
// one from the other (snapshot.go, shouldSnapshot), and below 0 it takes a snapshot at each interval.
func (l *anchoredLog) LastIndex() (uint64, error) {
	last, err := l.LogStore.LastIndex()
	if err != nil || last > 0 {
		return last, err
	}
	if end := l.newest().index; end > 1 { // GetLog answers for it
		return end, nil
	}
	return 0, nil
}

// StoreLogs implements raft.LogStore. Entries that would leave a hole take the place of all others, if a
// snapshot covers the hole. After a crash in between, the log is empty and the snapshot is there.
func (l *anchoredLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	last, err := l.LogStore.LastIndex()
	if err != nil {
		return err
	}
	if next := logs[0].Index; next > last+1 {
		if covered := l.newest().index; covered < next-1 {
			return fmt.Errorf("entry %d does not follow: the log ends at %d, the newest snapshot at %d", next, last, covered)
		}
		if err := l.deleteTo(last); err != nil {
			return err
		}
	}
	return l.LogStore.StoreLogs(logs)
}

// StoreLog implements raft.LogStore.
func (l *anchoredLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l *anchoredLog) deleteTo(last uint64) error { return deleteTo(l.LogStore, last) }

// deleteTo deletes the log's entries up to an index.
func deleteTo(log raft.LogStore, last uint64) error {
	first, err := log.FirstIndex()
	if err != nil || first == 0 || first > last {
		return err
	}
	return log.DeleteRange(first, last)
}
