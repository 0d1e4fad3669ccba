package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// BenchmarkReadLevels is what a read of each level costs at the leader and at a follower, from one
// client and from 64 at once, in an idle cluster.
func BenchmarkReadLevels(b *testing.B) {
	c := benchTrio(b)
	change(b, c.leader(), fsm.CreateTopic("topic"))
	c.agree()
	leader := c.leader()
	for _, level := range []consistency.Level{consistency.Local, consistency.Leader, consistency.Linearizable} {
		for role, r := range map[string]*Replica{"leader": leader, "follower": c.follower()} {
			for _, clients := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/at=%s/clients=%d", level, role, clients), func(b *testing.B) {
					report(b, readBy(b, r, level, clients))
				})
			}
		}
	}
}

// readBy has so many clients read b.N times in all, and returns how long each read took.
func readBy(b *testing.B, r *Replica, level consistency.Level, clients int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, b.N)
	next := make(chan int)
	var reading sync.WaitGroup
	b.ResetTimer()
	for range clients {
		reading.Go(func() {
			for i := range next {
				start := time.Now()
				if _, err := r.ReadFresh(context.Background(), level); err != nil {
					b.Error(err)
				}
				took[i] = time.Since(start)
			}
		})
	}
	for i := range b.N {
		next <- i
	}
	close(next)
	reading.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
	return took
}
