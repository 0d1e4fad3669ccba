package cluster

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// expires waits until the nsqd is listed nowhere, and returns when that was seen.
func (c *trio) expires(n int) time.Time {
	c.t.Helper()
	eventually.True(c.t, soon, fmt.Sprintf("nsqd %d expires", n), func() error {
		for _, r := range c.running() {
			if lists(r.registry.State(), "topic", n) {
				return errors.New(r.Name() + " lists it")
			}
		}
		return nil
	})
	return time.Now()
}

// Orphans of one replica that came one after the other go one after the other: each has its whole grace.
func TestYoungerOrphansStay(t *testing.T) {
	const grace = 2 * time.Second
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.ReplicaGrace = grace })
	c.raise()
	first, second := connect(t, c.replicas[0], 1), connect(t, c.replicas[0], 2)
	c.agree()
	first.Detach()
	pause(t.Context(), grace/2)
	began := time.Now()
	second.Detach()
	c.counts(0, 2)
	c.expires(1)
	if lived := c.expires(2).Sub(began); lived < grace {
		t.Errorf("the second lived for %s, of a grace of %s", lived, grace)
	}
}

// While one replica does not know level 1, orphans expire as in release 0.1.0.
func TestOrphansExpireAtLevel0(t *testing.T) {
	const grace = time.Second
	c := newTrio(t, 3, func(i int, cfg *Config) {
		cfg.ReplicaGrace = grace
		cfg.older = func() bool { return i == 0 }
	})
	c.agree()
	gone := c.index(c.follower())
	detached := connect(t, c.replicas[gone], 2)
	detached.Ping()
	c.agree()
	detached.Detach()
	c.expires(2) // at once
	connect(t, c.replicas[gone], 1).Ping()
	c.agree()
	began := time.Now()
	c.stop(gone)
	if lived := c.expires(1).Sub(began); lived < grace {
		t.Errorf("the orphan lived for %s, of a grace of %s", lived, grace)
	}
	if level := c.leader().registry.State().Level(); level != 0 {
		t.Errorf("the level is %d", level)
	}
}

// When there was no leader for the isolation timeout the nsqds were sent away: the whole grace begins anew.
func TestGraceBeginsAnewAfterIsolation(t *testing.T) {
	const grace = 3 * time.Second
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.ReplicaGrace, cfg.IsolationTimeout = grace, 500*time.Millisecond })
	c.raise()
	nsqd := connect(t, c.replicas[0], 1)
	nsqd.Ping()
	c.agree()
	nsqd.Detach()
	c.counts(0, 1)
	pause(t.Context(), 2*grace/3)
	for _, r := range c.replicas {
		c.part(r, true)
	}
	var isolated time.Time
	eventually.True(t, soon, "no leader for long", func() error {
		for _, r := range c.replicas {
			if !r.isolated.Load() {
				isolated = time.Time{}
				return errors.New(r.Name() + " has one")
			}
		}
		if isolated.IsZero() {
			isolated = time.Now()
		}
		if time.Since(isolated) < 10*periodFor(grace) { // so that it is seen
			return errors.New("not for long")
		}
		return nil
	})
	if !lists(c.replicas[0].registry.State(), "topic", 1) {
		t.Fatal("it has expired before")
	}
	c.heal()
	if lived := c.expires(1).Sub(isolated); lived < grace {
		t.Errorf("it lived for %s after that, of a grace of %s", lived, grace)
	}
}

// A leader that stood still calls nobody lost by heartbeats that failed before: their answers may have come
// meanwhile.
func TestNobodyIsLostAcrossAPause(t *testing.T) {
	var paused atomic.Bool
	paused.Store(true)
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.Paused = func(time.Time) bool { return paused.Load() } })
	c.agree()
	gone := c.follower()
	c.stop(c.index(gone))
	isLost := func() bool {
		known, _ := c.leader().registry.State().Replica(gone.ID())
		return known.Lost
	}
	if happens(6*gone.cfg.RaftTimeout, isLost) {
		t.Error("it is lost")
	}
	paused.Store(false)
	eventually.True(t, soon, "the replica is lost", func() error {
		if !isLost() {
			return errors.New("not yet")
		}
		return nil
	})
}
