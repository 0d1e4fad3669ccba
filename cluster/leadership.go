package cluster

import (
	"context"
	"sync/atomic"
	"time"
)

// leadership is what this replica knows of there being a leader.
type leadership struct {
	silence atomic.Int64 // nanoseconds without one
}

// watchLeader notices that there has been no leader for the isolation timeout: then this replica is
// not ready, and its nsqds go elsewhere. It runs until the context ends.
func (r *Replica) watchLeader(ctx context.Context) error {
	period := periodFor(r.cfg.IsolationTimeout)
	pace(ctx, period, func(step time.Duration) {
		if r.hearsLeader() {
			r.leadership.silence.Store(int64(-2 * period)) // the first step may have begun long before
			if r.isolated.Swap(false) {
				r.log.Info("a leader is known again: taking nsqds")
			}
			return
		}
		if silence := r.leadership.silence.Add(int64(step)); time.Duration(silence) >= r.cfg.IsolationTimeout {
			if !r.isolated.Swap(true) {
				r.log.Error("no leader for the isolation timeout: sending nsqds elsewhere",
					"timeout", r.cfg.IsolationTimeout)
			}
			r.sessions.evictAll()
		}
	})
	return nil
}

func (r *Replica) hearsLeader() bool {
	leader := r.leader()
	return hearsLeader(leader != "", leader == r.data.ID, ageOf(time.Now(), loaded(&r.fresh.answered)), r.cfg.IsolationTimeout)
}

// maxUnanswered is for how long a leader may leave this replica's questions unanswered.
const maxUnanswered = 5 * time.Second

// hearsLeader reports whether a replica counts as connected to a leader. To hear heartbeats is not
// enough: when the leader can reach this replica, and this one cannot reach the leader, its nsqds'
// changes do not get through. The last question that was answered was asked so long ago, below 0 for
// none.
func hearsLeader(known, itself bool, answered, isolation time.Duration) bool {
	if !known || itself {
		return known
	}
	return answered >= 0 && answered <= min(maxUnanswered, isolation/2)
}

// leader is the id of the leader, "" when none is known.
func (r *Replica) leader() string {
	_, id := r.raft.LeaderWithID()
	return string(id)
}
