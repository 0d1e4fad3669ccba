package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestEndOf(t *testing.T) {
	const recent = time.Second
	leads, follows := endFacts{leads: true, leader: true, contact: time.Hour, recent: recent}, endFacts{leader: true, contact: recent, recent: recent}
	with := func(f endFacts, alter func(*endFacts)) endFacts {
		alter(&f)
		return f
	}
	for name, tc := range map[string]struct {
		facts endFacts
		want  fsm.Kind
	}{
		"the leader":           {leads, fsm.KindCloseSession},
		"a follower":           {follows, fsm.KindCloseSession},
		"no leader":            {with(follows, func(f *endFacts) { f.leader = false }), fsm.KindDetach},
		"a leader of long ago": {with(follows, func(f *endFacts) { f.contact = recent + 1 }), fsm.KindDetach},
		"isolated":             {with(follows, func(f *endFacts) { f.isolated = true }), fsm.KindDetach},
		"leaving":              {with(follows, func(f *endFacts) { f.leaving = true }), fsm.KindDetach},
		"lost":                 {with(follows, func(f *endFacts) { f.lost = true }), fsm.KindDetach},
		"paused":               {with(follows, func(f *endFacts) { f.paused = true }), fsm.KindDetach},
		"a leader that leaves": {with(leads, func(f *endFacts) { f.leaving = true }), fsm.KindDetach},
		"a lost leader":        {with(leads, func(f *endFacts) { f.lost = true }), fsm.KindDetach},
		"a leader that woke":   {with(leads, func(f *endFacts) { f.paused = true }), fsm.KindDetach},
		"nothing known":        {endFacts{}, fsm.KindDetach},
	} {
		if got := endOf(tc.facts); got != tc.want {
			t.Errorf("%s: kind %d, want %d", name, got, tc.want)
		}
	}
}

// Each fact is what the replica is.
func TestEndFacts(t *testing.T) {
	var stoodStill atomic.Bool
	c := newTrio(t, 3, func(_ int, cfg *Config) {
		cfg.Paused = func(since time.Time) bool {
			return stoodStill.Load() && time.Since(since) >= recentContact(cfg.RaftTimeout)
		}
	})
	r := c.follower()
	eventually.True(t, soon, "a healthy follower", func() error {
		if f := r.endFacts(); f.leads || !f.leader || f.contact <= 0 || f.contact > f.recent || f.isolated || f.leaving || f.lost || f.paused {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	if f := c.leader().endFacts(); !f.leads {
		t.Errorf("the leader: %+v", f)
	}
	stoodStill.Store(true)
	r.isolated.Store(true)
	r.apart.Store(true)
	r.journal.setLost(true)
	if f := r.endFacts(); !f.isolated || !f.leaving || !f.lost || !f.paused {
		t.Errorf("%+v", f)
	}
	r.apart.Store(false)
}

// A replica that was taken out of its cluster is leaving, though nothing has told it to. A leader that takes itself
// out is sure to know.
func TestEndFactsOfOneThatIsOut(t *testing.T) {
	c := newTrio(t, 3, nil)
	r := c.leader()
	if r.endFacts().leaving {
		t.Error("it is leaving from the beginning")
	}
	if err := r.raft.RemoveServer(raft.ServerID(r.ID()), 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, soon, "it is out", func() error {
		if !r.outside() {
			return errors.New("it is not")
		}
		return nil
	})
	if f := r.endFacts(); !f.leaving {
		t.Errorf("%+v", f)
	}
}

// The journal is asked the same: a CloseSession that waits through a pause is no word of the nsqd's.
func TestJournalKnowsOfPauses(t *testing.T) {
	mark := time.Now()
	for _, set := range []time.Duration{0, time.Minute} {
		cfg := testConfig(t.TempDir())
		cfg.closeAge = set
		cfg.Paused = func(since time.Time) bool { return since.Equal(mark) }
		r := openReady(t, cfg)
		r.journal.mu.Lock()
		paused, age := r.journal.ends.paused, r.journal.ends.closeAge
		r.journal.mu.Unlock()
		if !paused(mark) || paused(mark.Add(1)) || age != cmp.Or(set, closeAge) {
			t.Errorf("a close may wait for %s, a pause is seen: %v", age, paused(mark))
		}
		mustClose(t, r)
	}
}
