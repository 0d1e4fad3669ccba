package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// A client sees at once what it was told OK for, however slow the disk is.
func TestReadYourWrites(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	g.slow(5 * time.Millisecond)
	for i := range 20 {
		topic := fmt.Sprintf("topic-%d", i)
		s := session(t, r, i)
		if n := read(t, r).Counts().Sessions; n != 1 {
			t.Fatalf("round %d: %d sessions after IDENTIFY", i, n)
		}
		register(t, s, topic, "channel")
		if !lists(read(t, r), topic, i) {
			t.Fatalf("round %d: registered, but not listed", i)
		}
		if pending, err := s.Unregister(topic, ""); pending || err != nil {
			t.Fatal(pending, err)
		}
		if lists(read(t, r), topic, i) {
			t.Fatalf("round %d: unregistered, but still listed", i)
		}
		register(t, s, topic, "")
		settle(t, r) // else the end would be in one entry with that
		hangUp(s)
		if s := read(t, r); lists(s, topic, i) || s.Counts().Sessions != 0 {
			t.Fatalf("round %d: closed, but still there", i)
		}
	}
}

func TestReadAfterPing(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.InactiveTimeout = 50 * time.Millisecond
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	s := session(t, r, 1)
	register(t, s, "topic", "")
	for range 3 {
		eventually.True(t, soon, "inactive", func() error {
			if lists(read(t, r), "topic", 1) {
				return errors.New("still listed")
			}
			return nil
		})
		g.slow(20 * time.Millisecond)
		s.Ping()
		if !lists(read(t, r), "topic", 1) {
			t.Fatal("pinged, but not listed")
		}
		g.slow(0)
	}
}

// A read waits for what is acknowledged, 250 ms at most, and then answers what it has.
func TestReadGivesUpWaiting(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	s := session(t, r, 1)
	settle(t, r)
	g.hang(0)
	register(t, s, "topic", "")
	start := time.Now()
	if lists(read(t, r), "topic", 1) {
		t.Error("listed, though nothing can be committed")
	}
	if waited := time.Since(start); waited < readWait || waited > readWait+2*time.Second {
		t.Errorf("waited %s, want %s", waited, readWait)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	start = time.Now()
	if _, err := r.Read(ctx); err != nil || time.Since(start) >= readWait {
		t.Errorf("a read whose client has left took %s, error %v", time.Since(start), err)
	}
	g.open()
	eventually.True(t, soon, "the change", func() error {
		if !lists(read(t, r), "topic", 1) {
			return errors.New("not listed")
		}
		return nil
	})
}

func TestReadEndsWithItsWait(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	s := session(t, r, 1)
	for range 10 {
		settle(t, r)
		g.hang(0)
		register(t, s, "topic", "")
		listed := make(chan bool)
		go func() {
			state, err := r.Read(context.Background())
			listed <- err == nil && lists(state, "topic", 1)
		}()
		g.open()
		if !<-listed {
			t.Fatal("the read did not wait for the change")
		}
		if _, err := s.Unregister("topic", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotReadyBeforeItHasCaughtUp(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	g.hang(2) // the configuration is entry 1
	r := open(t, cfg)
	if _, err := r.Read(context.Background()); !errors.Is(err, ErrNotReady) {
		t.Errorf("error %v, want ErrNotReady", err)
	}
	if ready, reason := r.Ready(); ready || reason == "" {
		t.Errorf("ready %v, reason %q", ready, reason)
	}
	if asOf := r.FreshAsOf(); !asOf.IsZero() {
		t.Errorf("fresh as of %s ago", time.Since(asOf))
	}
	if !r.Admits() {
		t.Error("an nsqd must be able to register in the meantime")
	}
	register(t, session(t, r, 1), "topic", "")
	g.open()
	waitReady(t, r)
	if !lists(read(t, r), "topic", 1) {
		t.Error("what came early is missing")
	}
}

// After a restart the log is there but not yet committed for this life: no answer from half of it.
func TestNotReadyBeforeItHasCaughtUpAgain(t *testing.T) {
	dir := closedBase(t)
	last := entries(t, dir)
	cfg := testConfig(dir)
	g := gated(t, &cfg)
	defer g.open()
	g.hang(last[len(last)-1].Index + 1)
	r := open(t, cfg)
	if _, err := r.Read(context.Background()); !errors.Is(err, ErrNotReady) {
		t.Errorf("error %v, want ErrNotReady", err)
	}
	g.open()
	waitReady(t, r)
	if !lists(read(t, r), "topic-2", 2) {
		t.Error("the registry is not whole")
	}
}
