package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// benchTrio is three replicas in one process with the default -raft-timeout.
func benchTrio(b *testing.B) *trio {
	b.Helper()
	return newTrio(b, 3, func(_ int, cfg *Config) { cfg.RaftTimeout = 300 * time.Millisecond })
}

// report shows the median, the 99th percentile and the worst of the trials.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(ms(took[len(took)-1]), "worst-ms")
}

// committed makes changes at a replica until one is committed.
func committed(b *testing.B, r *Replica, topic string) {
	b.Helper()
	for r.Change(context.Background(), fsm.CreateTopic(topic)) != nil {
		continue
	}
}

// BenchmarkFailover is the time from the leader being cut off to the next committed change at
// another replica.
func BenchmarkFailover(b *testing.B) {
	c := benchTrio(b)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		old := c.leader()
		other := c.follower()
		c.agree()
		start := time.Now()
		c.part(old, true)
		for other.leader() == old.ID() || other.leader() == "" {
			pause(context.Background(), time.Millisecond)
		}
		committed(b, other, fmt.Sprintf("topic-%d", n))
		took = append(took, time.Since(start))
		c.heal()
		c.leader()
		c.agree()
	}
	report(b, took)
}

// BenchmarkHandOver is the time from a planned hand-over to the next committed change at the
// replica that led.
func BenchmarkHandOver(b *testing.B) {
	c := benchTrio(b)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		old := c.leader()
		c.agree()
		start := time.Now()
		old.handOver()
		committed(b, old, fmt.Sprintf("topic-%d", n))
		took = append(took, time.Since(start))
	}
	report(b, took)
}

// BenchmarkVisible is the time from a REGISTER at one replica until all three show it, with
// nothing else going on.
func BenchmarkVisible(b *testing.B) {
	c := benchTrio(b)
	sessions := make([]*Session, len(c.replicas))
	for i, r := range c.replicas {
		sessions[i] = session(b, r, i)
	}
	c.agree()
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		i := n % len(sessions)
		topic := fmt.Sprintf("topic-%d", n)
		start := time.Now()
		register(b, sessions[i], topic, "")
		for _, r := range c.replicas {
			for !lists(r.registry.State(), topic, i) {
				pause(context.Background(), 50*time.Microsecond)
			}
		}
		took = append(took, time.Since(start))
		pause(context.Background(), 10*time.Millisecond)
	}
	report(b, took)
}
