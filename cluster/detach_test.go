package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// connected is an nsqd with its connection to a replica: it ends as package tcpproto ends it.
type connected struct {
	*Session
	n       int
	evicted chan struct{}
}

// connect opens a session of the n-th nsqd at a replica, with the topic "topic".
func connect(t testing.TB, r *Replica, n int) connected {
	t.Helper()
	c := connected{n: n, evicted: make(chan struct{}, 1)}
	evict := func() {
		select {
		case c.evicted <- struct{}{}:
		default:
		}
	}
	eventually.True(t, soon, "the replica takes nsqds", func() (err error) {
		c.Session, err = r.OpenSession(nsqd(n), evict)
		return err
	})
	register(t, c.Session, "topic", "channel")
	return c
}

// awaitEviction waits until the replica sends the nsqd away, and ends its connection.
func (c connected) awaitEviction(t testing.TB) {
	t.Helper()
	select {
	case <-c.evicted:
		c.Detach()
	case <-time.After(soon):
		t.Fatalf("nsqd %d was not sent away", c.n)
	}
}

// raise puts the newest level of log kinds in force.
func (c *trio) raise() {
	c.t.Helper()
	eventually.True(c.t, soon, "the level", func() error {
		if l := c.leader(); l.level().level < fsm.MaxLevel {
			l.decide(fsm.RaiseLevel(fsm.MaxLevel))
		}
		for _, r := range c.running() {
			if r.level().level < fsm.MaxLevel {
				return fmt.Errorf("%s is at level %d", r.Name(), r.level().level)
			}
		}
		return nil
	})
}

// neverMissing watches the nsqds at the replicas, all the time until the returned function is called. A
// replica counts while it is ready.
func neverMissing(t testing.TB, replicas func() []*Replica, nsqds ...int) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			for _, r := range replicas() {
				state := r.registry.State()
				for _, n := range nsqds {
					if r.journal.applied.Load() > 0 && !lists(state, "topic", n) {
						t.Errorf("nsqd %d is missing at %s, index %d", n, r.Name(), state.Index())
						return
					}
				}
			}
			pause(ctx, 2*time.Millisecond)
		}
	})
	return func() {
		stop()
		watching.Wait()
	}
}

func (c *trio) counts(sessions, orphans int) {
	c.t.Helper()
	c.agree()
	if got := c.running()[0].registry.State().Counts(); got.Sessions != sessions || got.Orphans != orphans {
		c.t.Errorf("%d sessions and %d orphans, want %d and %d", got.Sessions, got.Orphans, sessions, orphans)
	}
}

// A replica that is cut off sends its nsqds away. They stay listed everywhere while it is cut off, when the cut heals,
// and until they are back.
func TestNsqdsOfAnIsolatedReplica(t *testing.T) {
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.IsolationTimeout = 500 * time.Millisecond })
	c.raise()
	all := c.running()
	r := c.follower()
	var nsqds []connected
	for n := range 4 {
		nsqds = append(nsqds, connect(t, r, n))
		nsqds[n].Ping()
	}
	c.agree()
	end := neverMissing(t, func() []*Replica { return all }, 0, 1, 2, 3)
	defer end()
	c.part(r, true)
	for _, n := range nsqds {
		n.awaitEviction(t)
	}
	if _, err := r.OpenSession(nsqd(9), func() {}); !errors.Is(err, ErrIsolated) {
		t.Errorf("error %v, want ErrIsolated", err)
	}
	c.heal()
	c.counts(0, 4)
	for n := range nsqds {
		back := connect(t, r, n)
		back.Ping()
		defer back.Close()
	}
	c.counts(4, 0)
}

// Of three replicas two are killed. The third sends its nsqd away; it stays listed when the others are back, until it is.
func TestMajorityGoneAndBack(t *testing.T) {
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.IsolationTimeout = 500 * time.Millisecond })
	c.raise()
	nsqd := connect(t, c.replicas[0], 1)
	nsqd.Ping()
	c.agree()
	end := neverMissing(t, func() []*Replica { return []*Replica{c.replicas[0]} }, 1)
	c.stop(1)
	c.stop(2)
	nsqd.awaitEviction(t)
	c.start(1)
	c.start(2)
	all := c.running()
	endAll := neverMissing(t, func() []*Replica { return all }, 1)
	defer endAll()
	c.ready()
	c.counts(0, 1)
	end()
	connect(t, c.replicas[1], 1).Ping() // it may go to any replica
	c.counts(1, 0)
}

// At a healthy replica an nsqd that hangs up is unlisted at once, and leaves no orphan.
func TestHangUpAtAHealthyReplica(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.raise()
	r := c.follower()
	eventually.True(t, soon, "an nsqd that hangs up is unlisted", func() error {
		nsqd := connect(t, r, 1)
		nsqd.Ping()
		c.agree()
		nsqd.Close()
		c.agree() // within milliseconds, where the grace is an hour
		if state := c.replicas[0].registry.State(); lists(state, "topic", 1) || state.Counts().Orphans > 0 {
			return fmt.Errorf("it is listed: %v; this replica may have been busy: %+v", state.Counts(), r.endFacts())
		}
		return nil
	})
}

// A replica without a leader cannot say that an nsqd is gone: a load balancer may have moved it.
func TestHangUpAtAReplicaWithoutALeader(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.raise()
	r := c.follower()
	nsqd := connect(t, r, 1)
	nsqd.Ping()
	c.agree()
	all := c.running()
	defer neverMissing(t, func() []*Replica { return all }, 1)()
	c.part(r, true)
	eventually.True(t, soon, "no leader is known", func() error {
		if leader := r.leader(); leader != "" {
			return errors.New(leader)
		}
		return nil
	})
	nsqd.Close()
	c.heal()
	c.counts(0, 1)
}

// The cluster has made orphans of a replica's sessions. What it says of their ends afterwards is no word of the nsqds'.
func TestHangUpAtALostReplica(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.raise()
	r := c.follower()
	nsqd := connect(t, r, 1)
	nsqd.Ping()
	c.agree()
	all := c.running()
	defer neverMissing(t, func() []*Replica { return all }, 1)()
	r.journal.setLost(true) // as if it had just been applied here, and not yet been answered
	nsqd.Close()
	c.counts(0, 1)
}

// An nsqd that was sent away comes back to another replica, and leaves before its first PING: its orphan stays, for what
// ended the one connection may have ended the other. After a PING the nsqd's word counts.
func TestOrphanOfAnEvictionIsNotTakenAlong(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.raise()
	evicted := connect(t, c.replicas[0], 1)
	evicted.Ping()
	c.agree()
	evicted.Detach()
	c.counts(0, 1)
	back := connect(t, c.replicas[1], 1)
	c.counts(1, 1)
	hangUp(back.Session)
	c.counts(0, 1)
	if !lists(c.replicas[2].registry.State(), "topic", 1) {
		t.Error("the orphan was taken along")
	}
	back = connect(t, c.replicas[2], 1)
	back.Ping()
	c.counts(1, 0)
	hangUp(back.Session)
	c.counts(0, 0)
}

// Leadership moves twice in each grace. The orphan goes nevertheless, and not before the grace.
func TestOrphansAgeAcrossElections(t *testing.T) {
	const grace = 3 * time.Second
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.ReplicaGrace = grace })
	c.raise()
	nsqd := connect(t, c.replicas[0], 1)
	c.agree()
	began := time.Now()
	nsqd.Detach()
	moved := began
	eventually.True(t, soon, "the orphan expires", func() error {
		if time.Since(moved) > grace/2 {
			for err := errors.New("not yet"); err != nil && time.Since(began) < soon; {
				err = c.leader().raft.LeadershipTransfer().Error()
			}
			moved = time.Now()
		}
		for _, r := range c.running() {
			if lists(r.registry.State(), "topic", 1) {
				return errors.New("it is listed")
			}
		}
		return nil
	})
	if took := time.Since(began); took < grace {
		t.Errorf("expired after %s, before the grace of %s", took, grace)
	}
	c.counts(0, 0)
}
