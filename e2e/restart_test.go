package e2e

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRestart restarts a replica under a connected nsqd: no consumer may see a gap.
func TestRestart(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	t.Run("nsqd returns", func(t *testing.T) {
		t.Parallel()
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(sig.String(), func(t *testing.T) { testReturns(t, sig) })
		}
	})
	t.Run("nsqd stays away", func(t *testing.T) {
		t.Parallel()
		testStaysAway(t)
	})
}

func testReturns(t *testing.T, sig syscall.Signal) {
	l := startRaftlookupd(t)
	before := mustConnect(t, l, "nsqd-r", "t1 c1", "t2")
	if err := l.post("/topic/tombstone?topic=t2&node=nsqd-r:4151"); err != nil {
		t.Fatal(err)
	}
	l.stop(t, sig)
	if closed, err := before.isClosed(closeWithin); !closed {
		t.Errorf("the connection is open, %v", err)
	}
	l.start(t)
	all := func() error {
		return errors.Join(hasTopics(l, "t1", "t2"), l.hasProducers("t1", "nsqd-r:4150"), l.hasNodes("nsqd-r:4150"))
	}
	if err := errors.Join(all(), l.hasProducers("t2")); err != nil {
		t.Fatalf("right after the start: %v", err)
	}
	after := mustConnect(t, l, "nsqd-r", "t1 c1", "t2")
	if err := all(); err != nil {
		t.Errorf("after REGISTER: %v", err)
	}
	if err := errors.Join(after.expectOK("PING"), all()); err != nil {
		t.Errorf("after PING: %v", err)
	}
	if a, err := l.lookup("t1"); err != nil || a.Producers[0].RemoteAddress != after.LocalAddr().String() {
		t.Errorf("listed %+v, %v; want the new connection", a.Producers, err)
	}
	// What the earlier connection left does not outlive the new one.
	after.Close()
	eventually(t, patience, func() error {
		return errors.Join(l.hasProducers("t1"), l.hasNodes(), l.forgot("nsqd-r:4150"), hasTopics(l, "t1", "t2"))
	})
}

func hasTopics(l *lookupd, want ...string) error {
	got, err := l.topics()
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("topics are %v, want %v", got, want)
	}
	return err
}

func testStaysAway(t *testing.T) {
	const grace = 3 * time.Second
	l := startRaftlookupd(t, "-replica-grace", grace.String(), "-isolation-timeout", "1s")
	mustConnect(t, l, "nsqd-r", "t1 c1")
	l.stop(t, syscall.SIGTERM)
	started := time.Now()
	l.start(t)
	// The grace is counted from when the replica leads, so it ends no earlier than this.
	throughout(t, time.Until(started.Add(grace)), func() error { return l.hasProducers("t1", "nsqd-r:4150") })
	eventually(t, patience, func() error { return errors.Join(l.hasProducers("t1"), l.hasNodes()) })
	if err := hasTopics(l, "t1"); err != nil {
		t.Error(err)
	}
}

// nsqdPing is how often an nsqd sends a PING; it cannot be set (nsqio/nsq, nsqd/lookup.go).
const nsqdPing = 15 * time.Second

// TestRestartUnderNsqd is TestRestart with a real nsqd, which takes its time to return.
func TestRestartUnderNsqd(t *testing.T) {
	oursOnly(t)
	if testing.Short() {
		t.Skip("waits for an nsqd's PING")
	}
	t.Parallel()
	l := startRaftlookupd(t, "-log-level", "warn")
	n := startNsqd(t, l)
	if err := n.post("/topic/create?topic=kept", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return l.hasProducers("kept", n.tcp) })
	first, err := l.lookup("kept")
	if err != nil {
		t.Fatal(err)
	}
	if code := l.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	l.start(t)
	// Its first PING finds the connection closed, and only the second one opens another.
	eventually(t, 2*nsqdPing+patience, func() error {
		a, err := l.lookup("kept")
		if err != nil || len(a.Producers) != 1 || a.Producers[0].key() != n.tcp {
			t.Fatalf("a gap: listed %+v, %v", a.Producers, err)
		}
		if a.Producers[0].RemoteAddress == first.Producers[0].RemoteAddress {
			return errors.New("nsqd has not returned")
		}
		return nil
	})
	if code := n.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code of nsqd %d", code)
	}
	eventually(t, patience, func() error { return errors.Join(l.hasProducers("kept"), l.hasNodes()) })
}
