package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// losses notes of which replicas Raft's heartbeats fail, and since when: what the leader needs to
// call a replica lost.
type losses struct {
	observer *raft.Observer
	events   chan raft.Observation

	mu      sync.Mutex
	failing map[string]failure // by id
}

// failure is a row of heartbeats that failed. Observations may be lost, the one of its end too: so
// it counts only while it goes on.
type failure struct{ first, last time.Time }

// stillFailing is how old the last failed heartbeat may be: it takes that long to fail.
const stillFailing = 2 * transportTimeout

// lasts reports whether heartbeats have failed for that long, by what was heard of them and not by the
// clock alone: one of them may fail, and the next be late because this replica is.
func (f failure) lasts(d time.Duration, now time.Time) bool {
	return f.last.Sub(f.first) >= d && now.Sub(f.last) < stillFailing
}

func newLosses() *losses {
	l := &losses{events: make(chan raft.Observation, 64), failing: make(map[string]failure)}
	l.observer = raft.NewObserver(l.events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.FailedHeartbeatObservation, raft.ResumedHeartbeatObservation, raft.LeaderObservation:
			return true
		}
		return false
	})
	return l
}

func (l *losses) observe(o raft.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o := o.Data.(type) {
	case raft.FailedHeartbeatObservation:
		now := time.Now()
		f := l.failing[string(o.PeerID)]
		if now.Sub(f.last) > stillFailing { // also when there was none
			f.first = now
		}
		f.last = now
		l.failing[string(o.PeerID)] = f
	case raft.ResumedHeartbeatObservation:
		delete(l.failing, string(o.PeerID))
	case raft.LeaderObservation: // whoever leads now counts anew
		clear(l.failing)
	}
}

// silent returns the ids whose heartbeats have failed for that long, and not across a pause of this process:
// the answers may have come meanwhile. After a pause a row of failures counts anew, because it may go on for
// as long as this replica leads.
func (l *losses) silent(d time.Duration, paused func(since time.Time) bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	now := time.Now()
	for id, f := range l.failing {
		switch {
		case paused(f.first):
			f.first = now
			l.failing[id] = f
		case f.lasts(d, now):
			ids = append(ids, id)
		}
	}
	return ids
}

// watchReplicas calls the replicas lost that Raft's heartbeats do not reach, while this replica
// leads, until the context ends. Their sessions become orphans, and expire after the grace.
func (r *Replica) watchReplicas(ctx context.Context) error {
	l := newLosses()
	r.raft.RegisterObserver(l.observer)
	defer r.raft.DeregisterObserver(l.observer)
	var deciding sync.WaitGroup
	defer deciding.Wait()
	deciding.Go(func() { r.loseSilent(ctx, l) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-l.events:
			l.observe(o)
			r.router.moved()
			if to, is := o.Data.(raft.LeaderObservation); is && to.LeaderID != "" {
				r.sender.moved()
			}
		}
	}
}

// loseSilent decides which replicas are lost. It is a loop of its own, because a decision waits for its
// commit, and the news of another leader must not wait.
func (r *Replica) loseSilent(ctx context.Context, l *losses) {
	t := time.NewTicker(r.cfg.RaftTimeout)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if len(l.events) > 0 || !r.leads() { // what they say is newer than the tick
			continue
		}
		if changes := r.newlyLost(l.silent(2*r.cfg.RaftTimeout, r.cfg.paused)); len(changes) > 0 {
			r.decide(changes...)
		}
	}
}

// newlyLost is the decision about the silent replicas and those that are no longer servers.
func (r *Replica) newlyLost(silent []string) []fsm.Change {
	state := r.registry.State()
	servers := r.servers()
	var changes []fsm.Change
	lose := func(known fsm.Replica) {
		if !known.Lost {
			r.log.Warn("a replica is lost: its sessions stay for the grace", "name", known.Name,
				"id", known.ID, "grace", r.cfg.ReplicaGrace)
			changes = append(changes, fsm.LoseReplica(known.ID, known.Incarnation))
		}
	}
	for _, id := range silent {
		if known, ok := state.Replica(id); ok {
			lose(known)
		}
	}
	for _, known := range state.Replicas() {
		if _, in := servers[known.ID]; !in {
			lose(known)
		}
	}
	return changes
}
