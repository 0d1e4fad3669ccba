package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
)

// writeInterval is the time between two topics that are made while a follower comes back.
const writeInterval = 50 * time.Millisecond

// TestMaxStaleUnderWrites asks a follower that is cut off for a while for all topics, with max_stale, while topics are
// made all the time. No answer lacks a topic that was there that long before the question.
func TestMaxStaleUnderWrites(t *testing.T) {
	s := newScene(t, 3)
	s.nsqds(1, s.Replicas...)
	leader, follower := s.leaderAndFollower()
	topics := &sequence{}
	ctx, cancel := context.WithCancel(s.ctx)
	var loops sync.WaitGroup
	loops.Go(func() { topics.write(ctx, leader) })
	loops.Go(func() { repeat(ctx, func(ctx context.Context) { topics.read(ctx, follower) }) })
	s.Cleanup(func() { cancel(); loops.Wait() })
	for _, cut := range []time.Duration{2 * time.Second, 12 * time.Second} {
		heal := s.cut(s.Isolate(follower))
		s.hold(cut)
		heal()
		s.within("a follower commits again", time.Second, backPatience, func() error { return s.commits(follower) })
		s.hold(2 * time.Second)
	}
	cancel()
	loops.Wait()
	s.row("answers older than max_stale=1s, of all with 200", "%d of %d, by up to %s", topics.old, topics.answers, seconds(topics.worst))
	if topics.old > 0 || topics.answers == 0 {
		s.Errorf("%d of %d answers were older than asked for", topics.old, topics.answers)
	}
	s.noneMissing()
}

// sequence is topics that are made one after another.
type sequence struct {
	mu    sync.Mutex
	acked []time.Time // when each of them had been acknowledged

	// Of the reader.
	answers, old int
	worst        time.Duration // beyond max_stale
}

func (q *sequence) name(i int) string { return fmt.Sprintf("topic-%06d", i) }

func (q *sequence) write(ctx context.Context, leader *fleet.Replica) {
	tick := time.NewTicker(writeInterval)
	defer tick.Stop()
	for i := 0; ; {
		if leader.Create(ctx, q.name(i)) == nil {
			q.mu.Lock()
			q.acked = append(q.acked, time.Now())
			q.mu.Unlock()
			i++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (q *sequence) read(ctx context.Context, r *fleet.Replica) {
	asked := time.Now()
	a, err := r.Get(ctx, fmt.Sprintf("/topics?max_stale=%v", maxStale))
	var body struct{ Topics []string }
	if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &body) != nil {
		return
	}
	has := map[string]bool{}
	for _, topic := range body.Topics {
		has[topic] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answers++
	for i, acked := range q.acked {
		if late := asked.Sub(acked) - maxStale; late > 0 && !has[q.name(i)] {
			q.old++
			q.worst = max(q.worst, late)
			return
		}
	}
}
