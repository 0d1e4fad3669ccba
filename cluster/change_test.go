package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func change(t testing.TB, r *Replica, c fsm.Change) {
	t.Helper()
	if err := r.Change(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

func TestChangeIsAppliedWhenItReturns(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	change(t, r, fsm.CreateTopic("topic"))
	if got := string(r.registry.State().Topics()); got != `{"topics":["topic"]}` {
		t.Errorf("topics %s", got)
	}
	if err := r.Change(context.Background(), fsm.DeleteChannel("topic", "none")); !errors.Is(err, fsm.ErrChannelNotFound) {
		t.Errorf("error %v, want the registry's own", err)
	}
	change(t, r, fsm.DeleteTopic("topic"))
	if got := string(read(t, r).Topics()); got != `{"topics":[]}` {
		t.Errorf("topics %s", got)
	}
}

func TestChangeThatIsNotCommittedInTime(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	settle(t, r)
	g.hang(0)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.Change(ctx, fsm.CreateTopic("topic")); !errors.Is(err, ErrNotCommitted) {
		t.Errorf("error %v, want ErrNotCommitted", err)
	}
	start := time.Now()
	if err := r.Change(context.Background(), fsm.CreateTopic("other")); !errors.Is(err, ErrNotCommitted) {
		t.Errorf("error %v, want ErrNotCommitted", err)
	}
	if waited := time.Since(start); waited < changeWait || waited > changeWait+soon {
		t.Errorf("waited %s, want %s", waited, changeWait)
	}
	g.open()
	eventually.True(t, soon, "both changes", func() error {
		if got := string(read(t, r).Topics()); got != `{"topics":["other","topic"]}` {
			return errors.New(got)
		}
		return nil
	})
}

func TestChangeWithoutALeader(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	if err := r.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := r.Change(ctx, fsm.CreateTopic("topic")); !errors.Is(err, ErrNoLeader) {
		t.Errorf("error %v, want ErrNoLeader", err)
	}
	if ok, reason := r.Ready(); ok || reason != "is stopping" {
		t.Errorf("ready %v, reason %q", ok, reason)
	}
}

func TestErrorsHaveAWordForClients(t *testing.T) {
	for err, want := range map[*Error]string{
		ErrNotReady: "NOT_READY", ErrNoLeader: "NO_LEADER", ErrNotCommitted: "NOT_COMMITTED",
		ErrNotReached: "INDEX_NOT_REACHED", ErrOverloaded: "OVERLOADED", ErrTooLarge: "TOO_LARGE",
		ErrClosed: "CLOSED", ErrIsolated: "ISOLATED",
	} {
		if err.Message() != want || err.Error() == "" || err.Error() == want {
			t.Errorf("message %q, text %q; want %q and a text", err.Message(), err.Error(), want)
		}
	}
}

// A disk that refuses writes for a while costs nothing but time.
func TestLogThatFailsForAWhile(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	s := session(t, r, 1)
	settle(t, r)
	g.fail(errors.New("no space left on device"))
	register(t, s, "topic", "")
	done := make(chan error)
	go func() { done <- r.Change(context.Background(), fsm.CreateTopic("other")) }()
	eventually.True(t, soon, "no leader", func() error {
		if r.leads() {
			return errors.New("still leads")
		}
		return nil
	})
	g.open()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !lists(read(t, r), "topic", 1) {
		t.Error("the registration is missing")
	}
	settle(t, r)
	if got := read(t, r).Counts(); got.Topics != 2 || got.Sessions != 1 {
		t.Errorf("registry has %+v", got)
	}
}
