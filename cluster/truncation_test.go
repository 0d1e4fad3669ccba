package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// A write that fails once after the log's end was removed leaves the library stuck: it counts entries that
// are not there. With the watch the replica ends, and is well after its next start.
func TestWriteFailsAfterATruncation(t *testing.T) {
	final, thirteen, _ := crashBranches(t)
	for name, c := range map[string]struct {
		passes int  // writes before the one that fails: the deletion, the entries
		lands  bool // all the same
		watch  bool
	}{
		"the entries":                        {passes: 1, watch: true},
		"the entries, which land":            {passes: 1, lands: true, watch: true},
		"the deletion, which happens":        {lands: true, watch: true},
		"the entries, in the library itself": {passes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashPath(t)
			var ended error
			fault := &faultLog{}
			n := startCrashNodeOn(t, dir, crashOptions{trailing: trailingLogs, wrap: func(log raft.LogStore) raft.LogStore {
				fault.LogStore = log
				if !c.watch {
					return fault
				}
				return &truncationWatch{LogStore: fault, dir: dir, failed: func(err error) { ended = err }}
			}})
			n.append(final, 2, 1, 12, 12)
			n.append(thirteen, 3, 13, 16, 12)
			writes := 0
			fault.spoil(func(write func() error) error {
				if writes++; writes <= c.passes {
					return write()
				}
				if c.lands {
					return errors.Join(write(), errSpoiled)
				}
				return errSpoiled
			})
			if n.append(final, 4, 13, 14, 12).Success {
				t.Error("the entries were taken")
			}
			fault.spoil(nil)
			if (ended != nil) != c.watch {
				t.Errorf("it ended with %v", ended)
			}
			if ended != nil {
				if text := ended.Error(); !strings.Contains(text, dir) || !strings.Contains(text, "make room") {
					t.Errorf("it says %s", text)
				}
			} else if err := n.lead(final, 5, 1); err == nil {
				t.Error("the library goes on: is the watch needed?")
			}
			n.close()
			n = startCrashNode(t, dir, trailingLogs, nil, false)
			defer n.close()
			if err := n.lead(final, 6, 1); err != nil {
				t.Errorf("after a start: %v", err)
			}
		})
	}
}

// Compactions and failures at other times are the watchdog's of the disk.
func TestTruncationWatchLeavesOthersAlone(t *testing.T) {
	fault := &faultLog{LogStore: raft.NewInmemStore()}
	w := &truncationWatch{LogStore: fault, failed: func(err error) { t.Errorf("it ended: %v", err) }}
	spoiled := func(err error) {
		t.Helper()
		if !errors.Is(err, errSpoiled) {
			t.Errorf("error %v", err)
		}
	}
	if err := w.StoreLogs(entriesOf(1, 1, 9)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.DeleteRange(1, 3), w.DeleteRange(8, 9), w.StoreLogs(entriesOf(2, 8, 8))); err != nil {
		t.Fatal(err)
	}
	fault.spoil(func(func() error) error { return errSpoiled })
	spoiled(w.StoreLog(entriesOf(2, 9, 9)[0]))
	spoiled(w.DeleteRange(4, 5))
}

// A leader that was cut off has entries that are overruled when it is back. Its disk fails once, just then.
func TestReplicaEndsWhenItsTruncationFails(t *testing.T) {
	c := newSickTrio(t, nil)
	var sick int
	var old *Replica
	var own uint64
	eventually.True(t, 2*soon, "a leader that is cut off writes an entry", func() error {
		c.heal()
		sick = c.choose("leader")
		old = c.replicas[sick]
		own = old.raft.LastIndex() + 1
		c.part(old, true)
		if err := old.raft.Apply(fsm.EncodeDecisions(), soon).Error(); old.raft.LastIndex() < own {
			return fmt.Errorf("it was deposed before: %w", err)
		}
		return nil
	})
	next := c.leader(c.others(sick)...)
	change(t, next, fsm.CreateTopic("instead"))
	eventually.True(t, soon, "the others' log is longer", func() error {
		if at := next.raft.LastIndex(); at >= own {
			return nil
		}
		return errors.Join(errors.New("it is not"), next.Change(t.Context(), fsm.CreateTopic("instead")))
	})
	writes := 0
	c.logs[sick].spoil(func(write func() error) error {
		if writes++; writes == 2 {
			return errSpoiled
		}
		return write()
	})
	c.heal()
	select {
	case err := <-old.Failed():
		if !strings.Contains(err.Error(), "overruled") {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(soon):
		t.Error("it does not end")
	}
}
