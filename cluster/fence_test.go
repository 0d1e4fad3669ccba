package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// The identity is older than the log, as after a restore of that file alone: the replica takes the
// incarnation after the one that the registry knows.
func TestOlderIdentity(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	register(t, session(t, r, 0), "topic", "")
	mustClose(t, r)
	old := identityOf(t, cfg.DataPath)
	for n := range 3 {
		r := openReady(t, cfg)
		register(t, session(t, r, n), "topic", "")
		mustClose(t, r)
	}
	writeIdentity(t, cfg.DataPath, old)

	r = open(t, cfg)
	early := session(t, r, 7) // before it knows
	register(t, early, "topic", "channel")
	done := make(chan struct{})
	go func() { // what /cluster/status asks meanwhile
		defer close(done)
		for range 200 {
			_ = r.Status(Addresses{})
		}
	}()
	waitReady(t, r)
	<-done
	if !lists(read(t, r), "topic", 7) || !lists(read(t, r), "topic", 1) {
		t.Errorf("the registry has %s", listings(read(t, r)))
	}
	if got := r.Status(Addresses{}).Incarnation; got != 5 {
		t.Errorf("incarnation %d, want 5", got)
	}
	if got := identityOf(t, cfg.DataPath).Incarnation; got != 5 {
		t.Errorf("incarnation %d in the data path, want 5", got)
	}
	key := fsm.SessionKey{Replica: r.ID(), Incarnation: 5, Number: early.number}
	if r.LastUpdate(key) == 0 {
		t.Error("the session that came early is not found under the new incarnation")
	}
	register(t, early, "other", "")
	if !lists(read(t, r), "other", 7) {
		t.Error("the session that came early is dead")
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
	mustClose(t, openReady(t, cfg))
	r := openReady(t, cfg)
	settle(t, r)
	if err := r.fenced(&fsm.IncarnationError{Known: 1}); err != nil {
		t.Errorf("refused: %v", err)
	}
	if got := r.Status(Addresses{}).Incarnation; got != 2 {
		t.Errorf("incarnation %d, want 2", got)
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
	other := fsm.Header{Replica: r.ID(), Incarnation: 9, First: 1}
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
	if err := r.Close(); err == nil {
		t.Error("Close does not tell")
	}
	eventually.True(t, soon, "again", func() error {
		again, err := Open(cfg)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = again.Close() })
		waitReady(t, again)
		return nil
	})
}
