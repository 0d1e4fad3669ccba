package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// TestHandOver cuts nothing but the link between the leader and one follower: leadership goes to the replica that both
// reach, once, and the follower's nsqd stays listed. The grace and the isolation timeout are shorter than the defaults,
// so that the cut lasts longer than both together.
func TestHandOver(t *testing.T) {
	handOver(t, 22*time.Second, "-replica-grace", "10s", "-isolation-timeout", "5s")
}

// TestHandOverAtDefaults does it with the times that replicas have without flags.
func TestHandOverAtDefaults(t *testing.T) {
	long(t)
	handOver(t, 100*time.Second)
}

func handOver(t *testing.T, cut time.Duration, args ...string) {
	s := newScene(t, 3, args...)
	for _, r := range s.Replicas {
		s.nsqds(1, r)
	}
	leader, follower := s.leaderAndFollower()
	middle := s.Others(leader, follower)[0]
	leaders := s.followLeaders(middle)
	heal := s.cut(netlab.Between(leader.Node, follower.Node))
	end := time.Now().Add(cut)
	s.within("the replica that all reach leads", 10*time.Second, backPatience, func() error {
		status, err := follower.Status(s.ctx)
		if err == nil && status.Leader != middle.Name() {
			err = fmt.Errorf("%s says that %q leads", follower.Name(), status.Leader)
		}
		return err
	})
	s.within("all commit during the cut", time.Second, 2*time.Second, func() error { return s.commits(s.Replicas...) })
	s.hold(time.Until(end))
	heal()
	s.hold(5 * time.Second)
	if seen := leaders(); len(seen) > 2 {
		s.Errorf("leadership moved more than once: %v", seen)
	} else {
		s.row("leaders, one after another", "%v", seen)
	}
	s.noneMissing()
}

// followLeaders returns what returns the leaders that a replica has known since then, one after another.
func (s *scene) followLeaders(r *fleet.Replica) (stop func() []string) {
	ctx, cancel := context.WithCancel(s.ctx)
	var seen []string
	var loop sync.WaitGroup
	loop.Go(func() {
		repeat(ctx, func(ctx context.Context) {
			status, err := r.Status(ctx)
			if err == nil && status.Leader != "" && (len(seen) == 0 || seen[len(seen)-1] != status.Leader) {
				seen = append(seen, status.Leader)
			}
		})
	})
	stop = func() []string { cancel(); loop.Wait(); return slices.Clone(seen) }
	s.Cleanup(func() { stop() })
	return stop
}

// TestGraceGoesOn kills a replica with its nsqd and moves leadership every 6 s: the nsqd stays for the grace of 10 s, and
// is gone soon after it.
func TestGraceGoesOn(t *testing.T) {
	const grace, move, late = 10 * time.Second, 6 * time.Second, 4 * time.Second
	s := newScene(t, 3, "-replica-grace", grace.String(), "-isolation-timeout", "5s")
	r1, r2, r3 := s.Replicas[0], s.Replicas[1], s.Replicas[2]
	s.must(s.Lead(s.ctx, r1))
	dead := s.nsqds(1, r3)[0]
	s.nsqds(1, r1, r2)
	r3.Process.Kill()
	dead.Process.Kill()
	killed := time.Now()
	from, to := r1, r2
	for spent := move; spent < 3*grace; spent += move {
		s.hold(time.Until(killed.Add(min(spent, grace))))
		if spent >= grace {
			s.watch.Release(dead) // from here on it may be gone
		}
		s.hold(time.Until(killed.Add(spent)))
		if _, err := fleet.Until(s.ctx, backPatience, func() error { return s.moved(from, to) }); err != nil {
			s.Fatal(err)
		}
		from, to = to, from
	}
	listed := s.watch.LastSeen(dead).Sub(killed)
	s.row("a dead nsqd is listed for, at a grace of 10 s", "%s", seconds(listed))
	if listed > grace+late {
		s.Errorf("a dead nsqd was listed for %s, the grace is %v", seconds(listed), grace)
	}
	s.noneMissing()
}

// moved asks for leadership to move, and returns nil once it has.
func (s *scene) moved(from, to *fleet.Replica) error {
	status, err := to.Status(s.ctx)
	if err == nil && status.Leader == to.Name() {
		return nil
	}
	return errors.Join(err, from.Transfer(s.ctx, to), fmt.Errorf("%s does not lead yet", to.Name()))
}
