package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// lifetime is short, to be waited for; slack is what a poll and a busy machine may add to 25 ms.
const (
	lifetime  = time.Second
	precision = 25 * time.Millisecond
	slack     = 400 * time.Millisecond
)

// TestInactiveAndTombstone holds both programs to the same times.
func TestInactiveAndTombstone(t *testing.T) {
	t.Parallel()
	for _, start := range []func(*testing.T, ...string) *lookupd{startNsqlookupd, startRaftlookupd} {
		l := start(t, "-log-level", "warn", "-inactive-producer-timeout", lifetime.String(), "-tombstone-lifetime", lifetime.String())
		t.Run(l.name+" inactive", func(t *testing.T) { testInactive(t, l) })
		t.Run(l.name+" tombstone", func(t *testing.T) { testTombstone(t, l) })
	}
}

// checkTook fails unless what began at start took its time.
func checkTook(t *testing.T, what string, start time.Time) {
	t.Helper()
	if took := time.Since(start); took < lifetime-precision || took > lifetime+precision+slack {
		t.Errorf("%s took %v, want %v and little more", what, took, lifetime)
	}
}

func testInactive(t *testing.T, l *lookupd) {
	const topic, key = "inactive", "nsqd-i:4150"
	c := mustConnect(t, l, "nsqd-i", topic+" channel")
	visible := func() error { return errors.Join(l.hasProducers(topic, key), l.hasNodes(key)) }
	gone := func() error { return errors.Join(l.hasProducers(topic), l.hasNodes()) }

	lastPing := time.Time{}
	throughout(t, 2*lifetime, func() error {
		if time.Since(lastPing) > lifetime/5 {
			lastPing = time.Now()
			if err := c.expectOK("PING"); err != nil {
				return err
			}
		}
		return visible()
	})

	lastPing = time.Now()
	for _, line := range []string{"PING", "REGISTER " + topic + " channel"} {
		if err := c.expectOK(line); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, gone)
	checkTook(t, "becoming inactive", lastPing)
	if err := stillKnown(l, topic, key); err != nil {
		t.Error(err)
	}
	// REGISTER is no sign of life: nsqlookupd notes the time at IDENTIFY and PING only.
	if err := errors.Join(c.expectOK("REGISTER "+topic+" channel2"), gone()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.expectOK("PING"), visible()); err != nil {
		t.Errorf("after the PING: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return l.forgot(key) })
}

// stillKnown checks that an inactive producer is in /debug, and its topic where it was.
func stillKnown(l *lookupd, topic, key string) error {
	rows, err := l.debugRows()
	if err != nil {
		return err
	}
	for _, row := range []string{"client::", "topic:" + topic + ":", "channel:" + topic + ":channel"} {
		if got := keys(rows[row]); !slices.Equal(got, []string{key}) {
			return fmt.Errorf("row %s of /debug has %v, want %s", row, got, key)
		}
	}
	topics, err := l.topics()
	if err == nil && !slices.Contains(topics, topic) {
		return fmt.Errorf("topics are %v, want %s in them", topics, topic)
	}
	return err
}

func testTombstone(t *testing.T, l *lookupd) {
	const topic, key = "tombstoned", "nsqd-t:4150"
	c := mustConnect(t, l, "nsqd-t", topic+" channel", "other channel")
	start := time.Now()
	if err := l.post("/topic/tombstone?topic=" + topic + "&node=nsqd-t:4151"); err != nil {
		t.Fatal(err)
	}
	lastPing := time.Now()
	for _, check := range []error{l.hasProducers(topic), l.hasProducers("other", key), l.hasTombstone(topic, true)} {
		if check != nil {
			t.Error(check)
		}
	}
	eventually(t, patience, func() error {
		if time.Since(lastPing) > lifetime/5 {
			lastPing = time.Now()
			if err := c.expectOK("PING"); err != nil {
				return err
			}
		}
		return l.hasProducers(topic, key)
	})
	checkTook(t, "the tombstone", start)
	if err := l.hasTombstone(topic, false); err != nil {
		t.Error(err)
	}
}

// hasTombstone returns nil when /nodes shows one producer, and whether it is tombstoned for the topic.
func (l *lookupd) hasTombstone(topic string, want bool) error {
	nodes, err := l.nodes()
	if err != nil {
		return err
	}
	if len(nodes) != 1 {
		return fmt.Errorf("%d nodes, want 1", len(nodes))
	}
	i := slices.Index(nodes[0].Topics, topic)
	if i < 0 || i >= len(nodes[0].Tombstones) {
		return fmt.Errorf("no tombstone for %s in %+v", topic, nodes[0])
	}
	if nodes[0].Tombstones[i] != want {
		return fmt.Errorf("tombstoned is %v, want %v", !want, want)
	}
	return nil
}
