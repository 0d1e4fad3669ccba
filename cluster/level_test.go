package cluster

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestLevelToRaise(t *testing.T) {
	knows, old, silent := speaker{knownLevel, true}, speaker{0, true}, speaker{knownLevel, false}
	for name, c := range map[string]struct {
		inForce uint64
		servers []speaker
		want    uint64
	}{
		"all know it":          {0, []speaker{knows, knows, knows}, knownLevel},
		"one is older":         {0, []speaker{knows, old, knows}, 0},
		"one is not heard of":  {0, []speaker{knows, silent, knows}, 0},
		"it is in force":       {knownLevel, []speaker{knows, knows}, 0},
		"some know still more": {0, []speaker{knows, {knownLevel + 1, true}}, knownLevel},
		"no server":            {0, nil, 0},
	} {
		if got := levelToRaise(c.inForce, c.servers); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestSpeaksNow(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		known peerRecord
		m     member
		want  bool
	}{
		"gossip hears this life":        {peerRecord{Incarnation: 5}, member{meta: meta{Incarnation: 5}, alive: true}, true},
		"gossip hears a later life":     {peerRecord{Incarnation: 5, at: now}, member{meta: meta{Incarnation: 6}, alive: true}, false},
		"gossip calls it dead":          {peerRecord{Incarnation: 5}, member{meta: meta{Incarnation: 5}}, false},
		"heard over the cluster port":   {peerRecord{Incarnation: 5, at: now}, member{}, true},
		"not heard for a while":         {peerRecord{Incarnation: 5, at: now.Add(-heardLately)}, member{}, false},
		"never heard, and not gossiped": {peerRecord{Incarnation: 5}, member{}, false},
	} {
		if got := speaksNow(c.known, c.m, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The level rises when every server knows it, readers too, and not before the last of them does.
func TestLevelRisesWhenAllKnowIt(t *testing.T) {
	var old atomic.Bool
	old.Store(true)
	c := newTrio(t, 3, func(i int, cfg *Config) {
		if i == 2 {
			cfg.older = old.Load
		}
	})
	c.agree()
	leader := c.leader()
	if happens(3*raiseEvery, func() bool { return leader.registry.State().Level() > 0 }) {
		t.Fatal("it rose with a replica that does not know it")
	}
	entry := fsm.EncodeDecisions(fsm.RaiseLevel(1))
	if err := leader.propose(entry)(t.Context()); !errors.Is(err, errLevel) {
		t.Errorf("a kind that is not in force: error %v", err)
	}
	old.Store(false)
	c.stop(2)
	c.start(2)
	eventually.True(t, soon, "the level is in force everywhere", func() error {
		for _, r := range c.running() {
			if s := r.Status(); s.Registry.LogLevel != knownLevel {
				return fmt.Errorf("%s has %d", s.Name, s.Registry.LogLevel)
			}
		}
		return nil
	})
	for _, m := range c.leader().Status().Members {
		if m.LogLevel != knownLevel {
			t.Errorf("%s knows level %d", m.Name, m.LogLevel)
		}
	}
}

// A newcomer that does not know the level in force is not taken in, and both sides say so.
func TestTooOldForTheLevelInForce(t *testing.T) {
	c := newTrio(t, 1, nil)
	eventually.True(t, soon, "the level is in force", func() error {
		if c.leader().registry.State().Level() < knownLevel {
			return errNotDead
		}
		return nil
	})
	c.replicas = append(c.replicas, nil)
	c.alter = func(_ int, cfg *Config) {
		joining(cfg)
		cfg.older = func() bool { return true }
	}
	newcomer := c.start(1)
	c.log.says(t, "refused a replica", newcomer.ID(), "upgrade it")
	if c.role(newcomer.ID()) != "none" {
		t.Error("it was taken in")
	}
	eventually.True(t, soon, "it knows what it waits for", func() error {
		if why, _ := newcomer.formable(); !strings.Contains(why, "exists") {
			return errors.New(why)
		}
		return nil
	})
}

// A reader that does not know the level would end at an entry of it, just as a voter would.
func TestReaderKeepsTheLevelDown(t *testing.T) {
	var voterIsOld, readerIsOld atomic.Bool
	voterIsOld.Store(true)
	readerIsOld.Store(true)
	c := newTrio(t, 1, func(_ int, cfg *Config) { cfg.older = voterIsOld.Load })
	c.replicas = append(c.replicas, nil)
	c.alter = func(i int, cfg *Config) {
		cfg.older = voterIsOld.Load
		if i == 1 {
			joining(cfg)
			cfg.Reader, cfg.older = true, readerIsOld.Load
		}
	}
	reader := c.start(1)
	c.hasRole(reader.ID(), "reader")
	voterIsOld.Store(false)
	c.stop(0)
	c.start(0)
	waitReady(t, c.replicas[0])
	if happens(3*raiseEvery, func() bool { return c.replicas[0].registry.State().Level() > 0 }) {
		t.Fatal("it rose with a reader that does not know it")
	}
	readerIsOld.Store(false)
	c.stop(1)
	c.start(1)
	eventually.True(t, soon, "the level is in force", func() error {
		for _, r := range c.running() {
			if level := r.registry.State().Level(); level != knownLevel {
				return fmt.Errorf("%s has %d", r.Name(), level)
			}
		}
		return nil
	})
}
