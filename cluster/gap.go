package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// The library removes from the log what a snapshot covers only when the log is long (snapshot.go,
// compactLogs). After a snapshot from the leader the log is then old entries, a hole, and new ones. Such a
// log is legal, but nobody can use what is below the hole. So it is removed: before the first entry is
// appended after the snapshot, and at the start from a data path that has a hole already.
//
// The library would do that by itself for a store that calls itself monotonic, but would then remove what
// is above the snapshot too: entries that this replica has acknowledged, when a snapshot arrives late.

// closeGap removes from the log what the newest snapshot has made obsolete. Raft must not run. The
// snapshot was read whole before. It returns up to which index the log was removed, 0 for nothing.
func (s *stores) closeGap() (upTo uint64, err error) {
	upTo = s.found.obsolete()
	if upTo == 0 {
		return 0, nil
	}
	if err := s.snapshots.sync(); err != nil {
		return 0, fmt.Errorf("sync the snapshots: %w", err)
	}
	if err := deleteTo(s.log, upTo); err != nil {
		return 0, fmt.Errorf("remove entries that the snapshot covers: %w", err)
	}
	return upTo, nil
}

// closeGap closes the gap of its stores, and logs that.
func (r *Replica) closeGap() error {
	upTo, err := r.stores.closeGap()
	if err != nil {
		return dataError(r.data.dir, "cannot be put in order: %w: %s", err, checkDisk)
	}
	if upTo > 0 {
		r.log.Info("removed entries that a snapshot has made obsolete from the log", "up_to", upTo,
			"snapshot", r.stores.found.snapshot.index)
	}
	return nil
}

// follow removes from the log what a snapshot has made obsolete that was installed while Raft runs, and
// is restored. What is above the snapshot stays: the library has its index in memory, and removes it when
// the leader sends other entries in its place.
func (s *stores) follow() error {
	if s.written == nil {
		return nil
	}
	state := logState{snapshot: s.snapshots.newest()}
	var err error
	if state.spans, err = aroundSnapshot(s.log, state.snapshot.index); err != nil {
		return err
	}
	return deleteTo(s.written, min(state.obsolete(), state.snapshot.index))
}

// aroundSnapshot returns what logState.obsolete needs to know of a log without holes: its ends, and the
// term at an index.
func aroundSnapshot(log raft.LogStore, at uint64) ([]span, error) {
	first, err := log.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := log.LastIndex()
	if err != nil || last == 0 {
		return nil, err
	}
	var entry raft.Log
	if err := log.GetLog(min(max(at, first), last), &entry); err != nil {
		return nil, err
	}
	return []span{{first, last, entry.Term}}, nil
}
