package faults

import (
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
)

// backPatience is longer than hashicorp/raft's replication waits before it tries an unreachable peer again (10.24 s).
const backPatience = 20 * time.Second

// TestBackAfterCut cuts a follower off and heals it, with nothing else going on. What was made meanwhile is there within
// a second, and no answer before that passes for fresh.
func TestBackAfterCut(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]time.Duration{"3s": 3 * time.Second, "8s": 8 * time.Second, "25s": 25 * time.Second} {
		t.Run(name, func(t *testing.T) { backAfterCut(t, cut) })
	}
}

// TestBackAfterLongCut does the same after ten minutes.
func TestBackAfterLongCut(t *testing.T) {
	long(t)
	backAfterCut(t, 10*time.Minute)
}

func backAfterCut(t *testing.T, cut time.Duration) {
	s := newScene(t, 3)
	s.nsqds(1, s.Replicas...)
	leader, follower := s.leaderAndFollower()
	fresh := s.followFreshness(follower)
	heal := s.cut(s.Isolate(follower))
	s.hold(cut / 2)
	s.makeTopic(leader)
	fresh.acknowledged()
	s.hold(cut - cut/2)
	heal()
	healed := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.within("a follower's own change goes through", time.Second, backPatience, func() error { return s.commits(follower) })
	}()
	s.within("a follower has what was made without it", time.Second, backPatience, func() error { return s.hasMade(follower) })
	<-done
	s.hold(2 * time.Second)
	s.judge(fresh, healed)
	s.noneMissing()
}

// leaderAndFollower returns r1, which leads from now on, and r3.
func (s *scene) leaderAndFollower() (leader, follower *fleet.Replica) {
	s.Helper()
	s.must(s.Lead(s.ctx, s.Replicas[0]))
	return s.Replicas[0], s.Replicas[2]
}

// TestBackAfterKill kills a follower and starts it after 25 s: it is ready within 2 s, and has all then.
func TestBackAfterKill(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"8s": 8 * time.Second, "25s": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			s.nsqds(1, s.Replicas...)
			leader, follower := s.leaderAndFollower()
			fresh := s.followFreshness(follower)
			follower.Process.Kill()
			s.hold(away / 2)
			s.makeTopic(leader)
			fresh.acknowledged()
			s.hold(away - away/2)
			s.must(follower.Start())
			started := time.Now()
			s.within("a follower is ready", 2*time.Second, backPatience, func() error { return follower.Ready(s.ctx) })
			if err := s.hasMade(follower); err != nil {
				s.Errorf("ready without what was made before: %v", err)
			}
			s.within("its own change goes through", time.Second, backPatience, func() error { return s.commits(follower) })
			s.hold(time.Second)
			s.judge(fresh, started)
			s.noneMissing()
		})
	}
}
