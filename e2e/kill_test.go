package e2e

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

const (
	registrations = 10_000
	defaultWindow = 256 // of -register-window
)

func topicNumber(i int) string { return fmt.Sprintf("topic-%05d", i) }

// TestKillInTheMiddleOfRegisters kills a replica of a cluster of one, as kill -9 does, while an nsqd
// registers its topics, and starts it again.
func TestKillInTheMiddleOfRegisters(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	t.Run("window 0", func(t *testing.T) {
		l := startRaftlookupd(t, "-log-level", "warn", "-register-window", "0")
		answered := registerUntilKilled(t, l, registrations/2)
		l.start(t)
		if kept := keptInOrder(t, l); kept < answered {
			t.Errorf("%d topics were answered OK, %d are left", answered, kept)
		}
	})
	t.Run("default window", func(t *testing.T) {
		l := startRaftlookupd(t, "-log-level", "warn")
		answered := registerUntilKilled(t, l, registrations/2)
		l.start(t)
		if kept := keptInOrder(t, l); kept < answered-defaultWindow {
			t.Errorf("%d topics were answered OK, %d are left: more than the window of %d is lost",
				answered, kept, defaultWindow)
		}
		registerAgain(t, l)
	})
}

// registerAfter bounds how long REGISTERs are answered before the kill, for a slow disk must not fail
// the test; leastAnswered is what even that disk does.
const (
	registerAfter = 15 * time.Second
	leastAnswered = 200
)

// registerUntilKilled registers topic after topic as an nsqd does, one command at a time, and kills the
// replica once so many are answered. It returns how many answers came.
func registerUntilKilled(t *testing.T, l *lookupd, enough int) int {
	t.Helper()
	c := mustConnect(t, l, "nsqd-killed")
	var answered atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for i := range registrations {
			if err := c.expectOK("REGISTER " + topicNumber(i)); err != nil {
				ended <- err
				return
			}
			answered.Add(1)
		}
		ended <- nil
	}()
	err := poll(registerAfter, func() error {
		if n := int(answered.Load()); n < enough {
			return fmt.Errorf("%d of %d REGISTERs answered", n, enough)
		}
		return nil
	})
	if err != nil {
		t.Log(err)
	}
	l.kill()
	if err := <-ended; err == nil {
		t.Fatal("all REGISTERs were answered before the kill")
	}
	t.Logf("%d REGISTERs answered before the kill", answered.Load())
	if answered.Load() < leastAnswered {
		t.Fatalf("too few to be the middle; want %d", leastAnswered)
	}
	return int(answered.Load())
}

// keptInOrder returns how many topics there are, and fails unless they are those that were sent first:
// a change may be lost with all that followed it, never alone.
func keptInOrder(t *testing.T, l *lookupd) int {
	t.Helper()
	topics, err := l.topics()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(topics)
	for i, topic := range topics {
		if topic != topicNumber(i) {
			t.Fatalf("topic %d of %d is %s: something before it is missing", i, len(topics), topic)
		}
	}
	t.Logf("%d topics after the restart", len(topics))
	return len(topics)
}

// registerAgain does what an nsqd does after a lost connection: it registers all it has.
func registerAgain(t *testing.T, l *lookupd) {
	t.Helper()
	c := mustConnect(t, l, "nsqd-killed")
	for i := range registrations {
		if err := c.expectOK("REGISTER " + topicNumber(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	if n := keptInOrder(t, l); n != registrations {
		t.Errorf("%d topics, want %d", n, registrations)
	}
	nodes, err := l.nodes()
	if err != nil || len(nodes) != 1 || len(nodes[0].Topics) != registrations {
		t.Errorf("%d nodes, %v; want one with %d topics", len(nodes), err, registrations)
	}
	last := topicNumber(registrations - 1)
	for _, topic := range []string{topicNumber(0), last} {
		if err := l.hasProducers(topic, "nsqd-killed:4150"); err != nil {
			t.Error(err)
		}
	}
}
