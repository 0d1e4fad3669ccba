package faults

import (
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
)

// pingInterval is nsqd's; the first PING comes that long after its start.
const pingInterval = 15 * time.Second

// TestPause stops the replica of four nsqds for long.
func TestPause(t *testing.T) {
	eachRole(t, func(s *scene, r *fleet.Replica) {
		s.nsqds(4, r)
		s.pause(r)
		s.hold(16 * time.Second)
		s.resume(r)
		s.hold(afterwards)
		s.noneMissing()
	})
}

// TestPauseDuringPings stops the replica of 15 nsqds for 1.5 s, 3 s and 0.5 s when their PINGs are due.
func TestPauseDuringPings(t *testing.T) {
	s := newScene(t, 3)
	r1 := s.Replicas[0]
	first := time.Now() // of the first nsqd's start; the others start in the few seconds that follow
	s.nsqds(15, r1)
	for _, pause := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 500 * time.Millisecond} {
		s.holdUntilPing(first)
		s.pause(r1)
		s.hold(pause)
		s.resume(r1)
	}
	s.hold(pingInterval + 3*time.Second)
	s.noneMissing()
}

// holdUntilPing waits until the next PING of an nsqd that has started just after a time.
func (s *scene) holdUntilPing(started time.Time) {
	s.Helper()
	rest := pingInterval - time.Since(started)%pingInterval
	s.hold(rest)
}

// TestPauseTwo stops two of three replicas at once, each the only one that some nsqds know.
func TestPauseTwo(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"short": 3 * time.Second, "long": 12 * time.Second} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			r1, r2 := s.Replicas[0], s.Replicas[1]
			first := time.Now()
			s.nsqds(3, r1)
			s.nsqds(3, r2)
			s.nsqds(1, s.Replicas[2])
			s.holdUntilPing(first)
			s.pause(r1, r2)
			s.hold(pause)
			s.resume(r1, r2)
			s.hold(afterwards)
			s.noneMissing()
		})
	}
}

// TestPauses stops one and two replicas for many times from half a second to just below the grace.
func TestPauses(t *testing.T) {
	long(t)
	t.Parallel()
	for _, pause := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
		20 * time.Second, 31 * time.Second, 45 * time.Second, 55 * time.Second} {
		for _, count := range []int{1, 2} {
			t.Run(pause.String()+[]string{"", " one", " two"}[count], func(t *testing.T) {
				s := newScene(t, 3)
				paused := s.Replicas[:count]
				for _, r := range s.Replicas {
					s.nsqds(4, r)
				}
				s.mayMissPings(paused, pause)
				s.hold(afterwards)
				s.noneMissing()
			})
		}
	}
}

// mayMissPings pauses replicas, several times when the pause is short: a PING falls into some of them.
func (s *scene) mayMissPings(paused []*fleet.Replica, pause time.Duration) {
	for spent := time.Duration(0); spent < pingInterval; spent += 2 * pause {
		s.pause(paused...)
		s.hold(pause)
		s.resume(paused...)
		s.hold(min(pause, 3*time.Second))
	}
}
