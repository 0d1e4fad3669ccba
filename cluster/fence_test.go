package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// The identity is older than the log, as after a restore of that file alone: the replica takes a
// greater incarnation than the registry knows, and nothing of this life or of those is lost.
func TestOlderIdentity(t *testing.T) {
	for _, forgotten := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(forgotten), func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			mustClose(t, openReady(t, cfg))
			old, known := identityOf(t, cfg.DataPath), uint64(0)
			for life := range forgotten {
				r := openReady(t, cfg)
				for n := range 20 {
					register(t, session(t, r, life), fmt.Sprintf("topic-%d", n), "")
				}
				known = r.Status().Incarnation
				mustClose(t, r)
			}
			writeIdentity(t, cfg.DataPath, old)
			checkOlderIdentity(t, open(t, cfg), known)
		})
	}
}

func checkOlderIdentity(t *testing.T, r *Replica, known uint64) {
	early := session(t, r, 7) // before it knows
	register(t, early, "topic-0", "channel")
	done := make(chan struct{})
	go func() { // what /cluster/status asks meanwhile
		defer close(done)
		for range 200 {
			_ = r.Status()
		}
	}()
	waitReady(t, r)
	<-done
	register(t, early, "topic-1", "")
	now := read(t, r)
	if !lists(now, "topic-0", 7) || !lists(now, "topic-1", 7) || !lists(now, "topic-19", 0) {
		t.Errorf("the registry has %s", listings(now))
	}
	got := r.Status().Incarnation
	if kept := identityOf(t, r.data.dir).Incarnation; got <= known || got != kept {
		t.Errorf("incarnation %d, in the data path %d, the log knows %d", got, kept, known)
	}
	if r.LastUpdate(fsm.SessionKey{Replica: r.ID(), Incarnation: got, Number: early.number}) == 0 {
		t.Error("the session that came early is not found under the new incarnation")
	}
	select {
	case err := <-r.Failed():
		t.Error(err)
	default:
	}
}

// Several batches of the old incarnation may be on their way when the new one begins: their
// refusals come late and mean nothing.
func TestLateRefusalsOfAnOlderIncarnation(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	settle(t, r)
	before := r.Status().Incarnation
	for _, known := range []uint64{before - 1, before} {
		if err := r.fenced(&fsm.IncarnationError{Known: known}); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	if got := r.Status().Incarnation; got != before {
		t.Errorf("incarnation %d, want %d", got, before)
	}
	register(t, session(t, r, 1), "topic", "")
	if !lists(read(t, r), "topic", 1) {
		t.Error("not listed")
	}
}

// Somebody else under the same id: this replica ends, and says why on one line.
func TestSomebodyElseUnderTheSameID(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	other := fsm.Header{Replica: r.ID(), Incarnation: r.Status().Incarnation + 1, First: 1}
	entry := other.AppendEntry(nil, 1, fsm.AppendChange(nil, fsm.OpenReplica("r1")))
	if err := r.raft.Apply(entry, soon).Error(); err != nil {
		t.Fatal(err)
	}
	register(t, session(t, r, 1), "topic", "")
	select {
	case err := <-r.Failed():
		for _, part := range []string{r.ID(), "stop one of the two", "never copy a data path"} {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error does not say %q on one line: %v", part, err)
			}
		}
	case <-time.After(soon):
		t.Fatal("the replica goes on")
	}
	mustClose(t, r)
	eventually.True(t, soon, "again", func() error {
		again, err := openListening(cfg)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = again.Close() })
		waitReady(t, again)
		return nil
	})
}
