package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// hang is a fault that lets no write through until release; then each has the given outcome.
func hang(outcome func(write func() error) error) (fault func(write func() error) error, release func()) {
	released := make(chan struct{})
	return func(write func() error) error {
		<-released
		return outcome(write)
	}, func() { close(released) }
}

func lands(write func() error) error { return write() }
func isLost(func() error) error      { return errSpoiled }

// impatient is the watchdog with a limit that a test can wait for.
func impatient(w *watchedLog) { w.limit = 300 * time.Millisecond }

// hashicorp/raft issues 503 and 666: a write of the log that hangs ends the replica; then the others
// elect a leader, if it was the leader, and go on. The write may still land when its disk is back.
// The others' network to it is cut at its end: a process that is gone is silent.
func TestReplicaWithAHungLogEnds(t *testing.T) {
	for name, outcome := range map[string]func(func() error) error{"lands late": lands, "is lost": isLost} {
		for _, role := range []string{"leader", "follower"} {
			t.Run(role+", the write "+name, func(t *testing.T) {
				t.Parallel()
				c := newSickTrio(t, impatient)
				fault, release := hang(outcome)
				sick := c.choose(role)
				c.survive(sick, ending{fault: fault, ended: func() { c.part(c.replicas[sick], true) }, heal: release}, "log store", "the disk hangs", "this replica ends so that others can lead")
			})
		}
	}
}

// A leader whose write hangs is silent long before the watchdog ends it, so that the others elect one and
// commit. When its disk is back it follows.
func TestHungLeaderFallsSilent(t *testing.T) {
	t.Parallel()
	c := newSickTrio(t, func(*watchedLog) {})
	sick := c.choose("leader")
	fault, release := hang(lands)
	c.logs[sick].spoil(fault)
	eventually.True(t, 2*soon, "another leads and commits", func() error {
		r := c.others(sick)[0]
		if err := r.Change(t.Context(), fsm.CreateTopic("meanwhile")); err != nil {
			return err
		}
		if r.leader() == c.replicas[sick].ID() {
			return errors.New("the replica leads whose disk hangs")
		}
		return nil
	})
	if len(c.replicas[sick].Failed()) > 0 {
		t.Errorf("it was told before: %v", <-c.replicas[sick].Failed())
	}
	c.logs[sick].spoil(nil)
	release()
	eventually.True(t, 2*soon, "it follows", func() error {
		return c.replicas[sick].Change(t.Context(), fsm.CreateTopic("later"))
	})
	c.agree()
}

// Without the watchdog the leader's heartbeats go on from other goroutines: it stays the leader, and
// the whole cluster commits nothing for as long as its disk hangs.
func TestUnwatchedHungLeaderKeepsTheClusterStuck(t *testing.T) {
	c := newSickTrio(t, unwatched)
	sick := c.choose("leader")
	term := c.replicas[sick].raft.CurrentTerm()
	fault, release := hang(lands)
	c.logs[sick].spoil(fault)
	ctx, cancel := context.WithTimeout(t.Context(), 15*c.replicas[sick].cfg.RaftTimeout)
	defer cancel()
	var tries sync.WaitGroup
	for _, r := range c.others(sick) {
		tries.Go(func() {
			if err := r.Change(ctx, fsm.CreateTopic("stuck")); !errors.Is(err, ErrNotCommitted) {
				t.Errorf("%s: error %v, want ErrNotCommitted", r.Name(), err)
			}
		})
	}
	tries.Wait()
	for _, r := range c.others(sick) {
		if r.leader() != c.replicas[sick].ID() || r.raft.CurrentTerm() != term {
			t.Errorf("%s follows %q in term %d, was %d: has the leader stepped down?", r.Name(), r.leader(), r.raft.CurrentTerm(), term)
		}
	}
	if len(c.replicas[sick].Failed()) > 0 {
		t.Errorf("it was told: %v", <-c.replicas[sick].Failed())
	}
	c.logs[sick].spoil(nil)
	release()
	eventually.True(t, soon, "the cluster goes on", func() error {
		return c.others(sick)[0].Change(t.Context(), fsm.CreateTopic("later"))
	})
	c.agree()
}
