package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func exists(s *fsm.State, topic string) bool {
	_, ok := s.Lookup(topic)
	return ok
}

// What one replica has answered, every other replica's linearizable read sees at once, and so does
// one of the leader's level while nobody is cut off.
func TestFreshReads(t *testing.T) {
	c := newTrio(t, 3, nil)
	for n := range 30 {
		topic := fmt.Sprintf("topic-%d", n)
		change(t, c.replicas[n%3], fsm.CreateTopic(topic))
		for _, level := range []consistency.Level{consistency.Linearizable, consistency.Leader} {
			s, err := c.replicas[(n+1)%3].ReadFresh(t.Context(), level)
			if err != nil {
				t.Fatal(err)
			}
			if !exists(s, topic) {
				t.Fatalf("a read of level %d does not see %s", level, topic)
			}
		}
	}
}

// newTrioOfTwoLeaders is a trio whose first replica, once it leads and is cut off, goes on taking
// itself for the leader for long after the others have elected another.
func newTrioOfTwoLeaders(t *testing.T) *trio {
	t.Helper()
	return newTrio(t, 3, func(i int, cfg *Config) {
		cfg.RaftTimeout = 400 * time.Millisecond
		if i == 0 {
			cfg.RaftTimeout = 2 * time.Second
		}
	})
}

// depose makes the first replica lead, cuts it off, and waits until there is another leader.
func (c *trio) depose() (old, leader *Replica) {
	c.t.Helper()
	old = c.replicas[0]
	eventually.True(c.t, 2*soon, "the first replica leads", func() error {
		_, err := c.leader().Transfer(c.t.Context(), old.Name())
		if err == nil && !old.leads() {
			err = errors.New("it does not")
		}
		return err
	})
	c.part(old, true)
	return old, c.leader(c.replicas[1:]...)
}

// A leader that is cut off goes on taking itself for the leader for a while. Its local reads are old;
// a linearizable one is refused until it is back.
func TestFreshReadAtALeaderOfOld(t *testing.T) {
	c := newTrioOfTwoLeaders(t)
	change(t, c.leader(), fsm.CreateTopic("before"))
	var old *Replica
	tries := 0
	eventually.True(t, 4*soon, "reads at a leader of old", func() error {
		c.heal()
		c.agree()
		var leader *Replica
		old, leader = c.depose()
		tries++
		topic := fmt.Sprintf("after-%d", tries)
		change(t, leader, fsm.CreateTopic(topic))
		s, err := old.ReadFresh(t.Context(), consistency.Leader)
		if !old.leads() {
			return errors.New("it has noticed before it was asked")
		}
		if err != nil || exists(s, topic) || !exists(s, "before") {
			t.Errorf("a read of the leader's state, at one that takes itself for the leader: %v", err)
		}
		if s, err := old.ReadFresh(t.Context(), consistency.Linearizable); err == nil {
			t.Errorf("a replica that is cut off answered a linearizable read, with %q %v", topic, exists(s, topic))
		} else if !errors.Is(err, ErrNotConfirmed) && !errors.Is(err, ErrNoLeader) {
			t.Errorf("error %v", err)
		}
		change(t, leader, fsm.CreateTopic("after"))
		return nil
	})
	c.heal()
	eventually.True(t, 2*soon, "the read goes on after the cut", func() error {
		s, err := old.ReadFresh(t.Context(), consistency.Linearizable)
		if err == nil && !exists(s, "after") {
			t.Fatal("it does not see what was committed before")
		}
		return err
	})
}

// confirm must not count who is of a later term, nor be content with less than a majority.
func TestConfirm(t *testing.T) {
	c := newTrio(t, 3, nil)
	leader := c.leader()
	term := leader.raft.CurrentTerm()
	if err := leader.confirm(t.Context(), term); err != nil {
		t.Error(err)
	}
	for _, other := range []uint64{term - 1, term + 1} {
		if err := leader.confirm(t.Context(), other); err == nil {
			t.Errorf("the others are of term %d, and confirmed %d", term, other)
		}
	}
	c.part(leader, true)
	if err := leader.confirm(t.Context(), term); err == nil {
		t.Error("confirmed by nobody")
	}
}

// A new leader must not answer before it has committed something of its own.
func TestNoReadIndexBeforeTheTermIsClaimed(t *testing.T) {
	c := newTrio(t, 1, nil)
	r := c.leader()
	if _, err := r.ReadFresh(t.Context(), consistency.Linearizable); err != nil {
		t.Fatal(err)
	}
	r.fresh.readyTerm.Store(r.raft.CurrentTerm() - 1)
	for _, level := range []consistency.Level{consistency.Leader, consistency.Linearizable} {
		if _, err := r.readIndex(t.Context(), level); !errors.Is(err, errNotLeading) {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

func TestRoundsAreShared(t *testing.T) {
	began, finish := make(chan int), make(chan struct{})
	asked := 0
	r := newRounds(func(context.Context) (uint64, error) {
		asked++
		began <- asked
		<-finish
		return uint64(asked), nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.run(ctx) })
	first := r.enter()
	<-began // whoever comes now must not get the answer of this round
	var second []*round
	for range 10 {
		second = append(second, r.enter())
	}
	finish <- struct{}{}
	<-began
	close(finish)
	for want, rounds := range map[uint64][]*round{1: {first}, 2: second} {
		for _, one := range rounds {
			if got, err := one.wait(ctx); got != want || err != nil {
				t.Errorf("round %d, error %v, want round %d", got, err, want)
			}
		}
	}
	stop()
	running.Wait()
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.join(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
