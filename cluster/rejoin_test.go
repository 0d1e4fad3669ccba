package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A sign of life of a replica that gossip does not see ends the pause between two times of joining, when a voter
// is missing.
func TestSignOfLifeEndsThePauseOfJoining(t *testing.T) {
	for name, c := range map[string]struct {
		nudged bool
		unseen []string
		want   time.Duration
		tries  int
	}{
		"nothing":            {false, []string{"a"}, joinLast, 5},
		"a voter is missing": {true, []string{"a"}, time.Second + joinFirst, 0},
		"none is missing":    {true, nil, joinLast, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gossip{unseen: func() []string { return c.unseen }, wake: make(chan struct{}, 1)}
				if c.nudged {
					time.AfterFunc(time.Second, g.nudge)
				}
				start, facts := time.Now(), joinFacts{tries: 5}
				if !g.sleep(t.Context(), joinLast, &facts) || time.Since(start) != c.want || facts.tries != c.tries {
					t.Errorf("slept for %s, %d tries", time.Since(start), facts.tries)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if g.sleep(ctx, joinLast, &facts) {
					t.Error("it goes on after the end")
				}
			})
		})
	}
}
