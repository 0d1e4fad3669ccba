package cluster

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func newAnchored(t *testing.T, newest entryMark, entries ...*raft.Log) *anchoredLog {
	t.Helper()
	below := raft.NewInmemStore()
	if err := below.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	return &anchoredLog{below, func() entryMark { return newest }}
}

// The entry that stands for a snapshot's last is never one that a leader could send.
func TestAnchorAnswersForTheSnapshotsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		newest   entryMark
		first    uint64 // of the log, which has three entries of term 3; 0: empty
		ask      uint64
		wantTerm uint64 // 0: not found
	}{
		"log follows":          {entryMark{6, 2}, 7, 6, 2},
		"log is empty":         {entryMark{6, 2}, 0, 6, 2},
		"no snapshot":          {entryMark{}, 7, 6, 0},
		"no entry 0":           {entryMark{}, 1, 0, 0},
		"before the end":       {entryMark{6, 2}, 7, 5, 0},
		"after the end":        {entryMark{6, 2}, 0, 7, 0},
		"in the log":           {entryMark{6, 2}, 5, 6, 3},
		"the one before is in": {entryMark{6, 2}, 3, 6, 0},
		"the first of all":     {entryMark{1, 2}, 2, 1, 0},
	} {
		var entries []*raft.Log
		if c.first > 0 {
			entries = entriesOf(3, c.first, c.first+2)
		}
		l := newAnchored(t, c.newest, entries...)
		var got raft.Log
		err := l.GetLog(c.ask, &got)
		if c.wantTerm == 0 {
			if !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("%s: %+v, error %v", name, got, err)
			}
		} else if err != nil || got.Index != c.ask || got.Term != c.wantTerm || c.wantTerm == c.newest.term && len(got.Data) > 0 {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}

// No write leaves a hole, also not one after entries that Raft does not know of.
func TestNoWriteLeavesAHole(t *testing.T) {
	for name, c := range map[string]struct {
		newest    uint64
		has       uint64 // the log is 1 to here
		write     uint64
		wantFirst uint64 // 0: refused
	}{
		"the next":                {0, 3, 4, 1},
		"the first":               {0, 0, 1, 1},
		"over the last":           {0, 3, 3, 1},
		"after the snapshot":      {9, 3, 10, 10},
		"right after, by one":     {4, 3, 5, 5},
		"into an empty log":       {9, 0, 10, 10},
		"beyond the snapshot":     {8, 3, 10, 0},
		"beyond, the log empty":   {8, 0, 10, 0},
		"with no snapshot at all": {0, 3, 5, 0},
	} {
		l := newAnchored(t, entryMark{c.newest, 1}, entriesOf(1, 1, c.has)...)
		err := l.StoreLog(entriesOf(2, c.write, c.write)[0])
		first, _ := l.FirstIndex()
		last, _ := l.LogStore.LastIndex()
		switch {
		case c.wantFirst == 0:
			if err == nil || last != c.has {
				t.Errorf("%s: error %v, log %d to %d", name, err, first, last)
			}
		case err != nil || first != c.wantFirst || last != max(c.write, c.has):
			t.Errorf("%s: error %v, log %d to %d", name, err, first, last)
		}
	}
}

// The watchdog removes what a failed write has left, under an installed snapshot: the write after that
// would leave a hole.
func TestNoHoleAfterAFailedWriteUnderASnapshot(t *testing.T) {
	below := newAnchored(t, entryMark{12, 1}, entriesOf(1, 1, 10)...)
	l := &watchedLog{LogStore: &faultLog{LogStore: below}, diskWatch: &diskWatch{limit: soon, failed: func(error) {}}}
	l.LogStore.(*faultLog).spoil(func(write func() error) error { return errors.Join(write(), errSpoiled) })
	if err := l.StoreLogs(entriesOf(1, 11, 15)); err == nil {
		t.Fatal("the write did not fail")
	}
	l.LogStore.(*faultLog).spoil(nil)
	if err := l.StoreLogs(entriesOf(1, 13, 14)); err != nil {
		t.Fatal(err)
	}
	if first, _ := l.FirstIndex(); first != 13 {
		t.Errorf("the log begins at %d", first)
	}
}

// A replica that has just installed a snapshot, and hears of no entry, takes none of its own.
func TestNoSnapshotsWhileTheLogIsEmpty(t *testing.T) {
	final, _, _ := crashBranches(t)
	for life, what := range []string{"after the snapshot", "after a start"} {
		dir := crashPath(t)
		n := startCrashNode(t, dir, trailingLogs, nil, false)
		n.append(final, 2, 1, 12, 12)
		n.install(final, 4, 40)
		if life == 1 {
			n.close()
			n = startCrashNode(t, dir, trailingLogs, nil, false)
		}
		err := n.ReloadConfig(raft.ReloadableConfig{TrailingLogs: trailingLogs, SnapshotInterval: 5 * time.Millisecond, SnapshotThreshold: 8,
			HeartbeatTimeout: time.Hour, ElectionTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		_ = n.Snapshot().Error() // the interval before this one is long
		before := tree(t, filepath.Join(dir, snapshotDir))
		changed := ""
		if happens(200*time.Millisecond, func() bool {
			changed = difference(before, tree(t, filepath.Join(dir, snapshotDir)))
			return changed != ""
		}) {
			t.Errorf("%s it takes snapshots: %s", what, changed)
		}
		if err := n.lead(final, 9, 1); err != nil {
			t.Error(err)
		}
		n.close()
	}
}
